//! SQL of floating IPs.

use crate::model::{Floating, Std};
use base::{FloatingIpId, PortId, Result};
use store::{Row, Tx, Val, params};

pub const COLS: &str = "t.id, t.project_id, '', t.description, t.revision, t.created_at, t.updated_at, \
     t.network_id, t.own_port_id, t.address, t.port_id, t.fixed_address, t.router_id, t.status";

pub fn read(r: &Row<'_>) -> Result<Floating> {
    Ok(Floating {
        id: r.get(0)?,
        std: Std::read(r)?,
        network: r.get(7)?,
        own_port: r.get(8)?,
        address: r.get(9)?,
        port: r.get(10)?,
        fixed: r.get(11)?,
        router: r.get(12)?,
        active: r.get::<String>(13)? == "ACTIVE",
    })
}

/// Floating IPs by a condition such as `t.router_id = $1`.
pub fn find(tx: &Tx<'_>, condition: &str, vals: &[Val<'_>]) -> Result<Vec<Floating>> {
    tx.rows(&format!("SELECT {COLS} FROM floating_ip t WHERE {condition} ORDER BY t.address"), vals, read)
}

pub fn by_id(tx: &Tx<'_>, id: FloatingIpId) -> Result<Option<Floating>> {
    Ok(find(tx, "t.id = $1", params![id])?.pop())
}

pub fn of_port(tx: &Tx<'_>, port: PortId) -> Result<Vec<Floating>> {
    find(tx, "t.port_id = $1", params![port])
}

pub fn insert(tx: &Tx<'_>, f: &Floating) -> Result<()> {
    tx.exec(
        "INSERT INTO floating_ip (id, project_id, description, revision, created_at, updated_at, network_id,
         own_port_id, address, port_id, fixed_address, router_id, status)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        params![
            f.id,
            &f.std.project,
            &f.std.description,
            f.std.revision,
            f.std.created,
            f.std.updated,
            f.network,
            f.own_port,
            f.address,
            f.port,
            f.fixed,
            f.router,
            status(f.active)
        ],
    )
    .map(drop)
}

pub fn update(tx: &Tx<'_>, f: &Floating) -> Result<()> {
    tx.exec(
        "UPDATE floating_ip SET description = $2, port_id = $3, fixed_address = $4, router_id = $5, status = $6
         WHERE id = $1",
        params![f.id, &f.std.description, f.port, f.fixed, f.router, status(f.active)],
    )
    .map(drop)
}

fn status(active: bool) -> &'static str {
    if active { "ACTIVE" } else { "DOWN" }
}
