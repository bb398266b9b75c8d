//! What the live system on a machine and the region say to each other, passed on by the rack.
//!
//! ```text
//! POST /live/v1/hello                Authorization: Bearer <boot token>   Hello → 200 Welcome
//! GET  /live/v1/task?since=N&wait=30 Authorization: Bearer <session>      200 Task with number > N, or 204
//! PUT  /live/v1/report               Authorization: Bearer <session>      Report → 204
//! PUT  /live/v1/inventory            Authorization: Bearer <session>      Inventory → 204
//! ```
//! The boot token comes on the kernel command line (`hanok.token=`, beside `hanok.url=` of the rack), is good
//! once and for the MAC that asked the rack. The session lives until the machine leaves the live system.
//! A task is told until another takes its place; it is done once per number, and may be told again to a live
//! system that has just booted, which then begins anew: every task can be done twice.

use crate::{Fault, MachineId, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The live system has come up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// All MACs of the machine, lower case; the one that it booted from first.
    pub macs: Vec<String>,
    /// SMBIOS UUID in lower case, empty when there is none.
    #[serde(default)]
    pub uuid: String,
    #[serde(default)]
    pub serial: String,
    #[serde(default)]
    pub uefi: bool,
    #[serde(default)]
    pub live_version: String,
    /// Its address on the rack's segment, and the port at which it serves chunks to its peers.
    #[serde(default)]
    pub address: String,
    #[serde(default)]
    pub peer_port: u16,
}

/// The region's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub machine: MachineId,
    pub name: String,
    /// Shown as `Authorization: Bearer` from now on.
    pub session: String,
    /// Who may log in by ssh as root, one line of authorized_keys each.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// Microseconds since 1970: the machine's clock is set by it.
    pub now: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Grows with every task of the machine.
    pub number: u64,
    #[serde(flatten)]
    pub work: Work,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Stay up and wait.
    Idle,
    /// Look at the hardware and send the [`Inventory`].
    Inventory,
    Test {
        tests: Vec<Test>,
    },
    Erase {
        mode: EraseMode,
    },
    Write(Box<WriteImage>),
    Reboot,
    PowerOff,
}

/// A test of the hardware; each has a bounded run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Reads what the disks say of themselves (SMART, NVMe health).
    DiskHealth,
    /// Reads samples over each whole disk.
    DiskRead,
    /// Writes and checks patterns in a part of the free memory.
    Memory,
    /// All cores compute and compare for a while.
    Cpu,
    /// The rack is reached and answers at each linked interface's speed.
    Network,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EraseMode {
    #[default]
    None,
    /// Partition tables, file-system signatures and both ends.
    Quick,
    /// The drive's own erase, or every byte overwritten.
    Secure,
    /// As `Secure`, then read back; the report says how much and what was found.
    Verified,
}

/// Writes a disk.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteImage {
    /// The image at the rack: `/images/{sha512}/manifest`.
    pub image_sha512: String,
    /// Which disk: its `DiskFacts::id`; empty: the smallest that is large enough, solid state before spinning.
    #[serde(default)]
    pub disk: String,
    /// The last partition takes what is left of the disk.
    #[serde(default)]
    pub grow: bool,
    /// Files of a configuration drive (label `config-2`, vfat) at the end of the disk, by path; text.
    #[serde(default)]
    pub config_drive: BTreeMap<String, String>,
    /// More of them, in base64: what is no text.
    #[serde(default)]
    pub config_drive_base64: BTreeMap<String, String>,
    /// Files to be put into the image's root file system (ext4, xfs, btrfs), by absolute path.
    #[serde(default)]
    pub files: BTreeMap<String, SeedFile>,
}

impl WriteImage {
    /// All files of the configuration drive.
    ///
    /// # Errors
    /// `BadRequest` for what is not base64.
    pub fn drive(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let text = self.config_drive.iter().map(|(path, text)| Ok((path.clone(), text.clone().into_bytes())));
        let coded = self.config_drive_base64.iter().map(|(path, coded)| {
            let bytes = STANDARD.decode(coded);
            let bytes = bytes.map_err(|_| {
                Fault::bad_request(format!("{path} of the configuration drive is no base64."))
            })?;
            Ok((path.clone(), bytes))
        });
        text.chain(coded).collect()
    }
}

impl std::fmt::Debug for WriteImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriteImage {{ image: {:.12}…, disk: {:?} }}", self.image_sha512, self.disk)
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedFile {
    pub content: String,
    /// As chmod takes it; 0 is 0644.
    #[serde(default)]
    pub mode: u32,
}

/// How a task goes. Sent when it changes, and every few seconds while bytes move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub number: u64,
    pub stage: Stage,
    /// What is being done, or why it failed and what would help.
    #[serde(default)]
    pub reason: String,
    /// It failed because image and machine are as they are: a second try would end the same.
    #[serde(default)]
    pub lasting: bool,
    #[serde(default)]
    pub done_bytes: u64,
    #[serde(default)]
    pub total_bytes: u64,
    #[serde(default)]
    pub results: Vec<TestResult>,
    /// Of an erase: what was done to each disk and what reading back found.
    #[serde(default)]
    pub erased: Vec<Erased>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Running,
    Done,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    pub test: Test,
    /// The part: a disk, an interface, or empty.
    #[serde(default)]
    pub part: String,
    pub passed: bool,
    #[serde(default)]
    pub output: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    pub disk: String,
    /// `overwrite`, `discard`, `nvme format`, `ata secure erase`, …
    pub method: String,
    pub bytes: u64,
    /// Bytes read back, and how many of them were not what they should be.
    #[serde(default)]
    pub read_back: u64,
    #[serde(default)]
    pub wrong: u64,
}

// ------------------------------------------------------------------------------------ inventory

/// What a machine is made of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    pub system: SystemFacts,
    pub cpu: CpuFacts,
    /// MiB that the kernel sees.
    pub memory_mib: u64,
    pub dimms: Vec<Dimm>,
    pub disks: Vec<DiskFacts>,
    pub nics: Vec<NicFacts>,
    pub bmc: Option<BmcFacts>,
    /// What it is suited for and what not, and why.
    pub verdicts: Vec<Verdict>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemFacts {
    pub vendor: String,
    pub product: String,
    pub serial: String,
    pub uuid: String,
    pub chassis: String,
    pub board: String,
    pub firmware_vendor: String,
    pub firmware_version: String,
    pub firmware_date: String,
    pub uefi: bool,
    pub secure_boot: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuFacts {
    pub model: String,
    /// As `uname -m` says it.
    pub arch: String,
    pub sockets: u32,
    pub cores: u32,
    pub threads: u32,
    pub mhz: u32,
    pub numa_nodes: u32,
    /// `vmx`, `svm`, or empty.
    pub virtualisation: String,
}

/// A memory slot; `size_mib` 0 is an empty one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dimm {
    pub slot: String,
    pub size_mib: u64,
    /// `DDR4`, …
    pub kind: String,
    /// MT/s.
    pub speed: u32,
    pub manufacturer: String,
    pub part: String,
    pub serial: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskFacts {
    /// The same over reboots: WWN, else model and serial number, else the bus path.
    pub id: String,
    /// Kernel name at the time, such as `sda`.
    pub name: String,
    pub model: String,
    pub serial: String,
    pub size_bytes: u64,
    /// Logical and physical, in bytes.
    pub sector: u32,
    pub physical_sector: u32,
    pub kind: DiskKind,
    pub removable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    #[default]
    Unknown,
    Hdd,
    Ssd,
    Nvme,
    Virtual,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NicFacts {
    pub name: String,
    pub mac: String,
    pub link: bool,
    /// Mbit/s; 0 when there is no link.
    pub speed: u32,
    pub driver: String,
    pub product: String,
    /// It booted from this one.
    pub boot: bool,
    pub lldp: Option<Neighbour>,
}

/// Who is at the other end of the cable (IEEE 802.1AB).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Neighbour {
    pub chassis: String,
    pub port: String,
    pub system: String,
    pub port_description: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BmcFacts {
    pub address: String,
    pub mac: String,
    pub firmware: String,
    pub vendor: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `host` (may run guests), `metal` (may be handed to a tenant), `memory`, `disk`, `network`, …
    pub what: String,
    pub ok: bool,
    pub reason: String,
}
