//! What the parts of one agent share.

use crate::board::Board;
use crate::guest::accel::Probe;
use crate::guest::cgroup::Groups;
use crate::guest::images::Images;
use crate::guest::kinds::Kinds;
use crate::guest::moving::seat::Arrivals;
use crate::lease::Lease;
use crate::link::Link;
use crate::net::Datapath;
use base::doc::{Desired, Guest};
use base::metadata;
use base::{Fault, HostId, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

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
    pub starts: Semaphore,
    /// Guests that are waited for from other hosts.
    pub arrivals: Arrivals,
    /// The newest document.
    pub desired: watch::Sender<Option<Arc<Desired>>>,
    /// Generation whose networks are in place, so that its guests may start.
    pub applied: watch::Sender<u64>,
}

impl Host {
    /// What the config drive of a guest should hold.
    pub fn drive_files(&self, guest: &Guest) -> Result<BTreeMap<String, Vec<u8>>> {
        let desired = self.desired.borrow().clone();
        let desired = desired.ok_or_else(|| Fault::internal("a guest without a document"))?;
        Ok(metadata::files(guest, &metadata::nics(guest, &desired)))
    }
}
