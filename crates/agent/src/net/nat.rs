//! The rule sets of a router's namespace and of the host's own uplinks, as nft reads them.
//!
//! Floating addresses are two maps. Traffic of a tenant that reaches a floating address from inside
//! (its own or another's) is translated at both ends, so that the reply passes the router again.
//! IPv6 is routed and never translated.

use super::rules::{Rules, Set, Table};
use base::doc::{Forward, Gateway};
use ipnet::{IpNet, Ipv4Net};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

const TABLE: &str = "ip hanok";
/// From floating to fixed addresses.
const INWARD: &str = "inward";

/// Rules of a router whose gateway leg is the device `out`.
pub fn router(gateway: Option<(&Gateway, &str)>) -> Rules {
    let mut rules = Rules::default();
    let Some((gateway, out)) = gateway else {
        // It stands empty, so that one of an earlier run goes.
        rules.tables.insert(TABLE.into(), Table::default());
        return rules;
    };
    let pairs = || {
        gateway.floating.iter().filter_map(|f| match (f.floating, f.fixed) {
            (IpAddr::V4(floating), IpAddr::V4(fixed)) => Some((floating, fixed)),
            _ => None,
        })
    };
    let map = |elements| Set { keyword: "map", kind: "type ipv4_addr : ipv4_addr;", elements };
    let mut table = Table::default();
    table.sets.insert(INWARD.into(), map(pairs().map(|(f, x)| format!("{f} : {x}")).collect()));
    for (protocol, number) in FORWARDED {
        table.sets.insert(format!("forward_{protocol}"), forwards(gateway, number));
    }
    table.sets.insert("outward".into(), map(pairs().map(|(f, x)| format!("{x} : {f}")).collect()));
    let mut post = format!("oifname \"{out}\" snat to ip saddr map @outward\n");
    let _ = writeln!(post, "iifname != \"{out}\" ct status dnat snat to ip saddr map @outward");
    if let Some(own) = own_v4(gateway) {
        let _ = writeln!(post, "iifname != \"{out}\" ct status dnat snat to {own}");
        if gateway.snat {
            let _ = writeln!(post, "oifname \"{out}\" ip saddr != {own} snat to {own}");
        }
    }
    table.chains = format!(
        "chain pre {{\ntype nat hook prerouting priority -100; policy accept;\n\
         dnat to ip daddr map @inward\n{}}}\n\
         chain post {{\ntype nat hook postrouting priority 100; policy accept;\n{post}}}\n",
        forward_rules(gateway)
    );
    if gateway.snat {
        // Behind a translating gateway, fixed addresses are not to be reached from outside.
        let _ = writeln!(
            table.chains,
            "chain guard {{\ntype filter hook forward priority 0; policy accept;\n\
             iifname \"{out}\" ct state new ct status ! dnat drop\n}}"
        );
    }
    rules.tables.insert(TABLE.into(), table);
    rules
}

/// Marks what leaves by a gateway with the class of its address, once that is the outside's.
pub fn classify(rules: &mut Rules, out: &str, classes: &[(IpAddr, u16)]) {
    let Some(table) = rules.tables.get_mut(TABLE) else { return };
    let elements = super::traffic::classes(classes);
    if elements.is_empty() {
        return;
    }
    let kind = "type ipv4_addr : classid;";
    table.sets.insert("classes".into(), Set { keyword: "map", kind, elements });
    let _ = writeln!(
        table.chains,
        "chain classify {{\ntype filter hook postrouting priority 200; policy accept;\n\
         oifname \"{out}\" meta priority set ip saddr map @classes\n}}"
    );
}

/// Protocols of which single ports are forwarded, with their numbers.
const FORWARDED: [(&str, u8); 2] = [("tcp", 6), ("udp", 17)];

/// All floating addresses that a gateway answers for, each once.
pub fn floating(gateway: &Gateway) -> BTreeSet<IpAddr> {
    let whole = gateway.floating.iter().map(|f| f.floating);
    whole.chain(gateway.forwards.iter().map(|f| f.floating)).collect()
}

/// Floating addresses and ports that lead to others. A range that keeps its numbers is a rule instead.
fn forwards(gateway: &Gateway, protocol: u8) -> Set {
    let mine = gateway.forwards.iter().filter(|f| f.protocol == protocol && !keeps_numbers(f));
    let pairs = mine.flat_map(|f| {
        (f.external.0..=f.external.1)
            .zip(f.internal.0..=f.internal.1)
            .map(|(e, i)| format!("{} . {e} : {} . {i}", f.floating, f.fixed))
    });
    let kind = "type ipv4_addr . inet_service : ipv4_addr . inet_service;";
    Set { keyword: "map", kind, elements: pairs.collect() }
}

fn keeps_numbers(f: &Forward) -> bool {
    f.external == f.internal && f.external.0 != f.external.1
}

fn forward_rules(gateway: &Gateway) -> String {
    let mut text = String::new();
    for (name, protocol) in FORWARDED {
        let _ = writeln!(text, "dnat ip to ip daddr . {name} dport map @forward_{name}");
        for f in gateway.forwards.iter().filter(|f| f.protocol == protocol && keeps_numbers(f)) {
            let (first, last) = f.external;
            let _ = writeln!(text, "ip daddr {} {name} dport {first}-{last} dnat to {}", f.floating, f.fixed);
        }
    }
    text
}

/// Connections that no longer lead where they did, and must end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    pub address: Ipv4Addr,
    /// One port of it, with the protocol's name; `None` is the whole address.
    pub port: Option<(&'static str, u16)>,
}

/// What led somewhere before and leads elsewhere, or nowhere, now.
pub fn moved(had: &Rules, want: &Rules) -> Vec<Moved> {
    /// So many single ports of an address are worth a search each; of more, all connections end.
    const SINGLE: usize = 8;
    fn set<'a>(rules: &'a Rules, name: &str) -> Option<&'a BTreeSet<String>> {
        rules.tables.get(TABLE).and_then(|t| t.sets.get(name)).map(|s| &s.elements)
    }
    let gone = |name: &str| -> Vec<String> {
        let (had, want) = (set(had, name), set(want, name));
        let left = |e: &&String| !want.is_some_and(|w| w.contains(*e));
        had.into_iter()
            .flatten()
            .filter(left)
            .filter_map(|e| Some(e.split(" : ").next()?.to_owned()))
            .collect()
    };
    let mut out: BTreeSet<Moved> =
        gone(INWARD).iter().filter_map(|a| Some(Moved { address: a.parse().ok()?, port: None })).collect();
    for (name, _) in FORWARDED {
        let gone = gone(&format!("forward_{name}"));
        let many = gone.len() > SINGLE;
        out.extend(gone.iter().filter_map(|key| {
            let (address, port) = key.split_once(" . ")?;
            let port = if many { None } else { Some((name, port.parse().ok()?)) };
            Some(Moved { address: address.parse().ok()?, port })
        }));
    }
    out.into_iter().collect()
}

fn own_v4(gateway: &Gateway) -> Option<Ipv4Addr> {
    gateway.addresses.iter().find_map(|a| match a.addr() {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(_) => None,
    })
}

/// Rules in the host's own namespace: what leaves an uplink's network for elsewhere is masqueraded,
/// and nothing but that network's own addresses comes out of it.
pub fn host(table: &str, uplinks: &[(String, Vec<IpNet>)]) -> Rules {
    let mut rules = Rules::default();
    let mut forward = String::new();
    let mut post = String::new();
    for (device, addresses) in uplinks {
        let nets: Vec<Ipv4Net> = addresses
            .iter()
            .filter_map(|a| if let IpNet::V4(net) = a { Some(net.trunc()) } else { None })
            .collect();
        if nets.is_empty() {
            continue;
        }
        let nets = super::rules::join(nets.iter());
        let _ = writeln!(forward, "iifname \"{device}\" ip saddr != {{ {nets} }} drop");
        let _ = writeln!(forward, "iifname \"{device}\" accept\noifname \"{device}\" accept");
        let _ = writeln!(post, "ip saddr {{ {nets} }} oifname != {{ \"{device}\", \"lo\" }} masquerade");
    }
    if post.is_empty() {
        return rules;
    }
    let chains = format!(
        "chain forward {{\ntype filter hook forward priority 0; policy accept;\n{forward}}}\n\
         chain post {{\ntype nat hook postrouting priority 100; policy accept;\n{post}}}\n"
    );
    rules.tables.insert(format!("ip {table}"), Table { chains, ..Table::default() });
    rules
}
