//! What changes, numbered and kept for a while, for the streams of the portal.
//!
//! ```text
//!   transactions ── Db::changes ──▶ gather (a few ms) ──▶ who may know (one read) ──▶ ring ──▶ streams
//! ```
//! One task does this for all streams of a process, and only while somebody watches: a cloud that nobody looks at
//! pays nothing. Numbers are this process's own. Whoever comes back with a number of another process, of before a
//! restart, or older than the ring, is told that changes were lost and looks at everything again; so is everybody
//! when changes may have gone by.

mod audience;
mod ring;

pub use audience::Viewer;
pub use ring::{Line, Place, Read};

use ring::Ring;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::change::Change;
use store::{Db, Topic};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tokio::time::Instant;

/// Changes that come within this time are told together, each thing once.
const GATHER: Duration = Duration::from_millis(15);
/// Most that are looked up in one read.
const BATCH: usize = 500;
/// How long the ring is kept up after the last stream has ended, so that one can be resumed.
const LINGER: Duration = Duration::from_secs(120);
/// Streams of one user, and of all.
const PER_USER: usize = 16;
const OF_ALL: usize = 2_000;

/// The feed of one process.
pub struct Feed {
    db: Db,
    ring: Mutex<Ring>,
    streams: Mutex<Streams>,
    /// Counts up when there are new lines.
    pub news: watch::Sender<u64>,
    /// Counts up when users, roles or sessions changed: streams look whether they may go on.
    pub rights: watch::Sender<u64>,
}

#[derive(Default)]
struct Streams {
    by_user: HashMap<String, usize>,
    all: usize,
    /// Whether the task runs.
    running: bool,
}

/// A stream's place among those that may be; given back when dropped.
pub struct Seat {
    feed: Arc<Feed>,
    user: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut streams = lock(&self.feed.streams);
        streams.all -= 1;
        if let Some(n) = streams.by_user.get_mut(&self.user) {
            *n -= 1;
            if *n == 0 {
                streams.by_user.remove(&self.user);
            }
        }
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    pub fn new(db: Db) -> Arc<Feed> {
        Arc::new(Feed {
            db,
            ring: Mutex::new(Ring::new()),
            streams: Mutex::default(),
            news: watch::Sender::new(0),
            rights: watch::Sender::new(0),
        })
    }

    /// A seat for one more stream of `user`; `None` when there are too many. From here on nothing is missed.
    pub fn sit(self: &Arc<Self>, user: &str) -> Option<Seat> {
        let mut streams = lock(&self.streams);
        let own = streams.by_user.get(user).copied().unwrap_or(0);
        if own >= PER_USER || streams.all >= OF_ALL {
            return None;
        }
        streams.by_user.insert(user.to_owned(), own + 1);
        streams.all += 1;
        if !streams.running {
            streams.running = true;
            let (changes, topics) = (self.db.changes(), self.db.topics());
            lock(&self.ring).begin_anew();
            let rights = tokio::spawn(Feed::watch_rights(Arc::downgrade(self), topics));
            let feed = self.clone();
            tokio::spawn(async move {
                feed.gather(changes).await;
                rights.abort();
            });
        }
        Some(Seat { feed: self.clone(), user: user.to_owned() })
    }

    /// Where the feed is.
    pub fn place(&self) -> Place {
        lock(&self.ring).place()
    }

    /// What came after `from`, up to some lines.
    pub fn read(&self, from: Place) -> Read {
        lock(&self.ring).read(from)
    }

    async fn gather(&self, mut changes: Receiver<Topic>) {
        let mut idle_since = Instant::now();
        loop {
            match tokio::time::timeout(LINGER / 4, changes.recv()).await {
                Ok(Ok(Topic::Change(first))) if !first.is_many() => {
                    self.tell(&mut changes, first).await;
                }
                // Many at once, or some went by.
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => self.lose(),
                Ok(Err(RecvError::Closed)) => return,
                Err(_) => {}
            }
            let mut streams = lock(&self.streams);
            if streams.all > 0 {
                idle_since = Instant::now();
            } else if idle_since.elapsed() > LINGER {
                // Under the lock: whoever sits down next starts another.
                streams.running = false;
                return;
            }
        }
    }

    /// Tells of a change and of those that follow at once.
    async fn tell(&self, changes: &mut Receiver<Topic>, first: Arc<Change>) {
        let mut batch = Batch::default();
        batch.add(first);
        let until = Instant::now() + GATHER;
        let mut lost = false;
        while batch.order.len() < BATCH {
            match tokio::time::timeout_at(until, changes.recv()).await {
                Ok(Ok(Topic::Change(c))) if !c.is_many() => batch.add(c),
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => lost = true,
                Ok(Err(RecvError::Closed)) | Err(_) => break,
            }
        }
        let all = batch.order;
        let lines = self
            .db
            .read(move |tx| all.iter().map(|c| audience::line(tx, c)).collect::<base::Result<Vec<_>>>());
        match lines.await {
            Ok(lines) if !lost => {
                lock(&self.ring).add(lines);
                self.news.send_modify(|n| *n += 1);
            }
            Ok(_) => self.lose(),
            Err(fault) => {
                tracing::warn!(%fault, "who may know of a change could not be looked up; the streams start anew");
                self.lose();
            }
        }
    }

    /// Whoever watches has to look at everything again.
    fn lose(&self) {
        lock(&self.ring).begin_anew();
        self.news.send_modify(|n| *n += 1);
    }

    /// Runs until it is stopped.
    async fn watch_rights(feed: std::sync::Weak<Feed>, mut topics: Receiver<Topic>) {
        loop {
            let heard = topics.recv().await;
            let Some(feed) = feed.upgrade() else { return };
            match heard {
                Ok(Topic::Identity | Topic::Missed) | Err(RecvError::Lagged(_)) => {
                    feed.rights.send_modify(|n| *n += 1);
                }
                Ok(_) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Changes in the order in which they came, each thing once.
#[derive(Default)]
struct Batch {
    order: Vec<Change>,
    at: HashMap<(String, String), usize>,
}

impl Batch {
    fn add(&mut self, change: Arc<Change>) {
        let key = (change.kind.clone(), change.id.clone());
        match self.at.get(&key) {
            Some(i) => self.order[*i].follow((*change).clone()),
            None => {
                self.at.insert(key, self.order.len());
                self.order.push((*change).clone());
            }
        }
    }
}
