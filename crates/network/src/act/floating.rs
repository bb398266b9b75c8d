//! Floating IPs.

use super::address::Want;
use super::{Caller, give, take};
use crate::model::{Floating, Port, Router, Std};
use crate::table::qos::Holder;
use crate::{err, table, touch};
use base::{FloatingIpId, NetworkId, PortId, ProjectId, QosPolicyId, Result, RouterId, SubnetId};
use std::net::IpAddr;
use store::{Tx, params};

/// A floating IP as asked for.
#[derive(Debug, Clone)]
pub struct New {
    pub project: ProjectId,
    pub network: NetworkId,
    pub subnet: Option<SubnetId>,
    pub address: Option<IpAddr>,
    pub description: String,
    pub port: Option<PortId>,
    pub fixed: Option<IpAddr>,
    pub qos: Option<QosPolicyId>,
}

pub fn create(tx: &Tx<'_>, caller: &Caller, new: &New) -> Result<Floating> {
    let network = super::network::visible(tx, caller, new.network)?;
    if !network.external {
        return Err(err::bad(
            "BadRequest",
            format!("Bad floatingip request: Network {} is not a valid external network.", network.id),
        ));
    }
    take(tx, &new.project, "floatingip")?;
    let v4: Vec<_> = table::subnet::of_network(tx, network.id)?.into_iter().filter(|s| !s.is_v6()).collect();
    if v4.is_empty() {
        return Err(err::bad(
            "BadRequest",
            format!("Bad floatingip request: Network {} does not contain any IPv4 subnet.", network.id),
        ));
    }
    let wants = match (new.subnet, new.address) {
        (None, None) => v4.iter().map(|s| Want { subnet: Some(s.id), address: None }).collect(),
        (subnet, address) => vec![Want { subnet, address }],
    };
    let id = FloatingIpId::new();
    let own = own_port(tx, caller, &network, id, wants)?;
    let address = own.addresses.iter().map(|a| a.address).find(IpAddr::is_ipv4);
    let Some(address) = address else {
        return Err(err::invalid("A floating IP is an IPv4 address; choose a subnet of IPv4."));
    };
    let mut f = Floating {
        id,
        std: Std::new(&new.project, "", &new.description),
        network: network.id,
        own_port: own.id,
        address,
        port: None,
        fixed: None,
        router: None,
        active: false,
    };
    if let Some(port) = new.port {
        point(tx, caller, &mut f, port, new.fixed)?;
    } else if new.fixed.is_some() {
        return Err(fixed_needs_port());
    }
    table::floating::insert(tx, &f)?;
    super::qos::give(tx, caller, Holder::Floating, f.id, new.qos)?;
    touch_router(tx, &f)?;
    Ok(f)
}

/// The port that holds the floating address on the external network. The subnets are tried in order.
fn own_port(
    tx: &Tx<'_>,
    caller: &Caller,
    network: &crate::model::Network,
    id: FloatingIpId,
    wants: Vec<Want>,
) -> Result<Port> {
    let last = wants.len().saturating_sub(1);
    let exhausted = || {
        err::conflict(
            "ExternalIpAddressExhausted",
            format!("Unable to find any IP address on external network {}.", network.id),
        )
    };
    for (i, want) in wants.into_iter().enumerate() {
        let new = super::port::New {
            device_owner: "network:floatingip".into(),
            device_id: id.to_string(),
            fixed: Some(vec![want]),
            port_security: Some(false),
            ..super::port::New::plain(network.id, &ProjectId(String::new()))
        };
        match super::port::make(tx, caller, network, new) {
            Err(f) if f.tag == Some("IpAddressGenerationFailure") => {
                // The port without an address stays behind until the transaction is undone or it is taken away here.
                tx.exec(
                    "DELETE FROM port WHERE device_id = $1 AND device_owner = 'network:floatingip'",
                    params![id],
                )?;
                if i == last {
                    return Err(exhausted());
                }
            }
            other => return other,
        }
    }
    Err(exhausted())
}

pub fn fixed_needs_port() -> base::Fault {
    err::bad("BadRequest", "Bad floatingip request: fixed_ip_address cannot be specified without a port_id.")
}

/// Points a floating IP at an address of a port. Only changes `f`; the caller writes it.
pub fn point(
    tx: &Tx<'_>,
    caller: &Caller,
    f: &mut Floating,
    port: PortId,
    fixed: Option<IpAddr>,
) -> Result<()> {
    let p = super::port::visible(tx, caller, port)?;
    if !caller.admin && p.std.project != f.std.project {
        return Err(err::bad(
            "BadRequest",
            format!(
                "Bad floatingip request: Port {port} is associated with a different tenant than Floating IP {} and therefore cannot be bound.",
                f.id
            ),
        ));
    }
    let v4: Vec<_> = p.addresses.iter().filter(|a| a.address.is_ipv4()).collect();
    let bad = |why: String| err::bad("BadRequest", format!("Bad floatingip request: {why}"));
    let target = match (fixed, v4.as_slice()) {
        (Some(a), list) => list
            .iter()
            .find(|x| x.address == a)
            .ok_or_else(|| bad(format!("Port {port} does not have fixed ip {a}.")))?,
        (None, []) => {
            return Err(bad(format!(
                "Cannot add floating IP to port {port} that has no fixed IPv4 addresses."
            )));
        }
        (None, [one]) => one,
        (None, _) => {
            return Err(bad(format!(
                "Port {port} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP."
            )));
        }
    };
    let router = reach(tx, f, &p, target.subnet)?;
    super::forward::none_to(tx, f, port, target.address)?;
    for other in table::floating::of_port(tx, port)? {
        if other.id != f.id && other.fixed == Some(target.address) {
            return Err(err::conflict(
                "FloatingIPPortAlreadyAssociated",
                format!(
                    "Cannot associate floating IP {} ({}) with port {port} using fixed IP {}, as that fixed IP already has a floating IP on external network {}.",
                    f.address, f.id, target.address, f.network
                ),
            ));
        }
    }
    f.port = Some(port);
    f.fixed = Some(target.address);
    f.router = Some(router);
    f.active = p.active;
    Ok(())
}

/// The router by which a floating IP reaches a port's subnet. It is held, so that its interface and
/// gateway cannot go meanwhile.
pub fn reach(tx: &Tx<'_>, f: &Floating, p: &Port, subnet: SubnetId) -> Result<RouterId> {
    let router = router_for(tx, f.network, p.network, subnet)?.ok_or_else(|| {
        base::Fault::not_found(format!(
            "External network {} is not reachable from subnet {subnet}. Therefore, cannot associate Port {} with a Floating IP.",
            f.network, p.id
        ))
        .tag("ExternalGatewayForFloatingIPNotFound")
    })?;
    table::hold(tx, "router", &router.id.to_string())?;
    Ok(router.id)
}

/// The router that joins a subnet to an external network.
fn router_for(
    tx: &Tx<'_>,
    external: NetworkId,
    network: NetworkId,
    subnet: SubnetId,
) -> Result<Option<Router>> {
    let sql = format!(
        "SELECT {} FROM router t JOIN port g ON g.id = t.gateway_port_id
         JOIN router_interface i ON i.router_id = t.id JOIN port_address a ON a.port_id = i.port_id
         WHERE g.network_id = $1 AND i.network_id = $2 AND a.subnet_id = $3 ORDER BY t.created_at, t.id",
        table::router::COLS
    );
    tx.opt(&sql, params![external, network, subnet], table::router::read)
}

pub fn detach(f: &mut Floating) {
    f.port = None;
    f.fixed = None;
    f.router = None;
    f.active = false;
}

pub fn touch_router(tx: &Tx<'_>, f: &Floating) -> Result<()> {
    f.router.map_or(Ok(()), |r| touch::home(tx, r))
}

/// Takes floating IPs off a port that goes, or off those of its addresses that it has no longer.
pub fn let_go_of(tx: &Tx<'_>, port: &Port) -> Result<()> {
    let_go_where(tx, port.id, |_| true)
}

pub fn let_go_where(tx: &Tx<'_>, port: PortId, gone: impl Fn(IpAddr) -> bool) -> Result<()> {
    super::forward::let_go_where(tx, port, &gone)?;
    for mut f in table::floating::of_port(tx, port)? {
        if f.fixed.is_some_and(&gone) {
            touch_router(tx, &f)?;
            detach(&mut f);
            table::floating::update(tx, &f)?;
            table::bump(tx, "floating_ip", &f.id.to_string())?;
        }
    }
    Ok(())
}

pub fn delete(tx: &Tx<'_>, f: &Floating) -> Result<()> {
    touch_router(tx, f)?;
    if table::delete(tx, "floating_ip", &f.id.to_string())? {
        give(tx, &f.std.project, "floatingip", 1)?;
    }
    if let Some(own) = table::port::by_id(tx, f.own_port)? {
        super::port::remove(tx, &own)?;
    }
    Ok(())
}
