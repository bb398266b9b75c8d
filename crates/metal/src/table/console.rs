//! Serial consoles that somebody asks for: a ticket, good once, and what the rack is told until it has come; and the
//! last of what they said, for the machine's owner.

use base::{MachineId, Micros, RackId, Result};
use std::time::Duration;
use store::{Row, Tx, params};

/// How long a ticket waits for its use.
pub const TICKET: Duration = Duration::from_secs(600);
/// How long a rack has to bring the console.
pub const ARRIVAL: Duration = Duration::from_secs(30);

/// How much of what a console said is kept, in bytes.
pub const KEPT: usize = 64 << 10;

/// A console that a rack is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub machine: MachineId,
    /// Names it between region and rack.
    pub key: String,
    /// Whose the machine was when the ticket was given; empty: nobody's.
    pub project: String,
    /// Given to an administrator, who may look whosever it is.
    pub operator: bool,
}

fn read(r: &Row<'_>) -> Result<Asked> {
    Ok(Asked { machine: r.get(0)?, key: r.get(1)?, project: r.get(2)?, operator: r.get(3)? })
}

pub fn give(tx: &Tx<'_>, token_hash: &str, a: &Asked) -> Result<()> {
    let now = Micros::now();
    tx.exec("DELETE FROM machine_console WHERE expires_at < $1", params![now])?;
    tx.exec(
        "INSERT INTO machine_console (token_hash, machine_id, key, project_id, operator, asked, expires_at)
         VALUES ($1, $2, $3, $4, $5, 0, $6)",
        params![token_hash, a.machine, &a.key, &a.project, a.operator, now.plus(TICKET)],
    )
    .map(drop)
}

/// Takes a ticket, once: from now on the rack is asked.
pub fn redeem(tx: &Tx<'_>, token_hash: &str) -> Result<Option<Asked>> {
    let now = Micros::now();
    tx.opt(
        "UPDATE machine_console SET asked = 1, expires_at = $2
         WHERE token_hash = $1 AND asked = 0 AND expires_at >= $3
         RETURNING machine_id, key, project_id, operator",
        params![token_hash, now.plus(ARRIVAL), now],
        read,
    )
}

/// What a rack is asked for.
pub fn of_rack(tx: &Tx<'_>, rack: RackId) -> Result<Vec<Asked>> {
    tx.rows(
        "SELECT c.machine_id, c.key, c.project_id, c.operator FROM machine_console c
           JOIN machine m ON m.id = c.machine_id
         WHERE m.rack_id = $1 AND c.asked = 1 AND c.expires_at >= $2 ORDER BY c.expires_at, c.key",
        params![rack, Micros::now()],
        read,
    )
}

pub fn forget(tx: &Tx<'_>, key: &str) -> Result<()> {
    tx.exec("DELETE FROM machine_console WHERE key = $1", params![key]).map(drop)
}

/// Keeps what a console has said, as long as the machine is whose it was when that console was asked for: nobody reads
/// what it said to somebody else.
pub fn keep(tx: &Tx<'_>, a: &Asked, said: &str) -> Result<()> {
    let theirs = "SELECT id FROM machine WHERE id = $1 AND project_id = $2";
    if tx.opt(theirs, params![a.machine, &a.project], |r| r.get::<MachineId>(0))?.is_none() {
        return Ok(());
    }
    // Text in PostgreSQL has no zeros, and whoever reads it does not miss them.
    let all = kept(tx, a.machine)?.unwrap_or_default() + &said.replace('\0', "");
    let from = (all.len().saturating_sub(KEPT)..=all.len()).find(|at| all.is_char_boundary(*at));
    tx.exec(
        "INSERT INTO machine_console_log (machine_id, project_id, said) VALUES ($1, $2, $3)
         ON CONFLICT (machine_id) DO UPDATE SET project_id = excluded.project_id, said = excluded.said",
        params![a.machine, &a.project, &all[from.unwrap_or(0)..]],
    )
    .map(drop)
}

/// The last of what the console of a machine said while it was whose it is.
pub fn kept(tx: &Tx<'_>, machine: MachineId) -> Result<Option<String>> {
    tx.opt(
        "SELECT l.said FROM machine_console_log l JOIN machine m ON m.id = l.machine_id
         WHERE l.machine_id = $1 AND m.project_id = l.project_id",
        params![machine],
        |r| r.get(0),
    )
}

/// Its owner has gone.
pub fn forget_kept(tx: &Tx<'_>, machine: MachineId) -> Result<()> {
    tx.exec("DELETE FROM machine_console_log WHERE machine_id = $1", params![machine]).map(drop)
}
