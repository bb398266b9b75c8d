//! The worker: claims due rows, runs their steps side by side, commits each by compare-and-set.

use super::{Life, Next, Step, back_off, budget_micros, lost};
use crate::change::{self, Change, What};
use crate::log::{Level, event};
use crate::{Db, Topic, Tx, params, process};
use base::{Fault, Kind, Micros, Result};
use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};
use tracing::{debug, error, warn};

/// Steps at the same time in one process.
const STEPS: usize = 32;
/// How long a claim lasts. A step that takes longer may run twice, which steps must bear anyway.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// The clock is the truth: due rows are looked for this often, hints or not.
const SWEEP: Duration = Duration::from_secs(1);

/// A claimed row.
#[derive(Debug, Clone)]
struct Claim {
    id: String,
    kind: String,
    state: String,
    revision: i64,
    attempt: i64,
}

/// What running one row came to, for tests that crash on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Nothing was due.
    Nothing,
    /// The step ran and its commit was made (or lost to a wake).
    Committed,
    /// The step ran and the process "died" before the commit.
    Dropped,
}

type Write = Box<dyn FnOnce(&Tx<'_>, &Claim, &str) -> Result<()> + Send>;

/// What to write, and what is held until it is written.
struct Commit {
    write: Write,
    holding: Option<Box<dyn Any + Send>>,
}
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`Life`] without its types: runs a step and answers how to commit it.
trait AnyLife: Send + Sync {
    fn step<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Commit>>;
}

struct Typed<L>(L);

impl<L: Life> AnyLife for Typed<L> {
    fn step<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Commit>> {
        Box::pin(async move {
            let state: L::State = serde_json::from_str(&claim.state)
                .map_err(|e| Fault::new(Kind::UnsupportedMedia, "a state of another release").because(e))?;
            let step = self.0.step(&claim.id, &state).await?;
            Ok(commit_of::<L>(step))
        })
    }
}

fn commit_of<L: Life>(step: Step<L::State>) -> Commit {
    // Serialized outside the transaction; a state always serializes.
    let moved = |s: &L::State, rest: bool| -> Result<_> {
        Ok((serde_json::to_string(s)?, budget_micros(L::budget(s)), rest))
    };
    // To wait changes nothing that others see, unless something was written besides.
    let what = match &step.next {
        Next::Go(_) | Next::Rest(_) => Some(What::Updated),
        Next::Gone => Some(What::Deleted),
        Next::Wait { .. } => (!step.also.is_empty()).then_some(What::Updated),
    };
    let (to, wait) = match step.next {
        Next::Go(s) => (Some(moved(&s, false)), None),
        Next::Rest(s) => (Some(moved(&s, true)), None),
        Next::Wait { for_, why } => (None, Some((for_, why))),
        Next::Gone => (None, None),
    };
    let (also, holding) = (step.also, step.holding);
    let write: Write = Box::new(move |tx, claim, me| {
        let now = Micros::now();
        let held = match (to, wait) {
            (Some(to), _) => {
                let (state, budget, rest) = to?;
                let wake_at = (!rest).then_some(now);
                tx.exec(
                    "UPDATE work SET state = $4, wake_at = $5, since = CASE WHEN state = $4 THEN since ELSE $6 END,
                     budget = $7, overrun = 0, attempt = 0, reason = '', last_error = '', lease_until = 0,
                     revision = revision + 1 WHERE id = $1 AND revision = $2 AND lease_by = $3",
                    params![&claim.id, claim.revision, me, state, wake_at, now, budget],
                )?
            }
            (None, Some((for_, why))) => tx.exec(
                "UPDATE work SET wake_at = $4, reason = $5, attempt = 0, lease_until = 0
                 WHERE id = $1 AND revision = $2 AND lease_by = $3",
                params![&claim.id, claim.revision, me, now.plus(for_), why],
            )?,
            (None, None) => tx.exec(
                "DELETE FROM work WHERE id = $1 AND revision = $2 AND lease_by = $3",
                params![&claim.id, claim.revision, me],
            )?,
        };
        if held == 0 {
            return Err(lost(&claim.id));
        }
        also.into_iter().try_for_each(|f| f(tx))?;
        if let Some(what) = what {
            change::note(tx, Change::new(&claim.kind, &claim.id, what));
        }
        tx.hint(Topic::Work);
        Ok(())
    });
    Commit { write, holding }
}

/// The worker of one process.
#[derive(Clone)]
pub struct Engine {
    db: Db,
    lives: Arc<HashMap<&'static str, Box<dyn AnyLife>>>,
    /// The id of this process (`crate::process`).
    me: String,
    /// Rows of which it was told that this release cannot read them. A newer one beside it may, so they are tried like
    /// any that fails, and told of once.
    strange: Arc<Mutex<HashSet<String>>>,
}

/// Puts an engine together.
pub struct Builder {
    db: Db,
    lives: HashMap<&'static str, Box<dyn AnyLife>>,
    me: String,
}

impl Builder {
    /// The process's id. Its name is used by one process at a time (which holds a lock that says so): what an
    /// earlier process of it had under way is taken up at once, where others wait for its leases to run out.
    #[must_use]
    pub fn process(mut self, id: &str) -> Self {
        id.clone_into(&mut self.me);
        self
    }
    #[must_use]
    pub fn with<L: Life>(mut self, life: L) -> Self {
        self.lives.insert(L::KIND, Box::new(Typed(life)));
        self
    }
    pub fn build(self) -> Engine {
        Engine { db: self.db, lives: Arc::new(self.lives), me: self.me, strange: Arc::default() }
    }
}

impl Engine {
    pub fn builder(db: Db) -> Builder {
        Builder { db, lives: HashMap::new(), me: process::new_id("") }
    }

    /// Lets go of the leases that dead processes of this name held.
    pub async fn reclaim(&self) -> Result<()> {
        let name = process::name_of(&self.me);
        if name.is_empty() {
            return Ok(());
        }
        let (ours, me) = (format!("{name}/%"), self.me.clone());
        self.db
            .write(move |tx| {
                let sql = "UPDATE work SET lease_until = 0
                           WHERE lease_until > 0 AND lease_by LIKE $1 AND lease_by <> $2";
                tx.exec(sql, params![ours, me])
            })
            .await?;
        Ok(())
    }

    /// Works until the future is dropped. Steps under way are dropped with it; their leases run out.
    pub async fn run(self) {
        if let Err(fault) = self.reclaim().await {
            warn!(%fault, "leases of the last run could not be let go; they run out by themselves");
        }
        let slots = Arc::new(Semaphore::new(STEPS));
        let mut hints = self.db.topics();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut steps = tokio::task::JoinSet::new();
        loop {
            // Registered before looking: `hints` has been subscribed since before this claim.
            let claimed = self.fill(&slots, &mut steps).await;
            while steps.try_join_next().is_some() {}
            if claimed {
                continue;
            }
            tokio::select! {
                _ = sweep.tick() => self.report_overruns().await,
                () = work_hint(&mut hints) => {}
                Some(_) = steps.join_next() => {}
            }
        }
    }

    /// Claims as many rows as there are free slots and starts their steps; true if it found any.
    async fn fill(&self, slots: &Arc<Semaphore>, steps: &mut tokio::task::JoinSet<()>) -> bool {
        let free = slots.available_permits();
        if free == 0 {
            steps.join_next().await;
            return true;
        }
        let claims = match self.claim(free, None).await {
            Ok(claims) => claims,
            Err(fault) => {
                if fault.kind == Kind::Unavailable {
                    // It passes: two that lock the same rows, or a database that starts anew.
                    warn!(%fault, "cannot look for work at the moment");
                } else {
                    error!(%fault, "cannot look for work");
                }
                tokio::time::sleep(SWEEP).await;
                return false;
            }
        };
        let any = !claims.is_empty();
        for claim in claims {
            let Ok(slot) = slots.clone().acquire_owned().await else { return false };
            let engine = self.clone();
            steps.spawn(async move {
                engine.run_claim(claim, true).await;
                drop(slot);
            });
        }
        any
    }

    /// Runs the step of one resource if it is due. With `commit` false the process "dies" after the
    /// step's effect and before its commit, and the lease is let go as time would.
    pub async fn run_one(&self, id: &str, commit: bool) -> Result<Ran> {
        let claims = self.claim(1, Some(id.to_owned())).await?;
        let Some(claim) = claims.into_iter().next() else { return Ok(Ran::Nothing) };
        Ok(self.run_claim(claim, commit).await)
    }

    async fn claim(&self, n: usize, only: Option<String>) -> Result<Vec<Claim>> {
        let me = self.me.clone();
        self.db
            .write(move |tx| {
                let now = Micros::now();
                // The condition stands again outside, so that of two claims at once one finds nothing.
                let sql = "UPDATE work SET lease_until = $1, lease_by = $2 WHERE id IN (
                       SELECT id FROM work WHERE wake_at <= $3 AND lease_until < $3 AND ($5 = '' OR id = $5)
                       ORDER BY wake_at LIMIT $4)
                     AND wake_at <= $3 AND lease_until < $3
                     RETURNING id, kind, state, revision, attempt";
                tx.rows(
                    sql,
                    params![now.plus(LEASE), &me, now, n as u64, only.as_deref().unwrap_or("")],
                    |r| {
                        Ok(Claim {
                            id: r.get(0)?,
                            kind: r.get(1)?,
                            state: r.get(2)?,
                            revision: r.get(3)?,
                            attempt: r.get(4)?,
                        })
                    },
                )
            })
            .await
    }

    async fn run_claim(&self, claim: Claim, commit: bool) -> Ran {
        let outcome = match self.lives.get(claim.kind.as_str()) {
            Some(life) => life.step(&claim).await,
            None => {
                Err(Fault::new(Kind::UnsupportedMedia, format!("no life-cycle named {:?} here", claim.kind)))
            }
        };
        if !commit {
            self.let_go(&claim).await;
            return Ran::Dropped;
        }
        let outcome = match outcome {
            Ok(commit) => {
                let (me, c) = (self.me.clone(), claim.clone());
                let done = self.db.write(move |tx| (commit.write)(tx, &c, &me)).await;
                drop(commit.holding);
                done
            }
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok(()) => {}
            Err(fault) if fault.kind == Kind::Conflict && fault.message == lost(&claim.id).message => {
                debug!(id = claim.id, "woken during its step; running it again");
                self.let_go(&claim).await;
            }
            Err(fault) => self.keep_error(&claim, fault).await,
        }
        Ran::Committed
    }

    async fn let_go(&self, claim: &Claim) {
        let (me, id) = (self.me.clone(), claim.id.clone());
        let done = self.db.write(move |tx| let_go(tx, &id, &me));
        if let Err(fault) = done.await {
            warn!(id = claim.id, %fault, "the lease could not be let go; it runs out by itself");
        }
    }

    /// The database is away. Once it is back others need not wait for the lease to run out.
    async fn let_go_later(&self, claim: &Claim) {
        let until = tokio::time::Instant::now() + LEASE;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(SWEEP).await;
            let (me, id) = (self.me.clone(), claim.id.clone());
            if self.db.write(move |tx| let_go(tx, &id, &me)).await.is_ok() {
                return;
            }
        }
    }

    async fn keep_error(&self, claim: &Claim, fault: Fault) {
        let strange = fault.kind == Kind::UnsupportedMedia
            && self.strange.lock().unwrap_or_else(PoisonError::into_inner).insert(claim.id.clone());
        let pause = back_off(claim.attempt);
        warn!(id = claim.id, kind = claim.kind, attempt = claim.attempt, %fault, "step failed; trying again");
        let (me, c) = (self.me.clone(), claim.clone());
        let kept = self
            .db
            .write(move |tx| {
                // One that was woken meanwhile is not put off.
                let held = tx.exec(
                    "UPDATE work SET attempt = attempt + 1, last_error = $4, wake_at = $5, lease_until = 0
                     WHERE id = $1 AND revision = $2 AND lease_by = $3",
                    params![&c.id, c.revision, &me, fault.to_string(), Micros::now().plus(pause)],
                )?;
                if held == 0 {
                    let_go(tx, &c.id, &me)?;
                }
                if strange {
                    event(tx, Level::Error, "work.unreadable", &c.id, &fault.to_string())?;
                }
                Ok(())
            })
            .await;
        match kept {
            Ok(()) => {}
            Err(fault) if fault.kind == Kind::Unavailable => self.let_go_later(claim).await,
            Err(fault) => error!(id = claim.id, %fault, "cannot keep a step's error"),
        }
    }

    /// Says once of every state that takes longer than its budget, with the resource and the reason.
    async fn report_overruns(&self) {
        match self.overruns().await {
            Ok(()) => {}
            Err(fault) if fault.kind == Kind::Unavailable => debug!(%fault, "cannot look for overruns"),
            Err(fault) => error!(%fault, "cannot look for overruns"),
        }
    }

    async fn overruns(&self) -> Result<()> {
        // Mostly there is none, and nobody who writes has to wait for that.
        let late = self.db.read(|tx| {
            let sql = "SELECT id FROM work WHERE overrun = 0 AND budget IS NOT NULL AND since + budget < $1 LIMIT 1";
            tx.opt(sql, params![Micros::now()], |_| Ok(()))
        });
        if late.await?.is_none() {
            return Ok(());
        }
        self.db
            .write(|tx| {
                let over = tx.rows(
                    "UPDATE work SET overrun = 1 WHERE overrun = 0 AND budget IS NOT NULL AND since + budget < $1
                     RETURNING id, kind, state, reason, last_error",
                    params![Micros::now()],
                    |r| Ok((r.get::<String>(0)?, r.get::<String>(1)?, r.get::<String>(2)?, r.get::<String>(3)?, r.get::<String>(4)?)),
                )?;
                for (id, kind, state, reason, error) in over {
                    warn!(id, kind, state, reason, error, "takes longer than it should");
                    let text = format!("{kind} has been in {state} for longer than it should: {reason} {error}");
                    event(tx, Level::Warning, "work.overrun", &id, text.trim_end())?;
                }
                Ok(())
            })
            .await
    }
}

/// Others may claim it.
fn let_go(tx: &Tx<'_>, id: &str, me: &str) -> Result<()> {
    tx.exec("UPDATE work SET lease_until = 0 WHERE id = $1 AND lease_by = $2", params![id, me])?;
    tx.hint(Topic::Work);
    Ok(())
}

/// Answers when a hint says that there is work. Having missed hints counts as one.
async fn work_hint(hints: &mut broadcast::Receiver<Topic>) {
    loop {
        match hints.recv().await {
            Ok(Topic::Work | Topic::Missed) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
