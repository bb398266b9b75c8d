//! What stays on the disk and what goes.

use super::{Cache, is_hash};
use crate::board::lock;
use base::{Fault, Kind, Result};
use sha2::{Digest, Sha512};
use std::collections::HashSet;
use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that images leave free on the disk: leases are to be kept whatever images want.
const RESERVE: u64 = 256 << 20;

impl Cache {
    /// Files of live systems that are not booted any more go at once.
    pub(super) fn drop_files(&self) {
        let wanted = lock(&self.state).files.clone();
        if wanted.is_empty() {
            return;
        }
        for (path, _) in listed(&self.dir.join("files")) {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if is_hash(name, 128) && !wanted.iter().any(|w| w == name) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Files of live systems that are not what their names say go, and are fetched again.
    pub(super) fn check_files(&self) {
        for (path, _) in listed(&self.dir.join("files")) {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            match hash_of(&path) {
                Ok(found) if found == name => {}
                Ok(_) => {
                    tracing::error!(
                        file = name,
                        "a file of the live system went bad on the disk, it is fetched again"
                    );
                    let _ = std::fs::remove_file(path);
                }
                Err(e) => tracing::warn!(file = name, "a file of the live system cannot be read: {e}"),
            }
        }
    }

    /// What was fetched half goes when it is not wanted any more, and what a conversion left that was killed.
    pub(super) fn drop_parts(&self) {
        let wanted: HashSet<String> = {
            let state = lock(&self.state);
            let all = state.wanted.iter().map(|i| &i.sha512).chain(&state.files);
            all.map(|sha512| format!("{sha512}.part")).collect()
        };
        for (path, _) in listed(&self.dir.join("tmp")) {
            if !path.file_name().and_then(|n| n.to_str()).is_some_and(|n| wanted.contains(n)) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Lets images go that the document does not ask for, those first that were asked for longest ago, until
    /// the rest is within the limit; and what no manifest names.
    pub(super) fn make_room(&self) {
        while self.sweep().0 > self.limit && self.let_oldest_go() {}
    }

    /// Lets images go that the document does not ask for until the disk has so many bytes free beside the reserve.
    /// Not while an image is cut: no manifest names its chunks yet.
    ///
    /// # Errors
    /// `TooLarge` when nothing more can go.
    pub(super) fn make_room_for(&self, bytes: u64) -> Result<()> {
        while let Err(full) = self.fits(bytes) {
            if self.sweep().1 == 0 && !self.let_oldest_go() {
                return Err(full);
            }
        }
        Ok(())
    }

    /// Whether the disk has so many bytes free beside the reserve.
    ///
    /// # Errors
    /// `TooLarge` when it has not.
    pub(super) fn fits(&self, bytes: u64) -> Result<()> {
        let free = self.free()?;
        if free >= bytes.saturating_add(RESERVE) {
            return Ok(());
        }
        let message = format!(
            "The disk that holds {} is too full: {} MiB are free and {} MiB more are wanted, beside the {} MiB that \
             are kept for leases.",
            self.dir.display(),
            free >> 20,
            bytes >> 20,
            RESERVE >> 20
        );
        Err(Fault::new(Kind::TooLarge, message))
    }

    /// Bytes that are free on the disk.
    pub(super) fn free(&self) -> Result<u64> {
        let disk = rustix::fs::statvfs(&self.dir).map_err(std::io::Error::from)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Removes chunks that no manifest names; how many bytes of chunks stay, and how many went.
    fn sweep(&self) -> (u64, u64) {
        let named = self.named();
        let (mut stay, mut gone) = (0, 0);
        for (path, meta) in self.chunks() {
            if path.file_stem().and_then(|n| n.to_str()).is_some_and(|n| named.contains(n)) {
                stay += meta.len();
            } else if std::fs::remove_file(path).is_ok() {
                gone += meta.len();
            }
        }
        (stay, gone)
    }

    /// Lets an image go that the document does not ask for, if there is one.
    fn let_oldest_go(&self) -> bool {
        let Some(oldest) = self.oldest_unwanted() else { return false };
        tracing::info!(image = oldest, "makes room for others");
        lock(&self.state).manifests.remove(&oldest);
        let _ = std::fs::remove_file(self.manifest_path(&oldest));
        true
    }

    fn oldest_unwanted(&self) -> Option<String> {
        let state = lock(&self.state);
        let unwanted = state.manifests.keys().filter(|h| !state.wanted.iter().any(|w| w.sha512 == **h));
        unwanted.min_by_key(|h| state.used.get(*h).copied().unwrap_or_default()).cloned()
    }

    fn named(&self) -> HashSet<String> {
        lock(&self.state).manifests.values().flat_map(|m| m.chunks.iter().cloned()).collect()
    }

    fn chunks(&self) -> Vec<(PathBuf, Metadata)> {
        listed(&self.dir.join("chunks")).into_iter().flat_map(|(dir, _)| listed(&dir)).collect()
    }
}

fn hash_of(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash) = (std::fs::File::open(path)?, Sha512::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn listed(dir: &Path) -> Vec<(PathBuf, Metadata)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| Some((e.path(), e.metadata().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::doc::rack::{Manifest, RackImage};

    fn image(sha512: &str) -> RackImage {
        RackImage { sha512: sha512.into(), format: "raw".into(), size: 1 }
    }

    #[test]
    fn what_nobody_asks_for_makes_room_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), u64::MAX).unwrap();
        let (wanted, other) = ("aa".repeat(64), "bb".repeat(64));
        for sha512 in [&wanted, &other] {
            let chunk = sha512[..64].to_owned();
            std::fs::create_dir_all(cache.chunk_path(&chunk).parent().unwrap()).unwrap();
            std::fs::write(cache.chunk_path(&chunk), b"chunk").unwrap();
            let manifest = Manifest { size: 1, chunk_bytes: 1, chunks: vec![chunk], peers: vec![] };
            std::fs::write(cache.manifest_path(sha512), serde_json::to_vec(&manifest).unwrap()).unwrap();
        }
        let cache = Cache::open(dir.path(), u64::MAX).unwrap();
        cache.want(&[image(&wanted)], None);
        let full = cache.make_room_for(u64::MAX).unwrap_err();
        assert_eq!(full.kind, Kind::TooLarge);
        assert!(full.message.contains(dir.path().to_str().unwrap()), "{full}");
        let here = |sha512: &str| {
            [cache.manifest_path(sha512), cache.chunk_path(&sha512[..64])].map(|path| path.exists())
        };
        assert_eq!((here(&wanted), here(&other)), ([true, true], [false, false]));
    }

    #[test]
    fn only_wanted_halves_stay() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 0).unwrap();
        let (wanted, other) = ("aa".repeat(64), "bb".repeat(64));
        let all = [format!("{wanted}.part"), format!("{wanted}.raw"), format!("{other}.part")];
        all.iter().for_each(|name| std::fs::write(dir.path().join("tmp").join(name), b"x").unwrap());
        cache.want(&[image(&wanted)], None);
        cache.drop_parts();
        assert_eq!(all.map(|name| dir.path().join("tmp").join(name).exists()), [true, false, false]);
    }
}
