//! GUID partition tables (UEFI specification 2.10, chapter 5): a header and a list of entries at the beginning of the
//! disk, and both again at its end.

use super::table::{Fitted, Part, place};
use base::{Fault, Result};

const MARK: &[u8; 8] = b"EFI PART";
const HEADER: usize = 92;
/// A list that is longer than this is not of this world.
const ENTRIES_MAX: usize = 1024;
/// Basic data, EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, as it lies on the disk.
const BASIC_DATA: [u8; 16] =
    [0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7];
const CONFIG_NAME: &str = "config-2";

#[derive(Debug)]
pub struct Gpt {
    sector: u64,
    header: Vec<u8>,
    entries: Vec<u8>,
    entry: usize,
    protective: Vec<u8>,
}

/// Whether a disk with such sectors has one, whole or not.
pub fn is(head: &[u8], sector: u64) -> bool {
    let at = usize::try_from(sector).unwrap_or(512);
    head.get(at..at + 8) == Some(MARK)
}

fn get(bytes: &[u8], at: usize, length: usize) -> u64 {
    let part = bytes.get(at..at + length).unwrap_or_default();
    part.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn put(bytes: &mut [u8], at: usize, length: usize, value: u64) {
    if let Some(part) = bytes.get_mut(at..at + length) {
        part.copy_from_slice(value.to_le_bytes().get(..length).unwrap_or_default());
    }
}

/// CRC-32 as Ethernet and zip have it.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let (mut value, mut bit) = (n as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[n] = value;
            n += 1;
        }
        table
    };
    let step = |crc: u32, byte: &u8| crc >> 8 ^ TABLE.get((crc as u8 ^ byte) as usize).copied().unwrap_or(0);
    !bytes.iter().fold(!0, step)
}

impl Gpt {
    /// None: its checksums do not hold, or it reaches beyond `head`.
    pub fn parse(head: &[u8], sector: u64) -> Option<Gpt> {
        let at = usize::try_from(sector).ok()?;
        let header = head.get(at..at + HEADER)?.to_vec();
        if header.get(..8)? != MARK || get(&header, 12, 4) != HEADER as u64 {
            return None;
        }
        let mut blank = header.clone();
        put(&mut blank, 16, 4, 0);
        let count = usize::try_from(get(&header, 80, 4)).ok()?;
        let entry = usize::try_from(get(&header, 84, 4)).ok()?;
        let start = usize::try_from(get(&header, 72, 8).checked_mul(sector)?).ok()?;
        if u64::from(crc32(&blank)) != get(&header, 16, 4)
            || !(1..=ENTRIES_MAX).contains(&count)
            || !(128..=4096).contains(&entry)
        {
            return None;
        }
        let entries = head.get(start..start.checked_add(count * entry)?)?.to_vec();
        if u64::from(crc32(&entries)) != get(&header, 88, 4) {
            return None;
        }
        Some(Gpt { sector, header, entries, entry, protective: head.get(..512)?.to_vec() })
    }

    pub fn parts(&self) -> Vec<Part> {
        let entries = self.entries.chunks_exact(self.entry).zip(1..);
        entries
            .filter(|(e, _)| e.iter().take(16).any(|b| *b != 0))
            .filter_map(|(e, number)| {
                let (start, last) = (get(e, 32, 8), get(e, 40, 8));
                let sectors = last.checked_sub(start)?.checked_add(1)?;
                Some(Part { number, start, sectors, container: false })
            })
            .collect()
    }

    /// Sectors of the list of entries.
    fn list(&self) -> u64 {
        (self.entries.len() as u64).div_ceil(self.sector)
    }

    pub fn fit(mut self, disk: u64, grow: bool, config: u64) -> Result<Fitted> {
        let last = self.parts().into_iter().max_by_key(Part::end);
        let used = last.map_or(get(&self.header, 40, 8), |p| p.end());
        // At the end: the list again, and the header again in the last sector.
        let end = disk.saturating_sub(1 + self.list());
        if end < used {
            return Err(Fault::bad_request(
                "The disk is too small: the image's partitions reach over its end. Take a larger disk.",
            ));
        }
        let (drive, reach) = place(end, used, self.sector, config)?;
        let mut fitted = Fitted::default();
        if let Some(start) = drive {
            let sectors = config / self.sector;
            self.add(start, start + sectors - 1)?;
            fitted.config = Some((start * self.sector, sectors * self.sector));
        }
        if let Some(part) = last.filter(|p| grow && reach > p.end()) {
            let at = (part.number as usize - 1) * self.entry;
            put(&mut self.entries, at + 40, 8, reach - 1);
            fitted.grown = Some(part.number);
        }
        fitted.writes = self.render(disk, end);
        Ok(fitted)
    }

    fn add(&mut self, start: u64, last: u64) -> Result<()> {
        let free = self.entries.chunks_exact_mut(self.entry).find(|e| e.iter().take(16).all(|b| *b == 0));
        let entry = free.ok_or_else(|| {
            Fault::bad_request(
                "The image's partition table is full: there is no entry for the configuration drive.",
            )
        })?;
        entry.fill(0);
        entry.get_mut(..16).unwrap_or_default().copy_from_slice(&BASIC_DATA);
        // A random GUID: version 4, and the variant of RFC 9562.
        let mut own: [u8; 16] = rand::random();
        own[7] = own[7] & 0x0f | 0x40;
        own[8] = own[8] & 0x3f | 0x80;
        entry.get_mut(16..32).unwrap_or_default().copy_from_slice(&own);
        put(entry, 32, 8, start);
        put(entry, 40, 8, last);
        for (n, unit) in CONFIG_NAME.encode_utf16().enumerate() {
            put(entry, 56 + n * 2, 2, u64::from(unit));
        }
        Ok(())
    }

    /// Both copies. The one at the end goes first: whenever power is lost, one of them is whole.
    fn render(&self, disk: u64, end: u64) -> Vec<(u64, Vec<u8>)> {
        let first_list = get(&self.header, 72, 8);
        let header = |own: u64, other: u64, list: u64| {
            let mut header = self.header.clone();
            put(&mut header, 24, 8, own);
            put(&mut header, 32, 8, other);
            put(&mut header, 48, 8, end - 1);
            put(&mut header, 72, 8, list);
            put(&mut header, 88, 4, u64::from(crc32(&self.entries)));
            put(&mut header, 16, 4, 0);
            let sum = u64::from(crc32(&header));
            put(&mut header, 16, 4, sum);
            header.resize(usize::try_from(self.sector).unwrap_or(512), 0);
            header
        };
        let mut writes = vec![
            (end * self.sector, self.entries.clone()),
            ((disk - 1) * self.sector, header(disk - 1, 1, end)),
            (first_list * self.sector, self.entries.clone()),
            (self.sector, header(1, disk - 1, first_list)),
        ];
        if let Some(protective) = self.protective(disk) {
            writes.push((0, protective));
        }
        writes
    }

    /// The MBR that tells old programs that the disk is full, with the disk's new size. A hybrid one is somebody's
    /// own work and stays.
    fn protective(&self, disk: u64) -> Option<Vec<u8>> {
        let mut mbr = self.protective.clone();
        let only = mbr.get(510..512)? == [0x55, 0xaa]
            && mbr.get(450) == Some(&0xee)
            && get(&mbr, 454, 4) == 1
            && mbr.get(462..510)?.iter().all(|b| *b == 0);
        put(&mut mbr, 458, 4, (disk - 1).min(u64::from(u32::MAX)));
        only.then_some(mbr)
    }
}
