//! SQL of address groups.

use crate::model::{AddressGroup, Std};
use base::{AddressGroupId, Fault, Result};
use ipnet::IpNet;
use std::collections::HashMap;
use store::{Row, Tx, params};

pub const COLS: &str = "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at";

pub fn read(r: &Row<'_>) -> Result<AddressGroup> {
    Ok(AddressGroup { id: r.get(0)?, std: Std::read(r)? })
}

pub fn by_id(tx: &Tx<'_>, id: AddressGroupId) -> Result<Option<AddressGroup>> {
    tx.opt(&format!("SELECT {COLS} FROM address_group t WHERE t.id = $1"), params![id], read)
}

pub fn insert(tx: &Tx<'_>, g: &AddressGroup) -> Result<()> {
    tx.exec(
        "INSERT INTO address_group (id, project_id, name, description, revision, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            g.id,
            &g.std.project,
            &g.std.name,
            &g.std.description,
            g.std.revision,
            g.std.created,
            g.std.updated
        ],
    )
    .map(drop)
}

pub fn update(tx: &Tx<'_>, g: &AddressGroup) -> Result<()> {
    let sql = "UPDATE address_group SET name = $2, description = $3 WHERE id = $1";
    tx.exec(sql, params![g.id, &g.std.name, &g.std.description]).map(drop)
}

/// False when the group has the address already.
pub fn add(tx: &Tx<'_>, group: AddressGroupId, address: &IpNet) -> Result<bool> {
    let sql = "INSERT INTO address_group_address (group_id, address) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    Ok(tx.exec(sql, params![group, address.to_string()])? == 1)
}

/// False when the group does not have the address.
pub fn remove(tx: &Tx<'_>, group: AddressGroupId, address: &IpNet) -> Result<bool> {
    let sql = "DELETE FROM address_group_address WHERE group_id = $1 AND address = $2";
    Ok(tx.exec(sql, params![group, address.to_string()])? == 1)
}

/// The addresses of groups, in order.
pub fn of(tx: &Tx<'_>, groups: &[AddressGroupId]) -> Result<HashMap<AddressGroupId, Vec<IpNet>>> {
    let ids: Vec<String> = groups.iter().map(AddressGroupId::to_string).collect();
    let found = super::children(
        tx,
        "SELECT group_id, address FROM address_group_address WHERE group_id IN (",
        ")",
        &ids,
        |r| r.get::<String>(1)?.parse::<IpNet>().map_err(Fault::internal),
    )?;
    let typed = found.into_iter().map(|(id, mut list)| {
        list.sort();
        Ok((id.parse().map_err(Fault::internal)?, list))
    });
    typed.collect()
}
