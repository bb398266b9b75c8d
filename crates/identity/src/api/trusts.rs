//! Trusts (`/v3/OS-TRUST/trusts`): a trustor lets a trustee act in a project with some of the trustor's
//! roles, as the trustor (`impersonation`) or in the trustee's own name. A trust may be passed on as
//! often as it says; deleting it ends everything that came from it.
//!
//! Invariant: an application credential has nothing to do with trusts, restricted or not, nor has an ec2 key. They
//! are good in one project, and a trust gives what their user has anywhere.

use super::{NAME, SHORT_NAME, flag, forbidden, link, named_roles, page, roles, shown, unknown};
use crate::login::SIGNED;
use crate::model::{Role, Trust};
use crate::session::Session;
use crate::token::Target;
use crate::{Identity, table};
use api::{Obj, Reach, Reply, Req};
use base::{Fault, Micros, ProjectId, Result, RoleId, UserId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

const KNOWN: &[&str] = &[
    "trustor_user_id",
    "trustee_user_id",
    "project_id",
    "impersonation",
    "roles",
    "expires_at",
    "remaining_uses",
    "redelegation_count",
    "allow_redelegation",
    "redelegated_trust_id",
    "deleted_at",
    "roles_links",
];
/// How often a trust may be passed on, at most.
const DEPTH: i64 = 3;
/// Most trusts that one user has given.
const MOST: i64 = 1_000;

fn view(req: &Req, t: &Trust, roles: Option<&[Role]>) -> Value {
    let mut own = json!({
        "id": t.id,
        "trustor_user_id": t.trustor_id,
        "trustee_user_id": t.trustee_id,
        "project_id": t.project_id,
        "impersonation": t.impersonation,
        "expires_at": t.expires_at.map(Micros::micros_z),
        "remaining_uses": t.remaining_uses,
        "redelegation_count": t.redelegation_count,
        "deleted_at": null,
        "redelegated_trust_id": t.redelegated_from,
    });
    if let Some(roles) = roles {
        own["roles"] = roles.iter().map(|r| roles::view(req, r)).collect();
        let all = link(req, &format!("OS-TRUST/trusts/{}/roles", t.id));
        own["roles_links"] = json!({"self": all, "next": null, "previous": null});
    }
    shown(req, "OS-TRUST/trusts", &t.id, &t.extra, own)
}

/// The session of a caller who may deal with trusts.
///
/// # Errors
/// 403 for a token that was made with an application credential or an ec2 key.
async fn direct(identity: &Identity, req: &Req) -> Result<Arc<Session>> {
    let session = identity.session_of(req).await?;
    let method = match (&session.credential, session.is_signed()) {
        (None, false) => return Ok(session),
        (Some(_), _) => "application_credential",
        (None, true) => SIGNED,
    };
    Err(Fault::forbidden(format!("Using method '{method}' is not allowed for managing trusts.")))
}

/// GET /v3/OS-TRUST/trusts (`trustor_user_id`, `trustee_user_id`): one's own, or anybody's for who sees
/// everything.
pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    direct(&identity, &req).await?;
    let own = req.auth.user.id.as_str();
    let (trustor, trustee) = (req.query.get("trustor_user_id"), req.query.get("trustee_user_id"));
    let mine = trustor == Some(own) || trustee == Some(own);
    if req.auth.reach() != Reach::Everything && !mine {
        return Err(forbidden());
    }
    let page = page(&req)?;
    let mut q = Sql::new(table::trust::SELECT);
    for (value, condition) in [(trustor, "trustor_id ="), (trustee, "trustee_id =")] {
        if let Some(id) = value {
            q.and(condition, id);
        }
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "trust", &page, table::trust::row)).await?;
    Ok(super::list(&req, "trusts", found.iter().map(|t| view(&req, t, None)).collect(), more))
}

/// The trust in the path with its roles, if the caller is one of its ends or sees everything.
async fn visible(identity: &Identity, req: &Req) -> Result<(Trust, Vec<Role>)> {
    direct(identity, req).await?;
    let id = req.text_param("id").to_owned();
    let (trust, roles) = identity
        .db
        .read(move |tx| {
            let trust = table::trust::get(tx, &id)?;
            let roles = trust.roles.iter().map(|id| table::role::find(tx, id)).filter_map(Result::transpose);
            let roles = roles.collect::<Result<Vec<_>>>()?;
            Ok((trust, roles))
        })
        .await?;
    let own = &req.auth.user.id;
    let mine = trust.trustor_id == *own || trust.trustee_id == *own;
    if mine || req.auth.reach() == Reach::Everything { Ok((trust, roles)) } else { Err(forbidden()) }
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (trust, roles) = visible(&identity, &req).await?;
    Ok(Reply::json(200, &json!({"trust": view(&req, &trust, Some(&roles))})))
}

pub async fn list_roles(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (_, found) = visible(&identity, &req).await?;
    Ok(super::list(&req, "roles", found.iter().map(|r| roles::view(&req, r)).collect(), false))
}

pub async fn show_role(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (_, found) = visible(&identity, &req).await?;
    let id = req.text_param("role");
    let role = found.iter().find(|r| r.id.as_str() == id).ok_or_else(|| table::missing("role", id))?;
    Ok(Reply::json(200, &json!({"role": roles::view(&req, role)})))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("trust")?;
    let session = direct(&identity, &req).await?;
    let wanted = parse(&obj)?;
    if wanted.trustor_id != req.auth.user.id {
        return Err(Fault::forbidden(
            "You are not authorized to perform the requested action: only the trustor creates a trust.",
        ));
    }
    let (asked, who) = (asked_roles(&obj)?, req.who());
    let (allow, count) = (flag(&obj, "allow_redelegation")?.unwrap_or(false), depth(&obj)?);
    let (trust, roles) = identity
        .write(move |tx| {
            let mut trust = wanted;
            table::lock(tx, "account", "user", trust.trustor_id.as_str())?;
            table::user::get(tx, &trust.trustee_id)?;
            table::project::get(tx, &trust.project_id)?;
            delegate(tx, &session, &mut trust, allow, count)?;
            let roles = chosen(tx, &trust, &asked)?;
            trust.roles = roles.iter().map(|r| r.id.clone()).collect();
            check_pedigree(tx, &mut trust)?;
            check_count(tx, &trust.trustor_id)?;
            table::trust::insert(tx, &trust)?;
            audit(tx, &who, "trust.create", &trust.id)?;
            Ok((trust, roles))
        })
        .await?;
    Ok(Reply::json(201, &json!({"trust": view(&req, &trust, Some(&roles))})))
}

fn parse(obj: &Obj) -> Result<Trust> {
    let expires_at = match obj.opt_str("expires_at", NAME)? {
        None => None,
        Some(text) => {
            let at = Micros::parse(&text).filter(|at| *at > Micros::now());
            Some(at.ok_or_else(|| {
                Fault::bad_request(
                    "Invalid input for field/attribute expires_at. It must be a time in the future, such as 2030-01-31T12:00:00Z.",
                )
            })?)
        }
    };
    let impersonation = flag(obj, "impersonation")?.ok_or_else(|| {
        Fault::bad_request("Invalid input for field/attribute trust. 'impersonation' is a required property")
    })?;
    Ok(Trust {
        id: hex::encode(rand::random::<[u8; 16]>()),
        trustor_id: UserId(obj.str("trustor_user_id", SHORT_NAME)?),
        trustee_id: UserId(obj.str("trustee_user_id", SHORT_NAME)?),
        project_id: ProjectId(obj.str("project_id", SHORT_NAME)?),
        impersonation,
        roles: Vec::new(),
        redelegated_from: None,
        redelegation_count: 0,
        remaining_uses: obj.opt_int("remaining_uses", 1, i64::MAX)?,
        expires_at,
        extra: unknown(obj, KNOWN)?,
    })
}

fn depth(obj: &Obj) -> Result<Option<i64>> {
    let count = obj.opt_int("redelegation_count", 0, i64::MAX)?;
    if let Some(n) = count.filter(|n| *n > DEPTH) {
        return Err(Fault::forbidden(format!(
            "Requested redelegation depth of {n} is greater than allowed {DEPTH}"
        )));
    }
    Ok(count)
}

/// Roles by id or by name.
enum AskedRole {
    Id(RoleId),
    Name(String),
}

fn asked_roles(obj: &Obj) -> Result<Vec<AskedRole>> {
    let list = named_roles(obj)?;
    if list.is_empty() {
        return Err(Fault::forbidden("At least one role should be specified."));
    }
    let one = |role: &Value| {
        let role = Obj::root(role.clone())?;
        Ok(match role.opt_str("id", NAME)? {
            Some(id) => AskedRole::Id(RoleId(id)),
            None => AskedRole::Name(role.str("name", NAME)?),
        })
    };
    list.iter().map(one).collect()
}

/// Works out from which trust, if any, a new one is passed on, and how often it may be in turn.
fn delegate(
    tx: &Tx<'_>,
    session: &Session,
    trust: &mut Trust,
    allow: bool,
    count: Option<i64>,
) -> Result<()> {
    let allow = allow && count != Some(0);
    if allow && trust.remaining_uses.is_some() {
        return Err(Fault::bad_request("remaining_uses must not be set if redelegation is allowed"));
    }
    trust.redelegation_count = if allow { count.unwrap_or(DEPTH) } else { 0 };
    let Some(from) = &session.trust else { return Ok(()) };
    let from = table::trust::get(tx, &from.id)?;
    if allow && count.is_some_and(|n| n != from.redelegation_count - 1) {
        return Err(Fault::forbidden(
            "Modifying \"redelegation_count\" upon redelegation is forbidden. Omitting this parameter is advised.",
        ));
    }
    trust.redelegation_count = if allow { from.redelegation_count - 1 } else { 0 };
    trust.redelegated_from = Some(from.id);
    Ok(())
}

/// The roles asked for, each once, which the trustor must have in the project.
fn chosen(tx: &Tx<'_>, trust: &Trust, asked: &[AskedRole]) -> Result<Vec<Role>> {
    let first = table::trust::origin(tx, trust)?;
    let own = table::grant::effective(tx, &first.trustor_id, &Target::Project(trust.project_id.clone()))?;
    let find = |role: &AskedRole| {
        let found = own.iter().find(|(id, name)| match role {
            AskedRole::Id(wanted) => id == wanted,
            AskedRole::Name(wanted) => name == wanted,
        });
        let said = match role {
            AskedRole::Id(id) => id.as_str(),
            AskedRole::Name(name) => name.as_str(),
        };
        found.map(|(id, _)| id).ok_or_else(|| table::missing("role", said))
    };
    let ids = asked.iter().map(find).collect::<Result<BTreeSet<_>>>()?;
    ids.into_iter().map(|id| table::role::get(tx, id)).collect()
}

/// A trust that is passed on gives no more than any of those that it comes from.
fn check_pedigree(tx: &Tx<'_>, trust: &mut Trust) -> Result<()> {
    let mut next = trust.redelegated_from.clone();
    while let Some(id) = next {
        let from = table::trust::get(tx, &id)?;
        if from.redelegation_count <= 0 {
            return Err(Fault::forbidden(format!(
                "Redelegation depth of {} is out of allowed range [1..{DEPTH}]",
                from.redelegation_count
            )));
        }
        if trust.remaining_uses.is_some() {
            return Err(Fault::forbidden("remaining_uses must not be set in order to redelegate a trust"));
        }
        match (trust.expires_at, from.expires_at) {
            (Some(new), Some(old)) if new > old => {
                return Err(Fault::forbidden(
                    "Requested expiration time is more than redelegated trust can provide",
                ));
            }
            (None, old) => trust.expires_at = old,
            _ => {}
        }
        if trust.project_id != from.project_id || trust.roles.iter().any(|r| !from.roles.contains(r)) {
            return Err(Fault::forbidden("Some of requested roles are not in redelegated trust"));
        }
        if trust.impersonation && !from.impersonation {
            return Err(Fault::forbidden(format!(
                "Impersonation is not allowed because redelegated trust does not specify impersonation. Redelegated trust id: {}",
                from.id
            )));
        }
        next = from.redelegated_from;
    }
    Ok(())
}

fn check_count(tx: &Tx<'_>, trustor: &UserId) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM trust WHERE trustor_id = $1";
    if tx.one(sql, store::params![trustor], |r| r.get::<i64>(0))? >= MOST {
        return Err(Fault::quota(format!(
            "A user gives at most {MOST} trusts. Delete one that is not needed any more."
        )));
    }
    Ok(())
}

/// DELETE: the trustor, or an administrator.
pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    direct(&identity, &req).await?;
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    let (own, admin) = (req.auth.user.id.clone(), req.auth.is_admin());
    identity
        .write(move |tx| {
            let trust = table::trust::find(tx, &id)?.ok_or_else(|| table::missing("trust", &id))?;
            if trust.trustor_id != own && !admin {
                return Err(forbidden());
            }
            table::trust::delete(tx, &id)?;
            audit(tx, &who, "trust.delete", &id)
        })
        .await?;
    Ok(Reply::empty(204))
}
