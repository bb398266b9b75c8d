//! What hosts say of themselves, for those who look after them.

use crate::table::host;
use base::{HostId, Micros, Result};
use serde::Serialize;
use store::Tx;

/// A host, without what is secret of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostHealth {
    pub id: HostId,
    pub name: String,
    pub zone: String,
    /// Empty: it runs guests; else a machine that is handed out.
    pub class: String,
    pub enabled: bool,
    pub draining: bool,
    pub up: bool,
    /// When it reported last; never: `None`.
    pub seen_at: Option<String>,
    pub silent_s: u64,
    pub version: String,
    pub qemu: String,
    pub accel: String,
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    /// Generations of its document: what it should have, and what it has.
    pub wanted: u64,
    pub applied: u64,
    pub servers: u64,
}

/// Every host, by name.
pub fn health(tx: &Tx<'_>) -> Result<Vec<HostHealth>> {
    let now = Micros::now();
    let hosts = host::with_machines(tx)?.into_iter().map(|h| HostHealth {
        up: !h.silent(),
        seen_at: (h.seen_at.0 != 0).then(|| h.seen_at.seconds_z()),
        silent_s: if h.seen_at.0 == 0 { 0 } else { now.since(h.seen_at).as_secs() },
        id: h.id,
        name: h.name,
        zone: h.zone,
        class: h.class,
        enabled: h.enabled,
        draining: h.draining,
        version: h.facts.agent_version,
        qemu: h.facts.qemu_version,
        accel: h.facts.accel,
        disk_bytes: h.facts.disk_bytes,
        disk_free_bytes: h.facts.disk_free_bytes,
        wanted: h.generation,
        applied: h.applied,
        servers: h.guests,
    });
    Ok(hosts.collect())
}
