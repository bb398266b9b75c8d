//! Sharing: who beside its project may use a thing (RBAC policies).
//!
//! Invariants: whoever may see or use what is not his does so by a row of `rbac_policy`;
//! `network.shared` and `network.external` are kept in step here and nowhere else; a policy stays for
//! as long as somebody uses the object by it alone.

use super::{Caller, give, take};
use crate::model::{Rbac, Std};
use crate::{err, table};
use base::{ProjectId, RbacPolicyId, Result};
use store::{Tx, params, quota};

pub const SHARED: &str = "access_as_shared";
pub const EXTERNAL: &str = "access_as_external";

/// A kind of thing that can be shared.
pub struct Kind {
    /// As in `object_type`.
    pub name: &'static str,
    pub table: &'static str,
    pub actions: &'static [&'static str],
    /// The projects that use an object ($1), per action.
    users: &'static [&'static str],
}

pub const KINDS: &[Kind] = &[
    Kind {
        name: "network",
        table: "network",
        actions: &[SHARED, EXTERNAL],
        users: &[
            "SELECT DISTINCT project_id FROM port WHERE network_id = $1 AND project_id <> ''",
            "SELECT r.project_id FROM router r JOIN port g ON g.id = r.gateway_port_id WHERE g.network_id = $1
             UNION SELECT project_id FROM floating_ip WHERE network_id = $1",
        ],
    },
    Kind {
        name: "address_scope",
        table: "address_scope",
        actions: &[SHARED],
        users: &["SELECT DISTINCT project_id FROM subnetpool WHERE address_scope_id = $1"],
    },
    Kind {
        name: "subnetpool",
        table: "subnetpool",
        actions: &[SHARED],
        users: &["SELECT DISTINCT project_id FROM subnet WHERE subnetpool_id = $1"],
    },
    Kind {
        name: "security_group",
        table: "security_group",
        actions: &[SHARED],
        users: &["SELECT p.project_id FROM port p JOIN port_security_group m ON m.port_id = p.id
                  WHERE m.group_id = $1
                  UNION SELECT project_id FROM security_group_rule WHERE remote_group_id = $1"],
    },
    Kind {
        name: "address_group",
        table: "address_group",
        actions: &[SHARED],
        users: &["SELECT DISTINCT project_id FROM security_group_rule WHERE remote_address_group_id = $1"],
    },
    Kind {
        name: "qos_policy",
        table: "qos_policy",
        actions: &[SHARED],
        users: &["SELECT p.project_id FROM port p JOIN port_qos q ON q.port_id = p.id WHERE q.policy_id = $1
                  UNION SELECT n.project_id FROM network n JOIN network_qos q ON q.network_id = n.id
                  WHERE q.policy_id = $1
                  UNION SELECT f.project_id FROM floating_ip f JOIN floating_ip_qos q ON q.floating_ip_id = f.id
                  WHERE q.policy_id = $1
                  UNION SELECT r.project_id FROM router r JOIN router_qos q ON q.router_id = r.id
                  WHERE q.policy_id = $1"],
    },
];

/// # Errors
/// 400 for a type that cannot be shared.
pub fn kind(name: &str) -> Result<&'static Kind> {
    let name = name.trim().to_ascii_lowercase();
    KINDS
        .iter()
        .find(|k| k.name == name)
        .ok_or_else(|| err::invalid(format!("'{name}' is not a valid RBAC object type")))
}

/// A policy as asked for.
#[derive(Debug, Clone)]
pub struct New {
    pub kind: String,
    pub object: String,
    pub action: String,
    pub target: String,
    pub project: ProjectId,
    pub description: String,
}

/// Whether a project may use what is not its own: by a policy of sharing.
pub fn shared_with(tx: &Tx<'_>, object: &str, project: &ProjectId) -> Result<bool> {
    table::rbac::granted(tx, object, project, Some(SHARED))
}

/// Whether the caller sees a thing of `owner`: the own, or what any policy opens.
pub fn sees(tx: &Tx<'_>, caller: &Caller, object: &str, owner: &ProjectId) -> Result<bool> {
    Ok(caller.owns(owner) || table::rbac::granted(tx, object, &caller.project, None)?)
}

/// Whether the caller may use a thing of `owner`: the own, or what is shared with him.
pub fn uses(tx: &Tx<'_>, caller: &Caller, object: &str, owner: &ProjectId) -> Result<bool> {
    Ok(caller.owns(owner) || shared_with(tx, object, &caller.project)?)
}

pub fn create(tx: &Tx<'_>, caller: &Caller, new: &New) -> Result<Rbac> {
    let k = kind(&new.kind)?;
    if !k.actions.contains(&new.action.as_str()) {
        return Err(err::invalid(format!(
            "Invalid input for action. Reason: '{}' is not in {:?}.",
            new.action, k.actions
        )));
    }
    // Held, so that the object does not go while it is opened to somebody.
    let missing = || base::Fault::not_found(format!("{} {} could not be found.", k.name, new.object));
    if !table::hold(tx, k.table, &new.object)? {
        return Err(missing().tag("RbacPolicyNotFound"));
    }
    let sql = format!("SELECT project_id FROM {} WHERE id = $1", k.table);
    let owner = tx.one(&sql, params![&new.object], |r| r.get::<ProjectId>(0))?;
    if !caller.owns(&owner) {
        if !sees(tx, caller, &new.object, &owner)? {
            return Err(missing().tag("RbacPolicyNotFound"));
        }
        return Err(err::invalid("Only admins can manipulate policies on objects they do not own."));
    }
    check_target(caller, &new.target, &new.action, "create")?;
    take(tx, &new.project, "rbac_policy")?;
    let p = Rbac {
        id: RbacPolicyId::new(),
        std: Std::new(&new.project, "", &new.description),
        kind: k.name.to_owned(),
        object: new.object.clone(),
        action: new.action.clone(),
        target: new.target.clone(),
    };
    if !table::rbac::insert(tx, &p)? {
        return Err(duplicate());
    }
    mark(tx, &p, &p.target, true)?;
    Ok(p)
}

fn duplicate() -> base::Fault {
    err::conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
}

/// To all, and as a way out: for admins to say.
fn check_target(caller: &Caller, target: &str, action: &str, verb: &str) -> Result<()> {
    if !caller.admin && (target == "*" || action == EXTERNAL) {
        return Err(err::policy(&format!("{verb}_rbac_policy:target_tenant")));
    }
    Ok(())
}

/// A policy that the caller sees: an own one.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: RbacPolicyId) -> Result<Rbac> {
    let p = table::rbac::by_id(tx, id)?.filter(|p| caller.owns(&p.std.project));
    p.ok_or_else(|| err::no_rbac(id))
}

/// Gives a policy another target. Who used the object by it keeps it as it was (409).
pub fn retarget(tx: &Tx<'_>, caller: &Caller, p: &Rbac, target: &str) -> Result<()> {
    if p.target == target {
        return Ok(());
    }
    check_target(caller, target, &p.action, "update")?;
    unused(tx, p, Some(target))?;
    if !table::rbac::retarget(tx, p, target)? {
        return Err(duplicate());
    }
    mark(tx, p, &p.target, false)?;
    mark(tx, p, target, true)
}

pub fn delete(tx: &Tx<'_>, p: &Rbac) -> Result<()> {
    unused(tx, p, None)?;
    remove(tx, p)?;
    mark(tx, p, &p.target, false)
}

fn remove(tx: &Tx<'_>, p: &Rbac) -> Result<()> {
    if table::delete(tx, "rbac_policy", &p.id.to_string())? {
        give(tx, &p.std.project, "rbac_policy", 1)?;
    }
    Ok(())
}

/// Refuses to take a policy away by which somebody uses the object now, unless another policy (or
/// `instead`, its own new target) lets them.
fn unused(tx: &Tx<'_>, p: &Rbac, instead: Option<&str>) -> Result<()> {
    let k = kind(&p.kind)?;
    table::hold(tx, k.table, &p.object)?;
    let sql = format!("SELECT project_id FROM {} WHERE id = $1", k.table);
    let Some(owner) = tx.opt(&sql, params![&p.object], |r| r.get::<String>(0))? else { return Ok(()) };
    let Some(query) = k.actions.iter().position(|a| *a == p.action).map(|i| k.users[i]) else {
        return Ok(());
    };
    let all = table::rbac::of(tx, &p.object)?;
    let rest = all.iter().filter(|o| o.id != p.id && o.action == p.action).map(|o| o.target.as_str());
    let rest: Vec<&str> = rest.chain(instead).collect();
    let lost = tx.rows(query, params![&p.object], |r| r.get::<String>(0))?.into_iter().find(|u| {
        *u != owner && (p.target == "*" || p.target == *u) && !rest.iter().any(|t| *t == "*" || t == u)
    });
    match lost {
        None => Ok(()),
        Some(u) => Err(err::conflict(
            "RbacPolicyInUse",
            format!(
                "RBAC policy on object {} cannot be removed because other objects depend on it.\nDetails: project {u} uses it.",
                p.object
            ),
        )),
    }
}

/// Keeps the columns of networks and QoS policies in step. A network that was ever made external stays
/// so: whom it is open to is what policies change.
fn mark(tx: &Tx<'_>, p: &Rbac, target: &str, on: bool) -> Result<()> {
    let sql = match (p.kind.as_str(), p.action.as_str(), target, on) {
        ("network", SHARED, "*", true) => "UPDATE network SET shared = 1 WHERE id = $1",
        ("network", SHARED, "*", false) => "UPDATE network SET shared = 0 WHERE id = $1",
        ("qos_policy", SHARED, "*", true) => "UPDATE qos_policy SET shared = 1 WHERE id = $1",
        ("qos_policy", SHARED, "*", false) => "UPDATE qos_policy SET shared = 0 WHERE id = $1",
        (_, EXTERNAL, _, true) => "UPDATE network SET external = 1 WHERE id = $1 AND external = 0",
        _ => return Ok(()),
    };
    let changed = tx.exec(sql, params![&p.object])?;
    if let (EXTERNAL, 1, Ok(id)) = (p.action.as_str(), changed, p.object.parse()) {
        crate::touch::networks(tx, &[id])?;
    }
    Ok(())
}

/// Opens an object to all or closes it again, as the fields `shared` and `router:external` say it.
pub fn set_for_all(
    tx: &Tx<'_>,
    kind: &'static str,
    object: &str,
    owner: &ProjectId,
    action: &'static str,
    on: bool,
) -> Result<()> {
    let now = table::rbac::of(tx, object)?.into_iter().find(|p| p.action == action && p.target == "*");
    match (now, on) {
        (None, true) => {
            let p = Rbac {
                id: RbacPolicyId::new(),
                std: Std::new(owner, "", ""),
                kind: kind.to_owned(),
                object: object.to_owned(),
                action: action.to_owned(),
                target: "*".to_owned(),
            };
            if table::rbac::insert(tx, &p)? {
                quota::count(tx, owner, "rbac_policy", 1)?;
            }
            Ok(())
        }
        (Some(p), false) => {
            unused(tx, &p, None)?;
            remove(tx, &p)
        }
        _ => Ok(()),
    }
}

/// Takes the policies by which a network is a way out, when it is none any more.
pub fn close_outside(tx: &Tx<'_>, network: &str) -> Result<()> {
    table::rbac::of(tx, network)?.iter().filter(|p| p.action == EXTERNAL).try_for_each(|p| remove(tx, p))
}

/// Takes the policies of an object that goes.
pub fn forget(tx: &Tx<'_>, object: &str) -> Result<()> {
    table::rbac::of(tx, object)?.iter().try_for_each(|p| remove(tx, p))
}
