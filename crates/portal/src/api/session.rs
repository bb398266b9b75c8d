//! `/hanok/v1/session`: signing in and out, and who one is.

use crate::Portal;
use crate::session::{COOKIE, csrf_of, from_elsewhere, secret_of};
use ::api::{Auth, Obj, Reply, Req, Scope};
use base::{Fault, Kind, ProjectId, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// Longest name or password, in characters.
const LONGEST: usize = 4096;

/// POST {"user", "password", "domain"?: "Default", "passcode"?: "123456"} → 200, the session and its cookie.
pub async fn create(p: Arc<Portal>, mut req: Req) -> Result<Reply> {
    if from_elsewhere(&req.headers, &req.base) {
        return Err(Fault::forbidden(
            "Another page than Hanok's own asks to sign in. Open the portal and do it there.",
        ));
    }
    let body = req.json().await?;
    body.only(&["user", "password", "domain", "passcode"])?;
    let (token, auth) = p.identity.log_in(&login(&body)?).await.map_err(|f| refused(&req, f))?;
    let (token, auth) = choose(&p, token, auth).await?;
    let begun = p.sessions.begin(token, auth).await?;
    let secure = if req.secure || req.base.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict{secure}", begun.secret);
    let shown = view(&p, &begun.auth, Some(&begun.secret)).await?;
    Ok(Reply::json(200, &shown).header("set-cookie", &cookie).header("cache-control", "no-store"))
}

/// What Identity reads.
fn login(body: &Obj) -> Result<Obj> {
    let (name, password) = (body.str("user", LONGEST)?, body.str("password", LONGEST)?);
    let domain = body.opt_str("domain", LONGEST)?.filter(|d| !d.trim().is_empty());
    let domain = json!({"name": domain.unwrap_or_else(|| "Default".into())});
    let mut identity = json!({
        "methods": ["password"],
        "password": {"user": {"name": name, "domain": domain, "password": password}},
    });
    if let Some(passcode) = body.opt_str("passcode", LONGEST)? {
        identity["methods"] = json!(["password", "totp"]);
        identity["totp"] = json!({"user": {"name": name, "domain": domain, "passcode": passcode}});
    }
    Obj::root(json!({"auth": {"identity": identity}}))
}

/// Identity's refusal in words for a person at a form. Why it was refused is said only where Identity says it too.
fn refused(req: &Req, fault: Fault) -> Fault {
    if fault.kind != Kind::Unauthorized {
        return fault;
    }
    tracing::info!(request_id = req.request_id, %fault, "sign-in refused");
    if fault.message.contains("password is expired") {
        return fault.header(identity::REASON, "password-expired");
    }
    if fault.header.as_ref().is_some_and(|h| **h == (identity::REASON, identity::MORE.to_owned())) {
        let words = "A one-time code is asked for as well: the six digits that your app shows now.";
        return Fault { message: words.into(), ..fault };
    }
    let words = "This name and password do not fit together, or the account cannot sign in now. Look at both, mind the \
                 domain, and try again; after several wrong passwords an account is locked for a while.";
    Fault { message: words.into(), ..fault }
}

/// The user's own default project if there is one, else the first by name.
async fn choose(p: &Portal, token: String, auth: Arc<Auth>) -> Result<(String, Arc<Auth>)> {
    if auth.scope != Scope::Unscoped {
        return Ok((token, auth));
    }
    for (project, _) in p.identity.projects_of(auth.user.id.clone()).await? {
        match p.sessions.rescope(&token, Some(&project)).await {
            Ok(scoped) => return Ok(scoped),
            // One whose domain is disabled, for example.
            Err(fault) if fault.kind == Kind::Unauthorized => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok((token, auth))
}

/// GET → 200, or 401.
pub async fn show(p: Arc<Portal>, req: Req) -> Result<Reply> {
    let shown = view(&p, &req.auth, secret_of(&req.headers)).await?;
    Ok(Reply::json(200, &shown).header("cache-control", "no-store"))
}

/// PUT {"project_id": "…" or null} → 200: the same session goes on in another project.
pub async fn rescope(p: Arc<Portal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["project_id"])?;
    let project = body.opt_str("project_id", 64)?.map(ProjectId);
    let secret = own_secret(&req)?;
    let token = p.sessions.token(&secret).await?;
    let scoped = p.sessions.rescope(&token, project.as_ref()).await;
    let (token, auth) = scoped.map_err(|fault| match fault.kind {
        Kind::Unauthorized => {
            Fault::forbidden("You have no role in that project, or it does not exist.").because(fault)
        }
        _ => fault,
    })?;
    p.sessions.move_to(&secret, &token).await?;
    Ok(Reply::json(200, &view(&p, &auth, Some(&secret)).await?).header("cache-control", "no-store"))
}

/// DELETE → 204; the session is over in all regions.
pub async fn delete(p: Arc<Portal>, req: Req) -> Result<Reply> {
    p.sessions.end(&own_secret(&req)?).await?;
    let gone = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok(Reply::empty(204).header("set-cookie", &gone))
}

/// # Errors
/// 400 for whoever comes with a token.
fn own_secret(req: &Req) -> Result<String> {
    let secret = secret_of(&req.headers).ok_or_else(|| {
        Fault::bad_request(
            "This is about the session of a browser. With a token, ask Identity for another token.",
        )
    })?;
    Ok(secret.to_owned())
}

async fn view(p: &Portal, auth: &Auth, secret: Option<&str>) -> Result<Value> {
    let projects = p.identity.projects_of(auth.user.id.clone()).await?;
    let projects: Vec<_> = projects.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
    let project = match &auth.scope {
        Scope::Project(p) => json!({"id": p.id, "name": p.name}),
        _ => Value::Null,
    };
    let roles: Vec<_> = auth.roles.iter().map(|(_, name)| name).collect();
    Ok(json!({
        "user": {"id": auth.user.id, "name": auth.user.name, "domain_id": auth.user.domain_id},
        "project": project,
        "projects": projects,
        "roles": roles,
        "admin": auth.is_admin(),
        "csrf": secret.map(csrf_of),
        "expires_at": auth.expires_at.seconds_z(),
        "idle_s": p.sessions.idle().as_secs(),
        "version": p.about.version,
        "region": p.about.region,
    }))
}
