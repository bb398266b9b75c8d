//! [`Db`] and [`Tx`]: the facade over SQLite and PostgreSQL.

use crate::change::Change;
use crate::{Row, Val, host, migrate, params, pg, sqlite};
use base::{Fault, HostId, Kind, MachineId, Micros, RackId, Result};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::broadcast;

/// A hint that something changed, sent after the commit. Hints may be lost; the clock is the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// Some work row became due.
    Work,
    /// A host's desired document has a new generation.
    Host(HostId),
    /// So it has, but only of what other hosts hold: there is time to tell several such changes together.
    Neighbour(HostId),
    /// A rack's desired document has a new generation.
    Rack(RackId),
    /// The live system on a machine has another task.
    Machine(MachineId),
    /// Users, projects, roles or revocations changed: forget what was verified.
    Identity,
    /// A resource is not as it was. Heard by those who ask for [`Db::changes`], and by nobody else.
    Change(Arc<Change>),
    /// Hints of other processes may have been missed: anything may have changed.
    Missed,
}

/// Where hints are told.
#[derive(Debug, Clone)]
pub(crate) struct Hints {
    topics: broadcast::Sender<Topic>,
    changes: broadcast::Sender<Topic>,
}

impl Hints {
    fn new() -> Self {
        Hints { topics: broadcast::channel(4096).0, changes: broadcast::channel(4096).0 }
    }
    /// Nobody listening is fine.
    pub(crate) fn tell(&self, topic: Topic) {
        if matches!(topic, Topic::Change(_) | Topic::Missed) {
            let _ = self.changes.send(topic.clone());
        }
        if !matches!(topic, Topic::Change(_)) {
            let _ = self.topics.send(topic);
        }
    }
    /// Tells what a transaction hinted at. This belongs where its commit is known and before anybody is answered:
    /// whoever asked for it may be gone by then, and what he changed is changed all the same.
    pub(crate) fn tell_all(&self, topics: Vec<Topic>) {
        topics.into_iter().for_each(|t| self.tell(t));
    }
}

/// Whether this process hears the hints of the others. While it does not, nothing that hints would have made
/// forgotten may be relied on. It takes up to five seconds to notice that a connection is dead.
#[derive(Debug, Clone)]
pub struct Hearing(Arc<AtomicBool>);

impl Hearing {
    /// Without other processes there is nothing to miss.
    pub fn alone() -> Self {
        Hearing(Arc::new(AtomicBool::new(true)))
    }
    pub fn hears(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
    pub(crate) fn set(&self, hears: bool) {
        self.0.store(hears, Ordering::Release);
    }
}

impl Topic {
    pub(crate) fn host(&self) -> Option<HostId> {
        if let Topic::Host(id) | Topic::Neighbour(id) = self { Some(*id) } else { None }
    }
    pub(crate) fn rack(&self) -> Option<RackId> {
        if let Topic::Rack(id) = self { Some(*id) } else { None }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    driver: Driver,
    hints: Hints,
    hearing: Hearing,
}

#[derive(Clone)]
enum Driver {
    Sqlite(Arc<sqlite::Pool>),
    Pg(pg::Pool),
}

impl Db {
    /// Opens (and makes, if need be) the SQLite database in `file` and brings its schema up to date.
    pub async fn sqlite(file: &Path) -> Result<Db> {
        let file = file.to_owned();
        let hints = Hints::new();
        let mouth = hints.clone();
        let pool = blocking(move || sqlite::Pool::open(&file, mouth)).await?;
        let db = Db { driver: Driver::Sqlite(Arc::new(pool)), hints, hearing: Hearing::alone() };
        migrate::run(&db).await?;
        Ok(db)
    }

    /// Connects to PostgreSQL (`postgres://user@host/database`) and brings its schema up to date.
    pub async fn postgres(url: &str) -> Result<Db> {
        let hints = Hints::new();
        let hearing = Hearing::alone();
        hearing.set(false);
        let (url, mouth, ear) = (url.to_owned(), hints.clone(), hearing.clone());
        let pool = blocking(move || pg::Pool::connect(&url, mouth, ear)).await?;
        let db = Db { driver: Driver::Pg(pool), hints, hearing };
        migrate::run(&db).await?;
        Ok(db)
    }

    /// Runs `f` in a read-only transaction with one consistent view of the data.
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.driver {
            Driver::Sqlite(pool) => {
                let pool = pool.clone();
                let conn = pool.reader().await?;
                blocking(move || conn.read(f)).await
            }
            Driver::Pg(pool) => {
                let pool = pool.clone();
                blocking(move || pool.read(f)).await
            }
        }
    }

    /// Runs `f` in a transaction that is committed when `f` answers `Ok` and undone when it answers `Err`.
    /// Answers after the commit is durable and its hints are told. Once this was polled it goes to its end, also
    /// when nobody waits for that any more.
    pub async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let f = move |tx: &Tx<'_>| {
            let out = f(tx)?;
            host::write_touched(tx)?;
            Ok(out)
        };
        match &self.driver {
            Driver::Sqlite(pool) => pool.write(f).await,
            Driver::Pg(pool) => {
                let (pool, hints) = (pool.clone(), self.hints.clone());
                blocking(move || {
                    let (out, topics) = pool.write(f)?;
                    hints.tell_all(topics);
                    Ok(out)
                })
                .await
            }
        }
    }

    /// Whether no other process may work on this database.
    pub fn is_alone(&self) -> bool {
        matches!(self.driver, Driver::Sqlite(_))
    }

    /// Whether [`Db::topics`] tells of the other processes' changes at the moment.
    pub fn hearing(&self) -> Hearing {
        self.hearing.clone()
    }

    /// Hints about changes, from this process and (with PostgreSQL) from the others.
    pub fn topics(&self) -> broadcast::Receiver<Topic> {
        self.hints.topics.subscribe()
    }

    /// What changes, from now on, here and (with PostgreSQL) through the other processes: [`Topic::Change`], and
    /// [`Topic::Missed`] when some may have gone by.
    pub fn changes(&self) -> broadcast::Receiver<Topic> {
        self.hints.changes.subscribe()
    }
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(f).await {
        Ok(out) => out,
        // The process ends: what had not begun never will.
        Err(e) if e.is_cancelled() => Err(Fault::unavailable("This service is stopping. Please try again.")),
        Err(e) => Err(Fault::internal(e)),
    }
}

/// An open transaction.
pub struct Tx<'a> {
    pub(crate) conn: Conn<'a>,
    pub(crate) hints: RefCell<Vec<Topic>>,
}

pub(crate) enum Conn<'a> {
    Sqlite(&'a rusqlite::Connection),
    Pg(pg::Open<'a>),
}

impl<'a> Tx<'a> {
    /// Whether nobody else writes until this ends: SQLite has one writer at a time, so that nothing needs to be
    /// held there against others.
    pub fn writes_alone(&self) -> bool {
        matches!(self.conn, Conn::Sqlite(_))
    }
    /// Lets nobody else pass here with the same words until this ends, so that what is counted before something is
    /// added stays so. Asked for before rows are held.
    pub fn alone(&self, with: &str) -> Result<()> {
        match &self.conn {
            Conn::Sqlite(_) => Ok(()),
            Conn::Pg(t) => {
                // Other words with the same hash wait for nothing, and harm nothing.
                let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 5240))";
                t.rows(sql, params![with], |_| Ok(())).map(drop)
            }
        }
    }
    /// The time by the database's clock, which is the same for all processes.
    pub fn clock(&self) -> Result<Micros> {
        match &self.conn {
            Conn::Sqlite(_) => Ok(Micros::wall()),
            Conn::Pg(t) => {
                let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
                t.rows(sql, &[], |r| r.get(0))?.pop().ok_or_else(|| Fault::internal("no time"))
            }
        }
    }
    pub(crate) fn new(conn: Conn<'a>) -> Self {
        Tx { conn, hints: RefCell::default() }
    }

    /// Runs a statement; answers how many rows it changed.
    ///
    /// # Errors
    /// `Kind::Conflict` when a unique index refuses, `Kind::BadReference` when a foreign key does; give
    /// them words the user understands where they can happen.
    pub fn exec(&self, sql: &str, vals: &[Val<'_>]) -> Result<u64> {
        match &self.conn {
            Conn::Sqlite(c) => sqlite::exec(c, sql, vals),
            Conn::Pg(t) => t.exec(sql, vals),
        }
    }

    /// All rows of an answer.
    pub fn rows<T>(
        &self,
        sql: &str,
        vals: &[Val<'_>],
        f: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match &self.conn {
            Conn::Sqlite(c) => sqlite::rows(c, sql, vals, f),
            Conn::Pg(t) => t.rows(sql, vals, f),
        }
    }

    /// The first row of an answer, if there is one.
    pub fn opt<T>(
        &self,
        sql: &str,
        vals: &[Val<'_>],
        f: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.rows(sql, vals, f)?.into_iter().next())
    }

    /// The first row of an answer that must have one.
    pub fn one<T>(&self, sql: &str, vals: &[Val<'_>], f: impl FnMut(&Row<'_>) -> Result<T>) -> Result<T> {
        self.opt(sql, vals, f)?.ok_or_else(|| Fault::internal(format!("no row: {sql}")))
    }

    /// Sends a hint once the transaction is committed.
    pub fn hint(&self, topic: Topic) {
        let mut hints = self.hints.borrow_mut();
        if !hints.contains(&topic) {
            hints.push(topic);
        }
    }

    /// Runs several statements without parameters (migrations).
    pub(crate) fn batch(&self, sql: &str) -> Result<()> {
        match &self.conn {
            Conn::Sqlite(c) => c.execute_batch(sql).map_err(sqlite::fault),
            Conn::Pg(t) => t.batch(sql),
        }
    }

    /// Replaces the words of a unique index's refusal, so that the user reads what is taken.
    pub fn exec_unique(&self, sql: &str, vals: &[Val<'_>], taken: impl FnOnce() -> Fault) -> Result<u64> {
        self.exec(sql, vals).map_err(|f| if f.kind == Kind::Conflict { taken() } else { f })
    }
}
