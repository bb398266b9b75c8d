//! Which machines are hosts, and what they were given.

use crate::table::host::{self, Host};
use ::metal::model::{Machine, Status};
use base::{HostId, MachineId, Micros, Result, ServerId};
use store::{Tx, params};

/// A machine that is a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub host: HostId,
    pub machine: MachineId,
    /// Whom it was given to.
    pub server: Option<ServerId>,
    /// Of the disk that was asked for last.
    pub epoch: u64,
    /// Restarts asked for, and those of them after which the machine was seen on.
    pub boots: u64,
    pub booted: u64,
}

/// What tells that something about a machine has changed.
const SEEN: &str =
    "m.status || '/' || m.status_at || '/' || m.locked || '/' || COALESCE(m.want_power, -1) || '/'
    || COALESCE(s.power, -1) || '/' || COALESCE(s.cycles, 0) || '/' || m.resource_class || '/' || m.inventory_at || '/' || m.message";

/// Why a host is kept from new servers, where that is the machine's doing.
const OURS: &str = "machine: ";

/// Whether a machine is offered to servers at all.
pub fn offered(m: &Machine) -> bool {
    !m.as_host && !m.resource_class.is_empty() && m.inventory_at.0 > 0
}

/// Machines that should be hosts and are not.
pub fn unknown(tx: &Tx<'_>) -> Result<Vec<MachineId>> {
    let sql =
        "SELECT m.id FROM machine m WHERE m.deleted_at IS NULL AND m.as_host = 0 AND m.resource_class <> ''
         AND m.inventory_at > 0 AND m.status = $1
         AND NOT EXISTS (SELECT 1 FROM metal_host h WHERE h.machine_id = m.id) ORDER BY m.id";
    tx.rows(sql, params![Status::Ready.number()], |r| r.get(0))
}

/// Hosts whose document or machine is not as it was when it was looked at last.
pub fn changed(tx: &Tx<'_>) -> Result<Vec<HostId>> {
    let sql = format!(
        "SELECT x.host_id FROM metal_host x JOIN host h ON h.id = x.host_id
         LEFT JOIN machine m ON m.id = x.machine_id AND m.deleted_at IS NULL
         LEFT JOIN machine_seen s ON s.machine_id = x.machine_id
         WHERE h.generation <> h.applied OR m.id IS NULL OR m.as_host = 1 OR x.seen <> {SEEN} ORDER BY x.host_id"
    );
    tx.rows(&sql, &[], |r| r.get(0))
}

pub fn looked_at(tx: &Tx<'_>, host: HostId) -> Result<()> {
    let sql = format!(
        "UPDATE metal_host SET seen = COALESCE((SELECT {SEEN} FROM machine m
           LEFT JOIN machine_seen s ON s.machine_id = m.id WHERE m.id = metal_host.machine_id), '')
         WHERE host_id = $1"
    );
    tx.exec(&sql, params![host]).map(drop)
}

/// Whether it is time to say that machines are there.
pub fn unheard(tx: &Tx<'_>) -> Result<bool> {
    let before = Micros(Micros::now().0 - i64::try_from(crate::hosts::seen_lag().as_micros()).unwrap_or(0));
    let sql = "SELECT 1 FROM host WHERE resource_class <> '' AND seen_at < $1 LIMIT 1";
    Ok(tx.opt(sql, params![before], |_| Ok(()))?.is_some())
}

/// A machine is heard of as long as its rack is.
pub fn heard(tx: &Tx<'_>) -> Result<()> {
    let alive = Micros(Micros::now().0 - i64::try_from(crate::silent_after().as_micros()).unwrap_or(0));
    let sql = "UPDATE host SET seen_at = $1 WHERE resource_class <> '' AND id IN (
           SELECT x.host_id FROM metal_host x JOIN machine m ON m.id = x.machine_id
           LEFT JOIN rack r ON r.id = m.rack_id WHERE r.id IS NULL OR r.seen_at > $2)";
    tx.exec(sql, params![Micros::now(), alive]).map(drop)
}

/// The machine of a host, held until the transaction ends.
pub fn hold(tx: &Tx<'_>, host: HostId) -> Result<Option<Held>> {
    let sql = "UPDATE metal_host SET seen = seen WHERE host_id = $1
               RETURNING host_id, machine_id, server_id, epoch, boots, booted";
    tx.opt(sql, params![host], |r| {
        Ok(Held {
            host: r.get(0)?,
            machine: r.get(1)?,
            server: r.get(2)?,
            epoch: r.get(3)?,
            boots: r.get(4)?,
            booted: r.get(5)?,
        })
    })
}

/// The machine that a server was given.
pub fn of_server(tx: &Tx<'_>, server: ServerId) -> Result<Option<MachineId>> {
    tx.opt("SELECT machine_id FROM metal_host WHERE server_id = $1", params![server], |r| r.get(0))
}

pub fn insert(tx: &Tx<'_>, host: HostId, machine: MachineId, class: &str) -> Result<()> {
    tx.exec("UPDATE host SET resource_class = $2 WHERE id = $1", params![host, class])?;
    tx.exec("INSERT INTO metal_host (host_id, machine_id) VALUES ($1, $2)", params![host, machine]).map(drop)
}

/// Whether this class is seen for the first time.
pub fn first_of_class(tx: &Tx<'_>, class: &str) -> Result<bool> {
    let sql = "INSERT INTO metal_class (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    Ok(tx.exec(sql, params![class, Micros::now()])? == 1)
}

/// The machine is no host any more.
pub fn leave(tx: &Tx<'_>, host: HostId) -> Result<()> {
    host::forget(tx, host)
}

/// Whom it is given to. What the last one had asked for is forgotten.
pub fn give(tx: &Tx<'_>, host: HostId, server: Option<ServerId>) -> Result<()> {
    let sql = "UPDATE metal_host SET server_id = $2, epoch = 0, boots = 0, booted = 0 WHERE host_id = $1";
    tx.exec(sql, params![host, server]).map(drop)
}

pub fn wrote(tx: &Tx<'_>, host: HostId, epoch: u64, boots: u64) -> Result<()> {
    let sql = "UPDATE metal_host SET epoch = $2, boots = $3 WHERE host_id = $1";
    tx.exec(sql, params![host, epoch, boots]).map(drop)
}

pub fn booted(tx: &Tx<'_>, host: HostId) -> Result<()> {
    tx.exec("UPDATE metal_host SET booted = boots WHERE host_id = $1", params![host]).map(drop)
}

pub fn restarted(tx: &Tx<'_>, host: HostId, boots: u64) -> Result<()> {
    tx.exec("UPDATE metal_host SET boots = $2 WHERE host_id = $1", params![host, boots]).map(drop)
}

/// Opens a host to servers, or closes it for a reason. What an operator closed stays closed.
pub fn enable(tx: &Tx<'_>, h: &Host, why_not: Option<&str>) -> Result<()> {
    match why_not {
        None if !h.enabled && h.disabled_reason.starts_with(OURS) => host::enable(tx, h.id, true, ""),
        Some(why) if h.enabled || h.disabled_reason.starts_with(OURS) => {
            host::enable(tx, h.id, false, &format!("{OURS}{why}"))
        }
        _ => Ok(()),
    }
}

/// A machine's NICs by the segment that each is plugged to, the one that it starts from first; a segment's
/// name is that of the physical network.
pub fn macs(tx: &Tx<'_>, machine: MachineId) -> Result<Vec<(String, String)>> {
    let sql = "SELECT g.name, n.mac FROM machine_nic n JOIN segment g ON g.id = n.segment_id
               WHERE n.machine_id = $1 ORDER BY n.boot DESC, n.name, n.mac";
    tx.rows(sql, params![machine], |r| Ok((r.get(0)?, r.get(1)?)))
}
