//! Subnet pools: where subnets get prefixes that nobody else has.
//!
//! Invariants: who gives a prefix, or changes a pool's prefixes, holds the pool's row; a scope is held
//! before its pools' prefixes are compared.

use super::subnet::overlap;
use super::{Caller, give, rbac, scope, take};
use crate::model::{Network, Std, Subnet, SubnetPool};
use crate::{err, plan, table};
use base::{AddressScopeId, Fault, ProjectId, Result, SubnetPoolId};
use ipnet::IpNet;
use store::{Tx, params};

/// Prefixes of one pool, so that a look at all of them stays cheap.
pub const MAX_PREFIXES: usize = 200;

/// A pool as asked for.
#[derive(Debug, Clone)]
pub struct New {
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub prefixes: Vec<IpNet>,
    pub default_len: Option<u8>,
    pub min_len: Option<u8>,
    pub max_len: Option<u8>,
    pub quota: Option<i64>,
    pub scope: Option<AddressScopeId>,
    pub is_default: bool,
    pub shared: bool,
}

/// What a subnet wants of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// `None`: the default one.
    pub pool: Option<SubnetPoolId>,
    pub v6: bool,
    pub cidr: Option<IpNet>,
    pub len: Option<u8>,
}

pub fn create(tx: &Tx<'_>, caller: &Caller, new: New) -> Result<SubnetPool> {
    let prefixes = merged(&new.prefixes)?;
    let v6 = matches!(prefixes.first(), Some(IpNet::V6(_)));
    let min_len = new.min_len.unwrap_or(if v6 { 64 } else { 8 });
    let p = SubnetPool {
        id: SubnetPoolId::new(),
        std: Std::new(&new.project, &new.name, &new.description),
        v6,
        is_default: new.is_default,
        default_len: new.default_len.unwrap_or(min_len),
        min_len,
        max_len: new.max_len.unwrap_or(if v6 { 128 } else { 32 }),
        quota: new.quota,
        scope: new.scope,
        prefixes,
    };
    check(&p)?;
    scope::admit(tx, caller, &p, true)?;
    take(tx, &new.project, "subnetpool")?;
    only_default(tx, &p)?;
    if !table::pool::insert(tx, &p)? {
        return Err(second_default());
    }
    if new.shared {
        rbac::set_for_all(tx, "subnetpool", &p.id.to_string(), &p.std.project, rbac::SHARED, true)?;
    }
    Ok(p)
}

/// Prefixes of one IP version, merged and in order.
pub fn merged(prefixes: &[IpNet]) -> Result<Vec<IpNet>> {
    let Some(first) = prefixes.first() else {
        return Err(err::bad("EmptySubnetPoolPrefixList", "Empty subnet pool prefix list."));
    };
    let v6 = first.addr().is_ipv6();
    if prefixes.iter().any(|p| p.addr().is_ipv6() != v6) {
        return Err(err::bad("PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."));
    }
    if let Some(p) = prefixes.iter().find(|p| p.prefix_len() == 0) {
        let version = if v6 { 6 } else { 4 };
        return Err(err::bad(
            "UnsupportedMinSubnetPoolPrefix",
            format!("Prefix '{p}' not supported in IPv{version} pool."),
        ));
    }
    let mut all = IpNet::aggregate(&prefixes.iter().map(IpNet::trunc).collect());
    if all.len() > MAX_PREFIXES {
        return Err(err::invalid(format!("A subnet pool can have at most {MAX_PREFIXES} prefixes.")));
    }
    all.sort();
    Ok(all)
}

/// The bounds of lengths must be in order.
pub fn check(p: &SubnetPool) -> Result<()> {
    let most = if p.v6 { 128 } else { 32 };
    let bounds = [
        ("min_prefixlen", p.min_len, "max_prefixlen", p.max_len),
        ("default_prefixlen", p.default_len, "max_prefixlen", p.max_len),
        ("min_prefixlen", p.min_len, "default_prefixlen", p.default_len),
        ("max_prefixlen", p.max_len, "ip_version", most),
    ];
    match bounds.iter().find(|(_, a, _, b)| a > b) {
        None => Ok(()),
        Some((what, a, than, b)) => Err(err::bad(
            "IllegalSubnetPoolPrefixBounds",
            format!("Illegal prefix bounds: {what}={a}, {than}={b}."),
        )),
    }
}

fn second_default() -> Fault {
    err::invalid(
        "A default subnetpool for this IP family has already been set. Only one default may exist per IP family",
    )
}

pub fn only_default(tx: &Tx<'_>, p: &SubnetPool) -> Result<()> {
    match table::pool::default_of(tx, p.v6)? {
        Some(other) if p.is_default && other.id != p.id => Err(second_default()),
        _ => Ok(()),
    }
}

/// A pool that the caller sees: an own or shared one.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: SubnetPoolId) -> Result<SubnetPool> {
    match table::pool::by_id(tx, id)? {
        Some(p) if rbac::sees(tx, caller, &id.to_string(), &p.std.project)? => Ok(p),
        _ => Err(err::no_pool(id)),
    }
}

pub fn illegal_update(why: impl std::fmt::Display) -> Fault {
    err::bad("IllegalSubnetPoolPrefixUpdate", format!("Illegal update to prefixes: {why}."))
}

/// Takes prefixes away that no subnet is in.
pub fn without(tx: &Tx<'_>, p: &SubnetPool, gone: &[IpNet]) -> Result<Vec<IpNet>> {
    if let Some(missing) = gone.iter().find(|g| !p.prefixes.iter().any(|h| h.contains(*g))) {
        return Err(illegal_update(format!("{missing} is not in the pool")));
    }
    if let Some(used) = table::pool::taken(tx, p.id)?.iter().find(|t| gone.iter().any(|g| overlap(g, t))) {
        return Err(illegal_update(format!("subnet {used} is allocated from what goes")));
    }
    let mut left = p.prefixes.clone();
    for g in gone {
        left = left.iter().flat_map(|have| plan::minus(have, g)).collect();
    }
    if left.is_empty() {
        return Err(err::bad("EmptySubnetPoolPrefixList", "Empty subnet pool prefix list."));
    }
    merged(&left)
}

/// Chooses a prefix for a subnet of `project`; the pool is held from here on.
pub fn choose(tx: &Tx<'_>, caller: &Caller, project: &ProjectId, want: &Want) -> Result<(SubnetPool, IpNet)> {
    let id = match want.pool {
        Some(id) => id,
        None => match table::pool::default_of(tx, want.v6)? {
            Some(p) => p.id,
            None => {
                return Err(err::bad(
                    "BadRequest",
                    format!(
                        "Bad subnets request: No default subnetpool found for IPv{}.",
                        if want.v6 { 6 } else { 4 }
                    ),
                ));
            }
        },
    };
    // Held before it is read, so that what is read stays true.
    if !table::hold(tx, "subnetpool", &id.to_string())? {
        return Err(err::no_pool(id));
    }
    let p = visible(tx, caller, id)?;
    if p.v6 != want.v6 {
        return Err(err::bad(
            "BadRequest",
            "Bad subnets request: Cannot allocate a subnet of one IP version from a subnet pool of the other.",
        ));
    }
    let len = match (want.cidr, want.len) {
        (Some(_), Some(_)) => {
            return Err(err::bad(
                "BadRequest",
                "Bad subnets request: cidr and prefixlen must not be supplied together.",
            ));
        }
        (Some(c), None) => c.prefix_len(),
        (None, len) => len.unwrap_or(p.default_len),
    };
    check_len(&p, len)?;
    check_quota(tx, &p, project, len)?;
    let taken = table::pool::taken(tx, p.id)?;
    let cidr = match want.cidr {
        Some(c) if p.prefixes.iter().any(|h| h.contains(&c)) && !taken.iter().any(|t| overlap(t, &c)) => c,
        Some(_) => {
            return Err(no_room("Cannot allocate requested subnet from the available set of prefixes"));
        }
        None => plan::free_prefix(&p.prefixes, &taken, len)
            .ok_or_else(|| no_room(format!("Insufficient prefix space to allocate subnet size /{len}")))?,
    };
    Ok((p, cidr))
}

fn no_room(why: impl std::fmt::Display) -> Fault {
    err::conflict("SubnetAllocationError", format!("Failed to allocate subnet: {why}."))
}

fn check_len(p: &SubnetPool, len: u8) -> Result<()> {
    if len < p.min_len {
        return Err(err::bad(
            "MinPrefixSubnetAllocationError",
            format!(
                "Unable to allocate subnet with prefix length {len}, minimum allowed prefix is {}.",
                p.min_len
            ),
        ));
    }
    if len > p.max_len {
        return Err(err::bad(
            "MaxPrefixSubnetAllocationError",
            format!(
                "Unable to allocate subnet with prefix length {len}, maximum allowed prefix is {}.",
                p.max_len
            ),
        ));
    }
    Ok(())
}

/// What a prefix counts: addresses of IPv4, /64 of IPv6 (a longer one counts as one).
fn units(v6: bool, len: u8) -> u128 {
    let whole = if v6 { 64 } else { 32 };
    1_u128 << u32::from(whole - len.min(whole))
}

fn check_quota(tx: &Tx<'_>, p: &SubnetPool, project: &ProjectId, len: u8) -> Result<()> {
    let Some(most) = p.quota.and_then(|q| u128::try_from(q).ok()) else { return Ok(()) };
    let mine = table::pool::taken_by(tx, p.id, project)?;
    let used: u128 = mine.iter().map(|n| units(p.v6, n.prefix_len())).sum();
    if used + units(p.v6, len) > most {
        return Err(err::conflict(
            "SubnetPoolQuotaExceeded",
            "Per-tenant subnet pool prefix quota exceeded.",
        ));
    }
    Ok(())
}

/// Subnets of one IP version on a network come from one pool, or at least from one address scope.
pub fn check_affinity(tx: &Tx<'_>, pool: Option<&SubnetPool>, others: &[&Subnet]) -> Result<()> {
    for s in others {
        if s.pool == pool.map(|p| p.id) {
            continue;
        }
        let theirs = match s.pool {
            Some(id) => table::pool::by_id(tx, id)?.and_then(|p| p.scope),
            None => None,
        };
        let ours = pool.and_then(|p| p.scope);
        if ours.is_some() && ours == theirs {
            continue;
        }
        if ours.is_some() || theirs.is_some() {
            return Err(err::bad(
                "NetworkAddressScopeAffinityError",
                "Subnets of the same address family hosted on the same network must all be allocated from the same address scope.",
            ));
        }
        return Err(err::bad(
            "NetworkSubnetPoolAffinityError",
            "Subnets hosted on the same network must be allocated from the same subnet pool.",
        ));
    }
    Ok(())
}

/// Writes down that a new subnet has its prefix of a pool.
pub fn claim(tx: &Tx<'_>, pool: &SubnetPool, s: &Subnet) -> Result<()> {
    match table::pool::claim(tx, pool.id, s)? {
        true => Ok(()),
        false => Err(no_room("Cannot allocate requested subnet from the available set of prefixes")),
    }
}

/// Takes the subnets of a network, which have come from nowhere, into a pool that the caller holds.
pub fn onboard(tx: &Tx<'_>, caller: &Caller, p: &mut SubnetPool, n: &Network) -> Result<()> {
    let all = table::subnet::of_network(tx, n.id)?;
    let mine: Vec<Subnet> = all.into_iter().filter(|s| s.is_v6() == p.v6).collect();
    if let Some(s) = mine.iter().find(|s| s.pool.is_some()) {
        return Err(illegal_update(format!("subnet {} is in a subnet pool already", s.id)));
    }
    if mine.is_empty() {
        return Err(illegal_update(format!("network {} has no subnet of the pool's IP version", n.id)));
    }
    let clash = |s: &&Subnet| p.prefixes.iter().any(|h| overlap(h, &s.cidr));
    if let Some(s) = mine.iter().find(clash) {
        return Err(illegal_update(format!("{} overlaps with a prefix of the pool", s.cidr)));
    }
    p.prefixes.extend(mine.iter().map(|s| s.cidr));
    p.prefixes = merged(&p.prefixes)?;
    scope::admit(tx, caller, p, false)?;
    table::pool::update(tx, p)?;
    for s in &mine {
        tx.exec("UPDATE subnet SET subnetpool_id = $2 WHERE id = $1", params![s.id, p.id])?;
        table::bump(tx, "subnet", &s.id.to_string())?;
        claim(tx, p, s)?;
    }
    Ok(())
}

pub fn delete(tx: &Tx<'_>, p: &SubnetPool) -> Result<()> {
    const WHY: &str = "Unable to delete subnet pool: Subnet pool has existing allocations.";
    let used = "SELECT 1 FROM subnetpool_allocation WHERE pool_id = $1 LIMIT 1";
    if tx.opt(used, params![p.id], |_| Ok(()))?.is_some() {
        return Err(err::bad("SubnetPoolDeleteError", WHY));
    }
    super::hold(tx, &p.std.project, &["subnetpool"])?;
    rbac::forget(tx, &p.id.to_string())?;
    table::delete(tx, "subnetpool", &p.id.to_string())
        .map_err(err::still_used("SubnetPoolDeleteError", WHY))?;
    give(tx, &p.std.project, "subnetpool", 1)
}
