//! Quota sets and limits.

use super::at;
use crate::Compute;
use crate::limits::{INJECTED, OLD_NETWORK};
use api::{Reply, Req};
use base::{Fault, ProjectId, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::quota::{self, Usage};
use store::{Tx, log};

/// Resources that this microversion shows, with their defaults.
fn resources(c: &Compute, req: &Req) -> Vec<(&'static str, i64)> {
    let mut all = c.limits.all().to_vec();
    if !at(req, 36) {
        all.extend(OLD_NETWORK);
    }
    if !at(req, 57) {
        all.extend(INJECTED);
    }
    all
}

fn usages(tx: &Tx<'_>, p: &ProjectId, all: &[(&'static str, i64)]) -> Result<Vec<(&'static str, Usage)>> {
    all.iter().map(|(name, default)| Ok((*name, quota::usage(tx, p, name, *default)?))).collect()
}

/// The project in the path: one's own, or any for an admin.
fn project(req: &Req) -> Result<ProjectId> {
    let id = ProjectId::from(req.text_param("project"));
    if req.auth.sees(id.as_str()) {
        return Ok(id);
    }
    Err(Fault::forbidden("Policy doesn't allow os_compute_api:os-quota-sets:show to be performed."))
}

async fn read(c: &Compute, req: &Req) -> Result<Vec<(&'static str, Usage)>> {
    let (p, all) = (project(req)?, resources(c, req));
    c.db.read(move |tx| usages(tx, &p, &all)).await
}

fn set(id: &str, values: impl IntoIterator<Item = (&'static str, Value)>) -> Reply {
    let mut map = Map::from_iter([("id".to_owned(), json!(id))]);
    map.extend(values.into_iter().map(|(k, v)| (k.to_owned(), v)));
    Reply::json(200, &json!({"quota_set": map}))
}

fn with_usage(u: &Usage) -> Value {
    json!({"in_use": u.used, "limit": u.max, "reserved": 0})
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let usage = req.query.get("usage").is_some_and(|u| u.eq_ignore_ascii_case("true"));
    let all = read(&c, &req).await?;
    let value = |u: &Usage| if usage { with_usage(u) } else { json!(u.max) };
    Ok(set(req.text_param("project"), all.iter().map(|(n, u)| (*n, value(u)))))
}

pub async fn detail(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let all = read(&c, &req).await?;
    Ok(set(req.text_param("project"), all.iter().map(|(n, u)| (*n, with_usage(u)))))
}

pub async fn defaults(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let all = resources(&c, &req);
    Ok(set(req.text_param("project"), all.iter().map(|(n, max)| (*n, json!(max)))))
}

pub async fn update(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["quota_set"])?;
    let o = body.inner("quota_set")?;
    let all = resources(&c, &req);
    let mut known: Vec<&str> = all.iter().map(|(n, _)| *n).collect();
    known.extend(["force", "tenant_id"]);
    o.only(&known)?;
    let force = o.opt_bool("force")?.unwrap_or(false);
    let mut wanted = Vec::new();
    for (name, default) in &all {
        if let Some(max) = o.opt_int(name, -1, 0x7fff_ffff)? {
            wanted.push((*name, *default, max));
        }
    }
    let (p, who) = (ProjectId::from(req.text_param("project")), req.who());
    let all = c
        .db
        .write(move |tx| {
            for (name, default, max) in wanted {
                let used = quota::usage(tx, &p, name, default)?.used;
                if !force && max >= 0 && max < used {
                    return Err(Fault::bad_request(format!(
                        "Quota limit {max} for {name} must be greater than or equal to already used and reserved {used}."
                    )));
                }
                quota::set(tx, &p, name, Some(max))?;
            }
            log::audit(tx, &who, "quota.update", p.as_str())?;
            usages(tx, &p, &all)
        })
        .await?;
    let map: Map<String, Value> = all.iter().map(|(n, u)| ((*n).to_owned(), json!(u.max))).collect();
    Ok(Reply::json(200, &json!({"quota_set": map})))
}

/// Back to the defaults.
pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (p, who, all) = (ProjectId::from(req.text_param("project")), req.who(), resources(&c, &req));
    c.db.write(move |tx| {
        all.iter().try_for_each(|(name, _)| quota::set(tx, &p, name, None))?;
        log::audit(tx, &who, "quota.reset", p.as_str())
    })
    .await?;
    Ok(Reply::empty(202))
}

/// `GET /os-quota-class-sets/{id}`: the defaults.
pub async fn class(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let map: Map<String, Value> =
        resources(&c, &req).iter().map(|(n, max)| ((*n).to_owned(), json!(max))).collect();
    let mut body = json!({"quota_class_set": map});
    body["quota_class_set"]["id"] = json!(req.text_param("id"));
    Ok(Reply::json(200, &body))
}

/// `GET /limits`.
pub async fn limits(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let project = match req.query.get("tenant_id") {
        Some(p) if req.auth.is_admin() => ProjectId::from(p),
        _ => req.auth.project()?.clone(),
    };
    let all = c.limits.all().to_vec();
    let all = c.db.read(move |tx| usages(tx, &project, &all)).await?;
    let get = |name: &str| all.iter().find(|(n, _)| *n == name).map_or((0, 0), |(_, u)| (u.used, u.max));
    let mut absolute = json!({
        "maxTotalInstances": get("instances").1, "totalInstancesUsed": get("instances").0,
        "maxTotalCores": get("cores").1, "totalCoresUsed": get("cores").0,
        "maxTotalRAMSize": get("ram").1, "totalRAMUsed": get("ram").0,
        "maxTotalKeypairs": get("key_pairs").1, "maxServerMeta": get("metadata_items").1,
        "maxServerGroups": get("server_groups").1, "totalServerGroupsUsed": get("server_groups").0,
        "maxServerGroupMembers": get("server_group_members").1,
    });
    if let Value::Object(map) = &mut absolute {
        if !at(&req, 36) {
            for name in ["maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules"] {
                map.insert(name.into(), json!(-1));
            }
            map.insert("totalFloatingIpsUsed".into(), json!(0));
            map.insert("totalSecurityGroupsUsed".into(), json!(0));
        }
        if !at(&req, 39) {
            map.insert("maxImageMeta".into(), json!(get("metadata_items").1));
        }
        if !at(&req, 57) {
            map.insert("maxPersonality".into(), json!(INJECTED[0].1));
            map.insert("maxPersonalitySize".into(), json!(INJECTED[1].1));
        }
    }
    Ok(Reply::json(200, &json!({"limits": {"rate": [], "absolute": absolute}})))
}
