//! Rows as lines of PostgreSQL's COPY text format (PostgreSQL's manual, COPY, "Text Format"), and digests of them.

use base::{Fault, Result};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Adds column number `at` (from 0) to a line; `None` is NULL.
pub fn push(line: &mut Vec<u8>, at: usize, text: Option<&str>) {
    if at > 0 {
        line.push(b'\t');
    }
    let Some(text) = text else {
        line.extend_from_slice(b"\\N");
        return;
    };
    for byte in text.bytes() {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            0x08 => line.extend_from_slice(b"\\b"),
            0x0c => line.extend_from_slice(b"\\f"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x0b => line.extend_from_slice(b"\\v"),
            other => line.push(other),
        }
    }
}

/// The columns of a line.
pub fn split(line: &[u8]) -> Result<Vec<Option<String>>> {
    line.split(|b| *b == b'\t').map(column).collect()
}

fn column(text: &[u8]) -> Result<Option<String>> {
    if text == b"\\N" {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 0x08,
                Some(b'f') => 0x0c,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 0x0b,
                Some(other) => other,
                None => return Err(Fault::internal("a row that ends in the middle")),
            },
            other => other,
        });
    }
    String::from_utf8(out).map(Some).map_err(Fault::internal)
}

/// How many rows there are, and the sum of their SHA-256: the same in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    pub rows: u64,
    sum: [u64; 4],
}

impl Digest {
    pub fn add(&mut self, line: &[u8]) {
        self.rows += 1;
        let hash: [u8; 32] = Sha256::digest(line).into();
        for (sum, part) in self.sum.iter_mut().zip(hash.chunks_exact(8)) {
            let part: [u8; 8] = part.try_into().unwrap_or_default();
            *sum = sum.wrapping_add(u64::from_be_bytes(part));
        }
    }
    pub fn text(&self) -> String {
        self.sum.iter().fold(String::new(), |mut text, part| {
            let _ = write!(text, "{part:016x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back() {
        let columns =
            [Some(""), None, Some("a\\b\t\n\r\u{8}\u{b}\u{c}"), Some("\\N"), Some("한옥"), Some("-7")];
        let mut line = Vec::new();
        for (i, c) in columns.iter().enumerate() {
            push(&mut line, i, *c);
        }
        assert!(!line.contains(&b'\n'));
        let back = split(&line).unwrap();
        assert_eq!(back.iter().map(Option::as_deref).collect::<Vec<_>>(), columns);
    }

    #[test]
    fn a_digest_is_of_the_rows_and_not_of_their_order() {
        let of = |rows: &[&str]| {
            let mut d = Digest::default();
            rows.iter().for_each(|r| d.add(r.as_bytes()));
            d
        };
        assert_eq!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&["a", "b"]), of(&["a", "c"]));
        assert_ne!(of(&["a"]), of(&["a", "a"]));
    }
}
