//! The image cache: `images/<sha512>`, each the base of any number of overlays.
//!
//! Content is addressed by its SHA-512 and verified as it streams in, so a file that bears its name
//! is whole and true; it is on the disk before it gets that name, so that a power cut leaves no other.
//! When the region's store is on this machine its file is linked (same content address) or cloned, not
//! fetched. An entry that no guest uses goes after an hour, or at once when space is short. Two guests
//! that want the same image fetch it once.

use super::{Dir, disk, process};
use crate::link::Link;
use base::doc::ImageSource;
use base::{Fault, Result};
use sha2::{Digest, Sha512};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

/// How long an entry that nobody uses is kept for the next guest.
const KEEP: Duration = Duration::from_secs(3600);
/// Images fetched at the same time.
const FETCHES: usize = 2;

pub struct Images {
    data: PathBuf,
    dir: PathBuf,
    local: Option<PathBuf>,
    link: Link,
    fetches: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// One lock for each content that is being brought in.
    busy: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    /// Contents that the document names.
    wanted: HashSet<String>,
    /// Since when an entry has been without a user.
    unused: HashMap<String, Instant>,
}

/// Says how far it is, such as `fetching image 40 %`.
pub type Progress<'a> = &'a (dyn Fn(String) + Sync);

impl Images {
    /// Opens the cache under `data` and clears what was left half-made.
    pub fn open(data: &Path, local: Option<PathBuf>, link: Link) -> Result<Self> {
        let dir = data.join("images");
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(&dir)?.flatten() {
            if entry.file_name().to_string_lossy().ends_with(".part") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let fetches = Semaphore::new(FETCHES);
        Ok(Images { data: data.to_owned(), dir, local, link, fetches, state: Mutex::default() })
    }

    /// Brings the image into the cache when it is not there.
    ///
    /// # Errors
    /// `TooLarge` when the disk is full, `BadReference` when the content is not what it should be, else
    /// why the region could not be asked. Nothing half-made is left.
    pub async fn ensure(&self, image: &ImageSource, progress: Progress<'_>) -> Result<()> {
        let sha = &image.sha512;
        if sha.len() != 128 || !sha.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(Fault::bad_reference(format!("{sha:?} is not a SHA-512.")));
        }
        let lock = self.state().busy.entry(sha.clone()).or_default().clone();
        let _alone = lock.lock().await;
        let path = self.dir.join(sha);
        if path.metadata().is_ok_and(|m| m.len() == image.bytes) {
            return Ok(());
        }
        if self.take_local(image, &path).await? {
            return Ok(());
        }
        progress("waiting for other images".into());
        let _turn = self.fetches.acquire().await.map_err(Fault::internal)?;
        self.make_room(image.bytes)?;
        let part = Part(self.dir.join(format!("{sha}.part")));
        self.fetch(image, &part.0, progress).await?;
        self.name(&part.0, &path).await
    }

    /// Gives a file that is on the disk its name, for good.
    async fn name(&self, part: &Path, path: &Path) -> Result<()> {
        std::fs::rename(part, path)?;
        Ok(tokio::fs::File::open(&self.dir).await?.sync_all().await?)
    }

    /// Links or clones the region's own file. False when there is none of the right length.
    async fn take_local(&self, image: &ImageSource, path: &Path) -> Result<bool> {
        let Some(source) = self.local.as_ref().map(|l| l.join(&image.sha512)) else { return Ok(false) };
        if !source.metadata().is_ok_and(|m| m.is_file() && m.len() == image.bytes) {
            return Ok(false);
        }
        let _ = std::fs::remove_file(path);
        if std::fs::hard_link(&source, path).is_ok() {
            return Ok(true);
        }
        self.make_room(image.bytes)?;
        let part = Part(self.dir.join(format!("{}.part", image.sha512)));
        let (from, to) = (source, part.0.clone());
        tokio::task::spawn_blocking(move || copy(&from, &to)).await.map_err(Fault::internal)??;
        self.name(&part.0, path).await?;
        Ok(true)
    }

    async fn fetch(&self, image: &ImageSource, to: &Path, progress: Progress<'_>) -> Result<()> {
        progress("fetching image 0 %".into());
        let mut body = self.link.image(&image.sha512).await?;
        let mut file = tokio::io::BufWriter::with_capacity(1 << 20, tokio::fs::File::create(to).await?);
        let (mut digest, mut got, mut said) = (Sha512::new(), 0u64, 0);
        while let Some(piece) = body.next().await? {
            got += piece.len() as u64;
            if got > image.bytes {
                break;
            }
            digest.update(&piece);
            file.write_all(&piece).await?;
            let percent = got * 100 / image.bytes.max(1);
            if percent >= said + 5 {
                said = percent;
                progress(format!("fetching image {percent} %"));
            }
        }
        file.flush().await?;
        if got != image.bytes {
            return Err(Fault::bad_reference(format!(
                "The region sent {} {} bytes of the image instead of {}.",
                if got > image.bytes { "more than" } else { "only" },
                got.min(image.bytes),
                image.bytes
            )));
        }
        let found = hex::encode(digest.finalize());
        if found != image.sha512 {
            return Err(Fault::bad_reference(format!(
                "The image's content does not match its SHA-512: {}… was promised, {}… came. Upload it again.",
                &image.sha512[..16],
                &found[..16]
            )));
        }
        Ok(file.get_ref().sync_all().await?)
    }

    /// Fails with how much is missing, after unused entries were given up for it.
    fn make_room(&self, bytes: u64) -> Result<()> {
        if disk::need(&self.dir, bytes).is_err() {
            self.prune(Duration::ZERO);
        }
        disk::need(&self.dir, bytes)
    }

    /// Takes note of what the document names and removes what has been without a user for an hour.
    pub fn tidy(&self, wanted: HashSet<String>) {
        self.state().wanted = wanted;
        self.prune(KEEP);
    }

    fn prune(&self, keep: Duration) {
        let mut used: HashSet<String> = process::on_disk(&self.data)
            .into_iter()
            .filter_map(|id| Dir::of(&self.data, id).load().ok()?)
            .flat_map(|record| [record.image, record.rescue])
            .flatten()
            .collect();
        let mut state = self.state();
        used.extend(state.wanted.iter().cloned());
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        for name in entries.flatten().filter_map(|e| e.file_name().into_string().ok()) {
            if used.contains(&name) || name.ends_with(".part") {
                state.unused.remove(&name);
            } else if state.unused.entry(name.clone()).or_insert_with(Instant::now).elapsed() >= keep {
                let _ = std::fs::remove_file(self.dir.join(&name));
                state.unused.remove(&name);
                state.busy.remove(&name);
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clones where the file system can share blocks, else copies.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let (source, target) = (std::fs::File::open(from)?, std::fs::File::create(to)?);
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        std::fs::copy(from, to)?;
    }
    Ok(target.sync_all()?)
}

/// A file in the making: removed when it was not renamed away.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Record;

    #[test]
    fn entries_go_when_nobody_uses_them() {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join("images");
        std::fs::create_dir(&dir).unwrap();
        let names = ["wanted", "below-a-disk", "unused", "half.part"];
        for name in names {
            std::fs::write(dir.join(name), "x").unwrap();
        }
        let guest = Dir::of(data.path(), base::ServerId::new());
        guest.make().unwrap();
        guest.save(&Record { image: Some("below-a-disk".into()), ..Record::new(1) }).unwrap();

        let link = Link::new("http://127.0.0.1:1", "t").unwrap();
        let images = Images::open(data.path(), None, link).unwrap();
        assert!(!dir.join("half.part").exists(), "left half-made");
        images.tidy(HashSet::from(["wanted".to_owned()]));
        assert!(dir.join("unused").exists(), "it has not been unused for long");
        images.prune(Duration::ZERO);
        assert!(dir.join("wanted").exists() && dir.join("below-a-disk").exists());
        assert!(!dir.join("unused").exists());
    }
}
