//! Default quotas and other limits. A project's own quota (table `quota`) wins over these.

use base::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::Tx;

/// The section `[compute]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Seconds in which a deleted server can be restored; 0: it is deleted at once.
    pub reclaim_instance_interval: u64,
    /// Days for which administrators still see deleted servers; 0: for ever.
    pub keep_deleted_days: u64,
    /// Seconds after which a host that does not report is taken as down. Agents report every five seconds.
    pub silent_after_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { reclaim_instance_interval: 0, keep_deleted_days: 30, silent_after_s: 15 }
    }
}

/// What a project may use when nobody said otherwise. -1 means without limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub instances: i64,
    pub cores: i64,
    /// MiB.
    pub ram: i64,
    /// Per user.
    pub key_pairs: i64,
    /// Per server.
    pub metadata_items: i64,
    pub server_groups: i64,
    pub server_group_members: i64,
    /// How long a deleted server can be restored; zero: not at all.
    pub reclaim: Duration,
    /// Seconds for which the disk of a shelved server stays on its host: 0 not at all, -1 for ever.
    pub shelved_offload_s: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            instances: 10,
            cores: 20,
            ram: 51_200,
            key_pairs: 100,
            metadata_items: 128,
            server_groups: 10,
            server_group_members: 10,
            reclaim: Duration::ZERO,
            shelved_offload_s: 0,
        }
    }
}

/// Of files that servers are made with, which left the API with 2.57.
pub const INJECTED: [(&str, i64); 3] =
    [("injected_files", 5), ("injected_file_content_bytes", 10_240), ("injected_file_path_bytes", 255)];
/// Of the network quotas that the API showed until 2.36; the real ones are Network's.
pub const OLD_NETWORK: [(&str, i64); 4] =
    [("floating_ips", -1), ("fixed_ips", -1), ("security_groups", -1), ("security_group_rules", -1)];

impl Limits {
    /// The defaults, with what the configuration says.
    pub fn with(settings: &Settings) -> Self {
        Limits { reclaim: Duration::from_secs(settings.reclaim_instance_interval), ..Limits::default() }
    }
    /// These with what an administrator changed by `os-quota-class-sets/default`.
    pub fn now(&self, tx: &Tx<'_>) -> Result<Limits> {
        let mut now = self.clone();
        for (name, max) in tx.rows("SELECT resource, max FROM quota_default", &[], |r| {
            Ok((r.get::<String>(0)?, r.get::<i64>(1)?))
        })? {
            match name.as_str() {
                "instances" => now.instances = max,
                "cores" => now.cores = max,
                "ram" => now.ram = max,
                "key_pairs" => now.key_pairs = max,
                "metadata_items" => now.metadata_items = max,
                "server_groups" => now.server_groups = max,
                "server_group_members" => now.server_group_members = max,
                _ => {}
            }
        }
        Ok(now)
    }
    /// Resources of a quota set with their defaults, counted ones first.
    pub fn all(&self) -> [(&'static str, i64); 7] {
        [
            ("instances", self.instances),
            ("cores", self.cores),
            ("ram", self.ram),
            ("key_pairs", self.key_pairs),
            ("metadata_items", self.metadata_items),
            ("server_groups", self.server_groups),
            ("server_group_members", self.server_group_members),
        ]
    }
}
