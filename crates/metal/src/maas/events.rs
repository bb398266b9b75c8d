//! `events/?op=query`: what happened to machines, newest first.
//!
//! An event's number is its time in microseconds, so that pages can be asked for by it.

use super::fields::invalid;
use super::machines::visible;
use super::{Call, Door};
use crate::api::parts::GIVEN;
use crate::table::list::{self, Filter};
use api::Reply;
use base::{Micros, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use store::{Sql, Tx};

const MOST: i64 = 1_000;

/// MAAS's levels, and ours that count at least as much.
fn levels(wanted: &str) -> Result<&'static [&'static str]> {
    Ok(match wanted {
        "AUDIT" | "DEBUG" | "INFO" => &["info", "warning", "error"],
        "WARNING" => &["warning", "error"],
        "ERROR" | "CRITICAL" => &["error"],
        _ => return Err(invalid("level", "Use DEBUG, INFO, WARNING, ERROR, CRITICAL or AUDIT.")),
    })
}

/// `Sat, 21 Nov. 2026 10:11:12`
fn created(at: Micros) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.seconds_z();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let days = at.0.div_euclid(86_400_000_000).rem_euclid(7);
    let day = usize::try_from(days).ok().and_then(|d| DAYS.get(d)).copied().unwrap_or_default();
    let month = part(5, 7).parse::<usize>().ok().and_then(|m| MONTHS.get(m.checked_sub(1)?)).copied();
    format!("{day}, {} {}. {} {}", part(8, 10), month.unwrap_or_default(), part(0, 4), part(11, 19))
}

/// GET events/?op=query (`level`, `limit`, `id`, `hostname`, `mac_address`, `before`, `after`).
pub async fn query(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = &call.fields;
    let level = f.text("level")?.unwrap_or_else(|| "INFO".to_owned());
    let levels = levels(&level.to_uppercase())?;
    let limit = f.int("limit")?.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(invalid("limit", format!("Ask for 1 to {MOST} events at a time.")));
    }
    let (before, after) = (f.int("before")?, f.int("after")?);
    let filter = Filter {
        system_ids: f.all("id")?,
        names: f.all("hostname")?,
        macs: f.all("mac_address")?,
        ..Filter::default()
    };
    // Of all machines, removed ones among them, which are left out afterwards.
    let everything = call.is_admin() && !["id", "hostname", "mac_address"].iter().any(|name| f.has(name));
    let of = move |tx: &Tx<'_>| {
        let mut machines = list::all(tx, &filter, 20_000)?;
        machines.retain(|m| visible(&call.auth, m) && (call.is_admin() || m.owned()));
        let named: HashMap<String, _> = machines.into_iter().map(|m| (m.id.to_string(), m)).collect();
        let mut q = Sql::new("SELECT e.at, e.level, e.kind, e.target, e.message FROM event e");
        let ids = || named.keys().map(String::as_str);
        if !call.is_admin() {
            // An owner's history begins with being the owner; what was before is of others.
            q.push(&format!(
                " LEFT JOIN (SELECT target, MAX(id) AS since FROM event WHERE {GIVEN} AND target IN ("
            ));
            q.list(ids()).push(") GROUP BY target) mine ON mine.target = e.target");
        }
        q.push(" WHERE e.kind LIKE 'machine.%'");
        if !call.is_admin() {
            // Where the begin is no longer kept, nothing before it is.
            q.push(" AND (mine.since IS NULL OR e.id >= mine.since)");
        }
        q.and_in("e.level", levels.iter().copied());
        if !everything {
            q.and_in("e.target", ids());
        }
        if let Some(at) = before {
            q.and("e.at <", at);
        }
        if let Some(at) = after {
            q.and("e.at >", at);
        }
        q.push(" ORDER BY e.at DESC, e.id DESC").limit(10_000);
        let rows = q.rows(tx, |r| {
            let (at, level, kind): (Micros, String, String) = (r.get(0)?, r.get(1)?, r.get(2)?);
            Ok((at, level, kind, r.get::<String>(3)?, r.get::<String>(4)?))
        })?;
        let shown = rows.into_iter().filter_map(|(at, level, kind, target, message)| {
            let m = named.get(&target)?;
            Some(json!({
                "id": at.0, "level": level.to_uppercase(), "type": kind, "description": message, "username": "",
                "node": m.system_id, "hostname": m.name, "created": created(at),
            }))
        });
        Ok(shown.take(usize::try_from(limit).unwrap_or(100)).collect::<Vec<Value>>())
    };
    let events = door.db.read(of).await?;
    let ends = [events.first(), events.last()].map(|e| e.and_then(|e| e["id"].as_i64()).unwrap_or(0));
    let uri = |which: &str, at: i64| {
        format!("/MAAS/api/2.0/events/?op=query&level={level}&limit={limit}&{which}={at}")
    };
    Ok(Reply::json(
        200,
        &json!({
            "count": events.len(), "events": events,
            "prev_uri": uri("after", ends[0]), "next_uri": uri("before", ends[1]),
        }),
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_written_as_clients_read_them() {
        assert_eq!(super::created(base::Micros(1_700_000_000_000_000)), "Tue, 14 Nov. 2023 22:13:20");
        assert_eq!(super::created(base::Micros(0)), "Thu, 01 Jan. 1970 00:00:00");
    }
}
