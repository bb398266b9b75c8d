//! The filters of a network's namespace, as nft reads them.
//!
//! Three tables work together. At a guest's tap (`netdev`, ingress) only frames with the port's own
//! addresses enter, and a mark says which port they came from. On the way to a tap (`bridge`,
//! forward) the mark is set anew to say which port they go to: the `inet` hooks under br_netfilter
//! see only the bridge. The `inet` table then dispatches by that mark: what comes from a guest in
//! `prerouting`, what goes to one in `forward`. Tagged frames, which those hooks do not see, pass no bridge: a
//! guest that writes tags would reach others past their groups, or VLANs that are not its network.
//!
//! Rules of stateful groups compare the *original* direction of the connection, and both directions
//! are checked: an original packet against its own rules, a reply against the rules that let the
//! original pass. So a connection ends with the rule (or the membership) that allowed it, without
//! searching the connection table, and other connections never notice.

use super::plan::{METADATA_V4, bridge_mac};
use super::rules::{Rules, Set, Table, join};
use super::space::{METADATA_V6, Mac};
use base::SecurityGroupId;
use base::doc::{Direction, Network, Remote, SecurityGroup, SecurityRule};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

/// A guest's port as the filters see it.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterPort {
    pub tap: String,
    pub mac: Mac,
    /// Which addresses may be used with which MAC; the port's own and its allowed pairs.
    pub may_use: BTreeMap<Mac, BTreeSet<IpNet>>,
    pub groups: Vec<SecurityGroupId>,
}

/// ICMPv6 that no rule may stop: neighbour discovery and multicast listener reports (RFC 4890).
const TO_GUEST: &str = "icmpv6 type { 130, 131, 132, 134, 135, 136, 143 } accept";
const FROM_GUEST: &str = "\
icmpv6 type { 131, 132, 133, 135, 136, 143 } accept
udp sport 68 udp dport 67 accept
udp sport 546 udp dport 547 accept
ip daddr 169.254.169.254 accept
ip6 daddr fe80::a9fe:a9fe accept";

/// Frames with a tag, by 802.1Q and 802.1ad, be it that of no VLAN (0), under which a guest takes a frame for a plain
/// one. Groups see none of them: br_netfilter knows plain packets only.
const TAGGED: &str = "ether type { 0x8100, 0x88a8 }";
/// Fragments in which another header of the IPv6 chain comes next: what the packet is may then stand in a later
/// one, and it is put together only behind the tap. Neighbour discovery in fragments is nobody's (RFC 6980).
const PIECES: &str = "frag nexthdr { 0, 43, 44, 51, 60, 135 }";

/// The rule set for the secured ports of one network on this host.
pub fn rules(ports: &[FilterPort], groups: &[SecurityGroup]) -> Rules {
    let used: BTreeSet<_> = ports.iter().flat_map(|p| &p.groups).collect();
    let used: Vec<_> = groups.iter().filter(|g| used.contains(&g.id)).collect();
    let mut netdev = Table::default();
    for (port, mark) in ports.iter().zip(1..) {
        netdev.chains += &ingress(port, mark);
    }
    let marks = ports.iter().zip(1..).map(|(p, mark)| format!("\"{}\" : {mark}", p.tap));
    let to = Set { keyword: "map", kind: "type ifname : mark;", elements: marks.collect() };
    let bridge = Table {
        sets: [("to".into(), to)].into(),
        chains: format!(
            "chain untagged {{\ntype filter hook forward priority -300; policy accept;\n{TAGGED} drop\n}}\n\
             chain to_port {{\ntype filter hook forward priority -200; policy accept;\n\
             meta mark set 0\nmeta mark set oifname map @to\n}}"
        ),
    };
    let mut inet = Table { sets: members(&used, groups), chains: String::new() };
    for group in &used {
        for direction in [Direction::Ingress, Direction::Egress] {
            inet.chains += &group_chain(group, direction);
        }
    }
    for port in ports {
        inet.chains += &port_chains(port, &used);
    }
    inet.chains += &dispatch("from_guest", "prerouting", "-100", FROM_GUEST, 'o', ports);
    inet.chains += &dispatch("to_guest", "forward", "0", TO_GUEST, 'i', ports);
    let named = [("netdev hanok", netdev), ("bridge hanok", bridge), ("inet hanok", inet)];
    Rules { tables: named.into_iter().map(|(n, t)| (n.to_owned(), t)).collect() }
}

/// What does not pass a NIC that takes the network to a physical one: the bridge itself, which every host has
/// with the same MAC, the metadata service, and requests for leases where the servers are ours. Tags are the host's
/// business: what carries one belongs to a VLAN's own link over the NIC.
pub fn at_nic(rules: &mut Rules, device: &str, network: &Network) {
    let Some(table) = rules.tables.get_mut("netdev hanok") else { return };
    let bridge = bridge_mac(network.id);
    let _ = write!(
        table.chains,
        "chain nic_in {{\ntype filter hook ingress device \"{device}\" priority 0; policy accept;\n\
         {TAGGED} accept\nether saddr {bridge} drop\nether daddr {bridge} drop\n\
         arp daddr ip {METADATA_V4} drop\nip daddr {METADATA_V4} drop\nip6 daddr {METADATA_V6} drop\n\
         icmpv6 type 135 @th,64,128 {} drop\n}}\n\
         chain nic_out {{\ntype filter hook egress device \"{device}\" priority 0; policy accept;\n\
         {TAGGED} accept\nether saddr {bridge} drop\narp daddr ip {METADATA_V4} drop\nip daddr {METADATA_V4} drop\n\
         ip6 daddr {METADATA_V6} drop\n",
        hex(METADATA_V6)
    );
    let ours = |v4: bool| network.subnets.iter().any(|s| s.dhcp && s.cidr.addr().is_ipv4() == v4);
    for (v4, lease) in [(true, "udp sport 68 udp dport 67"), (false, "udp sport 546 udp dport 547")] {
        if ours(v4) {
            let _ = writeln!(table.chains, "{lease} drop");
        }
    }
    table.chains += "}\n";
}

fn hex(a: std::net::Ipv6Addr) -> String {
    format!("0x{:032x}", u128::from(a))
}

/// Chains jump to chains that stand before them, so the base chains come last.
fn dispatch(
    name: &str,
    hook: &str,
    priority: &str,
    always: &str,
    side: char,
    ports: &[FilterPort],
) -> String {
    let verdicts = ports.iter().zip(1..).map(|(p, mark)| format!("{mark} : jump {side}_{}", p.tap));
    let verdicts: Vec<_> = verdicts.collect();
    let mut text =
        format!("chain {name} {{\ntype filter hook {hook} priority {priority}; policy accept;\n{always}\n");
    if !verdicts.is_empty() {
        let _ = writeln!(text, "meta mark vmap {{ {} }}", verdicts.join(", "));
    }
    text + "}\n"
}

// ------------------------------------------------------------------------------ anti-spoofing

fn ingress(port: &FilterPort, mark: u32) -> String {
    let mut text = format!(
        "chain {0} {{\ntype filter hook ingress device \"{0}\" priority 0; policy accept;\n\
         {TAGGED} drop\n{PIECES} drop\nmeta mark set {mark}\nether saddr != {{ {1} }} drop\n\
         ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept\n\
         udp sport 67 udp dport 68 drop\nudp sport 547 udp dport 546 drop\n\
         icmpv6 type {{ 134, 137 }} drop\n\
         ip6 saddr :: icmpv6 type {{ 131, 132, 133, 135, 143 }} accept\n",
        port.tap,
        join(port.may_use.keys())
    );
    for (mac, nets) in &port.may_use {
        // Sets of prefixes may not overlap, so what lies within another is left out.
        let nets = IpNet::aggregate(&nets.iter().copied().collect());
        let v4: Vec<_> = nets.iter().filter(|n| n.addr().is_ipv4()).collect();
        let v6 = sources(*mac, &nets);
        let _ = writeln!(text, "ether saddr {mac} arp saddr ether {mac} arp saddr ip 0.0.0.0 accept");
        // What QEMU sends for a guest that has moved here, so that switches learn of it (RARP, RFC 903): it tells
        // of the sender's hardware address alone.
        let hardware = mac.to_string().replace(':', "");
        let _ = writeln!(text, "ether saddr {mac} ether type 0x8035 @nh,64,48 0x{hardware} accept");
        if !v4.is_empty() {
            let v4 = join(v4.iter());
            let _ = writeln!(text, "ether saddr {mac} arp saddr ether {mac} arp saddr ip {{ {v4} }} accept");
            let _ = writeln!(text, "ether saddr {mac} ip saddr {{ {v4} }} accept");
        }
        for net in &v6 {
            let _ = writeln!(text, "ether saddr {mac} {} goto {}_v6", advertised(net), port.tap);
        }
        let _ = writeln!(text, "ether saddr {mac} icmpv6 type 136 drop");
        let _ = writeln!(text, "ether saddr {mac} ip6 saddr {{ {} }} accept", join(v6.iter()));
    }
    text += "drop\n}\n";
    let all =
        port.may_use.iter().flat_map(|(mac, nets)| sources(*mac, &nets.iter().copied().collect::<Vec<_>>()));
    let all = IpNet::aggregate(&all.collect());
    format!("chain {}_v6 {{\nip6 saddr {{ {} }} accept\ndrop\n}}\n{text}", port.tap, join(all.iter()))
}

/// The IPv6 sources that a MAC may use: its link-local address and what it was given.
fn sources(mac: Mac, nets: &[IpNet]) -> Vec<IpNet> {
    let given = nets.iter().filter(|n| n.addr().is_ipv6()).copied();
    given.chain([IpNet::from(IpAddr::V6(mac.link_local()))]).collect()
}

/// Matches a neighbour advertisement (RFC 4861, 4.4) whose target lies in `net`, by whole bytes: nft
/// 1.0.6 has no name for that field.
fn advertised(net: &IpNet) -> String {
    let bytes = usize::from(net.prefix_len() / 8);
    let IpAddr::V6(address) = net.network() else { return String::new() };
    if bytes == 0 {
        return "icmpv6 type 136".into();
    }
    let digits: String = address.octets()[..bytes].iter().map(|b| format!("{b:02x}")).collect();
    format!("icmpv6 type 136 @th,64,{} 0x{digits}", bytes * 8)
}

// ------------------------------------------------------------------------------ security groups

fn short(id: SecurityGroupId) -> String {
    id.0.simple().to_string().chars().take(16).collect()
}

/// A set per address family for each group that a rule names as its peer.
fn members(used: &[&SecurityGroup], all: &[SecurityGroup]) -> BTreeMap<String, Set> {
    let mut sets = BTreeMap::new();
    for rule in used.iter().flat_map(|g| &g.rules) {
        let Remote::Group(id) = rule.remote else { continue };
        let members = all.iter().find(|g| g.id == id).map_or(&[][..], |g| &g.members);
        let v4 = rule.ip_version == 4;
        let kind = if v4 { "type ipv4_addr;" } else { "type ipv6_addr;" };
        let elements = members.iter().filter(|a| a.is_ipv4() == v4).map(ToString::to_string).collect();
        sets.insert(set_name(rule.ip_version, id), Set { keyword: "set", kind, elements });
    }
    sets
}

fn set_name(version: u8, id: SecurityGroupId) -> String {
    format!("m{version}_{}", short(id))
}

fn chain_name(group: &SecurityGroup, direction: Direction) -> String {
    let side = if direction == Direction::Ingress { "i" } else { "o" };
    format!("g{side}_{}", short(group.id))
}

fn group_chain(group: &SecurityGroup, direction: Direction) -> String {
    let rules = group.rules.iter().filter(|r| r.direction == direction);
    let lines: BTreeSet<String> = rules.filter_map(|r| matches(r, group.stateful)).collect();
    let lines: String = lines.iter().map(|l| format!("{l} accept\n")).collect();
    format!("chain {} {{\n{lines}}}\n", chain_name(group, direction))
}

/// The match of one rule, or `None` for a rule that can match nothing.
fn matches(rule: &SecurityRule, stateful: bool) -> Option<String> {
    let (nfproto, ip) = if rule.ip_version == 4 { ("ipv4", "ip") } else { ("ipv6", "ip6") };
    let mut parts = vec![format!("meta nfproto {nfproto}")];
    let peer = if rule.direction == Direction::Ingress { "saddr" } else { "daddr" };
    let peer = if stateful { format!("ct original {ip} {peer}") } else { format!("{ip} {peer}") };
    match &rule.remote {
        Remote::Any => {}
        Remote::Prefix(net) if net.addr().is_ipv4() != (rule.ip_version == 4) => return None,
        Remote::Prefix(net) if net.prefix_len() == 0 => {}
        Remote::Prefix(net) => parts.push(format!("{peer} {}", net.trunc())),
        Remote::Group(id) => parts.push(format!("{peer} @{}", set_name(rule.ip_version, *id))),
    }
    if let Some(protocol) = rule.protocol {
        // ICMP means the one that belongs to the address family, whichever number it was given by.
        let icmp = protocol == 1 || protocol == 58;
        let protocol = if icmp { if rule.ip_version == 4 { 1 } else { 58 } } else { protocol };
        parts.push(format!("meta l4proto {protocol}"));
        parts.extend(if icmp { icmp_match(rule, stateful) } else { port_match(rule, protocol, stateful) });
    }
    Some(parts.join(" "))
}

fn port_match(rule: &SecurityRule, protocol: u8, stateful: bool) -> Option<String> {
    const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];
    let (min, max) = (rule.min.or(rule.max)?, rule.max.or(rule.min)?);
    let what = if stateful { "ct original proto-dst" } else { "th dport" };
    WITH_PORTS.contains(&protocol).then(|| format!("{what} {min}-{max}"))
}

/// Type and code; the connection table keeps both as one number where others have the port.
fn icmp_match(rule: &SecurityRule, stateful: bool) -> Option<String> {
    let kind = rule.min.filter(|t| *t < 256)?;
    let code = rule.max.filter(|c| *c < 256);
    let name = if rule.ip_version == 4 { "icmp" } else { "icmpv6" };
    Some(match (stateful, code) {
        (true, Some(code)) => format!("ct original proto-dst {}", kind << 8 | code),
        (true, None) => format!("ct original proto-dst {}-{}", kind << 8, kind << 8 | 255),
        (false, Some(code)) => format!("{name} type {kind} {name} code {code}"),
        (false, None) => format!("{name} type {kind}"),
    })
}

fn port_chains(port: &FilterPort, used: &[&SecurityGroup]) -> String {
    let groups = || used.iter().filter(|g| port.groups.contains(&g.id));
    let mut text = String::new();
    for (side, own, other) in
        [('i', Direction::Ingress, Direction::Egress), ('o', Direction::Egress, Direction::Ingress)]
    {
        let _ = writeln!(text, "chain {side}_{} {{", port.tap);
        if groups().any(|g| g.stateful) {
            // Errors about a connection that both sides know (RFC 4787, REQ-10).
            text += "ct state related accept\n";
        }
        for group in groups() {
            let name = chain_name(group, own);
            if group.stateful {
                let _ = writeln!(text, "ct direction original jump {name}");
                let _ = writeln!(text, "ct direction reply jump {}", chain_name(group, other));
            } else {
                let _ = writeln!(text, "jump {name}");
            }
        }
        text += "drop\n}\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn rule(protocol: Option<u8>, min: Option<u16>, max: Option<u16>, remote: Remote) -> SecurityRule {
        SecurityRule { direction: Direction::Ingress, ip_version: 4, protocol, min, max, remote }
    }

    #[test]
    fn rules_of_stateful_groups_look_at_the_original_direction() {
        let peer = Remote::Prefix("192.0.2.7/24".parse().unwrap());
        let r = rule(Some(6), Some(22), Some(22), peer);
        let text = matches(&r, true).unwrap();
        assert_eq!(
            text,
            "meta nfproto ipv4 ct original ip saddr 192.0.2.0/24 meta l4proto 6 ct original proto-dst 22-22"
        );
        assert_eq!(
            matches(&r, false).unwrap(),
            "meta nfproto ipv4 ip saddr 192.0.2.0/24 meta l4proto 6 th dport 22-22"
        );
    }

    #[test]
    fn icmp_types_and_codes() {
        let r = |min, max| rule(Some(1), min, max, Remote::Any);
        assert!(matches(&r(Some(8), Some(0)), true).unwrap().ends_with("proto-dst 2048"));
        assert!(matches(&r(Some(8), None), true).unwrap().ends_with("proto-dst 2048-2303"));
        assert!(matches(&r(Some(8), Some(0)), false).unwrap().ends_with("icmp type 8 icmp code 0"));
        assert_eq!(matches(&r(None, None), true).unwrap(), "meta nfproto ipv4 meta l4proto 1");
        let six = SecurityRule { ip_version: 6, ..r(None, None) };
        assert!(matches(&six, true).unwrap().ends_with("l4proto 58"));
    }

    #[test]
    fn a_rule_of_the_other_family_matches_nothing() {
        let r = rule(None, None, None, Remote::Prefix("2001:db8::/32".parse().unwrap()));
        assert_eq!(matches(&r, true), None);
    }

    #[test]
    fn only_membership_differs_when_a_member_comes() {
        let id = SecurityGroupId(Uuid::from_u128(7 << 100));
        let rules_with = |members: &[&str]| {
            let group = SecurityGroup {
                id,
                stateful: true,
                rules: vec![rule(None, None, None, Remote::Group(id))],
                members: members.iter().map(|m| m.parse().unwrap()).collect(),
            };
            let mac = Mac([2, 0, 0, 0, 0, 1]);
            let nets = BTreeSet::from(["10.0.0.5/32".parse().unwrap()]);
            let port = FilterPort { tap: "t1".into(), mac, may_use: [(mac, nets)].into(), groups: vec![id] };
            rules(&[port], &[group])
        };
        let have = rules_with(&["10.0.0.5"]);
        let text = rules_with(&["10.0.0.5", "10.0.0.6"]).text(Some(&have)).unwrap();
        assert!(text.starts_with("add element inet hanok m4_") && text.lines().count() == 1, "{text}");
    }
}
