//! What one user may use of what the project may: limits within the project's, counted from the servers
//! themselves. The project's own row of `quota` is changed first by whoever creates, so that two requests of
//! a project count one after the other.

use super::server;
use crate::life::resize::counted_again;
use base::{ProjectId, Result};
use std::collections::HashMap;
use store::quota::{Over, Usage};
use store::{Tx, params};

/// Limits that the user has of his own.
pub fn limits(tx: &Tx<'_>, p: &ProjectId, user: &str) -> Result<HashMap<String, i64>> {
    let sql = "SELECT resource, max FROM user_quota WHERE project_id = $1 AND user_id = $2";
    Ok(tx.rows(sql, params![p, user], |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect())
}

/// The user's servers that count for the project too: not those whose deletion can be taken back.
const COUNTED: &str = "FROM server WHERE project_id = $1 AND user_id = $2 AND deleted_at IS NULL
    AND soft_deleted_at IS NULL";

/// What the user's servers use: of instances, cores and ram, since nothing else is counted by user.
pub fn used(tx: &Tx<'_>, p: &ProjectId, user: &str) -> Result<[(&'static str, i64); 3]> {
    let sums = "COUNT(*), COALESCE(CAST(SUM(vcpus) AS BIGINT), 0), COALESCE(CAST(SUM(ram) AS BIGINT), 0)";
    let (instances, mut cores, mut ram): (i64, i64, i64) =
        tx.one(&format!("SELECT {sums} {COUNTED}"), params![p, user], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?))
        })?;
    // Until a resize is confirmed, the larger of both sizes counts.
    let resized = format!("SELECT {} {COUNTED} AND resize IS NOT NULL", server::COLUMNS);
    for s in tx.rows(&resized, params![p, user], server::read)? {
        let (most_cores, most_ram) = counted_again(&s);
        cores += i64::from(most_cores.saturating_sub(s.vcpus));
        ram += i64::try_from(most_ram.saturating_sub(s.ram)).unwrap_or(i64::MAX);
    }
    Ok([("instances", instances), ("cores", cores), ("ram", ram)])
}

/// How much more the user may have, of what he has limits of his own for.
pub fn free(tx: &Tx<'_>, p: &ProjectId, user: &str) -> Result<HashMap<String, i64>> {
    let mut free = limits(tx, p, user)?;
    free.retain(|_, max| *max >= 0);
    if !free.is_empty() {
        for (name, n) in used(tx, p, user)? {
            free.entry(name.to_owned()).and_modify(|max| *max -= n);
        }
    }
    Ok(free)
}

/// Whether the user may have so much more.
///
/// # Errors
/// The inner `Err` names what is over.
pub fn check(
    tx: &Tx<'_>,
    p: &ProjectId,
    user: &str,
    wanted: &[(&'static str, i64)],
) -> Result<std::result::Result<(), Vec<Over>>> {
    let limits = limits(tx, p, user)?;
    if limits.is_empty() {
        return Ok(Ok(()));
    }
    let used = used(tx, p, user)?;
    let mut over = Vec::new();
    for (resource, n) in wanted {
        let now = used.iter().find(|(name, _)| name == resource).map_or(0, |(_, n)| *n);
        let max = limits.get(*resource).copied().unwrap_or(-1);
        if max >= 0 && now.saturating_add(*n) > max {
            over.push(Over { resource, requested: *n, usage: Usage { used: now, max } });
        }
    }
    Ok(if over.is_empty() { Ok(()) } else { Err(over) })
}

pub fn set(tx: &Tx<'_>, p: &ProjectId, user: &str, resource: &str, max: i64) -> Result<()> {
    tx.exec(
        "INSERT INTO user_quota (project_id, user_id, resource, max) VALUES ($1, $2, $3, $4)
         ON CONFLICT (project_id, user_id, resource) DO UPDATE SET max = excluded.max",
        params![p, user, resource, max],
    )?;
    Ok(())
}

pub fn clear(tx: &Tx<'_>, p: &ProjectId, user: &str) -> Result<()> {
    tx.exec("DELETE FROM user_quota WHERE project_id = $1 AND user_id = $2", params![p, user])?;
    Ok(())
}
