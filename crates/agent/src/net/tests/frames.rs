//! Frames that a guest writes itself, past its own kernel.

use super::hosts::open_group;
use super::world::{Client, receive, waiting, world};
use super::*;
use packet::LinkAddress;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use std::net::Ipv4Addr;

/// The bytes of an IPv4 packet with a datagram from port 4000.
pub fn datagram(from: Ipv4Addr, to: Ipv4Addr, port: u16, text: &str) -> Vec<u8> {
    let length = 8 + text.len() as u16;
    let mut ip = vec![0x45, 0];
    ip.extend((20 + length).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    let check = checksum(&ip);
    ip[10..12].copy_from_slice(&check.to_be_bytes());
    for field in [4000, port, length, 0] {
        ip.extend(field.to_be_bytes());
    }
    ip.extend(text.as_bytes());
    ip
}

/// Of an even number of bytes (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) as u16 + (sum >> 16) as u16)
}

/// Sends frames as they are from the guest's NIC.
fn send(from: &Client, frames: &[Vec<u8>]) {
    let to = LinkAddress::of(from.index());
    let all = || {
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None).unwrap();
        for frame in frames {
            sendto(&socket, frame, SendFlags::empty(), &to).unwrap();
        }
    };
    inside(&from.ns, all).unwrap();
}

fn macs(to: &Port, from: &Port) -> Vec<u8> {
    [to, from].map(|p| Mac::parse(&p.mac).unwrap().0).concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_lead_past_no_group() {
    let Some(mut world) = world().await else { return };
    let (net, mut doc) = one_network();
    let udp = SecurityRule { protocol: Some(17), min: Some(5001), max: Some(5001), ..OPEN_V4 };
    join(&mut doc, default_group(&[]));
    doc.groups[0].rules.push(udp);
    world.apply(&doc).await;
    let (a, b) = (world.client(&net, &net.ports[0]), world.client(&net, &net.ports[1]));
    a.dhcp();
    b.dhcp();
    let frame = |tag: &[u8], port: u16, text: &str| {
        let packet = datagram([10, 0, 0, 5].into(), [10, 0, 0, 6].into(), port, text);
        [&macs(&net.ports[1], &net.ports[0])[..], tag, &[8, 0][..], &packet[..]].concat()
    };
    let (shut, open) = (b.udp("10.0.0.6:5000"), b.udp("10.0.0.6:5001"));
    // From a guest whose sources nobody looks at, too. A tag of VLAN 0 is none to who receives it.
    for security in [false, true] {
        doc.networks[0].ports[0].security = security;
        world.apply(&doc).await;
        let tags: [&[u8]; 2] = [&[0x81, 0, 0, 0], &[0x88, 0xa8, 0, 0]];
        let tagged =
            tags.into_iter().flat_map(|tag| [frame(tag, 5000, "tagged"), frame(tag, 5001, "tagged")]);
        send(&a, &tagged.chain([frame(&[], 5000, "denied"), frame(&[], 5001, "plain")]).collect::<Vec<_>>());
        assert_eq!(receive(&open).map(|r| r.0), Some("plain".into()), "{security}");
        assert_eq!(waiting(&shut), None, "{security}");
    }
}

/// A neighbour advertisement (RFC 4861, 4.4) that has the sender answer for `target`, in two fragments: that it is
/// one stands only in the second, behind two headers of options. Put together it is as large as that one, so it
/// goes on whole.
fn claim(from: &Port, to: &Port, target: Ipv6Addr) -> [Vec<u8>; 2] {
    let own = Mac::parse(&from.mac).unwrap();
    let ends = [own.link_local(), Mac::parse(&to.mac).unwrap().link_local()].map(|a| a.octets()).concat();
    let mut advert = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    advert.extend(target.octets());
    advert.extend([2, 1]);
    advert.extend(own.0);
    let check = checksum(&[&ends[..], &[0, 0, 0, advert.len() as u8, 0, 0, 0, 58][..], &advert[..]].concat());
    advert[2..4].copy_from_slice(&check.to_be_bytes());
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let body = [&options(60)[..], &options(58)[..], &advert[..]].concat();
    let fragment = |piece: &[u8], place: u16| {
        let mut frame = macs(to, from);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8 + piece.len() as u8, 44, 255]);
        frame.extend(&ends);
        frame.extend([60, 0]);
        frame.extend(place.to_be_bytes());
        frame.extend([0, 0, 0, 7]);
        frame.extend(piece);
        frame
    };
    // A place counts bytes by eights; its lowest bit says that more comes.
    [fragment(&body[..8], 1), fragment(&body[8..], 8)]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_claims_a_neighbour_in_fragments() {
    let Some(mut world) = world().await else { return };
    let net = with_v6(1, Ipv6Mode::Slaac, &[1, 2]);
    let mut doc = document(vec![net.clone()], vec![]);
    join(&mut doc, open_group());
    world.apply(&doc).await;
    let (a, b) = (world.client(&net, &net.ports[0]), world.client(&net, &net.ports[1]));
    let (own, other) = ("fe80::f816:3eff:fe00:1", "fe80::f816:3eff:fe00:2");
    assert!(a.has_address(own) && b.has_address(other));
    b.ip(&["neigh replace fd00:1::1 lladdr 02:00:00:00:00:01 dev eth0 nud reachable"]);
    send(&a, &claim(&net.ports[0], &net.ports[1], "fd00:1::1".parse().unwrap()));
    // Other fragments pass; by the time that these are here, the claim would have come.
    let (from, to) =
        (a.udp(&format!("[{own}%{}]:4000", a.index())), b.udp(&format!("[{other}%{}]:5000", b.index())));
    let large = "x".repeat(1900);
    from.send_to(large.as_bytes(), format!("[{other}%{}]:5000", a.index())).unwrap();
    assert_eq!(receive(&to).map(|r| r.0.len()), Some(1900));
    let seen = b.kernel.look(Tool::Ip, Some(&b.ns), &["neigh", "show", "to", "fd00:1::1"]).unwrap();
    assert_eq!(seen[0]["lladdr"], "02:00:00:00:00:01");
}
