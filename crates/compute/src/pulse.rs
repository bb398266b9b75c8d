//! Signs of life of hosts. Reports come every few seconds and mostly say the same again: those are taken in
//! memory, and when hosts were heard is written for many of them together.
//!
//! Invariants: a report counts as a repetition only when the host's last whole report, as the database has
//! it, was the same; `host.seen_at` of a host that reports is at most [`seen_lag`] older than the truth, and
//! never newer. What a process that dies had not written comes with the next report of each host, to
//! whichever region process. A host counts an answer as its lease renewed, and other processes count by what is
//! written: so where there may be others, a process that cannot write what it hears does not answer from memory.
//!
//! It also knows for how long hosts could have been heard ([`listening`]): after an outage all of them look silent,
//! and get their time anew.

use crate::fleet::fenced_after;
use crate::hosts::{seen_lag, silent_after};
use crate::table::host::{self, Host};
use base::{HostId, Micros, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{Db, Hearing};
use tokio::task::JoinHandle;

/// Times are written this often, of hosts whose written time is older than [`seen_lag`] less this.
const TICK: Duration = Duration::from_secs(1);
/// What was written of a host may be so many ticks older than [`seen_lag`] when its report is taken in memory:
/// reports come every five seconds. [`crate::fleet::MARGIN`] has room for them.
const LATE: u32 = 5;
/// Hosts in one transaction: it holds their rows.
const TOGETHER: usize = 200;
/// How long a token's host is believed without a look at the database.
const BELIEVED: Duration = Duration::from_secs(60);
/// A repetition is compared with the tables this often all the same.
const WHOLE: Duration = Duration::from_secs(600);

/// What is known of a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    Yes,
    /// It is one, and it is time to look at the whole again.
    Whole,
    Unknown,
}

struct Heard {
    at: Micros,
    written: Micros,
    digest: Arc<str>,
    whole: Instant,
}

#[derive(Default)]
struct Memory {
    heard: HashMap<HostId, Heard>,
    /// By the hash of the token.
    proofs: HashMap<String, (HostId, Instant)>,
}

pub struct Pulse {
    memory: Arc<Mutex<Memory>>,
    hearing: Hearing,
    /// No other process judges by what is written.
    alone: bool,
    writer: JoinHandle<()>,
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pulse {
    pub fn start(db: &Db) -> Self {
        let memory = Arc::<Mutex<Memory>>::default();
        let writer = tokio::spawn(write(db.clone(), memory.clone()));
        Pulse { memory, hearing: db.hearing(), alone: db.is_alone(), writer }
    }

    /// The host that proved itself so a moment ago.
    pub fn who(&self, proof: &str) -> Option<HostId> {
        let memory = lock(&self.memory);
        memory.proofs.get(proof).filter(|(_, since)| since.elapsed() < BELIEVED).map(|(id, _)| *id)
    }

    /// The database knows this proof.
    pub fn proved(&self, proof: &str, id: HostId) {
        lock(&self.memory).proofs.insert(proof.to_owned(), (id, Instant::now()));
    }

    /// A host says that its last report is still so. Whether it is, only the database knows while this process
    /// does not hear the others, or has not written for too long that it hears the host.
    pub fn again(&self, id: HostId, digest: &str) -> Again {
        let sure = |written| self.hearing.hears() && self.is_fresh(written);
        again(&mut lock(&self.memory), id, digest, sure)
    }

    /// Whether a host may be answered without writing that it was heard; `written` is when it was seen last, as the
    /// database has it.
    pub fn is_fresh(&self, written: Micros) -> bool {
        self.alone || is_fresh(written)
    }

    /// A host's report is as the database has it: `written` is when it has been seen last by that.
    pub fn took(&self, id: HostId, written: Micros, digest: &str) {
        let heard = Heard { at: Micros::now(), written, digest: digest.into(), whole: Instant::now() };
        lock(&self.memory).heard.insert(id, heard);
    }

    /// As [`Pulse::took`], of a report that was told by its digest alone: the time to look at the whole stays.
    pub fn found(&self, id: HostId, written: Micros, digest: &str) {
        let mut memory = lock(&self.memory);
        let known = memory.heard.get(&id).filter(|h| *h.digest == *digest);
        let whole = known.map_or_else(Instant::now, |h| h.whole);
        memory.heard.insert(id, Heard { at: Micros::now(), written, digest: digest.into(), whole });
    }
}

fn again(memory: &mut Memory, id: HostId, digest: &str, sure: impl FnOnce(Micros) -> bool) -> Again {
    let Some(h) = memory.heard.get_mut(&id).filter(|h| *h.digest == *digest) else {
        return Again::Unknown;
    };
    h.at = Micros::now();
    if h.whole.elapsed() >= WHOLE {
        return Again::Whole;
    }
    if sure(h.written) { Again::Yes } else { Again::Unknown }
}

fn is_fresh(written: Micros) -> bool {
    Micros::now().since(written) <= seen_lag() + TICK * LATE
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

/// Writes what was heard, until dropped.
async fn write(db: Db, memory: Arc<Mutex<Memory>>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let due = due(&mut lock(&memory));
        let mut well = !due.is_empty() || db.read(|tx| tx.opt("SELECT 1", &[], |_| Ok(()))).await.is_ok();
        for part in due.chunks(TOGETHER) {
            match write_part(&db, part.to_vec()).await {
                Ok(()) => written(&mut lock(&memory), part),
                Err(fault) => {
                    well = false;
                    tracing::warn!(%fault, "when hosts were seen is written in a moment");
                }
            }
        }
        lock(&LISTENING).look(well, Instant::now());
    }
}

/// Hosts whose written time is getting old, in the order in which all transactions write hosts.
fn due(memory: &mut Memory) -> Vec<(HostId, Micros)> {
    memory.proofs.retain(|_, (_, since)| since.elapsed() < BELIEVED);
    // Who has not been heard for so long is no host of ours any more, or of another region process.
    let now = Micros::now();
    for h in memory.heard.values_mut() {
        // After the clock went back nothing was heard or written later than now.
        (h.at, h.written) = (h.at.min(now), h.written.min(now));
    }
    memory.heard.retain(|_, h| h.at > h.written || now.since(h.at) < silent_after());
    let old = |h: &Heard| h.at > h.written && now.since(h.written) + TICK >= seen_lag();
    let mut due: Vec<_> = memory.heard.iter().filter(|(_, h)| old(h)).map(|(id, h)| (*id, h.at)).collect();
    due.sort_unstable();
    due
}

async fn write_part(db: &Db, part: Vec<(HostId, Micros)>) -> Result<()> {
    db.write(move |tx| part.iter().try_for_each(|(id, at)| host::seen(tx, *id, *at))).await
}

fn written(memory: &mut Memory, part: &[(HostId, Micros)]) {
    for (id, at) in part {
        if let Some(h) = memory.heard.get_mut(id) {
            h.written = h.written.max(*at);
        }
    }
}

/// For how long this process has heard hosts. Of the whole process, as its clock is.
static LISTENING: Mutex<Listening> = Mutex::new(Listening { since: None, well: None });

#[derive(Debug)]
struct Listening {
    /// It begins with the first who asks: before, a process that starts may not take reports yet.
    since: Option<Instant>,
    /// The last look at the database, if that answered.
    well: Option<Instant>,
}

impl Listening {
    fn look(&mut self, answered: bool, now: Instant) {
        if !answered || !self.goes_on(now) {
            self.since = None;
        }
        self.well = answered.then_some(now);
    }

    /// A process that stood still did not hear anybody either.
    fn goes_on(&self, now: Instant) -> bool {
        let gap = (silent_after() / 2).max(TICK * LATE);
        self.well.is_some_and(|at| now.duration_since(at) <= gap)
    }

    fn asked(&mut self, now: Instant) -> Duration {
        if !self.goes_on(now) {
            return Duration::ZERO;
        }
        now.duration_since(*self.since.get_or_insert(now))
    }
}

/// For how long hosts could have been heard without a break, and how long ago they were has been known: since the
/// start, an outage of the database, or a jump of the clock. Zero at the first question.
pub fn listening() -> Duration {
    lock(&LISTENING).asked(Instant::now()).min(base::clock::steady_for())
}

/// Whether a host has been silent for too long, and not because we did not hear; or is said to be down. A host that
/// finds the region again may need some tens of seconds for its next report.
pub fn is_lost(host: &Host) -> bool {
    host.silent() && (host.forced_down || listening() > fenced_after(seen_lag()))
}

/// As if it had been so for `time`.
#[cfg(test)]
pub fn listens_for(time: Duration) {
    let now = Instant::now();
    *lock(&LISTENING) = Listening { since: now.checked_sub(time), well: Some(now) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(at: i64, written: i64) -> Heard {
        let now = Micros::now().0;
        let ago = |s: i64| Micros(now - s * 1_000_000);
        Heard { at: ago(at), written: ago(written), digest: "d".into(), whole: Instant::now() }
    }

    #[test]
    fn only_what_is_getting_old_is_written_and_in_order() {
        let lag = i64::try_from(seen_lag().as_secs()).unwrap();
        let mut ids = [HostId::new(), HostId::new(), HostId::new(), HostId::new()];
        ids.sort_unstable();
        let mut memory = Memory::default();
        memory.heard.insert(ids[3], heard(0, lag));
        memory.heard.insert(ids[0], heard(1, 10 * lag));
        memory.heard.insert(ids[1], heard(0, 1));
        memory.heard.insert(ids[2], heard(3600, 3600));
        let first = due(&mut memory);
        assert_eq!(first.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[0], ids[3]]);
        assert!(!memory.heard.contains_key(&ids[2]), "the long silent are forgotten");
        written(&mut memory, &first);
        assert!(due(&mut memory).is_empty(), "and not twice");
    }

    #[test]
    fn only_who_can_write_what_he_hears_answers_from_memory() {
        let (id, late) = (HostId::new(), i64::try_from((seen_lag() + TICK * LATE).as_secs()).unwrap());
        for (written, told) in [(1, Again::Yes), (late - 1, Again::Yes), (late + 1, Again::Unknown)] {
            let mut memory = Memory::default();
            memory.heard.insert(id, heard(written, written));
            assert_eq!(again(&mut memory, id, "d", is_fresh), told, "{written} s ago");
            assert_eq!(again(&mut memory, id, "other", is_fresh), Again::Unknown);
            let h = &memory.heard[&id];
            assert!(h.at > h.written, "it was heard all the same, and that is written when it can be");
        }
    }

    #[test]
    fn no_host_outlives_its_lease_by_what_is_answered_from_memory() {
        // What is written is that old when a lease is renewed, which then lasts for as long as the fence.
        let (answered, lag) = (seen_lag() + TICK * LATE, seen_lag());
        let killing = Duration::from_secs(5);
        assert!(answered + crate::fleet::FENCE + killing < fenced_after(lag));
    }

    #[test]
    fn hosts_get_their_time_anew_after_an_outage() {
        let begun = Instant::now();
        let at = |s| begun + Duration::from_secs(s);
        let mut l = Listening { since: None, well: None };
        let mut asked = |look: Option<bool>, s| {
            look.into_iter().for_each(|answered| l.look(answered, at(s)));
            l.asked(at(s)).as_secs()
        };
        assert_eq!(asked(None, 0), 0, "nothing is known of the database yet");
        assert_eq!(asked(Some(true), 5), 0, "it begins with the first question");
        assert_eq!(asked(Some(true), 15), 10);
        assert_eq!(asked(Some(false), 16), 0, "the database is away");
        assert_eq!(asked(Some(true), 20), 0);
        assert_eq!(asked(Some(true), 30), 10);
        // The process stood still.
        assert_eq!(asked(None, 1000), 0);
        assert_eq!(asked(Some(true), 1001), 0);
        assert_eq!(asked(Some(true), 1004), 3);
    }
}
