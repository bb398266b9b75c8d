//! What the servers inside one namespace answer from. Built anew from each document, never changed.

use super::metadata::{self, NicFacts};
use super::plan::METADATA_V4;
use super::space::Mac;
use base::doc::{Desired, Guest, Network, Port, PortOwner, Router, Subnet};
use base::{HostId, PortId, ServerId, SubnetId};
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
}

/// Who has an address: the proof of who asks, because each tap lets only its own sources in.
pub type Directory = HashMap<IpAddr, Arc<GuestView>>;

/// A network as its servers see it.
#[derive(Debug, Default, PartialEq)]
pub struct NetView {
    pub mtu: u32,
    pub subnets: Vec<Subnet>,
    pub ports: HashMap<Mac, Arc<PortView>>,
    pub directory: Directory,
    /// Subnets for which a router on this host speaks, so that the bridge advertises no less.
    pub routed: BTreeSet<SubnetId>,
}

impl NetView {
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
    routers: &[Router],
    guests: &HashMap<ServerId, Arc<GuestView>>,
) -> NetView {
    let mut view = NetView { mtu: network.mtu, subnets: network.subnets.clone(), ..NetView::default() };
    for port in network.ports.iter().filter(|p| p.host == Some(host)) {
        let (PortOwner::Guest(id), Some(mac)) = (port.owner, Mac::parse(&port.mac)) else { continue };
        let guest = guests.get(&id).cloned();
        if let Some(guest) = &guest {
            let own = port.addresses.iter().map(|a| a.address).chain([IpAddr::V6(mac.link_local())]);
            view.directory.extend(own.map(|a| (a, guest.clone())));
        }
        view.ports.insert(mac, Arc::new(PortView { port: port.clone(), mac, guest }));
    }
    let legs =
        routers.iter().filter(|r| r.admin_up).flat_map(|r| &r.legs).filter(|l| l.network == network.id);
    let addresses: Vec<IpAddr> = legs.flat_map(|l| l.addresses.iter().map(ipnet::IpNet::addr)).collect();
    let routed = network.subnets.iter().filter(|s| addresses.iter().any(|a| s.cidr.contains(a)));
    view.routed = routed.map(|s| s.id).collect();
    view
}

/// The guests behind a router's legs, for those that send metadata requests to their gateway. The
/// subnets of one router never overlap, so an address says which guest asks.
pub fn behind(router: &Router, networks: &[(PortId, Arc<NetView>)]) -> Directory {
    let legs: Vec<_> = router.legs.iter().map(|l| l.port).collect();
    let views = networks.iter().filter(|(port, _)| legs.contains(port)).map(|(_, view)| view);
    let entries = views.flat_map(|v| v.directory.iter().map(|(a, g)| (*a, g.clone())));
    entries.filter(|(a, _)| a.is_ipv4() && *a != IpAddr::V4(METADATA_V4)).collect()
}
