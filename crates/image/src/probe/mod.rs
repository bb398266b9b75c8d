//! What an image's bytes are, found by looking at them.
//!
//! A format that can name other files, or that a reader could take for another format, is a way out of
//! a guest: so content must be what its owner says, be only that, and be whole. Every number in a header
//! is the uploader's: it is compared, never used as a length to read or allocate. The checks are pure
//! functions over [`Source`] and are fuzzed.

mod qcow2;
#[cfg(test)]
mod tests;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

use crate::model::DiskFormat;
use base::{Fault, Kind, Result};
use std::fmt;
use std::os::unix::fs::FileExt;

/// The largest disk that an image may describe, in bytes (64 TiB).
pub const MAX_VIRTUAL: u64 = 1 << 46;

/// Bytes to look at.
pub trait Source {
    fn size(&self) -> u64;
    /// Fills `buf` from offset `at`, as far as there are bytes; answers how many there were.
    fn read(&self, at: u64, buf: &mut [u8]) -> std::io::Result<usize>;
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn read(&self, at: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// A file of known size.
pub struct OnDisk<'a> {
    pub file: &'a std::fs::File,
    pub size: u64,
}

impl Source for OnDisk<'_> {
    fn size(&self) -> u64 {
        self.size
    }
    fn read(&self, at: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], at.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }
}

/// A fixed number of bytes from the source; numbers are read out of it by offset.
struct Window<const N: usize>([u8; N]);

impl<const N: usize> Window<N> {
    /// `None` when the source ends before the window does.
    fn at(source: &dyn Source, offset: u64) -> Result<Option<Self>> {
        let mut bytes = [0; N];
        let n = source.read(offset, &mut bytes)?;
        Ok((n == N).then_some(Window(bytes)))
    }
    fn bytes<const M: usize>(&self, at: usize) -> [u8; M] {
        let mut out = [0; M];
        if let Some(found) = self.0.get(at..at + M) {
            out.copy_from_slice(found);
        }
        out
    }
    fn be32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes(at))
    }
    fn be64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes(at))
    }
    fn le16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }
    fn le32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }
    fn le64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }
}

/// What bytes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Qcow2,
    Vmdk,
    Vhd,
    Vhdx,
    Vdi,
    Iso,
    Qed,
    Parallels,
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Look::Qcow2 => "qcow2",
            Look::Vmdk => "vmdk",
            Look::Vhd => "vhd",
            Look::Vhdx => "vhdx",
            Look::Vdi => "vdi",
            Look::Iso => "iso",
            Look::Qed => "qed",
            Look::Parallels => "parallels",
        })
    }
}

/// Looks at content that is declared to be `format`; answers the size of the disk in it, in bytes.
///
/// # Errors
/// 415 when it is not that, is something else as well, is damaged, or refers to other files.
pub fn inspect(source: &dyn Source, format: DiskFormat) -> Result<u64> {
    let looks = looks(source)?;
    let expected = match format {
        DiskFormat::Raw | DiskFormat::Ami | DiskFormat::Ari | DiskFormat::Aki => None,
        DiskFormat::Qcow2 => Some(Look::Qcow2),
        DiskFormat::Vmdk => Some(Look::Vmdk),
        DiskFormat::Vhd => Some(Look::Vhd),
        DiskFormat::Vhdx => Some(Look::Vhdx),
        DiskFormat::Vdi => Some(Look::Vdi),
        DiskFormat::Iso => Some(Look::Iso),
    };
    let Some(expected) = expected else {
        // An ISO image is a plain sequence of bytes too; the others would be read differently.
        return match looks.iter().find(|l| **l != Look::Iso) {
            None => bounded(source.size()),
            Some(other) => Err(lie(format, &other.to_string())),
        };
    };
    match looks.as_slice() {
        [only] if *only == expected => {}
        [] => return Err(lie(format, "none of the formats that are known here (so raw)")),
        all => {
            let all: Vec<_> = all.iter().map(Look::to_string).collect();
            return Err(lie(format, &all.join(" and ")));
        }
    }
    let bytes = match expected {
        Look::Qcow2 => qcow2::virtual_size(source)?,
        Look::Vmdk => vmdk::virtual_size(source)?,
        Look::Vhd => vhd::virtual_size(source)?,
        Look::Vhdx => vhdx::virtual_size(source)?,
        Look::Vdi => vdi::virtual_size(source)?,
        Look::Iso | Look::Qed | Look::Parallels => source.size(),
    };
    bounded(bytes)
}

/// Everything that the content could be taken for.
fn looks(source: &dyn Source) -> Result<Vec<Look>> {
    let mut head = [0; 512];
    let n = source.read(0, &mut head)?;
    let head = &head[..n];
    let mut tail = [0; 8];
    let footer = source.size().checked_sub(512);
    if let Some(at) = footer {
        source.read(at, &mut tail)?;
    }
    let mut descriptor = [0; 6];
    source.read(0x8000, &mut descriptor)?;
    let tests = [
        (Look::Qcow2, head.starts_with(b"QFI\xfb")),
        (Look::Qed, head.starts_with(b"QED\0")),
        (Look::Vmdk, vmdk::looks(head)),
        (Look::Vhd, head.starts_with(b"conectix") || tail == *b"conectix"),
        (Look::Vhdx, head.starts_with(b"vhdxfile")),
        (Look::Vdi, head.get(0x40..0x44) == Some(&[0x7f, 0x10, 0xda, 0xbe])),
        (Look::Parallels, head.starts_with(b"WithoutFreeSpace") || head.starts_with(b"WithouFreSpacExt")),
        (Look::Iso, descriptor[1..] == *b"CD001"),
    ];
    Ok(tests.into_iter().filter_map(|(look, yes)| yes.then_some(look)).collect())
}

fn bounded(bytes: u64) -> Result<u64> {
    if bytes > MAX_VIRTUAL {
        return Err(refused(format!(
            "it describes a disk of {bytes} bytes; at most {MAX_VIRTUAL} are allowed"
        )));
    }
    Ok(bytes)
}

fn lie(format: DiskFormat, look: &str) -> Fault {
    Fault::new(
        Kind::UnsupportedMedia,
        format!(
            "Image content does not match disk_format: it is declared as {} and looks like {look}. Set disk_format \
             to what the file is, or upload the right file.",
            format.as_str()
        ),
    )
}

/// The file is of the right kind and still not acceptable.
fn refused(why: impl fmt::Display) -> Fault {
    Fault::new(Kind::UnsupportedMedia, format!("The image cannot be accepted: {why}."))
}

fn cut_off() -> Fault {
    refused("the file is cut off in its header")
}
