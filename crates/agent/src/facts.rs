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
        bytes_url: url(bytes, secure),
        bytes_token: token,
        tunnel,
        tunnel_mtu: match tunnel {
            Some(address) => mtu_at(address).await.unwrap_or(0),
            None => 0,
        },
        ..HostFacts::default()
    }
}

pub fn url(at: SocketAddr, secure: bool) -> String {
    format!("{}://{at}", if secure { "https" } else { "http" })
}

/// MTU of the device that has the address.
async fn mtu_at(address: IpAddr) -> Option<u32> {
    let out = tokio::process::Command::new("ip").args(["-j", "addr", "show"]).output().await.ok()?;
    mtu_of(&serde_json::from_slice(&out.stdout).ok()?, address)
}

fn mtu_of(links: &serde_json::Value, address: IpAddr) -> Option<u32> {
    let text = address.to_string();
    let has = |link: &&serde_json::Value| {
        link["addr_info"].as_array().is_some_and(|a| a.iter().any(|a| a["local"] == text.as_str()))
    };
    links.as_array()?.iter().find(has)?["mtu"].as_u64()?.try_into().ok()
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

    #[test]
    fn finds_the_device_of_an_address() {
        let links = serde_json::json!([
            {"ifname": "lo", "mtu": 65536, "addr_info": [{"local": "127.0.0.1"}]},
            {"ifname": "eth0", "mtu": 1400, "addr_info": [{"local": "192.0.2.1"}, {"local": "2001:db8::1"}]},
        ]);
        let of = |a: &str| super::mtu_of(&links, a.parse().unwrap());
        assert_eq!((of("192.0.2.1"), of("2001:db8::1"), of("192.0.2.2")), (Some(1400), Some(1400), None));
    }
}
