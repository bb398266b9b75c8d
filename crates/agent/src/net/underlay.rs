//! Who may speak to the tunnels between hosts.
//!
//! The kernel hands whatever comes to the tunnels' port to the network that its header names, whoever sent
//! it. So a host takes tunnels only from the hosts of which its document says that they send to it; and it
//! lets no guest of its own, whose packets leave with the host's address, speak to the tunnels of a host that
//! it knows. Both sides know each other: whoever may send to a host is told of it in turn.
//!
//! A host that is reached by the other family sends from an address that nobody is told. Where there is one,
//! tunnels are taken from all.

use super::rules::{Rules, Set, Table, join};
use base::doc::{Desired, Network, Uplink};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

/// VXLAN's own port (RFC 7348).
pub const PORT: u16 = 4789;

/// The other hosts of a document.
#[derive(Debug, Default)]
struct Hosts {
    /// All that are named.
    known: BTreeSet<IpAddr>,
    /// Those that send here.
    senders: BTreeSet<IpAddr>,
}

impl Hosts {
    fn of(desired: &Desired) -> Hosts {
        let mut hosts = Hosts::default();
        for network in &desired.networks {
            let ports = || network.ports.iter().filter_map(|p| p.tunnel);
            hosts.known.extend(network.peers.iter().copied().chain(ports()));
            hosts.senders.extend(&network.peers);
            if !is_outside(network) {
                hosts.senders.extend(ports());
            }
        }
        hosts
    }
}

/// Hosts reach what is outside each by itself; that a port there is named does not mean that its host is told.
fn is_outside(network: &Network) -> bool {
    matches!(network.uplink, Some(Uplink::HostNat { .. }))
}

/// Adds the rules of the host's own namespace; `uplinks` are the devices by which its guests' packets come,
/// `own` is where it is reached itself.
pub fn guard(rules: &mut Rules, table: &str, desired: &Desired, uplinks: &[String], own: Option<IpAddr>) {
    let hosts = Hosts::of(desired);
    if hosts.known.is_empty() {
        return;
    }
    let mut input = String::new();
    let mut forward = String::new();
    let from_guests = format!("iifname {{ {} }}", join(uplinks.iter().map(|d| format!("\"{d}\""))));
    if !uplinks.is_empty() {
        let _ = writeln!(input, "{from_guests} drop");
    }
    let table = rules.tables.entry(format!("inet {table}")).or_default();
    for v6 in [false, true] {
        let (ip, kind) = if v6 { ("ip6", "type ipv6_addr;") } else { ("ip", "type ipv4_addr;") };
        if !uplinks.is_empty() {
            let set = add_set(table, &format!("hosts_{ip}"), kind, &hosts.known, v6);
            let _ = writeln!(forward, "{from_guests} {ip} daddr @{set} drop");
        }
        let receives = own.is_none_or(|own| own.is_ipv6() == v6);
        if !receives || hosts.senders.iter().all(|s| s.is_ipv6() == v6) {
            let set = add_set(table, &format!("senders_{ip}"), kind, &hosts.senders, v6);
            let _ = writeln!(input, "{ip} saddr != @{set} drop");
        }
    }
    for (name, hook, body) in [("tunnels", "input", input), ("beyond", "forward", forward)] {
        if !body.is_empty() {
            let _ = writeln!(
                table.chains,
                "chain {name} {{\n{body}}}\nchain {name}_{hook} {{\ntype filter hook {hook} priority -10; \
                 policy accept;\nudp dport {PORT} jump {name}\n}}"
            );
        }
    }
}

fn add_set(
    table: &mut Table,
    name: &str,
    kind: &'static str,
    addresses: &BTreeSet<IpAddr>,
    v6: bool,
) -> String {
    let elements = addresses.iter().filter(|a| a.is_ipv6() == v6).map(IpAddr::to_string).collect();
    table.sets.insert(name.to_owned(), Set { keyword: "set", kind, elements });
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{document, network, port, subnet};
    use super::*;

    fn text(desired: &Desired, uplinks: &[&str], own: Option<&str>) -> String {
        let mut rules = Rules::default();
        let uplinks: Vec<String> = uplinks.iter().map(|u| (*u).to_owned()).collect();
        guard(&mut rules, "hk", desired, &uplinks, own.map(|a| a.parse().unwrap()));
        rules.text(Some(&Rules::default())).unwrap_or_default()
    }

    fn between(peers: &[&str], far: &str) -> Desired {
        let mut away = port(9, &[(1, "10.0.0.9")]);
        away.tunnel = Some(far.parse().unwrap());
        let mut net = network(1, vec![subnet(1, "10.0.0.0/24", None)], vec![away]);
        net.peers = peers.iter().map(|p| p.parse().unwrap()).collect();
        document(vec![net], vec![])
    }

    #[test]
    fn tunnels_are_taken_from_those_that_send_here() {
        let doc = between(&["192.0.2.2"], "192.0.2.3");
        let all = text(&doc, &["hk1"], Some("192.0.2.1"));
        for line in [
            "set senders_ip {\ntype ipv4_addr;\nelements = { 192.0.2.2, 192.0.2.3 }\n}",
            "set hosts_ip {\ntype ipv4_addr;\nelements = { 192.0.2.2, 192.0.2.3 }\n}",
            "iifname { \"hk1\" } drop\nip saddr != @senders_ip drop\nip6 saddr != @senders_ip6 drop\n",
            "iifname { \"hk1\" } ip daddr @hosts_ip drop\n",
        ] {
            assert!(all.contains(line), "{line} in {all}");
        }
        // Without guests that leave by this host, nothing is forwarded for them.
        let inside = text(&doc, &[], Some("192.0.2.1"));
        assert!(inside.contains("@senders_ip drop") && !inside.contains("forward"), "{inside}");
        // Nor is there anything where no other host is known.
        assert_eq!(text(&document(vec![], vec![]), &["hk1"], Some("192.0.2.1")), "");
    }

    #[test]
    fn a_port_outside_lets_its_host_be_known_and_not_send() {
        let mut doc = between(&[], "192.0.2.3");
        doc.networks[0].uplink = Some(Uplink::HostNat { addresses: vec![] });
        let all = text(&doc, &["hk1"], Some("192.0.2.1"));
        assert!(all.contains("set hosts_ip {\ntype ipv4_addr;\nelements = { 192.0.2.3 }\n}"), "{all}");
        assert!(all.contains("set senders_ip {\ntype ipv4_addr;\n}"), "{all}");
    }

    #[test]
    fn hosts_of_both_families_are_heard() {
        let doc = between(&["2001:db8::2"], "192.0.2.3");
        let four = text(&doc, &["hk1"], Some("192.0.2.1"));
        assert!(!four.contains("ip saddr"), "a host that is reached by IPv6 may come from any: {four}");
        assert!(four.contains("ip6 saddr != @senders_ip6 drop"), "{four}");
        assert!(four.contains("ip6 daddr @hosts_ip6 drop"), "{four}");
        assert!(!text(&doc, &[], None).contains("saddr"));
    }
}
