//! Rescue: the server starts from another disk and sees its own as the second one.

use super::{accepted, intend, no_arguments};
use crate::Compute;
use crate::api::create::{GIB, fits};
use crate::api::servers::must_be;
use crate::api::wish::admin_pass;
use crate::model::{Rescue, Server, Task, VmState};
use crate::table::{intent, server};
use api::{Obj, Reply, Req};
use base::{Fault, ImageId, Result, ServerId};
use image::BootImage;
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
    if let Some(image) = image {
        image::settled(&c.db, image).await?;
    }
    let (auth, kept) = (req.auth.clone(), pass.clone());
    intend(c, req, id, "rescue", move |tx, s| {
        must_be(s, "rescue", &[VmState::Active, VmState::Stopped, VmState::Error], &[None])?;
        let disk = match image {
            Some(image) => {
                let boot = image::for_boot(tx, &auth, image)?;
                suits(s, &boot)?;
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

/// That a server can be rescued from an image: as it could be rebuilt from it, and the rescue disk is no larger than the
/// server's own, as it stands beside that on the host and is not counted.
///
/// # Errors
/// 400 with what is too small for what.
fn suits(s: &Server, image: &BootImage) -> Result<()> {
    fits(s.ram, s.flavor.disk, image)?;
    let most = s.disk_bytes.next_multiple_of(GIB);
    if image.virtual_size <= most {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "Image {} is too large to rescue this server: it has {} bytes, and a rescue disk may be as large as the server's \
         own, {most} bytes. Choose a smaller image.",
        image.source.id, image.virtual_size
    )))
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
