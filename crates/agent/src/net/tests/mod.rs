//! The datapath in a real kernel: real taps, real packets.

mod frames;
mod hosts;
mod routes;
mod throughput;
mod traffic;
mod underlay;
mod vlans;
mod world;

use super::dhcp6;
use super::kernel::{Kernel, Tool, act, inside};
use super::sample::{document, guest, network, port, subnet};
use super::space::{self, Kind, Mac, Space};
use base::doc::*;
use base::{HostId, NetworkId, RouterId, SecurityGroupId};
use ipnet::IpNet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, TcpStream, UdpSocket};
use uuid::Uuid;
use world::{Client, HOST_PORT, PATIENCE, World, receive, reserve, waiting, world};

fn one_network() -> (Network, Desired) {
    let ports = vec![port(1, &[(1, "10.0.0.5")]), port(2, &[(1, "10.0.0.6")])];
    let net = network(1, vec![subnet(1, "10.0.0.0/24", Some("10.0.0.1"))], ports);
    let guests = net.ports.iter().map(|p| guest(p, &net)).collect();
    (net.clone(), document(vec![net], guests))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_gets_its_address_its_name_and_its_metadata() {
    let Some(mut world) = world().await else { return };
    let (net, doc) = one_network();
    let report = world.apply(&doc).await;
    assert_eq!(report.ports_up.len(), 2);
    let a = world.client(&net, &net.ports[0]);
    let told = a.dhcp();
    for line in ["ip='10.0.0.5'", "mask='24'", "hostname='vm1'", "mtu='1450'", "lease='86400'"] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert!(told.contains("serverid='169.254.169.254'") && !told.contains("dns="), "{told}");
    assert!(told.contains("staticroutes='169.254.169.254/32 0.0.0.0 0.0.0.0/0 10.0.0.1'"), "{told}");
    let doc = a.get("/openstack/latest/meta_data.json").unwrap();
    assert!(doc.contains("\"name\":\"vm1\""), "{doc}");
    assert_eq!(a.get("/latest/meta-data/local-ipv4").as_deref(), Some("10.0.0.5"));
    assert_eq!(a.get("/latest/meta-data/none"), None);
    // One guest cannot take all connections: the service hangs up on the seventeenth.
    let dial = || inside(&a.ns, || TcpStream::connect("169.254.169.254:80")).unwrap().unwrap();
    let _held: Vec<_> = (0..16).map(|_| dial()).collect();
    assert!(!matches!(dial().read(&mut [0; 1]), Ok(1..)));
    assert!(a.get("/openstack").is_none());
}

const OPEN_V4: SecurityRule = SecurityRule {
    direction: Direction::Ingress,
    ip_version: 4,
    protocol: None,
    min: None,
    max: None,
    remote: Remote::Any,
};

fn group(n: u128, rules: Vec<SecurityRule>, members: &[&str]) -> SecurityGroup {
    let id = SecurityGroupId(Uuid::from_u128(n << 96));
    let members = members.iter().map(|m| m.parse().unwrap()).collect();
    SecurityGroup { id, stateful: true, rules, members }
}

/// The default group: everything out, everything in from its members.
fn default_group(members: &[&str]) -> SecurityGroup {
    let out = SecurityRule { direction: Direction::Egress, ..OPEN_V4 };
    let out6 = SecurityRule { ip_version: 6, ..out.clone() };
    let mut group = group(9, vec![out, out6], members);
    for ip_version in [4, 6] {
        group.rules.push(SecurityRule { ip_version, remote: Remote::Group(group.id), ..OPEN_V4 });
    }
    group
}

fn join(doc: &mut Desired, group: SecurityGroup) {
    doc.networks.iter_mut().flat_map(|n| &mut n.ports).for_each(|p| p.groups = vec![group.id]);
    doc.groups = vec![group];
}

#[tokio::test(flavor = "multi_thread")]
async fn security_groups_open_close_and_end_connections() {
    let Some(mut world) = world().await else { return };
    let (net, mut doc) = one_network();
    let udp = SecurityRule { protocol: Some(17), min: Some(5000), max: Some(5001), ..OPEN_V4 };
    join(&mut doc, default_group(&[]));
    doc.groups[0].rules.push(udp);
    world.apply(&doc).await;
    let (a, b) = (world.client(&net, &net.ports[0]), world.client(&net, &net.ports[1]));
    a.dhcp();
    b.dhcp();
    let from = a.udp("10.0.0.5:4000");
    let (open, other, closed) = (b.udp("10.0.0.6:5000"), b.udp("10.0.0.6:5001"), b.udp("10.0.0.6:5002"));
    // Each path keeps the order of its packets: once the last has come, the first was dropped.
    from.send_to(b"1", "10.0.0.6:5002").unwrap();
    from.send_to(b"2", "10.0.0.6:5000").unwrap();
    assert_eq!(receive(&open), Some(("2".into(), "10.0.0.5".parse().unwrap())));
    assert_eq!(waiting(&closed), None);
    // A reply needs no rule of its own; what nobody asked for does.
    let unasked = a.udp("10.0.0.5:4001");
    closed.send_to(b"3", "10.0.0.5:4001").unwrap();
    open.send_to(b"4", "10.0.0.5:4000").unwrap();
    assert_eq!(receive(&from).map(|r| r.0), Some("4".into()));
    assert_eq!(waiting(&unasked), None);
    // The rule goes: the connection that it allowed ends, in both directions.
    if let Some(rule) = doc.groups[0].rules.last_mut() {
        rule.min = Some(5001);
    }
    world.apply(&doc).await;
    from.send_to(b"5", "10.0.0.6:5000").unwrap();
    from.send_to(b"6", "10.0.0.6:5001").unwrap();
    assert_eq!(receive(&other).map(|r| r.0), Some("6".into()));
    assert_eq!(waiting(&open), None);
    open.send_to(b"7", "10.0.0.5:4000").unwrap();
    other.send_to(b"8", "10.0.0.5:4000").unwrap();
    assert_eq!(receive(&from).map(|r| r.0), Some("8".into()));
    // Membership opens everything between members, by an update of a set.
    doc.groups[0].members = vec!["10.0.0.5".parse().unwrap(), "10.0.0.6".parse().unwrap()];
    let before = world.starts();
    world.apply(&doc).await;
    assert_eq!(world.starts(), before + 1);
    from.send_to(b"9", "10.0.0.6:5002").unwrap();
    assert_eq!(receive(&closed).map(|r| r.0), Some("9".into()));
    assert!(a.pings("10.0.0.6"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stateless_groups_need_a_rule_for_each_direction() {
    let Some(mut world) = world().await else { return };
    let (net, mut doc) = one_network();
    let udp = SecurityRule { protocol: Some(17), min: Some(5000), max: Some(5000), ..OPEN_V4 };
    let out = SecurityRule { direction: Direction::Egress, protocol: Some(17), ..OPEN_V4 };
    join(&mut doc, SecurityGroup { stateful: false, ..group(3, vec![udp, out], &[]) });
    world.apply(&doc).await;
    let (a, b) = (world.client(&net, &net.ports[0]), world.client(&net, &net.ports[1]));
    a.dhcp();
    b.dhcp();
    let (from, high, to) = (a.udp("10.0.0.5:5000"), a.udp("10.0.0.5:4000"), b.udp("10.0.0.6:5000"));
    high.send_to(b"1", "10.0.0.6:5000").unwrap();
    assert_eq!(receive(&to).map(|r| r.0), Some("1".into()));
    to.send_to(b"2", "10.0.0.5:4000").unwrap();
    to.send_to(b"3", "10.0.0.5:5000").unwrap();
    assert_eq!(receive(&from).map(|r| r.0), Some("3".into()));
    assert_eq!(waiting(&high), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_cannot_speak_for_another() {
    let Some(mut world) = world().await else { return };
    let (net, mut doc) = one_network();
    let mut open = default_group(&[]);
    open.rules.push(OPEN_V4);
    join(&mut doc, open);
    world.apply(&doc).await;
    let (a, b) = (world.client(&net, &net.ports[0]), world.client(&net, &net.ports[1]));
    a.dhcp();
    b.dhcp();
    a.ip(&["addr add 10.0.0.77/24 dev eth0"]);
    let (own, other, to) = (a.udp("10.0.0.5:4000"), a.udp("10.0.0.77:4000"), b.udp("10.0.0.6:5000"));
    other.send_to(b"spoofed", "10.0.0.6:5000").unwrap();
    own.send_to(b"own", "10.0.0.6:5000").unwrap();
    assert_eq!(receive(&to).map(|r| r.0), Some("own".into()));
    // An allowed pair makes it legal; so does a port without security.
    let pair = AddressPair { address: "10.0.0.64/28".parse().unwrap(), mac: None };
    doc.networks[0].ports[0].allowed_pairs = vec![pair];
    world.apply(&doc).await;
    other.send_to(b"allowed", "10.0.0.6:5000").unwrap();
    assert_eq!(receive(&to), Some(("allowed".into(), "10.0.0.77".parse().unwrap())));
    let any = |net: &str| AddressPair { address: net.parse().unwrap(), mac: None };
    let far = AddressPair { mac: Some("00:00:5e:00:01:07".into()), ..any("10.0.0.200/32") };
    doc.networks[0].ports[0].allowed_pairs = vec![any("0.0.0.0/0"), any("::/0"), any("fd00::/61"), far];
    world.apply(&doc).await;
    other.send_to(b"any", "10.0.0.6:5000").unwrap();
    assert_eq!(receive(&to).map(|r| r.0), Some("any".into()));
    doc.networks[0].ports[0].allowed_pairs.clear();
    doc.networks[0].ports[0].security = false;
    world.apply(&doc).await;
    other.send_to(b"free", "10.0.0.6:5000").unwrap();
    assert_eq!(receive(&to).map(|r| r.0), Some("free".into()));
    // Even then the answer to a stolen address goes to its owner, so its metadata stays private.
    a.ip(&["addr add 10.0.0.6/24 dev eth0", "addr del 10.0.0.5/24 dev eth0"]);
    let steal = || {
        let there = "169.254.169.254:80".parse().unwrap();
        inside(&a.ns, || TcpStream::connect_timeout(&there, PATIENCE / 10)).unwrap()
    };
    assert!(steal().is_err());
    // So it does with the owner's MAC beside it, and the owner loses nothing.
    a.ip(&["link set eth0 address fa:16:3e:00:00:02"]);
    assert!(steal().is_err());
    assert_eq!(b.get("/latest/meta-data/hostname").as_deref(), Some("vm2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_again_starts_nothing_and_an_empty_document_leaves_nothing() {
    let Some(mut world) = world().await else { return };
    let (net, mut doc) = one_network();
    world.apply(&doc).await;
    let before = world.starts();
    assert_eq!(world.apply(&doc).await.ports_up.len(), 2);
    assert_eq!(world.starts(), before);
    // One more port is a handful.
    doc.networks[0].ports.push(port(3, &[(1, "10.0.0.7")]));
    assert_eq!(world.apply(&doc).await.ports_up.len(), 3);
    assert_eq!(world.starts(), before + 4);
    assert!(world.path.open_tap(net.id, doc.networks[0].ports[2].id).is_ok());
    // After a restart everything is looked at: what should be stays, what should not goes. So does a forwarding
    // entry of an older release, which the next frame might move.
    let (ns, tap) = (world.network_ns(net.id), world.prefix.tap(net.ports[0].id));
    let line = act(format!("fdb replace {} dev {tap} master static", net.ports[0].mac));
    Kernel::default().batch(Tool::Bridge, Some(&ns), &[line]).unwrap();
    let kept = (tap, Mac::parse(&net.ports[0].mac).unwrap());
    let keeps =
        || Space::look(&Kernel::default(), Some(&ns), |_| true).unwrap().forwarding.contains_key(&kept);
    assert!(!keeps());
    world.restart().await;
    let extra = doc.networks[0].ports.pop().unwrap();
    assert_eq!(world.apply(&doc).await.ports_up.len(), 2);
    assert!(world.path.open_tap(net.id, extra.id).is_err() && keeps());
    // Something is lost behind our back: the namespace itself.
    let lost = format!("netns del {}", world.network_ns(net.id));
    Kernel::default().batch(Tool::Names, None, &[act(lost)]).unwrap();
    assert_eq!(world.apply(&doc).await.ports_up.len(), 2);
    world.apply(&document(vec![], vec![])).await;
    assert_eq!(world.traces(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_is_named_and_the_rest_goes_on() {
    let Some(world) = world().await else { return };
    let (_, mut doc) = one_network();
    doc.networks[0].ports[0].mac = "nonsense".into();
    let mut other = network(2, vec![], vec![]);
    other.uplink = Some(Uplink::Nic { device: "nosuchdevice".into() });
    doc.networks.push(other.clone());
    let report = world.path.apply(&doc).await;
    assert_eq!(report.ports_up, [doc.networks[0].ports[1].id]);
    let named: Vec<_> = report.problems.iter().map(|p| (p.kind.as_str(), p.id.clone())).collect();
    let port = doc.networks[0].ports[0].id.to_string();
    assert_eq!(named, [("port", port), ("network", other.id.to_string())], "{:?}", report.problems);
}

/// A range for an external network that no other test (of any run) uses on this host at the time:
/// they share its namespace.
fn outside() -> impl Fn(u8) -> IpAddr + Copy {
    let range = reserve(|[a, b, ..]| format!("198.{}.{b}", 18 | a & 1));
    let octets: Vec<u8> = range.split('.').map(|o| o.parse().unwrap()).collect();
    let [a, b, c] = octets.try_into().unwrap();
    move |last| [a, b, c, last].into()
}

/// Two tenant networks behind one router, with a way out to the host.
fn routed(at: impl Fn(u8) -> IpAddr) -> Desired {
    let ports = vec![port(1, &[(1, "10.0.0.5")]), port(2, &[(1, "10.0.0.6")])];
    let one = network(1, vec![subnet(1, "10.0.0.0/24", Some("10.0.0.1"))], ports);
    let two = vec![port(3, &[(2, "10.0.1.5")])];
    let two = network(2, vec![subnet(2, "10.0.1.0/24", Some("10.0.1.1"))], two);
    let mut three = subnet(3, &format!("{}/24", at(0)), Some(&at(1).to_string()));
    three.dhcp = false;
    let mut three = network(3, vec![three], vec![]);
    three.uplink = Some(Uplink::HostNat { addresses: vec![IpNet::new(at(1), 24).unwrap()] });
    let leg = |n: u8, network: u128, address: &str| RouterLeg {
        port: port(n, &[]).id,
        network: NetworkId(Uuid::from_u128(network)),
        mac: port(n, &[]).mac,
        addresses: vec![address.parse().unwrap()],
    };
    let gateway = Gateway {
        port: port(103, &[]).id,
        network: three.id,
        mac: port(103, &[]).mac,
        addresses: vec![IpNet::new(at(10), 24).unwrap()],
        nexthops: vec![at(1)],
        snat: true,
        floating: vec![
            Floating { floating: at(50), fixed: "10.0.0.5".parse().unwrap() },
            Floating { floating: at(51), fixed: "10.0.1.5".parse().unwrap() },
        ],
        forwards: vec![],
        limits: vec![],
    };
    let legs = vec![leg(101, 1, "10.0.0.1/24"), leg(102, 2, "10.0.1.1/24")];
    let id = RouterId(Uuid::from_u128(77));
    let router = Router { id, admin_up: true, legs, gateway: Some(gateway), routes: vec![] };
    let guests = [&one, &two].into_iter().flat_map(|n| n.ports.iter().map(|p| guest(p, n))).collect();
    let mut doc = document(vec![one, two, three], guests);
    doc.routers = vec![router];
    let mut open = default_group(&[]);
    open.rules.push(OPEN_V4);
    join(&mut doc, open);
    doc
}

/// Two guests on the first network and one on the second, with their addresses.
fn three(world: &mut World, doc: &Desired) -> [Client; 3] {
    let [one, two] = [0, 1].map(|n| doc.networks[n].clone());
    let ports = [(&one, &one.ports[0]), (&one, &one.ports[1]), (&two, &two.ports[0])];
    ports.map(|(network, port)| {
        let client = world.client(network, port);
        client.dhcp();
        client
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_route_translate_and_carry_floating_addresses() {
    let Some(mut world) = world().await else { return };
    let at = outside();
    let mut doc = routed(at);
    world.apply(&doc).await;
    let [a, b, c] = three(&mut world, &doc);
    assert!(a.pings("10.0.0.1"), "the gateway answers");
    assert!(b.pings("10.0.1.5"), "between networks");
    // Out through the gateway: with the floating address, or else the router's.
    let host = UdpSocket::bind((at(1), HOST_PORT)).unwrap();
    host.set_read_timeout(Some(PATIENCE)).unwrap();
    let (from_a, from_b) = (a.udp("10.0.0.5:4000"), b.udp("10.0.0.6:4000"));
    from_b.send_to(b"b", host.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&host), Some(("b".into(), at(10))));
    from_a.send_to(b"a", host.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&host), Some(("a".into(), at(50))));
    // In to a floating address, from the host and from behind the same router.
    host.send_to(b"in", (at(50), 4000)).unwrap();
    assert_eq!(receive(&from_a), Some(("in".into(), at(1))));
    from_b.send_to(b"hairpin", (at(50), 4000)).unwrap();
    assert_eq!(receive(&from_a), Some(("hairpin".into(), at(10))));
    from_a.send_to(b"back", (at(10), 4000)).unwrap();
    assert_eq!(receive(&from_b), Some(("back".into(), at(50))));
    assert!(c.pings(&at(50).to_string()), "floating to floating");
    // A floating address moves to another guest; the old owner is no longer reached.
    let before = world.starts();
    doc.routers[0].gateway.as_mut().unwrap().floating[0].fixed = "10.0.0.6".parse().unwrap();
    world.apply(&doc).await;
    // One rule set, and the connections of one address at both ends.
    assert_eq!(world.starts(), before + 3);
    host.send_to(b"moved", (at(50), 4000)).unwrap();
    assert_eq!(receive(&from_b).map(|r| r.0), Some("moved".into()));
    assert_eq!(waiting(&from_a), None);
    // It is taken away: what is connected through it is cut off, in both directions.
    let through = b.udp("10.0.0.6:4002");
    through.send_to(b"still", host.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&host).map(|r| r.1), Some(at(50)));
    doc.routers[0].gateway.as_mut().unwrap().floating.remove(0);
    world.apply(&doc).await;
    through.send_to(b"bare", host.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&host).map(|r| r.1), Some(at(10)));
    // A guest that does not know the route on the link asks its gateway.
    c.ip(&["route del 169.254.169.254/32"]);
    assert_eq!(c.get("/latest/meta-data/local-ipv4").as_deref(), Some("10.0.1.5"));
    // A router that is switched off forwards nothing and keeps no address.
    doc.routers[0].admin_up = false;
    world.apply(&doc).await;
    assert!(!b.run("busybox", &["ping", "-c", "1", "-W", "1", "10.0.1.5"]).status.success());
    doc.routers[0].admin_up = true;
    world.apply(&doc).await;
    assert!(b.pings("10.0.1.5"));
    world.restart().await;
    world.apply(&doc).await;
    assert!(b.pings("10.0.1.5") && c.pings(&at(1).to_string()));
    // The outside network's namespace is lost, and with it one end of two pairs of devices.
    let lost = format!("netns del {}", world.network_ns(doc.networks[2].id));
    Kernel::default().batch(Tool::Names, None, &[act(lost)]).unwrap();
    world.apply(&doc).await;
    assert!(c.pings(&at(1).to_string()));
    world.apply(&document(vec![], vec![])).await;
    assert_eq!(world.traces(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_subnets_of_one_network_route_through_their_router() {
    let Some(mut world) = world().await else { return };
    let mut doc = routed(outside());
    let two = doc.networks.remove(1);
    doc.networks[0].subnets.extend(two.subnets);
    doc.networks[0].ports.extend(two.ports);
    doc.routers[0].legs[1].network = doc.networks[0].id;
    doc.groups = vec![default_group(&["10.0.0.5", "10.0.1.5"])];
    for guest in &mut doc.guests {
        guest.nics[0].network = doc.networks[0].id;
    }
    world.apply(&doc).await;
    let one = doc.networks[0].clone();
    let (a, c) = (world.client(&one, &one.ports[0]), world.client(&one, &one.ports[2]));
    a.dhcp();
    assert!(c.dhcp().contains("ip='10.0.1.5'"));
    assert_eq!(c.get("/latest/meta-data/local-ipv4").as_deref(), Some("10.0.1.5"));
    assert!(a.pings("10.0.1.5"));
    // A gateway that comes back with another MAC tells its guests.
    doc.routers[0].legs[0].mac = "fa:16:3e:00:01:99".into();
    world.apply(&doc).await;
    assert!(a.knows("10.0.0.1", "fa:16:3e:00:01:99"));
}

/// A network with an IPv6 subnet next to its IPv4 one; `n` tells networks apart.
fn with_v6(n: u8, mode: Ipv6Mode, ports: &[u8]) -> Network {
    let (v4, v6) = (u128::from(n), 0x60 + u128::from(n));
    let mut six = subnet(v6, &format!("fd00:{n}::/64"), Some(&format!("fd00:{n}::1")));
    six.ipv6 = Some(mode);
    let four = subnet(v4, &format!("10.0.{n}.0/24"), Some(&format!("10.0.{n}.1")));
    let ports = ports.iter().map(|p| {
        let six = Ipv6Addr::from([0xfd00, u16::from(n), 0, 0, 0xf816, 0x3eff, 0xfe00, u16::from(*p)]);
        port(*p, &[(v4, &format!("10.0.{n}.{p}")), (v6, &six.to_string())])
    });
    network(u128::from(n), vec![four, six], ports.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_make_their_ipv6_addresses_and_reach_another_network() {
    let Some(mut world) = world().await else { return };
    let (one, two) = (with_v6(1, Ipv6Mode::Slaac, &[1, 2]), with_v6(2, Ipv6Mode::Slaac, &[3]));
    let mut doc = document(vec![one.clone(), two.clone()], vec![]);
    let leg = |n: u8| RouterLeg {
        port: port(100 + n, &[]).id,
        network: NetworkId(Uuid::from_u128(n.into())),
        mac: port(100 + n, &[]).mac,
        addresses: vec![
            format!("10.0.{n}.1/24").parse().unwrap(),
            format!("fd00:{n}::1/64").parse().unwrap(),
        ],
    };
    let id = RouterId(Uuid::from_u128(78));
    doc.routers =
        vec![Router { id, admin_up: true, legs: vec![leg(1), leg(2)], gateway: None, routes: vec![] }];
    let six = SecurityRule { ip_version: 6, protocol: Some(1), min: Some(128), max: Some(0), ..OPEN_V4 };
    let mut group = default_group(&[]);
    group.rules.push(six);
    join(&mut doc, group);
    world.apply(&doc).await;
    let a = world.client(&one, &one.ports[0]);
    let b = world.client(&one, &one.ports[1]);
    let c = world.client(&two, &two.ports[0]);
    for client in [&a, &b, &c] {
        client.soliciting();
    }
    let own = "fd00:1::f816:3eff:fe00:1";
    assert!(a.has_address(own));
    assert!(b.has_address("fd00:1::f816:3eff:fe00:2") && c.has_address("fd00:2::f816:3eff:fe00:3"));
    assert!(a.pings("fd00:1::f816:3eff:fe00:2"), "on the link");
    assert!(a.pings("fd00:2::f816:3eff:fe00:3"), "through the router");
    // An address that is not the port's own does not get out, nor do claims to have one.
    a.ip(&["addr add fd00:1::bad/64 dev eth0 nodad"]);
    let (bad, good) = (a.udp("[fd00:1::bad]:4000"), a.udp(&format!("[{own}]:4000")));
    let to = b.udp("[fd00:1::f816:3eff:fe00:2]:5000");
    doc.groups[0].rules.push(SecurityRule { ip_version: 6, ..OPEN_V4 });
    world.apply(&doc).await;
    bad.send_to(b"bad", to.local_addr().unwrap()).unwrap();
    good.send_to(b"good", to.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&to).map(|r| r.0), Some("good".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_asks_for_its_ipv6_address() {
    let Some(mut world) = world().await else { return };
    let net = with_v6(1, Ipv6Mode::DhcpStateful, &[1]);
    let mut doc = document(vec![net.clone()], vec![guest(&net.ports[0], &net)]);
    join(&mut doc, default_group(&[]));
    world.apply(&doc).await;
    let a = world.client(&net, &net.ports[0]);
    let own = "fe80::f816:3eff:fe00:1";
    assert!(a.has_address(own));
    let socket = a.udp(&format!("[{own}%{}]:546", a.index()));
    let solicit = dhcp6::tests::ask(dhcproto::v6::MessageType::Solicit, &[], &[]);
    socket.send_to(&solicit, format!("[ff02::1:2%{}]:547", a.index())).unwrap();
    let mut bytes = [0; 1500];
    let (length, from) = socket.recv_from(&mut bytes).unwrap();
    assert_eq!(from.ip(), IpAddr::V6(space::METADATA_V6));
    let given = dhcp6::tests::given(&bytes[..length]);
    assert_eq!(given, ["fd00:1::f816:3eff:fe00:1".parse::<Ipv6Addr>().unwrap()]);
    // Metadata is there without IPv4, too.
    let metadata = format!("[{}%{}]:80", space::METADATA_V6, a.index());
    let mut stream = inside(&a.ns, || TcpStream::connect(metadata)).unwrap().unwrap();
    stream.write_all(b"GET /latest/meta-data/hostname HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.0 200") && text.ends_with("vm1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nic_of_the_host_comes_home_and_tunnels_appear_when_needed() {
    let Some(mut world) = world().await else { return };
    let (_, mut doc) = one_network();
    let (nic, far) = (format!("{}n0", world.prefix), format!("{}n1", world.prefix));
    let line = act(format!("link add {nic} type veth peer name {far}"));
    Kernel::default().batch(Tool::Ip, None, &[line]).unwrap();
    doc.networks[0].uplink = Some(Uplink::Nic { device: nic.clone() });
    let mut remote = port(9, &[(1, "10.0.0.9")]);
    remote.host = None;
    remote.tunnel = Some("192.0.2.9".parse().unwrap());
    doc.networks[0].ports.push(remote);
    // Only one tunnel per identifier and kernel: a random one keeps tests apart.
    doc.networks[0].vni =
        u32::from_be_bytes([0, 1, Uuid::new_v4().as_bytes()[0], Uuid::new_v4().as_bytes()[1]]);
    world.apply(&doc).await;
    let ns = world.network_ns(doc.networks[0].id);
    let found = Space::look(&Kernel::default(), Some(&ns), |_| true).unwrap();
    assert_eq!(found.links[&nic].kind, Kind::Nic);
    assert!(found.links["vx0"].bridge.is_some_and(|b| b.tunnel && !b.flood && !b.learning));
    let mac = Mac::parse("fa:16:3e:00:00:09").unwrap();
    assert_eq!(found.forwarding[&("vx0".into(), mac)], Some("192.0.2.9".parse().unwrap()));
    assert_eq!(found.neighbours[&("br0".into(), "10.0.0.9".parse().unwrap())], mac);
    world.restart().await;
    let before = world.starts();
    world.apply(&doc).await;
    // Seven looks, one rule set, and one look at the host: what was found needed no change.
    assert!(world.starts() - before <= 14, "{}", world.starts() - before);
    world.apply(&document(vec![], vec![])).await;
    let mut left = world.traces();
    left.sort();
    assert_eq!(left, [nic.clone(), far]);
    Kernel::default().batch(Tool::Ip, None, &[act(format!("link del {nic}"))]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_rule_loads() {
    let Some(world) = world().await else { return };
    let (_, mut doc) = one_network();
    let mut rules = Vec::new();
    let peer = SecurityGroupId(Uuid::from_u128(4 << 96));
    let nets = ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.1/32", "::/0", "2001:db8::/32", "2001:db8::1/128"];
    let nets = nets.map(|n| Remote::Prefix(n.parse().unwrap()));
    let remotes: Vec<_> = nets.into_iter().chain([Remote::Any, Remote::Group(peer)]).collect();
    for direction in [Direction::Ingress, Direction::Egress] {
        for ip_version in [4, 6] {
            for protocol in
                [None, Some(0), Some(1), Some(6), Some(17), Some(47), Some(58), Some(132), Some(255)]
            {
                for (min, max) in [(None, None), (Some(8), None), (Some(0), Some(0)), (Some(1), Some(65535))]
                {
                    for remote in remotes.clone() {
                        rules.push(SecurityRule { direction, ip_version, protocol, min, max, remote });
                    }
                }
            }
        }
    }
    let members = ["10.0.0.1", "fd00::1"];
    doc.groups = vec![
        group(1, rules.clone(), &[]),
        SecurityGroup { stateful: false, ..group(2, rules, &[]) },
        group(4, vec![], &members),
    ];
    let groups: Vec<_> = doc.groups.iter().map(|g| g.id).collect();
    doc.networks[0].ports[0].groups = groups;
    assert_eq!(world.apply(&doc).await.ports_up.len(), 2);
}
