//! QEMU's qcow2, versions 2 and 3. Source: docs/interop/qcow2.txt of QEMU.

use super::{Source, Window, cut_off, refused};
use base::Result;

/// Bits of `incompatible_features` that a reader has to understand.
const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
/// Longest L1 table that QEMU opens, in bytes.
const MAX_L1: u64 = 32 << 20;
/// Longest refcount table that QEMU opens, in bytes.
const MAX_REFCOUNT_TABLE: u64 = 8 << 20;
/// Internal snapshots that QEMU opens.
const MAX_SNAPSHOTS: u32 = 65536;

pub fn virtual_size(source: &dyn Source) -> Result<u64> {
    let head: Window<72> = Window::at(source, 0)?.ok_or_else(cut_off)?;
    let features = match head.be32(4) {
        2 => 0,
        3 => features(source)?,
        v => return Err(refused(format!("it is version {v} of qcow; versions 2 and 3 are accepted"))),
    };
    if head.be64(8) != 0 || head.be32(16) != 0 {
        return Err(refused(
            "it has a backing file, so it is not whole; `qemu-img convert -O qcow2` makes one that is",
        ));
    }
    if head.be32(32) != 0 {
        return Err(refused("it is encrypted"));
    }
    if head.be32(60) > MAX_SNAPSHOTS {
        return Err(refused("it has too many snapshots inside"));
    }
    layout(source.size(), &head, features)?;
    Ok(head.be64(24))
}

/// The feature bits of version 3, all of them understood.
fn features(source: &dyn Source) -> Result<u64> {
    let head: Window<104> = Window::at(source, 0)?.ok_or_else(cut_off)?;
    let bits = head.be64(72);
    if bits & EXTERNAL_DATA != 0 {
        return Err(refused(
            "its data is in another file; `qemu-img convert -O qcow2` makes one that is whole",
        ));
    }
    if bits & CORRUPT != 0 {
        return Err(refused("it is marked as corrupt; `qemu-img check -r all` may repair it"));
    }
    let unknown = bits & !(DIRTY | COMPRESSION | EXTENDED_L2);
    if unknown != 0 {
        return Err(refused(format!("it uses features that are not known here (bits {unknown:#x})")));
    }
    if head.be32(96) > 6 {
        return Err(refused("its reference counts are wider than 64 bits"));
    }
    if head.be32(100) < 104 {
        return Err(refused("its header is shorter than version 3 asks for"));
    }
    Ok(bits)
}

/// The tables lie inside the file and are large enough for the disk, so the file is not cut off early.
fn layout(file: u64, head: &Window<72>, features: u64) -> Result<()> {
    let bits = head.be32(20);
    if !(9..=21).contains(&bits) {
        return Err(refused(format!("its clusters are 2^{bits} bytes; 2^9 to 2^21 are possible")));
    }
    let cluster = 1_u64 << bits;
    let entry = if features & EXTENDED_L2 == 0 { 8 } else { 16 };
    let per_l1_entry = cluster * (cluster / entry);
    let l1 = u64::from(head.be32(36));
    if l1 < head.be64(24).div_ceil(per_l1_entry) {
        return Err(refused("its L1 table is too small for its size"));
    }
    let table = |name: &str, at: u64, bytes: u64, max: u64| {
        let inside = at.is_multiple_of(cluster) && at.checked_add(bytes).is_some_and(|end| end <= file);
        if bytes > max || (bytes > 0 && !inside) {
            return Err(refused(format!("its {name} table lies outside the file: it is damaged or cut off")));
        }
        Ok(())
    };
    table("L1", head.be64(40), l1 * 8, MAX_L1)?;
    let clusters = u64::from(head.be32(56));
    if clusters == 0 {
        return Err(refused("it has no refcount table"));
    }
    table("refcount", head.be64(48), clusters.saturating_mul(cluster), MAX_REFCOUNT_TABLE)
}
