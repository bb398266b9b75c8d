//! The database, and what every service does with it: transactions ([`Db`], [`Tx`]), the work engine
//! ([`work`]), quotas ([`quota`]), audit and events ([`log`]), what changed ([`change`]), the generation of each host's document
//! ([`host`]), and which other processes live ([`process`]).
//!
//! Invariants: a transaction's closure is synchronous, so nobody can await a host while it is open;
//! this crate is the only one that knows which database is behind; one text of SQL runs on both
//! (`$1` parameters, TEXT and BIGINT, `ON CONFLICT`, `RETURNING`).

pub mod change;
pub mod clock;
mod db;
#[cfg(test)]
mod db_tests;
pub mod host;
pub mod log;
mod migrate;
mod pg;
pub mod process;
pub mod quota;
mod sql;
mod sqlite;
pub mod transfer;
mod val;
pub mod work;

pub use db::{Db, Hearing, Topic, Tx};
pub use migrate::schema;
pub use sql::Sql;
pub use val::{FromCol, Row, Val};
