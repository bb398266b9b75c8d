//! Subnets of segments and their ranges: what both doors check before they write.

use crate::table::segment::{self, Range, Subnet};
use base::{Fault, Result};
use std::net::IpAddr;
use store::{Tx, params};

/// No rack has an address of its own there: none serves the subnet.
pub fn unserved(v4: bool) -> IpAddr {
    if v4 { std::net::Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() }
}

/// # Errors
/// 400 when the rack's address or the gateway is not of the subnet.
pub fn check_subnet(n: &Subnet) -> Result<()> {
    let inside = |a: &IpAddr| n.cidr.contains(a);
    let served = !n.address.is_unspecified();
    if (served && !inside(&n.address)) || !n.gateway.as_ref().is_none_or(inside) {
        return Err(Fault::bad_request(format!(
            "The rack's address and the gateway belong to the subnet {}.",
            n.cidr
        )));
    }
    Ok(())
}

/// A new subnet.
///
/// # Errors
/// As [`check_subnet`]; 409 when another subnet has some of its addresses.
pub fn enter_subnet(tx: &Tx<'_>, n: &Subnet) -> Result<()> {
    check_subnet(n)?;
    tx.alone("subnets of machines")?;
    for other in segment::subnets(tx)? {
        if other.cidr.contains(&n.cidr.network()) || n.cidr.contains(&other.cidr.network()) {
            return Err(Fault::conflict(format!("The subnet {} overlaps {}.", n.cidr, other.cidr)));
        }
    }
    segment::insert_subnet(tx, n)
}

/// # Errors
/// 400 when it is no range of the subnet; 409 when it overlaps another, or holds an address that is kept.
pub fn check_range(tx: &Tx<'_>, n: &Subnet, r: &Range) -> Result<()> {
    if !n.cidr.contains(&r.first) || !n.cidr.contains(&r.last) || r.first > r.last {
        return Err(Fault::bad_request(format!(
            "{} to {} is no range of the subnet {}.",
            r.first, r.last, n.cidr
        )));
    }
    tx.alone(&format!("ranges of {}", n.id))?;
    for other in segment::ranges(tx, Some(&n.id))? {
        if other.id != r.id && r.first <= other.last && other.first <= r.last {
            return Err(Fault::conflict(format!("The range overlaps {} to {}.", other.first, other.last)));
        }
    }
    let sql =
        "SELECT address FROM metal_address WHERE subnet_id = $1 AND (nic_id IS NOT NULL OR kind <> 'auto')";
    let kept = tx.rows(sql, params![&n.id], |row| row.get::<IpAddr>(0))?;
    match kept.into_iter().find(|a| r.dynamic && r.holds(*a)) {
        Some(a) => Err(Fault::conflict(format!("{a}, which is in the range, is given out or kept already."))),
        None => Ok(()),
    }
}
