//! Writing an image to a disk: the live system's writer against `dd` of the same raw file from the same server. Both
//! write a file on this machine and end when it is on the medium.

use crate::report::Report;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Part, State};
use axum::http::StatusCode;
use axum::routing::get;
use base::doc::rack::Manifest;
use base::{Fault, Result};
use live::{Desk, Disk, Holdings, Talk};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Bytes of the image, and of a piece as a rack cuts them.
const SIZE: usize = 1 << 30;
const CHUNK: usize = 4 << 20;
const ROUNDS: usize = 3;

struct Shelf {
    raw: Bytes,
    manifest: String,
    chunks: HashMap<String, Bytes>,
}

pub async fn run(hanok: &str, report: &mut Report) -> Result<()> {
    // A system's image: a third is programs, the rest was never written. And the worst case: noise.
    let system = || -> Result<Vec<u8>> {
        let program = std::fs::read(hanok)?;
        let mut image = vec![0; SIZE];
        for piece in image.chunks_mut(CHUNK * 3) {
            let from = rand::rng().random_range(0..program.len().saturating_sub(CHUNK).max(1));
            let part = program.get(from..).unwrap_or_default();
            for (to, byte) in piece.iter_mut().take(CHUNK).zip(part) {
                *to = *byte;
            }
        }
        Ok(image)
    };
    let noise = || -> Vec<u8> {
        let mut image = vec![0; SIZE];
        rand::rng().fill(image.as_mut_slice());
        image
    };
    one("an operating system", system()?, report).await?;
    one("noise", noise(), report).await
}

async fn one(what: &str, image: Vec<u8>, report: &mut Report) -> Result<()> {
    let url = serve(image).await?;
    let dir = tempfile::tempdir()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(write(&url, &dir.path().join("ours")).await?);
        theirs.push(dd(&url, &dir.path().join("dd")).await?);
    }
    let rate = |times: &mut Vec<Duration>| {
        times.sort();
        let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
        SIZE as f64 / 1e6 / median.as_secs_f64().max(0.001)
    };
    let (ours, theirs) = (rate(&mut ours), rate(&mut theirs));
    report.figure(&format!("dd of a raw image, {what}"), theirs, "MB/s", None);
    report.figure(&format!("image write, {what}"), ours, "MB/s", Some((theirs, true)));
    Ok(())
}

/// One MiB more than the image has.
fn blank(path: &Path) -> Result<()> {
    std::fs::File::create(path)?.set_len(SIZE as u64 + (1 << 20))?;
    Ok(())
}

async fn write(url: &str, path: &Path) -> Result<Duration> {
    blank(path)?;
    let since = Instant::now();
    let disk = Arc::new(Disk::open_path(path)?);
    let talk = Talk::new(url, 0);
    let manifest = talk.manifest("image").await?;
    live::write::image(&disk, "image", &manifest, (false, 0), &talk, &Holdings::default(), &Desk::new(1))
        .await?;
    Ok(since.elapsed())
}

async fn dd(url: &str, path: &Path) -> Result<Duration> {
    blank(path)?;
    let since = Instant::now();
    let words = format!(
        "curl -sf {url}/raw | dd of={} bs=4M iflag=fullblock conv=fsync,notrunc status=none",
        path.display()
    );
    let status = Command::new("bash").args(["-o", "pipefail", "-c", &words]).status().await?;
    if status.success() { Ok(since.elapsed()) } else { Err(Fault::unavailable("curl or dd failed")) }
}

async fn serve(image: Vec<u8>) -> Result<String> {
    let mut chunks = HashMap::new();
    let mut hashes = Vec::new();
    for bytes in image.chunks(CHUNK) {
        if bytes.iter().all(|b| *b == 0) {
            hashes.push(String::new());
            continue;
        }
        let hash = hex::encode(Sha256::digest(bytes));
        chunks.insert(hash.clone(), zstd::bulk::compress(bytes, 1)?.into());
        hashes.push(hash);
    }
    let (size, chunk_bytes) = (image.len() as u64, u32::try_from(CHUNK).unwrap_or(0));
    let manifest = serde_json::to_string(&Manifest { size, chunk_bytes, chunks: hashes, peers: Vec::new() })?;
    let shelf = Arc::new(Shelf { raw: image.into(), manifest, chunks });
    let router = Router::new()
        .route("/raw", get(async |State(shelf): State<Arc<Shelf>>| shelf.raw.clone()))
        .route(
            "/images/{image}/manifest",
            get(async |State(shelf): State<Arc<Shelf>>| shelf.manifest.clone()),
        )
        .route("/images/{image}/chunks/{sha256}", get(chunk))
        .with_state(shelf);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

async fn chunk(
    State(shelf): State<Arc<Shelf>>,
    Part((_, hash)): Part<(String, String)>,
) -> Result<Bytes, StatusCode> {
    shelf.chunks.get(&hash).cloned().ok_or(StatusCode::NOT_FOUND)
}
