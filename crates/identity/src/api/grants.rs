//! Giving roles to users and groups on projects, domains and the system.

use super::{forbidden, roles};
use crate::Identity;
use crate::model::{ActorKind, Grant, TargetKind};
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

/// The actor and the target must exist; answers the target's domain.
fn check_ends(tx: &Tx<'_>, g: &Grant) -> Result<Option<DomainId>> {
    match g.actor_kind {
        ActorKind::User => drop(table::user::get(tx, &g.actor_id.clone().into())?),
        ActorKind::Group => drop(table::group::get(tx, &g.actor_id.clone().into())?),
    }
    Ok(match g.target_kind {
        TargetKind::System => None,
        TargetKind::Project => Some(table::project::get(tx, &ProjectId(g.target_id.clone()))?.domain_id),
        TargetKind::Domain => Some(table::domain::get(tx, &DomainId(g.target_id.clone()))?.id),
    })
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
            check_reach(&reach, check_ends(tx, &g)?.as_ref())?;
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
    let (g, who) = (grant(&req, on), req.who());
    identity
        .write(move |tx| {
            let domain = check_ends(tx, &g)?;
            let role = table::role::get(tx, &g.role_id)?;
            if role.domain_id.is_some() && role.domain_id != domain {
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
            check_reach(&reach, check_ends(tx, &g)?.as_ref())?;
            table::role::get(tx, &g.role_id)?;
            if table::grant::has(tx, &g)? { Ok(()) } else { Err(none(&g)) }
        })
        .await?;
    Ok(Reply::empty(204))
}

/// DELETE …/roles/{role}.
pub async fn delete(identity: Arc<Identity>, req: Req, on: On) -> Result<Reply> {
    let (g, who) = (grant(&req, on), req.who());
    identity
        .write(move |tx| {
            check_ends(tx, &g)?;
            table::role::get(tx, &g.role_id)?;
            if !table::grant::delete(tx, &g)? {
                return Err(none(&g));
            }
            audit(tx, &who, "role.ungrant", &g.actor_id)
        })
        .await?;
    Ok(Reply::empty(204))
}
