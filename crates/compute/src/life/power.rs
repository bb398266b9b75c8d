//! What a guest is doing, compared with what is wanted of it.

use super::{FAILED_FOR, LOOK, Seen, State, resize, shelf};
use crate::model::{Server, Stage, Task, VmState, power_state};
use crate::table::{action, intent, server};
use base::doc::{GuestState, Power};
use base::{Micros, Result};
use store::Tx;
use store::log::{Level, event};
use store::work::Step;

/// What a guest should come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    On,
    Off,
    Paused,
    Suspended,
}

impl Goal {
    fn of(s: &Server) -> Goal {
        match s.want_power {
            _ if s.intent.soft_deleted_at.is_some() => Goal::Off,
            Power::Off => Goal::Off,
            Power::On if s.intent.suspended => Goal::Suspended,
            Power::On if s.intent.paused => Goal::Paused,
            Power::On => Goal::On,
        }
    }
    /// What a server is called that came to it.
    fn vm_state(self, s: &Server) -> VmState {
        match self {
            _ if s.intent.soft_deleted_at.is_some() => VmState::SoftDeleted,
            Goal::Paused => VmState::Paused,
            Goal::Suspended => VmState::Suspended,
            _ if s.intent.rescue.is_some() => VmState::Rescued,
            _ if s.intent.resize.as_ref().is_some_and(|r| r.stage != Stage::Reverting) => VmState::Resized,
            Goal::On => VmState::Active,
            Goal::Off => VmState::Stopped,
        }
    }
}

/// Compares intent with the report. `at` is the present state.
pub fn follow(at: &State, seen: &Seen) -> Step<State> {
    let (s, goal) = (&seen.server, Goal::of(&seen.server));
    let Some(g) = seen.ours().map(|g| &g.status) else { return under_way(at, seen, goal) };
    let booted = g.boots >= s.boots;
    let fresh = booted && g.epoch >= s.intent.epoch;
    // A guest that was paused or suspended and still stands has not heard yet that it should go on.
    let still = matches!(s.vm_state, VmState::Paused | VmState::Suspended);
    match (goal, g.state) {
        (Goal::Off, GuestState::Stopped) if g.epoch >= s.intent.epoch && !to_restore(s, g.kept) => {
            settle(at, seen, goal, power_state::SHUT_DOWN)
        }
        (Goal::Suspended, GuestState::Suspended) => settle(at, seen, goal, power_state::SUSPENDED),
        (Goal::Paused, GuestState::Paused) if fresh => settle(at, seen, goal, power_state::PAUSED),
        (Goal::On, GuestState::Running) if fresh => settle(at, seen, goal, power_state::RUNNING),
        (Goal::On, GuestState::Paused) if fresh && !still => settle(at, seen, goal, power_state::PAUSED),
        (Goal::On | Goal::Paused | Goal::Suspended, GuestState::Stopped) if booted => shut_itself(seen),
        (Goal::On | Goal::Paused, GuestState::Failed) => cannot_start(at, seen, goal),
        (Goal::On, GuestState::Running | GuestState::Paused) if !booted && s.task_state.is_none() => {
            toward(at, State::Rebooting, seen, "waiting for the guest to reboot")
        }
        _ => under_way(at, seen, goal),
    }
}

/// A resize is being taken back, and the host has not put the kept disk in its place yet.
fn to_restore(s: &Server, kept: Option<u64>) -> bool {
    s.intent.resize.as_ref().is_some_and(|r| r.stage == Stage::Reverting && kept == Some(r.number))
}

/// Not there yet: which way a server is on, by what was asked last.
fn under_way(at: &State, seen: &Seen, goal: Goal) -> Step<State> {
    let s = &seen.server;
    let stage = s.intent.resize.as_ref().map(|r| r.stage);
    let (to, what) = match (goal, s.task_state) {
        (_, Some(Task::Rebuilding)) => (State::Rebuilding, "waiting for the guest's disk to be made anew"),
        (_, Some(Task::Rescuing)) => (State::Rescuing, "waiting for the guest to start from its rescue disk"),
        (_, Some(Task::Unrescuing)) => (State::Rescuing, "waiting for the guest to start from its own disk"),
        _ if stage == Some(Stage::Moving) => (State::Moving, "waiting for the guest in its new size"),
        _ if stage == Some(Stage::Reverting) => (State::Reverting, "waiting for the guest as it was"),
        (Goal::Off, _) => (State::Stopping, "waiting for the guest to stop"),
        (Goal::Paused, _) => (State::Pausing, "waiting for the guest to pause"),
        (Goal::Suspended, _) => (State::Suspending, "waiting for the guest's memory to be saved"),
        (Goal::On, Some(Task::Rebooting | Task::RebootingHard)) => {
            (State::Rebooting, "waiting for the guest to reboot")
        }
        (Goal::On, Some(Task::Unpausing | Task::Resuming)) => {
            (State::Resuming, "waiting for the guest to go on")
        }
        (Goal::On, _) => (State::Starting, "waiting for the guest to start"),
    };
    toward(at, to, seen, what)
}

fn toward(at: &State, to: State, seen: &Seen, what: &str) -> Step<State> {
    if *at == to { Step::wait(LOOK, seen.why(what)) } else { Step::go(to) }
}

/// The guest is as it should be, and so is the server, but for what the guest itself has still to do.
fn settle(at: &State, seen: &Seen, goal: Goal, power: i64) -> Step<State> {
    if let Some(what) = errand(seen, goal) {
        return toward(at, State::Working, seen, what);
    }
    let s = &seen.server;
    let rest = match s.intent.soft_deleted_at {
        Some(_) => State::Reclaiming,
        None => State::Settled,
    };
    let vm = goal.vm_state(s);
    let password = s.intent.password.as_ref().is_some_and(|p| p.value.is_some());
    let news = (s.vm_state, s.power_state, s.task_state) != (vm, power, None) || password;
    if *at == rest && !news && !seen.asked && !resize::arriving(s) {
        return Step::rest(rest);
    }
    let error = if password { password_error(seen, goal) } else { None };
    let (s, next, shelf) = (s.clone(), rest.clone(), seen.shelf.clone());
    let step = if rest == State::Settled { Step::rest(next) } else { Step::go(next) };
    step.also(move |tx| {
        resize::arrived(tx, &s)?;
        shelf::returned(tx, s.id, shelf.as_ref())?;
        if matches!(s.task_state, Some(Task::Rebuilding | Task::Unrescuing)) {
            let_go_of_the_rest(tx, &s)?;
        }
        if password {
            intent::password_done(tx, s.id)?;
        }
        if news {
            server::settle(tx, s.id, vm, power)?;
        }
        action::finish(tx, s.id, error.as_deref())
    })
}

/// It has another disk now: of what it held, only what it runs on is kept.
fn let_go_of_the_rest(tx: &Tx<'_>, s: &Server) -> Result<()> {
    let rescue = s.intent.rescue.as_ref().and_then(|r| r.image.as_ref());
    let keep: Vec<&str> = s.image.iter().chain(rescue).map(|i| i.sha512.as_str()).collect();
    image::release_but(tx, s.id, &keep)
}

/// What a running guest has still to do.
fn errand(seen: &Seen, goal: Goal) -> Option<&'static str> {
    let (wanted, done) = (&seen.server.intent, &seen.ours()?.status);
    let password = wanted.password.as_ref().is_some_and(|p| p.value.is_some() && done.password < p.epoch);
    match goal {
        Goal::On if password => Some("waiting for the guest agent to set the password"),
        Goal::On | Goal::Paused if done.nmi < wanted.nmi => Some("waiting for the guest to be interrupted"),
        _ => None,
    }
}

fn password_error(seen: &Seen, goal: Goal) -> Option<String> {
    let done = &seen.ours()?.status;
    match goal {
        Goal::On => Some(done.password_error.clone()).filter(|e| !e.is_empty()),
        _ => Some("The guest stopped before its password was set.".into()),
    }
}

/// The guest powered itself off: that is what is wanted from now on.
fn shut_itself(seen: &Seen) -> Step<State> {
    let (s, host) = (seen.server.clone(), seen.server.host_id);
    let vm = Goal::Off.vm_state(&s);
    Step::rest(State::Settled).also(move |tx| {
        server::accept_shutdown(tx, s.id)?;
        resize::arrived(tx, &s)?;
        server::settle(tx, s.id, vm, power_state::SHUT_DOWN)?;
        action::finish(tx, s.id, None)?;
        host.map_or(Ok(()), |h| store::host::touch(tx, h))
    })
}

/// A guest that ran once and does not start now. The agent goes on trying, so it may yet come back; one that
/// does not start in a new size gets its old one again.
fn cannot_start(at: &State, seen: &Seen, goal: Goal) -> Step<State> {
    let Some(g) = seen.ours().filter(|g| Micros::now().since(g.since) >= FAILED_FOR) else {
        return under_way(at, seen, goal);
    };
    let (id, why) = (seen.server.id, g.status.reason.clone());
    if seen.server.intent.resize.as_ref().is_some_and(|r| r.stage == Stage::Moving) {
        return resize::give_up(seen, why);
    }
    if seen.server.vm_state == VmState::Error {
        return Step::rest(State::Settled);
    }
    Step::rest(State::Settled).also(move |tx| {
        server::fail(tx, id, &why)?;
        action::finish(tx, id, Some(&why))?;
        event(tx, Level::Error, "server.lost", &id.to_string(), &why)
    })
}
