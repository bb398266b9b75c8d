//! Content on its way in: a temporary file, and both digests of it.
//!
//! One thread writes what arrives and one brings it to the disk. A third reads behind the writer and feeds a thread
//! per digest: they are the slowest (`docs/adr/0006-uploads-are-answered-before-their-checksums.md`), so nobody waits
//! for them who does not need what they find, and they give way to others. What they read was written a moment ago and
//! is in memory still. The threads are not Tokio's blocking ones, which the database needs: a slow client would hold
//! those for hours.

use crate::content::blocking;
use crate::room;
use base::{Fault, Result};
use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha512};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

/// Pieces between the network and the writer, and between the reader and each digest.
const QUEUE: usize = 4;

/// Bytes after which a growing file is brought to the disk, and after which it is seen to that the disk has room.
const SYNC: u64 = 32 << 20;
/// Bytes of a file that are read together.
const PART: u64 = 1 << 20;
/// How much digests give way, in the units of nice(1).
const NICE: i32 = 10;

/// What the writer is told.
pub enum Piece {
    /// Up to about 1 MiB, in as many parts as the network gave it.
    Data(Vec<Bytes>),
    /// All of it has arrived. A channel that closes without this was cut short.
    End,
}

/// A whole file, durable, not yet at its place. Removed when dropped.
#[derive(Debug)]
pub struct Arrived {
    temp: Temp,
    pub file: File,
    pub bytes: u64,
    digests: Digests,
}

impl Arrived {
    /// Bytes that the digests have not seen yet.
    pub fn behind(&self) -> u64 {
        self.bytes - self.digests.read()
    }

    /// Waits for the digests.
    pub async fn digested(mut self) -> Result<Incoming> {
        let Sums { md5, sha512 } = self.digests.sums().await?;
        Ok(Incoming { temp: self.temp, bytes: self.bytes, md5, sha512 })
    }

    /// Waits for the digests for a while; gives itself back when that is not enough.
    pub async fn digested_within(
        mut self,
        patience: Duration,
    ) -> Result<std::result::Result<Incoming, Arrived>> {
        if patience.is_zero() {
            return Ok(Err(self));
        }
        match tokio::time::timeout(patience, self.digests.sums()).await {
            Ok(sums) => {
                let Sums { md5, sha512 } = sums?;
                Ok(Ok(Incoming { temp: self.temp, bytes: self.bytes, md5, sha512 }))
            }
            Err(_) => Ok(Err(self)),
        }
    }

    /// Moves the file to its place; what goes on is its digests.
    pub fn settle(self, to: &Path) -> Result<Digests> {
        place(&self.temp.0, to)?;
        Ok(self.digests)
    }
}

/// A whole file with its digests, durable, not yet at its place. Removed when dropped.
#[derive(Debug)]
pub struct Incoming {
    temp: Temp,
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub md5: String,
    pub sha512: String,
}

impl Incoming {
    /// Moves the file to its place, in the place of what is there.
    pub fn settle(self, to: &Path) -> Result<()> {
        place(&self.temp.0, to)?;
        Ok(())
    }
}

/// A file that another program wrote into the directory. Removed when dropped.
pub struct Adopted(Temp);

impl Adopted {
    pub fn new(path: PathBuf) -> Adopted {
        Adopted(Temp(path))
    }
    pub fn path(&self) -> &Path {
        &self.0.0
    }
    /// Waits for its digests, and makes it durable.
    pub async fn digested(self) -> Result<Incoming> {
        let file = File::open(&self.0.0)?;
        let bytes = file.metadata()?.len();
        let Sums { md5, sha512 } = Digests::of(file.try_clone()?)?.sums().await?;
        blocking(move || Ok(file.sync_all()?)).await?;
        Ok(Incoming { temp: self.0, bytes, md5, sha512 })
    }
}

/// Moves a file to its place. From then on its age counts: whoever tidies up leaves what is young to those who are
/// about to enter it, however long it was on its way.
fn place(from: &Path, to: &Path) -> Result<()> {
    OpenOptions::new().write(true).open(from)?.set_modified(SystemTime::now())?;
    Ok(fs::rename(from, to)?)
}

/// Removes the file it names. After a rename there is none, which is fine.
#[derive(Debug)]
struct Temp(PathBuf);

impl Drop for Temp {
    fn drop(&mut self) {
        // Emptied first: whoever still has it open (its digests) would keep its room on the disk from the next upload.
        let _ = OpenOptions::new().write(true).truncate(true).open(&self.0);
        if let Err(e) = fs::remove_file(&self.0)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.0.display(), error = %e, "a temporary file stays behind until the next start");
        }
    }
}

/// Starts the writer of at least `expected` bytes. Answers where to put pieces and where the outcome appears.
///
/// # Errors
/// `TooLarge` when the disk has no room for them.
pub fn start(
    dir: &Path,
    expected: u64,
) -> Result<(tokio_mpsc::Sender<Piece>, oneshot::Receiver<Result<Arrived>>)> {
    let (feed, pieces) = tokio_mpsc::channel(QUEUE);
    let (tell, outcome) = oneshot::channel();
    // Others may have taken this process for dead and tidied up.
    fs::create_dir_all(dir)?;
    room::need(dir, expected)?;
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

fn receive(path: PathBuf, mut pieces: tokio_mpsc::Receiver<Piece>) -> Result<Arrived> {
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&path)?;
    let temp = Temp(path);
    let settler = Settler::start(&file)?;
    let (growing, digests) = Digests::behind(file.try_clone()?)?;
    let (mut bytes, mut looked) = (0, 0);
    loop {
        match pieces.blocking_recv() {
            None => return Err(Fault::bad_request("The upload was cut short; nothing was kept.")),
            Some(Piece::End) => break,
            Some(Piece::Data(parts)) => {
                for part in &parts {
                    file.write_all(part)?;
                    bytes += part.len() as u64;
                }
                if bytes >= looked + SYNC {
                    room::need(&temp.0, 0)?;
                    looked = bytes;
                }
                growing.to(bytes);
                settler.wrote(bytes);
            }
        }
    }
    growing.end();
    settler.end()?;
    file.sync_all()?;
    Ok(Arrived { temp, file, bytes, digests })
}

/// Brings a file to the disk while it grows, so that little is left to do at its end.
///
/// What a disk refused is told once to all who share an open file, so an error that the settler hears is not heard
/// again by who syncs at the end: it is kept for him.
struct Settler {
    tell: mpsc::SyncSender<u64>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Settler {
    /// The thread ends with the sender, or with the first error.
    fn start(file: &File) -> Result<Settler> {
        let (tell, told) = mpsc::sync_channel(1);
        let file = file.try_clone()?;
        let thread = thread::Builder::new().name("image-sync".into()).spawn(move || {
            let mut done = 0;
            while let Ok(bytes) = told.recv() {
                if bytes >= done + SYNC {
                    file.sync_data()?;
                    done = bytes;
                }
            }
            Ok(())
        })?;
        Ok(Settler { tell, thread })
    }
    /// Never waits: a disk that is behind is asked again with the next piece.
    fn wrote(&self, bytes: u64) {
        let _ = self.tell.try_send(bytes);
    }
    /// Waits for what it has begun, which is part of what the last sync has to do anyway.
    ///
    /// # Errors
    /// What the disk refused.
    fn end(self) -> Result<()> {
        drop(self.tell);
        Ok(self.thread.join().map_err(|_| Fault::internal("the thread that syncs an upload panicked"))??)
    }
}

/// Both digests of a file, lower-case hexadecimal.
#[derive(Debug)]
pub struct Sums {
    pub md5: String,
    pub sha512: String,
}

/// Digests that are being computed. Dropped, they are given up.
#[derive(Debug)]
pub struct Digests {
    tail: Arc<Tail>,
    outcome: oneshot::Receiver<Result<Sums>>,
}

impl Digests {
    /// Of a whole file.
    pub fn of(file: File) -> Result<Digests> {
        let bytes = file.metadata()?.len();
        let (growing, digests) = Self::behind(file)?;
        growing.to(bytes);
        growing.end();
        Ok(digests)
    }

    /// Of a file that somebody writes, who says how far it is.
    fn behind(file: File) -> Result<(Growing, Digests)> {
        let tail = Arc::new(Tail::default());
        let (tell, outcome) = oneshot::channel();
        let reader = tail.clone();
        thread::Builder::new().name("image-digest".into()).spawn(move || {
            // Nobody to tell is as good as given up.
            let _ = tell.send(digest_behind(&file, &reader));
        })?;
        Ok((Growing(tail.clone()), Digests { tail, outcome }))
    }

    /// Bytes that they have seen.
    pub fn read(&self) -> u64 {
        self.tail.look().read
    }

    /// Waits for them. Dropped and called again, it goes on.
    pub async fn sums(&mut self) -> Result<Sums> {
        (&mut self.outcome).await.map_err(|_| Fault::internal("the digests of a file panicked"))?
    }
}

impl Drop for Digests {
    fn drop(&mut self) {
        self.tail.change(|t| t.given_up = true);
    }
}

/// How far a file is written, and read for its digests.
#[derive(Debug, Default)]
struct Tail {
    at: Mutex<At>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct At {
    written: u64,
    read: u64,
    /// Nothing more will be written.
    whole: bool,
    given_up: bool,
}

impl Tail {
    fn look(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn change(&self, f: impl FnOnce(&mut At)) {
        f(&mut self.look());
        self.changed.notify_one();
    }
    /// What is written and not read, up to [`PART`], once there is any; `None` at the end.
    fn next(&self, from: u64) -> Result<Option<u64>> {
        let mut at = self.look();
        at.read = from;
        loop {
            // Less than a part is read only where no more comes: reading is worth it from some size on.
            let there = at.written - from;
            if at.given_up {
                return Err(Fault::internal("the digests of a file were given up"));
            }
            if there >= PART || at.whole {
                return Ok((there > 0).then_some(there.min(PART)));
            }
            at = self.changed.wait(at).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The writer's end. Dropped before its end, the digests are given up.
struct Growing(Arc<Tail>);

impl Growing {
    fn to(&self, bytes: u64) {
        self.0.change(|t| t.written = bytes);
    }
    fn end(self) {
        self.0.change(|t| t.whole = true);
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.0.change(|t| t.given_up |= !t.whole);
    }
}

/// Reads behind the writer, with a thread per digest beside it.
fn digest_behind(file: &File, tail: &Tail) -> Result<Sums> {
    thread::scope(|scope| {
        let ((to_md5, md5_in), (to_sha, sha_in)) = (mpsc::sync_channel(QUEUE), mpsc::sync_channel(QUEUE));
        let md5 = scope.spawn(move || digest::<Md5>(&md5_in));
        let sha = scope.spawn(move || digest::<Sha512>(&sha_in));
        let mut at = 0;
        while let Some(n) = tail.next(at)? {
            let mut part = vec![0; usize::try_from(n).map_err(Fault::internal)?];
            file.read_exact_at(&mut part, at)?;
            let part = Bytes::from(part);
            to_md5.send(part.clone()).map_err(Fault::internal)?;
            to_sha.send(part).map_err(Fault::internal)?;
            at += n;
        }
        drop((to_md5, to_sha));
        let panicked = |_| Fault::internal("a digest thread panicked");
        Ok(Sums { md5: md5.join().map_err(panicked)?, sha512: sha.join().map_err(panicked)? })
    })
}

fn digest<D: Digest>(parts: &mpsc::Receiver<Bytes>) -> String {
    // Where that is not allowed, they do not give way.
    let _ = rustix::process::setpriority_process(None, NICE);
    let mut digest = D::new();
    while let Ok(part) = parts.recv() {
        digest.update(&part);
    }
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_kept_leaves_its_room_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (feed, outcome) = start(dir.path(), 0).unwrap();
        feed.send(Piece::Data(vec![Bytes::from_static(&[7; 4096])])).await.unwrap();
        feed.send(Piece::End).await.unwrap();
        let arrived = outcome.await.unwrap().unwrap();
        // As its digests, which may be far behind.
        let reader = arrived.file.try_clone().unwrap();
        assert_eq!(reader.metadata().unwrap().len(), 4096);
        drop(arrived);
        assert_eq!(reader.metadata().unwrap().len(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_disk_that_refuses_while_the_file_grows_is_heard_at_its_end() {
        // A device that cannot be synced.
        let settler = Settler::start(&File::open("/dev/null").unwrap()).unwrap();
        settler.wrote(SYNC);
        assert!(settler.end().is_err());
        let file = tempfile::tempfile().unwrap();
        let settler = Settler::start(&file).unwrap();
        settler.wrote(SYNC);
        settler.end().unwrap();
    }
}
