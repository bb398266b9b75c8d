//! What this installation offers, and what a project uses.

use crate::limits::{COUNT, SIZE};
use crate::{Image, limits::Limits};
use api::{Reply, Req};
use base::{Fault, ProjectId, Result};
use serde_json::json;
use std::sync::Arc;
use store::{Tx, quota};

/// Content comes by upload only, so no other way of importing is listed.
pub async fn import(_: Arc<Image>, _: Req) -> Result<Reply> {
    let methods = json!({"description": "Import methods available.", "type": "array", "value": []});
    Ok(Reply::json(200, &json!({ "import-methods": methods })))
}

/// # Errors
/// Always 404: there is one store, and clients ask this to choose among several.
pub async fn stores(_: Arc<Image>, _: Req) -> Result<Reply> {
    Err(Fault::not_found("Multi backend is not supported at this site."))
}

pub async fn usage(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (project, limits) = (req.auth.project()?.clone(), image.limits.clone());
    let usage = image.db.read(move |tx| usage_of(tx, &project, &limits)).await?;
    Ok(Reply::json(200, &json!({ "usage": usage })))
}

fn usage_of(tx: &Tx<'_>, project: &ProjectId, limits: &Limits) -> Result<serde_json::Value> {
    let count = quota::usage(tx, project, COUNT, limits.count)?;
    let size = quota::usage(tx, project, SIZE, limits.size_mib)?;
    let saving: i64 = tx.one(
        "SELECT COUNT(*) FROM image WHERE owner = $1 AND status = 'saving'",
        store::params![project],
        |r| r.get(0),
    )?;
    Ok(json!({
        COUNT: {"usage": count.used, "limit": count.max},
        SIZE: {"usage": size.used, "limit": size.max},
        "image_stage_total": {"usage": 0, "limit": -1},
        "image_count_uploading": {"usage": saving, "limit": -1},
    }))
}
