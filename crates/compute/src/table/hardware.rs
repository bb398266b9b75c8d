//! What servers' machines are made of, as their images asked when they were made.

use base::doc::Hardware;
use base::{Result, ServerId};
use std::collections::HashMap;
use store::{Sql, Tx, params};

pub fn of(tx: &Tx<'_>, servers: &[ServerId]) -> Result<HashMap<ServerId, Hardware>> {
    let mut q = Sql::new("SELECT server_id, hardware FROM server_hardware WHERE 1 = 1");
    q.and_in("server_id", servers);
    let rows = q.rows(tx, |r| Ok((r.get(0)?, serde_json::from_str(&r.get::<String>(1)?)?)))?;
    Ok(rows.into_iter().collect())
}

/// Keeps it; the ordinary machine needs no row.
pub fn put(tx: &Tx<'_>, server: ServerId, h: &Hardware) -> Result<()> {
    if *h == Hardware::default() {
        tx.exec("DELETE FROM server_hardware WHERE server_id = $1", params![server])?;
        return Ok(());
    }
    tx.exec(
        "INSERT INTO server_hardware (server_id, hardware) VALUES ($1, $2)
         ON CONFLICT (server_id) DO UPDATE SET hardware = excluded.hardware",
        params![server, serde_json::to_string(h)?],
    )?;
    Ok(())
}
