//! `GET /hanok/v1/audit`: who did what, newest first; and `GET /hanok/v1/events`: what happened by itself.
//! For administrators and readers of the system. Its route table is that of all own calls that belong to Identity.

use super::{forbidden, one_time};
use crate::Identity;
use api::{Page, Query, Reach, Reply, Req, Rule, Service, Style};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Row, Sql};

/// Lines of a page when none are asked for, and at most.
const PAGE: usize = 100;
const MOST: usize = 1_000;

/// Our own calls that belong to Identity.
pub fn service() -> Service<Identity> {
    let mut s = Service::new("", Style::Hanok);
    s.get("/hanok/v1/audit", Rule::Overseer, audit);
    s.get("/hanok/v1/one-time-codes", Rule::Any, one_time::show);
    s.put("/hanok/v1/one-time-codes", Rule::Any, one_time::begin);
    s.post("/hanok/v1/one-time-codes/end", Rule::Any, one_time::end);
    s
}

const AUDIT: &str =
    "SELECT a.id, a.at, a.request_id, a.user_id, u.name, a.project_id, p.name, a.action, a.target
     FROM audit a LEFT JOIN account u ON u.id = a.user_id LEFT JOIN project p ON p.id = a.project_id
     WHERE 1 = 1";

async fn audit(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let mut q = Sql::new(AUDIT);
    for field in ["user_id", "project_id", "request_id", "target"] {
        if let Some(value) = req.query.get(field) {
            q.and(&format!("a.{field} ="), value);
        }
    }
    kind(&mut q, &req.query, "action", "a.action");
    answer(&identity, &req, "audit", "a", q, |r| {
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
        }))
    })
    .await
}

/// `GET /hanok/v1/events` as a list. The route is the portal's, which also has it as a stream.
///
/// # Errors
/// 403 for whoever is no reader of the whole system.
pub async fn events(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let mut q = Sql::new("SELECT e.id, e.at, e.level, e.kind, e.target, e.message FROM event e WHERE 1 = 1");
    for field in ["level", "target"] {
        if let Some(value) = req.query.get(field) {
            q.and(&format!("e.{field} ="), value);
        }
    }
    kind(&mut q, &req.query, "kind", "e.kind");
    answer(&identity, &req, "events", "e", q, |r| {
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
    })
    .await
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
    identity: &Identity,
    req: &Req,
    name: &str,
    alias: &str,
    mut q: Sql,
    row: impl FnMut(&Row<'_>) -> Result<Value> + Send + 'static,
) -> Result<Reply> {
    if req.auth.reach() != Reach::Everything {
        return Err(forbidden());
    }
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
    let mut rows = identity.db.read(move |tx| q.rows(tx, row)).await?;
    let more = page.cut(&mut rows);
    let last = rows.last().and_then(|r| r["id"].as_str()).filter(|_| more);
    let next = last.map(|id| api::page::next_href(&req.base, req.uri.path(), &req.query, id));
    Ok(Reply::json(200, &json!({name: rows, "links": {"next": next}})))
}
