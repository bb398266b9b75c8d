//! Content on its way in: a temporary file that is written while both digests are computed beside it.
//!
//! One thread writes, two hash and one brings what is written to the disk, fed through short channels
//! with shared pieces, so that an upload runs at the speed of the slowest of them (MD5, see
//! `docs/adr/0003-uploads-are-bounded-by-checksums.md`) and holds a few MiB. The threads are not Tokio's
//! blocking ones, which the database needs: a slow client would hold those for hours.

use base::{Fault, Result};
use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha512};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

/// Pieces between the network and the writer, and between the writer and each digest.
const QUEUE: usize = 4;

/// Bytes after which a growing file is brought to the disk.
const SYNC: u64 = 32 << 20;
/// Bytes of a file that are read together.
const PART: usize = 1 << 20;

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

/// A file that another program wrote into the directory. Removed when dropped.
pub struct Adopted(Temp);

impl Incoming {
    pub fn adopt(path: PathBuf) -> Adopted {
        Adopted(Temp(path))
    }
}

impl Adopted {
    /// Reads it once for both digests, and makes it durable.
    pub fn digest(self) -> Result<Incoming> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.0.0)?;
        let (bytes, md5, sha512) = digests(|to_both| {
            let mut bytes = 0;
            loop {
                let mut part = Vec::with_capacity(PART);
                let n = (&mut file).take(PART as u64).read_to_end(&mut part)?;
                if n == 0 {
                    return Ok(bytes);
                }
                bytes += n as u64;
                to_both.send(&Arc::new(vec![Bytes::from(part)]))?;
            }
        })?;
        file.sync_all()?;
        Ok(Incoming { temp: self.0, file, bytes, md5, sha512 })
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
    // Others may have taken this process for dead and tidied up.
    fs::create_dir_all(dir)?;
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
    let settler = Settler::start(&file)?;
    let (bytes, md5, sha512) = digests(|to_both| {
        let mut bytes = 0;
        loop {
            match pieces.blocking_recv() {
                None => return Err(Fault::bad_request("The upload was cut short; nothing was kept.")),
                Some(Piece::End) => return Ok(bytes),
                Some(Piece::Data(parts)) => {
                    let parts = Arc::new(parts);
                    to_both.send(&parts)?;
                    for part in parts.iter() {
                        file.write_all(part)?;
                        bytes += part.len() as u64;
                    }
                    settler.wrote(bytes);
                }
            }
        }
    })?;
    file.sync_all()?;
    Ok(Incoming { temp, file, bytes, md5, sha512 })
}

/// Brings a file to the disk while it grows, so that little is left to do at its end.
struct Settler(mpsc::SyncSender<u64>);

impl Settler {
    /// The thread ends with the sender.
    fn start(file: &File) -> Result<Settler> {
        let (tell, told) = mpsc::sync_channel(1);
        let file = file.try_clone()?;
        thread::Builder::new().name("image-sync".into()).spawn(move || {
            let mut done = 0;
            while let Ok(bytes) = told.recv() {
                // One that fails fails again at the end, where it is told.
                if bytes >= done + SYNC && file.sync_data().is_ok() {
                    done = bytes;
                }
            }
        })?;
        Ok(Settler(tell))
    }
    /// Never waits: a disk that is behind is asked again with the next piece.
    fn wrote(&self, bytes: u64) {
        let _ = self.0.try_send(bytes);
    }
}

type Parts = Arc<Vec<Bytes>>;

/// Where bytes go to be hashed, once for each digest.
struct ToBoth {
    md5: mpsc::SyncSender<Parts>,
    sha512: mpsc::SyncSender<Parts>,
}

impl ToBoth {
    fn send(&self, parts: &Parts) -> Result<()> {
        self.md5.send(parts.clone()).map_err(Fault::internal)?;
        self.sha512.send(parts.clone()).map_err(Fault::internal)
    }
}

/// Runs `feed` with a thread per digest beside it; answers how many bytes it fed, MD5 and SHA-512.
fn digests(feed: impl FnOnce(&ToBoth) -> Result<u64>) -> Result<(u64, String, String)> {
    thread::scope(|scope| {
        let ((to_md5, md5_in), (to_sha, sha_in)) = (mpsc::sync_channel(QUEUE), mpsc::sync_channel(QUEUE));
        let md5 = scope.spawn(move || digest::<Md5>(&md5_in));
        let sha = scope.spawn(move || digest::<Sha512>(&sha_in));
        let to_both = ToBoth { md5: to_md5, sha512: to_sha };
        let bytes = feed(&to_both)?;
        drop(to_both);
        let panicked = |_| Fault::internal("a digest thread panicked");
        Ok((bytes, md5.join().map_err(panicked)?, sha.join().map_err(panicked)?))
    })
}

fn digest<D: Digest>(parts: &mpsc::Receiver<Parts>) -> String {
    let mut digest = D::new();
    while let Ok(parts) = parts.recv() {
        parts.iter().for_each(|p| digest.update(p));
    }
    hex::encode(digest.finalize())
}
