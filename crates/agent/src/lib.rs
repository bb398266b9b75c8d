//! The host role: makes one computer hold what the region's desired document says.
//!
//! [`link`] fetches the document and brings back what was observed; [`reconcile`] applies it, first
//! what must go, then networks ([`net`]), then guests ([`guest`]); [`bytes`] serves consoles and logs.
//!
//! Invariants: applying a document twice changes nothing; a guest's QEMU process is never our child
//! in the sense that ends with us; every outside name is derived from an id and the instance prefix.

pub mod bytes;
pub mod guest;
pub mod link;
pub mod net;
pub mod reconcile;

use base::{HostId, names::Prefix};
use std::{net::IpAddr, path::PathBuf};

/// How an agent is set up. Every field is known before it starts; nothing here changes while it runs.
#[derive(Debug, Clone)]
pub struct Config {
    pub host: HostId,
    /// Base URL of the region, such as `http://127.0.0.1:5240`.
    pub region: String,
    /// The host's secret for `Authorization: Bearer`.
    pub token: String,
    /// Where guests, the image cache and the last document live.
    pub data: PathBuf,
    pub prefix: Prefix,
    /// The region's image store when it is on this machine: content is hard-linked instead of copied.
    pub local_images: Option<PathBuf>,
    /// Address for the byte routes; port 0 picks a free one.
    pub listen: std::net::SocketAddr,
    /// Underlay address for tunnels to other hosts.
    pub tunnel: Option<IpAddr>,
    /// Seconds that a guest has to power down by itself before it is pulled.
    pub grace_s: u64,
}
