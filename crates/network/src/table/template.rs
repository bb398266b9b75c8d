//! SQL of the rules that new security groups begin with.

use super::group::peer;
use crate::model::{Rule, Std, Template};
use base::{Result, SecurityGroupId, SecurityGroupRuleId};
use store::{Row, Tx, params};

pub const COLS: &str = "t.id, t.project_id, '', t.description, t.revision, t.created_at, t.updated_at, \
     t.direction, t.ethertype, t.protocol, t.proto, t.port_min, t.port_max, t.remote_prefix, \
     t.remote_group_id, t.remote_address_group_id, t.in_default, t.in_others";

/// How a rule names the new group itself as its peer.
pub const PARENT: &str = "PARENT";

pub fn read(r: &Row<'_>) -> Result<Template> {
    let (group, addresses): (String, String) = (r.get(14)?, r.get(15)?);
    let rule = Rule {
        id: r.get(0)?,
        std: Std::read(r)?,
        group: SecurityGroupId::nil(),
        ingress: r.get::<String>(7)? == "ingress",
        v6: r.get::<String>(8)? == "IPv6",
        protocol: r.get(9)?,
        proto: u8::try_from(r.get::<i64>(10)?).ok(),
        min: u16::try_from(r.get::<i64>(11)?).ok(),
        max: u16::try_from(r.get::<i64>(12)?).ok(),
        remote_prefix: Some(r.get::<String>(13)?).filter(|p| !p.is_empty()),
        remote_group: group.parse().ok(),
        remote_addresses: addresses.parse().ok(),
    };
    Ok(Template { rule, from_itself: group == PARENT, in_default: r.get(16)?, in_others: r.get(17)? })
}

pub fn by_id(tx: &Tx<'_>, id: SecurityGroupRuleId) -> Result<Option<Template>> {
    tx.opt(&format!("SELECT {COLS} FROM default_security_group_rule t WHERE t.id = $1"), params![id], read)
}

/// Those of groups named `default`, or of the others.
pub fn of(tx: &Tx<'_>, default: bool) -> Result<Vec<Template>> {
    let which = if default { "in_default" } else { "in_others" };
    let sql = format!(
        "SELECT {COLS} FROM default_security_group_rule t WHERE t.{which} = 1 ORDER BY t.created_at, t.id"
    );
    tx.rows(&sql, &[], read)
}

/// False when there is such a template already.
pub fn insert(tx: &Tx<'_>, t: &Template) -> Result<bool> {
    let r = &t.rule;
    let any = |n: Option<u16>| n.map_or(-1, i64::from);
    let (group, peer) = if t.from_itself {
        (PARENT.to_owned(), PARENT.to_owned())
    } else {
        (r.remote_group.map(|g| g.to_string()).unwrap_or_default(), peer(r))
    };
    let added = tx.exec(
        "INSERT INTO default_security_group_rule (id, project_id, description, direction, ethertype, protocol, proto,
         port_min, port_max, remote_prefix, remote_group_id, remote_address_group_id, peer, in_default, in_others,
         revision, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT DO NOTHING",
        params![
            r.id,
            &r.std.project,
            &r.std.description,
            if r.ingress { "ingress" } else { "egress" },
            if r.v6 { "IPv6" } else { "IPv4" },
            &r.protocol,
            r.proto.map_or(-1, i64::from),
            any(r.min),
            any(r.max),
            r.remote_prefix.as_deref().unwrap_or(""),
            group,
            r.remote_addresses.map(|g| g.to_string()).unwrap_or_default(),
            peer,
            t.in_default,
            t.in_others,
            r.std.revision,
            r.std.created,
            r.std.updated
        ],
    )?;
    Ok(added == 1)
}
