//! What a namespace holds, and the difference between two such states as commands.
//!
//! The same type describes what should be and what was found, so applying is a comparison: what is
//! equal costs nothing, and a restart only has to look once. Only what this agent writes is compared:
//! routes carry its protocol number, neighbours are permanent, forwarding entries static and sticky.

use super::kernel::{Kernel, Line, Tool, act, remove};
use super::shape::{self, Shapes};
use base::Result;
use ipnet::IpNet;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Marks our routes (`ip route … proto`), so that others are left alone.
pub const ROUTE_PROTOCOL: &str = "186";
/// The bridge of every network's namespace.
pub const BRIDGE: &str = "br0";
/// The tunnel to other hosts, and a network's end of its uplink to this host.
pub const TUNNEL: &str = "vx0";
/// The same to hosts that are reached by IPv6: a socket of the kernel serves one family.
pub const TUNNEL_V6: &str = "vx6";
pub const UPLINK: &str = "up0";
/// A network's tagged link over a NIC.
pub const VLAN: &str = "vl0";
/// Link-local address of the metadata service, and the source of advertisements without a router.
pub const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe);

/// A hardware address; prints as `fa:16:3e:00:00:01`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    pub fn parse(text: &str) -> Option<Mac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && !p.starts_with('+'))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Mac(bytes))
    }
    pub fn from_link_local(address: Ipv6Addr) -> Option<Mac> {
        match address.octets() {
            [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a, b, c, 0xff, 0xfe, d, e, f] => Some(Mac([a ^ 2, b, c, d, e, f])),
            _ => None,
        }
    }
    /// The link-local address that a host derives from it (RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Loopback,
    Bridge,
    Tap,
    /// Takes what comes from a guest, to limit it.
    Ifb,
    /// Made from the host's namespace, because its two ends lie in different ones.
    Veth,
    /// Made from the host's namespace, where its UDP socket stays.
    Vxlan,
    /// A device of the host that was moved in.
    Nic,
    /// Made where its NIC is.
    Vlan,
}

/// How a device sits on the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgePort {
    pub learning: bool,
    pub flood: bool,
    /// The tunnel: nothing is flooded into it, and requests are answered from the neighbour table.
    pub tunnel: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub kind: Kind,
    /// `None` in a wanted state leaves it as it is; so does `mtu`.
    pub mac: Option<Mac>,
    pub mtu: Option<u32>,
    pub up: bool,
    pub bridge: Option<BridgePort>,
    /// What a VLAN lies on, as `eth1.100`: kept as the device's alias, because the NIC itself is out of sight.
    pub over: Option<String>,
    /// Of a tunnel: its identifier, and the address that it sends from. `None` leaves that to the route.
    pub sends: Option<(u32, IpAddr)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub to: IpNet,
    pub via: Option<IpAddr>,
    pub dev: String,
    pub source: Option<IpAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Space {
    /// Settings below /proc/sys: those that must be there before devices, then those of devices.
    pub settings: BTreeMap<String, String>,
    pub device_settings: BTreeMap<String, String>,
    pub links: BTreeMap<String, Link>,
    pub addresses: BTreeSet<(String, IpNet)>,
    pub routes: BTreeSet<Route>,
    pub neighbours: BTreeMap<(String, IpAddr), Mac>,
    /// Forwarding entries by device; with a destination on the tunnel.
    pub forwarding: BTreeMap<(String, Mac), Option<IpAddr>>,
    pub shapes: Shapes,
}

/// Commands in the order in which they must run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// `ip`: devices come and go before the filters are loaded, which name those that are there. One
    /// that goes must not be there without its filter.
    pub devices: Vec<Line>,
    /// `tc`: limits stand before a filter hands anything to them.
    pub shapes: Vec<Line>,
    /// `ip`: everything else, after the filters are in place.
    pub set: Vec<Line>,
    /// `bridge`.
    pub forwarding: Vec<Line>,
}

impl Space {
    /// A namespace as the kernel makes it.
    pub fn fresh() -> Space {
        let lo = Link {
            kind: Kind::Loopback,
            mac: None,
            mtu: None,
            up: false,
            bridge: None,
            over: None,
            sends: None,
        };
        Space { links: BTreeMap::from([("lo".into(), lo)]), ..Space::default() }
    }

    /// What must be done to come from `self` to `want`. Veths, tunnels, NICs and VLANs are expected to be
    /// there already; `home` names the namespace to which NICs go back, or a process in it.
    pub fn changes(&self, want: &Space, home: &str) -> Changes {
        let mut out = Changes::default();
        self.drop_old(want, home, &mut out);
        let stays = |dev: &str| want.links.contains_key(dev) && self.links.contains_key(dev);
        out.shapes = shape::changes(&self.shapes, &want.shapes, stays);
        for (name, link) in &want.links {
            let now = self.links.get(name);
            if now.is_none() {
                out.devices.extend(creation(name, link));
            }
            out.set.extend(settle(name, now, link));
        }
        for (dev, address) in want.addresses.difference(&self.addresses) {
            let nodad = if address.addr().is_ipv6() { " nodad" } else { "" };
            out.set.push(act(format!("addr add {address} dev {dev}{nodad}")));
        }
        for route in want.routes.difference(&self.routes) {
            out.set.push(act(format!("route replace {}", route.text())));
        }
        for ((dev, address), mac) in &want.neighbours {
            if self.neighbours.get(&(dev.clone(), *address)) != Some(mac) {
                out.set.push(act(format!("neigh replace {address} lladdr {mac} dev {dev} nud permanent")));
            }
        }
        // An entry of a tunnel remembers the way that packets went last, and with it where they were sent from.
        let anew = |dev: &String| {
            let sends = |space: &Space| space.links.get(dev).map(|l| l.sends);
            sends(want).flatten().is_some() && sends(self).is_some() && sends(self) != sends(want)
        };
        for (key @ (dev, mac), to) in &want.forwarding {
            let had = self.forwarding.get(key);
            if anew(dev) && to.is_some() {
                out.forwarding.push(remove(format!("fdb del {mac} dev {dev} self")));
            }
            if had != Some(to) || anew(dev) {
                // Sticky: a port that learns would else take a static entry over with the first frame that comes
                // by it from that address, and keep it.
                out.forwarding.push(act(format!("fdb replace {mac} dev {dev} master sticky static")));
                if let Some(to) = to {
                    out.forwarding.push(act(format!("fdb replace {mac} dev {dev} self dst {to} permanent")));
                }
            }
        }
        out
    }

    /// Entries of a device that goes, go with it; so they are not removed one by one.
    fn drop_old(&self, want: &Space, home: &str, out: &mut Changes) {
        let stays = |dev: &String| want.links.contains_key(dev) && self.links.contains_key(dev);
        for ((dev, mac), to) in self.forwarding.iter().filter(|((dev, _), _)| stays(dev)) {
            if !want.forwarding.contains_key(&(dev.clone(), *mac)) {
                out.forwarding.push(remove(format!("fdb del {mac} dev {dev} master")));
                if to.is_some() {
                    out.forwarding.push(remove(format!("fdb del {mac} dev {dev} self")));
                }
            }
        }
        for (dev, address) in self.neighbours.keys().filter(|(dev, _)| stays(dev)) {
            if !want.neighbours.contains_key(&(dev.clone(), *address)) {
                out.set.push(remove(format!("neigh del {address} dev {dev}")));
            }
        }
        for route in self.routes.difference(&want.routes).filter(|r| stays(&r.dev)) {
            out.set.push(remove(format!("route del {}", route.text())));
        }
        for (dev, address) in self.addresses.difference(&want.addresses).filter(|(dev, _)| stays(dev)) {
            out.set.push(remove(format!("addr del {address} dev {dev}")));
        }
        for (name, link) in self.links.iter().filter(|(name, _)| !want.links.contains_key(*name)) {
            // Filters may hand frames to these until they are loaded anew.
            if link.kind == Kind::Ifb {
                out.set.push(remove(format!("link del dev {name}")));
                continue;
            }
            out.devices.push(match link.kind {
                Kind::Nic => remove(format!("link set dev {name} nomaster netns {home}")),
                _ => remove(format!("link del dev {name}")),
            });
        }
    }

    /// Reads what a namespace (or the host's own) holds. `ours` picks the devices that count.
    pub fn look(kernel: &Kernel, ns: Option<&str>, ours: impl Fn(&str) -> bool) -> Result<Space> {
        let mut space = Space::default();
        for link in kernel.look(Tool::Ip, ns, &["-d", "link", "show"])? {
            let Some(name) = link["ifname"].as_str().filter(|n| ours(n)) else { continue };
            space.links.extend(link_of(&link).map(|l| (name.to_owned(), l)));
        }
        let known = |dev: &Value| dev.as_str().filter(|d| ours(d)).map(str::to_owned);
        for link in kernel.look(Tool::Ip, ns, &["addr", "show"])? {
            let Some(dev) = known(&link["ifname"]) else { continue };
            for entry in link["addr_info"].as_array().into_iter().flatten() {
                space.addresses.extend(address_of(entry).map(|a| (dev.clone(), a)));
            }
        }
        for family in ["-4", "-6"] {
            for r in kernel.look(Tool::Ip, ns, &[family, "route", "show", "proto", ROUTE_PROTOCOL])? {
                space.routes.extend(route_of(&r, family == "-4").filter(|r| ours(&r.dev)));
            }
        }
        for n in kernel.look(Tool::Ip, ns, &["neigh", "show", "nud", "permanent"])? {
            let mac = n["lladdr"].as_str().and_then(Mac::parse);
            if let (Some(dev), Some(to), Some(mac)) = (known(&n["dev"]), parse(&n["dst"]), mac) {
                space.neighbours.insert((dev, to), mac);
            }
        }
        if space.links.contains_key(BRIDGE) {
            space.look_forwarding(&kernel.look(Tool::Bridge, ns, &["fdb", "show"])?);
        }
        if ns.is_some() {
            for device in shape::devices(&kernel.look(Tool::Tc, ns, &["qdisc", "show"])?) {
                let text = kernel.ask(Tool::Tc, ns, &["class", "show", "dev", &device])?;
                shape::found(&mut space.shapes, &device, &text);
            }
        }
        Ok(space)
    }

    fn look_forwarding(&mut self, entries: &[Value]) {
        let key = |e: &Value| Some((e["ifname"].as_str()?.to_owned(), Mac::parse(e["mac"].as_str()?)?));
        // Those of an older release are not sticky, and are written anew.
        let sticky = |e: &&Value| e["flags"].as_array().is_some_and(|f| f.iter().any(|f| f == "sticky"));
        let ours = |e: &&Value| e["state"] == "static" && e["master"].is_string();
        for e in entries.iter().filter(ours).filter(sticky) {
            self.forwarding.extend(key(e).map(|k| (k, None)));
        }
        for e in entries.iter().filter(|e| e["dst"].is_string()) {
            if let Some(to) = key(e).and_then(|k| self.forwarding.get_mut(&k)) {
                *to = parse(&e["dst"]);
            }
        }
    }
}

impl Route {
    fn text(&self) -> String {
        let mut text = format!("{} ", self.to);
        if let Some(via) = self.via {
            text += &format!("via {via} onlink ");
        }
        text += &format!("dev {} proto {ROUTE_PROTOCOL}", self.dev);
        if let Some(source) = self.source {
            text += &format!(" src {source}");
        }
        text
    }
}

fn creation(name: &str, link: &Link) -> Vec<Line> {
    match link.kind {
        Kind::Bridge => {
            let mac = link.mac.map(|m| format!("address {m} ")).unwrap_or_default();
            vec![act(format!("link add {name} {mac}type bridge stp_state 0 mcast_snooping 0"))]
        }
        Kind::Tap => vec![act(format!("tuntap add dev {name} mode tap vnet_hdr"))],
        // Up at once: the filters that are loaded next hand frames to it.
        Kind::Ifb => {
            vec![act(format!("link add {name} type ifb")), act(format!("link set dev {name} up"))]
        }
        Kind::Loopback | Kind::Veth | Kind::Vxlan | Kind::Nic | Kind::Vlan => vec![],
    }
}

/// The commands that bring one existing device to what is wanted. It comes up last, so that it never
/// forwards with other flags than its own.
fn settle(name: &str, now: Option<&Link>, want: &Link) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut set = String::new();
    if let Some(mac) = want.mac.filter(|m| now.is_none_or(|n| n.mac != Some(*m))) {
        set += &format!(" address {mac}");
    }
    if let Some(mtu) = want.mtu.filter(|m| now.is_none_or(|n| n.mtu != Some(*m))) {
        set += &format!(" mtu {mtu}");
    }
    if let Some(over) = want.over.as_ref().filter(|o| now.is_none_or(|n| n.over.as_ref() != Some(*o))) {
        set += &format!(" alias {over}");
    }
    if want.bridge.is_some() && now.is_none_or(|n| n.bridge.is_none()) {
        set += &format!(" master {BRIDGE}");
    }
    if !set.is_empty() {
        lines.push(act(format!("link set dev {name}{set}")));
    }
    // One that is new has been made so.
    if let (Some((id, from)), Some(now)) = (want.sends, now)
        && now.sends != want.sends
    {
        lines.push(act(format!("link set dev {name} type vxlan id {id} local {from}")));
    }
    if let Some(port) = want.bridge.filter(|p| now.is_none_or(|n| n.bridge != Some(*p))) {
        let onoff = |on| if on { "on" } else { "off" };
        let mut text = format!(
            "link set dev {name} type bridge_slave learning {} flood {}",
            onoff(port.learning),
            onoff(port.flood)
        );
        if port.tunnel {
            text += " mcast_flood off bcast_flood off neigh_suppress on";
        }
        lines.push(act(text));
    }
    if want.up != now.is_some_and(|n| n.up) {
        lines.push(act(format!("link set dev {name} {}", if want.up { "up" } else { "down" })));
    }
    lines
}

fn parse<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

/// `None` for devices that the kernel puts into every namespace by itself.
fn link_of(v: &Value) -> Option<Link> {
    const OF_THE_KERNEL: [&str; 10] =
        ["sit", "ipip", "ip6tnl", "gre", "gretap", "erspan", "ip6gre", "ip6gretap", "vti", "vti6"];
    let name = v["ifname"].as_str()?;
    let kind = match v["linkinfo"]["info_kind"].as_str() {
        _ if name == "lo" => Kind::Loopback,
        Some(kind) if OF_THE_KERNEL.contains(&kind) => return None,
        // Whatever has none of our names was lent to us, even if it is virtual.
        _ if !is_ours(name) => Kind::Nic,
        Some("bridge") => Kind::Bridge,
        Some("tun") => Kind::Tap,
        Some("ifb") => Kind::Ifb,
        Some("vxlan") => Kind::Vxlan,
        Some("vlan") => Kind::Vlan,
        _ => Kind::Veth,
    };
    let port = &v["linkinfo"]["info_slave_data"];
    let bridge = v["master"].is_string().then(|| BridgePort {
        learning: port["learning"] == true,
        flood: port["flood"] == true,
        tunnel: port["neigh_suppress"] == true,
    });
    let up = v["flags"].as_array().is_some_and(|f| f.iter().any(|f| f == "UP"));
    let mtu = v["mtu"].as_u64().and_then(|m| u32::try_from(m).ok());
    let over = v["ifalias"].as_str().filter(|_| kind == Kind::Vlan).map(str::to_owned);
    let tunnel = &v["linkinfo"]["info_data"];
    let from = || parse(&tunnel["local"]).or_else(|| parse(&tunnel["local6"]));
    let sends = tunnel["id"].as_u64().filter(|_| kind == Kind::Vxlan).and_then(|id| {
        let from = from().filter(|from: &IpAddr| !from.is_unspecified())?;
        Some((u32::try_from(id).ok()?, from))
    });
    Some(Link { kind, mac: v["address"].as_str().and_then(Mac::parse), mtu, up, bridge, over, sends })
}

/// Whether a device inside one of our namespaces has a name that we give (see `base::names`).
fn is_ours(name: &str) -> bool {
    let short = |rest: &str| rest.len() == 10 && rest.bytes().all(|b| b.is_ascii_hexdigit());
    [BRIDGE, TUNNEL, TUNNEL_V6, UPLINK, VLAN].contains(&name)
        || name.strip_prefix(['t', 'l', 'r', 'i']).is_some_and(short)
}

/// Addresses that the kernel gives by itself do not count.
fn address_of(v: &Value) -> Option<IpNet> {
    let address: IpAddr = parse(&v["local"])?;
    let own = match address {
        IpAddr::V6(a) => a.segments()[0] & 0xffc0 == 0xfe80 && a != METADATA_V6,
        IpAddr::V4(_) => false,
    };
    let length = u8::try_from(v["prefixlen"].as_u64()?).ok()?;
    if own || address.is_loopback() { None } else { IpNet::new(address, length).ok() }
}

fn route_of(v: &Value, v4: bool) -> Option<Route> {
    let to = match v["dst"].as_str()? {
        "default" => if v4 { "0.0.0.0/0" } else { "::/0" }.parse().ok()?,
        text => text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?,
    };
    let dev = v["dev"].as_str()?.to_owned();
    Some(Route { to, via: parse(&v["gateway"]), dev, source: parse(&v["prefsrc"]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(up: bool) -> Link {
        let bridge = Some(BridgePort { learning: false, flood: false, tunnel: false });
        Link { kind: Kind::Tap, mac: None, mtu: Some(1450), up, bridge, over: None, sends: None }
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|l| l.text.as_str()).collect()
    }

    #[test]
    fn equal_states_need_nothing() {
        let space = Space { links: [("t1".into(), tap(true))].into(), ..Space::fresh() };
        assert_eq!(space.changes(&space, "1"), Changes::default());
    }

    #[test]
    fn a_new_port_is_a_few_lines_and_leaves_with_its_device() {
        let mac = Mac::parse("fa:16:3e:00:00:01").unwrap();
        let ip: IpAddr = "10.0.0.5".parse().unwrap();
        let mut want = Space { links: [("t1".into(), tap(true))].into(), ..Space::default() };
        want.forwarding.insert(("t1".into(), mac), None);
        want.neighbours.insert((BRIDGE.into(), ip), mac);
        let changes = Space::default().changes(&want, "1");
        assert_eq!(texts(&changes.devices), ["tuntap add dev t1 mode tap vnet_hdr"]);
        assert_eq!(
            texts(&changes.set),
            [
                "link set dev t1 mtu 1450 master br0",
                "link set dev t1 type bridge_slave learning off flood off",
                "link set dev t1 up",
                "neigh replace 10.0.0.5 lladdr fa:16:3e:00:00:01 dev br0 nud permanent",
            ]
        );
        assert_eq!(texts(&changes.forwarding), ["fdb replace fa:16:3e:00:00:01 dev t1 master sticky static"]);
        let back = want.changes(&Space::default(), "1");
        assert_eq!(texts(&back.devices), ["link del dev t1"]);
        assert!(back.forwarding.is_empty());
    }

    #[test]
    fn macs_read_and_print() {
        assert_eq!(Mac::parse("FA:16:3e:00:00:01").unwrap().to_string(), "fa:16:3e:00:00:01");
        assert_eq!(Mac::parse("02:00:0a:00:00:0b").unwrap().link_local().to_string(), "fe80::aff:fe00:b");
        for bad in ["", "fa:16:3e:00:00", "fa:16:3e:00:00:01:02", "fa:16:3e:00:00:+1", "fa-16-3e-00-00-01"] {
            assert_eq!(Mac::parse(bad), None, "{bad}");
        }
    }
}
