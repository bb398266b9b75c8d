//! Passwords that guests made for themselves, encrypted with their users' keys.

use base::{Result, ServerId};
use std::collections::HashMap;
use store::{Sql, Tx, params};

pub fn of(tx: &Tx<'_>, servers: &[ServerId]) -> Result<HashMap<ServerId, String>> {
    let mut q = Sql::new("SELECT server_id, password FROM server_password WHERE 1 = 1");
    q.and_in("server_id", servers);
    Ok(q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect())
}

/// Keeps a password; false when there is one already.
pub fn keep(tx: &Tx<'_>, server: ServerId, password: &str) -> Result<bool> {
    let n = tx.exec(
        "INSERT INTO server_password (server_id, password) VALUES ($1, $2) ON CONFLICT (server_id) DO NOTHING",
        params![server, password],
    )?;
    Ok(n == 1)
}

pub fn clear(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    tx.exec("DELETE FROM server_password WHERE server_id = $1", params![server])?;
    Ok(())
}
