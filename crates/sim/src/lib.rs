//! Simulated hosts: they speak the real agent protocol over the real wire and obey at once, without
//! guests or networks. For trying things, for tests where the point is scale or crashes, for benchmarks.
//!
//! Invariant: a simulated host keeps nothing of its own. Everything it reports follows from the newest
//! desired document, so that thousands of them cost little.

pub mod machines;
mod usage;

use agent::link::Link;
use base::doc::{Desired, GuestStatus, HostFacts, Observed, PortOwner, VERSION};
use base::{Backoff, HostId, Kind, Micros, PortId, Result};
use std::time::Duration;
use tokio::task::JoinSet;

/// A heartbeat comes at least this often.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// So many hosts start in a second, or they would crowd each other out.
const STARTS: u32 = 4000;

/// Who a simulated host is.
#[derive(Debug, Clone)]
pub struct Host {
    pub id: HostId,
    pub name: String,
    /// Its secret for `Authorization: Bearer`.
    pub token: String,
}

/// Runs the hosts against the region at `url`, until dropped.
pub async fn run(url: String, hosts: Vec<Host>) {
    let mut all = JoinSet::new();
    let bytes_url = match tokio::net::TcpListener::bind("127.0.0.1:0").await {
        Ok(listener) => usage::serve(listener, &mut all),
        Err(error) => {
            tracing::warn!(%error, "simulated hosts do not tell what they use");
            String::new()
        }
    };
    for (host, n) in hosts.into_iter().zip(0..) {
        let (url, bytes_url) = (url.clone(), bytes_url.clone());
        all.spawn(async move {
            tokio::time::sleep(Duration::from_secs(1) * n / STARTS).await;
            live(url, host, &bytes_url).await;
        });
    }
    while all.join_next().await.is_some() {}
}

async fn live(url: String, host: Host, bytes_url: &str) {
    let link = match Link::new(&url, &host.token) {
        Ok(link) => link,
        Err(fault) => {
            tracing::error!(host = host.name, %fault, "cannot simulate this host");
            return;
        }
    };
    let mut pause = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    let mut newest = Desired {
        version: VERSION,
        host: host.id,
        generation: 0,
        guests: Vec::new(),
        networks: Vec::new(),
        groups: Vec::new(),
        routers: Vec::new(),
        fence_s: None,
    };
    loop {
        match turn(&link, &host, &mut newest, bytes_url).await {
            Ok(()) => pause.reset(),
            Err(fault) => {
                tracing::debug!(host = host.name, %fault, "the region is away");
                tokio::time::sleep(pause.next_wait()).await;
            }
        }
    }
}

/// Reports what is, then waits for what should be. A host that was just started knows nothing yet, and the
/// region refuses a report that says less than the last one did: so it asks first.
async fn turn(link: &Link, host: &Host, newest: &mut Desired, bytes_url: &str) -> Result<()> {
    if newest.generation == 0
        && let Some(desired) = link.desired(0, Duration::ZERO).await?
    {
        *newest = desired;
    }
    link.observe(&observe(host, newest, bytes_url)).await?;
    deliver(link, newest).await?;
    if let Some(desired) = link.desired(newest.generation, HEARTBEAT).await? {
        *newest = desired;
    }
    Ok(())
}

/// Brings the images that are asked for: empty disks of the right size. The region takes one twice.
async fn deliver(link: &Link, desired: &Desired) -> Result<()> {
    for guest in &desired.guests {
        for capture in &guest.captures {
            match link.deliver_bytes(capture.image, empty_disk(guest.disk.bytes).into()).await {
                Err(fault) if fault.kind == Kind::Unavailable => return Err(fault),
                // The region has said what there is to say.
                _ => {}
            }
        }
    }
    Ok(())
}

/// A qcow2 file that holds nothing: header, tables of references and of clusters (QEMU's description of
/// the format, version 2).
fn empty_disk(bytes: u64) -> Vec<u8> {
    const CLUSTER: u32 = 16;
    let bytes = bytes.max(1).next_multiple_of(512);
    // One entry of the first table stands for a cluster of entries, each for a cluster.
    let entries = u32::try_from(bytes.div_ceil(1 << (CLUSTER * 2 - 3))).unwrap_or(u32::MAX);
    let mut disk = vec![0; 4 << CLUSTER];
    disk[..4].copy_from_slice(b"QFI\xfb");
    for (at, word) in [(4, 2), (20, CLUSTER), (36, entries), (56, 1)] {
        disk[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    for (at, long) in [(24, bytes), (40, 3 << CLUSTER), (48, 1 << CLUSTER)] {
        disk[at..at + 8].copy_from_slice(&u64::to_be_bytes(long));
    }
    disk
}

fn observe(host: &Host, desired: &Desired, bytes_url: &str) -> Observed {
    Observed {
        version: VERSION,
        host: host.id,
        applied: desired.generation,
        at: Micros::now(),
        facts: facts(&host.name, bytes_url),
        guests: desired.guests.iter().map(GuestStatus::obedient).collect(),
        ports_up: ports_up(host.id, desired),
        problems: Vec::new(),
    }
}

/// A well-equipped machine, so that room is not what a simulation runs out of.
fn facts(name: &str, bytes_url: &str) -> HostFacts {
    HostFacts {
        hostname: name.to_owned(),
        vcpus: 64,
        memory_mib: 256 << 10,
        disk_bytes: 4 << 40,
        disk_free_bytes: 4 << 40,
        bytes_url: bytes_url.to_owned(),
        bytes_token: usage::token(name),
        physical_networks: [("office".to_owned(), "eth1".to_owned())].into(),
        vlans: true,
        accel: "simulated".into(),
        cpu_model: "simulated".into(),
        qemu_version: "0.0".into(),
        agent_version: env!("CARGO_PKG_VERSION").into(),
        ..HostFacts::default()
    }
}

fn ports_up(me: HostId, desired: &Desired) -> Vec<PortId> {
    let ports = desired.networks.iter().flat_map(|n| &n.ports);
    ports.filter(|p| p.host == Some(me) && matches!(p.owner, PortOwner::Guest(_))).map(|p| p.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::doc::GuestState;

    #[test]
    fn a_simulated_host_reports_what_it_was_told() {
        let host = Host { id: HostId::new(), name: "sim-1".into(), token: "t".into() };
        let json = serde_json::json!({
            "version": 1, "host": host.id, "generation": 7,
            "guests": [{"id": base::ServerId::new(), "ownership": 2, "power": "off", "boots": 3, "vcpus": 1,
                "memory_mib": 64, "disk": {"image": null, "bytes": 1}, "metadata": {"name": "a", "hostname": "a",
                "project_id": "p", "availability_zone": "nova", "launch_index": 0, "flavor": "nano"}}],
        });
        let seen = observe(&host, &serde_json::from_value(json).unwrap(), "");
        assert_eq!((seen.applied, seen.guests[0].boots, seen.guests[0].state), (7, 3, GuestState::Stopped));
    }
}
