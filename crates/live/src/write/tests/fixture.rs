//! A rack's images over HTTP, disks that are files, and images that have a table.

use crate::disks::Disk;
use crate::write::gpt::crc32;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use base::doc::rack::Manifest;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Shelf {
    manifest: Option<Manifest>,
    chunks: HashMap<String, Bytes>,
    asked: usize,
    damage: u32,
    refuse: u32,
    rotten: HashSet<String>,
}

pub struct Rack {
    pub url: String,
    shelf: Arc<Mutex<Shelf>>,
}

impl Rack {
    pub async fn start(image: &[u8], chunk: usize) -> Rack {
        let mut shelf = Shelf::default();
        let mut hashes = Vec::new();
        for bytes in image.chunks(chunk) {
            if bytes.iter().all(|b| *b == 0) {
                hashes.push(String::new());
                continue;
            }
            let hash = hex::encode(Sha256::digest(bytes));
            shelf.chunks.insert(hash.clone(), zstd::bulk::compress(bytes, 1).unwrap().into());
            hashes.push(hash);
        }
        let (size, chunk_bytes) = (image.len() as u64, chunk as u32);
        shelf.manifest = Some(Manifest { size, chunk_bytes, chunks: hashes, peers: Vec::new() });
        let shelf = Arc::new(Mutex::new(shelf));
        let router = Router::new()
            .route("/images/{image}/manifest", get(manifest))
            .route("/images/{image}/chunks/{sha256}", get(chunk_of))
            .with_state(shelf.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Rack { url, shelf }
    }
    /// Chunks that were asked for.
    pub fn asked(&self) -> usize {
        self.shelf.lock().unwrap().asked
    }
    /// The next answers are damaged.
    pub fn damage(&self, times: u32) {
        self.shelf.lock().unwrap().damage = times;
    }
    pub fn damage_always(&self, chunk: &[u8]) {
        self.shelf.lock().unwrap().rotten.insert(hex::encode(Sha256::digest(chunk)));
    }
    /// The next questions are refused.
    pub fn refuse(&self, times: u32) {
        self.shelf.lock().unwrap().refuse = times;
    }
    pub fn peers(&self, peers: &[String]) {
        self.shelf.lock().unwrap().manifest.as_mut().unwrap().peers = peers.to_vec();
    }
}

async fn manifest(State(shelf): State<Arc<Mutex<Shelf>>>) -> String {
    serde_json::to_string(&shelf.lock().unwrap().manifest).unwrap()
}

async fn chunk_of(
    State(shelf): State<Arc<Mutex<Shelf>>>,
    Path((_, hash)): Path<(String, String)>,
) -> Result<Bytes, StatusCode> {
    let mut shelf = shelf.lock().unwrap();
    if shelf.refuse > 0 {
        shelf.refuse -= 1;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    shelf.asked += 1;
    let good = shelf.chunks.get(&hash).cloned().ok_or(StatusCode::NOT_FOUND)?;
    if shelf.damage > 0 || shelf.rotten.contains(&hash) {
        shelf.damage = shelf.damage.saturating_sub(1);
        let mut bytes = zstd::bulk::decompress(&good, 64 << 20).unwrap();
        bytes[17] ^= 1;
        return Ok(zstd::bulk::compress(&bytes, 1).unwrap().into());
    }
    Ok(good)
}

/// A disk of so many bytes, all of them `fill`.
pub fn disk(dir: &std::path::Path, size: u64, fill: u8) -> Arc<Disk> {
    let path = dir.join("disk");
    std::fs::write(&path, vec![fill; size as usize]).unwrap();
    Arc::new(Disk::open_path(&path).unwrap())
}

/// Bytes that differ everywhere and do not compress to nothing.
pub fn pattern(size: u64) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut all = Vec::with_capacity(size as usize);
    while all.len() < size as usize {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend(state.to_le_bytes());
    }
    all.truncate(size as usize);
    all
}

/// An image with a GPT, as sgdisk makes it: partition 14 of 1 MiB, then partition 1 to the end.
pub fn gpt_image(size: u64) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let mut content = pattern(size);
    content[..1 << 20].fill(0);
    std::fs::write(&path, content).unwrap();
    let words = ["-n", "14:2048:+1M", "-t", "14:EF00", "-n", "1:0:0", "-t", "1:8304"];
    let made = std::process::Command::new("sgdisk").args(words).arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read(&path).unwrap()
}

pub fn sgdisk_agrees(path: &std::path::Path) {
    let output = std::process::Command::new("sgdisk").arg("-v").arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("No problems found"), "{said}");
}

/// Right checksums over whatever is there.
pub fn reseal(head: &mut [u8]) {
    let count = u32::from_le_bytes(head[592..596].try_into().unwrap()) as usize;
    let size = u32::from_le_bytes(head[596..600].try_into().unwrap()) as usize;
    let start = u64::from_le_bytes(head[584..592].try_into().unwrap()) as usize;
    let range =
        start.checked_mul(512).zip(count.checked_mul(size)).and_then(|(s, l)| Some(s..s.checked_add(l)?));
    if let Some(list) = range.and_then(|r| head.get(r)) {
        let sum = crc32(list).to_le_bytes();
        head[600..604].copy_from_slice(&sum);
    }
    head[528..532].fill(0);
    let sum = crc32(&head[512..604]).to_le_bytes();
    head[528..532].copy_from_slice(&sum);
}
