//! Registered limits, and the limits of projects and domains (`/v3/registered_limits`, `/v3/limits`).
//! The model is `flat`: a limit counts where it is set, whatever the projects above have.

use super::{NAME, SHORT_NAME, TEXT, forbidden, link, page};
use crate::table::limit::{Limit, Registered};
use crate::{Identity, table};
use api::{Obj, Reach, Reply, Req, Scope};
use base::{DomainId, Fault, ProjectId, RegionId, Result, ServiceId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

/// Unlimited is -1; more than this cannot be asked for.
const LEAST: i64 = -1;
const GREATEST: i64 = 0x7fff_ffff;
/// Most that one request makes.
const AT_ONCE: usize = 1_000;

fn registered_view(req: &Req, r: &Registered) -> Value {
    json!({
        "id": r.id, "service_id": r.service_id, "region_id": r.region_id, "resource_name": r.resource_name,
        "default_limit": r.default_limit, "description": r.description,
        "links": {"self": link(req, &format!("registered_limits/{}", r.id))},
    })
}

fn view(req: &Req, l: &Limit) -> Value {
    json!({
        "id": l.id, "service_id": l.registered.service_id, "region_id": l.registered.region_id,
        "resource_name": l.registered.resource_name, "resource_limit": l.resource_limit,
        "project_id": l.project_id, "domain_id": l.domain_id, "description": l.description,
        "links": {"self": link(req, &format!("limits/{}", l.id))},
    })
}

/// GET /v3/limits/model.
pub async fn model(_: Arc<Identity>, _: Req) -> Result<Reply> {
    let text = "Limit enforcement and validation does not take project hierarchy into consideration.";
    Ok(Reply::json(200, &json!({"model": {"name": "flat", "description": text}})))
}

fn filter(q: &mut Sql, req: &Req, fields: &[&str]) {
    for field in fields {
        if let Some(value) = req.query.get(field) {
            q.and(&format!("{field} ="), value);
        }
    }
}

const KEYS: [&str; 3] = ["service_id", "region_id", "resource_name"];

pub async fn list_registered(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::limit::SELECT_REGISTERED);
    filter(&mut q, &req, &KEYS);
    let row = table::limit::registered_row;
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "registered_limit", &page, row)).await?;
    let shown = found.iter().map(|r| registered_view(&req, r)).collect();
    Ok(super::list(&req, "registered_limits", shown, more))
}

pub async fn show_registered(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let found = identity.db.read(move |tx| table::limit::registered(tx, &id)).await?;
    Ok(Reply::json(200, &json!({"registered_limit": registered_view(&req, &found)})))
}

fn items(body: &Obj, plural: &str, noun: &str) -> Result<Vec<Obj>> {
    let list = body.opt_list(plural)?.map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() || list.len() > AT_ONCE {
        return Err(Fault::bad_request(format!(
            "Invalid input for field/attribute {plural}. A list of 1 to {AT_ONCE} is expected"
        )));
    }
    let one = |v: &Value| {
        let mut obj = Obj::root(v.clone())?;
        obj.name = noun.to_owned();
        Ok(obj)
    };
    list.iter().map(one).collect()
}

fn new_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

fn parse_registered(obj: &Obj) -> Result<Registered> {
    Ok(Registered {
        id: new_id(),
        service_id: ServiceId(obj.str("service_id", SHORT_NAME)?),
        region_id: obj.opt_str("region_id", NAME)?,
        resource_name: obj.name("resource_name", NAME)?,
        default_limit: obj.int("default_limit", LEAST, GREATEST)?,
        description: obj.opt_str("description", TEXT)?,
    })
}

/// The service and the region must exist.
fn check_place(tx: &Tx<'_>, r: &Registered) -> Result<()> {
    let missing = |what: &str, id: &str| Fault::bad_request(format!("Could not find {what}: {id}."));
    if table::service::find(tx, &r.service_id)?.is_none() {
        return Err(missing("service", r.service_id.as_str()));
    }
    if let Some(id) = &r.region_id
        && table::region::find(tx, &RegionId(id.clone()))?.is_none()
    {
        return Err(missing("region", id));
    }
    Ok(())
}

pub async fn register(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let objs = items(&req.json().await?, "registered_limits", "registered_limit")?;
    let new = objs.iter().map(parse_registered).collect::<Result<Vec<_>>>()?;
    let who = req.who();
    let new = identity
        .write(move |tx| {
            for r in &new {
                check_place(tx, r)?;
                table::limit::register(tx, r)?;
                audit(tx, &who, "registered_limit.create", &r.id)?;
            }
            Ok(new)
        })
        .await?;
    let shown: Vec<Value> = new.iter().map(|r| registered_view(&req, r)).collect();
    Ok(Reply::json(201, &json!({"registered_limits": shown})))
}

fn in_use(id: &str) -> Fault {
    Fault::forbidden(format!(
        "Unable to update or delete registered limit {id} because there are project limits associated with it."
    ))
}

pub async fn update_registered(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("registered_limit")?;
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    let found = identity
        .write(move |tx| {
            table::lock(tx, "registered_limit", "registered limit", &id)?;
            let mut r = table::limit::registered(tx, &id)?;
            if KEYS.iter().any(|key| obj.has(key)) && table::limit::used(tx, &id)? {
                return Err(in_use(&id));
            }
            r.service_id = obj.opt_str("service_id", SHORT_NAME)?.map_or(r.service_id, ServiceId);
            if obj.has("region_id") {
                r.region_id = obj.opt_str("region_id", NAME)?;
            }
            if obj.has("resource_name") {
                r.resource_name = obj.name("resource_name", NAME)?;
            }
            r.default_limit = obj.opt_int("default_limit", LEAST, GREATEST)?.unwrap_or(r.default_limit);
            if obj.has("description") {
                r.description = obj.opt_str("description", TEXT)?;
            }
            check_place(tx, &r)?;
            table::limit::update_registered(tx, &r)?;
            audit(tx, &who, "registered_limit.update", &id)?;
            Ok(r)
        })
        .await?;
    Ok(Reply::json(200, &json!({"registered_limit": registered_view(&req, &found)})))
}

pub async fn unregister(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "registered_limit", "registered limit", &id)?;
            if table::limit::used(tx, &id)? {
                return Err(in_use(&id));
            }
            table::limit::unregister(tx, &id)?;
            audit(tx, &who, "registered_limit.delete", &id)
        })
        .await?;
    Ok(Reply::empty(204))
}

/// GET /v3/limits: everybody's for who sees everything, else those of the token's project or domain.
pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::limit::SELECT);
    filter(&mut q, &req, &KEYS);
    filter(&mut q, &req, &["project_id", "domain_id"]);
    if req.auth.reach() != Reach::Everything {
        match &req.auth.scope {
            Scope::Project(p) => q.and("project_id =", &p.id),
            Scope::Domain { id, .. } => q.and("domain_id =", id),
            _ => q.push(" AND 1 = 0"),
        };
    }
    let (found, more) = identity
        .db
        .read(move |tx| table::page(tx, &mut q, "resource_limit", &page, table::limit::row))
        .await?;
    Ok(super::list(&req, "limits", found.iter().map(|l| view(&req, l)).collect(), more))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let reach = req.auth.reach();
    let found = match identity.db.read(move |tx| table::limit::get(tx, &id)).await {
        Err(fault) if fault.is_not_found() && reach != Reach::Everything => return Err(forbidden()),
        found => found?,
    };
    let own = match &req.auth.scope {
        Scope::Project(p) => found.project_id.as_ref() == Some(&p.id),
        Scope::Domain { id, .. } => found.domain_id.as_ref() == Some(id),
        _ => false,
    };
    if !own && reach != Reach::Everything {
        return Err(forbidden());
    }
    Ok(Reply::json(200, &json!({"limit": view(&req, &found)})))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let objs = items(&req.json().await?, "limits", "limit")?;
    let who = req.who();
    let made = identity
        .write(move |tx| {
            let make = |obj: &Obj| {
                let limit = parse(tx, obj)?;
                table::limit::insert(tx, &limit)?;
                audit(tx, &who, "limit.create", &limit.id)?;
                Ok(limit)
            };
            objs.iter().map(make).collect::<Result<Vec<_>>>()
        })
        .await?;
    let shown: Vec<Value> = made.iter().map(|l| view(&req, l)).collect();
    Ok(Reply::json(201, &json!({"limits": shown})))
}

fn parse(tx: &Tx<'_>, obj: &Obj) -> Result<Limit> {
    let project_id = obj.opt_str("project_id", SHORT_NAME)?.map(ProjectId);
    let domain_id = obj.opt_str("domain_id", SHORT_NAME)?.map(DomainId);
    match (&project_id, &domain_id) {
        (Some(project), None) => drop(table::project::get(tx, project)?),
        (None, Some(domain)) => drop(table::domain::get(tx, domain)?),
        _ => {
            return Err(Fault::bad_request(
                "Invalid input for field/attribute limit. Name either project_id or domain_id",
            ));
        }
    }
    let (service, name) = (obj.str("service_id", SHORT_NAME)?, obj.name("resource_name", NAME)?);
    let region = obj.opt_str("region_id", NAME)?.unwrap_or_default();
    let registered = table::limit::of(tx, &service, &region, &name)?.ok_or_else(|| {
        Fault::forbidden(format!(
            "Unable to create a limit that has no corresponding registered limit ({name} of service {service})."
        ))
    })?;
    Ok(Limit {
        id: new_id(),
        registered,
        project_id,
        domain_id,
        resource_limit: obj.int("resource_limit", LEAST, GREATEST)?,
        description: obj.opt_str("description", TEXT)?,
    })
}

pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("limit")?;
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    obj.only(&["resource_limit", "description"])?;
    let found = identity
        .write(move |tx| {
            table::lock(tx, "resource_limit", "limit", &id)?;
            let mut limit = table::limit::get(tx, &id)?;
            let new = obj.opt_int("resource_limit", LEAST, GREATEST)?;
            limit.resource_limit = new.unwrap_or(limit.resource_limit);
            if obj.has("description") {
                limit.description = obj.opt_str("description", TEXT)?;
            }
            table::limit::update(tx, &limit)?;
            audit(tx, &who, "limit.update", &id)?;
            Ok(limit)
        })
        .await?;
    Ok(Reply::json(200, &json!({"limit": view(&req, &found)})))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "resource_limit", "limit", &id)?;
            table::limit::delete(tx, &id)?;
            audit(tx, &who, "limit.delete", &id)
        })
        .await?;
    Ok(Reply::empty(204))
}
