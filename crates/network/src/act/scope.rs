//! Address scopes: what is in one must not have the same prefix twice.

use super::{Caller, give, rbac, take};
use crate::model::{Scope, Std, SubnetPool};
use crate::{err, table};
use base::{AddressScopeId, Fault, ProjectId, Result};
use store::{Tx, params};

/// A scope as asked for.
#[derive(Debug, Clone)]
pub struct New {
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub v6: bool,
    pub shared: bool,
}

pub fn create(tx: &Tx<'_>, new: &New) -> Result<Scope> {
    take(tx, &new.project, "address_scope")?;
    let s = Scope {
        id: AddressScopeId::new(),
        std: Std::new(&new.project, &new.name, &new.description),
        v6: new.v6,
    };
    table::scope::insert(tx, &s)?;
    if new.shared {
        share(tx, &s, true)?;
    }
    Ok(s)
}

pub fn share(tx: &Tx<'_>, s: &Scope, on: bool) -> Result<()> {
    rbac::set_for_all(tx, "address_scope", &s.id.to_string(), &s.std.project, rbac::SHARED, on)
}

/// A scope that the caller sees: an own or shared one.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: AddressScopeId) -> Result<Scope> {
    match table::scope::by_id(tx, id)? {
        Some(s) if rbac::sees(tx, caller, &id.to_string(), &s.std.project)? => Ok(s),
        _ => Err(err::no_scope(id)),
    }
}

fn illegal(pool: &SubnetPool, scope: &Scope) -> Fault {
    if pool.v6 != scope.v6 {
        let version = if scope.v6 { 6 } else { 4 };
        return err::bad(
            "IllegalSubnetPoolIpVersionAssociationToAddressScope",
            format!(
                "Illegal subnetpool association: subnetpool {} cannot associate with address scope {} because subnetpool ip_version is not {version}.",
                pool.id, scope.id
            ),
        );
    }
    err::bad(
        "IllegalSubnetPoolAssociationToAddressScope",
        format!(
            "Illegal subnetpool association: subnetpool {} cannot be associated with address scope {}.",
            pool.id, scope.id
        ),
    )
}

/// Holds the scope of a pool and refuses the pool there when it does not fit: another IP version, not the
/// caller's to use, or a prefix that another pool of the scope has.
pub fn admit(tx: &Tx<'_>, caller: &Caller, pool: &SubnetPool, joins: bool) -> Result<()> {
    let Some(id) = pool.scope else { return Ok(()) };
    if !table::hold(tx, "address_scope", &id.to_string())? {
        return Err(err::no_scope(id));
    }
    if joins {
        let scope = visible(tx, caller, id)?;
        if scope.v6 != pool.v6 {
            return Err(illegal(pool, &scope));
        }
    }
    let others = table::pool::of_scope(tx, id)?;
    for other in others.iter().filter(|o| o.id != pool.id) {
        let clash = |a: &ipnet::IpNet| other.prefixes.iter().any(|b| super::subnet::overlap(a, b));
        if pool.prefixes.iter().any(clash) {
            return Err(err::conflict(
                "AddressScopePrefixConflict",
                "Failed to associate address scope: subnetpools within an address scope must have unique prefixes.",
            ));
        }
    }
    Ok(())
}

pub fn delete(tx: &Tx<'_>, s: &Scope) -> Result<()> {
    let why = format!(
        "Unable to complete operation on address scope {}. There are one or more subnet pools in use on the address scope.",
        s.id
    );
    let used = "SELECT 1 FROM subnetpool WHERE address_scope_id = $1 LIMIT 1";
    if tx.opt(used, params![s.id], |_| Ok(()))?.is_some() {
        return Err(err::conflict("AddressScopeInUse", why));
    }
    super::hold(tx, &s.std.project, &["address_scope"])?;
    rbac::forget(tx, &s.id.to_string())?;
    table::delete(tx, "address_scope", &s.id.to_string())
        .map_err(err::still_used("AddressScopeInUse", why))?;
    give(tx, &s.std.project, "address_scope", 1)
}
