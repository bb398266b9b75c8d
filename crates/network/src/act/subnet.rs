//! Subnets.

use super::{Caller, give, pool, take};
use crate::model::{Network, Std, Subnet};
use crate::{err, plan, table, touch};
use base::doc::Route;
use base::{NetworkId, ProjectId, Result, SubnetId, SubnetPoolId};
use ipnet::IpNet;
use std::net::IpAddr;
use store::{Tx, params};

pub const MAX_DNS: usize = 5;
pub const MAX_ROUTES: usize = 20;

/// What a subnet's gateway should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// The first address.
    Default,
    None,
    At(IpAddr),
}

/// Where a subnet's prefix comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cidr {
    This(IpNet),
    FromPool(pool::Want),
}

/// A subnet as asked for.
#[derive(Debug, Clone)]
pub struct New {
    pub network: NetworkId,
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub cidr: Cidr,
    pub gateway: Gateway,
    pub dhcp: bool,
    pub ra_mode: Option<String>,
    pub address_mode: Option<String>,
    pub pools: Option<Vec<(IpAddr, IpAddr)>>,
    pub dns: Vec<IpAddr>,
    pub routes: Vec<Route>,
    pub service_types: Vec<String>,
}

impl New {
    pub fn plain(network: &Network, name: &str, cidr: IpNet) -> Self {
        New {
            network: network.id,
            project: network.std.project.clone(),
            name: name.to_owned(),
            description: String::new(),
            cidr: Cidr::This(cidr),
            gateway: Gateway::Default,
            dhcp: true,
            ra_mode: None,
            address_mode: None,
            pools: None,
            dns: Vec::new(),
            routes: Vec::new(),
            service_types: Vec::new(),
        }
    }
}

pub fn create(tx: &Tx<'_>, caller: &Caller, new: New) -> Result<Subnet> {
    let network = super::network::visible(tx, caller, new.network)?;
    if !caller.owns(&network.std.project) {
        return Err(err::policy("create_subnet"));
    }
    // The network is held from here on, so that two overlapping subnets cannot come at once. Parents are
    // held before quotas everywhere, so that nobody waits in a circle.
    table::bump(tx, "network", &new.network.to_string())?;
    let (pool, cidr) = match new.cidr {
        Cidr::This(cidr) => (None, cidr),
        Cidr::FromPool(want) => {
            let (pool, cidr) = pool::choose(tx, caller, &new.project, &want)?;
            (Some(pool), cidr)
        }
    };
    let s = checked(new, cidr, pool.as_ref().map(|p| p.id))?;
    take(tx, &s.std.project, "subnet")?;
    let others = table::subnet::of_network(tx, s.network)?;
    let alike: Vec<&Subnet> = others.iter().filter(|o| o.is_v6() == s.is_v6()).collect();
    pool::check_affinity(tx, pool.as_ref(), &alike)?;
    for other in &others {
        if overlap(&other.cidr, &s.cidr) {
            return Err(err::invalid(format!(
                "Invalid input for operation: Requested subnet with cidr: {} for network: {} overlaps with another subnet ({}).",
                s.cidr, s.network, other.id
            )));
        }
    }
    table::subnet::insert(tx, &s)?;
    if let Some(pool) = &pool {
        pool::claim(tx, pool, &s)?;
    }
    if s.is_auto() {
        address_present_ports(tx, &s)?;
    }
    touch::subnets(tx, s.network)?;
    Ok(s)
}

/// Guests that are there already make themselves an address as soon as the prefix is announced.
fn address_present_ports(tx: &Tx<'_>, s: &Subnet) -> Result<()> {
    for p in table::port::find(tx, "t.network_id = $1", params![s.network])? {
        if p.device_owner.starts_with("network:") {
            continue;
        }
        if let Some(a) = plan::eui64(&s.cidr, &p.mac) {
            table::port::claim(tx, s.id, a, p.id, p.addresses.len())?;
        }
    }
    Ok(())
}

pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn checked(new: New, cidr: IpNet, pool: Option<SubnetPoolId>) -> Result<Subnet> {
    check_cidr(&cidr)?;
    check_modes(&new, &cidr)?;
    let first = plan::addr(plan::usable(&cidr).0, &cidr);
    let gateway = match new.gateway {
        Gateway::None => None,
        Gateway::At(a) => Some(a),
        // A single address is for the one port, not for a gateway.
        Gateway::Default => (cidr.prefix_len() < cidr.max_prefix_len()).then_some(first),
    };
    let pools = match new.pools {
        Some(p) => p,
        None => default_pools(&cidr, gateway),
    };
    let s = Subnet {
        id: SubnetId::new(),
        std: Std::new(&new.project, &new.name, &new.description),
        network: new.network,
        cidr,
        gateway,
        dhcp: new.dhcp,
        ra_mode: new.ra_mode,
        address_mode: new.address_mode,
        pools,
        dns: new.dns,
        routes: new.routes,
        service_types: new.service_types,
        pool,
    };
    check(&s)?;
    Ok(s)
}

fn default_pools(cidr: &IpNet, gateway: Option<IpAddr>) -> Vec<(IpAddr, IpAddr)> {
    let pools = plan::default_pools(cidr, gateway.filter(|g| cidr.contains(g)));
    pools.into_iter().map(|(a, b)| (plan::addr(a, cidr), plan::addr(b, cidr))).collect()
}

fn check_cidr(cidr: &IpNet) -> Result<()> {
    if *cidr != cidr.trunc() {
        return Err(err::invalid(format!(
            "Invalid input for cidr. Reason: '{cidr}' isn't a recognized IP subnet cidr, '{}' is recommended.",
            cidr.trunc()
        )));
    }
    let a = cidr.network();
    if cidr.prefix_len() == 0 || a.is_multicast() || a.is_loopback() {
        return Err(err::invalid(format!("A subnet cannot be {cidr}: guests could not use such addresses.")));
    }
    Ok(())
}

fn check_dhcp(s: &Subnet) -> Result<()> {
    if s.dhcp && matches!(s.cidr, IpNet::V4(n) if n.prefix_len() > 30) {
        return Err(err::invalid(format!(
            "Invalid input for operation: Subnet {} has a prefix length that is incompatible with DHCP service enabled.",
            s.cidr
        )));
    }
    Ok(())
}

fn check_modes(new: &New, cidr: &IpNet) -> Result<()> {
    let (ra, address) = (new.ra_mode.as_deref(), new.address_mode.as_deref());
    if ra.is_none() && address.is_none() {
        return Ok(());
    }
    if cidr.addr().is_ipv4() {
        return Err(err::invalid("ipv6_ra_mode and ipv6_address_mode are not valid when ip_version is 4."));
    }
    if !new.dhcp {
        return Err(err::invalid(
            "Invalid input for operation: ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.",
        ));
    }
    if let (Some(ra), Some(address)) = (ra, address)
        && ra != address
    {
        return Err(err::invalid(format!(
            "Invalid input for operation: ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. If both attributes are set, they must be the same value."
        )));
    }
    let auto = [ra, address].iter().flatten().any(|m| matches!(*m, "slaac" | "dhcpv6-stateless"));
    if auto && cidr.prefix_len() != 64 {
        return Err(err::invalid(format!(
            "Invalid input for operation: Invalid CIDR {} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64.",
            cidr
        )));
    }
    Ok(())
}

/// Checks what both creation and update can break: gateway, pools, DHCP, DNS servers, routes.
pub fn check(s: &Subnet) -> Result<()> {
    let v6 = s.is_v6();
    if s.dns.len() > MAX_DNS {
        return Err(err::bad(
            "DNSNameServersExhausted",
            format!("A subnet can have at most {MAX_DNS} DNS servers."),
        ));
    }
    if s.routes.len() > MAX_ROUTES {
        return Err(err::bad(
            "HostRoutesExhausted",
            format!("A subnet can have at most {MAX_ROUTES} host routes."),
        ));
    }
    if let Some(r) =
        s.routes.iter().find(|r| r.nexthop.is_ipv6() != v6 || r.destination.addr().is_ipv6() != v6)
    {
        return Err(err::invalid(format!(
            "Host route {} via {} is not of the subnet's IP version.",
            r.destination, r.nexthop
        )));
    }
    check_dhcp(s)?;
    check_gateway(s)?;
    check_pools(s)
}

fn check_gateway(s: &Subnet) -> Result<()> {
    let Some(g) = s.gateway else { return Ok(()) };
    if g.is_ipv6() != s.is_v6() {
        return Err(err::invalid(format!("Gateway {g} is not of the subnet's IP version.")));
    }
    let link_local = matches!(g, IpAddr::V6(a) if a.is_unicast_link_local());
    let (first, last) = plan::usable(&s.cidr);
    if link_local || (s.cidr.contains(&g) && ((first..=last).contains(&plan::num(g)) || s.is_v6())) {
        return Ok(());
    }
    Err(err::invalid(format!("Invalid input for operation: Gateway {g} is not valid on subnet {}.", s.cidr)))
}

fn check_pools(s: &Subnet) -> Result<()> {
    let (first, last) = plan::usable(&s.cidr);
    let mut ranges = Vec::new();
    for (a, b) in &s.pools {
        let text = format!("{a}-{b}");
        if a.is_ipv6() != s.is_v6() || b.is_ipv6() != s.is_v6() || a > b {
            return Err(err::bad(
                "InvalidAllocationPool",
                format!("The allocation pool {text} is not valid."),
            ));
        }
        let (a, b) = (plan::num(*a), plan::num(*b));
        if a < first || b > last {
            return Err(err::bad(
                "OutOfBoundsAllocationPool",
                format!("The allocation pool {text} spans beyond the subnet cidr {}.", s.cidr),
            ));
        }
        if s.gateway.is_some_and(|g| g.is_ipv6() == s.is_v6() && (a..=b).contains(&plan::num(g))) {
            return Err(err::conflict(
                "GatewayConflictWithAllocationPools",
                format!(
                    "Gateway ip {} conflicts with allocation pool {text}.",
                    s.gateway.map(|g| g.to_string()).unwrap_or_default()
                ),
            ));
        }
        ranges.push((a, b));
    }
    ranges.sort_unstable();
    if ranges.windows(2).any(|w| w[0].1 >= w[1].0) {
        return Err(err::conflict(
            "OverlappingAllocationPools",
            format!("Found overlapping allocation pools for subnet {}.", s.cidr),
        ));
    }
    Ok(())
}

/// A subnet that the caller sees: an own one, one of an own network, or of a shared one. That a network
/// is external shows it to everybody, but not its subnets.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: SubnetId) -> Result<Subnet> {
    let s = table::subnet::by_id(tx, id)?.ok_or_else(|| err::no_subnet(id))?;
    if caller.owns(&s.std.project) {
        return Ok(s);
    }
    match table::network::by_id(tx, s.network)? {
        Some(n) if super::rbac::uses(tx, caller, &n.id.to_string(), &n.std.project)? => Ok(s),
        _ => Err(err::no_subnet(id)),
    }
}

/// Deletes a subnet. Addresses in use keep it (409), but for those that guests made by themselves.
pub fn delete(tx: &Tx<'_>, s: &Subnet) -> Result<()> {
    let why = format!(
        "Unable to complete operation on subnet {}: One or more ports have an IP allocation from this subnet.",
        s.id
    );
    // Before addresses come free, as whoever takes one has its quota by then.
    super::hold(tx, &s.std.project, &["subnet", "port"])?;
    if s.is_auto() {
        tx.exec(
            "DELETE FROM port_address WHERE subnet_id = $1 AND port_id IN
             (SELECT id FROM port WHERE network_id = $2 AND device_owner NOT LIKE 'network:router%')",
            params![s.id, s.network],
        )?;
    }
    let used = tx.rows(
        "SELECT DISTINCT port_id FROM port_address WHERE subnet_id = $1 LIMIT 100",
        params![s.id],
        |r| r.get(0),
    )?;
    for id in used {
        match table::port::by_id(tx, id)? {
            Some(p) if p.device_owner == "network:dhcp" => super::port::remove(tx, &p)?,
            Some(_) => return Err(err::conflict("SubnetInUse", why)),
            None => {}
        }
    }
    table::delete(tx, "subnet", &s.id.to_string()).map_err(err::still_used("SubnetInUse", why))?;
    table::bump(tx, "network", &s.network.to_string())?;
    give(tx, &s.std.project, "subnet", 1)?;
    touch::subnets(tx, s.network)
}
