//! What a server's machine is made of beyond its size, from the image's properties and the flavor's extra
//! specs. Pure: data in, data out.
//!
//! Names and values: OpenStack Image metadata definitions and Compute's flavor extra specs. The image's
//! properties are read when a server is made of it, the flavor's specs whenever a document is written, so
//! that a resize changes what the flavor says. What no host here can do is refused in words, not left out.

use crate::model::KeptFlavor;
use base::doc::{Hardware, Limits, LocalDisk};
use base::{Fault, Result};
use std::collections::BTreeMap;

type Properties = BTreeMap<String, String>;

const MIB: u64 = 1 << 20;

fn refused(name: &str, value: &str, why: &str) -> Fault {
    Fault::bad_request(format!("Invalid image metadata or flavor. {name}={value}: {why}"))
}

/// The image's word for something, in lower case; empty when it says nothing.
fn word(p: &Properties, name: &str, known: &[&str]) -> Result<String> {
    let Some(value) = p.get(name) else { return Ok(String::new()) };
    let value = value.to_ascii_lowercase();
    if known.contains(&value.as_str()) {
        return Ok(value);
    }
    Err(refused(name, &value, &format!("hosts here have {}.", known.join(", "))))
}

fn yes(value: Option<&String>) -> bool {
    value.is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "yes" | "true" | "1" | "on" | "y" | "t"))
}

fn number(p: &Properties, name: &str, max: u32) -> Result<u32> {
    match p.get(name).map(|v| (v, v.trim().parse::<u32>())) {
        None => Ok(0),
        Some((_, Ok(n))) if n <= max => Ok(n),
        Some((v, _)) => Err(refused(name, v, &format!("it must be a whole number up to {max}."))),
    }
}

/// What an image asks of the machine.
///
/// # Errors
/// `BadRequest` for what no host here can do.
pub fn of(flavor: &KeptFlavor, p: &Properties) -> Result<Hardware> {
    let specs = &flavor.extra_specs;
    let windows = p.get("os_type").is_some_and(|t| t.eq_ignore_ascii_case("windows"));
    let mut h = Hardware {
        machine: machine(p)?,
        disk_bus: word(p, "hw_disk_bus", &["virtio", "scsi", "sata", "ide"])?,
        cdrom_bus: word(p, "hw_cdrom_bus", &["virtio", "scsi", "sata", "ide"])?,
        vif_model: word(p, "hw_vif_model", &["virtio", "e1000", "e1000e", "rtl8139"])?,
        video_model: word(p, "hw_video_model", &["vga", "virtio", "cirrus", "qxl", "none"])?,
        video_ram_mib: number(p, "hw_video_ram", 4096)?,
        watchdog_action: watchdog(specs, p)?,
        boot_menu: yes(specs.get("hw:boot_menu").or_else(|| p.get("hw_boot_menu"))),
        no_rng: specs.get("hw_rng:allowed").is_some_and(|v| !yes(Some(v))),
        more_serial_ports: serial_ports(specs, p)?,
        uefi: word(p, "hw_firmware_type", &["bios", "uefi"])? == "uefi",
        localtime: windows,
        hyperv: windows,
        require_quiesce: yes(p.get("os_require_quiesce")),
        ..Hardware::default()
    };
    word(p, "hw_rng_model", &["virtio"])?;
    let most = number(specs, "hw_video:ram_max_mb", 4096)?;
    if h.video_ram_mib > most {
        return Err(Fault::bad_request(format!(
            "The requested amount of video memory {} is higher than the maximum allowed by flavor {most}.",
            h.video_ram_mib
        )));
    }
    if h.machine != "pc" && [&h.disk_bus, &h.cdrom_bus].iter().any(|b| *b == "ide") {
        return Err(refused("hw_disk_bus", "ide", "only hw_machine_type=pc has this bus."));
    }
    (h.sockets, h.cores, h.threads) = topology(flavor, p)?;
    Ok(h)
}

/// Versions of a machine are not kept apart: it is the newest one of its kind.
fn machine(p: &Properties) -> Result<String> {
    match p.get("hw_machine_type").map(String::as_str) {
        None => Ok(String::new()),
        Some(m) if m == "q35" || m.starts_with("pc-q35") => Ok("q35".into()),
        Some(m) if m == "pc" || m.starts_with("pc-i440fx") => Ok("pc".into()),
        Some(m) => Err(refused("hw_machine_type", m, "hosts here have q35, pc.")),
    }
}

fn watchdog(specs: &Properties, p: &Properties) -> Result<String> {
    const ACTIONS: &[&str] = &["none", "pause", "poweroff", "reset", "disabled"];
    let action = match specs.get("hw:watchdog_action") {
        Some(_) => word(specs, "hw:watchdog_action", ACTIONS)?,
        None => word(p, "hw_watchdog_action", ACTIONS)?,
    };
    Ok(if action == "disabled" { String::new() } else { action })
}

/// How many there are beside the first: what the image asks for, the flavor may limit.
fn serial_ports(specs: &Properties, p: &Properties) -> Result<u32> {
    let (most, asked) = (number(specs, "hw:serial_port_count", 4)?, number(p, "hw_serial_port_count", 4)?);
    if most > 0 && asked > most {
        return Err(Fault::bad_request(format!(
            "Maximum number of serial port exceeds {most}: the image asks for {asked}."
        )));
    }
    Ok(asked.max(if asked == 0 { most } else { 0 }).saturating_sub(1))
}

/// Sockets, cores and threads; zeros when nobody says anything.
fn topology(flavor: &KeptFlavor, p: &Properties) -> Result<(u32, u32, u32)> {
    let said = |flavors: &str, images: &str| -> Result<u32> {
        match number(&flavor.extra_specs, flavors, 1024)? {
            0 => number(p, images, 1024),
            n => Ok(n),
        }
    };
    let (sockets, cores, threads) = (
        said("hw:cpu_sockets", "hw_cpu_sockets")?,
        said("hw:cpu_cores", "hw_cpu_cores")?,
        said("hw:cpu_threads", "hw_cpu_threads")?,
    );
    if (sockets, cores, threads) == (0, 0, 0) {
        return Ok((0, 0, 0));
    }
    let (threads, vcpus) = (threads.max(1), flavor.vcpus);
    let (sockets, cores) = match (sockets, cores) {
        (0, 0) => (vcpus / threads, 1),
        (0, c) => (vcpus / (threads * c), c),
        (s, 0) => (s, vcpus / (threads * s)),
        (s, c) => (s, c),
    };
    if sockets * cores * threads != vcpus {
        return Err(Fault::bad_request(format!(
            "Requested CPU topology of {sockets} sockets, {cores} cores and {threads} threads is impossible with \
             {vcpus} vCPUs."
        )));
    }
    Ok((sockets, cores, threads))
}

/// What a flavor lets a server take. A value that is no number was kept before values were checked, and
/// bounds nothing.
pub fn limits(flavor: &KeptFlavor) -> Limits {
    let n = |name: &str| flavor.extra_specs.get(name).and_then(|v| v.trim().parse().ok()).unwrap_or(0);
    Limits {
        cpu_shares: n("quota:cpu_shares"),
        cpu_quota_us: n("quota:cpu_quota"),
        cpu_period_us: n("quota:cpu_period"),
        disk_read_iops: n("quota:disk_read_iops_sec"),
        disk_write_iops: n("quota:disk_write_iops_sec"),
        disk_total_iops: n("quota:disk_total_iops_sec"),
        disk_read_bytes: n("quota:disk_read_bytes_sec"),
        disk_write_bytes: n("quota:disk_write_bytes_sec"),
        disk_total_bytes: n("quota:disk_total_bytes_sec"),
    }
}

/// The disks that a flavor gives a server beside its first.
pub fn local_disks(flavor: &KeptFlavor, h: &Hardware) -> Vec<LocalDisk> {
    let mut all = Vec::new();
    if flavor.ephemeral > 0 {
        // What Windows reads, or what everybody else does.
        let format = if h.hyperv { "vfat" } else { "ext4" };
        let bytes = flavor.ephemeral * 1024 * MIB;
        all.push(LocalDisk { name: "ephemeral0".into(), bytes, format: format.into() });
    }
    if flavor.swap > 0 {
        all.push(LocalDisk { name: "swap".into(), bytes: flavor.swap * MIB, format: "swap".into() });
    }
    all
}

/// GiB of a host that these take.
pub fn local_gib(flavor: &KeptFlavor) -> u64 {
    flavor.ephemeral + flavor.swap.div_ceil(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flavor(vcpus: u32, specs: &[(&str, &str)]) -> KeptFlavor {
        KeptFlavor {
            id: "1".into(),
            original_name: "f".into(),
            vcpus,
            ram: 64,
            disk: 1,
            ephemeral: 2,
            swap: 512,
            extra_specs: pairs(specs),
        }
    }

    fn pairs(all: &[(&str, &str)]) -> Properties {
        all.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[test]
    fn an_image_says_what_it_needs() {
        let ordinary = of(&flavor(1, &[]), &pairs(&[("os_distro", "mini")])).unwrap();
        assert_eq!(ordinary, Hardware::default());
        let h = of(
            &flavor(4, &[("hw:cpu_cores", "2"), ("hw_video:ram_max_mb", "64")]),
            &pairs(&[
                ("hw_machine_type", "pc-i440fx-7.2"),
                ("hw_disk_bus", "ide"),
                ("hw_vif_model", "e1000"),
                ("hw_video_ram", "32"),
                ("hw_watchdog_action", "reset"),
                ("os_type", "windows"),
                ("hw_serial_port_count", "2"),
            ]),
        )
        .unwrap();
        assert_eq!((h.machine.as_str(), h.disk_bus.as_str(), h.vif_model.as_str()), ("pc", "ide", "e1000"));
        assert_eq!((h.sockets, h.cores, h.threads), (2, 2, 1));
        assert!(h.localtime && h.hyperv && h.watchdog_action == "reset" && h.more_serial_ports == 1);
    }

    #[test]
    fn what_no_host_can_do_is_refused() {
        for (vcpus, specs, properties) in [
            (1, &[][..], &[("hw_disk_bus", "floppy")][..]),
            (1, &[], &[("hw_disk_bus", "ide")]),
            (1, &[], &[("hw_vif_model", "vmxnet3")]),
            (1, &[], &[("hw_video_ram", "16")]),
            (3, &[("hw:cpu_cores", "2")], &[]),
            (1, &[("hw:serial_port_count", "1")], &[("hw_serial_port_count", "2")]),
        ] {
            assert!(of(&flavor(vcpus, specs), &pairs(properties)).is_err(), "{specs:?} {properties:?}");
        }
    }

    #[test]
    fn a_flavor_bounds_and_gives() {
        let f = flavor(1, &[("quota:cpu_quota", "20000"), ("quota:disk_write_bytes_sec", "1048576")]);
        assert_eq!(limits(&f).cpu_quota_us, 20_000);
        assert_eq!(limits(&f).disk_write_bytes, 1 << 20);
        let disks = local_disks(&f, &Hardware::default());
        assert_eq!(
            disks.iter().map(|d| (d.bytes, d.format.as_str())).collect::<Vec<_>>(),
            [(2 << 30, "ext4"), (512 << 20, "swap")]
        );
        assert_eq!(local_gib(&f), 3);
    }
}
