//! Limits, marks and access lists, seen with packets.

use super::world::{Client, PATIENCE, receive, waiting, world};
use super::*;
use std::net::TcpListener;
use std::time::Instant;

fn open_all(doc: &mut Desired) {
    let mut open = default_group(&[]);
    open.rules.push(OPEN_V4);
    open.rules.push(SecurityRule { ip_version: 6, ..OPEN_V4 });
    join(doc, open);
}

/// Kilobits per second of a TCP stream between guests.
fn rate(from: &Client, to: &Client, address: &str, bytes: usize) -> f64 {
    let listener = inside(&to.ns, || TcpListener::bind((address, 0))).unwrap().unwrap();
    let there = listener.local_addr().unwrap();
    let out = inside(&from.ns, || TcpStream::connect(there)).unwrap().unwrap();
    stream(out, listener.accept().unwrap().0, bytes)
}

/// Kilobits per second of a stream, from the first byte sent to the last received: a reader that is held up
/// makes that longer, never shorter. What a limit lets through at once (a tenth of a second's worth) counts
/// little in a stream of some seconds.
fn stream(mut out: TcpStream, mut into: TcpStream, bytes: usize) -> f64 {
    into.set_read_timeout(Some(PATIENCE)).unwrap();
    let start = Instant::now();
    let sender = std::thread::spawn(move || {
        let block = [7; 16 << 10];
        (0..bytes.div_ceil(block.len())).for_each(|_| out.write_all(&block).unwrap());
    });
    let (mut got, mut block) = (0, vec![0; 64 << 10]);
    while got < bytes {
        got += into.read(&mut block).unwrap();
    }
    let rate = got as f64 / 125.0 / start.elapsed().as_secs_f64();
    sender.join().unwrap();
    rate
}

/// The first rate that is more than this, where nothing limits it, or the last one. A busy machine may be as slow as
/// any limit for a while.
fn faster_than(bound: f64, mut measure: impl FnMut() -> f64) -> f64 {
    let until = Instant::now() + PATIENCE * 3;
    loop {
        let rate = measure();
        if rate > bound || Instant::now() > until {
            return rate;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_in_both_directions_and_go() {
    let Some(mut world) = world().await else { return };
    let (net, mut doc) = one_network();
    open_all(&mut doc);
    let limit = |kbps| Some(Limit { kbps, burst_kb: 0 });
    doc.networks[0].ports[0].qos = Some(Qos { egress: limit(4000), ..Qos::default() });
    doc.networks[0].ports[1].qos = Some(Qos { ingress: limit(8000), ..Qos::default() });
    world.apply(&doc).await;
    let (a, b) = (world.client(&net, &net.ports[0]), world.client(&net, &net.ports[1]));
    a.dhcp();
    b.dhcp();
    // The first also passes the second's limit, which is higher. A busy machine is slower, never faster.
    let out = rate(&a, &b, "10.0.0.6", 1_500_000);
    assert!(out < 4000.0 * 1.1, "{out} kbit/s leave a guest that may send 4000");
    let back = faster_than(8000.0 * 2.0, || rate(&b, &a, "10.0.0.5", 8_000_000));
    assert!(back > 8000.0 * 2.0, "{back} kbit/s the other way, where nothing is limited");
    // What is limited is still watched: an address that is not the guest's own gets nowhere.
    a.ip(&["addr add 10.0.0.66/24 dev eth0"]);
    let (bad, good, to) = (a.udp("10.0.0.66:4000"), a.udp("10.0.0.5:4000"), b.udp("10.0.0.6:5000"));
    bad.send_to(b"bad", "10.0.0.6:5000").unwrap();
    good.send_to(b"good", "10.0.0.6:5000").unwrap();
    assert_eq!(receive(&to).map(|r| r.0), Some("good".into()));
    a.ip(&["addr del 10.0.0.66/24 dev eth0"]);
    // A restart finds the limits and goes on with them.
    world.restart().await;
    world.apply(&doc).await;
    let before = world.starts();
    world.apply(&doc).await;
    assert_eq!(world.starts(), before, "what was found is as it should be");
    // The sender's limit goes, the receiver's stays.
    doc.networks[0].ports[0].qos = None;
    world.apply(&doc).await;
    let into = faster_than(4000.0 * 1.1, || rate(&a, &b, "10.0.0.6", 3_000_000));
    assert!(
        into < 8000.0 * 1.1 && into > 4000.0 * 1.1,
        "{into} kbit/s reach a guest that may take 8000, from one that may send what it can"
    );
    doc.networks[0].ports[1].qos = None;
    world.apply(&doc).await;
    let free = faster_than(8000.0 * 2.0, || rate(&a, &b, "10.0.0.6", 8_000_000));
    assert!(free > 8000.0 * 2.0, "{free} kbit/s without limits, {into} with one");
    let left = Space::look(&Kernel::default(), Some(&world.network_ns(net.id)), |_| true).unwrap();
    assert!(left.shapes.is_empty() && left.links.values().all(|l| l.kind != Kind::Ifb), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn floating_addresses_have_limits_of_their_own() {
    let Some(mut world) = world().await else { return };
    let at = outside();
    let mut doc = routed(at);
    let gateway = doc.routers[0].gateway.as_mut().unwrap();
    let limit = |kbps| Some(Limit { kbps, burst_kb: 0 });
    gateway.limits = vec![
        AddressLimit { address: at(50), egress: limit(3000), ingress: limit(4000) },
        AddressLimit { address: at(10), egress: limit(5000), ingress: None },
    ];
    world.apply(&doc).await;
    let one = doc.networks[0].clone();
    let (a, b) = (world.client(&one, &one.ports[0]), world.client(&one, &one.ports[1]));
    a.dhcp();
    b.dhcp();
    // From the host's side: to a floating address, from it, and from a guest that has none.
    let listener = inside(&a.ns, || TcpListener::bind("10.0.0.5:0")).unwrap().unwrap();
    let there = std::net::SocketAddr::from((at(50), listener.local_addr().unwrap().port()));
    let into = || {
        let out = TcpStream::connect_timeout(&there, PATIENCE).unwrap();
        stream(out, listener.accept().unwrap().0, 1_500_000)
    };
    let from = || {
        let into = TcpStream::connect_timeout(&there, PATIENCE).unwrap();
        stream(listener.accept().unwrap().0, into, 1_500_000)
    };
    let (slow_in, slow_out) = (into(), from());
    assert!(slow_in < 4000.0 * 1.1, "{slow_in} kbit/s to an address that may take 4000");
    assert!(slow_out < 3000.0 * 1.1, "{slow_out} kbit/s from an address that may send 3000");
    let host = UdpSocket::bind((at(1), HOST_PORT)).unwrap();
    host.set_read_timeout(Some(PATIENCE)).unwrap();
    b.udp("10.0.0.6:4000").send_to(b"b", host.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&host), Some(("b".into(), at(10))), "what has another class, or none, passes too");
    world.restart().await;
    doc.routers[0].gateway.as_mut().unwrap().limits.clear();
    world.apply(&doc).await;
    let (free_in, free_out) = (faster_than(4000.0 * 2.0, into), faster_than(3000.0 * 2.0, from));
    assert!(
        free_in > 4000.0 * 2.0 && free_out > 3000.0 * 2.0,
        "{free_in} and {free_out} kbit/s without limits, {slow_in} and {slow_out} with them"
    );
    let ns = world.prefix.router_ns(doc.routers[0].id);
    let left = Space::look(&Kernel::default(), Some(&ns), |_| true).unwrap();
    assert!(left.shapes.is_empty() && left.links.values().all(|l| l.kind != Kind::Ifb), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_sends_is_marked() {
    let Some(mut world) = world().await else { return };
    let net = with_v6(1, Ipv6Mode::Slaac, &[1, 2]);
    let mut doc = document(vec![net.clone()], vec![]);
    open_all(&mut doc);
    doc.networks[0].ports[0].qos = Some(Qos { dscp: Some(46), ..Qos::default() });
    world.apply(&doc).await;
    let (a, b) = (world.client(&net, &net.ports[0]), world.client(&net, &net.ports[1]));
    for client in [&a, &b] {
        client.soliciting();
        client.dhcp();
    }
    let (a6, b6) = ("fd00:1::f816:3eff:fe00:1", "fd00:1::f816:3eff:fe00:2");
    assert!(a.has_address(a6) && b.has_address(b6));
    let rules = "add table inet seen; add chain inet seen in { type filter hook input priority 0; }; \
                 add rule inet seen in udp dport 5000 ip dscp ef counter; \
                 add rule inet seen in udp dport 5000 ip6 dscp ef counter";
    assert!(b.run("nft", &[rules]).status.success());
    for (from, to) in
        [("10.0.1.1:4000", "10.0.1.2:5000"), (&*format!("[{a6}]:4000"), &*format!("[{b6}]:5000"))]
    {
        let socket = b.udp(to);
        a.udp(from).send_to(b"marked", to).unwrap();
        assert_eq!(receive(&socket).map(|r| r.0), Some("marked".into()), "{to}");
    }
    let counted = String::from_utf8(b.run("nft", &["list", "table", "inet", "seen"]).stdout).unwrap();
    assert_eq!(counted.matches("counter packets 1 ").count(), 2, "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_list_looks_at_each_packet_for_itself() {
    let Some(mut world) = world().await else { return };
    let net = with_v6(1, Ipv6Mode::Slaac, &[1, 2]);
    let mut doc = document(vec![net.clone()], vec![guest(&net.ports[0], &net), guest(&net.ports[1], &net)]);
    open_all(&mut doc);
    // One of them has no other filter.
    doc.networks[0].ports[1].security = false;
    doc.networks[0].ports[1].groups.clear();
    let udp = |direction, ip_version| AclRule {
        direction,
        allow: false,
        ip_version,
        protocol: Some(17),
        ports: None,
        source_ports: None,
        remote: None,
    };
    let closed = AclRule { ports: Some((5001, 5002)), ..udp(Direction::Ingress, None) };
    doc.networks[0].acl = vec![closed.clone()];
    world.apply(&doc).await;
    let (a, b) = (world.client(&net, &net.ports[0]), world.client(&net, &net.ports[1]));
    for client in [&a, &b] {
        client.soliciting();
        client.dhcp();
    }
    let (a6, b6) = ("fd00:1::f816:3eff:fe00:1", "fd00:1::f816:3eff:fe00:2");
    assert!(a.has_address(a6) && b.has_address(b6));
    for (own, other) in
        [("10.0.1.1".to_owned(), "10.0.1.2".to_owned()), (format!("[{a6}]"), format!("[{b6}]"))]
    {
        let from = a.udp(&format!("{own}:4000"));
        let (shut, open) = (b.udp(&format!("{other}:5001")), b.udp(&format!("{other}:5000")));
        let say = |doc: &'static str| {
            from.send_to(doc.as_bytes(), format!("{other}:5001")).unwrap();
            from.send_to(doc.as_bytes(), format!("{other}:5000")).unwrap();
        };
        say("denied");
        assert_eq!(receive(&open).map(|r| r.0), Some("denied".into()), "what no rule is about passes");
        assert_eq!(waiting(&shut), None);
        // An earlier rule wins.
        let allow = AclRule { allow: true, ports: Some((5001, 5001)), ..closed.clone() };
        doc.networks[0].acl = vec![allow, closed.clone()];
        world.apply(&doc).await;
        say("allowed");
        assert_eq!(receive(&shut).map(|r| r.0), Some("allowed".into()));
        assert_eq!(receive(&open).map(|r| r.0), Some("allowed".into()));
        // Replies are packets like others: with their way out closed, the request arrives and no answer.
        let replies = AclRule { source_ports: Some((5000, 5000)), ..udp(Direction::Egress, None) };
        doc.networks[0].acl = vec![replies];
        world.apply(&doc).await;
        say("ask");
        assert_eq!(receive(&open).map(|r| r.0), Some("ask".into()));
        assert_eq!(receive(&shut).map(|r| r.0), Some("ask".into()));
        open.send_to(b"lost", format!("{own}:4000")).unwrap();
        shut.send_to(b"heard", format!("{own}:4000")).unwrap();
        assert_eq!(receive(&from).map(|r| r.0), Some("heard".into()));
        doc.networks[0].acl = vec![closed.clone()];
        world.apply(&doc).await;
    }
    // A rule for one family or one other side leaves the rest alone.
    let from = a.udp("10.0.1.1:4000");
    let (four, six) = (b.udp("10.0.1.2:5000"), b.udp(&format!("[{b6}]:5000")));
    let remote = Some("fd00:1::/64".parse().unwrap());
    doc.networks[0].acl = vec![AclRule { remote, ..udp(Direction::Ingress, Some(6)) }];
    world.apply(&doc).await;
    a.udp(&format!("[{a6}]:4000")).send_to(b"six", format!("[{b6}]:5000")).unwrap();
    from.send_to(b"four", "10.0.1.2:5000").unwrap();
    assert_eq!(receive(&four).map(|r| r.0), Some("four".into()));
    assert_eq!(waiting(&six), None);
    // Even a list that denies everything leaves a guest its address, its neighbours and its metadata.
    let nothing = |direction| AclRule { protocol: None, ..udp(direction, None) };
    doc.networks[0].acl = vec![nothing(Direction::Ingress), nothing(Direction::Egress)];
    world.apply(&doc).await;
    assert!(!a.run("busybox", &["ping", "-c", "1", "-W", "1", "10.0.1.2"]).status.success());
    a.ip(&["addr flush dev eth0"]);
    assert!(a.dhcp().contains("ip='10.0.1.1'"));
    assert_eq!(a.get("/latest/meta-data/local-ipv4").as_deref(), Some("10.0.1.1"));
    // After a restart, a list that went meanwhile is gone.
    world.restart().await;
    doc.networks[0].acl.clear();
    world.apply(&doc).await;
    assert!(a.pings("10.0.1.2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_ports_of_a_floating_address_lead_to_guests() {
    let Some(mut world) = world().await else { return };
    let at = outside();
    let mut doc = routed(at);
    let forward = |protocol, external, fixed: &str, internal| Forward {
        floating: at(60),
        protocol,
        external,
        fixed: fixed.parse().unwrap(),
        internal,
    };
    doc.routers[0].gateway.as_mut().unwrap().forwards = vec![
        forward(17, (5353, 5353), "10.0.0.6", (4000, 4000)),
        forward(17, (6000, 6002), "10.0.0.6", (4000, 4002)),
        forward(17, (7000, 7009), "10.0.1.5", (7000, 7009)),
        forward(6, (2222, 2222), "10.0.0.6", (22, 22)),
    ];
    world.apply(&doc).await;
    let [a, b, c] = three(&mut world, &doc);
    let host = UdpSocket::bind((at(1), HOST_PORT)).unwrap();
    host.set_read_timeout(Some(PATIENCE)).unwrap();
    let (b0, b2, c9) = (b.udp("10.0.0.6:4000"), b.udp("10.0.0.6:4002"), c.udp("10.0.1.5:7009"));
    for (port, socket) in [(5353, &b0), (6000, &b0), (6002, &b2), (7009, &c9)] {
        host.send_to(b"in", (at(60), port)).unwrap();
        assert_eq!(receive(socket), Some(("in".into(), at(1))), "{port}");
        socket.send_to(b"out", (at(1), HOST_PORT)).unwrap();
        assert_eq!(receive(&host), Some(("out".into(), at(60))), "{port}");
    }
    let listener = inside(&b.ns, || std::net::TcpListener::bind("10.0.0.6:22")).unwrap().unwrap();
    TcpStream::connect_timeout(&(at(60), 2222).into(), PATIENCE).unwrap().write_all(b"ssh").unwrap();
    let mut said = String::new();
    listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
    assert_eq!(said, "ssh");
    // From inside as from outside.
    a.udp("10.0.0.5:4000").send_to(b"hairpin", (at(60), 5353)).unwrap();
    assert_eq!(receive(&b0).map(|r| r.0), Some("hairpin".into()));
    // One port moves to another guest, and with it what is connected; another one is left alone.
    doc.routers[0].gateway.as_mut().unwrap().forwards[0].fixed = "10.0.0.5".parse().unwrap();
    world.apply(&doc).await;
    let a0 = a.udp("10.0.0.5:4000");
    host.send_to(b"moved", (at(60), 5353)).unwrap();
    assert_eq!(receive(&a0), Some(("moved".into(), at(1))));
    host.send_to(b"stays", (at(60), 6000)).unwrap();
    assert_eq!(receive(&b0).map(|r| r.0), Some("stays".into()));
    assert_eq!(waiting(&a0), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_elsewhere_takes_its_connections_along() {
    fn gateway(doc: &mut Desired) -> &mut Gateway {
        doc.routers[0].gateway.as_mut().unwrap()
    }
    let Some(mut world) = world().await else { return };
    let at = outside();
    let mut doc = routed(at);
    let (external, internal, fixed) = ((7000, 7009), (7000, 7009), "10.0.1.5".parse().unwrap());
    gateway(&mut doc).forwards = vec![Forward { floating: at(60), protocol: 17, external, fixed, internal }];
    world.apply(&doc).await;
    let [a, b, c] = three(&mut world, &doc);
    let host = UdpSocket::bind((at(1), HOST_PORT)).unwrap();
    let comes = |text: &str, floating: u8, port: u16, to: &UdpSocket| {
        host.send_to(text.as_bytes(), (at(floating), port)).unwrap();
        assert_eq!(receive(to).map(|r| r.0), Some(text.to_owned()), "{floating}");
    };
    let (a4, b4) = (a.udp("10.0.0.5:4000"), b.udp("10.0.0.6:4000"));
    let (a7, b7, c7) = (a.udp("10.0.0.5:7009"), b.udp("10.0.0.6:7009"), c.udp("10.0.1.5:7009"));
    comes("before", 50, 4000, &a4);
    comes("before", 60, 7009, &c7);
    gateway(&mut doc).forwards[0].fixed = "10.0.0.6".parse().unwrap();
    world.apply(&doc).await;
    comes("a range", 60, 7009, &b7);
    // What is remembered turns out to be wrong: the router has an address already that it is to be given.
    let ns = world.prefix.router_ns(doc.routers[0].id);
    let out = world.prefix.leg_router(gateway(&mut doc).port);
    let line = act(format!("addr add {}/32 dev {out}", at(52)));
    Kernel::default().batch(Tool::Ip, Some(&ns), &[line]).unwrap();
    let (five, six): (IpAddr, IpAddr) = ("10.0.0.5".parse().unwrap(), "10.0.0.6".parse().unwrap());
    gateway(&mut doc).floating[0].fixed = six;
    gateway(&mut doc).floating.push(Floating { floating: at(52), fixed: five });
    gateway(&mut doc).forwards[0].fixed = five;
    world.apply(&doc).await;
    comes("at the second try", 50, 4000, &b4);
    comes("at the second try", 60, 7009, &a7);
    // Nobody remembers anything: they change while the agent is away.
    gateway(&mut doc).floating[0].fixed = five;
    gateway(&mut doc).floating[2].fixed = six;
    gateway(&mut doc).forwards[0].fixed = fixed;
    world.restart().await;
    world.apply(&doc).await;
    comes("after a restart", 50, 4000, &a4);
    comes("after a restart", 60, 7009, &c7);
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_reach_of_the_host_only_what_is_open() {
    let Some(mut world) = world().await else { return };
    let at = outside();
    let doc = routed(at);
    world.apply(&doc).await;
    let one = doc.networks[0].clone();
    let b = world.client(&one, &one.ports[1]);
    b.dhcp();
    let host = |port: u16| {
        let socket = UdpSocket::bind((at(1), port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let (open, shut) = (host(HOST_PORT), host(HOST_PORT + 1));
    let from = b.udp("10.0.0.6:4000");
    from.send_to(b"shut", (at(1), HOST_PORT + 1)).unwrap();
    from.send_to(b"open", (at(1), HOST_PORT)).unwrap();
    assert_eq!(receive(&open).map(|r| r.0), Some("open".into()));
    assert_eq!(waiting(&shut), None);
    assert!(b.pings(&at(1).to_string()), "ping is answered");
    // What listens on all addresses is refused, not silent.
    let listener = std::net::TcpListener::bind((at(1), 0)).unwrap();
    let there = listener.local_addr().unwrap();
    let refused = inside(&b.ns, || TcpStream::connect_timeout(&there, PATIENCE)).unwrap().unwrap_err();
    assert_ne!(refused.kind(), std::io::ErrorKind::TimedOut, "{refused}");
    // The host itself asks guests whatever it likes, and hears their answers.
    from.send_to(b"hello", (at(1), HOST_PORT)).unwrap();
    let mut bytes = [0; 64];
    let (_, back) = open.recv_from(&mut bytes).unwrap();
    open.send_to(b"answer", back).unwrap();
    assert_eq!(receive(&from).map(|r| r.0), Some("answer".into()));
}
