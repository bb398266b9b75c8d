//! Hosts that wait for a newer document: one subscription to the database's hints per process, passed on
//! to whoever waits for that host.

use base::HostId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Db, Topic};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::futures::Notified;
use tokio::task::JoinHandle;

/// One host's bell, and how long its last document took to make.
#[derive(Default)]
pub struct Bell {
    notify: Notify,
    took_us: AtomicU64,
}

impl Bell {
    /// Rings at the next change. Register (`enable`) before looking.
    pub fn changed(&self) -> Notified<'_> {
        self.notify.notified()
    }
    pub fn took(&self, time: Duration) {
        self.took_us.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    /// At most half a second.
    pub fn last_took(&self) -> Duration {
        Duration::from_micros(self.took_us.load(Ordering::Relaxed)).min(Duration::from_millis(500))
    }
}

type Waiting = Arc<Mutex<HashMap<HostId, Arc<Bell>>>>;

pub struct Hub {
    waiting: Waiting,
    listener: JoinHandle<()>,
}

impl Hub {
    pub fn start(db: &Db) -> Self {
        let waiting = Waiting::default();
        let (mut hints, heard) = (db.topics(), waiting.clone());
        let listener = tokio::spawn(async move {
            loop {
                let told = match hints.recv().await {
                    Ok(Topic::Host(id)) => {
                        heard.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
                    }
                    Ok(Topic::Missed) | Err(RecvError::Lagged(_)) => {
                        // Hints were missed: everybody looks.
                        let all = heard.lock().unwrap_or_else(PoisonError::into_inner);
                        all.values().for_each(|b| b.notify.notify_waiters());
                        continue;
                    }
                    Ok(_) => continue,
                    Err(RecvError::Closed) => return,
                };
                if let Some(bell) = told {
                    bell.notify.notify_waiters();
                }
            }
        });
        Hub { waiting, listener }
    }

    /// What tells of a newer document for a host.
    pub fn of(&self, host: HostId) -> Arc<Bell> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(host).or_default().clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
