//! What is wrong, and what to do about it: checks over what is known of the region. [`look`] reads, [`checks`]
//! judges; the latter is a function of its input alone.

mod certificate;
mod mends;

pub use certificate::expiry;
pub use mends::{Kind, Mend, mend};

use crate::About;
use base::{Micros, Result};
use compute::HostHealth;
use metal::ranges::Narrow;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use store::work::{self, Explanation, Filter};
use store::{Db, log, process};

const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Certificates from elsewhere that are good for less than this.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// A host without servers that did not report for so long may be gone for good.
const LOST: Duration = Duration::from_secs(3600);
/// Steps that failed so often in a row.
const FAILING: i64 = 5;
/// Things that are named one by one.
const NAMED: usize = 5;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    Warn,
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The same in every release, such as `hosts.silent`.
    pub id: &'static str,
    pub title: &'static str,
    pub state: State,
    pub message: String,
    /// What to do; empty when nothing is to be done.
    pub advice: String,
    /// What one press may do about it.
    pub mends: Vec<Mend>,
}

/// What the checks are about.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    pub version: String,
    pub hosts: Vec<HostHealth>,
    /// File systems: what is on them, their size and what is free, in bytes.
    pub disks: Vec<(&'static str, u64, u64)>,
    pub overdue: Vec<Explanation>,
    pub failing: Vec<Explanation>,
    /// Segments that soon have no address for another machine.
    pub narrow: Vec<Narrow>,
    /// Certificates by file, and when they end; `None` when that cannot be read.
    pub certificates: Vec<(String, Option<Micros>)>,
    /// Versions of the region processes that live.
    pub processes: Vec<String>,
    /// Events of the last day that somebody should look at.
    pub errors: u64,
    pub database: String,
}

/// Reads what the checks are about.
pub async fn look(db: &Db, about: &About) -> Result<Findings> {
    let found = db.read(|tx| {
        let filter = |overdue| Filter { overdue, limit: 1_000, ..Filter::default() };
        let mut failing = work::list(tx, &filter(false))?;
        failing.retain(|w| w.attempt >= FAILING);
        Ok(Findings {
            hosts: compute::health(tx)?,
            overdue: work::list(tx, &filter(true))?,
            failing,
            narrow: metal::ranges::narrow(tx)?,
            processes: process::versions(tx)?,
            errors: log::errors_since(tx, Micros::now().minus(DAY))?,
            ..Findings::default()
        })
    });
    let found = found.await?;
    let (data, images, files) = (about.data.clone(), about.images.clone(), about.certificates.clone());
    let local = tokio::task::spawn_blocking(move || {
        let disks = [("data", data), ("images", images)].into_iter();
        let disks: Vec<_> =
            disks.filter_map(|(what, dir)| space(&dir).map(|(size, free)| (what, size, free))).collect();
        let ends = |f: &std::path::PathBuf| {
            (f.display().to_string(), std::fs::read(f).ok().and_then(|pem| expiry(&pem)))
        };
        (disks, files.iter().map(ends).collect())
    });
    let (disks, certificates) = local.await.map_err(base::Fault::internal)?;
    Ok(Findings {
        version: about.version.clone(),
        disks,
        certificates,
        database: about.database.clone(),
        ..found
    })
}

fn space(dir: &Path) -> Option<(u64, u64)> {
    let s = rustix::fs::statvfs(dir).ok()?;
    Some((s.f_blocks * s.f_frsize, s.f_bavail * s.f_frsize))
}

/// The verdicts, the worst first.
pub fn checks(f: &Findings, now: Micros) -> Vec<Check> {
    let mut all = vec![
        reporting(f),
        closed(f),
        versions(f),
        host_disks(f),
        overdue(f),
        failing(f),
        ranges(f),
        certificates(f, now),
        processes(f),
        errors(f),
        backup(f),
    ];
    all.extend(f.disks.iter().map(|(what, size, free)| disk(what, *size, *free)));
    all.sort_by_key(|c| std::cmp::Reverse(c.state));
    all
}

fn check(
    id: &'static str,
    title: &'static str,
    well: bool,
    bad: State,
    message: String,
    advice: &str,
) -> Check {
    let (state, advice) = if well { (State::Ok, "") } else { (bad, advice) };
    Check { id, title, state, message, advice: advice.to_owned(), mends: Vec::new() }
}

/// Some of many, by name.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let list = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}

fn reporting(f: &Findings) -> Check {
    let silent: Vec<_> = f.hosts.iter().filter(|h| !h.up).map(|h| h.name.as_str()).collect();
    let (id, title) = ("hosts.silent", "Hosts report");
    if f.hosts.is_empty() {
        let advice =
            "Join one: `hanok admin join-token` here, then `hanok agent` on the host with what it prints.";
        return check(id, title, false, State::Error, "No host has joined yet.".into(), advice);
    }
    let message = match silent.len() {
        0 => format!("All {} report.", f.hosts.len()),
        n => format!("{n} of {} do not report: {}.", f.hosts.len(), some(silent.iter().copied())),
    };
    let advice = "Look whether the machine is on, reaches the region, and runs its agent (`journalctl -u hanok-agent`). \
                  Its guests go on by themselves; those of a host that is lost for good are evacuated.";
    let lost = |h: &&HostHealth| !h.up && h.servers == 0 && h.silent_s > LOST.as_secs();
    let mends = f.hosts.iter().filter(lost).take(NAMED).map(|h| Mend::new(Kind::HostForget, h.id, &h.name));
    Check { mends: mends.collect(), ..check(id, title, silent.is_empty(), State::Error, message, advice) }
}

/// That nobody wants it so any more is more likely than that somebody does: who drains a host says so.
fn closed(f: &Findings) -> Check {
    let closed: Vec<_> =
        f.hosts.iter().filter(|h| h.class.is_empty() && h.up && !h.enabled && !h.draining).collect();
    let message = match closed.len() {
        0 => "Every host that reports takes new servers, or is being drained.".to_owned(),
        n => {
            let names = some(closed.iter().map(|h| h.name.as_str()));
            format!("{n} of {} take no new servers: {names}.", f.hosts.len())
        }
    };
    let advice = "That is right during maintenance. Otherwise their room is not used.";
    let mends = closed.iter().take(NAMED).map(|h| Mend::new(Kind::HostEnable, h.id, &h.name)).collect();
    Check {
        mends,
        ..check("hosts.closed", "Hosts take new servers", closed.is_empty(), State::Warn, message, advice)
    }
}

fn ranges(f: &Findings) -> Check {
    let (id, title) = ("segments.narrow", "Segments have addresses for machines");
    let told = |n: &Narrow| format!("{} ({} free)", n.segment, n.free);
    let names: Vec<_> = f.narrow.iter().map(told).collect();
    let message = match names.len() {
        0 => "Every segment has addresses to give.".to_owned(),
        _ => format!("Nearly used up: {}.", some(names.iter().map(String::as_str))),
    };
    let advice = "Machines that start there get no address when there is none left. Make the range longer, or \
                  give the segment another subnet.";
    let mends = f.narrow.iter().filter_map(|n| {
        let wider = n.wider.as_ref()?;
        Some(Mend::new(
            Kind::RangeWiden,
            &wider.range,
            format!("{}: {} – {}", n.segment, wider.first, wider.last),
        ))
    });
    Check {
        mends: mends.take(NAMED).collect(),
        ..check(id, title, names.is_empty(), State::Warn, message, advice)
    }
}

fn versions(f: &Findings) -> Check {
    let other = |h: &&HostHealth| !h.version.is_empty() && h.version != f.version;
    let other: Vec<_> = f.hosts.iter().filter(other).map(|h| h.name.as_str()).collect();
    let message = match other.len() {
        0 => format!("All hosts run {}.", f.version),
        _ => format!("These run another release than {}: {}.", f.version, some(other.iter().copied())),
    };
    let advice = "Install this release there and start the agent again; guests go on running meanwhile.";
    check("hosts.version", "Hosts run this release", other.is_empty(), State::Warn, message, advice)
}

fn host_disks(f: &Findings) -> Check {
    // A machine that is handed out whole fills its disk as its tenant likes.
    let full = |h: &&HostHealth| {
        h.class.is_empty() && h.up && h.disk_bytes > 0 && h.disk_free_bytes < h.disk_bytes / 10
    };
    let full: Vec<_> = f.hosts.iter().filter(full).map(|h| h.name.as_str()).collect();
    let message = match full.len() {
        0 => "No host's disk is nearly full.".to_owned(),
        _ => format!("Less than a tenth is free on: {}.", some(full.iter().copied())),
    };
    let advice =
        "Move or delete servers there, or give the host a larger disk. Guests pause when it is full.";
    check("hosts.disk", "Room on hosts' disks", full.is_empty(), State::Warn, message, advice)
}

fn disk(what: &'static str, size: u64, free: u64) -> Check {
    let (id, title) = match what {
        "data" => ("disk.data", "Room for the region's data"),
        _ => ("disk.images", "Room for images"),
    };
    let state = if free < GIB || free < size / 50 {
        State::Error
    } else if free < 5 * GIB || free < size / 10 {
        State::Warn
    } else {
        State::Ok
    };
    let message = format!("{:.1} GiB of {:.1} GiB are free.", gib(free), gib(size));
    let advice = "Delete images that nobody needs, or put `data` or `images` on a larger disk. Nothing is accepted any \
                  more once it is full.";
    Check { state, ..check(id, title, state == State::Ok, state, message, advice) }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

fn told(list: &[Explanation]) -> String {
    let one = |w: &Explanation| format!("{} {} ({})", w.kind, w.id, w.reason);
    let names: Vec<_> = list.iter().map(one).collect();
    some(names.iter().map(String::as_str))
}

fn retries(list: &[Explanation]) -> Vec<Mend> {
    let one = |w: &Explanation| Mend::new(Kind::WorkRetry, &w.id, format!("{} {}", w.kind, w.id));
    list.iter().take(NAMED).map(one).collect()
}

fn overdue(f: &Findings) -> Check {
    let message = match f.overdue.len() {
        0 => "Nothing takes longer than it should.".to_owned(),
        n => format!("{n} take longer than they should: {}.", told(&f.overdue)),
    };
    let advice = "`hanok why ID` says what one waits for.";
    Check {
        mends: retries(&f.overdue),
        ..check("work.overdue", "Work is in time", f.overdue.is_empty(), State::Warn, message, advice)
    }
}

fn failing(f: &Findings) -> Check {
    let message = match f.failing.len() {
        0 => "No step fails again and again.".to_owned(),
        n => format!("{n} failed {FAILING} times or more in a row: {}.", told(&f.failing)),
    };
    let advice =
        "`hanok why ID` shows the last error. It is tried again until it works or the thing is deleted.";
    Check {
        mends: retries(&f.failing),
        ..check("work.failing", "Work succeeds", f.failing.is_empty(), State::Warn, message, advice)
    }
}

fn certificates(f: &Findings, now: Micros) -> Check {
    let (id, title) = ("certificates", "Certificates are good");
    let ends = |(file, at): &(String, Option<Micros>)| match at {
        Some(at) if *at <= now => Some((State::Error, format!("{file} has expired"))),
        Some(at) if *at < now.plus(SOON) => Some((State::Warn, format!("{file} expires {}", at.seconds_z()))),
        Some(_) => None,
        None => Some((State::Warn, format!("{file} cannot be read"))),
    };
    let bad: Vec<_> = f.certificates.iter().filter_map(ends).collect();
    let worst = bad.iter().map(|(state, _)| *state).max().unwrap_or(State::Ok);
    let message = match bad.len() {
        0 => "None ends soon. Hanok renews its own by itself.".to_owned(),
        _ => format!("{}.", some(bad.iter().map(|(_, text)| text.as_str()))),
    };
    let advice = "Put a new certificate and key into the files of `tls_cert` and `tls_key`; they are read again by \
                  themselves.";
    check(id, title, bad.is_empty(), worst, message, advice)
}

fn processes(f: &Findings) -> Check {
    let same = f.processes.iter().all(|v| *v == f.version);
    let message = match f.processes.len() {
        0 | 1 => "One process serves the region.".to_owned(),
        n if same => format!("{n} processes serve the region, all of this release."),
        n => format!("{n} processes serve the region, of different releases: {}.", f.processes.join(", ")),
    };
    let advice = "Install the same release everywhere; until then what is new in the newer one may not work.";
    check("regions.version", "Region processes run one release", same, State::Warn, message, advice)
}

fn errors(f: &Findings) -> Check {
    let message = match f.errors {
        0 => "No error in the last 24 hours.".to_owned(),
        n => format!("{n} errors in the last 24 hours."),
    };
    let advice = "`hanok events --level error` lists them.";
    check("events", "Nothing went wrong lately", f.errors == 0, State::Warn, message, advice)
}

/// Nobody tells the region of backups, so that is what it says.
fn backup(f: &Findings) -> Check {
    let message = format!(
        "The database is {}. Backups of it are not known here: make them with the means of the database, and keep \
         `master-key` from the data directory with them.",
        f.database
    );
    check("database", "Database", true, State::Ok, message, "")
}

#[cfg(test)]
mod tests;
