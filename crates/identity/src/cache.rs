//! What this process remembers: verified tokens and the catalogues' text.
//!
//! Everything is forgotten at any change in Identity. The hint about a change arrives before the
//! transaction that made it answers, and waiting hints are read before each look, so a caller who has
//! seen the answer to a change never meets what was true before it. What was read while a change
//! happened is not kept either: whoever keeps something says in which generation it was read. While the
//! hints of other processes cannot be heard nothing is remembered; that is noticed within five seconds.

use crate::session::Session;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{Hearing, Topic};
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

/// How long something is remembered at most.
const FOR: Duration = Duration::from_secs(60);
const SESSIONS: usize = 10_000;
const CATALOGS: usize = 1_000;

pub struct Cache(Mutex<Inner>);

struct Inner {
    topics: Receiver<Topic>,
    hearing: Hearing,
    generation: u64,
    sessions: Halves<String, Arc<Session>>,
    catalogs: Halves<(String, String), Arc<str>>,
}

impl Cache {
    pub fn new(topics: Receiver<Topic>, hearing: Hearing) -> Self {
        Cache(Mutex::new(Inner {
            topics,
            hearing,
            generation: 0,
            sessions: Halves::new(SESSIONS),
            catalogs: Halves::new(CATALOGS),
        }))
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
            inner.sessions.clear();
            inner.catalogs.clear();
        }
        inner
    }

    /// To be asked before reading what will be kept.
    pub fn generation(&self) -> u64 {
        self.fresh().generation
    }

    pub fn session(&self, token: &str) -> Option<Arc<Session>> {
        self.fresh().sessions.get(token)
    }

    pub fn keep_session(&self, generation: u64, token: &str, session: Arc<Session>) {
        let mut inner = self.fresh();
        if inner.generation == generation {
            inner.sessions.put(token.to_owned(), session);
        }
    }

    pub fn catalog(&self, key: &(String, String)) -> Option<Arc<str>> {
        self.fresh().catalogs.get(key)
    }

    pub fn keep_catalog(&self, generation: u64, key: (String, String), text: Arc<str>) {
        let mut inner = self.fresh();
        if inner.generation == generation {
            inner.catalogs.put(key, text);
        }
    }
}

/// A bounded map that forgets the half which was not asked for lately.
struct Halves<K, V> {
    young: HashMap<K, (Instant, V)>,
    old: HashMap<K, (Instant, V)>,
    half: usize,
}

impl<K: Hash + Eq, V: Clone> Halves<K, V> {
    fn new(most: usize) -> Self {
        Halves { young: HashMap::new(), old: HashMap::new(), half: most.div_ceil(2) }
    }

    fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        if !self.young.contains_key(key) {
            let (key, kept) = self.old.remove_entry(key)?;
            self.insert(key, kept);
        }
        let (at, value) = self.young.get(key)?;
        (at.elapsed() < FOR).then(|| value.clone())
    }

    fn put(&mut self, key: K, value: V) {
        self.insert(key, (Instant::now(), value));
    }

    fn insert(&mut self, key: K, kept: (Instant, V)) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, kept);
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_asked_for_and_never_more_than_it_may() {
        let mut map = Halves::new(10);
        map.put("favourite".to_owned(), 1);
        for i in 0..1000 {
            map.put(i.to_string(), i);
            assert_eq!(map.get("favourite"), Some(1));
            assert!(map.young.len() + map.old.len() <= 11, "{}", map.young.len());
        }
        assert_eq!(map.get("0"), None);
        assert_eq!(map.get("999"), Some(999));
    }

    #[test]
    fn nothing_is_kept_that_was_read_before_a_change() {
        let (tx, rx) = tokio::sync::broadcast::channel(4);
        let cache = Cache::new(rx, Hearing::alone());
        let key = || ("p".to_owned(), "b".to_owned());
        let before = cache.generation();
        cache.keep_catalog(before, key(), "old".into());
        assert!(cache.catalog(&key()).is_some());
        tx.send(Topic::Work).unwrap();
        assert!(cache.catalog(&key()).is_some(), "other hints change nothing");
        tx.send(Topic::Identity).unwrap();
        assert!(cache.catalog(&key()).is_none());
        cache.keep_catalog(before, key(), "old".into());
        assert!(cache.catalog(&key()).is_none(), "read before the change");
        let now = cache.generation();
        cache.keep_catalog(now, key(), "new".into());
        for _ in 0..9 {
            tx.send(Topic::Work).unwrap();
        }
        assert!(cache.catalog(&key()).is_none(), "a hint may have been among those that were missed");
    }
}
