//! SQL of subnets.

use crate::model::{Std, Subnet, json};
use base::{Fault, NetworkId, Result, SubnetId};
use ipnet::IpNet;
use store::{Row, Sql, Tx, params};

pub const COLS: &str = "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at, \
     t.network_id, t.cidr, t.gateway_ip, t.enable_dhcp, t.ipv6_ra_mode, t.ipv6_address_mode, t.pools, t.dns, \
     t.routes, t.service_types, t.subnetpool_id";

pub fn read(r: &Row<'_>) -> Result<Subnet> {
    let cidr: String = r.get(8)?;
    Ok(Subnet {
        id: r.get(0)?,
        std: Std::read(r)?,
        network: r.get(7)?,
        cidr: cidr.parse::<IpNet>().map_err(Fault::internal)?,
        gateway: r.get(9)?,
        dhcp: r.get(10)?,
        ra_mode: r.get(11)?,
        address_mode: r.get(12)?,
        pools: json(r, 13)?,
        dns: json(r, 14)?,
        routes: json(r, 15)?,
        service_types: json(r, 16)?,
        pool: r.get(17)?,
    })
}

pub fn by_id(tx: &Tx<'_>, id: SubnetId) -> Result<Option<Subnet>> {
    tx.opt(&format!("SELECT {COLS} FROM subnet t WHERE t.id = $1"), params![id], read)
}

/// In the order in which they were made.
pub fn of_network(tx: &Tx<'_>, network: NetworkId) -> Result<Vec<Subnet>> {
    of_networks(tx, &[network])
}

pub fn of_networks(tx: &Tx<'_>, networks: &[NetworkId]) -> Result<Vec<Subnet>> {
    if networks.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new(&format!("SELECT {COLS} FROM subnet t WHERE t.network_id IN ("));
    super::fill(&mut q, networks);
    q.push(") ORDER BY t.created_at, t.id");
    q.rows(tx, read)
}

pub fn by_ids(tx: &Tx<'_>, ids: &[SubnetId]) -> Result<Vec<Subnet>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new(&format!("SELECT {COLS} FROM subnet t WHERE t.id IN ("));
    super::fill(&mut q, ids);
    q.push(")");
    q.rows(tx, read)
}

pub fn insert(tx: &Tx<'_>, s: &Subnet) -> Result<()> {
    tx.exec(
        "INSERT INTO subnet (id, project_id, name, description, revision, created_at, updated_at, network_id,
         ip_version, cidr, gateway_ip, enable_dhcp, ipv6_ra_mode, ipv6_address_mode, pools, dns, routes, service_types,
         subnetpool_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        params![
            s.id,
            &s.std.project,
            &s.std.name,
            &s.std.description,
            s.std.revision,
            s.std.created,
            s.std.updated,
            s.network,
            if s.is_v6() { 6 } else { 4 },
            s.cidr.to_string(),
            s.gateway,
            s.dhcp,
            &s.ra_mode,
            &s.address_mode,
            serde_json::to_string(&s.pools)?,
            serde_json::to_string(&s.dns)?,
            serde_json::to_string(&s.routes)?,
            serde_json::to_string(&s.service_types)?,
            s.pool
        ],
    )?;
    Ok(())
}

/// Writes everything that may change.
pub fn update(tx: &Tx<'_>, s: &Subnet) -> Result<()> {
    tx.exec(
        "UPDATE subnet SET name = $2, description = $3, gateway_ip = $4, enable_dhcp = $5, pools = $6, dns = $7,
         routes = $8, service_types = $9 WHERE id = $1",
        params![
            s.id,
            &s.std.name,
            &s.std.description,
            s.gateway,
            s.dhcp,
            serde_json::to_string(&s.pools)?,
            serde_json::to_string(&s.dns)?,
            serde_json::to_string(&s.routes)?,
            serde_json::to_string(&s.service_types)?
        ],
    )?;
    Ok(())
}
