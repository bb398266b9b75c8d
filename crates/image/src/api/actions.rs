//! Deactivate and reactivate: an image whose content only admins may fetch for a while.

use super::images::in_use;
use crate::model::Status;
use crate::{Image, table};
use api::{Reply, Req};
use base::{ImageId, Result};
use std::sync::Arc;
use store::{log, params};

pub async fn deactivate(image: Arc<Image>, req: Req) -> Result<Reply> {
    change(image, req, Status::Deactivated, "deactivate").await
}

pub async fn reactivate(image: Arc<Image>, req: Req) -> Result<Reply> {
    change(image, req, Status::Active, "reactivate").await
}

async fn change(image: Arc<Image>, req: Req, to: Status, action: &'static str) -> Result<Reply> {
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    image
        .db
        .write(move |tx| {
            let row = table::image::changeable(tx, &auth, id)?;
            in_use(&row, action)?;
            tx.exec("UPDATE image SET status = $2 WHERE id = $1", params![id, to.as_str()])?;
            table::image::touch(tx, id)?;
            log::audit(tx, &who, &format!("image.{action}"), &id.to_string())
        })
        .await?;
    Ok(Reply::empty(204))
}
