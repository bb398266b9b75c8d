//! SQL of routers and their interfaces.

use crate::model::{Router, Std, json};
use base::{NetworkId, PortId, Result, RouterId};
use store::{Row, Sql, Tx, params};

pub const COLS: &str = "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at, \
     t.admin_up, t.gateway_port_id, t.enable_snat, t.routes, t.home_host_id, t.az_hints";

pub fn read(r: &Row<'_>) -> Result<Router> {
    Ok(Router {
        id: r.get(0)?,
        std: Std::read(r)?,
        admin_up: r.get(7)?,
        gateway_port: r.get(8)?,
        enable_snat: r.get(9)?,
        routes: json(r, 10)?,
        home: r.get(11)?,
        az_hints: json(r, 12)?,
    })
}

pub fn by_id(tx: &Tx<'_>, id: RouterId) -> Result<Option<Router>> {
    tx.opt(&format!("SELECT {COLS} FROM router t WHERE t.id = $1"), params![id], read)
}

pub fn by_ids(tx: &Tx<'_>, ids: &[RouterId]) -> Result<Vec<Router>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new(&format!("SELECT {COLS} FROM router t WHERE t.id IN ("));
    super::fill(&mut q, ids);
    q.push(") ORDER BY t.id");
    q.rows(tx, read)
}

pub fn insert(tx: &Tx<'_>, r: &Router) -> Result<()> {
    tx.exec(
        "INSERT INTO router (id, project_id, name, description, revision, created_at, updated_at, admin_up,
         gateway_port_id, enable_snat, routes, home_host_id, az_hints)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        params![
            r.id,
            &r.std.project,
            &r.std.name,
            &r.std.description,
            r.std.revision,
            r.std.created,
            r.std.updated,
            r.admin_up,
            r.gateway_port,
            r.enable_snat,
            serde_json::to_string(&r.routes)?,
            r.home,
            serde_json::to_string(&r.az_hints)?
        ],
    )
    .map(drop)
}

pub fn update(tx: &Tx<'_>, r: &Router) -> Result<()> {
    tx.exec(
        "UPDATE router SET name = $2, description = $3, admin_up = $4, gateway_port_id = $5, enable_snat = $6,
         routes = $7, home_host_id = $8, az_hints = $9 WHERE id = $1",
        params![
            r.id, &r.std.name, &r.std.description, r.admin_up, r.gateway_port, r.enable_snat,
            serde_json::to_string(&r.routes)?, r.home, serde_json::to_string(&r.az_hints)?
        ],
    )
    .map(drop)
}

pub fn add_interface(tx: &Tx<'_>, router: RouterId, port: PortId, network: NetworkId) -> Result<()> {
    tx.exec(
        "INSERT INTO router_interface (port_id, router_id, network_id) VALUES ($1, $2, $3)",
        params![port, router, network],
    )
    .map(drop)
}

pub fn remove_interface(tx: &Tx<'_>, port: PortId) -> Result<()> {
    tx.exec("DELETE FROM router_interface WHERE port_id = $1", params![port]).map(drop)
}

/// The ports by which a router is joined to tenant networks.
pub fn interfaces(tx: &Tx<'_>, router: RouterId) -> Result<Vec<PortId>> {
    tx.rows("SELECT port_id FROM router_interface WHERE router_id = $1", params![router], |r| r.get(0))
}
