//! Racks and live systems that wait for something newer: one subscription to the database's hints per process,
//! passed on to whoever waits for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::{Db, Topic};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Racks' and machines' ids are random, so that one table serves both.
type Waiting = Arc<Mutex<HashMap<Uuid, Arc<Notify>>>>;

pub struct Bells {
    waiting: Waiting,
    listener: JoinHandle<()>,
}

impl Bells {
    pub fn start(db: &Db) -> Self {
        let waiting = Waiting::default();
        let (mut hints, heard) = (db.topics(), waiting.clone());
        let listener = tokio::spawn(async move {
            loop {
                let id = match hints.recv().await {
                    Ok(Topic::Rack(id)) => id.0,
                    Ok(Topic::Machine(id)) => id.0,
                    // Hints were missed: everybody looks.
                    Ok(Topic::Missed) | Err(RecvError::Lagged(_)) => {
                        let all = heard.lock().unwrap_or_else(PoisonError::into_inner);
                        all.values().for_each(|b| b.notify_waiters());
                        continue;
                    }
                    Ok(_) => continue,
                    Err(RecvError::Closed) => return,
                };
                let told = heard.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
                if let Some(bell) = told {
                    bell.notify_waiters();
                }
            }
        });
        Bells { waiting, listener }
    }

    /// What tells of something newer. Register (`enable`) before looking.
    pub fn of(&self, id: Uuid) -> Arc<Notify> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Machines come and go: what nobody waits for is forgotten now and then.
        if waiting.len() > 10_000 {
            waiting.retain(|_, bell| Arc::strong_count(bell) > 1);
        }
        waiting.entry(id).or_default().clone()
    }
}

impl Drop for Bells {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
