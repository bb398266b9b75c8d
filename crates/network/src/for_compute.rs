//! What Compute asks of Network, in Compute's transaction.

use base::{Fault, HostId, Kind, NetworkId, PortId, ProjectId, Result, ServerId, doc};
use std::collections::HashMap;
use std::net::IpAddr;
use store::Tx;

/// The NICs that a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nics {
    /// `networks: "none"`.
    None,
    /// Nothing said, or `"auto"`: the project's only network, or the only shared one.
    Auto,
    These(Vec<Nic>),
}

/// One NIC: an existing port, or a new one on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nic {
    pub port: Option<PortId>,
    pub network: Option<NetworkId>,
    pub fixed_ip: Option<IpAddr>,
}

/// One address of a server as Compute shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub network: NetworkId,
    pub network_name: String,
    pub address: IpAddr,
    /// True for a floating IP.
    pub floating: bool,
    pub mac: String,
    pub port: PortId,
}

fn missing() -> Fault {
    Fault::new(Kind::NotImplemented, "not built yet")
}

/// Makes (or adopts) the ports of a new server: quota, addresses, MACs, security groups (`groups` are
/// names or ids; empty means `default`). Errors in Compute's words: an unknown network or port is
/// `BadReference`, a port in use `Conflict`, several possible networks for `Auto` `Conflict`.
pub fn allocate(
    _tx: &Tx<'_>,
    _project: &ProjectId,
    _is_admin: bool,
    _server: ServerId,
    _hostname: &str,
    _nics: &Nics,
    _groups: &[String],
) -> Result<Vec<PortId>> {
    Err(missing())
}

/// Binds a server's ports to a host, or (with `None`) to no host; touches the documents concerned.
pub fn bind(_tx: &Tx<'_>, _server: ServerId, _host: Option<HostId>) -> Result<()> {
    Err(missing())
}

/// Lets go of a server's ports: those made for it are deleted (addresses, quota, floating IPs come
/// free), the others are unbound and kept. Not an error when there are none.
pub fn release(_tx: &Tx<'_>, _server: ServerId) -> Result<()> {
    Err(missing())
}

/// The NICs of servers, in their order.
pub fn nics(_tx: &Tx<'_>, _servers: &[ServerId]) -> Result<HashMap<ServerId, Vec<doc::Nic>>> {
    Err(missing())
}

/// All addresses of servers, fixed and floating, for `addresses` in lists (one query for many servers).
pub fn addresses(_tx: &Tx<'_>, _servers: &[ServerId]) -> Result<HashMap<ServerId, Vec<Address>>> {
    Err(missing())
}

/// Names of the security groups of servers' ports, each once.
pub fn security_groups(_tx: &Tx<'_>, _servers: &[ServerId]) -> Result<HashMap<ServerId, Vec<String>>> {
    Err(missing())
}

/// Servers that have an address (fixed or floating) matching: for the filters `ip` and `ip6` (substring).
pub fn servers_with_address(_tx: &Tx<'_>, _part: &str, _ip_version: u8) -> Result<Vec<ServerId>> {
    Err(missing())
}

/// One NIC as `os-interface` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub port: PortId,
    pub network: NetworkId,
    pub mac: String,
    pub active: bool,
    pub fixed: Vec<doc::PortAddress>,
}

pub fn interfaces(_tx: &Tx<'_>, _server: ServerId) -> Result<Vec<Interface>> {
    Err(missing())
}
