//! What each host should know of networks, made from the tables.
//!
//! ```text
//! a bound port here ──▶ its network ──▶ routers with a leg on it ──▶ their other networks
//! a router at home here ──▶ its networks, its external network, its gateway and floating IPs; else the
//!                           way to its home ([`crate::transit`])
//! ```
//! A port whose server is on its way here counts as bound here, for this host alone.
//!
//! Unbound ports are left out: nothing can be sent to them, and their coming and going is no host's
//! business. [`crate::touch`] is the other half of this file: whoever changes what is read here bumps
//! the generation of the hosts that hold it.

use crate::model::{self, Port};
use crate::transit::{self, Transit};
use crate::{act, connected, links, plan, table, touch};
use base::doc::{self, PortOwner, Remote};
use base::{AddressGroupId, Fault, HostId, NetworkId, PortId, Result, RouterId, SecurityGroupId};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;
use store::change::{self, Change, What};
use store::{Sql, Tx, params};

/// The network part of a host's desired document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostNetworks {
    pub networks: Vec<doc::Network>,
    pub groups: Vec<doc::SecurityGroup>,
    pub routers: Vec<doc::Router>,
}

/// Gives a home to routers that wait for one. To be called when a host registers or is enabled.
pub fn settle_homes(tx: &Tx<'_>) -> Result<()> {
    act::home::settle(tx)
}

/// Takes over what a host says of its place in the network, where it says something else than `before`.
pub fn reported(tx: &Tx<'_>, host: HostId, before: &doc::HostFacts, now: &doc::HostFacts) -> Result<()> {
    links::reported(tx, host, before, now)
}

/// Sets the MTU of new overlay networks and the largest that any may have; `None` leaves it to what hosts say
/// of their uplinks.
pub fn configure_mtu(tx: &Tx<'_>, mtu: Option<u32>) -> Result<()> {
    links::configure_mtu(tx, mtu)
}

/// Moves the homes of routers away from a host that is to be emptied, to others heard of within `silence`.
/// Answers how many had to stay, because no other host reaches their external network.
pub fn leave_homes(tx: &Tx<'_>, host: HostId, silence: Duration) -> Result<usize> {
    act::home::leave(tx, host, silence)
}

/// Moves the homes of routers away from hosts that were silent for so long. Answers how many.
pub fn fail_over(tx: &Tx<'_>, silence: Duration) -> Result<usize> {
    act::home::fail_over(tx, silence)
}

/// Takes a host that goes for good out of everything; [`settle_homes`] is to follow when its row is gone.
pub fn forget(tx: &Tx<'_>, host: HostId) -> Result<()> {
    tx.exec("UPDATE port SET host_id = NULL WHERE host_id = $1", params![host])?;
    tx.exec("UPDATE port SET next_host_id = NULL WHERE next_host_id = $1", params![host])?;
    tx.exec("UPDATE router SET home_host_id = NULL WHERE home_host_id = $1", params![host])?;
    Ok(())
}

/// Networks with a port bound to `host`, those that its routers join, and everything around them.
pub fn document(tx: &Tx<'_>, host: HostId) -> Result<HostNetworks> {
    let own = tx.rows(
        "SELECT network_id FROM port WHERE host_id = $1
         UNION SELECT network_id FROM port WHERE next_host_id = $1",
        params![host],
        |r| r.get(0),
    )?;
    let routers = routers_here(tx, host, &own)?;
    let legs = legs(tx, &routers)?;
    let transits = transit::of_host(tx, host, &routers)?;
    let mut gateways = gateways(tx, &routers)?;
    let beyond: Vec<Port> = gateways.clone();
    let at_home = |p: &Port| routers.iter().any(|r| r.gateway_port == Some(p.id) && r.home == Some(host));
    gateways.retain(at_home);
    let mut ids: BTreeSet<NetworkId> = own.iter().copied().collect();
    ids.extend(legs.iter().map(|p| p.network));
    ids.extend(gateways.iter().map(|p| p.network));
    let networks = networks(tx, &ids)?;
    ids.extend(beyond.iter().map(|p| p.network));
    let subnets = table::subnet::of_networks(tx, &ids.into_iter().collect::<Vec<_>>())?;
    let mut ports = bound_ports(tx, &networks)?;
    expected_here(tx, host, &mut ports)?;
    let groups = groups(tx, host, &ports)?;
    ports.retain(|p| !p.device_owner.starts_with("network:router"));
    ports.extend(legs.iter().cloned());
    ports.extend(gateways.iter().cloned());
    ports.sort_by_key(|p| p.id);
    ports.dedup_by_key(|p| p.id);
    let mut router_docs: Vec<doc::Router> =
        routers.iter().map(|r| router_doc(tx, r, &legs, &gateways, &subnets)).collect::<Result<_>>()?;
    let mut others: BTreeSet<HostId> = ports.iter().filter_map(|p| p.host).collect();
    others.extend(transits.iter().flat_map(Transit::others));
    others.extend(routers.iter().filter_map(|r| r.home));
    others.remove(&host);
    let tunnels = links::tunnels(tx, &others)?;
    let devices = links::devices(tx, host)?;
    let around = Around { host, subnets: &subnets, ports: &ports, tunnels: &tunnels, devices: &devices };
    let mut networks: Vec<_> = networks.iter().map(|n| network_doc(n, &around)).collect();
    act::acl::fill(tx, host, &mut networks)?;
    let over = |n: &&mut doc::Network| {
        own.contains(&n.id) && n.vlan.is_none() && !matches!(n.uplink, Some(doc::Uplink::Nic { .. }))
    };
    for n in networks.iter_mut().filter(over) {
        n.peers = senders(n.id, &ports, &routers).iter().filter_map(|h| tunnels.get(h).copied()).collect();
        n.peers.sort_unstable();
    }
    for t in &transits {
        let router = routers.iter().zip(&mut router_docs).find(|(r, _)| r.id == t.router);
        let Some((router, made)) = router else { continue };
        let gateway = beyond.iter().find(|p| Some(p.id) == router.gateway_port);
        made.legs.push(t.leg());
        if let Some(gateway) = gateway {
            join_outside(made, t.routes(router, gateway, &subnets));
        }
        networks.push(t.network(&tunnels));
    }
    let routers = router_docs;
    Ok(HostNetworks { networks, groups, routers })
}

fn routers_here(tx: &Tx<'_>, host: HostId, networks: &[NetworkId]) -> Result<Vec<model::Router>> {
    let mut q = Sql::new("SELECT id FROM router WHERE home_host_id = ");
    q.bind(host);
    if !networks.is_empty() {
        q.push(" UNION SELECT router_id FROM router_interface WHERE network_id IN (");
        table::fill(&mut q, networks);
        q.push(")");
    }
    let ids: Vec<RouterId> = q.rows(tx, |r| r.get(0))?;
    table::router::by_ids(tx, &ids)
}

pub(crate) fn legs(tx: &Tx<'_>, routers: &[model::Router]) -> Result<Vec<Port>> {
    if routers.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new("SELECT port_id FROM router_interface WHERE router_id IN (");
    table::fill(&mut q, routers.iter().map(|r| r.id));
    q.push(")");
    let ids: Vec<PortId> = q.rows(tx, |r| r.get(0))?;
    if ids.is_empty() { Ok(Vec::new()) } else { table::port::find_in(tx, "t.id", ids, "") }
}

/// Hosts that may send into a network: those with ports on it or on one that a router joins to it, and the
/// homes of these routers.
fn senders(network: NetworkId, ports: &[Port], routers: &[model::Router]) -> BTreeSet<HostId> {
    let leg_of = |p: &&Port| p.device_owner == "network:router_interface";
    let through: BTreeSet<&str> =
        ports.iter().filter(leg_of).filter(|p| p.network == network).map(|p| p.device_id.as_str()).collect();
    let joined = ports.iter().filter(leg_of).filter(|p| through.contains(p.device_id.as_str()));
    let networks: BTreeSet<NetworkId> = joined.map(|p| p.network).chain([network]).collect();
    let homes = routers.iter().filter(|r| through.contains(r.id.to_string().as_str())).filter_map(|r| r.home);
    ports.iter().filter(|p| networks.contains(&p.network)).filter_map(|p| p.host).chain(homes).collect()
}

/// Routes to the outside take the place of those of the router's own that only its home can follow.
fn join_outside(router: &mut doc::Router, outside: Vec<doc::Route>) {
    router.routes.retain(|r| !outside.iter().any(|o| o.destination == r.destination.trunc()));
    router.routes.extend(outside);
}

/// The gateway ports of these routers.
pub(crate) fn gateways(tx: &Tx<'_>, routers: &[model::Router]) -> Result<Vec<Port>> {
    let ids: Vec<PortId> = routers.iter().filter_map(|r| r.gateway_port).collect();
    if ids.is_empty() { Ok(Vec::new()) } else { table::port::find_in(tx, "t.id", ids, "") }
}

pub(crate) fn networks(tx: &Tx<'_>, ids: &BTreeSet<NetworkId>) -> Result<Vec<model::Network>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new(&format!("SELECT {} FROM network t WHERE t.id IN (", table::network::COLS));
    table::fill(&mut q, ids);
    q.push(") ORDER BY t.id");
    q.rows(tx, table::network::read)
}

/// Ports that some host holds.
fn bound_ports(tx: &Tx<'_>, networks: &[model::Network]) -> Result<Vec<Port>> {
    let ids: Vec<NetworkId> = networks.iter().map(|n| n.id).collect();
    if ids.is_empty() { Ok(Vec::new()) } else { table::port::bound(tx, &ids) }
}

/// Ports on their way to this host are its own already.
fn expected_here(tx: &Tx<'_>, host: HostId, ports: &mut [Port]) -> Result<()> {
    let sql = "SELECT id FROM port WHERE next_host_id = $1";
    let expected: BTreeSet<PortId> = tx.rows(sql, params![host], |r| r.get(0))?.into_iter().collect();
    ports.iter_mut().filter(|p| expected.contains(&p.id)).for_each(|p| p.host = Some(host));
    Ok(())
}

/// What networks are made from beside their own rows.
struct Around<'a> {
    host: HostId,
    subnets: &'a [model::Subnet],
    ports: &'a [Port],
    tunnels: &'a HashMap<HostId, IpAddr>,
    /// NICs of the host by physical network.
    devices: &'a HashMap<String, String>,
}

fn network_doc(n: &model::Network, around: &Around<'_>) -> doc::Network {
    let device = |physical: &String| around.devices.get(physical).unwrap_or(physical).clone();
    let vlan = n.vlan.as_ref().map(|v| doc::Vlan { device: device(&v.device), ..v.clone() });
    let uplink = match &n.uplink {
        _ if vlan.is_some() => None,
        None if n.external => Some(host_nat(around.subnets, n.id)),
        Some(doc::Uplink::Nic { device: physical }) => Some(doc::Uplink::Nic { device: device(physical) }),
        other => other.clone(),
    };
    doc::Network {
        id: n.id,
        vni: n.vni,
        mtu: n.mtu,
        subnets: around.subnets.iter().filter(|s| s.network == n.id).map(subnet_doc).collect(),
        ports: around
            .ports
            .iter()
            .filter(|p| p.network == n.id)
            .map(|p| if is_far(p, around.host) { far_port(n, p, around.tunnels) } else { port_doc(n, p) })
            .collect(),
        uplink,
        vlan,
        peers: Vec::new(),
        acl: Vec::new(),
    }
}

/// An external network that names no NIC hangs on the host itself, which has the gateways' addresses.
fn host_nat(subnets: &[model::Subnet], network: NetworkId) -> doc::Uplink {
    let addresses =
        subnets.iter().filter(|s| s.network == network).filter_map(|s| with_prefix(s, s.gateway?));
    doc::Uplink::HostNat { addresses: addresses.collect() }
}

fn with_prefix(s: &model::Subnet, a: IpAddr) -> Option<IpNet> {
    IpNet::new(a, s.cidr.prefix_len()).ok()
}

fn subnet_doc(s: &model::Subnet) -> doc::Subnet {
    let mode = s.address_mode.as_deref().or(s.ra_mode.as_deref());
    doc::Subnet {
        id: s.id,
        cidr: s.cidr,
        gateway: s.gateway,
        dhcp: s.dhcp,
        dns: s.dns.clone(),
        routes: s.routes.clone(),
        ipv6: match mode {
            Some("slaac") => Some(doc::Ipv6Mode::Slaac),
            Some("dhcpv6-stateless") => Some(doc::Ipv6Mode::DhcpStateless),
            Some("dhcpv6-stateful") => Some(doc::Ipv6Mode::DhcpStateful),
            _ => None,
        },
    }
}

/// Of a port that another host has, most is that host's business.
fn is_far(p: &Port, here: HostId) -> bool {
    p.host.is_some_and(|h| h != here) && !p.device_owner.starts_with("network:router")
}

/// What other hosts know of a port ([`crate::touch::far_side`]): a network of thousands is in the documents of
/// all its hosts.
fn far_port(n: &model::Network, p: &Port, tunnels: &HashMap<HostId, IpAddr>) -> doc::Port {
    doc::Port {
        id: p.id,
        mac: p.mac.clone(),
        addresses: p.addresses.clone(),
        owner: owner(p),
        host: p.host,
        // A provider network has a wire of its own between hosts.
        tunnel: p.host.filter(|_| n.physical().is_none()).and_then(|h| tunnels.get(&h).copied()),
        admin_up: p.admin_up && n.admin_up,
        security: p.port_security,
        groups: Vec::new(),
        allowed_pairs: Vec::new(),
        hostname: String::new(),
        dhcp_options: Vec::new(),
        qos: None,
    }
}

fn owner(p: &Port) -> PortOwner {
    if p.device_owner.starts_with("compute:") {
        p.device_id.parse().map_or(PortOwner::Other, PortOwner::Guest)
    } else if p.device_owner.starts_with("network:router") {
        p.device_id.parse().map_or(PortOwner::Other, PortOwner::Router)
    } else {
        PortOwner::Other
    }
}

fn port_doc(n: &model::Network, p: &Port) -> doc::Port {
    let pair = |x: &model::Pair| {
        let mac = Some(x.mac_address.clone()).filter(|m| !m.is_empty() && *m != p.mac);
        Some(doc::AddressPair { address: model::parse_net(&x.ip_address)?, mac })
    };
    let hostname = match p.addresses.first() {
        _ if !p.dns_name.is_empty() => p.dns_name.clone(),
        Some(a) => plan::host_name(a.address),
        None => String::new(),
    };
    doc::Port {
        id: p.id,
        mac: p.mac.clone(),
        addresses: p.addresses.clone(),
        owner: owner(p),
        host: p.host,
        tunnel: None,
        admin_up: p.admin_up && n.admin_up,
        security: p.port_security,
        groups: p.groups.clone(),
        allowed_pairs: p.pairs.iter().filter_map(pair).collect(),
        hostname,
        dhcp_options: p.dhcp_options.clone(),
        qos: None,
    }
}

// ------------------------------------------------------------------------------------ routers

fn router_doc(
    tx: &Tx<'_>,
    r: &model::Router,
    legs: &[Port],
    gateways: &[Port],
    subnets: &[model::Subnet],
) -> Result<doc::Router> {
    let own = r.id.to_string();
    let nets = |p: &Port| -> Vec<IpNet> {
        let find = |a: &doc::PortAddress| {
            subnets.iter().find(|s| s.id == a.subnet).and_then(|s| with_prefix(s, a.address))
        };
        p.addresses.iter().filter_map(find).collect()
    };
    let leg =
        |p: &Port| doc::RouterLeg { port: p.id, network: p.network, mac: p.mac.clone(), addresses: nets(p) };
    let gateway = match gateways.iter().find(|p| Some(p.id) == r.gateway_port) {
        None => None,
        Some(p) => Some(doc::Gateway {
            port: p.id,
            network: p.network,
            mac: p.mac.clone(),
            addresses: nets(p),
            nexthops: nexthops(p, subnets),
            snat: r.enable_snat,
            floating: floating(tx, r.id)?,
            forwards: table::forward::docs(tx, r.id)?,
            limits: table::qos::of_gateway(tx, r.id, p)?,
        }),
    };
    Ok(doc::Router {
        id: r.id,
        admin_up: r.admin_up,
        legs: legs.iter().filter(|p| p.device_id == own).map(leg).collect(),
        gateway,
        routes: r.routes.clone(),
    })
}

/// The gateways of the subnets that the port has an address of, one per IP version.
fn nexthops(p: &Port, subnets: &[model::Subnet]) -> Vec<IpAddr> {
    let mut by_version = BTreeMap::new();
    for a in &p.addresses {
        if let Some(g) = subnets.iter().find(|s| s.id == a.subnet).and_then(|s| s.gateway) {
            by_version.entry(g.is_ipv6()).or_insert(g);
        }
    }
    by_version.into_values().collect()
}

fn floating(tx: &Tx<'_>, router: RouterId) -> Result<Vec<doc::Floating>> {
    let list = table::floating::find(tx, "t.router_id = $1", params![router])?;
    Ok(list.iter().filter_map(|f| Some(doc::Floating { floating: f.address, fixed: f.fixed? })).collect())
}

// ------------------------------------------------------------------------------------ groups

/// Groups of the ports that `host` holds, with their rules; and the groups that those rules name as
/// peers, with the addresses of their members.
fn groups(tx: &Tx<'_>, host: HostId, ports: &[Port]) -> Result<Vec<doc::SecurityGroup>> {
    let local = ports.iter().filter(|p| p.host == Some(host) && p.port_security);
    let local: BTreeSet<SecurityGroupId> = local.flat_map(|p| p.groups.iter().copied()).collect();
    let rules = table::group::rules_of(tx, &local.iter().copied().collect::<Vec<_>>())?;
    let peers: BTreeSet<SecurityGroupId> = rules.iter().filter_map(|r| r.remote_group).collect();
    let networks = connected::around(tx, ports.iter().filter(|p| p.host == Some(host)).map(|p| p.network))?;
    let members = members(tx, &peers, &networks)?;
    let named: Vec<AddressGroupId> = rules.iter().filter_map(|r| r.remote_addresses).collect();
    let addresses = table::addresses::of(tx, &named)?;
    let all: Vec<SecurityGroupId> = local.union(&peers).copied().collect();
    let doc = |g: model::Group| doc::SecurityGroup {
        id: g.id,
        stateful: g.stateful,
        rules: rules.iter().filter(|r| r.group == g.id).flat_map(|r| rule_docs(r, &addresses)).collect(),
        members: members.get(&g.id).map(|m| m.iter().copied().collect()).unwrap_or_default(),
    };
    Ok(table::group::by_ids(tx, &all)?.into_iter().map(doc).collect())
}

/// A rule as hosts know it: one about an address group becomes one for each of its prefixes (merged),
/// so that an empty group lets nobody through and hosts need not know of address groups.
fn rule_docs(r: &model::Rule, addresses: &HashMap<AddressGroupId, Vec<IpNet>>) -> Vec<doc::SecurityRule> {
    let Some(group) = r.remote_addresses else { return vec![rule_doc(r, remote(r))] };
    let alike = |n: &&IpNet| n.addr().is_ipv6() == r.v6;
    let prefixes = addresses.get(&group).into_iter().flatten().filter(alike).copied().collect();
    let one = |p: IpNet| rule_doc(r, if p.prefix_len() == 0 { Remote::Any } else { Remote::Prefix(p) });
    IpNet::aggregate(&prefixes).into_iter().map(one).collect()
}

fn remote(r: &model::Rule) -> Remote {
    match (r.remote_group, r.masked_prefix()) {
        (Some(g), _) => Remote::Group(g),
        (None, Some(p)) if p.prefix_len() > 0 => Remote::Prefix(p),
        _ => Remote::Any,
    }
}

fn rule_doc(r: &model::Rule, remote: Remote) -> doc::SecurityRule {
    doc::SecurityRule {
        direction: if r.ingress { doc::Direction::Ingress } else { doc::Direction::Egress },
        ip_version: if r.v6 { 6 } else { 4 },
        protocol: r.proto,
        min: r.min,
        max: r.max,
        remote,
    }
}

/// Addresses of the bound ports on these networks in each group, and the single addresses that they may use beside.
pub(crate) fn members(
    tx: &Tx<'_>,
    groups: &BTreeSet<SecurityGroupId>,
    networks: &BTreeSet<NetworkId>,
) -> Result<BTreeMap<SecurityGroupId, BTreeSet<IpAddr>>> {
    let mut out: BTreeMap<SecurityGroupId, BTreeSet<IpAddr>> = BTreeMap::new();
    if groups.is_empty() || networks.is_empty() {
        return Ok(out);
    }
    // CROSS JOIN keeps SQLite to the order: of a group's many members mostly only those on the networks count.
    let from = if touch::few_members(tx, groups, touch::FEW)? {
        "FROM port_security_group m CROSS JOIN port p"
    } else {
        "FROM port p CROSS JOIN port_security_group m"
    };
    let mut q = Sql::new(&format!(
        "SELECT m.group_id, a.address {from} CROSS JOIN port_address a
         WHERE p.host_id IS NOT NULL AND m.port_id = p.id AND a.port_id = p.id AND p.network_id IN ("
    ));
    table::fill(&mut q, networks);
    q.push(") AND m.group_id IN (");
    table::fill(&mut q, groups);
    q.push(")");
    for (g, a) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))? {
        out.entry(g).or_default().insert(a);
    }
    let mut q = Sql::new(&format!(
        "SELECT m.group_id, p.allowed_pairs {from}
         WHERE p.host_id IS NOT NULL AND m.port_id = p.id AND p.allowed_pairs <> '[]' AND p.network_id IN ("
    ));
    table::fill(&mut q, networks);
    q.push(") AND m.group_id IN (");
    table::fill(&mut q, groups);
    q.push(")");
    for (g, pairs) in q.rows(tx, |r| Ok((r.get(0)?, model::json::<Vec<model::Pair>>(r, 1)?)))? {
        let single = |p: &model::Pair| {
            model::parse_net(&p.ip_address).filter(|n| n.prefix_len() == n.max_prefix_len()).map(|n| n.addr())
        };
        out.entry(g).or_default().extend(pairs.iter().filter_map(single));
    }
    Ok(out)
}

// ------------------------------------------------------------------------------------ observed

/// Takes over which ports a host has plugged: their status, and that of floating IPs behind them.
/// Writes only what changed, and wakes the servers that a change is about.
pub fn observed(tx: &Tx<'_>, host: HostId, ports_up: &[PortId]) -> Result<()> {
    let up: BTreeSet<PortId> = ports_up.iter().copied().collect();
    let ports = tx.rows(
        "SELECT id, status, device_id, device_owner FROM port WHERE host_id = $1 ORDER BY id",
        params![host],
        |r| Ok((r.get::<PortId>(0)?, r.get::<String>(1)?, r.get::<String>(2)?, r.get::<String>(3)?)),
    )?;
    let now = |id: &PortId| if up.contains(id) { "ACTIVE" } else { "DOWN" };
    let changed: Vec<_> = ports.into_iter().filter(|(id, status, ..)| status != now(id)).collect();
    // Servers before their ports, as a server's own step has it.
    let servers: BTreeSet<&String> =
        changed.iter().filter(|(.., owner)| owner.starts_with("compute:")).map(|(_, _, s, _)| s).collect();
    servers.into_iter().try_for_each(|s| store::work::wake(tx, s))?;
    for (id, ..) in &changed {
        let now = now(id);
        tx.exec("UPDATE port SET status = $2 WHERE id = $1", params![id, now])?;
        table::bump(tx, "port", &id.to_string())?;
        let floating = "UPDATE floating_ip SET status = $2 WHERE port_id = $1 RETURNING id";
        for floating in tx.rows(floating, params![id, now], |r| r.get::<String>(0))? {
            change::note(tx, Change::new("floatingip", &floating, What::Updated));
        }
    }
    Ok(())
}

/// The port by which a guest asks: who has this address on this network (metadata, DNS).
///
/// # Errors
/// 404 when nobody has it.
pub fn port_at(tx: &Tx<'_>, network: NetworkId, address: IpAddr) -> Result<PortId> {
    let sql = "SELECT a.port_id FROM port_address a JOIN port p ON p.id = a.port_id
               WHERE p.network_id = $1 AND a.address = $2";
    tx.opt(sql, params![network, address], |r| r.get(0))?
        .ok_or_else(|| Fault::not_found(format!("Nobody has {address} on network {network}.")))
}
