//! Layer-2 networks of machines, their subnets and ranges of addresses.

use super::number;
use base::doc::rack::DhcpMode;
use base::{Fault, Micros, RackId, Result, SegmentId};
use ipnet::IpNet;
use std::net::IpAddr;
use store::{Row, Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub id: SegmentId,
    pub number: i64,
    pub name: String,
    pub rack: Option<RackId>,
    pub interface: String,
    pub dhcp: DhcpMode,
    pub enlist: bool,
    pub description: String,
    /// Addresses that can still be leased, as the rack says.
    pub free: u64,
    pub foreign_dhcp: Vec<IpAddr>,
    pub reason: String,
    pub created_at: Micros,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub id: String,
    pub number: i64,
    pub segment: SegmentId,
    pub name: String,
    pub cidr: IpNet,
    /// The rack's own.
    pub address: IpAddr,
    pub gateway: Option<IpAddr>,
    /// Empty: the rack.
    pub dns: Vec<IpAddr>,
    pub ntp: Vec<IpAddr>,
    pub relays: Vec<IpAddr>,
    /// Bytes; 0 is 1500.
    pub mtu: u32,
}

/// A part of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub id: String,
    pub number: i64,
    pub subnet: String,
    /// Leased to machines without an address of their own; else given to nobody.
    pub dynamic: bool,
    pub first: IpAddr,
    pub last: IpAddr,
    pub comment: String,
}

impl Range {
    pub fn holds(&self, a: IpAddr) -> bool {
        self.first <= a && a <= self.last
    }
}

pub fn dhcp_word(mode: DhcpMode) -> &'static str {
    match mode {
        DhcpMode::Off => "off",
        DhcpMode::Serve => "serve",
        DhcpMode::Proxy => "proxy",
    }
}

/// # Errors
/// `BadRequest` for another word.
pub fn dhcp_mode(word: &str) -> Result<DhcpMode> {
    Ok(match word {
        "off" => DhcpMode::Off,
        "serve" => DhcpMode::Serve,
        "proxy" => DhcpMode::Proxy,
        _ => return Err(Fault::bad_request(format!("dhcp is off, serve or proxy, not {word:?}."))),
    })
}

const COLUMNS: &str =
    "id, number, name, rack_id, interface, dhcp, enlist, description, free, foreign_dhcp, reason,
    created_at";

fn read(r: &Row<'_>) -> Result<Segment> {
    let (dhcp, foreign): (String, String) = (r.get(5)?, r.get(9)?);
    Ok(Segment {
        id: r.get(0)?,
        number: r.get(1)?,
        name: r.get(2)?,
        rack: r.get::<Option<String>>(3)?.and_then(|s| s.parse().ok()),
        interface: r.get(4)?,
        dhcp: dhcp_mode(&dhcp).map_err(Fault::internal)?,
        enlist: r.get(6)?,
        description: r.get(7)?,
        free: r.get(8)?,
        foreign_dhcp: serde_json::from_str(&foreign)?,
        reason: r.get(10)?,
        created_at: r.get(11)?,
    })
}

pub fn all(tx: &Tx<'_>) -> Result<Vec<Segment>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM segment ORDER BY name"), &[], read)
}

pub fn of_rack(tx: &Tx<'_>, rack: RackId) -> Result<Vec<Segment>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM segment WHERE rack_id = $1 ORDER BY id"), params![rack], read)
}

pub fn by_id(tx: &Tx<'_>, id: SegmentId) -> Result<Option<Segment>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM segment WHERE id = $1"), params![id], read)
}

/// By id, number or name.
///
/// # Errors
/// `NotFound`.
pub fn find(tx: &Tx<'_>, text: &str) -> Result<Segment> {
    let sql = format!(
        "SELECT {COLUMNS} FROM segment WHERE id = $1 OR name = $1 OR number = $2
         ORDER BY CASE WHEN number = $2 THEN 1 ELSE 0 END LIMIT 1"
    );
    let found = tx.opt(&sql, params![text, text.parse::<i64>().unwrap_or(-1)], read)?;
    found.ok_or_else(|| Fault::not_found(format!("Segment {text} could not be found.")))
}

fn taken(name: &str) -> Fault {
    Fault::conflict(format!("Another segment is named {name:?} already."))
}

/// # Errors
/// `Conflict` when there is one of the name.
pub fn insert(tx: &Tx<'_>, s: &Segment) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO segment (id, number, name, rack_id, interface, dhcp, enlist, description, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            s.id,
            number(tx, "segment")?,
            &s.name,
            s.rack,
            &s.interface,
            dhcp_word(s.dhcp),
            s.enlist,
            &s.description,
            s.created_at
        ],
        || taken(&s.name),
    )
    .map(drop)
}

pub fn update(tx: &Tx<'_>, s: &Segment) -> Result<()> {
    tx.exec_unique(
        "UPDATE segment SET name = $2, rack_id = $3, interface = $4, dhcp = $5, enlist = $6, description = $7
         WHERE id = $1",
        params![s.id, &s.name, s.rack, &s.interface, dhcp_word(s.dhcp), s.enlist, &s.description],
        || taken(&s.name),
    )
    .map(drop)
}

/// What the rack says of it.
pub fn observed(tx: &Tx<'_>, id: SegmentId, free: u64, foreign: &[IpAddr], reason: &str) -> Result<()> {
    let sql = "UPDATE segment SET free = $2, foreign_dhcp = $3, reason = $4 WHERE id = $1";
    tx.exec(sql, params![id, free, serde_json::to_string(foreign)?, reason]).map(drop)
}

pub fn delete(tx: &Tx<'_>, id: SegmentId) -> Result<()> {
    tx.exec("DELETE FROM segment WHERE id = $1", params![id]).map(drop)
}

const SUBNET: &str = "id, number, segment_id, name, cidr, address, gateway, dns, ntp, relays, mtu";

fn read_subnet(r: &Row<'_>) -> Result<Subnet> {
    let list = |i| -> Result<Vec<IpAddr>> { Ok(serde_json::from_str(&r.get::<String>(i)?)?) };
    Ok(Subnet {
        id: r.get(0)?,
        number: r.get(1)?,
        segment: r.get(2)?,
        name: r.get(3)?,
        cidr: r.get::<String>(4)?.parse().map_err(Fault::internal)?,
        address: r.get(5)?,
        gateway: r.get(6)?,
        dns: list(7)?,
        ntp: list(8)?,
        relays: list(9)?,
        mtu: r.get(10)?,
    })
}

pub fn subnets(tx: &Tx<'_>) -> Result<Vec<Subnet>> {
    tx.rows(&format!("SELECT {SUBNET} FROM metal_subnet ORDER BY number"), &[], read_subnet)
}

pub fn subnets_of(tx: &Tx<'_>, segment: SegmentId) -> Result<Vec<Subnet>> {
    let sql = format!("SELECT {SUBNET} FROM metal_subnet WHERE segment_id = $1 ORDER BY number");
    tx.rows(&sql, params![segment], read_subnet)
}

/// By id or number.
///
/// # Errors
/// `NotFound`.
pub fn find_subnet(tx: &Tx<'_>, text: &str) -> Result<Subnet> {
    let sql = format!("SELECT {SUBNET} FROM metal_subnet WHERE id = $1 OR cidr = $1 OR number = $2 LIMIT 1");
    let found = tx.opt(&sql, params![text, text.parse::<i64>().unwrap_or(-1)], read_subnet)?;
    found.ok_or_else(|| Fault::not_found(format!("Subnet {text} could not be found.")))
}

/// # Errors
/// `Conflict` when there is one of the same addresses.
pub fn insert_subnet(tx: &Tx<'_>, s: &Subnet) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO metal_subnet (id, number, segment_id, name, cidr, address, gateway, dns, ntp, relays, mtu,
           created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        params![
            &s.id,
            number(tx, "subnet")?,
            s.segment,
            &s.name,
            s.cidr.to_string(),
            s.address,
            s.gateway,
            serde_json::to_string(&s.dns)?,
            serde_json::to_string(&s.ntp)?,
            serde_json::to_string(&s.relays)?,
            s.mtu,
            Micros::now()
        ],
        || Fault::conflict(format!("There is a subnet {} already.", s.cidr)),
    )
    .map(drop)
}

pub fn update_subnet(tx: &Tx<'_>, s: &Subnet) -> Result<()> {
    tx.exec(
        "UPDATE metal_subnet SET name = $2, address = $3, gateway = $4, dns = $5, ntp = $6, relays = $7, mtu = $8
         WHERE id = $1",
        params![
            &s.id,
            &s.name,
            s.address,
            s.gateway,
            serde_json::to_string(&s.dns)?,
            serde_json::to_string(&s.ntp)?,
            serde_json::to_string(&s.relays)?,
            s.mtu
        ],
    )
    .map(drop)
}

pub fn delete_subnet(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM metal_subnet WHERE id = $1", params![id]).map(drop)
}

fn read_range(r: &Row<'_>) -> Result<Range> {
    Ok(Range {
        id: r.get(0)?,
        number: r.get(1)?,
        subnet: r.get(2)?,
        dynamic: r.get::<String>(3)? == "dynamic",
        first: r.get(4)?,
        last: r.get(5)?,
        comment: r.get(6)?,
    })
}

/// All ranges, or those of one subnet.
pub fn ranges(tx: &Tx<'_>, subnet: Option<&str>) -> Result<Vec<Range>> {
    let sql = "SELECT id, number, subnet_id, kind, first, last, comment FROM metal_range
               WHERE $1 = '' OR subnet_id = $1 ORDER BY number";
    tx.rows(sql, params![subnet.unwrap_or("")], read_range)
}

pub fn insert_range(tx: &Tx<'_>, r: &Range) -> Result<()> {
    let kind = if r.dynamic { "dynamic" } else { "reserved" };
    tx.exec(
        "INSERT INTO metal_range (id, number, subnet_id, kind, first, last, comment)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![&r.id, number(tx, "range")?, &r.subnet, kind, r.first, r.last, &r.comment],
    )
    .map(drop)
}

pub fn delete_range(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM metal_range WHERE id = $1", params![id]).map(drop)
}
