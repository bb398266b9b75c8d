//! Hosts that wait for a newer document: one subscription to the database's hints per process, passed on
//! to whoever waits for that host.

use base::HostId;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Db, Topic};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::futures::Notified;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Changes that come close together travel together; those of what others hold may wait longer for company, as a
/// guest that has just come takes longer to talk.
const GATHER: Duration = Duration::from_millis(20);
const GATHER_NEIGHBOURS: Duration = Duration::from_millis(250);
/// After a document that took a time to be had, the host's next one is made so many times that later: whatever
/// happens, most of the time is left for others.
const REST_TIMES: u32 = 4;
const REST_MAX: Duration = Duration::from_secs(2);

/// One host's bell, and when its next document may be made.
#[derive(Default)]
pub struct Bell {
    notify: Notify,
    neighbours: Notify,
    not_before: Mutex<Option<Instant>>,
}

impl Bell {
    /// Rings at the next change of the host's own. Register (`enable`) before looking.
    pub fn changed(&self) -> Notified<'_> {
        self.notify.notified()
    }
    /// The same of what its neighbours hold.
    pub fn neighbours_changed(&self) -> Notified<'_> {
        self.neighbours.notified()
    }
    /// A document was asked for at `begun`, and is there now.
    pub fn made(&self, begun: Instant) {
        let rest = (begun.elapsed() * REST_TIMES).min(REST_MAX);
        *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + rest);
    }
    /// Waits for what comes close to a change of now.
    pub async fn gather(&self) {
        let soon = Instant::now() + GATHER;
        let not_before = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep_until(not_before.map_or(soon, |then| then.max(soon))).await;
    }
    /// The same of a change of its neighbours', until the host's own change.
    pub async fn gather_neighbours(&self, own: Pin<&mut Notified<'_>>) {
        tokio::select! {
            () = own => {}
            () = tokio::time::sleep(GATHER_NEIGHBOURS) => {}
        }
        self.gather().await;
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
                match hints.recv().await {
                    Ok(Topic::Host(id)) => ring(&heard, id, |b| &b.notify),
                    Ok(Topic::Neighbour(id)) => ring(&heard, id, |b| &b.neighbours),
                    Ok(Topic::Missed) | Err(RecvError::Lagged(_)) => {
                        // Hints were missed: everybody looks.
                        let all = heard.lock().unwrap_or_else(PoisonError::into_inner);
                        all.values().for_each(|b| b.notify.notify_waiters());
                    }
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
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

fn ring(waiting: &Waiting, host: HostId, which: impl FnOnce(&Bell) -> &Notify) {
    if let Some(bell) = waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&host) {
        which(bell).notify_waiters();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
