//! The live system as one EFI program (a unified kernel image): its command line is in the section `.cmdline`, and
//! firmware takes it from nowhere else, so each machine gets the program with a command line of its own. The bytes
//! of the file stay where they are; the section's entry in the header points behind them.

use crate::content::Content;
use base::{Fault, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Headers are well within this, in bytes.
const HEAD: usize = 8192;
const SECTION: usize = 40;

/// The program with this command line.
///
/// # Errors
/// `BadRequest` for what is no EFI program with such a section, or has no room for a longer one.
pub fn with_cmdline(file: &Arc<File>, cmdline: &str) -> Result<Content> {
    let length = file.metadata()?.len();
    let mut head = vec![0; HEAD.min(usize::try_from(length).unwrap_or(HEAD))];
    file.read_exact_at(&mut head, 0)?;
    let (head, start, blob) = patch(head, length, cmdline.as_bytes())
        .map_err(|why| Fault::bad_request(format!("The live system's EFI program cannot be used: {why}.")))?;
    let gap = usize::try_from(start - length).unwrap_or(0);
    let head_length = head.len() as u64;
    Ok(Content::default()
        .and_bytes(head)
        .and_file(file.clone(), head_length..length)
        .and_bytes(vec![0; gap])
        .and_bytes(blob))
}

/// The new head, where the new section begins, and what it holds (PE format, revision 11, 3 and 4).
fn patch(mut head: Vec<u8>, length: u64, cmdline: &[u8]) -> Result<(Vec<u8>, u64, Vec<u8>), &'static str> {
    const SHORT: &str = "it is cut short";
    let short = || SHORT;
    if head.get(..2) != Some(b"MZ") {
        return Err("it is none");
    }
    let u32_at = |head: &[u8], at: usize| {
        let bytes: Option<[u8; 4]> = head.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or(SHORT)
    };
    let u16_at = |head: &[u8], at: usize| -> Result<usize, &'static str> {
        let bytes: [u8; 2] = head.get(at..at + 2).and_then(|b| b.try_into().ok()).ok_or(SHORT)?;
        Ok(usize::from(u16::from_le_bytes(bytes)))
    };
    let pe = u32_at(&head, 0x3c)? as usize;
    if pe > HEAD || head.get(pe..pe + 4) != Some(b"PE\0\0") {
        return Err("it has no PE header");
    }
    let sections = u16_at(&head, pe + 6)?;
    let optional = u16_at(&head, pe + 20)?;
    let alignment = u64::from(u32_at(&head, pe + 24 + 36)?).clamp(1, 1 << 16);
    let table = pe + 24 + optional;
    let entries: Vec<usize> = (0..sections).map(|n| table + n * SECTION).collect();
    let named = |at: &&usize| head.get(**at..**at + 8) == Some(b".cmdline");
    let entry = *entries.iter().find(named).ok_or("it has no section .cmdline")?;
    let address = u32_at(&head, entry + 12)?;
    let mut after = u32::MAX;
    for other in &entries {
        let a = u32_at(&head, other + 12)?;
        if a > address {
            after = after.min(a);
        }
    }
    let size = u32::try_from(cmdline.len()).map_err(|_| "the command line is too long")?;
    if size > after - address {
        return Err("there is no room for the command line");
    }
    let start = length.next_multiple_of(alignment);
    let mut blob = cmdline.to_vec();
    blob.resize(cmdline.len().next_multiple_of(usize::try_from(alignment).unwrap_or(512)), 0);
    let raw = u32::try_from(blob.len()).map_err(|_| "the command line is too long")?;
    let pointer = u32::try_from(start).map_err(|_| "it is too large")?;
    for (at, value) in [(8, size), (16, raw), (20, pointer)] {
        let place = head.get_mut(entry + at..entry + at + 4).ok_or_else(short)?;
        place.copy_from_slice(&value.to_le_bytes());
    }
    Ok((head, start, blob))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A head with three sections.
    fn program() -> Vec<u8> {
        let mut h = vec![0; 1024];
        h[..2].copy_from_slice(b"MZ");
        h[0x3c] = 0x80;
        h[0x80..0x84].copy_from_slice(b"PE\0\0");
        h[0x86] = 3;
        h[0x80 + 20] = 0xf0;
        h[0x80 + 24 + 36..][..4].copy_from_slice(&512_u32.to_le_bytes());
        for (n, (name, address)) in
            [(&b".text\0\0\0"[..], 0x1000_u32), (b".cmdline", 0x3_0000), (b".linux\0\0", 0x4_0000)]
                .into_iter()
                .enumerate()
        {
            let at = 0x80 + 24 + 0xf0 + n * SECTION;
            h[at..at + 8].copy_from_slice(name);
            h[at + 12..at + 16].copy_from_slice(&address.to_le_bytes());
        }
        h
    }

    #[test]
    fn the_section_points_behind_the_file() {
        let (head, start, blob) = patch(program(), 1025, b"quiet hanok.token=x").unwrap();
        let entry = 0x80 + 24 + 0xf0 + SECTION;
        let at = |o: usize| u32::from_le_bytes(head[entry + o..entry + o + 4].try_into().unwrap());
        assert_eq!((at(8), at(16), at(20)), (19, 512, 1536));
        assert_eq!((start, blob.len()), (1536, 512));
        assert!(patch(program(), 1025, &[b'x'; 0x1_0001]).is_err(), "longer than the room before .linux");
    }

    proptest! {
        #[test]
        fn no_file_panics(mut at in proptest::collection::vec((0usize..1024, any::<u8>()), 0..8), cut in 0usize..1024) {
            let mut head = program();
            at.drain(..).for_each(|(i, b)| head[i] = b);
            head.truncate(cut);
            let _ = patch(head, 5000, b"x");
        }
    }
}
