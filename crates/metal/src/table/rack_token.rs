//! Invitations of racks.

use base::{Micros, RackId, Result};
use store::{Row, Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RackToken {
    pub id: String,
    /// Empty: by the name that it says.
    pub rack_name: String,
    pub created_at: Micros,
    pub expires_at: Micros,
    pub used_at: Option<Micros>,
    pub rack: Option<RackId>,
    pub proof: String,
}

const COLUMNS: &str = "id, rack_name, created_at, expires_at, used_at, rack_id, proof";

fn read(r: &Row<'_>) -> Result<RackToken> {
    Ok(RackToken {
        id: r.get(0)?,
        rack_name: r.get(1)?,
        created_at: r.get(2)?,
        expires_at: r.get(3)?,
        used_at: r.get(4)?,
        rack: r.get(5)?,
        proof: r.get(6)?,
    })
}

pub fn insert(tx: &Tx<'_>, t: &RackToken, secret_hash: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO rack_token (id, secret_hash, rack_name, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        params![&t.id, secret_hash, &t.rack_name, t.created_at, t.expires_at],
    )
    .map(drop)
}

pub fn by_secret_hash(tx: &Tx<'_>, hash: &str) -> Result<Option<RackToken>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM rack_token WHERE secret_hash = $1"), params![hash], read)
}

pub fn all(tx: &Tx<'_>) -> Result<Vec<RackToken>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM rack_token ORDER BY created_at, id"), &[], read)
}

/// Uses an invitation up. One conditional update, so that of two that come at once one is refused.
pub fn spend(tx: &Tx<'_>, id: &str, proof: &str) -> Result<bool> {
    let sql = "UPDATE rack_token SET used_at = $2, proof = $3 WHERE id = $1 AND used_at IS NULL";
    Ok(tx.exec(sql, params![id, Micros::now(), proof])? == 1)
}

/// Notes who has used it.
pub fn used_by(tx: &Tx<'_>, id: &str, rack: RackId) -> Result<()> {
    tx.exec("UPDATE rack_token SET rack_id = $2 WHERE id = $1", params![id, rack])?;
    Ok(())
}

/// Takes an invitation back; answers whether it was there.
pub fn delete(tx: &Tx<'_>, id: &str) -> Result<bool> {
    Ok(tx.exec("DELETE FROM rack_token WHERE id = $1", params![id])? == 1)
}

/// Forgets those that nobody can use or ask about any more.
pub fn purge(tx: &Tx<'_>, expired_before: Micros) -> Result<()> {
    tx.exec("DELETE FROM rack_token WHERE expires_at < $1", params![expired_before])?;
    Ok(())
}
