//! Rows of the catalogue's services.

use super::{extra, extra_text, limit, missing};
use crate::model::Service;
use base::{Micros, Result, ServiceId};
use store::{Row, Tx, params};

pub const SELECT: &str = "SELECT id, type, name, description, enabled, extra FROM service WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Service> {
    Ok(Service {
        id: r.get(0)?,
        kind: r.get(1)?,
        name: r.get(2)?,
        description: r.get(3)?,
        enabled: r.get(4)?,
        extra: extra(r, 5)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &ServiceId) -> Result<Option<Service>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

pub fn get(tx: &Tx<'_>, id: &ServiceId) -> Result<Service> {
    find(tx, id)?.ok_or_else(|| missing("service", id.as_str()))
}

pub fn enabled(tx: &Tx<'_>) -> Result<Vec<Service>> {
    tx.rows(&format!("{SELECT} AND enabled = 1 ORDER BY created_at, id"), &[], row)
}

pub fn insert(tx: &Tx<'_>, s: &Service) -> Result<()> {
    tx.exec(
        "INSERT INTO service (id, type, name, description, enabled, extra, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![&s.id, &s.kind, &s.name, &s.description, s.enabled, extra_text(&s.extra)?, Micros::now()],
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, s: &Service) -> Result<()> {
    limit::around(tx, &s.id, || {
        tx.exec(
            "UPDATE service SET type = $2, name = $3, description = $4, enabled = $5, extra = $6 WHERE id = $1",
            params![&s.id, &s.kind, &s.name, &s.description, s.enabled, extra_text(&s.extra)?],
        )?;
        Ok(())
    })
}

/// Deletes a service with its endpoints and its limits.
pub fn delete(tx: &Tx<'_>, id: &ServiceId) -> Result<()> {
    limit::around(tx, id, || {
        tx.exec(
            "DELETE FROM resource_limit WHERE registered_id IN
               (SELECT id FROM registered_limit WHERE service_id = $1)",
            params![id],
        )?;
        tx.exec("DELETE FROM registered_limit WHERE service_id = $1", params![id])?;
        tx.exec("DELETE FROM service WHERE id = $1", params![id])?;
        Ok(())
    })
}
