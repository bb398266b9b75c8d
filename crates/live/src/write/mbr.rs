//! Partition tables of old: four entries in the first sector, 32 bits each for place and length.

use super::table::{Fitted, Part, place};
use base::{Fault, Result};

const TABLE: usize = 446;
const SECTORS_MAX: u64 = u32::MAX as u64;
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// FAT with 32 bits and logical addresses: the kind does not matter to who looks for a label.
const FAT: u8 = 0x0c;

#[derive(Debug)]
pub struct Mbr {
    sector: Vec<u8>,
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let part = bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
    u64::from(part.map_or(0, u32::from_le_bytes))
}

impl Mbr {
    /// None: it is something else that ends in 55 AA, such as a file system without a table.
    pub fn parse(head: &[u8]) -> Option<Mbr> {
        let sector = head.get(..512)?;
        if sector.get(510..)? != [0x55, 0xaa] {
            return None;
        }
        let mbr = Mbr { sector: sector.to_vec() };
        let sane = mbr.entries().all(|e| {
            let empty = e.iter().all(|b| *b == 0);
            empty
                || (matches!(e.first(), Some(0 | 0x80))
                    && e.get(4) != Some(&0)
                    && number(e, 8) > 0
                    && number(e, 12) > 0)
        });
        let parts = mbr.parts();
        let apart =
            parts.iter().all(|a| parts.iter().all(|b| a == b || a.end() <= b.start || b.end() <= a.start));
        (sane && apart && !parts.is_empty() && parts.iter().all(|p| mbr.kind(p.number) != 0xee))
            .then_some(mbr)
    }

    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.sector.get(TABLE..TABLE + 64).unwrap_or_default().chunks_exact(16)
    }
    fn kind(&self, partition: u32) -> u8 {
        self.sector.get(TABLE + (partition as usize - 1) * 16 + 4).copied().unwrap_or(0)
    }

    pub fn parts(&self) -> Vec<Part> {
        let used = self.entries().zip(1..).filter(|(e, _)| e.get(4) != Some(&0));
        used.map(|(e, n)| Part {
            number: n,
            start: number(e, 8),
            sectors: number(e, 12),
            container: e.get(4).is_some_and(|k| EXTENDED.contains(k)),
        })
        .collect()
    }

    pub fn fit(mut self, disk: u64, sector: u64, grow: bool, config: u64) -> Result<Fitted> {
        // What lies beyond 32 bits cannot be said in such a table.
        let end = disk.min(SECTORS_MAX);
        let Some(last) = self.parts().into_iter().max_by_key(Part::end) else {
            return Ok(Fitted::default());
        };
        if last.end() > end {
            return Err(Fault::bad_request(
                "The disk is too small: the image's partitions reach over its end. Take a larger disk.",
            ));
        }
        let (drive, reach) = place(end, last.end(), sector, config)?;
        let mut fitted = Fitted::default();
        if let Some(start) = drive {
            let free = (1..=4).find(|n| self.kind(*n) == 0).ok_or_else(|| {
                Fault::bad_request(
                    "The image's partition table is full (four partitions): there is no entry for the configuration \
                     drive. Take an image with a GPT.",
                )
            })?;
            let sectors = config / sector;
            self.set(free, Some(FAT), start, sectors);
            fitted.config = Some((start * sector, sectors * sector));
        }
        if grow && !last.container && reach > last.end() {
            self.set(last.number, None, last.start, reach - last.start);
            fitted.grown = Some(last.number);
        }
        if fitted.config.is_some() || fitted.grown.is_some() {
            fitted.writes = vec![(0, self.sector)];
        }
        Ok(fitted)
    }

    fn set(&mut self, partition: u32, kind: Option<u8>, start: u64, sectors: u64) {
        let at = TABLE + (partition as usize - 1) * 16;
        let low = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        if let Some(entry) = self.sector.get_mut(at..at + 16) {
            if let Some(kind) = kind {
                entry.fill(0);
                entry[4] = kind;
                // Cylinder, head and sector beyond what they can say.
                entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
            }
            entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
            entry[8..12].copy_from_slice(&low(start));
            entry[12..16].copy_from_slice(&low(sectors));
        }
    }
}
