//! What a deployed system proves itself with: made for one deployment, good as long as that lasts.

use super::super::keys::{Key, hash, random};
use super::super::{Call, oauth};
use crate::model::Machine;
use crate::table::machine;
use base::{MachineId, Micros, Result};
use store::{Tx, params};

/// A new key in the place of the one before.
pub fn make(tx: &Tx<'_>, machine: MachineId) -> Result<Key> {
    let key = Key { consumer: random(18), token: random(18), secret: random(32), name: String::new() };
    forget(tx, machine)?;
    tx.exec(
        "INSERT INTO maas_node_key (machine_id, token_key, consumer_key, secret_hash, created_at)
         VALUES ($1, $2, $3, $4, $5)",
        params![machine.to_string(), &key.token, &key.consumer, hash(&key.secret), Micros::now()],
    )?;
    Ok(key)
}

/// Ends a machine's key: whenever another system is written, and with its owner.
pub fn forget(tx: &Tx<'_>, machine: MachineId) -> Result<()> {
    tx.exec("DELETE FROM maas_node_key WHERE machine_id = $1", params![machine.to_string()]).map(drop)
}

/// The machine whose key a request shows, while it is somebody's.
///
/// # Errors
/// 401 for a key that is not good (any more).
pub fn check(tx: &Tx<'_>, call: &Call) -> Result<Machine> {
    let no = || oauth::refused("Authorization Error: this needs the key of a deployed machine.");
    let header = call.headers.get("authorization").and_then(|h| h.to_str().ok()).ok_or_else(no)?;
    let claim = oauth::read(header)?;
    let sql = "SELECT machine_id FROM maas_node_key
               WHERE token_key = $1 AND consumer_key = $2 AND secret_hash = $3";
    let found: Option<String> =
        tx.opt(sql, params![&claim.token, &claim.consumer, hash(&claim.secret)], |r| r.get(0))?;
    let id = found.and_then(|id| id.parse().ok()).ok_or_else(no)?;
    machine::by_id(tx, id)?.filter(|m| m.owned() && m.status.owned()).ok_or_else(no)
}
