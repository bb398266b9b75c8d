//! From a server to what the planner is asked, and from its answer to a claimed host.
//!
//! Everything that rules hosts in or out is read here, in the step's view of the data; what may change under
//! a plan (room, and who of a group is where) is looked at again in the transaction that claims.

use crate::life::resize;
use crate::model::{Hints, Server};
use crate::planner::{self, Ask, Plan, Policy, Room, Rule};
use crate::table::moving::{Kind, Move};
use crate::table::{aggregate, group, host};
use base::doc::HostFacts;
use base::{HostId, Result, ServerId};
use ipnet::IpNet;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use store::{Sql, Tx};

/// Hosts that are looked at first. Where one of them takes the server, it is the best of all.
const FIRST: usize = 64;

/// What a server asks for where it is to be placed anew, and the hosts to plan over: those with the most free
/// memory, as long as one of them will do; all of them where none does, or where others may be preferred.
pub fn choices(tx: &Tx<'_>, s: &Server) -> Result<(Ask, Vec<Room>)> {
    let first = host::best_rooms(tx, &room(s), FIRST)?;
    let wish = ask(tx, s, &first)?;
    if wish.prefer.is_empty() && matches!(planner::plan(&first, &wish), Plan::Try(_)) {
        return Ok((wish, first));
    }
    let all = host::rooms(tx, &wish.class)?;
    Ok((ask(tx, s, &all)?, all))
}

/// What a server asks for but for the rules.
fn room(s: &Server) -> Ask {
    Ask {
        zone: Some(s.availability_zone.clone()).filter(|z| !z.is_empty()),
        host: s.hints.host.clone(),
        class: class(&s.flavor.extra_specs),
        ..Ask::room(s.vcpus.into(), s.ram, s.disk)
    }
}

/// The class of machines that a flavor stands for (`resources:CUSTOM_X=1`, as Compute asks for bare metal);
/// empty: it is a size of guests.
pub fn class(specs: &BTreeMap<String, String>) -> String {
    let custom = |(k, v): (&String, &String)| {
        k.strip_prefix("resources:").filter(|c| c.starts_with("CUSTOM_") && v == "1").map(str::to_owned)
    };
    specs.iter().find_map(custom).unwrap_or_default()
}

/// What a server asks for. `rooms` are the hosts that the plan is made over.
pub fn ask(tx: &Tx<'_>, s: &Server, rooms: &[Room]) -> Result<Ask> {
    let mut ask = room(s);
    ask.rules = flavor_rules(tx, &s.flavor.extra_specs, rooms)?;
    for (hint, value) in &s.hints.hints {
        ask.rules.extend(hint_rule(tx, s, hint, value, rooms)?);
    }
    for need in network::for_compute::needs(tx, s.id)? {
        ask.rules.push(planner::among(&need.what, &need.hosts, rooms));
    }
    if let Some(g) = group::of_server(tx, s.id)?
        && let Some(policy) = Policy::parse(&g.policy, g.max_per_host)
    {
        let (rule, prefer) = planner::group(&g.name, policy, &group::hosts(tx, &g.id, s.id)?, rooms);
        ask.rules.extend(rule);
        ask.prefer = prefer;
    }
    Ok(ask)
}

/// What a server asks for that is to go on elsewhere: the same, on a host that can take it.
pub fn ask_to_move(tx: &Tx<'_>, s: &Server, m: &Move, rooms: &[Room]) -> Result<Ask> {
    let hints = Hints { host: m.wish.clone(), ..s.hints.clone() };
    let mut ask = ask(tx, &Server { hints, ..s.clone() }, rooms)?;
    if m.kind == Kind::Evacuate {
        return Ok(ask);
    }
    let movable: BTreeSet<HostId> = resize::movable(tx, m.from)?.into_iter().collect();
    ask.rules.push(planner::among("what its host can send it to", &movable, rooms));
    if m.live() {
        let suits = alike(tx, m.from, &s.cpu)?;
        ask.rules.push(planner::among("its processor and hypervisor (live migration)", &suits, rooms));
    }
    Ok(ask)
}

/// Hosts where a guest of `from` can go on without a fresh start: that can give the processor that it sees (any
/// of which is the host's own, if it has no name), under no older a QEMU.
fn alike(tx: &Tx<'_>, from: HostId, cpu: &str) -> Result<BTreeSet<HostId>> {
    let all = host::all(tx)?;
    let Some(own) = all.iter().find(|h| h.id == from).map(|h| &h.facts) else { return Ok(BTreeSet::new()) };
    let same = |f: &HostFacts| {
        let processor = match cpu {
            "" => f.cpu_model == own.cpu_model,
            named => f.cpu_models.iter().any(|m| m == named),
        };
        f.accel == own.accel && processor && version(&f.qemu_version) >= version(&own.qemu_version)
    };
    Ok(all.iter().filter(|h| same(&h.facts)).map(|h| h.id).collect())
}

/// The numbers of a version, such as 7 and 2 of `7.2.5`: patch releases do not matter.
fn version(text: &str) -> Vec<u32> {
    text.split('.').take(2).map_while(|n| n.parse().ok()).collect()
}

/// What a flavor's extra specs say of hosts.
pub fn flavor_rules(tx: &Tx<'_>, specs: &BTreeMap<String, String>, rooms: &[Room]) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    if specs.keys().any(|k| k.starts_with("aggregate_instance_extra_specs:")) {
        rules.extend(planner::specs(specs, &aggregate::metadata_by_host(tx)?, rooms));
    }
    if specs.keys().any(|k| k.starts_with("trait:")) {
        rules.extend(planner::traits(specs, &host::traits(tx)?, rooms));
    }
    Ok(rules)
}

fn hint_rule(tx: &Tx<'_>, s: &Server, hint: &str, value: &Value, rooms: &[Room]) -> Result<Option<Rule>> {
    Ok(match hint {
        "same_host" => Some(planner::among("the hint same_host", &hosts_of(tx, value)?, rooms)),
        "different_host" => Some(planner::apart("the hint different_host", &hosts_of(tx, value)?, rooms)),
        "pod" => Some(planner::among("the hint pod", &host::in_pods(tx, texts(value))?, rooms)),
        "same_pod" => Some(planner::among("the hint same_pod", &host::in_pods_of(tx, texts(value))?, rooms)),
        "different_pod" => {
            Some(planner::apart("the hint different_pod", &host::in_pods_of(tx, texts(value))?, rooms))
        }
        "build_near_host_ip" => {
            let near = near(value, s.hints.hints.get("cidr"));
            let hosts = host::all(tx)?;
            let inside = hosts.iter().filter(|h| near.is_some_and(|net| net.contains(&h.address())));
            let inside = inside.map(|h| h.id).collect();
            Some(planner::among("the hint build_near_host_ip", &inside, rooms))
        }
        _ => None,
    })
}

/// The network that `build_near_host_ip` and `cidr` mean: `/24` where none is said.
fn near(ip: &Value, cidr: Option<&Value>) -> Option<IpNet> {
    let ip: IpAddr = ip.as_str()?.parse().ok()?;
    let length = cidr.and_then(Value::as_str).unwrap_or("/24").trim_start_matches('/').parse().ok()?;
    IpNet::new(ip, length).ok()
}

/// One id or a list of them.
pub fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one.as_str()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Where the named servers are.
fn hosts_of(tx: &Tx<'_>, value: &Value) -> Result<BTreeSet<HostId>> {
    let mut q =
        Sql::new("SELECT DISTINCT host_id FROM server WHERE host_id IS NOT NULL AND deleted_at IS NULL");
    q.and_in("id", texts(value));
    Ok(q.rows(tx, |r| r.get(0))?.into_iter().collect())
}

/// Claims the first host of the plan that still has the room and still suits the server's group. The
/// caller writes where the server is in the same transaction.
pub fn claim(tx: &Tx<'_>, id: ServerId, order: &[HostId], ask: &Ask) -> Result<Option<HostId>> {
    let group = group::of_server(tx, id)?;
    let policy = group.as_ref().and_then(|g| Policy::parse(&g.policy, g.max_per_host));
    let mut held = HashMap::new();
    if let Some(g) = &group {
        group::hold(tx, &g.id)?;
        held = group::hosts(tx, &g.id, id)?;
    }
    network::for_compute::hold(tx, id)?;
    for &h in order.iter().filter(|h| policy.is_none_or(|p| p.admits(**h, &held))) {
        // The claim writes a host before others are told; all of them are held in their order first.
        network::for_compute::hold_hosts(tx, id, Some(h), [])?;
        if host::claim(tx, h, ask.vcpus, ask.memory_mib, ask.disk_gib)? {
            return Ok(Some(h));
        }
    }
    Ok(None)
}
