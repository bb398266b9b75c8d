//! One more address for a server's port, or one less: what Compute did by itself until 2.43.

use super::{address, floating};
use crate::act::address::Want;
use crate::model::Port;
use crate::{table, touch};
use base::{Fault, NetworkId, Result, ServerId};
use std::net::IpAddr;
use store::{Tx, params};

/// A server's ports, held for a change.
fn ports(tx: &Tx<'_>, server: ServerId) -> Result<Vec<Port>> {
    crate::for_compute::hold(tx, server)?;
    table::port::find(tx, "t.device_id = $1 AND t.device_owner LIKE 'compute:%'", params![server])
}

/// Gives the server's port on a network one more address of the subnet that it has one of already.
///
/// # Errors
/// `BadRequest` when the server has no port there.
pub fn add_fixed(tx: &Tx<'_>, server: ServerId, network: NetworkId) -> Result<()> {
    let port = ports(tx, server)?.into_iter().find(|p| p.network == network && !p.addresses.is_empty());
    let port = port
        .ok_or_else(|| Fault::bad_request(format!("Instance {server} has no port on network {network}.")))?;
    let mut wants: Vec<Want> =
        port.addresses.iter().map(|a| Want { subnet: Some(a.subnet), address: Some(a.address) }).collect();
    wants.push(Want { subnet: port.addresses.first().map(|a| a.subnet), address: None });
    set(tx, port, &wants)
}

/// Takes an address from whichever port of the server has it.
///
/// # Errors
/// `BadRequest` when none has.
pub fn remove_fixed(tx: &Tx<'_>, server: ServerId, gone: IpAddr) -> Result<()> {
    let port = ports(tx, server)?.into_iter().find(|p| p.addresses.iter().any(|a| a.address == gone));
    let port = port.ok_or_else(|| {
        Fault::bad_request(format!("Fixed IP address {gone} is not associated with instance {server}."))
    })?;
    let wants: Vec<Want> = port
        .addresses
        .iter()
        .filter(|a| a.address != gone)
        .map(|a| Want { subnet: Some(a.subnet), address: Some(a.address) })
        .collect();
    set(tx, port, &wants)
}

fn set(tx: &Tx<'_>, mut port: Port, wants: &[Want]) -> Result<()> {
    let subnets = table::subnet::of_network(tx, port.network)?;
    let hosts = touch::hosts_of_ports(tx, std::slice::from_ref(&port))?;
    let new = address::assign(tx, &port, &subnets, Some(wants), &port.addresses)?;
    floating::let_go_where(tx, port.id, |a| !new.iter().any(|n| n.address == a))?;
    port.addresses = new;
    table::bump(tx, "port", &port.id.to_string())?;
    store::host::touch_all(tx, hosts)
}
