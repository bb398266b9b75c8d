//! Which versions of the API there are.
//!
//! Clients read the list as a list of features: 2.8, 2.10 and 2.11 are several stores, which we do not have;
//! 2.12 is the tasks of images and 2.13 the usage of quotas, which we do.

use crate::Image;
use api::{Reply, Req};
use base::Result;
use serde_json::{Value, json};
use std::sync::Arc;

const VERSIONS: [&str; 11] =
    ["v2.13", "v2.12", "v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0"];

fn all(req: &Req) -> Value {
    let entry = |id: &str| {
        let status = if id == VERSIONS[0] { "CURRENT" } else { "SUPPORTED" };
        let href = format!("{}/image/v2/", req.base);
        json!({"id": id, "status": status, "links": [{"rel": "self", "href": href}]})
    };
    let versions: Vec<_> = VERSIONS.iter().map(|id| entry(id)).collect();
    json!({ "versions": versions })
}

pub async fn choices(_: Arc<Image>, req: Req) -> Result<Reply> {
    Ok(Reply::json(300, &all(&req)))
}

pub async fn list(_: Arc<Image>, req: Req) -> Result<Reply> {
    Ok(Reply::json(200, &all(&req)))
}
