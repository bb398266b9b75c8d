//! What was wiped, for good: reports outlive their machine.

use crate::model::{Disk, Machine};
use base::doc::live::{EraseMode, Erased};
use base::{MachineId, Micros, Result};
use store::{Tx, params};

/// How a disk was erased that was not there.
const MISSING: &str = "missing";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseReport {
    pub id: String,
    pub machine_name: String,
    pub serial: String,
    pub at: Micros,
    pub mode: String,
    /// Nothing was found that should not be there, and no disk of the machine was missing.
    pub clean: bool,
    pub disks: Vec<Erased>,
}

/// Keeps a report. Disks that should have been there stand in it as [`MISSING`].
pub fn keep(tx: &Tx<'_>, m: &Machine, mode: EraseMode, disks: &[Erased], missing: &[Disk]) -> Result<()> {
    let clean = missing.is_empty() && disks.iter().all(|d| d.wrong == 0);
    let not_there = |d: &Disk| Erased {
        disk: d.id.clone(),
        method: MISSING.to_owned(),
        bytes: 0,
        read_back: 0,
        wrong: 0,
    };
    let disks: Vec<Erased> = disks.iter().cloned().chain(missing.iter().map(not_there)).collect();
    tx.exec(
        "INSERT INTO erase_report (id, machine_id, machine_name, serial, at, mode, clean, disks)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            uuid::Uuid::now_v7().to_string(),
            m.id,
            &m.name,
            &m.serial,
            Micros::now(),
            serde_json::to_value(mode)?.as_str().unwrap_or_default(),
            clean,
            serde_json::to_string(&disks)?
        ],
    )
    .map(drop)
}

/// Newest first.
pub fn of(tx: &Tx<'_>, machine: MachineId) -> Result<Vec<EraseReport>> {
    tx.rows(
        "SELECT id, machine_name, serial, at, mode, clean, disks FROM erase_report WHERE machine_id = $1
         ORDER BY at DESC, id DESC LIMIT 100",
        params![machine],
        |r| {
            let disks: String = r.get(6)?;
            Ok(EraseReport {
                id: r.get(0)?,
                machine_name: r.get(1)?,
                serial: r.get(2)?,
                at: r.get(3)?,
                mode: r.get(4)?,
                clean: r.get(5)?,
                disks: serde_json::from_str(&disks)?,
            })
        },
    )
}
