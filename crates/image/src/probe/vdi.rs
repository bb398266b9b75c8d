//! VirtualBox's VDI. Source: the header as QEMU's block/vdi.c describes it.

use super::{Source, Window, cut_off, refused};
use base::Result;

const DYNAMIC: u32 = 1;
const FIXED: u32 = 2;

pub fn virtual_size(source: &dyn Source) -> Result<u64> {
    let head: Window<512> = Window::at(source, 0)?.ok_or_else(cut_off)?;
    if head.le32(0x44) != 0x0001_0001 {
        return Err(refused("it is not version 1.1 of VDI"));
    }
    if !matches!(head.le32(0x4c), DYNAMIC | FIXED) {
        return Err(refused("it is neither dynamic nor fixed (a difference to another file?)"));
    }
    if head.bytes::<16>(0x1a8) != [0; 16] || head.bytes::<16>(0x1b8) != [0; 16] {
        return Err(refused("it refers to a parent image"));
    }
    if head.le32(0x168) != 512 {
        return Err(refused("its sectors are not 512 bytes"));
    }
    let size = head.le64(0x170);
    let covered = u64::from(head.le32(0x178)).saturating_mul(u64::from(head.le32(0x180)));
    if size > covered {
        return Err(refused("it has fewer blocks than its size needs"));
    }
    let map_end = u64::from(head.le32(0x154)).saturating_add(u64::from(head.le32(0x180)) * 4);
    if map_end > source.size() {
        return Err(refused("its block map lies outside the file: it is damaged or cut off"));
    }
    let data = u64::from(head.le32(0x178)).saturating_mul(u64::from(head.le32(0x184)));
    if u64::from(head.le32(0x158)).saturating_add(data) > source.size() {
        return Err(refused("it is shorter than its header says"));
    }
    Ok(size)
}
