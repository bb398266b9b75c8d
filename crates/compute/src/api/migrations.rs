//! Resizes and migrations: `os-migrations` for administrators, and those of one server that are under way.

use super::{at, next_links, no_server, server_id, visible};
use crate::Compute;
use crate::table::migration::{self, Filter, Migration};
use api::{Page, Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;

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

/// `GET /servers/{id}/migrations`, from 2.23: live migrations under way, of which there are none yet.
pub async fn of_server(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    c.db.read(move |tx| visible(tx, &auth, id).map(drop)).await?;
    Ok(Reply::json(200, &json!({"migrations": []})))
}

/// One of them: to show, to force (`POST …/action`), to give up (`DELETE`, from 2.24).
pub async fn one(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let number = req.text_param("migration").to_owned();
    let server = c.db.read(move |tx| visible(tx, &auth, id)).await.map_err(|_| no_server(id))?;
    Err(Fault::not_found(format!(
        "In-progress live migration {number} is not found for server {}.",
        server.id
    )))
}
