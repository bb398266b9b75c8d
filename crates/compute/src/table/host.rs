//! Hosts: who they are, what they have, what is taken of it.

use crate::hosts::silent_after;
use crate::planner::{Ask, CPU_RATIO, MEMORY_RESERVE_MIB, Room};
use base::doc::HostFacts;
use base::{HostId, Micros, Result};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use store::{Row, Sql, Tx, params};

#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    pub id: HostId,
    pub name: String,
    pub zone: String,
    /// Hosts on one switch have the same; empty: none is named.
    pub pod: String,
    pub enabled: bool,
    pub disabled_reason: String,
    /// An administrator says that it is down.
    pub forced_down: bool,
    pub generation: u64,
    pub applied: u64,
    /// 0: never.
    pub seen_at: Micros,
    pub facts: HostFacts,
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
    pub vcpus_used: u64,
    pub memory_mib_used: u64,
    pub disk_gib_used: u64,
    pub guests: u64,
    pub created_at: Micros,
    /// Its servers are sent elsewhere.
    pub draining: bool,
    /// Of a machine that Compute hands out ([`crate::metal`]): what kind it is. Empty: an ordinary host.
    pub class: String,
}

impl Host {
    /// Whether it has not reported for so long that something is wrong, or is said to be down.
    pub fn silent(&self) -> bool {
        self.forced_down || is_silent(self.seen_at)
    }
    /// The address by which the region reaches it.
    pub fn address(&self) -> IpAddr {
        let authority = self.facts.bytes_url.split("//").nth(1).unwrap_or("");
        let socket: Option<SocketAddr> = authority.parse().ok();
        self.facts.tunnel.or(socket.map(|s| s.ip())).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// Whether a host that was heard last at this time has been silent for too long.
pub fn is_silent(seen_at: Micros) -> bool {
    Micros::now().since(seen_at) > silent_after()
}

const COLUMNS: &str =
    "id, name, availability_zone, enabled, disabled_reason, generation, applied, seen_at, facts,
    vcpus, memory_mib, disk_gib, vcpus_used, memory_mib_used, disk_gib_used, guests, created_at, forced_down,
    draining, resource_class, pod";

fn read(r: &Row<'_>) -> Result<Host> {
    let facts: String = r.get(8)?;
    Ok(Host {
        id: r.get(0)?,
        name: r.get(1)?,
        zone: r.get(2)?,
        enabled: r.get(3)?,
        disabled_reason: r.get(4)?,
        generation: r.get(5)?,
        applied: r.get(6)?,
        seen_at: r.get(7)?,
        // A host that has never reported has no facts.
        facts: serde_json::from_str(&facts).unwrap_or_default(),
        vcpus: r.get(9)?,
        memory_mib: r.get(10)?,
        disk_gib: r.get(11)?,
        vcpus_used: r.get(12)?,
        memory_mib_used: r.get(13)?,
        disk_gib_used: r.get(14)?,
        guests: r.get(15)?,
        created_at: r.get(16)?,
        forced_down: r.get(17)?,
        draining: r.get::<Micros>(18)?.0 > 0,
        class: r.get(19)?,
        pod: r.get(20)?,
    })
}

/// The hosts that run guests, by name.
pub fn all(tx: &Tx<'_>) -> Result<Vec<Host>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM host WHERE resource_class = '' ORDER BY name"), &[], read)
}

/// The same, and machines that are handed out.
pub fn with_machines(tx: &Tx<'_>) -> Result<Vec<Host>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM host ORDER BY name"), &[], read)
}

/// So many of them, after the one of this name.
pub fn page(tx: &Tx<'_>, after: Option<&str>, limit: usize) -> Result<Vec<Host>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM host WHERE 1 = 1"));
    if let Some(name) = after {
        q.push(" AND name > ").bind(name);
    }
    q.push(" ORDER BY name").limit(limit).rows(tx, read)
}

/// Selects the hosts of these pods.
pub fn in_pods(names: Vec<&str>) -> Sql {
    let mut q = Sql::new("SELECT id AS host_id FROM host WHERE pod <> ''");
    q.and_in("pod", names);
    q
}

/// Selects the hosts of the pods that these servers are in, and the servers' own hosts where they are in none.
pub fn in_pods_of(servers: Vec<&str>) -> Sql {
    let of_servers = |start: &str| {
        let mut q = Sql::new(start);
        q.push(" WHERE s.deleted_at IS NULL").and_in("s.id", servers.iter().copied());
        q
    };
    let mut q = of_servers("SELECT h.id AS host_id FROM server s JOIN host h ON h.id = s.host_id");
    q.push(" UNION ").add(&of_servers(
        "SELECT n.id FROM server s JOIN host h ON h.id = s.host_id JOIN host n ON n.pod = h.pod AND n.pod <> ''",
    ));
    q
}

pub fn by_id(tx: &Tx<'_>, id: HostId) -> Result<Option<Host>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM host WHERE id = $1"), params![id], read)
}

pub fn by_name(tx: &Tx<'_>, name: &str) -> Result<Option<Host>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM host WHERE name = $1"), params![name], read)
}

pub fn by_token_hash(tx: &Tx<'_>, hash: &str) -> Result<Option<Host>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM host WHERE token_hash = $1"), params![hash], read)
}

pub fn zone_exists(tx: &Tx<'_>, zone: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM host WHERE availability_zone = $1 LIMIT 1";
    Ok(tx.opt(sql, params![zone], |_| Ok(()))?.is_some())
}

const ROOM: &str = "SELECT id, name, availability_zone, enabled, seen_at, vcpus, memory_mib, disk_gib,
    vcpus_used, memory_mib_used, disk_gib_used, forced_down, resource_class, guests, facts FROM host";

/// What the planner looks at, of every host (or machine of this class).
pub fn rooms(tx: &Tx<'_>, class: &str) -> Result<Vec<Room>> {
    let mut q = Sql::new(ROOM);
    q.push(" WHERE 1 = 1").and("resource_class =", class);
    rooms_of(tx, &q)
}

/// The same of the `n` hosts with the most free memory among those with room for what is asked, and that `more` lets
/// pass, which adds conditions. The rules of the ask are not looked at. Those of them are left out whose disk is full,
/// which is no column.
pub fn best_rooms(
    tx: &Tx<'_>,
    ask: &Ask,
    n: usize,
    more: impl FnOnce(&mut Sql) -> Result<()>,
) -> Result<Vec<Room>> {
    let heard = Micros(Micros::now().0 - i64::try_from(silent_after().as_micros()).unwrap_or(i64::MAX));
    let mut q = Sql::new(ROOM);
    q.push(" WHERE enabled = 1 AND forced_down = 0").and("seen_at >=", heard);
    q.and("resource_class =", ask.class.as_str());
    if ask.class.is_empty() {
        q.and(&format!("vcpus * {CPU_RATIO} - vcpus_used >="), ask.vcpus);
        q.and("memory_mib - memory_mib_used >=", ask.memory_mib + MEMORY_RESERVE_MIB);
        q.and("disk_gib - disk_gib_used >=", ask.disk_gib);
    } else {
        q.push(" AND guests = 0");
    }
    if let Some(zone) = &ask.zone {
        q.and("availability_zone =", zone);
    }
    if let Some(name) = &ask.host {
        q.and("name =", name);
    }
    more(&mut q)?;
    q.push(" ORDER BY memory_mib - memory_mib_used DESC, id DESC").limit(n);
    let mut best = rooms_of(tx, &q)?;
    best.retain(|r| !r.is_full());
    Ok(best)
}

fn rooms_of(tx: &Tx<'_>, q: &Sql) -> Result<Vec<Room>> {
    q.rows(tx, |r| {
        Ok(Room {
            id: r.get(0)?,
            name: r.get(1)?,
            zone: r.get(2)?,
            enabled: r.get(3)?,
            silent: r.get(11)? || is_silent(r.get(4)?),
            vcpus: r.get(5)?,
            memory_mib: r.get(6)?,
            disk_gib: r.get(7)?,
            vcpus_used: r.get(8)?,
            memory_mib_used: r.get(9)?,
            disk_gib_used: r.get(10)?,
            class: r.get(12)?,
            guests: r.get(13)?,
            disk_left: r.text(14)?.and_then(disk_left),
        })
    })
}

/// What is free on a host's disk by its facts, in bytes; `None` when it has never said.
fn disk_left(facts: &str) -> Option<u64> {
    /// The part of [`HostFacts`] that is looked at here, of many hosts.
    #[derive(Deserialize)]
    struct Disk {
        disk_bytes: u64,
        disk_free_bytes: u64,
    }
    let disk: Disk = serde_json::from_str(facts).ok()?;
    (disk.disk_bytes > 0).then_some(disk.disk_free_bytes)
}

/// What a server's view says of its host.
#[derive(Debug, Clone)]
pub struct Brief {
    pub name: String,
    pub zone: String,
    pub enabled: bool,
    pub forced_down: bool,
    pub silent: bool,
}

/// These hosts, in short.
pub fn briefs(tx: &Tx<'_>, ids: impl IntoIterator<Item = HostId>) -> Result<HashMap<HostId, Brief>> {
    let ids: BTreeSet<HostId> = ids.into_iter().collect();
    let mut q =
        Sql::new("SELECT id, name, availability_zone, enabled, seen_at, forced_down FROM host WHERE 1 = 1");
    q.and_in("id", ids);
    let found = q.rows(tx, |r| {
        let silent = is_silent(r.get(4)?);
        let (name, zone, enabled, forced_down) = (r.get(1)?, r.get(2)?, r.get(3)?, r.get(5)?);
        let brief = Brief { name, zone, enabled, forced_down, silent };
        Ok((r.get(0)?, brief))
    })?;
    Ok(found.into_iter().collect())
}

/// Writes when a host was last heard.
pub fn seen(tx: &Tx<'_>, id: HostId, at: Micros) -> Result<()> {
    tx.exec("UPDATE host SET seen_at = $2 WHERE id = $1 AND seen_at < $2", params![id, at]).map(drop)
}

/// Lets a host take new servers, which ends its emptying, or keeps them off with the reason.
pub fn enable(tx: &Tx<'_>, id: HostId, on: bool, reason: &str) -> Result<()> {
    let draining = if on { ", draining = 0" } else { "" };
    let sql = format!("UPDATE host SET enabled = $2, disabled_reason = $3{draining} WHERE id = $1");
    tx.exec(&sql, params![id, on, reason]).map(drop)
}

/// Claims room on a host, or a machine as a whole, if there still is some. One conditional update, so that two cannot get the
/// same room, whatever the isolation level.
pub fn claim(tx: &Tx<'_>, id: HostId, vcpus: u64, memory_mib: u64, disk_gib: u64) -> Result<bool> {
    let n = tx.exec(
        "UPDATE host SET vcpus_used = vcpus_used + $2, memory_mib_used = memory_mib_used + $3,
           disk_gib_used = disk_gib_used + $4, guests = guests + 1
         WHERE id = $1 AND enabled = 1 AND ((resource_class <> '' AND guests = 0)
           OR (resource_class = '' AND vcpus_used + $2 <= vcpus * $5
             AND memory_mib_used + $3 <= memory_mib - $6 AND disk_gib_used + $4 <= disk_gib))",
        params![id, vcpus, memory_mib, disk_gib, CPU_RATIO, MEMORY_RESERVE_MIB],
    )?;
    Ok(n == 1)
}

/// Takes room for a guest that is there, whether or not there is any.
pub fn hold_anyway(tx: &Tx<'_>, id: HostId, vcpus: u64, memory_mib: u64, disk_gib: u64) -> Result<()> {
    tx.exec(
        "UPDATE host SET vcpus_used = vcpus_used + $2, memory_mib_used = memory_mib_used + $3,
           disk_gib_used = disk_gib_used + $4, guests = guests + 1 WHERE id = $1",
        params![id, vcpus, memory_mib, disk_gib],
    )?;
    Ok(())
}

/// Gives claimed room back.
pub fn unclaim(tx: &Tx<'_>, id: HostId, vcpus: u64, memory_mib: u64, disk_gib: u64) -> Result<()> {
    tx.exec(
        "UPDATE host SET vcpus_used = vcpus_used - $2, memory_mib_used = memory_mib_used - $3,
           disk_gib_used = disk_gib_used - $4, guests = guests - 1 WHERE id = $1",
        params![id, vcpus, memory_mib, disk_gib],
    )?;
    Ok(())
}

/// What processors the hosts of a zone (empty: of all) can give, in their own order, of those that say so.
pub fn cpu_models(tx: &Tx<'_>, zone: &str) -> Result<Vec<(HostId, String)>> {
    let sql =
        "SELECT id, cpu_models FROM host WHERE cpu_models <> '' AND ($1 = '' OR availability_zone = $1)";
    tx.rows(sql, params![zone], |r| Ok((r.get(0)?, r.get(1)?)))
}

/// Every host's traits: those that it has by being a host here, and those that an administrator gave it.
pub fn traits(tx: &Tx<'_>) -> Result<HashMap<HostId, BTreeSet<String>>> {
    let mut all: HashMap<HostId, BTreeSet<String>> = HashMap::new();
    for (host, enabled) in tx.rows("SELECT id, enabled FROM host", &[], |r| Ok((r.get(0)?, r.get(1)?)))? {
        let own: BTreeSet<String> = own_traits(enabled).map(str::to_owned).collect();
        all.insert(host, own);
    }
    for (host, name) in
        tx.rows("SELECT host_id, name FROM host_trait", &[], |r| Ok((r.get(0)?, r.get(1)?)))?
    {
        all.entry(host).or_default().insert(name);
    }
    Ok(all)
}

/// Selects the hosts that have a trait.
pub fn with_trait(name: &str) -> Sql {
    match name {
        DISABLED => Sql::new("SELECT id AS host_id FROM host WHERE enabled = 0"),
        every if EVERY.contains(&every) => Sql::new("SELECT id AS host_id FROM host"),
        given => {
            let mut q = Sql::new("SELECT host_id FROM host_trait WHERE 1 = 1");
            q.and("name =", given);
            q
        }
    }
}

const EVERY: [&str; 3] = ["COMPUTE_NODE", "COMPUTE_IMAGE_TYPE_QCOW2", "COMPUTE_IMAGE_TYPE_RAW"];
const DISABLED: &str = "COMPUTE_STATUS_DISABLED";

/// What every host here can do, in the words of os-traits; and that it takes no more servers.
pub fn own_traits(enabled: bool) -> impl Iterator<Item = &'static str> {
    EVERY.into_iter().chain((!enabled).then_some(DISABLED))
}

/// Forgets a host. Servers that are gone lose where they were.
pub fn forget(tx: &Tx<'_>, id: HostId) -> Result<()> {
    network::for_hosts::forget(tx, id)?;
    tx.exec("UPDATE server SET host_id = NULL WHERE host_id = $1 AND deleted_at IS NOT NULL", params![id])?;
    tx.exec("DELETE FROM host WHERE id = $1", params![id])?;
    network::for_hosts::settle_homes(tx)
}

/// Claims more for a guest that the host has already, if there is room. A machine is its server's as a whole.
pub fn grow(tx: &Tx<'_>, id: HostId, vcpus: u64, memory_mib: u64, disk_gib: u64) -> Result<bool> {
    let n = tx.exec(
        "UPDATE host SET vcpus_used = vcpus_used + $2, memory_mib_used = memory_mib_used + $3,
           disk_gib_used = disk_gib_used + $4
         WHERE id = $1 AND (resource_class <> '' OR (($2 = 0 OR vcpus_used + $2 <= vcpus * $5)
           AND ($3 = 0 OR memory_mib_used + $3 <= memory_mib - $6)
           AND ($4 = 0 OR disk_gib_used + $4 <= disk_gib)))",
        params![id, vcpus, memory_mib, disk_gib, CPU_RATIO, MEMORY_RESERVE_MIB],
    )?;
    Ok(n == 1)
}

/// Gives back a part of what a guest had, the guest staying.
pub fn shrink(tx: &Tx<'_>, id: HostId, vcpus: u64, memory_mib: u64, disk_gib: u64) -> Result<()> {
    tx.exec(
        "UPDATE host SET vcpus_used = vcpus_used - $2, memory_mib_used = memory_mib_used - $3,
           disk_gib_used = disk_gib_used - $4 WHERE id = $1",
        params![id, vcpus, memory_mib, disk_gib],
    )?;
    Ok(())
}
