//! The datapath: namespaces, bridges, taps, filters, routers, DHCP, RA and metadata on one host.

pub mod metadata;
#[cfg(test)]
mod sample;

use base::doc::{Desired, Problem};
use base::names::Prefix;
use base::{HostId, NetworkId, PortId, Result};
use std::os::fd::OwnedFd;

/// What applying the networks of a document came to.
#[derive(Debug, Default)]
pub struct NetReport {
    /// Ports of this host that are plugged and filtered as desired.
    pub ports_up: Vec<PortId>,
    pub problems: Vec<Problem>,
}

/// The datapath of one host. Cheap to clone; one apply runs at a time.
#[derive(Clone)]
pub struct Datapath {}

impl Datapath {
    pub async fn start(_prefix: Prefix, _host: HostId) -> Result<Self> {
        Ok(Datapath {})
    }
    /// Makes the kernel and the servers inside the namespaces equal to the document. Idempotent; what
    /// fails is reported and the rest goes on.
    pub async fn apply(&self, _desired: &Desired) -> NetReport {
        NetReport::default()
    }
    /// Opens the tap of a guest's port (already made by [`Datapath::apply`]) for QEMU.
    pub fn open_tap(&self, _network: NetworkId, _port: PortId) -> Result<OwnedFd> {
        Err(base::Fault::internal("no datapath"))
    }
    /// Removes everything in the kernel that carries this instance's prefix.
    pub async fn wipe(&self) -> Result<()> {
        Ok(())
    }
}
