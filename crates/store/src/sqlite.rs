//! SQLite behind [`crate::Db`]: one writer thread that commits waiting transactions together, and a
//! few readers.
//!
//! Why a group commit: `synchronous=FULL` makes each commit wait for the disk, which is what "accepted
//! means kept" needs; transactions that arrive while the disk is busy share the next wait. Each runs in
//! its own savepoint, so one that fails takes nothing else with it. Only when SQLite gives the whole transaction up
//! (a full disk, a failed read) is the group undone, and everybody in it is told so.

use crate::db::{Conn, Hints, Topic, Tx};
use crate::val::{Raw, Row, Val};
use base::{Fault, Kind, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, types::ToSqlOutput};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Readers at the same time.
const READERS: usize = 4;
/// Transactions in one commit.
const GROUP: usize = 64;
/// Writers that may wait; beyond that a request is told to come back.
const QUEUE: usize = 4096;

pub struct Pool {
    readers: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    writer: mpsc::SyncSender<Box<dyn Job>>,
}

/// A transaction waiting for the writer.
trait Job: Send {
    /// Runs the transaction; true when it wants to be committed.
    fn run(&mut self, conn: &Connection) -> bool;
    /// Tells its hints and answers the waiting caller; `commit` is the outcome of the group's commit.
    fn finish(self: Box<Self>, commit: Result<()>, hints: &Hints);
}

struct WriteJob<T, F> {
    f: Option<F>,
    out: Option<Result<(T, Vec<Topic>)>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Tx<'_>) -> Result<T> + Send> Job for WriteJob<T, F> {
    fn run(&mut self, conn: &Connection) -> bool {
        let Some(f) = self.f.take() else { return false };
        let tx = Tx::new(Conn::Sqlite(conn));
        let out = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(&tx)))
            .unwrap_or_else(|_| Err(Fault::internal("a transaction panicked")));
        let ok = out.is_ok();
        self.out = Some(out.map(|v| (v, tx.hints.take())));
        ok
    }
    fn finish(self: Box<Self>, commit: Result<()>, hints: &Hints) {
        let out = match (self.out, commit) {
            (Some(Ok((v, topics))), Ok(())) => {
                hints.tell_all(topics);
                Ok(v)
            }
            (Some(Err(fault)), _) | (_, Err(fault)) => Err(fault),
            (None, Ok(())) => Err(Fault::internal("a transaction was not run")),
        };
        // The caller may have gone away; the commit stands.
        let _ = self.reply.send(out);
    }
}

impl Pool {
    pub fn open(file: &Path, hints: Hints) -> Result<Pool> {
        private(file)?;
        let writer = connect(file, OpenFlags::default())?;
        writer
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=2000;")
            .map_err(fault)?;
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            readers.push(connect(file, flags)?);
        }
        let (tx, rx) = mpsc::sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write_loop(&writer, &rx, &hints))?;
        Ok(Pool {
            readers: Arc::new(Mutex::new(readers)),
            permits: Arc::new(Semaphore::new(READERS)),
            writer: tx,
        })
    }

    pub async fn reader(&self) -> Result<Reader> {
        let permit = self.permits.clone().acquire_owned().await.map_err(Fault::internal)?;
        let conn = lock(&self.readers).pop();
        Ok(Reader { conn, home: self.readers.clone(), _permit: permit })
    }

    pub async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(WriteJob { f: Some(f), out: None, reply });
        self.writer.try_send(job).map_err(|_| {
            Fault::unavailable("The database has too many writers waiting. Try again in a moment.")
        })?;
        answer.await.map_err(|_| Fault::internal("the database writer has ended"))?
    }
}

/// Makes the file ours alone: it holds password hashes and what users gave their servers. SQLite gives the
/// files beside it the same mode.
fn private(file: &Path) -> Result<()> {
    let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    Ok(made.set_permissions(std::fs::Permissions::from_mode(0o600))?)
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A reader on loan; goes back when dropped.
pub struct Reader {
    conn: Option<Connection>,
    home: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    pub fn read<T>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
        let Some(conn) = &self.conn else { return Err(Fault::internal("no reader")) };
        conn.prepare_cached("BEGIN").and_then(|mut s| s.execute([])).map_err(fault)?;
        let out = f(&Tx::new(Conn::Sqlite(conn)));
        conn.prepare_cached("ROLLBACK").and_then(|mut s| s.execute([])).map_err(fault)?;
        out
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if !conn.is_autocommit() {
            // The closure panicked: leave no transaction behind that would pin an old view.
            let _ = conn.execute_batch("ROLLBACK");
        }
        lock(&self.home).push(conn);
    }
}

fn connect(file: &Path, flags: OpenFlags) -> Result<Connection> {
    let conn = Connection::open_with_flags(file, flags).map_err(fault)?;
    conn.busy_timeout(std::time::Duration::from_secs(10)).map_err(fault)?;
    conn.set_prepared_statement_cache_capacity(256);
    // A statement is planned once, and not again whenever other values are bound to it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fault)?;
    conn.execute_batch("PRAGMA cache_size=-16000; PRAGMA temp_store=MEMORY;").map_err(fault)?;
    Ok(conn)
}

fn write_loop(conn: &Connection, jobs: &mpsc::Receiver<Box<dyn Job>>, hints: &Hints) {
    let mut group = Vec::with_capacity(GROUP);
    while let Ok(first) = jobs.recv() {
        group.push(first);
        let commit = run_group(conn, &mut group, jobs);
        if commit.is_err() && !conn.is_autocommit() {
            let _ = control(conn, "ROLLBACK");
        }
        group.drain(..).for_each(|j| j.finish(commit.clone(), hints));
    }
}

/// Runs the first job and those that wait by then, and commits them together. Nobody is taken in after one that
/// spoiled the transaction: what waits comes into another.
fn run_group(
    conn: &Connection,
    group: &mut Vec<Box<dyn Job>>,
    jobs: &mpsc::Receiver<Box<dyn Job>>,
) -> Result<()> {
    control(conn, "BEGIN IMMEDIATE")?;
    let mut i = 0;
    while i < group.len() {
        run_in_savepoint(conn, &mut group[i])?;
        i += 1;
        if i == group.len() && i < GROUP {
            group.extend(jobs.try_recv().ok());
        }
    }
    control(conn, "COMMIT")
}

/// # Errors
/// The whole transaction is lost: SQLite gave it up, or the job's part of it cannot be told from the others'.
fn run_in_savepoint(conn: &Connection, job: &mut Box<dyn Job>) -> Result<()> {
    control(conn, "SAVEPOINT job")?;
    let keep = job.run(conn);
    still_open(conn)?;
    if !keep {
        control(conn, "ROLLBACK TO job")?;
    }
    control(conn, "RELEASE job")
}

/// Outside of a transaction each statement would be kept at once, whatever becomes of the others.
fn still_open(conn: &Connection) -> Result<()> {
    if !conn.is_autocommit() {
        return Ok(());
    }
    Err(Fault::unavailable(
        "The database could not go on with a change made at the same moment and undid this one too. Nothing was \
         changed; try again.",
    ))
}

fn control(conn: &Connection, sql: &str) -> Result<()> {
    conn.prepare_cached(sql).and_then(|mut s| s.execute([])).map(drop).map_err(fault)
}

/// SQLite takes `$1` for a name; `?1` is the position.
fn positional(sql: &str) -> String {
    sql.replace('$', "?")
}

impl rusqlite::ToSql for Val<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Val::Null => ToSqlOutput::Owned(rusqlite::types::Value::Null),
            Val::Int(i) => ToSqlOutput::Owned((*i).into()),
            Val::Text(t) => ToSqlOutput::Borrowed(t.as_ref().into()),
        })
    }
}

pub fn exec(conn: &Connection, sql: &str, vals: &[Val<'_>]) -> Result<u64> {
    still_open(conn)?;
    let mut s = conn.prepare_cached(&positional(sql)).map_err(fault)?;
    s.execute(rusqlite::params_from_iter(vals)).map(|n| n as u64).map_err(fault)
}

pub fn rows<T>(
    conn: &Connection,
    sql: &str,
    vals: &[Val<'_>],
    mut f: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    still_open(conn)?;
    let mut s = conn.prepare_cached(&positional(sql)).map_err(fault)?;
    let mut rows = s.query(rusqlite::params_from_iter(vals)).map_err(fault)?;
    let mut out = Vec::new();
    while let Some(r) = rows.next().map_err(fault)? {
        out.push(f(&Row(Raw::Sqlite(r)))?);
    }
    Ok(out)
}

pub fn fault(e: rusqlite::Error) -> Fault {
    use rusqlite::ffi;
    let Some(code) = e.sqlite_error() else { return Fault::internal(e) };
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
            Fault::conflict("This already exists.").because(e)
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Fault::new(
            Kind::BadReference,
            "Something that this refers to does not exist, or is still in use.",
        )
        .because(e),
        _ if code.code == rusqlite::ErrorCode::DiskFull => {
            Fault::unavailable("The disk that holds the database is full. Free some space and try again.")
                .because(e)
        }
        _ => Fault::internal(e),
    }
}
