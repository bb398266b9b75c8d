//! The directory of contents: `DIR/<sha512>`, `DIR/incoming/` for what is on its way, and `DIR/staged/` for
//! what is whole and waits to be imported.
//!
//! Invariants: a file under its digest is whole and durable, because it is renamed there after it was
//! written, hashed and synced; a file may be without a row (the next start removes it) but a row that an
//! image shows is never without a file; whoever puts or removes a file holds the digest's lock until
//! the transaction that goes with it is done. One process works on a directory.

use crate::incoming::Incoming;
use crate::table::stage::Staged;
use base::{Fault, Result};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Locks for all digests together; those that share one wait for each other now and then.
const LOCKS: usize = 64;

pub struct Contents {
    dir: PathBuf,
    locks: Vec<Arc<Mutex<()>>>,
}

impl Contents {
    /// Makes the directories if need be.
    pub fn open(dir: &Path) -> Result<Self> {
        let contents = Contents { dir: dir.to_owned(), locks: (0..LOCKS).map(|_| Arc::default()).collect() };
        fs::create_dir_all(contents.incoming())?;
        fs::create_dir_all(contents.dir.join("staged"))?;
        Ok(contents)
    }
    pub fn incoming(&self) -> PathBuf {
        self.dir.join("incoming")
    }
    pub fn path(&self, sha512: &str) -> PathBuf {
        self.dir.join(sha512)
    }
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
    /// Puts a staged file at its place, durably, and leaves it staged too.
    pub fn link(&self, name: &str, sha512: &str) -> Result<()> {
        let link = self.incoming().join(format!("{name}.link"));
        remove_if_there(&link)?;
        fs::hard_link(self.staged(name), &link)?;
        fs::rename(&link, self.path(sha512))?;
        self.sync()
    }
    /// Removes a staged file. One that is gone already is fine.
    pub fn unstage(&self, name: &str) -> Result<()> {
        remove_if_there(&self.staged(name))
    }
    /// Removes staged files but `known`; answers how many those were.
    pub fn unstage_all_but(&self, known: &BTreeSet<String>) -> Result<usize> {
        let mut n = 0;
        for entry in fs::read_dir(self.dir.join("staged"))? {
            let entry = entry?;
            if !known.contains(entry.file_name().to_string_lossy().as_ref()) {
                remove_if_there(&entry.path())?;
                n += 1;
            }
        }
        Ok(n)
    }
    fn sync(&self) -> Result<()> {
        Ok(File::open(&self.dir)?.sync_all()?)
    }
    /// Removes what an earlier process left on its way; answers how much that was.
    pub fn clear_incoming(&self) -> Result<usize> {
        let mut n = 0;
        for entry in fs::read_dir(self.incoming())? {
            remove_if_there(&entry?.path())?;
            n += 1;
        }
        Ok(n)
    }
    /// The digests that there are files of.
    pub fn all(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if is_digest(&name) {
                all.push(name);
            }
        }
        Ok(all)
    }
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
