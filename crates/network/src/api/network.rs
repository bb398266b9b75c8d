//! `/v2.0/networks`

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, fields, qos};
use crate::act::{self, Caller, rbac};
use crate::model::{Network, Std};
use crate::table::qos::Holder;
use crate::{err, table, touch};
use ::api::Obj;
use base::doc::{Uplink, Vlan};
use base::{Fault, QosPolicyId, Result};
use serde::Serialize;
use store::{Row, Sql, Tx, params};

pub struct Networks;

#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    admin_state_up: bool,
    status: &'static str,
    subnets: Vec<String>,
    shared: bool,
    #[serde(rename = "router:external")]
    external: bool,
    is_default: bool,
    mtu: u32,
    port_security_enabled: bool,
    availability_zone_hints: Vec<String>,
    availability_zones: Vec<String>,
    ipv4_address_scope: Option<String>,
    ipv6_address_scope: Option<String>,
    l2_adjacency: bool,
    qos_policy_id: Option<QosPolicyId>,
    dns_domain: String,
    #[serde(flatten)]
    provider: Option<Provider>,
    #[serde(flatten)]
    common: Common,
}

/// What only admins see: how the network is carried.
#[derive(Serialize)]
struct Provider {
    #[serde(rename = "provider:network_type")]
    kind: &'static str,
    #[serde(rename = "provider:physical_network")]
    physical: Option<String>,
    #[serde(rename = "provider:segmentation_id")]
    segment: Option<u32>,
}

/// The name under which the host's own address translation is shown as a physical network.
const HOST_NAT: &str = "host-nat";

impl Provider {
    fn of(n: &Network) -> Self {
        if let Some(Vlan { device, segment }) = &n.vlan {
            return Provider {
                kind: "vlan",
                physical: Some(device.clone()),
                segment: Some((*segment).into()),
            };
        }
        let physical = match &n.uplink {
            Some(Uplink::Nic { device }) => Some(device.clone()),
            Some(Uplink::HostNat { .. }) => Some(HOST_NAT.to_owned()),
            None if n.external => Some(HOST_NAT.to_owned()),
            None => None,
        };
        match physical {
            Some(p) => Provider { kind: "flat", physical: Some(p), segment: None },
            None => Provider { kind: "vxlan", physical: None, segment: Some(n.vni) },
        }
    }
}

const FIELDS: &[&str] = &[
    "admin_state_up",
    "shared",
    "router:external",
    "is_default",
    "mtu",
    "port_security_enabled",
    "dns_domain",
    "qos_policy_id",
];
const NEW_FIELDS: &[&str] = &[
    "admin_state_up",
    "shared",
    "router:external",
    "is_default",
    "mtu",
    "port_security_enabled",
    "dns_domain",
    "qos_policy_id",
    "availability_zone_hints",
    "provider:network_type",
    "provider:physical_network",
    "provider:segmentation_id",
];
const ADMINS: &[&str] = &[
    "shared",
    "router:external",
    "is_default",
    "provider:network_type",
    "provider:physical_network",
    "provider:segmentation_id",
];

#[derive(Default)]
pub struct Change {
    name: Option<String>,
    description: Option<String>,
    admin_up: Option<bool>,
    shared: Option<bool>,
    external: Option<bool>,
    is_default: Option<bool>,
    mtu: Option<u32>,
    port_security: Option<bool>,
    dns_domain: Option<String>,
    qos: Option<Option<QosPolicyId>>,
}

fn mtu(o: &Obj) -> Result<Option<u32>> {
    Ok(fields::int(o, "mtu", 0, 65_535)?.and_then(|m| u32::try_from(m).ok()).filter(|m| *m > 0))
}

/// How a network is to be carried, as far as somebody said so.
#[derive(Default)]
struct Carried {
    vni: Option<u32>,
    uplink: Option<Uplink>,
    vlan: Option<Vlan>,
}

fn provider(o: &Obj) -> Result<Carried> {
    let kind = o.opt_str("provider:network_type", fields::TEXT)?;
    let physical = o.opt_str("provider:physical_network", fields::TEXT)?;
    let segment = fields::int(o, "provider:segmentation_id", 1, (1 << 24) - 1)?;
    let plain = Carried::default();
    match (kind.as_deref(), physical, segment) {
        (None, None, None) => Ok(plain),
        (Some("vxlan"), None, segment) => {
            Ok(Carried { vni: segment.and_then(|s| u32::try_from(s).ok()), ..plain })
        }
        (Some("vxlan"), Some(_), _) => {
            Err(err::invalid("provider:physical_network cannot be given for a vxlan network."))
        }
        (Some("flat"), _, Some(_)) => {
            Err(err::invalid("provider:segmentation_id cannot be given for a flat network."))
        }
        (Some("flat"), Some(p), None) if p == HOST_NAT => Ok(plain),
        (Some("flat"), Some(device), None) => {
            Ok(Carried { uplink: Some(Uplink::Nic { device: wire(device)? }), ..plain })
        }
        (Some("flat"), None, None) => Err(err::invalid(
            "provider:physical_network is required for a flat network: a name from the hosts' physical_networks.",
        )),
        (Some("vlan"), physical, segment) => Ok(Carried { vlan: Some(vlan(physical, segment)?), ..plain }),
        (Some(other), ..) => Err(err::invalid(format!(
            "Unknown provider:network_type '{other}'. Here are: vxlan, flat, vlan."
        ))),
        (None, ..) => {
            Err(err::invalid("provider:network_type is required beside other provider attributes."))
        }
    }
}

/// The name of a physical network.
fn wire(name: String) -> Result<String> {
    let sane = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.@".contains(&b))
        && name != HOST_NAT;
    if sane {
        return Ok(name);
    }
    Err(err::invalid(format!(
        "provider:physical_network is a name from the hosts' physical_networks, such as office; '{name}' cannot be one."
    )))
}

/// A VLAN that somebody names in full: there are no ranges to take one from.
fn vlan(physical: Option<String>, segment: Option<i64>) -> Result<Vlan> {
    let device = match (physical, segment) {
        (Some(p), _) => wire(p)?,
        (None, Some(_)) => {
            return Err(err::invalid("segmentation_id requires physical_network for VLAN provider network."));
        }
        (None, None) => {
            return Err(err::invalid(
                "A VLAN network needs provider:physical_network and provider:segmentation_id (1 to 4094): there are no ranges of VLANs to take one from.",
            ));
        }
    };
    let Some(segment) = segment else {
        return Err(err::invalid(format!(
            "Physical network {device} requires segmentation_id to be specified when creating a provider network: 1 to 4094, there are no ranges of VLANs to take one from."
        )));
    };
    match u16::try_from(segment) {
        Ok(segment @ 1..=4094) => Ok(Vlan { device, segment }),
        _ => Err(err::invalid("segmentation_id out of range (1 through 4094).")),
    }
}

impl Noun for Networks {
    const ONE: &'static str = "network";
    const MANY: &'static str = "networks";
    const TABLE: &'static str = "network";
    const COLS: &'static str = table::network::COLS;
    const FILTERS: Filters = &[
        ("name", How::Text("t.name")),
        ("admin_state_up", How::Bool("t.admin_up")),
        ("shared", How::Shared),
        ("router:external", How::Bool("t.external")),
        ("is_default", How::Bool("t.is_default")),
        ("mtu", How::Int("t.mtu")),
        ("port_security_enabled", How::Bool("t.port_security")),
        ("dns_domain", How::Text("t.dns_domain")),
        ("status", How::Always("ACTIVE")),
        ("provider:network_type", How::Admins(&How::With(by_kind))),
        ("provider:physical_network", How::Admins(&How::With(by_physical))),
        ("provider:segmentation_id", How::Admins(&How::With(by_segment))),
        ("subnets", How::With(by_subnet)),
        ("qos_policy_id", How::With(by_policy)),
    ];
    type Row = Network;
    type View = View;
    type New = act::network::New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<Network> {
        table::network::read(r)
    }
    fn id(row: &Network) -> String {
        row.id.to_string()
    }
    fn std(row: &Network) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_network(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        table::rbac::seen(q, "network", project);
    }
    fn views(tx: &Tx<'_>, caller: &Caller, rows: Vec<Network>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|n| n.id.to_string()).collect();
        let mut subnets = table::children(
            tx,
            "SELECT network_id, id FROM subnet WHERE network_id IN (",
            ") ORDER BY network_id, created_at, id",
            &ids,
            |r| r.get(1),
        )?;
        let mut tags = table::tags(tx, &ids)?;
        let policies = table::qos::held(tx, Holder::Network, &ids)?;
        let shared = table::rbac::shared(tx, &ids, &caller.project)?;
        let mut scopes = table::scope::of_networks(tx, &ids)?;
        let zones = super::zone::all(tx)?;
        let view = |(n, id): (Network, String)| View {
            name: n.std.name.clone(),
            admin_state_up: n.admin_up,
            status: "ACTIVE",
            subnets: subnets.remove(&id).unwrap_or_default(),
            shared: shared.contains(&id),
            external: n.external,
            is_default: n.is_default,
            mtu: n.mtu,
            port_security_enabled: n.port_security,
            availability_zone_hints: n.az_hints.clone(),
            availability_zones: zones.clone(),
            ipv4_address_scope: scopes.remove(&(id.clone(), false)),
            ipv6_address_scope: scopes.remove(&(id.clone(), true)),
            l2_adjacency: true,
            qos_policy_id: policies.get(&id).copied(),
            dns_domain: n.dns_domain.clone(),
            provider: caller.admin.then(|| Provider::of(&n)),
            common: Common::new(&n.std, tags.remove(&id)),
            id,
        };
        Ok(rows.into_iter().zip(ids.clone()).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Network> {
        act::network::visible(tx, caller, id.parse().map_err(|_| err::no_network(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<act::network::New> {
        fields::only(o, NEW_FIELDS, "POST")?;
        fields::admin_only(o, caller, ADMINS, "create")?;
        let carried = provider(o)?;
        let mut new = act::network::New::plain(&fields::project(o, caller)?, &fields::text(o, "name")?);
        new.qos = qos::asked(o)?.flatten();
        new.description = fields::text(o, "description")?;
        new.admin_up = o.opt_bool("admin_state_up")?.unwrap_or(true);
        new.shared = o.opt_bool("shared")?.unwrap_or(false);
        new.external = o.opt_bool("router:external")?.unwrap_or(false);
        new.is_default = o.opt_bool("is_default")?.unwrap_or(false);
        new.mtu = mtu(o)?;
        new.port_security = o.opt_bool("port_security_enabled")?.unwrap_or(true);
        new.dns_domain = fields::text(o, "dns_domain")?;
        (new.vni, new.uplink, new.vlan) = (carried.vni, carried.uplink, carried.vlan);
        new.az_hints = super::zone::parse(o)?;
        if new.is_default && !new.external {
            return Err(err::invalid("Only an external network can be the default one."));
        }
        Ok(new)
    }
    fn create(tx: &Tx<'_>, caller: &Caller, new: act::network::New) -> Result<Network> {
        super::zone::check(tx, &new.az_hints)?;
        let asked = new.qos;
        let n = act::network::create(tx, new)?;
        match asked {
            Some(policy) => act::qos::give(tx, caller, Holder::Network, n.id, Some(policy))?,
            None => {
                let policy = table::qos::default_of(tx, &n.std.project)?;
                table::qos::give(tx, Holder::Network, &n.id.to_string(), policy)?;
            }
        }
        Ok(n)
    }
    fn parse_change(o: &Obj, caller: &Caller) -> Result<Change> {
        fields::only(o, FIELDS, "PUT")?;
        fields::admin_only(o, caller, ADMINS, "update")?;
        Ok(Change {
            qos: qos::asked(o)?,
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            admin_up: o.opt_bool("admin_state_up")?,
            shared: o.opt_bool("shared")?,
            external: o.opt_bool("router:external")?,
            is_default: o.opt_bool("is_default")?,
            mtu: mtu(o)?,
            port_security: o.opt_bool("port_security_enabled")?,
            dns_domain: o.opt_str("dns_domain", fields::TEXT)?,
        })
    }
    fn update(tx: &Tx<'_>, caller: &Caller, mut n: Network, c: Change) -> Result<()> {
        let before = n.clone();
        n.std.name = c.name.unwrap_or(n.std.name);
        n.std.description = c.description.unwrap_or(n.std.description);
        n.admin_up = c.admin_up.unwrap_or(n.admin_up);
        n.port_security = c.port_security.unwrap_or(n.port_security);
        n.dns_domain = c.dns_domain.unwrap_or(n.dns_domain);
        // What only admins change; `false` of others is what it was, so it says nothing.
        if caller.admin {
            n.shared = c.shared.unwrap_or(n.shared);
            n.external = c.external.unwrap_or(n.external);
            n.is_default = c.is_default.unwrap_or(n.is_default);
        } else if [(c.shared, n.shared), (c.external, n.external), (c.is_default, n.is_default)]
            .iter()
            .any(|(to, from)| to.is_some_and(|t| t != *from))
        {
            return Err(err::policy("update_network:shared"));
        }
        if let Some(mtu) = c.mtu.filter(|m| *m != n.mtu) {
            act::network::check_mtu(tx, mtu, n.uplink.is_some() || n.vlan.is_some() || n.external)?;
            n.mtu = mtu;
        }
        check_switches(tx, &before, &n)?;
        table::network::update(tx, &n)?;
        if let Some(policy) = c.qos {
            act::qos::give(tx, caller, Holder::Network, n.id, policy)?;
        }
        if c.qos.is_some()
            || (before.admin_up, before.mtu, before.external) != (n.admin_up, n.mtu, n.external)
        {
            touch::networks(tx, &[n.id])?;
        }
        Ok(())
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, n: Network) -> Result<()> {
        act::network::delete(tx, &n)
    }
}

/// What stands against making a network private or internal again.
fn check_switches(tx: &Tx<'_>, before: &Network, n: &Network) -> Result<()> {
    let (id, owner) = (n.id.to_string(), &n.std.project);
    if before.shared != n.shared {
        rbac::set_for_all(tx, "network", &id, owner, rbac::SHARED, n.shared).map_err(|f| {
            if f.tag != Some("RbacPolicyInUse") {
                return f;
            }
            err::conflict(
                "InvalidSharedSetting",
                format!(
                    "Unable to reconfigure sharing settings for network {id}. Multiple tenants are using it."
                ),
            )
        })?;
    }
    if before.external && !n.external {
        let used = "SELECT 1 FROM port WHERE network_id = $1 AND
                    device_owner IN ('network:router_gateway', 'network:floatingip') LIMIT 1";
        if tx.opt(used, params![n.id], |_| Ok(()))?.is_some() {
            return Err(err::conflict(
                "ExternalNetworkInUse",
                format!(
                    "External network {} cannot be updated to be made non-external, since it has existing gateway ports.",
                    n.id
                ),
            ));
        }
        rbac::close_outside(tx, &id)?;
    }
    if !before.external && n.external {
        rbac::set_for_all(tx, "network", &id, owner, rbac::EXTERNAL, true)?;
    }
    if n.is_default && !before.is_default {
        act::network::only_default(tx, n.id)?;
    }
    if n.is_default && !n.external {
        return Err(err::invalid("Only an external network can be the default one."));
    }
    Ok(())
}

/// What tells the kinds of networks from each other.
const KINDS: [(&str, &str); 3] = [
    ("vlan", "t.vlan_segment IS NOT NULL"),
    ("flat", "(t.vlan_segment IS NULL AND (t.uplink IS NOT NULL OR t.external = 1))"),
    ("vxlan", "(t.vlan_segment IS NULL AND t.uplink IS NULL AND t.external = 0)"),
];

fn by_kind(q: &mut Sql, values: &[&str]) -> Result<()> {
    let wanted = KINDS.iter().filter(|(kind, _)| values.contains(kind)).map(|(_, is)| *is);
    let any: Vec<&str> = wanted.chain(["1 = 0"]).collect();
    q.push(&format!(" AND ({})", any.join(" OR ")));
    Ok(())
}

fn by_physical(q: &mut Sql, values: &[&str]) -> Result<()> {
    let nics = values.iter().map(|v| serde_json::to_string(&Uplink::Nic { device: (*v).to_owned() }));
    q.push(" AND (t.uplink IN (").list(nics.collect::<Result<Vec<_>, _>>()?);
    q.push(") OR t.vlan_physical IN (").list(values.iter().copied());
    q.push("))");
    Ok(())
}

fn by_segment(q: &mut Sql, values: &[&str]) -> Result<()> {
    let numbers: Vec<i64> = values.iter().filter_map(|v| v.parse().ok()).collect();
    q.push(" AND (t.vlan_segment IN (").list(numbers.iter().copied());
    q.push(") OR (t.vlan_segment IS NULL AND t.uplink IS NULL AND t.external = 0 AND t.vni IN (")
        .list(numbers);
    q.push(")))");
    Ok(())
}

fn by_policy(q: &mut Sql, values: &[&str]) -> Result<()> {
    table::qos::filter(q, Holder::Network, values);
    Ok(())
}

fn by_subnet(q: &mut Sql, values: &[&str]) -> Result<()> {
    q.push(" AND t.id IN (SELECT network_id FROM subnet WHERE 1 = 1")
        .and_in("id", values.iter().copied())
        .push(")");
    Ok(())
}
