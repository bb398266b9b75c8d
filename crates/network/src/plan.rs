//! Which address next: pure arithmetic on ranges, no database.
//!
//! Addresses are numbers ([`num`]); a pool is an inclusive range of them. Nothing here enumerates a
//! pool, so an IPv6 /64 costs what an IPv4 /29 does. Candidates come from a random place, so that
//! writers at the same time rarely ask for the same one; whether a candidate is free is for the
//! database's primary key to say.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An inclusive range of addresses.
pub type Range = (u128, u128);

/// Random picks come from the first so many addresses of a subnet's pools, which keeps IPv6
/// addresses short and leaves plenty of room for chance.
const WINDOW: u128 = 1 << 16;

pub fn num(a: IpAddr) -> u128 {
    match a {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

/// The address of a number; `like` says of which version.
pub fn addr(n: u128, like: &IpNet) -> IpAddr {
    match like {
        IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(n).unwrap_or(u32::MAX))),
        IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(n)),
    }
}

/// An address as text that sorts as the number does.
pub fn key(a: IpAddr) -> String {
    match a {
        IpAddr::V4(a) => format!("{:08x}", u32::from(a)),
        IpAddr::V6(a) => format!("{:032x}", u128::from(a)),
    }
}

/// First and last address of a subnet that a port may have: not the network's own and the broadcast
/// address of IPv4 (RFC 919; /31 after RFC 3021 has neither), not the subnet-router anycast address of
/// IPv6 (RFC 4291, 2.6.1).
pub fn usable(cidr: &IpNet) -> Range {
    let (first, last) = (num(cidr.network()), num(cidr.broadcast()));
    match cidr {
        IpNet::V4(n) if n.prefix_len() < 31 => (first + 1, last - 1),
        IpNet::V6(n) if n.prefix_len() < 127 => (first + 1, last),
        _ => (first, last),
    }
}

/// Everything usable but the gateway.
pub fn default_pools(cidr: &IpNet, gateway: Option<IpAddr>) -> Vec<Range> {
    let (first, last) = usable(cidr);
    let Some(gw) = gateway.map(num).filter(|g| (first..=last).contains(g)) else {
        return vec![(first, last)];
    };
    let mut pools = Vec::new();
    if gw > first {
        pools.push((first, gw - 1));
    }
    if gw < last {
        pools.push((gw + 1, last));
    }
    pools
}

/// How many addresses the pools hold (the largest number when there are more).
pub fn size(pools: &[Range]) -> u128 {
    pools.iter().fold(0_u128, |n, (a, b)| n.saturating_add((b - a).saturating_add(1)))
}

/// The `n`th address of the pools.
pub fn nth(pools: &[Range], mut n: u128) -> Option<u128> {
    for (a, b) in pools {
        if n <= b - a {
            return Some(a + n);
        }
        n -= (b - a).saturating_add(1);
    }
    None
}

/// An address at random, of the first of the pools.
pub fn pick(pools: &[Range], random: u64) -> Option<u128> {
    let window = size(pools).min(WINDOW);
    if window == 0 { None } else { nth(pools, u128::from(random) % window) }
}

/// All of the pools, once, beginning at `start` and going round.
pub fn round_from(pools: &[Range], start: u128) -> Vec<Range> {
    let (mut late, mut early) = (Vec::new(), Vec::new());
    for &(a, b) in pools {
        if b < start {
            early.push((a, b));
        } else if a >= start {
            late.push((a, b));
        } else {
            late.push((start, b));
            early.push((a, start - 1));
        }
    }
    late.sort_unstable();
    early.sort_unstable();
    late.append(&mut early);
    late
}

/// The first number of `range` that is not in `used` (sorted, all within the range).
pub fn first_gap(range: Range, used: &[u128]) -> Option<u128> {
    let mut next = range.0;
    for &u in used {
        if u > next {
            break;
        }
        next = u.checked_add(1)?;
    }
    (next <= range.1).then_some(next)
}

/// The address that a host makes of its MAC in an IPv6 prefix (RFC 4291, appendix A).
pub fn eui64(cidr: &IpNet, mac: &str) -> Option<IpAddr> {
    let IpNet::V6(net) = cidr else { return None };
    let m = parse_mac(mac)?;
    let low = u64::from_be_bytes([m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]]);
    let high = u128::from(net.network()) >> 64 << 64;
    Some(IpAddr::V6(Ipv6Addr::from(high | u128::from(low))))
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut out = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut out {
        let part = parts.next().filter(|p| p.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(out)
}

/// A MAC in lower case with colons; `None` when it is not one of a single station.
pub fn normal_mac(text: &str) -> Option<String> {
    let m = parse_mac(text)?;
    (m[0] & 1 == 0 && m != [0; 6]).then(|| write_mac(m))
}

fn write_mac(m: [u8; 6]) -> String {
    format!("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
}

/// A MAC of the range that OpenStack clouds use, the rest at random.
pub fn random_mac(random: u64) -> String {
    let r = random.to_be_bytes();
    write_mac([0xfa, 0x16, 0x3e, r[5], r[6], r[7]])
}

/// The name that DHCP gives to an address that has none: `host-10-0-0-5`.
pub fn host_name(a: IpAddr) -> String {
    format!("host-{}", a.to_string().replace(['.', ':'], "-"))
}

// ------------------------------------------------------------------------------------ prefixes

/// `have` without `gone`, as prefixes.
pub fn minus(have: &IpNet, gone: &IpNet) -> Vec<IpNet> {
    if gone.contains(have) {
        return Vec::new();
    }
    if !have.contains(gone) {
        return vec![*have];
    }
    let halves = have.subnets(have.prefix_len() + 1).into_iter().flatten();
    halves.flat_map(|half| minus(&half, gone)).collect()
}

/// The first free prefix of length `len`: of the smallest of `prefixes` that has room, so that large
/// ones stay whole. `taken` is in order and does not overlap.
pub fn free_prefix(prefixes: &[IpNet], taken: &[IpNet], len: u8) -> Option<IpNet> {
    let mut fits: Vec<&IpNet> = prefixes.iter().filter(|p| p.prefix_len() <= len).collect();
    fits.sort_by_key(|p| std::cmp::Reverse(p.prefix_len()));
    fits.into_iter().find_map(|p| free_in(p, taken, len))
}

fn free_in(prefix: &IpNet, taken: &[IpNet], len: u8) -> Option<IpNet> {
    let step = 1_u128.checked_shl(u32::from(prefix.max_prefix_len() - len))?;
    let last = num(prefix.broadcast());
    let mut next = num(prefix.network());
    for t in taken.iter().filter(|t| prefix.contains(*t)) {
        if next.checked_add(step - 1)? < num(t.network()) {
            break;
        }
        // The next multiple of the step after what is taken.
        let after = num(t.broadcast()).checked_add(1)?;
        next = next.max(after.checked_add(step - 1)? / step * step);
    }
    let end = next.checked_add(step - 1)?;
    if end > last { None } else { IpNet::new(addr(next, prefix), len).ok() }
}
