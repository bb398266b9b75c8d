//! For those who look after the region: what is wrong, how it is configured, and all of it in one file for whoever
//! helps. For administrators; none of it holds a secret.

use super::work::view;
use crate::{Portal, doctor};
use ::api::{Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use store::work::{Filter, list};
use store::{log, process};

/// Rows of work and of events in a support bundle.
const ROWS: usize = 500;

/// `GET /hanok/v1/doctor`: {"checks": [{"id", "title", "state", "message", "advice", "said"}]}, the worst first. `said`
/// has the codes of the sentences ([`base::said`]).
pub async fn doctor(p: Arc<Portal>, _: Req) -> Result<Reply> {
    let found = doctor::look(&p.db, &p.about).await?;
    let mut answer = json!({"checks": doctor::checks(&found, Micros::now())});
    base::said::annotate(&mut answer);
    Ok(Reply::json(200, &answer))
}

/// `POST /hanok/v1/doctor/mends` `{"mend": {"kind", "of"}}`: does what a check offers. 200 with `done`: false when
/// nothing was to be done any more, so that a second press does no harm.
pub async fn mend(p: Arc<Portal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("mend")?;
    body.only(&["kind", "of"])?;
    let (word, of, who) = (body.str("kind", 64)?, body.str("of", 255)?, req.who());
    let kind = doctor::Kind::of(&word).ok_or_else(|| {
        Fault::bad_request(format!("The doctor knows no mend {word:?}; its checks name them."))
    })?;
    let done = p.db.write(move |tx| doctor::mend(tx, &who, kind, &of)).await?;
    Ok(Reply::json(200, &json!({"mend": {"kind": kind, "done": done}})))
}

/// `GET /hanok/v1/config`: what `hanok config` prints, as JSON.
pub async fn config(p: Arc<Portal>, _: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"config": p.about.config})))
}

/// `GET /hanok/v1/support-bundle`: a file to send to whoever helps.
pub async fn bundle(p: Arc<Portal>, req: Req) -> Result<Reply> {
    let found = doctor::look(&p.db, &p.about).await?;
    let now = Micros::now();
    let rows = p.db.read(|tx| {
        let work = list(tx, &Filter { limit: ROWS, ..Filter::default() })?;
        Ok((work, log::latest(tx, ROWS)?, process::versions(tx)?, compute::capacity(tx)?))
    });
    let (work, events, processes, capacity) = rows.await?;
    // Names are users' own matter; ids do for finding things again.
    let nameless = HashMap::new();
    let work: Vec<_> = work.iter().map(|w| view(w, &nameless)).collect();
    let bundle = json!({
        "made_at": now.seconds_z(), "request_id": req.request_id,
        "version": p.about.version, "region": p.about.region, "processes": processes,
        "config": p.about.config, "checks": doctor::checks(&found, now),
        "hosts": found.hosts, "capacity": capacity, "work": work, "events": events,
    });
    let name = format!("attachment; filename=\"hanok-support-{}.json\"", now.seconds_z().replace(':', ""));
    Ok(Reply::json(200, &bundle).header("content-disposition", &name))
}
