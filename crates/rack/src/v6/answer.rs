//! DHCP for IPv6 (RFC 8415) with network boot (RFC 5970): from a packet, the document and what is leased to the
//! answer. No clock, no socket.
//!
//! A client is the MAC in its link-local source address, or in its identifier. A machine has the addresses of
//! the document; others one of the range that is computed from their MAC, or, where another has that, the next.
//! Nothing is kept on the disk: after a restart a client says which address it has and keeps it, and one that is
//! given an address that somebody uses finds out (duplicate address detection) and declines it.

use crate::mac::Mac;
use crate::view::{Subnet6, View};
use base::doc::rack::{DhcpMode, HTTP_PORT};
use dhcproto::v6::{
    DhcpOption, DhcpOptions, IAAddr, IANA, Message, MessageType, OptionCode, Status, StatusCode,
    UnknownOption,
};
use dhcproto::{Decodable as _, Decoder, Encodable as _};
use std::collections::HashMap;
use std::net::Ipv6Addr;

const LIFE_S: u32 = 3600;
/// Addresses of a range that are tried for a client before there is none.
const TRIES: u128 = 256;
/// Whose an address is that was declined, and for how long.
const NOBODY: Mac = Mac([0; 6]);
const DECLINED_S: u64 = 600;
/// Leases from which on those that have ended are forgotten, and that there are at most.
const MANY: usize = 4096;
const MOST: usize = 1 << 16;
const VENDOR_CLASS: u16 = 16;
const BOOT_FILE: u16 = 59;
const ARCH: u16 = 61;
/// Who has an address of a range, with the time (seconds since the start) at which that ends.
pub type Held = HashMap<Ipv6Addr, (Mac, u64)>;

/// What is answered with.
pub struct Seat<'a> {
    pub view: &'a View,
    /// Of our interface.
    pub own: Mac,
    /// Seconds since the start.
    pub now: u64,
}

/// The answer to one packet from `source`; `None` for what is not for us.
pub fn answer(seat: &Seat<'_>, held: &mut Held, packet: &[u8], source: Ipv6Addr) -> Option<Vec<u8>> {
    let ask = Message::decode(&mut Decoder::new(packet)).ok()?;
    if seat.view.segment.dhcp != DhcpMode::Serve || seat.view.v6.is_empty() {
        return None;
    }
    let own = [&[0, 3, 0, 1][..], &seat.own.0].concat();
    if matches!(ask.opts().get(OptionCode::ServerId), Some(DhcpOption::ServerId(id)) if *id != own) {
        return None;
    }
    let client = match ask.opts().get(OptionCode::ClientId) {
        Some(DhcpOption::ClientId(id)) => Some(id.clone()),
        // Only a request for information may come without (RFC 8415, 18.2.6).
        _ if ask.msg_type() == MessageType::InformationRequest => None,
        _ => return None,
    };
    let mac = Mac::from_link_local(source).or_else(|| mac_in(client.as_deref()?))?;
    if seat.view.ignores(mac) {
        return None;
    }
    let rapid = ask.opts().get(OptionCode::RapidCommit).is_some();
    let kind = match ask.msg_type() {
        MessageType::Solicit if !rapid => MessageType::Advertise,
        MessageType::Solicit
        | MessageType::Request
        | MessageType::Renew
        | MessageType::Rebind
        | MessageType::Confirm
        | MessageType::Release
        | MessageType::Decline
        | MessageType::InformationRequest => MessageType::Reply,
        _ => return None,
    };
    let mut reply = Message::new_with_id(kind, ask.xid());
    let opts = reply.opts_mut();
    client.into_iter().for_each(|id| opts.insert(DhcpOption::ClientId(id)));
    opts.insert(DhcpOption::ServerId(own));
    match ask.msg_type() {
        MessageType::InformationRequest => {}
        message @ (MessageType::Release | MessageType::Decline) => {
            let its_own = |a: &Ipv6Addr| held.get(a).is_some_and(|(holder, _)| *holder == mac);
            let declined: Vec<_> = asked(&ask).filter(its_own).collect();
            held.retain(|_, (holder, _)| *holder != mac);
            if message == MessageType::Decline {
                held.extend(declined.into_iter().map(|a| (a, (NOBODY, seat.now + DECLINED_S))));
            }
            opts.insert(status(Status::Success, "noted"));
        }
        MessageType::Confirm => {
            let right = asked(&ask).all(|a| seat.view.v6.iter().any(|s| s.cidr.contains(&a)));
            let code = if right { Status::Success } else { Status::NotOnLink };
            opts.insert(status(code, if right { "yours" } else { "not on this link" }));
        }
        message => {
            if held.len() > MANY {
                held.retain(|_, (_, until)| *until > seat.now);
            }
            if message == MessageType::Solicit && rapid {
                opts.insert(DhcpOption::RapidCommit);
            }
            let wishes: Vec<_> = asked(&ask).collect();
            identities(&mut reply, &ask, &addresses(seat, held, mac, &wishes));
        }
    }
    configure(&mut reply, seat, &ask, mac);
    reply.to_vec().ok()
}

/// The machine's own addresses; of subnets where it has none, one of the range.
fn addresses(seat: &Seat<'_>, held: &mut Held, mac: Mac, wishes: &[Ipv6Addr]) -> Vec<Ipv6Addr> {
    let fixed = seat.view.own6(mac);
    let of = |s: &Subnet6| {
        let own: Vec<_> = fixed.iter().copied().filter(|a| s.cidr.contains(a)).collect();
        if own.is_empty() { ranged(s, seat.now, held, mac, wishes).into_iter().collect() } else { own }
    };
    seat.view.v6.iter().flat_map(of).collect()
}

fn ranged(s: &Subnet6, now: u64, held: &mut Held, mac: Mac, wishes: &[Ipv6Addr]) -> Option<Ipv6Addr> {
    let mut take = |address: Ipv6Addr| {
        let free = held.get(&address).is_none_or(|(holder, until)| *holder == mac || *until <= now);
        let room = held.len() < MOST || held.contains_key(&address);
        let good = free && room && !s.reserved.contains(&address);
        if good {
            held.insert(address, (mac, now + u64::from(LIFE_S)));
        }
        good
    };
    let in_range = |a: &&Ipv6Addr| s.ranges.iter().any(|(first, last)| (first..=last).contains(a));
    if let Some(wish) = wishes.iter().filter(in_range).find(|a| take(**a)) {
        return Some(*wish);
    }
    let number = mac.0.iter().fold(0_u128, |n, b| n << 8 | u128::from(*b));
    for (first, last) in &s.ranges {
        let size = (last.to_bits() - first.to_bits()).saturating_add(1);
        for step in 0..TRIES.min(size) {
            let address = Ipv6Addr::from_bits(first.to_bits() + (number.wrapping_add(step)) % size);
            if take(address) {
                return Some(address);
            }
        }
    }
    None
}

/// The first identity gets the addresses; there are none for others.
fn identities(reply: &mut Message, ask: &Message, addresses: &[Ipv6Addr]) {
    let wanted = ask.opts().get_all(OptionCode::IANA).unwrap_or_default();
    for (n, option) in wanted.iter().enumerate() {
        let DhcpOption::IANA(ia) = option else { continue };
        let mut opts = DhcpOptions::new();
        if n == 0 && !addresses.is_empty() {
            addresses.iter().for_each(|a| opts.insert(lease(*a, LIFE_S)));
        } else {
            opts.insert(status(Status::NoAddrsAvail, "no address is left to lease"));
        }
        // What the client believes to have and has not ends now (RFC 8415, 18.3.4).
        for address in in_identity(ia).filter(|a| !addresses.contains(a)) {
            opts.insert(lease(address, 0));
        }
        reply.opts_mut().insert(DhcpOption::IANA(IANA {
            id: ia.id,
            t1: LIFE_S / 2,
            t2: LIFE_S / 10 * 8,
            opts,
        }));
    }
}

fn lease(addr: Ipv6Addr, life: u32) -> DhcpOption {
    DhcpOption::IAAddr(IAAddr { addr, preferred_life: life, valid_life: life, opts: DhcpOptions::new() })
}

fn status(status: Status, words: &str) -> DhcpOption {
    DhcpOption::StatusCode(StatusCode { status, msg: words.into() })
}

fn in_identity(ia: &IANA) -> impl Iterator<Item = Ipv6Addr> {
    ia.opts.iter().filter_map(|o| if let DhcpOption::IAAddr(a) = o { Some(a.addr) } else { None })
}

fn asked(ask: &Message) -> impl Iterator<Item = Ipv6Addr> {
    let identities = ask.opts().get_all(OptionCode::IANA).unwrap_or_default();
    identities.iter().flat_map(|o| match o {
        DhcpOption::IANA(ia) => in_identity(ia).collect::<Vec<_>>(),
        _ => vec![],
    })
}

fn configure(reply: &mut Message, seat: &Seat<'_>, ask: &Message, mac: Mac) {
    let subnets = &seat.view.v6;
    let mut dns: Vec<Ipv6Addr> = subnets.iter().flat_map(|s| s.dns.clone()).collect();
    dns.dedup();
    let opts = reply.opts_mut();
    if !dns.is_empty() {
        opts.insert(DhcpOption::DomainNameServers(dns));
    }
    let arch = match ask.opts().get(OptionCode::from(ARCH)) {
        Some(option) => arch_of(option),
        None => None,
    };
    let (Some(subnet), Some(arch)) = (subnets.first(), arch.filter(|_| seat.view.boots(mac))) else { return };
    let (rack, name) = (subnet.address, mac.dashed());
    let url = match arch {
        7 | 9 => format!("tftp://[{rack}]/boot/{name}.efi"),
        16 => {
            // Firmware looks for this word as it does for option 60 of IPv4: enterprise 0, one class.
            let class = [&[0, 0, 0, 0, 0, 10][..], b"HTTPClient"].concat();
            opts.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::from(VENDOR_CLASS), class)));
            format!("http://[{rack}]:{HTTP_PORT}/boot/{name}.efi")
        }
        _ => return,
    };
    opts.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::from(BOOT_FILE), url.into_bytes())));
}

/// The first architecture of option 61 (RFC 5970, 3.3), however the library calls it.
fn arch_of(option: &DhcpOption) -> Option<u16> {
    let bytes = option.to_vec().ok()?;
    Some(u16::from_be_bytes([*bytes.get(4)?, *bytes.get(5)?]))
}

/// The MAC in an identifier made from one (DUID-LLT and DUID-LL of Ethernet).
fn mac_in(client: &[u8]) -> Option<Mac> {
    let mac = match client {
        [0, 1, 0, 1, _, _, _, _, mac @ ..] | [0, 3, 0, 1, mac @ ..] => mac,
        _ => return None,
    };
    Some(Mac(mac.try_into().ok()?))
}

/// The advertisement of the segment's IPv6 subnets (RFC 4861, 4.2): addresses come by DHCP, and the rack is a
/// router only where it is the subnet's gateway. `None` when there is nothing to say.
pub fn advert(view: &View, own: Mac) -> Option<Vec<u8>> {
    if view.segment.dhcp != DhcpMode::Serve || view.v6.is_empty() {
        return None;
    }
    let routes = view.v6.iter().any(|s| s.gateway == Some(s.address));
    let lifetime: u16 = if routes { 1800 } else { 0 };
    // Managed and other configuration.
    let mut out = vec![134, 0, 0, 0, 64, 0xc0];
    out.extend(lifetime.to_be_bytes());
    out.extend([0; 8]);
    out.extend([1, 1]);
    out.extend(own.0);
    if let Some(mtu) = view.v6.iter().map(|s| s.mtu).find(|m| *m != 0) {
        out.extend([5, 1, 0, 0]);
        out.extend(mtu.to_be_bytes());
    }
    for s in &view.v6 {
        // On the link; no address is to be made of it.
        out.extend([3, 4, s.cidr.prefix_len(), 0x80]);
        out.extend(86_400_u32.to_be_bytes());
        out.extend(14_400_u32.to_be_bytes());
        out.extend([0; 4]);
        out.extend(s.cidr.network().octets());
    }
    Some(out)
}

/// The advertisement of somebody who is no router and knows nothing: no prefix, no DHCP.
pub fn nothing(own: Mac) -> Vec<u8> {
    let mut out = vec![0; 16];
    out[0] = 134;
    out.extend([1, 1]);
    out.extend(own.0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::tests::document;
    use crate::view::views;
    use proptest::prelude::*;
    use std::sync::Arc;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn view() -> Arc<View> {
        let mut doc = document();
        let mut subnet = doc.segments[0].subnets[0].clone();
        subnet.cidr = "fd00::/64".parse().unwrap();
        subnet.address = "fd00::1".parse().unwrap();
        subnet.ranges = vec![("fd00::100".parse().unwrap(), "fd00::101".parse().unwrap())];
        doc.segments[0].subnets.push(subnet);
        doc.machines[0].nics[0].addresses.push("fd00::7".parse().unwrap());
        views(&doc).remove(0)
    }

    fn source(n: u16) -> Ipv6Addr {
        format!("fe80::5054:ff:fe00:{n:x}").parse().unwrap()
    }

    fn ask(kind: MessageType, more: &[(u16, &[u8])]) -> Vec<u8> {
        let mut m = Message::new_with_id(kind, [1, 2, 3]);
        m.opts_mut().insert(DhcpOption::ClientId(vec![0, 4, 9, 9]));
        m.opts_mut().insert(DhcpOption::IANA(IANA { id: 5, t1: 0, t2: 0, opts: DhcpOptions::new() }));
        for (code, data) in more {
            let option = UnknownOption::new(OptionCode::from(*code), data.to_vec());
            m.opts_mut().insert(DhcpOption::Unknown(option));
        }
        m.to_vec().unwrap()
    }

    fn given(held: &mut Held, now: u64, from: u16) -> Vec<String> {
        said(&view(), held, now, from, &ask(MessageType::Request, &[]))
    }

    fn said(view: &View, held: &mut Held, now: u64, from: u16, packet: &[u8]) -> Vec<String> {
        let seat = Seat { view, own: OWN, now };
        let bytes = answer(&seat, held, packet, source(from)).unwrap();
        let m = Message::decode(&mut Decoder::new(&bytes)).unwrap();
        asked(&m).map(|a| a.to_string()).collect()
    }

    #[test]
    fn machines_have_their_own_and_a_range_ends() {
        let mut held = Held::new();
        assert_eq!(given(&mut held, 0, 1), ["fd00::7"]);
        let first = given(&mut held, 0, 2);
        assert_eq!(given(&mut held, 0, 2), first, "the same again");
        assert_ne!(given(&mut held, 0, 4), first);
        assert_eq!(given(&mut held, 0, 6), [""; 0], "two addresses, two clients");
        assert_eq!(given(&mut held, 3601, 6).len(), 1);
    }

    #[test]
    fn nobody_declines_what_another_has() {
        let (view, mut held) = (view(), Held::new());
        let first = given(&mut held, 0, 2);
        let decline = |addresses: &[&str]| {
            let mut opts = DhcpOptions::new();
            addresses.iter().for_each(|a| opts.insert(lease(a.parse().unwrap(), 0)));
            let mut m = Message::new_with_id(MessageType::Decline, [1, 2, 3]);
            m.opts_mut().insert(DhcpOption::ClientId(vec![0, 4, 9, 9]));
            m.opts_mut().insert(DhcpOption::IANA(IANA { id: 5, t1: 0, t2: 0, opts }));
            m.to_vec().unwrap()
        };
        said(&view, &mut held, 0, 4, &decline(&[&first[0], "fd00::999", "2001:db8::1"]));
        assert_eq!((given(&mut held, 0, 2), held.len()), (first.clone(), 1));
        said(&view, &mut held, 0, 2, &decline(&[&first[0]]));
        assert_ne!(given(&mut held, 0, 2), first, "what it found in use");
    }

    #[test]
    fn leases_that_have_ended_are_forgotten() {
        let mut doc = document();
        let mut subnet = doc.segments[0].subnets[0].clone();
        subnet.cidr = "fd00::/64".parse().unwrap();
        subnet.address = "fd00::1".parse().unwrap();
        subnet.ranges = vec![("fd00::1000".parse().unwrap(), "fd00::ffff:ffff".parse().unwrap())];
        doc.segments[0].subnets.push(subnet);
        let (view, mut held) = (views(&doc).remove(0), Held::new());
        for n in 0..10_000 {
            let packet = ask(MessageType::Request, &[]);
            assert_eq!(said(&view, &mut held, u64::from(n) * 3601, 10 + n, &packet).len(), 1);
        }
        assert!(held.len() <= MANY + 1, "{}", held.len());
    }

    #[test]
    fn firmware_is_told_where_its_program_is() {
        let (view, mut held) = (view(), Held::new());
        let seat = Seat { view: &view, own: OWN, now: 0 };
        for (arch, url) in [
            (7, "tftp://[fd00::1]/boot/52-54-00-00-00-01.efi"),
            (16, "http://[fd00::1]:5248/boot/52-54-00-00-00-01.efi"),
        ] {
            let bytes = ask(MessageType::Solicit, &[(ARCH, &[0, arch])]);
            let reply = answer(&seat, &mut held, &bytes, source(1)).unwrap();
            assert!(reply.windows(url.len()).any(|w| w == url.as_bytes()), "{arch}");
            let class = reply.windows(10).any(|w| w == b"HTTPClient");
            assert_eq!(class, arch == 16);
        }
        let advert = advert(&view, OWN).unwrap();
        assert_eq!((advert[0], advert[5], &advert[6..8]), (134, 0xc0, &[0, 0][..]));
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..60, to in any::<u8>()) {
            let (view, mut held) = (view(), Held::new());
            let seat = Seat { view: &view, own: OWN, now: 0 };
            let mut near = ask(MessageType::Request, &[(ARCH, &[0, 7])]);
            let at = at % near.len();
            near[at] = to;
            near.extend(&bytes);
            for packet in [&bytes, &near] {
                let _ = answer(&seat, &mut held, packet, source(2));
            }
        }
    }
}
