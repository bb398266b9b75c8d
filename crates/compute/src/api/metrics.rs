//! What servers and hosts have used in the last hours: `/hanok/v1/servers/{id}/metrics`,
//! `/hanok/v1/hosts/{id}/metrics`, and of all hosts together `/hanok/v1/metrics`.
//!
//! Hosts remember it ([`base::doc::usage`]); here it is asked for when somebody looks, and counters become rates.
//! Nothing of it is written down in the region, so that what nobody looks at costs nothing.

mod rates;

use super::{server_id, visible};
use crate::Compute;
use crate::table::host::{self, Host};
use api::{Reply, Req};
use base::doc::usage::History;
use base::{Fault, Kind, Micros, Result};
use futures_util::{StreamExt, stream};
use rates::{Rates, sum};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::Tx;

/// Hours that hosts remember.
const HOURS: u64 = 24;
/// More points than this are on no screen.
const POINTS: usize = 240;
/// Points of all hosts together, and hosts that are asked at the same time and at all.
const FLEET_POINTS: usize = 60;
const AT_ONCE: usize = 64;
const HOSTS: usize = 2_000;

/// `?hours=1…24` and from when that is.
fn span(req: &Req) -> Result<(u64, Micros)> {
    let hours = match req.query.get("hours") {
        None => 3,
        Some(text) => text.parse().ok().filter(|n| (1..=HOURS).contains(n)).ok_or_else(|| {
            Fault::bad_request(format!("hours is a number from 1 to {HOURS}: hosts remember a day."))
        })?,
    };
    Ok((hours, Micros::now().minus(Duration::from_secs(hours * 3600))))
}

async fn history(c: &Compute, host: &Host, path: &str, since: Micros, points: usize) -> Result<History> {
    if host.facts.bytes_url.is_empty() {
        return Ok(History::default());
    }
    let path = format!("{path}?since={}&points={points}", since.0 / 1_000_000);
    match c.wire.text(host, &path).await {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        // The guest is not there: it has used nothing.
        Err(fault) if fault.kind == Kind::Conflict => Ok(History::default()),
        Err(fault) => Err(Fault::unavailable(format!(
            "The host {} does not tell what was used at the moment. Try again in a moment.",
            host.name
        ))
        .because(fault)),
    }
}

fn view(hours: u64, cores: u64, memory_mib: u64, rates: Rates) -> Reply {
    let mut body = json!({"hours": hours, "cores": cores, "memory_mib": memory_mib});
    if let (Value::Object(body), Value::Object(rates)) = (&mut body, rates.view()) {
        body.extend(rates);
    }
    Reply::json(200, &json!({"metrics": body})).header("cache-control", "no-store")
}

/// `GET /servers/{id}/metrics`: from the host that it is on, which tells what it was there.
pub async fn server(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, (hours, since)) = (server_id(&req)?, req.auth.clone(), span(&req)?);
    let read = c.db.read(move |tx| {
        let s = visible(tx, &auth, id)?;
        let host = s.host_id.map(|h| host::by_id(tx, h)).transpose()?.flatten();
        Ok((s.vcpus, s.ram, host))
    });
    let (vcpus, ram, host) = read.await?;
    let history = match host {
        Some(host) => history(&c, &host, &format!("/v1/guests/{id}/history"), since, POINTS).await?,
        None => History::default(),
    };
    let cores = u64::from(vcpus);
    Ok(view(hours, cores, ram, Rates::of(&history, cores)))
}

fn named(tx: &Tx<'_>, text: &str) -> Result<Host> {
    let by_id = text.parse().map_or(Ok(None), |id| host::by_id(tx, id))?;
    let found = by_id.map_or_else(|| host::by_name(tx, text), |h| Ok(Some(h)))?;
    found.ok_or_else(|| Fault::not_found(format!("Host {text} could not be found.")))
}

/// `GET /hosts/{id}/metrics`, by id or name.
pub async fn host(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (name, (hours, since)) = (req.text_param("id").to_owned(), span(&req)?);
    let host = c.db.read(move |tx| named(tx, &name)).await?;
    let history = history(&c, &host, "/v1/history", since, POINTS).await?;
    let cores = u64::from(host.facts.vcpus);
    Ok(view(hours, cores, host.facts.memory_mib, Rates::of(&history, cores)))
}

/// `GET /metrics`: all hosts that report, added up. `answered` of `hosts` told what they used; the rest is missing
/// from the sums, and from `cores` and `memory_mib`.
pub async fn fleet(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (hours, since) = span(&req)?;
    let mut hosts = c.db.read(host::all).await?;
    hosts.retain(|h| h.class.is_empty());
    let total = hosts.len();
    let asked = hosts.into_iter().filter(|h| !h.silent()).take(HOSTS);
    let c = &c;
    // Async closures here end rustc 1.95 when it builds incrementally ("unstable fingerprints").
    let answers = stream::iter(asked).map(|h| async move {
        // Twice as many as are shown, so that every stretch of time has one of each host.
        let told = history(c, &h, "/v1/history", since, 2 * FLEET_POINTS).await.ok()?;
        let cores = u64::from(h.facts.vcpus);
        (!told.samples.is_empty()).then(|| (cores, h.facts.memory_mib, Rates::of(&told, cores)))
    });
    let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    let (cores, memory) = answers.iter().fold((0, 0), |(c, m), a| (c + a.0, m + a.1));
    let (answered, step) = (answers.len(), hours * 3600 / FLEET_POINTS as u64);
    let added = sum(answers.into_iter().map(|(cores, _, rates)| (cores, rates)), step);
    let mut body = json!({
        "hours": hours, "cores": cores, "memory_mib": memory, "hosts": total, "answered": answered,
    });
    if let (Value::Object(body), Value::Object(rates)) = (&mut body, added.view()) {
        body.extend(rates);
    }
    Ok(Reply::json(200, &json!({"metrics": body})).header("cache-control", "no-store"))
}
