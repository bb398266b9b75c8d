//! Which hosts have to hear of a change: exactly those whose document it alters.
//!
//! ```text
//! network ──▶ hosts with a bound port on it, or on a network that one of its routers, or one that is joined with
//!             those by a route ([`Ways`]), joins to it; the homes of its routers, also of those that have their
//!             gateway on it
//! router  ──▶ hosts with a bound port on any of its networks; its home
//! gateway ──▶ the same, as all of them send there; floating IP ──▶ the home of the router
//! port    ──▶ its network's, if it changes what others know of it ([`far_side`]); else its own host's
//! group   ──▶ rules: hosts with a bound port in it; members: hosts with a bound port in a group that
//!             names it as a peer, on a network that is connected with the member's ([`connected`])
//! address group ──▶ hosts with a bound port in a group that has a rule about it
//! ```
//! Unbound ports are in no document, so what happens to them bothers nobody. Before something goes,
//! its hosts are asked for; after something came, they are asked for again.
//!
//! Who binds a port beside us is not seen, and does not see what we change. So whoever changes what binds many first holds
//! the ports of servers ([`hold_members`], [`hold_ports`]), before quotas, as those who bind do: one waits for the other,
//! and who comes second sees all.

use crate::for_hosts::Ways;
use crate::model::Port;
use crate::table::fill;
use crate::{connected, links};
use base::{AddressGroupId, HostId, NetworkId, Result, RouterId, SecurityGroupId};
use std::collections::BTreeSet;
use store::{Sql, Tx, Val, params};

/// Members of groups that are gone through one by one.
pub const FEW: usize = 1000;

/// Holds the servers' ports in a security group.
pub fn hold_members(tx: &Tx<'_>, group: SecurityGroupId) -> Result<()> {
    let mut q = Sql::new(
        "SELECT id FROM port WHERE id IN (SELECT port_id FROM port_security_group WHERE group_id = ",
    );
    hold_those(tx, q.bind(group))
}

/// Holds the servers' ports on these networks.
pub fn hold_ports(tx: &Tx<'_>, networks: impl IntoIterator<Item = NetworkId>) -> Result<()> {
    let mut q = Sql::new("SELECT id FROM port WHERE network_id IN (");
    fill(&mut q, networks);
    hold_those(tx, &mut q)
}

fn hold_those(tx: &Tx<'_>, which: &mut Sql) -> Result<()> {
    if tx.writes_alone() {
        return Ok(());
    }
    // As held as by an UPDATE, and nothing is written.
    which.push(") AND device_owner LIKE 'compute:%' ORDER BY id FOR NO KEY UPDATE");
    which.rows(tx, |_| Ok(())).map(drop)
}

/// Hosts that hold something of these networks.
pub fn hosts_of_networks(tx: &Tx<'_>, networks: &[NetworkId]) -> Result<Vec<HostId>> {
    if networks.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new("SELECT p.host_id FROM port p WHERE p.host_id IS NOT NULL AND p.network_id IN (");
    fill(&mut q, networks);
    q.push(
        // The words put to the network keep its index out of it: few ports are on their way, many on a network.
        ") UNION SELECT p.next_host_id FROM port p WHERE p.next_host_id IS NOT NULL AND p.network_id || '' IN (",
    );
    fill(&mut q, networks);
    q.push(
        ") UNION SELECT p.host_id FROM router_interface a JOIN router_interface b ON b.router_id = a.router_id
         JOIN port p ON p.network_id = b.network_id WHERE p.host_id IS NOT NULL AND a.network_id IN (",
    );
    fill(&mut q, networks);
    q.push(
        ") UNION SELECT r.home_host_id FROM router_interface a JOIN router r ON r.id = a.router_id
         WHERE r.home_host_id IS NOT NULL AND a.network_id IN (",
    );
    fill(&mut q, networks);
    q.push(
        ") UNION SELECT r.home_host_id FROM port g JOIN router r ON r.gateway_port_id = g.id
         WHERE r.home_host_id IS NOT NULL AND g.device_owner = 'network:router_gateway' AND g.network_id IN (",
    );
    fill(&mut q, networks);
    q.push(")");
    let mut hosts: Vec<HostId> = q.rows(tx, |r| r.get(0))?;
    let mut q = Sql::new("SELECT DISTINCT router_id FROM router_interface WHERE network_id IN (");
    fill(&mut q, networks);
    q.push(")");
    let routers: Vec<RouterId> = q.rows(tx, |r| r.get(0))?;
    let ways = Ways::of(tx, &routers)?;
    for router in ways.joined(routers.iter().copied()).into_iter().filter(|r| !routers.contains(r)) {
        hosts.extend(hosts_of_one(tx, router)?);
    }
    Ok(hosts)
}

/// Hosts that send by a router whose gateway is on this network: what they send depends on its subnets.
fn hosts_behind(tx: &Tx<'_>, network: NetworkId) -> Result<Vec<HostId>> {
    tx.rows(
        "SELECT DISTINCT p.host_id FROM port g JOIN router_interface i ON i.router_id = g.device_id
         JOIN port p ON p.network_id = i.network_id
         WHERE g.network_id = $1 AND g.device_owner = 'network:router_gateway' AND p.host_id IS NOT NULL",
        params![network],
        |r| r.get(0),
    )
}

/// Hosts whose documents name this host's underlay address.
pub fn neighbours_of(tx: &Tx<'_>, host: HostId) -> Result<Vec<HostId>> {
    let (networks, routers) = links::of_host(tx, host)?;
    let mut hosts = hosts_of_networks(tx, &networks)?;
    for router in routers {
        hosts.extend(hosts_of_router(tx, router)?);
    }
    hosts.retain(|h| *h != host);
    Ok(hosts)
}

/// Hosts that hold this router, or something of networks that are connected through it.
pub fn hosts_through(tx: &Tx<'_>, router: RouterId) -> Result<Vec<HostId>> {
    let sql = "SELECT network_id FROM router_interface WHERE router_id = $1";
    let networks: Vec<NetworkId> = tx.rows(sql, params![router], |r| r.get(0))?;
    let mut hosts = around(tx, &networks)?;
    hosts.extend(hosts_of_router(tx, router)?);
    Ok(hosts)
}

/// Hosts that hold this router: those of all that are joined with it.
pub fn hosts_of_router(tx: &Tx<'_>, router: RouterId) -> Result<Vec<HostId>> {
    let joined = Ways::of(tx, &[router])?.joined([router]);
    let mut hosts = Vec::new();
    for router in joined {
        hosts.extend(hosts_of_one(tx, router)?);
    }
    Ok(hosts)
}

fn hosts_of_one(tx: &Tx<'_>, router: RouterId) -> Result<Vec<HostId>> {
    tx.rows(
        "SELECT p.host_id FROM router_interface i JOIN port p ON p.network_id = i.network_id
         WHERE i.router_id = $1 AND p.host_id IS NOT NULL
         UNION SELECT home_host_id FROM router WHERE id = $1 AND home_host_id IS NOT NULL",
        params![router],
        |r| r.get(0),
    )
}

/// The host that does a router's SNAT and floating IPs: its gateway is in no other document.
pub fn home_of(tx: &Tx<'_>, router: RouterId) -> Result<Vec<HostId>> {
    let sql = "SELECT home_host_id FROM router WHERE id = $1 AND home_host_id IS NOT NULL";
    tx.rows(sql, params![router], |r| r.get(0))
}

/// Hosts that filter by the rules of these groups. Where there are fewer members than hosts, those are asked
/// where they are; else it is asked host by host, so that one look at its ports mostly answers.
pub fn hosts_of_groups(tx: &Tx<'_>, groups: &[SecurityGroupId]) -> Result<Vec<HostId>> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = Sql::new("SELECT COUNT(*) FROM (SELECT 1 AS one FROM host");
    let hosts = all.limit(FEW).push(") hosts").opt(tx, |r| r.get::<i64>(0))?.unwrap_or(0);
    let mut q = if few_members(tx, groups, usize::try_from(hosts).unwrap_or(FEW))? {
        Sql::new(
            "SELECT DISTINCT p.host_id FROM port_security_group g CROSS JOIN port p
             WHERE p.id = g.port_id AND p.host_id IS NOT NULL AND (g.group_id IN (",
        )
    } else {
        Sql::new(
            "SELECT h.id FROM host h WHERE EXISTS (SELECT 1 FROM port p CROSS JOIN port_security_group g
             WHERE p.host_id = h.id AND g.port_id = p.id AND g.group_id IN (",
        )
    };
    fill(&mut q, groups);
    q.push(
        ")) UNION SELECT p.next_host_id FROM port p CROSS JOIN port_security_group g
         WHERE p.next_host_id IS NOT NULL AND g.port_id = p.id AND g.group_id IN (",
    );
    fill(&mut q, groups);
    q.push(")");
    q.rows(tx, |r| r.get(0))
}

/// Whether these groups have fewer members than `few`, bound or not.
pub fn few_members<'a, V: Into<Val<'a>>>(
    tx: &Tx<'_>,
    groups: impl IntoIterator<Item = V>,
    few: usize,
) -> Result<bool> {
    let mut q =
        Sql::new("SELECT COUNT(*) FROM (SELECT 1 AS one FROM port_security_group WHERE group_id IN (");
    fill(&mut q, groups);
    q.push(")").limit(few).push(") members");
    let found = q.opt(tx, |r| r.get::<i64>(0))?.unwrap_or(0);
    Ok(usize::try_from(found).is_ok_and(|n| n < few))
}

/// Hosts whose rules name these groups as peers, so that they hold the addresses of members on these networks.
fn hosts_of_members(
    tx: &Tx<'_>,
    groups: BTreeSet<SecurityGroupId>,
    networks: &[NetworkId],
) -> Result<Vec<HostId>> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new("SELECT DISTINCT group_id FROM security_group_rule WHERE remote_group_id IN (");
    fill(&mut q, groups);
    q.push(")");
    let naming: Vec<SecurityGroupId> = q.rows(tx, |r| r.get(0))?;
    if naming.is_empty() {
        return Ok(Vec::new());
    }
    let from = if few_members(tx, &naming, FEW)? {
        "port_security_group g CROSS JOIN port p"
    } else {
        "port p CROSS JOIN port_security_group g"
    };
    let networks = connected::around(tx, networks.iter().copied())?;
    let mut q = Sql::new(&format!(
        "SELECT DISTINCT p.host_id FROM {from} WHERE g.port_id = p.id AND p.host_id IS NOT NULL AND p.network_id IN ("
    ));
    fill(&mut q, &networks);
    q.push(") AND g.group_id IN (");
    fill(&mut q, &naming);
    q.push(
        ") UNION SELECT p.next_host_id FROM port p CROSS JOIN port_security_group g
         WHERE p.next_host_id IS NOT NULL AND g.port_id = p.id AND g.group_id IN (",
    );
    fill(&mut q, &naming);
    q.push(")");
    q.rows(tx, |r| r.get(0))
}

/// Where a guest may send for others, it connects networks: all around it hear of that.
fn hosts_around_lax(tx: &Tx<'_>, ports: &[Port]) -> Result<Vec<HostId>> {
    let lax = |p: &&Port| p.device_owner.starts_with("compute:") && (!p.port_security || !p.pairs.is_empty());
    let mut hosts = Vec::new();
    for p in ports.iter().filter(lax) {
        let networks = connected::by_guest(tx, p)?;
        if !networks.is_empty() {
            hosts.extend(around(tx, &networks)?);
        }
    }
    Ok(hosts)
}

/// Hosts that hold something of networks that are connected with these.
pub fn around(tx: &Tx<'_>, networks: &[NetworkId]) -> Result<Vec<HostId>> {
    let all: Vec<NetworkId> = connected::around(tx, networks.iter().copied())?.into_iter().collect();
    hosts_of_networks(tx, &all)
}

/// What hosts know of a port that another host has.
pub fn far_side(p: &Port) -> impl PartialEq + use<'_> {
    (p.network, &p.mac, &p.addresses, &p.device_id, &p.device_owner, p.host, p.admin_up, p.port_security)
}

/// The hosts that ports are bound to.
pub fn own_hosts(tx: &Tx<'_>, ports: &[Port]) -> Result<Vec<HostId>> {
    if ports.iter().any(|p| p.host.is_none()) {
        return hosts_of_ports(tx, ports);
    }
    Ok(ports.iter().filter_map(|p| p.host).collect())
}

/// The same, and those that have them as members of their groups.
pub fn hosts_of_members_too(tx: &Tx<'_>, ports: &[Port]) -> Result<Vec<HostId>> {
    let groups = ports.iter().flat_map(|p| p.groups.iter().copied()).collect();
    let networks: Vec<NetworkId> = ports.iter().map(|p| p.network).collect();
    let mut hosts = hosts_of_members(tx, groups, &networks)?;
    hosts.extend(own_hosts(tx, ports)?);
    hosts.extend(hosts_around_lax(tx, ports)?);
    Ok(hosts)
}

/// Hosts that hold something of these ports, as they are in the database now. Only bound ports and
/// routers' legs are held by anybody.
pub fn hosts_of_ports(tx: &Tx<'_>, ports: &[Port]) -> Result<Vec<HostId>> {
    let held: Vec<&Port> =
        ports.iter().filter(|p| p.host.is_some() || p.device_owner == "network:router_interface").collect();
    let mut networks: Vec<NetworkId> = held.iter().map(|p| p.network).collect();
    networks.sort_unstable();
    networks.dedup();
    let groups = held.iter().flat_map(|p| p.groups.iter().copied()).collect();
    let mut hosts = hosts_of_networks(tx, &networks)?;
    hosts.extend(hosts_of_members(tx, groups, &networks)?);
    hosts.extend(hosts_around_lax(tx, ports)?);
    for p in ports.iter().filter(|p| p.device_owner == "network:router_gateway") {
        let sql = "SELECT home_host_id FROM router WHERE gateway_port_id = $1 AND home_host_id IS NOT NULL";
        hosts.extend(tx.rows(sql, params![p.id], |r| r.get::<HostId>(0))?);
    }
    Ok(hosts)
}

pub fn networks(tx: &Tx<'_>, networks: &[NetworkId]) -> Result<()> {
    store::host::touch_all(tx, hosts_of_networks(tx, networks)?)
}

/// After a change of one of the network's subnets.
pub fn subnets(tx: &Tx<'_>, network: NetworkId) -> Result<()> {
    store::host::touch_all(tx, hosts_behind(tx, network)?)?;
    networks(tx, &[network])
}

pub fn router(tx: &Tx<'_>, id: RouterId) -> Result<()> {
    store::host::touch_all(tx, hosts_through(tx, id)?)
}

pub fn home(tx: &Tx<'_>, router: RouterId) -> Result<()> {
    store::host::touch_all(tx, home_of(tx, router)?)
}

pub fn group(tx: &Tx<'_>, id: SecurityGroupId) -> Result<()> {
    store::host::touch_all(tx, hosts_of_groups(tx, &[id])?)
}

/// Hosts that filter by rules that name this address group.
pub fn addresses(tx: &Tx<'_>, id: AddressGroupId) -> Result<()> {
    let sql = "SELECT DISTINCT group_id FROM security_group_rule WHERE remote_address_group_id = $1";
    let naming: Vec<SecurityGroupId> = tx.rows(sql, params![id], |r| r.get(0))?;
    store::host::touch_all(tx, hosts_of_groups(tx, &naming)?)
}

pub fn ports(tx: &Tx<'_>, ports: &[Port]) -> Result<()> {
    store::host::touch_all(tx, hosts_of_ports(tx, ports)?)
}
