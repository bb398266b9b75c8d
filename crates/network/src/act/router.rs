//! Routers: interfaces, gateway, extra routes.

use super::address::Want;
use super::subnet::overlap;
use super::{Caller, give, home, take};
use crate::model::{Network, Port, Router, Std, Subnet};
use crate::{connected, err, table, touch, transit};
use base::doc::Route;
use base::{Fault, NetworkId, PortId, ProjectId, QosPolicyId, Result, RouterId, SubnetId};
use ipnet::IpNet;
use store::{Tx, params};

pub const MAX_ROUTES: usize = 30;

/// The gateway that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    pub network: NetworkId,
    pub enable_snat: Option<bool>,
    /// `None`: any address.
    pub fixed: Option<Vec<Want>>,
    /// `None`: as it is; `Some(None)`: no policy.
    pub qos: Option<Option<QosPolicyId>>,
}

fn bad(why: impl std::fmt::Display) -> Fault {
    err::bad("BadRequest", format!("Bad router request: {why}"))
}

pub fn create(
    tx: &Tx<'_>,
    project: &ProjectId,
    name: &str,
    description: &str,
    admin_up: bool,
) -> Result<Router> {
    take(tx, project, "router")?;
    let r = Router {
        id: RouterId::new(),
        std: Std::new(project, name, description),
        admin_up,
        gateway_port: None,
        enable_snat: true,
        routes: Vec::new(),
        home: None,
        az_hints: Vec::new(),
    };
    table::router::insert(tx, &r)?;
    Ok(r)
}

/// A router that the caller sees.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: RouterId) -> Result<Router> {
    let r = table::router::by_id(tx, id)?.filter(|r| caller.owns(&r.std.project));
    r.ok_or_else(|| err::no_router(id))
}

pub fn delete(tx: &Tx<'_>, mut r: Router) -> Result<()> {
    let why = format!("Router {} still has ports", r.id);
    if !table::router::interfaces(tx, r.id)?.is_empty() {
        return Err(err::conflict("RouterInUse", why));
    }
    // Before the gateway's addresses come free, as whoever takes one has its quota by then.
    super::hold(tx, &r.std.project, &["router"])?;
    clear_gateway(tx, &mut r)?;
    table::delete(tx, "router", &r.id.to_string()).map_err(err::still_used("RouterInUse", why))?;
    give(tx, &r.std.project, "router", 1)
}

// ------------------------------------------------------------------------------------ interfaces

/// The subnets that a router is joined to, through interfaces and gateway.
fn joined(tx: &Tx<'_>, r: &Router) -> Result<Vec<Subnet>> {
    let ids = tx.rows(
        "SELECT DISTINCT a.subnet_id FROM port_address a WHERE a.port_id IN
         (SELECT port_id FROM router_interface WHERE router_id = $1) OR a.port_id = $2",
        params![r.id, r.gateway_port],
        |row| row.get::<SubnetId>(0),
    )?;
    table::subnet::by_ids(tx, &ids)
}

fn check_join(tx: &Tx<'_>, r: &Router, new: &[&Subnet]) -> Result<()> {
    for old in joined(tx, r)? {
        for s in new {
            if old.id == s.id {
                return Err(bad(format!("Router already has a port on subnet {}.", s.id)));
            }
            if overlap(&old.cidr, &s.cidr) {
                return Err(bad(format!(
                    "Cidr {} of subnet {} overlaps with cidr {} of subnet {}.",
                    s.cidr, s.id, old.cidr, old.id
                )));
            }
        }
    }
    Ok(())
}

/// An interface is on every host with the same address and MAC, which no physical network could bear.
fn not_physical(n: &Network) -> Result<()> {
    if n.physical().is_none() {
        return Ok(());
    }
    Err(bad(format!(
        "Network {} lies on a physical network, which a router joins by its gateway only: make it external and \
         set it as the router's external gateway, or plug servers into it.",
        n.id
    )))
}

/// A router's leg is on every host and says that it is a way out: one whom a network was shared with by name may put it
/// there, and not everybody of a network that is shared with all.
fn may_join(tx: &Tx<'_>, caller: &Caller, n: &Network) -> Result<()> {
    if caller.owns(&n.std.project) || table::rbac::names(tx, &n.id.to_string(), &caller.project)? {
        return Ok(());
    }
    Err(err::policy("add_router_interface"))
}

/// Holds what is bound around the router, and around a network that it is about to join.
fn hold_around(tx: &Tx<'_>, r: RouterId, joins: Option<NetworkId>) -> Result<()> {
    let sql = "SELECT network_id FROM router_interface WHERE router_id = $1";
    let networks: Vec<NetworkId> = tx.rows(sql, params![r], |r| r.get(0))?;
    touch::hold_ports(tx, connected::around(tx, networks.into_iter().chain(joins))?)
}

/// Joins a subnet by its gateway address; answers the port that does it.
pub fn add_subnet(tx: &Tx<'_>, caller: &Caller, r: &Router, id: SubnetId) -> Result<Port> {
    let s = super::subnet::visible(tx, caller, id)?;
    let gateway = s.gateway.ok_or_else(|| bad("Subnet for router interface must have a gateway IP."))?;
    if s.is_v6() && s.ra_mode.is_none() && s.address_mode.is_some() {
        return Err(bad(format!(
            "IPv6 subnet {} configured to receive RAs from an external router cannot be added to a router.",
            s.id
        )));
    }
    check_join(tx, r, &[&s])?;
    let network = table::network::by_id(tx, s.network)?.ok_or_else(|| err::no_network(s.network))?;
    not_physical(&network)?;
    may_join(tx, caller, &network)?;
    hold_around(tx, r.id, Some(network.id))?;
    let new = super::port::New {
        device_owner: "network:router_interface".into(),
        device_id: r.id.to_string(),
        fixed: Some(vec![Want { subnet: Some(s.id), address: Some(gateway) }]),
        port_security: Some(false),
        ..super::port::New::plain(s.network, &r.std.project)
    };
    let port = super::port::make(tx, caller, &network, new)?;
    table::router::add_interface(tx, r.id, port.id, port.network)?;
    touch::router(tx, r.id)?;
    Ok(port)
}

/// Joins the network of an existing port that nobody uses.
pub fn add_port(tx: &Tx<'_>, caller: &Caller, r: &Router, id: PortId) -> Result<Port> {
    // Held before the look at it, so that nothing that others write meanwhile is lost.
    table::hold(tx, "port", &id.to_string())?;
    let mut p = super::port::visible(tx, caller, id)?;
    if !p.device_id.is_empty() {
        return Err(err::conflict(
            "PortInUse",
            format!(
                "Unable to complete operation on port {} for network {}. Port already has an attached device {}.",
                p.id, p.network, p.device_id
            ),
        ));
    }
    if p.addresses.is_empty() {
        return Err(bad("Router port must have at least one fixed IP."));
    }
    if p.addresses.iter().filter(|a| a.address.is_ipv4()).count() > 1 {
        return Err(bad("Cannot have multiple IPv4 subnets on router port."));
    }
    let ids: Vec<SubnetId> = p.addresses.iter().map(|a| a.subnet).collect();
    let subnets = table::subnet::by_ids(tx, &ids)?;
    check_join(tx, r, &subnets.iter().collect::<Vec<_>>())?;
    let network = table::network::by_id(tx, p.network)?.ok_or_else(|| err::no_network(p.network))?;
    not_physical(&network)?;
    may_join(tx, caller, &network)?;
    hold_around(tx, r.id, Some(network.id))?;
    p.device_id = r.id.to_string();
    p.device_owner = "network:router_interface".into();
    p.active = true;
    table::port::update(tx, &p)?;
    table::bump(tx, "port", &p.id.to_string())?;
    table::router::add_interface(tx, r.id, p.id, p.network)?;
    touch::router(tx, r.id)?;
    Ok(p)
}

/// The interface that a request to remove one means, with the subnet it is about.
pub fn find_interface(
    tx: &Tx<'_>,
    r: &Router,
    port: Option<PortId>,
    subnet: Option<SubnetId>,
) -> Result<(Port, SubnetId)> {
    let ports = table::port::find(
        tx,
        "t.id IN (SELECT port_id FROM router_interface WHERE router_id = $1)",
        params![r.id],
    )?;
    if let Some(id) = port {
        let p = ports.into_iter().find(|p| p.id == id).ok_or_else(|| {
            Fault::not_found(format!("Router {} does not have an interface with id {id}.", r.id))
                .tag("RouterInterfaceNotFound")
        })?;
        let first = p.addresses.first().map(|a| a.subnet);
        return match subnet {
            Some(s) if !p.addresses.iter().any(|a| a.subnet == s) => Err(err::conflict(
                "SubnetMismatchForPort",
                format!("Subnet on port {id} does not match the requested subnet {s}."),
            )),
            _ => Ok((p, subnet.or(first).unwrap_or(SubnetId::nil()))),
        };
    }
    let id = subnet.ok_or_else(|| bad("Either subnet_id or port_id must be specified."))?;
    let p = ports.into_iter().find(|p| p.addresses.iter().any(|a| a.subnet == id));
    p.map(|p| (p, id)).ok_or_else(|| {
        Fault::not_found(format!("Router {} has no interface on subnet {id}.", r.id))
            .tag("RouterInterfaceNotFoundForSubnet")
    })
}

/// Takes an interface away. Floating IPs and routes that go through it keep it (409).
pub fn remove_interface(tx: &Tx<'_>, r: &Router, p: &Port, by_subnet: Option<SubnetId>) -> Result<()> {
    // A port with several subnets loses the one that was asked for, any other goes as a whole.
    let part = by_subnet.filter(|_| p.addresses.len() > 1);
    let going: Vec<SubnetId> =
        p.addresses.iter().map(|a| a.subnet).filter(|s| part.is_none_or(|w| w == *s)).collect();
    check_leave(tx, r, &going)?;
    hold_around(tx, r.id, None)?;
    let hosts = touch::hosts_through(tx, r.id)?;
    if let Some(s) = part {
        for a in p.addresses.iter().filter(|a| a.subnet == s) {
            table::port::let_go(tx, a)?;
        }
        table::bump(tx, "port", &p.id.to_string())?;
    } else {
        table::router::remove_interface(tx, p.id)?;
        super::port::remove(tx, p)?;
    }
    store::host::touch_all(tx, hosts)
}

fn check_leave(tx: &Tx<'_>, r: &Router, going: &[SubnetId]) -> Result<()> {
    let subnets = table::subnet::by_ids(tx, going)?;
    let floating = table::floating::find(tx, "t.router_id = $1", params![r.id])?;
    for s in &subnets {
        let behind = |f: &crate::model::Floating| f.fixed.is_some_and(|a| s.cidr.contains(&a));
        if floating.iter().any(behind) || super::forward::behind(tx, r.id, &s.cidr)? {
            return Err(err::conflict(
                "RouterInterfaceInUseByFloatingIP",
                format!(
                    "Router interface for subnet {} on router {} cannot be deleted, as it is required by one or more floating IPs.",
                    s.id, r.id
                ),
            ));
        }
        if r.routes.iter().any(|x| s.cidr.contains(&x.nexthop)) {
            return Err(err::conflict(
                "RouterInterfaceInUseByRoute",
                format!(
                    "Router interface for subnet {} on router {} cannot be deleted, as it is required by one or more routes.",
                    s.id, r.id
                ),
            ));
        }
    }
    Ok(())
}

// ------------------------------------------------------------------------------------ gateway

/// Gives a router the gateway asked for. Only the row of the port is written; the caller writes `r`.
pub fn set_gateway(tx: &Tx<'_>, caller: &Caller, r: &mut Router, want: &Outside) -> Result<()> {
    let network = super::network::visible(tx, caller, want.network)?;
    if !network.external {
        return Err(bad(format!("Network {} is not an external network.", network.id)));
    }
    if let Some(snat) = want.enable_snat {
        r.enable_snat = snat;
    }
    if let Some(id) = r.gateway_port
        && let Some(mut p) = table::port::by_id(tx, id)?
        && p.network == network.id
    {
        if let Some(fixed) = &want.fixed {
            let subnets = table::subnet::of_network(tx, network.id)?;
            let had = std::mem::take(&mut p.addresses);
            super::address::assign(tx, &p, &subnets, Some(fixed), &had)?;
        }
        return Ok(());
    }
    hold_around(tx, r.id, Some(network.id))?;
    clear_gateway(tx, r)?;
    let p = gateway_port(tx, caller, r, &network, want.fixed.clone())?;
    let outside: Vec<SubnetId> = p.addresses.iter().map(|a| a.subnet).collect();
    check_join(tx, r, &table::subnet::by_ids(tx, &outside)?.iter().collect::<Vec<_>>())?;
    r.gateway_port = Some(p.id);
    if r.home.is_none() {
        r.home = home::choose(tx, &network, &r.az_hints, None, None)?;
    }
    transit::provide(tx, r.id)
}

fn gateway_port(
    tx: &Tx<'_>,
    caller: &Caller,
    r: &Router,
    network: &Network,
    fixed: Option<Vec<Want>>,
) -> Result<Port> {
    let new = super::port::New {
        device_owner: "network:router_gateway".into(),
        device_id: r.id.to_string(),
        fixed,
        port_security: Some(false),
        ..super::port::New::plain(network.id, &ProjectId(String::new()))
    };
    super::port::make(tx, caller, network, new)
}

/// Takes a router's gateway away. Floating IPs that go through it keep it (409).
pub fn clear_gateway(tx: &Tx<'_>, r: &mut Router) -> Result<()> {
    let Some(id) = r.gateway_port else { return Ok(()) };
    let Some(p) = table::port::by_id(tx, id)? else { return Ok(()) };
    if !table::floating::find(tx, "t.router_id = $1", params![r.id])?.is_empty() {
        return Err(err::conflict(
            "RouterExternalGatewayInUseByFloatingIp",
            format!(
                "Gateway cannot be updated for router {}, since a gateway to external network {} is required by one or more floating IPs.",
                r.id, p.network
            ),
        ));
    }
    hold_around(tx, r.id, None)?;
    touch::router(tx, r.id)?;
    r.gateway_port = None;
    r.home = None;
    table::router::update(tx, r)?;
    super::port::remove(tx, &p)
}

// ------------------------------------------------------------------------------------ routes

/// Refuses extra routes whose next hop a router cannot reach.
pub fn check_routes(tx: &Tx<'_>, r: &Router, routes: &[Route]) -> Result<()> {
    if routes.len() > MAX_ROUTES {
        return Err(err::bad("RoutesExhausted", format!("A router can have at most {MAX_ROUTES} routes.")));
    }
    let invalid = |why: &str, x: &Route| {
        err::bad(
            "InvalidRoutes",
            format!("Invalid format for routes: {} via {}, {why}.", x.destination, x.nexthop),
        )
    };
    let subnets = joined(tx, r)?;
    let own = tx.rows(
        "SELECT address FROM port_address WHERE port_id IN
         (SELECT port_id FROM router_interface WHERE router_id = $1) OR port_id = $2",
        params![r.id, r.gateway_port],
        |row| row.get::<std::net::IpAddr>(0),
    )?;
    let mut seen: Vec<(IpNet, std::net::IpAddr)> = Vec::new();
    for x in routes {
        if !subnets.iter().any(|s| s.cidr.contains(&x.nexthop)) {
            return Err(invalid("the nexthop is not connected with router", x));
        }
        if own.contains(&x.nexthop) {
            return Err(invalid("the nexthop is used by router", x));
        }
        if x.destination.addr().is_ipv4() != x.nexthop.is_ipv4() {
            return Err(invalid("destination and nexthop are of different IP versions", x));
        }
        if seen.contains(&(x.destination, x.nexthop)) {
            return Err(invalid("the route is given twice", x));
        }
        seen.push((x.destination, x.nexthop));
    }
    Ok(())
}
