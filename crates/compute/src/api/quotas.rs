//! Quota sets and limits.

use super::{at, only_query};
use crate::Compute;
use crate::limits::{INJECTED, OLD_NETWORK};
use crate::table::user_quota;
use api::{Reply, Req};
use base::{Fault, ProjectId, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::quota::{self, Usage};
use store::{Tx, log, params};

/// A resource with its default.
type Default = (&'static str, i64);

/// Resources that this microversion shows, with their defaults as built in.
fn resources(c: &Compute, req: &Req) -> Vec<Default> {
    let mut all = c.limits.all().to_vec();
    if !at(req, 36) {
        all.extend(OLD_NETWORK);
    }
    if !at(req, 57) {
        all.extend(INJECTED);
    }
    all
}

/// The same with what an administrator made of the defaults.
fn current(tx: &Tx<'_>, all: &[Default]) -> Result<Vec<Default>> {
    let sql = "SELECT resource, max FROM quota_default";
    let changed = tx.rows(sql, &[], |r| Ok((r.get::<String>(0)?, r.get::<i64>(1)?)))?;
    let max = |name: &str| changed.iter().find(|(n, _)| n == name).map(|(_, max)| *max);
    Ok(all.iter().map(|(name, built_in)| (*name, max(name).unwrap_or(*built_in))).collect())
}

type Usages = Vec<(&'static str, Usage)>;

/// What a project may use and uses, or one of its users where he has limits of his own.
fn usages(tx: &Tx<'_>, p: &ProjectId, user: Option<&str>, all: &[Default]) -> Result<Usages> {
    let all = current(tx, all)?;
    let mut usages: Usages = all
        .iter()
        .map(|(name, default)| Ok((*name, quota::usage(tx, p, name, *default)?)))
        .collect::<Result<_>>()?;
    let Some(user) = user else { return Ok(usages) };
    let (limits, used) = (user_quota::limits(tx, p, user)?, user_quota::used(tx, p, user)?);
    for (name, usage) in &mut usages {
        usage.max = limits.get(*name).copied().filter(|max| *max >= 0).unwrap_or(usage.max);
        usage.used = used.iter().find(|(n, _)| n == name).map_or(usage.used, |(_, n)| *n);
    }
    Ok(usages)
}

/// How many files a server of the project may be made with, how many bytes one may have, and its path; -1: any.
pub fn injected(tx: &Tx<'_>, p: &ProjectId) -> Result<[i64; 3]> {
    let all = usages(tx, p, None, &INJECTED)?;
    Ok(INJECTED.map(|(name, max)| all.iter().find(|(n, _)| *n == name).map_or(max, |(_, u)| u.max)))
}

fn user(req: &Req) -> Option<String> {
    req.query.get("user_id").map(str::to_owned)
}

/// Gives a user limits within the project's.
fn limit_user(
    tx: &Tx<'_>,
    p: &ProjectId,
    user: &str,
    wanted: &[(&'static str, i64, i64)],
    force: bool,
) -> Result<()> {
    for (name, default, max) in wanted {
        let whole = usages(tx, p, None, &[(name, *default)])?.first().map_or(-1, |(_, u)| u.max);
        if whole >= 0 && *max > whole {
            return Err(Fault::bad_request(format!(
                "Quota limit {max} for {name} must be less than or equal to {whole}."
            )));
        }
        let used = usages(tx, p, Some(user), &[(name, *default)])?.first().map_or(0, |(_, u)| u.used);
        if !force && *max >= 0 && *max < used {
            return Err(Fault::bad_request(format!(
                "Quota limit {max} for {name} must be greater than or equal to already used and reserved {used}."
            )));
        }
        user_quota::set(tx, p, user, name, *max)?;
    }
    Ok(())
}

/// The project in the path: one's own, or any for an admin.
fn project(req: &Req) -> Result<ProjectId> {
    let id = ProjectId::from(req.text_param("project"));
    if req.auth.sees(id.as_str()) {
        return Ok(id);
    }
    Err(Fault::forbidden("Policy doesn't allow os_compute_api:os-quota-sets:show to be performed."))
}

async fn read(c: &Compute, req: &Req) -> Result<Usages> {
    let (p, user, all) = (project(req)?, user(req), resources(c, req));
    c.db.read(move |tx| usages(tx, &p, user.as_deref(), &all)).await
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
    let all = c.db.read(move |tx| current(tx, &all)).await?;
    Ok(set(req.text_param("project"), all.iter().map(|(n, max)| (*n, json!(max)))))
}

pub async fn update(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    only_query(&req, &["user_id"])?;
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
    let (p, who, user) = (ProjectId::from(req.text_param("project")), req.who(), user(&req));
    let all = c
        .db
        .write(move |tx| {
            if let Some(user) = &user {
                limit_user(tx, &p, user, &wanted, force)?;
                log::audit(tx, &who, "quota.update_user", user)?;
                return usages(tx, &p, Some(user), &all);
            }
            for (name, default, max) in wanted {
                // Only what was used counts here, so the default does not matter.
                let used = quota::usage(tx, &p, name, default)?.used;
                if !force && max >= 0 && max < used {
                    return Err(Fault::bad_request(format!(
                        "Quota limit {max} for {name} must be greater than or equal to already used and reserved {used}."
                    )));
                }
                quota::set(tx, &p, name, Some(max))?;
            }
            log::audit(tx, &who, "quota.update", p.as_str())?;
            usages(tx, &p, None, &all)
        })
        .await?;
    let map: Map<String, Value> = all.iter().map(|(n, u)| ((*n).to_owned(), json!(u.max))).collect();
    Ok(Reply::json(200, &json!({"quota_set": map})))
}

/// Back to the defaults.
pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    only_query(&req, &["user_id"])?;
    let (p, who, all) = (ProjectId::from(req.text_param("project")), req.who(), resources(&c, &req));
    let user = user(&req);
    c.db.write(move |tx| {
        if let Some(user) = &user {
            user_quota::clear(tx, &p, user)?;
            return log::audit(tx, &who, "quota.reset_user", user);
        }
        all.iter().try_for_each(|(name, _)| quota::set(tx, &p, name, None))?;
        log::audit(tx, &who, "quota.reset", p.as_str())
    })
    .await?;
    Ok(Reply::empty(202))
}

/// Resources of a quota class: until 2.49 without server groups and with what Network keeps.
fn of_class(c: &Compute, req: &Req) -> Vec<Default> {
    let mut all = c.limits.all().to_vec();
    if !at(req, 50) {
        all.retain(|(name, _)| !name.starts_with("server_group"));
        all.extend(OLD_NETWORK);
    }
    if !at(req, 57) {
        all.extend(INJECTED);
    }
    all
}

fn class_of(all: &[Default]) -> Map<String, Value> {
    all.iter().map(|(n, max)| ((*n).to_owned(), json!(max))).collect()
}

/// `GET /os-quota-class-sets/{id}`: the defaults, whichever class is named.
pub async fn class(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let all = of_class(&c, &req);
    let all = c.db.read(move |tx| current(tx, &all)).await?;
    let mut body = json!({"quota_class_set": class_of(&all)});
    body["quota_class_set"]["id"] = json!(req.text_param("id"));
    Ok(Reply::json(200, &body))
}

/// `PUT /os-quota-class-sets/default`: changes the defaults of every project.
pub async fn update_class(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    if req.text_param("id") != "default" {
        return Err(Fault::bad_request(
            "There is one quota class, default: it holds the defaults of every project.",
        ));
    }
    body.only(&["quota_class_set"])?;
    let (o, all) = (body.inner("quota_class_set")?, of_class(&c, &req));
    o.only(&all.iter().map(|(n, _)| *n).collect::<Vec<_>>())?;
    let mut wanted = Vec::new();
    for (name, _) in &all {
        wanted.extend(o.opt_int(name, -1, 0x7fff_ffff)?.map(|max| (*name, max)));
    }
    let who = req.who();
    let now = c.db.write(move |tx| {
        for (name, max) in wanted {
            tx.exec(
                "INSERT INTO quota_default (resource, max) VALUES ($1, $2)
                 ON CONFLICT (resource) DO UPDATE SET max = excluded.max",
                params![name, max],
            )?;
        }
        log::audit(tx, &who, "quota.update_defaults", "default")?;
        current(tx, &all)
    });
    Ok(Reply::json(200, &json!({"quota_class_set": class_of(&now.await?)})))
}

/// `GET /limits`.
pub async fn limits(c: Arc<Compute>, req: Req) -> Result<Reply> {
    only_query(&req, &["tenant_id", "reserved"])?;
    let project = match req.query.get("tenant_id") {
        Some(p) if req.auth.is_admin() => ProjectId::from(p),
        _ => req.auth.project()?.clone(),
    };
    let all = [&c.limits.all()[..], &INJECTED].concat();
    let all = c.db.read(move |tx| usages(tx, &project, None, &all)).await?;
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
            map.insert("maxPersonality".into(), json!(get("injected_files").1));
            map.insert("maxPersonalitySize".into(), json!(get("injected_file_content_bytes").1));
        }
    }
    Ok(Reply::json(200, &json!({"limits": {"rate": [], "absolute": absolute}})))
}
