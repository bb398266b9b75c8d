//! Addresses of machines: given once, by the primary key.

use super::segment::{self, Subnet};
use crate::model::Nic;
use base::{Fault, MachineId, Micros, Result};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;
use store::{Tx, params};

/// Addresses that are tried in one subnet.
const TRIES: usize = 4096;

/// Gives a NIC the first free address of a subnet: outside all ranges, not the rack's, not the gateway's. One
/// that it has already is kept.
///
/// # Errors
/// `Conflict` when there is none left.
pub fn give(tx: &Tx<'_>, nic: &Nic, subnet: &Subnet) -> Result<IpAddr> {
    let sql = "SELECT address FROM metal_address WHERE subnet_id = $1 AND nic_id = $2";
    if let Some(there) = tx.opt(sql, params![&subnet.id, &nic.id], |r| r.get(0))? {
        return Ok(there);
    }
    let ranges = segment::ranges(tx, Some(&subnet.id))?;
    let sql = "SELECT address FROM metal_address WHERE subnet_id = $1";
    let taken: BTreeSet<IpAddr> = tx.rows(sql, params![&subnet.id], |r| r.get(0))?.into_iter().collect();
    let free = |a: &IpAddr| {
        *a != subnet.address
            && Some(*a) != subnet.gateway
            && !taken.contains(a)
            && !subnet.dns.contains(a)
            && !ranges.iter().any(|r| r.holds(*a))
    };
    // Ranges are often large, so that what they hold does not count as tried.
    let outside = hosts(subnet.cidr).filter(|a| !ranges.iter().any(|r| r.holds(*a)));
    let found = outside.take(TRIES).find(free).ok_or_else(|| full(subnet))?;
    put(tx, subnet, &nic.id, found, "auto")?;
    Ok(found)
}

fn hosts(net: IpNet) -> Box<dyn Iterator<Item = IpAddr>> {
    match net {
        IpNet::V4(n) => Box::new(n.hosts().map(IpAddr::V4)),
        // The first is the routers' (RFC 4291, 2.6.1).
        IpNet::V6(n) => Box::new(n.hosts().skip(1).map(IpAddr::V6)),
    }
}

fn full(s: &Subnet) -> Fault {
    Fault::conflict(format!(
        "The subnet {} has no free address outside its ranges. Make a range smaller, release machines, or add a \
         subnet to the segment.",
        s.cidr
    ))
}

/// Gives a NIC this address.
///
/// # Errors
/// `Conflict` when it is another's; `BadRequest` when it is not of the subnet.
pub fn put(tx: &Tx<'_>, subnet: &Subnet, nic: &str, address: IpAddr, kind: &str) -> Result<()> {
    if !subnet.cidr.contains(&address) {
        return Err(Fault::bad_request(format!("{address} is not in the subnet {}.", subnet.cidr)));
    }
    tx.exec_unique(
        "INSERT INTO metal_address (subnet_id, address, nic_id, kind, created_at) VALUES ($1, $2, $3, $4, $5)",
        params![&subnet.id, address, nic, kind, Micros::now()],
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
