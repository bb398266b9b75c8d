//! Addresses of machines: given once, by the primary key.

use super::segment::{self, Range, Subnet};
use super::{lease, number, vlan};
use crate::model::Nic;
use base::{Fault, MachineId, Micros, Result, UserId};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use store::{Tx, params};

/// Gives a NIC the first free address of a subnet: outside all ranges, not the rack's, not the gateway's. One
/// that it has already is kept.
///
/// # Errors
/// `Conflict` when there is none left.
pub fn give(tx: &Tx<'_>, nic: &Nic, subnet: &Subnet) -> Result<IpAddr> {
    let sql = "SELECT address FROM metal_address WHERE subnet_id = $1 AND (nic_id = $2 OR mac = $3) LIMIT 1";
    if let Some(there) = tx.opt(sql, params![&subnet.id, &nic.id, &nic.mac], |r| r.get(0))? {
        return Ok(there);
    }
    let found = free(tx, subnet, &nic.mac)?;
    put(tx, subnet, &nic.id, found, "auto")?;
    Ok(found)
}

/// The first address of a subnet that nobody has, and nobody but this MAC (empty: nobody) a lease of: outside all
/// ranges, or inside the reserved ones of a subnet whose other addresses are somebody else's to give.
///
/// # Errors
/// `Conflict` when there is none left.
pub fn free(tx: &Tx<'_>, subnet: &Subnet, mac: &str) -> Result<IpAddr> {
    let managed = vlan::of_subnets(tx)?.remove(&subnet.id).unwrap_or_default().managed;
    let ranges = segment::ranges(tx, Some(&subnet.id))?;
    let sql = "SELECT address FROM metal_address WHERE subnet_id = $1";
    let mut taken: BTreeSet<IpAddr> = tx.rows(sql, params![&subnet.id], |r| r.get(0))?.into_iter().collect();
    taken.extend(lease::of_others(tx, subnet.segment, mac)?.into_iter().map(|l| l.address));
    let free = |a: &IpAddr| {
        *a != subnet.address && Some(*a) != subnet.gateway && !taken.contains(a) && !subnet.dns.contains(a)
    };
    let v4 = matches!(subnet.cidr, IpNet::V4(_));
    let may = spans(subnet.cidr, managed, &ranges).into_iter().flat_map(|(first, last)| first..=last);
    // Every step but the last meets an address that somebody has, and those are few, however large the subnet is.
    may.map(|n| of_bits(n, v4)).find(free).ok_or_else(|| full(subnet, managed))
}

/// What addresses may be given of, lowest first: of a managed subnet what no range holds, of another what the reserved
/// ranges hold.
fn spans(net: IpNet, managed: bool, ranges: &[Range]) -> Vec<(u128, u128)> {
    let (first, last) = edges(net);
    let held = ranges.iter().filter(|r| managed || !r.dynamic);
    let mut held: Vec<_> = held.map(|r| (bits(r.first), bits(r.last))).collect();
    held.sort_unstable();
    if !managed {
        return held.into_iter().map(|(from, to)| (from.max(first), to.min(last))).collect();
    }
    let (mut gaps, mut next) = (Vec::new(), first);
    for (from, to) in held {
        if next < from {
            gaps.push((next, (from - 1).min(last)));
        }
        next = next.max(to.saturating_add(1));
    }
    gaps.push((next, last));
    gaps
}

/// The first and the last address of a subnet that can be somebody's.
fn edges(net: IpNet) -> (u128, u128) {
    let (first, last) = (bits(net.network()), bits(net.broadcast()));
    match net {
        IpNet::V4(n) if n.prefix_len() < 31 => (first + 1, last - 1),
        IpNet::V4(_) => (first, last),
        // The first is the routers' (RFC 4291, 2.6.1).
        IpNet::V6(_) => (first.saturating_add(1), last),
    }
}

/// An address as a number.
pub fn bits(a: IpAddr) -> u128 {
    match a {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The address of a number.
pub fn of_bits(bits: u128, v4: bool) -> IpAddr {
    match u32::try_from(bits) {
        Ok(low) if v4 => Ipv4Addr::from_bits(low).into(),
        _ => Ipv6Addr::from_bits(bits).into(),
    }
}

fn full(s: &Subnet, managed: bool) -> Fault {
    if !managed {
        return Fault::conflict(format!(
            "The subnet {} is not managed, and its reserved ranges have no free address. Reserve a range of what may \
             be given, or name the address.",
            s.cidr
        ));
    }
    Fault::conflict(format!(
        "The subnet {} has no free address outside its ranges. Make a range smaller, release machines, or add a \
         subnet to the segment.",
        s.cidr
    ))
}

/// # Errors
/// `Conflict` for an address that another MAC has a lease of.
pub fn not_leased(tx: &Tx<'_>, subnet: &Subnet, address: IpAddr, mac: &str) -> Result<()> {
    match lease::of_others(tx, subnet.segment, mac)?.into_iter().find(|l| l.address == address) {
        None => Ok(()),
        Some(l) => Err(Fault::conflict(format!(
            "{} has a lease of {address} until {}. Take another address, or wait until then.",
            l.mac,
            l.expires_at.seconds_z()
        ))),
    }
}

/// Gives a NIC this address.
///
/// # Errors
/// `Conflict` when it is another's; `BadRequest` when it is not of the subnet.
pub fn put(tx: &Tx<'_>, subnet: &Subnet, nic: &str, address: IpAddr, kind: &str) -> Result<()> {
    if !subnet.cidr.contains(&address) {
        return Err(Fault::bad_request(format!("{address} is not in the subnet {}.", subnet.cidr)));
    }
    // Those that are given by themselves need none, and all deployments would wait for one another.
    let number = if kind == "auto" { 0 } else { number(tx, "address")? };
    tx.exec_unique(
        "INSERT INTO metal_address (subnet_id, address, nic_id, kind, number, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![&subnet.id, address, nic, kind, number, Micros::now()],
        || Fault::conflict(format!("The address {address} is taken.")),
    )
    .map(drop)
}

/// Takes back what a deployment gave.
pub fn take_back(tx: &Tx<'_>, machine: MachineId) -> Result<()> {
    tx.exec(
        "DELETE FROM metal_address WHERE kind = 'auto'
           AND nic_id IN (SELECT id FROM machine_nic WHERE machine_id = $1)",
        params![machine],
    )
    .map(drop)
}

/// An address that somebody keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub number: i64,
    pub subnet: String,
    pub address: IpAddr,
    /// `user`: for nobody; `reserved`: for the NIC of `mac`, now or later.
    pub kind: String,
    pub mac: String,
    pub user: UserId,
    pub comment: String,
    pub created_at: Micros,
}

pub fn kept(tx: &Tx<'_>, kind: &str) -> Result<Vec<Kept>> {
    tx.rows(
        "SELECT number, subnet_id, address, kind, mac, user_id, comment, created_at FROM metal_address
         WHERE kind = $1 ORDER BY number",
        params![kind],
        |r| {
            Ok(Kept {
                number: r.get(0)?,
                subnet: r.get(1)?,
                address: r.get(2)?,
                kind: r.get(3)?,
                mac: r.get(4)?,
                user: r.get(5)?,
                comment: r.get(6)?,
                created_at: r.get(7)?,
            })
        },
    )
}

/// Keeps an address; answers it with its number.
///
/// # Errors
/// `BadRequest` when it is not of the subnet, or the rack's, or leased to anybody; `Conflict` when it is taken, or
/// leased to another MAC.
pub fn keep(tx: &Tx<'_>, subnet: &Subnet, k: Kept) -> Result<Kept> {
    if !subnet.cidr.contains(&k.address) {
        return Err(Fault::bad_request(format!("{} is not in the subnet {}.", k.address, subnet.cidr)));
    }
    if k.address == subnet.address || Some(k.address) == subnet.gateway {
        return Err(Fault::bad_request(format!("{} is the rack's or the gateway's.", k.address)));
    }
    let ranges = segment::ranges(tx, Some(&subnet.id))?;
    if let Some(r) = ranges.iter().find(|r| r.dynamic && r.holds(k.address)) {
        return Err(Fault::bad_request(format!(
            "{} is in the dynamic range {} to {}, which is leased to anybody.",
            k.address, r.first, r.last
        )));
    }
    not_leased(tx, subnet, k.address, &k.mac)?;
    let number = number(tx, "address")?;
    tx.exec_unique(
        "INSERT INTO metal_address (subnet_id, address, nic_id, kind, mac, user_id, comment, number, created_at)
         VALUES ($1, $2, NULL, $3, $4, $5, $6, $7, $8)",
        params![&subnet.id, k.address, &k.kind, &k.mac, &k.user, &k.comment, number, k.created_at],
        || Fault::conflict(format!("The address {} is taken.", k.address)),
    )?;
    Ok(Kept { number, ..k })
}

pub fn comment(tx: &Tx<'_>, number: i64, comment: &str) -> Result<()> {
    tx.exec("UPDATE metal_address SET comment = $2 WHERE number = $1", params![number, comment]).map(drop)
}

/// Gives back an address that was chosen for this NIC. False when there is none: what is kept for its MAC stays.
pub fn unlink(tx: &Tx<'_>, nic: &str, address: IpAddr) -> Result<bool> {
    let sql = "DELETE FROM metal_address WHERE nic_id = $1 AND address = $2 AND kind = 'static'";
    Ok(tx.exec(sql, params![nic, address])? > 0)
}

/// Whether somebody keeps this address for a MAC.
pub fn is_kept(tx: &Tx<'_>, mac: &str, address: IpAddr) -> Result<bool> {
    let sql = "SELECT number FROM metal_address WHERE mac = $1 AND address = $2 LIMIT 1";
    Ok(tx.opt(sql, params![mac, address], |r| r.get::<i64>(0))?.is_some())
}

/// Gives back an address that was kept.
pub fn let_go(tx: &Tx<'_>, subnet: &str, address: IpAddr) -> Result<()> {
    let sql = "DELETE FROM metal_address WHERE subnet_id = $1 AND address = $2 AND nic_id IS NULL";
    tx.exec(sql, params![subnet, address]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(net: &str, managed: bool, ranges: &[(bool, &str, &str)]) -> Vec<String> {
        let range = |(dynamic, first, last): &(bool, &str, &str)| Range {
            id: String::new(),
            number: 0,
            subnet: String::new(),
            dynamic: *dynamic,
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            comment: String::new(),
        };
        let (net, ranges): (IpNet, Vec<_>) = (net.parse().unwrap(), ranges.iter().map(range).collect());
        let v4 = net.addr().is_ipv4();
        let shown = |(a, b): (u128, u128)| (a <= b).then(|| format!("{}-{}", of_bits(a, v4), of_bits(b, v4)));
        spans(net, managed, &ranges).into_iter().filter_map(shown).collect()
    }

    #[test]
    fn addresses_are_given_beside_the_ranges_or_of_the_reserved_ones() {
        let two = [(true, "10.9.0.100", "10.9.0.200"), (false, "10.9.0.2", "10.9.0.9")];
        let beside = ["10.9.0.1-10.9.0.1", "10.9.0.10-10.9.0.99", "10.9.0.201-10.9.0.254"];
        assert_eq!(of("10.9.0.0/24", true, &two), beside);
        assert_eq!(of("10.9.0.0/24", false, &two), ["10.9.0.2-10.9.0.9"]);
        assert_eq!(of("10.9.0.0/24", true, &[(true, "10.9.0.0", "10.9.0.255")]), [""; 0]);
        assert_eq!(of("10.9.0.0/24", false, &[(false, "10.9.0.0", "10.9.0.255")]), ["10.9.0.1-10.9.0.254"]);
        assert_eq!(of("10.9.0.0/31", true, &[]), ["10.9.0.0-10.9.0.1"]);
        assert_eq!(
            of("fd00::/126", true, &[(true, "fd00::2", "fd00::2")]),
            ["fd00::1-fd00::1", "fd00::3-fd00::3"]
        );
        assert_eq!(of("fd00::/64", false, &[]), [""; 0]);
    }
}
