//! Services, endpoints and regions: what the catalogue is made from.

use super::{NAME, TEXT, flag, merge, page, shown, unknown};
use crate::catalog::absolute;
use crate::model::{Endpoint, Extra, Region, Service};
use crate::{Identity, table};
use api::{Obj, Reply, Req};
use base::{EndpointId, Fault, RegionId, Result, ServiceId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

const SERVICE: &[&str] = &["type", "name", "description", "enabled"];
const ENDPOINT: &[&str] = &["service_id", "interface", "region_id", "region", "url", "enabled"];
const REGION: &[&str] = &["description", "parent_region_id"];

fn service_view(req: &Req, s: &Service) -> Value {
    let mut own = json!({"id": s.id, "type": s.kind, "name": s.name, "enabled": s.enabled});
    if !s.description.is_empty() {
        own["description"] = json!(s.description);
    }
    shown(req, "services", s.id.as_str(), &s.extra, own)
}

pub async fn list_services(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::service::SELECT);
    for (field, condition) in [("type", "type ="), ("name", "name =")] {
        if let Some(value) = req.query.get(field) {
            q.and(condition, value);
        }
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "service", &page, table::service::row)).await?;
    Ok(super::list(&req, "services", found.iter().map(|s| service_view(&req, s)).collect(), more))
}

pub async fn create_service(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("service")?;
    let service = Service {
        id: ServiceId::new(),
        kind: obj.name("type", NAME)?,
        name: obj.opt_str("name", NAME)?.unwrap_or_default(),
        description: obj.opt_str("description", TEXT)?.unwrap_or_default(),
        enabled: flag(&obj, "enabled")?.unwrap_or(true),
        extra: unknown(&obj, SERVICE)?,
    };
    let who = req.who();
    let service = identity
        .write(move |tx| {
            table::service::insert(tx, &service)?;
            audit(tx, &who, "service.create", service.id.as_str())?;
            Ok(service)
        })
        .await?;
    Ok(Reply::json(201, &json!({"service": service_view(&req, &service)})))
}

pub async fn show_service(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = ServiceId::from(req.text_param("id"));
    let service = identity.db.read(move |tx| table::service::get(tx, &id)).await?;
    Ok(Reply::json(200, &json!({"service": service_view(&req, &service)})))
}

pub async fn update_service(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("service")?;
    let (id, who) = (ServiceId::from(req.text_param("id")), req.who());
    let service = identity
        .write(move |tx| {
            table::lock(tx, "service", "service", id.as_str())?;
            let mut service = table::service::get(tx, &id)?;
            if obj.has("type") {
                service.kind = obj.name("type", NAME)?;
            }
            if obj.has("name") {
                service.name = obj.opt_str("name", NAME)?.unwrap_or_default();
            }
            if obj.has("description") {
                service.description = obj.opt_str("description", TEXT)?.unwrap_or_default();
            }
            service.enabled = flag(&obj, "enabled")?.unwrap_or(service.enabled);
            merge(&mut service.extra, unknown(&obj, SERVICE)?)?;
            table::service::update(tx, &service)?;
            audit(tx, &who, "service.update", id.as_str())?;
            Ok(service)
        })
        .await?;
    Ok(Reply::json(200, &json!({"service": service_view(&req, &service)})))
}

pub async fn delete_service(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (ServiceId::from(req.text_param("id")), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "service", "service", id.as_str())?;
            table::service::delete(tx, &id)?;
            audit(tx, &who, "service.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

pub fn endpoint_view(req: &Req, e: &Endpoint) -> Value {
    let own = json!({
        "id": e.id, "service_id": e.service_id, "interface": e.interface, "region_id": e.region_id,
        "region": e.region_id, "url": absolute(&e.url, &req.base), "enabled": e.enabled,
    });
    shown(req, "endpoints", e.id.as_str(), &e.extra, own)
}

pub async fn list_endpoints(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::endpoint::SELECT);
    let filters = [
        ("interface", "interface ="),
        ("service_id", "service_id ="),
        ("region_id", "region_id ="),
        ("region", "region_id ="),
    ];
    for (field, condition) in filters {
        if let Some(value) = req.query.get(field) {
            q.and(condition, value);
        }
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "endpoint", &page, table::endpoint::row)).await?;
    Ok(super::list(&req, "endpoints", found.iter().map(|e| endpoint_view(&req, e)).collect(), more))
}

/// Reads what `obj` says over `endpoint`, and checks what it refers to.
fn change_endpoint(tx: &Tx<'_>, endpoint: &mut Endpoint, obj: &Obj) -> Result<()> {
    if obj.has("service_id") {
        endpoint.service_id = ServiceId(obj.name("service_id", NAME)?);
        if table::service::find(tx, &endpoint.service_id)?.is_none() {
            return Err(expected("service_id", "service"));
        }
    }
    if obj.has("interface") {
        endpoint.interface = obj.name("interface", NAME)?;
        if !["public", "internal", "admin"].contains(&endpoint.interface.as_str()) {
            return Err(Fault::bad_request(format!(
                "Invalid input for field/attribute interface. Value: {}. It is not one of ['admin', 'internal', 'public']",
                endpoint.interface
            )));
        }
    }
    if obj.has("url") {
        endpoint.url = url(obj)?;
    }
    if let Some(id) = obj.opt_str("region_id", NAME)? {
        let id = RegionId(id);
        if table::region::find(tx, &id)?.is_none() {
            return Err(expected("region_id", "region"));
        }
        endpoint.region_id = Some(id);
    } else if let Some(id) = obj.opt_str("region", NAME)? {
        // The older field makes the region where there is none.
        let region =
            Region { id: RegionId(id), parent_id: None, description: String::new(), extra: Extra::new() };
        if table::region::find(tx, &region.id)?.is_none() {
            table::region::insert(tx, &region)?;
        }
        endpoint.region_id = Some(region.id);
    } else if obj.has("region_id") || obj.has("region") {
        endpoint.region_id = None;
    }
    endpoint.enabled = flag(obj, "enabled")?.unwrap_or(endpoint.enabled);
    merge(&mut endpoint.extra, unknown(obj, ENDPOINT)?)
}

fn expected(field: &str, table: &str) -> Fault {
    Fault::bad_request(format!(
        "Expecting to find endpoint {field} in {table} table. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error."
    ))
}

/// An address with a scheme, or one of ours, which starts with a slash.
fn url(obj: &Obj) -> Result<String> {
    let url = obj.name("url", TEXT)?;
    let scheme = url.split_once("://").is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    if scheme || url.starts_with('/') {
        return Ok(url);
    }
    let shown: String = url.chars().take(200).collect();
    Err(Fault::bad_request(format!(
        "Invalid input for field/attribute url. Value: {shown}. '{shown}' is not a 'uri'"
    )))
}

pub async fn create_endpoint(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("endpoint")?;
    for field in ["service_id", "interface", "url"] {
        obj.str(field, TEXT)?;
    }
    let who = req.who();
    let endpoint = identity
        .write(move |tx| {
            let mut endpoint = Endpoint {
                id: EndpointId::new(),
                service_id: ServiceId(String::new()),
                interface: String::new(),
                region_id: None,
                url: String::new(),
                enabled: true,
                extra: Extra::new(),
            };
            change_endpoint(tx, &mut endpoint, &obj)?;
            table::endpoint::insert(tx, &endpoint)?;
            audit(tx, &who, "endpoint.create", endpoint.id.as_str())?;
            Ok(endpoint)
        })
        .await?;
    Ok(Reply::json(201, &json!({"endpoint": endpoint_view(&req, &endpoint)})))
}

pub async fn show_endpoint(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = EndpointId::from(req.text_param("id"));
    let endpoint = identity.db.read(move |tx| table::endpoint::get(tx, &id)).await?;
    Ok(Reply::json(200, &json!({"endpoint": endpoint_view(&req, &endpoint)})))
}

pub async fn update_endpoint(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("endpoint")?;
    let (id, who) = (EndpointId::from(req.text_param("id")), req.who());
    let endpoint = identity
        .write(move |tx| {
            table::lock(tx, "endpoint", "endpoint", id.as_str())?;
            let mut endpoint = table::endpoint::get(tx, &id)?;
            change_endpoint(tx, &mut endpoint, &obj)?;
            table::endpoint::update(tx, &endpoint)?;
            audit(tx, &who, "endpoint.update", id.as_str())?;
            Ok(endpoint)
        })
        .await?;
    Ok(Reply::json(200, &json!({"endpoint": endpoint_view(&req, &endpoint)})))
}

pub async fn delete_endpoint(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (EndpointId::from(req.text_param("id")), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "endpoint", "endpoint", id.as_str())?;
            table::endpoint::delete(tx, &id)?;
            audit(tx, &who, "endpoint.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

fn region_view(req: &Req, r: &Region) -> Value {
    let own = json!({"id": r.id, "description": r.description, "parent_region_id": r.parent_id});
    shown(req, "regions", r.id.as_str(), &r.extra, own)
}

pub async fn list_regions(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::region::SELECT);
    if let Some(parent) = req.query.get("parent_region_id") {
        q.and("parent_id =", parent);
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "region", &page, table::region::row)).await?;
    Ok(super::list(&req, "regions", found.iter().map(|r| region_view(&req, r)).collect(), more))
}

/// POST /v3/regions: the id is the client's to choose.
pub async fn create_region(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("region")?;
    let id = obj.opt_str("id", NAME)?.filter(|id| !id.is_empty()).map_or_else(RegionId::new, RegionId);
    new_region(&identity, &req, id, obj).await
}

/// PUT /v3/regions/{id}.
pub async fn put_region(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("region")?;
    let id = RegionId::from(req.text_param("id"));
    if obj.opt_str("id", NAME)?.is_some_and(|other| other != id.as_str()) {
        return Err(Fault::bad_request("Conflicting region IDs specified: in the address and in the body."));
    }
    new_region(&identity, &req, id, obj).await
}

async fn new_region(identity: &Identity, req: &Req, id: RegionId, obj: Obj) -> Result<Reply> {
    let who = req.who();
    let region = identity
        .write(move |tx| {
            let mut region = Region { id, parent_id: None, description: String::new(), extra: Extra::new() };
            change_region(tx, &mut region, &obj)?;
            table::region::insert(tx, &region)?;
            audit(tx, &who, "region.create", region.id.as_str())?;
            Ok(region)
        })
        .await?;
    Ok(Reply::json(201, &json!({"region": region_view(req, &region)})))
}

fn change_region(tx: &Tx<'_>, region: &mut Region, obj: &Obj) -> Result<()> {
    if obj.has("description") {
        region.description = obj.opt_str("description", TEXT)?.unwrap_or_default();
    }
    if obj.has("parent_region_id") {
        region.parent_id = obj.opt_str("parent_region_id", NAME)?.filter(|p| !p.is_empty()).map(RegionId);
    }
    if let Some(parent) = &region.parent_id {
        table::region::get(tx, parent)?;
        if table::region::family(tx, &region.id)?.contains(parent) {
            return Err(Fault::bad_request(format!("Region {parent} cannot be its own parent.")));
        }
    }
    merge(&mut region.extra, unknown(obj, REGION)?)
}

pub async fn show_region(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = RegionId::from(req.text_param("id"));
    let region = identity.db.read(move |tx| table::region::get(tx, &id)).await?;
    Ok(Reply::json(200, &json!({"region": region_view(&req, &region)})))
}

pub async fn update_region(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("region")?;
    let (id, who) = (RegionId::from(req.text_param("id")), req.who());
    let region = identity
        .write(move |tx| {
            table::lock(tx, "region", "region", id.as_str())?;
            let mut region = table::region::get(tx, &id)?;
            change_region(tx, &mut region, &obj)?;
            table::region::update(tx, &region)?;
            audit(tx, &who, "region.update", id.as_str())?;
            Ok(region)
        })
        .await?;
    Ok(Reply::json(200, &json!({"region": region_view(&req, &region)})))
}

/// Deletes a region with those below it.
pub async fn delete_region(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (RegionId::from(req.text_param("id")), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "region", "region", id.as_str())?;
            for region in table::region::family(tx, &id)?.iter().rev() {
                if table::region::has_endpoints(tx, region)? {
                    return Err(Fault::forbidden(format!(
                        "Unable to delete region {id} because it or its child regions have associated endpoints."
                    )));
                }
                table::region::delete(tx, region)?;
            }
            audit(tx, &who, "region.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
