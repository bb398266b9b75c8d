//! What the hosts have, what is taken of it, and how many more servers of each flavor would find room: by the
//! planner's own arithmetic, so that what is promised here is what a create finds.

use crate::planner::{Ask, CPU_RATIO, MEMORY_RESERVE_MIB, Room};
use crate::table::flavor::{self, Filter};
use crate::table::host;
use crate::{hardware, placing};
use base::{FlavorId, HostId, Result};
use serde::Serialize;
use store::Tx;

/// Flavors that are looked at.
const FLAVORS: usize = 1_000;

/// Of one thing: what may be given to servers, and what is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    pub total: u64,
    pub used: u64,
    pub free: u64,
}

impl Amount {
    fn new(total: u64, used: u64) -> Self {
        Amount { total, used, free: total.saturating_sub(used) }
    }
    fn add(&mut self, more: Amount, usable: bool) {
        self.total += more.total;
        self.used += more.used;
        self.free += if usable { more.free } else { 0 };
    }
}

/// A host as far as room is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostRoom {
    pub id: HostId,
    pub name: String,
    pub zone: String,
    pub enabled: bool,
    /// Whether it reports.
    pub up: bool,
    pub servers: u64,
    /// Virtual CPUs that may be given: some for each CPU.
    pub vcpus: Amount,
    /// Without what is left to the host itself.
    pub memory_mib: Amount,
    pub disk_gib: Amount,
}

/// How many more servers of a flavor would find room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fit {
    pub id: FlavorId,
    pub name: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// Without the image of a flavor whose disk is as large as the image.
    pub disk_gib: u64,
    pub fits: u64,
}

/// All of it. `free` counts hosts that take servers now; `total` and `used` all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Capacity {
    pub hosts: Vec<HostRoom>,
    pub vcpus: Amount,
    pub memory_mib: Amount,
    pub disk_gib: Amount,
    pub servers: u64,
    pub flavors: Vec<Fit>,
}

/// What the cloud holds and could hold.
pub fn capacity(tx: &Tx<'_>) -> Result<Capacity> {
    let rooms = host::rooms(tx, "")?;
    let mut all = Capacity::default();
    for room in &rooms {
        all.count(host_room(room), room.enabled && !room.silent);
    }
    all.hosts.sort_by(|a, b| a.name.cmp(&b.name));
    let sort = [("ram", false), ("vcpus", false)];
    for f in flavor::list(tx, &Filter::default(), &sort, None, FLAVORS)? {
        let class = placing::class(&f.extra_specs);
        let machines = if class.is_empty() { None } else { Some(host::rooms(tx, &class)?) };
        let rooms = machines.as_deref().unwrap_or(&rooms);
        let disk_gib = f.disk + hardware::local_gib(&f.kept());
        let rules = placing::flavor_rules(tx, &f.extra_specs)?;
        let ask = Ask { class, rules, ..Ask::room(f.vcpus.into(), f.ram, disk_gib) };
        let fits = rooms.iter().map(|r| r.fits(&ask)).sum();
        all.flavors.push(Fit { id: f.id, name: f.name, vcpus: f.vcpus, memory_mib: f.ram, disk_gib, fits });
    }
    Ok(all)
}

fn host_room(r: &Room) -> HostRoom {
    HostRoom {
        id: r.id,
        name: r.name.clone(),
        zone: r.zone.clone(),
        enabled: r.enabled,
        up: !r.silent,
        servers: r.guests,
        vcpus: Amount::new(r.vcpus * CPU_RATIO, r.vcpus_used),
        memory_mib: Amount::new(r.memory_mib.saturating_sub(MEMORY_RESERVE_MIB), r.memory_mib_used),
        disk_gib: Amount::new(r.disk_gib, r.disk_gib_used),
    }
}

impl Capacity {
    fn count(&mut self, host: HostRoom, usable: bool) {
        self.vcpus.add(host.vcpus, usable);
        self.memory_mib.add(host.memory_mib, usable);
        self.disk_gib.add(host.disk_gib, usable);
        self.servers += host.servers;
        self.hosts.push(host);
    }
}
