//! Hosts that wait for a newer document: one subscription to the database's hints per process, passed on
//! to whoever waits for that host.

use base::HostId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::{Db, Topic};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

type Waiting = Arc<Mutex<HashMap<HostId, Arc<Notify>>>>;

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
                    Ok(_) => continue,
                    Err(RecvError::Lagged(_)) => {
                        // Hints were missed: everybody looks.
                        let all = heard.lock().unwrap_or_else(PoisonError::into_inner);
                        all.values().for_each(|n| n.notify_waiters());
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                };
                if let Some(notify) = told {
                    notify.notify_waiters();
                }
            }
        });
        Hub { waiting, listener }
    }

    /// What tells of a newer document for a host. Register (`notified().enable()`) before looking.
    pub fn of(&self, host: HostId) -> Arc<Notify> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(host).or_default().clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
