//! `/hanok/v1/hosts/{id}/drain`: empties a host for maintenance, and shows how far that is.

use crate::Compute;
use crate::life::fleet;
use crate::table::host::{self, Host};
use api::{Reply, Req};
use base::{Fault, Result, ServerId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log};

/// The host in the path, by id or by name.
fn named(tx: &Tx<'_>, text: &str) -> Result<Host> {
    let by_id = text.parse().map_or(Ok(None), |id| host::by_id(tx, id))?;
    let found = by_id.map_or_else(|| host::by_name(tx, text), |h| Ok(Some(h)))?;
    found.ok_or_else(|| Fault::not_found(format!("Host {text} could not be found.")))
}

fn view(tx: &Tx<'_>, h: &Host) -> Result<Value> {
    let plan = fleet::emptying(tx, h.id)?;
    let ids = |list: &[ServerId]| json!(list);
    let mut waiting = plan.waiting;
    waiting.extend(plan.go.iter().map(|(id, _)| *id));
    let stuck: Vec<Value> = plan.stuck.iter().map(|(id, why)| json!({"server": id, "reason": why})).collect();
    let left = plan.moving.len() + waiting.len() + stuck.len();
    let mut v = json!({"drain": {
        "host": {"id": h.id, "name": h.name}, "draining": h.draining, "enabled": h.enabled, "left": left,
        "moving": ids(&plan.moving), "waiting": ids(&waiting), "stuck": stuck,
    }});
    base::said::annotate(&mut v);
    Ok(v)
}

/// `GET`: what is left on the host, and what becomes of it.
pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let name = req.text_param("id").to_owned();
    let v = c.db.read(move |tx| named(tx, &name).and_then(|h| view(tx, &h))).await?;
    Ok(Reply::json(200, &v))
}

/// `POST`: no new servers, and those that it has go elsewhere, a few at a time.
pub async fn begin(c: Arc<Compute>, req: Req) -> Result<Reply> {
    switch(&c, &req, true).await
}

/// `DELETE`: servers stay where they are now, and new ones may come.
pub async fn cancel(c: Arc<Compute>, req: Req) -> Result<Reply> {
    switch(&c, &req, false).await
}

async fn switch(c: &Compute, req: &Req, on: bool) -> Result<Reply> {
    let (name, who) = (req.text_param("id").to_owned(), req.who());
    let v = c.db.write(move |tx| {
        let h = named(tx, &name)?;
        fleet::drain(tx, h.id, on)?;
        if !on {
            network::for_hosts::settle_homes(tx)?;
        }
        log::audit(tx, &who, if on { "host.drain" } else { "host.drain_cancel" }, &h.id.to_string())?;
        view(tx, &named(tx, &name)?)
    });
    Ok(Reply::json(if on { 202 } else { 200 }, &v.await?))
}
