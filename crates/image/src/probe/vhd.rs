//! Microsoft's VHD: fixed (data and a footer) and dynamic (a copy of the footer in front).
//! Source: Virtual Hard Disk Image Format Specification, version 1.0.

use super::{Source, Window, cut_off, refused};
use base::Result;

const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
/// Largest geometry; disks that have it are as large as `current_size` says.
const MAX_SECTORS: u64 = 65535 * 16 * 255;
/// Programs whose disks are as large as `current_size` says, whatever the geometry.
const EXACT: [&[u8; 4]; 6] = [b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0"];

pub fn virtual_size(source: &dyn Source) -> Result<u64> {
    let end = source.size().checked_sub(512).ok_or_else(cut_off)?;
    let front: Window<512> = Window::at(source, 0)?.ok_or_else(cut_off)?;
    let back: Window<512> = Window::at(source, end)?.ok_or_else(cut_off)?;
    if back.bytes(0) != *b"conectix" {
        return Err(refused("its footer is missing: the file is cut off"));
    }
    let dynamic = front.bytes(0) == *b"conectix";
    if dynamic && front.0 != back.0 {
        return Err(refused("its two footers differ"));
    }
    if checksum(&back) != back.be32(64) {
        return Err(refused("the checksum of its footer is wrong"));
    }
    match (dynamic, back.be32(60)) {
        (false, FIXED) => {
            let size = size(&back);
            if size > end {
                return Err(refused("it is shorter than its footer says"));
            }
            Ok(size)
        }
        (true, DYNAMIC) => {
            blocks(source, &back)?;
            Ok(size(&back))
        }
        _ => Err(refused("it is neither fixed nor dynamic (a difference to another file?)")),
    }
}

/// The dynamic header: no parent, and enough blocks for the size.
fn blocks(source: &dyn Source, footer: &Window<512>) -> Result<()> {
    let head: Window<1024> = Window::at(source, footer.be64(16))?.ok_or_else(cut_off)?;
    if head.bytes(0) != *b"cxsparse" {
        return Err(refused("its dynamic header is missing"));
    }
    if head.bytes::<16>(40) != [0; 16] {
        return Err(refused("it refers to a parent image"));
    }
    let (entries, block) = (u64::from(head.be32(28)), u64::from(head.be32(32)));
    if !block.is_power_of_two() || block < 512 || entries.saturating_mul(block) < size(footer) {
        return Err(refused("it has fewer blocks than its size needs"));
    }
    if head.be64(16).saturating_add(entries * 4) > source.size() {
        return Err(refused("its block table lies outside the file: it is damaged or cut off"));
    }
    Ok(())
}

/// As hosts read it: by geometry for Virtual PC and its like, else exactly.
fn size(footer: &Window<512>) -> u64 {
    let heads_and_sectors: [u8; 2] = footer.bytes(58);
    let cylinders = u64::from(u16::from_be_bytes(footer.bytes(56)));
    let sectors = cylinders * u64::from(heads_and_sectors[0]) * u64::from(heads_and_sectors[1]);
    let creator: [u8; 4] = footer.bytes(28);
    if sectors == MAX_SECTORS || EXACT.contains(&&creator) { footer.be64(48) } else { sectors * 512 }
}

/// The complement of the sum of all bytes but the checksum's own.
fn checksum(footer: &Window<512>) -> u32 {
    let sum: u32 =
        footer.0.iter().enumerate().filter(|(i, _)| !(64..68).contains(i)).map(|(_, b)| u32::from(*b)).sum();
    !sum
}
