//! What lets through and what does not: security groups and access lists.

use super::{Picture, Traffic, Trail, name};
use crate::model::{Port, Rule, acl};
use base::NetworkId;
use ipnet::IpNet;
use std::net::IpAddr;

/// Whether one of a port's groups lets the traffic in (or out). What is asked about without a protocol passes where
/// any does.
pub fn groups(
    p: &Picture,
    t: Traffic,
    trail: &mut Trail,
    port: &Port,
    ingress: bool,
    peer: IpAddr,
) -> Option<()> {
    let way = if ingress { "in from" } else { "out to" };
    if !port.port_security {
        trail.good(
            "port",
            port.id,
            format!("{} has no port security: everything goes {way} {peer}", name(port)),
        );
        return Some(());
    }
    let rules = p.rules.iter().filter(|r| port.groups.contains(&r.group) && r.ingress == ingress);
    match rules.into_iter().find(|r| covers(p, t, r, peer)) {
        Some(rule) => {
            let what = format!("A security group lets {} {way} {peer}", words(rule));
            trail.good("security_group_rule", rule.id, what);
            Some(())
        }
        None => {
            let what = format!("The security groups of {}", name(port));
            let direction = if ingress { "--ingress" } else { "--egress" };
            let why = format!(
                "None of their rules lets this {way} {peer}. Add one: openstack security group rule create {direction} \
                 --remote-ip {peer} …"
            );
            trail.bad("port", port.id, what, why)
        }
    }
}

fn covers(p: &Picture, t: Traffic, r: &Rule, peer: IpAddr) -> bool {
    let protocol = t.protocol(r.v6).is_none_or(|asked| r.proto.is_none_or(|is| is == asked));
    let port = t.port.is_none_or(|asked| {
        let (min, max) = (r.min.unwrap_or(0), r.max.unwrap_or(u16::MAX));
        (min..=max).contains(&asked)
    });
    let is_in = |nets: &[IpNet]| nets.iter().any(|n| n.contains(&peer));
    let remote = match (r.remote_group, r.remote_addresses, r.masked_prefix()) {
        (Some(group), _, _) => p.members.get(&group).is_some_and(|m| m.contains(&peer)),
        (None, Some(group), _) => p.addresses.get(&group).is_some_and(|nets| is_in(nets)),
        (None, None, Some(prefix)) => prefix.contains(&peer),
        (None, None, None) => true,
    };
    r.v6 == peer.is_ipv6() && protocol && port && remote
}

fn words(r: &Rule) -> String {
    let protocol = if r.protocol.is_empty() { "everything" } else { r.protocol.as_str() };
    match (r.min, r.max) {
        (Some(a), Some(b)) if a == b => format!("{protocol} to port {a}"),
        (Some(a), Some(b)) => format!("{protocol} to ports {a} to {b}"),
        _ => protocol.to_owned(),
    }
}

/// A packet at an access list.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// As the guest on the network sees it.
    pub ingress: bool,
    pub peer: IpAddr,
    /// The answer to what was asked about: its source is the port, and where it goes nobody knows before.
    pub reply: bool,
}

/// Whether a network's access list lets a packet pass. What no rule is about does; a rule about some of what is
/// asked about decides nothing.
pub fn list(p: &Picture, t: Traffic, trail: &mut Trail, network: NetworkId, pass: Pass) -> Option<()> {
    let rules = p.acls.get(&network.to_string()).map(Vec::as_slice).unwrap_or_default();
    let Some(rule) = rules.iter().find(|r| decides(r, t, pass)) else { return Some(()) };
    let way = if pass.ingress { "in from" } else { "out to" };
    let (what, priority) = (if pass.reply { "replies" } else { "packets" }, rule.priority);
    let net = p.network(network).map_or_else(|| network.to_string(), |n| n.std.name.clone());
    if rule.allow {
        trail.good(
            "network_acl",
            network,
            format!("The access list of {net} lets {what} {way} {} (rule {priority})", pass.peer),
        );
        return Some(());
    }
    let why =
        format!("Its rule {priority} denies {what} {way} {}. Change it: hanok acl {network}.", pass.peer);
    trail.bad("network_acl", network, format!("The access list of {net}"), why)
}

fn decides(r: &acl::Rule, t: Traffic, pass: Pass) -> bool {
    let whole = |asked: Option<u16>, span: Option<(u16, u16)>| match (span, asked) {
        (None, _) => true,
        (Some(span), Some(port)) => (span.0..=span.1).contains(&port),
        (Some(_), None) => false,
    };
    let (to, from) = if pass.reply { (None, t.port) } else { (t.port, None) };
    r.ingress == pass.ingress
        && r.version.is_none_or(|v| (v == 6) == pass.peer.is_ipv6())
        && r.remote.is_none_or(|n| n.contains(&pass.peer))
        && r.protocol.is_none_or(|is| t.protocol(pass.peer.is_ipv6()) == Some(is))
        && whole(to, r.ports)
        && whole(from, r.source_ports)
}
