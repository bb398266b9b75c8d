//! Hosts: who they are, what they have, what is taken of it.

use crate::hosts::SILENT_AFTER;
use crate::planner::{CPU_RATIO, MEMORY_RESERVE_MIB, Room};
use base::doc::HostFacts;
use base::{HostId, Micros, Result};
use store::{Row, Tx, params};

#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    pub id: HostId,
    pub name: String,
    pub zone: String,
    pub enabled: bool,
    pub disabled_reason: String,
    pub generation: u64,
    pub applied: u64,
    /// 0: never.
    pub seen_at: Micros,
    pub facts: HostFacts,
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
    pub vcpus_used: u64,
    pub memory_mib_used: u64,
    pub disk_gib_used: u64,
    pub guests: u64,
    pub created_at: Micros,
}

impl Host {
    /// Whether it has not reported for so long that something is wrong.
    pub fn silent(&self) -> bool {
        Micros::now().since(self.seen_at) > SILENT_AFTER
    }
    pub fn room(&self) -> Room {
        Room {
            id: self.id,
            name: self.name.clone(),
            zone: self.zone.clone(),
            enabled: self.enabled,
            silent: self.silent(),
            vcpus: self.vcpus,
            memory_mib: self.memory_mib,
            disk_gib: self.disk_gib,
            vcpus_used: self.vcpus_used,
            memory_mib_used: self.memory_mib_used,
            disk_gib_used: self.disk_gib_used,
        }
    }
}

const COLUMNS: &str =
    "id, name, availability_zone, enabled, disabled_reason, generation, applied, seen_at, facts,
    vcpus, memory_mib, disk_gib, vcpus_used, memory_mib_used, disk_gib_used, guests, created_at";

fn read(r: &Row<'_>) -> Result<Host> {
    let facts: String = r.get(8)?;
    Ok(Host {
        id: r.get(0)?,
        name: r.get(1)?,
        zone: r.get(2)?,
        enabled: r.get(3)?,
        disabled_reason: r.get(4)?,
        generation: r.get(5)?,
        applied: r.get(6)?,
        seen_at: r.get(7)?,
        // A host that has never reported has no facts.
        facts: serde_json::from_str(&facts).unwrap_or_default(),
        vcpus: r.get(9)?,
        memory_mib: r.get(10)?,
        disk_gib: r.get(11)?,
        vcpus_used: r.get(12)?,
        memory_mib_used: r.get(13)?,
        disk_gib_used: r.get(14)?,
        guests: r.get(15)?,
        created_at: r.get(16)?,
    })
}

pub fn all(tx: &Tx<'_>) -> Result<Vec<Host>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM host ORDER BY name"), &[], read)
}

pub fn by_id(tx: &Tx<'_>, id: HostId) -> Result<Option<Host>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM host WHERE id = $1"), params![id], read)
}

pub fn by_name(tx: &Tx<'_>, name: &str) -> Result<Option<Host>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM host WHERE name = $1"), params![name], read)
}

pub fn by_token_hash(tx: &Tx<'_>, hash: &str) -> Result<Option<Host>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM host WHERE token_hash = $1"), params![hash], read)
}

/// Claims room on a host, if there still is some. One conditional update, so that two cannot get the
/// same room, whatever the isolation level.
pub fn claim(tx: &Tx<'_>, id: HostId, vcpus: u64, memory_mib: u64, disk_gib: u64) -> Result<bool> {
    let n = tx.exec(
        "UPDATE host SET vcpus_used = vcpus_used + $2, memory_mib_used = memory_mib_used + $3,
           disk_gib_used = disk_gib_used + $4, guests = guests + 1
         WHERE id = $1 AND enabled = 1 AND vcpus_used + $2 <= vcpus * $5
           AND memory_mib_used + $3 <= memory_mib - $6 AND disk_gib_used + $4 <= disk_gib",
        params![id, vcpus, memory_mib, disk_gib, CPU_RATIO, MEMORY_RESERVE_MIB],
    )?;
    Ok(n == 1)
}

/// Gives claimed room back.
pub fn unclaim(tx: &Tx<'_>, id: HostId, vcpus: u64, memory_mib: u64, disk_gib: u64) -> Result<()> {
    tx.exec(
        "UPDATE host SET vcpus_used = vcpus_used - $2, memory_mib_used = memory_mib_used - $3,
           disk_gib_used = disk_gib_used - $4, guests = guests - 1 WHERE id = $1",
        params![id, vcpus, memory_mib, disk_gib],
    )?;
    Ok(())
}
