//! `/v2.0/auto-allocated-topology`: the network that a project gets by itself, and `/v2.0/floatingip_pools`:
//! where floating IPs come from.

use super::{caller, values};
use crate::act::topology;
use crate::{Network, err, table};
use ::api::{Level, Reply, Req};
use base::{ProjectId, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, log};

/// Whose topology is meant: `null` or `None` is one's own.
fn project(req: &Req) -> Result<ProjectId> {
    let caller = caller(req)?;
    let id = req.text_param("id");
    if matches!(id, "null" | "None") {
        return match caller.project.0.is_empty() {
            false => Ok(caller.project),
            true => Err(err::bad("BadRequest", "Say whose topology: the token is of no project.")),
        };
    }
    let id = ProjectId::from(id);
    if caller.owns(&id) { Ok(id) } else { Err(err::policy("get_auto_allocated_topology")) }
}

fn view(id: impl std::fmt::Display, p: &ProjectId) -> Value {
    json!({"auto_allocated_topology": {"id": id.to_string(), "tenant_id": p, "project_id": p}})
}

/// Answers the topology, which is made if it is not there; with `fields=dry-run`, whether it could be.
pub async fn show(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (p, who) = (project(&req)?, req.who());
    let key = p.clone();
    if let Some(id) = net.db.read(move |tx| topology::find(tx, &key)).await? {
        return Ok(Reply::json(200, &view(id, &p)));
    }
    let key = p.clone();
    if req.query.all("fields").any(|f| f == "dry-run") {
        net.db.read(move |tx| topology::check(tx, &key)).await?;
        let mut passed = view("dry-run=pass", &p);
        // The SDK looks for the outcome here.
        passed["auto_allocated_topology"]["dry_run"] = json!("pass");
        return Ok(Reply::json(200, &passed));
    }
    if req.auth.level < Level::Member {
        return Err(err::policy("create_auto_allocated_topology"));
    }
    let id = net.db.write(move |tx| {
        let id = topology::ensure(tx, &key)?;
        log::audit(tx, &who, "auto_allocated_topology.create", &id.to_string())?;
        Ok(id)
    });
    Ok(Reply::json(200, &view(id.await?, &p)))
}

pub async fn delete(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (p, who) = (project(&req)?, req.who());
    net.db
        .write(move |tx| {
            topology::delete(tx, &p)?;
            log::audit(tx, &who, "auto_allocated_topology.delete", p.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

/// The subnets of the external networks that the caller sees.
pub async fn pools(net: Arc<Network>, req: Req) -> Result<Reply> {
    const KNOWN: &[&str] =
        &["subnet_id", "subnet_name", "cidr", "network_id", "network_name", "project_id", "tenant_id"];
    let caller = caller(&req)?;
    let list = net
        .db
        .read(move |tx| {
            let mut q = Sql::new(
                "SELECT s.id, s.name, s.cidr, t.id, t.name, s.project_id FROM network t JOIN subnet s
                 ON s.network_id = t.id WHERE t.external = 1",
            );
            if !caller.admin {
                table::rbac::seen(&mut q, "network", &caller.project.0);
            }
            q.push(" ORDER BY t.created_at, t.id, s.created_at, s.id");
            q.rows(tx, |r| {
                let text = |i| r.get::<String>(i);
                Ok(json!({"subnet_id": text(0)?, "subnet_name": text(1)?, "cidr": text(2)?, "network_id": text(3)?,
                    "network_name": text(4)?, "project_id": text(5)?, "tenant_id": text(5)?}))
            })
        })
        .await?;
    let list = values::chosen(list, &req.query, KNOWN, "subnet_id")?;
    Ok(Reply::json(200, &json!({"floatingip_pools": list})))
}
