//! `os-server-external-events`: what other services tell of a server. Here they live in the same process and
//! write to the same tables, so an event only makes the server's life-cycle look again.

use super::at;
use crate::Compute;
use crate::table::server;
use api::{Obj, Reply, Req};
use base::{Fault, Result, ServerId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::work;

/// Events with the microversion 2.x that brought them.
const NAMES: &[(&str, u16)] = &[
    ("network-changed", 1),
    ("network-vif-plugged", 1),
    ("network-vif-unplugged", 1),
    ("network-vif-deleted", 1),
    ("volume-extended", 51),
    ("power-update", 76),
    ("accelerator-request-bound", 82),
    ("volume-reimaged", 93),
];
const STATUSES: &[&str] = &["failed", "completed", "in-progress"];

struct Event {
    server: ServerId,
    shown: Value,
}

fn invalid(field: &str, value: &str) -> Fault {
    Fault::bad_request(format!("Invalid input for field/attribute {field}. Value: {value}."))
}

fn event(req: &Req, v: &Value) -> Result<Event> {
    let Value::Object(map) = v else { return Err(invalid("events", "each must be an object")) };
    let o = Obj { name: "events".into(), map: map.clone() };
    o.only(&["name", "server_uuid", "status", "tag"])?;
    let name = o.str("name", 64)?;
    if !NAMES.iter().any(|(n, from)| *n == name && at(req, *from)) {
        return Err(invalid("name", &name));
    }
    let server = o.id("server_uuid")?;
    let status = o.opt_str("status", 32)?.unwrap_or_else(|| "completed".into());
    if !STATUSES.contains(&status.as_str()) {
        return Err(invalid("status", &status));
    }
    let mut shown = json!({"name": name, "server_uuid": server, "status": status});
    if let Some(tag) = o.opt_str("tag", 255)? {
        shown["tag"] = json!(tag);
    }
    Ok(Event { server, shown })
}

/// 200 when all were taken, 207 when not; each event's `code` says what came of it.
pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    if !req.auth.is_admin() && !req.auth.roles.iter().any(|(_, name)| name == "service") {
        return Err(Fault::forbidden(
            "Policy doesn't allow os_compute_api:os-server-external-events:create to be performed.",
        ));
    }
    let body = req.json().await?;
    body.only(&["events"])?;
    let list = body.opt_list("events")?.filter(|l| !l.is_empty()).cloned();
    let list = list.ok_or_else(|| {
        Fault::bad_request("Invalid input for field/attribute events. Value: []. [] should be non-empty")
    })?;
    let events = list.iter().map(|v| event(&req, v)).collect::<Result<Vec<_>>>()?;
    let (all, some) =
        c.db.write(move |tx| {
            let (mut shown, mut failed) = (Vec::new(), 0);
            for mut e in events {
                let found = server::any(tx, e.server)?.filter(|s| s.deleted_at.is_none());
                let code = match &found {
                    None => 404,
                    Some(s) if s.host_id.is_none() => 422,
                    Some(_) => 200,
                };
                if code == 200 {
                    work::wake(tx, &e.server.to_string())?;
                } else {
                    failed += 1;
                    e.shown["status"] = json!("failed");
                }
                e.shown["code"] = json!(code);
                shown.push(e.shown);
            }
            Ok((shown, failed > 0))
        })
        .await?;
    Ok(Reply::json(if some { 207 } else { 200 }, &json!({"events": all})))
}
