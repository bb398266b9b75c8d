//! What the parts of one agent share.

use crate::board::Board;
use crate::guest::accel::Probe;
use crate::guest::cgroup::Groups;
use crate::guest::images::Images;
use crate::guest::kinds::Kinds;
use crate::guest::moving::seat::Arrivals;
use crate::lease::Lease;
use crate::link::Link;
use crate::meter::Meter;
use crate::net::Datapath;
use base::doc::{Desired, Guest};
use base::metadata;
use base::{Fault, HostId, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Guests started at the same time.
pub const STARTS: usize = 4;

pub struct Host {
    pub id: HostId,
    /// Absolute, without links: QEMU processes are recognised by it.
    pub data: PathBuf,
    /// How long a guest may take to power down by itself.
    pub grace: Duration,
    pub link: Link,
    /// The way to other hosts.
    pub dialer: tls::Dialer,
    pub net: Datapath,
    pub images: Images,
    pub probe: Probe,
    pub kinds: Kinds,
    pub lease: Lease,
    pub groups: Groups,
    pub board: Board,
    /// What the host and its guests have used.
    pub meter: Meter,
    pub starts: Semaphore,
    /// Guests that are waited for from other hosts.
    pub arrivals: Arrivals,
    /// The newest document.
    pub desired: watch::Sender<Option<Arc<Desired>>>,
    /// Generation whose networks are in place, so that its guests may start.
    pub applied: watch::Sender<u64>,
    /// Whether the region has said what it wants since this agent began.
    pub heard: watch::Sender<bool>,
    pub begun: Instant,
}

/// How long guests wait with their start for the region's word, from when the agent began: a host that was away
/// does not know yet which of them run elsewhere by now. Those that run go on whatever happens.
const WORD: Duration = Duration::from_secs(15);

impl Host {
    /// Returns when the region has said what it wants, or is not expected to any more. False when its newest
    /// document does not have the guest under this ownership.
    pub async fn may_start(&self, guest: &Guest) -> bool {
        let mut heard = self.heard.subscribe();
        let _ = tokio::time::timeout_at(self.begun + WORD, heard.wait_for(|h| *h)).await;
        let desired = self.desired.borrow().clone();
        let same = |g: &Guest| g.id == guest.id && g.ownership == guest.ownership;
        desired.is_some_and(|d| d.guests.iter().any(same))
    }

    /// What the config drive of a guest should hold.
    pub fn drive_files(&self, guest: &Guest) -> Result<BTreeMap<String, Vec<u8>>> {
        let desired = self.desired.borrow().clone();
        let desired = desired.ok_or_else(|| Fault::internal("a guest without a document"))?;
        Ok(metadata::files(guest, &metadata::nics(guest, &desired)))
    }
}
