//! What rules a host out beyond room and zone, as sets of hosts with a name that the explanation uses.
//! Pure: who is where and what hosts say of themselves comes in as data.

use base::HostId;
use std::collections::{BTreeSet, HashMap};

/// Hosts that something allows, or leaves out, and what that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As in "1 is ruled out by …".
    name: String,
    hosts: BTreeSet<HostId>,
    allowed: bool,
}

impl Rule {
    /// Only the hosts in `hosts`; `name` says who wants that.
    pub fn among(name: &str, hosts: BTreeSet<HostId>) -> Rule {
        Rule { name: name.to_owned(), hosts, allowed: true }
    }
    /// None of the hosts in `hosts`.
    pub fn apart(name: &str, hosts: BTreeSet<HostId>) -> Rule {
        Rule { name: name.to_owned(), hosts, allowed: false }
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn hosts(&self) -> impl Iterator<Item = HostId> {
        self.hosts.iter().copied()
    }
    /// Whether [`Rule::hosts`] are those that may, or those that may not.
    pub fn allowed(&self) -> bool {
        self.allowed
    }
    pub fn allows(&self, host: HostId) -> bool {
        self.hosts.contains(&host) == self.allowed
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
    /// What is added to the rank of the hosts that hold some of the group.
    pub fn prefers(self, held: &HashMap<HostId, u64>) -> HashMap<HostId, i64> {
        let sign = match self {
            Policy::SoftAffinity => 1,
            Policy::SoftAntiAffinity => -1,
            Policy::Affinity | Policy::AntiAffinity(_) => return HashMap::new(),
        };
        held.iter().map(|(h, n)| (*h, sign * i64::try_from(*n).unwrap_or(i64::MAX))).collect()
    }
    /// The rule of a group with this name, if it rules out any host.
    pub fn rule(self, name: &str, held: &HashMap<HostId, u64>) -> Option<Rule> {
        match self {
            Policy::Affinity if !held.is_empty() => Some(Rule::among(
                &format!("the server group {name} (affinity)"),
                held.keys().copied().collect(),
            )),
            Policy::AntiAffinity(most) => {
                let full = held.iter().filter(|(_, n)| **n >= most).map(|(h, _)| *h).collect();
                Some(Rule::apart(&format!("the server group {name} (anti-affinity)"), full))
            }
            _ => None,
        }
    }
}

/// Whether a value meets a flavor's wish: plain text is equality, and the operators are Compute's
/// (`s==`, `s!=`, `=` for at least, `==`, `!=`, `>=`, `<=`, `<in>`, `<or> a <or> b`).
pub fn matches(wanted: &str, value: &str) -> bool {
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
