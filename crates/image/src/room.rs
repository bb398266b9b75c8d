//! Room on the disk that holds the images.
//!
//! The region's database is on that disk too as a rule, and on one machine the disks of its guests, which stop when they
//! can write no more. Content leaves a part of it to them.

use base::{Fault, Kind, Result};
use std::path::Path;

/// What content leaves free: one part in so many of the file system, up to [`MOST`] bytes.
const PART: u64 = 50;
const MOST: u64 = 1 << 30;

/// Whether the file system of `dir` has so many bytes for content.
///
/// # Errors
/// `TooLarge` when it has not.
pub fn need(dir: &Path, bytes: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(dir).map_err(std::io::Error::from)?;
    let of = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    enough(of(disk.f_bavail), of(disk.f_blocks), bytes)
}

fn enough(free: u64, all: u64, bytes: u64) -> Result<()> {
    let kept = (all / PART).min(MOST);
    if free >= bytes.saturating_add(kept) {
        return Ok(());
    }
    let mib = |b: u64| b.div_ceil(1 << 20);
    Err(Fault::new(
        Kind::TooLarge,
        format!(
            "There is no space left on the disk that holds images: {} MiB are free, {} MiB of which are kept for all else, \
             and {} MiB more are wanted. Delete images that are no longer needed, or ask an administrator for a larger disk.",
            free >> 20,
            mib(kept),
            mib(bytes)
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_disk_is_left_free() {
        let all = 100 << 20;
        enough(12 << 20, all, 10 << 20).unwrap();
        let fault = enough((12 << 20) - 1, all, 10 << 20).unwrap_err();
        assert_eq!(fault.kind, Kind::TooLarge);
        assert!(fault.message.contains("11 MiB are free, 2 MiB of which"), "{}", fault.message);
        // Of a large one no more than is needed.
        enough(MOST, 1 << 50, 0).unwrap();
        enough(MOST - 1, 1 << 50, 0).unwrap_err();
        enough(u64::MAX - 1, 1 << 50, u64::MAX).unwrap_err();
    }
}
