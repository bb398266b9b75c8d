//! A guest's logs: what it wrote to its serial port, and what QEMU said. Neither grows for ever.
//!
//! QEMU appends to `serial.log` and never opens it again, so it cannot be renamed away; past the limit its
//! content is copied to `serial.log.1` (replacing the one there) and the file cut to nothing.

use super::Dir;
use base::{Fault, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};

/// A log past this many bytes is cut; so a reader sees between one and two times as much.
const LIMIT: u64 = 1 << 20;

/// Cuts the guest's logs where they have grown too long.
pub fn cap(dir: &Dir) -> Result<()> {
    let serial = dir.path("serial.log");
    if serial.metadata().is_ok_and(|m| m.len() > LIMIT) {
        // What the guest writes between the copy and the cut is lost: a few bytes of a flood.
        let old = dir.path("serial.log.1");
        let mut file = OpenOptions::new().read(true).write(true).open(&serial)?;
        let mut copy = File::create(&old)?;
        file.seek(SeekFrom::End(-(LIMIT as i64)))?;
        std::io::copy(&mut file, &mut copy)?;
        file.set_len(0)?;
    }
    let qemu = dir.path("qemu.log");
    if qemu.metadata().is_ok_and(|m| m.len() > LIMIT) {
        OpenOptions::new().write(true).open(&qemu)?.set_len(0)?;
    }
    Ok(())
}

/// The last part of what the guest wrote to its serial port.
#[derive(Debug, Clone, Copy)]
pub enum Tail {
    Lines(usize),
    Bytes(usize),
}

/// # Errors
/// `NotFound` when the guest has written nothing here yet.
pub fn serial_tail(dir: &Dir, tail: Tail) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut found = false;
    for name in ["serial.log.1", "serial.log"] {
        if let Ok(file) = File::open(dir.path(name)) {
            found = true;
            file.take(4 * LIMIT).read_to_end(&mut text)?;
        }
    }
    if !found {
        return Err(Fault::not_found("This guest has not written to its console yet."));
    }
    let start = match tail {
        Tail::Bytes(n) => text.len().saturating_sub(n),
        Tail::Lines(n) => line_start(&text, n),
    };
    Ok(text.split_off(start))
}

/// Where the last `n` lines begin. A last line without its end counts too.
fn line_start(text: &[u8], n: usize) -> usize {
    if n == 0 {
        return text.len();
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let mut ends = body.iter().enumerate().rev().filter(|(_, b)| **b == b'\n');
    ends.nth(n - 1).map_or(0, |(at, _)| at + 1)
}

/// The last lines that QEMU wrote before it ended, for a reason that a person reads.
pub fn last_words(dir: &Dir) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(dir.path("qemu.log")) {
        let length = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(4096)));
        let _ = file.take(4096).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    match text.lines().rev().find(|l| !l.trim().is_empty()) {
        Some(line) => line.trim().to_owned(),
        None => "it said nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_long_log_is_cut_under_its_writer() {
        let data = tempfile::tempdir().unwrap();
        let dir = Dir::of(data.path(), base::ServerId::new());
        assert!(serial_tail(&dir, Tail::Lines(1)).unwrap_err().is_not_found());
        dir.make().unwrap();
        let mut writer = OpenOptions::new().append(true).create(true).open(dir.path("serial.log")).unwrap();
        for n in 0..200_000 {
            writeln!(writer, "line {n}").unwrap();
        }
        cap(&dir).unwrap();
        assert_eq!(dir.path("serial.log").metadata().unwrap().len(), 0);
        assert_eq!(dir.path("serial.log.1").metadata().unwrap().len(), LIMIT);
        writeln!(writer, "after").unwrap();
        cap(&dir).unwrap();
        assert_eq!(serial_tail(&dir, Tail::Lines(2)).unwrap(), b"line 199999\nafter\n");
        assert_eq!(serial_tail(&dir, Tail::Bytes(6)).unwrap(), b"after\n");
    }

    #[test]
    fn tails_by_lines() {
        let text = b"one\ntwo\nthree\n";
        let tail = |n| &text[line_start(text, n)..];
        assert_eq!(tail(1), b"three\n");
        assert_eq!(tail(2), b"two\nthree\n");
        assert_eq!(tail(9), text);
        assert_eq!(tail(0), b"");
        assert_eq!(&b"a\nb"[line_start(b"a\nb", 1)..], b"b");
    }
}
