//! How something of the network is, and why: its status as the API shows it, and a sentence.
//!
//! Whoever asks has been found to know of it. Hosts are named to administrators alone.

use crate::model::Port;
use crate::table;
use base::said::Told;
use base::{HostId, Result};
use std::net::IpAddr;
use store::{Tx, params};

const PORT_OFF: &str =
    "It is switched off (admin_state_up is false). Switch it on: openstack port set --enable.";
const NETWORK_OFF: &str =
    "It is switched off (admin_state_up is false). Switch it on: openstack network set --enable.";
const ROUTER_OFF: &str =
    "It is switched off (admin_state_up is false). Switch it on: openstack router set --enable.";

/// What there is to say of what has this id, of one of the [kinds](crate::kinds); `None` when it is no more.
pub fn why(tx: &Tx<'_>, kind: &str, id: &str, admin: bool) -> Result<Option<Told>> {
    match kind {
        "network" => network(tx, id),
        "subnet" => subnet(tx, id),
        "port" => port(tx, id, admin),
        "router" => router(tx, id, admin),
        "floatingip" => floating(tx, id),
        "port_forwarding" => forward(tx, id),
        _ => other(tx, kind, id),
    }
}

fn told(name: &str, status: Option<&'static str>, reason: impl Into<String>) -> Option<Told> {
    let name = Some(name.to_owned()).filter(|n| !n.is_empty());
    Some(Told { name, status, reason: reason.into() })
}

fn up(active: bool) -> Option<&'static str> {
    Some(if active { "ACTIVE" } else { "DOWN" })
}

fn network(tx: &Tx<'_>, id: &str) -> Result<Option<Told>> {
    let Ok(id) = id.parse() else { return Ok(None) };
    let Some(n) = table::network::by_id(tx, id)? else { return Ok(None) };
    let reason = if !n.admin_up {
        NETWORK_OFF
    } else if table::subnet::of_network(tx, id)?.is_empty() {
        "It has no subnet, so nothing gets an address on it. Add one: openstack subnet create."
    } else if n.external {
        "It leads outside: routers have their gateways on it, and floating IPs come from it."
    } else {
        "Hosts have it as soon as they have one of its ports."
    };
    Ok(told(&n.std.name, up(true), reason))
}

fn subnet(tx: &Tx<'_>, id: &str) -> Result<Option<Told>> {
    let Ok(id) = id.parse() else { return Ok(None) };
    let Some(s) = table::subnet::by_id(tx, id)? else { return Ok(None) };
    let cidr = s.cidr;
    let reason = match s.gateway {
        Some(gateway) => format!("Its addresses are {cidr}, and its gateway is {gateway}."),
        None => format!(
            "Its addresses are {cidr}, and it has no gateway: its guests know no way out but its own routes."
        ),
    };
    Ok(told(&s.std.name, None, reason))
}

fn port(tx: &Tx<'_>, id: &str, admin: bool) -> Result<Option<Told>> {
    let Ok(id) = id.parse() else { return Ok(None) };
    let Some(p) = table::port::by_id(tx, id)? else { return Ok(None) };
    let reason = if p.admin_up { of_device(&p, admin) } else { PORT_OFF.into() };
    Ok(told(&p.std.name, up(p.active), reason))
}

/// Whose a port is, and whether its host has it.
fn of_device(p: &Port, admin: bool) -> String {
    let device = &p.device_id;
    match p.device_owner.as_str() {
        "network:router_interface" => format!("It is the leg of the router {device} on its network."),
        "network:router_gateway" => format!("It is the gateway of the router {device}."),
        "network:floatingip" => format!("It keeps the address of the floating IP {device}."),
        owner if owner.starts_with("compute:") => of_server(p, admin),
        _ if device.is_empty() => "It belongs to no server, so no host plugs it.".into(),
        _ => format!("It belongs to {device}, which is no server, so no host plugs it."),
    }
}

fn of_server(p: &Port, admin: bool) -> String {
    let (server, host) = (&p.device_id, &p.binding_host);
    match (p.host.is_some(), p.active, admin) {
        (false, ..) => {
            format!("It belongs to the server {server}, which is on no host: ask why of the server.")
        }
        (true, true, true) => format!("It belongs to the server {server}, and the host {host} has it up."),
        (true, true, false) => format!("It belongs to the server {server}, and its host has it up."),
        (true, false, true) => format!(
            "It belongs to the server {server}, and the host {host} does not have it up: ask why of the server."
        ),
        (true, false, false) => format!(
            "It belongs to the server {server}, and its host does not have it up: ask why of the server."
        ),
    }
}

fn router(tx: &Tx<'_>, id: &str, admin: bool) -> Result<Option<Told>> {
    let Ok(id) = id.parse() else { return Ok(None) };
    let Some(r) = table::router::by_id(tx, id)? else { return Ok(None) };
    let gateway = r.gateway_port.map(|p| table::port::by_id(tx, p)).transpose()?.flatten();
    let reason = match gateway {
        _ if !r.admin_up => ROUTER_OFF.into(),
        None => "It has no gateway, so nothing behind it reaches the outside. Set one: openstack router set \
                 --external-gateway."
            .into(),
        Some(port) => at_home(tx, &port, r.home, admin)?,
    };
    Ok(told(&r.std.name, up(true), reason))
}

/// Where a router has its gateway, and who is its home.
fn at_home(tx: &Tx<'_>, gateway: &Port, home: Option<HostId>, admin: bool) -> Result<String> {
    let network = table::network::by_id(tx, gateway.network)?.map_or_else(String::new, |n| n.std.name);
    let addresses: Vec<String> = gateway.addresses.iter().map(|a| a.address.to_string()).collect();
    let address = addresses.join(" and ");
    let Some(home) = home else {
        return Ok(format!(
            "It has the gateway {address} on {network}, and no home: no host that could be it reaches that network."
        ));
    };
    let name = tx.opt("SELECT name FROM host WHERE id = $1", params![home], |r| r.get::<String>(0))?;
    Ok(match name.filter(|_| admin) {
        Some(host) => format!("It has the gateway {address} on {network}, and the host {host} is its home."),
        None => format!("It has the gateway {address} on {network}, and a host is its home."),
    })
}

fn floating(tx: &Tx<'_>, id: &str) -> Result<Option<Told>> {
    let Ok(id) = id.parse() else { return Ok(None) };
    let Some(f) = table::floating::by_id(tx, id)? else { return Ok(None) };
    let reason = match (f.port, f.fixed, f.router) {
        (Some(port), Some(address), Some(router)) if f.active => {
            format!("It leads to {address} of the port {port}, by the router {router}.")
        }
        (Some(port), Some(address), Some(router)) => format!(
            "It leads to {address} of the port {port}, by the router {router}, and that port is down: ask why of the \
             port."
        ),
        (None, _, Some(router)) => format!("Its port forwardings lead on, by the router {router}."),
        _ => "It is associated with no port, so it leads nowhere. Associate it: openstack floating ip set --port."
            .into(),
    };
    Ok(told(&f.address.to_string(), up(f.active), reason))
}

fn forward(tx: &Tx<'_>, id: &str) -> Result<Option<Told>> {
    let Ok(id) = id.parse() else { return Ok(None) };
    let Some(w) = table::forward::by_id(tx, id)? else { return Ok(None) };
    let Some(f) = table::floating::by_id(tx, w.floating)? else { return Ok(None) };
    let at = |address: IpAddr, (first, last): (u16, u16)| {
        if first == last { format!("{address}:{first}") } else { format!("{address}:{first}-{last}") }
    };
    let (protocol, outside, inside) = (w.protocol(), at(f.address, w.external), at(w.address, w.internal));
    Ok(told("", None, format!("It leads {protocol} from {outside} to {inside}.")))
}

/// Security groups, policies, pools and the like.
fn other(tx: &Tx<'_>, kind: &str, id: &str) -> Result<Option<Told>> {
    if crate::audience(tx, kind, id)?.is_none() {
        return Ok(None);
    }
    let name = crate::names(tx, kind, &[id.to_owned()])?.remove(id).unwrap_or_default();
    Ok(told(&name, None, "It has no state of its own: it counts wherever it is used."))
}
