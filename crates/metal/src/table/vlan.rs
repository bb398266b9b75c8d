//! What the MAAS API says of segments and subnets beside what they are: fabrics, VLANs, spaces, routes.
//!
//! A segment is a VLAN. The untagged one of a fabric gives the fabric its number and name.

use super::number;
use base::{Fault, Result, SegmentId};
use std::collections::HashMap;
use std::net::IpAddr;
use store::{Tx, params};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vlan {
    /// The untagged VLAN of its fabric; none: it is that itself.
    pub fabric: Option<SegmentId>,
    pub vid: i64,
    /// Its name; empty: made from the number.
    pub label: String,
    /// Bytes, of subnets that are added; 0 is 1500.
    pub mtu: u32,
    pub space: Option<i64>,
}

pub fn all(tx: &Tx<'_>) -> Result<HashMap<SegmentId, Vlan>> {
    let sql = "SELECT segment_id, fabric_id, vid, label, mtu, space FROM maas_vlan";
    let rows = tx.rows(sql, &[], |r| {
        let fabric = r.get::<Option<String>>(1)?.and_then(|s| s.parse().ok());
        let v = Vlan { fabric, vid: r.get(2)?, label: r.get(3)?, mtu: r.get(4)?, space: r.get(5)? };
        Ok((r.get(0)?, v))
    })?;
    Ok(rows.into_iter().collect())
}

pub fn put(tx: &Tx<'_>, segment: SegmentId, v: &Vlan) -> Result<()> {
    tx.exec(
        "INSERT INTO maas_vlan (segment_id, fabric_id, vid, label, mtu, space) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (segment_id) DO UPDATE SET fabric_id = excluded.fabric_id, vid = excluded.vid,
           label = excluded.label, mtu = excluded.mtu, space = excluded.space",
        params![segment, v.fabric, v.vid, &v.label, v.mtu, v.space],
    )
    .map(drop)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    pub number: i64,
    pub name: String,
    pub description: String,
}

pub fn spaces(tx: &Tx<'_>) -> Result<Vec<Space>> {
    tx.rows("SELECT number, name, description FROM maas_space ORDER BY number", &[], |r| {
        Ok(Space { number: r.get(0)?, name: r.get(1)?, description: r.get(2)? })
    })
}

/// The name that nobody gives again.
fn taken(name: &str) -> Fault {
    Fault::conflict(format!("There is a space {name:?} already."))
}

/// # Errors
/// `Conflict` when there is one of the name.
pub fn add_space(tx: &Tx<'_>, name: Option<&str>, description: &str) -> Result<Space> {
    let number = number(tx, "space")?;
    let name = name.map_or_else(|| format!("space-{number}"), str::to_owned);
    super::named::check(&name)?;
    let sql = "INSERT INTO maas_space (number, name, description) VALUES ($1, $2, $3)";
    tx.exec_unique(sql, params![number, &name, description], || taken(&name))?;
    Ok(Space { number, name, description: description.to_owned() })
}

/// # Errors
/// `Conflict` when there is another of the name.
pub fn change_space(tx: &Tx<'_>, s: &Space) -> Result<()> {
    super::named::check(&s.name)?;
    let sql = "UPDATE maas_space SET name = $2, description = $3 WHERE number = $1";
    tx.exec_unique(sql, params![s.number, &s.name, &s.description], || taken(&s.name)).map(drop)
}

/// Its VLANs are in none then.
pub fn delete_space(tx: &Tx<'_>, number: i64) -> Result<()> {
    tx.exec("DELETE FROM maas_space WHERE number = $1", params![number]).map(drop)
}

/// What the MAAS API says of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct More {
    pub description: String,
    /// If not, machines get addresses of its reserved ranges only.
    pub managed: bool,
}

impl Default for More {
    fn default() -> Self {
        More { description: String::new(), managed: true }
    }
}

pub fn of_subnets(tx: &Tx<'_>) -> Result<HashMap<String, More>> {
    let rows = tx.rows("SELECT subnet_id, description, managed FROM maas_subnet", &[], |r| {
        Ok((r.get(0)?, More { description: r.get(1)?, managed: r.get(2)? }))
    })?;
    Ok(rows.into_iter().collect())
}

pub fn put_more(tx: &Tx<'_>, subnet: &str, more: &More) -> Result<()> {
    tx.exec(
        "INSERT INTO maas_subnet (subnet_id, description, managed) VALUES ($1, $2, $3)
         ON CONFLICT (subnet_id) DO UPDATE SET description = excluded.description, managed = excluded.managed",
        params![subnet, &more.description, more.managed],
    )
    .map(drop)
}

/// Machines on `source` reach `destination` through `gateway`. Both are subnets' ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub number: i64,
    pub source: String,
    pub destination: String,
    pub gateway: IpAddr,
    pub metric: i64,
}

pub fn routes(tx: &Tx<'_>) -> Result<Vec<Route>> {
    let sql = "SELECT number, source, destination, gateway, metric FROM maas_static_route ORDER BY number";
    tx.rows(sql, &[], |r| {
        let (source, destination) = (r.get(1)?, r.get(2)?);
        Ok(Route { number: r.get(0)?, source, destination, gateway: r.get(3)?, metric: r.get(4)? })
    })
}

/// A new one where the number is 0; answers it with its number.
pub fn put_route(tx: &Tx<'_>, r: Route) -> Result<Route> {
    let number = if r.number == 0 { number(tx, "route")? } else { r.number };
    tx.exec(
        "INSERT INTO maas_static_route (number, source, destination, gateway, metric) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (number) DO UPDATE SET source = excluded.source, destination = excluded.destination,
           gateway = excluded.gateway, metric = excluded.metric",
        params![number, &r.source, &r.destination, r.gateway, r.metric],
    )?;
    Ok(Route { number, ..r })
}

pub fn delete_route(tx: &Tx<'_>, number: i64) -> Result<()> {
    tx.exec("DELETE FROM maas_static_route WHERE number = $1", params![number]).map(drop)
}
