//! What this host and its guests have used in the last day: a look every half minute, of which the last hour is
//! kept as it was and the rest at every fifth minute.
//!
//! Invariants: what is kept of one guest is bounded (about 400 samples of 56 bytes); what is older than the last
//! hour is also in a file beside the guest's disk, so that it outlives the agent and goes with the guest; a guest
//! that cannot be looked at has a gap, and keeps nobody else from being looked at.

use crate::guest::{Dir, look};
use crate::host::Host;
use base::doc::usage::{History, Sample};
use base::{Micros, Result, ServerId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(30);
/// Kept as they were: an hour.
const FINE: usize = 120;
/// Seconds between those that are kept longer, and how many of them: a day.
const COARSE_S: u64 = 300;
const COARSE: usize = 288;
/// In a guest's directory, and in the agent's for the host itself; a line of JSON each.
const FILE: &str = "usage.jsonl";
/// How long one guest may keep the others waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a sector in `/proc/diskstats`, whatever the disk's own are.
const SECTOR: u64 = 512;
/// Clock ticks per second of `/proc`, fixed on Linux for this interface.
const TICKS: u64 = 100;

#[derive(Debug, Default)]
struct Kept {
    fine: VecDeque<Sample>,
    coarse: VecDeque<Sample>,
    /// Lines in the file.
    lines: usize,
}

impl Kept {
    /// What an earlier agent wrote; a line that it did not finish is passed over.
    fn read(file: &Path) -> Kept {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let mut coarse: VecDeque<Sample> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        coarse.drain(..coarse.len().saturating_sub(COARSE));
        Kept { fine: VecDeque::new(), coarse, lines: text.lines().count() }
    }

    /// Whether the sample is one of those that are kept longer.
    fn push(&mut self, sample: Sample) -> bool {
        // A clock that was put back: what is from the future is not known any more.
        self.fine.retain(|s| s.at < sample.at);
        self.coarse.retain(|s| s.at < sample.at);
        self.fine.push_back(sample);
        self.fine.drain(..self.fine.len().saturating_sub(FINE));
        let long = self.coarse.back().is_none_or(|last| sample.at >= last.at + COARSE_S);
        if long {
            self.coarse.push_back(sample);
            self.coarse.drain(..self.coarse.len().saturating_sub(COARSE));
        }
        long
    }

    fn all(&self) -> Vec<Sample> {
        let first = self.fine.front().map_or(u64::MAX, |s| s.at);
        self.coarse.iter().filter(|s| s.at < first).chain(&self.fine).copied().collect()
    }

    /// Adds the newest to the file, which is written anew when it has grown to twice what is kept.
    fn write(&mut self, file: &Path) -> Result<()> {
        let anew = self.lines >= 2 * COARSE;
        let lines: Vec<_> =
            if anew { self.coarse.iter().collect() } else { self.coarse.back().into_iter().collect() };
        let mut text = String::new();
        for sample in &lines {
            text.push_str(&serde_json::to_string(sample).map_err(base::Fault::internal)?);
            text.push('\n');
        }
        if anew {
            let beside = file.with_extension("new");
            std::fs::write(&beside, text)?;
            std::fs::rename(beside, file)?;
            self.lines = lines.len();
        } else {
            std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(text.as_bytes())?;
            self.lines += lines.len();
        }
        Ok(())
    }
}

/// By guest; `None` is the host itself.
#[derive(Debug, Default)]
pub struct Meter(Mutex<HashMap<Option<ServerId>, Kept>>);

impl Meter {
    fn lock(&self) -> MutexGuard<'_, HashMap<Option<ServerId>, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`History::part`].
    pub fn part(&self, of: Option<ServerId>, since: Micros, points: usize) -> History {
        let all = self.lock().get(&of).map(Kept::all).unwrap_or_default();
        History::part(&all, since, points)
    }

    fn note(&self, of: Option<ServerId>, file: &Path, sample: Sample) {
        let mut all = self.lock();
        let kept = all.entry(of).or_insert_with(|| Kept::read(file));
        if kept.push(sample)
            && let Err(fault) = kept.write(file)
        {
            tracing::debug!(file = %file.display(), %fault, "what was used is not written down");
        }
    }

    fn keep_only(&self, here: &HashSet<ServerId>) {
        self.lock().retain(|of, _| of.is_none_or(|id| here.contains(&id)));
    }
}

/// Looks at everything, again and again, until dropped.
pub async fn keep(host: Arc<Host>) {
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        turn(&host).await;
    }
}

async fn turn(host: &Arc<Host>) {
    let data = host.data.clone();
    match tokio::task::spawn_blocking(of_host).await {
        Ok(sample) => host.meter.note(None, &data.join(FILE), sample),
        Err(error) => tracing::debug!(%error, "the host could not be looked at"),
    }
    let desired = host.desired.borrow().clone();
    let guests = desired.iter().flat_map(|d| &d.guests);
    host.meter.keep_only(&guests.clone().map(|g| g.id).collect());
    for guest in guests {
        let dir = Dir::of(&data, guest.id);
        let seen = tokio::time::timeout(PATIENCE, look::figures(host, &dir, guest)).await;
        // One that does not run has used nothing more; what is not known would look as if it had started anew.
        let Ok(Ok(figures)) = seen else { continue };
        if figures.memory_used_mib.is_some() && !figures.cpus_ns.is_empty() {
            host.meter.note(Some(guest.id), &file_of(&dir), of_guest(&figures));
        }
    }
}

fn file_of(dir: &Dir) -> PathBuf {
    dir.path(FILE)
}

fn now_s() -> u64 {
    u64::try_from(Micros::now().0 / 1_000_000).unwrap_or_default()
}

fn of_guest(f: &look::Figures) -> Sample {
    let octets = |name: &str| f.nics.iter().filter_map(|n| n.counters.get(name)).sum();
    Sample {
        at: now_s(),
        cpu_ns: f.cpus_ns.iter().sum(),
        memory_mib: f.memory_used_mib.unwrap_or_default(),
        disk_read: f.disks.iter().map(|d| d.read_bytes).sum(),
        disk_written: f.disks.iter().map(|d| d.write_bytes).sum(),
        net_in: octets("rx_octets"),
        net_out: octets("tx_octets"),
    }
}

/// What is not there counts as nothing.
fn of_host() -> Sample {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    // A part of another has no directory of its own there, and what is made of software no device.
    let disk = |name: &str| Path::new("/sys/block").join(name).join("device").exists();
    let card = |name: &str| Path::new("/sys/class/net").join(name).join("device").exists();
    let (disk_read, disk_written) = disks(&read("/proc/diskstats"), disk);
    let (net_in, net_out) = cards(&read("/proc/net/dev"), card);
    let (cpu_ns, memory_mib) = (worked_ns(&read("/proc/stat")), used_mib(&read("/proc/meminfo")));
    Sample { at: now_s(), cpu_ns, memory_mib, disk_read, disk_written, net_in, net_out }
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().map(|n| n.parse().unwrap_or_default()).collect()
}

/// proc(5): `cpu user nice system idle iowait irq softirq steal …`; time of guests is in user's.
fn worked_ns(stat: &str) -> u64 {
    let fields = stat.lines().find_map(|l| l.strip_prefix("cpu ")).map(numbers).unwrap_or_default();
    let busy = fields.iter().take(8).enumerate().filter(|(i, _)| ![3, 4].contains(i));
    busy.map(|(_, ticks)| ticks * (1_000_000_000 / TICKS)).sum()
}

fn used_mib(meminfo: &str) -> u64 {
    let kib = |name: &str| {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        numbers(line).first().copied().unwrap_or_default()
    };
    kib("MemTotal:").saturating_sub(kib("MemAvailable:")) / 1024
}

/// Documentation/admin-guide/iostats.rst: major, minor, name, reads, merged, sectors read, ms, writes, merged,
/// sectors written.
fn disks(diskstats: &str, real: impl Fn(&str) -> bool) -> (u64, u64) {
    let mut all = (0, 0);
    for line in diskstats.lines() {
        let fields = numbers(line);
        let name = line.split_whitespace().nth(2).unwrap_or_default();
        if let (true, Some(read), Some(written)) = (real(name), fields.get(5), fields.get(9)) {
            all = (all.0 + read * SECTOR, all.1 + written * SECTOR);
        }
    }
    all
}

/// proc(5): after the name, eight fields of what was received and eight of what was sent, bytes first.
fn cards(dev: &str, real: impl Fn(&str) -> bool) -> (u64, u64) {
    let mut all = (0, 0);
    for (name, rest) in dev.lines().filter_map(|l| l.split_once(':')) {
        let fields = numbers(rest);
        if let (true, Some(came), Some(went)) = (real(name.trim()), fields.first(), fields.get(8)) {
            all = (all.0 + came, all.1 + went);
        }
    }
    all
}

#[cfg(test)]
mod tests;
