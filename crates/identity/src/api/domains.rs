//! Domains.

use super::{SHORT_NAME, TEXT, flag, forbidden, merge, page, shown, unknown};
use crate::model::Domain;
use crate::{Identity, table};
use api::{Obj, Reach, Reply, Req, Scope};
use base::{DomainId, Fault, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, log::audit};

const KNOWN: &[&str] = &["name", "description", "enabled", "tags"];

pub fn view(req: &Req, d: &Domain) -> Value {
    let mut own = json!({
        "id": d.id, "name": d.name, "description": d.description, "enabled": d.enabled, "tags": [],
    });
    if !d.extra.contains_key("options") {
        own["options"] = json!({});
    }
    shown(req, "domains", d.id.as_str(), &d.extra, own)
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::domain::SELECT);
    if let Some(name) = req.query.get("name") {
        q.and("name =", name);
    }
    if let Some(enabled) = req.query.bool("enabled")? {
        q.and("enabled =", enabled);
    }
    if let Reach::Domain(own) = req.auth.reach() {
        q.and("id =", &own);
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "domain", &page, table::domain::row)).await?;
    Ok(super::list(&req, "domains", found.iter().map(|d| view(&req, d)).collect(), more))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let domain = parse(&req.json().await?.inner("domain")?)?;
    let who = req.who();
    let domain = identity
        .write(move |tx| {
            table::domain::insert(tx, &domain)?;
            audit(tx, &who, "domain.create", domain.id.as_str())?;
            Ok(domain)
        })
        .await?;
    Ok(Reply::json(201, &json!({"domain": view(&req, &domain)})))
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
    let (id, who) = (DomainId::from(req.text_param("id")), req.who());
    let domain = identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", id.as_str())?;
            let mut domain = table::domain::get(tx, &id)?;
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
        .await?;
    Ok(Reply::json(200, &json!({"domain": view(&req, &domain)})))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (DomainId::from(req.text_param("id")), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", id.as_str())?;
            if table::domain::get(tx, &id)?.enabled {
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
