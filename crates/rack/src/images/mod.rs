//! Image content near the machines: fetched once from the region, by its hash, and served to all.
//!
//! ```text
//! region ──▶ tmp/{sha512}.part ──(hash)──▶ files/{sha512}                         files of the live system
//!                                    └───▶ raw ──▶ chunks/…/{sha256}.zst + images/{sha512}.json
//! ```
//! A manifest is written when all its chunks are there; so a cut-short run leaves only what is fetched or cut
//! again. A chunk that went bad on the disk is found when it is first asked for, or when somebody who got it says
//! so, and the image is fetched again. Images that the document does not ask for any more stay as long as there is
//! room. The disk is never filled: leases are kept on it too.

mod cut;
mod fetch;
mod keep;

use crate::board::lock;
use crate::link::Link;
use base::doc::rack::{LiveSystem, Manifest, RackImage, RackImageStatus};
use base::{Fault, Micros, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A live system that has not asked for so long serves nothing any more.
const PEER: Duration = Duration::from_secs(600);
/// Peers told to one machine.
const PEERS_MAX: usize = 8;
/// Between two tries to get what cannot be had.
const AGAIN: Duration = Duration::from_secs(5);

/// The rack's image content.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    /// Bytes that chunks may take, beyond what the document asks for.
    limit: u64,
    state: Mutex<State>,
    /// There is something new to do.
    work: Notify,
    /// Changes with the statuses.
    pub changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    wanted: Vec<RackImage>,
    files: Vec<String>,
    manifests: HashMap<String, Arc<Manifest>>,
    used: HashMap<String, Micros>,
    progress: BTreeMap<String, Progress>,
    peers: HashMap<String, HashMap<SocketAddr, Micros>>,
    /// Chunks that were read and found right.
    sound: HashSet<String>,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    done: u64,
    total: u64,
    reason: String,
    /// So many free bytes of the disk were too few for it.
    short: u64,
}

fn is_hash(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn nothing() -> Fault {
    Fault::not_found("The rack does not hold this.")
}

impl Cache {
    /// What is on the disk already. `limit` in bytes.
    pub fn open(dir: &Path, limit: u64) -> Result<Cache> {
        for part in ["files", "images", "chunks", "tmp"] {
            std::fs::create_dir_all(dir.join(part))?;
        }
        let mut state = State::default();
        for entry in std::fs::read_dir(dir.join("images"))? {
            let path = entry?.path();
            let Some(hash) = path.file_stem().and_then(|s| s.to_str()).filter(|s| is_hash(s, 128)) else {
                continue;
            };
            match std::fs::read(&path).map_err(Fault::from).and_then(|b| Ok(serde_json::from_slice(&b)?)) {
                Ok(manifest) => drop(state.manifests.insert(hash.to_owned(), Arc::new(manifest))),
                Err(fault) => {
                    tracing::warn!(image = hash, "its manifest cannot be read, it is made again: {fault}");
                }
            }
        }
        let changed = watch::Sender::new(0);
        Ok(Cache { dir: dir.to_owned(), limit, state: Mutex::new(state), work: Notify::new(), changed })
    }

    /// What should be there.
    pub fn want(&self, images: &[RackImage], live: Option<&LiveSystem>) {
        let files = live.into_iter().flat_map(|l| [&l.kernel, &l.initrd, &l.efi]);
        {
            let mut state = lock(&self.state);
            state.wanted = images.iter().filter(|i| is_hash(&i.sha512, 128)).cloned().collect();
            state.files = files.filter(|f| is_hash(f, 128)).cloned().collect();
        }
        self.work.notify_one();
    }

    /// Fetches what is missing, for ever.
    pub async fn run(self: Arc<Self>, link: Link) {
        let cache = self.clone();
        // What was spoiled while nobody looked would else be booted for ever.
        let _ = tokio::task::spawn_blocking(move || cache.check_files()).await;
        // Until a document has come, nobody knows what is not wanted.
        self.work.notified().await;
        loop {
            self.drop_files();
            self.drop_parts();
            let done = match self.missing() {
                Some(Missing::File(sha512)) => self.bring_file(&link, &sha512).await,
                Some(Missing::Image(image)) => self.bring_image(&link, &image).await,
                None => {
                    self.make_room();
                    self.work.notified().await;
                    continue;
                }
            };
            if done.is_err() {
                let _ = tokio::time::timeout(AGAIN, self.work.notified()).await;
            }
        }
    }

    fn missing(&self) -> Option<Missing> {
        let state = lock(&self.state);
        let file = state.files.iter().find(|f| !self.file_path(f).exists());
        if let Some(file) = file {
            return Some(Missing::File(file.clone()));
        }
        // One that went wrong lets the others go first.
        let of = |i: &&RackImage| !state.progress.get(&i.sha512).is_none_or(|p| p.reason.is_empty());
        let mut images: Vec<_> =
            state.wanted.iter().filter(|i| !state.manifests.contains_key(&i.sha512)).collect();
        images.sort_by_key(of);
        images.first().map(|i| Missing::Image((*i).clone()))
    }

    fn file_path(&self, sha512: &str) -> PathBuf {
        self.dir.join("files").join(sha512)
    }
    fn chunk_path(&self, sha256: &str) -> PathBuf {
        self.dir.join("chunks").join(&sha256[..2]).join(format!("{sha256}.zst"))
    }
    fn manifest_path(&self, sha512: &str) -> PathBuf {
        self.dir.join("images").join(format!("{sha512}.json"))
    }

    /// Whether these files of the live system are here.
    pub fn has_files<'a>(&self, files: impl IntoIterator<Item = &'a String>) -> bool {
        files.into_iter().all(|f| is_hash(f, 128) && self.file_path(f).exists())
    }

    /// A file of the live system.
    ///
    /// # Errors
    /// `NotFound` while it is not here.
    pub fn file(&self, sha512: &str) -> Result<Arc<File>> {
        if !is_hash(sha512, 128) {
            return Err(nothing());
        }
        File::open(self.file_path(sha512)).map(Arc::new).map_err(|_| nothing())
    }

    /// The same for anybody who asks: only what the document names.
    pub fn live_file(&self, sha512: &str) -> Result<Arc<File>> {
        if !lock(&self.state).files.iter().any(|f| f == sha512) {
            return Err(nothing());
        }
        self.file(sha512)
    }

    /// A live system holds an image, or a part of it.
    pub fn peer(&self, sha512: &str, at: SocketAddr) {
        let mut state = lock(&self.state);
        if at.port() != 0 && state.wanted.iter().any(|i| i.sha512 == sha512) {
            state.peers.entry(sha512.to_owned()).or_default().insert(at, Micros::now());
        }
    }

    /// An image's manifest, with a few peers other than who asks.
    ///
    /// # Errors
    /// `Unavailable` while it is being fetched, with the reason when that fails.
    pub fn manifest(&self, sha512: &str, asker: IpAddr) -> Result<Manifest> {
        let mut state = lock(&self.state);
        let now = Micros::now();
        let Some(found) = state.manifests.get(sha512).cloned() else {
            if !state.wanted.iter().any(|i| i.sha512 == sha512) {
                return Err(nothing());
            }
            let reason = state.progress.get(sha512).map(|p| p.reason.clone()).unwrap_or_default();
            return Err(Fault::unavailable(format!("The rack is still fetching this image. {reason}")));
        };
        state.used.insert(sha512.to_owned(), now);
        let mut manifest = Manifest::clone(&found);
        if let Some(peers) = state.peers.get_mut(sha512) {
            peers.retain(|_, at| now.since(*at) < PEER);
            let mut others: Vec<_> = peers.iter().filter(|(p, _)| p.ip() != asker).collect();
            // Those who began last have the most time left; and not everybody is told the same ones.
            others.sort_by_key(|(_, at)| std::cmp::Reverse(**at));
            manifest.peers = others.iter().take(PEERS_MAX).map(|(p, _)| format!("http://{p}")).collect();
        }
        Ok(manifest)
    }

    /// A chunk, compressed, once it was found to be right.
    ///
    /// # Errors
    /// `NotFound` for one that is not of this image; `Unavailable` for one that went bad and is fetched again.
    pub async fn chunk(self: &Arc<Self>, sha512: &str, sha256: &str) -> Result<Arc<File>> {
        let sound = {
            let state = lock(&self.state);
            if !is_hash(sha256, 64) {
                return Err(nothing());
            }
            if !state.manifests.contains_key(sha512) {
                let wanted = state.wanted.iter().any(|i| i.sha512 == sha512);
                let later = Fault::unavailable("The rack is still fetching this image.");
                return Err(if wanted { later } else { nothing() });
            }
            state.sound.contains(sha256)
        };
        let path = self.chunk_path(sha256);
        if !sound {
            let (path, hash) = (path.clone(), sha256.to_owned());
            let checked = tokio::task::spawn_blocking(move || cut::check(&path, &hash)).await;
            match checked.map_err(Fault::internal)? {
                Ok(()) => drop(lock(&self.state).sound.insert(sha256.to_owned())),
                Err(cut::Bad::Unread(e)) => {
                    return Err(Fault::unavailable("This part of the image cannot be read now.").because(e));
                }
                Err(cut::Bad::Spoiled(why)) => {
                    if !self.holds(sha512, sha256) {
                        return Err(nothing());
                    }
                    self.spoiled(sha512, sha256, &why);
                    return Err(Fault::unavailable("This part of the image went bad and is fetched again."));
                }
            }
        }
        match File::open(path) {
            Ok(file) => Ok(Arc::new(file)),
            Err(e) => {
                lock(&self.state).sound.remove(sha256);
                Err(Fault::unavailable("This part of the image is away for a moment.").because(e))
            }
        }
    }

    /// Somebody got this chunk and found it wrong: it is looked at again before it is served once more.
    pub fn doubt(&self, sha256: &str) {
        lock(&self.state).sound.remove(sha256);
    }

    fn holds(&self, sha512: &str, sha256: &str) -> bool {
        let state = lock(&self.state);
        state.manifests.get(sha512).is_some_and(|m| m.chunks.iter().any(|c| c == sha256))
    }

    /// Takes an image back to be fetched again.
    fn spoiled(&self, sha512: &str, sha256: &str, why: &str) {
        tracing::error!(image = sha512, chunk = sha256, "went bad on the disk, it is fetched again: {why}");
        lock(&self.state).manifests.remove(sha512);
        for path in [self.manifest_path(sha512), self.chunk_path(sha256)] {
            let _ = std::fs::remove_file(path);
        }
        self.tell();
        self.work.notify_one();
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    fn progress<T>(&self, sha512: &str, f: impl FnOnce(&mut Progress) -> T) -> T {
        f(lock(&self.state).progress.entry(sha512.to_owned()).or_default())
    }

    /// How the images of the document stand.
    pub fn statuses(&self) -> Vec<RackImageStatus> {
        let state = lock(&self.state);
        let of = |image: &RackImage| {
            let manifest = state.manifests.get(&image.sha512);
            let progress = state.progress.get(&image.sha512).cloned().unwrap_or_default();
            RackImageStatus {
                sha512: image.sha512.clone(),
                ready: manifest.is_some(),
                done_bytes: if manifest.is_some() { image.size } else { progress.done },
                total_bytes: if manifest.is_some() { image.size } else { progress.total },
                virtual_size: manifest.map_or(0, |m| m.size),
                reason: if manifest.is_some() { String::new() } else { progress.reason },
            }
        };
        state.wanted.iter().map(of).collect()
    }
}

enum Missing {
    File(String),
    Image(RackImage),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_read_now_is_not_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let (sha512, sha256) = ("aa".repeat(64), "bb".repeat(32));
        let chunks = vec![sha256.clone()];
        let manifest = Manifest { size: 1, chunk_bytes: 1, chunks, peers: vec![] };
        let cache = Arc::new(Cache::open(dir.path(), 0).unwrap());
        std::fs::write(cache.manifest_path(&sha512), serde_json::to_vec(&manifest).unwrap()).unwrap();
        let cache = Arc::new(Cache::open(cache.dir.as_path(), 0).unwrap());
        let kind = async || cache.chunk(&sha512, &sha256).await.unwrap_err().kind;
        // Root may read everything but a directory.
        std::fs::create_dir_all(cache.chunk_path(&sha256)).unwrap();
        assert_eq!(kind().await, base::Kind::Unavailable);
        assert!(
            cache.manifest_path(&sha512).exists() && cache.manifest(&sha512, [10, 0, 0, 1].into()).is_ok()
        );
        std::fs::remove_dir(cache.chunk_path(&sha256)).unwrap();
        assert_eq!(kind().await, base::Kind::Unavailable);
        assert!(!cache.manifest_path(&sha512).exists(), "what is not there is fetched again");
    }
}
