//! Volumes of a server. There are none yet: a server starts from an image with one local disk, so lists are
//! empty and every volume that is named is one that does not exist.

use super::{server_id, unlocked, visible};
use crate::Compute;
use api::{Reply, Req};
use base::{Fault, Kind, Result};
use serde_json::json;
use std::sync::Arc;

fn missing(id: &str) -> Fault {
    Fault::not_found(format!("Volume {id} could not be found."))
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    c.db.read(move |tx| visible(tx, &auth, id).map(drop)).await?;
    Ok(Reply::json(200, &json!({"volumeAttachments": []})))
}

pub async fn one(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, volume) = (server_id(&req)?, req.auth.clone(), req.text_param("volume").to_owned());
    c.db.read(move |tx| visible(tx, &auth, id).map(drop)).await?;
    Err(missing(&volume))
}

pub async fn attach(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["volumeAttachment"])?;
    let o = body.inner("volumeAttachment")?;
    o.only(&["volumeId", "device", "tag", "delete_on_termination"])?;
    let volume: uuid::Uuid = o.id("volumeId")?;
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    c.db.read(move |tx| unlocked(&visible(tx, &auth, id)?, &auth)).await?;
    Err(missing(&volume.to_string()))
}

/// `os-assisted-volume-snapshots`: a callback of a volume service that there is not.
pub async fn assisted(_: Arc<Compute>, _: Req) -> Result<Reply> {
    Err(Fault::new(Kind::NotImplemented, "Volumes come in a later release, and with them their snapshots."))
}
