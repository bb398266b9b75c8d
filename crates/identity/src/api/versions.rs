//! Discovery: `GET /identity` and `GET /identity/v3`.

use super::ROOT;
use crate::Identity;
use api::{Reply, Req};
use base::Result;
use serde_json::{Value, json};
use std::sync::Arc;

fn version(req: &Req) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}{ROOT}/", req.base)}],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json",
        }],
    })
}

/// 300, as clients expect of the list.
pub async fn list(_: Arc<Identity>, req: Req) -> Result<Reply> {
    let body = json!({"versions": {"values": [version(&req)]}});
    Ok(Reply::json(300, &body)
        .header("location", &format!("{}{ROOT}/", req.base))
        .header("vary", "X-Auth-Token"))
}

pub async fn show(_: Arc<Identity>, req: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"version": version(&req)})))
}
