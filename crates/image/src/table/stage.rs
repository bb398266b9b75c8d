//! Content that is staged for an image.

use base::{ImageId, ProjectId, Result};
use store::{Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Name in the directory of staged files.
    pub file: String,
    pub sha512: String,
    pub md5: String,
    pub bytes: u64,
}

pub fn find(tx: &Tx<'_>, image: ImageId) -> Result<Option<Staged>> {
    tx.opt("SELECT file, sha512, md5, bytes FROM image_stage WHERE image_id = $1", params![image], |r| {
        Ok(Staged { file: r.get(0)?, sha512: r.get(1)?, md5: r.get(2)?, bytes: r.get(3)? })
    })
}

/// Enters what is staged, in the place of what was.
pub fn put(tx: &Tx<'_>, image: ImageId, s: &Staged) -> Result<()> {
    tx.exec(
        "INSERT INTO image_stage (image_id, file, sha512, md5, bytes) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (image_id) DO UPDATE SET file = excluded.file, sha512 = excluded.sha512, md5 = excluded.md5,
         bytes = excluded.bytes",
        params![image, &s.file, &s.sha512, &s.md5, s.bytes],
    )?;
    Ok(())
}

/// Content that arrived and whose digests are not known yet: its file and bytes.
pub fn unchecked(tx: &Tx<'_>, image: ImageId) -> Result<Option<(String, u64)>> {
    let sql = "SELECT s.file, s.bytes FROM image_stage s JOIN image i ON i.id = s.image_id
               WHERE s.image_id = $1 AND i.status = 'saving'";
    tx.opt(sql, params![image], |r| Ok((r.get(0)?, r.get(1)?)))
}

/// Every image with such content, whose it is and how it is called.
pub fn all_unchecked(tx: &Tx<'_>) -> Result<Vec<(ImageId, ProjectId, String)>> {
    let sql =
        "SELECT i.id, i.owner, COALESCE(i.name, '') FROM image_stage s JOIN image i ON i.id = s.image_id
               WHERE i.status = 'saving'";
    tx.rows(sql, &[], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
}

pub fn remove(tx: &Tx<'_>, image: ImageId) -> Result<()> {
    tx.exec("DELETE FROM image_stage WHERE image_id = $1", params![image])?;
    Ok(())
}

/// The files that rows stand for.
pub fn files(tx: &Tx<'_>) -> Result<Vec<String>> {
    tx.rows("SELECT file FROM image_stage", &[], |r| r.get(0))
}
