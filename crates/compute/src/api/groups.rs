//! Server groups: servers that should lie on the same host, or apart.

use super::at;
use crate::Compute;
use crate::table::group::{self, Group};
use api::{Obj, Reply, Req};
use base::{Fault, Micros, Result, ServerId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log, quota};

fn missing(id: &str) -> Fault {
    Fault::not_found(format!("Instance group {id} could not be found."))
}

/// The project's own name for the resource in the table of quotas.
const QUOTA: &str = "server_groups";

fn view(req: &Req, g: &Group, members: &[ServerId]) -> Value {
    let mut v = json!({"id": g.id, "name": g.name, "members": members});
    if at(req, 13) {
        v["project_id"] = json!(g.project_id);
        v["user_id"] = json!(g.user_id);
    }
    if at(req, 64) {
        v["policy"] = json!(g.policy);
        v["rules"] = g.max_per_host.map_or_else(|| json!({}), |n| json!({"max_server_per_host": n}));
    } else {
        v["policies"] = json!([g.policy]);
        v["metadata"] = json!({});
    }
    v
}

fn found(tx: &Tx<'_>, auth: &api::Auth, id: &str) -> Result<Group> {
    group::by_id(tx, id)?.filter(|g| auth.sees(g.project_id.as_str())).ok_or_else(|| missing(id))
}

/// A whole number in the query, 0 or more.
fn number(req: &Req, name: &str) -> Result<Option<usize>> {
    let Some(text) = req.query.get(name) else { return Ok(None) };
    let bad = || {
        Fault::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {text}. It must be a whole number, 0 or more."
        ))
    };
    text.parse().map(Some).map_err(|_| bad())
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    super::only_query(&req, &["limit", "offset", "all_projects"])?;
    let all = req.query.has("all_projects") && req.auth.is_admin();
    let project = req.auth.list_project(all)?;
    let (offset, limit) =
        (number(&req, "offset")?.unwrap_or(0), number(&req, "limit")?.unwrap_or(1000).min(1000));
    let read = c.db.read(move |tx| {
        let groups = group::list(tx, project.as_ref(), offset, limit)?;
        let ids: Vec<String> = groups.iter().map(|g| g.id.clone()).collect();
        Ok((groups, group::members(tx, &ids)?))
    });
    let (groups, members) = read.await?;
    let of = |g: &Group| members.get(&g.id).map(Vec::as_slice).unwrap_or_default();
    let all: Vec<Value> = groups.iter().map(|g| view(&req, g, of(g))).collect();
    Ok(Reply::json(200, &json!({"server_groups": all})))
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (req.text_param("id").to_owned(), req.auth.clone());
    let read = c.db.read(move |tx| {
        let g = found(tx, &auth, &id)?;
        let members = group::members(tx, std::slice::from_ref(&g.id))?.remove(&g.id).unwrap_or_default();
        Ok((g, members))
    });
    let (g, members) = read.await?;
    Ok(Reply::json(200, &json!({"server_group": view(&req, &g, &members)})))
}

fn policy(req: &Req, o: &Obj) -> Result<(String, Option<i64>)> {
    let bad = |why: &str| Fault::bad_request(format!("Invalid input for field/attribute policy. {why}"));
    let policy = if at(req, 64) {
        o.only(&["name", "policy", "rules"])?;
        o.str("policy", 64)?
    } else {
        o.only(&["name", "policies"])?;
        if !o.has("policies") {
            return Err(bad("'policies' is a required property"));
        }
        let list = o.opt_strs("policies", 64)?.unwrap_or_default();
        let [one] = <[String; 1]>::try_from(list).map_err(|_| bad("There must be exactly one policy."))?;
        one
    };
    let known: &[&str] = if at(req, 15) {
        &["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"]
    } else {
        &["anti-affinity", "affinity"]
    };
    if !known.contains(&policy.as_str()) {
        return Err(bad(&format!("Value: {policy}. It must be one of {}.", known.join(", "))));
    }
    let Some(rules) = o.opt_inner("rules")? else { return Ok((policy, None)) };
    rules.only(&["max_server_per_host"])?;
    let most = rules.opt_int("max_server_per_host", 1, 0x7fff_ffff)?;
    if most.is_some() && policy != "anti-affinity" {
        return Err(Fault::bad_request("Only anti-affinity policy supports rules."));
    }
    Ok((policy, most))
}

pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["server_group"])?;
    let o = body.inner("server_group")?;
    let (policy, max_per_host) = policy(&req, &o)?;
    let name = o.name("name", 255)?;
    let g = Group {
        id: uuid::Uuid::new_v4().to_string(),
        project_id: req.auth.project()?.clone(),
        user_id: req.auth.user.id.clone(),
        name,
        policy,
        max_per_host,
        created_at: Micros::now(),
    };
    let (kept, who, limits) = (g.clone(), req.who(), c.limits.clone());
    c.db.write(move |tx| {
        let most = limits.now(tx)?.server_groups;
        if quota::take(tx, &kept.project_id, QUOTA, 1, most)?.is_err() {
            return Err(Fault::quota("Quota exceeded, too many server groups."));
        }
        group::insert(tx, &kept)?;
        log::audit(tx, &who, "server_group.create", &kept.id)
    })
    .await?;
    Ok(Reply::json(200, &json!({"server_group": view(&req, &g, &[])})))
}

/// Its servers stay where they are.
pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, who) = (req.text_param("id").to_owned(), req.auth.clone(), req.who());
    c.db.write(move |tx| {
        let g = found(tx, &auth, &id)?;
        if group::delete(tx, &g.id)? {
            quota::give(tx, &g.project_id, QUOTA, 1)?;
        }
        log::audit_named(tx, &who, "server_group.delete", &id, Some(&g.name))
    })
    .await?;
    Ok(Reply::empty(204))
}
