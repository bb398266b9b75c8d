//! The two documents that region and agent exchange.
//!
//! The region says what should be ([`Desired`]); the agent says what is ([`Observed`]). Both are
//! whole documents, never changes, so that either side may forget, restart or miss a message.
//! Fields are only ever added, each with a default, so that release N and N-1 understand each other.
//!
//! ```text
//! GET /agent/v1/desired?since=G&wait=30   200 Desired with generation > G, or 204 after `wait` seconds
//! PUT /agent/v1/observed                  204; 409 when `applied` is older than one already reported
//! GET /agent/v1/images/{sha512}           200 the image's bytes
//! PUT /agent/v1/images/{id}/content       204; the bytes of an image that `Guest::captures` asks for
//! PUT /agent/v1/guests/{id}/password      204; what the guest told of its password, 409 when it has
//! POST /agent/v1/join                     200 Joined; see [`Join`]
//! POST /agent/v1/renew                    200 Certificate; see [`Renew`]
//! ```
//! The host proves itself with its certificate, or with `Authorization: Bearer <host token>`.

mod capture;
mod join;
pub mod live;
mod machine;
mod moving;
mod network;
pub mod rack;
pub mod usage;

pub use capture::{Capture, CaptureStage, CaptureStatus};
pub use join::{Certificate, Join, Joined, Renew};
pub use machine::{Hardware, Limits, LocalDisk};
pub use moving::{Arrival, Departure, MoveStage, MoveStatus};
pub use network::*;

use crate::{HostId, ImageId, Micros, NetworkId, PortId, ServerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Version of the document format that this release writes.
pub const VERSION: u32 = 1;

/// Everything that one host should hold. What is not in it should not be on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    pub version: u32,
    pub host: HostId,
    /// Grows with every change of the document. An agent refuses one that is older than what it holds.
    pub generation: u64,
    #[serde(default)]
    pub guests: Vec<Guest>,
    #[serde(default)]
    pub networks: Vec<Network>,
    #[serde(default)]
    pub groups: Vec<SecurityGroup>,
    #[serde(default)]
    pub routers: Vec<Router>,
    /// Seconds since its last report was taken after which a host kills the guests that say `ha`: the region
    /// starts them elsewhere later than that. Polls for a document do not count. Absent: never.
    #[serde(default)]
    pub fence_s: Option<u64>,
}

// ------------------------------------------------------------------------------------ guests

/// A virtual machine that this host owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    pub id: ServerId,
    /// Grows each time the guest moves to another host; a host with an older one must not run it.
    pub ownership: u64,
    pub power: Power,
    /// Counts the reboots asked for. An agent that has carried out fewer reboots the guest once.
    #[serde(default)]
    pub boots: u64,
    /// How the last reboot should be done.
    #[serde(default)]
    pub boot_kind: BootKind,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub disk: RootDisk,
    /// In the order in which the guest should see them.
    #[serde(default)]
    pub nics: Vec<Nic>,
    #[serde(default)]
    pub config_drive: bool,
    pub metadata: Metadata,
    /// The guest's CPUs stand still (its memory stays where it is).
    #[serde(default)]
    pub paused: bool,
    /// The guest's memory is in a file and no process runs. It goes on from there when this is unset; a
    /// reboot or power off in between gives the file up. `power` stays `on`.
    #[serde(default)]
    pub suspended: bool,
    /// While set, the guest starts from this disk, made anew, and sees its own root disk as the second.
    #[serde(default)]
    pub rescue: Option<RootDisk>,
    /// A password that the guest agent should set.
    #[serde(default)]
    pub password: Option<Password>,
    /// Counts the non-maskable interrupts asked for (a crash dump). One is injected when the agent has
    /// carried out fewer.
    #[serde(default)]
    pub nmi: u64,
    #[serde(default)]
    pub hardware: Hardware,
    #[serde(default)]
    pub limits: Limits,
    /// Disks beside the root disk that live and die with the guest, in the order in which it sees them.
    #[serde(default)]
    pub local_disks: Vec<LocalDisk>,
    /// Images to be made of the root disk, each until it is no longer named.
    #[serde(default)]
    pub captures: Vec<Capture>,
    /// It is on its way to this host.
    #[serde(default)]
    pub arrival: Option<Arrival>,
    /// It is on its way to another host.
    #[serde(default)]
    pub departure: Option<Departure>,
    /// QEMU's name of the processor that the guest sees, so that it can move between unequal hosts; empty is
    /// the best that the host has.
    #[serde(default)]
    pub cpu: String,
    /// It is started elsewhere when this host is silent; see [`Desired::fence_s`].
    #[serde(default)]
    pub ha: bool,
}

/// A password for the guest's administrator.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// Grows with each that is asked for.
    pub epoch: u64,
    pub value: String,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Password {{ epoch: {} }}", self.epoch)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    On,
    /// Asked politely (ACPI), then pulled after the agent's grace time (default 60 s).
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootKind {
    /// ACPI power-down, then start again; pulled after the grace time.
    #[default]
    Soft,
    /// A fresh QEMU process at once.
    Hard,
}

/// The root disk: an overlay on a cached image, or blank.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RootDisk {
    pub image: Option<ImageSource>,
    /// Virtual size in bytes that the guest sees (never less than the image's virtual size).
    pub bytes: u64,
    /// Grows when the disk should be made anew from `image`; what an older one held goes.
    #[serde(default)]
    pub epoch: u64,
    /// Number of a resize under trial: before the guest starts, a copy of its disk as it was is kept under
    /// this number, and given up when the number is not named any more.
    #[serde(default)]
    pub keep: Option<u64>,
    /// Number of a resize that is taken back: what was kept under it becomes the disk again.
    #[serde(default)]
    pub revert: Option<u64>,
}

/// Which image content to start from. Content is addressed by its SHA-512, so a cache needs no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    pub id: ImageId,
    /// Lower-case hexadecimal SHA-512 of the stored bytes.
    pub sha512: String,
    /// `qcow2`, `raw`, `vmdk` or `vpc`: QEMU's names (an API's `vhd` is `vpc` here).
    pub format: String,
    /// Length of the stored file in bytes.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nic {
    pub port: PortId,
    pub network: NetworkId,
    /// Lower case, with colons.
    pub mac: String,
    pub mtu: u32,
    /// The user's name for the device, told to the guest.
    #[serde(default)]
    pub tag: Option<String>,
}

/// What the metadata service and the config drive tell the guest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Metadata {
    pub name: String,
    pub hostname: String,
    pub project_id: String,
    pub availability_zone: String,
    pub launch_index: u32,
    pub flavor: String,
    #[serde(default)]
    pub keys: Vec<SshKey>,
    /// The user's own `metadata` of the server.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Base64 of the user data, as the API received it.
    #[serde(default)]
    pub user_data: Option<String>,
    /// Files that it is made with, in the user's order.
    #[serde(default)]
    pub files: Vec<InjectedFile>,
    #[serde(default)]
    pub admin_pass: Option<String>,
    /// The guest's password, encrypted, as the guest itself told it.
    #[serde(default)]
    pub password: Option<String>,
}

/// A file that the guest writes at its first start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedFile {
    pub path: String,
    /// Base64.
    pub content: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    pub name: String,
    pub public_key: String,
    /// A certificate in PEM instead of an SSH key.
    #[serde(default)]
    pub x509: bool,
}

// ------------------------------------------------------------------------------------ observed

/// Everything that one host found when it last looked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub version: u32,
    pub host: HostId,
    /// Generation of the desired document that this report is about.
    pub applied: u64,
    pub at: Micros,
    pub facts: HostFacts,
    #[serde(default)]
    pub guests: Vec<GuestStatus>,
    /// Ports that are plugged and filtered as desired.
    #[serde(default)]
    pub ports_up: Vec<PortId>,
    /// What could not be applied, with the reason; absent items are fine.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

impl Observed {
    /// What tells a report from another: without its time, and with the free disk space and the progress of
    /// moves in coarse steps. The less of the disk is free, the finer they are: that a disk is full is news.
    #[must_use]
    pub fn gist(&self) -> Observed {
        let free = self.facts.disk_free_bytes;
        let fine = 1_u64 << free.max(1).ilog2().saturating_sub(2).max(26);
        let step = (self.facts.disk_bytes / 64).clamp(1, fine);
        let facts = HostFacts { disk_free_bytes: free / step * step, ..self.facts.clone() };
        let mut gist = Observed { at: Micros(0), facts, ..self.clone() };
        for moving in gist.guests.iter_mut().filter_map(|g| g.moving.as_mut()) {
            moving.sent_bytes -= moving.sent_bytes % (moving.total_bytes / 16).max(1);
        }
        gist
    }
}

/// What a host is and has.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    pub hostname: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// Size of the file system that holds guests' disks, and what is free on it, in bytes.
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    /// `kvm` where a probe has seen a guest run under it, else `tcg`.
    pub accel: String,
    pub cpu_model: String,
    pub qemu_version: String,
    pub agent_version: String,
    /// Where the region reaches the agent for bytes (consoles, logs), such as `http://127.0.0.1:40123`.
    pub bytes_url: String,
    /// What the region shows the agent there as `Authorization: Bearer`: random, made anew each time the
    /// agent starts, because the region keeps only a hash of the host's own token.
    #[serde(default)]
    pub bytes_token: String,
    /// Where other hosts bring guests that move here, if not at `bytes_url`.
    #[serde(default)]
    pub storage_url: String,
    /// Underlay address for tunnels.
    #[serde(default)]
    pub tunnel: Option<IpAddr>,
    /// MTU of the device that has the tunnel's address, in bytes; 0 when not known.
    #[serde(default)]
    pub tunnel_mtu: u32,
    /// Physical networks that this host reaches by a NIC of its own: their names, as provider networks call
    /// them, with the device.
    #[serde(default)]
    pub physical_networks: BTreeMap<String, String>,
    /// Whether its kernel tags frames (IEEE 802.1Q), so that VLANs of its physical networks can be had here.
    #[serde(default)]
    pub vlans: bool,
    /// QEMU's names of the processor models that guests can have here, best first.
    #[serde(default)]
    pub cpu_models: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuestStatus {
    pub id: ServerId,
    pub ownership: u64,
    pub state: GuestState,
    /// How many of the desired `boots` have been carried out.
    #[serde(default)]
    pub boots: u64,
    /// Why it is so: progress while building, the failure when failed.
    #[serde(default)]
    pub reason: String,
    /// When the present QEMU process started.
    #[serde(default)]
    pub started_at: Option<Micros>,
    /// `epoch` of the disk that is there.
    #[serde(default)]
    pub epoch: u64,
    /// Number under which a copy of the disk is kept.
    #[serde(default)]
    pub kept: Option<u64>,
    /// `epoch` of the last password that was set, or could not be.
    #[serde(default)]
    pub password: u64,
    /// Why that password could not be set; empty when it was.
    #[serde(default)]
    pub password_error: String,
    /// How many of the desired interrupts have been injected.
    #[serde(default)]
    pub nmi: u64,
    #[serde(default)]
    pub captures: Vec<CaptureStatus>,
    /// How far its way from or to this host is.
    #[serde(default)]
    pub moving: Option<MoveStatus>,
}

impl GuestStatus {
    /// Of a guest of which nothing but its state is known.
    pub fn bare(id: ServerId, ownership: u64, state: GuestState) -> Self {
        GuestStatus {
            id,
            ownership,
            state,
            boots: 0,
            reason: String::new(),
            started_at: None,
            epoch: 0,
            kept: None,
            password: 0,
            password_error: String::new(),
            nmi: 0,
            captures: Vec::new(),
            moving: None,
        }
    }
    /// What a host that obeys at once reports of `guest`.
    pub fn obedient(guest: &Guest) -> Self {
        let elsewhere = guest.departure.is_some() || guest.arrival.as_ref().is_some_and(|a| !a.live);
        let state = match guest.power {
            _ if elsewhere => GuestState::Stopped,
            Power::Off => GuestState::Stopped,
            Power::On if guest.suspended => GuestState::Suspended,
            Power::On if guest.paused => GuestState::Paused,
            Power::On => GuestState::Running,
        };
        GuestStatus {
            boots: guest.boots,
            epoch: guest.disk.epoch,
            kept: guest.disk.keep,
            password: guest.password.as_ref().map_or(0, |p| p.epoch),
            nmi: guest.nmi,
            captures: guest.captures.iter().map(CaptureStatus::on_its_way).collect(),
            moving: MoveStatus::done(guest),
            ..GuestStatus::bare(guest.id, guest.ownership, state)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestState {
    /// Disk or network are being made ready.
    Preparing,
    Running,
    /// Stopped as asked, or the guest powered itself off.
    Stopped,
    /// QEMU runs and the guest's CPUs are paused.
    Paused,
    /// Its memory is in a file, as asked. Never reported unasked.
    Suspended,
    /// It could not be made or started; `reason` says why. The agent goes on trying with back-off.
    Failed,
}

/// Something of the desired document that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `network`, `router`, `port`, `image`.
    pub kind: String,
    pub id: String,
    pub reason: String,
}
