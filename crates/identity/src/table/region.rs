//! Rows of regions, which stand in a tree.

use super::{extra, extra_text, missing};
use crate::model::Region;
use base::{Fault, Micros, RegionId, Result};
use store::{Row, Tx, params};

pub const SELECT: &str = "SELECT id, parent_id, description, extra FROM region WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Region> {
    Ok(Region { id: r.get(0)?, parent_id: r.get(1)?, description: r.get(2)?, extra: extra(r, 3)? })
}

pub fn find(tx: &Tx<'_>, id: &RegionId) -> Result<Option<Region>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

pub fn get(tx: &Tx<'_>, id: &RegionId) -> Result<Region> {
    find(tx, id)?.ok_or_else(|| missing("region", id.as_str()))
}

pub fn insert(tx: &Tx<'_>, region: &Region) -> Result<()> {
    let taken = || {
        Fault::conflict(format!(
            "Conflict occurred attempting to store region - Duplicate ID, {}.",
            region.id
        ))
    };
    tx.exec_unique(
        "INSERT INTO region (id, parent_id, description, extra, created_at) VALUES ($1, $2, $3, $4, $5)",
        params![
            &region.id,
            region.parent_id.as_ref(),
            &region.description,
            extra_text(&region.extra)?,
            Micros::now(),
        ],
        taken,
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, region: &Region) -> Result<()> {
    tx.exec(
        "UPDATE region SET parent_id = $2, description = $3, extra = $4 WHERE id = $1",
        params![&region.id, region.parent_id.as_ref(), &region.description, extra_text(&region.extra)?],
    )?;
    Ok(())
}

/// A region and everything below it, nearest first.
pub fn family(tx: &Tx<'_>, id: &RegionId) -> Result<Vec<RegionId>> {
    let mut all = vec![id.clone()];
    let mut i = 0;
    while i < all.len() {
        let below: Vec<RegionId> =
            tx.rows("SELECT id FROM region WHERE parent_id = $1", params![&all[i]], |r| r.get(0))?;
        all.extend(below.into_iter().filter(|r| r != id));
        i += 1;
    }
    Ok(all)
}

pub fn has_endpoints(tx: &Tx<'_>, id: &RegionId) -> Result<bool> {
    let sql = "SELECT id FROM endpoint WHERE region_id = $1 LIMIT 1";
    Ok(tx.opt(sql, params![id], |r| r.get::<String>(0))?.is_some())
}

pub fn delete(tx: &Tx<'_>, id: &RegionId) -> Result<()> {
    tx.exec("DELETE FROM region WHERE id = $1", params![id])?;
    Ok(())
}
