//! What of a guest's traffic is refused, marked and limited at its tap: the network's access list and
//! the port's QoS, as nft reads them.
//!
//! All of it is about single packets and stands at the tap itself, before connections are looked at:
//! what comes from a guest after the guard against foreign addresses, what goes to one last of all. The
//! services without which a guest is nobody (DHCP, neighbour discovery, metadata) are in no list's power.

use super::rules::{Set, Table};
use base::doc::{AclRule, Direction, Qos};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

pub const TABLE: &str = "netdev hanok_traffic";

/// A guest's port as this table sees it.
#[derive(Debug, Clone)]
pub struct Tap {
    pub name: String,
    pub qos: Qos,
    /// The device that takes what comes from the guest, if that is limited.
    pub ifb: Option<String>,
}

const FROM_GUEST: &str = "\
udp sport 68 udp dport 67 return
udp sport 546 udp dport 547 return
icmpv6 type { 131, 132, 133, 135, 136, 143 } return
ip daddr 169.254.169.254 return
ip6 daddr fe80::a9fe:a9fe return
";
const TO_GUEST: &str = "\
udp sport 67 udp dport 68 return
udp sport 547 udp dport 546 return
icmpv6 type { 130, 131, 132, 134, 135, 136, 143 } return
ip saddr 169.254.169.254 return
ip6 saddr fe80::a9fe:a9fe return
";

/// The table for these ports. It stands empty where nothing is asked of anybody, so that one of an
/// earlier run goes.
pub fn table(taps: &[Tap], acl: &[AclRule]) -> Table {
    let side = |d: Direction| acl.iter().filter(|r| r.direction == d).map(line).collect::<String>();
    let (out, into) = (side(Direction::Egress), side(Direction::Ingress));
    let mut text = String::new();
    for (name, always, rules) in [("acl_out", FROM_GUEST, &out), ("acl_in", TO_GUEST, &into)] {
        if !rules.is_empty() {
            let _ = writeln!(text, "chain {name} {{\n{always}{rules}}}");
        }
    }
    for tap in taps {
        text += &from_guest(tap, !out.is_empty());
        if !into.is_empty() {
            let _ = writeln!(
                text,
                "chain {0}_to {{\ntype filter hook egress device \"{0}\" priority 0; policy accept;\njump acl_in\n}}",
                tap.name
            );
        }
    }
    Table { chains: text, ..Table::default() }
}

/// The table of a router's gateway: what comes in for addresses with classes is handed to the device
/// that limits it.
pub fn gateway(device: &str, ifb: Option<&str>, classes: &[(IpAddr, u16)]) -> Table {
    let Some(ifb) = ifb else { return Table::default() };
    let set = Set { keyword: "map", kind: "type ipv4_addr : classid;", elements: self::classes(classes) };
    let chains = format!(
        "chain into {{\ntype filter hook ingress device \"{device}\" priority 10; policy accept;\n\
         meta priority set ip daddr map @classes\nfwd to \"{ifb}\"\n}}\n"
    );
    Table { sets: [("classes".to_owned(), set)].into(), chains }
}

/// Addresses and their classes as nft writes them. Only IPv4 is translated, so only that is limited so.
pub fn classes(classes: &[(IpAddr, u16)]) -> BTreeSet<String> {
    let v4 = classes.iter().filter(|(a, _)| a.is_ipv4());
    v4.map(|(a, class)| format!("{a} : 1:{class:x}")).collect()
}

fn from_guest(tap: &Tap, listed: bool) -> String {
    let mut body = String::new();
    if listed {
        body += "jump acl_out\n";
    }
    if let Some(mark) = tap.qos.dscp.filter(|m| *m < 64) {
        let _ = writeln!(body, "ip dscp set {mark}\nip6 dscp set {mark}");
    }
    if let Some(ifb) = &tap.ifb {
        let _ = writeln!(body, "fwd to \"{ifb}\"");
    }
    if body.is_empty() {
        return body;
    }
    format!(
        "chain {0}_from {{\ntype filter hook ingress device \"{0}\" priority 10; policy accept;\n{body}}}\n",
        tap.name
    )
}

/// One rule. Only IP packets are in a list's power.
fn line(rule: &AclRule) -> String {
    let mut parts = vec![match rule.ip_version {
        Some(4) => "meta protocol ip".to_owned(),
        Some(_) => "meta protocol ip6".to_owned(),
        None => "meta protocol { ip, ip6 }".to_owned(),
    }];
    if let Some(net) = rule.remote {
        let side = if rule.direction == Direction::Ingress { "saddr" } else { "daddr" };
        let family = if matches!(net, IpNet::V4(_)) { "ip" } else { "ip6" };
        // The whole of a family is matched by its version already, and nft knows no such prefix.
        if net.prefix_len() > 0 {
            parts.push(format!("{family} {side} {}", net.trunc()));
        }
    }
    if let Some(protocol) = rule.protocol {
        parts.push(format!("meta l4proto {protocol}"));
    }
    for (name, span) in [("dport", rule.ports), ("sport", rule.source_ports)] {
        if let Some((first, last)) = span {
            parts.push(format!("th {name} {first}-{last}"));
        }
    }
    parts.push(if rule.allow { "return\n" } else { "drop\n" }.to_owned());
    parts.join(" ")
}
