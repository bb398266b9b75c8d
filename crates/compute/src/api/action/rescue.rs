//! Rescue: the server starts from another disk and sees its own as the second one.

use super::{accepted, intend, no_arguments};
use crate::Compute;
use crate::api::servers::must_be;
use crate::api::wish::admin_pass;
use crate::model::{Rescue, Task, VmState};
use crate::table::{intent, server};
use api::{Obj, Reply, Req};
use base::{ImageId, Result, ServerId};
use serde_json::json;
use store::params;

/// `rescue {adminPass, rescue_image_ref}`; without an image it is the server's own.
pub async fn rescue(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    let (mut image, mut pass): (Option<ImageId>, _) = (None, admin_pass(None)?);
    if let Some(o) = body.opt_inner("rescue")? {
        o.only(&["adminPass", "rescue_image_ref"])?;
        image = o.opt_id("rescue_image_ref")?;
        pass = admin_pass(Some(&o))?;
    }
    let (auth, kept) = (req.auth.clone(), pass.clone());
    intend(c, req, id, "rescue", move |tx, s| {
        must_be(s, "rescue", &[VmState::Active, VmState::Stopped, VmState::Error], &[None])?;
        let disk = match image {
            Some(image) => {
                let boot = image::for_boot(tx, &auth, image)?;
                image::hold(tx, id, &boot.source.sha512)?;
                Rescue { image: Some(boot.source), bytes: boot.virtual_size }
            }
            None => {
                Rescue { image: s.image.clone(), bytes: if s.image.is_some() { 0 } else { s.disk_bytes } }
            }
        };
        intent::awake(tx, id)?;
        intent::rescue(tx, id, Some(&disk))?;
        tx.exec("UPDATE server SET admin_pass = $2 WHERE id = $1", params![id, kept])?;
        server::boot_again(tx, id)?;
        server::task(tx, id, Some(Task::Rescuing))
    })
    .await?;
    Ok(Reply::json(200, &json!({"adminPass": pass})))
}

pub async fn unrescue(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "unrescue")?;
    let asked = intend(c, req, id, "unrescue", move |tx, s| {
        must_be(s, "unrescue", &[VmState::Rescued], &[None])?;
        intent::rescue(tx, id, None)?;
        server::boot_again(tx, id)?;
        server::task(tx, id, Some(Task::Unrescuing))
    });
    asked.await.map(accepted)
}
