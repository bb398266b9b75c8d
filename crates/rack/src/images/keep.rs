//! What stays on the disk and what goes.

use super::{Cache, is_hash};
use crate::board::lock;
use sha2::{Digest, Sha512};
use std::collections::HashSet;
use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};

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

    /// Lets images go that the document does not ask for, those first that were asked for longest ago, until
    /// the rest is within the limit; and what no manifest names.
    pub(super) fn make_room(&self) {
        let mut chunks = self.chunks();
        let mut bytes: u64 = chunks.iter().map(|(_, m)| m.len()).sum();
        loop {
            let named = self.named();
            let (stay, go): (Vec<_>, Vec<_>) = chunks.into_iter().partition(|(path, _)| {
                path.file_stem().and_then(|n| n.to_str()).is_some_and(|n| named.contains(n))
            });
            for (path, meta) in go {
                bytes -= meta.len();
                let _ = std::fs::remove_file(path);
            }
            chunks = stay;
            if bytes <= self.limit {
                return;
            }
            let Some(oldest) = self.oldest_unwanted() else { return };
            tracing::info!(image = oldest, "makes room for others");
            lock(&self.state).manifests.remove(&oldest);
            let _ = std::fs::remove_file(self.manifest_path(&oldest));
        }
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
