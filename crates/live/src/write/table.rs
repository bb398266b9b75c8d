//! Partition tables: read from the first bytes of a disk, and fitted to a disk that is larger than the image was.
//!
//! Only what is understood is changed: a GPT whose checksums hold, or an MBR. Anything else is left as it is.

use super::{gpt, mbr};
use crate::disks::Disk;
use base::{Fault, Result};

/// Partitions begin at whole MiB.
pub const ALIGN: u64 = 1 << 20;

/// A partition, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// As the kernel numbers it.
    pub number: u32,
    pub start: u64,
    pub sectors: u64,
    /// An extended partition of an MBR, which holds others.
    pub container: bool,
}

impl Part {
    pub fn end(&self) -> u64 {
        self.start + self.sectors
    }
}

#[derive(Debug)]
pub enum Table {
    /// None, or none that is understood.
    None,
    Gpt(Box<gpt::Gpt>),
    Mbr(mbr::Mbr),
}

/// What is to be written so that the table fits the disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fitted {
    /// Bytes by their place on the disk; the order matters.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// Where the config drive goes: place and length in bytes.
    pub config: Option<(u64, u64)>,
    /// Number of the partition that has become larger.
    pub grown: Option<u32>,
}

/// `head` is the beginning of the disk, 1 MiB of it or all.
pub fn read(head: &[u8], sector: u64) -> Result<Table> {
    for other in [512, 4096] {
        if other != sector && gpt::is(head, other) && !gpt::is(head, sector) {
            return Err(Fault::bad_request(format!(
                "The image is made for disks with sectors of {other} bytes, and this disk has {sector}. \
                 Take an image made for such disks."
            )));
        }
    }
    if gpt::is(head, sector) {
        return Ok(gpt::Gpt::parse(head, sector).map_or(Table::None, |g| Table::Gpt(Box::new(g))));
    }
    Ok(mbr::Mbr::parse(head).map_or(Table::None, Table::Mbr))
}

impl Table {
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Table::None => Vec::new(),
            Table::Gpt(gpt) => gpt.parts(),
            Table::Mbr(mbr) => mbr.parts(),
        }
    }
    /// The one at the end.
    pub fn last(&self) -> Option<Part> {
        self.parts().into_iter().max_by_key(Part::end)
    }
    /// Fits it to a disk of `disk` sectors, with room for `config` bytes at the end.
    pub fn fit(self, disk: u64, sector: u64, grow: bool, config: u64) -> Result<Fitted> {
        match self {
            Table::None => Ok(Fitted::default()),
            Table::Gpt(gpt) => gpt.fit(disk, grow, config),
            Table::Mbr(mbr) => mbr.fit(disk, sector, grow, config),
        }
    }
}

/// Whether a file system is in the partition that can be grown: ext2–4, XFS or btrfs, by their marks.
pub fn grows(disk: &Disk, part: Part) -> bool {
    let at = part.start * disk.sector;
    let is = |offset: u64, mark: &[u8]| {
        part.sectors * disk.sector > offset + 64
            && disk.read(at + offset, mark.len()).is_ok_and(|b| b == mark)
    };
    !part.container && (is(0x438, &[0x53, 0xef]) || is(0, b"XFSB") || is(0x1_0040, b"_BHRfS_M"))
}

/// The config drive's first sector and how far the last partition may reach, both in sectors; `end` is the first
/// sector that nothing may use.
pub fn place(end: u64, used: u64, sector: u64, config: u64) -> Result<(Option<u64>, u64)> {
    let align = ALIGN / sector;
    if config == 0 {
        return Ok((None, end / align * align));
    }
    let start = end.saturating_sub(config / sector) / align * align;
    if start < used {
        let lacking = ((used - start) * sector).div_ceil(1 << 20);
        return Err(Fault::bad_request(format!(
            "The disk is too small for the image and its configuration drive: {lacking} MiB more are needed. \
             Take a smaller image or a larger disk."
        )));
    }
    Ok((Some(start), start))
}
