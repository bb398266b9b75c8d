//! Disks of machines.

use super::number;
use crate::model::Disk;
use base::{MachineId, Result};
use std::collections::HashMap;
use store::{Row, Sql, Tx, params};

const COLUMNS: &str = "machine_id, disk_id, number, name, model, serial, size_bytes, sector, kind, removable, role, role_by_hand";

fn read(r: &Row<'_>) -> Result<Disk> {
    Ok(Disk {
        machine: r.get(0)?,
        id: r.get(1)?,
        number: r.get(2)?,
        name: r.get(3)?,
        model: r.get(4)?,
        serial: r.get(5)?,
        size_bytes: r.get(6)?,
        sector: r.get(7)?,
        kind: r.get(8)?,
        removable: r.get(9)?,
        role: r.get(10)?,
        role_by_hand: r.get(11)?,
    })
}

pub fn of(tx: &Tx<'_>, machine: MachineId) -> Result<Vec<Disk>> {
    Ok(of_all(tx, [machine])?.remove(&machine).unwrap_or_default())
}

pub fn of_all(
    tx: &Tx<'_>,
    machines: impl IntoIterator<Item = MachineId>,
) -> Result<HashMap<MachineId, Vec<Disk>>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM machine_disk WHERE 1 = 1"));
    q.and_in("machine_id", machines).push(" ORDER BY name");
    let mut all: HashMap<MachineId, Vec<Disk>> = HashMap::new();
    for disk in q.rows(tx, read)? {
        all.entry(disk.machine).or_default().push(disk);
    }
    Ok(all)
}

/// Writes a disk; the number is given at first sight, and a role that somebody chose stays.
pub fn put(tx: &Tx<'_>, d: &Disk) -> Result<()> {
    tx.exec(
        "INSERT INTO machine_disk (machine_id, disk_id, number, name, model, serial, size_bytes, sector, kind,
           removable, role) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (machine_id, disk_id) DO UPDATE SET name = excluded.name, model = excluded.model,
           serial = excluded.serial, size_bytes = excluded.size_bytes, sector = excluded.sector,
           kind = excluded.kind, removable = excluded.removable,
           role = CASE WHEN machine_disk.role_by_hand = 1 THEN machine_disk.role ELSE excluded.role END",
        params![
            d.machine,
            &d.id,
            number(tx, "disk")?,
            &d.name,
            &d.model,
            &d.serial,
            d.size_bytes,
            d.sector,
            &d.kind,
            d.removable,
            &d.role
        ],
    )
    .map(drop)
}

/// Takes away the disks that are not among these.
pub fn keep_only(tx: &Tx<'_>, machine: MachineId, ids: &[String]) -> Result<()> {
    let mut q = Sql::new("DELETE FROM machine_disk WHERE machine_id = ");
    q.bind(machine);
    if !ids.is_empty() {
        q.push(" AND disk_id NOT IN (").list(ids.iter().map(String::as_str)).push(")");
    }
    q.exec(tx).map(drop)
}

/// Chooses a disk's role by hand; false when there is no such disk.
pub fn set_role(tx: &Tx<'_>, machine: MachineId, id: &str, role: &str) -> Result<bool> {
    let sql = "UPDATE machine_disk SET role = $3, role_by_hand = 1 WHERE machine_id = $1 AND disk_id = $2";
    Ok(tx.exec(sql, params![machine, id, role])? == 1)
}
