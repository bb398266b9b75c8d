//! Work of this process that a step starts and later takes the outcome of.

use crate::table::stage::Staged;
use base::{Fault, Result};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::Db;
use store::work::{self, Life};
use tokio::task::AbortHandle;

/// A job tells when it is done; this is how often one looks besides.
pub const LOOK: Duration = Duration::from_secs(2);

/// How long a job is left to another process before one looks again: by chance, as processes whose engines look in
/// step would hand it to the wrong one again and again.
pub fn leave() -> Duration {
    // Each is seeded by chance; that is all that is needed of it.
    let chance = RandomState::new().hash_one(());
    Duration::from_millis(200 + chance % 1200)
}

/// Bytes done, and to do if that is known.
#[derive(Debug, Default)]
pub struct Progress {
    pub done: AtomicU64,
    pub total: AtomicU64,
}

impl Progress {
    fn text(&self) -> String {
        let mib = |n: &AtomicU64| n.load(Ordering::Relaxed) >> 20;
        match mib(&self.total) {
            0 => format!("{} MiB so far", mib(&self.done)),
            total => format!("{} MiB of {total} MiB", mib(&self.done)),
        }
    }
}

type Outcome = Arc<Mutex<Option<Result<Staged>>>>;

struct Job {
    progress: Arc<Progress>,
    outcome: Outcome,
    handle: AbortHandle,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// How a job is.
pub enum State {
    Running(String),
    Done(Result<Staged>),
}

/// The jobs, by the name of what they make.
#[derive(Default)]
pub struct Jobs(Mutex<HashMap<String, Job>>);

impl Jobs {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the job `name` is; starts it if there is none. When it ends, the life-cycle `id` is woken.
    pub fn poll<L, F>(&self, db: &Db, id: &str, name: &str, make: impl FnOnce(Arc<Progress>) -> F) -> State
    where
        L: Life,
        F: Future<Output = Result<Staged>> + Send + 'static,
    {
        let mut all = self.all();
        let job = all.entry(name.to_owned()).or_insert_with(|| {
            let progress = Arc::new(Progress::default());
            let outcome = Outcome::default();
            let work = tokio::spawn(make(progress.clone()));
            let (db, id, told) = (db.clone(), id.to_owned(), outcome.clone());
            let handle = work.abort_handle();
            tokio::spawn(async move {
                let ended = work.await.unwrap_or_else(|e| Err(Fault::internal(e)));
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
                // Only a hint: the step looks by itself now and then.
                if let Err(fault) = db.write(move |tx| work::wake_of::<L>(tx, &id)).await {
                    tracing::warn!(%fault, "an import could not be woken");
                }
            });
            Job { progress, outcome, handle }
        });
        match job.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(outcome) => State::Done(outcome),
            None => State::Running(job.progress.text()),
        }
    }

    /// What a job made, if it ended well.
    pub fn made(&self, name: &str) -> Option<Staged> {
        let outcome = self.all().get(name)?.outcome.clone();
        let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcome?.ok()
    }

    /// Ends jobs and forgets their outcomes.
    pub fn drop_of(&self, names: &[String]) {
        let mut all = self.all();
        for name in names {
            all.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_left_to_another_for_a_while_that_differs() {
        let all: Vec<Duration> = (0..100).map(|_| leave()).collect();
        let millis = |n| Duration::from_millis(n);
        assert!(all.iter().all(|d| (millis(200)..millis(1400)).contains(d)), "{all:?}");
        // Longer and shorter than the second after which an engine looks by itself.
        assert!(all.iter().any(|d| *d > millis(1000)) && all.iter().any(|d| *d < millis(1000)), "{all:?}");
    }
}
