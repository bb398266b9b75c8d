//! Several hosts: namespaces with underlay addresses, each with a datapath of its own.

use super::world::{Client, Homes, World, world_at};
use super::*;
use crate::net::kernel::counters;

/// Hosts with their worlds, and where they are reached.
pub struct Room {
    // Worlds are dropped before the namespaces that stand for their hosts.
    pub worlds: Vec<World>,
    pub ids: Vec<HostId>,
    pub tunnels: Vec<IpAddr>,
    pub homes: Homes,
}

impl Room {
    pub async fn new(count: usize, v6: bool) -> Option<Room> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let homes = Homes::of(count);
        let ids: Vec<_> = (0..count).map(|n| HostId(Uuid::from_u128(0xf00 + n as u128))).collect();
        let mut worlds = Vec::new();
        for (id, home) in ids.iter().zip(&homes.0) {
            worlds.push(world_at(*id, home).await?);
        }
        let net = if v6 { "2001:db8::" } else { "192.0.2." };
        let tunnels = (1..=count).map(|n| format!("{net}{n}").parse().unwrap()).collect();
        Some(Room { worlds, ids, tunnels, homes })
    }

    /// Tells every host the document as it is for that host: the others' ports lie behind tunnels; the
    /// gateway is at `home`, and all others send there.
    pub async fn apply(&self, doc: &Desired, home: usize) {
        for (host, world) in self.worlds.iter().enumerate() {
            let plugged = world.apply(&self.document(doc, host, home)).await.ports_up;
            let own = doc.networks.iter().flat_map(|n| &n.ports).filter(|p| p.host == Some(self.ids[host]));
            assert_eq!(plugged.len(), own.count());
        }
    }

    fn document(&self, doc: &Desired, host: usize, home: usize) -> Desired {
        let mut doc = Desired { host: self.ids[host], ..doc.clone() };
        for port in doc.networks.iter_mut().flat_map(|n| &mut n.ports) {
            let at = self.ids.iter().position(|id| port.host == Some(*id));
            port.tunnel = at.filter(|at| *at != host).map(|at| self.tunnels[at]);
        }
        for n in &mut doc.networks {
            n.peers = (0..self.ids.len()).filter(|other| *other != host).map(|o| self.tunnels[o]).collect();
        }
        for n in 0..doc.routers.len() {
            self.transit(&mut doc, n, host, home);
        }
        doc
    }

    /// What the region adds for a router whose home is one of several hosts.
    fn transit(&self, doc: &mut Desired, router: usize, host: usize, home: usize) {
        let Some(gateway) = doc.routers[router].gateway.clone() else { return };
        let id = NetworkId(Uuid::from_u128(0x7700 + router as u128));
        let mac =
            |of: usize| if of == home { "0a:00:00:00:00:01".into() } else { format!("06:00:00:00:00:0{of}") };
        let mut hidden = network(0x7700 + router as u128, vec![], vec![]);
        for other in (0..self.ids.len()).filter(|o| *o != host && (host == home || *o == home)) {
            let mut far = port(200 + other as u8, &[]);
            (far.mac, far.owner, far.tunnel) = (mac(other), PortOwner::Other, Some(self.tunnels[other]));
            (far.security, far.host) = (false, Some(self.ids[other]));
            if other == home {
                far.addresses = [TRANSIT_HOME_V4, TRANSIT_HOME_V6]
                    .map(|address| PortAddress { subnet: base::SubnetId::nil(), address })
                    .into();
            }
            hidden.ports.push(far);
        }
        let last = if host == home { 1 } else { 2 };
        let addresses = [format!("169.254.0.{last}/30"), format!("fd68:616e:6f6b::{last}/126")];
        let router = &mut doc.routers[router];
        router.legs.push(RouterLeg {
            port: port(199, &[]).id,
            network: id,
            mac: mac(host),
            addresses: addresses.map(|a| a.parse().unwrap()).into(),
        });
        if host != home {
            router.gateway = None;
            for via in gateway.nexthops {
                let (to, nexthop) =
                    if via.is_ipv4() { ("0.0.0.0/0", TRANSIT_HOME_V4) } else { ("::/0", TRANSIT_HOME_V6) };
                router.routes.push(Route { destination: to.parse().unwrap(), nexthop });
            }
            doc.networks.retain(|n| n.id != gateway.network);
        }
        doc.networks.push(hidden);
    }

    /// Plugs a guest in at its host, with its addresses.
    pub fn guest(&mut self, doc: &Desired, network: usize, port: usize) -> Client {
        let (net, port) = (&doc.networks[network], &doc.networks[network].ports[port]);
        let at = self.ids.iter().position(|id| port.host == Some(*id)).unwrap();
        let client = self.worlds[at].client(net, port);
        for address in &port.addresses {
            let subnet = net.subnets.iter().find(|s| s.id == address.subnet).unwrap();
            let (a, length) = (address.address, subnet.cidr.prefix_len());
            let nodad = if a.is_ipv6() { " nodad" } else { "" };
            client.ip(&[&format!("addr add {a}/{length} dev eth0{nodad}")]);
            let gateway = subnet.gateway.unwrap();
            client.ip(&[&format!("route add default via {gateway} dev eth0")]);
        }
        client
    }

    /// A socket of a host itself.
    pub fn udp(&self, host: usize, address: (IpAddr, u16)) -> UdpSocket {
        let socket = inside(&self.homes.0[host], || UdpSocket::bind(address)).unwrap().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Bytes that have come to a host from the others.
    fn received(&self, host: usize) -> u64 {
        counters(&self.homes.0[host], "u0").unwrap()["rx_bytes"]
    }

    fn cut(&self, host: usize) {
        let line = act("link set u0 down");
        Kernel::default().batch(Tool::Ip, Some(&self.homes.0[host]), &[line]).unwrap();
    }
}

/// Whether a packet of so many bytes, which nobody may take apart, is answered.
pub fn fits(client: &Client, to: &str, bytes: usize) -> bool {
    let size = (bytes - if to.contains(':') { 48 } else { 28 }).to_string();
    let args = ["-n", "-c", "3", "-i", "0.2", "-W", "2", "-M", "do", "-s", &size, to];
    client.run("ping", &args).status.success()
}

pub fn open_group() -> SecurityGroup {
    let mut open = default_group(&[]);
    open.rules.push(OPEN_V4);
    open.rules.push(SecurityRule { ip_version: 6, ..OPEN_V4 });
    open
}

/// Only one tunnel per identifier and kernel namespace; random ones keep tests apart all the same.
pub fn spread(doc: &mut Desired, hosts: &[HostId]) {
    let ports = doc.networks.iter_mut().flat_map(|n| &mut n.ports);
    ports.zip(hosts).for_each(|(p, h)| p.host = Some(*h));
}

async fn spans(v6: bool) {
    let Some(mut room) = Room::new(3, v6).await else { return };
    let net = with_v6(1, Ipv6Mode::Slaac, &[1, 2, 3]);
    let guests = net.ports.iter().map(|p| guest(p, &net)).collect();
    let mut doc = document(vec![net], guests);
    spread(&mut doc, &room.ids.clone());
    doc.networks[0].mtu = if v6 { 1430 } else { 1450 };
    // The first two know each other by membership, the third is in nobody's group.
    join(
        &mut doc,
        default_group(&["10.0.1.1", "10.0.1.2", "fd00:1::f816:3eff:fe00:1", "fd00:1::f816:3eff:fe00:2"]),
    );
    let other = group(7, doc.groups[0].rules.clone(), &[]);
    doc.networks[0].ports[2].groups = vec![other.id];
    doc.groups.push(other);
    room.apply(&doc, 0).await;
    let (a, b, c) = (room.guest(&doc, 0, 0), room.guest(&doc, 0, 1), room.guest(&doc, 0, 2));
    let (b4, b6) = ("10.0.1.2", "fd00:1::f816:3eff:fe00:2");
    assert!(a.pings(b4) && a.pings(b6), "from host to host");
    // Addresses that guests make themselves are known too.
    assert!(a.has_address("fe80::f816:3eff:fe00:1"));
    let own = format!("[fe80::f816:3eff:fe00:1%{}]:4000", a.index());
    a.udp(&own).send_to(b"?", format!("[fe80::f816:3eff:fe00:2%{}]:5000", a.index())).unwrap();
    assert!(a.knows("fe80::f816:3eff:fe00:2", "fa:16:3e:00:00:02"));
    // What is as large as it may be passes whole, and nothing larger leaves the guest.
    let mtu = doc.networks[0].mtu as usize;
    for to in [b4, b6] {
        assert!(fits(&a, to, mtu), "{mtu} bytes to {to}");
        assert!(!fits(&a, to, mtu + 1), "{} bytes to {to}", mtu + 1);
    }
    // Groups hold across hosts, whichever side asks.
    for (own, other) in
        [("10.0.1.1", "10.0.1.2"), ("[fd00:1::f816:3eff:fe00:1]", "[fd00:1::f816:3eff:fe00:2]")]
    {
        let stranger = own.replace("fe00:1", "fe00:3").replace("1.1", "1.3");
        let to = b.udp(&format!("{other}:5000"));
        let (bad, good) = (c.udp(&format!("{stranger}:4000")), a.udp(&format!("{own}:4000")));
        bad.send_to(b"denied", format!("{other}:5000")).unwrap();
        good.send_to(b"good", format!("{other}:5000")).unwrap();
        assert_eq!(receive(&to).map(|r| r.0), Some("good".into()));
        assert_eq!(waiting(&to), None);
    }
    // So does the rule that nobody speaks with another's address.
    a.ip(&["addr add 10.0.1.3/32 dev eth0"]);
    let (spoofed, good, to) = (a.udp("10.0.1.3:4001"), a.udp("10.0.1.1:4001"), b.udp("10.0.1.2:5001"));
    spoofed.send_to(b"spoofed", "10.0.1.2:5001").unwrap();
    good.send_to(b"good", "10.0.1.2:5001").unwrap();
    assert_eq!(receive(&to).map(|r| r.0), Some("good".into()));
    assert_eq!(waiting(&to), None);
    // A host gets another underlay address.
    let line = if v6 { "addr add 2001:db8::22/64 dev u0 nodad" } else { "addr add 192.0.2.22/24 dev u0" };
    let gone = if v6 { "addr del 2001:db8::2/64 dev u0" } else { "addr del 192.0.2.2/24 dev u0" };
    Kernel::default().batch(Tool::Ip, Some(&room.homes.0[1]), &[act(gone), act(line)]).unwrap();
    room.tunnels[1] = if v6 { "2001:db8::22" } else { "192.0.2.22" }.parse().unwrap();
    room.apply(&doc, 0).await;
    assert!(a.pings(b4) && b.pings("10.0.1.1"));
    // A guest moves to the third host, and is found there.
    doc.networks[0].ports[1].host = Some(room.ids[2]);
    room.apply(&doc, 0).await;
    let b = room.guest(&doc, 0, 1);
    assert!(a.pings(b4) && b.pings("10.0.1.1") && b.pings("fd00:1::f816:3eff:fe00:1"));
    // And a host goes, with all that it had.
    doc.networks[0].ports.remove(1);
    doc.guests.remove(1);
    room.apply(&doc, 0).await;
    let rest = document(vec![], vec![]);
    for world in &room.worlds {
        world.apply(&rest).await;
        assert_eq!(world.traces(), Vec::<String>::new());
    }
}

/// One more wire, which knows nothing of us: a NIC `e1` of every host, and a computer with an address.
fn office(room: &Room, address: &str) -> Client {
    let (switch, kernel) = (&room.homes.1, std::sync::Arc::new(Kernel::default()));
    let ns = room.homes.beside();
    kernel.batch(Tool::Names, None, &[act(format!("netns add {ns}"))]).unwrap();
    let mut lines = vec![
        act(format!("link add netns {switch} of0 type bridge")),
        act(format!("link add eth0 netns {ns} type veth peer name of9 netns {switch}")),
    ];
    lines.extend(
        room.homes.0.iter().zip(1..).map(|(home, n)| {
            act(format!("link add e1 netns {home} type veth peer name of{n} netns {switch}"))
        }),
    );
    kernel.batch(Tool::Ip, None, &lines).unwrap();
    let ports = (1..=room.homes.0.len()).chain([9]).map(|n| act(format!("link set of{n} master of0 up")));
    kernel.batch(Tool::Ip, Some(switch), &ports.chain([act("link set of0 up")]).collect::<Vec<_>>()).unwrap();
    let computer = Client { ns, kernel };
    computer.ip(&[&format!("addr add {address} dev eth0"), "link set eth0 up"]);
    computer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_network_reaches_what_knows_nothing_of_us() {
    let Some(mut room) = Room::new(2, false).await else { return };
    let old = office(&room, "10.0.0.200/24");
    let (_, mut doc) = one_network();
    doc.networks[0].mtu = 1500;
    doc.networks[0].uplink = Some(Uplink::Nic { device: "e1".into() });
    let ids = room.ids.clone();
    spread(&mut doc, &ids);
    join(&mut doc, default_group(&["10.0.0.5", "10.0.0.6"]));
    for (world, host) in room.worlds.iter().zip(&ids) {
        // The wire is its own way between hosts: no tunnels are told.
        world.apply(&Desired { host: *host, ..doc.clone() }).await;
    }
    let net = doc.networks[0].clone();
    let (a, b) = (room.worlds[0].client(&net, &net.ports[0]), room.worlds[1].client(&net, &net.ports[1]));
    assert!(a.dhcp().contains("ip='10.0.0.5'") && b.dhcp().contains("ip='10.0.0.6'"));
    for (client, name) in [(&a, "vm1"), (&b, "vm2")] {
        assert_eq!(client.get("/latest/meta-data/hostname").as_deref(), Some(name), "from its own host");
    }
    assert!(a.pings("10.0.0.6") && fits(&a, "10.0.0.6", 1500), "from host to host");
    let listener = inside(&old.ns, || std::net::TcpListener::bind("10.0.0.200:5432")).unwrap().unwrap();
    for client in [&a, &b] {
        let mut stream = inside(&client.ns, || TcpStream::connect("10.0.0.200:5432")).unwrap().unwrap();
        stream.write_all(b"select").unwrap();
        drop(stream);
        let mut said = String::new();
        listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
        assert_eq!(said, "select");
    }
    // Nobody out there reaches a guest without a rule, nor is reached with an address that is not its own.
    let to = a.udp("10.0.0.5:5000");
    old.udp("10.0.0.200:4000").send_to(b"denied", "10.0.0.5:5000").unwrap();
    b.udp("10.0.0.6:4000").send_to(b"member", "10.0.0.5:5000").unwrap();
    assert_eq!(receive(&to).map(|r| r.0), Some("member".into()));
    assert_eq!(waiting(&to), None);
    a.ip(&["addr add 10.0.0.66/32 dev eth0"]);
    let there = old.udp("10.0.0.200:5001");
    a.udp("10.0.0.66:4000").send_to(b"spoofed", "10.0.0.200:5001").unwrap();
    a.udp("10.0.0.5:4001").send_to(b"own", "10.0.0.200:5001").unwrap();
    assert_eq!(receive(&there).map(|r| r.0), Some("own".into()));
    assert_eq!(waiting(&there), None);
    // What is every host's own stays there.
    assert!(old.get("/latest/meta-data/hostname").is_none());
    // A NIC that comes home, and is the host's only one: it keeps its address.
    room.worlds[1].apply(&document(vec![], vec![])).await;
    let line = act("addr add 198.51.100.7/24 dev e1");
    Kernel::default().batch(Tool::Ip, Some(&room.homes.0[1]), &[line]).unwrap();
    let report = room.worlds[1].path.apply(&Desired { host: ids[1], ..doc.clone() }).await;
    assert!(report.ports_up.is_empty());
    let words = &report.problems[0].reason;
    assert!(words.contains("e1 has this host's own address 198.51.100.7"), "{words}");
    doc.networks[0].uplink = Some(Uplink::Nic { device: "e2".into() });
    let report = room.worlds[1].path.apply(&Desired { host: ids[1], ..doc.clone() }).await;
    assert!(report.problems[0].reason.contains("no NIC e2"), "{report:?}");
    Kernel::default().batch(Tool::Names, None, &[act(format!("netns del {}", old.ns))]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_moves_on_a_provider_network_is_reached() {
    let Some(mut room) = Room::new(2, false).await else { return };
    let _old = office(&room, "10.0.0.200/24");
    let (_, mut doc) = one_network();
    doc.networks[0].mtu = 1500;
    doc.networks[0].uplink = Some(Uplink::Nic { device: "e1".into() });
    let ids = room.ids.clone();
    spread(&mut doc, &ids);
    join(&mut doc, open_group());
    for (world, host) in room.worlds.iter().zip(&ids) {
        world.apply(&Desired { host: *host, ..doc.clone() }).await;
    }
    let (a, b) = (room.guest(&doc, 0, 0), room.guest(&doc, 0, 1));
    assert!(a.pings("10.0.0.6"), "by the wire");
    // Its old host is slow to let go: it is heard from the wire while the new one has its tap already.
    doc.networks[0].ports[1].host = Some(ids[0]);
    room.worlds[0].apply(&Desired { host: ids[0], ..doc.clone() }).await;
    assert!(b.pings("10.0.0.200"));
    room.worlds[1].apply(&Desired { host: ids[1], ..doc.clone() }).await;
    let b = room.guest(&doc, 0, 1);
    assert!(b.pings("10.0.0.200") && a.pings("10.0.0.6"), "at its new host");
}

/// A guest on its way from the second host to the first is reached where it runs, from the first as well: by the
/// tunnel, or by the wire of a provider network.
async fn comes_over(wire: bool) {
    let Some(mut room) = Room::new(2, false).await else { return };
    let (_, mut doc) = one_network();
    let _old = wire.then(|| office(&room, "10.0.0.200/24"));
    if wire {
        doc.networks[0].mtu = 1500;
        doc.networks[0].uplink = Some(Uplink::Nic { device: "e1".into() });
    }
    let ids = room.ids.clone();
    spread(&mut doc, &ids);
    join(&mut doc, open_group());
    let told = |doc: &Desired, room: &Room, host: usize| {
        let mut told = room.document(doc, host, 0);
        if wire {
            told.networks[0].peers.clear();
            told.networks[0].ports.iter_mut().for_each(|p| p.tunnel = None);
        }
        told
    };
    room.worlds[1].apply(&told(&doc, &room, 1)).await;
    // Its new host has its port as well, with the tunnel to where it still is.
    let mut coming = told(&doc, &room, 0);
    coming.networks[0].ports[1].host = Some(ids[0]);
    coming.guests[1].arrival = Some(Arrival { number: 7, live: true, token: "t".into() });
    assert_eq!(room.worlds[0].apply(&coming).await.ports_up.len(), 2);
    let (a, b) = (room.guest(&doc, 0, 0), room.guest(&doc, 0, 1));
    assert!(b.pings("10.0.0.5") && a.pings("10.0.0.6"), "it still runs there");
    // It goes on here, before any document says so.
    b.ip(&["link set eth0 down"]);
    doc.networks[0].ports[1].host = Some(ids[0]);
    let b = room.guest(&doc, 0, 1);
    room.worlds[0].path.take_in(&coming.guests[1], 7).await.unwrap();
    assert!(a.pings("10.0.0.6"), "it runs here");
    let before = room.worlds[0].starts();
    room.worlds[0].apply(&coming).await;
    assert_eq!(room.worlds[0].starts(), before, "which is not forgotten");
    // Nor is another way here taken for the one that has come to its end.
    coming.guests[1].arrival.as_mut().unwrap().number = 8;
    room.worlds[0].apply(&coming).await;
    let ns = room.worlds[0].network_ns(doc.networks[0].id);
    let port = &doc.networks[0].ports[1];
    let tap = (room.worlds[0].prefix.tap(port.id), Mac::parse(&port.mac).unwrap());
    let space = || Space::look(&Kernel::default(), Some(&ns), |_| true).unwrap();
    let claimed = || space().forwarding.contains_key(&tap);
    assert!(!claimed());
    room.worlds[0].apply(&told(&doc, &room, 0)).await;
    assert!(claimed() && a.pings("10.0.0.6") && b.pings("10.0.0.5"), "it is this host's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_on_its_way_is_reached_where_it_runs() {
    comes_over(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_on_its_way_is_reached_by_the_wire() {
    comes_over(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_spans_hosts() {
    spans(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_spans_hosts_that_are_reached_by_ipv6() {
    spans(true).await;
}

/// Three hosts: the router's home, which has one guest, and one each for the two networks behind it.
fn behind_one_router(room: &Room, at: impl Fn(u8) -> IpAddr) -> Desired {
    let mut doc = routed(at);
    let six = |n: u128| {
        let cidr = format!("fd00:{n}::/64");
        Subnet { ipv6: Some(Ipv6Mode::Slaac), ..subnet(0x60 + n, &cidr, Some(&format!("fd00:{n}::1"))) }
    };
    for n in [1, 2, 3] {
        doc.networks[n as usize - 1].subnets.push(six(n));
    }
    for (net, port, n) in [(0, 0, 1), (0, 1, 1), (1, 0, 2)] {
        let ports = &mut doc.networks[net].ports;
        let last = ports[port].mac.rsplit(':').next().unwrap().to_owned();
        let address = format!("fd00:{n}::f816:3eff:fe00:{last}").parse().unwrap();
        let subnet = base::SubnetId(Uuid::from_u128(0x60 + n));
        ports[port].addresses.push(PortAddress { subnet, address });
    }
    let router = &mut doc.routers[0];
    for (leg, n) in router.legs.iter_mut().zip([1, 2]) {
        leg.addresses.push(format!("fd00:{n}::1/64").parse().unwrap());
    }
    let gateway = router.gateway.as_mut().unwrap();
    gateway.addresses.push("fd00:3::10/64".parse().unwrap());
    gateway.nexthops.push("fd00:3::1".parse().unwrap());
    if let Some(Uplink::HostNat { addresses }) = &mut doc.networks[2].uplink {
        addresses.push("fd00:3::1/64".parse().unwrap());
    }
    join(&mut doc, open_group());
    let [home, one, two] = room.ids[..] else { panic!("three hosts") };
    // 10.0.0.5 (with a floating address) and 10.0.1.5 (also) are away, 10.0.0.6 is at home.
    spread(&mut doc, &[one, home, two]);
    doc
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_are_on_every_host_and_the_outside_is_reached_by_their_home() {
    let Some(mut room) = Room::new(3, false).await else { return };
    let at = outside();
    let mut doc = behind_one_router(&room, at);
    room.apply(&doc, 0).await;
    let (a, b, c) = (room.guest(&doc, 0, 0), room.guest(&doc, 0, 1), room.guest(&doc, 1, 0));
    assert!(a.pings("10.0.0.1") && c.pings("10.0.1.1"), "the gateway is on their own host");
    assert_eq!(a.get("/latest/meta-data/local-ipv4").as_deref(), Some("10.0.0.5"));
    assert!(a.pings("10.0.1.5"), "between networks");
    assert!(a.pings("fd00:2::f816:3eff:fe00:3"), "between networks by IPv6");
    // What goes from one host to another does not pass the home.
    let (from, to) = (a.udp("10.0.0.5:4000"), c.udp("10.0.1.5:5000"));
    let (before, there) = (room.received(0), room.received(2));
    let large = "x".repeat(1400);
    for _ in 0..100 {
        from.send_to(large.as_bytes(), "10.0.1.5:5000").unwrap();
        assert_eq!(receive(&to).map(|r| r.0.len()), Some(1400));
    }
    assert!(room.received(2) - there > 140_000);
    assert!(room.received(0) - before < 14_000, "{} bytes came to the home", room.received(0) - before);
    // Outward: translated at the home, by the floating address or else the router's own.
    let host = room.udp(0, (at(1), HOST_PORT));
    let world = host.local_addr().unwrap();
    from.send_to(b"floating", world).unwrap();
    assert_eq!(receive(&host), Some(("floating".into(), at(50))));
    b.udp("10.0.0.6:4000").send_to(b"home", world).unwrap();
    assert_eq!(receive(&host), Some(("home".into(), at(10))));
    doc.routers[0].gateway.as_mut().unwrap().floating.remove(1);
    room.apply(&doc, 0).await;
    let plain = c.udp("10.0.1.5:4000");
    plain.send_to(b"away", world).unwrap();
    let (text, source) = receive(&host).unwrap();
    assert_eq!((text.as_str(), source), ("away", at(10)));
    // Inward: replies of the world, and what it begins itself.
    let (mut bytes, _) = ([0; 16], ());
    plain.send_to(b"ask", world).unwrap();
    let (_, translated) = host.recv_from(&mut bytes).unwrap();
    host.send_to(b"answer", translated).unwrap();
    assert_eq!(receive(&plain), Some(("answer".into(), at(1))));
    host.send_to(b"in", (at(50), 4000)).unwrap();
    assert_eq!(receive(&from), Some(("in".into(), at(1))));
    // A neighbour reaches the floating address as the world does.
    plain.send_to(b"hairpin", (at(50), 4000)).unwrap();
    assert_eq!(receive(&from), Some(("hairpin".into(), at(10))));
    // IPv6 is not translated: the home only routes it.
    let line = act("route add fd00:2::/64 via fd00:3::10");
    Kernel::default().batch(Tool::Ip, Some(&room.homes.0[0]), &[line]).unwrap();
    let six = room.udp(0, ("fd00:3::1".parse().unwrap(), HOST_PORT));
    c.udp("[fd00:2::f816:3eff:fe00:3]:4000").send_to(b"six", "[fd00:3::1]:4999").unwrap();
    assert_eq!(receive(&six), Some(("six".into(), "fd00:2::f816:3eff:fe00:3".parse().unwrap())));
    // Large packets pass all the way.
    assert!(fits(&a, "10.0.1.5", 1450) && fits(&a, &at(1).to_string(), 1450));
    // Switched off, it leads nowhere, on no host.
    doc.routers[0].admin_up = false;
    room.apply(&doc, 0).await;
    for to in ["10.0.1.5", &at(1).to_string()] {
        assert!(!a.run("busybox", &["ping", "-c", "1", "-W", "1", to]).status.success(), "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_lost_is_followed_by_another() {
    let Some(mut room) = Room::new(3, false).await else { return };
    let at = outside();
    let mut doc = behind_one_router(&room, at);
    room.apply(&doc, 0).await;
    let (a, c) = (room.guest(&doc, 0, 0), room.guest(&doc, 1, 0));
    let old = room.udp(0, (at(1), HOST_PORT));
    let (from_a, from_c) = (a.udp("10.0.0.5:4000"), c.udp("10.0.1.5:4000"));
    from_c.send_to(b"1", old.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&old), Some(("1".into(), at(51))));
    // The home is cut off; the second host is the home now. Nobody tells the old one.
    room.cut(0);
    doc.networks[0].ports[1].host = None;
    for host in [1, 2] {
        room.worlds[host].apply(&room.document(&doc, host, 1)).await;
    }
    let new = room.udp(1, (at(1), HOST_PORT));
    from_c.send_to(b"2", new.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&new), Some(("2".into(), at(51))));
    new.send_to(b"3", (at(51), 4000)).unwrap();
    assert_eq!(receive(&from_c), Some(("3".into(), at(1))));
    from_a.send_to(b"4", new.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&new), Some(("4".into(), at(50))));
    // It comes back and hears of it: it has neither gateway nor external network any more.
    let line = act("link set u0 up");
    Kernel::default().batch(Tool::Ip, Some(&room.homes.0[0]), &[line]).unwrap();
    room.worlds[0].apply(&room.document(&doc, 0, 1)).await;
    assert!(inside(&room.homes.0[0], || UdpSocket::bind((at(1), 0))).unwrap().is_err());
    from_c.send_to(b"5", new.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&new), Some(("5".into(), at(51))));
}
