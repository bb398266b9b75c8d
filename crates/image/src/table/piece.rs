//! SQL of uploads in pieces.

use base::{ImageId, Micros, ProjectId, Result};
use std::time::Duration;
use store::{Row, Tx, params};

/// An upload that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub image: ImageId,
    pub project: ProjectId,
    pub file_name: String,
    pub mark: String,
    pub size: u64,
    pub received: u64,
    /// Tells it from a later one of the same image.
    pub created_at: Micros,
    pub touched_at: Micros,
}

const COLUMNS: &str = "image_id, project_id, file_name, mark, size, received, created_at, touched_at";

fn read(r: &Row<'_>) -> Result<Upload> {
    Ok(Upload {
        image: r.get(0)?,
        project: r.get(1)?,
        file_name: r.get(2)?,
        mark: r.get(3)?,
        size: r.get(4)?,
        received: r.get(5)?,
        created_at: r.get(6)?,
        touched_at: r.get(7)?,
    })
}

pub fn find(tx: &Tx<'_>, image: ImageId) -> Result<Option<Upload>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM image_upload WHERE image_id = $1"), params![image], read)
}

/// Those of a project, the newest first.
pub fn of(tx: &Tx<'_>, project: &ProjectId) -> Result<Vec<Upload>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM image_upload WHERE project_id = $1 ORDER BY created_at DESC, image_id"
    );
    tx.rows(&sql, params![project], read)
}

pub fn insert(tx: &Tx<'_>, u: &Upload) -> Result<()> {
    tx.exec(
        "INSERT INTO image_upload (image_id, project_id, file_name, mark, size, received, created_at, touched_at)
         VALUES ($1, $2, $3, $4, $5, 0, $6, $7)",
        params![u.image, &u.project, &u.file_name, &u.mark, u.size, u.created_at, u.touched_at],
    )
    .map(drop)
}

/// `u` has been received up to `to`. False when another piece came first, or it was given up.
pub fn add(tx: &Tx<'_>, u: &Upload, to: u64) -> Result<bool> {
    let sql = "UPDATE image_upload SET received = $4, touched_at = $5
               WHERE image_id = $1 AND created_at = $2 AND received = $3";
    Ok(tx.exec(sql, params![u.image, u.created_at, u.received, to, Micros::now()])? == 1)
}

pub fn delete(tx: &Tx<'_>, image: ImageId) -> Result<()> {
    tx.exec("DELETE FROM image_upload WHERE image_id = $1", params![image]).map(drop)
}

/// Forgets those that nobody went on with for so long.
pub fn forget_stale(tx: &Tx<'_>, after: Duration) -> Result<()> {
    tx.exec("DELETE FROM image_upload WHERE touched_at < $1", params![Micros::now().minus(after)]).map(drop)
}

/// The images that have one, by the names of their files.
pub fn known(tx: &Tx<'_>) -> Result<std::collections::BTreeSet<String>> {
    Ok(tx.rows("SELECT image_id FROM image_upload", &[], |r| r.get::<String>(0))?.into_iter().collect())
}
