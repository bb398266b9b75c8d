//! The way between networks: gateways and routers.

use super::{Address, Picture, Trail, name};
use crate::model::{Port, Router, Subnet};
use base::doc::Route;
use std::net::IpAddr;

/// Routers on one way; more are a loop.
const HOPS: usize = 8;

/// How the packet got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// On the same network.
    Direct,
    /// The reply finds its own way.
    Routed,
    /// To the outside: the reply comes back to the router, which knows where it belongs.
    Outside,
}

/// From the address `a` to `b`, which is `to`'s.
pub fn follow(p: &Picture, trail: &mut Trail, a: &Address, b: &Address, to: &Port) -> Option<Way> {
    let home = p.subnet(a.subnet)?;
    if home.cidr.contains(&b.address) {
        if home.network == to.network {
            trail.good("network", to.network, "Both are on the same network");
            return Some(Way::Direct);
        }
        let what = format!("{} belongs to the subnet of {} as well", b.address, a.address);
        let why = "Both networks use the same addresses, so it is looked for on the wrong one. Use a floating IP, or \
                   give one of the subnets another prefix.";
        return trail.bad("subnet", home.id, what, why);
    }
    let mut next = first_hop(trail, home, b.address)?;
    let mut network = home.network;
    for _ in 0..HOPS {
        let Some((leg, router)) = router_at(p, network, next) else {
            let why = "No router has this address on the network. Add the subnet to a router: openstack router add \
                       subnet.";
            return trail.bad("network", network, format!("The next hop {next}"), why);
        };
        switched_on(trail, leg, router)?;
        let legs = || p.legs.iter().filter(|l| l.device_id == router.id.to_string());
        let title = title(router);
        if let Some(out) = legs().find(|l| l.addresses.iter().any(|x| x.subnet == b.subnet)) {
            let outside = Some(out.id) == router.gateway_port;
            let more = if outside { ", as seen from outside by the router's address" } else { "" };
            trail.good(
                "router",
                router.id,
                format!("The router {title} reaches the network of {}{more}", b.address),
            );
            return Some(if outside && router.enable_snat { Way::Outside } else { Way::Routed });
        }
        let Some(hop) = best(&router.routes, b.address) else {
            let why = format!(
                "It has no leg on the subnet of {} and no route there. Add the subnet to it, or a route: openstack \
                 router add subnet, openstack router add route.",
                b.address
            );
            return trail.bad("router", router.id, format!("The router {title}"), why);
        };
        let holds =
            |l: &&Port| l.addresses.iter().any(|x| p.subnet(x.subnet).is_some_and(|s| s.cidr.contains(&hop)));
        let Some(out) = legs().find(holds) else {
            let why = format!("Its route to {} leads to {hop}, which is on none of its networks.", b.address);
            return trail.bad("router", router.id, format!("The router {title}"), why);
        };
        trail.good("router", router.id, format!("The router {title} has a route by {hop}"));
        (next, network) = (hop, out.network);
    }
    trail.bad(
        "network",
        network,
        "The way goes round in a circle",
        "Look at the routes of the routers on it.",
    )
}

/// The gateway, or what a route of the subnet says.
fn first_hop(trail: &mut Trail, home: &Subnet, to: IpAddr) -> Option<IpAddr> {
    match best(&home.routes, to).or(home.gateway) {
        Some(hop) => {
            trail.good("subnet", home.id, format!("Guests of {} send to {to} by {hop}", home.cidr));
            Some(hop)
        }
        None => {
            let why = "It has no gateway and no route there, so its guests know no way. Set one: openstack subnet set \
                       --gateway.";
            trail.bad("subnet", home.id, format!("The subnet {}", home.cidr), why)
        }
    }
}

/// The longest prefix wins.
fn best(routes: &[Route], to: IpAddr) -> Option<IpAddr> {
    let fit = routes.iter().filter(|r| r.destination.contains(&to));
    fit.max_by_key(|r| r.destination.prefix_len()).map(|r| r.nexthop)
}

fn router_at(p: &Picture, network: base::NetworkId, address: IpAddr) -> Option<(&Port, &Router)> {
    let here = p.legs.iter().filter(|l| l.network == network);
    let leg = here.into_iter().find(|l| l.addresses.iter().any(|x| x.address == address))?;
    let router = p.routers.iter().find(|r| r.id.to_string() == leg.device_id)?;
    Some((leg, router))
}

fn switched_on(trail: &mut Trail, leg: &Port, router: &Router) -> Option<()> {
    if !router.admin_up {
        let why =
            "It is switched off (admin_state_up is false). Switch it on: openstack router set --enable.";
        return trail.bad("router", router.id, format!("The router {}", title(router)), why);
    }
    if !leg.admin_up {
        let why = "The router's port is switched off. Switch it on: openstack port set --enable.";
        return trail.bad("port", leg.id, format!("The leg {} of {}", name(leg), title(router)), why);
    }
    Some(())
}

fn title(router: &Router) -> String {
    if router.std.name.is_empty() { router.id.to_string() } else { router.std.name.clone() }
}
