//! Which routes a guest should have beside those that its addresses bring. Pure: no kernel here.
//!
//! A subnet's own host routes always. Beyond them, what lies behind a router of the subnet, where the
//! guest would not find the way by itself: when its default does not lead to that router, because the
//! router is not the subnet's gateway or because the guest has other NICs with defaults of their own.
//! DHCP tells them to a guest when it takes or renews its address (RFC 3442), router advertisements tell
//! those of IPv6 that lead through the router itself (RFC 4191), and where a guest agent answers, it is
//! made to set them at once ([`crate::guest::told`]).

use base::doc::{Desired, Guest, Network, Port, Router, Subnet, TRANSIT_HOME_V4, TRANSIT_HOME_V6};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Next hops by destination.
pub type Routes = BTreeMap<IpNet, IpAddr>;

/// A port with its network, as one NIC of a guest.
#[derive(Clone, Copy)]
pub struct Nic<'a> {
    pub network: &'a Network,
    pub port: &'a Port,
}

impl<'a> Nic<'a> {
    pub fn subnets(self) -> impl Iterator<Item = &'a Subnet> {
        let own = self.port.addresses.iter();
        own.filter_map(move |a| self.network.subnets.iter().find(|s| s.id == a.subnet))
    }
}

/// The NICs of a guest, in its order.
pub fn nics<'a>(guest: &Guest, desired: &'a Desired) -> Vec<Nic<'a>> {
    let find = |n: &base::doc::Nic| {
        let network = desired.networks.iter().find(|x| x.id == n.network)?;
        let port = network.ports.iter().find(|p| p.id == n.port)?;
        Some(Nic { network, port })
    };
    guest.nics.iter().filter_map(find).collect()
}

/// The routes by one of a guest's NICs.
pub fn of_nic(nic: Nic<'_>, all: &[Nic<'_>], routers: &[Router]) -> Routes {
    let mut out = Routes::new();
    for subnet in nic.subnets() {
        let same = |r: &&base::doc::Route| r.destination.addr().is_ipv4() == r.nexthop.is_ipv4();
        out.extend(subnet.routes.iter().filter(same).map(|r| (r.destination.trunc(), r.nexthop)));
    }
    let connected = |net: &IpNet| all.iter().flat_map(|n| n.subnets()).any(|s| s.cidr.trunc() == *net);
    for subnet in nic.subnets() {
        for (gateway, router) in gateways(nic.network, subnet, routers) {
            if all.len() < 2 && subnet.gateway == Some(gateway) {
                continue;
            }
            for (to, via) in beyond(router, subnet, gateway) {
                if to.prefix_len() > 0 && !connected(&to) {
                    out.entry(to).or_insert(via);
                }
            }
        }
    }
    out
}

/// The routers with a leg in a subnet, by the leg's address.
fn gateways<'a>(
    network: &'a Network,
    subnet: &'a Subnet,
    routers: &'a [Router],
) -> impl Iterator<Item = (IpAddr, &'a Router)> {
    routers.iter().filter(|r| r.admin_up).flat_map(move |r| {
        let legs = r.legs.iter().filter(move |l| l.network == network.id);
        let own = legs.flat_map(|l| &l.addresses).map(IpNet::addr);
        own.filter(move |a| subnet.cidr.contains(a)).map(move |a| (a, r))
    })
}

/// What a router leads to from a subnet: its extra routes, then the subnets of its other legs.
fn beyond(router: &Router, subnet: &Subnet, gateway: IpAddr) -> Vec<(IpNet, IpAddr)> {
    let ours = |a: &IpAddr| [TRANSIT_HOME_V4, TRANSIT_HOME_V6].contains(a);
    let extra = router.routes.iter().filter(|r| !ours(&r.nexthop)).map(|r| {
        // A next hop on the guest's own link is asked without the way through the router.
        let via = if subnet.cidr.contains(&r.nexthop) { r.nexthop } else { gateway };
        (r.destination.trunc(), via)
    });
    // How the router itself reaches its home is nothing that guests should know.
    let legs = router.legs.iter().flat_map(|l| &l.addresses);
    let legs = legs.filter(|a| ![TRANSIT_HOME_V4, TRANSIT_HOME_V6].iter().any(|t| a.contains(t)));
    let others = legs.map(|a| (a.trunc(), gateway));
    let fits = |(to, via): &(IpNet, IpAddr)| {
        to.addr().is_ipv4() == gateway.is_ipv4()
            && via.is_ipv4() == gateway.is_ipv4()
            && *to != subnet.cidr.trunc()
    };
    extra.chain(others).filter(fits).collect()
}

/// All routes of a guest, by the MAC of the NIC that they go by.
pub fn of_guest(guest: &Guest, desired: &Desired) -> BTreeMap<String, Routes> {
    let all = nics(guest, desired);
    all.iter().map(|n| (n.port.mac.clone(), of_nic(*n, &all, &desired.routers))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sample::{document, guest, network, port, subnet};
    use base::doc::{Route, RouterLeg};
    use base::{PortId, RouterId};
    use uuid::Uuid;

    fn leg(n: u128, network: u128, address: &str) -> RouterLeg {
        RouterLeg {
            port: PortId(Uuid::from_u128(n << 88)),
            network: base::NetworkId(Uuid::from_u128(network)),
            mac: "fa:16:3e:00:01:01".into(),
            addresses: vec![address.parse().unwrap()],
        }
    }

    fn texts(routes: &Routes) -> Vec<String> {
        routes.iter().map(|(to, via)| format!("{to} via {via}")).collect()
    }

    fn route(destination: &str, nexthop: &str) -> Route {
        Route { destination: destination.parse().unwrap(), nexthop: nexthop.parse().unwrap() }
    }

    #[test]
    fn what_a_guest_would_not_find_by_itself() {
        let mut one = network(1, vec![subnet(1, "10.0.0.0/24", Some("10.0.0.1"))], vec![]);
        one.ports = vec![port(1, &[(1, "10.0.0.5")])];
        one.subnets[0].routes = vec![route("192.0.2.0/24", "10.0.0.9")];
        let mut two = network(2, vec![subnet(2, "10.2.0.0/24", Some("10.2.0.1"))], vec![]);
        two.ports = vec![port(2, &[(2, "10.2.0.5")])];
        let legs = vec![leg(7, 1, "10.0.0.1/24"), leg(8, 3, "10.3.0.1/24")];
        let router = Router {
            id: RouterId(Uuid::from_u128(1)),
            admin_up: true,
            legs,
            gateway: None,
            routes: vec![route("198.51.100.0/24", "10.3.0.7"), route("203.0.113.0/24", "10.0.0.8")],
        };
        let mut doc = document(vec![one.clone(), two.clone()], vec![guest(&one.ports[0], &one)]);
        doc.routers = vec![router];
        let of = |doc: &Desired| of_guest(&doc.guests[0], doc);
        let (a, b) = (one.ports[0].mac.clone(), two.ports[0].mac.clone());
        // The only NIC's default leads to the router: the host routes are all.
        assert_eq!(texts(&of(&doc)[&a]), ["192.0.2.0/24 via 10.0.0.9"]);
        // With another NIC, the default may go elsewhere.
        let second = guest(&two.ports[0], &two).nics[0].clone();
        doc.guests[0].nics.push(second);
        let all = of(&doc);
        assert_eq!(
            texts(&all[&a]),
            [
                "10.3.0.0/24 via 10.0.0.1",
                "192.0.2.0/24 via 10.0.0.9",
                "198.51.100.0/24 via 10.0.0.1",
                "203.0.113.0/24 via 10.0.0.8"
            ]
        );
        assert!(all[&b].is_empty());
        // A router that is not the subnet's gateway is told in any case; one that is off never.
        doc.guests[0].nics.pop();
        doc.networks[0].subnets[0].gateway = Some("10.0.0.254".parse().unwrap());
        assert_eq!(of(&doc)[&a].len(), 4);
        doc.routers[0].admin_up = false;
        assert_eq!(of(&doc)[&a].len(), 1);
    }
}
