//! Boot tokens: secrets on kernel command lines, good once, for the MACs of one machine.
//!
//! The hash is what is compared; the sealed text is there because a machine may ask for its boot file several
//! times before it starts.

use crate::{Seal, token_hash};
use base::{MachineId, Micros, Result, SegmentId};
use rand::distr::{Alphanumeric, SampleString};
use std::time::Duration;
use store::{Row, Tx, params};

/// How long a stranger's is good.
const STRANGER_LIFE: Duration = Duration::from_secs(3600);
/// How long one that was used is remembered.
const REMEMBER: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootToken {
    pub hash: String,
    pub machine: Option<MachineId>,
    pub segment: Option<SegmentId>,
    /// Of a stranger.
    pub mac: String,
    /// 0: never.
    pub expires_at: Micros,
    pub used_at: Option<Micros>,
}

const COLUMNS: &str = "hash, machine_id, segment_id, mac, expires_at, used_at";

fn read(r: &Row<'_>) -> Result<BootToken> {
    Ok(BootToken {
        hash: r.get(0)?,
        machine: r.get(1)?,
        segment: r.get(2)?,
        mac: r.get(3)?,
        expires_at: r.get(4)?,
        used_at: r.get(5)?,
    })
}

/// A new secret, as people and kernels are told it.
pub fn secret() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 32)
}

/// The machine's unused token: the one that there is, or a new one.
pub fn of_machine(tx: &Tx<'_>, seal: &dyn Seal, id: MachineId) -> Result<String> {
    match unused(tx, seal, id)? {
        Some(token) => Ok(token),
        None => make(tx, seal, Some(id), None, "", Micros(0)),
    }
}

/// The machine's unused token, if there is one.
pub fn unused(tx: &Tx<'_>, seal: &dyn Seal, id: MachineId) -> Result<Option<String>> {
    let sql = "SELECT sealed FROM boot_token WHERE machine_id = $1 AND used_at IS NULL";
    tx.opt(sql, params![id], |r| r.get::<String>(0))?.map(|s| seal.unseal(&s)).transpose()
}

/// Has the machine be given another one.
pub fn forget_unused(tx: &Tx<'_>, id: MachineId) -> Result<()> {
    tx.exec("DELETE FROM boot_token WHERE machine_id = $1 AND used_at IS NULL", params![id]).map(drop)
}

/// The unused token of a MAC that nobody knows.
pub fn of_stranger(tx: &Tx<'_>, seal: &dyn Seal, mac: &str, segment: SegmentId) -> Result<String> {
    let now = Micros::now();
    let sql = "SELECT sealed FROM boot_token WHERE mac = $1 AND used_at IS NULL AND expires_at > $2";
    if let Some(there) = tx.opt(sql, params![mac, now], |r| r.get::<String>(0))? {
        return seal.unseal(&there);
    }
    let sql = "DELETE FROM boot_token WHERE machine_id IS NULL AND expires_at < $1";
    tx.exec(sql, params![now.minus(REMEMBER)])?;
    make(tx, seal, None, Some(segment), mac, now.plus(STRANGER_LIFE))
}

fn make(
    tx: &Tx<'_>,
    seal: &dyn Seal,
    machine: Option<MachineId>,
    segment: Option<SegmentId>,
    mac: &str,
    expires_at: Micros,
) -> Result<String> {
    let secret = secret();
    tx.exec(
        "INSERT INTO boot_token (hash, sealed, machine_id, segment_id, mac, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![token_hash(&secret), seal.seal(&secret), machine, segment, mac, Micros::now(), expires_at],
    )?;
    Ok(secret)
}

pub fn by_hash(tx: &Tx<'_>, hash: &str) -> Result<Option<BootToken>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM boot_token WHERE hash = $1"), params![hash], read)
}

/// Uses a token up, for a machine; false when somebody was faster.
pub fn spend(tx: &Tx<'_>, hash: &str, machine: MachineId) -> Result<bool> {
    let now = Micros::now();
    let sql = "DELETE FROM boot_token WHERE machine_id = $1 AND used_at < $2";
    tx.exec(sql, params![machine, now.minus(REMEMBER)])?;
    let sql = "UPDATE boot_token SET used_at = $2, machine_id = $3 WHERE hash = $1 AND used_at IS NULL";
    Ok(tx.exec(sql, params![hash, now, machine])? == 1)
}
