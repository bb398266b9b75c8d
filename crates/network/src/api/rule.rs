//! `/v2.0/security-group-rules`

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, fields};
use crate::act::{self, Caller, group::NewRule};
use crate::model::{Rule, Std, parse_net};
use crate::{err, table};
use ::api::Obj;
use base::{AddressGroupId, Fault, Result, SecurityGroupId};
use serde::Serialize;
use serde_json::Value;
use store::{Row, Sql, Tx};

pub struct Rules;

#[derive(Serialize)]
pub struct View {
    id: String,
    security_group_id: String,
    direction: &'static str,
    ethertype: &'static str,
    protocol: Option<String>,
    port_range_min: Option<u16>,
    port_range_max: Option<u16>,
    remote_ip_prefix: Option<String>,
    normalized_cidr: Option<String>,
    remote_group_id: Option<SecurityGroupId>,
    remote_address_group_id: Option<AddressGroupId>,
    belongs_to_default_sg: bool,
    #[serde(flatten)]
    common: Common,
}

const FIELDS: &[&str] = &[
    "security_group_id",
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
    "remote_address_group_id",
];

/// Names of protocols that rules may use (IANA's protocol numbers).
const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6-encap", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ospf", 89),
    ("vrrp", 112),
    ("pgm", 113),
    ("sctp", 132),
    ("udplite", 136),
];

const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// The protocol as it is kept (name or number; empty is any) and its number.
fn protocol(o: &Obj, v6: bool) -> Result<(String, Option<u8>)> {
    let given = match o.map.get("protocol") {
        None | Some(Value::Null) => return Ok((String::new(), None)),
        Some(Value::String(s)) => s.to_ascii_lowercase(),
        Some(Value::Number(n)) => n.to_string(),
        Some(v) => v.to_string(),
    };
    if given.is_empty() || given == "any" {
        return Ok((String::new(), None));
    }
    let named = PROTOCOLS.iter().find(|(n, _)| *n == given).map(|(_, n)| *n);
    let Some(number) = named.or_else(|| given.parse::<u8>().ok()) else {
        let names: Vec<&str> = PROTOCOLS.iter().map(|(n, _)| *n).collect();
        return Err(err::bad(
            "SecurityGroupRuleInvalidProtocol",
            format!(
                "Security group rule protocol {given} not supported. Only protocol values {} and integer representations [0 to 255] are supported.",
                names.join(", ")
            ),
        ));
    };
    let only6 = given.starts_with("ipv6-") || given == "icmpv6";
    if only6 && !v6 {
        return Err(err::bad(
            "SecurityGroupEthertypeConflictWithProtocol",
            format!("Invalid ethertype IPv4 for protocol {given}."),
        ));
    }
    // Who says icmp of IPv6 means that of IPv6.
    if v6 && number == ICMP {
        return Ok(("ipv6-icmp".into(), Some(ICMP6)));
    }
    Ok((given, Some(number)))
}

fn number(o: &Obj, field: &str) -> Result<Option<i64>> {
    match o.map.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(n)) => n.as_i64(),
        Some(Value::String(s)) if s.is_empty() => return Ok(None),
        Some(Value::String(s)) => s.trim().parse().ok(),
        Some(_) => None,
    }
    .map(Some)
    .ok_or_else(|| {
        err::bad("SecurityGroupInvalidPortValue", format!("Invalid value for port {}", o.map[field]))
    })
}

type Span = (Option<u16>, Option<u16>);

fn ports(o: &Obj, proto: Option<u8>, name: &str) -> Result<Span> {
    let (min, max) = (number(o, "port_range_min")?, number(o, "port_range_max")?);
    if min.is_none() && max.is_none() {
        return Ok((None, None));
    }
    let Some(proto) = proto else {
        return Err(err::bad(
            "SecurityGroupProtocolRequiredWithPorts",
            "Must also specify protocol if port range is given.",
        ));
    };
    match proto {
        6 | 17 | 33 | 132 | 136 => transport(min, max),
        ICMP | ICMP6 => icmp(min, max),
        _ => Err(err::bad(
            "SecurityGroupInvalidProtocolForPort",
            format!(
                "Invalid protocol {name} for port range, only supported for tcp, udp, sctp, dccp, udplite and icmp."
            ),
        )),
    }
}

fn transport(min: Option<i64>, max: Option<i64>) -> Result<Span> {
    for n in [min, max].into_iter().flatten() {
        if !(1..=65_535).contains(&n) {
            return Err(err::bad("SecurityGroupInvalidPortValue", format!("Invalid value for port {n}")));
        }
    }
    match (min, max) {
        (Some(a), Some(b)) if a <= b => Ok((u16::try_from(a).ok(), u16::try_from(b).ok())),
        _ => Err(err::bad(
            "SecurityGroupInvalidPortRange",
            "For TCP/UDP protocols, port_range_min must be <= port_range_max, and both must be given.",
        )),
    }
}

fn icmp(kind: Option<i64>, code: Option<i64>) -> Result<Span> {
    for (n, field, what) in [(kind, "port_range_min", "type"), (code, "port_range_max", "code")] {
        if n.is_some_and(|n| !(0..=255).contains(&n)) {
            return Err(err::bad(
                "SecurityGroupInvalidIcmpValue",
                format!(
                    "Invalid value for ICMP {what} ({field}) {}. It must be 0 to 255.",
                    n.unwrap_or_default()
                ),
            ));
        }
    }
    if kind.is_none() {
        return Err(err::bad(
            "SecurityGroupMissingIcmpType",
            "ICMP code (port-range-max) is provided but ICMP type (port-range-min) is missing.",
        ));
    }
    Ok((kind.and_then(|n| u16::try_from(n).ok()), code.and_then(|n| u16::try_from(n).ok())))
}

/// A group's id. One that does not even look like an id is a group that does not exist.
fn group_id(o: &Obj, field: &str) -> Result<Option<SecurityGroupId>> {
    let Some(text) = o.opt_str(field, fields::TEXT)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| err::no_group(text))
}

fn ethertype(o: &Obj) -> Result<bool> {
    let given = o.opt_str("ethertype", fields::TEXT)?.unwrap_or_else(|| "IPv4".into());
    match given.to_ascii_lowercase().as_str() {
        "ipv4" => Ok(false),
        "ipv6" => Ok(true),
        _ => Err(err::bad(
            "SecurityGroupRuleInvalidEtherType",
            format!(
                "Security group rule for ethertype '{given}' not supported. Allowed values are IPv4, IPv6."
            ),
        )),
    }
}

/// The prefix as it is kept: a lone address gets its length.
fn remote_prefix(o: &Obj, v6: bool) -> Result<Option<String>> {
    let Some(text) = o.opt_str("remote_ip_prefix", fields::TEXT)?.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let net = parse_net(&text)
        .ok_or_else(|| err::bad("InvalidCIDR", format!("Invalid CIDR {text} given as IP prefix.")))?;
    if net.addr().is_ipv6() != v6 {
        return Err(err::bad(
            "SecurityGroupRuleParameterConflict",
            format!("Conflicting value ethertype {} for CIDR {text}", if v6 { "IPv6" } else { "IPv4" }),
        ));
    }
    Ok(Some(net.to_string()))
}

/// Refuses more than one peer.
pub fn one_remote() -> Fault {
    err::bad(
        "SecurityGroupMultipleRemoteEntites",
        "Only remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
    )
}

/// A rule of `group` as a body says it.
pub fn parse(o: &Obj, group: SecurityGroupId) -> Result<NewRule> {
    fields::only(o, FIELDS, "POST")?;
    let direction = o.str("direction", fields::TEXT)?;
    let ingress = match direction.as_str() {
        "ingress" => true,
        "egress" => false,
        _ => {
            return Err(err::invalid(format!(
                "Invalid input for direction. Reason: '{direction}' is not in ['ingress', 'egress']."
            )));
        }
    };
    let v6 = ethertype(o)?;
    let (protocol, proto) = protocol(o, v6)?;
    let (min, max) = ports(o, proto, &protocol)?;
    let remote_group = group_id(o, "remote_group_id")?;
    let remote_prefix = remote_prefix(o, v6)?;
    let remote_addresses = match o.opt_str("remote_address_group_id", fields::TEXT)? {
        None => None,
        Some(id) => Some(id.parse::<AddressGroupId>().map_err(|_| err::no_addresses(id))?),
    };
    let remotes = [remote_group.is_some(), remote_prefix.is_some(), remote_addresses.is_some()];
    if remotes.iter().filter(|r| **r).count() > 1 {
        return Err(one_remote());
    }
    Ok(NewRule {
        group,
        description: fields::text(o, "description")?,
        ingress,
        v6,
        protocol,
        proto,
        min,
        max,
        remote_prefix,
        remote_group,
        remote_addresses,
    })
}

impl Noun for Rules {
    const ONE: &'static str = "security_group_rule";
    const MANY: &'static str = "security_group_rules";
    const TABLE: &'static str = "security_group_rule";
    const COLS: &'static str = table::group::RULE_COLS;
    const CHANGES: bool = false;
    const FILTERS: Filters = &[
        ("security_group_id", How::Text("t.group_id")),
        ("direction", How::Text("t.direction")),
        ("ethertype", How::Text("t.ethertype")),
        ("protocol", How::Text("t.protocol")),
        ("port_range_min", How::Int("t.port_min")),
        ("port_range_max", How::Int("t.port_max")),
        ("remote_ip_prefix", How::Text("t.remote_prefix")),
        ("remote_group_id", How::Text("t.remote_group_id")),
        ("remote_address_group_id", How::Text("t.remote_address_group_id")),
        ("belongs_to_default_sg", How::With(by_default)),
        // A rule never changes.
        ("updated_at", How::Time("t.created_at")),
        ("changed_since", How::Since("t.created_at")),
    ];
    type Row = Rule;
    type View = View;
    type New = NewRule;
    type Change = ();

    fn read(r: &Row<'_>) -> Result<Rule> {
        table::group::read_rule(r)
    }
    fn id(row: &Rule) -> String {
        row.id.to_string()
    }
    fn std(row: &Rule) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_rule(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        q.push(" AND (t.project_id = ").bind(project).push(" OR ");
        table::rbac::open_to(q, "t.group_id", "security_group", project);
        q.push(")");
    }
    fn views(tx: &Tx<'_>, _caller: &Caller, rows: Vec<Rule>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|r| r.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let defaults = table::group::defaults(tx, rows.iter().map(|r| r.group))?;
        let view = |(r, id): (Rule, String)| View {
            security_group_id: r.group.to_string(),
            direction: if r.ingress { "ingress" } else { "egress" },
            ethertype: if r.v6 { "IPv6" } else { "IPv4" },
            port_range_min: r.min,
            port_range_max: r.max,
            normalized_cidr: r.masked_prefix().map(|n| n.to_string()),
            remote_group_id: r.remote_group,
            remote_address_group_id: r.remote_addresses,
            belongs_to_default_sg: defaults.contains(&r.group),
            common: Common::new(&r.std, tags.remove(&id)),
            remote_ip_prefix: r.remote_prefix,
            protocol: Some(r.protocol).filter(|p| !p.is_empty()),
            id,
        };
        Ok(rows.into_iter().zip(ids).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Rule> {
        let missing = || err::no_rule(id);
        let rule = table::group::rule_by_id(tx, id.parse().map_err(|_| missing())?)?.ok_or_else(missing)?;
        match act::rbac::sees(tx, caller, &rule.group.to_string(), &rule.std.project)? {
            true => Ok(rule),
            false => Err(missing()),
        }
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<NewRule> {
        fields::project(o, caller)?;
        let group = group_id(o, "security_group_id")?
            .ok_or_else(|| Fault::bad_request("'security_group_id' is required: whose rule it is."))?;
        parse(o, group)
    }
    fn create(tx: &Tx<'_>, caller: &Caller, new: NewRule) -> Result<Rule> {
        act::group::create_rule(tx, caller, &new)
    }
    fn parse_change(_o: &Obj, _caller: &Caller) -> Result<()> {
        Ok(())
    }
    fn update(_tx: &Tx<'_>, _caller: &Caller, _row: Rule, (): ()) -> Result<()> {
        Ok(())
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, r: Rule) -> Result<()> {
        act::group::delete_rule(tx, &r)
    }
    fn before_list(tx: &Tx<'_>, caller: &Caller) -> Result<bool> {
        super::group::Groups::before_list(tx, caller)
    }
    fn make_before_list(tx: &Tx<'_>, caller: &Caller) -> Result<()> {
        super::group::Groups::make_before_list(tx, caller)
    }
}

fn by_default(q: &mut Sql, values: &[&str]) -> Result<()> {
    let yes = super::list::bools(values)?.first() == Some(&1);
    q.push(if yes { " AND t.group_id IN " } else { " AND t.group_id NOT IN " });
    q.push("(SELECT id FROM security_group WHERE name = 'default')");
    Ok(())
}
