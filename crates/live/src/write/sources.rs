//! Where a chunk is fetched from: neighbours when they behave, the rack always.

use rand::seq::IndexedRandom;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A neighbour that is slow or away is left alone for so long.
const AWAY: Duration = Duration::from_secs(20);
/// And one that is busy, or does not have what was asked: all begin with nothing.
const EMPTY: Duration = Duration::from_millis(50);

pub struct Sources {
    rack: String,
    own: String,
    peers: Mutex<HashMap<String, Peer>>,
}

#[derive(Clone, Copy, Default)]
struct Peer {
    until: Option<Instant>,
    /// It sent what it should not have: never again.
    bad: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    Empty,
    Away,
    Damaged,
}

impl Sources {
    /// `own` is our own address and port, which the rack names too.
    pub fn new(rack: &str, own: &str) -> Sources {
        Sources { rack: rack.to_owned(), own: own.to_owned(), peers: Mutex::default() }
    }
    pub fn rack(&self) -> &str {
        &self.rack
    }
    fn open(&self) -> MutexGuard<'_, HashMap<String, Peer>> {
        self.peers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    /// Those that the rack knows now; what is known of them stays.
    pub fn learn(&self, peers: &[String]) {
        let mut known = self.open();
        known.retain(|p, _| peers.contains(p));
        for peer in peers.iter().filter(|p| **p != self.own) {
            known.entry(peer.trim_end_matches('/').to_owned()).or_default();
        }
    }
    /// A neighbour to ask, if one is worth it. One time in as many the rack is asked all the same: it has everything.
    pub fn neighbour(&self) -> Option<String> {
        let now = Instant::now();
        let known = self.open();
        let good: Vec<&String> =
            known.iter().filter(|(_, p)| !p.bad && p.until.is_none_or(|u| u < now)).map(|(n, _)| n).collect();
        if rand::random_range(0..=good.len()) == 0 {
            return None;
        }
        good.choose(&mut rand::rng()).map(|p| (*p).clone())
    }
    pub fn blame(&self, peer: &str, what: Blame) {
        if let Some(peer) = self.open().get_mut(peer) {
            match what {
                Blame::Damaged => peer.bad = true,
                Blame::Away => peer.until = Some(Instant::now() + AWAY),
                Blame::Empty => peer.until = Some(Instant::now() + EMPTY),
            }
        }
    }
}
