//! What this computer is and has, for the region's scheduler and for people.

use crate::guest::{disk, qemu};
use crate::host::Host;
use base::Result;
use base::doc::HostFacts;
use std::net::{IpAddr, SocketAddr};

/// What does not change while the agent runs. `token` opens the byte routes at `bytes`, which
/// speak TLS if `secure`.
pub async fn gather(bytes: SocketAddr, secure: bool, token: String, tunnel: Option<IpAddr>) -> HostFacts {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    HostFacts {
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        vcpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        memory_mib: memory_mib(&meminfo),
        disk_bytes: 0,
        disk_free_bytes: 0,
        accel: String::new(),
        cpu_model: cpu_model(&cpuinfo),
        qemu_version: qemu::version().await,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        bytes_url: format!("{}://{bytes}", if secure { "https" } else { "http" }),
        bytes_token: token,
        tunnel,
        ..HostFacts::default()
    }
}

/// The same with what does change.
pub fn refresh(facts: &HostFacts, host: &Host) -> Result<HostFacts> {
    let (disk_bytes, disk_free_bytes) = disk::space(&host.data)?;
    let (accel, cpu_models) = (host.probe.now().name().to_owned(), host.kinds.models());
    Ok(HostFacts { disk_bytes, disk_free_bytes, accel, cpu_models, ..facts.clone() })
}

fn memory_mib(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn cpu_model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find_map(|l| l.strip_prefix("model name"));
    line.and_then(|l| Some(l.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_kernels_files() {
        assert_eq!(super::memory_mib("MemTotal:       25165824 kB\nMemFree: 1 kB\n"), 24576);
        assert_eq!(super::cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\n"), "AMD EPYC");
        assert_eq!(super::cpu_model(""), "");
    }
}
