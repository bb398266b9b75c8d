//! PostgreSQL behind [`crate::Db`]: a pool of connections, used on blocking threads, and one listener
//! that passes the other processes' hints on.
//!
//! Invariants: a transaction whose commit was not answered is looked up by its number before anybody is told
//! what came of it; a server that may only be read is none to us (after a failover the pool empties itself);
//! nothing waits for a dead server longer than the limits in [`link`].

mod link;
mod listen;
#[cfg(test)]
mod tests;
mod tls;
mod unsure;

use crate::db::{Conn, Hearing, Hints, Topic, Tx};
use crate::val::{Raw, Row, Val};
use base::{Fault, Kind, Result};
use link::Manager;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const CONNECTIONS: u32 = 16;
/// Connections that are kept when nothing is to be done.
const IDLE: u32 = 2;
/// How long a request waits for a connection before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const PREPARED: usize = 500;

type Clients = r2d2::Pool<Manager>;
type Client = r2d2::PooledConnection<Manager>;

#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    clients: Option<Clients>,
    /// Tells our own hints from those of others.
    tag: String,
}

impl Drop for Shared {
    /// The synchronous client blocks while it says goodbye, which an async thread must not do.
    fn drop(&mut self) {
        let clients = self.clients.take();
        std::thread::spawn(move || drop(clients));
    }
}

impl Pool {
    pub fn connect(url: &str, hints: Hints, hearing: Hearing) -> Result<Pool> {
        let manager = Manager::new(url)?;
        // Once by hand, so that a wrong address or password is told at once and in the server's words.
        let first = manager.open().map_err(|e| link::cannot_connect(&e))?;
        std::thread::spawn(move || drop(first));
        let clients = r2d2::Pool::builder()
            .max_size(CONNECTIONS)
            .min_idle(Some(IDLE))
            .connection_timeout(PATIENCE)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build(manager.clone())
            .map_err(|e| away(e.to_string()))?;
        let tag = uuid::Uuid::new_v4().simple().to_string();
        let shared = Arc::new(Shared { clients: Some(clients), tag });
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("pg-listen".into())
            .spawn(move || listen::run(&manager, &weak, &hints, &hearing))?;
        Ok(Pool(shared))
    }

    fn client(&self) -> Result<Client> {
        let pool = self.0.clients.as_ref().ok_or_else(|| Fault::internal("the pool is closed"))?;
        pool.get().map_err(|e| away(e.to_string()))
    }

    pub fn read<T>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
        self.look(f).map_err(about_reading)
    }

    fn look<T>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
        let mut client = self.client()?;
        let link::Link { client, prepared, .. } = &mut *client;
        let tx = client
            .build_transaction()
            .read_only(true)
            .isolation_level(postgres::IsolationLevel::RepeatableRead)
            .start()
            .map_err(fault)?;
        f(&Tx::new(Conn::Pg(Open { tx: RefCell::new(tx), prepared })))
    }

    pub fn write<T>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<(T, Vec<Topic>)> {
        let mut client = self.client()?;
        let place = client.place.clone();
        let link::Link { client, prepared, spent, .. } = &mut *client;
        let tx = Tx::new(Conn::Pg(Open { tx: RefCell::new(client.transaction().map_err(fault)?), prepared }));
        let out = f(&tx).inspect_err(|f| *spent |= f.tag == Some(READ_ONLY))?;
        let hints = tx.hints.take();
        let number = announce(&tx, &hints, &self.0.tag)?;
        let Conn::Pg(inner) = tx.conn else { return Err(Fault::internal("not a PostgreSQL transaction")) };
        match (inner.tx.into_inner().commit(), number) {
            (Ok(()), _) => {}
            // Without a number nothing was written, so nothing can have been lost.
            (Err(e), Some(number)) if unsure::may_be_done(&e) => unsure::settle(self, &place, &number, &e)?,
            (Err(e), _) => return Err(fault(e)),
        }
        Ok((out, hints))
    }
}

/// Whoever reads promises nothing about what was written before.
fn about_reading(mut fault: Fault) -> Fault {
    if fault.kind == Kind::Unavailable {
        fault.message = fault.message.replace(" Nothing was changed; try", " Try");
    }
    fault
}

/// Gives the hints to the other processes, once the transaction is committed; answers the transaction's
/// number, if it wrote anything.
fn announce(tx: &Tx<'_>, hints: &[Topic], tag: &str) -> Result<Option<String>> {
    if hints.is_empty() {
        return tx.one("SELECT pg_current_xact_id_if_assigned()::text", &[], |r| r.get(0));
    }
    let text: Vec<_> = hints.iter().map(|t| format!("{} {tag}", listen::encode(t))).collect();
    tx.one(
        &format!(
            "SELECT pg_current_xact_id_if_assigned()::text, COUNT(pg_notify({}, hint))
             FROM unnest(string_to_array($1, ',')) hint",
            listen::CHANNEL
        ),
        &[Val::from(text.join(","))],
        |r| r.get(0),
    )
}

/// A connection without limits of time, for work on the whole database.
pub fn client(url: &str) -> Result<postgres::Client> {
    Manager::new(url)?.open().map_err(|e| link::cannot_connect(&e))
}

/// A transaction, and what its connection has prepared.
pub struct Open<'a> {
    pub tx: RefCell<postgres::Transaction<'a>>,
    prepared: &'a Prepared,
}

/// Statements by their text.
pub type Prepared = RefCell<HashMap<String, postgres::Statement>>;

impl Open<'_> {
    fn statement(&self, sql: &str) -> Result<postgres::Statement> {
        if let Some(known) = self.prepared.borrow().get(sql) {
            return Ok(known.clone());
        }
        let new = self.tx.borrow_mut().prepare(sql).map_err(fault)?;
        let mut all = self.prepared.borrow_mut();
        if all.len() >= PREPARED {
            all.clear();
        }
        all.insert(sql.to_owned(), new.clone());
        Ok(new)
    }

    pub fn exec(&self, sql: &str, vals: &[Val<'_>]) -> Result<u64> {
        let statement = self.statement(sql)?;
        self.tx.borrow_mut().execute(&statement, &refs(vals)).map_err(fault)
    }

    pub fn rows<T>(
        &self,
        sql: &str,
        vals: &[Val<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let statement = self.statement(sql)?;
        let rows = self.tx.borrow_mut().query(&statement, &refs(vals)).map_err(fault)?;
        rows.iter().map(|r| f(&Row(Raw::Pg(r)))).collect()
    }

    pub fn batch(&self, sql: &str) -> Result<()> {
        self.tx.borrow_mut().batch_execute(sql).map_err(fault)
    }
}

pub fn away(cause: String) -> Fault {
    Fault::unavailable("The database does not answer. Nothing was changed; try again in a moment.")
        .because(cause)
}

impl ToSql for Val<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Val::Null => Ok(IsNull::Yes),
            Val::Int(i) if *ty == Type::INT4 => i32::try_from(*i)?.to_sql(ty, out),
            Val::Int(i) => i.to_sql(ty, out),
            Val::Text(t) => t.as_ref().to_sql(ty, out),
        }
    }
    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::TEXT | Type::VARCHAR | Type::UNKNOWN)
    }
    to_sql_checked!();
}

impl std::fmt::Display for Val<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

fn refs<'a>(vals: &'a [Val<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    vals.iter().map(|v| v as &(dyn ToSql + Sync)).collect()
}

/// Marks a refusal of a server that has become a standby.
const READ_ONLY: &str = "read-only database";

pub fn fault(e: postgres::Error) -> Fault {
    use postgres::error::SqlState;
    let Some(code) = e.code() else { return away(link::whole(&e)) };
    match code {
        &SqlState::UNIQUE_VIOLATION => Fault::conflict("This already exists.").because(e),
        &SqlState::FOREIGN_KEY_VIOLATION => Fault::new(
            Kind::BadReference,
            "Something that this refers to does not exist, or is still in use.",
        )
        .because(e),
        &SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE => Fault::unavailable(
            "Another change at the same moment was in the way. Nothing was changed; try again.",
        )
        .because(e),
        &SqlState::LOCK_NOT_AVAILABLE | &SqlState::QUERY_CANCELED => Fault::unavailable(
            "The database was too busy to do this in time. Nothing was changed; try again in a moment.",
        )
        .because(e),
        &SqlState::DISK_FULL => {
            Fault::unavailable("The disk that holds the database is full. Free some space and try again.")
                .because(e)
        }
        &SqlState::READ_ONLY_SQL_TRANSACTION => away(link::whole(&e)).tag(READ_ONLY),
        // The server stops, starts, has no room for another connection, or lost the one it had.
        code if ["57P", "53", "08"].iter().any(|class| code.code().starts_with(class)) => {
            away(link::whole(&e))
        }
        _ => Fault::internal(format!("{e}: {:?}", e.as_db_error())),
    }
}
