//! What filters and routers cost: TCP between namespaces over the overlay with security groups and checks of
//! sources, against the bare least of it (veth, bridge, VXLAN, no rules), by turns in one run.
//!
//! A guest's tap is exchanged for a veth of the same name, so that no copying of ours is measured.

use super::hosts::{Room, open_group, spread};
use super::world::Client;
use super::*;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TURNS: usize = 7;
const TURN: Duration = Duration::from_millis(1500);

/// Gbit per second from one namespace to another.
fn rate(from: &str, to: &str, address: &str) -> f64 {
    let listener = inside(to, || TcpListener::bind((address, 0))).unwrap().unwrap();
    let there: SocketAddr = listener.local_addr().unwrap();
    let mut out = inside(from, || TcpStream::connect(there)).unwrap().unwrap();
    let mut into = listener.accept().unwrap().0;
    let reader = std::thread::spawn(move || {
        let (mut block, mut got, start) = (vec![0; 256 << 10], 0, Instant::now());
        loop {
            match into.read(&mut block).unwrap() {
                0 => return got as f64 * 8e-9 / start.elapsed().as_secs_f64(),
                n => got += n,
            }
        }
    });
    let (block, start) = (vec![7; 256 << 10], Instant::now());
    while start.elapsed() < TURN {
        out.write_all(&block).unwrap();
    }
    drop(out);
    reader.join().unwrap()
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Bridge, VXLAN and veth on two hosts, with entries for each other and nothing else.
fn bare(room: &Room, n: usize, name: &str) -> String {
    let kernel = Kernel::default();
    let (home, other) = (&room.homes.0[n], 2 - n);
    let (space, guest) = (home.replace("th", "tb"), home.replace("th", "tg"));
    let made = [&space, &guest].map(|ns| act(format!("netns add {ns}")));
    kernel.batch(Tool::Names, None, &made).unwrap();
    let lines = [
        format!("link add vx0 netns {space} type vxlan id 99 dstport 4790 nolearning"),
        format!(
            "link add eth0 netns {guest} address 02:00:00:00:00:0{n} type veth peer name p0 netns {space}"
        ),
    ];
    kernel.batch(Tool::Ip, Some(home), &lines.map(act)).unwrap();
    let lines = [
        "link add br0 type bridge stp_state 0 mcast_snooping 0".into(),
        "link set vx0 mtu 1450 master br0 up".into(),
        "link set p0 mtu 1450 master br0 up".into(),
        "link set br0 up".into(),
    ];
    kernel.batch(Tool::Ip, Some(&space), &lines.map(|l: String| act(l))).unwrap();
    let far = 1 - n;
    let entry = format!("fdb append 02:00:00:00:00:0{far} dev vx0 self dst 192.0.2.{other} permanent");
    kernel.batch(Tool::Bridge, Some(&space), &[act(entry)]).unwrap();
    let lines = [
        format!("addr add 10.9.{name}.{}/24 dev eth0", n + 1),
        "link set eth0 mtu 1450 up".into(),
        format!("neigh add 10.9.{name}.{} lladdr 02:00:00:00:00:0{far} dev eth0", far + 1),
    ];
    kernel.batch(Tool::Ip, Some(&guest), &lines.map(act)).unwrap();
    guest
}

/// Puts a veth in the place of a guest's tap, and the datapath anew over it.
async fn rewire(room: &mut Room, doc: &Desired, network: usize, port: usize) -> Client {
    let client = room.guest(doc, network, port);
    let (net, port) = (&doc.networks[network], &doc.networks[network].ports[port]);
    let at = room.ids.iter().position(|id| port.host == Some(*id)).unwrap();
    let (ns, tap) = (room.worlds[at].network_ns(net.id), room.worlds[at].prefix.tap(port.id));
    let pair = format!("link add {tap} netns {ns} type veth peer name eth0 netns {}", client.ns);
    let lines = [format!("-n {ns} link del {tap}"), format!("-n {} link del eth0", client.ns), pair];
    for line in lines {
        let done = std::process::Command::new("ip").args(line.split(' ')).status().unwrap();
        assert!(done.success(), "ip {line}");
    }
    client.ip(&[&format!("link set eth0 address {} mtu {} up", port.mac, net.mtu)]);
    let (address, gateway) = (port.addresses[0].address, net.subnets[0].gateway.unwrap());
    client.ip(&[&format!("addr add {address}/24 dev eth0"), &format!("route add default via {gateway}")]);
    room.worlds[at].path.state.lock().await.known = Default::default();
    client
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints a measurement and asserts nothing: run by scripts/overlay.sh"]
async fn the_price_of_filters_and_routers() {
    let Some(mut room) = Room::new(3, false).await else { return };
    let mut doc = routed(|n| [198, 18, 77, n].into());
    join(&mut doc, open_group());
    let (one, two) = (room.ids[1], room.ids[2]);
    spread(&mut doc, &[one, two, two]);
    room.apply(&doc, 0).await;
    let mut clients = Vec::new();
    for (network, port) in [(0, 0), (0, 1), (1, 0)] {
        clients.push(rewire(&mut room, &doc, network, port).await);
    }
    room.apply(&doc, 0).await;
    let plain = Arc::new([bare(&room, 0, "1"), bare(&room, 1, "1")]);
    let [a, b, c] = &clients[..] else { panic!("three guests") };
    assert!(a.pings("10.0.0.6") && a.pings("10.0.1.5"));
    let (mut least, mut same, mut routed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        least.push(rate(&plain[0], &plain[1], "10.9.1.2"));
        same.push(rate(&a.ns, &b.ns, "10.0.0.6"));
        routed.push(rate(&a.ns, &c.ns, "10.0.1.5"));
    }
    let (least, same, routed) = (median(least), median(same), median(routed));
    println!("veth, bridge, VXLAN, no rules       {least:6.2} Gbit/s");
    println!("security groups, anti-spoofing      {same:6.2} Gbit/s  {:.0} %", same / least * 100.0);
    println!("the same through a router           {routed:6.2} Gbit/s  {:.0} %", routed / least * 100.0);
    let spaces = room.homes.0[..2].iter().flat_map(|h| [h.replace("th", "tb"), h.replace("th", "tg")]);
    let gone: Vec<_> = spaces.map(|ns| act(format!("netns del {ns}"))).collect();
    Kernel::default().batch(Tool::Names, None, &gone).unwrap();
    assert!(same >= least * 0.8, "filters take more than a fifth");
}
