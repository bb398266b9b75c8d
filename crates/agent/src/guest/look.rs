//! What a guest uses at the moment, for its diagnostics: asked of QEMU's second monitor and of the kernel.
//!
//! What cannot be told is left out: a guest that does not run has no figures, and one from before this
//! monitor existed has those of the kernel alone.

use super::Dir;
use super::process::Process;
use super::qmp::Qmp;
use crate::host::Host;
use base::doc::Guest;
use base::{Micros, Result};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Clock ticks per second of `/proc`, fixed on Linux for this interface.
const TICKS: u64 = 100;

#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// Seconds since the process started.
    pub uptime_s: Option<u64>,
    /// Nanoseconds that each virtual CPU has run.
    pub cpus_ns: Vec<u64>,
    /// MiB that the process holds.
    pub memory_used_mib: Option<u64>,
    pub disks: Vec<Disk>,
    pub nics: Vec<Nic>,
}

#[derive(Debug, Serialize)]
pub struct Disk {
    pub name: String,
    pub read_bytes: u64,
    pub read_requests: u64,
    pub write_bytes: u64,
    pub write_requests: u64,
    pub errors: u64,
}

/// As the guest sees it: what it received and sent.
#[derive(Debug, Serialize)]
pub struct Nic {
    pub mac: String,
    /// `rx_octets`, `rx_errors`, `rx_drop`, `rx_packets` and the same for `tx`.
    #[serde(flatten)]
    pub counters: BTreeMap<String, u64>,
}

/// The figures of a guest.
pub async fn figures(host: &Host, dir: &Dir, guest: &Guest) -> Result<Figures> {
    let Some(process) = Process::find(dir) else { return Ok(Figures::default()) };
    let started = dir.load()?.and_then(|r| r.started_at);
    let mut all = Figures {
        uptime_s: started.map(|at| Micros::now().since(at).as_secs()),
        memory_used_mib: resident_mib(process.pid),
        ..Figures::default()
    };
    let taps: Vec<_> = guest.nics.iter().map(|n| (n.mac.clone(), n.network, n.port)).collect();
    let net = host.net.clone();
    let counted = tokio::task::spawn_blocking(move || {
        let nics = taps.into_iter().filter_map(|(mac, network, port)| {
            let counters = net.tap_counters(network, port).ok()?;
            Some(Nic { mac, counters: as_the_guest_sees(&counters) })
        });
        nics.collect()
    });
    all.nics = counted.await.map_err(base::Fault::internal)?;
    if let Ok(mut qmp) = Qmp::looking(dir).await {
        let cpus = qmp.run("query-cpus-fast").await?;
        let threads = cpus.as_array().into_iter().flatten().filter_map(|c| c["thread-id"].as_u64());
        all.cpus_ns = threads.filter_map(|t| ran_ns(process.pid, t)).collect();
        let disks = qmp.run("query-blockstats").await?;
        all.disks = disks.as_array().into_iter().flatten().filter_map(disk_of).collect();
    }
    Ok(all)
}

/// What the host sends on a tap is what the guest receives.
fn as_the_guest_sees(host: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let names = [("octets", "bytes"), ("packets", "packets"), ("errors", "errors"), ("drop", "dropped")];
    let mut all = BTreeMap::new();
    for (name, kernel) in names {
        for (theirs, ours) in [("rx", "tx"), ("tx", "rx")] {
            let n = host.get(&format!("{ours}_{kernel}")).copied().unwrap_or_default();
            all.insert(format!("{theirs}_{name}"), n);
        }
    }
    all
}

fn disk_of(v: &Value) -> Option<Disk> {
    let device = v["qdev"].as_str()?;
    let name = ["root", "rescue", "config"].into_iter().find(|n| device.contains(n)).unwrap_or(device);
    let n = |key: &str| v["stats"][key].as_u64().unwrap_or_default();
    Some(Disk {
        name: name.to_owned(),
        read_bytes: n("rd_bytes"),
        read_requests: n("rd_operations"),
        write_bytes: n("wr_bytes"),
        write_requests: n("wr_operations"),
        errors: n("failed_rd_operations") + n("failed_wr_operations"),
    })
}

/// User and system time of a thread.
fn ran_ns(pid: i32, thread: u64) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).ok()?;
    // The name, in parentheses, may hold blanks.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks * (1_000_000_000 / TICKS))
}

fn resident_mib(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}
