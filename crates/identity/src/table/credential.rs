//! Application credentials.

use super::{missing, taken};
use crate::model::AppCredential;
use base::{Micros, Result, UserId};
use store::{Row, Tx, params};

pub const SELECT: &str =
    "SELECT id, user_id, project_id, name, description, secret_hash, roles, unrestricted, expires_at,
            access_rules
     FROM application_credential WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<AppCredential> {
    Ok(AppCredential {
        id: r.get(0)?,
        user_id: r.get(1)?,
        project_id: r.get(2)?,
        name: r.get(3)?,
        description: r.get(4)?,
        secret_hash: r.get(5)?,
        roles: serde_json::from_str(&r.get::<String>(6)?)?,
        unrestricted: r.get(7)?,
        expires_at: r.get(8)?,
        access_rules: serde_json::from_str(&r.get::<String>(9)?)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &str) -> Result<Option<AppCredential>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

pub fn by_name(tx: &Tx<'_>, user: &UserId, name: &str) -> Result<Option<AppCredential>> {
    tx.opt(&format!("{SELECT} AND user_id = $1 AND name = $2"), params![user, name], row)
}

/// A credential of that user.
pub fn get(tx: &Tx<'_>, user: &UserId, id: &str) -> Result<AppCredential> {
    find(tx, id)?.filter(|c| c.user_id == *user).ok_or_else(|| missing("Application Credential", id))
}

pub fn insert(tx: &Tx<'_>, c: &AppCredential) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO application_credential
           (id, user_id, project_id, name, description, secret_hash, roles, unrestricted, expires_at, created_at,
            access_rules)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        params![
            &c.id, &c.user_id, &c.project_id, &c.name, &c.description, &c.secret_hash,
            serde_json::to_string(&c.roles)?, c.unrestricted, c.expires_at, Micros::now(), serde_json::to_string(&c.access_rules)?,
        ],
        || taken("application_credential", &c.name, None),
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM application_credential WHERE id = $1", params![id])?;
    Ok(())
}

pub fn count(tx: &Tx<'_>, user: &UserId) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM application_credential WHERE user_id = $1";
    tx.one(sql, params![user], |r| r.get(0))
}
