//! Address groups: prefixes with a name, for the rules of security groups.
//!
//! Invariant: hosts are told of prefixes only; a change here bumps every host that filters by a rule
//! that names the group.

use super::{Caller, give, rbac, take};
use crate::model::{AddressGroup, Std};
use crate::{err, table, touch};
use base::{AddressGroupId, Fault, ProjectId, Result};
use ipnet::IpNet;
use store::{Tx, params};

/// Prefixes of one group: each becomes a rule of the hosts' filters.
pub const MAX_ADDRESSES: usize = 1000;

/// A group as asked for.
#[derive(Debug, Clone)]
pub struct New {
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub addresses: Vec<IpNet>,
    pub shared: bool,
}

pub fn create(tx: &Tx<'_>, new: &New) -> Result<AddressGroup> {
    take(tx, &new.project, "address_group")?;
    let g =
        AddressGroup { id: AddressGroupId::new(), std: Std::new(&new.project, &new.name, &new.description) };
    table::addresses::insert(tx, &g)?;
    for a in &new.addresses {
        table::addresses::add(tx, g.id, a)?;
    }
    check_size(tx, g.id)?;
    if new.shared {
        share(tx, &g, true)?;
    }
    Ok(g)
}

pub fn share(tx: &Tx<'_>, g: &AddressGroup, on: bool) -> Result<()> {
    rbac::set_for_all(tx, "address_group", &g.id.to_string(), &g.std.project, rbac::SHARED, on)
}

fn check_size(tx: &Tx<'_>, id: AddressGroupId) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM address_group_address WHERE group_id = $1";
    let n: i64 = tx.one(sql, params![id], |r| r.get(0))?;
    if usize::try_from(n).unwrap_or(usize::MAX) > MAX_ADDRESSES {
        return Err(err::invalid(format!("An address group can have at most {MAX_ADDRESSES} addresses.")));
    }
    Ok(())
}

/// A group that the caller sees: an own or shared one.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: AddressGroupId) -> Result<AddressGroup> {
    match table::addresses::by_id(tx, id)? {
        Some(g) if rbac::sees(tx, caller, &id.to_string(), &g.std.project)? => Ok(g),
        _ => Err(err::no_addresses(id)),
    }
}

fn listed(addresses: &[IpNet]) -> String {
    let texts: Vec<String> = addresses.iter().map(|a| format!("'{a}'")).collect();
    format!("[{}]", texts.join(", "))
}

/// Adds addresses; one that is there already refuses them all (400).
pub fn add(tx: &Tx<'_>, g: &AddressGroup, addresses: &[IpNet]) -> Result<()> {
    let mut there = Vec::new();
    for a in addresses {
        if !table::addresses::add(tx, g.id, a)? {
            there.push(*a);
        }
    }
    if !there.is_empty() {
        return Err(err::bad(
            "AddressesAlreadyExist",
            format!("Addresses {} already exist in the address group {}.", listed(&there), g.id),
        ));
    }
    check_size(tx, g.id)?;
    touch::addresses(tx, g.id)
}

/// Takes addresses away; one that is not there refuses them all (404).
pub fn remove(tx: &Tx<'_>, g: &AddressGroup, addresses: &[IpNet]) -> Result<()> {
    let mut missing = Vec::new();
    for a in addresses {
        if !table::addresses::remove(tx, g.id, a)? {
            missing.push(*a);
        }
    }
    if !missing.is_empty() {
        let text = format!("Addresses {} not found in the address group {}.", listed(&missing), g.id);
        return Err(Fault::not_found(text).tag("AddressesNotFound"));
    }
    touch::addresses(tx, g.id)
}

pub fn delete(tx: &Tx<'_>, g: &AddressGroup) -> Result<()> {
    let used = "SELECT 1 FROM security_group_rule WHERE remote_address_group_id = $1 LIMIT 1";
    if tx.opt(used, params![g.id], |_| Ok(()))?.is_some() {
        return Err(err::conflict(
            "AddressGroupInUse",
            format!("Address group {} is in use on one or more security group rules.", g.id),
        ));
    }
    super::hold(tx, &g.std.project, &["address_group"])?;
    rbac::forget(tx, &g.id.to_string())?;
    if table::delete(tx, "address_group", &g.id.to_string())? {
        give(tx, &g.std.project, "address_group", 1)?;
    }
    Ok(())
}
