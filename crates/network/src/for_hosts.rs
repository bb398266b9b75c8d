//! What each host should know of networks, made from the tables.

use base::{HostId, PortId, Result, doc};
use store::Tx;

/// The network part of a host's desired document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostNetworks {
    pub networks: Vec<doc::Network>,
    pub groups: Vec<doc::SecurityGroup>,
    pub routers: Vec<doc::Router>,
}

/// Networks with a port bound to `host`, those that its routers join, and everything around them.
pub fn document(_tx: &Tx<'_>, _host: HostId) -> Result<HostNetworks> {
    Ok(HostNetworks::default())
}

/// Takes over which ports a host has plugged: their status, and that of floating IPs behind them.
pub fn observed(_tx: &Tx<'_>, _host: HostId, _ports_up: &[PortId]) -> Result<()> {
    Ok(())
}
