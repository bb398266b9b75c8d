//! A file as it goes over the wire to another host: its data without its holes.
//!
//! ```text
//! piece   offset: u64, length: u32 > 0, then as many bytes        (numbers in network order)
//! end     length of the file: u64, 0: u32, SHA-256 of all before: 32 bytes
//! ```
//! The receiver believes nothing: offsets must grow, the end must be there, and the digest right.

use base::{Fault, Result};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use rustix::fs::{SeekFrom, seek};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

const PIECE: usize = 256 << 10;
const HEAD: usize = 12;

/// Reads the file from `at` on and says it piece by piece; counts the bytes of data in `sent`. Answers where
/// the file ended. Blocks.
///
/// # Errors
/// What the file system says. Whoever hung up is no error: they know.
pub fn say(path: &Path, at: u64, to: &mpsc::Sender<Result<Bytes>>, sent: &AtomicU64) -> Result<u64> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut digest = Sha256::new();
    let mut tell = |bytes: Bytes| {
        digest.update(&bytes);
        to.blocking_send(Ok(bytes)).is_ok()
    };
    let mut position = at.min(end);
    while let Some((from, until)) = data(&file, position, end)? {
        position = from;
        while position < until {
            let length = usize::try_from(until - position).unwrap_or(PIECE).min(PIECE);
            let mut piece = BytesMut::with_capacity(HEAD + length);
            head(&mut piece, position - at.min(end), length);
            piece.resize(HEAD + length, 0);
            file.read_exact_at(&mut piece[HEAD..], position)?;
            if !tell(piece.freeze()) {
                return Ok(end);
            }
            sent.fetch_add(length as u64, Ordering::Relaxed);
            position += length as u64;
        }
    }
    let mut last = BytesMut::new();
    head(&mut last, end - at.min(end), 0);
    if tell(last.freeze()) {
        let _ = to.blocking_send(Ok(Bytes::copy_from_slice(&digest.finalize())));
    }
    Ok(end)
}

fn head(piece: &mut BytesMut, offset: u64, length: usize) {
    piece.extend_from_slice(&offset.to_be_bytes());
    piece.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// The next stretch of data at or after `from`.
fn data(file: &File, from: u64, end: u64) -> Result<Option<(u64, u64)>> {
    if from >= end {
        return Ok(None);
    }
    match seek(file, SeekFrom::Data(from)) {
        Ok(start) => {
            let hole = seek(file, SeekFrom::Hole(start)).map_err(std::io::Error::from)?;
            Ok((start < end).then_some((start, hole.min(end))))
        }
        // Only a hole is left.
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // A file system that knows nothing of holes.
        Err(_) => Ok(Some((from, end))),
    }
}

/// Bytes of data in a file, without its holes.
pub fn held(path: &Path) -> Result<u64> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let (mut position, mut sum) = (0, 0);
    while let Some((from, until)) = data(&file, position, end)? {
        sum += until - from;
        position = until;
    }
    Ok(sum)
}

/// Writes what comes into a new file, at most `most` bytes long, and syncs it.
///
/// # Errors
/// `BadRequest` when what came is not whole, `TooLarge` when it is longer, or what the disk says.
pub async fn hear<E: std::fmt::Display>(
    mut from: impl Stream<Item = Result<Bytes, E>> + Unpin,
    to: &Path,
    most: u64,
) -> Result<()> {
    let (tell, mut told) = mpsc::channel::<Bytes>(4);
    let path = to.to_owned();
    let write = tokio::task::spawn_blocking(move || {
        let mut writer = Writer::new(&path, most)?;
        while let Some(bytes) = told.blocking_recv() {
            writer.take(&bytes)?;
        }
        writer.finish()
    });
    let mut cut = None;
    while let Some(bytes) = from.next().await {
        match bytes {
            Ok(bytes) => {
                if tell.send(bytes).await.is_err() {
                    break;
                }
            }
            Err(e) => {
                cut = Some(torn().because(e));
                break;
            }
        }
    }
    drop(tell);
    let written = write.await.map_err(Fault::internal)?;
    cut.map_or(written, Err)
}

fn torn() -> Fault {
    Fault::bad_request("The file did not come whole.")
}

struct Writer {
    file: File,
    most: u64,
    digest: Sha256,
    unread: BytesMut,
    at: u64,
    /// Bytes of the present piece that are still to come.
    left: u64,
    length: Option<u64>,
}

impl Writer {
    fn new(path: &Path, most: u64) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let (digest, unread) = (Sha256::new(), BytesMut::new());
        Ok(Writer { file, most, digest, unread, at: 0, left: 0, length: None })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.unread.extend_from_slice(bytes);
        while self.length.is_none() {
            if self.left > 0 {
                let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.unread.len());
                if n == 0 {
                    return Ok(());
                }
                let data = self.unread.split_to(n);
                self.digest.update(&data);
                self.file.write_all_at(&data, self.at)?;
                self.at += n as u64;
                self.left -= n as u64;
                continue;
            }
            if self.unread.len() < HEAD {
                return Ok(());
            }
            let mut head = self.unread.split_to(HEAD);
            self.digest.update(&head);
            let (offset, length) = (head.get_u64(), u64::from(head.get_u32()));
            if offset < self.at {
                return Err(torn());
            }
            if offset.saturating_add(length) > self.most {
                return Err(Fault::new(base::Kind::TooLarge, "The file is longer than was said."));
            }
            if length == 0 {
                self.length = Some(offset);
            }
            (self.at, self.left) = (offset, length);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let length = self.length.ok_or_else(torn)?;
        if self.unread[..] != self.digest.finalize()[..] {
            return Err(torn());
        }
        self.file.set_len(length)?;
        self.file.flush()?;
        Ok(self.file.sync_all()?)
    }
}

/// Adds the content of one file to the end of another.
pub fn append(from: &Path, to: &Path) -> Result<()> {
    let mut source = match File::open(from) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let mut target = std::fs::OpenOptions::new().append(true).create(true).open(to)?;
    std::io::copy(&mut source, &mut target)?;
    Ok(std::fs::remove_file(from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(path: &Path, at: u64) -> Vec<Bytes> {
        let (tell, mut told) = mpsc::channel(4);
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || say(&path, at, &tell, &AtomicU64::new(0)).unwrap());
        let mut all = Vec::new();
        while let Some(bytes) = told.recv().await {
            all.push(bytes.unwrap());
        }
        all
    }

    async fn heard(pieces: Vec<Bytes>, to: &Path) -> Result<()> {
        let all = pieces.into_iter().map(Ok::<_, String>);
        hear(futures_util::stream::iter(all), to, 64 << 20).await
    }

    #[tokio::test]
    async fn holes_are_kept_and_a_torn_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(b"one", 1 << 20).unwrap();
        file.write_all_at(&vec![7; 600_000], 5 << 20).unwrap();
        let pieces = said(&from, 0).await;
        let carried: usize = pieces.iter().map(Bytes::len).sum();
        assert!(carried < 1 << 20, "{carried}");
        // However the wire cuts it.
        let cut: Vec<Bytes> = pieces
            .iter()
            .flat_map(|p| p.chunks(1000).map(Bytes::copy_from_slice).collect::<Vec<_>>())
            .collect();
        heard(cut, &to).await.unwrap();
        assert_eq!(std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        assert!(held(&to).unwrap() < 1 << 20);

        let mut less = pieces.clone();
        less.pop();
        assert!(heard(less, &to).await.is_err());
        let mut wrong = pieces.clone();
        let mut piece = wrong[0].to_vec();
        piece[HEAD + 1] ^= 1;
        wrong[0] = Bytes::from(piece);
        assert!(heard(wrong, &to).await.is_err());
        assert!(
            hear(futures_util::stream::iter(pieces.into_iter().map(Ok::<_, String>)), &to, 1000)
                .await
                .is_err()
        );

        // From the middle on, to be added to what is there.
        std::fs::write(&from, "first second").unwrap();
        heard(said(&from, 6).await, &to).await.unwrap();
        std::fs::write(dir.path().join("log"), "first ").unwrap();
        append(&to, &dir.path().join("log")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("log")).unwrap(), b"first second");
        heard(said(&from, 99).await, &to).await.unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"");
    }
}
