//! SQL of ports, their addresses and their security groups.

use crate::model::{Port, Std, json};
use base::doc::PortAddress;
use base::{NetworkId, PortId, Result, SecurityGroupId, SubnetId};
use std::collections::HashMap;
use std::net::IpAddr;
use store::change::{self, What};
use store::{Row, Sql, Tx, Val, params};

pub const COLS: &str = "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at, \
     t.network_id, t.mac, t.admin_up, t.status, t.device_id, t.device_owner, t.host_id, t.binding_host, \
     t.vnic_type, t.profile, t.port_security, t.allowed_pairs, t.dhcp_options, t.dns_name, t.made_by_compute, \
     t.position";

/// Without addresses and groups; see [`join`].
pub fn read(r: &Row<'_>) -> Result<Port> {
    Ok(Port {
        id: r.get(0)?,
        std: Std::read(r)?,
        network: r.get(7)?,
        mac: r.get(8)?,
        admin_up: r.get(9)?,
        active: r.get::<String>(10)? == "ACTIVE",
        device_id: r.get(11)?,
        device_owner: r.get(12)?,
        host: r.get(13)?,
        binding_host: r.get(14)?,
        vnic_type: r.get(15)?,
        profile: json(r, 16)?,
        port_security: r.get(17)?,
        pairs: json(r, 18)?,
        dhcp_options: json(r, 19)?,
        dns_name: r.get(20)?,
        made_by_compute: r.get(21)?,
        position: r.get(22)?,
        addresses: Vec::new(),
        groups: Vec::new(),
    })
}

/// Adds addresses and groups to ports: two statements for any number of ports.
pub fn join(tx: &Tx<'_>, ports: &mut [Port]) -> Result<()> {
    if ports.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = ports.iter().map(|p| p.id.to_string()).collect();
    let mut addresses = super::children(
        tx,
        "SELECT port_id, subnet_id, address FROM port_address WHERE port_id IN (",
        ") ORDER BY port_id, seq, key",
        &ids,
        |r| Ok(PortAddress { subnet: r.get(1)?, address: r.get(2)? }),
    )?;
    let mut groups = super::children(
        tx,
        "SELECT port_id, group_id FROM port_security_group WHERE port_id IN (",
        ") ORDER BY port_id, group_id",
        &ids,
        |r| r.get(1),
    )?;
    for (port, id) in ports.iter_mut().zip(&ids) {
        port.addresses = addresses.remove(id).unwrap_or_default();
        port.groups = groups.remove(id).unwrap_or_default();
    }
    Ok(())
}

/// Ports by a condition such as `t.device_id = $1`, whole, in the order of their server's NICs.
pub fn find(tx: &Tx<'_>, condition: &str, vals: &[Val<'_>]) -> Result<Vec<Port>> {
    let sql = format!("SELECT {COLS} FROM port t WHERE {condition} ORDER BY t.position, t.created_at, t.id");
    let mut ports = tx.rows(&sql, vals, read)?;
    join(tx, &mut ports)?;
    Ok(ports)
}

pub fn by_id(tx: &Tx<'_>, id: PortId) -> Result<Option<Port>> {
    Ok(find(tx, "t.id = $1", params![id])?.pop())
}

/// Ports whose `column` is one of these.
pub fn find_in<'a, V: Into<Val<'a>>>(
    tx: &Tx<'_>,
    column: &str,
    vals: impl IntoIterator<Item = V>,
    and: &str,
) -> Result<Vec<Port>> {
    let mut q = Sql::new(&format!("SELECT {COLS} FROM port t WHERE {column} IN ("));
    super::fill(&mut q, vals);
    q.push(&format!("){and} ORDER BY t.position, t.created_at, t.id"));
    let mut ports = q.rows(tx, read)?;
    join(tx, &mut ports)?;
    Ok(ports)
}

/// The ports of these networks that some host holds. There may be many, so what belongs to them is joined by
/// the database, not by a list of their ids.
pub fn bound(tx: &Tx<'_>, networks: &[NetworkId]) -> Result<Vec<Port>> {
    let held = "p.host_id IS NOT NULL AND p.network_id";
    let ports = format!("SELECT {COLS} FROM port t WHERE t.host_id IS NOT NULL AND t.network_id");
    let mut ports = of_networks(tx, &ports, networks, "t.position, t.created_at, t.id", read)?;
    let sql = format!(
        "SELECT p.id, a.subnet_id, a.address FROM port p CROSS JOIN port_address a WHERE a.port_id = p.id AND {held}"
    );
    let mut addresses: HashMap<PortId, Vec<PortAddress>> = HashMap::new();
    let row = |r: &Row<'_>| Ok((r.get(0)?, PortAddress { subnet: r.get(1)?, address: r.get(2)? }));
    for (port, address) in of_networks(tx, &sql, networks, "p.id, a.seq, a.key", row)? {
        addresses.entry(port).or_default().push(address);
    }
    let sql = format!(
        "SELECT p.id, m.group_id FROM port p CROSS JOIN port_security_group m WHERE m.port_id = p.id AND {held}"
    );
    let mut groups: HashMap<PortId, Vec<SecurityGroupId>> = HashMap::new();
    let row = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?));
    for (port, group) in of_networks(tx, &sql, networks, "p.id, m.group_id", row)? {
        groups.entry(port).or_default().push(group);
    }
    for p in &mut ports {
        p.addresses = addresses.remove(&p.id).unwrap_or_default();
        p.groups = groups.remove(&p.id).unwrap_or_default();
    }
    Ok(ports)
}

/// The rows of `sql`, which ends with the column of the network, for any of these.
fn of_networks<T>(
    tx: &Tx<'_>,
    sql: &str,
    networks: &[NetworkId],
    order: &str,
    row: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut q = Sql::new(sql);
    q.push(" IN (");
    super::fill(&mut q, networks);
    q.push(&format!(") ORDER BY {order}")).rows(tx, row)
}

/// False when the MAC is taken on the network. Addresses and groups are not written here.
pub fn insert(tx: &Tx<'_>, p: &Port) -> Result<bool> {
    let added = tx.exec(
        "INSERT INTO port (id, project_id, name, description, revision, created_at, updated_at, network_id, mac,
         admin_up, status, device_id, device_owner, host_id, binding_host, vnic_type, profile, port_security,
         allowed_pairs, dhcp_options, dns_name, made_by_compute, position)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
         $22, $23) ON CONFLICT (network_id, mac) DO NOTHING",
        params![
            p.id, &p.std.project, &p.std.name, &p.std.description, p.std.revision, p.std.created, p.std.updated,
            p.network, &p.mac, p.admin_up, status(p.active), &p.device_id, &p.device_owner, p.host, &p.binding_host,
            &p.vnic_type, p.profile.to_string(), p.port_security, serde_json::to_string(&p.pairs)?,
            serde_json::to_string(&p.dhcp_options)?, &p.dns_name, p.made_by_compute, p.position
        ],
    )?;
    if added == 1 {
        change::owned(tx, "port", &p.id.to_string(), What::Created, p.std.project.as_str());
    }
    Ok(added == 1)
}

/// Writes everything that may change but MAC, addresses and groups. Whoever calls it has held the row before reading
/// `p`: what others wrote since would be lost.
pub fn update(tx: &Tx<'_>, p: &Port) -> Result<()> {
    tx.exec(
        "UPDATE port SET name = $2, description = $3, admin_up = $4, status = $5, device_id = $6,
         device_owner = $7, host_id = $8, binding_host = $9, vnic_type = $10, profile = $11, port_security = $12,
         allowed_pairs = $13, dhcp_options = $14, dns_name = $15, made_by_compute = $16, position = $17 WHERE id = $1",
        params![
            p.id, &p.std.name, &p.std.description, p.admin_up, status(p.active), &p.device_id, &p.device_owner,
            p.host, &p.binding_host, &p.vnic_type, p.profile.to_string(), p.port_security,
            serde_json::to_string(&p.pairs)?, serde_json::to_string(&p.dhcp_options)?, &p.dns_name,
            p.made_by_compute, p.position
        ],
    )?;
    Ok(())
}

/// Writes where a port is.
pub fn set_host(tx: &Tx<'_>, p: &Port) -> Result<()> {
    tx.exec(
        "UPDATE port SET host_id = $2, binding_host = $3, status = $4 WHERE id = $1",
        params![p.id, p.host, &p.binding_host, status(p.active)],
    )
    .map(drop)
}

/// True when a port of the network other than `id` has the MAC.
pub fn mac_taken(tx: &Tx<'_>, network: NetworkId, mac: &str, id: PortId) -> Result<bool> {
    let sql = "SELECT 1 FROM port WHERE network_id = $1 AND mac = $2 AND id <> $3";
    Ok(tx.opt(sql, params![network, mac, id], |_| Ok(()))?.is_some())
}

pub fn set_mac(tx: &Tx<'_>, id: PortId, mac: &str) -> Result<()> {
    tx.exec("UPDATE port SET mac = $2 WHERE id = $1", params![id, mac]).map(drop)
}

pub fn set_groups(tx: &Tx<'_>, id: PortId, groups: &[SecurityGroupId]) -> Result<()> {
    tx.exec("DELETE FROM port_security_group WHERE port_id = $1", params![id])?;
    add_groups(tx, id, groups)
}

pub fn add_groups(tx: &Tx<'_>, id: PortId, groups: &[SecurityGroupId]) -> Result<()> {
    for group in groups {
        tx.exec("INSERT INTO port_security_group (port_id, group_id) VALUES ($1, $2)", params![id, group])?;
    }
    Ok(())
}

/// Takes an address; false when somebody has it.
pub fn claim(tx: &Tx<'_>, subnet: SubnetId, address: IpAddr, port: PortId, seq: usize) -> Result<bool> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let added = tx.exec(
        "INSERT INTO port_address (subnet_id, key, address, port_id, seq) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (subnet_id, key) DO NOTHING",
        params![subnet, crate::plan::key(address), address, port, seq],
    )?;
    Ok(added == 1)
}

pub fn let_go(tx: &Tx<'_>, a: &PortAddress) -> Result<()> {
    let key = crate::plan::key(a.address);
    tx.exec("DELETE FROM port_address WHERE subnet_id = $1 AND key = $2", params![a.subnet, key]).map(drop)
}

/// The first `limit` addresses in use of a subnet within `first..=last` (keys), in order.
pub fn used(tx: &Tx<'_>, subnet: SubnetId, first: &str, last: &str, limit: i64) -> Result<Vec<IpAddr>> {
    tx.rows(
        "SELECT address FROM port_address WHERE subnet_id = $1 AND key >= $2 AND key <= $3 ORDER BY key LIMIT $4",
        params![subnet, first, last, limit],
        |r| r.get(0),
    )
}

fn status(active: bool) -> &'static str {
    if active { "ACTIVE" } else { "DOWN" }
}
