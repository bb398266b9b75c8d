//! SQL of address scopes.

use crate::model::{Scope, Std};
use base::{AddressScopeId, Result};
use std::collections::HashMap;
use store::{Row, Tx, params};

pub const COLS: &str =
    "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at, t.ip_version";

pub fn read(r: &Row<'_>) -> Result<Scope> {
    Ok(Scope { id: r.get(0)?, std: Std::read(r)?, v6: r.get::<i64>(7)? == 6 })
}

pub fn by_id(tx: &Tx<'_>, id: AddressScopeId) -> Result<Option<Scope>> {
    tx.opt(&format!("SELECT {COLS} FROM address_scope t WHERE t.id = $1"), params![id], read)
}

pub fn insert(tx: &Tx<'_>, s: &Scope) -> Result<()> {
    tx.exec(
        "INSERT INTO address_scope (id, project_id, name, description, revision, created_at, updated_at, ip_version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            s.id,
            &s.std.project,
            &s.std.name,
            &s.std.description,
            s.std.revision,
            s.std.created,
            s.std.updated,
            if s.v6 { 6 } else { 4 }
        ],
    )
    .map(drop)
}

pub fn update(tx: &Tx<'_>, s: &Scope) -> Result<()> {
    let sql = "UPDATE address_scope SET name = $2, description = $3 WHERE id = $1";
    tx.exec(sql, params![s.id, &s.std.name, &s.std.description]).map(drop)
}

/// The scopes that networks are in by the pools of their subnets: (network, IPv6) → scope.
pub fn of_networks(tx: &Tx<'_>, networks: &[String]) -> Result<HashMap<(String, bool), String>> {
    let found = super::children(
        tx,
        "SELECT s.network_id, s.ip_version, p.address_scope_id FROM subnet s
         JOIN subnetpool p ON p.id = s.subnetpool_id
         WHERE p.address_scope_id IS NOT NULL AND s.network_id IN (",
        ")",
        networks,
        |r| Ok((r.get::<i64>(1)? == 6, r.get::<String>(2)?)),
    )?;
    let flat =
        found.into_iter().flat_map(|(n, list)| list.into_iter().map(move |(v6, s)| ((n.clone(), v6), s)));
    Ok(flat.collect())
}
