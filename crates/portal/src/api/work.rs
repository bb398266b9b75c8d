//! `GET /hanok/v1/work`: what is under way, why it waits, since when, and how long it may.

use crate::Portal;
use ::api::{Page, Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use store::work::{self, Explanation, Filter};

/// Rows of a page when none are asked for, and at most.
const PAGE: usize = 500;
const MOST: usize = 1_000;

/// The project's own; an administrator sees everybody's. What rests is left out unless `all=true` is said; `kind`,
/// `state`, `overdue=true`, `limit` and `marker` choose.
pub async fn list(p: Arc<Portal>, req: Req) -> Result<Reply> {
    let page = Page::parse(&req.query, Some(PAGE), MOST)?;
    if page.limit == Some(0) {
        return Err(Fault::bad_request("limit must be at least 1."));
    }
    let text = |name: &str| req.query.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
    let own = match req.auth.is_admin() {
        true => None,
        false => Some((own_work(), req.auth.project()?.0.clone())),
    };
    let filter = Filter {
        kind: text("kind"),
        state: text("state"),
        resting: req.query.bool("all")?.unwrap_or(false),
        overdue: req.query.bool("overdue")?.unwrap_or(false),
        own,
        marker: page.marker.clone(),
        limit: page.fetch(),
    };
    let rows = p.db.read(move |tx| {
        let rows = work::list(tx, &filter)?;
        let ids: Vec<_> = rows.iter().map(|w| w.id.clone()).collect();
        let mut labels = compute::labels(tx, &ids)?;
        labels.extend(image::labels(tx, &ids)?);
        Ok((rows, labels))
    });
    let (mut rows, labels) = rows.await?;
    let more = page.cut(&mut rows);
    let next = rows.last().filter(|_| more);
    let next = next.map(|w| ::api::page::next_href(&req.base, req.uri.path(), &req.query, &w.id));
    let rows: Vec<_> = rows.iter().map(|w| view(w, &labels)).collect();
    let mut answer = json!({"work": rows, "links": {"next": next}});
    base::said::annotate(&mut answer);
    Ok(Reply::json(200, &answer))
}

fn own_work() -> Vec<&'static str> {
    std::iter::once(compute::OWN_WORK).chain(image::OWN_WORK).collect()
}

pub fn view(w: &Explanation, labels: &HashMap<String, (String, Option<String>)>) -> Value {
    let label = labels.get(&w.id);
    let now = Micros::now();
    json!({
        "id": w.id, "kind": w.kind, "name": label.map(|(name, _)| name),
        "project_id": label.and_then(|(_, project)| project.as_ref()),
        "state": state_name(&w.state), "reason": w.reason, "since": w.since.seconds_z(),
        "for_s": now.since(w.since).as_secs(), "budget_s": w.budget.map(|b| b / 1_000_000),
        "over_budget": w.overrun, "attempt": w.attempt, "last_error": w.last_error,
        "looks_again": w.wake_at.map(Micros::seconds_z),
    })
}

/// The name alone of a state that brings more with it.
fn state_name(state: &Value) -> String {
    match state {
        Value::String(name) => name.clone(),
        Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
        other => other.to_string(),
    }
}
