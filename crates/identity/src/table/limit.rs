//! Registered limits, and what projects and domains have instead of them.

use super::missing;
use crate::bootstrap::REGION;
use base::{DomainId, Fault, Micros, ProjectId, Result, ServiceId};
use std::collections::BTreeSet;
use store::{Row, Sql, Tx, params, quota};

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

/// A resource of those services, and the project whose own limit it is; none for everybody's.
type Share = (String, Option<ProjectId>);

/// Makes what the rows say now count where the service takes from it: those of this region come before those of
/// every region, and those of other regions count there.
fn enforce(tx: &Tx<'_>, (name, project): &Share) -> Result<()> {
    let mut q = match project {
        Some(project) => {
            let mut q = Sql::new(
                "SELECT l.resource_limit FROM resource_limit l
                 JOIN registered_limit r ON r.id = l.registered_id JOIN service s ON s.id = r.service_id
                 WHERE 1 = 1",
            );
            q.and("l.project_id =", project);
            q
        }
        None => Sql::new(
            "SELECT r.default_limit FROM registered_limit r JOIN service s ON s.id = r.service_id WHERE 1 = 1",
        ),
    };
    q.and("r.resource_name =", name).and("s.type =", ENFORCED).and_in("r.region_id", ["", REGION]);
    q.push(" ORDER BY r.region_id DESC, r.created_at, r.id").limit(1);
    let max = q.opt(tx, |r| r.get(0))?;
    match project {
        Some(project) => quota::set(tx, project, name, max),
        None => quota::set_default(tx, name, max),
    }
}

/// Whether a service's limits are quotas.
fn is_enforced(tx: &Tx<'_>, service: &ServiceId) -> Result<bool> {
    let sql = "SELECT 1 FROM service WHERE id = $1 AND type = $2";
    Ok(tx.opt(sql, params![service, ENFORCED], |_| Ok(()))?.is_some())
}

/// What a service's limits are about, always in the same order.
fn shares(tx: &Tx<'_>, service: &ServiceId) -> Result<BTreeSet<Share>> {
    let sql = "SELECT resource_name FROM registered_limit WHERE service_id = $1";
    let registered = tx.rows(sql, params![service], |r| Ok((r.get(0)?, None)))?;
    let sql = "SELECT r.resource_name, l.project_id FROM resource_limit l
               JOIN registered_limit r ON r.id = l.registered_id
               WHERE r.service_id = $1 AND l.project_id IS NOT NULL";
    let own = tx.rows(sql, params![service], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(registered.into_iter().chain(own).collect())
}

/// Changes a service, or deletes it, and makes what then remains of limits count.
pub fn around(tx: &Tx<'_>, service: &ServiceId, change: impl FnOnce() -> Result<()>) -> Result<()> {
    let (shares, was) = (shares(tx, service)?, is_enforced(tx, service)?);
    change()?;
    if was || is_enforced(tx, service)? {
        shares.iter().try_for_each(|share| enforce(tx, share))?;
    }
    Ok(())
}

/// After a change of a registered limit.
fn registered_changed(tx: &Tx<'_>, r: &Registered) -> Result<()> {
    if !is_enforced(tx, &r.service_id)? {
        return Ok(());
    }
    enforce(tx, &(r.resource_name.clone(), None))
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
    registered_changed(tx, r)
}

pub fn update_registered(tx: &Tx<'_>, r: &Registered) -> Result<()> {
    let before = registered(tx, &r.id)?;
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
    registered_changed(tx, &before)?;
    registered_changed(tx, r)
}

/// Whether somebody has another limit than the registered one.
pub fn used(tx: &Tx<'_>, registered: &str) -> Result<bool> {
    let sql = "SELECT id FROM resource_limit WHERE registered_id = $1 LIMIT 1";
    Ok(tx.opt(sql, params![registered], |r| r.get::<String>(0))?.is_some())
}

pub fn unregister(tx: &Tx<'_>, id: &str) -> Result<()> {
    let before = registered(tx, id)?;
    tx.exec("DELETE FROM registered_limit WHERE id = $1", params![id])?;
    registered_changed(tx, &before)
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
    changed(tx, l)
}

/// After a change of a limit. Those of domains are kept and count for nobody: the model is flat.
fn changed(tx: &Tx<'_>, l: &Limit) -> Result<()> {
    if l.project_id.is_none() || !is_enforced(tx, &l.registered.service_id)? {
        return Ok(());
    }
    enforce(tx, &(l.registered.resource_name.clone(), l.project_id.clone()))
}

pub fn update(tx: &Tx<'_>, l: &Limit) -> Result<()> {
    tx.exec(
        "UPDATE resource_limit SET resource_limit = $2, description = $3 WHERE id = $1",
        params![&l.id, l.resource_limit, &l.description],
    )?;
    changed(tx, l)
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<()> {
    let before = get(tx, id)?;
    tx.exec("DELETE FROM resource_limit WHERE id = $1", params![id])?;
    changed(tx, &before)
}
