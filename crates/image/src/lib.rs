//! The Image service (OpenStack Image API v2): images, their content stored once per content, streamed
//! both ways and verified; formats recognised by looking, refused when they lie.
//!
//! - `api/`: one file per noun of the API; `table/`: SQL; `model`: rows and views; `attribute`: what
//!   clients may set.
//! - `upload` → `incoming` → `probe` → `content`: the way of content into the directory; `check`: its last part where
//!   digests are behind; `life`: its end; `stage` and `import`: the longer way, by staging or from elsewhere.
//! - [`for_boot`], [`from_server`], [`hold`], [`release`], [`release_but`]: what Compute asks, in its transaction.
//!
//! Invariants: an active image has its whole content on disk; content is named by its SHA-512 and never
//! changes; an image that the caller may not see is never told apart from one that does not exist.

mod api;
mod attribute;
mod audience;
mod check;
mod content;
mod first;
mod for_compute;
pub mod for_proxies;
mod from_server;
mod hold;
mod import;
mod incoming;
mod life;
mod limits;
mod lock;
mod model;
mod pieces;
mod probe;
mod room;
mod stage;
mod table;
#[cfg(test)]
mod tests;
mod upload;
mod why;

pub use api::{own_service, service};
pub use audience::{OWN_WORK, audience, labels, names};
pub use check::{CheckLife, settled, settled_of};
pub use for_compute::{BootImage, for_boot};
pub use from_server::{Delivery, Snapshot, abandon, backups, delivery, discard, from_server, source_server};
pub use hold::{hold, release, release_but};
pub use import::ImportLife;
pub use import::source::Imports;
pub use life::BlobLife;
pub use limits::Limits;
pub use pieces::keep_tidy;
pub use why::{import_why, why};

use base::Result;
use content::{Contents, blocking, is_digest};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::log::{Level, event};
use store::{Db, process, work};
use tokio::sync::Semaphore;

/// The service's state.
pub struct Image {
    db: Db,
    /// The id of this process.
    me: String,
    contents: Contents,
    limits: Limits,
    imports: Imports,
    jobs: import::jobs::Jobs,
    uploads: Semaphore,
    checks: Arc<Semaphore>,
    conversions: Semaphore,
}

impl Image {
    /// Opens (and makes, if need be) the directory of contents and tidies up what an earlier process
    /// left half-done. `process` is this one's id. Processes that share a database share the directory.
    ///
    /// # Errors
    /// `Unavailable` when the other processes have another directory.
    pub async fn open(db: Db, dir: &Path, imports: Imports, process: &str) -> Result<Arc<Image>> {
        Self::with(db, dir, Limits::default(), imports, process).await
    }

    /// Like [`Image::open`], with other limits.
    pub async fn with(
        db: Db,
        dir: &Path,
        limits: Limits,
        imports: Imports,
        process: &str,
    ) -> Result<Arc<Image>> {
        imports.check()?;
        let contents = Contents::open(dir, process)?;
        let (uploads, conversions) = (Semaphore::new(limits.uploads), Semaphore::new(limits.conversions));
        let checks = Arc::new(Semaphore::new(limits.checks));
        let (me, jobs) = (process.to_owned(), Default::default());
        let image = Arc::new(Image { db, me, contents, limits, imports, jobs, uploads, checks, conversions });
        if !image.db.is_alone() {
            let mark = image.contents.mark()?;
            let own = mark.clone();
            let all = image.db.write(move |tx| first::mark(tx, &own)).await?;
            image.contents.same_for_all(&mark, &all)?;
        }
        image.sweep().await?;
        image.db.write(api::metadefs_first_start).await?;
        Ok(image)
    }

    /// Gives up the uploads of processes that are dead, those that are not among `alive`; answers how many.
    pub async fn bury(self: &Arc<Self>, mut alive: Vec<String>) -> Result<u64> {
        alive.push(self.me.clone());
        let (image, known) = (self.clone(), alive.clone());
        blocking(move || image.contents.clear_incoming(&known)).await?;
        self.db.write(move |tx| table::blob::give_back_but(tx, &alive)).await
    }

    /// Puts right what a crash can leave: uploads that nobody continues, temporary files, files without
    /// a row. Says so when the content of an image is missing. Belongs to the start, before requests.
    pub async fn sweep(self: &Arc<Self>) -> Result<()> {
        let image = self.clone();
        let staged = self.db.read(table::stage::files).await?.into_iter().collect();
        pieces::sweep(self).await?;
        let me = self.me.clone();
        let others = self.db.read(move |tx| process::others(tx, &me)).await?;
        let alive = others.clone();
        let parts = blocking(move || {
            Ok(image.contents.clear_incoming(&alive)? + image.contents.unstage_all_but(&staged, &alive)?)
        })
        .await?;
        let alive = others.clone();
        let uploads = self.db.write(move |tx| table::blob::give_back_but(tx, &alive)).await?;
        let known = self.db.read(table::blob::all).await?;
        let image = self.clone();
        let (mut rows, files) = blocking(move || {
            let files = image.contents.all(&others)?;
            Ok((known.into_iter().collect::<std::collections::BTreeSet<_>>(), files))
        })
        .await?;
        let mut orphans = 0;
        for (sha512, fresh) in files {
            if !rows.remove(&sha512) && !fresh {
                // Somebody may be about to enter it, or has done so by now.
                let Ok(lock) = self.lock(&sha512).await else { continue };
                upload::discard(self, &sha512).await;
                drop(lock);
                orphans += 1;
            }
        }
        if parts + orphans > 0 || uploads > 0 {
            tracing::info!(parts, orphans, uploads, "tidied up after the last process");
        }
        self.db
            .write(move |tx| {
                for sha512 in table::blob::unused(tx)? {
                    work::wake(tx, &sha512)?;
                }
                for sha512 in rows {
                    if table::blob::is_used(tx, &sha512)? {
                        let text = "The content of this image is missing on disk; restore it from a backup.";
                        event(tx, Level::Error, "image.missing", &sha512, text)?;
                    }
                }
                Ok(())
            })
            .await
    }

    /// Room for one more upload.
    fn upload_slot(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        let full = |_| base::Fault::unavailable("Too many uploads are under way. Try again in a moment.");
        self.uploads.try_acquire().map_err(full)
    }

    /// Where the content with this digest is, if it is stored.
    pub fn blob_path(&self, sha512: &str) -> PathBuf {
        self.contents.path(sha512)
    }

    /// The content with this digest and its length in bytes.
    ///
    /// # Errors
    /// 404 when there is none.
    pub async fn open_blob(&self, sha512: &str) -> Result<(tokio::fs::File, u64)> {
        let missing = || base::Fault::not_found(format!("There is no image content {sha512}."));
        if !is_digest(sha512) {
            return Err(missing());
        }
        let file = tokio::fs::File::open(self.blob_path(sha512)).await.map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => missing(),
            _ => e.into(),
        })?;
        let bytes = file.metadata().await?.len();
        Ok((file, bytes))
    }
}

/// The life-cycle of image contents, for the work engine.
pub fn life(image: Arc<Image>) -> BlobLife {
    BlobLife(image)
}

/// The life-cycle of uploads that are answered before their digests are known, for the work engine.
pub fn checks(image: Arc<Image>) -> CheckLife {
    CheckLife(image)
}

/// The life-cycle of imports, for the work engine.
pub fn imports(image: Arc<Image>) -> ImportLife {
    ImportLife(image)
}
