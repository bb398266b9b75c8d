//! Port forwardings of floating IPs.

use base::{FloatingIpId, PortForwardingId, PortId};
use std::net::IpAddr;

/// First and last port.
pub type Span = (u16, u16);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    pub id: PortForwardingId,
    pub floating: FloatingIpId,
    pub description: String,
    pub udp: bool,
    pub external: Span,
    pub port: PortId,
    /// One of the port's.
    pub address: IpAddr,
    /// As many ports as `external`.
    pub internal: Span,
}

impl Forward {
    pub fn protocol(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }
}
