//! Network cards.

use super::{line, names, target};
use base::doc::live::{Neighbour, NicFacts};
use std::collections::BTreeMap;
use std::path::Path;

const PCI_IDS: &str = "/usr/share/misc/pci.ids";

pub fn all(class: &Path, boot_mac: &str, neighbours: &BTreeMap<String, Neighbour>) -> Vec<NicFacts> {
    let ids = std::fs::read(PCI_IDS).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let physical = names(class).into_iter().filter(|n| class.join(n).join("device").exists());
    physical
        .map(|name| {
            let dir = class.join(&name);
            let mac = line(dir.join("address")).to_lowercase();
            let link = line(dir.join("carrier")) == "1";
            NicFacts {
                boot: !mac.is_empty() && mac == boot_mac,
                mac,
                link,
                // A card that does not know its speed (a virtual one) says -1.
                speed: if link { line(dir.join("speed")).parse().unwrap_or(0) } else { 0 },
                driver: target(dir.join("device/driver")),
                product: product(&ids, &dir.join("device")),
                lldp: neighbours.get(&name).cloned(),
                name,
            }
        })
        .collect()
}

fn product(ids: &str, device: &Path) -> String {
    // A virtio card is a device of a bus of its own; its PCI device is one above.
    let found = [device.join("vendor"), device.join("../vendor")]
        .into_iter()
        .map(line)
        .zip([line(device.join("device")), line(device.join("../device"))]);
    let words: Vec<(String, String)> = found.filter(|(v, d)| v.len() == 6 && d.len() == 6).collect();
    words
        .iter()
        .find_map(|(v, d)| name(ids, v.trim_start_matches("0x"), d.trim_start_matches("0x")))
        .or_else(|| words.first().map(|(v, d)| format!("{v}:{d}")))
        .unwrap_or_default()
}

/// Of pci.ids: `VVVV  vendor` lines, below each `\tDDDD  device` lines.
fn name(ids: &str, vendor: &str, device: &str) -> Option<String> {
    let mut lines = ids.lines().skip_while(|l| !l.starts_with(vendor));
    let maker = lines.next()?.get(4..)?.trim();
    let mut devices = lines.take_while(|l| l.starts_with(['\t', '#']));
    let product = devices.find_map(|l| l.strip_prefix('\t')?.strip_prefix(device))?;
    Some(format!("{maker} {}", product.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_called_by_its_makers_name() {
        let ids = "# list\n8085  Other\n\t10d3  wrong\n8086  Intel Corporation\n\t10d2  first\n\t\t8086 10d3  sub\n\t10d3  82574L Gigabit\n8087  Next\n\t1111  x\n";
        assert_eq!(name(ids, "8086", "10d3").unwrap(), "Intel Corporation 82574L Gigabit");
        assert_eq!(name(ids, "8086", "1111"), None);
        assert_eq!(name(ids, "9999", "1111"), None);
    }
}
