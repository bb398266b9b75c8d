//! Work of this process that a step starts and later takes the outcome of.

use crate::table::stage::Staged;
use base::{Fault, Result};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use store::{Db, work};
use tokio::task::AbortHandle;

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
    pub fn poll<F>(&self, db: &Db, id: &str, name: &str, make: impl FnOnce(Arc<Progress>) -> F) -> State
    where
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
                if let Err(fault) = db.write(move |tx| work::wake(tx, &id)).await {
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

    /// Ends jobs and forgets their outcomes.
    pub fn drop_of(&self, names: &[String]) {
        let mut all = self.all();
        for name in names {
            all.remove(name);
        }
    }
}
