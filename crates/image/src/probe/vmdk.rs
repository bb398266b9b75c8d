//! VMware's VMDK in one file: monolithicSparse and streamOptimized.
//! Source: VMware Virtual Disk Format 5.0.
//!
//! A descriptor can name extents and parents anywhere on the reader's disk, so a descriptor alone is
//! refused, and the embedded one may name one sparse extent, the file itself.

use super::{Source, Window, cut_off, refused};
use base::Result;

/// A grain directory at the end of the file: the true header is in the footer (streamOptimized).
const AT_END: u64 = u64::MAX;
/// Longest embedded descriptor, in bytes; writers use 10 KiB.
const MAX_DESCRIPTOR: usize = 64 << 10;
/// Where readers look for a parent whatever the header says, and how far, in bytes.
const PARENT_AT: u64 = 512;
const PARENT_WITHIN: usize = 10 << 10;

/// A sparse extent, an old one, or a descriptor in plain text.
pub fn looks(head: &[u8]) -> bool {
    head.starts_with(b"KDMV") || head.starts_with(b"COWD") || is_descriptor(head)
}

/// As lenient as readers are: comments and blank lines, then `version=`.
fn is_descriptor(head: &[u8]) -> bool {
    if !head.starts_with(b"#") {
        return false;
    }
    if head.starts_with(b"# Disk DescriptorFile") {
        return true;
    }
    let mut lines = head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|l| !l.is_empty() && !l.starts_with(b"#"));
    first.is_some_and(|l| l.starts_with(b"version="))
}

pub fn virtual_size(source: &dyn Source) -> Result<u64> {
    let magic: Window<4> = Window::at(source, 0)?.ok_or_else(cut_off)?;
    if magic.0 != *b"KDMV" {
        return Err(refused(
            "it is a descriptor or an old part of a split disk, not a disk in one file; \
             `qemu-img convert -O vmdk` makes one",
        ));
    }
    let head: Window<512> = Window::at(source, 0)?.ok_or_else(cut_off)?;
    let capacity = header(&head)?;
    if head.le64(56) == AT_END {
        let at = source.size().checked_sub(1024).ok_or_else(cut_off)?;
        let footer: Window<512> = Window::at(source, at)?.ok_or_else(cut_off)?;
        if footer.bytes(0) != *b"KDMV" {
            return Err(refused("its footer is missing: the file is cut off"));
        }
        if header(&footer)? != capacity || footer.le64(28) != head.le64(28) {
            return Err(refused("its header and footer differ"));
        }
    }
    descriptor(source, head.le64(28), head.le64(36))?;
    capacity.checked_mul(512).ok_or_else(|| refused("its size is absurd"))
}

/// Sectors of the disk, of a header or footer that is sound.
fn header(head: &Window<512>) -> Result<u64> {
    if !(1..=3).contains(&head.le32(4)) {
        return Err(refused("it is not version 1 to 3 of VMDK"));
    }
    let (capacity, grain) = (head.le64(12), head.le64(20));
    if capacity == 0 {
        return Err(refused("it has no data of its own"));
    }
    if !grain.is_power_of_two() || !(8..=1 << 18).contains(&grain) {
        return Err(refused("its grains have an impossible size"));
    }
    Ok(capacity)
}

/// The embedded descriptor, in sectors from the start of the file.
///
/// Readers differ: some take a parent from the second sector on, wherever the header puts the descriptor, and find
/// its name anywhere in a line, in a comment too. So there is one place for it, and nowhere may that word stand.
fn descriptor(source: &dyn Source, at: u64, sectors: u64) -> Result<()> {
    let bytes = usize::try_from(sectors.saturating_mul(512)).unwrap_or(usize::MAX);
    if at == 0 || bytes == 0 || bytes > MAX_DESCRIPTOR {
        return Err(refused("its descriptor is missing or longer than 64 KiB"));
    }
    if at.saturating_mul(512) != PARENT_AT {
        return Err(refused("its descriptor is not in the second sector, where readers look for it"));
    }
    let mut all = vec![0; MAX_DESCRIPTOR];
    let n = source.read(PARENT_AT, &mut all[..bytes.max(PARENT_WITHIN)])?;
    if n < bytes {
        return Err(cut_off());
    }
    let hint = b"parentfilenamehint";
    if all[..n].windows(hint.len()).any(|w| w.eq_ignore_ascii_case(hint)) {
        return Err(refused("it refers to a parent image"));
    }
    let text = String::from_utf8_lossy(&all[..bytes]);
    judge(text.split('\0').next().unwrap_or_default())
}

fn judge(text: &str) -> Result<()> {
    let mut kinds = Vec::new();
    let mut extents = Vec::new();
    for line in text.lines().map(str::trim) {
        let (key, value) = line.split_once('=').map_or((line, ""), |(k, v)| (k.trim(), v.trim()));
        match key.to_ascii_lowercase().as_str() {
            "createtype" => kinds.push(value.trim_matches('"').to_owned()),
            "parentcid" if !value.eq_ignore_ascii_case("ffffffff") => {
                return Err(refused("it refers to a parent image"));
            }
            _ => {}
        }
        if ["RW ", "RDONLY ", "NOACCESS "].iter().any(|a| line.starts_with(a)) {
            extents.push(line);
        }
    }
    match kinds.as_slice() {
        [one] if one == "monolithicSparse" || one == "streamOptimized" => {}
        [other] => {
            return Err(refused(format!(
                "its createType is {other:?}; monolithicSparse and streamOptimized are accepted"
            )));
        }
        _ => return Err(refused("its descriptor does not state one createType")),
    }
    // An extent is `ACCESS SECTORS SPARSE "name"`; the name of an embedded one is the file's own.
    match extents.as_slice() {
        [one] => {
            let words: Vec<_> = one.splitn(4, ' ').collect();
            let name = words.get(3).copied().unwrap_or_default();
            if words.get(2) != Some(&"SPARSE") || name.contains(['/', '\\']) {
                return Err(refused("its extent is another file"));
            }
            Ok(())
        }
        _ => Err(refused("its descriptor does not name one extent")),
    }
}
