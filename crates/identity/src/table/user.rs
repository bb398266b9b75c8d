//! Rows of users (table `account`). The password's hash is written apart from the rest.

use super::{extra, extra_text, missing, taken};
use crate::model::Account;
use base::{DomainId, Micros, Result, UserId};
use store::{Row, Tx, params};

pub const SELECT: &str =
    "SELECT id, domain_id, name, description, enabled, default_project_id, password_hash,
            password_at, extra
     FROM account WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Account> {
    Ok(Account {
        id: r.get(0)?,
        domain_id: r.get(1)?,
        name: r.get(2)?,
        description: r.get(3)?,
        enabled: r.get(4)?,
        default_project_id: r.get(5)?,
        password_hash: r.get(6)?,
        password_at: r.get(7)?,
        extra: extra(r, 8)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &UserId) -> Result<Option<Account>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

pub fn get(tx: &Tx<'_>, id: &UserId) -> Result<Account> {
    find(tx, id)?.ok_or_else(|| missing("user", id.as_str()))
}

pub fn by_name(tx: &Tx<'_>, domain: &DomainId, name: &str) -> Result<Option<Account>> {
    tx.opt(&format!("{SELECT} AND domain_id = $1 AND name = $2"), params![domain, name], row)
}

pub fn insert(tx: &Tx<'_>, a: &Account) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO account (id, domain_id, name, description, enabled, default_project_id, password_hash,
                              password_at, extra, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            &a.id,
            &a.domain_id,
            &a.name,
            &a.description,
            a.enabled,
            a.default_project_id.as_ref(),
            &a.password_hash,
            a.password_at,
            extra_text(&a.extra)?,
            Micros::now(),
        ],
        || taken("user", &a.name, Some(a.domain_id.as_str())),
    )?;
    Ok(())
}

/// Writes everything but the password.
pub fn update(tx: &Tx<'_>, a: &Account) -> Result<()> {
    tx.exec_unique(
        "UPDATE account SET name = $2, description = $3, enabled = $4, default_project_id = $5, extra = $6
         WHERE id = $1",
        params![
            &a.id,
            &a.name,
            &a.description,
            a.enabled,
            a.default_project_id.as_ref(),
            extra_text(&a.extra)?,
        ],
        || taken("user", &a.name, Some(a.domain_id.as_str())),
    )?;
    Ok(())
}

pub fn set_password(tx: &Tx<'_>, id: &UserId, hash: Option<String>) -> Result<()> {
    tx.exec(
        "UPDATE account SET password_hash = $2, password_at = $3 WHERE id = $1",
        params![id, hash, Micros::now()],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &UserId) -> Result<()> {
    tx.exec("DELETE FROM role_grant WHERE actor_id = $1", params![id])?;
    tx.exec("DELETE FROM account WHERE id = $1", params![id])?;
    Ok(())
}
