//! `os-services`: the hosts as services that one switches on and off, and the region's own parts.

use super::{at, number};
use crate::Compute;
use crate::table::host::{self, Host};
use api::{Obj, Reply, Req};
use base::{Fault, HostId, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log, params};

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
        v["forced_down"] = json!(h.forced_down);
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
pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    super::only_query(&req, &["binary", "host"])?;
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

/// What is to become of a host.
#[derive(Default)]
struct Change {
    enabled: Option<bool>,
    reason: String,
    forced_down: Option<bool>,
}

fn invalid(why: &str) -> Fault {
    Fault::bad_request(why)
}

/// `PUT /os-services/{id}` from 2.53. Before, the last part is a verb and the body names the host.
pub async fn update(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    if !at(&req, 53) {
        return switch(&c, &req, &body).await;
    }
    body.only(&["status", "disabled_reason", "forced_down"])?;
    let text = req.text_param("id").to_owned();
    let bad_id = || Fault::bad_request(format!("Invalid uuid {text}"));
    let id: HostId = text.parse().map_err(|_| bad_id())?;
    let reason = body.opt_str("disabled_reason", 255)?;
    let forced_down = body.opt_bool("forced_down")?;
    let enabled = match body.opt_str("status", 16)?.as_deref() {
        None => None,
        Some("enabled") => Some(true),
        Some("disabled") => Some(false),
        Some(other) => {
            return Err(invalid(&format!(
                "Invalid input for field/attribute status. Value: {other}. '{other}' is not one of ['enabled', 'disabled']"
            )));
        }
    };
    if enabled.is_none() && forced_down.is_none() {
        return Err(invalid(
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ));
    }
    if reason.is_some() && enabled != Some(false) {
        return Err(invalid("Specifying disabled_reason requires that status is 'disabled'."));
    }
    let change = Change { enabled, reason: reason.unwrap_or_default(), forced_down };
    let host = apply(&c, &req, move |h| h.id == id, text.clone(), change).await?;
    Ok(Reply::json(200, &json!({"service": service(&req, &host)})))
}

/// `PUT /os-services/{enable|disable|disable-log-reason|force-down}` until 2.52.
async fn switch(c: &Compute, req: &Req, body: &Obj) -> Result<Reply> {
    let what = req.text_param("id").to_owned();
    let mut change = Change::default();
    match what.as_str() {
        "enable" | "disable" => {
            body.only(&["host", "binary"])?;
            change.enabled = Some(what == "enable");
        }
        "disable-log-reason" => {
            body.only(&["host", "binary", "disabled_reason"])?;
            change.enabled = Some(false);
            change.reason = body.name("disabled_reason", 255)?;
        }
        "force-down" if at(req, 11) => {
            body.only(&["host", "binary", "forced_down"])?;
            let forced = body.opt_bool("forced_down")?;
            change.forced_down = Some(forced.ok_or_else(|| invalid("Missing forced_down field"))?);
        }
        _ => return Err(Fault::not_found("Unknown action")),
    }
    let (name, binary) = (body.name("host", 255)?, body.name("binary", 255)?);
    if binary != "nova-compute" {
        return Err(Fault::not_found(format!("Could not find binary {binary} on host {name}.")));
    }
    let mut v = json!({"binary": binary, "host": name});
    match (change.forced_down, change.enabled) {
        (Some(forced), _) => v["forced_down"] = json!(forced),
        (None, enabled) => v["status"] = json!(if enabled == Some(true) { "enabled" } else { "disabled" }),
    }
    if what == "disable-log-reason" {
        v["disabled_reason"] = json!(change.reason);
    }
    let wanted = name.clone();
    apply(c, req, move |h| h.name == wanted, name, change).await?;
    Ok(Reply::json(200, &json!({"service": v})))
}

fn missing(id: &str) -> Fault {
    Fault::not_found(format!("Service {id} could not be found."))
}

async fn apply(
    c: &Compute,
    req: &Req,
    which: impl Fn(&Host) -> bool + Send + 'static,
    named: String,
    change: Change,
) -> Result<Host> {
    let who = req.who();
    c.db.write(move |tx| {
        let found = host::all(tx)?.into_iter().find(|h| which(h)).ok_or_else(|| missing(&named))?;
        if let Some(enabled) = change.enabled {
            host::enable(tx, found.id, enabled, &change.reason)?;
            log::audit(
                tx,
                &who,
                if enabled { "host.enable" } else { "host.disable" },
                &found.id.to_string(),
            )?;
        }
        if let Some(down) = change.forced_down {
            tx.exec("UPDATE host SET forced_down = $2 WHERE id = $1", params![found.id, down])?;
            log::audit(
                tx,
                &who,
                if down { "host.force_down" } else { "host.force_up" },
                &found.id.to_string(),
            )?;
        }
        if change.enabled == Some(true) || change.forced_down == Some(false) {
            network::for_hosts::settle_homes(tx)?;
        }
        host::by_id(tx, found.id)?.ok_or_else(|| missing(&named))
    })
    .await
}

/// `DELETE /os-services/{id}`: forgets a host that has left for good. It must be empty and not report any
/// more, or it would be refused its token while it still thinks it belongs.
pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (text, by_uuid, who) = (req.text_param("id").to_owned(), at(&req, 53), req.who());
    if by_uuid && text.parse::<HostId>().is_err() {
        return Err(Fault::bad_request(format!("Invalid uuid {text}")));
    }
    c.db.write(move |tx| {
        let wanted =
            |h: &Host| if by_uuid { h.id.to_string() == text } else { number(h.id).to_string() == text };
        let h = host::all(tx)?.into_iter().find(wanted).ok_or_else(|| missing(&text))?;
        may_go(tx, &h)?;
        if !h.silent() {
            return Err(Fault::conflict(format!(
                "The host {} still reports. Stop its agent (or force it down), then delete it.",
                h.name
            )));
        }
        host::forget(tx, h.id)?;
        log::audit(tx, &who, "host.delete", &h.id.to_string())
    })
    .await?;
    Ok(Reply::empty(204))
}

/// # Errors
/// `Conflict` while something is on the host.
pub fn may_go(tx: &Tx<'_>, h: &Host) -> Result<()> {
    let count = |sql: &str| tx.one(sql, params![h.id], |r| r.get::<i64>(0));
    if count("SELECT COUNT(*) FROM server WHERE host_id = $1 AND deleted_at IS NULL")? > 0 {
        return Err(Fault::conflict(
            "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.",
        ));
    }
    if count("SELECT COUNT(*) FROM reservation WHERE host_id = $1")? > 0 {
        return Err(Fault::conflict(
            "Unable to delete a host with reservations on it. Delete its allocations first.",
        ));
    }
    if count("SELECT COUNT(*) FROM server_move WHERE to_host = $1 OR from_host = $1")? > 0 {
        return Err(Fault::conflict(
            "Unable to delete compute service that has in-progress migrations. Complete or cancel the migrations first.",
        ));
    }
    Ok(())
}
