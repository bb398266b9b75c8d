//! The desired document of a host, made from the tables in one view of the data and a constant number of
//! queries. A server on its way is in two documents: its own host's, and its destination's as one that
//! arrives ([`base::doc::Arrival`]).

use crate::fleet::FENCE;
use crate::hardware;
use crate::model::{Server, Stage};
use crate::table;
use crate::table::host::Host;
use crate::table::moving::Move;
use crate::table::{capture, file, fleet, moving, nic_tag, password, server};
use base::doc::{
    Arrival, Capture, Departure, Desired, Guest, Hardware, InjectedFile, Metadata, Nic, Password, Power,
    RootDisk, VERSION,
};
use base::{HostId, Result, ServerId};
use std::collections::{BTreeMap, HashMap, HashSet};
use store::Tx;

/// Everything that `host` should hold.
pub fn make(tx: &Tx<'_>, host: &Host) -> Result<Desired> {
    let mut servers = server::on_host(tx, host.id)?;
    let mut parts = Parts { moves: moving::of_host(tx, host.id)?, ..Parts::default() };
    if !parts.moves.is_empty() {
        servers.extend(server::arriving(tx, host.id)?);
        parts.urls = urls(tx, &parts.moves)?;
    }
    let ids: Vec<ServerId> = servers.iter().map(|s| s.id).collect();
    if !ids.is_empty() {
        parts.nics = network::for_compute::nics(tx, &ids)?;
        name_nics(tx, &ids, &mut parts.nics)?;
        parts.captures = capture::wanted(tx, &ids)?;
        parts.hardware = table::hardware::of(tx, &ids)?;
        parts.passwords = password::of(tx, &ids)?;
        parts.metadata = server::metadata(tx, &ids)?;
        parts.user_data = server::user_data(tx, &ids)?;
        // Those that have files have a drive that they are on.
        let driven: Vec<ServerId> = servers.iter().filter(|s| s.config_drive).map(|s| s.id).collect();
        if !driven.is_empty() {
            parts.files = file::of(tx, &driven)?;
        }
    }
    parts.restarted = fleet::restarted(tx, host.id)?.into_iter().collect();
    let fence_s = (!parts.restarted.is_empty()).then_some(FENCE.as_secs());
    let networks = network::for_hosts::document(tx, host.id)?;
    Ok(Desired {
        version: VERSION,
        host: host.id,
        generation: host.generation,
        guests: servers.into_iter().map(|s| guest(s, host, &mut parts)).collect(),
        networks: networks.networks,
        groups: networks.groups,
        routers: networks.routers,
        fence_s,
    })
}

/// Puts the user's names on NICs.
fn name_nics(tx: &Tx<'_>, ids: &[ServerId], nics: &mut HashMap<ServerId, Vec<Nic>>) -> Result<()> {
    for (server, mut tags) in nic_tag::of(tx, ids)? {
        for nic in nics.get_mut(&server).into_iter().flatten() {
            nic.tag = tags.remove(&nic.port);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Parts {
    nics: HashMap<ServerId, Vec<Nic>>,
    metadata: HashMap<ServerId, BTreeMap<String, String>>,
    user_data: HashMap<ServerId, String>,
    files: HashMap<ServerId, Vec<InjectedFile>>,
    captures: HashMap<ServerId, Vec<Capture>>,
    passwords: HashMap<ServerId, String>,
    hardware: HashMap<ServerId, Hardware>,
    moves: HashMap<ServerId, Move>,
    /// Those that are restarted elsewhere when this host is down.
    restarted: HashSet<ServerId>,
    /// Where destinations are reached.
    urls: HashMap<HostId, String>,
}

/// Byte routes of the hosts that servers move to from here.
fn urls(tx: &Tx<'_>, moves: &HashMap<ServerId, Move>) -> Result<HashMap<HostId, String>> {
    let mut urls = HashMap::new();
    for to in moves.values().filter(|m| m.departs).filter_map(|m| m.to) {
        if let Some(h) = table::host::by_id(tx, to)? {
            let facts = h.facts;
            urls.insert(to, if facts.storage_url.is_empty() { facts.bytes_url } else { facts.storage_url });
        }
    }
    Ok(urls)
}

/// A guest as its host should hold it, and what its way to or from there adds to that.
fn guest(s: Server, host: &Host, parts: &mut Parts) -> Guest {
    let (m, owner) = (parts.moves.remove(&s.id), s.host_id);
    let reverting = s.intent.resize.as_ref().is_some_and(|r| r.stage == Stage::Reverting && r.from.is_some());
    let mut g = plain_guest(s, host, parts);
    if reverting && owner == Some(host.id) {
        // Its disk is put back before it goes where it came from.
        g.power = Power::Off;
    }
    let Some(m) = m else { return g };
    if m.shown_at(host.id) && owner != Some(host.id) {
        g.ownership += 1;
        (g.disk.keep, g.disk.revert) = (None, None);
        g.captures.clear();
        g.arrival = Some(Arrival { number: m.number, live: m.live(), token: m.token });
    } else if m.departs && owner == Some(host.id) {
        let url = m.to.and_then(|to| parts.urls.get(&to).cloned()).unwrap_or_default();
        if !m.live() {
            g.power = Power::Off;
        }
        g.paused |= m.forced;
        g.departure = Some(Departure { number: m.number, live: m.live(), url, token: m.token });
    }
    g
}

fn plain_guest(s: Server, host: &Host, parts: &mut Parts) -> Guest {
    let machine = parts.hardware.remove(&s.id).unwrap_or_default();
    Guest {
        id: s.id,
        ownership: s.ownership,
        power: s.want_power,
        boots: s.boots,
        boot_kind: s.boot_kind,
        vcpus: s.vcpus,
        memory_mib: s.ram,
        disk: root_disk(&s),
        nics: parts.nics.remove(&s.id).unwrap_or_default(),
        config_drive: s.config_drive,
        paused: s.intent.paused,
        suspended: s.intent.suspended,
        rescue: s.intent.rescue.map(|r| RootDisk { image: r.image, bytes: r.bytes, ..RootDisk::default() }),
        password: s.intent.password.and_then(|p| Some(Password { epoch: p.epoch, value: p.value? })),
        nmi: s.intent.nmi,
        metadata: Metadata {
            name: s.name,
            hostname: s.hostname,
            project_id: s.project_id.0,
            availability_zone: host.zone.clone(),
            launch_index: s.launch_index,
            flavor: s.flavor.original_name.clone(),
            keys: s.key.into_iter().collect(),
            meta: parts.metadata.remove(&s.id).unwrap_or_default(),
            user_data: parts.user_data.remove(&s.id),
            files: parts.files.remove(&s.id).unwrap_or_default(),
            admin_pass: s.admin_pass,
            password: parts.passwords.remove(&s.id),
        },
        limits: hardware::limits(&s.flavor),
        local_disks: hardware::local_disks(&s.flavor, &machine),
        hardware: machine,
        captures: parts.captures.remove(&s.id).unwrap_or_default(),
        arrival: None,
        departure: None,
        cpu: s.cpu,
        ha: parts.restarted.contains(&s.id),
    }
}

/// The disk, with what a resize under trial wants of it: kept as it was until the user is content, by the host
/// that has it now.
fn root_disk(s: &Server) -> RootDisk {
    let here = s.intent.resize.as_ref();
    RootDisk {
        image: s.image.clone(),
        bytes: s.disk_bytes,
        epoch: s.intent.epoch,
        keep: here.filter(|r| !matches!(r.stage, Stage::Asked | Stage::Reverting)).map(|r| r.number),
        revert: here.filter(|r| r.stage == Stage::Reverting).map(|r| r.number),
    }
}
