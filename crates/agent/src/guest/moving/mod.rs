//! A guest's way from one host to another (the contract is in `base::doc`'s `moving`).
//!
//! ```text
//!  source (depart)                                   destination (arrive)
//!    PUT  parcel        what is to come         ─▶   checks it, notes it
//!    PUT  files/NAME    each file, sparse       ─▶   verified, then under its name
//!    cold:  POST go                             ─▶   record written: Arrived
//!    live:  POST start                          ─▶   fresh disks, QEMU with `-incoming defer -S`
//!           nbd     (upgraded)  mirror of disks ─▶   QEMU's export of its disks
//!           memory  (upgraded)  migrate         ─▶   QEMU
//!           POST disks  (source stands still)   ─▶   export ends
//!           PUT  flows  its connections         ─▶   the kernel knows them
//!           POST go     (memory is over)        ─▶   record written, guest goes on: Arrived
//! ```
//! All routes are below `/v1/guests/{id}/arrival/{number}/`, open to who shows the arrival's token while the
//! document says so.
//!
//! Never two: the destination's QEMU holds the guest still until it is told `go`, and the source notes
//! [`Leaving::HandingOver`] on its disk before it says so. Without that note the destination cannot have run
//! the guest, and the source may go on whatever happened. With it, the source runs the guest again only when
//! the destination has said that it never will (410, which it notes on its own disk first), or when the
//! region gave the move up: it takes `departure` out of the source's document only once the destination does
//! not report the guest any more, or was fenced. A destination that cannot be asked leaves the source waiting.
//!
//! Each side keeps one small file in the guest's directory that says how far it is ([`Leaving`],
//! [`Coming`]), so that an agent that starts anew goes on, or fails the number.

mod arrive;
mod depart;
mod far;
mod incoming;
mod live;
pub mod routes;
pub mod seat;
mod sparse;

pub(in crate::guest) use arrive::settle;

use super::{Dir, Record, hardware};
use crate::host::Host;
use crate::net::Flows;
use base::doc::{Guest, MoveStage, MoveStatus};
use base::{Fault, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Largest parcel in bytes.
const PARCEL_MAX: usize = 1 << 20;

/// What the source says of the guest before anything comes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parcel {
    /// What was carried out at the source, so that nothing is carried out twice.
    pub record: Record,
    /// Files that come whole.
    pub files: Vec<Piece>,
    /// Disks that are mirrored while the guest runs.
    #[serde(default)]
    pub disks: Vec<Mirrored>,
    /// `kvm` or `tcg`, which a running guest runs under: its processor is not the same under the other.
    #[serde(default)]
    pub accel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub name: String,
    /// Length in bytes, holes included.
    pub bytes: u64,
}

/// A disk that QEMU has open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirrored {
    /// QEMU's name of it at both sides.
    pub node: String,
    pub file: String,
    /// Size that the guest sees.
    pub bytes: u64,
    /// Raw, else qcow2 over the same base.
    pub raw: bool,
}

/// How far the source is, in `departure.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    number: u64,
    stage: Leaving,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Leaving {
    /// The guest is ours.
    Begun,
    /// The destination may run it: we do not, until we know better.
    HandingOver,
    Sent,
    Failed,
}

/// How far the destination is, in `arrival.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Came {
    number: u64,
    stage: Coming,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Coming {
    Listening,
    /// A QEMU takes the memory; without it there is nothing left to go on with.
    Started,
    Arrived,
    /// It never runs here under this number.
    Failed,
}

const LEFT: &str = "departure.json";
const CAME: &str = "arrival.json";

fn read<T: DeserializeOwned>(dir: &Dir, name: &str) -> Result<Option<T>> {
    match std::fs::read(dir.path(name)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Written so that it holds after a power cut, name and all.
fn write<T: Serialize>(dir: &Dir, name: &str, what: &T) -> Result<()> {
    tls::write_private(&dir.path(name), &serde_json::to_vec(what)?)?;
    Ok(std::fs::File::open(dir.root())?.sync_all()?)
}

fn forget(dir: &Dir, name: &str) -> Result<()> {
    match std::fs::remove_file(dir.path(name)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Whether the number is settled at the destination: `Some(true)` it arrived, `Some(false)` it never will.
fn settled(dir: &Dir, number: u64) -> Result<Option<bool>> {
    let came: Option<Came> = read(dir, CAME)?;
    Ok(came.filter(|c| c.number == number).and_then(|c| match c.stage {
        Coming::Arrived => Some(true),
        Coming::Failed => Some(false),
        Coming::Listening | Coming::Started => None,
    }))
}

fn status(number: u64, stage: MoveStage, reason: &str) -> MoveStatus {
    MoveStatus { number, stage, reason: reason.to_owned(), sent_bytes: 0, total_bytes: 0 }
}

/// Where the guest's connections are on this host.
fn flows(host: &Host, guest: &Guest) -> Result<Flows> {
    let desired = host.desired.borrow().clone();
    let desired = desired.ok_or_else(|| Fault::internal("a guest without a document"))?;
    Ok(host.net.flows(guest, &desired))
}

/// Files of a guest that go along as they are, whether or not it runs. Without its consoles' sockets, pid
/// file and what is being made.
const FILES: [&str; 4] = ["kept.qcow2", "uefi-vars.fd", "config.iso", "serial.log.1"];
const LOG: &str = "serial.log";
/// Disks and memory of a guest that does not run.
const COLD: [&str; 3] = ["disk.qcow2", "rescue.qcow2", "memory.state"];

/// The files of the guest that are there and may travel.
fn files(dir: &Dir, guest: &Guest, live: bool) -> Result<Vec<Piece>> {
    let locals = guest.local_disks.iter().map(hardware::local_file);
    let cold = COLD.into_iter().map(str::to_owned).chain(locals).filter(|_| !live);
    let names = FILES.into_iter().map(str::to_owned).chain([LOG.to_owned()]).chain(cold);
    let mut found = Vec::new();
    for name in names {
        match dir.path(&name).metadata() {
            Ok(m) => found.push(Piece { name, bytes: m.len() }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(found)
}

/// What another host says is believed as far as it fits the document.
fn check(parcel: &Parcel, guest: &Guest, live: bool) -> Result<()> {
    let locals: Vec<String> = guest.local_disks.iter().map(hardware::local_file).collect();
    let may = |name: &str| {
        FILES.contains(&name)
            || name == LOG
            || !live && (COLD.contains(&name) || locals.iter().any(|l| l == name))
    };
    if let Some(odd) = parcel.files.iter().find(|f| !may(&f.name)) {
        return Err(Fault::bad_request(format!("{:?} is not a file of this guest.", odd.name)));
    }
    let base = guest.disk.image.as_ref().map(|i| i.sha512.as_str());
    let record = &parcel.record;
    if record.disk_made && record.epoch == guest.disk.epoch && record.image.as_deref() != base {
        return Err(Fault::bad_request(
            "The guest's disk lies on another image than its host's document says.",
        ));
    }
    let node = |d: &Mirrored| match d.node.as_str() {
        "root" => !d.raw && d.file == "disk.qcow2",
        "rescue" => !d.raw && d.file == "rescue.qcow2" && guest.rescue.is_some(),
        other => {
            let mut names = guest.local_disks.iter().map(|l| format!("local-{}", l.name)).zip(&locals);
            d.raw && names.any(|(node, file)| node == other && *file == d.file)
        }
    };
    match parcel.disks.iter().find(|d| !node(d)) {
        Some(odd) => Err(Fault::bad_request(format!("{:?} is not a disk of this guest.", odd.node))),
        None => Ok(()),
    }
}
