//! Chunks that this machine has written already, for neighbours that write the same image: they are read back from
//! the disk, checked, and compressed again.
//!
//! Invariant: what is served has the hash that it was asked by; a disk that has changed since serves nothing.

use crate::disks::Disk;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use base::Result;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// Neighbours served at once; the next is told to ask elsewhere.
const AT_ONCE: usize = 4;
/// Quick rather than small: it is made anew for each neighbour.
const LEVEL: i32 = 1;

/// Which chunks of which image are where on the disk.
#[derive(Clone, Default)]
pub struct Holdings(Arc<Mutex<Option<Held>>>);

struct Held {
    image: String,
    disk: Arc<Disk>,
    places: HashMap<String, (u64, usize)>,
}

impl Holdings {
    pub fn clear(&self) {
        if let Ok(mut held) = self.0.lock() {
            *held = None;
        }
    }
    pub fn begin(&self, image: &str, disk: &Arc<Disk>) {
        if let Ok(mut held) = self.0.lock() {
            *held = Some(Held { image: image.to_owned(), disk: disk.clone(), places: HashMap::new() });
        }
    }
    pub fn add(&self, sha256: &str, at: u64, length: usize) {
        if let Ok(mut held) = self.0.lock()
            && let Some(held) = held.as_mut()
        {
            held.places.insert(sha256.to_owned(), (at, length));
        }
    }
    fn find(&self, image: &str, sha256: &str) -> Option<(Arc<Disk>, u64, usize)> {
        let held = self.0.lock().ok()?;
        let held = held.as_ref().filter(|h| h.image == image)?;
        let (at, length) = held.places.get(sha256)?;
        Some((held.disk.clone(), *at, *length))
    }
    fn chunk(&self, image: &str, sha256: &str) -> Option<Vec<u8>> {
        let (disk, at, length) = self.find(image, sha256)?;
        let bytes = disk.read(at, length).ok()?;
        if hex::encode(Sha256::digest(&bytes)) != sha256 {
            return None;
        }
        zstd::bulk::compress(&bytes, LEVEL).ok()
    }
}

/// Serves on a free port, which it answers.
pub async fn serve(holdings: Holdings) -> Result<u16> {
    let listener = match tokio::net::TcpListener::bind("[::]:0").await {
        Ok(listener) => listener,
        Err(_) => tokio::net::TcpListener::bind("0.0.0.0:0").await?,
    };
    let port = listener.local_addr()?.port();
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let router =
        Router::new().route("/images/{image}/chunks/{sha256}", get(answer)).with_state((holdings, gate));
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Ok(port)
}

async fn answer(
    State((holdings, gate)): State<(Holdings, Arc<Semaphore>)>,
    Path((image, sha256)): Path<(String, String)>,
) -> Result<Vec<u8>, StatusCode> {
    let Ok(_permit) = gate.try_acquire() else {
        return Err(StatusCode::TOO_MANY_REQUESTS);
    };
    let chunk = tokio::task::spawn_blocking(move || holdings.chunk(&image, &sha256)).await;
    chunk.ok().flatten().ok_or(StatusCode::NOT_FOUND)
}
