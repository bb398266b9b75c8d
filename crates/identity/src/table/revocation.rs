//! Revoked tokens. A row stays until no token that it concerns can be valid.

use crate::TOKEN_LIFE;
use base::{DomainId, Micros, ProjectId, Result, UserId};
use store::{Tx, params};

/// Revokes one token.
pub fn token(tx: &Tx<'_>, audit_id: &str, expires_at: Micros) -> Result<()> {
    insert(tx, audit_id, "", "", Micros::now(), expires_at)
}

/// Revokes what a user holds.
pub fn user(tx: &Tx<'_>, id: &UserId) -> Result<()> {
    let now = Micros::now();
    insert(tx, "", id.as_str(), "", now, now.plus(TOKEN_LIFE))
}

/// Revokes what is scoped to a project.
pub fn project(tx: &Tx<'_>, id: &ProjectId) -> Result<()> {
    let now = Micros::now();
    insert(tx, "", "", id.as_str(), now, now.plus(TOKEN_LIFE))
}

/// Revokes what the users of a domain hold and what is scoped to its projects.
pub fn domain(tx: &Tx<'_>, id: &DomainId) -> Result<()> {
    for u in tx.rows("SELECT id FROM account WHERE domain_id = $1", params![id], |r| r.get(0))? {
        user(tx, &u)?;
    }
    for p in tx.rows("SELECT id FROM project WHERE domain_id = $1", params![id], |r| r.get(0))? {
        project(tx, &p)?;
    }
    Ok(())
}

fn insert(tx: &Tx<'_>, audit: &str, user: &str, project: &str, at: Micros, until: Micros) -> Result<()> {
    tx.exec(
        "INSERT INTO revocation (id, audit_id, user_id, project_id, at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        params![hex::encode(rand::random::<[u8; 16]>()), audit, user, project, at, until],
    )?;
    Ok(())
}

/// Whether a token is revoked. `project` is empty for a token that is not scoped to one.
pub fn hits(tx: &Tx<'_>, audit_id: &str, user: &UserId, project: &str, issued_at: Micros) -> Result<bool> {
    // No row has this for its project, so that the empty one of other rows is never met.
    let project = if project.is_empty() { "-" } else { project };
    let sql = "SELECT id FROM revocation WHERE audit_id = $1 OR (user_id = $2 AND at >= $4)
               OR (project_id = $3 AND at >= $4) LIMIT 1";
    Ok(tx.opt(sql, params![audit_id, user, project, issued_at], |r| r.get::<String>(0))?.is_some())
}

pub fn purge(tx: &Tx<'_>, now: Micros) -> Result<()> {
    tx.exec("DELETE FROM revocation WHERE expires_at < $1", params![now])?;
    Ok(())
}
