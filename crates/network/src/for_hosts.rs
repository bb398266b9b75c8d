//! What each host should know of networks, made from the tables.
//!
//! ```text
//! a bound port here ──▶ its network ──▶ routers with a leg on it, and those that a route joins with them ──▶ their
//!                           other networks
//! a router at home here ──▶ its networks, its external network, its gateway and floating IPs; else the
//!                           way to its home ([`crate::transit`])
//! ```
//! A port whose server is on its way here is plugged here as well, for this host alone, which is told where it still
//! is.
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
    let (routers, ways) = routers_here(tx, host, &own)?;
    let legs = legs(tx, &routers)?;
    let transits = transit::of_host(tx, host, &routers, &ways)?;
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
    let expected = expected_here(tx, host)?;
    let groups = groups(tx, &ports, |p| is_here(p, host, &expected))?;
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
    let around = Around {
        host,
        expected: &expected,
        subnets: &subnets,
        ports: &ports,
        tunnels: &tunnels,
        devices: &devices,
    };
    let mut networks: Vec<_> = networks.iter().map(|n| network_doc(n, &around)).collect();
    act::acl::fill(tx, host, &mut networks)?;
    let over = |n: &&mut doc::Network| {
        own.contains(&n.id) && n.vlan.is_none() && !matches!(n.uplink, Some(doc::Uplink::Nic { .. }))
    };
    for n in networks.iter_mut().filter(over) {
        let senders = senders(n.id, &ports, &routers, &ways);
        n.peers = senders.iter().filter_map(|h| tunnels.get(h).copied()).collect();
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

/// Routers at home here or with a leg on one of these networks, and all that are joined with them.
fn routers_here(tx: &Tx<'_>, host: HostId, networks: &[NetworkId]) -> Result<(Vec<model::Router>, Ways)> {
    let mut q = Sql::new("SELECT id FROM router WHERE home_host_id = ");
    q.bind(host);
    if !networks.is_empty() {
        q.push(" UNION SELECT router_id FROM router_interface WHERE network_id IN (");
        table::fill(&mut q, networks);
        q.push(")");
    }
    let ids: Vec<RouterId> = q.rows(tx, |r| r.get(0))?;
    let ways = Ways::of(tx, &ids)?;
    let ids: Vec<RouterId> = ways.joined(ids).into_iter().collect();
    Ok((table::router::by_ids(tx, &ids)?, ways))
}

/// Routers of which one leads through the other: a route of the first has its next hop at a leg of the second. What
/// passes one of them passes the other on the same host, and so does what comes back.
#[derive(Debug)]
pub(crate) struct Ways(Vec<(RouterId, RouterId)>);

impl Ways {
    /// Those of these routers, of those that they are joined with, and so on.
    pub(crate) fn of(tx: &Tx<'_>, routers: &[RouterId]) -> Result<Ways> {
        let mut found: BTreeSet<RouterId> = routers.iter().copied().collect();
        let (mut new, mut ways) = (routers.to_vec(), Vec::new());
        while !new.is_empty() {
            let more = leading(tx, &new)?;
            new = more.iter().flat_map(|(a, b)| [*a, *b]).filter(|r| found.insert(*r)).collect();
            ways.extend(more);
        }
        Ok(Ways(ways))
    }

    /// These routers, and all that they are joined with.
    pub(crate) fn joined(&self, routers: impl IntoIterator<Item = RouterId>) -> BTreeSet<RouterId> {
        let mut found: BTreeSet<RouterId> = routers.into_iter().collect();
        let mut before = 0;
        while before < found.len() {
            before = found.len();
            for (a, b) in &self.0 {
                if found.contains(a) || found.contains(b) {
                    found.extend([*a, *b]);
                }
            }
        }
        found
    }
}

/// The ways from and to these routers.
fn leading(tx: &Tx<'_>, routers: &[RouterId]) -> Result<Vec<(RouterId, RouterId)>> {
    const PAIRS: &str = "SELECT a.router_id, b.router_id, x.address, r.routes FROM router_interface a
         JOIN router_interface b ON b.network_id = a.network_id AND b.router_id <> a.router_id
         JOIN port_address x ON x.port_id = b.port_id
         JOIN router r ON r.id = a.router_id WHERE r.routes <> '[]' AND ";
    let mut q = Sql::new(PAIRS);
    q.push("a.router_id IN (");
    table::fill(&mut q, routers);
    q.push(") UNION ALL ").push(PAIRS).push("b.router_id IN (");
    table::fill(&mut q, routers);
    q.push(")");
    let pairs = q.rows(tx, |r| {
        let at: IpAddr = r.get(2)?;
        let leads = model::json::<Vec<doc::Route>>(r, 3)?.iter().any(|route| route.nexthop == at);
        Ok(leads.then_some((r.get::<RouterId>(0)?, r.get::<RouterId>(1)?)))
    })?;
    Ok(pairs.into_iter().flatten().collect())
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

/// Hosts that may send into a network: those with ports on it or on one that routers join to it, and the homes of
/// these routers.
fn senders(network: NetworkId, ports: &[Port], routers: &[model::Router], ways: &Ways) -> BTreeSet<HostId> {
    let leg = |p: &Port| Some((p.device_id.parse::<RouterId>().ok()?, p.network));
    let legs = ports.iter().filter(|p| p.device_owner == "network:router_interface").filter_map(leg);
    let legs: Vec<(RouterId, NetworkId)> = legs.collect();
    let through = ways.joined(legs.iter().filter(|(_, n)| *n == network).map(|(router, _)| *router));
    let joined = legs.iter().filter(|(router, _)| through.contains(router)).map(|(_, n)| *n);
    let networks: BTreeSet<NetworkId> = joined.chain([network]).collect();
    let homes = routers.iter().filter(|r| through.contains(&r.id)).filter_map(|r| r.home);
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

/// Ports on their way to this host: it has them beside the host that they are bound to.
fn expected_here(tx: &Tx<'_>, host: HostId) -> Result<BTreeSet<PortId>> {
    let sql = "SELECT id FROM port WHERE next_host_id = $1";
    Ok(tx.rows(sql, params![host], |r| r.get(0))?.into_iter().collect())
}

fn is_here(p: &Port, host: HostId, expected: &BTreeSet<PortId>) -> bool {
    p.host == Some(host) || expected.contains(&p.id)
}

/// What networks are made from beside their own rows.
struct Around<'a> {
    host: HostId,
    expected: &'a BTreeSet<PortId>,
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
            .map(|p| if is_far(p, around) { far_port(n, p, around.tunnels) } else { port_doc(n, p, around) })
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
fn is_far(p: &Port, around: &Around<'_>) -> bool {
    p.host.is_some()
        && !is_here(p, around.host, around.expected)
        && !p.device_owner.starts_with("network:router")
}

/// Where another host has a port. A provider network has a wire of its own between hosts.
fn tunnel(n: &model::Network, p: &Port, tunnels: &HashMap<HostId, IpAddr>) -> Option<IpAddr> {
    p.host.filter(|_| n.physical().is_none()).and_then(|h| tunnels.get(&h).copied())
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
        tunnel: tunnel(n, p, tunnels),
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

fn port_doc(n: &model::Network, p: &Port, around: &Around<'_>) -> doc::Port {
    let pair = |x: &model::Pair| {
        let mac = Some(x.mac_address.clone()).filter(|m| !m.is_empty() && *m != p.mac);
        Some(doc::AddressPair { address: model::parse_net(&x.ip_address)?, mac })
    };
    let comes = around.expected.contains(&p.id);
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
        host: if comes { Some(around.host) } else { p.host },
        tunnel: if comes { tunnel(n, p, around.tunnels) } else { None },
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

/// Groups of the ports that are here, with their rules; and the groups that those rules name as peers, with the
/// addresses of their members.
fn groups(tx: &Tx<'_>, ports: &[Port], here: impl Fn(&Port) -> bool) -> Result<Vec<doc::SecurityGroup>> {
    let ports: Vec<&Port> = ports.iter().filter(|p| here(p)).collect();
    let local = ports.iter().filter(|p| p.port_security);
    let local: BTreeSet<SecurityGroupId> = local.flat_map(|p| p.groups.iter().copied()).collect();
    let rules = table::group::rules_of(tx, &local.iter().copied().collect::<Vec<_>>())?;
    let peers: BTreeSet<SecurityGroupId> = rules.iter().filter_map(|r| r.remote_group).collect();
    let networks = connected::around(tx, ports.iter().map(|p| p.network))?;
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
