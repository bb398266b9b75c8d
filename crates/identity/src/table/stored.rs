//! Credentials that users keep here (table `credential`). Blobs are sealed.

use super::{extra, extra_text, missing};
use crate::model::Credential;
use base::{Fault, Micros, Result, UserId};
use sha2::{Digest, Sha256};
use store::{Row, Tx, params};

pub const SELECT: &str = "SELECT id, user_id, project_id, type, blob, extra FROM credential WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Credential> {
    Ok(Credential {
        id: r.get(0)?,
        user_id: r.get(1)?,
        project_id: r.get(2)?,
        kind: r.get(3)?,
        blob: r.get(4)?,
        extra: extra(r, 5)?,
    })
}

/// Under which an ec2 key is found.
pub fn access_hash(access: &str) -> String {
    hex::encode(Sha256::digest(access))
}

pub fn get(tx: &Tx<'_>, id: &str) -> Result<Credential> {
    let found = tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)?;
    found.ok_or_else(|| missing("credential", id))
}

pub fn by_access(tx: &Tx<'_>, access: &str) -> Result<Option<Credential>> {
    tx.opt(&format!("{SELECT} AND access_hash = $1"), params![access_hash(access)], row)
}

fn taken() -> Fault {
    Fault::conflict(
        "Conflict occurred attempting to store credential - Duplicate entry found with that access key.",
    )
}

/// `access` is the public half of an ec2 key.
pub fn insert(tx: &Tx<'_>, c: &Credential, access: Option<&str>) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO credential (id, user_id, project_id, type, blob, access_hash, extra, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            &c.id,
            &c.user_id,
            c.project_id.as_ref(),
            &c.kind,
            &c.blob,
            access.map(access_hash),
            extra_text(&c.extra)?,
            Micros::now(),
        ],
        taken,
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, c: &Credential, access: Option<&str>) -> Result<()> {
    tx.exec_unique(
        "UPDATE credential SET blob = $2, access_hash = $3, extra = $4 WHERE id = $1",
        params![&c.id, &c.blob, access.map(access_hash), extra_text(&c.extra)?],
        taken,
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM credential WHERE id = $1", params![id])?;
    Ok(())
}

pub fn count(tx: &Tx<'_>, user: &UserId) -> Result<i64> {
    tx.one("SELECT COUNT(*) FROM credential WHERE user_id = $1", params![user], |r| r.get(0))
}
