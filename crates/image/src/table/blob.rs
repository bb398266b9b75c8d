//! Content rows and the steps of an upload, seen from the database.

use crate::model::{Content, Status};
use crate::upload::Kept;
use base::{Fault, ImageId, Micros, Result};
use store::change::{self, Change, What};
use store::{Sql, Tx, params};

/// Makes the content's row, if there is none, and locks it: it cannot go until the transaction ends.
pub fn insert(tx: &Tx<'_>, content: &Content) -> Result<()> {
    tx.exec(
        "INSERT INTO image_blob (sha512, md5, bytes, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (sha512) DO UPDATE SET md5 = excluded.md5",
        params![&content.sha512, &content.md5, content.bytes, Micros::now()],
    )?;
    Ok(())
}

pub fn exists(tx: &Tx<'_>, sha512: &str) -> Result<bool> {
    let row = tx.opt("SELECT 1 FROM image_blob WHERE sha512 = $1", params![sha512], |_| Ok(()))?;
    Ok(row.is_some())
}

/// Whether any image shows the content.
pub fn is_shown(tx: &Tx<'_>, sha512: &str) -> Result<bool> {
    let row = tx.opt("SELECT 1 FROM image WHERE sha512 = $1 LIMIT 1", params![sha512], |_| Ok(()))?;
    Ok(row.is_some())
}

/// Whether any image shows the content, or anybody holds it.
pub fn is_used(tx: &Tx<'_>, sha512: &str) -> Result<bool> {
    let held = "SELECT 1 FROM image_hold WHERE sha512 = $1 LIMIT 1";
    Ok(is_shown(tx, sha512)? || tx.opt(held, params![sha512], |_| Ok(()))?.is_some())
}

/// # Errors
/// 409 when the content is in use after all.
pub fn delete_unused(tx: &Tx<'_>, sha512: &str) -> Result<()> {
    // Whoever begins to use it right now has locked the row and is waited for.
    tx.exec("UPDATE image_blob SET md5 = md5 WHERE sha512 = $1", params![sha512])?;
    if is_used(tx, sha512)? {
        return Err(Fault::conflict(format!("content {sha512} is in use again")));
    }
    tx.exec("DELETE FROM image_blob WHERE sha512 = $1", params![sha512])?;
    Ok(())
}

/// Every content that nobody uses.
pub fn unused(tx: &Tx<'_>) -> Result<Vec<String>> {
    tx.rows(
        "SELECT sha512 FROM image_blob b WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.sha512 = b.sha512)
         AND NOT EXISTS (SELECT 1 FROM image_hold h WHERE h.sha512 = b.sha512)",
        &[],
        |r| r.get(0),
    )
}

/// False when there is no such content (any more).
pub fn hold(tx: &Tx<'_>, holder: &str, sha512: &str) -> Result<bool> {
    let n = tx.exec(
        "INSERT INTO image_hold (holder, sha512) SELECT $1, sha512 FROM image_blob WHERE sha512 = $2
         ON CONFLICT (holder, sha512) DO UPDATE SET holder = excluded.holder",
        params![holder, sha512],
    )?;
    Ok(n == 1)
}

/// Ends the holds on everything but `keep`. Answers what was held.
pub fn release(tx: &Tx<'_>, holder: &str, keep: &[&str]) -> Result<Vec<String>> {
    let mut q = Sql::new("DELETE FROM image_hold WHERE 1 = 1");
    q.and("holder =", holder);
    if !keep.is_empty() {
        q.push(" AND sha512 NOT IN (").list(keep.iter().copied()).push(")");
    }
    q.push(" RETURNING sha512").rows(tx, |r| r.get(0))
}

/// Every content that some image shows, or some row stands for.
pub fn all(tx: &Tx<'_>) -> Result<Vec<String>> {
    tx.rows("SELECT sha512 FROM image_blob", &[], |r| r.get(0))
}

/// Tells whoever watches that an image is not as it was, if it is not.
fn told(tx: &Tx<'_>, id: ImageId, changed: bool) -> Result<bool> {
    if changed {
        change::note(tx, Change::new("image", &id.to_string(), What::Updated));
    }
    Ok(changed)
}

/// From one status to another; false when the image is not in the first (any more).
pub fn shift(tx: &Tx<'_>, id: ImageId, from: Status, to: Status) -> Result<bool> {
    let n = tx.exec(
        "UPDATE image SET status = $3, updated_at = $4 WHERE id = $1 AND status = $2",
        params![id, from.as_str(), to.as_str(), Micros::now()],
    )?;
    told(tx, id, n == 1)
}

/// Back to `queued`, unless content was entered after all (by a transaction whose end nobody heard). `created_at` tells
/// the image from another that took its id meanwhile, `by` the upload from another's.
pub fn give_back(tx: &Tx<'_>, id: ImageId, created_at: Micros, from: Status, by: Option<&str>) -> Result<()> {
    tx.exec(
        "UPDATE image SET status = 'queued', updated_at = $3 WHERE id = $1 AND status = $4 AND created_at = $2
         AND ($5 = '' OR upload_by = $5) AND NOT EXISTS (SELECT 1 FROM image_stage s WHERE s.image_id = image.id)",
        params![id, created_at, Micros::now(), from.as_str(), by.unwrap_or("")],
    )?;
    told(tx, id, true).map(drop)
}

/// From `queued` into an upload by the process `by`; false when the image is not queued (any more).
pub fn take(tx: &Tx<'_>, id: ImageId, to: Status, by: &str) -> Result<bool> {
    let n = tx.exec(
        "UPDATE image SET status = $2, upload_by = $3, updated_at = $4 WHERE id = $1 AND status = 'queued'",
        params![id, to.as_str(), by, Micros::now()],
    )?;
    told(tx, id, n == 1)
}

/// The process that took the upload.
pub fn taken_by(tx: &Tx<'_>, id: ImageId) -> Result<String> {
    let by =
        tx.opt("SELECT upload_by FROM image WHERE id = $1", params![id], |r| r.get::<Option<String>>(0))?;
    Ok(by.flatten().unwrap_or_default())
}

/// What an upload left to do is another process's now.
pub fn take_over(tx: &Tx<'_>, id: ImageId, by: &str) -> Result<()> {
    tx.exec("UPDATE image SET upload_by = $2 WHERE id = $1 AND status = 'saving'", params![id, by])?;
    Ok(())
}

/// Uploads that ended with the process that took them: of all processes but these.
pub fn give_back_but(tx: &Tx<'_>, processes: &[String]) -> Result<u64> {
    let mut q = Sql::new(
        "UPDATE image SET status = 'queued' WHERE status IN ('saving', 'uploading')
         AND NOT EXISTS (SELECT 1 FROM image_stage s WHERE s.image_id = image.id)",
    );
    if !processes.is_empty() {
        q.push(" AND upload_by NOT IN (").list(processes.iter().map(String::as_str)).push(")");
    }
    q.exec(tx)
}

/// To `active` with its content; false when the image has been deleted meanwhile.
pub fn finish(tx: &Tx<'_>, from: Status, k: &Kept<'_>) -> Result<bool> {
    let n = tx.exec(
        "UPDATE image SET status = 'active', sha512 = $3, virtual_size = $4, updated_at = $5
         WHERE id = $1 AND status = $6 AND created_at = $2",
        params![k.id, k.created_at, &k.content.sha512, k.virtual_size, Micros::now(), from.as_str()],
    )?;
    told(tx, k.id, n == 1)
}
