//! The watch over all hosts: one row of work for a region, however many processes it has.
//!
//! Each look notes who went silent and who came back, has servers that ask for it made anew elsewhere when
//! their host is down and fenced, and sends servers away from hosts that are being emptied. Hosts that were silent
//! while we were away (no process, no database, cut off, a clock that jumped) get their time anew. What it decides
//! is [`crate::fleet`]'s; what it asks for is done by each server's own life-cycle ([`super::moving`]).

use super::moving;
use crate::fleet::{self, Decision, Emptying, RESTART_AT_ONCE, Watched};
use crate::hosts::seen_lag;
use crate::pulse;
use crate::table::moving::Kind;
use crate::table::{action, fleet as table, server};
use base::{Fault, HostId, Micros, Result, ServerId, UserId};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::log::{Level, Who, event};
use store::work::{self, Life, Step};
use store::{Db, Tx, params};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// The row's id.
pub const ID: &str = "fleet";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Watching,
    /// Most hosts went silent at once: nothing is restarted.
    CutOff,
}

/// The watch, for the work engine.
#[derive(Clone)]
pub struct FleetLife {
    db: Db,
}

impl FleetLife {
    pub fn new(db: Db) -> Self {
        FleetLife { db }
    }
    /// Begins to watch, or goes on.
    pub async fn begin(&self) -> Result<()> {
        let begin = || self.db.write(|tx| work::start_or_wake::<FleetLife>(tx, ID, &State::Watching));
        match begin().await {
            // Another process did so at the same moment.
            Err(_) => begin().await,
            done => done,
        }
    }
}

impl Life for FleetLife {
    const KIND: &'static str = "fleet";
    type State = State;

    async fn step(&self, _: &str, state: &State) -> Result<Step<State>> {
        let was_cut_off = *state == State::CutOff;
        let (hosts, d, restarts, leaving) = self
            .db
            .read(move |tx| {
                let (hosts, now) = (table::watched(tx)?, Micros::now());
                // Whichever process ended a cut, for all of them hosts are heard since then.
                let connected = work::why(tx, ID)?.map_or(now, |row| row.since);
                let listening = pulse::listening().min(now.since(connected));
                let d = fleet::decide(&hosts, was_cut_off, listening, now, seen_lag());
                let restarts = restarts(tx, &d)?;
                let mut leaving = Vec::new();
                for h in hosts.iter().filter(|h| h.draining) {
                    leaving.extend(emptying(tx, h.id)?.go);
                }
                Ok((hosts, d, restarts, leaving))
            })
            .await?;
        let next = if d.cut_off { State::CutOff } else { State::Watching };
        let news = !d.went.is_empty() || !d.came.is_empty() || next != *state;
        let step = if next == *state {
            Step::wait(LOOK, format!("{} of {} hosts are down", down(&hosts), hosts.len()))
        } else {
            Step::go(next)
        };
        if !news && restarts.is_empty() && leaving.is_empty() {
            return Ok(step);
        }
        Ok(step.also(move |tx| {
            // Hosts are written last, as everywhere.
            restarts.iter().try_for_each(|id| send(tx, *id, Kind::Evacuate))?;
            leaving.iter().try_for_each(|(id, kind)| send(tx, *id, *kind))?;
            note(tx, &hosts, &d, was_cut_off)
        }))
    }

    fn budget(_: &State) -> Option<Duration> {
        None
    }
}

fn down(hosts: &[Watched]) -> usize {
    hosts.iter().filter(|h| h.silent).count()
}

/// Keeps who went and who came, and says so.
fn note(tx: &Tx<'_>, hosts: &[Watched], d: &Decision, was_cut_off: bool) -> Result<()> {
    for h in hosts.iter().filter(|h| d.went.contains(&h.id)) {
        tx.exec("UPDATE host SET down_since = $2 WHERE id = $1", params![h.id, Micros::now()])?;
        let text = match h.forced_down {
            true => format!("The host {} was said to be down.", h.name),
            false => {
                format!("The host {} is down: it has been silent since {}.", h.name, h.seen_at.seconds_z())
            }
        };
        event(tx, Level::Error, "host.down", &h.id.to_string(), &text)?;
    }
    for h in hosts.iter().filter(|h| d.came.contains(&h.id)) {
        tx.exec("UPDATE host SET down_since = 0 WHERE id = $1", params![h.id])?;
        event(tx, Level::Info, "host.up", &h.id.to_string(), &format!("The host {} is back.", h.name))?;
    }
    if d.cut_off && !was_cut_off {
        let text = "More than half of all hosts went silent at once: this region is taken as cut off from them. \
                    No server is restarted elsewhere until they are heard again.";
        event(tx, Level::Error, "region.cut_off", ID, text)?;
    }
    if was_cut_off && !d.cut_off {
        event(tx, Level::Info, "region.connected", ID, "Most hosts are heard again.")?;
    }
    Ok(())
}

/// Servers to be made anew now, in order of priority.
fn restarts(tx: &Tx<'_>, d: &Decision) -> Result<Vec<ServerId>> {
    if d.fenced.is_empty() {
        return Ok(Vec::new());
    }
    let free = RESTART_AT_ONCE.saturating_sub(table::evacuations(tx)?);
    let mut all = table::to_restart(tx, &d.fenced)?;
    all.truncate(free);
    Ok(all)
}

/// What is to be done with the servers of a host that is being emptied.
pub fn emptying(tx: &Tx<'_>, host: HostId) -> Result<Emptying> {
    Ok(fleet::empty(table::tenants(tx, host)?, fleet::DRAIN_AT_ONCE))
}

/// Asks for a move on behalf of the server's own user. What changed meanwhile is looked at again.
fn send(tx: &Tx<'_>, id: ServerId, kind: Kind) -> Result<()> {
    // The work first, as a server's own step has it.
    work::wake(tx, &id.to_string())?;
    let Some(s) = server::any(tx, id)?.filter(|s| s.delete_at.is_none() && s.deleted_at.is_none()) else {
        return Ok(());
    };
    let busy = s.task_state.is_some() && kind != Kind::Evacuate;
    if busy || s.intent.resize.is_some() || crate::table::moving::of(tx, id)?.is_some() {
        return Ok(());
    }
    let who = Who {
        request_id: format!("req-{}", uuid::Uuid::new_v4()),
        user_id: s.user_id.to_string(),
        project_id: s.project_id.to_string(),
    };
    let (what, why) = match kind {
        Kind::Evacuate => ("evacuate", "Its host is down, and it is to be restarted elsewhere."),
        Kind::Live => ("live-migration", "Its host is being emptied."),
        _ => ("migrate", "Its host is being emptied."),
    };
    match moving::ask(tx, &s, kind, None, &UserId::from(s.user_id.as_str())) {
        Err(fault) if fault.kind == base::Kind::Conflict => return Ok(()),
        other => other?,
    };
    action::begin(tx, id, &who, what)?;
    event(tx, Level::Warning, "server.sent_away", &id.to_string(), why)
}

/// Begins to empty a host, or stops that.
///
/// # Errors
/// 404 for an unknown host.
pub fn drain(tx: &Tx<'_>, host: HostId, on: bool) -> Result<()> {
    work::wake(tx, ID)?;
    let (since, reason) = if on { (Micros::now(), "draining") } else { (Micros(0), "") };
    // Asked again, it goes on since when it was.
    let draining = if on { "CASE WHEN draining > 0 THEN draining ELSE $2 END" } else { "$2" };
    let n = tx.exec(
        &format!("UPDATE host SET draining = {draining}, enabled = $3, disabled_reason = $4 WHERE id = $1"),
        params![host, since, !on, reason],
    )?;
    if n == 0 {
        return Err(Fault::not_found(format!("Host {host} could not be found.")));
    }
    Ok(())
}
