//! SQL of port forwardings.

use crate::model::forward::Forward;
use base::{FloatingIpId, PortForwardingId, PortId, Result, RouterId, doc};
use std::collections::HashMap;
use std::net::IpAddr;
use store::{Row, Tx, Val, params};

const COLS: &str = "t.id, t.floating_ip_id, t.description, t.protocol, t.external_first, t.external_last, \
     t.port_id, t.address, t.internal_first, t.internal_last";

fn port_number(r: &Row<'_>, i: usize) -> Result<u16> {
    u16::try_from(r.get::<i64>(i)?).map_err(base::Fault::internal)
}

fn read(r: &Row<'_>) -> Result<Forward> {
    Ok(Forward {
        id: r.get(0)?,
        floating: r.get(1)?,
        description: r.get(2)?,
        udp: r.get::<String>(3)? == "udp",
        external: (port_number(r, 4)?, port_number(r, 5)?),
        port: r.get(6)?,
        address: r.get(7)?,
        internal: (port_number(r, 8)?, port_number(r, 9)?),
    })
}

fn find(tx: &Tx<'_>, condition: &str, vals: &[Val<'_>]) -> Result<Vec<Forward>> {
    let sql = format!("SELECT {COLS} FROM port_forwarding t WHERE {condition} ORDER BY t.created_at, t.id");
    tx.rows(&sql, vals, read)
}

pub fn by_id(tx: &Tx<'_>, id: PortForwardingId) -> Result<Option<Forward>> {
    Ok(find(tx, "t.id = $1", params![id])?.pop())
}

pub fn of_floating(tx: &Tx<'_>, id: FloatingIpId) -> Result<Vec<Forward>> {
    find(tx, "t.floating_ip_id = $1", params![id])
}

pub fn of_port(tx: &Tx<'_>, id: PortId) -> Result<Vec<Forward>> {
    find(tx, "t.port_id = $1", params![id])
}

/// All of a router's floating IPs.
pub fn of_router(tx: &Tx<'_>, router: RouterId) -> Result<Vec<Forward>> {
    find(
        tx,
        "t.floating_ip_id IN (SELECT id FROM floating_ip WHERE router_id = $1 AND port_id IS NULL)",
        params![router],
    )
}

/// As a host has them: with the floating addresses.
pub fn docs(tx: &Tx<'_>, router: RouterId) -> Result<Vec<doc::Forward>> {
    let sql = format!(
        "SELECT {COLS}, f.address FROM port_forwarding t JOIN floating_ip f ON f.id = t.floating_ip_id
         WHERE f.router_id = $1 AND f.port_id IS NULL ORDER BY f.address, t.protocol, t.external_first"
    );
    tx.rows(&sql, params![router], |r| {
        let f = read(r)?;
        Ok(doc::Forward {
            floating: r.get::<IpAddr>(10)?,
            protocol: if f.udp { 17 } else { 6 },
            external: f.external,
            fixed: f.address,
            internal: f.internal,
        })
    })
}

/// Those of floating IPs, by floating IP.
pub fn of_many(tx: &Tx<'_>, floating: &[String]) -> Result<HashMap<String, Vec<Forward>>> {
    let sql = format!("SELECT t.floating_ip_id, {COLS} FROM port_forwarding t WHERE t.floating_ip_id IN (");
    super::children(tx, &sql, ") ORDER BY t.created_at, t.id", floating, |r| {
        Ok(Forward {
            id: r.get(1)?,
            floating: r.get(2)?,
            description: r.get(3)?,
            udp: r.get::<String>(4)? == "udp",
            external: (port_number(r, 5)?, port_number(r, 6)?),
            port: r.get(7)?,
            address: r.get(8)?,
            internal: (port_number(r, 9)?, port_number(r, 10)?),
        })
    })
}

/// False when its first external port is taken.
pub fn insert(tx: &Tx<'_>, f: &Forward) -> Result<bool> {
    let added = tx.exec(
        "INSERT INTO port_forwarding (id, floating_ip_id, description, protocol, external_first, external_last,
         port_id, address, internal_first, internal_last, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        params![
            f.id,
            f.floating,
            &f.description,
            f.protocol(),
            u32::from(f.external.0),
            u32::from(f.external.1),
            f.port,
            f.address,
            u32::from(f.internal.0),
            u32::from(f.internal.1),
            base::Micros::now()
        ],
    )?;
    Ok(added == 1)
}

pub fn update(tx: &Tx<'_>, f: &Forward) -> Result<()> {
    tx.exec(
        "UPDATE port_forwarding SET description = $2, protocol = $3, external_first = $4, external_last = $5,
         port_id = $6, address = $7, internal_first = $8, internal_last = $9 WHERE id = $1",
        params![
            f.id,
            &f.description,
            f.protocol(),
            u32::from(f.external.0),
            u32::from(f.external.1),
            f.port,
            f.address,
            u32::from(f.internal.0),
            u32::from(f.internal.1)
        ],
    )
    .map(drop)
}

pub fn delete(tx: &Tx<'_>, id: PortForwardingId) -> Result<()> {
    tx.exec("DELETE FROM port_forwarding WHERE id = $1", params![id]).map(drop)
}
