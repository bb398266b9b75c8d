//! `/v3/auth/…`: logging in, and what a token is good for.

use super::{domains, forbidden, list, projects};
use crate::session::Session;
use crate::{Identity, login, table};
use api::{Level, Reply, Req, Scope};
use base::{DomainId, Fault, Kind, Result};
use serde_json::json;
use std::sync::Arc;

/// POST /v3/auth/tokens (`?nocatalog`).
pub async fn issue(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let issued = login::login(&identity, &body).await.inspect_err(|fault| {
        if matches!(fault.kind, Kind::Unauthorized | Kind::NotFound) {
            tracing::info!(request_id = req.request_id, %fault, "login refused");
        }
    })?;
    answer(&identity, &req, 201, &issued.session, &issued.token).await
}

/// GET and HEAD /v3/auth/tokens (`?nocatalog`).
pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (token, session) = subject(&identity, &req).await?;
    let reads = req.auth.reach() == api::Reach::Everything
        || req.auth.roles.iter().any(|(_, name)| name == "service");
    if session.auth.user.id != req.auth.user.id && !reads {
        return Err(forbidden());
    }
    answer(&identity, &req, 200, &session, &token).await
}

/// DELETE /v3/auth/tokens.
pub async fn revoke(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (_, session) = subject(&identity, &req).await?;
    if session.auth.user.id != req.auth.user.id && req.auth.level < Level::Admin {
        return Err(forbidden());
    }
    let who = req.who();
    identity
        .write(move |tx| {
            table::revocation::token(tx, session.token.audit_id(), session.token.expires_at)?;
            store::log::audit(tx, &who, "token.revoke", session.token.audit_id())
        })
        .await?;
    Ok(Reply::empty(204))
}

/// The token that the request is about.
async fn subject(identity: &Identity, req: &Req) -> Result<(String, Arc<Session>)> {
    let token = req.header("x-subject-token").ok_or_else(|| Fault::not_found("No token in the request."))?;
    match identity.session(token).await {
        Ok(session) => Ok((token.to_owned(), session)),
        Err(fault) if fault.kind == Kind::Unauthorized => Err(Fault::not_found("Could not find token.")),
        Err(fault) => Err(fault),
    }
}

pub async fn answer(
    identity: &Identity,
    req: &Req,
    status: u16,
    session: &Session,
    token: &str,
) -> Result<Reply> {
    let catalog = if req.query.has("nocatalog") {
        None
    } else {
        identity.catalog(&session.auth.scope, &req.base).await?
    };
    let body = session.body(catalog.as_deref());
    Ok(Reply::text(status, "application/json", body)
        .header("x-subject-token", token)
        .header("vary", "X-Auth-Token"))
}

/// GET /v3/auth/catalog.
pub async fn catalog(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let text = identity.catalog(&req.auth.scope, &req.base).await?.ok_or_else(|| {
        Fault::forbidden("A project-scoped token is required to produce a service catalog.")
    })?;
    let links = json!({"self": super::link(&req, "auth/catalog")});
    Ok(Reply::text(200, "application/json", format!("{{\"catalog\":{text},\"links\":{links}}}")))
}

/// GET /v3/auth/projects: what a token could be scoped to.
pub async fn projects(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let user = req.auth.user.id.clone();
    let (mine, tags) = identity
        .db
        .read(move |tx| {
            let mut mine = table::grant::projects_of(tx, &user)?;
            mine.retain(|p| p.enabled);
            let tags = table::project::tags_of(tx, &mine)?;
            Ok((mine, tags))
        })
        .await?;
    let shown = mine.iter().map(|p| projects::view(&req, p, &tags)).collect();
    Ok(list(&req, "projects", shown, false))
}

/// GET /v3/auth/domains.
pub async fn domains(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let user = req.auth.user.id.clone();
    let mine = identity
        .db
        .read(move |tx| {
            let ids = table::grant::domains_of(tx, &user)?;
            let found = ids.into_iter().map(|id| table::domain::find(tx, &DomainId(id)));
            found.filter_map(Result::transpose).collect::<Result<Vec<_>>>()
        })
        .await?;
    let shown = mine.iter().filter(|d| d.enabled).map(|d| domains::view(&req, d)).collect();
    Ok(list(&req, "domains", shown, false))
}

/// GET /v3/auth/system.
pub async fn system(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let user = req.auth.user.id.clone();
    let mine = req.auth.scope == Scope::System
        || identity.db.read(move |tx| table::grant::on_system(tx, &user)).await?;
    let system = if mine { vec![json!({"all": true})] } else { Vec::new() };
    let links = json!({"self": super::link(&req, "auth/system")});
    Ok(Reply::json(200, &json!({"system": system, "links": links})))
}
