//! What rules a host out beyond room and zone, as sets of hosts with a name that the explanation uses.
//! Pure: who is where and what hosts say of themselves comes in as data.

use super::Room;
use base::HostId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Hosts that something allows, and what that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As in "1 is ruled out by …".
    pub name: String,
    allowed: BTreeSet<HostId>,
}

impl Rule {
    pub fn allows(&self, host: HostId) -> bool {
        self.allowed.contains(&host)
    }
    fn of(name: String, rooms: &[Room], fits: impl Fn(&Room) -> bool) -> Rule {
        Rule { name, allowed: rooms.iter().filter(|r| fits(r)).map(|r| r.id).collect() }
    }
}

/// How the servers of a group lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Affinity,
    /// At most so many on one host.
    AntiAffinity(u64),
    SoftAffinity,
    SoftAntiAffinity,
}

impl Policy {
    pub fn parse(name: &str, max_per_host: Option<i64>) -> Option<Policy> {
        Some(match name {
            "affinity" => Policy::Affinity,
            "anti-affinity" => Policy::AntiAffinity(max_per_host.map_or(1, i64::unsigned_abs).max(1)),
            "soft-affinity" => Policy::SoftAffinity,
            "soft-anti-affinity" => Policy::SoftAntiAffinity,
            _ => return None,
        })
    }
    /// Whether one more server may go to a host, by how many of the group each host holds.
    pub fn admits(self, host: HostId, held: &HashMap<HostId, u64>) -> bool {
        match self {
            Policy::Affinity => held.is_empty() || held.contains_key(&host),
            Policy::AntiAffinity(most) => held.get(&host).is_none_or(|n| *n < most),
            Policy::SoftAffinity | Policy::SoftAntiAffinity => true,
        }
    }
}

/// The rule of a group, or what it prefers where it is soft.
pub fn group(
    name: &str,
    policy: Policy,
    held: &HashMap<HostId, u64>,
    rooms: &[Room],
) -> (Option<Rule>, HashMap<HostId, i64>) {
    let rank = |sign: i64| held.iter().map(|(h, n)| (*h, sign * i64::try_from(*n).unwrap_or(1))).collect();
    let words = match policy {
        Policy::SoftAffinity => return (None, rank(1)),
        Policy::SoftAntiAffinity => return (None, rank(-1)),
        Policy::Affinity => "affinity",
        Policy::AntiAffinity(_) => "anti-affinity",
    };
    let name = format!("the server group {name} ({words})");
    (Some(Rule::of(name, rooms, |r| policy.admits(r.id, held))), HashMap::new())
}

/// Only the hosts in `hosts`; `name` says who wants that.
pub fn among(name: &str, hosts: &BTreeSet<HostId>, rooms: &[Room]) -> Rule {
    Rule::of(name.to_owned(), rooms, |r| hosts.contains(&r.id))
}

/// None of the hosts in `hosts`.
pub fn apart(name: &str, hosts: &BTreeSet<HostId>, rooms: &[Room]) -> Rule {
    Rule::of(name.to_owned(), rooms, |r| !hosts.contains(&r.id))
}

/// Values by name: of all aggregates that a host is in.
pub type Specs = BTreeMap<String, BTreeSet<String>>;

/// One rule per `aggregate_instance_extra_specs:NAME` of a flavor.
pub fn specs(flavor: &BTreeMap<String, String>, hosts: &HashMap<HostId, Specs>, rooms: &[Room]) -> Vec<Rule> {
    let asked =
        flavor.iter().filter_map(|(k, v)| Some((k.strip_prefix("aggregate_instance_extra_specs:")?, v)));
    let rule = |(name, wanted): (&str, &String)| {
        Rule::of(format!("the flavor's {name} = {wanted} (host aggregates)"), rooms, |r| {
            let values = hosts.get(&r.id).and_then(|m| m.get(name));
            values.is_some_and(|all| all.iter().any(|v| matches(wanted, v)))
        })
    };
    asked.map(rule).collect()
}

/// Whether a value meets a flavor's wish: plain text is equality, and the operators are Compute's
/// (`s==`, `s!=`, `=` for at least, `==`, `!=`, `>=`, `<=`, `<in>`, `<or> a <or> b`).
fn matches(wanted: &str, value: &str) -> bool {
    let Some((op, rest)) = wanted.trim().split_once(' ') else { return wanted == value };
    let rest = rest.trim();
    let numbers = || Some((value.parse::<f64>().ok()?, rest.parse::<f64>().ok()?));
    let compare = |f: fn(&f64, &f64) -> bool| numbers().is_some_and(|(a, b)| f(&a, &b));
    match op {
        "=" | ">=" => compare(|a, b| a >= b),
        "<=" => compare(|a, b| a <= b),
        "==" => compare(|a, b| a == b),
        "!=" => compare(|a, b| a != b),
        "s==" => value == rest,
        "s!=" => value != rest,
        "s<" => value < rest,
        "s<=" => value <= rest,
        "s>" => value > rest,
        "s>=" => value >= rest,
        "<in>" => value.contains(rest),
        "<or>" => rest.split("<or>").any(|v| v.trim() == value),
        _ => wanted == value,
    }
}

/// One rule per `trait:NAME` of a flavor, which is `required` or `forbidden`.
pub fn traits(
    flavor: &BTreeMap<String, String>,
    hosts: &HashMap<HostId, BTreeSet<String>>,
    rooms: &[Room],
) -> Vec<Rule> {
    let asked = flavor.iter().filter_map(|(k, v)| Some((k.strip_prefix("trait:")?, v.as_str())));
    let rule = |(name, how): (&str, &str)| {
        Rule::of(format!("the flavor's trait {name} ({how})"), rooms, |r| {
            hosts.get(&r.id).is_some_and(|t| t.contains(name)) != (how == "forbidden")
        })
    };
    asked.map(rule).collect()
}
