//! SQL, by noun. Everything takes the transaction.

pub mod address;
pub mod console;
pub mod disk;
pub mod dns;
pub mod erase;
pub mod errand;
pub mod key;
pub mod lease;
pub mod list;
pub mod machine;
pub mod named;
pub mod nic;
pub mod rack;
pub mod rack_image;
pub mod rack_token;
pub mod segment;
pub mod session;
pub mod tag;
pub mod task;
pub mod test;
pub mod token;
pub mod vlan;

use base::Result;
use store::{Tx, params};

/// The next short number of a kind, for the MAAS API.
pub fn number(tx: &Tx<'_>, kind: &str) -> Result<i64> {
    let sql = "INSERT INTO metal_counter (name, value) VALUES ($1, 1)
               ON CONFLICT (name) DO UPDATE SET value = metal_counter.value + 1 RETURNING value";
    tx.one(sql, params![kind], |r| r.get(0))
}
