//! Erasing every disk of the machine that is not removable.
//!
//! quick: partition tables, signatures of file systems and volumes, and both ends. secure: the drive's own erase
//! where it has one, else every byte becomes zero. verified: every byte becomes zero in any case, and all is read back.

mod drive;

use crate::desk::Desk;
use crate::disks::{Disk, STRIDE};
use crate::inventory;
use crate::write::{root, table};
use base::doc::live::{DiskFacts, DiskKind, EraseMode, Erased};
use base::{Fault, Result};
use std::path::Path;

/// What is cleared at both ends of the disk and of every partition: signatures lie there (the farthest from an end
/// is that of btrfs, at 64 KiB; ZFS keeps labels in the first and last 512 KiB).
const END: u64 = 4 << 20;
/// Further copies of btrfs' superblock.
const BTRFS_COPIES: [u64; 2] = [64 << 20, 256 << 30];
const READ: usize = 4 << 20;

pub async fn run(mode: EraseMode, desk: &Desk) -> Result<String> {
    if mode == EraseMode::None {
        return Ok("Nothing was to be erased.".into());
    }
    let disks: Vec<DiskFacts> =
        inventory::disk::all(Path::new("/sys/block")).into_iter().filter(|d| !d.removable).collect();
    let passes = if mode == EraseMode::Verified { 2 } else { 1 };
    desk.expect(if mode == EraseMode::Quick { 0 } else { disks.iter().map(|d| d.size_bytes * passes).sum() });
    tokio::task::spawn_blocking(root::leave).await.map_err(Fault::internal)?;
    let mut wrong = 0;
    let count = disks.len();
    // All at once: the slowest disk decides how long it takes, not their sum.
    let mut running = tokio::task::JoinSet::new();
    for facts in disks {
        let desk = desk.clone();
        running.spawn_blocking(move || one(&facts, mode, &desk));
    }
    let mut failed = Vec::new();
    while let Some(outcome) = running.join_next().await {
        match outcome.map_err(Fault::internal)? {
            Ok(erased) => {
                wrong += erased.wrong;
                desk.erased(erased);
            }
            Err(fault) => failed.push(fault.message),
        }
    }
    if !failed.is_empty() {
        return Err(Fault::unavailable(failed.join(" ")));
    }
    if wrong > 0 {
        return Err(Fault::unavailable(format!(
            "Reading back found {wrong} bytes that are not zero: the disks named in the report do not erase what they \
             say. Erase again, or take them out."
        )));
    }
    Ok(format!("{count} disks are erased."))
}

fn one(facts: &DiskFacts, mode: EraseMode, desk: &Desk) -> Result<Erased> {
    desk.say(format!("Erasing {} ({}).", facts.name, facts.id));
    // Before the disk is opened: the drive's own programs want it for themselves.
    let own = if mode == EraseMode::Quick { None } else { drive::own_erase(facts)? };
    let disk = Disk::open(facts)?;
    erase(&disk, &facts.id, mode, own, desk)
}

/// Erases an open disk; `own` names what the drive has done already.
pub fn erase(disk: &Disk, id: &str, mode: EraseMode, own: Option<&str>, desk: &Desk) -> Result<Erased> {
    let mut report =
        Erased { disk: id.into(), method: String::new(), bytes: disk.size, read_back: 0, wrong: 0 };
    match (mode, own) {
        (EraseMode::Quick, _) => {
            report.bytes = quick(disk)?;
            report.method = "quick".into();
        }
        (EraseMode::Verified, Some(method)) => {
            report.method = method.into();
            // What a drive shows after its own erase is its own affair (noise, where it threw a key away, or a pattern), and
            // zeros are looked for.
            over(disk, desk, |at, length| disk.zero(at, length))?;
        }
        (_, Some(method)) => {
            desk.moved(disk.size);
            report.method = method.into();
            // Whatever the drive did, no table is left.
            quick(disk)?;
        }
        // A virtual disk and flash that make zeros themselves; what spins is written over.
        (_, None) => {
            let given_back = matches!(disk.kind, DiskKind::Virtual);
            report.method = if given_back { "zeroes" } else { "overwrite" }.into();
            over(
                disk,
                desk,
                |at, length| {
                    if given_back { disk.zero(at, length) } else { disk.overwrite(at, length) }
                },
            )?;
        }
    }
    disk.sync()?;
    if mode == EraseMode::Verified {
        read_back(disk, desk, &mut report)?;
    }
    Ok(report)
}

fn over(disk: &Disk, desk: &Desk, mut f: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    let mut at = 0;
    while at < disk.size {
        if desk.stopped() {
            return Err(Desk::replaced());
        }
        let length = (disk.size - at).min(STRIDE);
        f(at, length)?;
        desk.moved(length);
        at += length;
    }
    Ok(())
}

/// Answers how many bytes were cleared.
fn quick(disk: &Disk) -> Result<u64> {
    let mut places = vec![(0, disk.size)];
    let head = disk.read(0, usize::try_from(disk.size.min(1 << 20)).unwrap_or(0)).unwrap_or_default();
    if let Ok(found) = table::read(&head, disk.sector) {
        places.extend(found.parts().iter().map(|p| (p.start * disk.sector, p.sectors * disk.sector)));
    }
    let mut cleared = 0;
    let mut clear = |at: u64, length: u64| -> Result<()> {
        let at = at.min(disk.size);
        let length = length.min(disk.size - at);
        disk.zero(at, length)?;
        cleared += length;
        Ok(())
    };
    for (start, length) in places.into_iter().rev() {
        clear(start + length.saturating_sub(END), END.min(length))?;
        for copy in BTRFS_COPIES.into_iter().filter(|c| c + 4096 <= length) {
            clear(start + copy, 4096)?;
        }
        clear(start, END.min(length))?;
    }
    Ok(cleared)
}

fn read_back(disk: &Disk, desk: &Desk, report: &mut Erased) -> Result<()> {
    desk.say(format!("Reading {} back.", disk.name()));
    disk.forget_cache();
    let zeros = vec![0; READ];
    over(disk, desk, |at, length| {
        let mut done = 0;
        while done < length {
            let piece = usize::try_from((length - done).min(READ as u64)).unwrap_or(READ);
            let bytes = disk.read(at + done, piece)?;
            // Compared whole first: counting is slow, and there is nearly never something to count.
            if zeros.get(..piece) != Some(&bytes) {
                report.wrong += bytes.iter().filter(|b| **b != 0).count() as u64;
            }
            report.read_back += piece as u64;
            done += piece as u64;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &[u8] = b"the tenant's secret";

    fn disk(dir: &Path) -> Disk {
        let path = dir.join("disk");
        std::fs::File::create(&path).unwrap().set_len(24 << 20).unwrap();
        let disk = Disk::open_path(&path).unwrap();
        for at in [0, (1 << 20) + 5, 12 << 20, (24 << 20) - 100] {
            disk.write(at, MARK).unwrap();
        }
        disk
    }
    fn holds_mark(dir: &Path) -> bool {
        let bytes = std::fs::read(dir.join("disk")).unwrap();
        bytes.windows(MARK.len()).any(|w| w == MARK)
    }

    #[test]
    fn nothing_is_left_after_a_secure_erase() {
        for kind in [DiskKind::Virtual, DiskKind::Hdd] {
            let dir = tempfile::tempdir().unwrap();
            let mut disk = disk(dir.path());
            disk.kind = kind;
            assert!(holds_mark(dir.path()));
            let report = erase(&disk, "d", EraseMode::Verified, None, &Desk::new(1)).unwrap();
            assert_eq!((report.bytes, report.read_back, report.wrong), (24 << 20, 24 << 20, 0));
            assert!(!holds_mark(dir.path()));
        }
    }

    #[test]
    fn what_a_drive_shows_after_its_own_erase_is_not_held_against_it() {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(dir.path());
        let noise: Vec<u8> = (0..24_u32 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        disk.write(0, &noise).unwrap();
        let report =
            erase(&disk, "d", EraseMode::Verified, Some("nvme crypto erase"), &Desk::new(1)).unwrap();
        assert_eq!((report.method.as_str(), report.wrong), ("nvme crypto erase", 0));
        assert_eq!(report.read_back, 24 << 20);
    }

    #[test]
    fn a_drive_that_lies_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        // It has taken no zero.
        let disk = disk(dir.path());
        let mut report = Erased { disk: "d".into(), method: String::new(), bytes: 0, read_back: 0, wrong: 0 };
        read_back(&disk, &Desk::new(1), &mut report).unwrap();
        let marks = 4 * MARK.iter().filter(|b| **b != 0).count() as u64;
        assert_eq!((report.read_back, report.wrong), (24 << 20, marks));
    }

    #[test]
    fn a_quick_erase_clears_the_ends_only() {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(dir.path());
        let report = erase(&disk, "d", EraseMode::Quick, None, &Desk::new(1)).unwrap();
        assert!(report.bytes < 10 << 20, "{}", report.bytes);
        assert!(disk.read(0, 4 << 20).unwrap().iter().all(|b| *b == 0));
        assert_eq!(disk.read(12 << 20, MARK.len()).unwrap(), MARK);
        assert!(disk.read((24 << 20) - 100, 100).unwrap().iter().all(|b| *b == 0));
    }
}
