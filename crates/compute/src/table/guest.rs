//! What hosts last reported of guests.

use base::doc::{GuestState, GuestStatus};
use base::{Fault, HostId, Micros, Result, ServerId};
use store::{Row, Tx, params};

/// A reported guest and since when it is so.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub status: GuestStatus,
    pub since: Micros,
}

const COLUMNS: &str = "server_id, ownership, state, boots, reason, started_at, since, status";

pub fn state_text(state: GuestState) -> &'static str {
    match state {
        GuestState::Preparing => "preparing",
        GuestState::Running => "running",
        GuestState::Stopped => "stopped",
        GuestState::Paused => "paused",
        GuestState::Suspended => "suspended",
        GuestState::Failed => "failed",
    }
}

fn read(r: &Row<'_>) -> Result<Seen> {
    let whole: String = r.get(7)?;
    let status = match serde_json::from_str(&whole) {
        Ok(status) => status,
        // Written by the release before this one.
        Err(_) => GuestStatus {
            boots: r.get(3)?,
            reason: r.get(4)?,
            started_at: r.get(5)?,
            ..GuestStatus::bare(r.get(0)?, r.get(1)?, parse_state(&r.get::<String>(2)?)?)
        },
    };
    Ok(Seen { status, since: r.get(6)? })
}

fn parse_state(text: &str) -> Result<GuestState> {
    let known = [
        GuestState::Preparing,
        GuestState::Running,
        GuestState::Stopped,
        GuestState::Paused,
        GuestState::Failed,
    ];
    let state = known.into_iter().find(|s| state_text(*s) == text);
    state.ok_or_else(|| Fault::internal("unknown guest state"))
}

/// Every guest that a host reported.
pub fn of_host(tx: &Tx<'_>, host: HostId) -> Result<Vec<Seen>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM host_guest WHERE host_id = $1"), params![host], read)
}

/// What a host reported of one guest.
pub fn one(tx: &Tx<'_>, host: HostId, server: ServerId) -> Result<Option<Seen>> {
    let sql = format!("SELECT {COLUMNS} FROM host_guest WHERE host_id = $1 AND server_id = $2");
    tx.opt(&sql, params![host, server], read)
}

pub fn put(tx: &Tx<'_>, host: HostId, g: &Seen) -> Result<()> {
    let s = &g.status;
    tx.exec(
        "INSERT INTO host_guest (host_id, server_id, ownership, state, boots, reason, started_at, since, status)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (host_id, server_id) DO UPDATE SET ownership = excluded.ownership, state = excluded.state,
           boots = excluded.boots, reason = excluded.reason, started_at = excluded.started_at,
           since = excluded.since, status = excluded.status",
        params![
            host,
            s.id,
            s.ownership,
            state_text(s.state),
            s.boots,
            &s.reason,
            s.started_at,
            g.since,
            serde_json::to_string(s)?
        ],
    )?;
    Ok(())
}

pub fn forget(tx: &Tx<'_>, host: HostId, server: ServerId) -> Result<()> {
    tx.exec("DELETE FROM host_guest WHERE host_id = $1 AND server_id = $2", params![host, server])?;
    Ok(())
}
