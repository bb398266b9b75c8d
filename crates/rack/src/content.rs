//! What is sent to machines: files, and files with some bytes of ours in between, never whole in memory.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Read and sent at a time, in bytes.
const PIECE: u64 = 256 << 10;

#[derive(Debug, Clone)]
enum Part {
    Bytes(Bytes),
    File(Arc<File>, Range<u64>),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Part::Bytes(b) => b.len() as u64,
            Part::File(_, range) => range.end - range.start,
        }
    }
}

/// Bytes of a known length.
#[derive(Debug, Clone, Default)]
pub struct Content {
    parts: Vec<Part>,
}

impl Content {
    pub fn file(file: Arc<File>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Content::default().and_file(file, 0..len))
    }
    #[must_use]
    pub fn and_file(mut self, file: Arc<File>, range: Range<u64>) -> Self {
        self.parts.push(Part::File(file, range));
        self
    }
    #[must_use]
    pub fn and_bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.parts.push(Part::Bytes(bytes.into()));
        self
    }

    pub fn len(&self) -> u64 {
        self.parts.iter().map(Part::len).sum()
    }

    /// Fills `buffer` from there on as far as there is something; says how far. Blocks for the disk.
    pub fn read_at(&self, mut offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        for part in &self.parts {
            if offset >= part.len() {
                offset -= part.len();
                continue;
            }
            let room = buffer.len() - done;
            let n = usize::try_from(part.len() - offset).unwrap_or(usize::MAX).min(room);
            let into = &mut buffer[done..done + n];
            match part {
                Part::Bytes(b) => {
                    let at = usize::try_from(offset).unwrap_or(usize::MAX);
                    into.copy_from_slice(&b[at..at + n]);
                }
                Part::File(file, range) => file.read_exact_at(into, range.start + offset)?,
            }
            (done, offset) = (done + n, 0);
            if done == buffer.len() {
                break;
            }
        }
        Ok(done)
    }

    /// A part of it as the body of an answer.
    pub fn body(self, range: Range<u64>) -> Body {
        let this = Arc::new(self);
        let pieces = futures_util::stream::unfold(range.start, move |at| {
            let (this, end) = (this.clone(), range.end);
            async move {
                let n = end.saturating_sub(at).min(PIECE);
                if n == 0 {
                    return None;
                }
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = BytesMut::zeroed(usize::try_from(n).unwrap_or(0));
                    match this.read_at(at, &mut piece)? {
                        got if got as u64 == n => Ok(piece.freeze()),
                        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    }
                });
                let piece = read.await.unwrap_or_else(|e| Err(io::Error::other(e)));
                let next = if piece.is_ok() { at + n } else { end };
                Some((piece, next))
            }
        });
        Body::from_stream(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_as_one() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let file = Arc::new(file);
        let c = Content::default().and_bytes("ab").and_file(file.clone(), 2..5).and_file(file, 9..10);
        assert_eq!(c.len(), 6);
        for at in 0..=7 {
            for n in 0..8 {
                let mut buffer = vec![0; n];
                let got = c.read_at(at, &mut buffer).unwrap();
                let all = b"ab2349";
                let start = (at as usize).min(6);
                assert_eq!(&buffer[..got], &all[start..(start + n).min(6)], "{at} {n}");
            }
        }
    }
}
