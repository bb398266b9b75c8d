//! Resizes and migrations: `os-migrations` for administrators, and those of one server that are under way.

use super::action::{accepted, intend};
use super::{at, next_links, server_id, visible};
use crate::Compute;
use crate::table::guest;
use crate::table::migration::{self, Filter, Migration};
use crate::table::moving::{self, Move};
use api::{Page, Reply, Req};
use base::doc::MoveStatus;
use base::{Fault, Micros, Result, ServerId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Tx;

/// Filters that are plain equality: the API's name, our column, and the microversion 2.x that brought it.
const EQUAL: &[(&str, &str, u16)] = &[
    ("status", "status", 1),
    ("instance_uuid", "server_id", 1),
    ("migration_type", "kind", 1),
    ("source_compute", "from_host", 1),
    ("user_id", "user_id", 80),
    ("project_id", "project_id", 80),
];

fn view(req: &Req, m: &Migration) -> Value {
    // The API knows flavors by a number of the database here, which only numeric ids have.
    let number = |id: &str| id.parse::<i64>().ok();
    let mut v = json!({
        "id": m.id, "status": m.status, "instance_uuid": m.server_id,
        "source_node": m.from_host, "source_compute": m.from_host,
        "dest_node": m.to_host, "dest_compute": m.to_host, "dest_host": null,
        "old_instance_type_id": number(&m.from_flavor), "new_instance_type_id": number(&m.to_flavor),
        "created_at": m.created_at.micros_bare(), "updated_at": m.updated_at.micros_bare(),
    });
    if at(req, 23) {
        v["migration_type"] = json!(m.kind);
    }
    if at(req, 59) {
        v["uuid"] = json!(m.uuid);
    }
    if at(req, 80) {
        v["user_id"] = json!(m.user_id);
        v["project_id"] = json!(m.project_id);
    }
    v
}

fn time(req: &Req, name: &str) -> Result<Option<Micros>> {
    let Some(text) = req.query.get(name) else { return Ok(None) };
    let time = Micros::parse(&text.replace(' ', "+"));
    time.map(Some).ok_or_else(|| {
        Fault::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'"
        ))
    })
}

/// From 2.59 a filter that there is not is refused.
fn known_filters_only(req: &Req) -> Result<()> {
    const OTHERS: &[&str] = &["host", "hidden", "limit", "marker", "changes-since", "changes-before"];
    let known = |name: &str| {
        OTHERS.contains(&name) || EQUAL.iter().any(|(n, _, minor)| *n == name && at(req, *minor))
    };
    match req.query.0.iter().map(|(name, _)| name.as_str()).find(|n| !known(n)) {
        None => Ok(()),
        Some(n) => {
            Err(Fault::bad_request(format!("Additional properties are not allowed ('{n}' was unexpected)")))
        }
    }
}

/// `GET /os-migrations`.
pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let paged = at(&req, 59);
    let page = if paged {
        Page::parse(&req.query, Some(1000), 1000)?
    } else {
        Page { limit: Some(1000), marker: None }
    };
    if paged {
        known_filters_only(&req)?;
    }
    let mut f = Filter { host: req.query.get("host").map(str::to_owned), ..Filter::default() };
    for (name, column, _) in EQUAL.iter().filter(|(_, _, minor)| at(&req, *minor)) {
        if let Some(text) = req.query.get(name) {
            f.equal.push((column, text.to_owned()));
        }
    }
    f.changed_since = if paged { time(&req, "changes-since")? } else { None };
    f.changed_before = if at(&req, 66) { time(&req, "changes-before")? } else { None };
    let (marker, fetch) = (page.marker.clone(), page.fetch());
    let found = c.db.read(move |tx| migration::list(tx, &f, marker.as_deref(), fetch)).await?;
    let mut found = found.ok_or_else(|| {
        Fault::bad_request(format!("Marker {} could not be found.", page.marker.clone().unwrap_or_default()))
    })?;
    let more = page.cut(&mut found);
    let all: Vec<Value> = found.iter().map(|m| view(&req, m)).collect();
    let mut body = json!({"migrations": all});
    if let Some(last) = found.last().filter(|_| more && paged) {
        body["migrations_links"] = next_links(&req, &last.uuid);
    }
    Ok(Reply::json(200, &body))
}

/// A live migration under way as its server's list shows it: what has gone over of disks and memory together.
fn live_view(req: &Req, m: &Migration, said: Option<&MoveStatus>) -> Value {
    let (sent, total) = said.map_or((0, 0), |s| (s.sent_bytes, s.total_bytes.max(s.sent_bytes)));
    let mut v = json!({
        "id": m.id, "status": m.status, "server_uuid": m.server_id,
        "source_node": m.from_host, "source_compute": m.from_host,
        "dest_node": m.to_host, "dest_compute": m.to_host, "dest_host": null,
        "memory_total_bytes": total, "memory_processed_bytes": sent, "memory_remaining_bytes": total - sent,
        "disk_total_bytes": 0, "disk_processed_bytes": 0, "disk_remaining_bytes": 0,
        "created_at": m.created_at.micros_bare(), "updated_at": m.updated_at.micros_bare(),
    });
    if at(req, 59) {
        v["uuid"] = json!(m.uuid);
    }
    if at(req, 80) {
        v["user_id"] = json!(m.user_id);
        v["project_id"] = json!(m.project_id);
    }
    v
}

/// The live migration of a server that is under way, and what its source says of it.
type Under = (Move, Migration, Option<MoveStatus>);

fn under_way(tx: &Tx<'_>, id: ServerId) -> Result<Option<Under>> {
    let Some(m) = moving::of(tx, id)?.filter(Move::live) else { return Ok(None) };
    let Some(record) = migration::by_id(tx, m.migration)? else { return Ok(None) };
    let said = guest::one(tx, m.from, id)?.and_then(|g| g.status.moving).filter(|s| s.number == m.number);
    Ok(Some((m, record, said)))
}

/// `GET /servers/{id}/migrations`, from 2.23: the live migration under way, if there is one.
pub async fn of_server(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let found = c.db.read(move |tx| visible(tx, &auth, id).and_then(|_| under_way(tx, id))).await?;
    let all: Vec<Value> = found.iter().map(|(_, m, said)| live_view(&req, m, said.as_ref())).collect();
    Ok(Reply::json(200, &json!({"migrations": all})))
}

/// The one with the number in the path.
///
/// # Errors
/// 404 when it is not under way.
fn numbered(tx: &Tx<'_>, id: ServerId, number: &str) -> Result<Under> {
    let found = under_way(tx, id)?.filter(|(_, m, _)| m.id.to_string() == number);
    found.ok_or_else(|| Fault::not_found(format!("Migration {number} not found for instance {id}")))
}

/// `GET /servers/{id}/migrations/{migration}`.
pub async fn one(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let number = req.text_param("migration").to_owned();
    let found = c.db.read(move |tx| {
        visible(tx, &auth, id)?;
        numbered(tx, id, &number).map_err(|_| {
            Fault::not_found(format!("In-progress live migration {number} is not found for server {id}."))
        })
    });
    let (_, m, said) = found.await?;
    Ok(Reply::json(200, &json!({"migration": live_view(&req, &m, said.as_ref())})))
}

/// Refuses what a migration is not at.
fn must_be_at(m: &Migration, states: &[&str], what: &str) -> Result<()> {
    if states.contains(&m.status.as_str()) {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "Migration {} state of instance {} is {}. Cannot {what} while the migration is in this state.",
        m.id, m.server_id, m.status
    )))
}

/// `POST /servers/{id}/migrations/{migration}/action {"force_complete": null}`, from 2.22: the guest stands
/// still until its memory has gone over.
pub async fn force_complete(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["force_complete"])?;
    if body.map.get("force_complete") != Some(&Value::Null) {
        return Err(Fault::bad_request("Invalid input for field/attribute force_complete. It takes null."));
    }
    let (id, number) = (server_id(&req)?, req.text_param("migration").to_owned());
    intend(&c, &req, id, "live_migration_force_complete", move |tx, _| {
        let (_, m, _) = numbered(tx, id, &number)?;
        must_be_at(&m, &["running"], "force_complete")?;
        moving::force(tx, id)
    })
    .await
    .map(accepted)
}

/// `DELETE /servers/{id}/migrations/{migration}`, from 2.24; before it runs from 2.65.
pub async fn abort(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, number) = (server_id(&req)?, req.text_param("migration").to_owned());
    let early: &[&str] =
        if at(&req, 65) { &["running", "queued", "preparing", "accepted"] } else { &["running"] };
    intend(&c, &req, id, "live_migration_cancel", move |tx, _| {
        let (_, m, _) = numbered(tx, id, &number)?;
        must_be_at(&m, early, "abort")?;
        moving::cancel(tx, id)
    })
    .await
    .map(accepted)
}
