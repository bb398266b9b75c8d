//! How guests away from their router's home reach the outside: a hidden network per router.
//!
//! ```text
//! a host of the router                                   the router's home
//! guest ── router ── 169.254.0.2 ═══ transit (VXLAN) ═══ 169.254.0.1 ── router ── gateway ── outside
//! guest ◀════════════════════ the guest's own network (VXLAN) ══════════ router
//! ```
//! Every host with ports of a router's networks has the router. What is for the outside goes by transit to
//! the home, which alone has the gateway, translates, and knows the connections. What comes back goes from
//! there straight to the guest's host, by the guest's own network.
//!
//! Hosts are told of it as of any other network, leg and route, so those of an older release obey too. The
//! home's address and MAC are the same whichever host it is: when the home moves, one forwarding entry
//! changes. Only the home is ever spoken to, so all others have one address in common, and MACs of their
//! own. The network is in no table but for its VNI, and in no API.

use crate::for_hosts::Ways;
use crate::model::{Port, Router, Subnet};
use crate::{links, table};
use base::doc::{self, PortOwner};
use base::{Fault, HostId, NetworkId, PortId, Result, RouterId, SubnetId};
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use store::{Sql, Tx, params};

const HOME: (IpAddr, IpAddr) = (doc::TRANSIT_HOME_V4, doc::TRANSIT_HOME_V6);
/// The address that all other hosts have.
const AWAY: (IpAddr, IpAddr) = (
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd68, 0x616e, 0x6f6b, 0, 0, 0, 0, 2)),
);

/// A router's transit, as one host takes part in it.
pub struct Transit {
    pub router: RouterId,
    vni: u32,
    mtu: u32,
    host: HostId,
    pub home: HostId,
    /// At home: the hosts that send to it.
    away: BTreeSet<HostId>,
}

/// Makes sure that a router has a transit.
pub fn provide(tx: &Tx<'_>, router: RouterId) -> Result<()> {
    let has = "SELECT 1 FROM router WHERE id = $1 AND transit_vni IS NOT NULL";
    if tx.opt(has, params![router], |_| Ok(()))?.is_some() {
        return Ok(());
    }
    for _ in 0..64 {
        let vni = rand::random_range(1..1 << 24);
        if !is_free(tx, vni)? || table::network::vni_taken(tx, vni)? {
            continue;
        }
        tx.exec("UPDATE router SET transit_vni = $2 WHERE id = $1", params![router, vni])?;
        return Ok(());
    }
    Err(Fault::unavailable("No tunnel ID is free for the router."))
}

/// Whether no router has this VNI.
pub fn is_free(tx: &Tx<'_>, vni: u32) -> Result<bool> {
    let sql = "SELECT 1 FROM router WHERE transit_vni = $1";
    Ok(tx.opt(sql, params![vni], |_| Ok(()))?.is_none())
}

/// The transits that `host` takes part in, for those of its `routers` that have a way out.
pub fn of_host(tx: &Tx<'_>, host: HostId, routers: &[Router], ways: &Ways) -> Result<Vec<Transit>> {
    let out: Vec<&Router> = routers.iter().filter(|r| r.gateway_port.is_some() && r.home.is_some()).collect();
    if out.is_empty() {
        return Ok(Vec::new());
    }
    let mut q = Sql::new("SELECT id, transit_vni FROM router WHERE transit_vni IS NOT NULL AND id IN (");
    table::fill(&mut q, out.iter().map(|r| r.id));
    q.push(")");
    let vnis: HashMap<RouterId, u32> = q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect();
    let mut away = senders(tx, host, &out, ways)?;
    let mtu = links::overlay_mtu(tx)?;
    let make = |r: &&Router| {
        let (home, router) = (r.home?, r.id);
        let away = away.remove(&router).unwrap_or_default();
        let vni = *vnis.get(&router)?;
        (home != host || !away.is_empty()).then_some(Transit { router, vni, mtu, host, home, away })
    };
    Ok(out.iter().filter_map(make).collect())
}

/// Who sends to `host`, by the routers that are at home there: all that have them, and so all that have a router
/// which is joined with them.
fn senders(
    tx: &Tx<'_>,
    host: HostId,
    routers: &[&Router],
    ways: &Ways,
) -> Result<HashMap<RouterId, BTreeSet<HostId>>> {
    let here: Vec<RouterId> = routers.iter().filter(|r| r.home == Some(host)).map(|r| r.id).collect();
    if here.is_empty() {
        return Ok(HashMap::new());
    }
    let all = ways.joined(here.iter().copied());
    let mut q = Sql::new(
        "SELECT i.router_id, p.host_id FROM router_interface i
         JOIN port p ON p.network_id = i.network_id WHERE p.host_id IS NOT NULL AND i.router_id IN (",
    );
    table::fill(&mut q, &all);
    q.push(") UNION SELECT id, home_host_id FROM router WHERE home_host_id IS NOT NULL AND id IN (");
    table::fill(&mut q, &all);
    q.push(")");
    let mut by_router: HashMap<RouterId, BTreeSet<HostId>> = HashMap::new();
    for (router, sender) in q.rows(tx, |r| Ok((r.get::<RouterId>(0)?, r.get::<HostId>(1)?)))? {
        by_router.entry(router).or_default().insert(sender);
    }
    let of = |router: RouterId| {
        let joined = ways.joined([router]);
        let senders = joined.iter().filter_map(|r| by_router.get(r)).flatten().copied();
        (router, senders.filter(|h| *h != host).collect())
    };
    Ok(here.into_iter().map(of).collect())
}

/// The last 40 bits of an id, which are random in every version of it, below a first byte of ours.
fn mac(first: u8, id: &[u8; 16]) -> String {
    let [.., a, b, c, d, e] = *id;
    format!("{first:02x}:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}

impl Transit {
    /// Every host that it joins to this one.
    pub fn others(&self) -> impl Iterator<Item = HostId> {
        let home = (self.home != self.host).then_some(self.home);
        home.into_iter().chain(self.away.iter().copied())
    }

    fn id(&self) -> NetworkId {
        NetworkId(self.router.0)
    }

    fn mac_of(&self, host: HostId) -> String {
        // Bits of locally administered addresses; the two kinds never meet.
        if host == self.home { mac(0x0a, self.router.0.as_bytes()) } else { mac(0x06, host.0.as_bytes()) }
    }

    /// The network, with the ports of the other hosts.
    pub fn network(&self, tunnels: &HashMap<HostId, IpAddr>) -> doc::Network {
        let other = |host: HostId| doc::Port {
            id: PortId(host.0),
            mac: self.mac_of(host),
            addresses: if host == self.home { addresses(HOME) } else { Vec::new() },
            owner: PortOwner::Other,
            host: Some(host),
            tunnel: tunnels.get(&host).copied(),
            admin_up: true,
            security: false,
            groups: Vec::new(),
            allowed_pairs: Vec::new(),
            hostname: String::new(),
            dhcp_options: Vec::new(),
            qos: None,
        };
        doc::Network {
            id: self.id(),
            vni: self.vni,
            mtu: self.mtu,
            subnets: Vec::new(),
            ports: self.others().map(other).collect(),
            uplink: None,
            vlan: None,
            peers: Vec::new(),
            acl: Vec::new(),
        }
    }

    /// The router's leg in it.
    pub fn leg(&self) -> doc::RouterLeg {
        let (v4, v6) = if self.home == self.host { HOME } else { AWAY };
        let nets = [IpNet::new(v4, 30), IpNet::new(v6, 126)];
        doc::RouterLeg {
            port: PortId(self.router.0),
            network: self.id(),
            mac: self.mac_of(self.host),
            addresses: nets.into_iter().flatten().collect(),
        }
    }

    /// What goes by it: everything that the home's gateway leads to. At home there is nothing to send.
    pub fn routes(&self, router: &Router, gateway: &Port, subnets: &[Subnet]) -> Vec<doc::Route> {
        if self.home == self.host {
            return Vec::new();
        }
        let of_gateway = |s: &&Subnet| gateway.addresses.iter().any(|a| a.subnet == s.id);
        let outside: Vec<&Subnet> = subnets.iter().filter(of_gateway).collect();
        let connected = outside.iter().map(|s| s.cidr.trunc());
        let default = outside.iter().filter_map(|s| everything(s.gateway?));
        let extra = router.routes.iter().filter(|r| outside.iter().any(|s| s.cidr.contains(&r.nexthop)));
        let all: BTreeSet<IpNet> =
            connected.chain(default).chain(extra.map(|r| r.destination.trunc())).collect();
        let via = |to: IpNet| if to.addr().is_ipv4() { HOME.0 } else { HOME.1 };
        all.into_iter().map(|destination| doc::Route { destination, nexthop: via(destination) }).collect()
    }
}

fn addresses((v4, v6): (IpAddr, IpAddr)) -> Vec<doc::PortAddress> {
    [v4, v6].map(|address| doc::PortAddress { subnet: SubnetId::nil(), address }).into()
}

fn everything(gateway: IpAddr) -> Option<IpNet> {
    let zero: IpAddr =
        if gateway.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    IpNet::new(zero, 0).ok()
}
