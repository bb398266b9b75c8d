//! Quotas. `used` moves only by one conditional UPDATE, so that two requests cannot take the same
//! unit, whatever the isolation level.
//!
//! Invariant: transactions write rows in one order, so that on PostgreSQL no two wait for each other:
//! first the things that are there already, parents before children; then quotas in the order
//! `instances`, `cores`, `ram`, `network`, `router`, `subnet`, `port`, `floatingip`, `security_group`,
//! `security_group_rule`, others, `rbac_policy`; then what is new and the addresses; last of all hosts
//! ([`crate::host`]). Who gives back in another order than this holds what it will write beforehand.
//!
//! A project's limit is its own, else the installation's ([`set_default`], kept under no project's id), else
//! the one that the service names.

use crate::{Tx, params};
use base::{Fault, Kind, ProjectId, Result};

/// What a project may use of a resource, and uses. `max` -1 means without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub used: i64,
    pub max: i64,
}

/// Why a quota could not be taken.
#[derive(Debug)]
pub struct Over {
    pub resource: &'static str,
    pub requested: i64,
    pub usage: Usage,
}

/// Takes `n` units. `default` is the limit where the project has none of its own.
///
/// # Errors
/// The inner `Err` when the limit does not allow it; each API has its own words for that.
pub fn take(
    tx: &Tx<'_>,
    project: &ProjectId,
    resource: &'static str,
    n: i64,
    default: i64,
) -> Result<std::result::Result<(), Over>> {
    tx.exec(
        "INSERT INTO quota (project_id, resource) VALUES ($1, $2) ON CONFLICT (project_id, resource) DO NOTHING",
        params![project, resource],
    )?;
    let taken = tx.exec(
        "UPDATE quota SET used = used + $3 WHERE project_id = $1 AND resource = $2
         AND (COALESCE(max, (SELECT d.max FROM quota d WHERE d.project_id = '' AND d.resource = $2), $4) < 0
           OR used + $3 <= COALESCE(max, (SELECT d.max FROM quota d WHERE d.project_id = '' AND d.resource = $2), $4))",
        params![project, resource, n, default],
    )?;
    if taken == 1 {
        return Ok(Ok(()));
    }
    let usage = usage(tx, project, resource, default)?;
    Ok(Err(Over { resource, requested: n, usage }))
}

/// Counts `n` units that are made whatever the limit says (what comes along with a project by itself).
pub fn count(tx: &Tx<'_>, project: &ProjectId, resource: &str, n: i64) -> Result<()> {
    tx.exec(
        "INSERT INTO quota (project_id, resource, used) VALUES ($1, $2, $3)
         ON CONFLICT (project_id, resource) DO UPDATE SET used = quota.used + excluded.used",
        params![project, resource, n],
    )?;
    Ok(())
}

/// Holds the quotas of a project that a transaction will write, in the order given.
pub fn hold(tx: &Tx<'_>, project: &ProjectId, resources: &[&str]) -> Result<()> {
    for resource in resources.iter().filter(|_| !tx.writes_alone()) {
        let sql = "UPDATE quota SET used = used WHERE project_id = $1 AND resource = $2";
        tx.exec(sql, params![project, *resource])?;
    }
    Ok(())
}

/// Gives `n` units back.
pub fn give(tx: &Tx<'_>, project: &ProjectId, resource: &str, n: i64) -> Result<()> {
    let changed = tx.exec(
        "UPDATE quota SET used = used - $3 WHERE project_id = $1 AND resource = $2 AND used >= $3",
        params![project, resource, n],
    )?;
    if changed == 1 {
        return Ok(());
    }
    Err(Fault::internal(format!("quota {resource} of project {project} would fall below zero")))
}

pub fn usage(tx: &Tx<'_>, project: &ProjectId, resource: &str, default: i64) -> Result<Usage> {
    tx.one(
        "SELECT COALESCE(q.used, 0),
           COALESCE(q.max, (SELECT d.max FROM quota d WHERE d.project_id = '' AND d.resource = $2), $3)
         FROM (SELECT 1 AS one) always LEFT JOIN quota q ON q.project_id = $1 AND q.resource = $2",
        params![project, resource, default],
        |r| Ok(Usage { used: r.get(0)?, max: r.get(1)? }),
    )
}

/// Sets the limit of projects that have none of their own; `None` goes back to what the service names.
pub fn set_default(tx: &Tx<'_>, resource: &str, max: Option<i64>) -> Result<()> {
    set(tx, &ProjectId(String::new()), resource, max)
}

/// Sets a project's own limit; `None` goes back to the default.
pub fn set(tx: &Tx<'_>, project: &ProjectId, resource: &str, max: Option<i64>) -> Result<()> {
    if max.is_some_and(|m| m < -1) {
        return Err(Fault::new(Kind::BadRequest, format!("Quota limit for {resource} must be -1 or more.")));
    }
    tx.exec(
        "INSERT INTO quota (project_id, resource, max) VALUES ($1, $2, $3)
         ON CONFLICT (project_id, resource) DO UPDATE SET max = excluded.max",
        params![project, resource, max],
    )?;
    Ok(())
}
