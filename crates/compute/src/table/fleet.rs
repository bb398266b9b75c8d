//! What is read of many hosts and their servers at once.

use crate::fleet::{Tenant, Watched};
use crate::model::{Task, VmState};
use crate::table::host::is_silent;
use base::{Fault, HostId, Micros, Result, ServerId};
use std::time::Duration;
use store::{Sql, Tx, params};

/// A try that failed is not made again before this.
const AGAIN: Duration = Duration::from_secs(60);

/// Every host, without its facts.
pub fn watched(tx: &Tx<'_>) -> Result<Vec<Watched>> {
    let sql = "SELECT id, name, seen_at, forced_down, down_since, draining FROM host
        WHERE resource_class = ''";
    tx.rows(sql, &[], |r| {
        let (seen_at, forced_down): (Micros, bool) = (r.get(2)?, r.get(3)?);
        Ok(Watched {
            id: r.get(0)?,
            name: r.get(1)?,
            seen_at,
            silent: forced_down || is_silent(seen_at),
            forced_down,
            down_since: r.get(4)?,
            draining: r.get::<Micros>(5)?.0 > 0,
        })
    })
}

/// How many servers are being made anew elsewhere.
pub fn evacuations(tx: &Tx<'_>) -> Result<usize> {
    let sql = "SELECT COUNT(*) FROM server_move WHERE kind = 'evacuate'";
    tx.one(sql, &[], |r| Ok(usize::try_from(r.get::<i64>(0)?).unwrap_or(usize::MAX)))
}

/// What says that a server should be restarted elsewhere: its own metadata, or its flavor's extra spec.
const HA: &str = "(EXISTS (SELECT 1 FROM server_metadata d WHERE d.server_id = s.id AND d.name = 'hanok:ha'
       AND d.value = 'restart')
     OR (s.flavor LIKE '%\"hanok:ha\":\"restart\"%' AND NOT EXISTS (SELECT 1 FROM server_metadata d
       WHERE d.server_id = s.id AND d.name = 'hanok:ha')))";

/// Which of a host's servers are restarted elsewhere when it is down.
pub fn restarted(tx: &Tx<'_>, host: HostId) -> Result<Vec<ServerId>> {
    let sql = format!("SELECT s.id FROM server s WHERE s.host_id = $1 AND s.deleted_at IS NULL AND {HA}");
    tx.rows(&sql, params![host], |r| r.get(0))
}

/// Servers that ran on these hosts and ask to be restarted elsewhere: those with the highest
/// `hanok:ha-priority` first, then in the order in which they were made.
pub fn to_restart(tx: &Tx<'_>, hosts: &[HostId]) -> Result<Vec<ServerId>> {
    let lately = Micros(Micros::now().0 - i64::try_from(AGAIN.as_micros()).unwrap_or(0));
    let mut q = Sql::new(&format!(
        "SELECT s.id, (SELECT p.value FROM server_metadata p WHERE p.server_id = s.id AND p.name = 'hanok:ha-priority'),
           s.created_at FROM server s
         WHERE s.deleted_at IS NULL AND s.delete_at IS NULL AND s.soft_deleted_at IS NULL AND s.want_power = 'on'
           AND s.resize IS NULL AND s.launched_at IS NOT NULL AND {HA}
           AND NOT EXISTS (SELECT 1 FROM server_move v WHERE v.server_id = s.id)
           AND NOT EXISTS (SELECT 1 FROM server_shelf f WHERE f.server_id = s.id)
           AND NOT EXISTS (SELECT 1 FROM server_migration g WHERE g.server_id = s.id AND g.kind = 'evacuation'
             AND g.status = 'error' AND g.updated_at > "
    ));
    q.bind(lately).push(")").and_in("s.host_id", hosts);
    let mut all = q.rows(tx, |r| {
        let priority: Option<String> = r.get(1)?;
        let priority: i64 = priority.and_then(|p| p.parse().ok()).unwrap_or(0);
        Ok((std::cmp::Reverse(priority), r.get::<Micros>(2)?, r.get::<ServerId>(0)?))
    })?;
    all.sort();
    Ok(all.into_iter().map(|(_, _, id)| id).collect())
}

/// The servers of a host that is being emptied.
pub fn tenants(tx: &Tx<'_>, host: HostId) -> Result<Vec<Tenant>> {
    let lately = Micros(Micros::now().0 - i64::try_from(AGAIN.as_micros()).unwrap_or(0));
    let sql = "SELECT s.id, s.vm_state, s.task_state, s.ram,
           (SELECT COUNT(*) FROM server_move v WHERE v.server_id = s.id),
           (SELECT COUNT(*) FROM server_migration g WHERE g.server_id = s.id AND g.status = 'error'
              AND g.updated_at > $2),
           (SELECT a.message FROM server_action a WHERE a.server_id = s.id AND a.message IS NOT NULL
              ORDER BY a.started_at DESC LIMIT 1)
         FROM server s WHERE s.host_id = $1 AND s.deleted_at IS NULL AND s.delete_at IS NULL";
    tx.rows(sql, params![host, lately], |r| {
        let vm: String = r.get(1)?;
        let task: Option<String> = r.get(2)?;
        let (failed, why): (i64, Option<String>) = (r.get(5)?, r.get(6)?);
        Ok(Tenant {
            id: r.get(0)?,
            vm: VmState::parse(&vm).ok_or_else(|| Fault::internal("unknown vm_state"))?,
            task: task.and_then(|t| Task::parse(&t)),
            memory_mib: r.get(3)?,
            moving: r.get::<i64>(4)? > 0,
            failed: (failed > 0).then(|| why.unwrap_or_default()),
        })
    })
}
