//! `os-networks` and `os-tenant-networks`: what Network has, by id and name alone.

use crate::Compute;
use api::{Reply, Req};
use base::Result;
use network::for_proxies::{self, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

fn brief(v: &Value) -> Value {
    json!({"id": v["id"], "label": v["name"], "cidr": null})
}

/// The older form writes "None" where nothing is.
fn own(v: &Value) -> Value {
    json!({"id": v["id"], "label": v["name"], "cidr": "None"})
}

async fn all(c: &Compute, req: &Req, view: fn(&Value) -> Value) -> Result<Reply> {
    let auth = req.auth.clone();
    let all = c.db.read(move |tx| for_proxies::list(tx, &auth, Kind::Network, &[])).await?;
    Ok(Reply::json(200, &json!({"networks": all.iter().map(view).collect::<Vec<_>>()})))
}

async fn one(c: &Compute, req: &Req, view: fn(&Value) -> Value) -> Result<Reply> {
    let (auth, id) = (req.auth.clone(), req.text_param("id").to_owned());
    let v = c.db.read(move |tx| for_proxies::show(tx, &auth, Kind::Network, &id)).await?;
    Ok(Reply::json(200, &json!({"network": view(&v)})))
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    all(&c, &req, brief).await
}
pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    one(&c, &req, brief).await
}
pub async fn list_own(c: Arc<Compute>, req: Req) -> Result<Reply> {
    all(&c, &req, own).await
}
pub async fn show_own(c: Arc<Compute>, req: Req) -> Result<Reply> {
    one(&c, &req, own).await
}
