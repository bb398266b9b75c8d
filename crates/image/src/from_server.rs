//! Images that Compute makes from servers.
//!
//! ```text
//!   from_server (queued) ── the host sends the content: Image::receive ──▶ active, the server is woken
//!        └── abandon: the snapshot failed, so there is no image ──▶ (no row)
//! ```
//! Only the server's host brings the content, and may bring it again when it never heard our answer: an
//! image that is active has what it needs. The content goes the way of any upload; it must be a qcow2
//! that stands by itself (no backing file).

use crate::limits::{Limits, at_most};
use crate::model::{Container, DiskFormat, Record, Shown, Status, Visibility};
use crate::upload::{Answer, Arrival, By, upload};
use crate::{Image, attribute, table};
use base::{Fault, ImageId, ProjectId, Result, ServerId};
use bytes::Bytes;
use futures_util::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use store::{Tx, log::Who};
use tokio_util::sync::CancellationToken;

/// An image to be made from a server.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub server: ServerId,
    pub owner: ProjectId,
    pub name: String,
    /// What the server was made from.
    pub base: Option<ImageId>,
    /// The properties that `base` had then, which are taken over; `None`: those that it has now, if it is there.
    pub base_properties: Option<BTreeMap<String, String>>,
    /// What the user says, and Compute (`image_type`, `backup_type`, …); goes before what is taken over.
    pub properties: BTreeMap<String, String>,
    /// GiB.
    pub min_disk: u64,
    /// MiB.
    pub min_ram: u64,
}

/// How far the content of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The host has not begun to send it.
    Awaited,
    Arriving,
    Done,
}

/// Makes the image, queued: qcow2, bare, private.
///
/// # Errors
/// `BadRequest` for a property that cannot be set, `TooLarge` for too many, `Quota` when the project may
/// have no more images.
pub fn from_server(tx: &Tx<'_>, ask: &Snapshot) -> Result<ImageId> {
    let limits = Limits::default();
    let mut properties = match (&ask.base_properties, ask.base) {
        (Some(kept), _) => kept.clone(),
        (None, Some(base)) => properties_of(tx, base)?,
        (None, None) => BTreeMap::new(),
    };
    properties.retain(|name, _| is_inherited(name));
    for (name, value) in &ask.properties {
        attribute::property(name, value)?;
        properties.insert(name.clone(), value.clone());
    }
    properties.insert("instance_uuid".into(), ask.server.to_string());
    if let Some(base) = ask.base {
        properties.insert("base_image_ref".into(), base.to_string());
    }
    at_most("properties", properties.len(), limits.properties)?;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX).min(i32::MAX.into());
    let row = Record {
        name: Some(ask.name.clone()),
        visibility: Visibility::Private,
        disk_format: Some(DiskFormat::Qcow2),
        container: Some(Container::Bare),
        min_disk: number(ask.min_disk),
        min_ram: number(ask.min_ram),
        ..Record::queued(ImageId::new(), ask.owner.clone())
    };
    let (id, owner) = (row.id, row.owner.clone());
    table::image::insert(tx, &Shown { row, properties, tags: BTreeSet::new() })?;
    table::image::set_server(tx, id, ask.server)?;
    limits.take_count(tx, &owner)?;
    Ok(id)
}

fn properties_of(tx: &Tx<'_>, image: ImageId) -> Result<BTreeMap<String, String>> {
    let Some(row) = table::image::find(tx, image)? else { return Ok(BTreeMap::new()) };
    Ok(table::image::complete_one(tx, row)?.properties)
}

/// Whether a property holds of a disk that was made from the image too: not what says how that one file was made or
/// signed.
fn is_inherited(name: &str) -> bool {
    let own = ["img_signature", "owner_specified.openstack.", "os_glance", "cinder_encryption_key"];
    let made = ["cache_in_nova", "image_type", "backup_type", "instance_uuid", "base_image_ref"];
    !own.iter().any(|p| name.starts_with(p)) && !made.contains(&name)
}

/// How far the content is; `None` when the image was deleted, or is none that is made from a server.
pub fn delivery(tx: &Tx<'_>, id: ImageId) -> Result<Option<Delivery>> {
    if table::image::server_of(tx, id)?.is_none() {
        return Ok(None);
    }
    Ok(table::image::find(tx, id)?.map(|row| match row.status {
        Status::Queued | Status::Uploading | Status::Importing => Delivery::Awaited,
        Status::Saving => Delivery::Arriving,
        Status::Active | Status::Deactivated => Delivery::Done,
    }))
}

/// The server whose host may bring the content of an image; `None` when there is no such image.
pub fn source_server(tx: &Tx<'_>, id: ImageId) -> Result<Option<ServerId>> {
    table::image::server_of(tx, id)
}

/// The snapshot failed: the image goes, as it never had content. True when it went; one that is active
/// stays, and one that is gone is gone.
pub fn abandon(tx: &Tx<'_>, id: ImageId) -> Result<bool> {
    table::image::lock(tx, id)?;
    let Some(row) = table::image::find(tx, id)? else { return Ok(false) };
    if table::image::server_of(tx, id)?.is_none() || row.content.is_some() {
        return Ok(false);
    }
    table::image::delete(tx, id)?;
    Limits::default().give(tx, &row.owner, None)?;
    Ok(true)
}

/// Deletes an image that was made from a server and is of no use any more, whatever it has come to. One
/// that is protected, or gone, or no such image, is left.
pub fn discard(tx: &Tx<'_>, id: ImageId) -> Result<()> {
    table::image::lock(tx, id)?;
    let Some(row) = table::image::find(tx, id)?.filter(|row| !row.protected) else { return Ok(()) };
    if table::image::server_of(tx, id)?.is_none() {
        return Ok(());
    }
    table::image::delete(tx, id)?;
    Limits::default().give(tx, &row.owner, row.bytes())?;
    match &row.content {
        Some(content) => store::work::wake(tx, &content.sha512),
        None => Ok(()),
    }
}

/// The backups of one type that were made of a server and are active, newest first.
pub fn backups(tx: &Tx<'_>, server: ServerId, backup_type: &str) -> Result<Vec<ImageId>> {
    tx.rows(
        "SELECT i.id FROM image i JOIN image_property t ON t.image_id = i.id AND t.name = 'image_type' AND t.value = 'backup'
         JOIN image_property b ON b.image_id = i.id AND b.name = 'backup_type' AND b.value = $2
         WHERE i.server_id = $1 AND i.status = 'active' ORDER BY i.created_at DESC, i.id DESC",
        store::params![server, backup_type],
        |r| r.get(0),
    )
}

impl Image {
    /// Takes the content of an image from the host of the server that it is made from. The caller has
    /// checked that it is that host ([`source_server`]).
    ///
    /// `gone` is cancelled when the host goes away, so that what it sent is not kept.
    ///
    /// # Errors
    /// `NotFound` when the image was deleted, `Unavailable` while another delivery is under way (send it
    /// again in a moment); anything else is final: content that is refused, a quota, a full disk.
    pub async fn receive<S, E>(
        self: &Arc<Self>,
        id: ImageId,
        request_id: &str,
        body: S,
        length: Option<u64>,
        gone: CancellationToken,
    ) -> Result<()>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send + 'static,
        E: Display + Send + 'static,
    {
        match self.db.read(move |tx| delivery(tx, id)).await? {
            None => return Err(crate::model::unknown(id)),
            Some(Delivery::Done) => return Ok(()),
            Some(Delivery::Arriving) => {
                return Err(Fault::unavailable(format!("The content of image {id} is arriving already.")));
            }
            Some(Delivery::Awaited) => {}
        }
        let who =
            Who { request_id: request_id.to_owned(), user_id: String::new(), project_id: String::new() };
        let arrival = Arrival { body, length, gone };
        let upload = upload(self.clone(), By::Host, who, id, arrival, Answer::Active);
        tokio::spawn(upload).await.map_err(Fault::internal)?
    }
}
