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
pub fn advert(mac: Mac, mtu: u32, is_router: bool, subnets: &[&Subnet]) -> Option<Vec<u8>> {
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
    out.extend(rdnss(subnets.iter().flat_map(|(_, _, dns)| dns.iter())));
    Some(out)
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
        let bytes = advert(mac, 1450, true, &[&one, &two]).unwrap();
        assert_eq!(bytes[5], MANAGED | OTHER);
        let mut rest = &bytes[16..];
        let mut kinds = Vec::new();
        while let [kind, units, ..] = rest {
            kinds.push(*kind);
            rest = &rest[usize::from(*units) * 8..];
        }
        assert_eq!(kinds, [1, 5, 3, 3, 25]);
        assert_eq!(advert(mac, 1450, true, &[&subnet(3, "10.0.0.0/24", None)]), None);
    }
}
