//! What this process remembers of sessions, so that a request of a browser costs no look into the database.
//!
//! As with tokens (`identity::cache`): everything is forgotten at any change in Identity, of which the end of a
//! session is one, and nothing is remembered while the other processes cannot be heard.

use base::Micros;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Hearing, Topic};
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

/// More are forgotten all at once; they are read again when they are used.
const MOST: usize = 10_000;

/// A session that was good when it was read.
#[derive(Debug, Clone)]
pub struct Kept {
    pub token: String,
    pub seen_at: Micros,
    pub expires_at: Micros,
}

impl Kept {
    pub fn is_over(&self, now: Micros, idle: Duration) -> bool {
        self.expires_at <= now || now.since(self.seen_at) >= idle
    }
}

pub struct Cache(Mutex<Inner>);

struct Inner {
    topics: Receiver<Topic>,
    hearing: Hearing,
    generation: u64,
    known: HashMap<String, Kept>,
}

impl Cache {
    pub fn new(topics: Receiver<Topic>, hearing: Hearing) -> Cache {
        Cache(Mutex::new(Inner { topics, hearing, generation: 0, known: HashMap::new() }))
    }

    /// The memory, after taking note of what has changed.
    fn fresh(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = !inner.hearing.hears();
        loop {
            match inner.topics.try_recv() {
                Ok(topic) => changed |= matches!(topic, Topic::Identity | Topic::Missed),
                Err(TryRecvError::Lagged(_)) => changed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if changed {
            inner.generation += 1;
            inner.known.clear();
        }
        inner
    }

    /// To be asked before reading what will be kept.
    pub fn generation(&self) -> u64 {
        self.fresh().generation
    }

    pub fn get(&self, id: &str) -> Option<Kept> {
        self.fresh().known.get(id).cloned()
    }

    pub fn keep(&self, generation: u64, id: &str, kept: Kept) {
        let mut inner = self.fresh();
        if inner.generation == generation {
            if inner.known.len() >= MOST {
                inner.known.clear();
            }
            inner.known.insert(id.to_owned(), kept);
        }
    }
}
