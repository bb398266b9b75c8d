//! What the machine is made of, from `/sys`, `/proc` and the firmware's tables. Reading changes nothing and needs
//! no driver of ours; what a machine does not tell stays empty.

mod bmc;
mod cpu;
pub(crate) mod disk;
mod nic;
pub mod smbios;
mod verdict;

use base::doc::live::{Inventory, Neighbour, SystemFacts};
use std::collections::BTreeMap;
use std::path::Path;

const TABLES: &str = "/sys/firmware/dmi/tables";
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Everything. `boot_mac` is the card that the machine booted from.
pub fn take(boot_mac: &str, neighbours: &BTreeMap<String, Neighbour>) -> Inventory {
    let tables = tables();
    let mut all = Inventory {
        system: system_from(&tables),
        cpu: cpu::facts(),
        memory_mib: memory_mib(),
        dimms: tables.dimms(),
        disks: disk::all(Path::new("/sys/block")),
        nics: nic::all(Path::new("/sys/class/net"), boot_mac, neighbours),
        bmc: bmc::facts(&tables),
        verdicts: Vec::new(),
    };
    all.cpu.sockets = all.cpu.sockets.max(tables.sockets()).max(1);
    if all.cpu.mhz == 0 {
        all.cpu.mhz = tables.cpu_mhz();
    }
    all.verdicts = verdict::all(&all);
    all
}

pub fn system() -> SystemFacts {
    system_from(&tables())
}

fn tables() -> smbios::Tables {
    smbios::Tables::parse(&std::fs::read(Path::new(TABLES).join("DMI")).unwrap_or_default())
}

fn system_from(tables: &smbios::Tables) -> SystemFacts {
    let mut system = tables.system();
    system.uefi = Path::new("/sys/firmware/efi").exists();
    // Four bytes of attributes, then the value.
    system.secure_boot = std::fs::read(SECURE_BOOT).is_ok_and(|v| v.get(4) == Some(&1));
    system
}

fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// A sentence for whoever watches.
pub fn summary(all: &Inventory) -> String {
    let mut doubts: Vec<String> = Vec::new();
    for v in all.verdicts.iter().filter(|v| !v.ok) {
        // What a part lacks stands in the verdicts on the whole, too.
        let new = doubts.iter().fold(v.reason.clone(), |words, known| words.replace(known, ""));
        if !new.trim().is_empty() {
            doubts.push(new.trim().to_owned());
        }
    }
    format!(
        "{} cores, {} MiB of memory, {} disks, {} network cards.{}{}",
        all.cpu.cores,
        all.memory_mib,
        all.disks.len(),
        all.nics.len(),
        if doubts.is_empty() { "" } else { " " },
        doubts.join(" ")
    )
}

/// A file's content without the end of line; empty when it cannot be read.
fn line(path: impl AsRef<Path>) -> String {
    std::fs::read(path)
        .map(|b| String::from_utf8_lossy(&b).trim_matches(['\0', ' ', '\n', '\t']).to_owned())
        .unwrap_or_default()
}

fn number<T: std::str::FromStr + Default>(path: impl AsRef<Path>) -> T {
    line(path).parse().unwrap_or_default()
}

/// The names in a directory, in the order that people count in.
fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    all.sort_by_key(|n| (n.len(), n.clone()));
    all
}

/// The last part of what a link points to.
fn target(path: impl AsRef<Path>) -> String {
    std::fs::read_link(path)
        .ok()
        .and_then(|t| Some(t.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_default()
}
