//! What a step does in each phase.

use super::ends::{fail, finish};
use super::enter::{self, Phase, enter};
use super::{LOOK, MachineLife, Run, Seen, State, TRIES};
use crate::act::settled;
use crate::model::{Disk, Errand, Status};
use crate::table::task::Progress;
use crate::table::{erase, test};
use base::doc::live::{EraseMode, Stage};
use base::{Micros, Result};
use std::time::Duration;
use store::Tx;
use store::work::Step;

const MINUTE: Duration = Duration::from_secs(60);
/// A person needs time.
const BY_HAND: Duration = Duration::from_secs(24 * 3600);
/// A rack that is away comes back, or somebody sees to it.
const RACK_AWAY: Duration = Duration::from_secs(24 * 3600);
/// A live system that was told to leave is gone by then.
const LEAVES: Duration = Duration::from_secs(90);
/// A system that does not say that it is up is taken as up after this, if nobody waits for its word.
const QUIET: Duration = Duration::from_secs(180);

/// The first step of something that was asked.
pub fn begin(life: &MachineLife, seen: &Seen) -> Step<State> {
    match &seen.errand {
        None => fail(life, seen, "nobody knows what was asked of it; ask again"),
        Some(Errand::Release { erase: EraseMode::None }) => enter(life, seen, Phase::PowerOff, 0),
        // Only one that was deployed starts from its disk; others stay in their live system for a while, unless that may
        // be its owner's by now.
        Some(Errand::ExitRescue) if settled(&seen.m) == Status::Deployed => {
            enter(life, seen, Phase::Restart, 0)
        }
        Some(Errand::ExitRescue) if seen.alive() && seen.lent() => enter(life, seen, Phase::PowerOff, 0),
        Some(Errand::ExitRescue) => finish(life, seen, vec![]),
        // Its owner's keys are given to a live system as it comes up.
        Some(Errand::Rescue) => enter(life, seen, Phase::Boot, 0),
        // What it is to be erased by was never in its owner's hands. Where nothing sees a restart, a person would have to
        // be asked for one each time.
        Some(Errand::Release { .. }) if !seen.m.blind() => enter(life, seen, Phase::Boot, 0),
        Some(_) if seen.alive() && !seen.lent() => next(life, seen, None, 0),
        Some(_) => enter(life, seen, Phase::Boot, 0),
    }
}

fn planned(seen: &Seen) -> Vec<Phase> {
    seen.errand.as_ref().map(|e| enter::plan(e, settled(&seen.m))).unwrap_or_default()
}

/// The phase after `now` (from the beginning: `None`), or the end.
fn next(life: &MachineLife, seen: &Seen, now: Option<&State>, tries: u32) -> Step<State> {
    let plan = planned(seen);
    let done = now.and_then(|s| plan.iter().position(|p| enter::is(s, p))).map_or(0, |at| at + 1);
    match plan.into_iter().nth(done) {
        Some(phase) => enter(life, seen, phase, tries),
        None => finish(life, seen, vec![]),
    }
}

/// A step of something that is under way.
pub fn go_on(life: &MachineLife, state: &State, run: Run, seen: &Seen) -> Step<State> {
    match state {
        State::Booting(_) => booting(life, run, seen),
        State::Fetching(_) => fetching(life, state, run, seen),
        State::Restarting(_) => restarting(life, run, seen),
        State::PoweringOff(_) => powering_off(life, run, seen),
        State::Resting => Step::rest(State::Resting),
        _ => working(life, state, run, seen),
    }
}

fn booting(life: &MachineLife, run: Run, seen: &Seen) -> Step<State> {
    if seen.alive() {
        return next(life, seen, None, run.tries);
    }
    let limit = if seen.m.bmc_kind == "manual" {
        BY_HAND
    } else {
        Duration::from_secs(life.0.settings.patience.boot_s)
    };
    let limit = if seen.rack_is_away() { RACK_AWAY } else { limit };
    if seen.elapsed() < limit {
        return Step::wait(LOOK, seen.why_not_up("waiting for its live system"));
    }
    if run.tries + 1 < TRIES {
        return enter(life, seen, Phase::Boot, run.tries + 1);
    }
    let asked = seen.m.seen.boot_at.filter(|at| *at >= seen.since);
    let mut words = match (seen.trouble(), asked) {
        (Some(trouble), _) => format!("it did not come up: {trouble}"),
        (None, None) => {
            "it never asked to boot from the network. Is its network cable plugged into the rack's \
                         segment, and does its firmware start from the network first?"
                .to_owned()
        }
        (None, Some(at)) => format!(
            "it asked to boot from the network at {} and got {}, but its live system never came up. Look at its \
             screen or serial console.",
            at.seconds_z(),
            seen.m.seen.boot_answer
        ),
    };
    if let Some(wire) = &seen.wire {
        words.push_str(&format!(" Of its network its rack says: {wire}"));
    }
    fail(life, seen, &words)
}

/// Its live system does something.
fn working(life: &MachineLife, state: &State, run: Run, seen: &Seen) -> Step<State> {
    let Some(p) = seen.progress(run) else {
        // Somebody came up after the task was told to leave, and is told what to do.
        return next(life, seen, None, run.tries);
    };
    match p.stage {
        Some(Stage::Done) => done(life, state, run, seen, p),
        Some(Stage::Failed) if !p.lasting && again(state, run) => {
            match planned(seen).into_iter().find(|p| enter::is(state, p)) {
                Some(phase) => enter(life, seen, phase, run.tries + 1),
                None => fail(life, seen, &p.reason),
            }
        }
        Some(Stage::Failed) => {
            let (m, kept) = (seen.m.id, p.clone());
            fail(life, seen, &p.reason).also(move |tx| test::keep(tx, m, kept.number, &kept.results))
        }
        _ if !seen.alive() && seen.rack_is_away() && seen.elapsed() < RACK_AWAY => {
            Step::wait(LOOK, seen.why("its live system has fallen silent"))
        }
        _ if !seen.alive() && run.tries + 1 < TRIES => enter(life, seen, Phase::Boot, run.tries + 1),
        _ if !seen.alive() => fail(
            life,
            seen,
            "its live system fell silent again and again. Does it lose its power, or its network?",
        ),
        _ if seen.elapsed() > limit(state) => {
            fail(life, seen, &format!("it took too long; its live system said last: {}", said(p)))
        }
        _ => Step::wait(LOOK, seen.why(&said(p))),
    }
}

/// Once more where trying is worth it: bytes that were spoiled on the way, a disk that was busy. Not asked of what the
/// live system says would fail again: a disk that is too small, an image that is not understood.
fn again(state: &State, run: Run) -> bool {
    run.tries == 0 && matches!(state, State::Writing(_) | State::Measuring(_))
}

/// What is given up after this: twice the budget and more.
fn limit(state: &State) -> Duration {
    MINUTE
        * match state {
            State::Measuring(_) => 30,
            State::Testing(_) => 4 * 60,
            State::Erasing(_) => 7 * 24 * 60,
            _ => 4 * 60,
        }
}

/// How far it is, for people.
fn said(p: &Progress) -> String {
    let words = if p.reason.is_empty() { "its live system works" } else { &p.reason };
    match p.total_bytes {
        0 => words.to_owned(),
        total => format!(
            "{words} ({} of {} MiB, {} %)",
            p.done_bytes >> 20,
            total >> 20,
            p.done_bytes.saturating_mul(100) / total
        ),
    }
}

/// The live system says that its task is done.
fn done(life: &MachineLife, state: &State, run: Run, seen: &Seen, p: &Progress) -> Step<State> {
    let (m, kept) = (seen.m.clone(), p.clone());
    match state {
        State::Measuring(_) if seen.m.inventory_at < p.told_at => {
            fail(life, seen, "its live system says that it has measured, but sent no inventory")
        }
        State::Testing(_) => {
            let bad: Vec<String> = p.results.iter().filter(|r| !r.passed).map(in_words).collect();
            let keep = move |tx: &Tx<'_>| -> Result<()> { test::keep(tx, m.id, kept.number, &kept.results) };
            if bad.is_empty() {
                return next(life, seen, Some(state), run.tries).also(keep);
            }
            super::ends::fail_as(life, seen, Status::FailedTesting, &bad.join("; ")).also(keep)
        }
        State::Erasing(_) => erased(life, state, run, seen, p),
        _ => next(life, seen, Some(state), run.tries),
    }
}

/// Clean is what was erased whole, and all that the machine had when it was measured: a disk that is not there now may be
/// put back with what was on it, and one that shows less of itself than it did hides the rest.
fn erased(life: &MachineLife, state: &State, run: Run, seen: &Seen, p: &Progress) -> Step<State> {
    let mode = match &seen.errand {
        Some(Errand::Release { erase }) => *erase,
        _ => EraseMode::None,
    };
    // A quick one leaves most of a disk in any case, and says how much it cleared.
    let whole = |bytes: u64, d: &Disk| mode == EraseMode::Quick || bytes >= d.size_bytes;
    let there = |d: &&Disk| !p.erased.iter().any(|e| e.disk == d.id && whole(e.bytes, d));
    let missing: Vec<Disk> = seen.disks.iter().filter(there).cloned().collect();
    let dirty: Vec<&str> = p.erased.iter().filter(|e| e.wrong > 0).map(|e| e.disk.as_str()).collect();
    let mut words = Vec::new();
    if !dirty.is_empty() {
        words.push(format!("reading back found what was written before on: {}", dirty.join(", ")));
    }
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(named).collect();
        words.push(format!(
            "these of its disks were not there to be erased, or not as large as they were: {}. Put them back and try \
             again; if they were taken out for good, release it without erasing, then commission it, so that they are \
             known to be gone",
            names.join(", ")
        ));
    }
    let (m, kept) = (seen.m.clone(), p.erased.clone());
    let keep = move |tx: &Tx<'_>| -> Result<()> { erase::keep(tx, &m, mode, &kept, &missing) };
    match words.is_empty() {
        true => next(life, seen, Some(state), run.tries).also(keep),
        false => fail(life, seen, &words.join("; ")).also(keep),
    }
}

fn named(d: &Disk) -> String {
    let more: Vec<&str> =
        [d.model.as_str(), d.serial.as_str()].into_iter().filter(|t| !t.is_empty()).collect();
    if more.is_empty() {
        format!("{} ({})", d.name, d.id)
    } else {
        format!("{} ({})", d.name, more.join(" "))
    }
}

fn in_words(r: &base::doc::live::TestResult) -> String {
    let test = format!("{:?}", r.test).to_lowercase();
    let part = if r.part.is_empty() { String::new() } else { format!(" of {}", r.part) };
    let first = r.output.lines().next().unwrap_or_default();
    format!("the {test} test{part} failed: {first}")
}

fn fetching(life: &MachineLife, state: &State, run: Run, seen: &Seen) -> Step<State> {
    if !seen.alive() && !seen.rack_is_away() {
        // It need not be up for the rack to get an image, but it has to be afterwards.
        return match run.tries + 1 < TRIES {
            true => enter(life, seen, Phase::Boot, run.tries + 1),
            false => fail(life, seen, "its live system fell silent again and again"),
        };
    }
    match &seen.image {
        Some(i) if i.ready => next(life, seen, Some(state), run.tries),
        Some(i) if seen.elapsed() > 2 * 60 * MINUTE => {
            fail(life, seen, &format!("its rack could not get the image: {}", i.reason))
        }
        None if seen.elapsed() > 2 * 60 * MINUTE => fail(life, seen, "its rack did not get the image"),
        Some(i) => {
            let far =
                format!("its rack gets the image ({} of {} MiB)", i.done_bytes >> 20, i.total_bytes >> 20);
            let far = if i.reason.is_empty() { far } else { format!("{far}: {}", i.reason) };
            Step::wait(LOOK, seen.why(&far))
        }
        None => Step::wait(LOOK, seen.why("waiting for its rack to get the image")),
    }
}

/// Whether it has left its live system: that said so, or has fallen silent.
fn left(run: Run, seen: &Seen) -> bool {
    let obeys = seen.progress(run).is_some_and(|p| matches!(p.stage, Some(Stage::Running | Stage::Done)));
    let fresh = seen.session.as_ref().is_some_and(|s| s.begun_at > seen.since);
    (obeys || !seen.alive()) && !fresh
}

fn restarting(life: &MachineLife, run: Run, seen: &Seen) -> Step<State> {
    // Forgotten when the disk was written anew.
    if seen.m.status.busy() && seen.m.booted_at.0 > 0 && matches!(seen.errand, Some(Errand::Deploy(_))) {
        return finish(life, seen, vec![]);
    }
    if !left(run, seen) {
        if seen.elapsed() < LEAVES {
            return Step::wait(LOOK, seen.why("its live system is leaving"));
        }
        return match run.tries + 1 < TRIES {
            true => enter::restart_by_power(life, seen, run.tries + 1),
            false => fail(
                life,
                seen,
                "it comes back into its live system instead of starting from its disk. Does its firmware try the \
                 disk at all?",
            ),
        };
    }
    if !seen.m.status.busy() {
        // Nothing was asked: it only goes back to its disk, and what was asked of it last is not done by that.
        return super::ends::is_home(seen);
    }
    let waits = match &seen.errand {
        Some(Errand::Deploy(d)) => d.wait_for_system || d.as_host,
        _ => return finish(life, seen, vec![]),
    };
    let local = seen.m.seen.boot_at.filter(|at| *at >= seen.since && seen.m.seen.boot_answer == "local");
    // A drive that is somebody else's tells the new system nothing of us.
    let mute = matches!(&seen.errand, Some(Errand::Deploy(d)) if !d.seed.drive.is_empty());
    if mute && local.is_some() {
        return finish(life, seen, vec![]);
    }
    if !waits && seen.elapsed() > QUIET {
        return finish(
            life,
            seen,
            vec!["it has not said that it is up: its image may not know how to".into()],
        );
    }
    let says_so = Duration::from_secs(life.0.settings.patience.system_s);
    if seen.elapsed() > says_so && !seen.rack_is_away() {
        return fail(
            life,
            seen,
            "its image was written, but the new system has not said that it is up. Look at its screen or serial \
             console; it may not start on this hardware.",
        );
    }
    let way = if local.is_some() { "it starts from its disk" } else { "it restarts" };
    Step::wait(LOOK, seen.why(way))
}

fn powering_off(life: &MachineLife, run: Run, seen: &Seen) -> Step<State> {
    let (m, told) = (&seen.m, seen.progress(run));
    // Nothing can read the power of these. A live system that was told to leave is off when it has gone; of anything
    // else that may run there, such as the last owner's system, a person has to say so.
    let gone = told.is_some_and(|t| !seen.alive() || t.stage == Some(Stage::Done));
    let asked_before = Micros::now().since(seen.since) >= LOOK;
    if m.seen.power == Some(false) || (m.blind() && gone && asked_before) {
        return super::ends::is_off(life, seen);
    }
    if m.blind() && told.is_none() && seen.alive() && run.tries + 1 < TRIES {
        // It came up after the order.
        return enter(life, seen, Phase::PowerOff, run.tries + 1);
    }
    let limit = if m.blind() && m.status.busy() { BY_HAND } else { 5 * MINUTE };
    if seen.elapsed() < limit || seen.rack_is_away() {
        return Step::wait(Duration::from_secs(2), seen.why("waiting for it to switch off"));
    }
    let trouble = seen.trouble().unwrap_or_else(|| "its BMC says that it is still on".into());
    if seen.m.status.busy() {
        return fail(life, seen, &format!("it could not be switched off: {trouble}"));
    }
    super::ends::stays_on(seen, &trouble)
}
