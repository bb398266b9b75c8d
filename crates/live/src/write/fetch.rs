//! The chunks of an image, from the rack and from neighbours to the disk: several in flight, each checked before it is
//! written, zeros never moved.
//!
//! Invariants: memory holds the chunks in flight and no more; a chunk that does not have its hash is never written;
//! the rack's absence is waited out; when this returns no write is under way any more.

use super::buffers::{Buffer, Buffers};
use super::sources::{Blame, Sources};
use super::table;
use crate::desk::Desk;
use crate::disks::{Disk, STRIDE};
use crate::net;
use crate::peers::Holdings;
use crate::talk::Talk;
use base::doc::rack::Manifest;
use base::{Fault, Kind, Result};
use futures_util::StreamExt;
use futures_util::stream;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Chunks in flight, if memory allows.
const AT_ONCE: u64 = 8;
/// What a chunk in flight may take of the free memory, all together: a quarter.
const MEMORY_SHARE: u64 = 4;
/// A neighbour that needs longer for a chunk is slower than the rack would be.
const NEIGHBOUR_WAIT: Duration = Duration::from_secs(10);
const RACK_WAIT: Duration = Duration::from_secs(60);
/// The rack may send a chunk damaged so often, and not have it so often.
const DAMAGED_MAX: u32 = 5;
const MISSING_MAX: u32 = 30;
/// Between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Neighbours are asked for again so often; a manifest of a huge disk is not fetched again.
const LEARN: Duration = Duration::from_secs(3);
const LEARN_MAX_CHUNKS: usize = 50_000;
/// Written bytes are brought to the medium in pieces of this size, so that errors show early and memory stays free.
const SYNC_EVERY: u64 = 256 << 20;

struct Pump<'a> {
    disk: &'a Arc<Disk>,
    image: &'a str,
    manifest: &'a Manifest,
    talk: &'a Talk,
    sources: Sources,
    holdings: &'a Holdings,
    desk: &'a Desk,
    buffers: Arc<Buffers>,
    /// Held by every write under way.
    busy: Arc<()>,
}

/// One thing to do: a chunk by its number, or zeros.
enum Piece {
    Chunk(usize),
    Zeros { at: u64, length: u64 },
}

/// Writes all of the image. `wishes` is what the partition table will be asked for: the last partition grown, and a
/// place for a config drive of so many bytes.
pub async fn image(
    disk: &Arc<Disk>,
    image: &str,
    manifest: &Manifest,
    wishes: (bool, u64),
    talk: &Talk,
    holdings: &Holdings,
    desk: &Desk,
) -> Result<()> {
    let own =
        net::towards(talk.base()).map(|a| format!("http://{a}:{}", talk.peer_port())).unwrap_or_default();
    let sources = Sources::new(talk.base(), &own);
    sources.learn(&manifest.peers);
    let busy = Arc::new(());
    let buffers = Arc::default();
    let pump = Pump { disk, image, manifest, talk, sources, holdings, desk, buffers, busy: busy.clone() };
    let outcome = tokio::select! {
        outcome = pump.all(wishes) => outcome,
        never = pump.learn() => never,
        () = desk.until_stopped() => Err(Desk::replaced()),
    };
    // Whatever was begun is finished before anything else touches the disk: ours and the pump's are the last two.
    while Arc::strong_count(&busy) > 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    outcome
}

impl Pump<'_> {
    async fn all(&self, wishes: (bool, u64)) -> Result<()> {
        self.desk.expect(self.manifest.size);
        let first = self.first(wishes).await?;
        self.blocking(|disk| {
            // No old table, and none of the new one before the rest is there.
            disk.zero(0, disk.size.min(table::ALIGN))?;
            let end = disk.size / disk.sector * disk.sector;
            disk.zero(end - end.min(table::ALIGN), end.min(table::ALIGN))
        })
        .await?;
        self.holdings.begin(self.image, self.disk);
        let mut flow = stream::iter(self.pieces()).map(|p| self.piece(p)).buffer_unordered(self.at_once());
        let mut dirty = 0;
        let mut sync = None;
        while let Some(moved) = flow.next().await {
            dirty += moved?;
            if dirty >= SYNC_EVERY {
                self.joined(&mut sync).await?;
                dirty = 0;
                let (disk, busy) = (self.disk.clone(), self.busy.clone());
                sync = Some(tokio::task::spawn_blocking(move || {
                    let _busy = busy;
                    disk.sync()
                }));
            }
        }
        self.joined(&mut sync).await?;
        self.blocking(Disk::sync).await?;
        let length = first.len() as u64;
        self.blocking(move |disk| {
            disk.write(0, &first)?;
            disk.sync()
        })
        .await?;
        if let Some(hash) = self.manifest.chunks.first().filter(|h| !h.is_empty()) {
            self.holdings.add(hash, 0, self.length(0));
        }
        self.desk.moved(length);
        Ok(())
    }

    async fn joined(&self, sync: &mut Option<tokio::task::JoinHandle<Result<()>>>) -> Result<()> {
        match sync.take() {
            Some(handle) => handle.await.map_err(Fault::internal)?,
            None => Ok(()),
        }
    }

    /// The first chunk, looked at: what cannot be made to fit is said before anything is written.
    async fn first(&self, (grow, config): (bool, u64)) -> Result<Vec<u8>> {
        let bytes = match self.manifest.chunks.first() {
            Some(hash) if !hash.is_empty() => self.fetch(0, hash).await?.to_vec(),
            _ => vec![0; self.length(0)],
        };
        let table = table::read(&bytes, self.disk.sector)?;
        table.fit(self.disk.size / self.disk.sector, self.disk.sector, grow, config)?;
        Ok(bytes)
    }

    fn at_once(&self) -> usize {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
        let free: u64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0) << 10;
        // Compressed and not, both at once for a moment.
        let each = u64::from(self.manifest.chunk_bytes) * 2;
        usize::try_from((free / MEMORY_SHARE / each).clamp(2, AT_ONCE)).unwrap_or(2)
    }

    fn length(&self, n: usize) -> usize {
        let chunk = u64::from(self.manifest.chunk_bytes);
        usize::try_from((self.manifest.size - n as u64 * chunk).min(chunk)).unwrap_or(0)
    }

    /// All but the first chunk. Each machine begins somewhere else, so that neighbours soon have what others lack.
    fn pieces(&self) -> Vec<Piece> {
        let chunk = u64::from(self.manifest.chunk_bytes);
        let mut all: Vec<Piece> = Vec::new();
        for (n, hash) in self.manifest.chunks.iter().enumerate().skip(1) {
            let (at, more) = (n as u64 * chunk, self.length(n) as u64);
            match all.last_mut() {
                Some(Piece::Zeros { length, .. }) if hash.is_empty() && *length < STRIDE => *length += more,
                _ if hash.is_empty() => all.push(Piece::Zeros { at, length: more }),
                _ => all.push(Piece::Chunk(n)),
            }
        }
        if !all.is_empty() {
            let from = rand::random_range(0..all.len());
            all.rotate_left(from);
        }
        all
    }

    /// Answers how many bytes it moved.
    async fn piece(&self, piece: Piece) -> Result<u64> {
        let moved = match piece {
            Piece::Zeros { at, length } => {
                self.blocking(move |disk| disk.zero(at, length)).await?;
                length
            }
            Piece::Chunk(n) => {
                let hash = self.manifest.chunks.get(n).map(String::as_str).unwrap_or_default();
                let at = n as u64 * u64::from(self.manifest.chunk_bytes);
                let bytes = self.fetch(n, hash).await?;
                let length = bytes.len();
                self.blocking(move |disk| {
                    disk.write(at, &bytes)?;
                    disk.begin(at, bytes.len() as u64);
                    Ok(())
                })
                .await?;
                self.holdings.add(hash, at, length);
                length as u64
            }
        };
        self.desk.moved(moved);
        Ok(moved)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Disk) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (disk, busy) = (self.disk.clone(), self.busy.clone());
        let run = move || {
            let _busy = busy;
            f(&disk)
        };
        tokio::task::spawn_blocking(run).await.map_err(Fault::internal)?
    }

    /// A chunk with the right hash, from wherever.
    async fn fetch(&self, n: usize, hash: &str) -> Result<Buffer> {
        let (mut damaged, mut missing, mut pause) = (0, 0, Duration::from_millis(200));
        loop {
            if let Some(peer) = self.sources.neighbour() {
                match self.ask(&peer, n, (hash, false), NEIGHBOUR_WAIT).await {
                    Ok(bytes) => return Ok(bytes),
                    Err((blame, _)) => self.sources.blame(&peer, blame),
                }
            }
            let rack = self.sources.rack().to_owned();
            match self.ask(&rack, n, (hash, damaged > 0), RACK_WAIT).await {
                Ok(bytes) => return Ok(bytes),
                Err((Blame::Damaged, why)) => {
                    damaged += 1;
                    self.desk
                        .say(format!("Piece {n} of the image arrived damaged ({why}); fetching it again."));
                    if damaged >= DAMAGED_MAX {
                        return Err(Fault::unavailable(format!(
                            "Piece {n} of the image arrived damaged from {rack} {damaged} times ({why}). Its copy in \
                             the rack's cache is broken, or a cable or memory on the way is: remove the image from the \
                             rack's cache and try again."
                        )));
                    }
                    // What damages pieces may pass; asking at once would find it there still.
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err((Blame::Empty, why)) => {
                    missing += 1;
                    if missing >= MISSING_MAX {
                        return Err(Fault::unavailable(format!(
                            "The rack no longer has piece {n} of the image: {why}."
                        )));
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err((Blame::Away, why)) => {
                    self.desk.say(format!("Waiting for the rack: {why}."));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn ask(
        &self,
        source: &str,
        n: usize,
        (hash, damaged): (&str, bool),
        wait: Duration,
    ) -> Result<Buffer, (Blame, String)> {
        let length = self.length(n);
        // What cannot be made smaller becomes a little larger by compression.
        let limit = length + length / 64 + 4096;
        let mut packed = self.buffers.take(limit);
        let arrived = self.talk.chunk(source, self.image, (hash, damaged), (limit, wait), &mut packed).await;
        arrived.map_err(|fault| {
            let there = matches!(fault.kind, Kind::NotFound | Kind::Quota);
            let blame = if there { Blame::Empty } else { Blame::Away };
            (blame, fault.message)
        })?;
        let (hash, mut bytes) = (hash.to_owned(), self.buffers.take(limit));
        let check = move || {
            let mut unpacker = zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?;
            unpacker.decompress_to_buffer(&packed, &mut *bytes).map_err(|e| e.to_string())?;
            if bytes.len() != length {
                return Err(format!("{} bytes in the place of {length}", bytes.len()));
            }
            let found = hex::encode(Sha256::digest(&*bytes));
            if found == hash {
                Ok(bytes)
            } else {
                Err(format!("SHA-256 {found:.12}… in the place of {hash:.12}…"))
            }
        };
        let checked = tokio::task::spawn_blocking(check).await.map_err(|e| (Blame::Away, e.to_string()))?;
        checked.map_err(|why| (Blame::Damaged, why))
    }

    /// Who else writes this image, again and again.
    async fn learn(&self) -> Result<()> {
        loop {
            tokio::time::sleep(LEARN).await;
            if self.manifest.chunks.len() <= LEARN_MAX_CHUNKS
                && let Ok(manifest) = self.talk.manifest(self.image).await
            {
                self.sources.learn(&manifest.peers);
            }
        }
    }
}
