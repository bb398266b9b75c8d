//! Leases on disk: a file per segment to which changes are added, one JSON object a line, and which is written
//! anew when it has grown. A line that was cut short by a power cut is not read, nor is what it said: its
//! answer was never sent.

use super::pool::{Held, Pool};
use base::{Fault, Micros, Result};
use rustix::fs::FallocateFlags;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Lines that are added before the file is written anew.
const LONG: usize = 20_000;
/// Bytes that the file has of the disk from the start, so that leases can be kept while it is full.
const ROOM: u64 = 4 << 20;

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Added since it was written anew.
    lines: usize,
}

impl Journal {
    /// Opens or makes the file, and reads who holds what.
    ///
    /// # Errors
    /// When it is there and cannot be read: taken for empty, it would give everybody's address away again.
    pub fn open(path: &Path) -> Result<(Journal, Pool)> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(unusable(path, &e)),
        };
        let mut held = Vec::new();
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            match serde_json::from_slice::<Held>(line) {
                Ok(h) => held.push(h),
                Err(e) => tracing::warn!(file = %path.display(), "a lease is left out: {e}"),
            }
        }
        let pool = Pool::with(held, Micros::now());
        // Written anew at each start, so that nothing is ever added behind half a line.
        let file = write_all(path, &pool).map_err(|f| unusable(path, &f))?;
        Ok((Journal { path: path.to_owned(), file, lines: 0 }, pool))
    }

    /// Keeps the pool's changes; they are on the disk when this returns.
    ///
    /// # Errors
    /// When they are not: what they say must then not be told to anybody.
    pub fn keep(&mut self, pool: &mut Pool) -> Result<()> {
        if pool.changed.is_empty() {
            return Ok(());
        }
        let kept = self.add(pool);
        if kept.is_err() {
            // Clients ask again and again meanwhile: only what each address came to in the end is to be kept.
            let mut known = HashSet::new();
            pool.changed.reverse();
            pool.changed.retain(|held| known.insert(held.address));
            pool.changed.reverse();
        }
        kept
    }

    fn add(&mut self, pool: &mut Pool) -> Result<()> {
        if self.lines > LONG {
            (self.file, self.lines) = (write_all(&self.path, pool)?, 0);
            pool.changed.clear();
            return Ok(());
        }
        let mut text = Vec::with_capacity(pool.changed.len() * 128);
        for held in &pool.changed {
            serde_json::to_writer(&mut text, held)?;
            text.push(b'\n');
        }
        let before = self.file.stream_position()?;
        if let Err(e) = self.file.write_all(&text).and_then(|()| self.file.sync_data()) {
            // Half a line would spoil the next one.
            let _ = self.file.set_len(before).and_then(|()| self.file.seek(SeekFrom::Start(before)));
            return Err(e.into());
        }
        self.lines += pool.changed.len();
        pool.changed.clear();
        Ok(())
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Fault {
    Fault::unavailable(format!(
        "Who holds which address cannot be read or kept, so nobody gets one: {}: {why}. Look at the rack's data \
         directory.",
        path.display()
    ))
}

fn write_all(path: &Path, pool: &Pool) -> Result<File> {
    let new = path.with_extension("new");
    let mut text = Vec::new();
    for held in pool.all() {
        serde_json::to_writer(&mut text, &held)?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
    // Not every file system can, and most disks never fill up.
    let _ = rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ROOM);
    file.write_all(&text)?;
    file.sync_data()?;
    std::fs::rename(&new, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_survive_and_half_a_line_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leases");
        let held = |n: u8| Held {
            address: [10, 0, 0, n].into(),
            mac: Some(format!("52:54:00:00:00:{n:02x}")),
            hostname: "x".into(),
            until: Micros(5),
        };
        let (mut journal, mut pool) = Journal::open(&path).unwrap();
        pool.changed = vec![held(1), held(2)];
        journal.keep(&mut pool).unwrap();
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"address\":\"10.0.0.3\"").unwrap();
        let (_, pool) = Journal::open(&path).unwrap();
        assert_eq!(pool.all().collect::<Vec<_>>(), vec![held(1), held(2)]);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_empty() {
        let dir = tempfile::tempdir().unwrap();
        let why = Journal::open(dir.path()).unwrap_err();
        assert!(why.message.contains(dir.path().to_str().unwrap()), "{why}");
    }

    #[test]
    fn what_cannot_be_kept_does_not_pile_up() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, mut pool) = Journal::open(&dir.path().join("leases")).unwrap();
        journal.file = File::open(dir.path().join("leases")).unwrap();
        let held = |n: u8, until| Held {
            address: [10, 0, 0, n].into(),
            mac: None,
            hostname: String::new(),
            until: Micros(until),
        };
        for until in 0..9 {
            pool.changed.extend([held(1, until), held(2, until)]);
            assert!(journal.keep(&mut pool).is_err(), "it may only be read");
        }
        assert_eq!(pool.changed, [held(1, 8), held(2, 8)]);
    }
}
