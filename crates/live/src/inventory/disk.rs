//! Disks, and how each is recognised after a restart.

use super::{line, names, number, target};
use base::doc::live::{DiskFacts, DiskKind};
use std::path::Path;

/// Kernel names of what is no disk of the machine.
const OTHERS: [&str; 10] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "mtdblock", "drbd"];

/// Whole disks below `block` (`/sys/block`), the smallest name first. Cards without a medium are left out.
pub fn all(block: &Path) -> Vec<DiskFacts> {
    names(block)
        .into_iter()
        .filter(|n| !OTHERS.iter().any(|o| n.starts_with(o)))
        // Parts of flash chips that must not be written over.
        .filter(|n| !(n.starts_with("mmcblk") && (n.contains("boot") || n.contains("rpmb"))))
        .filter_map(|name| facts(block, &name))
        .collect()
}

fn facts(block: &Path, name: &str) -> Option<DiskFacts> {
    let dir = block.join(name);
    let sectors: u64 = number(dir.join("size"));
    if sectors == 0 || line(dir.join("hidden")) == "1" {
        return None;
    }
    let device = dir.join("device");
    let first =
        |paths: &[&str]| paths.iter().map(|p| line(dir.join(p))).find(|t| !t.is_empty()).unwrap_or_default();
    let model = words(&first(&["device/model", "device/name"]));
    let vendor = words(&line(device.join("vendor")));
    let serial = first(&["device/serial", "serial"]);
    // SCSI and ATA disks tell their serial number in page 0x80, after four bytes.
    let serial = if serial.is_empty() { page_80(&device.join("vpd_pg80")) } else { serial };
    let wwn = first(&["wwid", "device/wwid"]);
    let facts = DiskFacts {
        id: String::new(),
        name: name.to_owned(),
        // "ATA" is what the kernel calls the vendor of every such disk; PCI numbers say nothing to people.
        model: if vendor.is_empty() || vendor == "ATA" || vendor.starts_with("0x") {
            model
        } else {
            format!("{vendor} {model}").trim().to_owned()
        },
        serial,
        // The kernel counts in 512 bytes, whatever the disk does.
        size_bytes: sectors * 512,
        sector: number(dir.join("queue/logical_block_size")),
        physical_sector: number(dir.join("queue/physical_block_size")),
        kind: kind(&dir, name, &vendor),
        removable: line(dir.join("removable")) == "1" || path_of(&dir).contains("/usb"),
    };
    let id = identity(&wwn, &facts, &path_of(&dir));
    Some(DiskFacts { id, ..facts })
}

/// The same over restarts: WWN, else model and serial number, else the place on the bus.
fn identity(wwn: &str, facts: &DiskFacts, path: &str) -> String {
    let plain = |text: &str| {
        let parts: Vec<&str> =
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(|p| !p.is_empty()).collect();
        parts.join("-")
    };
    // What a disk without a WWN answers is made of its vendor and model (t10) and may not be its own.
    let own = ["naa.", "eui.", "uuid.", "nvme."].iter().any(|p| wwn.starts_with(p));
    let own = own && wwn.chars().any(|c| c.is_ascii_hexdigit() && c != '0');
    if own {
        plain(wwn)
    } else if !facts.serial.is_empty() {
        plain(&format!("{} {}", facts.model, facts.serial))
    } else {
        let parts: Vec<&str> =
            path.split('/').filter(|p| !p.is_empty() && *p != "block" && *p != facts.name).collect();
        plain(&parts.get(parts.len().saturating_sub(3)..).unwrap_or_default().join("-"))
    }
}

fn kind(dir: &Path, name: &str, vendor: &str) -> DiskKind {
    let driver = target(dir.join("device/driver"));
    if name.starts_with("vd")
        || name.starts_with("xvd")
        || driver == "virtio_blk"
        || vendor == "QEMU"
        || vendor == "VMware"
    {
        DiskKind::Virtual
    } else if name.starts_with("nvme") {
        DiskKind::Nvme
    } else if name.starts_with("mmcblk") {
        DiskKind::Ssd
    } else {
        match line(dir.join("queue/rotational")).as_str() {
            "0" => DiskKind::Ssd,
            "1" => DiskKind::Hdd,
            _ => DiskKind::Unknown,
        }
    }
}

fn path_of(dir: &Path) -> String {
    let real = std::fs::canonicalize(dir).unwrap_or_default();
    real.to_string_lossy().trim_start_matches("/sys/devices").to_owned()
}

fn page_80(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    words(&String::from_utf8_lossy(bytes.get(4..).unwrap_or_default()))
}

/// Makers fill up with blanks.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(dir: &Path, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    #[test]
    fn a_disk_keeps_its_id_whatever_it_is_called() {
        let root = tempfile::tempdir().unwrap();
        make(
            root.path(),
            &[
                ("sda/size", "4194304\n"),
                ("sda/device/model", "EXAMPLE SSD 870   \n"),
                ("sda/device/vendor", "ATA     \n"),
                ("sda/device/wwid", "naa.5002538f42101234\n"),
                ("sda/queue/rotational", "0\n"),
                ("sda/queue/logical_block_size", "512\n"),
                ("sdb/size", "8\n"),
                ("sdb/device/wwid", "t10.ATA     QEMU HARDDISK    QM00001\n"),
                ("sdb/device/model", "QEMU HARDDISK"),
                ("sdb/device/vpd_pg80", "\0\u{1}\0\u{8}QM00001 "),
                ("sdb/queue/rotational", "1\n"),
                ("vda/size", "100\n"),
                ("vda/device/vendor", "0x1af4\n"),
                ("nvme0n1/size", "100\n"),
                ("nvme0n1/wwid", "nvme.8086-6162-51-01\n"),
                ("nvme0n1/device/model", "Fast One\n"),
                ("sdc/size", "0\n"),
                ("loop0/size", "100\n"),
                ("dm-0/size", "100\n"),
            ],
        );
        let disks = all(root.path());
        let short: Vec<_> = disks.iter().map(|d| (d.name.as_str(), d.id.as_str(), d.kind)).collect();
        assert_eq!(short[0], ("sda", "naa.5002538f42101234", DiskKind::Ssd));
        assert_eq!(short[1], ("sdb", "QEMU-HARDDISK-QM00001", DiskKind::Hdd));
        assert_eq!((short[2].0, short[2].2), ("vda", DiskKind::Virtual));
        assert!(!short[2].1.is_empty());
        assert_eq!(short[3], ("nvme0n1", "nvme.8086-6162-51-01", DiskKind::Nvme));
        assert_eq!(disks.len(), 4);
        assert_eq!(
            (disks[0].size_bytes, disks[0].sector, disks[0].model.as_str()),
            (2 << 30, 512, "EXAMPLE SSD 870")
        );
    }
}
