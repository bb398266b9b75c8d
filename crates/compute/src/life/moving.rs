//! A server's way to another host.
//!
//! ```text
//!  asked ─▶ Choosing ─ room claimed ─▶ Travelling: the destination makes room ─▶ it listens, the source is told
//!             │ none: as before            │                                       ─▶ both say that all is over
//!             ▼                            │ a side fails, or it takes too long          there: it is handed over
//!          Settled ◀── TurningBack ◀───────┘                                              ─▶ Moving, Settled
//! ```
//! The row in `server_move` is the wish and remembers the way; both hosts' documents show it
//! ([`base::doc::Arrival`]). Until it is handed over, in one transaction, the guest is the source's. Turning
//! back takes it out of the destination's document first, and tells the source only when the destination has
//! let go: never do two run. A guest made anew elsewhere because its host is down ([`Kind::Evacuate`]) has no
//! way: the ownership generation keeps the old host from running it.

use super::place::may_yet_fit;
use super::{LOOK, Seen, State, capture, resize};
use crate::model::{Server, Task};
use crate::planner::{Ask, Plan, Room, plan};
use crate::table::guest::Seen as Guest;
use crate::table::migration::Migration;
use crate::table::moving::{Kind, Move};
use crate::table::{action, guest, host, intent, migration, moving, server};
use crate::{cpu, placing, pulse};
use base::doc::{MoveStage, MoveStatus, Power};
use base::{Fault, HostId, Micros, Result, UserId};
use std::time::Duration;
use store::Tx;
use store::log::{Level, event};
use store::work::Step;

/// For so long a host that is silent just now may speak up.
const HOSTS_FOR: Duration = Duration::from_secs(20);
/// The destination may have to fetch the image that the disk lies on.
const ROOM_FOR: Duration = Duration::from_secs(900);
/// Sending may take this, and [`PER_GIB`] more for each GiB of disk and memory.
const SEND_FOR: Duration = Duration::from_secs(900);
const PER_GIB: Duration = Duration::from_secs(60);
/// A destination that has been silent for so long does not come back with a live guest: its lease is over.
const DEAD_AFTER: Duration = Duration::from_secs(120);

/// The next step of a server that is on its way, or should be.
pub fn step(at: &State, seen: &Seen) -> Option<Step<State>> {
    let Some(m) = &seen.moving else {
        let done = matches!(at, State::Travelling | State::TurningBack);
        return done.then(|| Step::go(State::Settled));
    };
    Some(match (at, m.to) {
        _ if m.withdrawn > 0 && *at != State::TurningBack => Step::go(State::TurningBack),
        (State::TurningBack, Some(to)) => turning_back(seen, m, to),
        (State::Choosing, None) => choose(seen, m),
        (_, None) => Step::go(State::Choosing),
        (State::Travelling, Some(to)) => travel(seen, m, to),
        (_, Some(_)) => Step::go(State::Travelling),
    })
}

// ---------------------------------------------------------------------------------------- choosing

fn choose(seen: &Seen, m: &Move) -> Step<State> {
    let Some(ask) = seen.ask.clone() else { return Step::wait(LOOK, "nothing was asked of the hosts") };
    if m.cancelled {
        return nowhere(seen, m, "It was cancelled.".into());
    }
    if m.kind == Kind::Evacuate && seen.host.as_ref().is_some_and(|h| !h.silent()) {
        return nowhere(seen, m, "The host has come back before the server was made anew elsewhere.".into());
    }
    let others: Vec<Room> = seen.hosts.iter().filter(|h| h.id != m.from).cloned().collect();
    match plan(&others, &ask) {
        Plan::Try(order) => {
            let (s, m) = (seen.server.clone(), m.clone());
            if m.kind == Kind::Evacuate {
                return Step::go(State::Rebuilding).also(move |tx| make_anew(tx, &s, &m, &order, &ask));
            }
            Step::go(State::Travelling).also(move |tx| set_out(tx, &s, m, &order, &ask))
        }
        Plan::Nowhere(why) if Micros::now().since(m.begun_at) < HOSTS_FOR && may_yet_fit(&others, &ask) => {
            Step::wait(Duration::from_secs(1), format!("{why} Waiting a moment for the silent ones."))
        }
        Plan::Nowhere(why) => nowhere(seen, m, why),
    }
}

/// As it was before, with the reason in the action.
fn nowhere(seen: &Seen, m: &Move, why: String) -> Step<State> {
    let (s, m) = (seen.server.clone(), m.clone());
    Step::go(State::Settled).also(move |tx| end_badly(tx, &s, &m, &why))
}

/// Claims the first host of the plan that still has the room, and has it make ready.
pub fn set_out(tx: &Tx<'_>, s: &Server, mut m: Move, order: &[HostId], ask: &Ask) -> Result<()> {
    let Some(to) = placing::claim(tx, s.id, order, ask)? else {
        return Err(Fault::unavailable(
            "Every host of the plan was filled by others meanwhile; planning again.",
        ));
    };
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    m.claim = (small(ask.vcpus), ask.memory_mib, ask.disk_gib);
    set_out_to(tx, s, m, to)
}

/// The same where the room is claimed.
pub fn set_out_to(tx: &Tx<'_>, s: &Server, m: Move, to: HostId) -> Result<()> {
    let now = Micros::now();
    let status = if m.live() { "preparing" } else { "migrating" };
    if m.kind != Kind::Back {
        let name = host::by_id(tx, to)?.map(|h| h.name);
        migration::set(tx, m.migration, status, name.as_deref())?;
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    moving::put(tx, &Move { to: Some(to), token, since: now, begun_at: now, ..m })?;
    network::for_compute::expect(tx, s.id, Some(to))?;
    store::host::touch(tx, to)
}

/// Its host is down, and it is another's from now on: a fresh disk of its image, the same ports.
fn make_anew(tx: &Tx<'_>, s: &Server, m: &Move, order: &[HostId], ask: &Ask) -> Result<()> {
    let Some(to) = placing::claim(tx, s.id, order, ask)? else {
        return Err(Fault::unavailable(
            "Every host of the plan was filled by others meanwhile; planning again.",
        ));
    };
    network::for_compute::hold_hosts(tx, s.id, Some(to), [m.from])?;
    leave(tx, s, m.from)?;
    capture::abandon(tx, s)?;
    moving::clear(tx, s.id)?;
    guest::forget(tx, m.from, s.id)?;
    server::hand_over(tx, s.id, to)?;
    network::for_compute::bind(tx, s.id, Some(to))?;
    intent::awake(tx, s.id)?;
    intent::rescue(tx, s.id, None)?;
    run_again(tx, s)?;
    cpu::choose(tx, s, to)?;
    let name = host::by_id(tx, to)?.map(|h| h.name).unwrap_or_default();
    migration::set(tx, m.migration, "done", Some(&name))?;
    let text =
        format!("Made anew on the host {name}, because its host was down. What its disk held is lost.");
    event(tx, Level::Warning, "server.evacuated", &s.id.to_string(), &text)?;
    store::host::touch(tx, m.from)?;
    store::host::touch(tx, to)
}

// -------------------------------------------------------------------------------------- travelling

/// What a host says of this move.
fn said<'a>(g: Option<&'a Guest>, m: &Move) -> Option<&'a MoveStatus> {
    g?.status.moving.as_ref().filter(|s| s.number == m.number)
}

fn patience(m: &Move) -> Duration {
    if !m.departs {
        return ROOM_FOR;
    }
    let gib = m.claim.2 + if m.live() { m.claim.1.div_ceil(1024) } else { 0 };
    SEND_FOR + PER_GIB * u32::try_from(gib).unwrap_or(u32::MAX)
}

fn travel(seen: &Seen, m: &Move, to: HostId) -> Step<State> {
    let here = said(seen.guest.as_ref(), m);
    let there = said(seen.there.as_ref(), m);
    let (sent, arrived) = (stage(here) == Some(MoveStage::Sent), stage(there) == Some(MoveStage::Arrived));
    let source_silent = seen.host.as_ref().is_none_or(|h| h.silent());
    if m.departs && arrived && (sent || source_silent) {
        return hand_over(seen, m, to);
    }
    if let Some(why) = broken(seen, m, here, there) {
        return give_up(seen, m, why);
    }
    let (id, from, migration) = (seen.server.id, m.from, m.migration);
    match stage(there) {
        Some(MoveStage::Listening | MoveStage::Arrived) if !m.departs => {
            let status = if m.live() { "running" } else { "migrating" };
            Step::go(State::Travelling).also(move |tx| {
                moving::departs(tx, id)?;
                migration::set(tx, migration, status, None)?;
                store::host::touch(tx, from)
            })
        }
        _ => Step::wait(LOOK, waits_for(seen, m, here, there)),
    }
}

fn stage(said: Option<&MoveStatus>) -> Option<MoveStage> {
    said.map(|s| s.stage)
}

/// Why a move cannot go on.
fn broken(seen: &Seen, m: &Move, here: Option<&MoveStatus>, there: Option<&MoveStatus>) -> Option<String> {
    let failed = |side: &str, s: Option<&MoveStatus>| {
        let s = s.filter(|s| s.stage == MoveStage::Failed)?;
        Some(format!("The {side} could not go on: {}", s.reason))
    };
    let silent = |side: &str, h: Option<&host::Host>| match h {
        Some(h) if pulse::is_lost(h) => Some(format!("The {side} {} has gone silent.", h.name)),
        Some(_) => None,
        None => Some(format!("The {side} is not known any more.")),
    };
    let late = || {
        let (since, most) = (Micros::now().since(m.since), patience(m));
        (since > most).then(|| format!("It took longer than {} minutes.", most.as_secs() / 60))
    };
    m.cancelled
        .then(|| "It was cancelled.".to_owned())
        .or_else(|| failed("source", here))
        .or_else(|| failed("destination", there))
        .or_else(|| silent("source", seen.host.as_ref()))
        .or_else(|| silent("destination", seen.to.as_ref()))
        .or_else(late)
}

fn waits_for(seen: &Seen, m: &Move, here: Option<&MoveStatus>, there: Option<&MoveStatus>) -> String {
    let name = |h: Option<&host::Host>| h.map_or_else(String::new, |h| h.name.clone());
    let (from, to) = (name(seen.host.as_ref()), name(seen.to.as_ref()));
    let words = |s: Option<&MoveStatus>| match s {
        Some(s) if !s.reason.is_empty() => format!(": {}", s.reason),
        _ => String::new(),
    };
    if !m.departs {
        return format!("waiting for the destination {to} to make room{}", words(there));
    }
    let mib = |b: u64| b >> 20;
    match here {
        Some(s) if s.stage == MoveStage::Sent => {
            format!("everything is sent; waiting for the destination {to}{}", words(there))
        }
        Some(s) if s.total_bytes > 0 => {
            format!(
                "{from} sends it to {to}: {} of {} MiB{}",
                mib(s.sent_bytes),
                mib(s.total_bytes),
                words(here)
            )
        }
        _ => format!("{from} sends it to {to}{}", words(here)),
    }
}

// ------------------------------------------------------------------------------------- handing over

/// It is the destination's from now on.
fn hand_over(seen: &Seen, m: &Move, to: HostId) -> Step<State> {
    let (s, m) = (seen.server.clone(), m.clone());
    let next = if m.kind == Kind::Resize { State::Moving } else { State::Settled };
    Step::go(next).also(move |tx| {
        network::for_compute::hold(tx, s.id)?;
        if m.kind == Kind::Back {
            store::quota::hold(tx, &s.project_id, &["cores", "ram"])?;
        }
        network::for_compute::hold_hosts(tx, s.id, Some(to), [m.from])?;
        moving::clear(tx, s.id)?;
        server::hand_over(tx, s.id, to)?;
        network::for_compute::bind(tx, s.id, Some(to))?;
        match m.kind {
            Kind::Resize => resize::moved(tx, &s, m.from, to)?,
            Kind::Back => {
                resize::brought_back(tx, &s)?;
                cpu::choose(tx, &s, to)?;
            }
            Kind::Live => {
                leave(tx, &s, m.from)?;
                migration::set(tx, m.migration, "completed", None)?;
                server::task(tx, s.id, None)?;
                action::finish(tx, s.id, None)?;
            }
            Kind::Plain | Kind::Evacuate => {
                leave(tx, &s, m.from)?;
                migration::set(tx, m.migration, "completed", None)?;
                cpu::choose(tx, &s, to)?;
                run_again(tx, &s)?;
            }
        }
        store::host::touch(tx, m.from)?;
        store::host::touch(tx, to)
    })
}

/// Gives back what the server held where it was.
fn leave(tx: &Tx<'_>, s: &Server, from: HostId) -> Result<()> {
    host::unclaim(tx, from, s.vcpus.into(), s.ram, s.disk)
}

/// It has been powered off for the way, and starts if it ran.
fn run_again(tx: &Tx<'_>, s: &Server) -> Result<()> {
    if s.want_power == Power::On { server::boot_again(tx, s.id) } else { Ok(()) }
}

// ------------------------------------------------------------------------------------- turning back

/// Out of the destination's document first.
fn give_up(seen: &Seen, m: &Move, why: String) -> Step<State> {
    let (id, to, from) = (seen.server.id, seen.to.as_ref().map(|h| h.generation + 1), m.to);
    Step::go(State::TurningBack).also(move |tx| {
        tracing::warn!(server = %id, why, "a move is given up");
        moving::withdraw(tx, id, to.unwrap_or(1), &why)?;
        network::for_compute::expect(tx, id, None)?;
        from.map_or(Ok(()), |h| store::host::touch(tx, h))
    })
}

/// Whether the destination has let go of a guest that was on its way there, or cannot run it.
pub fn let_go(seen: &Seen, m: &Move) -> bool {
    let Some(to) = &seen.to else { return true };
    let heard = to.applied >= m.withdrawn && seen.there.is_none();
    let silent = Micros::now().since(to.seen_at).min(base::clock::steady_for());
    let dead = to.forced_down || silent > DEAD_AFTER;
    // A cold guest does not start there before it is handed over.
    heard || (to.silent() && (dead || !m.live()))
}

fn turning_back(seen: &Seen, m: &Move, to: HostId) -> Step<State> {
    if !let_go(seen, m) {
        let name = seen.to.as_ref().map_or("", |h| h.name.as_str());
        return Step::wait(
            LOOK,
            format!("the move was given up ({}); waiting for {name} to let go of the guest", m.why),
        );
    }
    let (s, m) = (seen.server.clone(), m.clone());
    Step::go(State::Settled).also(move |tx| {
        network::for_compute::hold(tx, s.id)?;
        store::quota::hold(tx, &s.project_id, &["cores", "ram"])?;
        network::for_compute::hold_hosts(tx, s.id, None, [m.from, to])?;
        guest::forget(tx, to, s.id)?;
        end_badly(tx, &s, &m, &m.why)?;
        // It was powered off for the way. A live one stands still after it was sent, and goes on.
        if m.departs && !m.live() {
            run_again(tx, &s)?;
        }
        store::host::touch(tx, m.from)
    })
}

/// The move ends with the server where it was.
fn end_badly(tx: &Tx<'_>, s: &Server, m: &Move, why: &str) -> Result<()> {
    if let Some((to, (vcpus, ram, disk))) = claim(m) {
        host::unclaim(tx, to, vcpus.into(), ram, disk)?;
    }
    moving::clear(tx, s.id)?;
    match m.kind {
        Kind::Resize => resize::not_moved(tx, s)?,
        Kind::Back => resize::stays_away(tx, s, m.from)?,
        _ => {
            let status = if m.cancelled { "cancelled" } else { "error" };
            migration::set(tx, m.migration, status, None)?;
            server::task(tx, s.id, None)?;
        }
    }
    action::finish(tx, s.id, Some(why))?;
    let text = format!("The move to another host was given up: {why} The server is where it was.");
    event(tx, Level::Warning, "server.move_failed", &s.id.to_string(), &text)
}

/// What a move holds at its destination beside what the server itself holds.
pub fn claim(m: &Move) -> Option<(HostId, (u32, u64, u64))> {
    m.to.filter(|_| m.kind != Kind::Back).map(|to| (to, m.claim))
}

// ------------------------------------------------------------------------------------------ asking

/// Writes down that a server should go to another host, because `user` wants it.
pub fn ask(tx: &Tx<'_>, s: &Server, kind: Kind, wish: Option<String>, user: &UserId) -> Result<Move> {
    let from = s.host_id.ok_or_else(|| Fault::conflict(format!("Instance {} is on no host.", s.id)))?;
    let number = migration::next_number(tx)?;
    let m = Move { wish, ..Move::new(s.id, number, kind, from) };
    let (word, task) = match kind {
        Kind::Live => ("live-migration", Task::Migrating),
        Kind::Evacuate => ("evacuation", Task::Rebuilding),
        Kind::Resize | Kind::Plain | Kind::Back => ("migration", Task::ResizeMigrating),
    };
    let now = Micros::now();
    migration::insert(
        tx,
        &Migration {
            id: number,
            uuid: uuid::Uuid::new_v4().to_string(),
            server_id: s.id,
            kind: word.to_owned(),
            status: "accepted".to_owned(),
            user_id: user.clone(),
            project_id: s.project_id.clone(),
            from_host: host::by_id(tx, from)?.map(|h| h.name).unwrap_or_default(),
            to_host: None,
            from_flavor: s.flavor.id.clone(),
            to_flavor: s.flavor.id.clone(),
            created_at: now,
            updated_at: now,
        },
    )?;
    moving::put(tx, &m)?;
    server::task(tx, s.id, Some(task))?;
    Ok(m)
}
