//! Security groups and rules.

use super::{Caller, give, rbac, take};
use crate::model::{Group, Rule, Std};
use crate::{err, table, touch};
use base::{AddressGroupId, Fault, ProjectId, Result, SecurityGroupId, SecurityGroupRuleId};
use store::{Tx, params, quota};

/// A rule as asked for, checked in itself.
#[derive(Debug, Clone)]
pub struct NewRule {
    pub group: SecurityGroupId,
    pub description: String,
    pub ingress: bool,
    pub v6: bool,
    pub protocol: String,
    pub proto: Option<u8>,
    pub min: Option<u16>,
    pub max: Option<u16>,
    pub remote_prefix: Option<String>,
    pub remote_group: Option<SecurityGroupId>,
    pub remote_addresses: Option<AddressGroupId>,
}

/// The group `default` of a project, made when it is first needed.
pub fn default_of(tx: &Tx<'_>, project: &ProjectId) -> Result<SecurityGroupId> {
    if let Some(id) = table::group::by_name(tx, project, "default")?.pop() {
        return Ok(id);
    }
    let g = Group {
        id: SecurityGroupId::new(),
        std: Std::new(project, "default", "Default security group"),
        stateful: true,
    };
    if table::group::insert(tx, &g)? {
        let rules = first_rules(tx, &g, true)?;
        quota::count(tx, project, "security_group", 1)?;
        quota::count(tx, project, "security_group_rule", rules)?;
        return Ok(g.id);
    }
    let made = table::group::by_name(tx, project, "default")?.pop();
    made.ok_or_else(|| Fault::internal(format!("no default group of project {project}")))
}

/// The rules that a new group begins with; answers how many.
fn first_rules(tx: &Tx<'_>, g: &Group, default: bool) -> Result<i64> {
    let mut n = 0;
    for t in table::template::of(tx, default)? {
        let first = Rule {
            id: SecurityGroupRuleId::new(),
            std: Std::new(&g.std.project, "", &t.rule.std.description),
            group: g.id,
            remote_group: if t.from_itself { Some(g.id) } else { t.rule.remote_group },
            ..t.rule
        };
        n += i64::from(table::group::insert_rule(tx, &first)?);
    }
    Ok(n)
}

/// A new rule of a project.
pub fn rule(new: &NewRule, project: &ProjectId) -> Rule {
    Rule {
        id: SecurityGroupRuleId::new(),
        std: Std::new(project, "", &new.description),
        group: new.group,
        ingress: new.ingress,
        v6: new.v6,
        protocol: new.protocol.clone(),
        proto: new.proto,
        min: new.min,
        max: new.max,
        remote_prefix: new.remote_prefix.clone(),
        remote_group: new.remote_group,
        remote_addresses: new.remote_addresses,
    }
}

pub fn create(
    tx: &Tx<'_>,
    project: &ProjectId,
    name: &str,
    description: &str,
    stateful: bool,
) -> Result<Group> {
    default_of(tx, project)?;
    if name == "default" {
        return Err(err::conflict(
            "SecurityGroupDefaultAlreadyExists",
            "Default security group already exists.",
        ));
    }
    take(tx, project, "security_group")?;
    let g = Group { id: SecurityGroupId::new(), std: Std::new(project, name, description), stateful };
    table::group::insert(tx, &g)?;
    let rules = first_rules(tx, &g, false)?;
    quota::count(tx, project, "security_group_rule", rules)?;
    Ok(g)
}

/// A group that the caller sees: an own or shared one.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: SecurityGroupId) -> Result<Group> {
    match table::group::by_id(tx, id)? {
        Some(g) if rbac::sees(tx, caller, &id.to_string(), &g.std.project)? => Ok(g),
        _ => Err(err::no_group(id)),
    }
}

/// Refuses groups that the caller does not see; answers them once each.
pub fn check_all(tx: &Tx<'_>, caller: &Caller, ids: &[SecurityGroupId]) -> Result<Vec<SecurityGroupId>> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let found = table::group::by_ids(tx, &ids)?;
    for id in &ids {
        let Some(g) = found.iter().find(|g| g.id == *id) else { return Err(err::no_group(id)) };
        if !rbac::sees(tx, caller, &id.to_string(), &g.std.project)? {
            return Err(err::no_group(id));
        }
    }
    Ok(ids)
}

pub fn delete(tx: &Tx<'_>, caller: &Caller, g: &Group) -> Result<()> {
    if g.std.name == "default" && !caller.admin {
        return Err(err::conflict(
            "SecurityGroupCannotRemoveDefault",
            "Insufficient rights for removing default security group.",
        ));
    }
    let in_use = || err::conflict("SecurityGroupInUse", format!("Security Group {} in use.", g.id));
    let used = "SELECT 1 FROM port_security_group WHERE group_id = $1 LIMIT 1";
    if tx.opt(used, params![g.id], |_| Ok(()))?.is_some() {
        return Err(in_use());
    }
    super::hold(tx, &g.std.project, &["security_group", "security_group_rule", "rbac_policy"])?;
    give(tx, &g.std.project, "security_group", 1)?;
    // Rules elsewhere that name this group as their peer go with it.
    let peers = tx.rows(
        "SELECT id FROM security_group_rule WHERE remote_group_id = $1 AND group_id <> $1",
        params![g.id],
        |r| r.get::<SecurityGroupRuleId>(0),
    )?;
    for id in peers {
        if let Some(r) = table::group::rule_by_id(tx, id)? {
            delete_rule(tx, &r)?;
        }
    }
    let rules = tx.exec("DELETE FROM security_group_rule WHERE group_id = $1", params![g.id])?;
    give(tx, &g.std.project, "security_group_rule", usize::try_from(rules).unwrap_or(0))?;
    rbac::forget(tx, &g.id.to_string())?;
    table::delete(tx, "security_group", &g.id.to_string())
        .map_err(err::still_used("SecurityGroupInUse", format!("Security Group {} in use.", g.id)))
        .map(drop)
}

/// Refuses peers that the caller does not see; holds the address group, so that it stays.
pub fn check_remotes(tx: &Tx<'_>, caller: &Caller, new: &NewRule) -> Result<()> {
    if let Some(peer) = new.remote_group {
        visible(tx, caller, peer)?;
    }
    if let Some(id) = new.remote_addresses {
        table::hold(tx, "address_group", &id.to_string())?;
        super::addresses::visible(tx, caller, id)?;
    }
    Ok(())
}

pub fn create_rule(tx: &Tx<'_>, caller: &Caller, new: &NewRule) -> Result<Rule> {
    let g = visible(tx, caller, new.group)?;
    if !caller.owns(&g.std.project) {
        return Err(err::policy("create_security_group_rule"));
    }
    let r = rule(new, &g.std.project);
    touch::hold_members(tx, g.id)?;
    table::bump(tx, "security_group", &g.id.to_string())?;
    check_remotes(tx, caller, new)?;
    take(tx, &g.std.project, "security_group_rule")?;
    if !table::group::insert_rule(tx, &r)? {
        return Err(err::conflict(
            "SecurityGroupRuleExists",
            format!("Security group rule already exists in group {}.", g.id),
        ));
    }
    touch::group(tx, g.id)?;
    Ok(r)
}

pub fn delete_rule(tx: &Tx<'_>, r: &Rule) -> Result<()> {
    touch::hold_members(tx, r.group)?;
    table::bump(tx, "security_group", &r.group.to_string())?;
    if table::delete(tx, "security_group_rule", &r.id.to_string())? {
        give(tx, &r.std.project, "security_group_rule", 1)?;
    }
    touch::group(tx, r.group)
}
