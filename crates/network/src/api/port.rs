//! `/v2.0/ports`

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, fields, qos};
use crate::act::address::{self, Want};
use crate::act::{self, Caller};
use crate::model::{Pair, Port, Std, parse_net};
use crate::table::qos::Holder;
use crate::{err, plan, table, touch};
use ::api::Obj;
use base::doc::DhcpOption;
use base::{Fault, QosPolicyId, Result, SecurityGroupId};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use store::{Row, Sql, Tx};

pub struct Ports;

const MAX_PAIRS: usize = 10;
/// DHCP options of one port: they are in its host's document, and a reply holds no more of them anyway.
const MAX_OPTIONS: usize = 64;

#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    network_id: String,
    mac_address: String,
    admin_state_up: bool,
    status: &'static str,
    device_id: String,
    device_owner: String,
    fixed_ips: Vec<Fixed>,
    security_groups: Vec<SecurityGroupId>,
    allowed_address_pairs: Value,
    extra_dhcp_opts: Value,
    port_security_enabled: bool,
    dns_name: String,
    dns_assignment: Value,
    qos_policy_id: Option<QosPolicyId>,
    qos_network_policy_id: Option<QosPolicyId>,
    #[serde(rename = "binding:vnic_type")]
    vnic_type: String,
    #[serde(flatten)]
    binding: Option<Binding>,
    #[serde(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Fixed {
    subnet_id: String,
    ip_address: IpAddr,
}

/// What only admins see: where the port is.
#[derive(Serialize)]
struct Binding {
    #[serde(rename = "binding:host_id")]
    host_id: String,
    #[serde(rename = "binding:profile")]
    profile: Value,
    #[serde(rename = "binding:vif_type")]
    vif_type: &'static str,
    #[serde(rename = "binding:vif_details")]
    vif_details: Value,
}

impl Binding {
    fn of(p: &Port) -> Self {
        let (vif_type, vif_details) = match (p.host, p.binding_host.is_empty()) {
            (Some(_), _) => ("bridge", json!({"port_filter": true, "connectivity": "l2"})),
            (None, true) => ("unbound", json!({})),
            (None, false) => ("binding_failed", json!({})),
        };
        Binding { host_id: p.binding_host.clone(), profile: p.profile.clone(), vif_type, vif_details }
    }
}

const FIELDS: &[&str] = &[
    "admin_state_up",
    "fixed_ips",
    "mac_address",
    "device_id",
    "device_owner",
    "security_groups",
    "allowed_address_pairs",
    "extra_dhcp_opts",
    "port_security_enabled",
    "dns_name",
    "qos_policy_id",
    "binding:host_id",
    "binding:profile",
    "binding:vnic_type",
];
const NEW_FIELDS: &[&str] = &[
    "network_id",
    "admin_state_up",
    "fixed_ips",
    "mac_address",
    "device_id",
    "device_owner",
    "security_groups",
    "allowed_address_pairs",
    "extra_dhcp_opts",
    "port_security_enabled",
    "dns_name",
    "qos_policy_id",
    "binding:host_id",
    "binding:profile",
    "binding:vnic_type",
];
const ADMINS: &[&str] = &["binding:host_id", "binding:profile"];

/// A DHCP option by name, its value (`None` deletes it) and IP version.
type OptionChange = (String, Option<String>, u8);

#[derive(Default)]
pub struct Change {
    name: Option<String>,
    description: Option<String>,
    admin_up: Option<bool>,
    fixed: Option<Vec<Want>>,
    mac: Option<String>,
    device_id: Option<String>,
    device_owner: Option<String>,
    groups: Option<Vec<SecurityGroupId>>,
    pairs: Option<Vec<Pair>>,
    dhcp_options: Option<Vec<OptionChange>>,
    port_security: Option<bool>,
    dns_name: Option<String>,
    binding_host: Option<String>,
    vnic_type: Option<String>,
    profile: Option<Value>,
    qos: Option<Option<QosPolicyId>>,
}

fn groups(o: &Obj) -> Result<Option<Vec<SecurityGroupId>>> {
    if o.is_null("security_groups") {
        return Ok(Some(Vec::new()));
    }
    const F: &str = "security_groups";
    fields::each(o, F, |v| {
        fields::parse(F, v, "a valid UUID").map_err(|_| err::no_group(v.as_str().unwrap_or("")))
    })
}

fn pairs(o: &Obj) -> Result<Option<Vec<Pair>>> {
    const F: &str = "allowed_address_pairs";
    if o.is_null(F) {
        return Ok(Some(Vec::new()));
    }
    let list = fields::each(o, F, |v| {
        let Value::Object(map) = v else {
            return Err(err::invalid(format!("Invalid input for {F}. Reason: each must be an object.")));
        };
        let inner = Obj { name: F.into(), map: map.clone() };
        let Some(ip) = inner.opt_str("ip_address", fields::TEXT)? else {
            return Err(err::bad("AddressPairMissingIP", "AllowedAddressPair must contain ip_address."));
        };
        if parse_net(&ip).is_none() {
            return Err(err::invalid(format!(
                "'{ip}' is neither a valid IP address, nor is it a valid IP subnet."
            )));
        }
        Ok(Pair { ip_address: ip, mac_address: fields::mac(&inner, "mac_address")?.unwrap_or_default() })
    })?;
    let Some(list) = list else { return Ok(None) };
    if list.len() > MAX_PAIRS {
        return Err(err::bad(
            "AllowedAddressPairExhausted",
            format!("The number of allowed address pair exceeds the maximum {MAX_PAIRS}."),
        ));
    }
    for (i, p) in list.iter().enumerate() {
        if list[..i].contains(p) {
            return Err(err::bad(
                "DuplicateAddressPairInRequest",
                format!("Request contains duplicate address pair: {} {}.", p.mac_address, p.ip_address),
            ));
        }
    }
    Ok(Some(list))
}

fn dhcp_options(o: &Obj) -> Result<Option<Vec<OptionChange>>> {
    const F: &str = "extra_dhcp_opts";
    fields::each(o, F, |v| {
        let Value::Object(map) = v else {
            return Err(err::invalid(format!("Invalid input for {F}. Reason: each must be an object.")));
        };
        let inner = Obj { name: F.into(), map: map.clone() };
        let name = inner.name("opt_name", fields::TEXT)?;
        let version = inner.opt_int("ip_version", 4, 6)?.unwrap_or(4);
        if version == 5 {
            return Err(err::invalid(format!("Invalid input for {F}. Reason: ip_version is 4 or 6.")));
        }
        Ok((name, inner.opt_str("opt_value", fields::TEXT)?, if version == 6 { 6 } else { 4 }))
    })
}

fn device_owner(o: &Obj) -> Result<Option<String>> {
    let owner = o.opt_str("device_owner", fields::TEXT)?;
    match owner.as_deref() {
        // A port with such an owner could be neither used nor deleted.
        Some(w @ ("network:router_interface" | "network:router_gateway" | "network:floatingip")) => {
            Err(err::conflict(
                "DeviceOwnerReserved",
                format!("Device owner {w} is given to ports by routers and floating IPs only."),
            ))
        }
        _ => Ok(owner),
    }
}

fn dns_name(o: &Obj) -> Result<Option<String>> {
    let name = o.opt_str("dns_name", 63)?;
    let good = |n: &str| {
        n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !n.starts_with('-') && !n.ends_with('-')
    };
    match name.as_deref() {
        Some(n) if !good(n) => Err(err::invalid(format!("'{n}' not a valid PQDN or FQDN label."))),
        _ => Ok(name.map(|n| n.to_ascii_lowercase())),
    }
}

fn vnic_type(o: &Obj) -> Result<Option<String>> {
    let kind = o.opt_str("binding:vnic_type", fields::TEXT)?;
    match kind.as_deref() {
        None
        | Some(
            "normal" | "direct" | "macvtap" | "baremetal" | "direct-physical" | "virtio-forwarder"
            | "smart-nic" | "vdpa" | "remote-managed" | "accelerator-direct",
        ) => Ok(kind),
        Some(other) => {
            Err(err::invalid(format!("'{other}' is not a binding:vnic_type; the usual one is normal.")))
        }
    }
}

fn profile(o: &Obj) -> Result<Option<Value>> {
    if o.is_null("binding:profile") {
        return Ok(Some(json!({})));
    }
    Ok(o.opt_inner("binding:profile")?.map(|p| Value::Object(p.map)))
}

fn fixed(o: &Obj) -> Result<Option<Vec<Want>>> {
    fields::list(o, "fixed_ips")?.map(|l| fields::fixed_ips("fixed_ips", l)).transpose()
}

/// The policies of ports and of their networks.
struct Policies {
    own: HashMap<String, QosPolicyId>,
    network: HashMap<String, QosPolicyId>,
}

impl Policies {
    fn of(tx: &Tx<'_>, ids: &[String], ports: &[Port]) -> Result<Self> {
        let mut networks: Vec<String> = ports.iter().map(|p| p.network.to_string()).collect();
        networks.sort_unstable();
        networks.dedup();
        Ok(Policies {
            own: table::qos::held(tx, Holder::Port, ids)?,
            network: table::qos::held(tx, Holder::Network, &networks)?,
        })
    }
}

fn view(p: Port, tags: Option<Vec<String>>, caller: &Caller, policies: &Policies) -> View {
    let mac = |m: &str| if m.is_empty() { p.mac.clone() } else { m.to_owned() };
    let pairs =
        p.pairs.iter().map(|x| json!({"ip_address": x.ip_address, "mac_address": mac(&x.mac_address)}));
    let options = p.dhcp_options.iter();
    let options =
        options.map(|d| json!({"opt_name": d.name, "opt_value": d.value, "ip_version": d.ip_version}));
    let names = p.addresses.iter().map(|a| {
        let host = if p.dns_name.is_empty() { plan::host_name(a.address) } else { p.dns_name.clone() };
        json!({"hostname": host, "ip_address": a.address, "fqdn": format!("{host}.openstacklocal.")})
    });
    View {
        id: p.id.to_string(),
        name: p.std.name.clone(),
        network_id: p.network.to_string(),
        admin_state_up: p.admin_up,
        status: if p.active { "ACTIVE" } else { "DOWN" },
        allowed_address_pairs: pairs.collect(),
        extra_dhcp_opts: options.collect(),
        port_security_enabled: p.port_security,
        dns_assignment: names.collect(),
        dns_name: p.dns_name.clone(),
        qos_policy_id: policies.own.get(&p.id.to_string()).copied(),
        qos_network_policy_id: policies.network.get(&p.network.to_string()).copied(),
        binding: caller.admin.then(|| Binding::of(&p)),
        common: Common::new(&p.std, tags),
        fixed_ips: p
            .addresses
            .iter()
            .map(|a| Fixed { subnet_id: a.subnet.to_string(), ip_address: a.address })
            .collect(),
        mac_address: p.mac,
        device_id: p.device_id,
        device_owner: p.device_owner,
        security_groups: p.groups,
        vnic_type: p.vnic_type,
    }
}

impl Noun for Ports {
    const ONE: &'static str = "port";
    const MANY: &'static str = "ports";
    const TABLE: &'static str = "port";
    const COLS: &'static str = table::port::COLS;
    const FILTERS: Filters = &[
        ("name", How::Text("t.name")),
        ("network_id", How::Text("t.network_id")),
        ("mac_address", How::With(by_mac)),
        ("admin_state_up", How::Bool("t.admin_up")),
        ("status", How::Text("t.status")),
        ("device_id", How::Text("t.device_id")),
        ("device_owner", How::Text("t.device_owner")),
        ("port_security_enabled", How::Bool("t.port_security")),
        ("dns_name", How::Text("t.dns_name")),
        ("binding:host_id", How::Admins(&How::Text("t.binding_host"))),
        ("binding:vnic_type", How::Text("t.vnic_type")),
        ("qos_policy_id", How::With(by_policy)),
        ("fixed_ips", How::With(by_fixed)),
        ("security_groups", How::With(by_group)),
        ("security_group_id", How::With(by_group)),
    ];
    type Row = Port;
    type View = View;
    type New = act::port::New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<Port> {
        table::port::read(r)
    }
    fn id(row: &Port) -> String {
        row.id.to_string()
    }
    fn std(row: &Port) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_port(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        q.push(" AND (t.project_id = ").bind(project);
        q.push(" OR t.network_id IN (SELECT id FROM network WHERE project_id = ").bind(project).push("))");
    }
    fn views(tx: &Tx<'_>, caller: &Caller, mut rows: Vec<Port>) -> Result<Vec<View>> {
        // Ports that were just made have theirs; a list reads them for all at once.
        if rows.iter().all(|p| p.addresses.is_empty() && p.groups.is_empty()) {
            table::port::join(tx, &mut rows)?;
        }
        let ids: Vec<String> = rows.iter().map(|p| p.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let policies = Policies::of(tx, &ids, &rows)?;
        Ok(rows.into_iter().zip(&ids).map(|(p, id)| view(p, tags.remove(id), caller, &policies)).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Port> {
        act::port::visible(tx, caller, id.parse().map_err(|_| err::no_port(id))?)
    }
    /// The network's owner sees every port on it and may show it out; what it is like is its project's business.
    fn may_change(tx: &Tx<'_>, caller: &Caller, p: &Port, verb: &str) -> Result<bool> {
        if caller.owns(&p.std.project) {
            return Ok(true);
        }
        let network = table::network::by_id(tx, p.network)?;
        Ok(verb == "delete" && network.is_some_and(|n| caller.owns(&n.std.project)))
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<act::port::New> {
        fields::only(o, NEW_FIELDS, "POST")?;
        fields::admin_only(o, caller, ADMINS, "create")?;
        let mut new = act::port::New::plain(o.id("network_id")?, &fields::project(o, caller)?);
        new.qos = qos::asked(o)?.flatten();
        new.name = fields::text(o, "name")?;
        new.description = fields::text(o, "description")?;
        new.admin_up = o.opt_bool("admin_state_up")?.unwrap_or(true);
        new.mac = fields::mac(o, "mac_address")?;
        new.fixed = fixed(o)?;
        new.device_id = fields::text(o, "device_id")?;
        new.device_owner = device_owner(o)?.unwrap_or_default();
        new.groups = groups(o)?;
        new.pairs = pairs(o)?.unwrap_or_default();
        new.dhcp_options = merged(Vec::new(), dhcp_options(o)?.unwrap_or_default())?;
        new.port_security = o.opt_bool("port_security_enabled")?;
        new.dns_name = dns_name(o)?.unwrap_or_default();
        new.binding_host = fields::text(o, "binding:host_id")?;
        new.vnic_type = vnic_type(o)?.unwrap_or(new.vnic_type);
        new.profile = profile(o)?.unwrap_or(new.profile);
        Ok(new)
    }
    fn create(tx: &Tx<'_>, caller: &Caller, new: act::port::New) -> Result<Port> {
        act::port::create(tx, caller, new)
    }
    fn parse_change(o: &Obj, caller: &Caller) -> Result<Change> {
        fields::only(o, FIELDS, "PUT")?;
        fields::admin_only(o, caller, ADMINS, "update")?;
        Ok(Change {
            qos: qos::asked(o)?,
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            admin_up: o.opt_bool("admin_state_up")?,
            fixed: fixed(o)?,
            mac: fields::mac(o, "mac_address")?,
            device_id: o.opt_str("device_id", fields::TEXT)?,
            device_owner: device_owner(o)?,
            groups: groups(o)?,
            pairs: pairs(o)?,
            dhcp_options: dhcp_options(o)?,
            port_security: o.opt_bool("port_security_enabled")?,
            dns_name: dns_name(o)?,
            binding_host: match o.opt_str("binding:host_id", fields::TEXT)? {
                None if o.is_null("binding:host_id") => Some(String::new()),
                other => other,
            },
            vnic_type: vnic_type(o)?,
            profile: profile(o)?,
        })
    }
    fn update(tx: &Tx<'_>, caller: &Caller, p: Port, c: Change) -> Result<()> {
        change(tx, caller, p, c)
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, p: Port) -> Result<()> {
        act::port::delete(tx, &p)
    }
}

/// DHCP options with those of a request put over them.
///
/// # Errors
/// 400 when the request leaves more than [`MAX_OPTIONS`], and more than there were.
fn merged(mut have: Vec<DhcpOption>, new: Vec<OptionChange>) -> Result<Vec<DhcpOption>> {
    let before = have.len();
    for (name, value, ip_version) in new {
        have.retain(|d| d.name != name || d.ip_version != ip_version);
        if let Some(value) = value {
            have.push(DhcpOption { name, value, ip_version });
        }
    }
    if have.len() > MAX_OPTIONS.max(before) {
        return Err(err::invalid(format!(
            "Invalid input for extra_dhcp_opts. Reason: a port can have at most {MAX_OPTIONS} DHCP options, and this \
             would be {}. Options that are not needed go with \"opt_value\": null.",
            have.len()
        )));
    }
    Ok(have)
}

fn change(tx: &Tx<'_>, caller: &Caller, mut p: Port, c: Change) -> Result<()> {
    let before = p.clone();
    let service = matches!(
        p.device_owner.as_str(),
        "network:router_interface" | "network:router_gateway" | "network:floatingip"
    );
    if service && (c.device_id.as_ref().is_some_and(|d| *d != p.device_id) || c.device_owner.is_some()) {
        return Err(err::conflict(
            "PortInUse",
            format!(
                "Port {} belongs to {} {}; it cannot be given to another.",
                p.id, p.device_owner, p.device_id
            ),
        ));
    }
    may_say(tx, caller, &p, &c)?;
    let (device, owner) = (c.device_id.as_ref(), c.device_owner.as_ref());
    let now = (device.unwrap_or(&p.device_id).as_str(), owner.unwrap_or(&p.device_owner).as_str());
    act::port::no_servers(tx, (&p.device_id, &p.device_owner), now)?;
    p.std.name = c.name.unwrap_or(p.std.name);
    p.std.description = c.description.unwrap_or(p.std.description);
    p.admin_up = c.admin_up.unwrap_or(p.admin_up);
    p.device_id = c.device_id.unwrap_or(p.device_id);
    p.device_owner = c.device_owner.unwrap_or(p.device_owner);
    p.dns_name = c.dns_name.unwrap_or(p.dns_name);
    p.vnic_type = c.vnic_type.unwrap_or(p.vnic_type);
    p.profile = c.profile.unwrap_or(p.profile);
    p.dhcp_options = merged(p.dhcp_options, c.dhcp_options.unwrap_or_default())?;
    if let Some(name) = c.binding_host {
        let network = table::network::by_id(tx, p.network)?.ok_or_else(|| err::no_network(p.network))?;
        p.host = act::port::host_named(tx, &network, &name)?;
        p.binding_host = name;
        p.active = p.active && p.host == before.host;
    }
    secure(tx, caller, &mut p, c.port_security, c.groups, c.pairs)?;
    if let Some(mac) = c.mac.filter(|m| *m != p.mac) {
        if table::port::mac_taken(tx, p.network, &mac, p.id)? {
            return Err(act::port::mac_in_use(p.network, &mac));
        }
        table::port::set_mac(tx, p.id, &mac)?;
        p.mac = mac;
    }
    if let Some(wants) = &c.fixed {
        let subnets = table::subnet::of_network(tx, p.network)?;
        let new = address::assign(tx, &p, &subnets, Some(wants), &before.addresses)?;
        act::floating::let_go_where(tx, p.id, |a| !new.iter().any(|n| n.address == a))?;
        p.addresses = new;
    }
    let held = |p: &Port| p.host.is_some() || p.device_owner.starts_with("network:router");
    let concerned = match () {
        () if touch::far_side(&before) != touch::far_side(&p) => touch::hosts_of_ports,
        () if (&before.groups, &before.pairs) != (&p.groups, &p.pairs) => touch::hosts_of_members_too,
        () => touch::own_hosts,
    };
    let hosts = if held(&before) { concerned(tx, std::slice::from_ref(&before))? } else { Vec::new() };
    table::port::update(tx, &p)?;
    if p.groups != before.groups {
        table::port::set_groups(tx, p.id, &p.groups)?;
    }
    if let Some(policy) = c.qos {
        act::qos::give(tx, caller, Holder::Port, p.id, policy)?;
    }
    store::host::touch_all(tx, hosts)?;
    if held(&p) {
        store::host::touch_all(tx, concerned(tx, std::slice::from_ref(&p))?)?;
    }
    Ok(())
}

/// Refuses changes that are not the port's project's to make. What stays as it is is none: clients send back whole
/// ports.
fn may_say(tx: &Tx<'_>, caller: &Caller, p: &Port, c: &Change) -> Result<()> {
    if !caller.admin && c.mac.as_ref().is_some_and(|m| *m != p.mac) {
        return Err(err::policy("update_port:mac_address"));
    }
    let had = |a: &IpAddr| p.addresses.iter().any(|x| x.address == *a);
    let owner = |o: &&String| o.starts_with("network:") && **o != p.device_owner;
    let asked = [
        ("fixed_ips:ip_address", c.fixed.iter().flatten().filter_map(|w| w.address).any(|a| !had(&a))),
        ("port_security_enabled", c.port_security.is_some_and(|on| on != p.port_security)),
        ("allowed_address_pairs", c.pairs.as_ref().is_some_and(|new| !same_pairs(p, new))),
        ("device_owner", c.device_owner.as_ref().filter(owner).is_some()),
    ];
    if asked.iter().all(|(_, asked)| !asked) {
        return Ok(());
    }
    let network = table::network::by_id(tx, p.network)?.ok_or_else(|| err::no_network(p.network))?;
    act::port::net_owner_only(caller, &network, "update", &asked)
}

/// Whether these are the pairs that the port has. One without a MAC is shown with the port's.
fn same_pairs(p: &Port, new: &[Pair]) -> bool {
    let whole = |x: &Pair| {
        let mac = if x.mac_address.is_empty() { &p.mac } else { &x.mac_address };
        (x.ip_address.clone(), mac.clone())
    };
    let sorted = |pairs: &[Pair]| {
        let mut all: Vec<_> = pairs.iter().map(whole).collect();
        all.sort_unstable();
        all
    };
    sorted(&p.pairs) == sorted(new)
}

/// Port security, groups and address pairs depend on one another.
fn secure(
    tx: &Tx<'_>,
    caller: &Caller,
    p: &mut Port,
    on: Option<bool>,
    groups: Option<Vec<SecurityGroupId>>,
    pairs: Option<Vec<Pair>>,
) -> Result<()> {
    p.port_security = on.unwrap_or(p.port_security);
    if let Some(ids) = groups {
        p.groups = act::group::check_all(tx, caller, &ids)?;
    }
    p.pairs = pairs.unwrap_or_else(|| p.pairs.clone());
    if !p.port_security && !p.groups.is_empty() {
        return Err(err::conflict(
            "PortSecurityPortHasSecurityGroup",
            "Port has security group associated. Cannot disable port security or ip address until security group is removed.",
        ));
    }
    if !p.port_security && !p.pairs.is_empty() {
        return Err(act::port::pairs_need_security());
    }
    Ok(())
}

fn by_policy(q: &mut Sql, values: &[&str]) -> Result<()> {
    table::qos::filter(q, Holder::Port, values);
    Ok(())
}

fn by_mac(q: &mut Sql, values: &[&str]) -> Result<()> {
    q.and_in("t.mac", values.iter().map(|v| v.to_ascii_lowercase()));
    Ok(())
}

fn by_group(q: &mut Sql, values: &[&str]) -> Result<()> {
    q.push(" AND t.id IN (SELECT port_id FROM port_security_group WHERE 1 = 1");
    q.and_in("group_id", values.iter().copied()).push(")");
    Ok(())
}

/// `fixed_ips=ip_address=10.0.0.5`, `subnet_id=…`, `ip_address_substr=10.0`: values of one key are
/// alternatives, different keys all have to hold.
fn by_fixed(q: &mut Sql, values: &[&str]) -> Result<()> {
    let mut by_key: [(&str, Vec<&str>); 3] =
        [("subnet_id", Vec::new()), ("ip_address", Vec::new()), ("ip_address_substr", Vec::new())];
    for v in values.iter().flat_map(|v| v.split(',')) {
        let (key, value) = v.split_once('=').unwrap_or(("", v));
        match by_key.iter_mut().find(|(k, _)| *k == key) {
            Some((_, list)) => list.push(value),
            None => {
                return Err(err::invalid(format!(
                    "fixed_ips filters look like fixed_ips=ip_address=10.0.0.5 (or subnet_id, ip_address_substr); '{v}' does not."
                )));
            }
        }
    }
    let [(_, subnets), (_, addresses), (_, parts)] = by_key;
    q.push(" AND t.id IN (SELECT a.port_id FROM port_address a WHERE 1 = 1");
    if !subnets.is_empty() {
        q.and_in("a.subnet_id", subnets);
    }
    if !addresses.is_empty() {
        // Written as we write them, whatever way the client does.
        let normal = addresses.iter().map(|a| a.parse::<IpAddr>().map_or((*a).to_owned(), |a| a.to_string()));
        q.and_in("a.address", normal.collect::<Vec<_>>());
    }
    if !parts.is_empty() {
        q.push(" AND (1 = 0");
        for part in parts {
            q.push(" OR a.address LIKE ")
                .bind(format!("%{}%", part.replace(['%', '_'], "").to_ascii_lowercase()));
        }
        q.push(")");
    }
    q.push(")");
    Ok(())
}
