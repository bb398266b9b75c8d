//! The life-cycle engine: long work is a typed state machine per resource, stepped by a
//! level-triggered worker over the table `work`.
//!
//! ```text
//!   API writes intent ── wake ──▶ claim (lease) ──▶ step: look, act ──▶ commit: compare-and-set on
//!        ▲                            ▲                                  (revision, lease) + `also`
//!        │                            └── the clock: wake_at, or a lease that ran out ◀──┘
//! ```
//!
//! Invariants: only [`Life::step`] moves a state, everybody else writes intent and calls [`wake`]; no
//! transaction is open while a step acts; a step may run twice, so it looks before it acts; a wake that
//! arrives while a step runs makes that step's commit fail, so nothing is missed; every waiting row
//! says why, since when, and how long it may.

mod engine;
mod list;
#[cfg(test)]
mod tests;

pub(crate) use engine::LEASE;
pub use engine::{Engine, Ran};
pub use list::{Filter, list};

use crate::{Row, Topic, Tx, params};
use base::{Fault, Micros, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::any::Any;
use std::future::Future;
use std::time::Duration;

/// A kind of resource with a life-cycle.
pub trait Life: Send + Sync + 'static {
    /// Name of the kind in the `work` table, such as `server`.
    const KIND: &'static str;
    type State: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// Looks at the resource and the world, does what brings it on, and says what comes next. Intent is
    /// read anew each time, and deletion wins over everything.
    ///
    /// # Errors
    /// A failed step is tried again with a growing pause; the row shows the error meanwhile.
    fn step(&self, id: &str, state: &Self::State) -> impl Future<Output = Result<Step<Self::State>>> + Send;

    /// How long a resource may stay in `state` before somebody should look; `None` for rest.
    fn budget(state: &Self::State) -> Option<Duration>;
}

/// Where a resource goes from here.
#[derive(Debug, Clone)]
pub enum Next<S> {
    /// On to another state, at once.
    Go(S),
    /// Stay, and look again after `for_` or when woken. `why` is shown to people.
    Wait { for_: Duration, why: String },
    /// Into a state with nothing to do until somebody writes intent and wakes it.
    Rest(S),
    /// The resource is no more; the row goes.
    Gone,
}

type Also = Box<dyn FnOnce(&Tx<'_>) -> Result<()> + Send>;

/// What a step came to: where to go, and what to write in the same transaction as the move.
pub struct Step<S> {
    pub next: Next<S>,
    pub also: Vec<Also>,
    /// Dropped once the transaction is done, whatever came of it.
    pub holding: Option<Box<dyn Any + Send>>,
}

impl<S> Step<S> {
    pub fn go(state: S) -> Self {
        Step { next: Next::Go(state), also: Vec::new(), holding: None }
    }
    pub fn wait(for_: Duration, why: impl Into<String>) -> Self {
        Step { next: Next::Wait { for_, why: why.into() }, also: Vec::new(), holding: None }
    }
    pub fn rest(state: S) -> Self {
        Step { next: Next::Rest(state), also: Vec::new(), holding: None }
    }
    pub fn gone() -> Self {
        Step { next: Next::Gone, also: Vec::new(), holding: None }
    }
    /// Holds something (a lock) until the transaction that moves the state is done.
    #[must_use]
    pub fn holding(mut self, what: impl Any + Send) -> Self {
        self.holding = Some(Box::new(what));
        self
    }
    /// Writes `f` in the transaction that moves the state. An `Err` undoes both.
    #[must_use]
    pub fn also(mut self, f: impl FnOnce(&Tx<'_>) -> Result<()> + Send + 'static) -> Self {
        self.also.push(Box::new(f));
        self
    }
}

/// Starts the life-cycle of a new resource, in the transaction that makes it.
///
/// # Errors
/// `Conflict` when something else has the id.
pub fn start<L: Life>(tx: &Tx<'_>, id: &str, state: &L::State) -> Result<()> {
    let now = Micros::now();
    tx.exec_unique(
        "INSERT INTO work (id, kind, state, wake_at, since, budget) VALUES ($1, $2, $3, $4, $5, $6)",
        params![id, L::KIND, serde_json::to_string(state)?, now, now, budget_micros(L::budget(state))],
        || Fault::conflict(format!("The id {id} is taken.")),
    )?;
    tx.hint(Topic::Work);
    Ok(())
}

/// Starts the life-cycle of a resource that may still have one, which then is woken as it is.
///
/// # Errors
/// `Conflict` when a resource of another kind has the id.
pub fn start_or_wake<L: Life>(tx: &Tx<'_>, id: &str, state: &L::State) -> Result<()> {
    if woken(tx, id, L::KIND)? { Ok(()) } else { start::<L>(tx, id, state) }
}

/// Keeps everybody else from changing a resource until the transaction ends: of two who look at it first and
/// then write, the second sees what the first has written.
pub fn hold(tx: &Tx<'_>, id: &str) -> Result<()> {
    if tx.writes_alone() {
        return Ok(());
    }
    tx.exec("UPDATE work SET revision = revision WHERE id = $1", params![id]).map(drop)
}

/// Makes the engine look at a resource at once. The revision moves, so a step that is under way and
/// could not know of the change has to run again.
pub fn wake(tx: &Tx<'_>, id: &str) -> Result<()> {
    woken(tx, id, "").map(drop)
}

/// As [`wake`], where the id may be that of something else: one that a client chose.
pub fn wake_of<L: Life>(tx: &Tx<'_>, id: &str) -> Result<()> {
    woken(tx, id, L::KIND).map(drop)
}

/// True when there was one to wake, of the kind if one is named.
fn woken(tx: &Tx<'_>, id: &str, kind: &str) -> Result<bool> {
    let n = tx.exec(
        "UPDATE work SET wake_at = $2, revision = revision + 1, attempt = 0
         WHERE id = $1 AND ($3 = '' OR kind = $3)",
        params![id, Micros::now(), kind],
    )?;
    if n > 0 {
        tx.hint(Topic::Work);
    }
    Ok(n > 0)
}

/// Whether a resource of this kind is there: it has a row from the transaction that makes it to the one that ends it.
pub fn lives(tx: &Tx<'_>, kind: &str, id: &str) -> Result<bool> {
    Ok(tx.opt("SELECT 1 FROM work WHERE id = $1 AND kind = $2", params![id, kind], |_| Ok(()))?.is_some())
}

/// What `hanok why` shows of a resource's life-cycle.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    pub id: String,
    pub kind: String,
    pub state: serde_json::Value,
    pub since: Micros,
    /// Microseconds that the state may take; `None` at rest.
    pub budget: Option<i64>,
    pub overrun: bool,
    pub reason: String,
    pub attempt: i64,
    pub last_error: String,
    pub wake_at: Option<Micros>,
}

/// Explains the life-cycle of a resource, if it has one.
pub fn why(tx: &Tx<'_>, id: &str) -> Result<Option<Explanation>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM work WHERE id = $1"), params![id], explanation)
}

const COLUMNS: &str = "id, kind, state, since, budget, overrun, reason, attempt, last_error, wake_at";

fn explanation(r: &Row<'_>) -> Result<Explanation> {
    let state: String = r.get(2)?;
    Ok(Explanation {
        id: r.get(0)?,
        kind: r.get(1)?,
        state: serde_json::from_str(&state).unwrap_or(serde_json::Value::String(state)),
        since: r.get(3)?,
        budget: r.get(4)?,
        overrun: r.get(5)?,
        reason: r.get(6)?,
        attempt: r.get(7)?,
        last_error: r.get(8)?,
        wake_at: r.get(9)?,
    })
}

fn budget_micros(d: Option<Duration>) -> Option<i64> {
    d.map(|d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// The pause before the next try after `attempt` failures in a row: 0.2 s doubling to 30 s.
fn back_off(attempt: i64) -> Duration {
    let doublings = u32::try_from(attempt.clamp(0, 8)).unwrap_or(8);
    Duration::from_millis(200 * 2_u64.pow(doublings)).min(Duration::from_secs(30))
}

fn lost(id: &str) -> Fault {
    Fault::conflict(format!("the state of {id} moved while its step ran"))
}
