//! Live systems that are up.

use base::doc::live::Hello;
use base::{MachineId, Micros, Result};
use store::{Row, Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub machine: MachineId,
    pub boot_hash: String,
    pub begun_at: Micros,
    pub seen_at: Micros,
    /// It has asked for a task: what it came by is worth nothing any more.
    pub used: bool,
    /// The machine's owner was let in: what runs there may be the owner's, and nobody else relies on it.
    pub lent: bool,
    pub address: String,
    pub peer_port: u16,
    pub version: String,
}

const COLUMNS: &str = "machine_id, boot_hash, begun_at, seen_at, used, lent, address, peer_port, version";

fn read(r: &Row<'_>) -> Result<Session> {
    Ok(Session {
        machine: r.get(0)?,
        boot_hash: r.get(1)?,
        begun_at: r.get(2)?,
        seen_at: r.get(3)?,
        used: r.get(4)?,
        lent: r.get(5)?,
        address: r.get(6)?,
        peer_port: u16::try_from(r.get::<u32>(7)?).unwrap_or(0),
        version: r.get(8)?,
    })
}

pub fn of(tx: &Tx<'_>, machine: MachineId) -> Result<Option<Session>> {
    let sql = format!("SELECT {COLUMNS} FROM live_session WHERE machine_id = $1");
    tx.opt(&sql, params![machine], read)
}

pub fn by_hash(tx: &Tx<'_>, hash: &str) -> Result<Option<Session>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM live_session WHERE hash = $1"), params![hash], read)
}

/// Begins a session, in the place of one that there was.
pub fn begin(tx: &Tx<'_>, machine: MachineId, hash: &str, boot_hash: &str, h: &Hello) -> Result<()> {
    tx.exec("DELETE FROM live_session WHERE machine_id = $1", params![machine])?;
    tx.exec(
        "INSERT INTO live_session (machine_id, hash, boot_hash, begun_at, seen_at, address, peer_port, version)
         VALUES ($1, $2, $3, $4, $4, $5, $6, $7)",
        params![
            machine,
            hash,
            boot_hash,
            Micros::now(),
            &h.address,
            u32::from(h.peer_port),
            &h.live_version
        ],
    )
    .map(drop)
}

pub fn seen(tx: &Tx<'_>, machine: MachineId) -> Result<()> {
    let sql = "UPDATE live_session SET seen_at = $2, used = 1 WHERE machine_id = $1";
    tx.exec(sql, params![machine, Micros::now()]).map(drop)
}

/// Its owner is let in.
pub fn lend(tx: &Tx<'_>, machine: MachineId) -> Result<()> {
    tx.exec("UPDATE live_session SET lent = 1 WHERE machine_id = $1", params![machine]).map(drop)
}

/// It has left: what it proved itself with opens nothing any more.
pub fn end(tx: &Tx<'_>, machine: MachineId) -> Result<()> {
    tx.exec("DELETE FROM live_session WHERE machine_id = $1", params![machine]).map(drop)
}
