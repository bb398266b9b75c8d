//! From a server to what the planner is asked, and from its answer to a claimed host.
//!
//! Everything that rules hosts in or out is read here, in the step's view of the data; what may change under
//! a plan (room, and who of a group is where) is looked at again in the transaction that claims.

mod filters;

use crate::life::resize;
use crate::model::{Hints, Server};
use crate::planner::{Ask, Policy, Room, Rule};
use crate::table::moving::{Kind, Move};
use crate::table::{group, host};
use base::doc::HostFacts;
use base::{HostId, Result, ServerId};
use filters::Filter;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::Tx;

/// So many hosts are planned over where that many suit: the best of them all.
const FIRST: usize = 64;

/// What a server asks for where it is to be placed anew, and the hosts to plan over: the best of those that suit it;
/// all of them where none does.
pub fn choices(tx: &Tx<'_>, s: &Server) -> Result<(Ask, Vec<Room>)> {
    let wish = Wish::of(tx, s)?;
    let best = wish.best(tx)?;
    if best.is_empty() { wish.over_all(tx) } else { Ok((wish.ask, best)) }
}

/// What a server asks for, and all hosts to plan over.
pub fn choices_of_all(tx: &Tx<'_>, s: &Server) -> Result<(Ask, Vec<Room>)> {
    Wish::of(tx, s)?.over_all(tx)
}

/// What a server asks for, before any host is looked at.
struct Wish {
    /// Without rules.
    ask: Ask,
    filters: Vec<Filter>,
}

impl Wish {
    fn of(tx: &Tx<'_>, s: &Server) -> Result<Wish> {
        let (filters, prefer) = filters::of(tx, s)?;
        let room = Ask::room(s.vcpus.into(), s.ram, s.disk);
        let zone = Some(s.availability_zone.clone()).filter(|z| !z.is_empty());
        let (host, class) = (s.hints.host.clone(), class(&s.flavor.extra_specs));
        Ok(Wish { ask: Ask { zone, host, class, prefer, ..room }, filters })
    }
    /// The hosts that suit, those with the most free memory first. Whatever a group prefers or would rather not have
    /// is among them, as it is ranked before memory.
    fn best(&self, tx: &Tx<'_>) -> Result<Vec<Room>> {
        let among = |extra: Option<Rule>| {
            host::best_rooms(tx, &self.ask, FIRST, |q| {
                let extra = extra.map(Filter::Known);
                self.filters.iter().chain(&extra).try_for_each(|f| f.and(tx, q))
            })
        };
        let ranked: BTreeSet<HostId> = self.ask.prefer.keys().copied().collect();
        if ranked.is_empty() {
            return among(None);
        }
        let mut best = among(Some(Rule::among("", ranked.clone())))?;
        best.extend(among(Some(Rule::apart("", ranked)))?);
        Ok(best)
    }
    fn over_all(self, tx: &Tx<'_>) -> Result<(Ask, Vec<Room>)> {
        let rules = rules(tx, &self.filters)?;
        let rooms = host::rooms(tx, &self.ask.class)?;
        Ok((Ask { rules, ..self.ask }, rooms))
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

fn rules(tx: &Tx<'_>, filters: &[Filter]) -> Result<Vec<Rule>> {
    filters.iter().map(|f| f.rule(tx)).collect()
}

/// What a flavor's extra specs say of hosts.
pub fn flavor_rules(tx: &Tx<'_>, specs: &BTreeMap<String, String>) -> Result<Vec<Rule>> {
    rules(tx, &filters::of_flavor(tx, specs)?)
}

/// What a server asks for that is to go on elsewhere: the same, on a host that can take it.
pub fn choices_to_move(tx: &Tx<'_>, s: &Server, m: &Move) -> Result<(Ask, Vec<Room>)> {
    let hints = Hints { host: m.wish.clone(), ..s.hints.clone() };
    let (mut ask, rooms) = choices_of_all(tx, &Server { hints, ..s.clone() })?;
    if m.kind == Kind::Evacuate {
        return Ok((ask, rooms));
    }
    let movable = resize::movable(tx, m.from)?.into_iter().collect();
    ask.rules.push(Rule::among("what its host can send it to", movable));
    if m.live() {
        let suits = alike(tx, m.from, &s.cpu)?;
        ask.rules.push(Rule::among("its processor and hypervisor (live migration)", suits));
    }
    Ok((ask, rooms))
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

/// One id or a list of them.
pub fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one.as_str()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
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
