//! The cloud as a whole: availability zones, services, and lists that are empty until their time comes.

use super::at;
use crate::Compute;
use crate::table::host::{self, Host};
use api::{Obj, Reply, Req};
use base::{Fault, HostId, Micros, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{log, params};

/// Hosts by zone, in order.
fn zones(hosts: &[Host]) -> Vec<(String, Vec<&Host>)> {
    let mut zones: Vec<(String, Vec<&Host>)> = Vec::new();
    for h in hosts {
        match zones.iter_mut().find(|(z, _)| *z == h.zone) {
            Some((_, list)) => list.push(h),
            None => zones.push((h.zone.clone(), vec![h])),
        }
    }
    zones
}

fn zone(name: &str, hosts: &[&Host], detail: bool) -> Value {
    let up = hosts.iter().any(|h| h.enabled);
    let list = if detail {
        let list = hosts.iter().map(|h| {
            let service = json!({"nova-compute": {
                "active": h.enabled, "available": !h.silent(), "updated_at": h.seen_at.micros_bare(),
            }});
            (h.name.clone(), service)
        });
        Value::Object(list.collect::<Map<_, _>>())
    } else {
        Value::Null
    };
    json!({"zoneName": name, "zoneState": {"available": up}, "hosts": list})
}

async fn availability(c: &Compute, detail: bool) -> Result<Reply> {
    let hosts = c.db.read(host::all).await?;
    let mut list: Vec<Value> = zones(&hosts).iter().map(|(name, hosts)| zone(name, hosts, detail)).collect();
    if list.is_empty() {
        list.push(zone("nova", &[], detail));
    }
    Ok(Reply::json(200, &json!({"availabilityZoneInfo": list})))
}

pub async fn availability_zones(c: Arc<Compute>, _: Req) -> Result<Reply> {
    availability(&c, false).await
}

pub async fn availability_zones_detail(c: Arc<Compute>, _: Req) -> Result<Reply> {
    availability(&c, true).await
}

// --------------------------------------------------------------------------------------- services

/// A number that stands for a host where the API wants one: the same as long as the host lives.
pub fn number(id: HostId) -> u32 {
    let b = id.0.as_bytes();
    u32::from_be_bytes([b[0], b[1], b[2], b[3]]) >> 1
}

fn service(req: &Req, h: &Host) -> Value {
    let mut v = json!({
        "id": if at(req, 53) { json!(h.id) } else { json!(number(h.id)) },
        "binary": "nova-compute", "host": h.name, "zone": h.zone,
        "status": if h.enabled { "enabled" } else { "disabled" },
        "state": if h.silent() { "down" } else { "up" },
        "updated_at": (h.seen_at.0 != 0).then(|| h.seen_at.micros_bare()),
        "disabled_reason": (!h.disabled_reason.is_empty()).then_some(&h.disabled_reason),
    });
    if at(req, 11) {
        v["forced_down"] = json!(false);
    }
    v
}

/// The parts that run inside the region itself, for clients that look for them.
fn own(req: &Req, index: u32, binary: &str) -> Value {
    let mut v = json!({
        "id": if at(req, 53) { json!(format!("00000000-0000-4000-8000-{index:012}")) } else { json!(index) },
        "binary": binary, "host": "region", "zone": "internal", "status": "enabled", "state": "up",
        "updated_at": Micros::now().micros_bare(), "disabled_reason": null,
    });
    if at(req, 11) {
        v["forced_down"] = json!(false);
    }
    v
}

/// `GET /os-services`.
pub async fn services(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let hosts = c.db.read(host::all).await?;
    let mut all = vec![own(&req, 1, "nova-conductor"), own(&req, 2, "nova-scheduler")];
    all.extend(hosts.iter().map(|h| service(&req, h)));
    for filter in ["binary", "host"] {
        if let Some(wanted) = req.query.get(filter) {
            all.retain(|s| s[filter] == *wanted);
        }
    }
    Ok(Reply::json(200, &json!({"services": all})))
}

/// `PUT /os-services/{id}` from 2.53: enables or disables a host. Before, the last part is a verb.
pub async fn update_service(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    if !at(&req, 53) {
        return switch_service(&c, &req, &body).await;
    }
    body.only(&["status", "disabled_reason", "forced_down"])?;
    let text = req.text_param("id").to_owned();
    let id: HostId = text.parse().map_err(|_| no_service(&text))?;
    let status = body.opt_str("status", 16)?;
    let reason = body.opt_str("disabled_reason", 255)?;
    if body.opt_bool("forced_down")?.is_some() {
        return Err(Fault::bad_request(
            "Hosts are not forced down here: whether one is away is seen from its reports.",
        ));
    }
    let enabled = match status.as_deref() {
        Some("enabled") if reason.is_some() => {
            return Err(Fault::bad_request("Specifying disabled_reason requires that status is 'disabled'."));
        }
        Some("enabled") => true,
        Some("disabled") => false,
        _ => {
            return Err(Fault::bad_request(
                "Invalid input for field/attribute status. It is enabled or disabled.",
            ));
        }
    };
    let host = change(&c, &req, move |h| h.id == id, text, enabled, reason).await?;
    Ok(Reply::json(200, &json!({"service": service(&req, &host)})))
}

/// `PUT /os-services/{enable|disable|disable-log-reason}` until 2.52.
async fn switch_service(c: &Compute, req: &Req, body: &Obj) -> Result<Reply> {
    body.only(&["host", "binary", "disabled_reason"])?;
    let (name, binary) = (body.name("host", 255)?, body.name("binary", 255)?);
    let reason = body.opt_str("disabled_reason", 255)?;
    let what = req.text_param("id").to_owned();
    if !["enable", "disable", "disable-log-reason"].contains(&what.as_str()) {
        return Err(Fault::not_found("Unknown action"));
    }
    let wanted = name.clone();
    let host = change(c, req, move |h| h.name == wanted, name, what == "enable", reason).await?;
    let mut v = json!({"binary": binary, "host": host.name, "status": if host.enabled { "enabled" } else { "disabled" }});
    if what == "disable-log-reason" {
        v["disabled_reason"] = json!(host.disabled_reason);
    }
    Ok(Reply::json(200, &json!({"service": v})))
}

fn no_service(id: &str) -> Fault {
    Fault::not_found(format!("Service {id} could not be found."))
}

async fn change(
    c: &Compute,
    req: &Req,
    which: impl Fn(&Host) -> bool + Send + 'static,
    named: String,
    enabled: bool,
    reason: Option<String>,
) -> Result<Host> {
    let who = req.who();
    c.db.write(move |tx| {
        let found = host::all(tx)?.into_iter().find(|h| which(h)).ok_or_else(|| no_service(&named))?;
        tx.exec(
            "UPDATE host SET enabled = $2, disabled_reason = $3 WHERE id = $1",
            params![found.id, enabled, reason.as_deref().unwrap_or("")],
        )?;
        if enabled {
            network::for_hosts::settle_homes(tx)?;
        }
        log::audit(tx, &who, if enabled { "host.enable" } else { "host.disable" }, &found.id.to_string())?;
        host::by_id(tx, found.id)?.ok_or_else(|| no_service(&named))
    })
    .await
}

// ----------------------------------------------------------------------------------- empty so far

/// There are no server groups yet, so that the empty list is true.
pub async fn server_groups(_: Arc<Compute>, _: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"server_groups": []})))
}

/// There are no aggregates yet.
pub async fn aggregates(_: Arc<Compute>, _: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"aggregates": []})))
}

/// There are no migrations yet.
pub async fn migrations(_: Arc<Compute>, _: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"migrations": []})))
}
