//! Going into a phase: what rack and live system are told, in the transaction that moves the state.

use super::{MachineLife, Run, Seen, State};
use crate::model::{BootWish, Deploy, Errand, Status};
use crate::table::{machine, rack, session, task, token};
use crate::{Metal, seed, token_hash};
use base::doc::live::{EraseMode, Test, Work};
use base::{MachineId, Result};
use std::sync::Arc;
use store::Tx;
use store::work::Step;

/// What is done on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Boot,
    Measure,
    Test(Vec<Test>),
    Erase(EraseMode),
    Fetch,
    Write(Box<Deploy>),
    Restart,
    PowerOff,
}

/// What an errand needs, once the live system is up; `settles` is where the machine goes back to.
pub fn plan(errand: &Errand, settles: Status) -> Vec<Phase> {
    match errand {
        Errand::Test { tests } if settles == Status::Deployed => {
            vec![Phase::Test(tests.clone()), Phase::Restart]
        }
        Errand::Measure => vec![Phase::Measure],
        Errand::Commission { tests, .. } if tests.is_empty() => vec![Phase::Measure],
        Errand::Commission { tests, .. } => vec![Phase::Measure, Phase::Test(tests.clone())],
        Errand::Test { tests } => vec![Phase::Test(tests.clone())],
        Errand::Deploy(d) => vec![Phase::Fetch, Phase::Write(d.clone()), Phase::Restart],
        Errand::Release { erase: EraseMode::None } => vec![Phase::PowerOff],
        Errand::Release { erase } => vec![Phase::Erase(*erase)],
        Errand::Rescue => vec![],
        Errand::ExitRescue => vec![Phase::Restart],
    }
}

/// The phase that a state is.
pub fn is(state: &State, phase: &Phase) -> bool {
    matches!(
        (state, phase),
        (State::Booting(_), Phase::Boot)
            | (State::Measuring(_), Phase::Measure)
            | (State::Testing(_), Phase::Test(_))
            | (State::Erasing(_), Phase::Erase(_))
            | (State::Fetching(_), Phase::Fetch)
            | (State::Writing(_), Phase::Write(_))
            | (State::Restarting(_), Phase::Restart)
            | (State::PoweringOff(_), Phase::PowerOff)
    )
}

/// Into a phase.
pub fn enter(life: &MachineLife, seen: &Seen, phase: Phase, tries: u32) -> Step<State> {
    let run = Run { op: seen.m.op, tries, task: seen.next_task() };
    let (metal, id) = (life.0.clone(), seen.m.id);
    match phase {
        Phase::Boot => boot(metal, seen, run),
        Phase::Measure => tell(State::Measuring(run), metal, id, run, Work::Inventory),
        Phase::Test(tests) => tell(State::Testing(run), metal, id, run, Work::Test { tests }),
        Phase::Erase(mode) => tell(State::Erasing(run), metal, id, run, Work::Erase { mode }),
        Phase::Fetch => Step::go(State::Fetching(run)).also(move |tx| rack::touch_of(tx, id)),
        Phase::Write(deploy) => write(metal, seen, run, &deploy),
        Phase::Restart => restart(metal, seen, run, false),
        Phase::PowerOff => power_off(metal, seen, run),
    }
}

fn tell(to: State, metal: Arc<Metal>, id: MachineId, run: Run, work: Work) -> Step<State> {
    Step::go(to).also(move |tx| task::tell(tx, &*metal.seal, id, run.task, &work))
}

/// Sets what it boots, and has the rack told. A token for a live system is good for as long as it is to start one: whoever
/// was root on it may have kept what it was given.
pub fn set_boot(tx: &Tx<'_>, id: MachineId, boot: BootWish) -> Result<()> {
    machine::set(tx, id, "boot", boot.word())?;
    if boot != BootWish::Live {
        token::forget_unused(tx, id)?;
    }
    rack::touch_of(tx, id)
}

/// One that is on, or may be, is restarted; the first time it is asked to, then the current is taken away.
fn boot(metal: Arc<Metal>, seen: &Seen, run: Run) -> Step<State> {
    let (id, blind) = (seen.m.id, seen.m.blind());
    // What was read as off may be on by now with its owner's system, and a BMC loses nothing by a restart of what is off.
    let cycle = seen.m.seen.power != Some(false) || (!blind && seen.m.owned());
    // What did not come up the last time has nothing that could shut itself down, and what is about to be overwritten
    // nothing to save. Neither has a live system, and one that may be its owner's is not asked whether it will leave.
    let overwritten = match &seen.errand {
        Some(Errand::Deploy(_)) => true,
        Some(Errand::Release { erase }) => *erase != EraseMode::None,
        _ => false,
    };
    let hard =
        run.tries > 0 || overwritten || seen.alive() || (seen.m.power_hard && seen.m.deployed_at.0 == 0);
    Step::go(State::Booting(run)).also(move |tx| {
        session::end(tx, id)?;
        // Whoever was root on it may have fetched the token that was there before.
        if cycle && !blind {
            token::forget_unused(tx, id)?;
        }
        token::of_machine(tx, &*metal.seal, id)?;
        // Whoever comes up waits for the plan to begin: what it was told before is begun once, not twice.
        task::tell(tx, &*metal.seal, id, run.task, &Work::Idle)?;
        machine::set_power(tx, id, true, cycle, hard, "network")?;
        set_boot(tx, id, BootWish::Live)
    })
}

fn write(metal: Arc<Metal>, seen: &Seen, run: Run, deploy: &Deploy) -> Step<State> {
    let secret = Metal::booted_secret();
    let (id, hash) = (seen.m.id, token_hash(&secret));
    let door = seen.door.clone();
    let (m, deploy) = (seen.m.clone(), deploy.clone());
    Step::go(State::Writing(run)).also(move |tx| {
        // Sealed in the task; of the secret only the hash is kept.
        let work = seed::work(&metal, tx, &m, &deploy, door.as_deref(), &secret)?;
        machine::set(tx, id, "booted_hash", &hash)?;
        machine::set(tx, id, "booted_at", 0_i64)?;
        // What was deployed before is no more.
        machine::set(tx, id, "deployed_at", 0_i64)?;
        task::tell(tx, &*metal.seal, id, run.task, &Work::Write(Box::new(work)))
    })
}

/// Once more into [`Phase::Restart`], after a live system did not obey.
pub fn restart_by_power(life: &MachineLife, seen: &Seen, tries: u32) -> Step<State> {
    restart(life.0.clone(), seen, Run { op: seen.m.op, tries, task: seen.next_task() }, true)
}

/// A live system restarts by itself; where there is none, or it did not obey, the current is taken away. Never both of one
/// that obeys: its new system would lose its power in the middle of its first start.
fn restart(metal: Arc<Metal>, seen: &Seen, run: Run, disobeyed: bool) -> Step<State> {
    let (id, cycle) = (seen.m.id, disobeyed || !seen.alive());
    Step::go(State::Restarting(run)).also(move |tx| {
        task::tell(tx, &*metal.seal, id, run.task, &Work::Reboot)?;
        machine::set_power(tx, id, true, cycle, cycle, "disk")?;
        set_boot(tx, id, BootWish::Local)
    })
}

/// A live system switches itself off; the rack sees to it.
fn power_off(metal: Arc<Metal>, seen: &Seen, run: Run) -> Step<State> {
    let (id, alive) = (seen.m.id, seen.alive());
    // One that is new is looked at whenever it comes.
    let boot = if super::is_new(&seen.m) { BootWish::Live } else { BootWish::Off };
    Step::go(State::PoweringOff(run)).also(move |tx| {
        if alive {
            task::tell(tx, &*metal.seal, id, run.task, &Work::PowerOff)?;
        }
        machine::set_power(tx, id, false, false, false, "unset")?;
        set_boot(tx, id, boot)
    })
}
