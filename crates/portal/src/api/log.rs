//! `GET /hanok/v1/audit`: who did what, newest first; and `GET /hanok/v1/events`: what happened by itself.

use crate::Portal;
use ::api::{Page, Query, Reach, Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use store::{Row, Sql, Tx};

/// Lines of a page when none are asked for, and at most.
const PAGE: usize = 100;
const MOST: usize = 1_000;

/// What belongs to a project besides what is of Network; all its members may know what was done to it.
const OF_PROJECTS: [&str; 4] = ["server", "server_group", "image", "auto_allocated_topology"];

const AUDIT: &str =
    "SELECT a.id, a.at, a.request_id, a.user_id, u.name, a.project_id, p.name, a.action, a.target, a.target_name
     FROM audit a LEFT JOIN account u ON u.id = a.user_id LEFT JOIN project p ON p.id = a.project_id
     WHERE 1 = 1";

/// Of everything for administrators and readers of the system; for members of a project what was done with its
/// tokens to what belongs to it, and what they did themselves.
///
/// # Errors
/// 403 for whoever is neither.
pub async fn audit(p: Arc<Portal>, req: Req) -> Result<Reply> {
    let mut q = Sql::new(AUDIT);
    if req.auth.reach() != Reach::Everything {
        q.and("a.project_id =", req.auth.project()?.as_str());
        q.push(" AND (a.user_id = ").bind(req.auth.user.id.as_str());
        for kind in OF_PROJECTS.into_iter().chain(network::kinds()) {
            q.push(&format!(" OR a.action LIKE '{kind}.%'"));
        }
        q.push(")");
    }
    for field in ["user_id", "project_id", "request_id", "target"] {
        if let Some(value) = req.query.get(field) {
            q.and(&format!("a.{field} ="), value);
        }
    }
    kind(&mut q, &req.query, "action", "a.action");
    let row = |r: &Row<'_>| {
        Ok(json!({
            "id": r.get::<String>(0)?,
            "at": r.get::<Micros>(1)?.micros_z(),
            "request_id": r.get::<String>(2)?,
            "user_id": r.get::<String>(3)?,
            "user_name": r.get::<Option<String>>(4)?,
            "project_id": r.get::<String>(5)?,
            "project_name": r.get::<Option<String>>(6)?,
            "action": r.get::<String>(7)?,
            "target": r.get::<String>(8)?,
            "target_name": r.get::<Option<String>>(9)?,
        }))
    };
    answer(&p, &req, "audit", "a", q, row, name).await
}

/// Gives the targets the names that they have now, where none was kept.
fn name(tx: &Tx<'_>, rows: &mut [Value]) -> Result<()> {
    let mut ids = BTreeMap::<String, Vec<String>>::new();
    for row in rows.iter().filter(|r| r["target_name"].is_null()) {
        let (Some(action), Some(target)) = (row["action"].as_str(), row["target"].as_str()) else { continue };
        let kind = action.split('.').next().unwrap_or_default();
        ids.entry(kind.to_owned()).or_default().push(target.to_owned());
    }
    let mut names = HashMap::new();
    for (kind, ids) in ids {
        match kind.as_str() {
            "server" | "host" => {
                names.extend(compute::labels(tx, &ids)?.into_iter().map(|(id, (name, _))| (id, name)))
            }
            "image" => names.extend(image::names(tx, &ids)?),
            // Theirs is the name.
            "keypair" => names.extend(ids.into_iter().map(|id| (id.clone(), id))),
            kind => names.extend(network::names(tx, kind, &ids)?),
        }
    }
    for row in rows.iter_mut().filter(|r| r["target_name"].is_null()) {
        let found = row["target"].as_str().and_then(|target| names.get(target));
        row["target_name"] = json!(found.filter(|name| !name.is_empty()));
    }
    Ok(())
}

/// The list of events; the stream has the same route. `level` is the least that is told.
///
/// # Errors
/// 400 for another level, 403 for whoever is no reader of the whole system.
pub async fn events(p: Arc<Portal>, req: Req) -> Result<Reply> {
    if req.auth.reach() != Reach::Everything {
        return Err(Fault::forbidden(
            "The events of the region are for its administrators and for readers of the whole system.",
        ));
    }
    let mut q = Sql::new("SELECT e.id, e.at, e.level, e.kind, e.target, e.message FROM event e WHERE 1 = 1");
    if let Some(target) = req.query.get("target") {
        q.and("e.target =", target);
    }
    match req.query.get("level") {
        None | Some("info") => {}
        Some("warning") => {
            q.push(" AND e.level <> 'info'");
        }
        Some("error") => {
            q.push(" AND e.level = 'error'");
        }
        Some(other) => {
            return Err(Fault::bad_request(format!("level is info, warning or error, not {other:?}.")));
        }
    }
    kind(&mut q, &req.query, "kind", "e.kind");
    let row = |r: &Row<'_>| {
        let mut event = json!({
            "id": r.get::<String>(0)?,
            "at": r.get::<Micros>(1)?.micros_z(),
            "level": r.get::<String>(2)?,
            "kind": r.get::<String>(3)?,
            "target": r.get::<String>(4)?,
            "message": r.get::<String>(5)?,
        });
        base::said::annotate(&mut event);
        Ok(event)
    };
    answer(&p, &req, "events", "e", q, row, |_, _| Ok(())).await
}

/// `action=server.create`, or with a point at its end everything that begins so: `action=server.`.
fn kind(q: &mut Sql, query: &Query, field: &str, column: &str) {
    let Some(value) = query.get(field) else { return };
    if value.ends_with('.') {
        let length = value.chars().count();
        q.and(&format!("SUBSTR({column}, 1, {length}) ="), value);
    } else {
        q.and(&format!("{column} ="), value);
    }
}

fn time(query: &Query, field: &str) -> Result<Option<Micros>> {
    let Some(text) = query.get(field) else { return Ok(None) };
    let at = Micros::parse(text).ok_or_else(|| {
        Fault::bad_request(format!("{field} must be a time such as 2026-11-21T03:45:00Z, not {text:?}."))
    })?;
    Ok(Some(at))
}

/// A page of a log. Its ids are in the order of time, so a marker need not exist any more.
async fn answer(
    p: &Portal,
    req: &Req,
    name: &str,
    alias: &str,
    mut q: Sql,
    row: impl FnMut(&Row<'_>) -> Result<Value> + Send + 'static,
    finish: impl FnOnce(&Tx<'_>, &mut [Value]) -> Result<()> + Send + 'static,
) -> Result<Reply> {
    let page = Page::parse(&req.query, Some(PAGE), MOST)?;
    if page.limit == Some(0) {
        return Err(Fault::bad_request("limit must be at least 1."));
    }
    if let Some(since) = time(&req.query, "since")? {
        q.and(&format!("{alias}.at >="), since);
    }
    if let Some(until) = time(&req.query, "until")? {
        q.and(&format!("{alias}.at <"), until);
    }
    if let Some(marker) = &page.marker {
        q.and(&format!("{alias}.id <"), marker);
    }
    q.push(&format!(" ORDER BY {alias}.id DESC")).limit(page.fetch());
    let mut rows =
        p.db.read(move |tx| {
            let mut rows = q.rows(tx, row)?;
            finish(tx, &mut rows)?;
            Ok(rows)
        })
        .await?;
    let more = page.cut(&mut rows);
    let last = rows.last().and_then(|r| r["id"].as_str()).filter(|_| more);
    let next = last.map(|id| ::api::page::next_href(&req.base, req.uri.path(), &req.query, id));
    Ok(Reply::json(200, &json!({name: rows, "links": {"next": next}})))
}
