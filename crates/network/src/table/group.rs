//! SQL of security groups and their rules.

use crate::model::{Group, Rule, Std};
use base::{ProjectId, Result, SecurityGroupId, SecurityGroupRuleId};
use std::collections::HashSet;
use store::change::{self, What};
use store::{Row, Sql, Tx, params};

pub const COLS: &str =
    "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at, t.stateful";

pub fn read(r: &Row<'_>) -> Result<Group> {
    Ok(Group { id: r.get(0)?, std: Std::read(r)?, stateful: r.get(7)? })
}

pub fn by_id(tx: &Tx<'_>, id: SecurityGroupId) -> Result<Option<Group>> {
    tx.opt(&format!("SELECT {COLS} FROM security_group t WHERE t.id = $1"), params![id], read)
}

pub fn by_ids(tx: &Tx<'_>, ids: &[SecurityGroupId]) -> Result<Vec<Group>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new(&format!("SELECT {COLS} FROM security_group t WHERE t.id IN ("));
    super::fill(&mut q, ids);
    q.push(") ORDER BY t.id");
    q.rows(tx, read)
}

/// Which of these groups are their projects' default ones.
pub fn defaults(tx: &Tx<'_>, ids: impl Iterator<Item = SecurityGroupId>) -> Result<HashSet<SecurityGroupId>> {
    let ids: HashSet<SecurityGroupId> = ids.collect();
    let mut found = HashSet::new();
    for part in ids.iter().collect::<Vec<_>>().chunks(4096) {
        let mut q = Sql::new("SELECT id FROM security_group WHERE name = 'default' AND id IN (");
        super::fill(&mut q, part.iter().copied());
        q.push(")");
        found.extend(q.rows(tx, |r| r.get::<SecurityGroupId>(0))?);
    }
    Ok(found)
}

pub fn by_name(tx: &Tx<'_>, project: &ProjectId, name: &str) -> Result<Vec<SecurityGroupId>> {
    tx.rows(
        "SELECT id FROM security_group WHERE project_id = $1 AND name = $2",
        params![project, name],
        |r| r.get(0),
    )
}

/// False when the project has a group `default` already and this is another.
pub fn insert(tx: &Tx<'_>, g: &Group) -> Result<bool> {
    let added = tx.exec(
        "INSERT INTO security_group (id, project_id, name, description, revision, created_at, updated_at, stateful)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        params![
            g.id, &g.std.project, &g.std.name, &g.std.description, g.std.revision, g.std.created, g.std.updated,
            g.stateful
        ],
    )?;
    if added == 1 {
        change::owned(tx, "security_group", &g.id.to_string(), What::Created, g.std.project.as_str());
    }
    Ok(added == 1)
}

pub fn update(tx: &Tx<'_>, g: &Group) -> Result<()> {
    tx.exec(
        "UPDATE security_group SET name = $2, description = $3, stateful = $4 WHERE id = $1",
        params![g.id, &g.std.name, &g.std.description, g.stateful],
    )
    .map(drop)
}

pub const RULE_COLS: &str = "t.id, t.project_id, '', t.description, t.revision, t.created_at, t.created_at, \
     t.group_id, t.direction, t.ethertype, t.protocol, t.proto, t.port_min, t.port_max, t.remote_prefix, \
     t.remote_group_id, t.remote_address_group_id";

pub fn read_rule(r: &Row<'_>) -> Result<Rule> {
    let (group, addresses): (String, String) = (r.get(15)?, r.get(16)?);
    Ok(Rule {
        id: r.get(0)?,
        std: Std::read(r)?,
        group: r.get(7)?,
        ingress: r.get::<String>(8)? == "ingress",
        v6: r.get::<String>(9)? == "IPv6",
        protocol: r.get(10)?,
        proto: u8::try_from(r.get::<i64>(11)?).ok(),
        min: u16::try_from(r.get::<i64>(12)?).ok(),
        max: u16::try_from(r.get::<i64>(13)?).ok(),
        remote_prefix: Some(r.get::<String>(14)?).filter(|p| !p.is_empty()),
        remote_group: group.parse().ok(),
        remote_addresses: addresses.parse().ok(),
    })
}

pub fn rule_by_id(tx: &Tx<'_>, id: SecurityGroupRuleId) -> Result<Option<Rule>> {
    tx.opt(&format!("SELECT {RULE_COLS} FROM security_group_rule t WHERE t.id = $1"), params![id], read_rule)
}

pub fn rules_of(tx: &Tx<'_>, groups: &[SecurityGroupId]) -> Result<Vec<Rule>> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new(&format!("SELECT {RULE_COLS} FROM security_group_rule t WHERE t.group_id IN ("));
    super::fill(&mut q, groups);
    q.push(") ORDER BY t.created_at, t.id");
    q.rows(tx, read_rule)
}

/// Whom a rule is about, as text that is the same for the same peers.
pub fn peer(r: &Rule) -> String {
    match (&r.remote_group, &r.remote_addresses, r.masked_prefix()) {
        (Some(g), ..) => g.to_string(),
        (None, Some(g), _) => g.to_string(),
        // A prefix of length 0 is everybody, which is what no prefix says too.
        (None, None, Some(p)) if p.prefix_len() > 0 => p.to_string(),
        _ => String::new(),
    }
}

/// False when the group has this rule already.
pub fn insert_rule(tx: &Tx<'_>, r: &Rule) -> Result<bool> {
    let any = |n: Option<u16>| n.map_or(-1, i64::from);
    let peer = peer(r);
    let added = tx.exec(
        "INSERT INTO security_group_rule (id, group_id, project_id, description, direction, ethertype, protocol,
         proto, port_min, port_max, remote_prefix, remote_group_id, peer, revision, created_at, remote_address_group_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT (group_id, direction, ethertype, proto, port_min, port_max, peer) DO NOTHING",
        params![
            r.id,
            r.group,
            &r.std.project,
            &r.std.description,
            if r.ingress { "ingress" } else { "egress" },
            if r.v6 { "IPv6" } else { "IPv4" },
            &r.protocol,
            r.proto.map_or(-1, i64::from),
            any(r.min),
            any(r.max),
            r.remote_prefix.as_deref().unwrap_or(""),
            r.remote_group.map(|g| g.to_string()).unwrap_or_default(),
            peer,
            r.std.revision,
            r.std.created,
            r.remote_addresses.map(|g| g.to_string()).unwrap_or_default()
        ],
    )?;
    Ok(added == 1)
}
