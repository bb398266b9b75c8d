//! Where a new server goes: a pure planner. Hosts and a wish in, an order of hosts or a reason out.
//!
//! The plan is a proposal: the room itself is claimed by a conditional update in the transaction that
//! moves the life-cycle ([`crate::placing::claim`]), which tries the hosts in the plan's order and looks at
//! the server's group again.

mod rules;

pub use rules::{Policy, Rule, matches};

use base::HostId;
use std::collections::HashMap;

/// Virtual CPUs per host CPU. Guests are mostly idle; four is what OpenStack's operators commonly run.
pub const CPU_RATIO: u64 = 4;
/// Memory that is left to the host itself, in MiB. Memory is not overcommitted.
pub const MEMORY_RESERVE_MIB: u64 = 512;
/// Bytes that a host's file system must have free for another server. Disks take room as they are written to, so one may
/// be full of which little was promised; what is left then is for the guests that are there.
pub const DISK_LEAST: u64 = 1 << 30;

/// A host and what is taken of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub id: HostId,
    pub name: String,
    pub zone: String,
    /// Of machines: what kind it is; empty: an ordinary host. A machine takes one server, which has all of it.
    pub class: String,
    pub enabled: bool,
    /// It has not reported for [`crate::silent_after`].
    pub silent: bool,
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
    pub vcpus_used: u64,
    pub memory_mib_used: u64,
    pub disk_gib_used: u64,
    /// Bytes that are really free on its file system; `None`: it has not said.
    pub disk_left: Option<u64>,
    pub guests: u64,
}

/// What a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
    pub zone: Option<String>,
    pub host: Option<String>,
    /// A machine of this class, instead of room on a host. Empty: room.
    pub class: String,
    /// What rules hosts out beyond that: groups, hints, aggregates, traits.
    pub rules: Vec<Rule>,
    /// Added to a host's rank: what a soft policy prefers. More is better.
    pub prefer: HashMap<HostId, i64>,
}

impl Ask {
    /// An ask for room alone.
    pub fn room(vcpus: u64, memory_mib: u64, disk_gib: u64) -> Self {
        let (zone, host, class, rules, prefer) = (None, None, String::new(), Vec::new(), HashMap::new());
        Ask { vcpus, memory_mib, disk_gib, zone, host, class, rules, prefer }
    }
}

/// What the planner came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Hosts that fit, the best first.
    Try(Vec<HostId>),
    /// None fits; the sentence says why, requirement by requirement.
    Nowhere(String),
}

/// Why a host does not fit: the first requirement that it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    Disabled,
    Silent,
    Zone,
    NotAsked,
    /// The rule with this number.
    Rule(usize),
    /// A machine that somebody has.
    Taken,
    Vcpus,
    Memory,
    Disk,
}

impl Room {
    fn free_vcpus(&self) -> u64 {
        (self.vcpus * CPU_RATIO).saturating_sub(self.vcpus_used)
    }
    fn free_memory(&self) -> u64 {
        self.memory_mib.saturating_sub(MEMORY_RESERVE_MIB).saturating_sub(self.memory_mib_used)
    }
    fn free_disk(&self) -> u64 {
        if self.is_full() { 0 } else { self.disk_gib.saturating_sub(self.disk_gib_used) }
    }
    /// Whether its disk is full, whatever was promised of it. A machine's is its server's.
    pub fn is_full(&self) -> bool {
        self.class.is_empty() && self.disk_left.is_some_and(|bytes| bytes < DISK_LEAST)
    }
    /// How many servers like this one would still find room here, one after the other.
    pub fn fits(&self, ask: &Ask) -> u64 {
        if self.lacks(ask).is_some() {
            return 0;
        }
        if !ask.class.is_empty() {
            return 1;
        }
        let room = [
            (self.free_vcpus(), ask.vcpus),
            (self.free_memory(), ask.memory_mib),
            (self.free_disk(), ask.disk_gib),
        ];
        let least = room.iter().filter(|(_, asked)| *asked > 0).map(|(free, asked)| free / asked).min();
        least.unwrap_or(0)
    }
    fn lacks(&self, ask: &Ask) -> Option<Lack> {
        let metal = !ask.class.is_empty();
        let checks = [
            (!self.enabled, Lack::Disabled),
            (self.silent, Lack::Silent),
            (ask.zone.as_ref().is_some_and(|z| *z != self.zone), Lack::Zone),
            (ask.host.as_ref().is_some_and(|h| *h != self.name), Lack::NotAsked),
            (metal && self.guests > 0, Lack::Taken),
            (!metal && self.free_vcpus() < ask.vcpus, Lack::Vcpus),
            (!metal && self.free_memory() < ask.memory_mib, Lack::Memory),
            (!metal && self.free_disk() < ask.disk_gib, Lack::Disk),
        ];
        let (first, room) = checks.split_at(4);
        let fails = |list: &[(bool, Lack)]| list.iter().find_map(|(fails, lack)| fails.then_some(*lack));
        let rule = || ask.rules.iter().position(|r| !r.allows(self.id)).map(Lack::Rule);
        fails(first).or_else(rule).or_else(|| fails(room))
    }
}

/// Orders the hosts that fit by preference, then by free memory, most first; equal ones by id, so that a
/// plan is a function of its input.
pub fn plan(hosts: &[Room], ask: &Ask) -> Plan {
    let mut fit: Vec<&Room> = hosts.iter().filter(|h| h.lacks(ask).is_none()).collect();
    if fit.is_empty() {
        return Plan::Nowhere(explain(hosts, ask));
    }
    let preferred = |h: &Room| ask.prefer.get(&h.id).copied().unwrap_or(0);
    fit.sort_by_key(|h| (std::cmp::Reverse((preferred(h), h.free_memory())), h.id));
    Plan::Try(fit.into_iter().map(|h| h.id).collect())
}

fn explain(hosts: &[Room], ask: &Ask) -> String {
    if hosts.is_empty() && !ask.class.is_empty() {
        return format!("No valid host was found. There is no machine of the class {}.", ask.class);
    }
    if hosts.is_empty() {
        return "No valid host was found. No host has joined yet.".into();
    }
    let mut parts = Vec::new();
    let mut order = vec![Lack::Disabled, Lack::Silent, Lack::Zone, Lack::NotAsked];
    order.extend((0..ask.rules.len()).map(Lack::Rule));
    order.extend([Lack::Taken, Lack::Vcpus, Lack::Memory, Lack::Disk]);
    for lack in order {
        let failing: Vec<&Room> = hosts.iter().filter(|h| h.lacks(ask) == Some(lack)).collect();
        if !failing.is_empty() {
            parts.push(phrase(lack, &failing, ask));
        }
    }
    let (one, many) = if ask.class.is_empty() { ("host", "hosts") } else { ("machine", "machines") };
    let n = hosts.len();
    format!("No valid host was found. {n} {}: {}.", if n == 1 { one } else { many }, parts.join(", "))
}

fn phrase(lack: Lack, failing: &[&Room], ask: &Ask) -> String {
    let n = failing.len();
    let (is, lacks) = if n == 1 { ("is", "lacks") } else { ("are", "lack") };
    let most = |free: fn(&Room) -> u64| failing.iter().map(|h| free(h)).max().unwrap_or(0);
    match lack {
        Lack::Disabled => format!("{n} {is} disabled"),
        Lack::Silent => format!("{n} {} not reported lately", if n == 1 { "has" } else { "have" }),
        Lack::Zone => format!("{n} {is} not in the zone {}", ask.zone.as_deref().unwrap_or("")),
        Lack::NotAsked => format!("{n} {is} not {}", ask.host.as_deref().unwrap_or("")),
        Lack::Rule(i) => {
            format!("{n} {is} ruled out by {}", ask.rules.get(i).map_or("", Rule::name))
        }
        Lack::Taken => format!("{n} {is} taken"),
        Lack::Vcpus => {
            format!("{n} {lacks} CPUs ({} asked, at most {} free)", ask.vcpus, most(Room::free_vcpus))
        }
        Lack::Memory => {
            format!(
                "{n} {lacks} memory ({} MiB asked, at most {} free)",
                ask.memory_mib,
                most(Room::free_memory)
            )
        }
        Lack::Disk => {
            format!("{n} {lacks} disk ({} GiB asked, at most {} free)", ask.disk_gib, most(Room::free_disk))
        }
    }
}
