//! The table of sessions.

use base::{Micros, Result, UserId};
use std::time::Duration;
use store::{Tx, params};

/// A session as it is kept.
pub struct Row {
    pub id: String,
    pub user: UserId,
    /// Sealed.
    pub token: String,
    pub seen_at: Micros,
    pub expires_at: Micros,
}

pub fn insert(tx: &Tx<'_>, row: &Row) -> Result<()> {
    tx.exec(
        "INSERT INTO portal_session (id, user_id, token, created_at, seen_at, expires_at)
         VALUES ($1, $2, $3, $4, $4, $5)",
        params![&row.id, &row.user, &row.token, row.seen_at, row.expires_at],
    )
    .map(drop)
}

pub fn find(tx: &Tx<'_>, id: &str) -> Result<Option<Row>> {
    let sql = "SELECT id, user_id, token, seen_at, expires_at FROM portal_session WHERE id = $1";
    tx.opt(sql, params![id], |r| {
        Ok(Row {
            id: r.get(0)?,
            user: r.get(1)?,
            token: r.get(2)?,
            seen_at: r.get(3)?,
            expires_at: r.get(4)?,
        })
    })
}

/// False when the session is gone.
pub fn set_token(tx: &Tx<'_>, id: &str, token: &str) -> Result<bool> {
    Ok(tx.exec("UPDATE portal_session SET token = $2 WHERE id = $1", params![id, token])? == 1)
}

/// False when the session is no more, or was seen later elsewhere.
pub fn touch(tx: &Tx<'_>, id: &str, now: Micros) -> Result<bool> {
    tx.exec("UPDATE portal_session SET seen_at = $2 WHERE id = $1 AND seen_at < $2", params![id, now])
        .map(|n| n == 1)
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM portal_session WHERE id = $1", params![id]).map(drop)
}

/// Forgets sessions that are over.
pub fn purge(tx: &Tx<'_>, idle: Duration) -> Result<()> {
    let now = Micros::now();
    let sql = "DELETE FROM portal_session WHERE expires_at <= $1 OR seen_at <= $2";
    tx.exec(sql, params![now, now.minus(idle)]).map(drop)
}

/// Ends the oldest sessions of a user who has more than `most`. Says whether there were any.
pub fn keep_newest(tx: &Tx<'_>, user: &UserId, most: u64) -> Result<bool> {
    tx.exec(
        "DELETE FROM portal_session WHERE user_id = $1 AND id NOT IN (
             SELECT id FROM portal_session WHERE user_id = $1 ORDER BY created_at DESC, id LIMIT $2)",
        params![user, most],
    )
    .map(|n| n > 0)
}
