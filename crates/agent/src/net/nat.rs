//! The rule sets of a router's namespace and of the host's own uplinks, as nft reads them.
//!
//! Floating addresses are two maps. Traffic of a tenant that reaches a floating address from inside
//! (its own or another's) is translated at both ends, so that the reply passes the router again.
//! IPv6 is routed and never translated.

use super::rules::{Rules, Set, Table};
use base::doc::Gateway;
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
    let Some((gateway, out)) = gateway else { return rules };
    let pairs = || {
        gateway.floating.iter().filter_map(|f| match (f.floating, f.fixed) {
            (IpAddr::V4(floating), IpAddr::V4(fixed)) => Some((floating, fixed)),
            _ => None,
        })
    };
    let map = |elements| Set { keyword: "map", kind: "type ipv4_addr : ipv4_addr;", elements };
    let mut table = Table::default();
    table.sets.insert(INWARD.into(), map(pairs().map(|(f, x)| format!("{f} : {x}")).collect()));
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
         dnat to ip daddr map @inward\n}}\n\
         chain post {{\ntype nat hook postrouting priority 100; policy accept;\n{post}}}\n"
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

/// Floating addresses that no longer lead where they did: connections through them must end.
pub fn moved(had: &Rules, want: &Rules) -> Vec<Ipv4Addr> {
    fn inward(rules: &Rules) -> BTreeSet<String> {
        let set = rules.tables.get(TABLE).and_then(|t| t.sets.get(INWARD));
        set.map(|s| s.elements.clone()).unwrap_or_default()
    }
    let (had, want) = (inward(had), inward(want));
    had.difference(&want).filter_map(|e| e.split(" : ").next()?.parse().ok()).collect()
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
