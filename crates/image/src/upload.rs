//! How content comes to an image.
//!
//! ```text
//!   queued ─▶ saving ─▶ temporary file, digests behind it ─▶ looked at ─▶ at its place ─▶ one transaction:
//!     ▲                                                          │                        content row,
//!     │                                                          │                        quota, active
//!     └────────── refused, cut short, disk full, client gone ◀───┤
//!                                                                └─ digests are far behind ─▶ staged, see `check`
//! ```
//!
//! An upload is a task of its own, because the server drops a handler whose client goes away, and then
//! somebody has to tidy up. Whatever ends it, the image is active with its content, or queued again and
//! nothing is left.

use crate::incoming::{self, Arrived, Incoming, Piece};
use crate::life::{Blob, BlobLife};
use crate::model::{Container, Content, DiskFormat, Record, Status};
use crate::{Image, check, content::blocking, limits::Limits, probe, table};
use api::Auth;
use base::{Fault, ImageId, Kind, Micros, ProjectId, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Tx, log, work};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Bytes that are handed on together.
const BATCH: usize = 1 << 20;

/// An image in `saving`, held by one upload.
#[derive(Debug, Clone)]
pub struct Claim {
    pub id: ImageId,
    /// Tells the image from a later one with the same id.
    created_at: Micros,
    /// The process that took it: one that is taken for dead loses it, and another may have it then.
    by: String,
    /// What the content has to be; `None` when it is wrapped in a container.
    format: Option<DiskFormat>,
    /// Bytes that it may have.
    max: Limit,
}

impl Claim {
    /// The image, locked. Its project may be another by now.
    ///
    /// # Errors
    /// 404 when it is gone, 409 when it is another's upload by now.
    pub fn still_there(&self, tx: &Tx<'_>) -> Result<Record> {
        let row = awaiting(tx, self.id, self.created_at, Status::Saving)?;
        still_by(tx, self.id, &self.by)?;
        Ok(row)
    }
}

/// The image that waits for content, locked.
///
/// # Errors
/// 404 when it is gone.
pub fn awaiting(tx: &Tx<'_>, id: ImageId, created_at: Micros, status: Status) -> Result<Record> {
    table::image::lock(tx, id)?;
    let row = table::image::find(tx, id)?.filter(|r| r.created_at == created_at && r.status == status);
    row.ok_or_else(|| Fault::not_found(format!("Image {id} was deleted meanwhile; nothing was kept.")))
}

/// # Errors
/// 409 when the process `by` has lost the upload to another.
pub fn still_by(tx: &Tx<'_>, id: ImageId, by: &str) -> Result<()> {
    if table::blob::taken_by(tx, id)? == by {
        return Ok(());
    }
    Err(Fault::conflict(format!("Another upload to image {id} has begun; nothing of this one was kept.")))
}

/// How many bytes may come, and who says so.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    Service(u64),
    Quota(u64),
}

impl Limit {
    /// What a project may add.
    pub fn of(tx: &Tx<'_>, limits: &Limits, owner: &ProjectId) -> Result<Limit> {
        Ok(match limits.left(tx, owner)? {
            Some(left) if left < limits.image_bytes => Limit::Quota(left),
            _ => Limit::Service(limits.image_bytes),
        })
    }
    /// In bytes.
    pub fn bytes(self) -> u64 {
        match self {
            Limit::Service(max) | Limit::Quota(max) => max,
        }
    }
    /// # Errors
    /// 413 when `bytes` are too many.
    pub fn check(self, bytes: u64) -> Result<()> {
        match self {
            Limit::Service(max) if bytes > max => Err(Fault::new(
                Kind::TooLarge,
                format!("The image is larger than the {max} bytes that are allowed."),
            )),
            Limit::Quota(max) if bytes > max => Err(Fault::new(
                Kind::Quota,
                format!(
                    "The image is larger than what the project's quota image_size_total leaves ({max} bytes). Delete \
                     images that are no longer needed, or ask an administrator for more."
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// What arrives, and how one knows that it is over.
pub struct Arrival<S> {
    pub body: S,
    /// As announced.
    pub length: Option<u64>,
    /// Cancelled when the client is gone.
    pub gone: CancellationToken,
}

/// Who brings content.
#[derive(Debug, Clone)]
pub enum By {
    User(Arc<Auth>),
    /// The host of the server that the image is made from.
    Host,
}

/// When an upload is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Once the image is active.
    Active,
    /// Once the content is on the disk, if its digests are far behind; they are computed on while the image is
    /// `saving`.
    Stored,
}

/// Takes the whole content of a queued image.
///
/// # Errors
/// 409 when the image is not queued; 413, 415 and 400 for content that is not kept, and then the image is
/// queued again.
pub async fn upload<S, E>(
    image: Arc<Image>,
    by: By,
    who: log::Who,
    id: ImageId,
    arrival: Arrival<S>,
    answer: Answer,
) -> Result<()>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Display,
{
    let _slot = image.upload_slot()?;
    let limits = image.limits.clone();
    let me = image.me.clone();
    let claim = image.db.write(move |tx| begin(tx, &limits, &by, id, &me)).await?;
    let outcome = take(&image, &claim, arrival, who, answer).await;
    if outcome.is_err() {
        let Claim { id, created_at, by, .. } = claim;
        let give_back =
            move |tx: &Tx<'_>| table::blob::give_back(tx, id, created_at, Status::Saving, Some(&by));
        if let Err(fault) = image.db.write(give_back).await {
            tracing::error!(image = %id, %fault, "an image stays in saving until the next start");
        }
    }
    outcome
}

/// The image, locked, if its content may come from there.
///
/// # Errors
/// 404 and 403 as for any change, 409 when the image is made from a server.
pub fn open_to(tx: &Tx<'_>, by: &By, id: ImageId) -> Result<Record> {
    let row = match by {
        By::User(auth) => table::image::changeable(tx, auth, id)?,
        By::Host => table::image::locked(tx, id)?,
    };
    let server = table::image::server_of(tx, id)?;
    if let (By::User(_), Some(server)) = (by, server) {
        return Err(Fault::conflict(format!("The content of image {id} comes from server {server}.")));
    }
    Ok(row)
}

fn begin(tx: &Tx<'_>, limits: &Limits, by: &By, id: ImageId, me: &str) -> Result<Claim> {
    let row = open_to(tx, by, id)?;
    if row.status != Status::Queued {
        return Err(Fault::conflict(format!(
            "The content of image {id} can be uploaded while it is queued; it is {}.",
            row.status.as_str()
        )));
    }
    let (Some(format), Some(container)) = (row.disk_format, row.container) else {
        return Err(Fault::bad_request(
            "Properties disk_format, container_format must be set prior to saving data.",
        ));
    };
    Limits::one_more_upload(tx, &row.owner)?;
    let max = Limit::of(tx, limits, &row.owner)?;
    if !table::blob::take(tx, id, Status::Saving, me)? {
        return Err(Fault::conflict(format!("Another upload to image {id} has begun.")));
    }
    let format = (container == Container::Bare).then_some(format);
    Ok(Claim { id, created_at: row.created_at, by: me.to_owned(), format, max })
}

async fn take<S, E>(
    image: &Arc<Image>,
    claim: &Claim,
    arrival: Arrival<S>,
    who: log::Who,
    answer: Answer,
) -> Result<()>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Display,
{
    let gone = arrival.gone.clone();
    let begun = Instant::now();
    let arrived = receive(image, claim.max, arrival).await?;
    let (arrived, virtual_size) = look(arrived, claim.format).await?;
    if gone.is_cancelled() {
        return Err(client_gone());
    }
    let incoming = if answer == Answer::Active || arrived.behind() < image.limits.behind {
        arrived.digested().await?
    } else {
        let patience = patience(image.limits.patience, begun.elapsed(), arrived.behind(), arrived.bytes);
        match arrived.digested_within(patience).await? {
            Ok(incoming) => incoming,
            Err(arrived) => match image.checks.clone().try_acquire_owned() {
                Ok(turn) => return check::later(image, claim, arrived, who, turn).await,
                Err(_) => arrived.digested().await?,
            },
        }
    };
    keep(image, claim, incoming, virtual_size, who).await
}

/// How long an upload that took so long waits for its digests. Those that saw most of it on the way see the rest soon;
/// others would be waited for in vain.
fn patience(percent: u32, took: Duration, behind: u64, bytes: u64) -> Duration {
    if behind <= bytes / 100 * u64::from(percent) { took * percent / 100 } else { Duration::ZERO }
}

/// Takes bytes into a temporary file.
pub async fn receive<S, E>(image: &Image, max: Limit, arrival: Arrival<S>) -> Result<Arrived>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Display,
{
    if let Some(length) = arrival.length {
        max.check(length)?;
    }
    let (feed, outcome) = incoming::start(&image.contents.incoming(), arrival.length.unwrap_or(0))?;
    let gone = arrival.gone.clone();
    let pumped = tokio::select! {
        out = pump(arrival, max, image.limits.idle, feed) => out,
        () = gone.cancelled() => Err(client_gone()),
    };
    // The writer ends in any case, as its feed has closed; only then is the temporary file gone.
    let written = ended(outcome).await;
    pumped.and(written)
}

async fn ended(outcome: oneshot::Receiver<Result<Arrived>>) -> Result<Arrived> {
    outcome.await.map_err(|_| Fault::internal("the writer of an upload panicked"))?
}

/// Hands the body on in batches, until it ends or is too long.
async fn pump<S, E>(
    mut arrival: Arrival<S>,
    max: Limit,
    idle: std::time::Duration,
    feed: mpsc::Sender<Piece>,
) -> Result<()>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Display,
{
    let (mut total, mut batch, mut held) = (0_u64, Vec::new(), 0);
    loop {
        let next = tokio::time::timeout(idle, arrival.body.next()).await.map_err(|_| {
            Fault::bad_request(format!(
                "The upload stood still for {} seconds and was given up; nothing was kept.",
                idle.as_secs()
            ))
        })?;
        let part = match next {
            None => break,
            Some(Err(e)) => {
                return Err(Fault::bad_request("The upload was cut short; nothing was kept.").because(e));
            }
            Some(Ok(part)) => part,
        };
        total += part.len() as u64;
        max.check(total)?;
        held += part.len();
        batch.push(part);
        if held >= BATCH {
            held = 0;
            if feed.send(Piece::Data(std::mem::take(&mut batch))).await.is_err() {
                return Ok(()); // the writer has failed and says why
            }
        }
    }
    if arrival.length.is_some_and(|l| l != total) {
        return Err(Fault::bad_request(format!(
            "The upload was cut short after {total} bytes; nothing was kept."
        )));
    }
    // A writer that is gone has failed and says why.
    if feed.send(Piece::Data(batch)).await.is_ok() {
        let _ = feed.send(Piece::End).await;
    }
    Ok(())
}

pub fn client_gone() -> Fault {
    Fault::bad_request("The client went away during the upload; nothing was kept.")
}

/// Looks at the content; answers the size of the disk in it.
async fn look(arrived: Arrived, format: Option<DiskFormat>) -> Result<(Arrived, Option<u64>)> {
    let Some(format) = format else { return Ok((arrived, None)) };
    blocking(move || {
        let source = probe::OnDisk { file: &arrived.file, size: arrived.bytes };
        let size = probe::inspect(&source, format)?;
        Ok((arrived, Some(size)))
    })
    .await
}

/// Puts the file at its place and makes the image active, under the digest's lock.
async fn keep(
    image: &Arc<Image>,
    claim: &Claim,
    incoming: Incoming,
    virtual_size: Option<u64>,
    who: log::Who,
) -> Result<()> {
    let content =
        Content { sha512: incoming.sha512.clone(), md5: incoming.md5.clone(), bytes: incoming.bytes };
    let lock = image.lock(&content.sha512).await?;
    let files = image.clone();
    blocking(move || files.contents.put(incoming)).await?;
    let (limits, claim, row) = (image.limits.clone(), claim.clone(), content.clone());
    let kept = image.db.write(move |tx| finish(tx, &limits, &claim, &row, virtual_size, &who)).await;
    if kept.is_err() {
        discard(image, &content.sha512).await;
    }
    drop(lock);
    kept
}

fn finish(
    tx: &Tx<'_>,
    limits: &Limits,
    claim: &Claim,
    content: &Content,
    virtual_size: Option<u64>,
    who: &log::Who,
) -> Result<()> {
    if let Some(server) = table::image::server_of(tx, claim.id)? {
        // Its life-cycle waits for this.
        work::wake(tx, &server.to_string())?;
    }
    let row = claim.still_there(tx)?;
    limits.take_size(tx, &row.owner, content.bytes)?;
    let kept = Kept { id: claim.id, created_at: claim.created_at, content, virtual_size };
    activate(tx, Status::Saving, &kept)?;
    log::audit(tx, who, "image.upload", &claim.id.to_string())
}

/// A content at its place, and the image that it is for.
pub struct Kept<'a> {
    pub id: ImageId,
    pub created_at: Micros,
    pub content: &'a Content,
    pub virtual_size: Option<u64>,
}

/// Makes an image active that is in `from`, with a content that is at its place (the caller holds the
/// digest's lock) or that another image shows. The image's row is locked already, and its project's quota taken.
pub fn activate(tx: &Tx<'_>, from: Status, k: &Kept<'_>) -> Result<()> {
    // Whoever is about to remove the content has to look again. In its order: work, then content.
    work::start_or_wake::<BlobLife>(tx, &k.content.sha512, &Blob::Kept)?;
    table::blob::insert(tx, k.content)?;
    if !table::blob::finish(tx, from, k)? {
        return Err(Fault::internal(format!("image {} is not {} any more", k.id, from.as_str())));
    }
    Ok(())
}

/// Removes a file that no row stands for. Failing at that is no harm: the next start does it.
pub async fn discard(image: &Arc<Image>, sha512: &str) {
    let digest = sha512.to_owned();
    let known = image.db.read(move |tx| table::blob::exists(tx, &digest)).await;
    if !matches!(known, Ok(false)) {
        return;
    }
    let (files, digest) = (image.clone(), sha512.to_owned());
    if let Err(fault) = blocking(move || files.contents.remove(&digest)).await {
        tracing::warn!(sha512, %fault, "a file without an image stays behind until the next start");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_waited_for_where_that_may_help() {
        let wait = |behind| patience(25, Duration::from_secs(8), behind, 1000);
        assert_eq!([wait(0), wait(250)], [Duration::from_secs(2); 2]);
        assert_eq!(wait(251), Duration::ZERO);
        assert_eq!(patience(0, Duration::from_secs(8), 1, 1000), Duration::ZERO);
    }
}
