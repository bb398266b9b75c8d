//! `GET /servers/{id}/topology`: how a server's processors and memory lie on its host's nodes. Servers here
//! are not bound to nodes, which the API says with an empty list.

use super::{server_id, visible};
use crate::Compute;
use api::{Reply, Req};
use base::Result;
use serde_json::{Value, json};
use std::sync::Arc;

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    c.db.read(move |tx| visible(tx, &auth, id).map(drop)).await?;
    Ok(Reply::json(200, &json!({"nodes": [], "pagesize_kb": Value::Null})))
}
