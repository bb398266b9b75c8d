//! What the service keeps: flavors, key pairs, servers.

use base::doc::{BootKind, ImageSource, Power, SshKey};
use base::{FlavorId, HostId, ImageId, Micros, ProjectId, ServerId, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Enums that the database keeps as text.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($variant),* }
        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
            pub fn parse(s: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == s)
            }
        }
    };
}

text_enum! {
    /// What a server has come to; see [`crate::life`].
    VmState {
        Building = "building", Active = "active", Stopped = "stopped", Paused = "paused",
        Suspended = "suspended", Rescued = "rescued", Resized = "resized", Shelved = "shelved",
        ShelvedOffloaded = "shelved_offloaded", SoftDeleted = "soft-delete", Error = "error", Deleted = "deleted",
    }
}
text_enum! {
    /// What is being done to a server at the moment.
    Task {
        Scheduling = "scheduling", Spawning = "spawning",
        PoweringOff = "powering-off", PoweringOn = "powering-on",
        Rebooting = "rebooting", RebootingHard = "rebooting_hard",
        Pausing = "pausing", Unpausing = "unpausing", Suspending = "suspending", Resuming = "resuming",
        Rescuing = "rescuing", Unrescuing = "unrescuing", Rebuilding = "rebuilding",
        ResizePrep = "resize_prep", ResizeMigrating = "resize_migrating", ResizeFinish = "resize_finish",
        ResizeReverting = "resize_reverting", Migrating = "migrating", UpdatingPassword = "updating_password",
        ImageSnapshotPending = "image_snapshot_pending", ImageSnapshot = "image_snapshot",
        ImagePendingUpload = "image_pending_upload", ImageUploading = "image_uploading",
        ImageBackup = "image_backup", Shelving = "shelving",
        ShelvingImagePendingUpload = "shelving_image_pending_upload",
        ShelvingImageUploading = "shelving_image_uploading", ShelvingOffloading = "shelving_offloading",
        Unshelving = "unshelving", SoftDeleting = "soft-deleting", Restoring = "restoring", Deleting = "deleting",
    }
}

/// `OS-EXT-STS:power_state` in Compute's numbers.
pub mod power_state {
    pub const RUNNING: i64 = 1;
    pub const PAUSED: i64 = 3;
    pub const SHUT_DOWN: i64 = 4;
    pub const SUSPENDED: i64 = 7;
}

#[derive(Debug, Clone, PartialEq)]
pub struct Flavor {
    pub id: FlavorId,
    pub name: String,
    pub vcpus: u32,
    /// MiB.
    pub ram: u64,
    /// GiB; 0: as large as the image.
    pub disk: u64,
    pub ephemeral: u64,
    pub swap: u64,
    /// As the API shows it, such as `1.0`.
    pub rxtx_factor: String,
    pub is_public: bool,
    pub disabled: bool,
    pub description: Option<String>,
    pub created_at: Micros,
    pub extra_specs: BTreeMap<String, String>,
}

/// A flavor as it was when a server asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptFlavor {
    pub id: String,
    pub original_name: String,
    pub vcpus: u32,
    pub ram: u64,
    pub disk: u64,
    pub ephemeral: u64,
    pub swap: u64,
    pub extra_specs: BTreeMap<String, String>,
}

impl Flavor {
    pub fn kept(&self) -> KeptFlavor {
        KeptFlavor {
            id: self.id.0.clone(),
            original_name: self.name.clone(),
            vcpus: self.vcpus,
            ram: self.ram,
            disk: self.disk,
            ephemeral: self.ephemeral,
            swap: self.swap,
            extra_specs: self.extra_specs.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keypair {
    pub user_id: UserId,
    pub name: String,
    pub public_key: String,
    /// A certificate instead of an SSH key.
    pub x509: bool,
    /// MD5 of the key's blob or SHA-1 of the certificate, in pairs with colons.
    pub fingerprint: String,
    pub created_at: Micros,
}

/// Where a server may go beyond what its flavor says. Kept as JSON in `server.hints`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// The user's `os:scheduler_hints`, kept and not used yet.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub hints: serde_json::Map<String, serde_json::Value>,
    /// An admin asked for this host, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Hosts that could not make it, until it has run once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<HostId>,
}

/// Why a server is in error, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFault {
    pub code: u16,
    pub message: String,
    pub created: Micros,
    /// For admins.
    #[serde(default)]
    pub details: String,
}

/// What is wanted of a server beside its power: written by the API, read by the life-cycle and the host's
/// document, and cleared by the life-cycle where it says so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Intent {
    pub paused: bool,
    pub suspended: bool,
    pub rescue: Option<Rescue>,
    /// Counts the rebuilds.
    pub epoch: u64,
    pub resize: Option<Resize>,
    pub password: Option<Password>,
    /// Counts the crash dumps asked for.
    pub nmi: u64,
    /// Deletion was asked, and restoring is possible until the reclaim interval has passed. Its quota is given back.
    pub soft_deleted_at: Option<Micros>,
}

/// The disk that a rescued server starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescue {
    pub image: Option<ImageSource>,
    /// Virtual size; 0: as large as the image.
    pub bytes: u64,
}

/// A password on its way into the guest; the value goes as soon as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    pub epoch: u64,
    #[serde(default)]
    pub value: Option<String>,
}

/// What a flavor gives a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Size {
    pub flavor: KeptFlavor,
    pub vcpus: u32,
    /// MiB.
    pub ram: u64,
    /// GiB that a host sets aside.
    pub disk: u64,
    pub disk_bytes: u64,
}

/// A resize (or cold migration) from its request to its confirmation; see [`crate::life`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// The number of its row in `server_migration`.
    pub number: u64,
    pub stage: Stage,
    pub old: Size,
    pub new: Size,
    /// Whether the server ran when it was asked for.
    pub ran: bool,
    /// To another host: always for a cold migration.
    #[serde(default)]
    pub must_move: bool,
    /// The host that an admin named.
    #[serde(default)]
    pub to: Option<String>,
    /// The host that it came from, once it was given to another one.
    #[serde(default)]
    pub from: Option<HostId>,
}

/// How far a resize is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Asked by the API; no host has been chosen.
    Asked,
    /// The server is being started in its new size.
    Moving,
    /// It has its new size; the user looks whether all is well.
    Verifying,
    /// The user is content (API).
    Confirm,
    /// The user wants it back as it was (API).
    Revert,
    /// It is being started in its old size.
    Reverting,
}

/// A row of `server`, without the user data (see [`crate::table::server::user_data`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    pub id: ServerId,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub name: String,
    pub hostname: String,
    pub description: Option<String>,
    pub flavor: KeptFlavor,
    pub vcpus: u32,
    pub ram: u64,
    pub disk: u64,
    pub disk_bytes: u64,
    pub image_id: Option<ImageId>,
    pub image: Option<ImageSource>,
    pub key_name: Option<String>,
    pub key: Option<SshKey>,
    pub admin_pass: Option<String>,
    pub config_drive: bool,
    pub disk_config: String,
    pub access_ipv4: String,
    pub access_ipv6: String,
    pub availability_zone: String,
    pub reservation_id: String,
    pub launch_index: u32,
    pub locked: bool,
    pub locked_reason: Option<String>,
    pub hints: Hints,
    pub security_groups: Vec<String>,
    pub want_power: Power,
    pub boots: u64,
    pub boot_kind: BootKind,
    pub delete_at: Option<Micros>,
    pub intent: Intent,
    pub host_id: Option<HostId>,
    pub ownership: u64,
    pub vm_state: VmState,
    pub task_state: Option<Task>,
    pub power_state: i64,
    pub progress: i64,
    pub fault: Option<ServerFault>,
    pub launched_at: Option<Micros>,
    pub terminated_at: Option<Micros>,
    pub created_at: Micros,
    pub updated_at: Micros,
    pub deleted_at: Option<Micros>,
    /// QEMU's name of the processor that it sees; see [`crate::cpu`].
    pub cpu: String,
}

impl Server {
    /// What it has now.
    pub fn size(&self) -> Size {
        Size {
            flavor: self.flavor.clone(),
            vcpus: self.vcpus,
            ram: self.ram,
            disk: self.disk,
            disk_bytes: self.disk_bytes,
        }
    }
}
