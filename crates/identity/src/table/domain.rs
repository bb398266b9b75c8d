//! Rows of domains. A domain goes with everything in it; the API asks that it be disabled first.

use super::{extra, extra_text, missing, taken};
use crate::model::Domain;
use base::{DomainId, Micros, Result};
use store::{Row, Tx, params};

pub const SELECT: &str = "SELECT id, name, description, enabled, extra FROM domain WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Domain> {
    Ok(Domain {
        id: r.get(0)?,
        name: r.get(1)?,
        description: r.get(2)?,
        enabled: r.get(3)?,
        extra: extra(r, 4)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &DomainId) -> Result<Option<Domain>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

pub fn get(tx: &Tx<'_>, id: &DomainId) -> Result<Domain> {
    find(tx, id)?.ok_or_else(|| missing("domain", id.as_str()))
}

pub fn by_name(tx: &Tx<'_>, name: &str) -> Result<Option<Domain>> {
    tx.opt(&format!("{SELECT} AND name = $1"), params![name], row)
}

pub fn insert(tx: &Tx<'_>, d: &Domain) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO domain (id, name, description, enabled, extra, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        params![&d.id, &d.name, &d.description, d.enabled, extra_text(&d.extra)?, Micros::now()],
        || taken("domain", &d.name, None),
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, d: &Domain) -> Result<()> {
    tx.exec_unique(
        "UPDATE domain SET name = $2, description = $3, enabled = $4, extra = $5 WHERE id = $1",
        params![&d.id, &d.name, &d.description, d.enabled, extra_text(&d.extra)?],
        || taken("domain", &d.name, None),
    )?;
    Ok(())
}

/// Deletes a domain with everything in it.
pub fn delete(tx: &Tx<'_>, id: &DomainId) -> Result<()> {
    let inside = "(SELECT id FROM account WHERE domain_id = $1
                   UNION SELECT id FROM account_group WHERE domain_id = $1
                   UNION SELECT id FROM project WHERE domain_id = $1)";
    tx.exec(
        &format!(
            "DELETE FROM role_grant WHERE target_id = $1 OR actor_id IN {inside} OR target_id IN {inside}"
        ),
        params![id],
    )?;
    for table in ["account_group", "account", "project", "role"] {
        tx.exec(&format!("DELETE FROM {table} WHERE domain_id = $1"), params![id])?;
    }
    tx.exec("DELETE FROM domain WHERE id = $1", params![id])?;
    Ok(())
}
