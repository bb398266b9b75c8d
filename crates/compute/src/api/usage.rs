//! `os-simple-tenant-usage`: how long servers of which size ran, per project.

use super::{at, next_links, only_query};
use crate::Compute;
use api::{Page, Reply, Req};
use base::{Fault, Micros, ProjectId, Result, ServerId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Sql, Tx, params};

/// What is asked when nothing is said: the last four weeks.
const WINDOW: Duration = Duration::from_secs(28 * 24 * 3600);

/// One server's part in a window.
struct Run {
    id: ServerId,
    project: String,
    name: String,
    flavor: String,
    vcpus: u64,
    ram: u64,
    disk: u64,
    state: String,
    from: Micros,
    until: Option<Micros>,
}

#[derive(Clone, Copy)]
struct Window {
    from: Micros,
    until: Micros,
}

fn window(req: &Req) -> Result<Window> {
    let time = |name: &str| -> Result<Option<Micros>> {
        let Some(text) = req.query.get(name) else { return Ok(None) };
        let text = text.replace(' ', "T");
        Micros::parse(&text)
            .map(Some)
            .ok_or_else(|| Fault::bad_request(format!("Datetime is in invalid format: {text}")))
    };
    let until = time("end")?.unwrap_or_else(Micros::now);
    let from = time("start")?.unwrap_or(Micros(until.0 - i64::try_from(WINDOW.as_micros()).unwrap_or(0)));
    if until < from {
        return Err(Fault::bad_request(
            "Invalid start time. The start time cannot occur after the end time.",
        ));
    }
    Ok(Window { from, until })
}

fn runs(tx: &Tx<'_>, w: Window, project: Option<&ProjectId>, page: &Page) -> Result<Vec<Run>> {
    let mut q = Sql::new(
        "SELECT id, project_id, name, flavor, vcpus, ram, disk, vm_state, COALESCE(launched_at, created_at), terminated_at
         FROM server WHERE launched_at IS NOT NULL",
    );
    q.and("launched_at <", w.until);
    q.push(" AND (terminated_at IS NULL OR terminated_at > ").bind(w.from).push(")");
    if let Some(p) = project {
        q.and("project_id =", p);
    }
    if let Some(marker) = &page.marker {
        if tx.opt("SELECT 1 FROM server WHERE id = $1", params![marker], |_| Ok(()))?.is_none() {
            return Err(Fault::bad_request(format!("marker [{marker}] not found")));
        }
        q.and("id >", marker);
    }
    q.push(" ORDER BY id").limit(page.fetch());
    q.rows(tx, |r| {
        let flavor: crate::model::KeptFlavor = serde_json::from_str(&r.get::<String>(3)?)?;
        Ok(Run {
            id: r.get(0)?,
            project: r.get(1)?,
            name: r.get(2)?,
            flavor: flavor.original_name,
            vcpus: r.get(4)?,
            ram: r.get(5)?,
            disk: r.get(6)?,
            state: r.get(7)?,
            from: r.get(8)?,
            until: r.get(9)?,
        })
    })
}

fn hours(run: &Run, w: Window) -> f64 {
    run.until.unwrap_or(w.until).min(w.until).since(run.from.max(w.from)).as_secs_f64() / 3600.0
}

fn server(run: &Run, w: Window) -> Value {
    let ended = run.until.is_some();
    json!({
        "instance_id": run.id, "name": run.name, "tenant_id": run.project, "flavor": run.flavor,
        "vcpus": run.vcpus, "memory_mb": run.ram, "local_gb": run.disk, "hours": hours(run, w),
        "started_at": run.from.micros_bare(), "ended_at": run.until.map(Micros::micros_bare),
        "state": if ended { "terminated" } else { run.state.as_str() },
        "uptime": run.until.unwrap_or(w.until).since(run.from).as_secs(),
    })
}

fn usage(project: &str, runs: &[&Run], w: Window, detailed: bool) -> Value {
    let sum = |f: fn(&Run) -> u64| runs.iter().map(|r| f(r) as f64 * hours(r, w)).sum::<f64>();
    let mut v = json!({
        "tenant_id": project, "start": w.from.micros_bare(), "stop": w.until.micros_bare(),
        "total_hours": runs.iter().map(|r| hours(r, w)).sum::<f64>(),
        "total_vcpus_usage": sum(|r| r.vcpus), "total_memory_mb_usage": sum(|r| r.ram),
        "total_local_gb_usage": sum(|r| r.disk),
    });
    if detailed {
        v["server_usages"] = runs.iter().map(|r| server(r, w)).collect();
    }
    v
}

/// Pages of servers from 2.40, everything before.
fn page(req: &Req) -> Result<Page> {
    only_query(req, &["start", "end", "detailed", "limit", "marker"])?;
    if at(req, 40) {
        Page::parse(&req.query, Some(1000), 1000)
    } else {
        Ok(Page { limit: None, marker: None })
    }
}

fn links(req: &Req, body: &mut Value, name: &str, runs: &[Run], more: bool) {
    if let Some(last) = runs.last().filter(|_| more) {
        body[name] = next_links(req, &last.id.to_string());
    }
}

/// `GET /os-simple-tenant-usage`: every project.
pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (w, page, detailed) = (window(&req)?, page(&req)?, req.query.get("detailed") == Some("1"));
    let asked = page.clone();
    let mut runs = c.db.read(move |tx| runs(tx, w, None, &asked)).await?;
    let more = page.cut(&mut runs);
    let mut projects: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &runs {
        projects.entry(&run.project).or_default().push(run);
    }
    let all: Vec<Value> = projects.iter().map(|(p, runs)| usage(p, runs, w, detailed)).collect();
    let mut body = json!({"tenant_usages": all});
    links(&req, &mut body, "tenant_usages_links", &runs, more);
    Ok(Reply::json(200, &body))
}

/// `GET /os-simple-tenant-usage/{project}`.
pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (w, page, id) = (window(&req)?, page(&req)?, req.text_param("project").to_owned());
    if !req.auth.sees(&id) {
        return Err(Fault::forbidden(
            "Policy doesn't allow os_compute_api:os-simple-tenant-usage:show to be performed.",
        ));
    }
    let (project, asked) = (ProjectId(id.clone()), page.clone());
    let mut runs = c.db.read(move |tx| runs(tx, w, Some(&project), &asked)).await?;
    let more = page.cut(&mut runs);
    let list: Vec<&Run> = runs.iter().collect();
    let mut body =
        json!({"tenant_usage": if list.is_empty() { json!({}) } else { usage(&id, &list, w, true) }});
    links(&req, &mut body, "tenant_usage_links", &runs, more);
    Ok(Reply::json(200, &body))
}
