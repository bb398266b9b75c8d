//! The end of uploads that were answered before their digests were known.
//!
//! ```text
//!   saving, staged ─▶ Digest ── they are known: at its place, active ──▶ Tidy ── the staged file goes ─▶ (no row)
//!                       │ ▲                                               ▲
//!                       └─┘ this process died: another begins anew        └── the image was deleted
//! ```
//! What was answered for is durable and takes its part of the quota, so nothing that happens later takes it back. The
//! life-cycle has the image's id; what it waits for is a job of one process, as those of imports are. One that has an
//! id of its own ([`tidy`]) removes what was staged for an import, when the image was deleted before it.

use crate::content::blocking;
use crate::import::Turn;
use crate::import::jobs::{LOOK, Progress, State, leave};
use crate::incoming::{Arrived, Digests};
use crate::model::{Content, Record, Status};
use crate::stage::disk;
use crate::table::stage::Staged;
use crate::upload::{Claim, Kept, activate, awaiting, discard};
use crate::{Image, table};
use base::{Fault, ImageId, ProjectId, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::log;
use store::work::{Life, Step, start, start_or_wake};
use store::{Db, Topic, Tx};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;

/// How often one notes how far digests are.
const TICK: Duration = Duration::from_millis(500);
/// How long one waits after digests that could not be computed.
const AGAIN: Duration = Duration::from_secs(60);
/// How long somebody who is about to use an image waits for its digests.
pub const WAIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// The digests of the staged file are computed.
    Digest { file: String },
    /// Nothing is left to do but to remove it.
    Tidy { file: String },
}

/// The life-cycle of such uploads, for the work engine.
pub struct CheckLife(pub(crate) Arc<Image>);

/// Keeps what has arrived as it is; its digests are computed on.
pub async fn later(
    image: &Arc<Image>,
    claim: &Claim,
    arrived: Arrived,
    who: log::Who,
    turn: OwnedSemaphorePermit,
) -> Result<()> {
    let (file, bytes) = (ImageId::new().to_string(), arrived.bytes);
    let (files, name) = (image.clone(), file.clone());
    let digests = blocking(move || files.contents.stage_unchecked(arrived, &name)).await?;
    let id = claim.id.to_string();
    image.jobs.poll::<CheckLife, _>(&image.db, &id, &file, |progress| {
        sums(digests, file.clone(), bytes, progress, turn)
    });
    let (limits, of, entry) = (image.limits.clone(), claim.clone(), file.clone());
    let entered = image.db.write(move |tx| {
        // In the order of all who change images: work, image, quota.
        start_or_wake::<CheckLife>(tx, &of.id.to_string(), &Check::Digest { file: entry.clone() })?;
        let row = of.still_there(tx)?;
        limits.take_size(tx, &row.owner, bytes)?;
        let staged = Staged { file: entry, sha512: String::new(), md5: String::new(), bytes };
        table::stage::put(tx, of.id, &staged)?;
        log::audit(tx, &who, "image.upload", &of.id.to_string())
    });
    let Err(fault) = entered.await else { return Ok(()) };
    // A transaction may be done although nobody heard of it.
    let id = claim.id;
    match image.db.read(move |tx| table::stage::unchecked(tx, id)).await {
        Ok(Some((there, _))) if there == file => return Ok(()),
        Ok(_) => {
            if let Err(fault) = forget(image, &file).await {
                tracing::warn!(%fault, "a staged file stays behind until the next start");
            }
        }
        // What is entered is gone on with, and the next start removes the rest.
        Err(_) => {}
    }
    Err(fault)
}

/// Computes on, and says how far it is.
async fn sums(
    mut digests: Digests,
    file: String,
    bytes: u64,
    progress: Arc<Progress>,
    _turn: OwnedSemaphorePermit,
) -> Result<Staged> {
    progress.total.store(bytes, Ordering::Relaxed);
    loop {
        let sums = tokio::time::timeout(TICK, digests.sums()).await;
        progress.done.store(digests.read(), Ordering::Relaxed);
        if let Ok(sums) = sums {
            let sums = sums?;
            return Ok(Staged { file, sha512: sums.sha512, md5: sums.md5, bytes });
        }
    }
}

/// Starts the removal of a staged file whose image goes.
pub fn tidy(tx: &Tx<'_>, file: String) -> Result<()> {
    start::<CheckLife>(tx, &ImageId::new().to_string(), &Check::Tidy { file })
}

/// Ends the job of a staged file, and removes what it has come to.
async fn forget(image: &Arc<Image>, file: &str) -> Result<()> {
    let made = image.jobs.made(file);
    image.jobs.drop_of(&[file.to_owned()]);
    if let Some(staged) = made {
        // Put at its place for an image that was deleted in that moment.
        let lock = image.lock(&staged.sha512).await?;
        discard(image, &staged.sha512).await;
        drop(lock);
    }
    let (files, file) = (image.clone(), file.to_owned());
    blocking(move || files.contents.unstage(&file)).await
}

/// An image that waits for its digests.
struct Seen {
    row: Record,
    file: String,
    bytes: u64,
    turn: Turn,
}

impl Life for CheckLife {
    const KIND: &'static str = "image_check";
    type State = Check;

    async fn step(&self, id: &str, state: &Check) -> Result<Step<Check>> {
        let (image, id, me) = (&self.0, id.parse::<ImageId>().map_err(Fault::internal)?, self.0.me.clone());
        let seen = image.db.read(move |tx| look(tx, id, &me)).await?;
        let (Check::Digest { file } | Check::Tidy { file }) = state;
        match seen {
            Some(seen) if seen.file == *file => go_on(image, seen).await,
            other => {
                forget(image, file).await?;
                // A later image may have taken the id.
                Ok(other.map_or_else(Step::gone, |seen| Step::go(Check::Digest { file: seen.file })))
            }
        }
    }

    fn budget(state: &Check) -> Option<Duration> {
        Some(Duration::from_secs(match state {
            Check::Digest { .. } => 2 * 3600,
            Check::Tidy { .. } => 300,
        }))
    }
}

fn look(tx: &Tx<'_>, id: ImageId, me: &str) -> Result<Option<Seen>> {
    let (Some(row), Some((file, bytes))) = (table::image::find(tx, id)?, table::stage::unchecked(tx, id)?)
    else {
        return Ok(None);
    };
    let turn = Turn::of(tx, &table::blob::taken_by(tx, id)?, me)?;
    Ok(Some(Seen { row, file, bytes, turn }))
}

async fn go_on(image: &Arc<Image>, seen: Seen) -> Result<Step<Check>> {
    let Seen { row, file, bytes, turn } = seen;
    let (id, me) = (row.id, image.me.clone());
    match turn {
        Turn::Another => return Ok(Step::wait(leave(), "another region process is at it")),
        Turn::Free => {
            return Ok(Step::go(Check::Digest { file }).also(move |tx| table::blob::take_over(tx, id, &me)));
        }
        Turn::Ours => {}
    }
    let path = image.contents.staged(&file);
    let job = image.jobs.poll::<CheckLife, _>(&image.db, &id.to_string(), &file, |progress| {
        let (file, turns) = (file.clone(), image.checks.clone());
        async move {
            let turn = turns.acquire_owned().await.map_err(Fault::internal)?;
            let digests = blocking(move || {
                let file = std::fs::File::open(path)?;
                // Not all of what was answered for is not it: no image of less comes to be.
                match file.metadata()?.len() {
                    there if there == bytes => Digests::of(file),
                    there => Err(Fault::internal(format!("{bytes} bytes arrived, and {there} are there"))),
                }
            })
            .await?;
            sums(digests, file, bytes, progress, turn).await
        }
    });
    match job {
        State::Running(how_far) => {
            Ok(Step::wait(LOOK, format!("its checksums are being computed: {how_far}")))
        }
        State::Done(Err(fault)) => {
            // What was answered for is not given up. All of it is read again, so not at once.
            tracing::warn!(image = %id, %fault, "its checksums could not be computed");
            image.jobs.drop_of(&[file]);
            Ok(Step::wait(AGAIN, fault.to_string()))
        }
        State::Done(Ok(staged)) => keep(image, row, staged).await,
    }
}

async fn keep(image: &Arc<Image>, row: Record, staged: Staged) -> Result<Step<Check>> {
    let file = staged.file.clone();
    let virtual_size = disk(image, &row, &file, staged.bytes).await?;
    let lock = image.lock(&staged.sha512).await?;
    let (files, from) = (image.clone(), staged.clone());
    blocking(move || files.contents.link(&from.file, &from.sha512)).await?;
    let content = Content { sha512: staged.sha512, md5: staged.md5, bytes: staged.bytes };
    let kept = move |tx: &Tx<'_>| {
        awaiting(tx, row.id, row.created_at, Status::Saving)?;
        let kept = Kept { id: row.id, created_at: row.created_at, content: &content, virtual_size };
        activate(tx, Status::Saving, &kept)?;
        table::stage::remove(tx, row.id)
    };
    Ok(Step::go(Check::Tidy { file }).also(kept).holding(lock))
}

/// As [`settled`], for those who choose an image by whose it is (the first) and how it is called.
pub async fn settled_of(db: &Db, chosen: impl Fn(&ProjectId, &str) -> bool) -> Result<()> {
    let waiting = db.read(table::stage::all_unchecked).await?;
    let chosen = waiting.into_iter().filter(|(_, owner, name)| chosen(owner, name));
    futures_util::future::try_join_all(chosen.map(|(id, ..)| settled(db, id))).await.map(drop)
}

/// Waits until the digests of an image are known that has arrived, for a minute at most; for those who are about to use
/// it. Of an image that waits for nothing there is nothing to wait for.
pub async fn settled(db: &Db, id: ImageId) -> Result<()> {
    settled_within(db, id, WAIT).await
}

/// As [`settled`], for `patience` at most.
pub async fn settled_within(db: &Db, id: ImageId, patience: Duration) -> Result<()> {
    let mut changes = db.changes();
    let known = async {
        while db.read(move |tx| table::stage::unchecked(tx, id)).await?.is_some() {
            let text = id.to_string();
            loop {
                match changes.recv().await {
                    Ok(Topic::Change(c)) if !c.is_many() && (c.kind != "image" || c.id != text) => {}
                    Ok(Topic::Change(_) | Topic::Missed) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return Ok(()),
                }
            }
        }
        Ok(())
    };
    // Whoever comes too early is told so by what he does next.
    tokio::time::timeout(patience, known).await.unwrap_or(Ok(()))
}
