//! Signs of life of hosts. Reports come every few seconds and mostly say the same again: those are taken in
//! memory, and when hosts were heard is written for many of them together.
//!
//! Invariants: a report counts as a repetition only when the host's last whole report, as the database has
//! it, was the same; `host.seen_at` of a host that reports is at most [`seen_lag`] older than the truth, and
//! never newer. What a process that dies had not written comes with the next report of each host, to
//! whichever region process.

use crate::hosts::{seen_lag, silent_after};
use crate::table::host;
use base::{HostId, Micros, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::Db;
use tokio::task::JoinHandle;

/// Times are written this often, of hosts whose written time is older than [`seen_lag`] less this.
const TICK: Duration = Duration::from_secs(1);
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
    writer: JoinHandle<()>,
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pulse {
    pub fn start(db: &Db) -> Self {
        let memory = Arc::<Mutex<Memory>>::default();
        let writer = tokio::spawn(write(db.clone(), memory.clone()));
        Pulse { memory, writer }
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

    /// A host says that its last report is still so.
    pub fn again(&self, id: HostId, digest: &str) -> Again {
        let mut memory = lock(&self.memory);
        let Some(h) = memory.heard.get_mut(&id).filter(|h| *h.digest == *digest) else {
            return Again::Unknown;
        };
        h.at = Micros::now();
        if h.whole.elapsed() < WHOLE { Again::Yes } else { Again::Whole }
    }

    /// A host's report is as the database has it: `written` is when it has been seen last by that.
    pub fn took(&self, id: HostId, written: Micros, digest: &str) {
        let heard = Heard { at: Micros::now(), written, digest: digest.into(), whole: Instant::now() };
        lock(&self.memory).heard.insert(id, heard);
    }
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
        for part in due.chunks(TOGETHER) {
            match write_part(&db, part.to_vec()).await {
                Ok(()) => written(&mut lock(&memory), part),
                Err(fault) => tracing::warn!(%fault, "when hosts were seen is written in a moment"),
            }
        }
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
}
