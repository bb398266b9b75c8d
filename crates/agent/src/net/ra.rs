//! Router advertisements (RFC 4861, 4.2), as bytes; the kernel adds the checksum.
//!
//! A router on this host advertises itself from its leg. Where a subnet has none, the bridge still
//! tells guests the prefix and how to get an address, with a router lifetime of zero.

use super::space::Mac;
use base::doc::{Ipv6Mode, Subnet};
use ipnet::{IpNet, Ipv6Net};
use std::net::{IpAddr, Ipv6Addr};

const ROUTER_ADVERT: u8 = 134;
const ROUTER_SOLICIT: u8 = 133;
const ROUTER_LIFETIME_S: u16 = 1800;
const PREFIX_VALID_S: u32 = 86_400;
const PREFIX_PREFERRED_S: u32 = 14_400;
const DNS_LIFETIME_S: u32 = 1800;
/// The option that carries a route, and how many of them leave room for the rest in one packet.
const ROUTE: u8 = 24;
const MAX_ROUTES: usize = 20;
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// Whether a subnet is advertised at all.
pub fn advertised(subnet: &Subnet) -> bool {
    subnet.dhcp && subnet.ipv6.is_some() && subnet.cidr.addr().is_ipv6()
}

pub fn is_solicitation(packet: &[u8]) -> bool {
    packet.first() == Some(&ROUTER_SOLICIT)
}

/// The advertisement for the subnets of one link; `None` when there is nothing to say.
///
/// A router also says which of the subnets' routes lead through itself: `routes` (RFC 4191, 2.3).
pub fn advert(
    mac: Mac,
    mtu: u32,
    is_router: bool,
    subnets: &[&Subnet],
    routes: &[Ipv6Net],
) -> Option<Vec<u8>> {
    let subnets: Vec<(Ipv6Net, Ipv6Mode, &[IpAddr])> = subnets
        .iter()
        .filter(|s| advertised(s))
        .filter_map(|s| match s.cidr {
            IpNet::V6(net) => Some((net.trunc(), s.ipv6?, s.dns.as_slice())),
            IpNet::V4(_) => None,
        })
        .collect();
    if subnets.is_empty() {
        return None;
    }
    let flags = subnets.iter().fold(0, |all, (_, mode, _)| {
        all | match mode {
            Ipv6Mode::Slaac => 0,
            Ipv6Mode::DhcpStateless => OTHER,
            Ipv6Mode::DhcpStateful => MANAGED | OTHER,
        }
    });
    let lifetime = if is_router { ROUTER_LIFETIME_S } else { 0 };
    let mut out = vec![ROUTER_ADVERT, 0, 0, 0, 64, flags];
    out.extend(lifetime.to_be_bytes());
    out.extend([0; 8]);
    out.extend([1, 1]);
    out.extend(mac.0);
    out.extend([5, 1, 0, 0]);
    out.extend(mtu.to_be_bytes());
    for (net, mode, _) in &subnets {
        let autonomous = if *mode == Ipv6Mode::DhcpStateful { 0 } else { AUTONOMOUS };
        out.extend([3, 4, net.prefix_len(), ON_LINK | autonomous]);
        out.extend(PREFIX_VALID_S.to_be_bytes());
        out.extend(PREFIX_PREFERRED_S.to_be_bytes());
        out.extend([0; 4]);
        out.extend(net.addr().octets());
    }
    out.extend(routes.iter().take(MAX_ROUTES).flat_map(route));
    out.extend(rdnss(subnets.iter().flat_map(|(_, _, dns)| dns.iter())));
    Some(out)
}

/// One route information option, with as much of the prefix as it needs.
fn route(net: &Ipv6Net) -> Vec<u8> {
    let words = usize::from(net.prefix_len().div_ceil(64));
    let mut out = vec![ROUTE, 1 + words as u8, net.prefix_len(), 0];
    out.extend(u32::from(ROUTER_LIFETIME_S).to_be_bytes());
    out.extend(&net.network().octets()[..words * 8]);
    out
}

/// What a router that goes says last: the same, and that it is none any more (RFC 4861, 6.2.5).
pub fn farewell(advert: &[u8]) -> Vec<u8> {
    let mut out = advert.to_vec();
    if let Some(lifetime) = out.get_mut(6..8) {
        lifetime.fill(0);
    }
    let mut at = 16;
    while let Some([kind, units]) = out.get(at..at + 2).and_then(|b| <[u8; 2]>::try_from(b).ok()) {
        if kind == ROUTE
            && let Some(lifetime) = out.get_mut(at + 4..at + 8)
        {
            lifetime.fill(0);
        }
        at += usize::from(units.max(1)) * 8;
    }
    out
}

/// The name servers (RFC 8106, 5.1), at most as many as a resolver uses times two.
fn rdnss<'a>(dns: impl Iterator<Item = &'a IpAddr>) -> Vec<u8> {
    let mut servers: Vec<Ipv6Addr> = Vec::new();
    for address in dns {
        if let IpAddr::V6(a) = address
            && !servers.contains(a)
            && servers.len() < 6
        {
            servers.push(*a);
        }
    }
    let mut out = Vec::new();
    if let Some(length) = u8::try_from(servers.len() * 2 + 1).ok().filter(|_| !servers.is_empty()) {
        out.extend([25, length, 0, 0]);
        out.extend(DNS_LIFETIME_S.to_be_bytes());
        out.extend(servers.iter().flat_map(Ipv6Addr::octets));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sample::subnet;

    #[test]
    fn options_fill_whole_units_of_eight_bytes() {
        let mut one = subnet(1, "2001:db8:1::/64", None);
        one.ipv6 = Some(Ipv6Mode::DhcpStateless);
        one.dns = vec!["2001:db8::53".parse().unwrap(), "192.0.2.53".parse().unwrap()];
        let mut two = subnet(2, "2001:db8:2::/64", None);
        two.ipv6 = Some(Ipv6Mode::DhcpStateful);
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let routes = ["2001:db8:8::/48", "::/0", "2001:db8:9::1/128"].map(|n| n.parse().unwrap());
        let bytes = advert(mac, 1450, true, &[&one, &two], &routes).unwrap();
        assert_eq!(bytes[5], MANAGED | OTHER);
        let options = |bytes: &[u8]| {
            let mut rest = &bytes[16..];
            let mut found = Vec::new();
            while let [kind, units, ..] = rest {
                let (option, after) = rest.split_at(usize::from(*units) * 8);
                found.push((*kind, option.to_vec()));
                rest = after;
            }
            found
        };
        let found = options(&bytes);
        assert_eq!(found.iter().map(|(k, _)| *k).collect::<Vec<_>>(), [1, 5, 3, 3, 24, 24, 24, 25]);
        assert_eq!(found[4].1, [24, 2, 48, 0, 0, 0, 7, 8, 0x20, 1, 0xd, 0xb8, 0, 8, 0, 0]);
        assert_eq!((found[5].1.len(), found[6].1.len()), (8, 24));
        assert_eq!(advert(mac, 1450, true, &[&subnet(3, "10.0.0.0/24", None)], &[]), None);
        let last = farewell(&bytes);
        assert_eq!((&bytes[6..8], &last[6..8]), (&[7, 8][..], &[0, 0][..]));
        assert!(options(&last).iter().all(|(k, o)| *k != 24 || o[4..8] == [0; 4]));
        assert_eq!(options(&last)[2], found[2], "prefixes stay");
    }
}
