//! `/v2.0/quotas`

use super::caller;
use crate::act::QUOTAS;
use crate::{Network, err};
use ::api::{Reply, Req};
use base::{ProjectId, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Tx, log, params, quota};

/// The project in the path: one's own, or for an admin anybody's.
fn project(req: &Req) -> Result<ProjectId> {
    let caller = caller(req)?;
    let id = ProjectId::from(req.text_param("id").trim_end_matches(".json"));
    // `/quotas/tenant` and `/quotas/project` ask whose the token is.
    if caller.owns(&id) { Ok(id) } else { Err(err::policy("get_quota")) }
}

fn limits(tx: &Tx<'_>, project: &ProjectId) -> Result<Map<String, Value>> {
    let own: BTreeMap<String, i64> = tx
        .rows(
            "SELECT resource, max FROM quota WHERE project_id = $1 AND max IS NOT NULL",
            params![project],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )?
        .into_iter()
        .collect();
    Ok(QUOTAS.iter().map(|(r, n)| ((*r).to_owned(), json!(own.get(*r).unwrap_or(n)))).collect())
}

pub async fn show(net: Arc<Network>, req: Req) -> Result<Reply> {
    if matches!(req.text_param("id"), "tenant" | "project") {
        let p = caller(&req)?.project;
        return Ok(Reply::json(200, &json!({"tenant": {"tenant_id": p, "project_id": p}})));
    }
    let p = project(&req)?;
    let limits = net.db.read(move |tx| limits(tx, &p)).await?;
    Ok(Reply::json(200, &json!({"quota": limits})))
}

pub async fn defaults(_net: Arc<Network>, req: Req) -> Result<Reply> {
    project(&req)?;
    let all: Map<String, Value> = QUOTAS.iter().map(|(r, n)| ((*r).to_owned(), json!(n))).collect();
    Ok(Reply::json(200, &json!({"quota": all})))
}

pub async fn details(net: Arc<Network>, req: Req) -> Result<Reply> {
    let p = project(&req)?;
    let all = net
        .db
        .read(move |tx| {
            let mut all = Map::new();
            for (r, default) in QUOTAS {
                let u = quota::usage(tx, &p, r, *default)?;
                all.insert((*r).to_owned(), json!({"limit": u.max, "used": u.used, "reserved": 0}));
            }
            Ok(all)
        })
        .await?;
    Ok(Reply::json(200, &json!({"quota": all})))
}

/// Projects with limits of their own.
pub async fn list(net: Arc<Network>, req: Req) -> Result<Reply> {
    let caller = caller(&req)?;
    let body = net.db.read(move |tx| {
        let names: Vec<&str> = QUOTAS.iter().map(|(r, _)| *r).collect();
        let mut q = store::Sql::new("SELECT DISTINCT project_id FROM quota WHERE max IS NOT NULL");
        q.and_in("resource", names.iter().copied());
        if !caller.admin {
            q.and("project_id =", &caller.project);
        }
        q.push(" ORDER BY project_id");
        let projects: Vec<ProjectId> = q.rows(tx, |r| r.get(0))?;
        let one = |p: &ProjectId| {
            let mut limits = limits(tx, p)?;
            limits.insert("project_id".into(), json!(p));
            limits.insert("tenant_id".into(), json!(p));
            Ok(Value::Object(limits))
        };
        projects.iter().map(one).collect::<Result<Vec<_>>>()
    });
    Ok(Reply::json(200, &json!({"quotas": body.await?})))
}

pub async fn update(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let (p, who) = (project(&req)?, req.who());
    let o = req.json().await?.inner("quota")?;
    // A limit below what is used is refused unless the client insists.
    let force = o.opt_bool("force")?.unwrap_or(false);
    o.opt_bool("check_limit")?;
    let mut wanted = Vec::new();
    for key in
        o.map.keys().filter(|k| !matches!(k.as_str(), "force" | "check_limit" | "tenant_id" | "project_id"))
    {
        let (name, _) = QUOTAS
            .iter()
            .find(|(r, _)| r == key)
            .ok_or_else(|| base::Fault::bad_request(format!("Unrecognized attribute(s) '{key}'")))?;
        if let Some(n) = super::fields::int(&o, key, -1, i64::from(i32::MAX))? {
            wanted.push((*name, n));
        }
    }
    let limits = net.db.write(move |tx| {
        for (name, max) in wanted {
            let used = quota::usage(tx, &p, name, 0)?.used;
            if max >= 0 && max < used && !force {
                return Err(err::bad(
                    "InvalidQuotaValue",
                    format!("Change would make usage less than 0 for the following resources: ['{name}']: {used} are in use."),
                ));
            }
            quota::set(tx, &p, name, Some(max))?;
        }
        log::audit(tx, &who, "quota.update", p.as_str())?;
        limits(tx, &p)
    });
    Ok(Reply::json(200, &json!({"quota": limits.await?})))
}

pub async fn delete(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (p, who) = (project(&req)?, req.who());
    net.db
        .write(move |tx| {
            let mut any = 0;
            for (name, _) in QUOTAS {
                any += tx.exec(
                    "UPDATE quota SET max = NULL WHERE project_id = $1 AND resource = $2 AND max IS NOT NULL",
                    params![&p, *name],
                )?;
            }
            if any == 0 {
                return Err(base::Fault::not_found(format!("Quota for tenant {p} could not be found."))
                    .tag("TenantQuotaNotFound"));
            }
            log::audit(tx, &who, "quota.delete", p.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
