//! What this installation offers, and what a project uses.

use super::import::METHODS;
use crate::limits::{COUNT, SIZE, STAGED, UPLOADING};
use crate::{Image, limits::Limits};
use api::{Reply, Req};
use base::{ProjectId, Result};
use serde_json::json;
use std::sync::Arc;
use store::{Tx, quota};

pub async fn import(_: Arc<Image>, _: Req) -> Result<Reply> {
    let methods = json!({"description": "Import methods available.", "type": "array", "value": METHODS});
    Ok(Reply::json(200, &json!({ "import-methods": methods })))
}

pub async fn usage(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (project, limits) = (req.auth.project()?.clone(), image.limits.clone());
    let usage = image.db.read(move |tx| usage_of(tx, &project, &limits)).await?;
    Ok(Reply::json(200, &json!({ "usage": usage })))
}

fn usage_of(tx: &Tx<'_>, project: &ProjectId, limits: &Limits) -> Result<serde_json::Value> {
    let count = quota::usage(tx, project, COUNT, limits.count)?;
    let size = quota::usage(tx, project, SIZE, limits.size_mib)?;
    let (staged, uploading) = (Limits::staged(tx, project)?, Limits::uploading(tx, project)?);
    let shown = |u: quota::Usage| json!({"usage": u.used, "limit": u.max});
    Ok(json!({COUNT: shown(count), SIZE: shown(size), STAGED: shown(staged), UPLOADING: shown(uploading)}))
}
