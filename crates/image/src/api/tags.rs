//! Single tags of an image.

use crate::limits::at_most;
use crate::{Image, attribute, table};
use api::{Reply, Req};
use base::{Fault, ImageId, Result};
use std::sync::Arc;
use store::log;

pub async fn put(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    let tag = req.text_param("tag").to_owned();
    attribute::tag(&tag)?;
    let max = image.limits.tags;
    image
        .db
        .write(move |tx| {
            let row = table::image::changeable(tx, &auth, id)?;
            table::image::add_tag(tx, id, &tag)?;
            at_most("tags", table::image::complete_one(tx, row)?.tags.len(), max)?;
            log::audit(tx, &who, "image.tag", &id.to_string())
        })
        .await?;
    Ok(Reply::empty(204))
}

pub async fn delete(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    let tag = req.text_param("tag").to_owned();
    image
        .db
        .write(move |tx| {
            table::image::changeable(tx, &auth, id)?;
            if !table::image::remove_tag(tx, id, &tag)? {
                return Err(Fault::not_found(format!("Image {id} has no tag {tag}.")));
            }
            log::audit(tx, &who, "image.untag", &id.to_string())
        })
        .await?;
    Ok(Reply::empty(204))
}
