//! Who holds what of which host: servers and reservations alike.

use crate::table::reservation::{self, Amounts, Reservation};
use base::{HostId, Result};
use store::{Row, Sql, Tx};

/// One consumer's part of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub consumer: String,
    pub host: HostId,
    pub amounts: Amounts,
    pub project_id: String,
    pub user_id: String,
    pub kind: String,
    pub revision: i64,
}

/// What servers are, in the words of consumer types.
pub const INSTANCE: &str = "INSTANCE";
/// What they hold where they are on their way to.
const MIGRATION: &str = "MIGRATION";

impl From<Reservation> for Holder {
    fn from(r: Reservation) -> Self {
        let Reservation { consumer, host, amounts, project_id, user_id, kind, revision } = r;
        let kind = if kind.is_empty() { "unknown".into() } else { kind };
        Holder { consumer, host, amounts, project_id, user_id, kind, revision }
    }
}

/// From consumer, host, processors, memory, disk, project, user and revision.
fn holder(r: &Row<'_>, kind: &str) -> Result<Holder> {
    Ok(Holder {
        consumer: r.get(0)?,
        host: r.get(1)?,
        amounts: Amounts { vcpus: r.get(2)?, memory_mib: r.get(3)?, disk_gib: r.get(4)? },
        project_id: r.get(5)?,
        user_id: r.get(6)?,
        kind: kind.into(),
        revision: r.get(7)?,
    })
}

fn servers(tx: &Tx<'_>, column: &str, value: &str) -> Result<Vec<Holder>> {
    let mut q = Sql::new(
        "SELECT id, host_id, vcpus, ram, disk, project_id, user_id, ownership FROM server
         WHERE host_id IS NOT NULL AND deleted_at IS NULL",
    );
    q.and(&format!("{column} ="), value).push(" ORDER BY id");
    q.rows(tx, |r| holder(r, INSTANCE))
}

/// What servers on their way hold at their destinations, in the name of their migration.
fn migrations(tx: &Tx<'_>, column: &str, value: &str) -> Result<Vec<Holder>> {
    let mut q = Sql::new(
        "SELECT g.uuid, v.to_host, v.vcpus, v.memory_mib, v.disk_gib, g.project_id, g.user_id, v.number
         FROM server_move v JOIN server_migration g ON g.id = v.migration
         WHERE v.to_host IS NOT NULL AND v.kind NOT IN ('back', 'evacuate')",
    );
    q.and(&format!("{column} ="), value).push(" ORDER BY g.uuid");
    q.rows(tx, |r| holder(r, MIGRATION))
}

pub fn of_host(tx: &Tx<'_>, host: HostId) -> Result<Vec<Holder>> {
    let mut all = servers(tx, "host_id", &host.to_string())?;
    all.extend(migrations(tx, "v.to_host", &host.to_string())?);
    all.extend(reservation::of_host(tx, host)?.into_iter().map(Holder::from));
    Ok(all)
}

pub fn of_consumer(tx: &Tx<'_>, consumer: &str) -> Result<Vec<Holder>> {
    let mut all = servers(tx, "id", consumer)?;
    all.extend(migrations(tx, "g.uuid", consumer)?);
    all.extend(reservation::of_consumer(tx, consumer)?.into_iter().map(Holder::from));
    Ok(all)
}

pub fn of_project(tx: &Tx<'_>, project: &str, user: Option<&str>) -> Result<Vec<Holder>> {
    let mut all = servers(tx, "project_id", project)?;
    all.extend(migrations(tx, "g.project_id", project)?);
    all.retain(|h| user.is_none_or(|u| u == h.user_id));
    all.extend(reservation::of_project(tx, project, user)?.into_iter().map(Holder::from));
    Ok(all)
}
