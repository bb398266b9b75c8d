//! From the desired document to what each namespace of this host should hold. Pure: no kernel here.

use super::door::{self, HostPort};
use super::filter::{self, FilterPort};
use super::nat;
use super::rules::{Rules, Table};
use super::shape::{self, Rate};
use super::space::{
    BRIDGE, BridgePort, Kind, Link, METADATA_V6, Mac, Route, Space, TUNNEL, TUNNEL_V6, UPLINK, VLAN,
};
use super::traffic::{self, Tap};
use super::underlay::{self, PORT};
use base::doc::{Desired, Gateway, Network, Port, PortOwner, Problem, Router, RouterLeg, Uplink, Vlan};
use base::names::Prefix;
use base::{HostId, NetworkId, PortId, ServerId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Where the metadata service answers, and the identifier of our DHCP server.
pub const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// What one namespace should hold.
#[derive(Debug, Clone)]
pub struct SpacePlan {
    /// `network` or `router`, and its id, for problems.
    pub kind: &'static str,
    pub id: String,
    pub ns: String,
    pub space: Space,
    pub rules: Rules,
    /// Devices that are made from the host's namespace, by their names inside.
    pub outside: BTreeMap<String, Outside>,
    /// The VLAN that the network lies on, whose device is made where its NIC is.
    pub vlan: Option<Vlan>,
    /// Guests' ports that are up once all of it is applied.
    pub ports: Vec<PortId>,
    pub problems: Vec<Problem>,
}

/// How such a device is made, and the other end of a pair: its name, and its namespace unless that
/// is the host's own.
#[derive(Debug, Clone)]
pub struct Outside {
    pub command: String,
    pub far: Option<String>,
    pub other: Option<String>,
}

/// What this host should hold.
#[derive(Debug)]
pub struct Plan {
    pub spaces: Vec<SpacePlan>,
    pub host: Space,
    pub host_rules: Rules,
}

/// `tunnel` is where other hosts reach this one, as far as a device here has that address; guests that are `coming`
/// still run on another host.
pub fn plan(
    prefix: &Prefix,
    host: HostId,
    desired: &Desired,
    open: &[HostPort],
    tunnel: Option<IpAddr>,
    coming: &BTreeSet<ServerId>,
) -> Plan {
    let networks = desired.networks.iter().map(|n| network(prefix, host, n, desired, tunnel, coming));
    let routers = desired.routers.iter().map(|r| router(prefix, r, &desired.networks));
    let spaces = networks.chain(routers).collect();
    let (host, host_rules) = own(prefix, desired, open, tunnel);
    Plan { spaces, host, host_rules }
}

fn problem(kind: &str, id: impl ToString, reason: impl Into<String>) -> Problem {
    Problem { kind: kind.into(), id: id.to_string(), reason: reason.into() }
}

fn settings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(k, v)| (format!("net/{k}"), v.to_owned())).collect()
}

fn link(kind: Kind, mtu: u32) -> Link {
    Link { kind, mac: None, mtu: Some(mtu), up: true, bridge: None, over: None, sends: None }
}

fn loopback() -> (String, Link) {
    ("lo".into(), Link { mtu: None, ..link(Kind::Loopback, 0) })
}

/// A device whose far side is trusted: the uplinks.
const OPEN: BridgePort = BridgePort { learning: true, flood: true, tunnel: false };
const CLOSED: BridgePort = BridgePort { learning: false, flood: false, tunnel: false };

// ------------------------------------------------------------------------------------ networks

fn network(
    prefix: &Prefix,
    host: HostId,
    network: &Network,
    desired: &Desired,
    tunnel: Option<IpAddr>,
    coming: &BTreeSet<ServerId>,
) -> SpacePlan {
    let ns = prefix.network_ns(network.id);
    let mut plan = SpacePlan {
        kind: "network",
        id: network.id.to_string(),
        ns,
        space: network_space(network),
        rules: Rules::default(),
        outside: BTreeMap::new(),
        vlan: None,
        ports: vec![],
        problems: vec![],
    };
    let (mut filtered, mut taps) = (Vec::new(), Vec::new());
    let speaks_v6 = network.subnets.iter().any(|s| s.cidr.addr().is_ipv6());
    for port in &network.ports {
        let Some(mac) = Mac::parse(&port.mac) else {
            plan.problems.push(problem("port", port.id, format!("{:?} is not a MAC address", port.mac)));
            continue;
        };
        let link_local = speaks_v6.then(|| IpAddr::V6(mac.link_local()));
        for address in port.addresses.iter().map(|a| a.address).chain(link_local) {
            plan.space.neighbours.insert((BRIDGE.into(), address), mac);
        }
        match port.owner {
            PortOwner::Guest(id) if port.host == Some(host) => {
                let filter = plan.plug(prefix.tap(port.id), mac, port, network);
                filtered.extend(filter.filter(|_| port.security));
                taps.push(plan.limit(prefix, port));
                // One that is still coming is reached where it runs: by the tunnel there, or by the wire.
                if coming.contains(&id) {
                    plan.remote(port, mac);
                } else {
                    plan.space.forwarding.insert((prefix.tap(port.id), mac), None);
                }
            }
            PortOwner::Guest(_) | PortOwner::Other => plan.remote(port, mac),
            PortOwner::Router(_) => {}
        }
    }
    for router in &desired.routers {
        for (port, mac) in legs_in(router, network.id) {
            match Mac::parse(mac) {
                Some(mac) => plan.leg(prefix, router, port, mac, network.mtu),
                None => {
                    plan.problems.push(problem("router", router.id, format!("{mac:?} is not a MAC address")))
                }
            }
        }
    }
    let used = plan.space.forwarding.keys().map(|(dev, _)| dev.clone());
    let used: BTreeSet<String> = used.chain(network.peers.iter().map(|p| tunnel_to(p).to_owned())).collect();
    for dev in [TUNNEL, TUNNEL_V6].into_iter().filter(|dev| used.contains(*dev)) {
        plan.tunnel(dev, network, tunnel);
    }
    match &network.uplink {
        Some(Uplink::HostNat { .. }) => plan.uplink(&prefix.uplink(network.id), network.mtu),
        Some(Uplink::Nic { device }) => plan.nic(device, network),
        None => {}
    }
    if let Some(vlan) = &network.vlan {
        plan.tag(vlan, network);
    }
    plan.rules = filter::rules(&filtered, &desired.groups);
    if let Some((device, _)) = plan.space.links.iter().find(|(_, l)| matches!(l.kind, Kind::Nic | Kind::Vlan))
    {
        filter::at_nic(&mut plan.rules, device, network);
    }
    plan.rules.tables.insert(traffic::TABLE.into(), traffic::table(&taps, &network.acl));
    plan
}

/// The device that leads to a host.
fn tunnel_to(host: &IpAddr) -> &'static str {
    if host.is_ipv6() { TUNNEL_V6 } else { TUNNEL }
}

/// The bridge's MAC: locally administered, the same on every host and after every restart.
pub fn bridge_mac(id: NetworkId) -> Mac {
    let [a, b, c, d, e, ..] = *id.0.as_bytes();
    Mac([0x0e, a, b, c, d, e])
}

/// The parts of a network's namespace that do not depend on its ports.
fn network_space(network: &Network) -> Space {
    let bridge = Link { mac: Some(bridge_mac(network.id)), ..link(Kind::Bridge, network.mtu) };
    let on_link = |to: IpNet| {
        let source = to.addr().is_ipv4().then_some(IpAddr::V4(METADATA_V4));
        Route { to, via: None, dev: BRIDGE.into(), source }
    };
    // Answers to clients without an address are broadcast, which needs a route like any other.
    let everybody = IpNet::from(IpAddr::V4(Ipv4Addr::BROADCAST));
    let subnets = network.subnets.iter().map(|s| s.cidr.trunc());
    let metadata_v6 = Ipv6Net::new(METADATA_V6, 64).map(IpNet::V6);
    let addresses = [Ok(IpNet::V4(Ipv4Net::from(METADATA_V4))), metadata_v6];
    Space {
        settings: settings([
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/ip_forward", "0"),
            ("ipv6/conf/all/forwarding", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            // Only the bridge itself speaks; the devices on it have no addresses of their own.
            ("ipv6/conf/default/disable_ipv6", "1"),
            ("bridge/bridge-nf-call-iptables", "1"),
            ("bridge/bridge-nf-call-ip6tables", "1"),
            ("bridge/bridge-nf-call-arptables", "0"),
            // Two subnets of one network route through the same connection table twice.
            ("netfilter/nf_conntrack_tcp_be_liberal", "1"),
        ]),
        device_settings: settings([
            ("ipv6/conf/br0/disable_ipv6", "0"),
            ("ipv6/conf/br0/accept_ra", "0"),
            ("ipv6/conf/br0/addr_gen_mode", "1"),
        ]),
        links: [loopback(), (BRIDGE.to_owned(), bridge)].into(),
        addresses: addresses.into_iter().flatten().map(|a| (BRIDGE.to_owned(), a)).collect(),
        routes: subnets.chain([everybody]).map(on_link).collect(),
        ..Space::default()
    }
}

/// The legs of a router (its gateway's too) in one network: port and MAC.
fn legs_in(router: &Router, network: NetworkId) -> impl Iterator<Item = (PortId, &str)> {
    let legs = router.legs.iter().map(|l| (l.network, l.port, l.mac.as_str()));
    let gateway = router.gateway.iter().map(|g| (g.network, g.port, g.mac.as_str()));
    legs.chain(gateway).filter(move |l| l.0 == network).map(|l| (l.1, l.2))
}

impl SpacePlan {
    /// A tap for a guest of this host, and what its filter needs to know.
    fn plug(&mut self, tap: String, mac: Mac, port: &Port, network: &Network) -> Option<FilterPort> {
        let mut may_use: BTreeMap<Mac, BTreeSet<IpNet>> = BTreeMap::new();
        may_use.entry(mac).or_default().extend(port.addresses.iter().map(|a| IpNet::from(a.address)));
        for pair in &port.allowed_pairs {
            let Some(with) = pair.mac.as_deref().map_or(Some(mac), Mac::parse) else { continue };
            may_use.entry(with).or_default().insert(pair.address.trunc());
        }
        // A port that may use other MACs says by its frames where they are; the filter has seen them.
        let other_macs = !port.security || may_use.len() > 1;
        let bridge = BridgePort { learning: other_macs, flood: other_macs, tunnel: false };
        let device = Link { up: port.admin_up, bridge: Some(bridge), ..link(Kind::Tap, network.mtu) };
        self.space.links.insert(tap.clone(), device);
        if port.admin_up {
            self.ports.push(port.id);
        }
        Some(FilterPort { tap, mac, may_use, groups: port.groups.clone() })
    }

    /// The limits of a guest's port, and what the rules at its tap need to know.
    fn limit(&mut self, prefix: &Prefix, port: &Port) -> Tap {
        let (name, qos) = (prefix.tap(port.id), port.qos.unwrap_or_default());
        if let Some(limit) = qos.ingress {
            shape::insert(&mut self.space.shapes, &name, shape::ALL, Rate::from(limit));
        }
        let ifb = qos.egress.map(|limit| {
            let ifb = prefix.ifb(port.id);
            self.space.links.insert(ifb.clone(), Link { mtu: None, ..link(Kind::Ifb, 0) });
            shape::insert(&mut self.space.shapes, &ifb, shape::ALL, Rate::from(limit));
            ifb
        });
        Tap { name, qos, ifb }
    }

    fn remote(&mut self, port: &Port, mac: Mac) {
        if let Some(to) = port.tunnel {
            self.space.forwarding.insert((tunnel_to(&to).into(), mac), Some(to));
        }
    }

    /// The network's end of a router's leg. The pair of devices is made here, for both ends.
    fn leg(&mut self, prefix: &Prefix, router: &Router, port: PortId, mac: Mac, mtu: u32) {
        let (near, far, other) = (prefix.leg_net(port), prefix.leg_router(port), prefix.router_ns(router.id));
        let command = format!("link add {near} netns {} type veth peer name {far} netns {other}", self.ns);
        self.outside.insert(near.clone(), Outside { command, far: Some(far), other: Some(other) });
        self.space.forwarding.insert((near.clone(), mac), None);
        self.space.links.insert(near, Link { bridge: Some(CLOSED), ..link(Kind::Veth, mtu) });
    }

    fn tunnel(&mut self, dev: &str, network: &Network, own: Option<IpAddr>) {
        let v6 = dev == TUNNEL_V6;
        let own = own.filter(|own| own.is_ipv6() == v6);
        // A source address of a family makes the device one of that family; without one the route picks it.
        let source = match own {
            Some(own) => format!(" local {own}"),
            None if v6 => " local ::".into(),
            None => String::new(),
        };
        let command = format!(
            "link add {dev} netns {} type vxlan id {}{source} dstport {PORT} nolearning",
            self.ns, network.vni
        );
        self.outside.insert(dev.into(), Outside { command, far: None, other: None });
        let bridge = Some(BridgePort { tunnel: true, ..CLOSED });
        let sends = own.map(|own| (network.vni, own));
        self.space.links.insert(dev.into(), Link { bridge, sends, ..link(Kind::Vxlan, network.mtu) });
    }

    fn uplink(&mut self, far: &str, mtu: u32) {
        let command = format!("link add {UPLINK} netns {} type veth peer name {far}", self.ns);
        self.outside.insert(UPLINK.into(), Outside { command, far: Some(far.to_owned()), other: None });
        self.space.links.insert(UPLINK.into(), Link { bridge: Some(OPEN), ..link(Kind::Veth, mtu) });
    }

    /// False, and a problem, when no device can have that name.
    fn is_device(&mut self, device: &str, network: &Network) -> bool {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if device.is_empty() || device.len() > 15 || !device.bytes().all(ok) || device == "lo" {
            let reason = format!("{device:?} cannot be the name of a network device");
            self.problems.push(problem("network", network.id, reason));
            return false;
        }
        true
    }

    /// A tagged link over a NIC, which stays where it is: several of them share it.
    fn tag(&mut self, vlan: &Vlan, network: &Network) {
        if !self.is_device(&vlan.device, network) {
            return;
        }
        let over = Some(format!("{}.{}", vlan.device, vlan.segment));
        let link = Link { bridge: Some(OPEN), over, ..link(Kind::Vlan, network.mtu) };
        self.space.links.insert(VLAN.into(), link);
        self.vlan = Some(vlan.clone());
    }

    fn nic(&mut self, device: &str, network: &Network) {
        if !self.is_device(device, network) {
            return;
        }
        let command = format!("link set dev {device} netns {}", self.ns);
        self.outside.insert(device.to_owned(), Outside { command, far: None, other: None });
        let nic = Link { mtu: None, bridge: Some(OPEN), ..link(Kind::Nic, 0) };
        self.space.links.insert(device.to_owned(), nic);
    }
}

// ------------------------------------------------------------------------------------ routers

fn router(prefix: &Prefix, router: &Router, networks: &[Network]) -> SpacePlan {
    let mut plan = SpacePlan {
        kind: "router",
        id: router.id.to_string(),
        ns: prefix.router_ns(router.id),
        space: router_space(router.admin_up),
        rules: {
            let mut rules = nat::router(None);
            rules.tables.insert(traffic::TABLE.into(), Table::default());
            rules
        },
        outside: BTreeMap::new(),
        vlan: None,
        ports: vec![],
        problems: vec![],
    };
    let mtu = |id| networks.iter().find(|n| n.id == id).map(|n| n.mtu);
    let mut nets: Vec<(String, IpNet)> = Vec::new();
    for RouterLeg { port, network, mac, addresses } in &router.legs {
        let device = prefix.leg_router(*port);
        if plan.router_leg(&device, mac, mtu(*network), addresses, router.admin_up) {
            nets.extend(addresses.iter().map(|a| (device.clone(), *a)));
        }
    }
    if let Some(gateway) = &router.gateway {
        let device = prefix.leg_router(gateway.port);
        if plan.router_leg(&device, &gateway.mac, mtu(gateway.network), &gateway.addresses, router.admin_up) {
            nets.extend(gateway.addresses.iter().map(|a| (device.clone(), *a)));
            plan.way_out(&device, gateway, router.admin_up);
            plan.rules = nat::router(Some((gateway, &device)));
            plan.limit_gateway(prefix, &device, gateway);
        }
    }
    for route in router.routes.iter().filter(|_| router.admin_up) {
        match nets.iter().find(|(_, net)| net.contains(&route.nexthop)) {
            Some((dev, _)) => {
                let (to, via, dev) = (route.destination.trunc(), Some(route.nexthop), dev.clone());
                plan.space.routes.insert(Route { to, via, dev, source: None });
            }
            None => {
                let reason = format!("the next hop {} is on none of the router's networks", route.nexthop);
                plan.problems.push(problem("router", router.id, reason));
            }
        }
    }
    plan
}

fn router_space(forward: bool) -> Space {
    let forward = if forward { "1" } else { "0" };
    Space {
        settings: settings([
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/ip_forward", forward),
            ("ipv6/conf/all/forwarding", forward),
            ("ipv6/conf/default/accept_ra", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            // An address is answered for on the leg that holds it, and on no other.
            ("ipv4/conf/all/arp_ignore", "1"),
            ("ipv4/conf/all/arp_announce", "2"),
            ("netfilter/nf_conntrack_tcp_be_liberal", "1"),
        ]),
        links: [loopback()].into(),
        // Guests that do not know the route on the link send metadata requests to their gateway.
        addresses: [("lo".to_owned(), IpNet::V4(Ipv4Net::from(METADATA_V4)))].into(),
        ..Space::default()
    }
}

impl SpacePlan {
    /// False when the leg cannot be made. A router that is switched off keeps its legs, down and bare:
    /// the kernel forgets addresses and routes of a device that goes down.
    fn router_leg(&mut self, dev: &str, mac: &str, mtu: Option<u32>, nets: &[IpNet], up: bool) -> bool {
        let (Some(mac), Some(mtu)) = (Mac::parse(mac), mtu) else {
            let reason = format!("its leg {dev} has no valid MAC address or no network on this host");
            self.problems.push(problem("router", &self.id, reason));
            return false;
        };
        let device = Link { mac: Some(mac), up, ..link(Kind::Veth, mtu) };
        self.space.links.insert(dev.to_owned(), device);
        if up {
            self.space.addresses.extend(nets.iter().map(|n| (dev.to_owned(), *n)));
        }
        true
    }

    /// What passes the gateway from and to single addresses waits in classes of their own, numbered alike
    /// in both directions; what has none passes beside them.
    fn limit_gateway(&mut self, prefix: &Prefix, device: &str, gateway: &Gateway) {
        let ifb = prefix.ifb(gateway.port);
        let limited = || gateway.limits.iter().zip(shape::ALL + 1..);
        let mut taken = false;
        for (limit, class) in limited() {
            if let Some(rate) = limit.egress {
                shape::insert(&mut self.space.shapes, device, class, Rate::from(rate));
            }
            if let Some(rate) = limit.ingress {
                shape::insert(&mut self.space.shapes, &ifb, class, Rate::from(rate));
                taken = true;
            }
        }
        if taken {
            self.space.links.insert(ifb.clone(), Link { mtu: None, ..link(Kind::Ifb, 0) });
        }
        let classes = limited().map(|(l, class)| (l.address, class)).collect::<Vec<_>>();
        let table = traffic::gateway(device, taken.then_some(ifb.as_str()), &classes);
        self.rules.tables.insert(traffic::TABLE.into(), table);
        nat::classify(&mut self.rules, device, &classes);
    }

    fn way_out(&mut self, dev: &str, gateway: &Gateway, up: bool) {
        if !up {
            return;
        }
        let floating = nat::floating(gateway).into_iter().map(IpNet::from);
        self.space.addresses.extend(floating.map(|f| (dev.to_owned(), f)));
        for via in &gateway.nexthops {
            let to = if via.is_ipv4() { Ipv4Net::default().into() } else { Ipv6Net::default().into() };
            self.space.routes.insert(Route { to, via: Some(*via), dev: dev.to_owned(), source: None });
        }
    }
}

// ------------------------------------------------------------------------------------ the host

/// The host's own namespace: the far ends of uplinks, masquerading, what guests may ask of it, and who may speak
/// to its tunnels.
fn own(prefix: &Prefix, desired: &Desired, open: &[HostPort], tunnel: Option<IpAddr>) -> (Space, Rules) {
    let mut space = Space::default();
    let mut uplinks = Vec::new();
    for network in &desired.networks {
        let Some(Uplink::HostNat { addresses }) = &network.uplink else { continue };
        let device = prefix.uplink(network.id);
        space.settings = settings([("ipv4/ip_forward", "1")]);
        space.links.insert(device.clone(), link(Kind::Veth, network.mtu));
        space.addresses.extend(addresses.iter().map(|a| (device.clone(), *a)));
        for gateway in desired.routers.iter().filter_map(|r| r.gateway.as_ref()) {
            let Some(mac) = Mac::parse(&gateway.mac).filter(|_| gateway.network == network.id) else {
                continue;
            };
            // A floating address that moves to another router is known at once.
            let floating = nat::floating(gateway).into_iter();
            for address in floating.chain(gateway.addresses.iter().map(IpNet::addr)) {
                space.neighbours.insert((device.clone(), address), mac);
            }
        }
        uplinks.push((device, addresses.clone()));
    }
    let mut rules = nat::host(&prefix.host_table(), &uplinks);
    let devices: Vec<String> = uplinks.into_iter().map(|(device, _)| device).collect();
    door::close(&mut rules, &prefix.host_table(), &devices, open);
    underlay::guard(&mut rules, &prefix.host_table(), desired, &devices, tunnel);
    (space, rules)
}
