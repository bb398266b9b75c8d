//! Host aggregates: sets of hosts with metadata. One with `availability_zone` in it is a zone.
//!
//! A host is in at most one zone by its aggregates, and none changes its zone while servers are on it.

use super::at;
use crate::Compute;
use crate::table::aggregate::{self, Aggregate, ZONE};
use crate::table::host::{self, Host};
use api::{Obj, Reply, Req};
use base::{Fault, Kind, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log, params};

fn view(req: &Req, a: &Aggregate, whole: bool) -> Value {
    let mut v = json!({
        "id": a.id, "name": a.name, "availability_zone": a.zone(), "created_at": a.created_at.micros_bare(),
        "updated_at": a.updated_at.map(Micros::micros_bare), "deleted": false, "deleted_at": null,
    });
    if whole {
        v["hosts"] = a.hosts.iter().map(|(_, name)| json!(name)).collect();
        v["metadata"] = json!(a.metadata);
    }
    if at(req, 41) {
        v["uuid"] = json!(a.uuid);
    }
    v
}

fn missing(id: &str) -> Fault {
    Fault::not_found(format!("Aggregate {id} could not be found."))
}

fn found(tx: &Tx<'_>, id: &str) -> Result<Aggregate> {
    let number =
        id.parse().map_err(|_| Fault::bad_request("Invalid input received: id must be an integer"))?;
    aggregate::by_id(tx, number)?.ok_or_else(|| missing(id))
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let all = c.db.read(aggregate::all).await?;
    let all: Vec<Value> = all.iter().map(|a| view(&req, a, true)).collect();
    Ok(Reply::json(200, &json!({"aggregates": all})))
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let a = c.db.read(move |tx| found(tx, &id)).await?;
    Ok(Reply::json(200, &json!({"aggregate": view(&req, &a, true)})))
}

/// What makes a zone's name: text without a colon, which parts a zone from a host.
fn zone_name(o: &Obj) -> Result<Option<String>> {
    let zone = o.opt_str(ZONE, 255)?;
    if let Some(z) = &zone {
        check_zone(z)?;
    }
    Ok(zone)
}

fn check_zone(zone: &str) -> Result<()> {
    if zone.trim().is_empty() || zone.contains(':') {
        return Err(Fault::bad_request(format!(
            "Invalid input for field/attribute {ZONE}. Value: {zone}. A zone has 1 to 255 characters and no colon."
        )));
    }
    Ok(())
}

pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["aggregate"])?;
    let o = body.inner("aggregate")?;
    o.only(&["name", ZONE])?;
    let (name, zone, who) = (o.name("name", 255)?, zone_name(&o)?, req.who());
    let made = c.db.write(move |tx| {
        let id = aggregate::insert(tx, &name)?;
        if let Some(zone) = &zone {
            aggregate::set_metadata(tx, id, ZONE, Some(zone))?;
        }
        log::audit(tx, &who, "aggregate.create", &id.to_string())?;
        found(tx, &id.to_string())
    });
    Ok(Reply::json(200, &json!({"aggregate": view(&req, &made.await?, false)})))
}

pub async fn update(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["aggregate"])?;
    let o = body.inner("aggregate")?;
    o.only(&["name", ZONE])?;
    let name = o.has("name").then(|| o.name("name", 255)).transpose()?;
    let zone = o.has(ZONE).then(|| zone_name(&o)).transpose()?;
    if name.is_none() && zone.is_none() {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute aggregate. Value: {}. {} does not have enough properties",
        ));
    }
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    let a = c.db.write(move |tx| {
        let a = found(tx, &id)?;
        if let Some(name) = &name {
            aggregate::rename(tx, a.id, name)?;
        }
        if let Some(zone) = &zone {
            rezone(tx, &a, zone.as_deref())?;
        }
        changed(tx, &who, a.id, "aggregate.update")
    });
    Ok(Reply::json(200, &json!({"aggregate": view(&req, &a.await?, true)})))
}

fn changed(tx: &Tx<'_>, who: &log::Who, id: i64, what: &str) -> Result<Aggregate> {
    aggregate::changed(tx, id)?;
    log::audit(tx, who, what, &id.to_string())?;
    found(tx, &id.to_string())
}

/// Gives an aggregate another zone, or none.
fn rezone(tx: &Tx<'_>, a: &Aggregate, zone: Option<&str>) -> Result<()> {
    if a.zone() == zone {
        return Ok(());
    }
    for (id, _) in &a.hosts {
        if let Some(h) = host::by_id(tx, *id)? {
            // A wrong wish here, where it is a conflict to bring a host in or out.
            may_move(tx, a, &h, zone, "update aggregate").map_err(|f| Fault::bad_request(f.message))?;
        }
    }
    aggregate::set_metadata(tx, a.id, ZONE, zone)?;
    aggregate::settle_zones(tx)
}

/// Whether a host may come into the zone `to` (its own, when that is none) by a change to `a`.
fn may_move(tx: &Tx<'_>, a: &Aggregate, h: &Host, to: Option<&str>, what: &str) -> Result<()> {
    let refuse = |why: String| Err(Fault::conflict(format!("Cannot {what} {}. Reason: {why}.", a.id)));
    let others = aggregate::all(tx)?;
    let mut others = others.iter().filter(|o| o.id != a.id && o.holds(h.id)).filter_map(Aggregate::zone);
    let other = others.next().map(str::to_owned);
    if let (Some(to), Some(other)) = (to, &other)
        && to != other
    {
        return refuse(format!("One or more hosts already in availability zone(s) ['{other}']"));
    }
    let home = tx.one("SELECT home_zone FROM host WHERE id = $1", params![h.id], |r| r.get::<String>(0))?;
    let zone = to.map(str::to_owned).or(other).unwrap_or(home);
    if zone == h.zone {
        return Ok(());
    }
    let sql = "SELECT COUNT(*) FROM server WHERE host_id = $1 AND deleted_at IS NULL";
    if tx.one(sql, params![h.id], |r| r.get::<i64>(0))? > 0 {
        return refuse(format!(
            "One or more hosts contain instances in this zone: {} would go from {} to {zone}",
            h.name, h.zone
        ));
    }
    Ok(())
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    c.db.write(move |tx| {
        let a = found(tx, &id)?;
        if !a.hosts.is_empty() {
            return Err(Fault::bad_request(format!(
                "Cannot delete aggregate {id}. Reason: Host aggregate is not empty."
            )));
        }
        aggregate::delete(tx, a.id)?;
        log::audit(tx, &who, "aggregate.delete", &id)
    })
    .await?;
    Ok(Reply::empty(200))
}

/// `add_host`, `remove_host` and `set_metadata`.
pub async fn act(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["add_host", "remove_host", "set_metadata"])?;
    if body.map.len() != 1 {
        return Err(Fault::bad_request("There must be exactly one action for an aggregate."));
    }
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    let done = if let Some(o) = body.opt_inner("set_metadata")? {
        let pairs = pairs(&o)?;
        c.db.write(move |tx| set_metadata(tx, &who, &found(tx, &id)?, &pairs)).await?
    } else {
        let add = body.has("add_host");
        let o = body.inner(if add { "add_host" } else { "remove_host" })?;
        o.only(&["host"])?;
        let name = o.name("host", 255)?;
        c.db.write(move |tx| {
            let a = found(tx, &id)?;
            if add { add_host(tx, &who, &a, &name) } else { remove_host(tx, &who, &a, &name) }
        })
        .await?
    };
    Ok(Reply::json(200, &json!({"aggregate": view(&req, &done, true)})))
}

type Pairs = Vec<(String, Option<String>)>;

/// `{"metadata": {name: text or null}}`.
fn pairs(o: &Obj) -> Result<Pairs> {
    o.only(&["metadata"])?;
    let m = o.inner("metadata")?;
    let mut pairs = Pairs::new();
    for name in m.map.keys() {
        let sane = |c: char| c.is_ascii_alphanumeric() || "-_:. ".contains(c);
        if name.is_empty() || name.len() > 255 || !name.chars().all(sane) {
            return Err(Fault::bad_request(format!(
                "Invalid input for field/attribute metadata. Additional properties are not allowed ('{name}' was unexpected)"
            )));
        }
        pairs.push((name.clone(), m.opt_str(name, 255)?));
    }
    if let Some((_, Some(zone))) = pairs.iter().find(|(k, _)| k == ZONE) {
        check_zone(zone)?;
    }
    Ok(pairs)
}

fn set_metadata(tx: &Tx<'_>, who: &log::Who, a: &Aggregate, pairs: &Pairs) -> Result<Aggregate> {
    for (name, value) in pairs {
        if name == ZONE {
            rezone(tx, a, value.as_deref())?;
        } else {
            aggregate::set_metadata(tx, a.id, name, value.as_deref())?;
        }
    }
    changed(tx, who, a.id, "aggregate.set_metadata")
}

fn no_host(name: &str) -> Fault {
    Fault::not_found(format!("Compute host {name} could not be found."))
}

fn add_host(tx: &Tx<'_>, who: &log::Who, a: &Aggregate, name: &str) -> Result<Aggregate> {
    let h = host::by_name(tx, name)?.ok_or_else(|| no_host(name))?;
    if a.holds(h.id) {
        return Err(Fault::conflict(format!("Aggregate {} already has host {name}.", a.id)));
    }
    if a.zone().is_some() {
        may_move(tx, a, &h, a.zone(), "add host to aggregate")?;
    }
    aggregate::add_host(tx, a.id, h.id)?;
    aggregate::settle_zones(tx)?;
    changed(tx, who, a.id, "aggregate.add_host")
}

fn remove_host(tx: &Tx<'_>, who: &log::Who, a: &Aggregate, name: &str) -> Result<Aggregate> {
    let h = host::by_name(tx, name)?.ok_or_else(|| no_host(name))?;
    if !a.holds(h.id) {
        return Err(Fault::not_found(format!("Aggregate {} has no host {name}.", a.id)));
    }
    if a.zone().is_some() {
        may_move(tx, a, &h, None, "remove host from aggregate")?;
    }
    aggregate::remove_host(tx, a.id, h.id)?;
    aggregate::settle_zones(tx)?;
    changed(tx, who, a.id, "aggregate.remove_host")
}

/// `POST /os-aggregates/{id}/images`, from 2.81: would bring images to the hosts before a server needs them.
pub async fn cache_images(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["cache"])?;
    let list = body.opt_list("cache")?.filter(|l| !l.is_empty()).cloned();
    let list =
        list.ok_or_else(|| Fault::bad_request("Invalid input for field/attribute cache. [] is too short"))?;
    for v in list {
        let o = Obj::root(v)?;
        o.only(&["id"])?;
        o.id::<base::ImageId>("id")?;
    }
    let id = req.text_param("id").to_owned();
    c.db.read(move |tx| found(tx, &id).map(drop)).await?;
    Err(Fault::new(
        Kind::NotImplemented,
        "A host fetches an image when its first server needs it; images are not brought there before.",
    ))
}
