//! Content that comes in pieces, so that a connection that is lost, a page that is reloaded or a process that dies
//! costs the piece that was on its way and no more.
//!
//! ```text
//! begin ─▶ piece at 0 ─▶ piece at what was received ─▶ … ─▶ finish: as if the whole came as one upload
//! ```
//!
//! Invariants: what a row says was received is on the disk; a piece is taken whole or not at all, one at a time for
//! each image (the file is locked), also where several processes share the directory; what is finished is read once
//! more on its way to its place, so that a digest is of what is kept; a project has few of them, and one that nobody
//! goes on with for a day is forgotten.

use crate::model::Status;
use crate::table::piece::{self, Upload};
use crate::upload::{Answer, Arrival, By, Limit, open_to, upload};
use crate::{Image, content::blocking, room, stage};
use api::Auth;
use base::{Fault, ImageId, Kind, Micros, Result};
use bytes::Bytes;
use rustix::fs::FlockOperation;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use store::log;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

/// Largest piece, in bytes: it is held in memory until it is on the disk.
pub const PIECE: usize = 8 << 20;
/// Uploads of a project that are not finished.
const OPEN: usize = 10;
/// One that nobody goes on with for so long is forgotten.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Bytes that are read at a time on the way to their place.
const READ: usize = 1 << 20;

/// What a client says at the beginning.
#[derive(Debug, Clone)]
pub struct Wish {
    pub file_name: String,
    pub mark: String,
    pub size: u64,
}

fn none(id: ImageId) -> Fault {
    Fault::not_found(format!("No upload in pieces is under way for image {id}."))
}

fn busy() -> Fault {
    Fault::conflict("Another piece of this image is arriving. Send one after the other.")
}

impl Image {
    fn piece_file(&self, id: ImageId) -> PathBuf {
        self.contents.pieces().join(id.to_string())
    }
}

/// Begins, or finds the one that has begun: then `false`, and it goes on from what was received.
///
/// # Errors
/// 409 when the image is not queued or the one under way is of another file; 413 beyond the quota.
pub async fn begin(image: &Image, auth: Arc<Auth>, id: ImageId, wish: Wish) -> Result<(Upload, bool)> {
    let limits = image.limits.clone();
    let dir = image.contents.pieces();
    let begun = image.db.write(move |tx| {
        let row = open_to(tx, &By::User(auth), id)?;
        if row.status != Status::Queued {
            return Err(Fault::conflict(format!(
                "The content of image {id} can be uploaded while it is queued; it is {}.",
                row.status.as_str()
            )));
        }
        piece::forget_stale(tx, STALE)?;
        if let Some(under_way) = piece::find(tx, id)? {
            if (under_way.size, &under_way.mark) != (wish.size, &wish.mark) {
                return Err(Fault::conflict(format!(
                    "Another file, {}, is being uploaded to image {id}. Go on with that one, or give it up first.",
                    under_way.file_name
                )));
            }
            return Ok((under_way, false));
        }
        Limit::of(tx, &limits, &row.owner)?.check(wish.size)?;
        room::need(&dir, wish.size)?;
        if piece::of(tx, &row.owner)?.len() >= OPEN {
            return Err(Fault::quota(format!(
                "{OPEN} uploads of this project are not finished. Finish some, or give them up."
            )));
        }
        let now = Micros::now();
        let new = Upload {
            image: id,
            project: row.owner,
            file_name: wish.file_name,
            mark: wish.mark,
            size: wish.size,
            received: 0,
            created_at: now,
            touched_at: now,
        };
        piece::insert(tx, &new)?;
        Ok((new, true))
    });
    begun.await
}

/// The upload, for who may change the image.
///
/// # Errors
/// 404 when there is none.
pub async fn find(image: &Image, auth: Arc<Auth>, id: ImageId) -> Result<Upload> {
    let found = image.db.write(move |tx| {
        open_to(tx, &By::User(auth), id)?;
        piece::find(tx, id)?.ok_or_else(|| none(id))
    });
    found.await
}

/// Takes the piece that begins at `from`.
///
/// # Errors
/// 409 when something else was received, which the message says; 400 beyond the end.
pub async fn add(
    image: &Arc<Image>,
    auth: Arc<Auth>,
    id: ImageId,
    from: u64,
    bytes: Bytes,
) -> Result<Upload> {
    find(image, auth, id).await?;
    let path = image.piece_file(id);
    let file = blocking(move || locked(&path, true)).await?.ok_or_else(busy)?;
    // Only now is it known that no other piece changes it.
    let mut u = image.db.read(move |tx| piece::find(tx, id)).await?.ok_or_else(|| none(id))?;
    let to = from + bytes.len() as u64;
    if from != u.received {
        return Err(Fault::conflict(format!(
            "{} bytes of image {id} are here. Send what follows, with offset={}.",
            u.received, u.received
        )));
    }
    if to > u.size {
        return Err(Fault::bad_request(format!(
            "{} bytes were announced, and with this piece there would be {to}.",
            u.size
        )));
    }
    let dir = image.contents.pieces();
    let file = blocking(move || {
        room::need(&dir, bytes.len() as u64)?;
        // What a process that died had begun to write.
        file.set_len(from)?;
        file.write_all_at(&bytes, from)?;
        file.sync_data()?;
        Ok(file)
    })
    .await?;
    // Not if it was given up meanwhile, and another has begun with a file of its own.
    let of = u.clone();
    if !image.db.write(move |tx| piece::add(tx, &of, to)).await? {
        return Err(none(id));
    }
    drop(file);
    u.received = to;
    Ok(u)
}

/// Makes the image of what was received.
///
/// # Errors
/// 409 when bytes are missing, and those of an upload. What can be tried again keeps the pieces; content that is
/// refused does not.
pub async fn finish(image: Arc<Image>, auth: Arc<Auth>, who: log::Who, id: ImageId) -> Result<()> {
    let owner = auth.clone();
    let found = image.db.write(move |tx| {
        let row = open_to(tx, &By::User(owner), id)?;
        let done = (row.status == Status::Active).then(|| row.bytes());
        let upload = piece::find(tx, id)?;
        if upload.is_none() && done.is_none() { Err(none(id)) } else { Ok((upload, done)) }
    });
    // Whoever did not hear that it is done asks once more.
    let (Some(u), done) = found.await? else { return Ok(()) };
    if u.received < u.size {
        return Err(Fault::conflict(format!("{} of {} bytes of image {id} are here.", u.received, u.size)));
    }
    if done == Some(Some(u.size)) {
        // The process that did it died before it forgot the pieces.
        return forget(&image, id).await;
    }
    let path = image.piece_file(id);
    // Held to the end: nothing is written any more while it is read.
    let lock = blocking(move || locked(&path, false)).await?.ok_or_else(busy)?;
    let source = tokio::fs::File::from_std(lock.try_clone()?);
    let arrival = Arrival {
        body: Box::pin(futures_util::StreamExt::map(ReaderStream::with_capacity(source, READ), |part| {
            part.map_err(Fault::from)
        })),
        length: Some(u.size),
        gone: CancellationToken::new(),
    };
    let outcome = upload(image.clone(), By::User(auth), who, id, arrival, Answer::Active).await;
    // It was not too large at the beginning, so it is the disk that had no room for it.
    let again = |f: &Fault| {
        matches!(f.kind, Kind::Unavailable | Kind::Quota | Kind::TooLarge | Kind::Conflict | Kind::Internal)
    };
    if outcome.as_ref().err().is_none_or(|f| !again(f)) {
        forget(&image, id).await?;
    }
    drop(lock);
    outcome
}

/// Gives it up; the image waits for content as before. One that is gone already is fine.
pub async fn give_up(image: &Arc<Image>, auth: Arc<Auth>, id: ImageId) -> Result<()> {
    image.db.write(move |tx| open_to(tx, &By::User(auth), id).map(drop)).await?;
    forget(image, id).await
}

async fn forget(image: &Arc<Image>, id: ImageId) -> Result<()> {
    image.db.write(move |tx| piece::delete(tx, id)).await?;
    let path = image.piece_file(id);
    blocking(move || match std::fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    })
    .await
}

/// The file, for us alone until it is closed; `None` when somebody else has it.
fn locked(path: &PathBuf, create: bool) -> Result<Option<File>> {
    let file =
        OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o640).open(path);
    let file = match file {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Fault::conflict(
                "The pieces of this image are gone. Give the upload up and begin again.",
            ));
        }
        other => other?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(std::io::Error::from(e).into()),
    }
}

/// Forgets uploads that nobody goes on with, and files that are of none; answers how many files those were.
pub async fn sweep(image: &Arc<Image>) -> Result<usize> {
    let known = image
        .db
        .write(|tx| {
            piece::forget_stale(tx, STALE)?;
            piece::known(tx)
        })
        .await?;
    let dir = image.contents.pieces();
    blocking(move || {
        let mut n = 0;
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            // One that another process begins with this moment has its row before its file.
            let old =
                entry.metadata()?.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if !known.contains(entry.file_name().to_string_lossy().as_ref())
                && old.is_some_and(|a| a > MINUTE)
            {
                std::fs::remove_file(entry.path())?;
                n += 1;
            }
        }
        Ok(n)
    })
    .await
}

const MINUTE: Duration = Duration::from_secs(60);

/// Sweeps now and then, until dropped.
pub async fn keep_tidy(image: Arc<Image>) {
    loop {
        tokio::time::sleep(60 * MINUTE).await;
        if let Err(fault) = sweep(&image).await {
            tracing::warn!(%fault, "uploads that nobody goes on with are not forgotten; it is tried again in an hour");
        }
        if let Err(fault) = stage::sweep(&image).await {
            tracing::warn!(%fault, "staged files of no image are not removed; it is tried again in an hour");
        }
    }
}
