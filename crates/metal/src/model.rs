//! What a machine is: its row, where it is in its life, what was asked for it.

use base::doc::live::{EraseMode, Inventory, SeedFile, Test};
use base::{ImageId, MachineId, Micros, ProjectId, RackId, SegmentId, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Where a machine is in its life, with the numbers and names of the MAAS API 2.0 (clients compare both).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    New = 0,
    Commissioning = 1,
    FailedCommissioning = 2,
    Missing = 3,
    Ready = 4,
    Reserved = 5,
    Deployed = 6,
    Retired = 7,
    Broken = 8,
    Deploying = 9,
    Allocated = 10,
    FailedDeployment = 11,
    Releasing = 12,
    FailedReleasing = 13,
    DiskErasing = 14,
    FailedDiskErasing = 15,
    RescueMode = 16,
    EnteringRescue = 17,
    FailedEnteringRescue = 18,
    ExitingRescue = 19,
    FailedExitingRescue = 20,
    Testing = 21,
    FailedTesting = 22,
}

/// Status, the word in our own API, the name in the MAAS API. In the order of the numbers.
const STATUSES: [(Status, &str, &str); 23] = [
    (Status::New, "new", "New"),
    (Status::Commissioning, "commissioning", "Commissioning"),
    (Status::FailedCommissioning, "failed_commissioning", "Failed commissioning"),
    (Status::Missing, "missing", "Missing"),
    (Status::Ready, "ready", "Ready"),
    (Status::Reserved, "reserved", "Reserved"),
    (Status::Deployed, "deployed", "Deployed"),
    (Status::Retired, "retired", "Retired"),
    (Status::Broken, "broken", "Broken"),
    (Status::Deploying, "deploying", "Deploying"),
    (Status::Allocated, "allocated", "Allocated"),
    (Status::FailedDeployment, "failed_deployment", "Failed deployment"),
    (Status::Releasing, "releasing", "Releasing"),
    (Status::FailedReleasing, "failed_releasing", "Releasing failed"),
    (Status::DiskErasing, "disk_erasing", "Disk erasing"),
    (Status::FailedDiskErasing, "failed_disk_erasing", "Failed disk erasing"),
    (Status::RescueMode, "rescue_mode", "Rescue mode"),
    (Status::EnteringRescue, "entering_rescue_mode", "Entering rescue mode"),
    (Status::FailedEnteringRescue, "failed_entering_rescue_mode", "Failed to enter rescue mode"),
    (Status::ExitingRescue, "exiting_rescue_mode", "Exiting rescue mode"),
    (Status::FailedExitingRescue, "failed_exiting_rescue_mode", "Failed to exit rescue mode"),
    (Status::Testing, "testing", "Testing"),
    (Status::FailedTesting, "failed_testing", "Failed testing"),
];

impl Status {
    pub fn all() -> impl Iterator<Item = Status> {
        STATUSES.iter().map(|(s, ..)| *s)
    }
    /// The number in the MAAS API.
    pub fn number(self) -> i64 {
        self as i64
    }
    pub fn of_number(n: i64) -> Option<Status> {
        usize::try_from(n).ok().and_then(|n| STATUSES.get(n)).map(|(s, ..)| *s)
    }
    /// The word in our own API.
    pub fn word(self) -> &'static str {
        STATUSES[self as usize].1
    }
    /// The name in the MAAS API.
    pub fn name(self) -> &'static str {
        STATUSES[self as usize].2
    }
    /// By word, name or number, in any case.
    pub fn parse(text: &str) -> Option<Status> {
        let same = |a: &str| a.eq_ignore_ascii_case(text.trim());
        let found = STATUSES.iter().find(|(_, word, name)| same(word) || same(name)).map(|(s, ..)| *s);
        found.or_else(|| text.trim().parse().ok().and_then(Status::of_number))
    }
    /// What it becomes when what is under way fails; `None` where nothing is.
    pub fn failed(self) -> Option<Status> {
        Some(match self {
            Status::Commissioning => Status::FailedCommissioning,
            Status::Testing => Status::FailedTesting,
            Status::Deploying => Status::FailedDeployment,
            Status::Releasing => Status::FailedReleasing,
            Status::DiskErasing => Status::FailedDiskErasing,
            Status::EnteringRescue => Status::FailedEnteringRescue,
            Status::ExitingRescue => Status::FailedExitingRescue,
            _ => return None,
        })
    }
    /// Something is under way.
    pub fn busy(self) -> bool {
        self.failed().is_some()
    }
    pub fn is_failure(self) -> bool {
        Status::all().any(|s| s.failed() == Some(self))
    }
    /// It belongs to somebody.
    pub fn owned(self) -> bool {
        use Status::{Allocated, Deployed, Deploying, DiskErasing, FailedDeployment, FailedDiskErasing};
        use Status::{FailedReleasing, Releasing};
        matches!(
            self,
            Allocated
                | Deploying
                | Deployed
                | FailedDeployment
                | Releasing
                | FailedReleasing
                | DiskErasing
                | FailedDiskErasing
        )
    }
}

/// A machine.
#[derive(Debug, Clone)]
pub struct Machine {
    pub id: MachineId,
    /// Six letters and digits, for the MAAS API.
    pub system_id: String,
    /// Host name, without a domain.
    pub name: String,
    pub description: String,
    pub status: Status,
    /// Where it goes back to from testing, rescue mode and being broken.
    pub previous: Status,
    pub status_at: Micros,
    /// What is being done, or why it failed and what would help.
    pub message: String,
    /// Empty: nobody's.
    pub project: ProjectId,
    pub user: UserId,
    pub owner_data: BTreeMap<String, String>,
    pub agent_name: String,
    /// By id; `default` is the one that there is from the start.
    pub zone: String,
    pub pool: String,
    pub locked: bool,
    pub rack: Option<RackId>,
    pub uuid: String,
    pub serial: String,
    /// `amd64`, `arm64`, …: as Debian says it.
    pub arch: String,
    pub uefi: bool,
    pub vendor: String,
    pub product: String,
    pub cpu_model: String,
    pub cpu_mhz: u32,
    /// Threads that the kernel schedules on.
    pub cores: u32,
    pub memory_mib: u64,
    /// All disks together.
    pub disk_bytes: u64,
    pub resource_class: String,
    pub class_by_hand: bool,
    /// 0: never.
    pub inventory_at: Micros,
    /// `ipmi`, `redfish`, `wake_on_lan`, `webhook`, `manual`.
    pub bmc_kind: String,
    pub op: i64,
    pub boot: BootWish,
    pub want_power: Option<bool>,
    pub power_cycles: u64,
    pub power_hard: bool,
    pub boot_from: String,
    /// An idle live system is kept up until then.
    pub stay_until: Micros,
    pub image_id: Option<ImageId>,
    pub image_name: String,
    /// Of the image that is being written; empty: none.
    pub image_sha512: String,
    /// It becomes, or is, a host that runs guests.
    pub as_host: bool,
    /// When the deployed system said that it is up; 0: it did not.
    pub booted_at: Micros,
    pub deployed_at: Micros,
    pub created_at: Micros,
    pub updated_at: Micros,
    /// What a person, or its own system as it went down, said of its power last.
    pub said: Option<(bool, Micros)>,
    /// What the racks see of it.
    pub seen: Sight,
}

impl Machine {
    pub fn owned(&self) -> bool {
        !self.project.0.is_empty() || !self.user.0.is_empty()
    }
    /// Nothing can read its power: somebody's word counts.
    pub fn blind(&self) -> bool {
        matches!(self.bmc_kind.as_str(), "manual" | "wake_on_lan")
    }
    /// Power as last read: `on`, `off`, `unknown`.
    pub fn power(&self) -> &'static str {
        match self.seen.power {
            Some(true) => "on",
            Some(false) => "off",
            None => "unknown",
        }
    }
}

/// What a machine gets that boots from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootWish {
    Live,
    Local,
    Off,
}

impl BootWish {
    pub fn word(self) -> &'static str {
        match self {
            BootWish::Live => "live",
            BootWish::Local => "local",
            BootWish::Off => "off",
        }
    }
    pub fn parse(text: &str) -> BootWish {
        match text {
            "live" => BootWish::Live,
            "local" => BootWish::Local,
            _ => BootWish::Off,
        }
    }
}

/// What a rack sees of a machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sight {
    /// `None`: not known.
    pub power: Option<bool>,
    /// Restarts carried out.
    pub cycles: u64,
    pub reason: String,
    pub read_at: Option<Micros>,
    /// It last asked to boot from the network.
    pub boot_at: Option<Micros>,
    pub boot_answer: String,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq)]
pub struct Nic {
    pub id: String,
    /// For the MAAS API.
    pub number: i64,
    pub machine: MachineId,
    /// Lower case, with colons.
    pub mac: String,
    pub name: String,
    pub boot: bool,
    pub link: bool,
    /// Mbit/s.
    pub speed: u32,
    pub driver: String,
    pub product: String,
    /// JSON of [`base::doc::live::Neighbour`]; empty: none was heard.
    pub neighbour: String,
    pub segment: Option<SegmentId>,
    pub addresses: Vec<IpAddr>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    pub machine: MachineId,
    /// The same over reboots.
    pub id: String,
    pub number: i64,
    pub name: String,
    pub model: String,
    pub serial: String,
    pub size_bytes: u64,
    pub sector: u32,
    /// `hdd`, `ssd`, `nvme`, `virtual`, `unknown`.
    pub kind: String,
    pub removable: bool,
    /// `boot` or `bulk`.
    pub role: String,
    pub role_by_hand: bool,
}

/// What was asked of a machine: kept until something else is asked, so that it can be asked again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Errand {
    /// A machine that was just found is looked at, as its live system is up.
    Measure,
    Commission {
        tests: Vec<Test>,
        /// Its live system stays up afterwards.
        #[serde(default)]
        stay: bool,
    },
    Test {
        tests: Vec<Test>,
    },
    Deploy(Box<Deploy>),
    Release {
        erase: EraseMode,
    },
    Rescue,
    ExitRescue,
}

/// What is to be on a machine's disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    pub image: ImageId,
    pub image_name: String,
    /// Of the stored content, and its format and size as the racks are told.
    pub sha512: String,
    pub format: String,
    pub bytes: u64,
    /// Bytes that the disk needs at least; 0 when not known.
    pub virtual_size: u64,
    /// A [`Disk::id`]; empty: chosen by the live system.
    #[serde(default)]
    pub disk: String,
    #[serde(default)]
    pub seed: Seed,
    /// It becomes a host that runs guests.
    #[serde(default)]
    pub as_host: bool,
    /// Counts as deployed only once the new system has said that it is up.
    #[serde(default)]
    pub wait_for_system: bool,
}

/// What the new system finds on its configuration drive and in its files.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Seed {
    /// As cloud-init takes it: `#cloud-config`, a script, MIME, …; base64 when it is no text.
    pub user_data: String,
    /// Lines of authorized_keys for the image's own user.
    pub ssh_keys: Vec<String>,
    /// Into the image's root file system, by absolute path.
    pub files: BTreeMap<String, SeedFile>,
    /// No configuration drive: the files alone say where metadata is.
    pub no_drive: bool,
    /// The configuration drive as a whole, by path, instead of one made of the above.
    pub drive: BTreeMap<String, String>,
    /// More of that, in base64: what is no text.
    pub drive_base64: BTreeMap<String, String>,
}

impl Seed {
    /// User data that is no text, where it is none: it was put here in base64.
    pub fn binary_user_data(&self) -> Option<Vec<u8>> {
        let bytes = crate::maas::base64(self.user_data.as_bytes())?;
        std::str::from_utf8(&bytes).is_err().then_some(bytes)
    }
}

impl std::fmt::Debug for Seed {
    /// Without what its owner put there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (keys, files) = (self.ssh_keys.len(), self.files.keys().collect::<Vec<_>>());
        write!(f, "Seed {{ {} bytes of user data, {keys} keys, files {files:?} }}", self.user_data.len())
    }
}

/// Which machines are looked for to be allocated. Empty fields do not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Constraints {
    pub id: Option<MachineId>,
    pub name: Option<String>,
    pub arch: Option<String>,
    pub min_cores: Option<u32>,
    pub min_memory_mib: Option<u64>,
    /// A disk of at least these bytes each.
    pub disks: Vec<u64>,
    pub tags: Vec<String>,
    pub not_tags: Vec<String>,
    pub zone: Option<String>,
    pub not_zones: Vec<String>,
    pub pool: Option<String>,
    pub not_pools: Vec<String>,
    pub resource_class: Option<String>,
    /// On a segment of this name.
    pub segment: Option<String>,
}

/// How long the live system of a machine that has nothing to do stays up, so that what is asked next needs no
/// restart.
pub const STAY: Duration = Duration::from_secs(30 * 60);

/// A machine with its parts, as the APIs show it.
#[derive(Debug, Clone)]
pub struct Whole {
    pub machine: Machine,
    pub nics: Vec<Nic>,
    pub disks: Vec<Disk>,
    /// Name, and whether it was worked out from the inventory.
    pub tags: Vec<(String, bool)>,
    /// `None` where it was not asked for, or never measured.
    pub inventory: Option<Inventory>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_maas() {
        for (at, (status, word, name)) in STATUSES.iter().enumerate() {
            assert_eq!(status.number(), i64::try_from(at).unwrap());
            assert_eq!(Status::of_number(status.number()), Some(*status));
            assert_eq!((Status::parse(word), Status::parse(name)), (Some(*status), Some(*status)));
        }
        assert_eq!(Status::parse("READY"), Some(Status::Ready));
        assert_eq!(Status::parse("21"), Some(Status::Testing));
        assert_eq!((Status::parse("23"), Status::parse("-1")), (None, None));
        assert!(Status::FailedDiskErasing.is_failure() && !Status::Broken.is_failure());
    }
}
