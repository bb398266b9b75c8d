//! SSH keys: of users for the machines that they deploy, of operators for live systems.

use super::number;
use base::{Fault, Micros, Result, UserId};
use store::{Row, Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub number: i64,
    pub user: UserId,
    /// A line of authorized_keys.
    pub key: String,
    /// Where it was imported from, such as `gh:name`; empty: entered.
    pub source: String,
    /// Live systems let it in.
    pub operator: bool,
    pub created_at: Micros,
}

const COLUMNS: &str = "number, user_id, key, source, operator, created_at";

fn read(r: &Row<'_>) -> Result<Key> {
    Ok(Key {
        number: r.get(0)?,
        user: r.get(1)?,
        key: r.get(2)?,
        source: r.get(3)?,
        operator: r.get(4)?,
        created_at: r.get(5)?,
    })
}

pub fn of(tx: &Tx<'_>, user: &UserId) -> Result<Vec<Key>> {
    let sql = format!("SELECT {COLUMNS} FROM metal_key WHERE user_id = $1 ORDER BY number");
    tx.rows(&sql, params![user], read)
}

/// Lines of authorized_keys for live systems.
pub fn operators(tx: &Tx<'_>) -> Result<Vec<String>> {
    tx.rows("SELECT key FROM metal_key WHERE operator = 1 ORDER BY number", &[], |r| r.get(0))
}

/// Keeps a key.
///
/// # Errors
/// `BadRequest` for what is no line of authorized_keys; `Conflict` when the user has it.
pub fn add(tx: &Tx<'_>, user: &UserId, key: &str, source: &str, operator: bool) -> Result<Key> {
    let key = good(key)?;
    let n = number(tx, "key")?;
    tx.exec_unique(
        "INSERT INTO metal_key (number, user_id, key, source, operator, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        params![n, user, &key, source, operator, Micros::now()],
        || Fault::conflict("This key has already been added for this user."),
    )?;
    let sql = format!("SELECT {COLUMNS} FROM metal_key WHERE number = $1");
    tx.one(&sql, params![n], read)
}

/// Forgets a user's key; false when there is none.
pub fn delete(tx: &Tx<'_>, user: &UserId, number: i64) -> Result<bool> {
    let sql = "DELETE FROM metal_key WHERE user_id = $1 AND number = $2";
    Ok(tx.exec(sql, params![user, number])? == 1)
}

/// A line of authorized_keys without blanks around it.
///
/// # Errors
/// `BadRequest` for anything else.
pub fn good(key: &str) -> Result<String> {
    let key = key.trim();
    let mut words = key.split_ascii_whitespace();
    let kind = words.next().unwrap_or_default();
    let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-");
    let body = words.next().is_some_and(|b| b.starts_with("AAAA"));
    if known && body && !key.contains(['\n', '\r', '\0']) && key.len() <= 16384 {
        return Ok(key.to_owned());
    }
    Err(Fault::bad_request(
        "This is no public SSH key, as in a line of authorized_keys: `ssh-ed25519 AAAA… name`.",
    ))
}
