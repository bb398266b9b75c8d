//! Ranges of addresses that are nearly used up, and how far they can grow: for the doctor of those who look after the
//! region.

use crate::table::segment::{self, Range, Subnet};
use crate::table::{lease, rack};
use base::{Fault, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use store::{Tx, params};

/// With fewer free addresses than this a segment soon has none.
const FEW: u64 = 5;

/// A segment that soon has no address to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Narrow {
    pub segment: String,
    /// Addresses that can still be leased.
    pub free: u64,
    /// The range that can grow, and how; `None` when there is no room beside any.
    pub wider: Option<Wider>,
}

/// A range and what it would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wider {
    pub range: String,
    pub first: IpAddr,
    pub last: IpAddr,
}

/// Segments with ranges of which hardly anything is free.
pub fn narrow(tx: &Tx<'_>) -> Result<Vec<Narrow>> {
    let mut all = Vec::new();
    for s in segment::all(tx)?.into_iter().filter(|s| s.free < FEW && s.rack.is_some()) {
        let (mut dynamic, mut wider) = (false, None);
        for n in segment::subnets_of(tx, s.id)? {
            for r in segment::ranges(tx, Some(&n.id))?.into_iter().filter(|r| r.dynamic) {
                dynamic = true;
                wider = wider.or(grown(tx, &n, &r)?);
            }
        }
        // The rack tells what is free; before its first word of a range nothing is known.
        if dynamic && lease::all(tx)?.iter().any(|l| l.segment == s.id) {
            all.push(Narrow { segment: s.name, free: s.free, wider });
        }
    }
    Ok(all)
}

/// Gives a range the room beside it. False when nothing is to be done: its segment has enough, or there is no room.
///
/// # Errors
/// `NotFound` when there is no such range.
pub fn widen(tx: &Tx<'_>, id: &str) -> Result<bool> {
    let missing = || Fault::not_found(format!("There is no range of addresses {id}."));
    let range = segment::ranges(tx, None)?.into_iter().find(|r| r.id == id).ok_or_else(missing)?;
    let wanted = narrow(tx)?.into_iter().filter_map(|n| n.wider).find(|w| w.range == id);
    let Some(wider) = wanted else { return Ok(false) };
    let sql = "UPDATE metal_range SET first = $2, last = $3 WHERE id = $1";
    tx.exec(sql, params![id, wider.first, wider.last])?;
    let subnet = segment::find_subnet(tx, &range.subnet)?;
    // Until the rack tells how many are free, these are: otherwise it would be asked for twice.
    let added = number(wider.last) - number(wider.first) - (number(range.last) - number(range.first));
    let added = i64::try_from(added).unwrap_or(i64::MAX);
    tx.exec("UPDATE segment SET free = free + $2 WHERE id = $1", params![subnet.segment, added])?;
    if let Some(rack) = segment::by_id(tx, subnet.segment)?.and_then(|s| s.rack) {
        rack::touch(tx, rack);
    }
    Ok(true)
}

fn number(a: IpAddr) -> u128 {
    match a {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn grown(tx: &Tx<'_>, n: &Subnet, r: &Range) -> Result<Option<Wider>> {
    let sql = "SELECT address FROM metal_address WHERE subnet_id = $1";
    let mut taken: BTreeSet<u128> =
        tx.rows(sql, params![&n.id], |row| Ok(number(row.get::<IpAddr>(0)?)))?.into_iter().collect();
    taken.extend([Some(n.address), n.gateway].into_iter().flatten().chain(n.dns.iter().copied()).map(number));
    let others = segment::ranges(tx, Some(&n.id))?.into_iter().filter(|o| o.id != r.id);
    let others: Vec<_> = others.map(|o| (number(o.first), number(o.last))).collect();
    let (low, high) = (number(n.cidr.network()) + 1, number(n.cidr.broadcast()).saturating_sub(1));
    let (first, last) = room((number(r.first), number(r.last)), (low, high), &taken, &others);
    let address = |n: u128| match r.first {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(n).unwrap_or_default())),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(n)),
    };
    let (first, last) = (address(first), address(last));
    let grew = (first, last) != (r.first, r.last);
    Ok(grew.then(|| Wider { range: r.id.clone(), first, last }))
}

/// The range after it has grown to at most twice its size, upwards first, up to whatever is in the way.
fn room(
    range: (u128, u128),
    subnet: (u128, u128),
    taken: &BTreeSet<u128>,
    others: &[(u128, u128)],
) -> (u128, u128) {
    let (mut first, mut last) = range;
    let mut left = last - first + 1;
    let free = |a: u128| {
        (subnet.0..=subnet.1).contains(&a)
            && !taken.contains(&a)
            && !others.iter().any(|(from, to)| (*from..=*to).contains(&a))
    };
    // A range of IPv6 has more addresses than anybody counts one by one.
    left = left.min(1 << 12);
    while left > 0 && free(last + 1) {
        (last, left) = (last + 1, left - 1);
    }
    while left > 0 && first > 0 && free(first - 1) {
        (first, left) = (first - 1, left - 1);
    }
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_grows_up_to_what_is_in_the_way() {
        let none = BTreeSet::new();
        assert_eq!(room((10, 19), (1, 254), &none, &[]), (10, 29));
        assert_eq!(room((10, 19), (1, 254), &none, &[(23, 40)]), (3, 22));
        assert_eq!(room((10, 19), (1, 254), &[25, 7].into(), &[]), (8, 24));
        assert_eq!(room((240, 254), (1, 254), &none, &[]), (225, 254));
        assert_eq!(room((1, 254), (1, 254), &none, &[]), (1, 254));
    }
}
