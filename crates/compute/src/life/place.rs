//! Finding a host for a new server, and having it made there; and on another one where that cannot be done.

use super::power::follow;
use super::{FAILED_FOR, LOOK, Seen, State, shelf};
use crate::model::{Hints, Task};
use crate::planner::{Ask, Plan, Room, plan};
use crate::pulse::is_lost;
use crate::table::{action, guest, host, server};
use crate::{cpu, placing};
use base::doc::{GuestState, Power};
use base::{Fault, HostId, Micros, Result, ServerId};
use std::time::Duration;
use store::Tx;
use store::log::{Level, event};
use store::work::Step;

/// A guest that runs while its ports stay unplugged is taken as built after this.
const PORTS_FOR: Duration = Duration::from_secs(30);
/// After a region's start its hosts need a moment to report; a new server waits that long for them.
const HOSTS_FOR: Duration = Duration::from_secs(20);
/// Hosts that a new server is tried on: what fails on three would fail on others, most likely.
const HOSTS_TRIED: usize = 3;
/// For how long a host that still cannot do anything with a guest is asked to let go of it.
const LET_GO_FOR: Duration = Duration::from_secs(180);

pub fn schedule(seen: Seen) -> Step<State> {
    let s = &seen.server;
    let Some(ask) = seen.ask else { return Step::wait(LOOK, "nothing was asked of the hosts") };
    let (id, created) = (s.id, s.created_at);
    match plan(&seen.hosts, &ask) {
        Plan::Nowhere(why) if Micros::now().since(created) < HOSTS_FOR && may_yet_fit(&seen.hosts, &ask) => {
            Step::wait(Duration::from_millis(500), format!("{why} Waiting a moment for the silent ones."))
        }
        Plan::Nowhere(why) => {
            if let Some(step) = shelf::no_room(id, seen.shelf.as_ref(), why.clone()) {
                return step;
            }
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
pub fn may_yet_fit(rooms: &[Room], ask: &Ask) -> bool {
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
    if let Some(s) = server::any(tx, id)? {
        cpu::choose(tx, &s, h)?;
    }
    network::for_compute::bind(tx, id, Some(h))?;
    store::host::touch(tx, h)
}

fn failed(id: ServerId, why: String) -> Step<State> {
    Step::rest(State::Failed).also(move |tx| fail(tx, id, &why))
}

fn fail(tx: &Tx<'_>, id: ServerId, why: &str) -> Result<()> {
    server::fail(tx, id, why)?;
    action::finish(tx, id, Some(why))?;
    event(tx, Level::Error, "server.failed", &id.to_string(), why)
}

pub fn building(seen: &Seen) -> Step<State> {
    let Some(g) = seen.ours() else {
        return Step::wait(LOOK, seen.why("waiting for the host to take it over"));
    };
    let id = seen.server.id;
    match g.status.state {
        GuestState::Preparing => Step::wait(LOOK, seen.why("the host is making the guest")),
        GuestState::Failed if Micros::now().since(g.since) >= FAILED_FOR => {
            if another_fits(seen) {
                return withdraw(id, seen.server.host_id, g.status.reason.clone());
            }
            let host = seen.server.host_id;
            // Off the document, or the agent would go on trying.
            failed(id, g.status.reason.clone())
                .also(move |tx| host.map_or(Ok(()), |h| store::host::touch(tx, h)))
        }
        GuestState::Failed => Step::wait(Duration::from_secs(1), seen.why("the guest could not be made yet")),
        _ if seen.ports_down && Micros::now().since(g.since) < PORTS_FOR => {
            Step::wait(Duration::from_millis(250), seen.why("its ports are not plugged yet"))
        }
        GuestState::Running | GuestState::Paused | GuestState::Stopped | GuestState::Suspended => {
            follow(&State::Building, seen)
        }
    }
}

/// Whether another host could make a server that its own cannot. Nothing of it is lost then: it has never run.
fn another_fits(seen: &Seen) -> bool {
    let s = &seen.server;
    let Some(ask) = seen.ask.as_ref().filter(|a| a.class.is_empty()) else { return false };
    if s.launched_at.is_some() || s.hints.tried.len() + 1 >= HOSTS_TRIED {
        return false;
    }
    let others: Vec<Room> = seen.hosts.iter().filter(|h| Some(h.id) != s.host_id).cloned().collect();
    matches!(plan(&others, ask), Plan::Try(_))
}

/// Has its host stop trying: it might start the guest after all while another one makes it.
fn withdraw(id: ServerId, from: Option<HostId>, why: String) -> Step<State> {
    Step::go(State::Withdrawing).also(move |tx| {
        tracing::warn!(server = %id, why, "its host cannot make a server; another one is tried");
        server::want_power(tx, id, Power::Off, Task::Scheduling)?;
        from.map_or(Ok(()), |h| store::host::touch(tx, h))
    })
}

/// A host that says the guest is off never starts it again: what the server has there is given back, and another host is
/// looked for. Where it never says so, the server fails as it would have without another host.
pub fn withdrawing(seen: &Seen) -> Step<State> {
    let s = seen.server.clone();
    let Some(from) = s.host_id else { return Step::go(State::Scheduling) };
    if !seen.ours().is_some_and(|g| g.status.state == GuestState::Stopped) {
        return match will_not_let_go(seen) {
            None => Step::wait(LOOK, seen.why("waiting for the host to let go of the guest")),
            Some(why) => Step::rest(State::Failed).also(move |tx| {
                server::want_power(tx, s.id, Power::On, Task::Scheduling)?;
                fail(tx, s.id, &why)?;
                store::host::touch(tx, from)
            }),
        };
    }
    Step::go(State::Scheduling).also(move |tx| {
        network::for_compute::hold(tx, s.id)?;
        network::for_compute::hold_hosts(tx, s.id, None, [from])?;
        host::unclaim(tx, from, s.vcpus.into(), s.ram, s.disk)?;
        guest::forget(tx, from, s.id)?;
        network::for_compute::bind(tx, s.id, None)?;
        let tried = s.hints.tried.iter().copied().chain([from]).collect();
        server::set_place(tx, s.id, &s.availability_zone, &Hints { tried, ..s.hints.clone() })?;
        server::want_power(tx, s.id, Power::On, Task::Scheduling)?;
        server::leave_host(tx, s.id)?;
        store::host::touch(tx, from)
    })
}

fn will_not_let_go(seen: &Seen) -> Option<String> {
    if seen.host.as_ref().is_none_or(is_lost) {
        return Some(seen.why("The server could not be made"));
    }
    let g = seen.ours().filter(|g| g.status.state == GuestState::Failed)?;
    let stuck = Micros::now().since(g.since) >= FAILED_FOR + LET_GO_FOR;
    stuck.then(|| g.status.reason.clone())
}
