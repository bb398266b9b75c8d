//! What rules hosts out beyond room and zone: a name, and the hosts, as a set or as what selects them.
//!
//! The database looks at filters while it walks the hosts by free memory, so that a filter that allows or leaves out
//! thousands of hosts costs no list of thousands. Where nothing is left, the same filters become the planner's
//! [`Rule`]s, by which it explains how many hosts each has ruled out.

use super::texts;
use crate::model::Server;
use crate::planner::{Policy, Rule, matches};
use crate::table::{aggregate, group, host};
use base::{HostId, Result};
use ipnet::IpNet;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use store::{Sql, Tx};

/// Up to so many hosts, a filter is a list of them; it is looked up host by host where there are more.
const FEW: usize = 256;

/// Hosts that something allows, or leaves out.
#[derive(Debug, Clone)]
pub enum Filter {
    Known(Rule),
    /// `hosts` selects `host_id`.
    Select {
        name: String,
        hosts: Sql,
        allowed: bool,
    },
}

impl Filter {
    fn among(name: impl Into<String>, hosts: Sql) -> Filter {
        Filter::Select { name: name.into(), hosts, allowed: true }
    }
    fn apart(name: impl Into<String>, hosts: Sql) -> Filter {
        Filter::Select { name: name.into(), hosts, allowed: false }
    }
    /// As the planner wants it.
    pub fn rule(&self, tx: &Tx<'_>) -> Result<Rule> {
        match self {
            Filter::Known(rule) => Ok(rule.clone()),
            Filter::Select { name, hosts, allowed } => {
                let hosts = hosts.rows(tx, |r| r.get(0))?.into_iter().collect();
                Ok(if *allowed { Rule::among(name, hosts) } else { Rule::apart(name, hosts) })
            }
        }
    }
    /// Adds ` AND …` to a query of the table `host`.
    pub fn and(&self, tx: &Tx<'_>, q: &mut Sql) -> Result<()> {
        let (hosts, allowed) = match self {
            Filter::Known(rule) => {
                in_list(q, rule.hosts(), rule.allowed());
                return Ok(());
            }
            Filter::Select { hosts, allowed, .. } => (hosts, *allowed),
        };
        let mut first = Sql::new("SELECT f.host_id FROM (");
        first.add(hosts).push(") f").limit(FEW + 1);
        let few: Vec<HostId> = first.rows(tx, |r| r.get(0))?;
        if few.len() <= FEW {
            in_list(q, few, allowed);
        } else {
            q.push(if allowed { " AND EXISTS" } else { " AND NOT EXISTS" });
            q.push(" (SELECT 1 FROM (").add(hosts).push(") f WHERE f.host_id = host.id)");
        }
        Ok(())
    }
}

fn in_list(q: &mut Sql, hosts: impl IntoIterator<Item = HostId>, allowed: bool) {
    let mut hosts = hosts.into_iter().peekable();
    if allowed {
        q.and_in("id", hosts);
    } else if hosts.peek().is_some() {
        q.push(" AND id NOT IN (").list(hosts).push(")");
    }
}

/// Everything that rules hosts out for a server, and what its group would rather have.
pub fn of(tx: &Tx<'_>, s: &Server) -> Result<(Vec<Filter>, HashMap<HostId, i64>)> {
    let (mut all, mut prefer) = (of_flavor(tx, &s.flavor.extra_specs)?, HashMap::new());
    for (hint, value) in &s.hints.hints {
        all.extend(of_hint(tx, s, hint, value)?);
    }
    if s.launched_at.is_none() && !s.hints.tried.is_empty() {
        let tried = s.hints.tried.iter().copied().collect();
        all.push(Filter::Known(Rule::apart("an earlier try to make it there", tried)));
    }
    for need in network::for_compute::needs(tx, s.id)? {
        all.push(Filter::among(need.what, need.hosts));
    }
    if let Some(g) = group::of_server(tx, s.id)?
        && let Some(policy) = Policy::parse(&g.policy, g.max_per_host)
    {
        let held = group::hosts(tx, &g.id, s.id)?;
        all.extend(policy.rule(&g.name, &held).map(Filter::Known));
        prefer = policy.prefers(&held);
    }
    Ok((all, prefer))
}

/// What a flavor's extra specs say of hosts: `aggregate_instance_extra_specs:NAME` and `trait:NAME`.
pub(super) fn of_flavor(tx: &Tx<'_>, specs: &BTreeMap<String, String>) -> Result<Vec<Filter>> {
    let mut all = Vec::new();
    for (spec, wanted) in specs {
        if let Some(name) = spec.strip_prefix("aggregate_instance_extra_specs:") {
            let suits = aggregate::values(tx, name)?.into_iter().filter(|(_, v)| matches(wanted, v));
            let mut hosts = Sql::new("SELECT host_id FROM aggregate_host WHERE 1 = 1");
            hosts.and_in("aggregate_id", suits.map(|(id, _)| id));
            all.push(Filter::among(format!("the flavor's {name} = {wanted} (host aggregates)"), hosts));
        } else if let Some(name) = spec.strip_prefix("trait:") {
            let (says, hosts) = (format!("the flavor's trait {name} ({wanted})"), host::with_trait(name));
            let kind = if wanted == "forbidden" { Filter::apart } else { Filter::among };
            all.push(kind(says, hosts));
        }
    }
    Ok(all)
}

fn of_hint(tx: &Tx<'_>, s: &Server, hint: &str, value: &Value) -> Result<Option<Filter>> {
    let name = format!("the hint {hint}");
    Ok(Some(match hint {
        "same_host" => Filter::among(name, hosts_of(value)),
        "different_host" => Filter::apart(name, hosts_of(value)),
        "pod" => Filter::among(name, host::in_pods(texts(value))),
        "same_pod" => Filter::among(name, host::in_pods_of(texts(value))),
        "different_pod" => Filter::apart(name, host::in_pods_of(texts(value))),
        "build_near_host_ip" => {
            let near = near(value, s.hints.hints.get("cidr"));
            let hosts = host::all(tx)?;
            let inside = hosts.iter().filter(|h| near.is_some_and(|net| net.contains(&h.address())));
            Filter::Known(Rule::among(&name, inside.map(|h| h.id).collect()))
        }
        _ => return Ok(None),
    }))
}

/// The network that `build_near_host_ip` and `cidr` mean: `/24` where none is said.
fn near(ip: &Value, cidr: Option<&Value>) -> Option<IpNet> {
    let ip: IpAddr = ip.as_str()?.parse().ok()?;
    let length = cidr.and_then(Value::as_str).unwrap_or("/24").trim_start_matches('/').parse().ok()?;
    IpNet::new(ip, length).ok()
}

/// Where the named servers are.
fn hosts_of(servers: &Value) -> Sql {
    let mut q = Sql::new("SELECT host_id FROM server WHERE host_id IS NOT NULL AND deleted_at IS NULL");
    q.and_in("id", texts(servers));
    q
}
