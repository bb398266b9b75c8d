//! Content on its way in: a temporary file that is written while both digests are computed beside it.
//!
//! One thread writes and two hash, fed through short channels with shared pieces, so that an upload
//! runs at the speed of the slowest of the three and holds a few MiB. The threads are not Tokio's
//! blocking ones, which the database needs: a slow client would hold those for hours.

use base::{Fault, Result};
use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha512};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

/// Pieces between the network and the writer, and between the writer and each digest.
const QUEUE: usize = 4;

/// What the writer is told.
pub enum Piece {
    /// Up to about 1 MiB, in as many parts as the network gave it.
    Data(Vec<Bytes>),
    /// All of it has arrived. A channel that closes without this was cut short.
    End,
}

/// A whole file with its digests, durable, not yet at its place. Removed when dropped.
#[derive(Debug)]
pub struct Incoming {
    temp: Temp,
    pub file: File,
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub md5: String,
    pub sha512: String,
}

impl Incoming {
    /// Moves the file to its place, in the place of what is there.
    pub fn settle(self, to: &Path) -> Result<()> {
        fs::rename(&self.temp.0, to)?;
        Ok(())
    }
}

/// Removes the file it names. After a rename there is none, which is fine.
#[derive(Debug)]
struct Temp(PathBuf);

impl Drop for Temp {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_file(&self.0)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.0.display(), error = %e, "a temporary file stays behind until the next start");
        }
    }
}

/// Starts the writer. Answers where to put pieces and where the outcome appears.
pub fn start(dir: &Path) -> Result<(tokio_mpsc::Sender<Piece>, oneshot::Receiver<Result<Incoming>>)> {
    let (feed, pieces) = tokio_mpsc::channel(QUEUE);
    let (tell, outcome) = oneshot::channel();
    let path = dir.join(uuid_name());
    thread::Builder::new().name("image-write".into()).spawn(move || {
        // Nobody waits any more when the process is about to end; the file goes with the drop.
        let _ = tell.send(receive(path, pieces));
    })?;
    Ok((feed, outcome))
}

fn uuid_name() -> String {
    base::ImageId::new().to_string()
}

fn receive(path: PathBuf, mut pieces: tokio_mpsc::Receiver<Piece>) -> Result<Incoming> {
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&path)?;
    let temp = Temp(path);
    let (bytes, md5, sha512) = thread::scope(|scope| {
        let (to_md5, md5_in) = mpsc::sync_channel(QUEUE);
        let (to_sha, sha_in) = mpsc::sync_channel(QUEUE);
        let md5 = scope.spawn(move || digest::<Md5>(&md5_in));
        let sha = scope.spawn(move || digest::<Sha512>(&sha_in));
        let mut bytes = 0;
        loop {
            match pieces.blocking_recv() {
                None => return Err(Fault::bad_request("The upload was cut short; nothing was kept.")),
                Some(Piece::End) => break,
                Some(Piece::Data(parts)) => {
                    let parts = Arc::new(parts);
                    to_md5.send(parts.clone()).map_err(Fault::internal)?;
                    to_sha.send(parts.clone()).map_err(Fault::internal)?;
                    for part in parts.iter() {
                        file.write_all(part)?;
                        bytes += part.len() as u64;
                    }
                }
            }
        }
        drop((to_md5, to_sha));
        let panicked = |_| Fault::internal("a digest thread panicked");
        Ok((bytes, md5.join().map_err(panicked)?, sha.join().map_err(panicked)?))
    })?;
    file.sync_all()?;
    Ok(Incoming { temp, file, bytes, md5, sha512 })
}

fn digest<D: Digest>(parts: &mpsc::Receiver<Arc<Vec<Bytes>>>) -> String {
    let mut digest = D::new();
    while let Ok(parts) = parts.recv() {
        parts.iter().for_each(|p| digest.update(p));
    }
    hex::encode(digest.finalize())
}
