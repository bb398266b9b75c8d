//! SQL of sharing policies.

use crate::model::{Rbac, Std};
use base::{Micros, ProjectId, RbacPolicyId, Result};
use std::collections::HashSet;
use store::{Row, Sql, Tx, params};

pub const COLS: &str = "t.id, t.project_id, '', t.description, t.revision, t.created_at, t.updated_at, \
     t.object_type, t.object_id, t.action, t.target";

pub fn read(r: &Row<'_>) -> Result<Rbac> {
    Ok(Rbac {
        id: r.get(0)?,
        std: Std::read(r)?,
        kind: r.get(7)?,
        object: r.get(8)?,
        action: r.get(9)?,
        target: r.get(10)?,
    })
}

pub fn by_id(tx: &Tx<'_>, id: RbacPolicyId) -> Result<Option<Rbac>> {
    tx.opt(&format!("SELECT {COLS} FROM rbac_policy t WHERE t.id = $1"), params![id], read)
}

/// The policies of one object.
pub fn of(tx: &Tx<'_>, object: &str) -> Result<Vec<Rbac>> {
    let sql = format!("SELECT {COLS} FROM rbac_policy t WHERE t.object_id = $1 ORDER BY t.created_at, t.id");
    tx.rows(&sql, params![object], read)
}

/// False when there is such a policy already.
pub fn insert(tx: &Tx<'_>, p: &Rbac) -> Result<bool> {
    let added = tx.exec(
        "INSERT INTO rbac_policy (id, project_id, description, object_type, object_id, action, target, revision,
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (object_id, action, target) DO NOTHING",
        params![
            p.id,
            &p.std.project,
            &p.std.description,
            &p.kind,
            &p.object,
            &p.action,
            &p.target,
            p.std.revision,
            p.std.created,
            p.std.updated
        ],
    )?;
    Ok(added == 1)
}

/// False when there is such a policy already.
pub fn retarget(tx: &Tx<'_>, p: &Rbac, target: &str) -> Result<bool> {
    let other = "SELECT 1 FROM rbac_policy WHERE object_id = $1 AND action = $2 AND target = $3 AND id <> $4";
    if tx.opt(other, params![&p.object, &p.action, target, p.id], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    let sql = "UPDATE rbac_policy SET target = $2, updated_at = $3 WHERE id = $1";
    tx.exec(sql, params![p.id, target, Micros::now()])?;
    Ok(true)
}

/// Adds the condition that a row is the project's or open to it by any policy.
pub fn seen(q: &mut Sql, kind: &str, project: &str) {
    q.push(" AND (t.project_id = ").bind(project).push(" OR ");
    open_to(q, "t.id", kind, project);
    q.push(")");
}

/// Adds the condition that the thing whose id is in `column` is open to a project by any policy.
pub fn open_to(q: &mut Sql, column: &str, kind: &str, project: &str) {
    q.push(column).push(" IN (SELECT object_id FROM rbac_policy WHERE object_type = ").bind(kind);
    q.push(" AND target IN ('*', ").bind(project).push("))");
}

/// Whether a project has an object by a policy; `action` narrows it to one kind of use.
pub fn granted(tx: &Tx<'_>, object: &str, project: &ProjectId, action: Option<&str>) -> Result<bool> {
    let mut q = Sql::new("SELECT 1 FROM rbac_policy WHERE object_id = ");
    q.bind(object).push(" AND target IN ('*', ").bind(project).push(")");
    if let Some(action) = action {
        q.and("action =", action);
    }
    Ok(q.limit(1).opt(tx, |_| Ok(()))?.is_some())
}

/// Whether an object is shared with this project by its name, not with all.
pub fn names(tx: &Tx<'_>, object: &str, project: &ProjectId) -> Result<bool> {
    let sql =
        "SELECT 1 FROM rbac_policy WHERE object_id = $1 AND target = $2 AND action = 'access_as_shared'";
    Ok(tx.opt(sql, params![object, project], |_| Ok(()))?.is_some())
}

/// Which of these objects are shared with a project (`access_as_shared`).
pub fn shared(tx: &Tx<'_>, objects: &[String], project: &ProjectId) -> Result<HashSet<String>> {
    let found = super::children(
        tx,
        "SELECT object_id, target FROM rbac_policy WHERE action = 'access_as_shared' AND object_id IN (",
        ")",
        objects,
        |r| r.get::<String>(1),
    )?;
    let fits = |targets: &[String]| targets.iter().any(|t| t == "*" || *t == project.0);
    Ok(found.into_iter().filter(|(_, targets)| fits(targets)).map(|(id, _)| id).collect())
}
