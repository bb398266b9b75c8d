//! Who has which role where.

use crate::model::{ActorKind, Grant, Project, TargetKind};
use crate::resolve::closure;
use crate::token::Target;
use base::{DomainId, Fault, Result, RoleId, UserId};
use std::collections::BTreeSet;
use store::{Row, Sql, Tx, params};

/// The target id of grants on the system.
pub const SYSTEM: &str = "all";

/// The user and the groups that the user is in, as a subquery; the user is `$1`.
const ACTORS: &str =
    "(SELECT CAST($1 AS TEXT) UNION SELECT group_id FROM account_group_member WHERE user_id = $1)";

fn row(r: &Row<'_>) -> Result<Grant> {
    let actor_kind = match r.get::<String>(1)?.as_str() {
        "user" => ActorKind::User,
        "group" => ActorKind::Group,
        other => return Err(Fault::internal(format!("a role is granted to a {other}"))),
    };
    let target_kind = match r.get::<String>(3)?.as_str() {
        "project" => TargetKind::Project,
        "domain" => TargetKind::Domain,
        "system" => TargetKind::System,
        other => return Err(Fault::internal(format!("a role is granted on a {other}"))),
    };
    Ok(Grant {
        role_id: r.get(0)?,
        actor_kind,
        actor_id: r.get(2)?,
        target_kind,
        target_id: r.get(4)?,
        inherited: r.get(5)?,
    })
}

pub const SELECT: &str =
    "SELECT role_id, actor_kind, actor_id, target_kind, target_id, inherited FROM role_grant WHERE 1 = 1";

pub fn put(tx: &Tx<'_>, g: &Grant) -> Result<()> {
    tx.exec(
        "INSERT INTO role_grant (role_id, actor_kind, actor_id, target_kind, target_id, inherited)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (actor_id, target_id, role_id, inherited, actor_kind, target_kind) DO NOTHING",
        params![
            &g.role_id,
            g.actor_kind.as_str(),
            &g.actor_id,
            g.target_kind.as_str(),
            &g.target_id,
            g.inherited,
        ],
    )?;
    Ok(())
}

fn same(q: &mut Sql, g: &Grant) {
    q.and("role_id =", &g.role_id)
        .and("actor_kind =", g.actor_kind.as_str())
        .and("actor_id =", &g.actor_id)
        .and("target_kind =", g.target_kind.as_str())
        .and("target_id =", &g.target_id)
        .and("inherited =", g.inherited);
}

pub fn delete(tx: &Tx<'_>, g: &Grant) -> Result<bool> {
    let mut q = Sql::new("DELETE FROM role_grant WHERE 1 = 1");
    same(&mut q, g);
    Ok(q.exec(tx)? > 0)
}

pub fn has(tx: &Tx<'_>, g: &Grant) -> Result<bool> {
    let mut q = Sql::new(SELECT);
    same(&mut q, g);
    Ok(q.opt(tx, row)?.is_some())
}

pub fn list(tx: &Tx<'_>, mut q: Sql) -> Result<Vec<Grant>> {
    q.push(" ORDER BY target_kind, target_id, actor_id, role_id, inherited");
    q.rows(tx, row)
}

/// The roles that a user has at a target: own and through groups, inherited from above, and implied.
pub fn effective(tx: &Tx<'_>, user: &UserId, target: &Target) -> Result<Vec<(RoleId, String)>> {
    let mut q = Sql::new("SELECT DISTINCT role_id FROM role_grant WHERE actor_id IN (SELECT CAST(");
    q.bind(user).push(" AS TEXT) UNION SELECT group_id FROM account_group_member WHERE user_id = ");
    q.bind(user).push(") AND (1 = 0");
    match target {
        Target::Nothing => return Ok(Vec::new()),
        Target::System => at(&mut q, TargetKind::System, SYSTEM, false),
        Target::Domain(id) => at(&mut q, TargetKind::Domain, id.as_str(), false),
        Target::Project(id) => {
            at(&mut q, TargetKind::Project, id.as_str(), false);
            let Some(project) = super::project::find(tx, id)? else { return Ok(Vec::new()) };
            at(&mut q, TargetKind::Domain, project.domain_id.as_str(), true);
            for parent in super::project::parents(tx, &project)? {
                at(&mut q, TargetKind::Project, parent.id.as_str(), true);
            }
        }
    }
    q.push(") ORDER BY role_id");
    let roles = q.rows(tx, |r| r.get(0))?;
    closure(tx, roles)
}

fn at(q: &mut Sql, kind: TargetKind, id: &str, inherited: bool) {
    q.push(" OR (target_id = ").bind(id).push(" AND target_kind = ").bind(kind.as_str());
    q.push(" AND inherited = ").bind(inherited).push(")");
}

/// Where a user has roles, as grants with the user's groups included.
fn places(tx: &Tx<'_>, user: &UserId, kind: TargetKind, inherited: bool) -> Result<BTreeSet<String>> {
    let sql = format!(
        "SELECT DISTINCT target_id FROM role_grant
         WHERE actor_id IN {ACTORS} AND target_kind = $2 AND inherited = $3"
    );
    Ok(tx.rows(&sql, params![user, kind.as_str(), inherited], |r| r.get(0))?.into_iter().collect())
}

/// The domains that a user has a role on.
pub fn domains_of(tx: &Tx<'_>, user: &UserId) -> Result<BTreeSet<String>> {
    places(tx, user, TargetKind::Domain, false)
}

/// The user's own roles on the system, and those of the user's groups.
pub fn on_system(tx: &Tx<'_>, user: &UserId) -> Result<bool> {
    Ok(!places(tx, user, TargetKind::System, false)?.is_empty())
}

/// Whether a user (also through a group) or a group has the role admin anywhere.
pub fn has_admin(tx: &Tx<'_>, actor: &str) -> Result<bool> {
    let sql = format!(
        "SELECT role_id FROM role_grant WHERE actor_id IN {ACTORS}
           AND role_id IN (SELECT id FROM role WHERE name = 'admin' AND domain_id = '') LIMIT 1"
    );
    Ok(tx.opt(&sql, params![actor], |r| r.get::<String>(0))?.is_some())
}

/// The projects in which a user has a role, also an inherited one.
pub fn projects_of(tx: &Tx<'_>, user: &UserId) -> Result<Vec<Project>> {
    let mut ids = places(tx, user, TargetKind::Project, false)?;
    for above in places(tx, user, TargetKind::Project, true)? {
        ids.extend(super::project::subtree(tx, &above.into())?.into_iter().map(|p| p.id.0));
    }
    for domain in places(tx, user, TargetKind::Domain, true)? {
        let sql = format!("{} AND domain_id = $1", super::project::SELECT);
        let inside = tx.rows(&sql, params![DomainId(domain)], super::project::row)?;
        ids.extend(inside.into_iter().map(|p| p.id.0));
    }
    let found = ids.into_iter().map(|id| super::project::find(tx, &id.into()));
    found.filter_map(Result::transpose).collect()
}
