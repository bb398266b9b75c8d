//! Room on hosts that is set aside for something other than a server. It is counted in the host's own row,
//! so that every claim of a server respects it.

use crate::planner::{CPU_RATIO, MEMORY_RESERVE_MIB};
use base::{HostId, Micros, Result};
use store::{Row, Sql, Tx, params};

/// Amounts of what a host has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub consumer: String,
    pub host: HostId,
    pub amounts: Amounts,
    pub project_id: String,
    pub user_id: String,
    pub kind: String,
    /// Of the consumer: grows with each change.
    pub revision: i64,
}

const COLUMNS: &str = "consumer, host_id, vcpus, memory_mib, disk_gib, project_id, user_id, kind, revision";

fn read(r: &Row<'_>) -> Result<Reservation> {
    Ok(Reservation {
        consumer: r.get(0)?,
        host: r.get(1)?,
        amounts: Amounts { vcpus: r.get(2)?, memory_mib: r.get(3)?, disk_gib: r.get(4)? },
        project_id: r.get(5)?,
        user_id: r.get(6)?,
        kind: r.get(7)?,
        revision: r.get(8)?,
    })
}

pub fn of_consumer(tx: &Tx<'_>, consumer: &str) -> Result<Vec<Reservation>> {
    let sql = format!("SELECT {COLUMNS} FROM reservation WHERE consumer = $1 ORDER BY host_id");
    tx.rows(&sql, params![consumer], read)
}

pub fn of_host(tx: &Tx<'_>, host: HostId) -> Result<Vec<Reservation>> {
    let sql = format!("SELECT {COLUMNS} FROM reservation WHERE host_id = $1 ORDER BY consumer");
    tx.rows(&sql, params![host], read)
}

/// Those of a project, and of one of its users if one is named.
pub fn of_project(tx: &Tx<'_>, project: &str, user: Option<&str>) -> Result<Vec<Reservation>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM reservation WHERE 1 = 1"));
    q.and("project_id =", project);
    if let Some(user) = user {
        q.and("user_id =", user);
    }
    q.rows(tx, read)
}

/// Takes the room and writes the row; false where there is not so much.
pub fn take(tx: &Tx<'_>, r: &Reservation) -> Result<bool> {
    let a = r.amounts;
    let n = tx.exec(
        "UPDATE host SET vcpus_used = vcpus_used + $2, memory_mib_used = memory_mib_used + $3,
           disk_gib_used = disk_gib_used + $4
         WHERE id = $1 AND vcpus_used + $2 <= vcpus * $5 AND memory_mib_used + $3 <= memory_mib - $6
           AND disk_gib_used + $4 <= disk_gib",
        params![r.host, a.vcpus, a.memory_mib, a.disk_gib, CPU_RATIO, MEMORY_RESERVE_MIB],
    )?;
    if n == 0 {
        return Ok(false);
    }
    tx.exec(
        "INSERT INTO reservation (consumer, host_id, vcpus, memory_mib, disk_gib, project_id, user_id, kind,
           revision, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            &r.consumer,
            r.host,
            a.vcpus,
            a.memory_mib,
            a.disk_gib,
            &r.project_id,
            &r.user_id,
            &r.kind,
            r.revision,
            Micros::now()
        ],
    )?;
    Ok(true)
}

/// Gives everything that a consumer holds back; how many rows that were.
pub fn give(tx: &Tx<'_>, consumer: &str) -> Result<usize> {
    let all = of_consumer(tx, consumer)?;
    for r in &all {
        let a = r.amounts;
        tx.exec(
            "UPDATE host SET vcpus_used = vcpus_used - $2, memory_mib_used = memory_mib_used - $3,
               disk_gib_used = disk_gib_used - $4 WHERE id = $1",
            params![r.host, a.vcpus, a.memory_mib, a.disk_gib],
        )?;
    }
    tx.exec("DELETE FROM reservation WHERE consumer = $1", params![consumer])?;
    Ok(all.len())
}
