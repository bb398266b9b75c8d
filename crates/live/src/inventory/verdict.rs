//! What a machine is suited for, and what would have to change: words for whoever decides.

use base::doc::live::{DiskKind, Inventory, Verdict};

/// A host needs this much beside its guests; less makes no sense.
const HOST_MEMORY_MIB: u64 = 3500;
const METAL_MEMORY_MIB: u64 = 400;
const HOST_DISK: u64 = 16 << 30;
const METAL_DISK: u64 = 1 << 30;

pub fn all(facts: &Inventory) -> Vec<Verdict> {
    let (memory, disk, network) = (memory(facts), disk(facts), network(facts));
    let metal = join("metal", "It can be handed to a tenant.", &[&memory, &disk, &network]);
    let host = join("host", "It can run guests.", &[&host_cpu(facts), &host_room(facts), &disk, &network]);
    vec![memory, disk, network, metal, host]
}

fn verdict(what: &str, ok: bool, reason: String) -> Verdict {
    Verdict { what: what.into(), ok, reason }
}

/// Good when all parts are; else the reasons of those that are not.
fn join(what: &str, good: &str, parts: &[&Verdict]) -> Verdict {
    let bad: Vec<&str> = parts.iter().filter(|p| !p.ok).map(|p| p.reason.as_str()).collect();
    verdict(what, bad.is_empty(), if bad.is_empty() { good.into() } else { bad.join(" ") })
}

fn memory(facts: &Inventory) -> Verdict {
    let filled = facts.dimms.iter().filter(|d| d.size_mib > 0).count();
    let slots = facts.dimms.len();
    let free = slots - filled;
    let sizes: Vec<u64> = facts.dimms.iter().map(|d| d.size_mib).filter(|s| *s > 0).collect();
    let told: u64 = sizes.iter().sum();
    let mut reason = format!("{} MiB of memory", facts.memory_mib);
    if slots > 0 {
        reason += &format!(" in {filled} of {slots} slots");
    }
    reason += ".";
    if free > 0 {
        reason += &format!(" {free} slots are free for more.");
    }
    if facts.memory_mib < METAL_MEMORY_MIB {
        reason += &format!(" That is less than the {METAL_MEMORY_MIB} MiB that an operating system needs.");
    }
    // Firmware and graphics keep some; a quarter gone is a module that does not work.
    let lost = told > 0 && facts.memory_mib < told / 4 * 3;
    if lost {
        reason += &format!(
            " The modules say {told} MiB: a module is not recognised. Take it out and put it back, or change it."
        );
    }
    verdict("memory", facts.memory_mib >= METAL_MEMORY_MIB && !lost, reason)
}

fn disk(facts: &Inventory) -> Verdict {
    let fixed: Vec<_> = facts.disks.iter().filter(|d| !d.removable).collect();
    let biggest = fixed.iter().map(|d| d.size_bytes).max().unwrap_or(0);
    if fixed.is_empty() {
        let reason = "No disk was found. Check its cables and the controller's mode in the firmware's settings (AHCI, not \
                      RAID), or add one.";
        return verdict("disk", false, reason.into());
    }
    let quick =
        fixed.iter().filter(|d| matches!(d.kind, DiskKind::Ssd | DiskKind::Nvme | DiskKind::Virtual)).count();
    let reason = format!(
        "{} disks, {quick} of them solid state, the largest with {} GiB.",
        fixed.len(),
        biggest >> 30
    );
    verdict("disk", biggest >= METAL_DISK, reason)
}

fn network(facts: &Inventory) -> Verdict {
    let linked = facts.nics.iter().filter(|n| n.link).count();
    let fastest = facts.nics.iter().map(|n| n.speed).max().unwrap_or(0);
    let speed = if fastest > 0 { format!(", the fastest at {fastest} Mbit/s") } else { String::new() };
    let mut reason = format!("{linked} of {} network cards have a link{speed}.", facts.nics.len());
    if (1..1000).contains(&fastest) {
        reason += " Images are slow to write at this speed: check cable and switch port.";
    }
    verdict("network", linked > 0, reason)
}

fn host_cpu(facts: &Inventory) -> Verdict {
    if facts.cpu.virtualisation.is_empty() {
        let reason = "The processor does not offer virtualisation: switch on VT-x or SVM in the firmware's settings, else \
                      guests are emulated and slow.";
        return verdict("cpu", false, reason.into());
    }
    verdict("cpu", true, format!("The processor offers {}.", facts.cpu.virtualisation))
}

fn host_room(facts: &Inventory) -> Verdict {
    let disk = facts.disks.iter().filter(|d| !d.removable).map(|d| d.size_bytes).max().unwrap_or(0);
    if facts.memory_mib < HOST_MEMORY_MIB {
        return verdict(
            "room",
            false,
            format!("A host needs {HOST_MEMORY_MIB} MiB of memory to be worth it."),
        );
    }
    if disk < HOST_DISK {
        return verdict("room", false, format!("A host needs a disk of {} GiB.", HOST_DISK >> 30));
    }
    verdict("room", true, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::doc::live::{Dimm, DiskFacts, NicFacts};

    fn good() -> Inventory {
        let mut facts = Inventory { memory_mib: 31_900, ..Inventory::default() };
        facts.cpu.virtualisation = "vmx".into();
        facts.dimms = vec![Dimm { size_mib: 8192, ..Dimm::default() }; 4];
        facts.disks = vec![DiskFacts { size_bytes: 500 << 30, kind: DiskKind::Ssd, ..DiskFacts::default() }];
        facts.nics = vec![NicFacts { link: true, speed: 1000, ..NicFacts::default() }];
        facts
    }
    fn of<'a>(all: &'a [Verdict], what: &str) -> &'a Verdict {
        all.iter().find(|v| v.what == what).unwrap()
    }

    #[test]
    fn a_good_machine_is_good_for_all() {
        assert!(all(&good()).iter().all(|v| v.ok), "{:?}", all(&good()));
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut facts = good();
        facts.cpu.virtualisation.clear();
        let verdicts = all(&facts);
        assert!(of(&verdicts, "metal").ok && !of(&verdicts, "host").ok);
        assert!(of(&verdicts, "host").reason.contains("firmware's settings"));

        facts.memory_mib = 16_000;
        facts.disks[0].removable = true;
        let verdicts = all(&facts);
        assert!(of(&verdicts, "memory").reason.contains("not recognised"));
        assert!(of(&verdicts, "metal").reason.contains("No disk was found"));
        facts.verdicts = verdicts;
        assert_eq!(crate::inventory::summary(&facts).matches("No disk was found").count(), 1);
    }
}
