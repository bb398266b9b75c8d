//! Roles that imply others: whoever has the prior role has the implied one.

use super::roles::seen;
use super::{forbidden, link};
use crate::model::Role;
use crate::{Identity, table};
use api::{Reply, Req};
use base::{Fault, Result, RoleId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log::audit};

fn short(req: &Req, r: &Role) -> Value {
    json!({
        "id": r.id, "name": r.name,
        "links": {"self": link(req, &format!("roles/{}", r.id))},
    })
}

fn pair(req: &Req) -> (RoleId, RoleId) {
    (RoleId::from(req.text_param("id")), RoleId::from(req.text_param("implied")))
}

fn both(tx: &Tx<'_>, prior: &RoleId, implied: &RoleId) -> Result<(Role, Role)> {
    Ok((table::role::get(tx, prior)?, table::role::get(tx, implied)?))
}

fn one(req: &Req, prior: &Role, implied: &Role) -> Value {
    json!({
        "role_inference": {"prior_role": short(req, prior), "implies": short(req, implied)},
        "links": {"self": link(req, &format!("roles/{}/implies/{}", prior.id, implied.id))},
    })
}

fn no_rule(prior: &RoleId, implied: &RoleId) -> Fault {
    Fault::not_found(format!("Could not find inference rule: {prior} implies {implied}."))
}

/// GET /v3/role_inferences.
pub async fn inferences(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (mut roles, pairs) =
        identity.db.read(|tx| Ok((table::role::all(tx)?, table::role::implications(tx)?))).await?;
    let reach = req.auth.reach();
    roles.retain(|r| seen(&reach, r));
    let implied = |prior: &RoleId| -> Vec<Value> {
        let ids = pairs.iter().filter(|(p, _)| p == prior).map(|(_, i)| i);
        ids.filter_map(|id| roles.iter().find(|r| r.id == *id)).map(|r| short(&req, r)).collect()
    };
    let rules: Vec<Value> = roles
        .iter()
        .map(|r| (r, implied(&r.id)))
        .filter(|(_, implied)| !implied.is_empty())
        .map(|(r, implied)| json!({"prior_role": short(&req, r), "implies": implied}))
        .collect();
    Ok(Reply::json(200, &json!({"role_inferences": rules})))
}

/// GET /v3/roles/{id}/implies.
pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = RoleId::from(req.text_param("id"));
    let (prior, implied) = identity
        .db
        .read(move |tx| {
            let prior = table::role::get(tx, &id)?;
            let pairs = table::role::implications(tx)?.into_iter().filter(|(p, _)| *p == id);
            let implied = pairs.map(|(_, i)| table::role::get(tx, &i)).collect::<Result<Vec<_>>>()?;
            Ok((prior, implied))
        })
        .await?;
    let reach = req.auth.reach();
    if !seen(&reach, &prior) {
        return Err(forbidden());
    }
    let shown: Vec<Value> = implied.iter().filter(|r| seen(&reach, r)).map(|r| short(&req, r)).collect();
    Ok(Reply::json(
        200,
        &json!({
            "role_inference": {"prior_role": short(&req, &prior), "implies": shown},
            "links": {"self": link(&req, &format!("roles/{}/implies", prior.id))},
        }),
    ))
}

pub async fn put(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let ((prior, implied), who) = (pair(&req), req.who());
    let (prior, implied) = identity
        .write(move |tx| {
            let (prior, implied) = both(tx, &prior, &implied)?;
            if implied.name == "admin" && implied.domain_id.is_none() {
                return Err(Fault::forbidden(format!("{} cannot be an implied role", implied.id)));
            }
            if prior.domain_id.is_none() && implied.domain_id.is_some() {
                return Err(Fault::forbidden(format!(
                    "Role {} belongs to a domain, so role {} of the whole installation cannot imply it.",
                    implied.id, prior.id
                )));
            }
            table::role::imply(tx, &prior.id, &implied.id)?;
            audit(tx, &who, "role.imply", prior.id.as_str())?;
            Ok((prior, implied))
        })
        .await?;
    Ok(Reply::json(201, &one(&req, &prior, &implied)))
}

/// The two roles of a rule that is there.
async fn find(identity: &Identity, req: &Req) -> Result<(Role, Role)> {
    let ((prior, implied), reach) = (pair(req), req.auth.reach());
    identity
        .db
        .read(move |tx| {
            let roles = both(tx, &prior, &implied)?;
            if !seen(&reach, &roles.0) || !seen(&reach, &roles.1) {
                return Err(forbidden());
            }
            let known = table::role::implications(tx)?.iter().any(|(p, i)| *p == prior && *i == implied);
            if known { Ok(roles) } else { Err(no_rule(&prior, &implied)) }
        })
        .await
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (prior, implied) = find(&identity, &req).await?;
    Ok(Reply::json(200, &one(&req, &prior, &implied)))
}

pub async fn check(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    find(&identity, &req).await?;
    Ok(Reply::empty(204))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let ((prior, implied), who) = (pair(&req), req.who());
    identity
        .write(move |tx| {
            both(tx, &prior, &implied)?;
            if !table::role::unimply(tx, &prior, &implied)? {
                return Err(no_rule(&prior, &implied));
            }
            audit(tx, &who, "role.unimply", prior.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
