//! `GET /hanok/v1/why/{id}`: everything that is known about why a resource is as it is, in one answer.
//!
//! Administrators read all of it. Others read of what is their project's, and of the audit trail what their own
//! project did.

use crate::Compute;
use crate::claims::{self, Claim};
use crate::model::{Server, Task};
use crate::status::status;
use crate::table::guest::{self, state_text};
use crate::table::host::{self, Host};
use crate::table::moving::{self, Move};
use crate::table::server;
use api::{Auth, Reply, Req};
use base::{Fault, HostId, Micros, Result, ServerId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::work::Explanation;
use store::{Sql, Tx, params, work};

/// Entries of the trail, newest first.
const TRAIL: i64 = 10;

pub async fn why(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (req.text_param("id").to_owned(), req.auth.clone());
    let mut answer = c.db.read(move |tx| explain(tx, &auth, &id)).await?;
    base::said::annotate(&mut answer);
    Ok(Reply::json(200, &answer))
}

fn missing(id: &str) -> Fault {
    Fault::not_found(format!("Nothing is known here of {id}. Give the id of a resource that you may see."))
}

fn explain(tx: &Tx<'_>, auth: &Auth, id: &str) -> Result<Value> {
    let mut v = match id.parse::<ServerId>() {
        Ok(server) => match server::any(tx, server)? {
            Some(s) if auth.sees(s.project_id.as_str()) => of_server(tx, auth, &s)?,
            Some(_) => return Err(missing(id)),
            None => other(tx, auth, id)?,
        },
        Err(_) => other(tx, auth, id)?,
    };
    v["id"] = json!(id);
    v["asked_for"] = trail(tx, auth, id)?;
    Ok(v)
}

fn of_server(tx: &Tx<'_>, auth: &Auth, s: &Server) -> Result<Value> {
    let mut v = json!({
        "kind": "server", "name": s.name, "status": status(s.vm_state, s.task_state),
        "vm_state": s.vm_state.as_str(), "task": s.task_state.map(Task::as_str),
        "fault": s.fault.as_ref().map(|f| &f.message), "created": s.created_at.seconds_z(),
        "ended_badly": ended_badly(tx, s.id)?,
        "delete_asked": s.delete_at.map(Micros::seconds_z), "deleted": s.deleted_at.map(Micros::seconds_z),
        "events": events(tx, &s.id.to_string(), "")?,
    });
    if let Some(work) = work::why(tx, &s.id.to_string())? {
        v["life_cycle"] = life_cycle(&work);
    }
    if let Some(m) = moving::of(tx, s.id)? {
        v["move"] = move_view(tx, auth, &m)?;
    }
    if let Some(h) = s.host_id {
        v["host"] = match host::by_id(tx, h)? {
            Some(h) => host_view(tx, auth, &h, s)?,
            None => json!("not known any more"),
        };
    }
    Ok(v)
}

/// What was asked of it and went wrong, newest first, by the request ids that `os-instance-actions` gives too.
fn ended_badly(tx: &Tx<'_>, id: ServerId) -> Result<Vec<Value>> {
    tx.rows(
        "SELECT request_id, message FROM server_action WHERE server_id = $1 AND message IS NOT NULL
         ORDER BY started_at DESC LIMIT $2",
        params![id, TRAIL],
        |r| Ok(json!({"request": r.get::<String>(0)?, "message": r.get::<String>(1)?})),
    )
}

/// Its way to another host; the hosts' names are for admins.
fn move_view(tx: &Tx<'_>, auth: &Auth, m: &Move) -> Result<Value> {
    let to = m.to.map(|h| host::by_id(tx, h)).transpose()?.flatten();
    let said = m.to.map(|h| guest::one(tx, h, m.server)).transpose()?.flatten();
    Ok(json!({
        "number": m.number, "live": m.live(), "since": m.begun_at.seconds_z(),
        "to": to.filter(|_| auth.is_admin()).map(|h| h.name),
        "source_told": m.departs, "given_up": (!m.why.is_empty()).then_some(&m.why),
        "destination_says": said.and_then(|g| g.status.moving).map(|s| json!({"stage": s.stage, "reason": s.reason})),
    }))
}

fn life_cycle(w: &Explanation) -> Value {
    let now = Micros::now();
    json!({
        "state": w.state, "since": w.since.seconds_z(), "for_s": now.since(w.since).as_secs(),
        "budget_s": w.budget.map(|b| b / 1_000_000), "over_budget": w.overrun, "reason": w.reason,
        "failed_tries": w.attempt, "last_error": w.last_error,
        "looks_again": w.wake_at.map(Micros::seconds_z),
    })
}

/// The host as it bears on one server; its name is for admins.
fn host_view(tx: &Tx<'_>, auth: &Auth, h: &Host, s: &Server) -> Result<Value> {
    let guest = guest::one(tx, h.id, s.id)?.map(|g| {
        json!({
            "state": state_text(g.status.state), "since": g.since.seconds_z(), "reason": g.status.reason,
            "boots": g.status.boots, "boots_wanted": s.boots, "ours": g.status.ownership == s.ownership,
        })
    });
    Ok(json!({
        "name": auth.is_admin().then_some(&h.name),
        "last_report": (h.seen_at.0 != 0).then(|| h.seen_at.seconds_z()), "silent": h.silent(),
        "document": h.generation, "applied": h.applied, "guest": guest,
    }))
}

/// What is no server: for admins a host, or whatever else is there, has a life-cycle or a trail.
fn other(tx: &Tx<'_>, auth: &Auth, id: &str) -> Result<Value> {
    if !auth.is_admin() {
        return claims::find(tx, auth, id)?.map_or_else(|| Err(missing(id)), |c| claimed(tx, auth, &c, id));
    }
    if let Ok(host) = id.parse::<HostId>()
        && let Some(h) = host::by_id(tx, host)?
    {
        return of_host(tx, &h);
    }
    let work = work::why(tx, id)?;
    let claim = claims::any(tx, id, work.as_ref().map(|w| w.kind.as_str()))?;
    let known =
        tx.opt("SELECT id FROM audit WHERE target = $1 LIMIT 1", params![id], |r| r.get::<String>(0))?;
    if claim.is_none() && work.is_none() && known.is_none() {
        return Err(missing(id));
    }
    let kind = claim.as_ref().map(|c| c.kind).or(work.as_ref().map(|w| w.kind.as_str()));
    let v = json!({"kind": kind, "life_cycle": work.as_ref().map(life_cycle), "events": events(tx, id, "")?});
    match claim {
        Some(c) => with_row(tx, auth, &c, id, v),
        None => Ok(v),
    }
}

/// What somebody who is no admin may know of. Another thing may have the same id, so nothing is told but what the
/// claim is about.
fn claimed(tx: &Tx<'_>, auth: &Auth, c: &Claim, id: &str) -> Result<Value> {
    let work = if c.own { work::why(tx, id)?.filter(|w| c.is_about(&w.kind)) } else { None };
    let events = match (c.own, &work) {
        (false, _) => json!([]),
        (true, Some(_)) => events(tx, id, "work.")?,
        (true, None) => events(tx, id, &format!("{}.", c.kind))?,
    };
    let v = json!({"kind": c.kind, "life_cycle": work.as_ref().map(life_cycle), "events": events});
    with_row(tx, auth, c, id, v)
}

/// Adds what it is called, its status as its API shows it, and why it is so.
fn with_row(tx: &Tx<'_>, auth: &Auth, c: &Claim, id: &str, mut v: Value) -> Result<Value> {
    if let Some(told) = c.told(tx, auth, id)? {
        v["name"] = json!(told.name);
        v["status"] = json!(told.status);
        v["reason"] = json!(told.reason);
    }
    Ok(v)
}

fn of_host(tx: &Tx<'_>, h: &Host) -> Result<Value> {
    let problems =
        tx.opt("SELECT problems FROM host_report WHERE host_id = $1", params![h.id], |r| r.get::<String>(0))?;
    let problems: Value = problems.map_or(Ok(Value::Null), |p| serde_json::from_str(&p))?;
    let mut facts = json!(h.facts);
    if let Value::Object(map) = &mut facts {
        map.remove("bytes_token");
    }
    Ok(json!({
        "kind": "host", "name": h.name, "zone": h.zone, "enabled": h.enabled, "draining": h.draining,
        "disabled_reason": h.disabled_reason,
        "last_report": (h.seen_at.0 != 0).then(|| h.seen_at.seconds_z()), "silent": h.silent(),
        "document": h.generation, "applied": h.applied, "guests": h.guests, "problems": problems, "facts": facts,
        "events": events(tx, &h.id.to_string(), "")?,
    }))
}

/// Who asked for what: others than admins see what their project did, and what they did themselves.
fn trail(tx: &Tx<'_>, auth: &Auth, id: &str) -> Result<Value> {
    let mut q = Sql::new("SELECT at, action, user_id, request_id FROM audit WHERE target = ");
    q.bind(id);
    if !auth.is_admin() {
        claims::own_rows(&mut q, auth);
    }
    let rows = q.push(" ORDER BY at DESC LIMIT ").bind(TRAIL).rows(tx, |r| {
        Ok(json!({
            "at": r.get::<Micros>(0)?.seconds_z(), "action": r.get::<String>(1)?,
            "user": r.get::<String>(2)?, "request": r.get::<String>(3)?,
        }))
    })?;
    Ok(Value::Array(rows))
}

/// What happened to it, of the kinds whose names begin so.
fn events(tx: &Tx<'_>, id: &str, kinds: &str) -> Result<Value> {
    let rows = tx.rows(
        "SELECT at, level, kind, message FROM event WHERE target = $1 AND kind LIKE $2 ORDER BY at DESC LIMIT $3",
        params![id, format!("{kinds}%"), TRAIL],
        |r| {
            Ok(json!({
                "at": r.get::<Micros>(0)?.seconds_z(), "level": r.get::<String>(1)?,
                "kind": r.get::<String>(2)?, "message": r.get::<String>(3)?,
            }))
        },
    )?;
    Ok(Value::Array(rows))
}
