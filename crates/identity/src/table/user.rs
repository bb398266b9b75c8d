//! Rows of users (table `account`). The password's hash is written apart from the rest.

use super::{extra, extra_text, missing, taken};
use crate::model::Account;
use base::{DomainId, Micros, Result, UserId};
use store::{Row, Tx, params};

pub const SELECT: &str =
    "SELECT id, domain_id, name, description, enabled, default_project_id, password_hash,
            password_at, extra, password_expires_at, password_own, failed_logins, failed_at, active_at,
            failed_codes, failed_code_at, created_at
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
        password_expires_at: r.get(9)?,
        password_own: r.get(10)?,
        failed_logins: r.get(11)?,
        failed_at: r.get(12)?,
        active_at: r.get(13)?,
        failed_codes: r.get(14)?,
        failed_code_at: r.get(15)?,
        created_at: r.get(16)?,
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
                              password_at, extra, created_at, password_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
            a.created_at,
            a.password_expires_at,
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

/// Writes a password. Of those before it, as many are kept as make `unique` together with the new one.
pub fn set_password(
    tx: &Tx<'_>,
    before: &Account,
    hash: Option<String>,
    own: bool,
    expires_at: Option<Micros>,
    unique: u32,
) -> Result<()> {
    let now = Micros::now();
    if let Some(old) = before.password_hash.as_ref().filter(|_| unique > 1) {
        tx.exec(
            "INSERT INTO account_password (user_id, at, hash) VALUES ($1, $2, $3)
             ON CONFLICT (user_id, at) DO NOTHING",
            params![&before.id, now, old],
        )?;
    }
    tx.exec(
        "DELETE FROM account_password WHERE user_id = $1 AND at NOT IN
           (SELECT at FROM account_password WHERE user_id = $1 ORDER BY at DESC LIMIT $2)",
        params![&before.id, i64::from(unique.saturating_sub(1))],
    )?;
    tx.exec(
        "UPDATE account SET password_hash = $2, password_at = $3, password_own = $4, password_expires_at = $5
         WHERE id = $1",
        params![&before.id, hash, now, own, expires_at],
    )?;
    Ok(())
}

/// The hashes of former passwords, newest first.
pub fn former(tx: &Tx<'_>, id: &UserId) -> Result<Vec<String>> {
    let sql = "SELECT hash FROM account_password WHERE user_id = $1 ORDER BY at DESC";
    tx.rows(sql, params![id], |r| r.get(0))
}

pub fn delete(tx: &Tx<'_>, id: &UserId) -> Result<()> {
    tx.exec("DELETE FROM role_grant WHERE actor_id = $1", params![id])?;
    tx.exec("DELETE FROM account WHERE id = $1", params![id])?;
    Ok(())
}
