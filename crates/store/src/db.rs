//! [`Db`] and [`Tx`]: the facade over SQLite and PostgreSQL.

use crate::{Row, Val, host, migrate, pg, sqlite};
use base::{Fault, HostId, Kind, Result};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::broadcast;

/// A hint that something changed, sent after the commit. Hints may be lost; the clock is the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// Some work row became due.
    Work,
    /// A host's desired document has a new generation.
    Host(HostId),
    /// Users, projects, roles or revocations changed: forget what was verified.
    Identity,
}

impl Topic {
    pub(crate) fn host(&self) -> Option<HostId> {
        if let Topic::Host(id) = self { Some(*id) } else { None }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    driver: Driver,
    topics: broadcast::Sender<Topic>,
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
        let pool = blocking(move || sqlite::Pool::open(&file)).await?;
        let db = Db { driver: Driver::Sqlite(Arc::new(pool)), topics: broadcast::channel(4096).0 };
        migrate::run(&db).await?;
        Ok(db)
    }

    /// Connects to PostgreSQL (`postgres://user@host/database`) and brings its schema up to date.
    pub async fn postgres(url: &str) -> Result<Db> {
        let topics = broadcast::channel(4096).0;
        let (url, hints) = (url.to_owned(), topics.clone());
        let pool = blocking(move || pg::Pool::connect(&url, hints)).await?;
        let db = Db { driver: Driver::Pg(pool), topics };
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
    /// Answers after the commit is durable.
    pub async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let f = move |tx: &Tx<'_>| {
            let out = f(tx)?;
            host::write_touched(tx)?;
            Ok(out)
        };
        let (out, hints) = match &self.driver {
            Driver::Sqlite(pool) => pool.write(f).await?,
            Driver::Pg(pool) => {
                let pool = pool.clone();
                blocking(move || pool.write(f)).await?
            }
        };
        for topic in hints {
            // Nobody listening is fine.
            let _ = self.topics.send(topic);
        }
        Ok(out)
    }

    /// Hints about changes, from this process and (with PostgreSQL) from the others.
    pub fn topics(&self) -> broadcast::Receiver<Topic> {
        self.topics.subscribe()
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
    Pg(RefCell<postgres::Transaction<'a>>),
}

impl<'a> Tx<'a> {
    /// Whether nobody else writes until this ends: SQLite has one writer at a time, so that nothing needs to be
    /// held there against others.
    pub fn writes_alone(&self) -> bool {
        matches!(self.conn, Conn::Sqlite(_))
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
            Conn::Pg(t) => pg::exec(&mut t.borrow_mut(), sql, vals),
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
            Conn::Pg(t) => pg::rows(&mut t.borrow_mut(), sql, vals, f),
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
            Conn::Pg(t) => t.borrow_mut().batch_execute(sql).map_err(pg::fault),
        }
    }

    /// Replaces the words of a unique index's refusal, so that the user reads what is taken.
    pub fn exec_unique(&self, sql: &str, vals: &[Val<'_>], taken: impl FnOnce() -> Fault) -> Result<u64> {
        self.exec(sql, vals).map_err(|f| if f.kind == Kind::Conflict { taken() } else { f })
    }
}
