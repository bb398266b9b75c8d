//! Whether a computer is fit to be a host: what was found, the verdict, and what to do.

use crate::check::{BRIDGE_FILTER, FOLLOWS_CONNECTIONS, SPACE, TOOLS, installed};
use crate::config::Config;
use crate::say;
use base::{Fault, Result};
use std::path::Path;
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// It works, and something is worth knowing.
    Warning,
    /// It cannot be a host.
    Unfit,
}

#[derive(Debug)]
struct Finding {
    item: &'static str,
    found: String,
    verdict: Verdict,
    advice: &'static str,
}

impl Finding {
    fn new(item: &'static str, found: impl Into<String>, verdict: Verdict, advice: &'static str) -> Self {
        Finding { item, found: found.into(), verdict, advice }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Good => "good",
            Verdict::Warning => "warning",
            Verdict::Unfit => "UNFIT",
        };
        let advice = if self.verdict == Verdict::Good { "" } else { self.advice };
        format!("{:<15} {:<36} {verdict:<8} {advice}", self.item, self.found).trim_end().to_owned()
    }
}

/// `hanok agent check`: the whole table.
///
/// # Errors
/// When the computer is unfit.
pub async fn report(config: &Config) -> Result<()> {
    let all = inspect(config).await;
    all.iter().for_each(|f| say::out(&f.line()));
    refuse(&all)
}

/// Before joining: says what is worth knowing, and refuses what cannot work.
pub async fn fit(config: &Config) -> Result<()> {
    let all = inspect(config).await;
    all.iter().filter(|f| f.verdict != Verdict::Good).for_each(|f| say::progress(&f.line()));
    refuse(&all)
}

fn refuse(all: &[Finding]) -> Result<()> {
    let unfit: Vec<_> = all.iter().filter(|f| f.verdict == Verdict::Unfit).map(|f| f.item).collect();
    if unfit.is_empty() {
        return Ok(());
    }
    let list = unfit.join(", ");
    Err(Fault::bad_request(format!(
        "This computer cannot be a host as it is ({list}): see above what to do."
    )))
}

async fn inspect(config: &Config) -> Vec<Finding> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = vec![root(), tools(), processors(cpus), memory(), disk(&config.data), network()];
    all.extend(kernel());
    all.push(virtualisation(&config.data).await);
    all.push(groups());
    all
}

fn root() -> Finding {
    let root = rustix::process::geteuid().is_root();
    let (found, verdict) = if root { ("root", Verdict::Good) } else { ("not root", Verdict::Unfit) };
    Finding::new("rights", found, verdict, "networks need root: run it with sudo")
}

fn tools() -> Finding {
    let missing: Vec<_> = TOOLS.iter().filter(|(tool, _)| !installed(tool)).map(|(_, p)| *p).collect();
    let verdict = if missing.is_empty() { Verdict::Good } else { Verdict::Unfit };
    let found =
        if missing.is_empty() { "all there".into() } else { format!("missing: {}", missing.join(" ")) };
    Finding::new("programs", found, verdict, "apt-get install -y --no-install-recommends what is missing")
}

fn processors(cpus: usize) -> Finding {
    let verdict = if cpus < 2 { Verdict::Warning } else { Verdict::Good };
    Finding::new("processors", cpus.to_string(), verdict, "with one, guests and host wait for each other")
}

fn memory() -> Finding {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    of_memory(kib / 1024)
}

fn of_memory(mib: u64) -> Finding {
    let verdict = match mib {
        0..1024 => Verdict::Unfit,
        1024..3072 => Verdict::Warning,
        _ => Verdict::Good,
    };
    let advice = "512 MiB are for the host itself, the rest is for guests: 4 GiB are a start";
    Finding::new("memory", format!("{mib} MiB"), verdict, advice)
}

fn disk(data: &Path) -> Finding {
    let existing = data.ancestors().find(|d| d.exists()).unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(existing).map_or(0, |s| s.f_bavail * s.f_frsize);
    let verdict = match free {
        n if n < SPACE => Verdict::Unfit,
        n if n < 10 * SPACE => Verdict::Warning,
        _ => Verdict::Good,
    };
    let advice = "guests' disks lie there: free some space, or choose another --data";
    Finding::new("disk", format!("{} GiB free at {}", free >> 30, existing.display()), verdict, advice)
}

/// The device of the default route and its MTU. One card is the normal case.
fn network() -> Finding {
    let json = |arguments: &[&str]| -> serde_json::Value {
        let out = Command::new("ip").arg("-j").args(arguments).output().ok();
        out.and_then(|o| serde_json::from_slice(&o.stdout).ok()).unwrap_or_default()
    };
    let route = json(&["route", "show", "default"]);
    let Some(device) = route[0]["dev"].as_str() else {
        let advice = "hosts reach each other by it: give the card an address, or name it with --tunnel";
        return Finding::new("network", "no default route", Verdict::Warning, advice);
    };
    let mtu = json(&["link", "show", "dev", device])[0]["mtu"].as_u64().unwrap_or(0);
    let verdict = if mtu < 1400 { Verdict::Warning } else { Verdict::Good };
    let advice = "tunnels take 50 to 70 bytes of that: guests get a small MTU";
    Finding::new("network", format!("{device}, MTU {mtu}"), verdict, advice)
}

/// Tried in a network namespace of its own, which goes again.
fn kernel() -> Vec<Finding> {
    let ns = format!("hanok-check-{}", std::process::id());
    let run = |program: &str, line: &str| {
        Command::new(program).args(line.split_whitespace()).output().is_ok_and(|o| o.status.success())
    };
    if !run("ip", &format!("netns add {ns}")) {
        let advice = "network namespaces are needed: a kernel with CONFIG_NET_NS, and root";
        return vec![Finding::new("kernel", "no network namespaces", Verdict::Unfit, advice)];
    }
    let inside = |line: &str| run("ip", &format!("-n {ns} {line}"));
    let tried = [
        ("bridge", inside("link add b0 type bridge")),
        ("vxlan", inside("link add x0 type vxlan id 1 dstport 4789")),
        ("veth", inside("link add v0 type veth peer name v1")),
        ("tap", inside("tuntap add dev t0 mode tap")),
        ("nftables", run("nsenter", &format!("--net=/run/netns/{ns} nft add table inet check"))),
        ("br_netfilter", Path::new(BRIDGE_FILTER).exists()),
        ("nf_conntrack", Path::new(FOLLOWS_CONNECTIONS).exists()),
    ];
    // Only provider networks on VLANs ask for it, so its absence is no more than told.
    let vlans = inside("link add link b0 name q0 type vlan id 1");
    run("ip", &format!("netns del {ns}"));
    let missing: Vec<_> = tried.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    let advice = "modprobe what is missing, or take the distribution's own kernel";
    vec![match missing.as_slice() {
        [] if vlans => Finding::new("kernel", "bridge, vxlan, tap, nftables, vlan", Verdict::Good, advice),
        [] => Finding::new("kernel", "bridge, vxlan, tap, nftables; no vlan", Verdict::Good, advice),
        some => Finding::new("kernel", format!("without {}", some.join(", ")), Verdict::Unfit, advice),
    }]
}

/// By running a guest: that the device opens is no proof.
async fn virtualisation(data: &Path) -> Finding {
    let there = data.ancestors().find(|d| d.is_dir()).unwrap_or(Path::new("/"));
    let accel = agent::guest::accel::ask(there).await;
    match accel {
        agent::guest::accel::Accel::Kvm => Finding::new("virtualisation", "kvm", Verdict::Good, ""),
        agent::guest::accel::Accel::Tcg => Finding::new(
            "virtualisation",
            "none: guests run in software",
            Verdict::Warning,
            "some ten times slower: switch VT-x or AMD-V on in the firmware, and load kvm_intel or kvm_amd",
        ),
    }
}

fn groups() -> Finding {
    let there =
        ["cgroup.controllers", "memory", "cpu"].iter().any(|f| Path::new("/sys/fs/cgroup").join(f).exists());
    let (found, verdict) = if there { ("there", Verdict::Good) } else { ("none", Verdict::Warning) };
    Finding::new("control groups", found, verdict, "limits of flavors do not hold: mount /sys/fs/cgroup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_is_refused_and_little_is_told() {
        let verdicts = [512, 2048, 8192].map(|mib| of_memory(mib).verdict);
        assert_eq!(verdicts, [Verdict::Unfit, Verdict::Warning, Verdict::Good]);
        assert_eq!(processors(1).verdict, Verdict::Warning);
        let refused = refuse(&[of_memory(8192), of_memory(512)]).unwrap_err();
        assert!(refused.message.contains("(memory)"), "{refused}");
        assert!(refuse(&[of_memory(2048)]).is_ok());
    }
}
