//! Access lists of networks.

use super::forward::Span;
use ipnet::IpNet;

/// A rule: stateless, about each packet for itself. The lowest priority is looked at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub priority: u32,
    /// As the guest sees it.
    pub ingress: bool,
    pub allow: bool,
    /// 4 or 6; `None` is both.
    pub version: Option<u8>,
    pub protocol: Option<u8>,
    /// Destination ports.
    pub ports: Option<Span>,
    pub source_ports: Option<Span>,
    /// The other side.
    pub remote: Option<IpNet>,
    pub description: String,
}
