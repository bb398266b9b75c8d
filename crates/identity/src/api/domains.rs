//! Domains. The API also shows a domain as a project that acts as one (`is_domain`).

use super::{SHORT_NAME, TEXT, filter, flag, forbidden, merge, options, page, shown, unknown};
use crate::model::Domain;
use crate::{Identity, table};
use api::{Obj, Reach, Reply, Req, Scope};
use base::{DomainId, Fault, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, log::audit};

const KNOWN: &[&str] = &["name", "description", "enabled", "tags", "domain_id", "parent_id", "is_domain"];

pub fn view(req: &Req, d: &Domain) -> Value {
    let mut own = json!({
        "id": d.id, "name": d.name, "description": d.description, "enabled": d.enabled, "tags": [],
    });
    if !d.extra.contains_key("options") {
        own["options"] = json!({});
    }
    shown(req, "domains", d.id.as_str(), &d.extra, own)
}

/// The domain in the manner of a project.
pub fn as_project(req: &Req, d: &Domain) -> Value {
    let mut own = json!({
        "id": d.id, "name": d.name, "description": d.description, "enabled": d.enabled, "tags": [],
        "domain_id": null, "parent_id": null, "is_domain": true,
    });
    if !d.extra.contains_key("options") {
        own["options"] = json!({});
    }
    shown(req, "projects", d.id.as_str(), &d.extra, own)
}

/// The domains that the query asks for and the caller may see, and whether there are more.
pub async fn find(identity: &Identity, req: &Req) -> Result<(Vec<Domain>, bool)> {
    let page = page(req)?;
    let mut q = Sql::new(table::domain::SELECT);
    filter::text(&mut q, &req.query, "name", "name");
    if let Some(enabled) = req.query.bool("enabled")? {
        q.and("enabled =", enabled);
    }
    if let Reach::Domain(own) = req.auth.reach() {
        q.and("id =", &own);
    }
    identity.db.read(move |tx| table::page(tx, &mut q, "domain", &page, table::domain::row)).await
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (found, more) = find(&identity, &req).await?;
    Ok(super::list(&req, "domains", found.iter().map(|d| view(&req, d)).collect(), more))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("domain")?;
    let domain = make(&identity, &req, &obj).await?;
    Ok(Reply::json(201, &json!({"domain": view(&req, &domain)})))
}

/// Makes the domain that a body describes.
pub async fn make(identity: &Identity, req: &Req, obj: &Obj) -> Result<Domain> {
    everything(req)?;
    let (domain, who) = (parse(obj)?, req.who());
    identity
        .write(move |tx| {
            table::domain::insert(tx, &domain)?;
            audit(tx, &who, "domain.create", domain.id.as_str())?;
            Ok(domain)
        })
        .await
}

fn parse(obj: &Obj) -> Result<Domain> {
    Ok(Domain {
        id: DomainId::new(),
        name: obj.name("name", SHORT_NAME)?,
        description: obj.opt_str("description", TEXT)?.unwrap_or_default(),
        enabled: flag(obj, "enabled")?.unwrap_or(true),
        extra: unknown(obj, KNOWN)?,
    })
}

/// Domains are made, changed and deleted by administrators.
fn everything(req: &Req) -> Result<()> {
    if req.auth.stewardship() == Reach::Everything { Ok(()) } else { Err(forbidden()) }
}

/// The domain with the id in the path, if there is one and the caller may see it as a project.
pub async fn acting(identity: &Identity, req: &Req) -> Result<Option<Domain>> {
    let id = DomainId::from(req.text_param("id"));
    if !req.auth.reach().covers(&id) {
        return Ok(None);
    }
    identity.db.read(move |tx| table::domain::find(tx, &id)).await
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = DomainId::from(req.text_param("id"));
    let own = matches!(&req.auth.scope, Scope::Project(p) if p.domain_id == id);
    if !own && !req.auth.reach().covers(&id) {
        return Err(forbidden());
    }
    let domain = identity.db.read(move |tx| table::domain::get(tx, &id)).await?;
    Ok(Reply::json(200, &json!({"domain": view(&req, &domain)})))
}

pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("domain")?;
    let domain = change(&identity, &req, obj).await?;
    Ok(Reply::json(200, &json!({"domain": view(&req, &domain)})))
}

/// Changes the domain in the path as a body says.
pub async fn change(identity: &Identity, req: &Req, obj: Obj) -> Result<Domain> {
    everything(req)?;
    let (id, who) = (DomainId::from(req.text_param("id")), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", id.as_str())?;
            let mut domain = table::domain::get(tx, &id)?;
            options::check_update("domain", id.as_str(), &domain.extra, &obj.map)?;
            if obj.has("name") {
                domain.name = obj.name("name", SHORT_NAME)?;
            }
            if obj.has("description") {
                domain.description = obj.opt_str("description", TEXT)?.unwrap_or_default();
            }
            if let Some(enabled) = flag(&obj, "enabled")? {
                if domain.enabled && !enabled {
                    table::revocation::domain(tx, &id)?;
                }
                domain.enabled = enabled;
            }
            merge(&mut domain.extra, unknown(&obj, KNOWN)?)?;
            table::domain::update(tx, &domain)?;
            audit(tx, &who, "domain.update", id.as_str())?;
            Ok(domain)
        })
        .await
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    everything(&req)?;
    let (id, who) = (DomainId::from(req.text_param("id")), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", id.as_str())?;
            let domain = table::domain::get(tx, &id)?;
            options::check_delete("domain", id.as_str(), &domain.extra)?;
            if domain.enabled {
                return Err(Fault::forbidden(
                    "Cannot delete a domain that is enabled, please disable it first.",
                ));
            }
            table::revocation::domain(tx, &id)?;
            table::domain::delete(tx, &id)?;
            audit(tx, &who, "domain.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
