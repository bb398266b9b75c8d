//! The rule sets of a router's namespace and of the host's own uplinks, as nft reads them.
//!
//! Floating addresses are two maps. Traffic of a tenant that reaches a floating address from inside
//! (its own or another's) is translated at both ends, so that the reply passes the router again.
//! IPv6 is routed and never translated.

use super::rules::{Rules, Set, Table};
use base::doc::{Forward, Gateway};
use ipnet::{IpNet, Ipv4Net};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

const TABLE: &str = "ip hanok";
/// From floating to fixed addresses, and back.
const INWARD: &str = "inward";
const OUTWARD: &str = "outward";
/// The router's own address outside.
const OWN: &str = "own";

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
        table.sets.insert(format!("range_{protocol}"), ranges(gateway, number));
    }
    table.sets.insert(OUTWARD.into(), map(pairs().map(|(f, x)| format!("{x} : {f}")).collect()));
    let mut pre = String::new();
    for (name, _) in FORWARDED {
        for set in ["forward", "range"] {
            let _ = writeln!(pre, "dnat ip to ip daddr . {name} dport map @{set}_{name}");
        }
    }
    let mut post = format!("oifname \"{out}\" snat to ip saddr map @outward\n");
    let _ = writeln!(post, "iifname != \"{out}\" ct status dnat snat to ip saddr map @outward");
    let own = own_v4(gateway);
    let elements = own.iter().map(ToString::to_string).collect();
    table.sets.insert(OWN.into(), Set { keyword: "set", kind: "type ipv4_addr;", elements });
    if let Some(own) = own {
        let _ = writeln!(post, "iifname != \"{out}\" ct status dnat snat to {own}");
        if gateway.snat {
            let _ = writeln!(post, "oifname \"{out}\" ip saddr != @own snat to {own}");
        }
    }
    table.chains = format!(
        "chain pre {{\ntype nat hook prerouting priority -100; policy accept;\n\
         dnat to ip daddr map @inward\n{pre}}}\n\
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

/// Floating addresses and ports that lead to others.
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

/// The same for ranges that keep their numbers, each as a whole.
fn ranges(gateway: &Gateway, protocol: u8) -> Set {
    let mine = gateway.forwards.iter().filter(|f| f.protocol == protocol && keeps_numbers(f));
    let range = |f: &Forward| format!("{} . {}-{} : {}", f.floating, f.external.0, f.external.1, f.fixed);
    let kind = "type ipv4_addr . inet_service : ipv4_addr;\nflags interval;";
    Set { keyword: "map", kind, elements: mine.map(range).collect() }
}

fn keeps_numbers(f: &Forward) -> bool {
    f.external == f.internal && f.external.0 != f.external.1
}

// -------------------------------------------------------------------------------- what has moved

/// Connections that no longer lead where they did, and must end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    pub address: Ipv4Addr,
    /// One port of it, with the protocol's name; `None` is the whole address.
    pub port: Option<(&'static str, u16)>,
}

fn elements<'a>(rules: &'a Rules, set: &str) -> Option<&'a BTreeSet<String>> {
    rules.tables.get(TABLE).and_then(|t| t.sets.get(set)).map(|s| &s.elements)
}

/// What led somewhere before and leads elsewhere, or nowhere, now.
pub fn moved(had: &Rules, want: &Rules) -> Vec<Moved> {
    let gone = |name: &str| -> Vec<String> {
        let (had, want) = (elements(had, name), elements(want, name));
        let left = |e: &&String| !want.is_some_and(|w| w.contains(*e));
        had.into_iter()
            .flatten()
            .filter(left)
            .filter_map(|e| Some(e.split(" : ").next()?.to_owned()))
            .collect()
    };
    let mut all: Vec<Moved> =
        gone(INWARD).iter().filter_map(|a| Some(Moved { address: a.parse().ok()?, port: None })).collect();
    for (name, _) in FORWARDED {
        let keys = [gone(&format!("forward_{name}")), gone(&format!("range_{name}"))].concat();
        all.extend(keys.iter().filter_map(|key| {
            let (address, port) = key.split_once(" . ")?;
            // A range is no single port.
            Some(Moved { address: address.parse().ok()?, port: port.parse().ok().map(|port| (name, port)) })
        }));
    }
    few(all)
}

/// The translated ones among the connections of a router, as `conntrack -o save` prints them, that its rules do not
/// explain: what is found where nobody remembers how it led before.
pub fn strays(connections: &str, want: &Rules) -> Vec<Moved> {
    few(connections.lines().flat_map(|line| Ends::of(line).map(|e| e.strays(want)).unwrap_or_default()))
}

/// Of many single ports of an address, all its connections end: each of them would be a search of its own.
fn few(all: impl IntoIterator<Item = Moved>) -> Vec<Moved> {
    const SINGLE: usize = 8;
    let mut by_address: BTreeMap<Ipv4Addr, BTreeSet<Option<(&'static str, u16)>>> = BTreeMap::new();
    for Moved { address, port } in all {
        by_address.entry(address).or_default().insert(port);
    }
    let few = |(address, ports): (Ipv4Addr, BTreeSet<_>)| {
        let whole = ports.contains(&None) || ports.len() > SINGLE;
        let ports = if whole { BTreeSet::from([None]) } else { ports };
        ports.into_iter().map(move |port| Moved { address, port })
    };
    by_address.into_iter().flat_map(few).collect()
}

/// A connection's ends: as who began it has them, and as who answers.
struct Ends {
    from: Ipv4Addr,
    to: Ipv4Addr,
    answers: Ipv4Addr,
    back: Ipv4Addr,
    /// The protocol's name, the port that was asked for, and the one that answers.
    ports: Option<(&'static str, u16, u16)>,
}

impl Ends {
    /// Reads `-A … -s 192.0.2.1 -d 198.51.100.9 -g 10.0.0.5 -q 192.0.2.1 -p udp --sport 40 --dport 53
    /// --reply-port-src 4000 --reply-port-dst 40`.
    fn of(line: &str) -> Option<Ends> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after =
            |flag: &str| words.iter().position(|w| *w == flag).and_then(|at| words.get(at + 1)).copied();
        let address = |flag: &str| after(flag)?.parse::<Ipv4Addr>().ok();
        let port = |flag: &str| after(flag)?.parse::<u16>().ok();
        let name = after("-p").and_then(|p| FORWARDED.into_iter().find(|(name, _)| *name == p));
        let ports = || Some((name?.0, port("--dport")?, port("--reply-port-src")?));
        let (from, to) = (address("-s")?, address("-d")?);
        // Those that are translated have other flags.
        let answers = address("-r").or_else(|| address("-g"))?;
        let back = address("-q").or_else(|| address("-n"))?;
        Some(Ends { from, to, answers, back, ports: ports() })
    }

    fn strays(&self, want: &Rules) -> Vec<Moved> {
        let Ends { from, to, answers, back, ports } = self;
        let has = |set: &str, e: String| elements(want, set).is_some_and(|all| all.contains(&e));
        let mut strays = Vec::new();
        let inward =
            has(INWARD, format!("{to} : {answers}")) || ports.is_some_and(|p| self.is_forwarded(p, want));
        if to != answers && !inward {
            strays.push(Moved { address: *to, port: ports.map(|(name, asked, _)| (name, asked)) });
        }
        let outward = has(OUTWARD, format!("{from} : {back}")) || has(OWN, back.to_string());
        if from != back && !outward {
            strays.push(Moved { address: *back, port: None });
        }
        strays
    }

    /// Whether a single port leads there, or a range that keeps its numbers.
    fn is_forwarded(&self, (name, asked, there): (&str, u16, u16), want: &Rules) -> bool {
        let Ends { to, answers, .. } = self;
        let single = elements(want, &format!("forward_{name}"));
        let ranges = elements(want, &format!("range_{name}"));
        let (before, after) = (format!("{to} . "), format!(" : {answers}"));
        let within = |e: &String| {
            let range = e.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
            let (first, last) = range.split_once('-')?;
            let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
            Some((first..=last).contains(&asked))
        };
        single.is_some_and(|s| s.contains(&format!("{to} . {asked} : {answers} . {there}")))
            || asked == there && ranges.into_iter().flatten().any(|e| within(e) == Some(true))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use base::doc::Floating;
    use base::{NetworkId, PortId};

    /// Two guests with floating addresses, a single port and a range.
    fn gateway() -> Gateway {
        let whole = |floating: &str, fixed: &str| Floating {
            floating: floating.parse().unwrap(),
            fixed: fixed.parse().unwrap(),
        };
        let forward = |external, fixed: &str, internal| Forward {
            floating: "198.18.0.60".parse().unwrap(),
            protocol: 17,
            external,
            fixed: fixed.parse().unwrap(),
            internal,
        };
        Gateway {
            port: PortId::new(),
            network: NetworkId::new(),
            mac: "fa:16:3e:00:00:01".into(),
            addresses: vec!["198.18.0.10/24".parse().unwrap()],
            nexthops: vec![],
            snat: true,
            floating: vec![whole("198.18.0.50", "10.0.0.5"), whole("198.18.0.51", "10.0.1.5")],
            forwards: vec![
                forward((5353, 5353), "10.0.0.6", (4000, 4000)),
                forward((7000, 7009), "10.0.1.6", (7000, 7009)),
            ],
            limits: vec![],
        }
    }

    fn rules(gateway: &Gateway) -> Rules {
        router(Some((gateway, "r1")))
    }

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, 0, last)
    }

    #[test]
    fn what_leads_elsewhere_has_moved() {
        let had = gateway();
        assert!(moved(&rules(&had), &rules(&had)).is_empty());
        let mut want = gateway();
        want.floating[0].fixed = "10.0.0.7".parse().unwrap();
        want.forwards[0].fixed = "10.0.0.7".parse().unwrap();
        let one = Moved { address: address(60), port: Some(("udp", 5353)) };
        let all = moved(&rules(&had), &rules(&want));
        assert_eq!(all, [Moved { address: address(50), port: None }, one]);
        // A range has no single port; more of it, or less, is another one.
        let changes: [fn(&mut Forward); 2] =
            [|f| f.fixed = "10.0.0.7".parse().unwrap(), |f| f.external.1 = 7008];
        for change in changes {
            let mut want = gateway();
            change(&mut want.forwards[1]);
            want.forwards[1].internal = want.forwards[1].external;
            let all = moved(&rules(&had), &rules(&want));
            assert_eq!(all, [Moved { address: address(60), port: None }]);
        }
        assert_eq!(moved(&rules(&had), &router(None)).len(), 3, "all of it");
    }

    #[test]
    fn connections_that_nothing_explains_are_strays() {
        let line = |protocol: &str, ends: [&str; 4], ports: (u16, u16)| {
            let [from, to, answers, back] = ends;
            let (asked, there) = ports;
            let answers = format!("{} {answers}", if to == answers { "-r" } else { "-g" });
            let back = format!("{} {back}", if from == back { "-q" } else { "-n" });
            format!(
                "-A -t 29 -u SEEN_REPLY -s {from} -d {to} {answers} {back} -p {protocol} --sport 40 \
                 --dport {asked} --reply-port-src {there} --reply-port-dst 40\n"
            )
        };
        let (out, far) = ("192.0.2.9", "198.18.0.1");
        let good = [
            // Not translated; in, out, and both of it; single ports and ranges.
            line("tcp", ["10.0.0.5", "10.0.1.5", "10.0.1.5", "10.0.0.5"], (22, 22)),
            line("tcp", [out, "198.18.0.50", "10.0.0.5", out], (22, 22)),
            line("tcp", ["10.0.0.5", far, far, "198.18.0.50"], (22, 22)),
            line("udp", ["10.0.0.9", far, far, "198.18.0.10"], (53, 53)),
            line("udp", ["10.0.0.5", "198.18.0.51", "10.0.1.5", "198.18.0.50"], (53, 53)),
            line("udp", [out, "198.18.0.60", "10.0.0.6", out], (5353, 4000)),
            line("udp", [out, "198.18.0.60", "10.0.1.6", out], (7009, 7009)),
            format!(
                "-A -t 9 -s {out} -d 198.18.0.50 -g 10.0.0.5 -q {out} -p icmp --icmp-type 8 --icmp-id 7\n"
            ),
        ];
        let want = rules(&gateway());
        assert!(strays(&good.concat(), &want).is_empty());
        let stray = |line: String| strays(&line, &want);
        let port = |last, port| [Moved { address: address(last), port: Some(("udp", port)) }];
        let whole = |last| [Moved { address: address(last), port: None }];
        assert_eq!(stray(line("udp", [out, "198.18.0.50", "10.0.0.6", out], (53, 53))), port(50, 53));
        assert_eq!(stray(line("udp", [out, "198.18.0.60", "10.0.0.5", out], (5353, 4000))), port(60, 5353));
        assert_eq!(stray(line("udp", [out, "198.18.0.60", "10.0.1.6", out], (7010, 7010))), port(60, 7010));
        assert_eq!(stray(line("udp", ["10.0.0.6", far, far, "198.18.0.50"], (53, 53))), whole(50));
        let many: String =
            (0..9).map(|n| line("udp", [out, "198.18.0.9", "10.0.0.5", out], (n, n))).collect();
        assert_eq!(stray(many), whole(9));
        // A router that is not the home any more translates nothing.
        assert_eq!(strays(&good[1], &router(None)).len(), 1);
    }
}
