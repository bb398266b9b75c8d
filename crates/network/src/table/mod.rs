//! The SQL of the Network service, by noun. Everything takes the caller's transaction.
//!
//! Invariant: what must be unique is given by `INSERT … ON CONFLICT DO NOTHING` and a look at the
//! count, because a failed statement would end the whole transaction on PostgreSQL.

pub mod acl;
pub mod addresses;
pub mod floating;
pub mod forward;
pub mod group;
pub mod network;
pub mod pool;
pub mod port;
pub mod qos;
pub mod rbac;
pub mod router;
pub mod scope;
pub mod subnet;
pub mod template;

use base::{Micros, Result};
use std::collections::HashMap;
use store::change::{self, Change, What};
use store::{Sql, Tx, Val, params};

/// Counts one more revision of a row and holds the row until the transaction ends; answers the
/// revision before, or `None` when there is no such row.
pub fn bump(tx: &Tx<'_>, table: &str, id: &str) -> Result<Option<i64>> {
    let sql = format!(
        "UPDATE {table} SET revision = revision + 1, updated_at = $2 WHERE id = $1 RETURNING revision"
    );
    let now = tx.opt(&sql, params![id, Micros::now()], |r| r.get::<i64>(0))?;
    if let Some(kind) = crate::audience::kind_of(table).filter(|_| now.is_some()) {
        change::note(tx, Change::new(kind, id, What::Updated));
    }
    Ok(now.map(|n| n - 1))
}

/// Holds a row until the transaction ends; false when it is not there.
pub fn hold(tx: &Tx<'_>, table: &str, id: &str) -> Result<bool> {
    Ok(tx.exec(&format!("UPDATE {table} SET revision = revision WHERE id = $1"), params![id])? == 1)
}

/// Adds `value, value, …` for an IN. The list is filled up to a power of two with its last value, so
/// that there are few different statements to prepare.
pub fn fill<'a, V: Into<Val<'a>>>(q: &mut Sql, vals: impl IntoIterator<Item = V>) {
    let vals: Vec<Val<'a>> = vals.into_iter().map(Into::into).collect();
    let missing = vals.len().next_power_of_two() - vals.len();
    let last = vals.last().cloned();
    let more = last.into_iter().flat_map(|v| std::iter::repeat_n(v, missing));
    let all: Vec<Val<'a>> = vals.into_iter().chain(more).collect();
    q.list(all);
}

/// Children per statement: below what both databases take as parameters.
const CHUNK: usize = 8192;

/// Rows of a child table for many parents, by parent. `sql` ends before the list: `… WHERE x IN (`.
pub fn children<T>(
    tx: &Tx<'_>,
    sql: &str,
    end: &str,
    parents: &[String],
    mut f: impl FnMut(&store::Row<'_>) -> Result<T>,
) -> Result<HashMap<String, Vec<T>>> {
    let mut out: HashMap<String, Vec<T>> = HashMap::new();
    for part in parents.chunks(CHUNK) {
        let mut q = Sql::new(sql);
        fill(&mut q, part);
        q.push(end);
        for (parent, child) in q.rows(tx, |r| Ok((r.get::<String>(0)?, f(r)?)))? {
            out.entry(parent).or_default().push(child);
        }
    }
    Ok(out)
}

/// Tags of many resources.
pub fn tags(tx: &Tx<'_>, ids: &[String]) -> Result<HashMap<String, Vec<String>>> {
    children(
        tx,
        "SELECT resource_id, tag FROM network_tag WHERE resource_id IN (",
        ") ORDER BY resource_id, tag",
        ids,
        |r| r.get(1),
    )
}

pub fn set_tags(tx: &Tx<'_>, id: &str, tags: &[String]) -> Result<()> {
    tx.exec("DELETE FROM network_tag WHERE resource_id = $1", params![id])?;
    tags.iter().try_for_each(|t| add_tag(tx, id, t))
}

pub fn add_tag(tx: &Tx<'_>, id: &str, tag: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO network_tag (resource_id, tag) VALUES ($1, $2) ON CONFLICT (resource_id, tag) DO NOTHING",
        params![id, tag],
    )?;
    Ok(())
}

/// Deletes a row and its tags; false when it was not there.
pub fn delete(tx: &Tx<'_>, table: &str, id: &str) -> Result<bool> {
    tx.exec("DELETE FROM network_tag WHERE resource_id = $1", params![id])?;
    let Some(kind) = crate::audience::kind_of(table) else {
        return Ok(tx.exec(&format!("DELETE FROM {table} WHERE id = $1"), params![id])? == 1);
    };
    let sql = format!("DELETE FROM {table} WHERE id = $1 RETURNING project_id");
    let owner = tx.opt(&sql, params![id], |r| r.get::<String>(0))?;
    if let Some(owner) = &owner {
        change::owned(tx, kind, id, What::Deleted, owner);
    }
    Ok(owner.is_some())
}
