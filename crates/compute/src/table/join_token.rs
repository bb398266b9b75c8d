//! Invitations of hosts.

use base::{HostId, Micros, Result};
use store::{Row, Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub id: String,
    /// Empty: any new host.
    pub host_name: String,
    /// Empty: as the host has it.
    pub zone: String,
    pub created_at: Micros,
    pub expires_at: Micros,
    pub used_at: Option<Micros>,
    pub host: Option<HostId>,
    pub proof: String,
}

const COLUMNS: &str = "id, host_name, zone, created_at, expires_at, used_at, host_id, proof";

fn read(r: &Row<'_>) -> Result<JoinToken> {
    Ok(JoinToken {
        id: r.get(0)?,
        host_name: r.get(1)?,
        zone: r.get(2)?,
        created_at: r.get(3)?,
        expires_at: r.get(4)?,
        used_at: r.get(5)?,
        host: r.get(6)?,
        proof: r.get(7)?,
    })
}

pub fn insert(tx: &Tx<'_>, t: &JoinToken, secret_hash: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO join_token (id, secret_hash, host_name, zone, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![&t.id, secret_hash, &t.host_name, &t.zone, t.created_at, t.expires_at],
    )?;
    Ok(())
}

pub fn by_secret_hash(tx: &Tx<'_>, hash: &str) -> Result<Option<JoinToken>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM join_token WHERE secret_hash = $1"), params![hash], read)
}

pub fn all(tx: &Tx<'_>) -> Result<Vec<JoinToken>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM join_token ORDER BY created_at, id"), &[], read)
}

/// Uses an invitation up. One conditional update, so that of two that come at once one is refused.
pub fn spend(tx: &Tx<'_>, id: &str, proof: &str) -> Result<bool> {
    let sql = "UPDATE join_token SET used_at = $2, proof = $3 WHERE id = $1 AND used_at IS NULL";
    Ok(tx.exec(sql, params![id, Micros::now(), proof])? == 1)
}

/// Notes who has used it.
pub fn used_by(tx: &Tx<'_>, id: &str, host: HostId) -> Result<()> {
    tx.exec("UPDATE join_token SET host_id = $2 WHERE id = $1", params![id, host])?;
    Ok(())
}

/// Takes an invitation back; answers whether it was there.
pub fn delete(tx: &Tx<'_>, id: &str) -> Result<bool> {
    Ok(tx.exec("DELETE FROM join_token WHERE id = $1", params![id])? == 1)
}

/// Forgets those that nobody can use or ask about any more.
pub fn purge(tx: &Tx<'_>, expired_before: Micros) -> Result<()> {
    tx.exec("DELETE FROM join_token WHERE expires_at < $1", params![expired_before])?;
    Ok(())
}
