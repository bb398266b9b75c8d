//! Why can A not reach B: the way of a packet between two ports and of its reply, as the tables have it, up to
//! whatever stops it. [`load`] reads the picture, [`walk`] follows the packet through it and is a function of its
//! input alone. What guests themselves do (their own firewall, nobody listening) is not seen.

mod filter;
mod load;
mod way;

pub use load::{load, visible};

use crate::model::{Network, Port, Router, Rule, Subnet, acl};
use base::{AddressGroupId, NetworkId, SecurityGroupId, SubnetId};
use ipnet::IpNet;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// What is asked about: any traffic, of a protocol, to a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub protocol: Option<u8>,
    pub port: Option<u16>,
}

impl Traffic {
    /// The protocol that is meant: ICMP has another number in IPv6.
    fn protocol(self, v6: bool) -> Option<u8> {
        self.protocol.map(|p| match (p, v6) {
            (1, true) => 58,
            (58, false) => 1,
            _ => p,
        })
    }
}

/// Everything that the packet may meet.
#[derive(Debug, Clone)]
pub struct Picture {
    pub from: Port,
    pub to: Port,
    pub networks: Vec<Network>,
    pub subnets: Vec<Subnet>,
    pub routers: Vec<Router>,
    /// Routers' ports on networks, those to the outside too.
    pub legs: Vec<Port>,
    /// Of the groups of both ports.
    pub rules: Vec<Rule>,
    /// Addresses in the groups that rules name.
    pub members: BTreeMap<SecurityGroupId, BTreeSet<IpAddr>>,
    pub addresses: HashMap<AddressGroupId, Vec<IpNet>>,
    /// Access lists by network, in their order.
    pub acls: HashMap<String, Vec<acl::Rule>>,
}

impl Picture {
    fn network(&self, id: NetworkId) -> Option<&Network> {
        self.networks.iter().find(|n| n.id == id)
    }
    fn subnet(&self, id: SubnetId) -> Option<&Subnet> {
        self.subnets.iter().find(|s| s.id == id)
    }
}

/// One thing that the packet met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub ok: bool,
    /// Of what decides: `port`, `network`, `subnet`, `router`, `security_group_rule`, `network_acl`.
    pub kind: &'static str,
    pub id: String,
    pub what: String,
    /// Why it goes no further, and what would help; empty where it does.
    pub why: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub reaches: bool,
    pub from_address: Option<IpAddr>,
    pub to_address: Option<IpAddr>,
    pub steps: Vec<Step>,
}

/// The steps so far. Whoever adds one that is not good stops there.
#[derive(Debug, Default)]
struct Trail(Vec<Step>);

impl Trail {
    fn good(&mut self, kind: &'static str, id: impl ToString, what: impl Into<String>) {
        self.0.push(Step { ok: true, kind, id: id.to_string(), what: what.into(), why: String::new() });
    }
    fn bad<T>(
        &mut self,
        kind: &'static str,
        id: impl ToString,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Option<T> {
        self.0.push(Step { ok: false, kind, id: id.to_string(), what: what.into(), why: why.into() });
        None
    }
}

/// Follows a packet from one port to the other, for each pair of their addresses until one gets there.
pub fn walk(picture: &Picture, traffic: Traffic) -> Answer {
    let mut first = None;
    for a in &picture.from.addresses {
        for b in picture.to.addresses.iter().filter(|b| b.address.is_ipv6() == a.address.is_ipv6()) {
            let mut trail = Trail::default();
            let reaches = pair(picture, traffic, &mut trail, (a, b)).is_some();
            let (from, to) = (Some(a.address), Some(b.address));
            let answer = Answer { reaches, from_address: from, to_address: to, steps: trail.0 };
            if reaches {
                return answer;
            }
            first.get_or_insert(answer);
        }
    }
    first.unwrap_or_else(|| {
        let mut trail = Trail::default();
        let why = "Give both an address of the same IP version, on a subnet of theirs.";
        trail.bad::<()>("port", picture.from.id, "They have no addresses of the same IP version", why);
        Answer { reaches: false, from_address: None, to_address: None, steps: trail.0 }
    })
}

type Address = base::doc::PortAddress;

fn pair(p: &Picture, t: Traffic, trail: &mut Trail, (a, b): (&Address, &Address)) -> Option<()> {
    up(p, trail, &p.from)?;
    filter::groups(p, t, trail, &p.from, false, b.address)?;
    filter::list(
        p,
        t,
        trail,
        p.from.network,
        filter::Pass { ingress: false, peer: b.address, reply: false },
    )?;
    let way = way::follow(p, trail, a, b, &p.to)?;
    filter::list(p, t, trail, p.to.network, filter::Pass { ingress: true, peer: a.address, reply: false })?;
    filter::groups(p, t, trail, &p.to, true, a.address)?;
    up(p, trail, &p.to)?;
    if way == way::Way::Routed {
        trail.good("port", p.to.id, format!("{} answers to {}", name(&p.to), a.address));
        way::follow(p, trail, b, a, &p.from)?;
    }
    filter::list(p, t, trail, p.to.network, filter::Pass { ingress: false, peer: a.address, reply: true })?;
    filter::list(p, t, trail, p.from.network, filter::Pass { ingress: true, peer: b.address, reply: true })
}

/// Whether a port and its network are switched on, and the port is plugged somewhere.
fn up(p: &Picture, trail: &mut Trail, port: &Port) -> Option<()> {
    let what = format!("The port {}", name(port));
    if !port.admin_up {
        let why = "It is switched off (admin_state_up is false). Switch it on: openstack port set --enable.";
        return trail.bad("port", port.id, what, why);
    }
    if let Some(n) = p.network(port.network).filter(|n| !n.admin_up) {
        let why =
            "It is switched off (admin_state_up is false). Switch it on: openstack network set --enable.";
        return trail.bad("network", n.id, format!("The network {}", n.std.name), why);
    }
    if !port.active {
        let why =
            "It is not plugged: it belongs to no server that runs, or its host has not reported it yet.";
        return trail.bad("port", port.id, what, why);
    }
    trail.good("port", port.id, format!("{what} is plugged"));
    Some(())
}

/// What a port is called.
fn name(port: &Port) -> String {
    if port.std.name.is_empty() { port.id.to_string() } else { port.std.name.clone() }
}
