//! Giving addresses to ports. [`crate::plan`] says which to try, the primary key of `port_address`
//! says whether it is free.

use crate::model::{Port, Subnet};
use crate::{err, plan, table};
use base::doc::PortAddress;
use base::{Result, SubnetId};
use ipnet::IpNet;
use std::net::IpAddr;
use store::Tx;

/// Addresses that one port may have.
pub const MAX_FIXED: usize = 16;
/// Random tries before the gaps are looked for one by one.
const RANDOM_TRIES: usize = 4;
/// Used addresses that one look for a gap reads.
const LOOK: i64 = 256;

/// One entry of a port's `fixed_ips` as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub subnet: Option<SubnetId>,
    pub address: Option<IpAddr>,
}

/// Gives a port the addresses asked for, or (with `None`) those that a port gets by itself.
/// `had` stays when it fits what is asked; the rest of it is let go.
pub fn assign(
    tx: &Tx<'_>,
    port: &Port,
    subnets: &[Subnet],
    wants: Option<&[Want]>,
    had: &[PortAddress],
) -> Result<Vec<PortAddress>> {
    let fits: Vec<&Subnet> = subnets.iter().filter(|s| serves(s, &port.device_owner)).collect();
    if wants.is_none() && fits.is_empty() && !subnets.is_empty() {
        return Err(err::conflict(
            "IpAddressGenerationFailureNoMatchingSubnet",
            format!(
                "No valid service subnet for the given device owner, network {}: its subnets are for other service types.",
                port.network
            ),
        ));
    }
    let mut left = had.to_vec();
    let mut todo: Vec<(usize, Todo<'_>)> = Vec::new();
    let mut got: Vec<(usize, PortAddress)> = Vec::new();
    for (seq, step) in steps(port, &fits, subnets, wants)?.into_iter().enumerate() {
        let kept = left.iter().position(|a| match &step {
            Todo::This(s, address) => a.subnet == s.id && a.address == *address,
            Todo::AnyOf(list) => list.iter().any(|s| s.id == a.subnet),
        });
        match kept {
            Some(i) => got.push((seq, left.remove(i))),
            None => todo.push((seq, step)),
        }
    }
    for gone in &left {
        table::port::let_go(tx, gone)?;
    }
    for (seq, step) in todo {
        let address = match step {
            Todo::This(s, address) => {
                if !table::port::claim(tx, s.id, address, port.id, seq)? {
                    return Err(err::address_taken(address, s.id));
                }
                PortAddress { subnet: s.id, address }
            }
            Todo::AnyOf(list) => {
                any(tx, &list, port, seq)?.ok_or_else(|| err::no_more_addresses(port.network))?
            }
        };
        got.push((seq, address));
    }
    got.sort_by_key(|(seq, _)| *seq);
    Ok(got.into_iter().map(|(_, a)| a).collect())
}

enum Todo<'a> {
    This(&'a Subnet, IpAddr),
    AnyOf(Vec<&'a Subnet>),
}

/// What a port is to get, in the order of its `fixed_ips`.
fn steps<'a>(
    port: &Port,
    fits: &[&'a Subnet],
    all: &'a [Subnet],
    wants: Option<&[Want]>,
) -> Result<Vec<Todo<'a>>> {
    let router = is_router_leg(&port.device_owner);
    let mut steps = Vec::new();
    match wants {
        None => {
            for v6 in [false, true] {
                let list: Vec<&Subnet> =
                    fits.iter().copied().filter(|s| s.is_v6() == v6 && (router || !s.is_auto())).collect();
                if !list.is_empty() {
                    steps.push(Todo::AnyOf(list));
                }
            }
        }
        Some([]) => return Ok(steps),
        Some(wants) if wants.len() > MAX_FIXED => {
            return Err(err::invalid(format!("A port can have at most {MAX_FIXED} fixed IPs.")));
        }
        Some(wants) => {
            for want in wants {
                steps.push(wanted(port, all, want, router)?);
            }
        }
    }
    if !router {
        // What guests make by themselves is theirs, whether it was asked for or not.
        for s in fits.iter().filter(|s| s.is_auto()) {
            if steps.iter().any(|t| matches!(t, Todo::This(o, _) if o.id == s.id)) {
                continue;
            }
            if let Some(address) = plan::eui64(&s.cidr, &port.mac) {
                steps.push(Todo::This(s, address));
            }
        }
    }
    Ok(steps)
}

fn wanted<'a>(port: &Port, all: &'a [Subnet], want: &Want, router: bool) -> Result<Todo<'a>> {
    let subnet = match (want.subnet, want.address) {
        (Some(id), _) => all.iter().find(|s| s.id == id).ok_or_else(|| {
            err::invalid(format!(
                "Subnet {id} is not on network {}, so a port there cannot use it.",
                port.network
            ))
        })?,
        (None, Some(a)) => all.iter().find(|s| s.cidr.contains(&a)).ok_or_else(|| {
            err::bad(
                "InvalidIpForNetwork",
                format!("IP address {a} is not a valid IP for any of the subnets on the specified network."),
            )
        })?,
        (None, None) => return Err(err::invalid("IP allocation requires subnet_id or ip_address.")),
    };
    let own = if subnet.is_auto() && !router { plan::eui64(&subnet.cidr, &port.mac) } else { None };
    match (want.address, own) {
        (None, Some(own)) => Ok(Todo::This(subnet, own)),
        (None, None) => Ok(Todo::AnyOf(vec![subnet])),
        (Some(a), own) => {
            check_in(&subnet.cidr, a)?;
            if own.is_some_and(|own| own != a) {
                return Err(err::bad(
                    "AllocationOnAutoAddressSubnet",
                    format!(
                        "IPv6 address {a} can not be directly assigned to a port on subnet {} as the subnet is configured for automatic addresses",
                        subnet.id
                    ),
                ));
            }
            Ok(Todo::This(subnet, a))
        }
    }
}

/// Refuses an address that no port can have in a subnet.
pub fn check_in(cidr: &IpNet, a: IpAddr) -> Result<()> {
    let (first, last) = plan::usable(cidr);
    if cidr.contains(&a) && (first..=last).contains(&plan::num(a)) {
        return Ok(());
    }
    Err(err::bad("InvalidIpForSubnet", format!("IP address {a} is not a valid IP for the specified subnet.")))
}

/// Whether ports of this owner may have addresses of a subnet (`service_types`).
fn serves(s: &Subnet, owner: &str) -> bool {
    s.service_types.is_empty() || s.service_types.iter().any(|t| t == owner)
}

pub fn is_router_leg(owner: &str) -> bool {
    owner == "network:router_interface"
}

/// An address of the first of these subnets that has one left.
fn any(tx: &Tx<'_>, subnets: &[&Subnet], port: &Port, seq: usize) -> Result<Option<PortAddress>> {
    for s in subnets {
        if let Some(address) = allocate(tx, s, port, seq)? {
            return Ok(Some(PortAddress { subnet: s.id, address }));
        }
    }
    Ok(None)
}

/// A free address of a subnet's pools, taken.
fn allocate(tx: &Tx<'_>, s: &Subnet, port: &Port, seq: usize) -> Result<Option<IpAddr>> {
    let pools: Vec<plan::Range> = s.pools.iter().map(|(a, b)| (plan::num(*a), plan::num(*b))).collect();
    for _ in 0..RANDOM_TRIES {
        let Some(n) = plan::pick(&pools, rand::random()) else { return Ok(None) };
        let address = plan::addr(n, &s.cidr);
        if table::port::claim(tx, s.id, address, port.id, seq)? {
            return Ok(Some(address));
        }
    }
    let Some(start) = plan::pick(&pools, rand::random()) else { return Ok(None) };
    for range in plan::round_from(&pools, start) {
        if let Some(address) = next_gap(tx, s, range, port, seq)? {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Walks the addresses in use of a range, a few hundred at a time, to the first gap and takes it.
fn next_gap(
    tx: &Tx<'_>,
    s: &Subnet,
    mut range: plan::Range,
    port: &Port,
    seq: usize,
) -> Result<Option<IpAddr>> {
    let text = |n| plan::key(plan::addr(n, &s.cidr));
    loop {
        let used = table::port::used(tx, s.id, &text(range.0), &text(range.1), LOOK)?;
        let used: Vec<u128> = used.into_iter().map(plan::num).collect();
        let Some(n) = plan::first_gap(range, &used) else { return Ok(None) };
        let address = plan::addr(n, &s.cidr);
        if table::port::claim(tx, s.id, address, port.id, seq)? {
            return Ok(Some(address));
        }
        // The run of used addresses is longer than the look, or somebody took the gap just now.
        range.0 = n + 1;
        if range.0 > range.1 {
            return Ok(None);
        }
    }
}
