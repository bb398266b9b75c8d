//! Servers on their way to another host: one row each, from the asking to the arrival.

use base::{Fault, HostId, Micros, Result, ServerId};
use std::collections::HashMap;
use store::{Row, Tx, params};

/// Why a server moves, and so what comes before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Powered off, in a resize or migration that the user confirms.
    Resize,
    /// Powered off, and that is that.
    Plain,
    /// While it runs.
    Live,
    /// To where it was before a resize.
    Back,
    /// From a host that is down: it is made anew.
    Evacuate,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Resize, "resize"),
    (Kind::Plain, "plain"),
    (Kind::Live, "live"),
    (Kind::Back, "back"),
    (Kind::Evacuate, "evacuate"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub server: ServerId,
    pub number: u64,
    pub migration: u64,
    pub kind: Kind,
    pub from: HostId,
    /// None until a host is chosen.
    pub to: Option<HostId>,
    pub wish: Option<String>,
    pub token: String,
    pub departs: bool,
    pub forced: bool,
    pub cancelled: bool,
    /// CPUs, MiB, GiB that are claimed at the destination for it.
    pub claim: (u32, u64, u64),
    /// The generation of the destination's document since which it is not told; 0: it is.
    pub withdrawn: u64,
    pub why: String,
    pub begun_at: Micros,
    pub since: Micros,
}

impl Move {
    pub fn new(server: ServerId, number: u64, kind: Kind, from: HostId) -> Move {
        let now = Micros::now();
        Move {
            server,
            number,
            migration: number,
            kind,
            from,
            to: None,
            wish: None,
            token: String::new(),
            departs: false,
            forced: false,
            cancelled: false,
            claim: (0, 0, 0),
            withdrawn: 0,
            why: String::new(),
            begun_at: now,
            since: now,
        }
    }
    pub fn live(&self) -> bool {
        self.kind == Kind::Live
    }
    /// Whether the destination's document shows it.
    pub fn shown_at(&self, host: HostId) -> bool {
        self.to == Some(host) && self.withdrawn == 0 && self.kind != Kind::Evacuate
    }
}

const COLUMNS: &str = "server_id, number, migration, kind, from_host, to_host, wish, token, departs, forced,
    cancelled, vcpus, memory_mib, disk_gib, withdrawn, why, begun_at, since";

fn read(r: &Row<'_>) -> Result<Move> {
    let kind: String = r.get(3)?;
    let kind = KINDS.iter().find(|(_, text)| *text == kind).map(|(k, _)| *k);
    Ok(Move {
        server: r.get(0)?,
        number: r.get(1)?,
        migration: r.get(2)?,
        kind: kind.ok_or_else(|| Fault::internal("unknown kind of move"))?,
        from: r.get(4)?,
        to: r.get(5)?,
        wish: r.get(6)?,
        token: r.get(7)?,
        departs: r.get(8)?,
        forced: r.get(9)?,
        cancelled: r.get(10)?,
        claim: (r.get(11)?, r.get(12)?, r.get(13)?),
        withdrawn: r.get(14)?,
        why: r.get(15)?,
        begun_at: r.get(16)?,
        since: r.get(17)?,
    })
}

pub fn of(tx: &Tx<'_>, server: ServerId) -> Result<Option<Move>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM server_move WHERE server_id = $1"), params![server], read)
}

/// Moves from or to a host, by server.
pub fn of_host(tx: &Tx<'_>, host: HostId) -> Result<HashMap<ServerId, Move>> {
    let sql = format!("SELECT {COLUMNS} FROM server_move WHERE from_host = $1 OR to_host = $1");
    Ok(tx.rows(&sql, params![host], read)?.into_iter().map(|m| (m.server, m)).collect())
}

/// Writes a move whole.
pub fn put(tx: &Tx<'_>, m: &Move) -> Result<()> {
    let kind = KINDS.iter().find(|(k, _)| *k == m.kind).map_or("", |(_, text)| *text);
    tx.exec("DELETE FROM server_move WHERE server_id = $1", params![m.server])?;
    tx.exec(
        "INSERT INTO server_move (server_id, number, migration, kind, from_host, to_host, wish, token, departs,
           forced, cancelled, vcpus, memory_mib, disk_gib, withdrawn, why, begun_at, since)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        params![
            m.server,
            m.number,
            m.migration,
            kind,
            m.from,
            m.to,
            &m.wish,
            &m.token,
            m.departs,
            m.forced,
            m.cancelled,
            m.claim.0,
            m.claim.1,
            m.claim.2,
            m.withdrawn,
            &m.why,
            m.begun_at,
            m.since
        ],
    )?;
    Ok(())
}

/// Its source is told to send.
pub fn departs(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    let sql = "UPDATE server_move SET departs = 1, since = $2 WHERE server_id = $1";
    tx.exec(sql, params![server, Micros::now()]).map(drop)
}

/// Its destination is not told of it any more, from that generation of its document on.
pub fn withdraw(tx: &Tx<'_>, server: ServerId, generation: u64, why: &str) -> Result<()> {
    let sql = "UPDATE server_move SET withdrawn = $2, why = $3, since = $4 WHERE server_id = $1";
    tx.exec(sql, params![server, generation, why, Micros::now()]).map(drop)
}

pub fn force(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    tx.exec("UPDATE server_move SET forced = 1 WHERE server_id = $1", params![server]).map(drop)
}

pub fn cancel(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    tx.exec("UPDATE server_move SET cancelled = 1 WHERE server_id = $1", params![server]).map(drop)
}

pub fn clear(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    tx.exec("DELETE FROM server_move WHERE server_id = $1", params![server]).map(drop)
}
