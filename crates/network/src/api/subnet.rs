//! `/v2.0/subnets`

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, fields};
use crate::act::subnet::{Cidr, Gateway};
use crate::act::{self, Caller, pool};
use crate::model::{Std, Subnet};
use crate::{err, table, touch};
use ::api::Obj;
use base::doc::Route;
use base::{Fault, Result, SubnetPoolId};
use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;
use std::net::IpAddr;
use store::{Row, Sql, Tx, params};

pub struct Subnets;

#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    network_id: String,
    ip_version: u8,
    cidr: String,
    gateway_ip: Option<IpAddr>,
    enable_dhcp: bool,
    allocation_pools: Vec<Pool>,
    dns_nameservers: Vec<IpAddr>,
    host_routes: Value,
    ipv6_ra_mode: Option<String>,
    ipv6_address_mode: Option<String>,
    service_types: Vec<String>,
    subnetpool_id: Option<SubnetPoolId>,
    #[serde(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Pool {
    start: IpAddr,
    end: IpAddr,
}

const FIELDS: &[&str] =
    &["gateway_ip", "enable_dhcp", "allocation_pools", "dns_nameservers", "host_routes", "service_types"];
const NEW_FIELDS: &[&str] = &[
    "gateway_ip",
    "enable_dhcp",
    "allocation_pools",
    "dns_nameservers",
    "host_routes",
    "service_types",
    "network_id",
    "ip_version",
    "cidr",
    "prefixlen",
    "subnetpool_id",
    "use_default_subnetpool",
    "ipv6_ra_mode",
    "ipv6_address_mode",
];

/// What is said stays `None` where nothing was.
pub struct Change {
    name: Option<String>,
    description: Option<String>,
    gateway: Option<Gateway>,
    dhcp: Option<bool>,
    pools: Option<Vec<(IpAddr, IpAddr)>>,
    dns: Option<Vec<IpAddr>>,
    routes: Option<Vec<Route>>,
    service_types: Option<Vec<String>>,
}

fn gateway(o: &Obj) -> Result<Option<Gateway>> {
    if o.is_null("gateway_ip") {
        return Ok(Some(Gateway::None));
    }
    Ok(fields::opt_parse(o, "gateway_ip", fields::ADDRESS)?.map(Gateway::At))
}

fn pools(o: &Obj) -> Result<Option<Vec<(IpAddr, IpAddr)>>> {
    const F: &str = "allocation_pools";
    fields::each(o, F, |v| {
        let only = v.as_object().is_some_and(|m| m.len() == 2);
        if !only {
            return Err(err::invalid(format!("Invalid input for {F}. Reason: each must be {{start, end}}.")));
        }
        Ok((fields::parse(F, &v["start"], fields::ADDRESS)?, fields::parse(F, &v["end"], fields::ADDRESS)?))
    })
}

fn dns(o: &Obj) -> Result<Option<Vec<IpAddr>>> {
    const F: &str = "dns_nameservers";
    let list: Option<Vec<IpAddr>> = fields::each(o, F, |v| fields::parse(F, v, fields::ADDRESS))?;
    if let Some(l) = &list {
        let mut sorted = l.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|w| w[0] == w[1]) {
            return Err(err::invalid(format!("Invalid input for {F}. Reason: a server is given twice.")));
        }
    }
    Ok(list)
}

fn service_types(o: &Obj) -> Result<Option<Vec<String>>> {
    let list = o.opt_strs("service_types", fields::TEXT)?;
    let bad =
        |t: &&String| !["network:", "compute:", "baremetal:", "container:"].iter().any(|p| t.starts_with(p));
    match list.iter().flatten().find(bad) {
        None => Ok(list),
        Some(t) => Err(err::bad(
            "InvalidSubnetServiceType",
            format!("Subnet service type {t} does not correspond to a valid device owner."),
        )),
    }
}

fn mode(o: &Obj, field: &str) -> Result<Option<String>> {
    let m = o.opt_str(field, fields::TEXT)?;
    match m.as_deref() {
        None | Some("slaac" | "dhcpv6-stateless" | "dhcpv6-stateful") => Ok(m),
        Some(other) => Err(err::invalid(format!(
            "Invalid input for {field}. Reason: '{other}' is not one of slaac, dhcpv6-stateful, dhcpv6-stateless."
        ))),
    }
}

fn cidr(o: &Obj) -> Result<Cidr> {
    let v6 =
        super::scope::is_v6(o)?.ok_or_else(|| Fault::bad_request("'ip_version' is required: 4 or 6."))?;
    let net: Option<IpNet> = fields::opt_parse(o, "cidr", fields::PREFIX)?;
    let pool = match o.opt_str("subnetpool_id", fields::TEXT)? {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| err::no_pool(id))?),
    };
    let default = o.opt_bool("use_default_subnetpool")?.unwrap_or(false);
    if default && pool.is_some() {
        return Err(err::bad(
            "BadRequest",
            "Bad subnets request: subnetpool_id and use_default_subnetpool cannot both be specified.",
        ));
    }
    let fits = |n: &IpNet| n.addr().is_ipv6() == v6;
    if net.as_ref().is_some_and(|n| !fits(n)) {
        let (version, net) = (if v6 { 6 } else { 4 }, net.map(|n| n.to_string()).unwrap_or_default());
        return Err(err::invalid(format!(
            "Invalid input for operation: ip_version {version} does not fit cidr {net}."
        )));
    }
    let len = fields::int(o, "prefixlen", 0, 128)?.and_then(|n| u8::try_from(n).ok());
    if pool.is_some() || default {
        return Ok(Cidr::FromPool(pool::Want { pool, v6, cidr: net, len }));
    }
    let net = net.ok_or_else(|| {
        err::bad(
            "BadRequest",
            "Bad subnets request: a subnetpool must be specified in the absence of a cidr.",
        )
    })?;
    Ok(Cidr::This(net))
}

impl Noun for Subnets {
    const ONE: &'static str = "subnet";
    const MANY: &'static str = "subnets";
    const TABLE: &'static str = "subnet";
    const COLS: &'static str = table::subnet::COLS;
    const FILTERS: Filters = &[
        ("name", How::Text("t.name")),
        ("network_id", How::Text("t.network_id")),
        ("ip_version", How::Int("t.ip_version")),
        ("cidr", How::Text("t.cidr")),
        ("gateway_ip", How::Text("COALESCE(t.gateway_ip, '')")),
        ("enable_dhcp", How::Bool("t.enable_dhcp")),
        ("ipv6_ra_mode", How::Text("COALESCE(t.ipv6_ra_mode, '')")),
        ("ipv6_address_mode", How::Text("COALESCE(t.ipv6_address_mode, '')")),
        ("subnetpool_id", How::Text("COALESCE(t.subnetpool_id, '')")),
        ("shared", How::With(by_shared)),
        ("router:external", How::With(by_external)),
        ("service_types", How::With(by_service)),
    ];
    type Row = Subnet;
    type View = View;
    type New = act::subnet::New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<Subnet> {
        table::subnet::read(r)
    }
    fn id(row: &Subnet) -> String {
        row.id.to_string()
    }
    fn std(row: &Subnet) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_subnet(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        q.push(" AND (t.project_id = ").bind(project);
        q.push(" OR t.network_id IN (SELECT id FROM network WHERE project_id = ").bind(project);
        q.push(") OR (SELECT COUNT(*) FROM rbac_policy r WHERE r.object_id = t.network_id AND r.action = 'access_as_shared'");
        q.push(" AND r.target IN ('*', ").bind(project).push(")) > 0)");
    }
    fn views(tx: &Tx<'_>, _caller: &Caller, rows: Vec<Subnet>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|s| s.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let view = |s: Subnet| {
            let id = s.id.to_string();
            View {
                name: s.std.name.clone(),
                network_id: s.network.to_string(),
                ip_version: if s.is_v6() { 6 } else { 4 },
                cidr: s.cidr.to_string(),
                gateway_ip: s.gateway,
                enable_dhcp: s.dhcp,
                allocation_pools: s.pools.iter().map(|(a, b)| Pool { start: *a, end: *b }).collect(),
                host_routes: fields::routes_view(&s.routes),
                common: Common::new(&s.std, tags.remove(&id)),
                id,
                dns_nameservers: s.dns,
                ipv6_ra_mode: s.ra_mode,
                ipv6_address_mode: s.address_mode,
                service_types: s.service_types,
                subnetpool_id: s.pool,
            }
        };
        Ok(rows.into_iter().map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Subnet> {
        act::subnet::visible(tx, caller, id.parse().map_err(|_| err::no_subnet(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<act::subnet::New> {
        fields::only(o, NEW_FIELDS, "POST")?;
        Ok(act::subnet::New {
            network: o.id("network_id")?,
            project: fields::project(o, caller)?,
            name: fields::text(o, "name")?,
            description: fields::text(o, "description")?,
            cidr: cidr(o)?,
            gateway: gateway(o)?.unwrap_or(Gateway::Default),
            dhcp: o.opt_bool("enable_dhcp")?.unwrap_or(true),
            ra_mode: mode(o, "ipv6_ra_mode")?,
            address_mode: mode(o, "ipv6_address_mode")?,
            pools: pools(o)?,
            dns: dns(o)?.unwrap_or_default(),
            routes: fields::routes(o, "host_routes")?.unwrap_or_default(),
            service_types: service_types(o)?.unwrap_or_default(),
        })
    }
    fn create(tx: &Tx<'_>, caller: &Caller, new: act::subnet::New) -> Result<Subnet> {
        act::subnet::create(tx, caller, new)
    }
    fn parse_change(o: &Obj, _caller: &Caller) -> Result<Change> {
        fields::only(o, FIELDS, "PUT")?;
        Ok(Change {
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            gateway: gateway(o)?,
            dhcp: o.opt_bool("enable_dhcp")?,
            pools: pools(o)?,
            dns: if o.is_null("dns_nameservers") { Some(Vec::new()) } else { dns(o)? },
            routes: if o.is_null("host_routes") {
                Some(Vec::new())
            } else {
                fields::routes(o, "host_routes")?
            },
            service_types: service_types(o)?,
        })
    }
    fn update(tx: &Tx<'_>, _caller: &Caller, mut s: Subnet, c: Change) -> Result<()> {
        let before = s.clone();
        s.std.name = c.name.unwrap_or(s.std.name);
        s.std.description = c.description.unwrap_or(s.std.description);
        s.dhcp = c.dhcp.unwrap_or(s.dhcp);
        s.pools = c.pools.unwrap_or(s.pools);
        s.dns = c.dns.unwrap_or(s.dns);
        s.routes = c.routes.unwrap_or(s.routes);
        s.service_types = c.service_types.unwrap_or(s.service_types);
        match c.gateway {
            None | Some(Gateway::Default) => {}
            Some(Gateway::None) => s.gateway = None,
            Some(Gateway::At(a)) => s.gateway = Some(a),
        }
        act::subnet::check(&s)?;
        if s.gateway != before.gateway {
            gateway_unused(tx, &before)?;
        }
        if !s.dhcp && before.dhcp && (s.ra_mode.is_some() || s.address_mode.is_some()) {
            return Err(err::invalid(
                "Invalid input for operation: ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.",
            ));
        }
        table::subnet::update(tx, &s)?;
        table::bump(tx, "network", &s.network.to_string())?;
        if s != (Subnet { std: s.std.clone(), ..before }) {
            touch::subnets(tx, s.network)?;
        }
        Ok(())
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, s: Subnet) -> Result<()> {
        act::subnet::delete(tx, &s)
    }
}

/// A gateway that a router's port has cannot be moved from under it.
fn gateway_unused(tx: &Tx<'_>, s: &Subnet) -> Result<()> {
    let Some(g) = s.gateway else { return Ok(()) };
    let port = tx.opt(
        "SELECT p.id FROM port_address a JOIN port p ON p.id = a.port_id
         WHERE a.subnet_id = $1 AND a.key = $2 AND p.device_owner LIKE 'network:router%'",
        params![s.id, crate::plan::key(g)],
        |r| r.get::<String>(0),
    )?;
    match port {
        None => Ok(()),
        Some(p) => Err(err::conflict(
            "GatewayIpInUse",
            format!("Current gateway ip {g} already in use by port {p}. Unable to update."),
        )),
    }
}

fn of_network_where(q: &mut Sql, col: &str, values: &[&str]) -> Result<()> {
    let yes = values.iter().any(|v| v.eq_ignore_ascii_case("true") || *v == "1");
    q.push(&format!(" AND t.network_id IN (SELECT id FROM network WHERE {col} = "))
        .bind(i64::from(yes))
        .push(")");
    Ok(())
}

fn by_shared(q: &mut Sql, values: &[&str]) -> Result<()> {
    of_network_where(q, "shared", values)
}

fn by_external(q: &mut Sql, values: &[&str]) -> Result<()> {
    of_network_where(q, "external", values)
}

fn by_service(q: &mut Sql, values: &[&str]) -> Result<()> {
    q.push(" AND (1 = 0");
    for v in values {
        q.push(" OR t.service_types LIKE ").bind(format!("%\"{}\"%", v.replace(['%', '_', '"'], "")));
    }
    q.push(")");
    Ok(())
}
