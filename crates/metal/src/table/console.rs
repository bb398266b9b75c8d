//! Serial consoles that somebody asks for: a ticket, good once, and what the rack is told until it has come.

use base::{MachineId, Micros, RackId, Result};
use std::time::Duration;
use store::{Row, Tx, params};

/// How long a ticket waits for its use.
pub const TICKET: Duration = Duration::from_secs(600);
/// How long a rack has to bring the console.
pub const ARRIVAL: Duration = Duration::from_secs(30);

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
