//! What a guest is made of and what it may take, beyond its size.

use serde::{Deserialize, Serialize};

/// What the guest's machine is made of, where it is not the ordinary one. Empty words and zeros are the
/// ordinary ones; a word that an agent does not know makes the guest fail with that word as its reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardware {
    /// `q35` (ordinary) or `pc`.
    pub machine: String,
    /// Of the root disk and the local ones: `virtio` (ordinary), `scsi`, `sata`, `ide`.
    pub disk_bus: String,
    /// Set: the config drive is a CD on this bus (`sata`, `ide`, `scsi`), else a virtio disk.
    pub cdrom_bus: String,
    /// `virtio` (ordinary), `e1000`, `e1000e`, `rtl8139`.
    pub vif_model: String,
    /// `vga` (ordinary), `virtio`, `cirrus`, `qxl`, `none`.
    pub video_model: String,
    /// MiB.
    pub video_ram_mib: u32,
    /// `reset`, `poweroff`, `pause`, `none`; empty: no watchdog.
    pub watchdog_action: String,
    pub boot_menu: bool,
    pub no_rng: bool,
    /// Beyond the first, which is always there.
    pub more_serial_ports: u32,
    pub sockets: u32,
    pub cores: u32,
    pub threads: u32,
    /// Starts by UEFI instead of a BIOS.
    pub uefi: bool,
    /// The clock tells local time, as Windows expects.
    pub localtime: bool,
    /// Offers the interfaces that Windows knows from its own hypervisor (under KVM).
    pub hyperv: bool,
    /// A snapshot is refused when the guest's agent cannot bring its file systems to rest.
    pub require_quiesce: bool,
}

/// What a guest may take. Zero is without limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub cpu_shares: u64,
    pub cpu_quota_us: u64,
    pub cpu_period_us: u64,
    pub disk_read_iops: u64,
    pub disk_write_iops: u64,
    pub disk_total_iops: u64,
    /// Bytes per second.
    pub disk_read_bytes: u64,
    pub disk_write_bytes: u64,
    pub disk_total_bytes: u64,
}

/// A disk that is made with the guest and goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalDisk {
    /// Unique within the guest, letters and digits: names the file.
    pub name: String,
    pub bytes: u64,
    /// `ext4`, `ext3`, `vfat`, `swap`: made on it when it is new.
    pub format: String,
}
