//! QoS policies: who may have which, and who hears of a change.

use super::{Caller, rbac};
use crate::model::Std;
use crate::model::qos::{Policy, Rule, What};
use crate::table::qos::{self, Holder};
use crate::{err, table};
use base::{Fault, ProjectId, QosPolicyId, QosRuleId, Result};
use store::Tx;

pub fn missing(id: impl std::fmt::Display) -> Fault {
    Fault::not_found(format!("QoS policy {id} could not be found.")).tag("QosPolicyNotFound")
}

/// A policy that the caller sees: an own or a shared one.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: QosPolicyId) -> Result<Policy> {
    match qos::by_id(tx, id)? {
        Some(p) if p.shared || rbac::sees(tx, caller, &id.to_string(), &p.std.project)? => Ok(p),
        _ => Err(missing(id)),
    }
}

fn second_default(project: &ProjectId) -> Fault {
    err::conflict(
        "QoSPolicyDefaultAlreadyExists",
        format!("A default QoS policy exists for project {project}."),
    )
}

pub fn create(tx: &Tx<'_>, std: Std, shared: bool, is_default: bool) -> Result<Policy> {
    let p = Policy { id: QosPolicyId::new(), std, shared, is_default };
    if !qos::insert(tx, &p)? {
        return Err(second_default(&p.std.project));
    }
    share(tx, &p)?;
    Ok(p)
}

pub fn update(tx: &Tx<'_>, p: &Policy) -> Result<()> {
    if p.is_default && qos::default_of(tx, &p.std.project)?.is_some_and(|d| d != p.id) {
        return Err(second_default(&p.std.project));
    }
    share(tx, p)?;
    qos::update(tx, p)
}

/// `shared` is a policy of sharing with all.
fn share(tx: &Tx<'_>, p: &Policy) -> Result<()> {
    rbac::set_for_all(tx, "qos_policy", &p.id.to_string(), &p.std.project, rbac::SHARED, p.shared)
}

fn in_use(tx: &Tx<'_>, id: QosPolicyId) -> Result<Option<Fault>> {
    for by in Holder::ALL {
        if let Some(who) = qos::holder(tx, by, id)? {
            let word = by.word();
            let why = format!("QoS Policy {id} is used by {word} {who}.");
            return Ok(Some(err::conflict("QosPolicyInUse", why)));
        }
    }
    Ok(None)
}

/// Deletes a policy with its rules; one that somebody has stays (409).
pub fn delete(tx: &Tx<'_>, id: QosPolicyId) -> Result<()> {
    if let Some(why) = in_use(tx, id)? {
        return Err(why);
    }
    let taken = err::still_used("QosPolicyInUse", format!("QoS Policy {id} was taken into use just now."));
    table::delete(tx, "qos_policy", &id.to_string()).map(drop).map_err(taken)?;
    rbac::forget(tx, &id.to_string())
}

/// Gives somebody a policy, or none. What a caller cannot see, he cannot take off either.
pub fn give(
    tx: &Tx<'_>,
    caller: &Caller,
    by: Holder,
    id: impl ToString,
    policy: Option<QosPolicyId>,
) -> Result<()> {
    let id = id.to_string();
    if let Some(old) = qos::held(tx, by, std::slice::from_ref(&id))?.remove(&id) {
        if Some(old) == policy {
            return Ok(());
        }
        if visible(tx, caller, old).is_err() {
            let why = format!("Failed to remove provided policy {old} because you are not authorized.");
            return Err(Fault::forbidden(why).tag("PolicyRemoveAuthorizationError"));
        }
    }
    if let Some(policy) = policy {
        visible(tx, caller, policy)?;
    }
    qos::give(tx, by, &id, policy)
}

// ------------------------------------------------------------------------------------ rules

fn twice(p: QosPolicyId, what: What) -> Fault {
    err::conflict(
        "NeutronDbObjectDuplicateEntry",
        format!(
            "QoS policy {p} has a {} rule for {} already; change that one.",
            what.kind().as_str(),
            what.direction()
        ),
    )
}

pub fn add_rule(tx: &Tx<'_>, policy: &Policy, what: What) -> Result<Rule> {
    let rule = Rule { id: QosRuleId::new(), policy: policy.id, what };
    if !qos::insert_rule(tx, &rule)? {
        return Err(twice(policy.id, what));
    }
    heard(tx, policy.id)?;
    Ok(rule)
}

pub fn change_rule(tx: &Tx<'_>, rule: &Rule) -> Result<()> {
    if !qos::update_rule(tx, rule)? {
        return Err(twice(rule.policy, rule.what));
    }
    heard(tx, rule.policy)
}

pub fn remove_rule(tx: &Tx<'_>, rule: &Rule) -> Result<()> {
    qos::delete_rule(tx, rule.id)?;
    heard(tx, rule.policy)
}

/// The rules of a policy changed: a new revision of it, and its hosts hear.
fn heard(tx: &Tx<'_>, policy: QosPolicyId) -> Result<()> {
    table::bump(tx, "qos_policy", &policy.to_string())?;
    store::host::touch_all(tx, qos::hosts(tx, policy)?)
}
