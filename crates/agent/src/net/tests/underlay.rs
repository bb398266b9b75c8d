//! Who is heard by the tunnels between hosts, seen with packets.

use super::frames::datagram;
use super::hosts::{Room, open_group, spread};
use super::world::{receive, waiting};
use super::*;

/// What a tunnel would carry: a datagram from `10.0.9.9` for port 5000 of the guest, in a frame for its MAC.
fn crafted(vni: u32, to: &Port, text: &str) -> Vec<u8> {
    let IpAddr::V4(address) = to.addresses[0].address else { panic!("an IPv4 address") };
    let mut frame = vec![8, 0, 0, 0];
    frame.extend(&vni.to_be_bytes()[1..]);
    frame.push(0);
    frame.extend(Mac::parse(&to.mac).unwrap().0);
    frame.extend([2, 0, 0, 0, 9, 9, 8, 0]);
    frame.extend(datagram([10, 0, 9, 9].into(), address, 5000, text));
    frame
}

/// Two hosts: the first leads outside and has a guest with a router, and one on another's network, whose other
/// guest is on the second host.
fn two_tenants(room: &Room, at: impl Fn(u8) -> IpAddr) -> Desired {
    let mut doc = routed(at);
    let ports = vec![port(7, &[(7, "10.0.7.5")]), port(8, &[(7, "10.0.7.6")])];
    doc.networks.push(network(7, vec![subnet(7, "10.0.7.0/24", Some("10.0.7.1"))], ports));
    join(&mut doc, open_group());
    let [one, two] = room.ids[..] else { panic!("two hosts") };
    spread(&mut doc, &[one, one, two, one, two]);
    doc
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_hear_hosts_and_nobody_else() {
    let Some(mut room) = Room::new(2, false).await else { return };
    let at = outside();
    let doc = two_tenants(&room, at);
    room.apply(&doc, 0).await;
    let evil = room.guest(&doc, 0, 1);
    let (mate, victim) = (room.guest(&doc, 3, 0), room.guest(&doc, 3, 1));
    let (vni, to) = (doc.networks[3].vni, doc.networks[3].ports[1].clone());
    let tunnel = std::net::SocketAddr::from((room.tunnels[1], 4789));
    let heard = victim.udp("10.0.7.6:5000");
    let other = mate.udp("10.0.7.5:4000");
    // The frame is a good one: from the other host itself it arrives.
    let known = room.udp(0, (room.tunnels[0], 0));
    known.send_to(&crafted(vni, &to, "from a host"), tunnel).unwrap();
    assert_eq!(receive(&heard), Some(("from a host".into(), "10.0.9.9".parse().unwrap())));
    // A guest, whose packets leave its host with the host's address, sends the same. What it sends to the second host
    // itself comes; and what a guest of that network says after that is all that is heard there.
    let there = room.udp(1, (room.tunnels[1], 4999));
    let from = evil.udp("10.0.0.6:4000");
    for _ in 0..3 {
        from.send_to(&crafted(vni, &to, "from a guest"), tunnel).unwrap();
    }
    from.send_to(b"after", (room.tunnels[1], 4999)).unwrap();
    assert_eq!(receive(&there), Some(("after".into(), room.tunnels[0])), "translated as ever");
    other.send_to(b"mate", "10.0.7.6:5000").unwrap();
    assert_eq!(receive(&heard), Some(("mate".into(), "10.0.7.5".parse().unwrap())));
    assert_eq!(waiting(&heard), None);
    // So does whoever reaches the second host by another address: a guest on a provider network that is routed there.
    let stranger: IpAddr = "192.0.2.77".parse().unwrap();
    let line = act(format!("addr add {stranger}/24 dev u0"));
    Kernel::default().batch(Tool::Ip, Some(&room.homes.0[0]), &[line]).unwrap();
    let from = room.udp(0, (stranger, 0));
    from.send_to(&crafted(vni, &to, "from a stranger"), tunnel).unwrap();
    from.send_to(b"after", (room.tunnels[1], 4999)).unwrap();
    assert_eq!(receive(&there), Some(("after".into(), stranger)));
    other.send_to(b"mate", "10.0.7.6:5000").unwrap();
    assert_eq!(receive(&heard).map(|r| r.0), Some("mate".into()));
    assert_eq!(waiting(&heard), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_leave_from_the_address_that_others_know() {
    let Some(mut room) = Room::new(2, false).await else { return };
    let (_, mut doc) = one_network();
    spread(&mut doc, &room.ids.clone());
    join(&mut doc, open_group());
    // The route to the second host would have another address of the first.
    let line = act("addr add 192.0.2.101/24 dev u0");
    Kernel::default().batch(Tool::Ip, Some(&room.homes.0[0]), &[line]).unwrap();
    let second: IpAddr = "192.0.2.101".parse().unwrap();
    let first = std::mem::replace(&mut room.tunnels[0], second);
    room.worlds[0].path = room.worlds[0].path.clone().reached_at(Some(second));
    room.apply(&doc, 0).await;
    let (a, b) = (room.guest(&doc, 0, 0), room.guest(&doc, 0, 1));
    assert!(a.pings("10.0.0.6") && b.pings("10.0.0.5"));
    // After a restart with the other address, tunnels that are there change.
    room.worlds[0].restart().await;
    room.worlds[0].path = room.worlds[0].path.clone().reached_at(Some(first));
    room.tunnels[0] = first;
    room.apply(&doc, 0).await;
    assert!(a.pings("10.0.0.6") && b.pings("10.0.0.5"));
}
