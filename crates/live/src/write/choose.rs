//! Which disk is written.

use base::doc::live::{DiskFacts, DiskKind};
use base::{Fault, Result};

/// The named disk, or the smallest that is large enough, solid state before what spins. A disk that is too small, or
/// not there, is explained.
pub fn disk<'a>(all: &'a [DiskFacts], id: &str, need: u64, exact: bool) -> Result<&'a DiskFacts> {
    if !id.is_empty() {
        let found = all.iter().find(|d| d.id == id || d.name == id).ok_or_else(|| {
            let there: Vec<String> = all.iter().map(|d| format!("{} ({})", d.id, d.name)).collect();
            let there = if there.is_empty() { "none".into() } else { there.join(", ") };
            Fault::not_found(format!(
                "The machine has no disk {id}. It has: {there}. Commission it again, or name another disk."
            ))
        })?;
        if found.removable {
            return Err(Fault::bad_request(format!(
                "The disk {id} ({}) is removable, and such disks are not erased when the machine is given back. Name \
                 another disk.",
                found.name
            )));
        }
        return if found.size_bytes >= need { Ok(found) } else { Err(small(found, need, exact)) };
    }
    let spins = |d: &&DiskFacts| matches!(d.kind, DiskKind::Hdd | DiskKind::Unknown);
    let fixed = || all.iter().filter(|d| !d.removable);
    let fits = fixed().filter(|d| d.size_bytes >= need);
    if let Some(best) = fits.min_by_key(|d| (spins(d), d.size_bytes)) {
        return Ok(best);
    }
    match fixed().max_by_key(|d| d.size_bytes) {
        Some(largest) => Err(small(largest, need, exact)),
        None => Err(Fault::not_found(
            "No disk was found in the machine. Check its cables, and the controller's mode in the firmware's settings \
             (AHCI, not RAID).",
        )),
    }
}

fn small(disk: &DiskFacts, need: u64, exact: bool) -> Fault {
    let what = if exact { "the image" } else { "the image with its configuration drive" };
    Fault::bad_request(format!(
        "The disk {} ({}) is too small: it has {} MiB, {what} needs {} MiB. Take a smaller image or a larger disk.",
        disk.id,
        disk.name,
        disk.size_bytes >> 20,
        need.div_ceil(1 << 20)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, gib: u64, kind: DiskKind, removable: bool) -> DiskFacts {
        let id = format!("id-{name}");
        DiskFacts { id, name: name.into(), size_bytes: gib << 30, kind, removable, ..DiskFacts::default() }
    }

    #[test]
    fn the_smallest_that_fits_solid_state_first() {
        let all = [
            one("sda", 2000, DiskKind::Hdd, false),
            one("sdb", 10, DiskKind::Hdd, false),
            one("nvme0n1", 500, DiskKind::Nvme, false),
            one("sdc", 240, DiskKind::Ssd, false),
            one("sdd", 16, DiskKind::Ssd, true),
        ];
        let pick = |id: &str, gib: u64| disk(&all, id, gib << 30, true).map(|d| d.name.clone());
        assert_eq!(pick("", 8).unwrap(), "sdc");
        assert_eq!(pick("", 300).unwrap(), "nvme0n1");
        assert_eq!(pick("", 800).unwrap(), "sda");
        assert_eq!(pick("id-sdb", 8).unwrap(), "sdb");
        assert!(pick("", 3000).unwrap_err().message.contains("too small: it has 2048000 MiB"));
        assert!(pick("id-sdb", 11).unwrap_err().message.contains("id-sdb (sdb) is too small"));
        assert!(pick("id-sdd", 8).unwrap_err().message.contains("id-sdd (sdd) is removable"));
        assert!(pick("gone", 1).unwrap_err().message.contains("no disk gone. It has: id-sda (sda)"));
        assert!(disk(&[], "", 1, true).unwrap_err().message.contains("No disk was found"));
    }
}
