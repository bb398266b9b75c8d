//! Application credentials: a name and a secret with which a program logs in as its user, into one
//! project, with some of the user's roles. The secret is shown once.

use super::{NAME, TEXT, access_rules, flag, forbidden, link, named_roles, roles};
use crate::login::SIGNED;
use crate::model::{AccessRule, AppCredential, Role};
use crate::{Identity, table};
use api::{Obj, Reply, Req, Scope};
use base::{Fault, Micros, ProjectId, Result, RoleId, UserId};
use base64::Engine;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

/// Most application credentials of one user.
const MOST: i64 = 1_000;

/// What showing credentials takes.
struct Known {
    roles: Vec<Role>,
    rules: Vec<AccessRule>,
}

impl Known {
    fn of(tx: &Tx<'_>, user: &UserId) -> Result<Known> {
        let mut q = Sql::new(table::access_rule::SELECT);
        q.and("user_id =", user);
        Ok(Known { roles: table::role::all(tx)?, rules: q.rows(tx, table::access_rule::row)? })
    }
}

fn view(req: &Req, c: &AppCredential, known: &Known) -> Value {
    let roles: Vec<Value> =
        c.roles.iter().filter_map(|id| known.roles.iter().find(|r| r.id == *id)).map(roles::plain).collect();
    let mut shown = json!({
        "id": c.id,
        "name": c.name,
        "description": (!c.description.is_empty()).then_some(&c.description),
        "user_id": c.user_id,
        "project_id": c.project_id,
        "roles": roles,
        "expires_at": c.expires_at.map(Micros::micros_bare),
        "unrestricted": c.unrestricted,
        "system": null,
        "links": {"self": link(req, &format!("users/{}/application_credentials/{}", c.user_id, c.id))},
    });
    if !c.access_rules.is_empty() {
        let rules = c.access_rules.iter().filter_map(|id| known.rules.iter().find(|r| r.id == *id));
        shown["access_rules"] = rules.map(access_rules::plain).collect();
    }
    shown
}

/// Whose credentials they are: one's own, or anybody's for an admin who only looks or deletes.
fn owner(req: &Req) -> Result<UserId> {
    let id = UserId::from(req.text_param("id"));
    if id == req.auth.user.id || req.auth.is_admin() { Ok(id) } else { Err(forbidden()) }
}

/// A program must not make itself another way in, unless its credential was made for that; a trustee must not make
/// one at all, and neither must who has an ec2 key.
pub async fn unrestricted(identity: &Identity, req: &Req) -> Result<()> {
    let session = identity.session_of(req).await?;
    if session.trust.is_some() {
        return Err(Fault::forbidden(
            "Using a trust-scoped token is not allowed for managing application credentials and trusts.",
        ));
    }
    if session.is_signed() {
        return Err(Fault::forbidden(format!(
            "Using method '{SIGNED}' is not allowed for managing application credentials."
        )));
    }
    if session.credential.as_ref().is_none_or(|c| c.unrestricted) {
        return Ok(());
    }
    Err(Fault::forbidden(
        "Using method 'application_credential' is not allowed for managing additional application credentials.",
    ))
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let user = owner(&req)?;
    let mut q = Sql::new(table::credential::SELECT);
    q.and("user_id =", &user);
    if let Some(name) = req.query.get("name") {
        q.and("name =", name);
    }
    q.push(" ORDER BY created_at, id");
    let (found, known) = identity
        .db
        .read(move |tx| {
            table::user::get(tx, &user)?;
            Ok((q.rows(tx, table::credential::row)?, Known::of(tx, &user)?))
        })
        .await?;
    let shown = found.iter().map(|c| view(&req, c, &known)).collect();
    Ok(super::list(&req, "application_credentials", shown, false))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (user, id) = (owner(&req)?, req.text_param("credential").to_owned());
    let (found, known) = identity
        .db
        .read(move |tx| Ok((table::credential::get(tx, &user, &id)?, Known::of(tx, &user)?)))
        .await?;
    Ok(Reply::json(200, &json!({"application_credential": view(&req, &found, &known)})))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("application_credential")?;
    let user = UserId::from(req.text_param("id"));
    if user != req.auth.user.id {
        return Err(forbidden());
    }
    unrestricted(&identity, &req).await?;
    let Scope::Project(project) = &req.auth.scope else {
        return Err(Fault::bad_request(
            "An application credential belongs to a project: log in with a scope of that project.",
        ));
    };
    let rules = access_rules::parse(&obj, &user)?;
    let roles = chosen(&req, &obj)?;
    let mut credential = parse(&obj, user, project.id.clone(), roles)?;
    let secret = match obj.opt_str("secret", NAME)? {
        Some(secret) if secret.is_empty() => {
            return Err(Fault::bad_request("Invalid input for field/attribute secret. It is too short"));
        }
        Some(secret) => secret,
        None => base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()),
    };
    credential.secret_hash = identity.secrets.hash(secret.clone()).await?;
    let who = req.who();
    let (credential, known) = identity
        .write(move |tx| {
            table::lock(tx, "account", "user", credential.user_id.as_str())?;
            check_count(tx, &credential.user_id)?;
            credential.access_rules = access_rules::settle(tx, &credential.user_id, &rules)?;
            table::credential::insert(tx, &credential)?;
            audit(tx, &who, "application_credential.create", &credential.id)?;
            let known = Known::of(tx, &credential.user_id)?;
            Ok((credential, known))
        })
        .await?;
    let mut shown = view(&req, &credential, &known);
    shown["secret"] = json!(secret);
    Ok(Reply::json(201, &json!({"application_credential": shown})))
}

fn check_count(tx: &Tx<'_>, user: &UserId) -> Result<()> {
    if table::credential::count(tx, user)? >= MOST {
        return Err(Fault::quota(format!(
            "A user has at most {MOST} application credentials. Delete one that is not needed any more."
        )));
    }
    Ok(())
}

fn parse(obj: &Obj, user_id: UserId, project_id: ProjectId, roles: Vec<RoleId>) -> Result<AppCredential> {
    let expires_at = match obj.opt_str("expires_at", NAME)? {
        None => None,
        Some(text) => {
            let at = Micros::parse(&text).filter(|at| *at > Micros::now());
            Some(at.ok_or_else(|| {
                Fault::bad_request(
                    "Invalid input for field/attribute expires_at. It must be a time in the future, such as 2030-01-31T12:00:00.",
                )
            })?)
        }
    };
    Ok(AppCredential {
        id: hex::encode(rand::random::<[u8; 16]>()),
        user_id,
        project_id,
        name: obj.name("name", NAME)?,
        description: obj.opt_str("description", TEXT)?.unwrap_or_default(),
        secret_hash: String::new(),
        roles,
        unrestricted: flag(obj, "unrestricted")?.unwrap_or(false),
        expires_at,
        access_rules: Vec::new(),
    })
}

/// The roles asked for, by id or name and each once, which the token must have; all of the token's when none are.
fn chosen(req: &Req, obj: &Obj) -> Result<Vec<RoleId>> {
    let own = &req.auth.roles;
    let asked = named_roles(obj)?;
    if asked.is_empty() {
        return Ok(own.iter().map(|(id, _)| id.clone()).collect());
    }
    let find = |role: &Value| {
        let role = Obj::root(role.clone())?;
        let (id, name) = (role.opt_str("id", NAME)?, role.opt_str("name", NAME)?);
        let found = own.iter().find(|(i, n)| match (&id, &name) {
            (Some(id), _) => i.as_str() == id,
            (None, Some(name)) => n == name,
            (None, None) => false,
        });
        found.map(|(id, _)| id.clone()).ok_or_else(|| {
            let shown = id.or(name).unwrap_or_default();
            Fault::bad_request(format!(
                "Invalid application credential: you do not have the role {shown} in this project."
            ))
        })
    };
    let ids = asked.iter().map(find).collect::<Result<BTreeSet<_>>>()?;
    Ok(ids.into_iter().collect())
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (user, id, who) = (owner(&req)?, req.text_param("credential").to_owned(), req.who());
    unrestricted(&identity, &req).await?;
    identity
        .write(move |tx| {
            table::credential::get(tx, &user, &id)?;
            table::credential::delete(tx, &id)?;
            audit(tx, &who, "application_credential.delete", &id)
        })
        .await?;
    Ok(Reply::empty(204))
}
