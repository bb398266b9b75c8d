//! The firmware's boot order (UEFI specification 2.10, chapter 3), by efibootmgr.
//!
//! The next start goes to the disk. After that the network is asked first, as it was when the live system came up:
//! the rack then says what to do, and the disk follows at once where the rack is silent.

use super::root::{SAFELY, partition, run};
use super::table;
use crate::disks::Disk;
use base::doc::live::DiskFacts;
use base::{Fault, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const LABEL: &str = "Hanok disk";
const MOUNT: &str = "/mnt";
/// Looked for on the EFI system partition, in this order: every system may have the first, some only one of the others.
const LOADERS: [&str; 4] = ["boot/bootx64.efi", "/shimx64.efi", "/grubx64.efi", "/bootmgfw.efi"];

pub fn set(facts: &DiskFacts, notes: &mut Vec<String>) {
    if !Path::new("/sys/firmware/efi").exists() {
        return;
    }
    match loader(facts) {
        Ok(Some((number, path))) => {
            if let Err(fault) = order(&facts.name, number, &path) {
                notes.push(format!(
                    "The firmware's boot order could not be set ({}); it will look for EFI/BOOT/BOOTX64.EFI itself.",
                    fault.message
                ));
            }
        }
        Ok(None) => notes.push(
            "The image has no EFI system partition with a boot program, and this machine starts by UEFI: set its \
             firmware to legacy start, or take an image made for UEFI."
                .into(),
        ),
        Err(fault) => notes.push(format!("The firmware's boot order was not set: {}", fault.message)),
    }
}

/// Number of the EFI system partition, and the boot program on it as the firmware writes it.
fn loader(facts: &DiskFacts) -> Result<Option<(u32, String)>> {
    let disk = Disk::open_path(&Path::new("/dev").join(&facts.name))?;
    let head = disk.read(0, 1 << 20)?;
    let options = format!("ro,{SAFELY}");
    for part in table::read(&head, u64::from(facts.sector.max(512)))?.parts() {
        let device = PathBuf::from("/dev").join(partition(&facts.name, part.number));
        if run(
            "mount",
            &[
                "-t".as_ref(),
                "vfat".as_ref(),
                "-o".as_ref(),
                options.as_ref(),
                device.as_os_str(),
                MOUNT.as_ref(),
            ],
        )
        .is_err()
        {
            continue;
        }
        let found = programs(&Path::new(MOUNT).join("EFI"));
        run("umount", &[MOUNT.as_ref()])?;
        if let Some(path) = best(&found) {
            return Ok(Some((part.number, path)));
        }
    }
    Ok(None)
}

/// `Vendor/program` below EFI, as the directory spells them.
fn programs(efi: &Path) -> Vec<String> {
    let list = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for vendor in list(efi) {
        let dir = efi.join(&vendor);
        all.extend(list(&dir).into_iter().map(|p| format!("{vendor}/{p}")));
        // Windows: EFI/Microsoft/Boot/bootmgfw.efi.
        all.extend(list(&dir.join("Boot")).into_iter().map(|p| format!("{vendor}/Boot/{p}")));
    }
    all.sort();
    all
}

fn best(programs: &[String]) -> Option<String> {
    let wanted = |l: &str| {
        programs
            .iter()
            .find(|p| format!("/{}", p.to_lowercase()).ends_with(&format!("/{}", l.trim_start_matches('/'))))
    };
    let found = LOADERS.iter().find_map(|l| wanted(l))?;
    Some(format!("\\EFI\\{}", found.replace('/', "\\")))
}

fn order(disk: &str, number: u32, path: &str) -> Result<()> {
    let before = ask(&[])?;
    for old in before.entries.iter().filter(|(_, label)| label == LABEL) {
        ask(&["-b", &old.0, "-B"])?;
    }
    let (device, number) = (format!("/dev/{disk}"), number.to_string());
    let after = ask(&["-c", "-d", &device, "-p", &number, "-L", LABEL, "-l", path])?;
    let Some((own, _)) = after.entries.iter().find(|(_, label)| label == LABEL) else {
        return Err(Fault::unavailable("efibootmgr made no entry."));
    };
    ask(&["-o", &arranged(&after, own).join(",")])?;
    ask(&["-n", own])?;
    Ok(())
}

/// How this system was started comes first, then the disk, then the others as they were.
fn arranged(state: &State, own: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in
        std::iter::once(state.current.as_str()).chain([own]).chain(state.order.iter().map(String::as_str))
    {
        if !entry.is_empty() && !all.iter().any(|e| e == entry) {
            all.push(entry.to_owned());
        }
    }
    all
}

#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    current: String,
    order: Vec<String>,
    /// Number and label.
    entries: Vec<(String, String)>,
}

impl State {
    fn parse(text: &str) -> State {
        let mut state = State::default();
        for line in text.lines() {
            if let Some(current) = line.strip_prefix("BootCurrent: ") {
                current.trim().clone_into(&mut state.current);
            } else if let Some(order) = line.strip_prefix("BootOrder: ") {
                state.order = order.split(',').map(|e| e.trim().to_owned()).collect();
            } else if let Some(rest) = line.strip_prefix("Boot")
                && let Some((number, label)) = rest.split_at_checked(4)
                && number.bytes().all(|b| b.is_ascii_hexdigit())
            {
                // A star says that it is active; after the label a tab and the device's path may follow.
                let label = label.trim_start_matches('*').split('\t').next().unwrap_or_default().trim();
                state.entries.push((number.to_owned(), label.to_owned()));
            }
        }
        state
    }
}

fn ask(words: &[&str]) -> Result<State> {
    let output = Command::new("efibootmgr").args(words).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Fault::unavailable(format!("efibootmgr said: {}", said.trim())));
    }
    Ok(State::parse(&String::from_utf8_lossy(&output.stdout)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_stays_first_and_the_disk_comes_next() {
        let text = "BootCurrent: 0003\nTimeout: 3 seconds\nBootOrder: 0007,0000,0003,0001\nBoot0000* UiApp\nBoot0001  EFI Shell\tFv(x)\nBoot0003* UEFI PXEv4 (MAC:525400000021)\tPciRoot(0x0)\nBoot0007* Hanok disk\tHD(1,GPT)\n";
        let state = State::parse(text);
        assert_eq!(state.entries.len(), 4);
        assert_eq!(state.entries[1], ("0001".into(), "EFI Shell".into()));
        assert_eq!(arranged(&state, "0007"), ["0003", "0007", "0000", "0001"]);
        assert_eq!(arranged(&State::default(), "0001"), ["0001"]);
    }

    #[test]
    fn the_fallback_program_is_taken_before_vendors_own() {
        let all = |p: &[&str]| p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            best(&all(&["BOOT/BOOTX64.EFI", "debian/shimx64.efi"])).unwrap(),
            "\\EFI\\BOOT\\BOOTX64.EFI"
        );
        assert_eq!(
            best(&all(&["debian/grubx64.efi", "debian/shimx64.efi"])).unwrap(),
            "\\EFI\\debian\\shimx64.efi"
        );
        assert_eq!(
            best(&all(&["Microsoft/Boot/bootmgfw.efi"])).unwrap(),
            "\\EFI\\Microsoft\\Boot\\bootmgfw.efi"
        );
        assert_eq!(best(&all(&["debian/fbx64.efi"])), None);
    }
}
