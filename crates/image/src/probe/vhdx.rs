//! Microsoft's VHDX. Source: [MS-VHDX], Virtual Hard Disk v2 (VHDX) File Format.
//!
//! The size is in the metadata region, which the region table at 192 KiB names. Tables are walked entry
//! by entry with a bound, each entry read from where it stands.

use super::{Source, Window, cut_off, refused};
use base::Result;

const REGIONS: u64 = 192 << 10;
const MAX_REGIONS: u32 = 2047;
const MAX_ITEMS: u16 = 2047;
/// GUIDs as they lie in the file.
const BAT: [u8; 16] = guid(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const METADATA: [u8; 16] = guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const FILE_PARAMETERS: [u8; 16] = guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const DISK_SIZE: [u8; 16] = guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const PARENT_LOCATOR: [u8; 16] = guid(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c);

pub fn virtual_size(source: &dyn Source) -> Result<u64> {
    let metadata = metadata_region(source)?;
    let table: Window<32> = Window::at(source, metadata)?.ok_or_else(cut_off)?;
    let count = table.le16(10);
    if table.bytes(0) != *b"metadata" || count > MAX_ITEMS {
        return Err(refused("its metadata table is damaged"));
    }
    let mut size = None;
    for i in 1..=u64::from(count) {
        let item: Window<32> = Window::at(source, metadata.saturating_add(i * 32))?.ok_or_else(cut_off)?;
        let at = metadata.saturating_add(u64::from(item.le32(16)));
        match item.bytes(0) {
            PARENT_LOCATOR => return Err(refused("it refers to a parent image")),
            FILE_PARAMETERS => {
                let value: Window<8> = Window::at(source, at)?.ok_or_else(cut_off)?;
                if value.le32(4) & 2 != 0 {
                    return Err(refused("it refers to a parent image"));
                }
            }
            DISK_SIZE => {
                let value: Window<8> = Window::at(source, at)?.ok_or_else(cut_off)?;
                if size.replace(value.le64(0)).is_some() {
                    return Err(refused("it states its size twice"));
                }
            }
            _ => {}
        }
    }
    size.ok_or_else(|| refused("it does not state its size"))
}

/// Where the metadata begins.
fn metadata_region(source: &dyn Source) -> Result<u64> {
    let table: Window<16> = Window::at(source, REGIONS)?.ok_or_else(cut_off)?;
    let count = table.le32(8);
    if table.bytes(0) != *b"regi" || count > MAX_REGIONS {
        return Err(refused("its region table is damaged"));
    }
    let mut metadata = None;
    for i in 0..u64::from(count) {
        let entry: Window<32> = Window::at(source, REGIONS + 16 + i * 32)?.ok_or_else(cut_off)?;
        match entry.bytes(0) {
            METADATA if metadata.is_some() => return Err(refused("it has two metadata regions")),
            METADATA => metadata = Some(entry.le64(16)),
            BAT => {}
            _ if entry.le32(28) & 1 != 0 => {
                return Err(refused("it needs a region that is not known here"));
            }
            _ => {}
        }
    }
    metadata.ok_or_else(|| refused("it has no metadata"))
}

/// The mixed byte order of GUIDs: three numbers little-endian, the rest as written.
const fn guid(a: u32, b: u16, c: u16, rest: u64) -> [u8; 16] {
    let (a, b, c, r) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), rest.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]]
}
