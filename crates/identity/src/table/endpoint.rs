//! Rows of the catalogue's endpoints.

use super::{extra, extra_text, missing};
use crate::model::Endpoint;
use base::{EndpointId, Micros, Result};
use store::{Row, Tx, params};

pub const SELECT: &str =
    "SELECT id, service_id, interface, region_id, url, enabled, extra FROM endpoint WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Endpoint> {
    Ok(Endpoint {
        id: r.get(0)?,
        service_id: r.get(1)?,
        interface: r.get(2)?,
        region_id: r.get(3)?,
        url: r.get(4)?,
        enabled: r.get(5)?,
        extra: extra(r, 6)?,
    })
}

pub fn get(tx: &Tx<'_>, id: &EndpointId) -> Result<Endpoint> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)?
        .ok_or_else(|| missing("endpoint", id.as_str()))
}

pub fn enabled(tx: &Tx<'_>) -> Result<Vec<Endpoint>> {
    tx.rows(&format!("{SELECT} AND enabled = 1 ORDER BY created_at, id"), &[], row)
}

pub fn insert(tx: &Tx<'_>, e: &Endpoint) -> Result<()> {
    tx.exec(
        "INSERT INTO endpoint (id, service_id, interface, region_id, url, enabled, extra, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            &e.id,
            &e.service_id,
            &e.interface,
            e.region_id.as_ref(),
            &e.url,
            e.enabled,
            extra_text(&e.extra)?,
            Micros::now(),
        ],
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, e: &Endpoint) -> Result<()> {
    tx.exec(
        "UPDATE endpoint SET service_id = $2, interface = $3, region_id = $4, url = $5, enabled = $6, extra = $7
         WHERE id = $1",
        params![
            &e.id, &e.service_id, &e.interface, e.region_id.as_ref(), &e.url, e.enabled,
            extra_text(&e.extra)?,
        ],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &EndpointId) -> Result<()> {
    tx.exec("DELETE FROM endpoint WHERE id = $1", params![id])?;
    Ok(())
}
