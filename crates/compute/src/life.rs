//! The life-cycle of a server.
//!
//! ```text
//!                        no host fits, or it cannot be made
//!              ┌────────────────────────────────────────────▶ Failed
//!              │                    ▲                           │
//!  Scheduling ─┴─ room claimed ─▶ Building ─ guest seen ─▶ Settled ⇄ Stopping, Starting, Rebooting
//!      │                            │                           │
//!      └──────── delete asked, from any state: wins over everything
//!                                   ▼
//!                    Deleting ─ the host says the guest is gone ─▶ (no row)
//! ```
//! The API writes intent (`want_power`, `boots`, `delete_at`; the host's document shows it) and wakes. A
//! step reads the server anew, compares intent with what its host reported, and writes facts in the same
//! transaction as the move. No step acts on the world: the document does, so steps may run twice.

use crate::hosts::SILENT_AFTER;
use crate::model::{Server, Task, VmState, power_state};
use crate::placing;
use crate::planner::{Ask, Plan, Room, plan};
use crate::table::guest::Seen as Guest;
use crate::table::host::Host;
use crate::table::{action, guest, host, server};
use base::doc::{GuestState, Power};
use base::{Fault, HostId, Micros, Result, ServerId};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::log::{Level, event};
use store::work::{Life, Step};
use store::{Db, Tx, params, quota};

/// Where a server is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// No host yet.
    Scheduling,
    /// A host has it in its document and makes it.
    Building,
    /// Running or stopped, as wanted.
    Settled,
    Stopping,
    Starting,
    Rebooting,
    /// Out of its host's document since `generation`.
    Deleting {
        generation: u64,
    },
    /// It never ran and never will; only deletion is left.
    Failed,
}

/// A failure that the agent reports for this long is final. It has tried about five times by then.
const FAILED_FOR: Duration = Duration::from_secs(20);
/// A guest that runs while its ports stay unplugged is taken as built after this.
const PORTS_FOR: Duration = Duration::from_secs(30);
/// After a region's start its hosts need a moment to report; a new server waits that long for them.
const HOSTS_FOR: Duration = Duration::from_secs(20);
/// Reports wake a server; this is how often its reason is looked at besides.
const LOOK: Duration = Duration::from_secs(5);

/// The life-cycle, for the work engine.
#[derive(Clone)]
pub struct ServerLife {
    db: Db,
}

impl ServerLife {
    pub(crate) fn new(db: Db) -> Self {
        ServerLife { db }
    }
}

/// Everything that a step looks at, in one view of the data.
struct Seen {
    server: Server,
    host: Option<Host>,
    guest: Option<Guest>,
    /// All hosts, while one is being chosen, and what is asked of them.
    hosts: Vec<Room>,
    ask: Option<Ask>,
    ports_down: bool,
}

impl Life for ServerLife {
    const KIND: &'static str = "server";
    type State = State;

    async fn step(&self, id: &str, state: &State) -> Result<Step<State>> {
        let (id, at) = (id.parse::<ServerId>().map_err(Fault::internal)?, state.clone());
        let Some(seen) = self.db.read(move |tx| look(tx, id, &at)).await? else { return Ok(Step::gone()) };
        Ok(match state {
            State::Deleting { generation } => deleting(&seen, *generation),
            _ if seen.server.delete_at.is_some() => depart(&seen),
            State::Scheduling => schedule(seen),
            State::Building => building(&seen),
            State::Failed => Step::rest(State::Failed),
            State::Settled | State::Stopping | State::Starting | State::Rebooting => follow(state, &seen),
        })
    }

    fn budget(state: &State) -> Option<Duration> {
        Some(Duration::from_secs(match state {
            State::Scheduling => 30,
            // An image may have to come over a slow link first.
            State::Building => 900,
            // The agent gives a guest a minute to power down by itself.
            State::Stopping | State::Rebooting | State::Deleting { .. } => 180,
            State::Starting => 120,
            State::Settled | State::Failed => return None,
        }))
    }
}

fn look(tx: &Tx<'_>, id: ServerId, state: &State) -> Result<Option<Seen>> {
    let Some(server) = server::any(tx, id)? else { return Ok(None) };
    let (mut host, mut guest, mut hosts, mut ask, mut ports_down) = (None, None, Vec::new(), None, false);
    if let Some(h) = server.host_id {
        host = host::by_id(tx, h)?;
        guest = guest::one(tx, h, id)?;
    }
    match state {
        State::Scheduling => {
            hosts = host::rooms(tx)?;
            ask = Some(placing::ask(tx, &server, &hosts)?);
        }
        State::Building if guest.is_some() => {
            ports_down = network::for_compute::interfaces(tx, id)?.iter().any(|i| !i.active);
        }
        _ => {}
    }
    Ok(Some(Seen { server, host, guest, hosts, ask, ports_down }))
}

impl Seen {
    /// The host's report of the guest, if it is about the guest that the host owns now.
    fn ours(&self) -> Option<&Guest> {
        self.guest.as_ref().filter(|g| g.status.ownership == self.server.ownership)
    }
    /// What we wait for, with the host's own words or its silence.
    fn why(&self, what: &str) -> String {
        let Some(host) = &self.host else { return format!("{what}; its host is not known any more") };
        if host.silent() {
            let since = if host.seen_at.0 == 0 { "it joined".into() } else { host.seen_at.seconds_z() };
            return format!("{what}; the host {} has been silent since {since}", host.name);
        }
        match self.ours().map(|g| &g.status).filter(|g| !g.reason.is_empty()) {
            Some(g) => format!("{what}; the host {} says: {}", host.name, g.reason),
            None => format!("{what} (host {})", host.name),
        }
    }
}

// ------------------------------------------------------------------------------------- scheduling

fn schedule(seen: Seen) -> Step<State> {
    let s = &seen.server;
    let Some(ask) = seen.ask else { return Step::wait(LOOK, "nothing was asked of the hosts") };
    let (id, created) = (s.id, s.created_at);
    match plan(&seen.hosts, &ask) {
        Plan::Nowhere(why) if Micros::now().since(created) < HOSTS_FOR && may_yet_fit(&seen.hosts, &ask) => {
            Step::wait(Duration::from_millis(500), format!("{why} Waiting a moment for the silent ones."))
        }
        Plan::Nowhere(why) => {
            tracing::info!(server = %id, why, "no host for a server");
            failed(id, why)
        }
        Plan::Try(order) => Step::go(State::Building).also(move |tx| {
            tracing::debug!(server = %id, waited_ms = Micros::now().since(created).as_millis() as u64, "placing");
            claim_first(tx, id, &order, &ask)
        }),
    }
}

/// Whether a silent host would fit, or might: one that never reported has not said what it has.
fn may_yet_fit(rooms: &[Room], ask: &Ask) -> bool {
    let silent = rooms.iter().filter(|r| r.silent && r.enabled);
    let awake: Vec<Room> = silent.map(|r| Room { silent: false, ..r.clone() }).collect();
    awake.iter().any(|r| r.vcpus == 0) || matches!(plan(&awake, ask), Plan::Try(_))
}

/// Claims the first host of the plan that still has the room and suits the server's group.
fn claim_first(tx: &Tx<'_>, id: ServerId, order: &[HostId], ask: &Ask) -> Result<()> {
    let Some(h) = placing::claim(tx, id, order, ask)? else {
        return Err(Fault::unavailable(
            "Every host of the plan was filled by others meanwhile; planning again.",
        ));
    };
    server::place(tx, id, h)?;
    network::for_compute::bind(tx, id, Some(h))?;
    store::host::touch(tx, h)
}

fn failed(id: ServerId, why: String) -> Step<State> {
    Step::rest(State::Failed).also(move |tx| {
        server::fail(tx, id, &why)?;
        action::finish(tx, id, Some(&why))?;
        event(tx, Level::Error, "server.failed", &id.to_string(), &why)
    })
}

// --------------------------------------------------------------------------------------- building

fn building(seen: &Seen) -> Step<State> {
    let Some(g) = seen.ours() else {
        return Step::wait(LOOK, seen.why("waiting for the host to take it over"));
    };
    let id = seen.server.id;
    match g.status.state {
        GuestState::Preparing => Step::wait(LOOK, seen.why("the host is making the guest")),
        GuestState::Failed if Micros::now().since(g.since) >= FAILED_FOR => {
            let host = seen.server.host_id;
            // Off the document, or the agent would go on trying.
            failed(id, g.status.reason.clone())
                .also(move |tx| host.map_or(Ok(()), |h| store::host::touch(tx, h)))
        }
        GuestState::Failed => Step::wait(Duration::from_secs(1), seen.why("the guest could not be made yet")),
        _ if seen.ports_down && Micros::now().since(g.since) < PORTS_FOR => {
            Step::wait(Duration::from_millis(250), seen.why("its ports are not plugged yet"))
        }
        GuestState::Running | GuestState::Paused | GuestState::Stopped => follow(&State::Building, seen),
    }
}

// ---------------------------------------------------------------------------------------- settled

/// Compares intent with the report. `at` is the present state.
fn follow(at: &State, seen: &Seen) -> Step<State> {
    let s = &seen.server;
    let guest = seen.ours().map(|g| (g.status.state, g.status.boots >= s.boots));
    match (s.want_power, guest) {
        (Power::Off, Some((GuestState::Stopped, _))) => {
            settle(seen, VmState::Stopped, power_state::SHUT_DOWN)
        }
        (Power::Off, _) => toward(at, State::Stopping, seen, "waiting for the guest to stop"),
        (Power::On, Some((GuestState::Running, true))) => settle(seen, VmState::Active, power_state::RUNNING),
        (Power::On, Some((GuestState::Paused, true))) => settle(seen, VmState::Active, power_state::PAUSED),
        (Power::On, Some((GuestState::Stopped, true))) => shut_itself(seen),
        (Power::On, Some((GuestState::Running | GuestState::Paused, false))) => {
            toward(at, State::Rebooting, seen, "waiting for the guest to reboot")
        }
        (Power::On, Some((GuestState::Failed, _))) => cannot_start(at, seen),
        (Power::On, _) if s.vm_state == VmState::Active && s.task_state.is_some_and(is_reboot) => {
            toward(at, State::Rebooting, seen, "waiting for the guest to reboot")
        }
        (Power::On, _) => toward(at, State::Starting, seen, "waiting for the guest to start"),
    }
}

fn is_reboot(task: Task) -> bool {
    matches!(task, Task::Rebooting | Task::RebootingHard)
}

fn toward(at: &State, to: State, seen: &Seen, what: &str) -> Step<State> {
    if *at == to { Step::wait(LOOK, seen.why(what)) } else { Step::go(to) }
}

fn settle(seen: &Seen, vm: VmState, power: i64) -> Step<State> {
    let s = &seen.server;
    let step = Step::rest(State::Settled);
    if (s.vm_state, s.power_state, s.task_state) == (vm, power, None) {
        return step;
    }
    let id = s.id;
    step.also(move |tx| {
        server::settle(tx, id, vm, power)?;
        action::finish(tx, id, None)
    })
}

/// The guest powered itself off: that is what is wanted from now on.
fn shut_itself(seen: &Seen) -> Step<State> {
    let (id, host) = (seen.server.id, seen.server.host_id);
    Step::rest(State::Settled).also(move |tx| {
        server::accept_shutdown(tx, id)?;
        server::settle(tx, id, VmState::Stopped, power_state::SHUT_DOWN)?;
        action::finish(tx, id, None)?;
        host.map_or(Ok(()), |h| store::host::touch(tx, h))
    })
}

/// A guest that ran once and does not start now. The agent goes on trying, so it may yet come back.
fn cannot_start(at: &State, seen: &Seen) -> Step<State> {
    let Some(g) = seen.ours().filter(|g| Micros::now().since(g.since) >= FAILED_FOR) else {
        return toward(at, State::Starting, seen, "the guest does not start");
    };
    if seen.server.vm_state == VmState::Error {
        return Step::rest(State::Settled);
    }
    let (id, why) = (seen.server.id, g.status.reason.clone());
    Step::rest(State::Settled).also(move |tx| {
        server::fail(tx, id, &why)?;
        action::finish(tx, id, Some(&why))?;
        event(tx, Level::Error, "server.lost", &id.to_string(), &why)
    })
}

// --------------------------------------------------------------------------------------- deleting

/// Delete was asked: on to waiting for the host, or at once gone where no host ever had it.
fn depart(seen: &Seen) -> Step<State> {
    let Some(host) = &seen.host else { return gone(seen) };
    // A document of the generation that was read may still hold the guest: the host may have been chosen
    // while delete was asked. Any later one is without it.
    let (id, generation) = (host.id, host.generation + 1);
    Step::go(State::Deleting { generation }).also(move |tx| store::host::touch(tx, id))
}

fn deleting(seen: &Seen, generation: u64) -> Step<State> {
    let Some(host) = &seen.host else { return gone(seen) };
    if host.applied >= generation && seen.guest.is_none() {
        return gone(seen);
    }
    if !host.enabled && host.silent() {
        let (id, name) = (seen.server.id, host.name.clone());
        return gone(seen).also(move |tx| {
            let text = format!(
                "Deleted while its host {name} was disabled and silent for {} s or more; the host \
                                removes the guest when it comes back.",
                SILENT_AFTER.as_secs()
            );
            event(tx, Level::Warning, "server.deleted_blindly", &id.to_string(), &text)
        });
    }
    Step::wait(LOOK, seen.why("waiting for the host to remove the guest"))
}

/// Gives everything back, in the transaction that ends the life-cycle.
fn gone(seen: &Seen) -> Step<State> {
    let s = seen.server.clone();
    Step::gone().also(move |tx| {
        if !server::bury(tx, s.id)? {
            return Ok(());
        }
        network::for_compute::release(tx, s.id)?;
        image::release(tx, s.id)?;
        if let Some(h) = s.host_id {
            host::unclaim(tx, h, s.vcpus.into(), s.ram, s.disk)?;
            guest::forget(tx, h, s.id)?;
        }
        quota::give(tx, &s.project_id, "instances", 1)?;
        quota::give(tx, &s.project_id, "cores", s.vcpus.into())?;
        quota::give(tx, &s.project_id, "ram", i64::try_from(s.ram).unwrap_or(i64::MAX))?;
        tx.exec("DELETE FROM console_ticket WHERE server_id = $1", params![s.id])?;
        action::finish(tx, s.id, None)
    })
}
