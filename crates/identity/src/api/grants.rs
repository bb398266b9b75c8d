//! Giving roles to users and groups on projects, domains and the system.

use super::{forbidden, roles};
use crate::Identity;
use crate::model::{ActorKind, Grant, Role, TargetKind};
use crate::table::{self, grant::SYSTEM};
use api::{Reach, Reply, Req};
use base::{DomainId, Fault, ProjectId, Result, RoleId};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

/// Which of the calls it is: they differ in who gets what where.
#[derive(Debug, Clone, Copy)]
pub struct On {
    pub target: TargetKind,
    pub actor: ActorKind,
    pub inherited: bool,
}

fn grant(req: &Req, on: On) -> Grant {
    let target_id = match on.target {
        TargetKind::System => SYSTEM,
        TargetKind::Project | TargetKind::Domain => req.text_param("id"),
    };
    Grant {
        role_id: RoleId::from(req.text_param("role")),
        actor_kind: on.actor,
        actor_id: req.text_param("actor").to_owned(),
        target_kind: on.target,
        target_id: target_id.to_owned(),
        inherited: on.inherited,
    }
}

/// The domains of a grant's ends.
struct Ends {
    actor: DomainId,
    /// None for the system.
    target: Option<DomainId>,
}

/// The actor and the target must exist.
fn check_ends(tx: &Tx<'_>, g: &Grant) -> Result<Ends> {
    let actor = match g.actor_kind {
        ActorKind::User => table::user::get(tx, &g.actor_id.clone().into())?.domain_id,
        ActorKind::Group => table::group::get(tx, &g.actor_id.clone().into())?.domain_id,
    };
    let target = match g.target_kind {
        TargetKind::System => None,
        TargetKind::Project => Some(table::project::get(tx, &ProjectId(g.target_id.clone()))?.domain_id),
        TargetKind::Domain => Some(table::domain::get(tx, &DomainId(g.target_id.clone()))?.id),
    };
    Ok(Ends { actor, target })
}

/// Roles that a manager of a domain may give and take.
const MANAGED: [&str; 3] = ["manager", "member", "reader"];

/// The role, if somebody with that reach may give or take it between those ends. Nobody learns from
/// the refusal what exists elsewhere.
fn changeable(tx: &Tx<'_>, reach: &Reach, g: &Grant) -> Result<(Ends, Role)> {
    let found = check_ends(tx, g).and_then(|ends| Ok((ends, table::role::get(tx, &g.role_id)?)));
    if *reach == Reach::Everything {
        return found;
    }
    let (ends, role) = match found {
        Err(fault) if fault.is_not_found() => return Err(forbidden()),
        found => found?,
    };
    let inside = reach.covers(&ends.actor) && ends.target.as_ref().is_some_and(|d| reach.covers(d));
    if !inside {
        return Err(forbidden());
    }
    if role.domain_id.is_some() || !MANAGED.contains(&role.name.as_str()) {
        return Err(Fault::forbidden(format!(
            "You are not authorized to perform the requested action: a manager of a domain gives the roles {}.",
            MANAGED.join(", ")
        )));
    }
    Ok((ends, role))
}

/// Whether somebody with that reach may look at grants on a target of that domain.
fn check_reach(reach: &Reach, domain: Option<&DomainId>) -> Result<()> {
    let may = match domain {
        Some(domain) => reach.covers(domain),
        None => *reach == Reach::Everything,
    };
    if may { Ok(()) } else { Err(forbidden()) }
}

fn none(g: &Grant) -> Fault {
    Fault::not_found(format!(
        "Could not find role assignment with role: {}, user or group: {}, project, domain, or system: {}.",
        g.role_id, g.actor_id, g.target_id
    ))
}

/// GET …/roles.
pub async fn list(identity: Arc<Identity>, req: Req, on: On) -> Result<Reply> {
    let (g, reach) = (grant(&req, on), req.auth.reach());
    let found = identity
        .db
        .read(move |tx| {
            check_reach(&reach, check_ends(tx, &g)?.target.as_ref())?;
            let mut q = Sql::new(table::grant::SELECT);
            q.and("actor_kind =", g.actor_kind.as_str())
                .and("actor_id =", &g.actor_id)
                .and("target_kind =", g.target_kind.as_str())
                .and("target_id =", &g.target_id)
                .and("inherited =", g.inherited);
            let grants = table::grant::list(tx, q)?;
            grants.iter().map(|g| table::role::get(tx, &g.role_id)).collect::<Result<Vec<_>>>()
        })
        .await?;
    Ok(super::list(&req, "roles", found.iter().map(|r| roles::view(&req, r)).collect(), false))
}

/// PUT …/roles/{role}.
pub async fn put(identity: Arc<Identity>, req: Req, on: On) -> Result<Reply> {
    let (g, who, reach) = (grant(&req, on), req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            let (ends, role) = changeable(tx, &reach, &g)?;
            if role.domain_id.is_some() && role.domain_id != ends.target {
                return Err(Fault::forbidden(format!(
                    "The role {} belongs to another domain than the {}.",
                    role.id,
                    g.target_kind.as_str()
                )));
            }
            table::grant::put(tx, &g)?;
            audit(tx, &who, "role.grant", &g.actor_id)
        })
        .await?;
    Ok(Reply::empty(204))
}

/// GET and HEAD …/roles/{role}.
pub async fn check(identity: Arc<Identity>, req: Req, on: On) -> Result<Reply> {
    let (g, reach) = (grant(&req, on), req.auth.reach());
    identity
        .db
        .read(move |tx| {
            check_reach(&reach, check_ends(tx, &g)?.target.as_ref())?;
            table::role::get(tx, &g.role_id)?;
            if table::grant::has(tx, &g)? { Ok(()) } else { Err(none(&g)) }
        })
        .await?;
    Ok(Reply::empty(204))
}

/// DELETE …/roles/{role}.
pub async fn delete(identity: Arc<Identity>, req: Req, on: On) -> Result<Reply> {
    let (g, who, reach) = (grant(&req, on), req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            changeable(tx, &reach, &g)?;
            if !table::grant::delete(tx, &g)? {
                return Err(none(&g));
            }
            audit(tx, &who, "role.ungrant", &g.actor_id)
        })
        .await?;
    Ok(Reply::empty(204))
}
