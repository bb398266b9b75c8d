//! How things end: well, badly, or in rest.

use super::enter::{Phase, enter, set_boot};
use super::{MachineLife, Seen, State};
use crate::act::{after_release, disown, note, settled};
use crate::model::{BootWish, Errand, Machine, STAY, Status};
use crate::table::{errand, machine, session, task};
use base::doc::live::{Stage, Work};
use base::{MachineId, Micros, Result};
use store::Tx;
use store::log::Level;
use store::work::Step;

/// What was asked is done.
pub fn finish(life: &MachineLife, seen: &Seen, words: Vec<String>) -> Step<State> {
    let m = seen.m.clone();
    let errand = seen.errand.clone();
    let to = match &errand {
        Some(Errand::Commission { .. }) => Status::Ready,
        Some(Errand::Deploy(_)) => Status::Deployed,
        Some(Errand::Release { .. }) => after_release(&m),
        Some(Errand::Rescue) => Status::RescueMode,
        Some(Errand::Measure) | None => m.status,
        Some(Errand::Test { .. } | Errand::ExitRescue) => settled(&m),
    };
    let leaves = to == Status::Deployed;
    let stay = match &errand {
        Some(Errand::Commission { stay: true, .. }) => STAY * 48,
        _ => STAY,
    };
    let (metal, number) = (life.0.clone(), seen.next_task());
    Step::go(State::Resting).also(move |tx| {
        if leaves {
            at_home(tx, &m)?;
        } else {
            idle(tx, &*metal.seal, m.id, number)?;
            machine::set(tx, m.id, "stay_until", Micros::now().plus(stay))?;
        }
        match errand {
            Some(Errand::Deploy(_)) => machine::set(tx, m.id, "deployed_at", Micros::now())?,
            Some(Errand::Release { .. }) => disown(tx, &m)?,
            _ => {}
        }
        let words = words.join("; ");
        machine::set_status(tx, m.id, to, &words)?;
        let told = if words.is_empty() { format!("it is {}", to.name()) } else { words };
        note(tx, Level::Info, &m, to.word(), &told)
    })
}

/// Its live system has nothing to do for the present. Also one that is not up: what it was told last, an owner's image
/// among that, is not kept for whoever comes up next.
fn idle(tx: &Tx<'_>, seal: &dyn crate::Seal, id: MachineId, number: u64) -> Result<()> {
    task::tell(tx, seal, id, number, &Work::Idle)
}

/// What was asked cannot be done.
pub fn fail(life: &MachineLife, seen: &Seen, why: &str) -> Step<State> {
    let to = seen.m.status.failed().unwrap_or(seen.m.status);
    fail_as(life, seen, to, why)
}

/// As [`fail`], into this status. Its live system stays up for a while, for people who want to look.
pub fn fail_as(life: &MachineLife, seen: &Seen, to: Status, why: &str) -> Step<State> {
    let (metal, m, why) = (life.0.clone(), seen.m.clone(), why.to_owned());
    let (number, alive) = (seen.next_task(), seen.alive());
    // One that is new and cannot be measured would be measured again and again.
    let stay = if to == Status::New { Micros(1) } else { Micros::now().plus(STAY) };
    tracing::info!(machine = %m.id, why, "a machine has failed");
    Step::go(State::Resting).also(move |tx| {
        // One that is new is measured if it comes up after all.
        if alive || to != Status::New {
            idle(tx, &*metal.seal, m.id, number)?;
        }
        machine::set(tx, m.id, "stay_until", stay)?;
        machine::set_status(tx, m.id, to, &why)?;
        if !alive && to != Status::New {
            // What is not known to be up need not come up again by itself.
            set_boot(tx, m.id, BootWish::Off)?;
        }
        note(tx, Level::Error, &m, to.word(), &why)
    })
}

/// Nothing is asked.
pub fn rest(life: &MachineLife, seen: &Seen) -> Step<State> {
    let m = &seen.m;
    if !seen.alive() {
        let (id, over, local) = (m.id, seen.session.is_some(), m.boot == BootWish::Local);
        let deployed = m.status == Status::Deployed;
        return Step::rest(State::Resting).also(move |tx| {
            if over {
                session::end(tx, id)?;
            }
            // Something else was asked of it, and given up.
            if deployed && !local { set_boot(tx, id, BootWish::Local) } else { Ok(()) }
        });
    }
    if m.status == Status::Deployed {
        return enter(life, seen, Phase::Restart, 0);
    }
    if m.status == Status::RescueMode {
        return Step::rest(State::Resting);
    }
    if m.status == Status::New && m.inventory_at.0 == 0 && m.stay_until.0 == 0 {
        let (metal, id) = (life.0.clone(), m.id);
        return enter(life, &Seen { errand: Some(Errand::Measure), ..seen.clone() }, Phase::Measure, 0)
            .also(move |tx| errand::put(tx, &*metal.seal, id, &Errand::Measure));
    }
    // What its owner may have put there does not wait for whoever comes next.
    if seen.lent() {
        return enter(life, seen, Phase::PowerOff, 0);
    }
    let until = if m.stay_until.0 > 0 {
        m.stay_until
    } else {
        seen.session.as_ref().map_or(Micros::now(), |s| s.begun_at.plus(STAY))
    };
    let now = Micros::now();
    if m.want_power == Some(false) || now >= until {
        return enter(life, seen, Phase::PowerOff, 0);
    }
    let words = format!("nothing is asked; its live system stays up until {}", until.seconds_z());
    let id = m.id;
    let aborted = seen.task.as_ref().filter(|t| !matches!(t.stage, Some(Stage::Done | Stage::Failed)));
    let (metal, number) = (life.0.clone(), seen.next_task());
    let stop = aborted.is_some() && errand_is_over(seen);
    Step::wait(until.since(now).min(super::SILENT), words).also(move |tx| {
        // What was given up is not gone on with.
        if stop { idle(tx, &*metal.seal, id, number) } else { Ok(()) }
    })
}

/// Whether the task that the live system has is one of an errand that was aborted.
fn errand_is_over(seen: &Seen) -> bool {
    let told = seen.task.as_ref().map_or(Micros(0), |t| t.told_at);
    seen.m.status_at > told
}

/// It is back on its own disk, and stays what it was.
pub fn is_home(seen: &Seen) -> Step<State> {
    let m = seen.m.clone();
    Step::go(State::Resting).also(move |tx| at_home(tx, &m))
}

fn at_home(tx: &Tx<'_>, m: &Machine) -> Result<()> {
    session::end(tx, m.id)?;
    set_boot(tx, m.id, BootWish::Local)?;
    if m.seen.power == Some(true) { machine::power_is_theirs(tx, m.id) } else { Ok(()) }
}

/// It is off.
pub fn is_off(life: &MachineLife, seen: &Seen) -> Step<State> {
    let m = seen.m.clone();
    let said = move |tx: &Tx<'_>| -> Result<()> {
        session::end(tx, m.id)?;
        if m.blind() && m.seen.power != Some(false) { machine::say_power(tx, &m, false) } else { Ok(()) }
    };
    if seen.m.status.busy() {
        return finish(life, &Seen { session: None, ..seen.clone() }, vec![]).also(said);
    }
    Step::rest(State::Resting).also(said)
}

/// It should be off, and nobody waits for that.
pub fn stays_on(seen: &Seen, why: &str) -> Step<State> {
    let (m, words) = (seen.m.clone(), format!("it could not be switched off: {why}"));
    Step::rest(State::Resting).also(move |tx| {
        session::end(tx, m.id)?;
        note(tx, Level::Warning, &m, "power", &words)
    })
}
