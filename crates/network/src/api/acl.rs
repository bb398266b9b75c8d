//! `/hanok/v1/networks/{id}/acl`: the access list of a network. The Network API has none that fits: its
//! firewall groups sit on routers, and its security groups on ports.
//!
//! The rules are stateless and looked at in the order of their priorities, before anything else; what
//! none of them is about passes. The list is read and written as a whole.

use super::network::Networks;
use super::noun::{Noun, held};
use super::{caller, fields};
use crate::act::acl::MAX_RULES;
use crate::model::acl::Rule;
use crate::model::forward::Span;
use crate::{Network, act};
use ::api::{Obj, Reply, Req};
use base::{Fault, Result};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::sync::Arc;
use store::log;

const FIELDS: &[&str] = &[
    "priority",
    "direction",
    "action",
    "ip_version",
    "protocol",
    "ports",
    "source_ports",
    "cidr",
    "description",
];
pub const PROTOCOLS: &[(&str, u8)] = &[("icmp", 1), ("tcp", 6), ("udp", 17), ("icmpv6", 58), ("sctp", 132)];
/// Those of them that have ports.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

fn protocol_view(p: u8) -> Value {
    PROTOCOLS.iter().find(|(_, n)| *n == p).map_or(json!(p), |(name, _)| json!(name))
}

fn span_view((a, b): Span) -> String {
    if a == b { a.to_string() } else { format!("{a}-{b}") }
}

fn view(r: &Rule) -> Value {
    json!({
        "priority": r.priority,
        "direction": if r.ingress { "ingress" } else { "egress" },
        "action": if r.allow { "allow" } else { "deny" },
        "ip_version": r.version,
        "protocol": r.protocol.map(protocol_view),
        "ports": r.ports.map(span_view),
        "source_ports": r.source_ports.map(span_view),
        "cidr": r.remote.map(|n| n.to_string()),
        "description": r.description,
    })
}

fn invalid(at: usize, why: impl std::fmt::Display) -> Fault {
    Fault::bad_request(format!("Rule {} of the list: {why}.", at + 1))
}

/// One of two words.
fn choice(o: &Obj, at: usize, field: &str, [yes, no]: [&str; 2]) -> Result<bool> {
    match o.opt_str(field, fields::TEXT)?.as_deref() {
        Some(w) if w == yes => Ok(true),
        Some(w) if w == no => Ok(false),
        Some(w) => Err(invalid(at, format!("{field} is {yes} or {no}, and '{w}' is neither"))),
        None => Err(invalid(at, format!("{field} is missing: {yes} or {no}"))),
    }
}

/// `80`, `"80"` or `"80-90"`.
fn span(o: &Obj, at: usize, field: &str) -> Result<Option<Span>> {
    let text = match o.map.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(s)) => s.clone(),
        Some(v) => v.to_string(),
    };
    let (a, b) = text.split_once('-').unwrap_or((&text, &text));
    match (a.trim().parse(), b.trim().parse()) {
        (Ok(a), Ok(b)) if a <= b => Ok(Some((a, b))),
        _ => Err(invalid(at, format!("{field} is a port or a range such as 80-90, and {text} is not"))),
    }
}

fn protocol(o: &Obj, at: usize) -> Result<Option<u8>> {
    let text = match o.map.get("protocol") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(s)) => s.to_ascii_lowercase(),
        Some(v) => v.to_string(),
    };
    let known = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, n)| *n);
    let why =
        || invalid(at, format!("protocol is a name such as tcp or a number below 256, and {text} is not"));
    known.or_else(|| text.parse().ok()).map(Some).ok_or_else(why)
}

fn rule(at: usize, o: &Obj) -> Result<Rule> {
    if let Some(k) = o.map.keys().find(|k| !FIELDS.contains(&k.as_str())) {
        return Err(invalid(at, format!("'{k}' is not known; there are {}", FIELDS.join(", "))));
    }
    let priority = fields::int(o, "priority", 1, 65_535)?.and_then(|n| u32::try_from(n).ok());
    let remote = fields::opt_parse::<IpNet>(o, "cidr", "a prefix such as 192.0.2.0/24")?.map(|n| n.trunc());
    let version = match fields::int(o, "ip_version", 4, 6)? {
        Some(5) => return Err(invalid(at, "ip_version is 4 or 6")),
        Some(v) => u8::try_from(v).ok(),
        None => remote.map(|n| if n.addr().is_ipv4() { 4 } else { 6 }),
    };
    let protocol = protocol(o, at)?;
    let rule = Rule {
        priority: priority.ok_or_else(|| invalid(at, "priority is missing: 1 to 65535, the lowest first"))?,
        ingress: choice(o, at, "direction", ["ingress", "egress"])?,
        allow: choice(o, at, "action", ["allow", "deny"])?,
        version,
        protocol,
        ports: span(o, at, "ports")?,
        source_ports: span(o, at, "source_ports")?,
        remote,
        description: fields::text(o, "description")?,
    };
    if remote.is_some_and(|n| Some(if n.addr().is_ipv4() { 4 } else { 6 }) != version) {
        return Err(invalid(at, "cidr is of another IP version than ip_version says"));
    }
    let ports = rule.ports.is_some() || rule.source_ports.is_some();
    if ports && !protocol.is_some_and(|p| WITH_PORTS.contains(&p)) {
        return Err(invalid(at, "ports need a protocol that has some: tcp, udp or sctp"));
    }
    Ok(rule)
}

fn parse(o: &Obj) -> Result<Vec<Rule>> {
    o.only(&["rules", "network_id"])?;
    let list = o.opt_list("rules")?.cloned().unwrap_or_default();
    if list.len() > MAX_RULES {
        return Err(Fault::bad_request(format!("A list can have at most {MAX_RULES} rules.")));
    }
    let one = |(at, v): (usize, Value)| rule(at, &Obj::root(v)?);
    let mut rules: Vec<Rule> = list.into_iter().enumerate().map(one).collect::<Result<_>>()?;
    rules.sort_by_key(|r| r.priority);
    match rules.windows(2).find(|w| w[0].priority == w[1].priority) {
        None => Ok(rules),
        Some(w) => Err(Fault::bad_request(format!(
            "Two rules have the priority {}; each needs one of its own, because it says which is looked at first.",
            w[0].priority
        ))),
    }
}

fn answer(id: &str, rules: &[Rule]) -> Reply {
    let rules: Vec<Value> = rules.iter().map(view).collect();
    Reply::json(200, &json!({"acl": {"network_id": id, "rules": rules}}))
}

pub async fn show(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, id) = (caller(&req)?, req.text_param("id").to_owned());
    let (id, rules) = net
        .db
        .read(move |tx| {
            let n = Networks::find(tx, &caller, &id)?;
            Ok((id, act::acl::of(tx, n.id)?))
        })
        .await?;
    Ok(answer(&id, &rules))
}

pub async fn replace(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let (caller, who, id) = (caller(&req)?, req.who(), req.text_param("id").to_owned());
    let rules = parse(&req.json().await?.inner("acl")?)?;
    let (id, rules) = net
        .db
        .write(move |tx| {
            let n = held::<Networks>(tx, &caller, &id, None, "update")?;
            act::acl::replace(tx, n.id, &rules)?;
            log::audit(tx, &who, "network.acl", &id)?;
            Ok((id, rules))
        })
        .await?;
    Ok(answer(&id, &rules))
}
