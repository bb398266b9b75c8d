//! Who may know that something of the network changed: whose it is, and with whom it is shared.

use base::Result;
use std::collections::HashMap;
use store::change::Audience;
use store::{Sql, Tx, params};

/// Kinds that have a project, by their tables.
const OWNED: &[(&str, &str)] = &[
    ("network", "network"),
    ("subnet", "subnet"),
    ("port", "port"),
    ("router", "router"),
    ("floatingip", "floating_ip"),
    ("port_forwarding", "port_forwarding"),
    ("security_group", "security_group"),
    ("security_group_rule", "security_group_rule"),
    ("policy", "qos_policy"),
    ("rbac_policy", "rbac_policy"),
    ("address_scope", "address_scope"),
    ("address_group", "address_group"),
    ("subnetpool", "subnetpool"),
];

/// The kinds that [`audience`] knows.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    OWNED.iter().map(|(kind, _)| *kind)
}

/// Whoever may know of a change to what has this id; `None` when it is no more, or of no kind of ours.
pub fn audience(tx: &Tx<'_>, kind: &str, id: &str) -> Result<Option<Audience>> {
    let Some((_, table)) = OWNED.iter().find(|(k, _)| *k == kind) else { return Ok(None) };
    let owner = owner(tx, table, id)?;
    let Some(owner) = owner else { return Ok(None) };
    let shared_by = match kind {
        "subnet" => tx.opt("SELECT network_id FROM subnet WHERE id = $1", params![id], |r| r.get(0))?,
        _ => Some(id.to_owned()),
    };
    let mut projects = vec![owner];
    for target in targets(tx, shared_by.as_deref().unwrap_or(id))? {
        if target == "*" {
            return Ok(Some(Audience::Everybody));
        }
        projects.push(target);
    }
    Ok(Some(Audience::Projects(projects)))
}

/// What things of a kind are called, by id; nothing of kinds whose things have no names.
pub fn names(tx: &Tx<'_>, kind: &str, ids: &[String]) -> Result<HashMap<String, String>> {
    let nameless = ["port_forwarding", "security_group_rule", "rbac_policy"];
    let Some((_, table)) = OWNED.iter().find(|(k, _)| *k == kind && !nameless.contains(k)) else {
        return Ok(HashMap::new());
    };
    let column = if *table == "floating_ip" { "address" } else { "name" };
    let mut q = Sql::new(&format!("SELECT id, {column} FROM {table} WHERE 1 = 1"));
    q.and_in("id", ids);
    let rows = q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.into_iter().collect())
}

fn owner(tx: &Tx<'_>, table: &str, id: &str) -> Result<Option<String>> {
    if table == "port_forwarding" {
        let sql = "SELECT f.project_id FROM port_forwarding p JOIN floating_ip f ON f.id = p.floating_ip_id
                   WHERE p.id = $1";
        return tx.opt(sql, params![id], |r| r.get(0));
    }
    tx.opt(&format!("SELECT project_id FROM {table} WHERE id = $1"), params![id], |r| r.get(0))
}

fn targets(tx: &Tx<'_>, id: &str) -> Result<Vec<String>> {
    tx.rows("SELECT target FROM rbac_policy WHERE object_id = $1", params![id], |r| r.get(0))
}

/// What the tables' rows are called to those outside.
pub(crate) fn kind_of(table: &str) -> Option<&'static str> {
    OWNED.iter().find(|(_, t)| *t == table).map(|(kind, _)| *kind)
}
