//! Staging: content that a client brings for an image before it asks for the import.
//!
//! ```text
//!   queued ─▶ uploading ─▶ temporary file ─▶ staged file ─▶ its row: ready to be imported
//!     ▲                                                      │
//!     └── cut short, too large, disk full, client gone ◀─────┘
//! ```

use crate::content::blocking;
use crate::limits::Limits;
use crate::model::{Container, Record, Status};
use crate::upload::{Arrival, By, Limit, client_gone, open_to, receive, still_by};
use crate::{Image, probe, table};
use api::Auth;
use base::{Fault, ImageId, Result};
use bytes::Bytes;
use futures_util::Stream;
use std::fmt::Display;
use std::sync::Arc;
use store::{Tx, log};

/// Takes content for a queued image, which then is `uploading` until it is imported.
///
/// # Errors
/// 409 when the image is not queued, 413 and 400 for content that is not kept.
pub async fn stage<S, E>(
    image: Arc<Image>,
    auth: Arc<Auth>,
    who: log::Who,
    id: ImageId,
    arrival: Arrival<S>,
) -> Result<()>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Display,
{
    let _slot = image.upload_slot()?;
    let limits = image.limits.clone();
    let me = image.me.clone();
    let (row, max) = image.db.write(move |tx| begin(tx, &limits, &By::User(auth), id, &me)).await?;
    let outcome = take(&image, &row, max, arrival, who).await;
    if outcome.is_err() {
        let (made, by) = (row.created_at, image.me.clone());
        let give_back = move |tx: &Tx<'_>| table::blob::give_back(tx, id, made, Status::Uploading, Some(&by));
        if let Err(fault) = image.db.write(give_back).await {
            tracing::error!(image = %id, %fault, "an image stays in uploading until the next start");
        }
    }
    outcome
}

fn begin(tx: &Tx<'_>, limits: &Limits, by: &By, id: ImageId, me: &str) -> Result<(Record, Limit)> {
    let row = open_to(tx, by, id)?;
    if row.status != Status::Queued {
        return Err(Fault::conflict(format!(
            "Content for image {id} can be staged while it is queued; it is {}.",
            row.status.as_str()
        )));
    }
    Limits::one_more_upload(tx, &row.owner)?;
    Limits::one_more_stage(tx, &row.owner)?;
    let max = Limit::of(tx, limits, &row.owner)?;
    if !table::blob::take(tx, id, Status::Uploading, me)? {
        return Err(Fault::conflict(format!("Another upload to image {id} has begun.")));
    }
    Ok((row, max))
}

async fn take<S, E>(
    image: &Arc<Image>,
    row: &Record,
    max: Limit,
    arrival: Arrival<S>,
    who: log::Who,
) -> Result<()>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Display,
{
    let gone = arrival.gone.clone();
    let incoming = receive(image, max, arrival).await?.digested().await?;
    if gone.is_cancelled() {
        return Err(client_gone());
    }
    let (files, name) = (image.clone(), ImageId::new().to_string());
    let staged = blocking(move || files.contents.stage(incoming, &name)).await?;
    let (id, made, entry, me) = (row.id, row.created_at, staged.clone(), image.me.clone());
    let entered = image.db.write(move |tx| {
        table::image::lock(tx, id)?;
        let here = table::image::find(tx, id)?;
        if here.is_none_or(|r| r.created_at != made || r.status != Status::Uploading) {
            return Err(Fault::not_found(format!(
                "Image {id} was deleted during the upload; nothing was kept."
            )));
        }
        still_by(tx, id, &me)?;
        table::stage::put(tx, id, &entry)?;
        log::audit(tx, &who, "image.stage", &id.to_string())
    });
    let entered = entered.await;
    if entered.is_err() {
        let files = image.clone();
        if let Err(fault) = blocking(move || files.contents.unstage(&staged.file)).await {
            tracing::warn!(%fault, "a staged file stays behind until the next start");
        }
    }
    entered
}

/// The size of the disk in the staged file, if it is a disk.
pub async fn disk(image: &Arc<Image>, row: &Record, file: &str, size: u64) -> Result<Option<u64>> {
    let (Some(format), Some(Container::Bare)) = (row.disk_format, row.container) else { return Ok(None) };
    let path = image.contents.staged(file);
    blocking(move || {
        let file = std::fs::File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Fault::not_found("The staged content is gone. Import it again."),
            _ => e.into(),
        })?;
        probe::inspect(&probe::OnDisk { file: &file, size }, format).map(Some)
    })
    .await
}

/// Removes staged files that no row stands for, but those that somebody may be at work on; answers how many those were.
pub async fn sweep(image: &Arc<Image>) -> Result<usize> {
    let known = image.db.read(table::stage::files).await?.into_iter().collect();
    let image = image.clone();
    blocking(move || image.contents.unstage_all_but(&known, std::slice::from_ref(&image.me))).await
}
