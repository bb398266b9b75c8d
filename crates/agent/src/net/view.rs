//! What the servers inside one namespace answer from. Built anew from each document, never changed.

use super::plan;
use super::ra;
use super::routes::{self, Routes};
use super::space::Mac;
use base::doc::{Desired, Guest, Network, Port, PortOwner, Router, Subnet};
use base::metadata::{self, NicFacts};
use base::names::Prefix;
use base::{HostId, NetworkId, ServerId, SubnetId};
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// A guest and what its metadata says.
#[derive(Debug, PartialEq)]
pub struct GuestView {
    pub guest: Guest,
    pub nics: Vec<NicFacts>,
}

/// A guest's port on this host.
#[derive(Debug, PartialEq)]
pub struct PortView {
    pub port: Port,
    pub mac: Mac,
    pub guest: Option<Arc<GuestView>>,
    /// What the guest should be told beside its default.
    pub routes: Routes,
}

/// Who has an address: the proof of who asks, because each tap lets only its own sources in.
pub type Directory = HashMap<IpAddr, Arc<GuestView>>;

/// A network as its servers see it.
#[derive(Debug, Default, PartialEq)]
pub struct NetView {
    pub mtu: u32,
    /// The bridge's own MAC.
    pub bridge: Mac,
    pub subnets: Vec<Subnet>,
    pub ports: HashMap<Mac, Arc<PortView>>,
    pub directory: Directory,
    /// Subnets for which a router on this host speaks, so that the bridge advertises no less.
    pub routed: BTreeSet<SubnetId>,
}

impl NetView {
    /// Whether guests here expect servers for IPv6.
    pub fn speaks_v6(&self) -> bool {
        self.subnets.iter().any(ra::advertised)
    }

    /// What the bridge advertises: the subnets for which no router speaks.
    pub fn advert(&self) -> Option<Vec<u8>> {
        let alone: Vec<_> = self.subnets.iter().filter(|s| !self.routed.contains(&s.id)).collect();
        ra::advert(self.bridge, self.mtu, false, &alone, &[])
    }

    pub fn subnet(&self, id: SubnetId) -> Option<&Subnet> {
        self.subnets.iter().find(|s| s.id == id)
    }
}

/// All guests of a document with their metadata, by id.
pub fn guests(desired: &Desired) -> HashMap<ServerId, Arc<GuestView>> {
    let view = |g: &Guest| GuestView { guest: g.clone(), nics: metadata::nics(g, desired) };
    desired.guests.iter().map(|g| (g.id, Arc::new(view(g)))).collect()
}

pub fn network(
    host: HostId,
    network: &Network,
    desired: &Desired,
    guests: &HashMap<ServerId, Arc<GuestView>>,
) -> NetView {
    let (mtu, bridge, subnets) = (network.mtu, plan::bridge_mac(network.id), network.subnets.clone());
    let mut view = NetView { mtu, bridge, subnets, ..NetView::default() };
    for port in network.ports.iter().filter(|p| p.host == Some(host)) {
        let (PortOwner::Guest(id), Some(mac)) = (port.owner, Mac::parse(&port.mac)) else { continue };
        let guest = guests.get(&id).cloned();
        if let Some(guest) = &guest {
            let own = port.addresses.iter().map(|a| a.address).chain([IpAddr::V6(mac.link_local())]);
            view.directory.extend(own.map(|a| (a, guest.clone())));
        }
        let nic = routes::Nic { network, port };
        let nics = guest.as_ref().map_or_else(|| vec![nic], |g| routes::nics(&g.guest, desired));
        let routes = routes::of_nic(nic, &nics, &desired.routers);
        view.ports.insert(mac, Arc::new(PortView { port: port.clone(), mac, guest, routes }));
    }
    let legs = desired
        .routers
        .iter()
        .filter(|r| r.admin_up)
        .flat_map(|r| &r.legs)
        .filter(|l| l.network == network.id);
    let addresses: Vec<IpAddr> = legs.flat_map(|l| l.addresses.iter().map(ipnet::IpNet::addr)).collect();
    let routed = network.subnets.iter().filter(|s| addresses.iter().any(|a| s.cidr.contains(a)));
    view.routed = routed.map(|s| s.id).collect();
    view
}

/// What a router on this host says on its legs: the device and the advertisement.
pub fn adverts(prefix: &Prefix, router: &Router, networks: &[Network]) -> Vec<(String, Vec<u8>)> {
    let legs = router.legs.iter().filter(|_| router.admin_up).filter_map(|leg| {
        let network = networks.iter().find(|n| n.id == leg.network)?;
        let on_leg = |s: &&Subnet| leg.addresses.iter().any(|a| s.cidr.contains(&a.addr()));
        let subnets: Vec<_> = network.subnets.iter().filter(on_leg).collect();
        let mac = Mac::parse(&leg.mac)?;
        let mine = |via: &IpAddr| {
            *via == IpAddr::V6(mac.link_local()) || leg.addresses.iter().any(|a| a.addr() == *via)
        };
        let through_us = subnets.iter().flat_map(|s| &s.routes).filter(|r| mine(&r.nexthop));
        let routes: Vec<_> = through_us
            .filter_map(|r| match r.destination {
                IpNet::V6(net) => Some(net.trunc()),
                IpNet::V4(_) => None,
            })
            .collect();
        let packet = ra::advert(mac, network.mtu, true, &subnets, &routes)?;
        Some((prefix.leg_router(leg.port), packet))
    });
    legs.collect()
}

/// The guests behind a router's legs, for those that send metadata requests to their gateway. The
/// subnets of one router never overlap, so an address says which guest asks; but a network may have others beside
/// those that the router joins.
pub fn behind<'a>(router: &Router, networks: impl Iterator<Item = (NetworkId, &'a NetView)>) -> Directory {
    let joined = |id: NetworkId, address: &IpAddr| {
        let legs = router.legs.iter().filter(|l| l.network == id);
        legs.flat_map(|l| &l.addresses).any(|net| net.contains(address))
    };
    let all = networks.flat_map(|(id, v)| v.directory.iter().map(move |(a, g)| (id, *a, g.clone())));
    let mine = all.filter(|(id, a, _)| a.is_ipv4() && joined(*id, a));
    mine.map(|(_, a, g)| (a, g)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, HOST, document, guest, port, subnet};
    use super::*;
    use base::RouterId;
    use base::doc::RouterLeg;
    use uuid::Uuid;

    #[test]
    fn a_router_answers_for_the_subnets_that_it_joins() {
        // Two networks, of which the first has the second's subnet beside its own, without the router.
        let beside = vec![port(1, &[(1, "10.0.0.5")]), port(2, &[(3, "10.0.1.5")])];
        let subnets = vec![subnet(1, "10.0.0.0/24", None), subnet(3, "10.0.1.0/24", None)];
        let one = sample::network(1, subnets, beside);
        let joined = vec![subnet(2, "10.0.1.0/24", None)];
        let two = sample::network(2, joined, vec![port(3, &[(2, "10.0.1.5")])]);
        let held = [&one, &two].into_iter().flat_map(|n| n.ports.iter().map(|p| guest(p, n))).collect();
        let doc = document(vec![one, two], held);
        let leg = |n: u8, address: &str| RouterLeg {
            port: port(100 + n, &[]).id,
            network: NetworkId(Uuid::from_u128(n.into())),
            mac: port(100 + n, &[]).mac,
            addresses: vec![address.parse().unwrap()],
        };
        let legs = vec![leg(1, "10.0.0.1/24"), leg(2, "10.0.1.1/24")];
        let id = RouterId(Uuid::from_u128(77));
        let router = Router { id, admin_up: true, legs, gateway: None, routes: vec![] };
        let guests = guests(&doc);
        let views: Vec<_> = doc.networks.iter().map(|n| (n.id, network(HOST, n, &doc, &guests))).collect();
        for views in [views.iter().collect::<Vec<_>>(), views.iter().rev().collect()] {
            let found = behind(&router, views.into_iter().map(|(id, v)| (*id, v)));
            let name =
                |a: &str| found.get(&a.parse::<IpAddr>().unwrap()).map(|g| g.guest.metadata.name.as_str());
            assert_eq!((name("10.0.0.5"), name("10.0.1.5")), (Some("vm1"), Some("vm3")));
        }
    }
}
