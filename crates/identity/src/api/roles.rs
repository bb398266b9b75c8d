//! Roles.

use super::{NAME, SHORT_NAME, TEXT, covered, filter, forbidden, merge, options, page, shown, unknown};
use crate::model::Role;
use crate::{Identity, table};
use api::{Reach, Reply, Req};
use base::{DomainId, Fault, Result, RoleId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, log::audit};

const KNOWN: &[&str] = &["name", "description", "domain_id"];

/// A role without its links and unknown fields.
pub fn plain(r: &Role) -> Value {
    json!({
        "id": r.id, "name": r.name, "domain_id": r.domain_id,
        "description": (!r.description.is_empty()).then_some(&r.description),
        "options": r.extra.get("options").cloned().unwrap_or_else(|| json!({})),
    })
}

pub fn view(req: &Req, r: &Role) -> Value {
    let description = (!r.description.is_empty()).then_some(&r.description);
    let mut own = json!({"id": r.id, "name": r.name, "domain_id": r.domain_id, "description": description});
    if !r.extra.contains_key("options") {
        own["options"] = json!({});
    }
    shown(req, "roles", r.id.as_str(), &r.extra, own)
}

/// Whether somebody sees a role: those of the installation, and those of a domain within reach.
pub fn seen(reach: &Reach, role: &Role) -> bool {
    role.domain_id.as_ref().is_none_or(|domain| reach.covers(domain))
}

/// GET /v3/roles: those of the installation, or with `domain_id` those of a domain.
pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let domain = req.query.get("domain_id").unwrap_or_default();
    if !domain.is_empty() {
        covered(&req.auth.reach(), &domain.into())?;
    }
    let mut q = Sql::new(table::role::SELECT);
    q.and("domain_id =", domain);
    filter::text(&mut q, &req.query, "name", "name");
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "role", &page, table::role::row)).await?;
    Ok(super::list(&req, "roles", found.iter().map(|r| view(&req, r)).collect(), more))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("role")?;
    let role = Role {
        id: RoleId::new(),
        domain_id: obj.opt_str("domain_id", SHORT_NAME)?.filter(|d| !d.is_empty()).map(DomainId),
        name: obj.name("name", NAME)?,
        description: obj.opt_str("description", TEXT)?.unwrap_or_default(),
        extra: unknown(&obj, KNOWN)?,
    };
    let who = req.who();
    let role = identity
        .write(move |tx| {
            if let Some(domain) = &role.domain_id {
                table::lock(tx, "domain", "domain", domain.as_str())?;
            }
            table::role::insert(tx, &role)?;
            audit(tx, &who, "role.create", role.id.as_str())?;
            Ok(role)
        })
        .await?;
    Ok(Reply::json(201, &json!({"role": view(&req, &role)})))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = RoleId::from(req.text_param("id"));
    let role = identity.db.read(move |tx| table::role::get(tx, &id)).await?;
    if !seen(&req.auth.reach(), &role) {
        return Err(forbidden());
    }
    Ok(Reply::json(200, &json!({"role": view(&req, &role)})))
}

pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("role")?;
    let (id, who) = (RoleId::from(req.text_param("id")), req.who());
    let role = identity
        .write(move |tx| {
            table::lock(tx, "role", "role", id.as_str())?;
            let mut role = table::role::get(tx, &id)?;
            options::check_update("role", id.as_str(), &role.extra, &obj.map)?;
            let domain = role.domain_id.as_ref().map_or("", DomainId::as_str);
            if obj.opt_str("domain_id", SHORT_NAME)?.is_some_and(|d| d != domain) {
                return Err(Fault::bad_request("A role's domain cannot be changed."));
            }
            if obj.has("name") {
                role.name = obj.name("name", NAME)?;
            }
            if obj.has("description") {
                role.description = obj.opt_str("description", TEXT)?.unwrap_or_default();
            }
            merge(&mut role.extra, unknown(&obj, KNOWN)?)?;
            table::role::update(tx, &role)?;
            audit(tx, &who, "role.update", id.as_str())?;
            Ok(role)
        })
        .await?;
    Ok(Reply::json(200, &json!({"role": view(&req, &role)})))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (RoleId::from(req.text_param("id")), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "role", "role", id.as_str())?;
            options::check_delete("role", id.as_str(), &table::role::get(tx, &id)?.extra)?;
            table::role::delete(tx, &id)?;
            audit(tx, &who, "role.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
