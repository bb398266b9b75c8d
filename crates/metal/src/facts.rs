//! From what the live system found to what the ledger says: numbers to choose by, parts, tags, a resource class,
//! verdicts. Worked out anew with each inventory; what people chose by hand stays.

use crate::act::takes;
use crate::model::{Disk, Machine};
use crate::table::{disk, machine, nic, tag};
use base::doc::live::{DiskFacts, DiskKind, Inventory, Verdict};
use base::{MachineId, Micros, Result};
use std::collections::{BTreeMap, BTreeSet};
use store::{Tx, params};

const GIB: u64 = 1 << 30;
/// A host needs so much for itself and a few guests.
const HOST_MEMORY_MIB: u64 = 3500;
const HOST_DISK: u64 = 16 * GIB;

/// Writes an inventory and what follows from it. `booted` is the MAC that the machine started from.
pub fn settle(tx: &Tx<'_>, m: &Machine, found: &Inventory) -> Result<()> {
    let mut i = found.clone();
    for v in verdicts(&i) {
        if !i.verdicts.iter().any(|there| there.what == v.what) {
            i.verdicts.push(v);
        }
    }
    let cores = i.cpu.threads.max(i.cpu.cores).max(1);
    let total: u64 = i.disks.iter().filter(|d| !d.removable).map(|d| d.size_bytes).sum();
    tx.exec(
        "UPDATE machine SET inventory = $2, inventory_at = $3, uuid = $4, serial = $5, arch = $6, uefi = $7,
           vendor = $8, product = $9, cpu_model = $10, cpu_mhz = $11, cores = $12, memory_mib = $13,
           disk_bytes = $14, updated_at = $3 WHERE id = $1",
        params![
            m.id,
            serde_json::to_string(&i)?,
            Micros::now(),
            i.system.uuid.to_lowercase(),
            &i.system.serial,
            debian_arch(&i.cpu.arch, &m.arch),
            i.system.uefi,
            &i.system.vendor,
            &i.system.product,
            &i.cpu.model,
            i.cpu.mhz,
            cores,
            memory(&i),
            total
        ],
    )?;
    nics(tx, m, &i)?;
    disks(tx, m.id, &i)?;
    tag::replace_automatic(tx, m.id, &tags(&i))?;
    settle_class(tx, m.id)
}

/// MiB that are plugged in, where the firmware says so: what the kernel sees is always a little less.
fn memory(i: &Inventory) -> u64 {
    let plugged: u64 = i.dimms.iter().map(|d| d.size_mib).sum();
    if plugged >= i.memory_mib { plugged } else { i.memory_mib }
}

fn debian_arch(uname: &str, old: &str) -> String {
    match uname {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "" => old,
        other => other,
    }
    .to_owned()
}

fn nics(tx: &Tx<'_>, m: &Machine, i: &Inventory) -> Result<()> {
    let (mut macs, mut boots) = (Vec::new(), false);
    for f in &i.nics {
        // Bridges and the like have no address that a machine could be known by.
        let Ok(mac) = nic::good_mac(&f.mac) else { continue };
        if takes(tx, m, &mac, f.boot)? {
            boots |= f.boot;
            macs.push(mac);
        }
    }
    let there = nic::of(tx, m.id)?;
    for mut n in there {
        let Some(f) = i.nics.iter().find(|f| nic::good_mac(&f.mac).is_ok_and(|mac| mac == n.mac)) else {
            continue;
        };
        (n.name, n.link, n.speed) = (f.name.clone(), f.link, f.speed);
        (n.driver, n.product) = (f.driver.clone(), f.product.clone());
        n.boot = f.boot || (n.boot && !boots);
        n.neighbour = f.lldp.as_ref().map(serde_json::to_string).transpose()?.unwrap_or_default();
        nic::update(tx, &n)?;
    }
    nic::keep_only(tx, m.id, &macs)
}

fn disks(tx: &Tx<'_>, machine: MachineId, i: &Inventory) -> Result<()> {
    let mut ids = Vec::new();
    for f in i.disks.iter().filter(|d| !d.id.is_empty()) {
        disk::put(tx, &a_disk(machine, f, &i.disks))?;
        ids.push(f.id.clone());
    }
    disk::keep_only(tx, machine, &ids)
}

fn a_disk(machine: MachineId, f: &DiskFacts, all: &[DiskFacts]) -> Disk {
    Disk {
        machine,
        id: f.id.clone(),
        number: 0,
        name: f.name.clone(),
        model: f.model.clone(),
        serial: f.serial.clone(),
        size_bytes: f.size_bytes,
        sector: f.sector,
        kind: kind_word(f.kind).to_owned(),
        removable: f.removable,
        role: role(f, all).to_owned(),
        role_by_hand: false,
    }
}

/// Systems and guests' disks go onto solid state, files onto what spins. Without solid state everything goes
/// onto what there is.
fn role(f: &DiskFacts, all: &[DiskFacts]) -> &'static str {
    let solid = |d: &DiskFacts| matches!(d.kind, DiskKind::Ssd | DiskKind::Nvme) && !d.removable;
    if f.removable {
        ""
    } else if f.kind == DiskKind::Hdd && all.iter().any(solid) {
        "bulk"
    } else {
        "boot"
    }
}

fn kind_word(k: DiskKind) -> &'static str {
    match k {
        DiskKind::Hdd => "hdd",
        DiskKind::Ssd => "ssd",
        DiskKind::Nvme => "nvme",
        DiskKind::Virtual => "virtual",
        DiskKind::Unknown => "unknown",
    }
}

/// Words to choose machines by: `dimms-4x8g` and `slots-4` for boards with four slots of 8 GiB each, the kinds
/// of its disks, and so on.
fn tags(i: &Inventory) -> BTreeSet<String> {
    let mut tags = BTreeSet::new();
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    for d in i.dimms.iter().filter(|d| d.size_mib > 0) {
        *sizes.entry(d.size_mib).or_default() += 1;
    }
    for (mib, n) in &sizes {
        let size = if mib % 1024 == 0 { format!("{}g", mib / 1024) } else { format!("{mib}m") };
        tags.insert(format!("dimms-{n}x{size}"));
    }
    if !i.dimms.is_empty() {
        tags.insert(format!("slots-{}", i.dimms.len()));
        let free = i.dimms.iter().filter(|d| d.size_mib == 0).count();
        tags.insert(format!("slots-free-{free}"));
    }
    tags.insert(format!("memory-{}g", gib_of(memory(i))));
    tags.extend(i.disks.iter().filter(|d| !d.removable).map(|d| kind_word(d.kind).to_owned()));
    tags.insert(if i.system.uefi { "uefi" } else { "bios" }.to_owned());
    if !i.cpu.virtualisation.is_empty() {
        tags.insert("kvm".to_owned());
    }
    for (word, name) in [("Intel", "intel"), ("AMD", "amd")] {
        if i.cpu.model.contains(word) {
            tags.insert(name.to_owned());
        }
    }
    if i.bmc.is_some() {
        tags.insert("bmc".to_owned());
    }
    if let Some(speed) = i.nics.iter().map(|n| n.speed).max().filter(|s| *s >= 1000) {
        tags.insert(format!("net-{}g", speed / 1000));
    }
    tags
}

/// Whole GiB; firmware and graphics take a part of the first.
fn gib_of(mib: u64) -> u64 {
    mib.div_ceil(1024).max(1)
}

/// What it is suited for, where the live system has not said so.
fn verdicts(i: &Inventory) -> Vec<Verdict> {
    let largest = i.disks.iter().filter(|d| !d.removable).map(|d| d.size_bytes).max().unwrap_or(0);
    let linked = i.nics.iter().any(|n| n.link);
    let mut host = Vec::new();
    if i.cpu.virtualisation.is_empty() {
        host.push("the processor's virtualisation is missing or switched off in the firmware".to_owned());
    }
    if memory(i) < HOST_MEMORY_MIB {
        host.push(format!("{} MiB of memory are too few for guests (4 GiB)", memory(i)));
    }
    if largest < HOST_DISK {
        host.push(format!("its largest disk has {} GiB of the 16 GiB that a host needs", largest / GIB));
    }
    let mut metal = Vec::new();
    if largest == 0 {
        metal.push("it has no disk".to_owned());
    }
    if !linked {
        metal.push("no network interface has a link".to_owned());
    }
    let verdict = |what: &str, against: Vec<String>| Verdict {
        what: what.to_owned(),
        ok: against.is_empty(),
        reason: against.join("; "),
    };
    vec![verdict("host", host), verdict("metal", metal)]
}

/// The class that flavors ask for, from cores, memory and disk, unless somebody chose one.
pub fn settle_class(tx: &Tx<'_>, id: MachineId) -> Result<()> {
    let Some(m) = machine::by_id(tx, id)? else { return Ok(()) };
    if m.class_by_hand || m.cores == 0 {
        return Ok(());
    }
    machine::set(tx, id, "resource_class", class(m.cores, m.memory_mib, m.disk_bytes))
}

/// `metal.4c-8g-500g`: threads, memory in GiB, disk in decimal gigabytes as the shop sells it.
fn class(cores: u32, memory_mib: u64, disk_bytes: u64) -> String {
    format!("metal.{cores}c-{}g-{}g", gib_of(memory_mib), disk_bytes / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::doc::live::{CpuFacts, Dimm, NicFacts};

    fn desktop() -> Inventory {
        let dimm = |size_mib| Dimm { size_mib, ..Dimm::default() };
        let disk = |name: &str, kind, gb: u64| DiskFacts {
            id: name.into(),
            name: name.into(),
            kind,
            size_bytes: gb * 1_000_000_000,
            ..DiskFacts::default()
        };
        Inventory {
            cpu: CpuFacts {
                model: "Intel(R) Core(TM) i5".into(),
                threads: 4,
                virtualisation: "vmx".into(),
                ..CpuFacts::default()
            },
            memory_mib: 31900,
            dimms: vec![dimm(8192), dimm(8192), dimm(8192), dimm(8192)],
            disks: vec![disk("sda", DiskKind::Ssd, 240), disk("sdb", DiskKind::Hdd, 2000)],
            nics: vec![NicFacts { link: true, speed: 1000, ..NicFacts::default() }],
            ..Inventory::default()
        }
    }

    #[test]
    fn boards_are_sorted_by_what_is_plugged_in() {
        let words = tags(&desktop());
        for word in
            ["dimms-4x8g", "slots-4", "slots-free-0", "memory-32g", "ssd", "hdd", "kvm", "net-1g", "bios"]
        {
            assert!(words.contains(word), "{word}: {words:?}");
        }
        assert_eq!(class(4, memory(&desktop()), 240_000_000_000), "metal.4c-32g-240g");
    }

    #[test]
    fn systems_go_onto_solid_state_and_files_onto_what_spins() {
        let all = desktop().disks;
        assert_eq!((role(&all[0], &all), role(&all[1], &all)), ("boot", "bulk"));
        assert_eq!(role(&all[1], &all[1..]), "boot", "without solid state");
    }

    #[test]
    fn verdicts_say_what_is_missing() {
        assert!(verdicts(&desktop()).iter().all(|v| v.ok));
        let mut poor = desktop();
        poor.cpu.virtualisation.clear();
        poor.disks.clear();
        let all = verdicts(&poor);
        assert!(all.iter().all(|v| !v.ok));
        assert!(all[0].reason.contains("firmware") && all[1].reason.contains("no disk"));
    }
}
