//! The user's names for servers' NICs.

use base::{PortId, Result, ServerId};
use std::collections::HashMap;
use store::{Sql, Tx, params};

pub fn of(tx: &Tx<'_>, servers: &[ServerId]) -> Result<HashMap<ServerId, HashMap<PortId, String>>> {
    let mut q = Sql::new("SELECT server_id, port_id, tag FROM server_nic_tag WHERE 1 = 1");
    q.and_in("server_id", servers);
    let mut all: HashMap<ServerId, HashMap<PortId, String>> = HashMap::new();
    for (server, port, tag) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))? {
        all.entry(server).or_default().insert(port, tag);
    }
    Ok(all)
}

pub fn set(tx: &Tx<'_>, server: ServerId, port: PortId, tag: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO server_nic_tag (server_id, port_id, tag) VALUES ($1, $2, $3)
         ON CONFLICT (server_id, port_id) DO UPDATE SET tag = excluded.tag",
        params![server, port, tag],
    )?;
    Ok(())
}

pub fn clear(tx: &Tx<'_>, server: ServerId, port: PortId) -> Result<()> {
    tx.exec("DELETE FROM server_nic_tag WHERE server_id = $1 AND port_id = $2", params![server, port])?;
    Ok(())
}
