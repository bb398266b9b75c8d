//! How far racks are with image content.

use base::doc::rack::RackImageStatus;
use base::{RackId, Result};
use store::{Row, Tx, params};

fn read(r: &Row<'_>) -> Result<RackImageStatus> {
    Ok(RackImageStatus {
        sha512: r.get(0)?,
        ready: r.get(1)?,
        done_bytes: r.get(2)?,
        total_bytes: r.get(3)?,
        virtual_size: r.get(4)?,
        reason: r.get(5)?,
    })
}

const COLUMNS: &str = "sha512, ready, done_bytes, total_bytes, virtual_size, reason";

pub fn one(tx: &Tx<'_>, rack: RackId, sha512: &str) -> Result<Option<RackImageStatus>> {
    let sql = format!("SELECT {COLUMNS} FROM rack_image WHERE rack_id = $1 AND sha512 = $2");
    tx.opt(&sql, params![rack, sha512], read)
}

pub fn of(tx: &Tx<'_>, rack: RackId) -> Result<Vec<RackImageStatus>> {
    let sql = format!("SELECT {COLUMNS} FROM rack_image WHERE rack_id = $1 ORDER BY sha512");
    tx.rows(&sql, params![rack], read)
}

/// Puts these in the place of what was known.
pub fn replace(tx: &Tx<'_>, rack: RackId, all: &[RackImageStatus]) -> Result<()> {
    tx.exec("DELETE FROM rack_image WHERE rack_id = $1", params![rack])?;
    for i in all {
        tx.exec(
            "INSERT INTO rack_image (rack_id, sha512, ready, done_bytes, total_bytes, virtual_size, reason)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (rack_id, sha512) DO NOTHING",
            params![rack, &i.sha512, i.ready, i.done_bytes, i.total_bytes, i.virtual_size, &i.reason],
        )?;
    }
    Ok(())
}
