//! Leases on disk: a file per segment to which changes are added, one JSON object a line, and which is written
//! anew when it has grown. A line that was cut short by a power cut is not read, nor is what it said: its
//! answer was never sent.

use super::pool::{Held, Pool};
use base::Result;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Lines that are added before the file is written anew.
const LONG: usize = 20_000;

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Added since it was written anew.
    lines: usize,
}

impl Journal {
    /// Opens or makes the file, and reads who holds what.
    pub fn open(path: &Path) -> Result<(Journal, Pool)> {
        let mut held = Vec::new();
        if let Ok(file) = File::open(path) {
            for line in BufReader::new(file).lines() {
                match line.map_err(base::Fault::from).and_then(|l| Ok(serde_json::from_str::<Held>(&l)?)) {
                    Ok(h) => held.push(h),
                    Err(fault) => tracing::warn!(file = %path.display(), "a lease is left out: {fault}"),
                }
            }
        }
        let pool = Pool::with(held);
        // Written anew at each start, so that nothing is ever added behind half a line.
        let file = write_all(path, &pool)?;
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

fn write_all(path: &Path, pool: &Pool) -> Result<File> {
    let new = path.with_extension("new");
    let mut text = Vec::new();
    for held in pool.all() {
        serde_json::to_writer(&mut text, &held)?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
    file.write_all(&text)?;
    file.sync_data()?;
    std::fs::rename(&new, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Micros;

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
}
