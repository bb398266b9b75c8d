//! What the document says of a guest's machine, in QEMU's words.
//!
//! A word that is not known here is an error with that word in it: a guest that silently gets other hardware
//! than asked for is worse than one that does not start.

use super::accel::Accel;
use super::{Dir, Record};
use base::doc::{Guest, Hardware, LocalDisk};
use base::{Fault, Result};
use serde_json::{Value, json};
use std::path::Path;

/// Firmware for UEFI as Debian's package `ovmf` has it: code, and what new guests' variables begin as.
const UEFI: [(&str, &str); 2] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
];
const VARS: &str = "uefi-vars.fd";

fn unknown(what: &str, word: &str) -> Fault {
    Fault::bad_request(format!("There is no {what} {word:?} on this host."))
}

/// Whether the machine has PCI Express ports: the older one has a bus on which everything sits.
pub fn has_ports(h: &Hardware) -> bool {
    h.machine != "pc"
}

/// The plain name of the machine that the document asks for.
pub fn family(h: &Hardware) -> Result<&'static str> {
    match h.machine.as_str() {
        "" | "q35" => Ok("q35"),
        "pc" => Ok("pc"),
        other => Err(unknown("machine type", other)),
    }
}

/// All that QEMU emulates, but for fast strings: it runs `rep movsb` and `rep stosb` a byte at a time. A system that is not
/// told that these are fast copies and clears by words, and boots a fifth sooner.
const EMULATED: &str = "max,erms=off,fsrm=off";

/// What `-cpu` says of a guest that boots. A model that is named must be had whole: a guest that misses a part
/// of it could go nowhere else.
pub fn cpu(guest: &Guest, accel: Accel) -> Result<String> {
    let sane = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !guest.cpu.bytes().all(sane) {
        return Err(unknown("processor model", &guest.cpu));
    }
    let model = match (guest.cpu.as_str(), accel) {
        ("", Accel::Kvm) => "host".to_owned(),
        ("", Accel::Tcg) => EMULATED.to_owned(),
        (model, _) => format!("{model},enforce"),
    };
    let hyperv = guest.hardware.hyperv && accel == Accel::Kvm;
    Ok(model + if hyperv { ",hv_relaxed,hv_vapic,hv_spinlocks=0x1fff,hv_time" } else { "" })
}

/// `-machine`, `-cpu` and `-smp`.
pub fn machine(guest: &Guest, accel: Accel, record: &Record) -> Result<Vec<String>> {
    let h = &guest.hardware;
    let machine = record.machine.as_deref().unwrap_or(family(h)?);
    let machine = format!("{machine},usb=off,vmport=off");
    let cpu = record.cpu.clone().map_or_else(|| cpu(guest, accel), Ok)?;
    let accel = match accel {
        Accel::Kvm => "kvm",
        Accel::Tcg => "tcg,thread=multi,tb-size=256",
    };
    let mut smp = guest.vcpus.max(1).to_string();
    if h.sockets * h.cores * h.threads == guest.vcpus {
        smp = format!("{smp},sockets={},cores={},threads={}", h.sockets, h.cores, h.threads);
    }
    let words = ["-machine", &machine, "-accel", accel, "-cpu", &cpu, "-smp", &smp];
    Ok(words.map(str::to_owned).into())
}

/// Screen, watchdog, random numbers, clock, boot menu and further serial ports.
pub fn devices(guest: &Guest) -> Result<Vec<String>> {
    let h = &guest.hardware;
    let mut line: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| line.extend(words.iter().map(|w| (*w).to_owned()));
    add(&["-rtc", if h.localtime { "base=localtime" } else { "base=utc" }]);
    add(&["-boot", if h.boot_menu { "menu=on,strict=on" } else { "menu=off,strict=on" }]);
    let vga = match h.video_ram_mib {
        0 => "VGA".to_owned(),
        mib => format!("VGA,vgamem_mb={}", mib.next_power_of_two().min(256)),
    };
    match h.video_model.as_str() {
        "" | "vga" => add(&["-device", &vga]),
        "virtio" => add(&["-device", "virtio-vga"]),
        "cirrus" => add(&["-device", "cirrus-vga"]),
        "qxl" => add(&["-device", "qxl-vga"]),
        "none" => {}
        other => return Err(unknown("video model", other)),
    }
    match h.watchdog_action.as_str() {
        "" | "disabled" => add(&["-action", "shutdown=pause"]),
        action @ ("reset" | "poweroff" | "pause" | "none") => {
            let action = format!("shutdown=pause,watchdog={action}");
            add(&["-action", &action, "-device", "i6300esb,id=watchdog"]);
        }
        other => return Err(unknown("watchdog action", other)),
    }
    if !h.no_rng {
        add(&["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"]);
    }
    for n in 0..h.more_serial_ports.min(3) {
        let (backend, device) =
            (format!("null,id=serial{}", n + 1), format!("isa-serial,chardev=serial{}", n + 1));
        add(&["-chardev", &backend, "-device", &device]);
    }
    Ok(line)
}

/// The devices that disks need to sit on.
pub fn controllers(h: &Hardware) -> Result<Vec<String>> {
    let mut line = Vec::new();
    for bus in [&h.disk_bus, &h.cdrom_bus] {
        let device = match bus.as_str() {
            "scsi" => "virtio-scsi-pci,id=scsi",
            "sata" if !has_ports(h) => "ahci,id=sata",
            _ => continue,
        };
        if !line.iter().any(|w| w == device) {
            line.extend(["-device".to_owned(), device.to_owned()]);
        }
    }
    Ok(line)
}

/// The device of a disk whose block node is `node`; `n` counts those on the same bus.
///
/// # Errors
/// `BadRequest` for a bus that the machine has not, or too many disks on it.
pub fn disk(h: &Hardware, bus: &str, cd: bool, node: &str, n: usize) -> Result<Value> {
    let mut device = json!({ "drive": node, "id": node });
    let kind = |disk: &str, cdrom: &str| Value::from(if cd { cdrom } else { disk });
    match bus {
        "" | "virtio" => device["driver"] = "virtio-blk-pci".into(),
        "scsi" => {
            device["driver"] = kind("scsi-hd", "scsi-cd");
            device["bus"] = "scsi.0".into();
        }
        "sata" if n < 6 => {
            device["driver"] = kind("ide-hd", "ide-cd");
            let controller = if has_ports(h) { "ide" } else { "sata" };
            device["bus"] = format!("{controller}.{n}").into();
        }
        "ide" if !has_ports(h) && n < 4 => {
            device["driver"] = kind("ide-hd", "ide-cd");
            device["bus"] = format!("ide.{}", n / 2).into();
            device["unit"] = (n % 2).into();
        }
        other => return Err(unknown("disk bus", other)),
    }
    if !cd {
        device["write-cache"] = "on".into();
    }
    Ok(device)
}

/// `-blockdev`s of the firmware for UEFI, its variables made when there are none.
///
/// # Errors
/// `Unavailable` with the package to install where the host has no such firmware.
pub fn firmware(dir: &Dir, h: &Hardware) -> Result<Vec<String>> {
    if !h.uefi {
        return Ok(Vec::new());
    }
    let found = UEFI.into_iter().find(|(code, vars)| Path::new(code).exists() && Path::new(vars).exists());
    let (code, vars) = found.ok_or_else(|| {
        Fault::unavailable("Firmware for UEFI is not installed on this host: apt install ovmf.")
    })?;
    let own = dir.path(VARS);
    if !own.exists() {
        let temporary = format!("{VARS}.tmp");
        std::fs::copy(vars, dir.path(&temporary))?;
        dir.complete(&temporary, VARS)?;
    }
    let drive = |unit: u8, file: &Path, readonly: &str| {
        format!(
            "if=pflash,unit={unit},format=raw,readonly={readonly},file={}",
            file.display().to_string().replace(',', ",,")
        )
    };
    let words = [("-drive", drive(0, Path::new(code), "on")), ("-drive", drive(1, &own, "off"))];
    Ok(words.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect())
}

/// The file of a disk that lives with the guest.
pub fn local_file(disk: &LocalDisk) -> String {
    let name: String = disk.name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("local-{name}.img")
}

/// Brings the local disks of a guest that does not run to what the document names: makes those that are not there
/// yet, with the file system that they should hold, and swap of another size anew; removes those that are not named
/// any more. Others grow if they `may_grow`: their file systems are the guest's to grow, so none ever shrinks.
pub async fn make_local(dir: &Dir, disks: &[LocalDisk], may_grow: bool) -> Result<()> {
    let named: Vec<String> = disks.iter().map(local_file).collect();
    forget_local(dir, &named)?;
    for (disk, file) in disks.iter().zip(&named) {
        let bytes = disk.bytes.next_multiple_of(4096);
        let has = match dir.path(file).metadata() {
            Ok(there) => Some(there.len()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(e.into()),
        };
        match has {
            Some(has) if has == bytes => continue,
            Some(has) if disk.format != "swap" => {
                if has < bytes && may_grow {
                    let grown = std::fs::OpenOptions::new().write(true).open(dir.path(file))?;
                    grown.set_len(bytes)?;
                    grown.sync_all()?;
                }
                continue;
            }
            _ => {}
        }
        let temporary = format!("{file}.tmp");
        std::fs::File::create(dir.path(&temporary))?.set_len(bytes)?;
        let (tool, package, words): (_, _, Vec<&str>) = match disk.format.as_str() {
            "ext4" => ("mkfs.ext4", "e2fsprogs", vec!["-q", "-F", "-L", &disk.name, &temporary]),
            "ext3" => ("mkfs.ext3", "e2fsprogs", vec!["-q", "-F", "-L", &disk.name, &temporary]),
            "vfat" => ("mkfs.vfat", "dosfstools", vec!["-n", &disk.name, &temporary]),
            "swap" => ("mkswap", "util-linux", vec![&temporary]),
            other => return Err(unknown("file system", other)),
        };
        let made = super::disk::limited(tool, package, dir.root(), &words).await?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr);
            return Err(Fault::unavailable(format!("{tool}: {}: {}", made.status, said.trim())));
        }
        dir.complete(&temporary, file)?;
    }
    Ok(())
}

/// Removes the local disks whose files are none of `but`.
pub fn forget_local(dir: &Dir, but: &[String]) -> Result<()> {
    for name in std::fs::read_dir(dir.root())?.flatten().filter_map(|e| e.file_name().into_string().ok()) {
        if name.starts_with("local-") && !but.contains(&name) {
            std::fs::remove_file(dir.path(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::ServerId;

    fn local(name: &str, bytes: u64, format: &str) -> LocalDisk {
        LocalDisk { name: name.into(), bytes, format: format.into() }
    }

    /// The guest's local disks with their lengths in MiB.
    fn there(dir: &Dir) -> Vec<(String, u64)> {
        let mut all: Vec<_> = std::fs::read_dir(dir.root())
            .unwrap()
            .flatten()
            .map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().len() >> 20))
            .collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn local_disks_follow_the_document() {
        let data = tempfile::tempdir().unwrap();
        let dir = Dir::of(data.path(), ServerId::new());
        dir.make().unwrap();
        // As if it had been made with a file system, and written to.
        let ephemeral = dir.path("local-ephemeral0.img");
        std::fs::write(&ephemeral, vec![7_u8; 1 << 20]).unwrap();
        let disks = |ephemeral: u64, swap: u64| {
            vec![local("ephemeral0", ephemeral << 20, "ext4"), local("swap", swap << 20, "swap")]
        };
        let file = |name: &str, mib: u64| (format!("local-{name}.img"), mib);
        make_local(&dir, &disks(1, 1), true).await.unwrap();
        assert_eq!(there(&dir), [file("ephemeral0", 1), file("swap", 1)]);
        // A resize under trial may be taken back.
        make_local(&dir, &disks(3, 2), false).await.unwrap();
        assert_eq!(there(&dir), [file("ephemeral0", 1), file("swap", 2)]);
        make_local(&dir, &disks(3, 2), true).await.unwrap();
        assert_eq!(there(&dir), [file("ephemeral0", 3), file("swap", 2)]);
        let swap = std::fs::read(dir.path("local-swap.img")).unwrap();
        assert!(swap.windows(10).any(|w| w == b"SWAPSPACE2"), "made anew as swap");
        // What was written is not cut off, whatever the document says.
        make_local(&dir, &disks(2, 1), true).await.unwrap();
        assert_eq!(there(&dir), [file("ephemeral0", 3), file("swap", 1)]);
        assert!(std::fs::read(&ephemeral).unwrap()[..1 << 20].iter().all(|b| *b == 7));
        make_local(&dir, &disks(2, 1)[..1], true).await.unwrap();
        assert_eq!(there(&dir), [file("ephemeral0", 3)]);
        forget_local(&dir, &[]).unwrap();
        assert!(there(&dir).is_empty());
    }

    #[test]
    fn disks_sit_where_the_machine_has_room_for_them() {
        let q35 = Hardware::default();
        let pc = Hardware { machine: "pc".into(), ..Hardware::default() };
        assert_eq!(disk(&q35, "", false, "root", 0).unwrap()["driver"], "virtio-blk-pci");
        assert_eq!(disk(&q35, "sata", true, "config", 1).unwrap()["bus"], "ide.1");
        assert_eq!(disk(&pc, "sata", false, "root", 0).unwrap()["bus"], "sata.0");
        assert_eq!(disk(&pc, "ide", false, "b", 3).unwrap()["bus"], "ide.1");
        assert!(disk(&q35, "ide", false, "root", 0).is_err());
        assert!(disk(&q35, "floppy", false, "root", 0).is_err());
        assert_eq!(local_file(&local("../x0", 1, "ext4")), "local-x0.img");
    }
}
