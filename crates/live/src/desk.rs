//! Where a task writes down how it goes. What is written reaches the rack within seconds; how it ended is told
//! until the rack has heard it.

use crate::console;
use crate::talk::Talk;
use base::doc::live::{Erased, Report, Stage, TestResult};
use base::{Fault, Kind, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Desk {
    report: Arc<Mutex<Report>>,
    /// Another task has taken this one's place.
    stop: Arc<AtomicBool>,
}

impl Desk {
    pub fn new(number: u64) -> Desk {
        let report = Report {
            number,
            stage: Stage::Running,
            reason: String::new(),
            lasting: false,
            done_bytes: 0,
            total_bytes: 0,
            results: Vec::new(),
            erased: Vec::new(),
        };
        Desk { report: Arc::new(Mutex::new(report)), stop: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    pub fn report(&self) -> Report {
        self.open().clone()
    }
    /// What is being done now.
    pub fn say(&self, what: impl Into<String>) {
        let what = what.into();
        let mut report = self.open();
        if report.reason != what {
            console::say(&what);
            report.reason = what;
        }
    }
    /// Begins to count: `total` bytes are to be moved.
    pub fn expect(&self, total: u64) {
        let mut report = self.open();
        report.done_bytes = 0;
        report.total_bytes = total;
    }
    pub fn moved(&self, bytes: u64) {
        self.open().done_bytes += bytes;
    }
    pub fn tested(&self, result: TestResult) {
        let word = if result.passed { "passed" } else { "FAILED" };
        console::say(&format!("test {:?} {}: {word}. {}", result.test, result.part, result.output));
        self.open().results.push(result);
    }
    pub fn erased(&self, what: Erased) {
        self.open().erased.push(what);
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
    /// Long loops look here now and then.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Returns when another task has taken this one's place.
    pub async fn until_stopped(&self) {
        while !self.stopped() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    pub fn replaced() -> Fault {
        Fault::conflict("Another task has taken this one's place.")
    }

    /// Asks again while the other side is away; a refusal is an answer.
    pub async fn insist<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut once = console::Once::default();
        loop {
            match ask().await {
                Err(fault) if fault.kind == Kind::Unavailable && !self.stopped() => {
                    once.say(&format!("{}; trying again", fault.message));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                other => return other,
            }
        }
    }

    /// Tells the rack what is new, until the task has ended.
    pub async fn keep_telling(&self, talk: &Talk) {
        let mut told: Option<Report> = None;
        while !self.stopped() {
            let now = self.report();
            if told.as_ref() != Some(&now) && talk.report(&now).await.is_ok() {
                told = Some(now);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Tells how it ended, until it was heard or another task took this one's place. False: it was not heard.
    pub async fn end(&self, talk: &Talk, outcome: Result<String>) -> bool {
        {
            let mut report = self.open();
            (report.stage, report.lasting, report.reason) = match outcome {
                Ok(words) => (Stage::Done, false, words),
                Err(fault) => (Stage::Failed, lasts(fault.kind), fault.message),
            };
            console::say(&format!("task {}: {:?}. {}", report.number, report.stage, report.reason));
        }
        let mut once = console::Once::default();
        while !self.stopped() {
            match talk.report(&self.report()).await {
                Ok(()) => return true,
                Err(fault) => once.say(&format!("cannot report the end of the task: {}", fault.message)),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        false
    }
}

/// Whether it would fail again: what is refused (a disk that is too small, an image that is not understood) or not there
/// is so the next time, too. What is only unavailable may have been spoiled on the way, or busy.
fn lasts(kind: Kind) -> bool {
    matches!(kind, Kind::BadRequest | Kind::NotFound)
}
