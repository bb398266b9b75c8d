//! `createImage` and `createBackup`: an image of a server's disk, made by its host while it goes on. Nothing of
//! the server changes, so a lock does not keep its backups from being made.

use super::intend_of;
use crate::Compute;
use crate::api::servers::must_be;
use crate::api::wish::metadata_pairs;
use crate::api::{at, held};
use crate::model::{Server, Task, VmState};
use crate::table::capture::{Capture, Purpose};
use crate::table::{capture, origin, server};
use api::{Obj, Reply, Req};
use base::{Fault, ImageId, Result, ServerId};
use image::Snapshot;
use serde_json::json;
use std::collections::BTreeMap;
use store::{Tx, quota};

/// The states in which a disk can be copied.
pub const COPYABLE: &[VmState] = &[VmState::Active, VmState::Stopped, VmState::Paused, VmState::Suspended];

/// An image to be made of a server.
pub struct Ask {
    pub name: String,
    pub metadata: Vec<(String, String)>,
    pub purpose: Purpose,
}

/// Makes the image and asks the host for its content. The caller has checked the server's state.
pub fn ask(tx: &Tx<'_>, s: &Server, ask: &Ask) -> Result<ImageId> {
    let mut properties: BTreeMap<String, String> = ask.metadata.iter().cloned().collect();
    let kind = match &ask.purpose {
        Purpose::Backup { backup_type, .. } => {
            properties.insert("backup_type".into(), backup_type.clone());
            "backup"
        }
        _ => "snapshot",
    };
    for (name, value) in [("image_type", kind), ("image_state", "available"), ("image_location", "snapshot")]
    {
        // What the user says goes before.
        properties.entry(name.into()).or_insert_with(|| value.into());
    }
    properties.insert("user_id".into(), s.user_id.to_string());
    properties.insert("owner_id".into(), s.project_id.to_string());
    let image = image::from_server(
        tx,
        &Snapshot {
            server: s.id,
            owner: s.project_id.clone(),
            name: ask.name.clone(),
            base: s.image_id,
            base_properties: origin::properties(tx, s)?,
            properties,
            min_disk: s.flavor.disk,
            min_ram: 0,
        },
    )?;
    capture::insert(tx, s.id, &Capture { image, purpose: ask.purpose.clone() })?;
    Ok(image)
}

/// `createImage {name, metadata}`.
pub async fn create_image(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    o.only(&["name", "metadata"])?;
    let name = o.name("name", 255)?;
    let metadata = metadata_pairs(o.opt_inner("metadata")?.as_ref())?;
    let image = begin(c, req, id, Ask { name, metadata, purpose: Purpose::Snapshot }).await?;
    Ok(answer(req, image, true))
}

/// `createBackup {name, backup_type, rotation, metadata}`.
pub async fn create_backup(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    o.only(&["name", "backup_type", "rotation", "metadata"])?;
    let name = o.name("name", 255)?;
    let backup_type = o.str("backup_type", 255)?;
    let rotation = usize::try_from(o.int("rotation", 0, i64::from(i32::MAX))?).unwrap_or(0);
    let metadata = metadata_pairs(o.opt_inner("metadata")?.as_ref())?;
    let purpose = Purpose::Backup { backup_type, rotation };
    let image = begin(c, req, id, Ask { name, metadata, purpose }).await?;
    Ok(answer(req, image, rotation > 0))
}

/// The image's id, or until 2.44 its address where it will be there.
fn answer(req: &Req, image: ImageId, kept: bool) -> Reply {
    if at(req, 45) {
        return Reply::json(202, &json!({"image_id": image}));
    }
    let reply = Reply::empty(202);
    if kept { reply.header("location", &format!("{}/image/v2/images/{image}", req.base)) } else { reply }
}

async fn begin(c: &Compute, req: &Req, id: ServerId, wish: Ask) -> Result<ImageId> {
    let (what, task) = match wish.purpose {
        Purpose::Backup { .. } => ("createBackup", Task::ImageBackup),
        _ => ("createImage", Task::ImageSnapshotPending),
    };
    // Until 2.38 an image's metadata is limited as a server's.
    let (limits, limited) = (c.limits.clone(), !at(req, 39));
    intend_of(c, req, id, what, held, move |tx, s| {
        must_be(s, what, COPYABLE, &[None])?;
        if limited {
            let most = quota::usage(tx, &s.project_id, "metadata_items", limits.now(tx)?.metadata_items)?.max;
            if most >= 0 && wish.metadata.len() as u64 > most.unsigned_abs() {
                return Err(Fault::quota("Image metadata limit exceeded"));
            }
        }
        let image = ask(tx, s, &wish)?;
        server::task(tx, id, Some(task))?;
        Ok(image)
    })
    .await
}
