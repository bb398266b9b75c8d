//! Port forwardings: single ports of a floating IP that lead to ports of guests.
//!
//! A floating IP leads either to one port as a whole, or by its forwardings to any number of guests
//! behind one router; its first forwarding gives it that router, its last one takes it away.

use super::Caller;
use crate::model::Floating;
use crate::model::forward::{Forward, Span};
use crate::{err, table};
use base::{Fault, PortId, Result};
use std::net::IpAddr;
use store::Tx;

/// Forwardings of one floating IP: each is in the document of the router's home. A range is one.
pub const MAX_FORWARDS: usize = 1000;

fn overlap(a: Span, b: Span) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

fn duplicate(what: &str) -> Fault {
    err::bad(
        "BadRequest",
        format!(
            "Bad port_forwarding request: A duplicate port forwarding entry with same attributes already exists, conflicting values are {what}."
        ),
    )
}

/// Checks a forwarding against its port, its router and the other forwardings, and fills in the address
/// where none was given (`address` unspecified).
fn check(tx: &Tx<'_>, caller: &Caller, f: &mut Floating, w: &mut Forward) -> Result<()> {
    let bad = |why: String| err::bad("BadRequest", format!("Bad port_forwarding request: {why}"));
    if w.external.1 - w.external.0 != w.internal.1 - w.internal.0 {
        return Err(bad(format!(
            "external_port_range {}:{} and internal_port_range {}:{} are not of the same size.",
            w.external.0, w.external.1, w.internal.0, w.internal.1
        )));
    }
    let p = super::port::visible(tx, caller, w.port)?;
    let mut own = p.addresses.iter().filter(|a| a.address.is_ipv4());
    let at = if w.address.is_unspecified() { own.next() } else { own.find(|a| a.address == w.address) };
    let Some(at) = at else {
        return Err(match w.address.is_unspecified() {
            true => bad(format!("Port {} has no IPv4 address to forward to.", w.port)),
            false => bad(format!(
                "Requested internal IP address {} does not belong to internal neutron port {}.",
                w.address, w.port
            )),
        });
    };
    w.address = at.address;
    if table::floating::of_port(tx, w.port)?.iter().any(|o| o.fixed == Some(w.address)) {
        return Err(err::conflict(
            "PortHasBindingFloatingIP",
            format!(
                "Cannot create port forwarding to floating IP {} ({}) with port {} using fixed IP {}, as that port already has a binding floating IP.",
                f.address, f.id, w.port, w.address
            ),
        ));
    }
    let router = super::floating::reach(tx, f, &p, at.subnet)?;
    let others = table::forward::of_floating(tx, f.id)?;
    let others: Vec<_> = others.iter().filter(|o| o.id != w.id).collect();
    if !others.is_empty() && f.router.is_some_and(|r| r != router) {
        return Err(bad(format!(
            "Port {} is behind another router than the other forwardings of floating IP {}.",
            w.port, f.address
        )));
    }
    for o in others.iter().filter(|o| o.udp == w.udp) {
        if overlap(o.external, w.external) {
            return Err(duplicate("['floatingip_id', 'external_port', 'protocol']"));
        }
        if (o.port, o.address) == (w.port, w.address) && overlap(o.internal, w.internal) {
            let what = "['internal_port', 'internal_ip_address', 'internal_port_id', 'protocol']";
            return Err(duplicate(what));
        }
    }
    f.router = Some(router);
    Ok(())
}

/// Adds a forwarding to a floating IP that the caller holds.
pub fn create(tx: &Tx<'_>, caller: &Caller, f: &mut Floating, mut w: Forward) -> Result<Forward> {
    if let (Some(port), Some(fixed)) = (f.port, f.fixed) {
        return Err(err::conflict(
            "FloatingIPPortAlreadyAssociated",
            format!(
                "Cannot associate floating IP {} ({}) with port {} using fixed IP {fixed}, as the floating IP is bound to port {port}.",
                f.address, f.id, w.port
            ),
        ));
    }
    if table::forward::of_floating(tx, f.id)?.len() >= MAX_FORWARDS {
        return Err(err::bad(
            "BadRequest",
            format!(
                "Bad port_forwarding request: A floating IP can have at most {MAX_FORWARDS} port forwardings; ranges of \
                 ports count as one."
            ),
        ));
    }
    check(tx, caller, f, &mut w)?;
    if !table::forward::insert(tx, &w)? {
        return Err(duplicate("['floatingip_id', 'external_port', 'protocol']"));
    }
    settle(tx, f)?;
    Ok(w)
}

pub fn update(tx: &Tx<'_>, caller: &Caller, f: &mut Floating, mut w: Forward) -> Result<Forward> {
    // It may come to another router with another port.
    super::floating::touch_router(tx, f)?;
    check(tx, caller, f, &mut w)?;
    table::forward::update(tx, &w)?;
    settle(tx, f)?;
    Ok(w)
}

pub fn delete(tx: &Tx<'_>, f: &mut Floating, w: &Forward) -> Result<()> {
    super::floating::touch_router(tx, f)?;
    table::forward::delete(tx, w.id)?;
    settle(tx, f)
}

/// The floating IP follows its forwardings: with one it is up and has a router, without it has neither.
fn settle(tx: &Tx<'_>, f: &mut Floating) -> Result<()> {
    if table::forward::of_floating(tx, f.id)?.is_empty() {
        f.router = None;
    }
    f.active = f.router.is_some();
    table::floating::update(tx, f)?;
    table::bump(tx, "floating_ip", &f.id.to_string())?;
    super::floating::touch_router(tx, f)
}

/// Refuses to point a floating IP with forwardings at a port.
pub fn none_of(tx: &Tx<'_>, f: &Floating) -> Result<()> {
    if table::forward::of_floating(tx, f.id)?.is_empty() {
        return Ok(());
    }
    Err(err::conflict(
        "FipInUseByPortForwarding",
        format!("Floating IP {} in use by Port Forwarding resources.", f.id),
    ))
}

/// Refuses a floating IP for an address that forwardings lead to already.
pub fn none_to(tx: &Tx<'_>, f: &Floating, port: PortId, fixed: IpAddr) -> Result<()> {
    if !table::forward::of_port(tx, port)?.iter().any(|w| w.address == fixed) {
        return Ok(());
    }
    Err(err::conflict(
        "PortHasPortForwarding",
        format!(
            "Cannot associate floating IP {} ({}) with port {port} using fixed IP {fixed}, as that port already has a Port Forwarding binding.",
            f.address, f.id
        ),
    ))
}

/// Takes away the forwardings to addresses that a port has no longer.
pub fn let_go_where(tx: &Tx<'_>, port: PortId, gone: impl Fn(IpAddr) -> bool) -> Result<()> {
    for w in table::forward::of_port(tx, port)?.into_iter().filter(|w| gone(w.address)) {
        if let Some(mut f) = table::floating::by_id(tx, w.floating)? {
            delete(tx, &mut f, &w)?;
        }
    }
    Ok(())
}

/// Whether a router's interface carries forwardings to addresses of these subnets.
pub fn behind(tx: &Tx<'_>, router: base::RouterId, within: &ipnet::IpNet) -> Result<bool> {
    Ok(table::forward::of_router(tx, router)?.iter().any(|w| within.contains(&w.address)))
}
