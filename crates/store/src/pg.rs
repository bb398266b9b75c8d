//! PostgreSQL behind [`crate::Db`]: a pool of connections, used on blocking threads, and one listener
//! that passes the other processes' hints on.

use crate::db::{Conn, Topic, Tx};
use crate::val::{Raw, Row, Val};
use base::{Fault, Kind, Result};
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{NoTls, fallible_iterator::FallibleIterator};
use r2d2_postgres::PostgresConnectionManager;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

const CONNECTIONS: u32 = 16;

type Clients = r2d2::Pool<PostgresConnectionManager<NoTls>>;

#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared(Option<Clients>);

impl Drop for Shared {
    /// The synchronous client blocks while it says goodbye, which an async thread must not do.
    fn drop(&mut self) {
        let clients = self.0.take();
        std::thread::spawn(move || drop(clients));
    }
}

impl Pool {
    pub fn connect(url: &str, hints: broadcast::Sender<Topic>) -> Result<Pool> {
        let config: postgres::Config = url.parse().map_err(Fault::internal)?;
        let manager = PostgresConnectionManager::new(config.clone(), NoTls);
        let pool = r2d2::Pool::builder()
            .max_size(CONNECTIONS)
            .connection_timeout(Duration::from_secs(10))
            .build(manager)
            .map_err(|e| away(e.to_string()))?;
        std::thread::Builder::new().name("pg-listen".into()).spawn(move || listen(&config, &hints))?;
        Ok(Pool(Arc::new(Shared(Some(pool)))))
    }

    fn client(&self) -> Result<r2d2::PooledConnection<PostgresConnectionManager<NoTls>>> {
        let pool = self.0.0.as_ref().ok_or_else(|| Fault::internal("the pool is closed"))?;
        pool.get().map_err(|e| away(e.to_string()))
    }

    pub fn read<T>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
        let mut client = self.client()?;
        let tx = client
            .build_transaction()
            .read_only(true)
            .isolation_level(postgres::IsolationLevel::RepeatableRead)
            .start()
            .map_err(fault)?;
        f(&Tx::new(Conn::Pg(RefCell::new(tx))))
    }

    pub fn write<T>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<(T, Vec<Topic>)> {
        let mut client = self.client()?;
        let tx = Tx::new(Conn::Pg(RefCell::new(client.transaction().map_err(fault)?)));
        let out = f(&tx)?;
        let hints = tx.hints.take();
        for topic in &hints {
            tx.exec("SELECT pg_notify('hanok', $1)", &[Val::from(encode(topic))])?;
        }
        let Conn::Pg(inner) = tx.conn else { return Err(Fault::internal("not a PostgreSQL transaction")) };
        inner.into_inner().commit().map_err(fault)?;
        Ok((out, hints))
    }
}

fn away(cause: String) -> Fault {
    Fault::unavailable("The database does not answer. Nothing was changed; try again in a moment.")
        .because(cause)
}

fn encode(topic: &Topic) -> String {
    match topic {
        Topic::Work => "work".into(),
        Topic::Identity => "identity".into(),
        Topic::Host(id) => format!("host {id}"),
    }
}

fn decode(text: &str) -> Option<Topic> {
    match text {
        "work" => Some(Topic::Work),
        "identity" => Some(Topic::Identity),
        _ => Some(Topic::Host(text.strip_prefix("host ")?.parse().ok()?)),
    }
}

/// Passes hints on for as long as anybody may listen. A lost connection is made anew; what was missed
/// meanwhile is found by the sweeps.
fn listen(config: &postgres::Config, hints: &broadcast::Sender<Topic>) {
    loop {
        if let Ok(mut client) = config.connect(NoTls)
            && client.batch_execute("LISTEN hanok").is_ok()
        {
            let mut notes = client.notifications();
            let mut iter = notes.blocking_iter();
            while let Ok(Some(note)) = iter.next() {
                if let Some(topic) = decode(note.payload()) {
                    let _ = hints.send(topic);
                }
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
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

pub fn exec(tx: &mut postgres::Transaction<'_>, sql: &str, vals: &[Val<'_>]) -> Result<u64> {
    tx.execute(sql, &refs(vals)).map_err(fault)
}

pub fn rows<T>(
    tx: &mut postgres::Transaction<'_>,
    sql: &str,
    vals: &[Val<'_>],
    mut f: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    tx.query(sql, &refs(vals)).map_err(fault)?.iter().map(|r| f(&Row(Raw::Pg(r)))).collect()
}

pub fn fault(e: postgres::Error) -> Fault {
    use postgres::error::SqlState;
    match e.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => Fault::conflict("This already exists.").because(e),
        Some(&SqlState::FOREIGN_KEY_VIOLATION) => Fault::new(
            Kind::BadReference,
            "Something that this refers to does not exist, or is still in use.",
        )
        .because(e),
        Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE) => Fault::unavailable(
            "Another change at the same moment was in the way. Nothing was changed; try again.",
        )
        .because(e),
        Some(&SqlState::DISK_FULL) => {
            Fault::unavailable("The disk that holds the database is full. Free some space and try again.")
                .because(e)
        }
        Some(_) => Fault::internal(format!("{e}: {:?}", e.as_db_error())),
        None => away(e.to_string()),
    }
}
