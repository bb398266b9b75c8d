//! Images: make, show, delete.

use super::import::METHODS;
use crate::model::{Record, Shown, Status};
use crate::{Image, attribute, table};
use api::{Auth, Obj, Reply, Req};
use base::{Fault, ImageId, ProjectId, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::log;

pub async fn create(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let new = draft(&req.auth, body, &image)?;
    let (limits, who) = (image.limits.clone(), req.who());
    let made = image.db.write(move |tx| {
        table::image::insert(tx, &new)?;
        limits.take_count(tx, &new.row.owner)?;
        log::audit(tx, &who, "image.create", &new.row.id.to_string())?;
        Ok(new)
    });
    let made = made.await?;
    let location = format!("{}/image/v2/images/{}", req.base, made.row.id);
    let reply = Reply::json(201, &made.view()).header("location", &location);
    Ok(reply.header("openstack-image-import-methods", &METHODS.join(",")))
}

/// The image that a POST asks for.
pub fn draft(auth: &Auth, mut body: Obj, image: &Image) -> Result<Shown> {
    // Clients send nulls for what they do not say.
    body.map.retain(|_, v| !v.is_null());
    let id = match body.map.remove("id") {
        None => ImageId::new(),
        Some(v) => v.as_str().and_then(|s| s.parse().ok()).ok_or_else(|| {
            Fault::bad_request(format!(
                "Provided object does not match schema 'image': id: {v} is not a uuid."
            ))
        })?,
    };
    let owner = owner(auth, &body)?;
    let row = Record::queued(id, owner);
    let mut new = Shown { row, properties: BTreeMap::new(), tags: BTreeSet::new() };
    for (key, value) in &body.map {
        attribute::set(&mut new, auth, key, value)?;
    }
    attribute::check(&new, None, auth, &image.limits)?;
    Ok(new)
}

/// The project of the token. An admin whose token is scoped to none has to name one.
fn owner(auth: &Auth, body: &Obj) -> Result<ProjectId> {
    match (auth.project(), body.opt_str("owner", 64)?) {
        (Ok(p), _) => Ok(p.clone()),
        (Err(_), Some(named)) if auth.is_admin() && !named.is_empty() => Ok(ProjectId(named)),
        (Err(fault), _) => Err(fault),
    }
}

pub async fn show(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth) = (req.param::<ImageId>("id")?, req.auth.clone());
    let found = image.db.read(move |tx| {
        let row = table::image::visible(tx, &auth, id)?;
        table::image::complete_one(tx, row)
    });
    Ok(Reply::json(200, &found.await?.view()))
}

pub async fn delete(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    let limits = image.limits.clone();
    image.db.write(move |tx| crate::for_proxies::delete(tx, &auth, &who, &limits, id)).await?;
    Ok(Reply::empty(204))
}

/// # Errors
/// 403 for a status in which `action` makes no sense.
pub fn in_use(row: &Record, action: &str) -> Result<()> {
    if matches!(row.status, Status::Active | Status::Deactivated) {
        return Ok(());
    }
    Err(Fault::forbidden(format!("Not allowed to {action} image in status '{}'.", row.status.as_str())))
}
