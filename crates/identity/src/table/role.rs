//! Rows of roles and of what they imply.

use super::{extra, extra_text, missing, taken};
use crate::model::Role;
use base::{DomainId, Micros, Result, RoleId};
use store::{Row, Tx, params};

pub const SELECT: &str = "SELECT id, domain_id, name, description, extra FROM role WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Role> {
    let domain: String = r.get(1)?;
    Ok(Role {
        id: r.get(0)?,
        domain_id: (!domain.is_empty()).then_some(DomainId(domain)),
        name: r.get(2)?,
        description: r.get(3)?,
        extra: extra(r, 4)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &RoleId) -> Result<Option<Role>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

pub fn get(tx: &Tx<'_>, id: &RoleId) -> Result<Role> {
    find(tx, id)?.ok_or_else(|| missing("role", id.as_str()))
}

pub fn all(tx: &Tx<'_>) -> Result<Vec<Role>> {
    tx.rows(&format!("{SELECT} ORDER BY created_at, id"), &[], row)
}

pub fn insert(tx: &Tx<'_>, role: &Role) -> Result<()> {
    let domain = role.domain_id.as_ref().map_or("", DomainId::as_str);
    tx.exec_unique(
        "INSERT INTO role (id, domain_id, name, description, extra, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        params![&role.id, domain, &role.name, &role.description, extra_text(&role.extra)?, Micros::now()],
        || taken("role", &role.name, None),
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, role: &Role) -> Result<()> {
    tx.exec_unique(
        "UPDATE role SET name = $2, description = $3, extra = $4 WHERE id = $1",
        params![&role.id, &role.name, &role.description, extra_text(&role.extra)?],
        || taken("role", &role.name, None),
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &RoleId) -> Result<()> {
    tx.exec("DELETE FROM role WHERE id = $1", params![id])?;
    Ok(())
}

pub fn imply(tx: &Tx<'_>, prior: &RoleId, implied: &RoleId) -> Result<()> {
    tx.exec(
        "INSERT INTO role_implied (prior_id, implied_id) VALUES ($1, $2)
         ON CONFLICT (prior_id, implied_id) DO NOTHING",
        params![prior, implied],
    )?;
    Ok(())
}

pub fn unimply(tx: &Tx<'_>, prior: &RoleId, implied: &RoleId) -> Result<bool> {
    let n =
        tx.exec("DELETE FROM role_implied WHERE prior_id = $1 AND implied_id = $2", params![prior, implied])?;
    Ok(n > 0)
}

/// All pairs of a role and one that it implies.
pub fn implications(tx: &Tx<'_>) -> Result<Vec<(RoleId, RoleId)>> {
    tx.rows("SELECT prior_id, implied_id FROM role_implied ORDER BY prior_id, implied_id", &[], |r| {
        Ok((r.get(0)?, r.get(1)?))
    })
}
