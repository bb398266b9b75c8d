//! Registered limits, and what projects and domains have instead of them.

use super::missing;
use base::{DomainId, Fault, Micros, ProjectId, Result, ServiceId};
use store::{Row, Tx, params, quota};

/// The default of a resource of a service, in one region or in all.
#[derive(Debug, Clone)]
pub struct Registered {
    pub id: String,
    pub service_id: ServiceId,
    pub region_id: Option<String>,
    pub resource_name: String,
    pub default_limit: i64,
    pub description: Option<String>,
}

/// What a project or a domain has instead.
#[derive(Debug, Clone)]
pub struct Limit {
    pub id: String,
    pub registered: Registered,
    pub project_id: Option<ProjectId>,
    pub domain_id: Option<DomainId>,
    pub resource_limit: i64,
    pub description: Option<String>,
}

const REGISTERED: &str = "id, service_id, region_id, resource_name, default_limit, description, created_at";
/// To be used as a table, so that lists of both kinds look alike.
pub const SELECT_REGISTERED: &str = "SELECT id, service_id, region_id, resource_name, default_limit, description FROM registered_limit WHERE 1 = 1";
pub const SELECT: &str = "SELECT id, registered_id, service_id, region_id, resource_name, default_limit,
       project_id, domain_id, resource_limit, description
     FROM (SELECT l.id, l.registered_id, r.service_id, r.region_id, r.resource_name, r.default_limit,
                  l.project_id, l.domain_id, l.resource_limit, l.description, l.created_at
           FROM resource_limit l JOIN registered_limit r ON r.id = l.registered_id) both_limits
     WHERE 1 = 1";

fn region(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub fn registered_row(r: &Row<'_>) -> Result<Registered> {
    Ok(Registered {
        id: r.get(0)?,
        service_id: r.get(1)?,
        region_id: region(r.get(2)?),
        resource_name: r.get(3)?,
        default_limit: r.get(4)?,
        description: r.get(5)?,
    })
}

pub fn row(r: &Row<'_>) -> Result<Limit> {
    Ok(Limit {
        id: r.get(0)?,
        registered: Registered {
            id: r.get(1)?,
            service_id: r.get(2)?,
            region_id: region(r.get(3)?),
            resource_name: r.get(4)?,
            default_limit: r.get(5)?,
            description: None,
        },
        project_id: r.get(6)?,
        domain_id: r.get(7)?,
        resource_limit: r.get(8)?,
        description: r.get(9)?,
    })
}

pub fn registered(tx: &Tx<'_>, id: &str) -> Result<Registered> {
    let found = tx.opt(&format!("{SELECT_REGISTERED} AND id = $1"), params![id], registered_row)?;
    found.ok_or_else(|| missing("registered limit", id))
}

pub fn get(tx: &Tx<'_>, id: &str) -> Result<Limit> {
    let found = tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)?;
    found.ok_or_else(|| missing("limit", id))
}

/// The registered limit of a resource.
pub fn of(tx: &Tx<'_>, service: &str, region: &str, name: &str) -> Result<Option<Registered>> {
    let sql = format!("{SELECT_REGISTERED} AND service_id = $1 AND region_id = $2 AND resource_name = $3");
    tx.opt(&sql, params![service, region, name], registered_row)
}

/// The services whose quotas are what is set here; the others have quota APIs of their own.
const ENFORCED: &str = "image";

/// Makes a limit count where the service takes from it: a project's own, or everybody's.
fn enforce(tx: &Tx<'_>, r: &Registered, project: Option<&ProjectId>, max: Option<i64>) -> Result<()> {
    let sql = "SELECT 1 FROM service WHERE id = $1 AND type = $2";
    if tx.opt(sql, params![&r.service_id, ENFORCED], |_| Ok(()))?.is_none() {
        return Ok(());
    }
    match project {
        Some(project) => quota::set(tx, project, &r.resource_name, max),
        None => quota::set_default(tx, &r.resource_name, max),
    }
}

fn taken(what: &str) -> Fault {
    Fault::conflict(format!("Conflict occurred attempting to store {what} - Duplicate entry."))
}

pub fn register(tx: &Tx<'_>, r: &Registered) -> Result<()> {
    tx.exec_unique(
        &format!("INSERT INTO registered_limit ({REGISTERED}) VALUES ($1, $2, $3, $4, $5, $6, $7)"),
        params![
            &r.id,
            &r.service_id,
            r.region_id.as_deref().unwrap_or_default(),
            &r.resource_name,
            r.default_limit,
            &r.description,
            Micros::now(),
        ],
        || taken("registered_limit"),
    )?;
    enforce(tx, r, None, Some(r.default_limit))
}

pub fn update_registered(tx: &Tx<'_>, r: &Registered) -> Result<()> {
    enforce(tx, &registered(tx, &r.id)?, None, None)?;
    tx.exec_unique(
        "UPDATE registered_limit SET service_id = $2, region_id = $3, resource_name = $4, default_limit = $5,
                description = $6
         WHERE id = $1",
        params![
            &r.id,
            &r.service_id,
            r.region_id.as_deref().unwrap_or_default(),
            &r.resource_name,
            r.default_limit,
            &r.description,
        ],
        || taken("registered_limit"),
    )?;
    enforce(tx, r, None, Some(r.default_limit))
}

/// Whether somebody has another limit than the registered one.
pub fn used(tx: &Tx<'_>, registered: &str) -> Result<bool> {
    let sql = "SELECT id FROM resource_limit WHERE registered_id = $1 LIMIT 1";
    Ok(tx.opt(sql, params![registered], |r| r.get::<String>(0))?.is_some())
}

pub fn unregister(tx: &Tx<'_>, id: &str) -> Result<()> {
    enforce(tx, &registered(tx, id)?, None, None)?;
    tx.exec("DELETE FROM registered_limit WHERE id = $1", params![id])?;
    Ok(())
}

pub fn insert(tx: &Tx<'_>, l: &Limit) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO resource_limit
           (id, registered_id, project_id, domain_id, resource_limit, description, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            &l.id,
            &l.registered.id,
            l.project_id.as_ref(),
            l.domain_id.as_ref(),
            l.resource_limit,
            &l.description,
            Micros::now(),
        ],
        || taken("limit"),
    )?;
    of_project(tx, l, Some(l.resource_limit))
}

/// Limits of domains are kept and count for nobody: the model is flat.
fn of_project(tx: &Tx<'_>, l: &Limit, max: Option<i64>) -> Result<()> {
    l.project_id.as_ref().map_or(Ok(()), |p| enforce(tx, &l.registered, Some(p), max))
}

pub fn update(tx: &Tx<'_>, l: &Limit) -> Result<()> {
    tx.exec(
        "UPDATE resource_limit SET resource_limit = $2, description = $3 WHERE id = $1",
        params![&l.id, l.resource_limit, &l.description],
    )?;
    of_project(tx, l, Some(l.resource_limit))
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<()> {
    of_project(tx, &get(tx, id)?, None)?;
    tx.exec("DELETE FROM resource_limit WHERE id = $1", params![id])?;
    Ok(())
}
