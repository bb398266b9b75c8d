//! The directory of contents: `DIR/<sha512>`, `DIR/incoming/` for what is on its way, and `DIR/staged/` for
//! what is whole and waits to be imported.
//!
//! Invariants: a file under its digest is whole and durable, because it is renamed there after it was
//! written, hashed and synced; a file may be without a row (the next start removes it) but a row that an
//! image shows is never without a file; whoever puts or removes a file holds the digest's lock until
//! the transaction that goes with it is done. Processes that share a database share the directory too (a file
//! in it says so, [`Contents::same_for_all`]); each has a place of its own for what is on its way to it.

use crate::incoming::{Arrived, Digests, Incoming};
use crate::table::stage::Staged;
use base::Kind;
use base::{Fault, Result};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Locks for all digests together; those that share one wait for each other now and then.
const LOCKS: usize = 64;
/// The file by which processes see that they share the directory.
const MARK: &str = "shared";
/// Another process may still be at work on a file that no row stands for; after this long it is not.
const FRESH: Duration = Duration::from_secs(3600);

pub struct Contents {
    dir: PathBuf,
    /// The name of our own place in `incoming/`.
    own: String,
    locks: Vec<Arc<Mutex<()>>>,
}

impl Contents {
    /// Makes the directories if need be.
    pub fn open(dir: &Path, process: &str) -> Result<Self> {
        let own = process.rsplit('/').next().unwrap_or_default().to_owned();
        let locks = (0..LOCKS).map(|_| Arc::default()).collect();
        let contents = Contents { dir: dir.to_owned(), own, locks };
        fs::create_dir_all(contents.incoming())?;
        fs::create_dir_all(contents.dir.join("staged"))?;
        fs::create_dir_all(contents.pieces())?;
        Ok(contents)
    }
    /// Where uploads in pieces grow.
    pub fn pieces(&self) -> PathBuf {
        self.dir.join("pieces")
    }
    pub fn incoming(&self) -> PathBuf {
        self.dir.join("incoming").join(&self.own)
    }
    /// Makes the mark of the directory if it has none, and answers it.
    pub fn mark(&self) -> Result<String> {
        let (file, aside) = (self.dir.join(MARK), self.incoming().join(MARK));
        if !file.exists() {
            fs::write(&aside, format!("{}\n", base::ImageId::new()))?;
            // Of two that come at once, one is first.
            match fs::hard_link(&aside, &file) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e.into()),
                _ => {}
            }
            remove_if_there(&aside)?;
            self.sync()?;
        }
        Ok(fs::read_to_string(&file)?.trim().to_owned())
    }
    /// # Errors
    /// `Unavailable` when the directory is another one than that of the other processes.
    pub fn same_for_all(&self, mark: &str, all: &str) -> Result<()> {
        if mark == all {
            return Ok(());
        }
        let (dir, file) = (self.dir.display(), self.dir.join(MARK));
        Err(Fault::new(
            Kind::Unavailable,
            format!(
                "The image directory {dir} is not the one that belongs to this database: every region process needs \
                 the same, over NFS for instance. Mount it there, or name it with `images` in the configuration. If \
                 the contents are lost for good, go on without them: echo {all} > {}",
                file.display()
            ),
        ))
    }
    pub fn path(&self, sha512: &str) -> PathBuf {
        self.dir.join(sha512)
    }
    /// Against others in this process; see [`crate::lock`].
    pub async fn lock(&self, sha512: &str) -> OwnedMutexGuard<()> {
        let at = sha512.bytes().fold(0_usize, |n, b| n.wrapping_mul(31).wrapping_add(b.into())) % LOCKS;
        self.locks[at].clone().lock_owned().await
    }
    /// Puts a content at its place, durably. One that is there already is the same, and is replaced, so
    /// that a damaged file heals.
    pub fn put(&self, incoming: Incoming) -> Result<()> {
        let to = self.path(&incoming.sha512);
        incoming.settle(&to)?;
        self.sync()
    }
    /// Removes a content, durably. One that is gone already is fine.
    pub fn remove(&self, sha512: &str) -> Result<()> {
        remove_if_there(&self.path(sha512))?;
        self.sync()
    }
    pub fn staged(&self, name: &str) -> PathBuf {
        self.dir.join("staged").join(name)
    }
    /// Keeps what arrived as the staged file `name`, durably, in the place of what is there.
    pub fn stage(&self, incoming: Incoming, name: &str) -> Result<Staged> {
        let staged = Staged {
            file: name.to_owned(),
            sha512: incoming.sha512.clone(),
            md5: incoming.md5.clone(),
            bytes: incoming.bytes,
        };
        incoming.settle(&self.staged(name))?;
        File::open(self.dir.join("staged"))?.sync_all()?;
        Ok(staged)
    }
    /// Keeps what arrived as the staged file `name`, durably; what goes on is its digests.
    pub fn stage_unchecked(&self, arrived: Arrived, name: &str) -> Result<Digests> {
        let digests = arrived.settle(&self.staged(name))?;
        File::open(self.dir.join("staged"))?.sync_all()?;
        Ok(digests)
    }
    /// Puts a staged file at its place, durably, and leaves it staged too.
    pub fn link(&self, name: &str, sha512: &str) -> Result<()> {
        // Others may have taken this process for dead and tidied up.
        fs::create_dir_all(self.incoming())?;
        let link = self.incoming().join(format!("{name}.link"));
        remove_if_there(&link)?;
        fs::hard_link(self.staged(name), &link)?;
        fs::rename(&link, self.path(sha512))?;
        // To rename one of two links of a file into the other does nothing, and it stays.
        remove_if_there(&link)?;
        self.sync()
    }
    /// Removes a staged file. One that is gone already is fine.
    pub fn unstage(&self, name: &str) -> Result<()> {
        remove_if_there(&self.staged(name))
    }
    /// Removes staged files but `known`, and those that one of `others` may be at work on; answers how many
    /// those were.
    pub fn unstage_all_but(&self, known: &BTreeSet<String>, others: &[String]) -> Result<usize> {
        let mut n = 0;
        for entry in fs::read_dir(self.dir.join("staged"))? {
            let entry = entry?;
            if !is_fresh(&entry, others) && !known.contains(entry.file_name().to_string_lossy().as_ref()) {
                remove_if_there(&entry.path())?;
                n += 1;
            }
        }
        Ok(n)
    }
    fn sync(&self) -> Result<()> {
        Ok(File::open(&self.dir)?.sync_all()?)
    }
    /// Removes what other processes than these left on its way; answers how much that was.
    pub fn clear_incoming(&self, processes: &[String]) -> Result<usize> {
        let known = |own: &str| own == self.own || processes.iter().any(|p| p.ends_with(own));
        let mut n = 0;
        for entry in fs::read_dir(self.dir.join("incoming"))? {
            let entry = entry?;
            if known(entry.file_name().to_string_lossy().as_ref()) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                n += fs::read_dir(entry.path())?.count();
                fs::remove_dir_all(entry.path())?;
            } else {
                remove_if_there(&entry.path())?;
                n += 1;
            }
        }
        Ok(n)
    }
    /// The digests that there are files of; true for those that one of `others` may just have put there.
    pub fn all(&self, others: &[String]) -> Result<Vec<(String, bool)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_digest(&name) {
                all.push((name, is_fresh(&entry, others)));
            }
        }
        Ok(all)
    }
}

/// Whether another process may be at work on a file.
fn is_fresh(entry: &fs::DirEntry, others: &[String]) -> bool {
    let age = entry.metadata().ok().and_then(|m| m.modified().ok());
    let age = age.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    !others.is_empty() && age.is_none_or(|age| age < FRESH)
}

/// Removes a file; one that is gone already is fine.
fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Whether text is a SHA-512 as we write it, and so safe as a file name.
pub fn is_digest(text: &str) -> bool {
    text.len() == 128 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Runs file work where it may block.
pub async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(Fault::internal)?
}
