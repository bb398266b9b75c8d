//! What this machine must have before a cloud starts on it, said plainly when it is missing.

use crate::config::Config;
use crate::site::{self, Site};
use base::{Fault, Kind, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Programs that guests and networks need, and the Debian package that holds each.
pub const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("genisoimage", "genisoimage"),
];

/// There when the kernel's module `br_netfilter` is.
pub const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// There when the kernel's module `nf_conntrack` is.
pub const FOLLOWS_CONNECTIONS: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";

/// Bytes that an empty cloud with its first guests needs.
pub const SPACE: u64 = 2 << 30;

/// # Errors
/// One fault that names everything that is missing and how to get it.
pub fn machine(config: &Config) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Fault::forbidden(
            "Guests need networks, and networks need root. Run the same command with sudo.",
        ));
    }
    let missing: Vec<_> =
        TOOLS.iter().filter(|(tool, _)| !installed(tool)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        let list = missing.join(" ");
        return Err(Fault::new(
            Kind::Unavailable,
            format!(
                "Some programs are missing. Install them with: apt-get install -y --no-install-recommends {list}"
            ),
        ));
    }
    load();
    space(&config.data)
}

/// What of the kernel nothing else loads by itself: security groups look at what passes bridges, and how connections
/// are followed is set for each network before its first rule.
fn load() {
    for (file, module) in [(BRIDGE_FILTER, "br_netfilter"), (FOLLOWS_CONNECTIONS, "nf_conntrack")] {
        if !Path::new(file).exists() {
            // Where it cannot be loaded, the next look says that it is missing.
            let _ = std::process::Command::new("modprobe").arg(module).output();
        }
    }
}

pub fn installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(sbin).any(|dir| dir.join(tool).is_file())
}

/// # Errors
/// When the disk that holds `dir` has too little room.
pub fn space(dir: &Path) -> Result<()> {
    let existing = dir.ancestors().find(|d| d.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(existing).map_err(|e| Fault::internal(std::io::Error::from(e)))?;
    let free = stat.f_bavail * stat.f_frsize;
    if free >= SPACE {
        return Ok(());
    }
    Err(Fault::new(
        Kind::TooLarge,
        format!(
            "Only {} MiB are free where {} lies; a cloud needs {} MiB to begin with. Free some space, or choose another --data.",
            free >> 20,
            dir.display(),
            SPACE >> 20
        ),
    ))
}

/// How long a port may be somebody else's. What a killed process had just begun to start holds its port until it has become
/// another program.
const LET_GO: Duration = Duration::from_secs(2);

/// # Errors
/// When the address cannot be listened on, with what to do.
pub async fn listen(config: &Config) -> Result<TcpListener> {
    bind(config.listen, LET_GO).await.map_err(|e| {
        // Mostly it is this cloud itself, which was started before.
        if e.kind() == std::io::ErrorKind::AddrInUse
            && let Some(holder) = Site::holder(&config.data)
        {
            return site::taken(&config.data, Some(holder));
        }
        let advice = match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program uses this port. Stop it, or choose another with --listen ADDRESS:PORT"
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address. Choose another with --listen"
            }
            _ => "choose another with --listen ADDRESS:PORT",
        };
        Fault::new(Kind::Conflict, format!("Cannot listen on {}: {advice}.", config.listen)).because(e)
    })
}

/// Asks again while the address is somebody else's, for as long as `patience`.
async fn bind(address: SocketAddr, patience: Duration) -> std::io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && begun.elapsed() < patience => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[tokio::test]
    async fn a_port_that_is_let_go_of_in_a_moment_is_waited_for() {
        let held = bind("127.0.0.1:0".parse().unwrap(), Duration::ZERO).await.unwrap();
        let address = held.local_addr().unwrap();
        let refused = bind(address, Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
        let mut waits = pin!(bind(address, Duration::from_secs(3600)));
        tokio::select! {
            biased;
            done = &mut waits => panic!("it did not wait: {done:?}"),
            () = std::future::ready(()) => {}
        }
        drop(held);
        assert_eq!(waits.await.unwrap().local_addr().unwrap(), address);
    }
}
