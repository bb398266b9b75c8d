//! A server's size or place changes, on trial until the user confirms it.
//!
//! ```text
//!  Asked (API) ─ room claimed ─▶ Moving ─ guest seen ─▶ Verifying ─┬─ Confirm (API) ─▶ (none)
//!    │ no room: (none), as before   │ it does not start            └─ Revert (API) ─▶ Reverting ─ guest seen ─▶ (none)
//!    ▼                              └──────────────────────────────────────────────────▲
//! ```
//! To another host it goes between Asked and Moving, and comes back in Reverting ([`super::moving`]).
//!
//! Until the end both sizes are taken: of the quota the larger of both, on a host that stays the same the
//! larger of both, on two hosts each its own. So neither way back nor forward can fail for want of room.
//!
//! Whichever host has it then keeps a copy of the disk as it was ([`base::doc::RootDisk::keep`]): a revert puts
//! that back first, and a server that changed its host goes back with it.

use super::place::may_yet_fit;
use super::{LOOK, Seen, State, moving};
use crate::cpu;
use crate::model::{Hints, Resize, Server, Size, Stage, Task, VmState};
use crate::planner::{Ask, Plan, Room, plan};
use crate::table::moving::{Kind, Move};
use crate::table::{action, host, intent, migration, server};
use base::doc::{GuestState, HostFacts, Power};
use base::{Fault, HostId, Micros, Result};
use std::time::Duration;
use store::work::Step;
use store::{Tx, quota};

/// For so long a host that is silent just now may speak up.
const HOSTS_FOR: Duration = Duration::from_secs(20);

/// Whether a host takes part in moves: one that does not say which processors it can give is of a release that
/// cannot.
fn moves(f: &HostFacts) -> bool {
    simulated(f) || !f.cpu_models.is_empty()
}

fn simulated(f: &HostFacts) -> bool {
    f.accel == "simulated"
}

/// The other hosts that servers of `here` can move to.
pub fn movable(tx: &Tx<'_>, here: HostId) -> Result<Vec<HostId>> {
    let all = host::all(tx)?;
    let Some(own) = all.iter().find(|h| h.id == here).filter(|h| moves(&h.facts)) else {
        return Ok(Vec::new());
    };
    let alike = |f: &HostFacts| moves(f) && simulated(f) == simulated(&own.facts);
    Ok(all.iter().filter(|h| h.id != here && alike(&h.facts)).map(|h| h.id).collect())
}

/// What a resize asks for next, if it does.
pub fn step(at: &State, seen: &Seen) -> Option<Step<State>> {
    let r = seen.server.intent.resize.as_ref()?;
    match r.stage {
        Stage::Asked if *at == State::Choosing => Some(choose(seen, r)),
        Stage::Asked => Some(Step::go(State::Choosing)),
        Stage::Confirm => Some(confirm(&seen.server, r)),
        Stage::Revert => Some(revert(&seen.server, r)),
        Stage::Reverting => r.from.map(|to| put_back(at, seen, r, to)),
        Stage::Moving | Stage::Verifying => None,
    }
}

// ---------------------------------------------------------------------------------------- accounts

/// The larger of both in everything that is counted.
fn both(r: &Resize) -> (u32, u64, u64) {
    (r.old.vcpus.max(r.new.vcpus), r.old.ram.max(r.new.ram), r.old.disk.max(r.new.disk))
}

fn numbers(s: &Size) -> (u32, u64, u64) {
    (s.vcpus, s.ram, s.disk)
}

/// What a server holds on hosts: CPUs, MiB, GiB.
pub fn claims(s: &Server) -> Vec<(HostId, (u32, u64, u64))> {
    let Some(host) = s.host_id else { return Vec::new() };
    match &s.intent.resize {
        None => vec![(host, numbers(&s.size()))],
        Some(r) if r.stage == Stage::Asked => vec![(host, numbers(&s.size()))],
        Some(r) => match r.from {
            None => vec![(host, both(r))],
            Some(from) => vec![(host, numbers(&r.new)), (from, numbers(&r.old))],
        },
    }
}

/// What a server holds of its project's quota: CPUs and MiB; nothing once its deletion was asked.
pub fn counted(s: &Server) -> Option<(u32, u64)> {
    s.intent.soft_deleted_at.is_none().then(|| counted_again(s))
}

/// The same of a server whose deletion is taken back.
pub fn counted_again(s: &Server) -> (u32, u64) {
    match &s.intent.resize {
        None => (s.vcpus, s.ram),
        Some(r) => (both(r).0, both(r).1),
    }
}

/// Gives back what is taken for both sizes and not for `left`, the one that stays.
fn give_back(tx: &Tx<'_>, s: &Server, r: &Resize, left: &Size) -> Result<()> {
    let (vcpus, ram, disk) = both(r);
    if s.intent.soft_deleted_at.is_none() {
        quota::give(tx, &s.project_id, "cores", i64::from(vcpus - left.vcpus))?;
        quota::give(tx, &s.project_id, "ram", i64::try_from(ram - left.ram).unwrap_or(i64::MAX))?;
    }
    if let (Some(h), None) = (s.host_id, r.from) {
        host::shrink(tx, h, (vcpus - left.vcpus).into(), ram - left.ram, disk - left.disk)?;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------- choosing

/// The server as it will be, for what is asked of hosts.
pub fn resized(s: &Server, r: &Resize) -> Server {
    Server {
        flavor: r.new.flavor.clone(),
        vcpus: r.new.vcpus,
        ram: r.new.ram,
        disk: r.new.disk,
        hints: Hints { host: r.to.clone(), ..s.hints.clone() },
        ..s.clone()
    }
}

fn choose(seen: &Seen, r: &Resize) -> Step<State> {
    let s = seen.server.clone();
    let Some(ask) = seen.ask.clone() else { return Step::wait(LOOK, "nothing was asked of the hosts") };
    let Some(here) = s.host_id else { return nowhere(s, "The server has no host yet.".into()) };
    let mut lack = None;
    if !r.must_move {
        lack = lacks(seen, r, &ask, here);
        if lack.is_none() {
            let r = r.clone();
            return Step::go(State::Moving).also(move |tx| stay(tx, &s, r, here));
        }
    }
    let others: Vec<Room> = seen.hosts.iter().filter(|h| seen.movable.contains(&h.id)).cloned().collect();
    match plan(&others, &ask) {
        Plan::Try(order) => {
            let m = Move::new(s.id, r.number, Kind::Resize, here);
            Step::go(State::Travelling).also(move |tx| {
                server::task(tx, s.id, Some(Task::ResizeMigrating))?;
                moving::set_out(tx, &s, m, &order, &ask)
            })
        }
        Plan::Nowhere(_) if others.is_empty() => nowhere(s, no_other(seen, lack)),
        Plan::Nowhere(why) if Micros::now().since(s.updated_at) < HOSTS_FOR && may_yet_fit(&others, &ask) => {
            Step::wait(LOOK, format!("{why} Waiting a moment for the silent ones."))
        }
        Plan::Nowhere(why) => nowhere(s, why),
    }
}

/// Why its own host will not do: it has no room for what the server gets more, or is not of the kind that the new
/// flavor asks for. `None` when it will.
fn lacks(seen: &Seen, r: &Resize, ask: &Ask, here: HostId) -> Option<String> {
    let more = Ask {
        host: r.to.clone(),
        rules: ask.rules.clone(),
        ..Ask::room(
            r.new.vcpus.saturating_sub(r.old.vcpus).into(),
            r.new.ram.saturating_sub(r.old.ram),
            r.new.disk.saturating_sub(r.old.disk),
        )
    };
    // A host that takes no new servers keeps those that it has.
    let room = seen.hosts.iter().filter(|h| h.id == here).map(|h| Room { enabled: true, ..h.clone() });
    match plan(&room.collect::<Vec<_>>(), &more) {
        Plan::Try(_) => None,
        Plan::Nowhere(why) => Some(why),
    }
}

fn no_other(seen: &Seen, lack: Option<String>) -> String {
    let host = seen.host.as_ref().map_or("", |h| h.name.as_str());
    match lack {
        None => format!(
            "No valid host was found. The server is on the host {host}, and there is no other host that it can move to."
        ),
        Some(why) => {
            format!("{why} That is the host {host}, and there is no other that the server can move to.")
        }
    }
}

/// As it was before, with the reason in the action.
fn nowhere(s: Server, why: String) -> Step<State> {
    Step::rest(State::Settled).also(move |tx| {
        tracing::info!(server = %s.id, why, "no host for a resize");
        not_moved(tx, &s)?;
        action::finish(tx, s.id, Some(&why))
    })
}

/// It keeps its size and its host.
pub fn not_moved(tx: &Tx<'_>, s: &Server) -> Result<()> {
    if let Some(r) = &s.intent.resize {
        if s.intent.soft_deleted_at.is_none() {
            let held = both(r);
            quota::give(tx, &s.project_id, "cores", i64::from(held.0 - r.old.vcpus))?;
            quota::give(tx, &s.project_id, "ram", i64::try_from(held.1 - r.old.ram).unwrap_or(i64::MAX))?;
        }
        migration::set(tx, r.number, "error", None)?;
    }
    intent::resize(tx, s.id, None)?;
    server::task(tx, s.id, None)
}

/// On the same host: takes what it gets more, and starts it anew if it ran.
fn stay(tx: &Tx<'_>, s: &Server, r: Resize, here: HostId) -> Result<()> {
    let (vcpus, ram, disk) = both(&r);
    let more = ((vcpus - r.old.vcpus).into(), ram - r.old.ram, disk - r.old.disk);
    if !host::grow(tx, here, more.0, more.1, more.2)? {
        return Err(Fault::unavailable("The host was filled by others meanwhile; looking again."));
    }
    begin(tx, s, Resize { from: None, ..r }, here)
}

/// It is at another host, still powered off: there it starts in its new size.
pub fn moved(tx: &Tx<'_>, s: &Server, from: HostId, to: HostId) -> Result<()> {
    let Some(r) = s.intent.resize.clone() else { return Ok(()) };
    begin(tx, s, Resize { from: Some(from), ..r }, to)
}

fn begin(tx: &Tx<'_>, s: &Server, r: Resize, on: HostId) -> Result<()> {
    let name = host::by_id(tx, on)?.map(|h| h.name);
    let (status, task) = match r.from {
        None => ("migrating", Task::ResizeMigrating),
        Some(_) => ("post-migrating", Task::ResizeFinish),
    };
    migration::set(tx, r.number, status, name.as_deref())?;
    server::set_size(tx, s.id, &r.new)?;
    server::task(tx, s.id, Some(task))?;
    if s.want_power == Power::On {
        server::boot_again(tx, s.id)?;
        cpu::choose(tx, s, on)?;
    }
    intent::resize(tx, s.id, Some(&Resize { stage: Stage::Moving, ..r }))?;
    store::host::touch(tx, on)
}

// ---------------------------------------------------------------------------------------- arriving

/// Whether a guest that is as it should be ends a part of a resize.
pub fn arriving(s: &Server) -> bool {
    s.intent.resize.as_ref().is_some_and(|r| matches!(r.stage, Stage::Moving | Stage::Reverting))
}

/// The guest was seen in its new size, or in its old one again.
pub fn arrived(tx: &Tx<'_>, s: &Server) -> Result<()> {
    match &s.intent.resize {
        Some(r) if r.stage == Stage::Moving => {
            migration::set(tx, r.number, "finished", None)?;
            intent::resize(tx, s.id, Some(&Resize { stage: Stage::Verifying, ..r.clone() }))
        }
        Some(r) if r.stage == Stage::Reverting => {
            give_back(tx, s, r, &r.old)?;
            migration::ended(tx, r.number, "reverted")?;
            intent::resize(tx, s.id, None)?;
            s.host_id.map_or(Ok(()), |h| store::host::touch(tx, h))
        }
        _ => Ok(()),
    }
}

/// What is kept for the way back goes.
fn confirm(s: &Server, r: &Resize) -> Step<State> {
    let (s, r) = (s.clone(), r.clone());
    Step::go(State::Settled).also(move |tx| {
        give_back(tx, &s, &r, &r.new)?;
        if let Some(from) = r.from {
            host::unclaim(tx, from, r.old.vcpus.into(), r.old.ram, r.old.disk)?;
        }
        migration::ended(tx, r.number, "confirmed")?;
        intent::resize(tx, s.id, None)?;
        let vm = if s.want_power == Power::On { VmState::Active } else { VmState::Stopped };
        server::settle(tx, s.id, vm, s.power_state)?;
        action::finish(tx, s.id, None)?;
        s.host_id.map_or(Ok(()), |h| store::host::touch(tx, h))
    })
}

/// Back to the old size and host; it runs again if it ran before.
fn revert(s: &Server, r: &Resize) -> Step<State> {
    let (s, r) = (s.clone(), r.clone());
    Step::go(State::Reverting).also(move |tx| back(tx, &s, &r))
}

/// It does not start in its new size: back by itself, with the reason in the action.
pub fn give_up(seen: &Seen, why: String) -> Step<State> {
    let s = seen.server.clone();
    Step::go(State::Reverting).also(move |tx| {
        let Some(r) = &s.intent.resize else { return Ok(()) };
        tracing::warn!(server = %s.id, why, "a server did not start in its new size");
        migration::ended(tx, r.number, "error")?;
        action::finish(tx, s.id, Some(&why))?;
        back(tx, &s, r)
    })
}

fn back(tx: &Tx<'_>, s: &Server, r: &Resize) -> Result<()> {
    server::set_size(tx, s.id, &r.old)?;
    server::task(tx, s.id, Some(Task::ResizeReverting))?;
    if r.ran && r.from.is_none() {
        server::boot_again(tx, s.id)?;
    }
    intent::resize(tx, s.id, Some(&Resize { stage: Stage::Reverting, ..r.clone() }))?;
    s.host_id.map_or(Ok(()), |h| store::host::touch(tx, h))
}

// ----------------------------------------------------------------------------------- from elsewhere

/// Powered off, with its disk as it was before: then it goes where it came from, whose room is still held.
fn put_back(at: &State, seen: &Seen, r: &Resize, to: HostId) -> Step<State> {
    if *at != State::Reverting {
        return Step::go(State::Reverting);
    }
    let Some(here) = seen.server.host_id else { return Step::rest(State::Settled) };
    let ready = |g: &base::doc::GuestStatus| g.state == GuestState::Stopped && g.kept != Some(r.number);
    if !seen.ours().is_some_and(|g| ready(&g.status)) {
        return Step::wait(LOOK, seen.why("waiting for the guest's disk to be put back"));
    }
    let (s, migration) = (seen.server.clone(), r.number);
    Step::go(State::Travelling).also(move |tx| {
        let number = migration::next_number(tx)?;
        let m = Move { migration, ..Move::new(s.id, number, Kind::Back, here) };
        moving::set_out_to(tx, &s, m, to)
    })
}

/// It is where it came from, in its old size. `s` is what it was just before.
pub fn brought_back(tx: &Tx<'_>, s: &Server) -> Result<()> {
    let (Some(r), Some(here)) = (&s.intent.resize, s.host_id) else { return Ok(()) };
    host::unclaim(tx, here, r.new.vcpus.into(), r.new.ram, r.new.disk)?;
    end_revert(tx, s, r, "reverted")
}

/// It could not go back: it stays, in its old size.
pub fn stays_away(tx: &Tx<'_>, s: &Server, here: HostId) -> Result<()> {
    let Some(r) = &s.intent.resize else { return Ok(()) };
    if let Some(from) = r.from {
        host::unclaim(tx, from, r.old.vcpus.into(), r.old.ram, r.old.disk)?;
    }
    host::unclaim(tx, here, r.new.vcpus.into(), r.new.ram, r.new.disk)?;
    host::hold_anyway(tx, here, r.old.vcpus.into(), r.old.ram, r.old.disk)?;
    end_revert(tx, s, r, "error")
}

fn end_revert(tx: &Tx<'_>, s: &Server, r: &Resize, status: &str) -> Result<()> {
    give_back(tx, s, r, &r.old)?;
    migration::ended(tx, r.number, status)?;
    intent::resize(tx, s.id, None)?;
    if r.ran { server::boot_again(tx, s.id) } else { Ok(()) }
}
