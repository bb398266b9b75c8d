//! Reader of the firmware's SMBIOS tables (DMTF DSP0134 3.x), as Linux hands them out in
//! `/sys/firmware/dmi/tables/DMI`: structures of a header (type, length, handle), fields, and strings.

use base::doc::live::{Dimm, SystemFacts};

/// A structure's type, its formatted part (header included), and its strings.
struct Structure {
    kind: u8,
    fields: Vec<u8>,
    strings: Vec<String>,
}

impl Structure {
    fn byte(&self, at: usize) -> u8 {
        self.fields.get(at).copied().unwrap_or(0)
    }
    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at + 1)])
    }
    fn double(&self, at: usize) -> u32 {
        u32::from(self.word(at)) | u32::from(self.word(at + 2)) << 16
    }
    /// Strings are numbered from 1. What makers leave in when they have nothing to say is nothing.
    fn text(&self, at: usize) -> String {
        let found = usize::from(self.byte(at)).checked_sub(1).and_then(|n| self.strings.get(n));
        let text = found.map(String::as_str).unwrap_or_default();
        let empty = [
            "not specified",
            "to be filled by o.e.m.",
            "default string",
            "system serial number",
            "none",
            "n/a",
            "unknown",
            "no dimm",
        ];
        if empty.contains(&text.to_lowercase().as_str()) { String::new() } else { text.to_owned() }
    }
}

pub struct Tables(Vec<Structure>);

impl Tables {
    /// Whatever can be read; a table that breaks off ends there.
    pub fn parse(bytes: &[u8]) -> Tables {
        let mut all = Vec::new();
        let mut rest = bytes;
        while let [kind, length, _, _, ..] = *rest {
            let length = usize::from(length);
            if length < 4 || rest.len() < length {
                break;
            }
            let (fields, tail) = rest.split_at(length);
            // The strings end with two zero bytes; without strings there are just those.
            let end = tail.windows(2).position(|w| w == [0, 0]).unwrap_or(tail.len());
            let strings = tail[..end].split(|b| *b == 0).map(clean).collect();
            all.push(Structure { kind, fields: fields.to_vec(), strings });
            rest = tail.get(end + 2..).unwrap_or_default();
            if kind == 127 {
                break;
            }
        }
        Tables(all)
    }

    fn first(&self, kind: u8) -> Option<&Structure> {
        self.0.iter().find(|s| s.kind == kind)
    }

    /// Types 0 to 3: firmware, system, board, chassis.
    pub fn system(&self) -> SystemFacts {
        let mut facts = SystemFacts::default();
        if let Some(firmware) = self.first(0) {
            facts.firmware_vendor = firmware.text(4);
            facts.firmware_version = firmware.text(5);
            facts.firmware_date = firmware.text(8);
        }
        if let Some(system) = self.first(1) {
            facts.vendor = system.text(4);
            facts.product = system.text(5);
            facts.serial = system.text(7);
            facts.uuid = system.fields.get(8..24).map(uuid).unwrap_or_default();
        }
        if let Some(board) = self.first(2) {
            facts.board = format!("{} {}", board.text(4), board.text(5)).trim().to_owned();
        }
        if let Some(chassis) = self.first(3) {
            facts.chassis = chassis_kind(chassis.byte(5) & 0x7f).to_owned();
        }
        facts
    }

    /// Type 17: memory slots, the empty ones too.
    pub fn dimms(&self) -> Vec<Dimm> {
        self.0.iter().filter(|s| s.kind == 17 && s.fields.len() >= 0x15).map(dimm).collect()
    }

    /// Type 4: sockets with a processor in them.
    pub fn sockets(&self) -> u32 {
        let populated = |s: &&Structure| s.kind == 4 && s.byte(0x18) & 0x40 != 0;
        u32::try_from(self.0.iter().filter(populated).count()).unwrap_or(0)
    }
    pub fn cpu_mhz(&self) -> u32 {
        let fastest = |s: &Structure| u32::from(s.word(0x14)).max(u32::from(s.word(0x16)));
        self.0.iter().filter(|s| s.kind == 4).map(fastest).max().unwrap_or(0)
    }

    /// Type 38: there is a BMC that the machine itself can speak to (or type 42 for Redfish).
    pub fn has_bmc(&self) -> bool {
        self.first(38).is_some() || self.0.iter().any(|s| s.kind == 42 && s.byte(4) == 0x40)
    }
}

fn dimm(s: &Structure) -> Dimm {
    let size_mib = match s.word(0x0c) {
        // Not known counts as nothing: people see an empty slot and look.
        0 | 0xffff => 0,
        0x7fff => u64::from(s.double(0x1c) & 0x7fff_ffff),
        small if small & 0x8000 != 0 => u64::from(small & 0x7fff) / 1024,
        size => u64::from(size),
    };
    let (slot, bank) = (s.text(0x10), s.text(0x11));
    if size_mib == 0 {
        return Dimm { slot: if slot.is_empty() { bank } else { slot }, ..Dimm::default() };
    }
    let rated = match s.word(0x15) {
        0xffff => s.double(0x54),
        speed => u32::from(speed),
    };
    let configured = match s.word(0x20) {
        0xffff => s.double(0x58),
        speed => u32::from(speed),
    };
    Dimm {
        slot: if slot.is_empty() { bank } else { slot },
        size_mib,
        kind: memory_kind(s.byte(0x12)).to_owned(),
        speed: if configured == 0 { rated } else { configured },
        manufacturer: s.text(0x17),
        part: s.text(0x1a),
        serial: s.text(0x18),
    }
}

fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
}

/// The first three fields are little endian (DSP0134, 7.2.1). All zeros or all ones is none.
fn uuid(raw: &[u8]) -> String {
    if raw.iter().all(|b| *b == 0) || raw.iter().all(|b| *b == 0xff) {
        return String::new();
    }
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::new();
    for (n, at) in order.into_iter().enumerate() {
        if [4, 6, 8, 10].contains(&n) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", raw.get(at).copied().unwrap_or(0)));
    }
    text
}

fn memory_kind(value: u8) -> &'static str {
    match value {
        0x12 => "DDR",
        0x13 => "DDR2",
        0x18 => "DDR3",
        0x1a => "DDR4",
        0x1b => "LPDDR",
        0x1c => "LPDDR2",
        0x1d => "LPDDR3",
        0x1e => "LPDDR4",
        0x20 => "HBM",
        0x22 => "DDR5",
        0x23 => "LPDDR5",
        0x07 => "RAM",
        _ => "",
    }
}

fn chassis_kind(value: u8) -> &'static str {
    match value {
        3..=7 | 13 | 15 | 16 | 24 | 34 | 35 | 36 => "desktop",
        8..=12 | 14 | 30..=32 => "portable",
        17 | 23 | 25 | 28 | 29 => "server",
        1 => "virtual",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn structure(kind: u8, fields: &[u8], strings: &[&str]) -> Vec<u8> {
        let mut all = vec![kind, fields.len() as u8 + 4, 0, 0];
        all.extend(fields);
        for text in strings {
            all.extend(text.as_bytes());
            all.push(0);
        }
        all.extend(if strings.is_empty() { vec![0, 0] } else { vec![0] });
        all
    }

    fn slot(size: u16, extended: u32, strings: &[&str]) -> Vec<u8> {
        let mut fields = vec![0_u8; 0x28 - 4];
        fields[0x0c - 4..0x0e - 4].copy_from_slice(&size.to_le_bytes());
        fields[0x10 - 4] = 1;
        fields[0x12 - 4] = 0x1a;
        fields[0x15 - 4..0x17 - 4].copy_from_slice(&3200_u16.to_le_bytes());
        fields[0x17 - 4] = 2;
        fields[0x1c - 4..0x20 - 4].copy_from_slice(&extended.to_le_bytes());
        structure(17, &fields, strings)
    }

    #[test]
    fn a_board_with_four_slots() {
        let mut blob = structure(0, &[1, 2, 0, 0, 3], &["Maker", "F7", "04/01/2024"]);
        let mut system = vec![1, 2, 0, 3];
        system.extend(0..16);
        blob.extend(structure(1, &system, &["ACME", "PC 9", "To Be Filled By O.E.M."]));
        blob.extend(slot(8192, 0, &["DIMM_A1", "Samsung"]));
        blob.extend(slot(0x7fff, 65536, &["DIMM_A2", "Hynix"]));
        blob.extend(slot(0, 0, &["DIMM_B1", "NO DIMM"]));
        blob.extend(slot(0xffff, 0, &["DIMM_B2"]));
        blob.extend(structure(127, &[], &[]));
        blob.extend(slot(1, 0, &["after the end"]));

        let tables = Tables::parse(&blob);
        let facts = tables.system();
        assert_eq!(
            (facts.vendor.as_str(), facts.product.as_str(), facts.serial.as_str()),
            ("ACME", "PC 9", "")
        );
        assert_eq!(facts.uuid, "03020100-0504-0706-0809-0a0b0c0d0e0f");
        assert_eq!((facts.firmware_version.as_str(), facts.firmware_date.as_str()), ("F7", "04/01/2024"));
        let dimms = tables.dimms();
        let short: Vec<_> =
            dimms.iter().map(|d| (d.slot.as_str(), d.size_mib, d.kind.as_str(), d.speed)).collect();
        assert_eq!(
            short,
            [
                ("DIMM_A1", 8192, "DDR4", 3200),
                ("DIMM_A2", 65536, "DDR4", 3200),
                ("DIMM_B1", 0, "", 0),
                ("DIMM_B2", 0, "", 0)
            ]
        );
        assert_eq!(dimms[0].manufacturer, "Samsung");
        assert!(!tables.has_bmc());
        assert!(Tables::parse(&structure(38, &[1; 14], &[])).has_bmc());
    }

    #[test]
    fn a_table_that_breaks_off_ends_there() {
        let whole = structure(1, &[1, 2, 0, 3], &["ACME", "PC", "7"]);
        for length in 0..whole.len() {
            let _ = Tables::parse(&whole[..length]).system();
        }
        assert_eq!(Tables::parse(&[1, 3, 0, 0, 0, 0]).0.len(), 0);
    }

    proptest! {
        #[test]
        fn garbage_is_survived(blob in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let tables = Tables::parse(&blob);
            let _ = (tables.system(), tables.dimms(), tables.sockets(), tables.cpu_mhz(), tables.has_bmc());
        }
    }
}
