//! `/v2.0/routers`

use super::list::{Filters, How};
use super::noun::{Noun, held};
use super::{Common, bytes, caller, fields, qos};
use crate::act::router::Outside;
use crate::act::{self, Caller};
use crate::model::{Port, Router, Std};
use crate::table::qos::Holder;
use crate::{Network, err, table, touch};
use ::api::{Obj, Reply, Req};
use base::doc::Route;
use base::{Fault, PortId, ProjectId, QosPolicyId, Result, SubnetId};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use store::{Row, Sql, Tx, log};

pub struct Routers;

#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    admin_state_up: bool,
    status: &'static str,
    external_gateway_info: Value,
    routes: Value,
    availability_zone_hints: Vec<String>,
    availability_zones: Vec<String>,
    flavor_id: Option<String>,
    #[serde(flatten)]
    kind: Option<Kind>,
    #[serde(flatten)]
    common: Common,
}

/// What only admins see.
#[derive(Serialize)]
struct Kind {
    distributed: bool,
    ha: bool,
}

const FIELDS: &[&str] = &[
    "admin_state_up",
    "external_gateway_info",
    "routes",
    "distributed",
    "ha",
    "availability_zone_hints",
    "flavor_id",
];

/// What is asked of the gateway.
#[derive(Debug, Clone)]
pub enum Gateway {
    Clear,
    Set(Outside),
}

pub struct New {
    project: ProjectId,
    name: String,
    description: String,
    admin_up: bool,
    gateway: Option<Gateway>,
    routes: Option<Vec<Route>>,
    az_hints: Vec<String>,
}

pub struct Change {
    name: Option<String>,
    description: Option<String>,
    admin_up: Option<bool>,
    gateway: Option<Gateway>,
    routes: Option<Vec<Route>>,
    az_hints: Option<Vec<String>>,
}

fn gateway(o: &Obj, caller: &Caller, verb: &str) -> Result<Option<Gateway>> {
    const F: &str = "external_gateway_info";
    if o.is_null(F) {
        return Ok(Some(Gateway::Clear));
    }
    let Some(info) = o.opt_inner(F)? else { return Ok(None) };
    if info.map.is_empty() {
        return Ok(Some(Gateway::Clear));
    }
    if let Some(k) = info.map.keys().find(|k| {
        !matches!(k.as_str(), "network_id" | "enable_snat" | "external_fixed_ips" | "qos_policy_id")
    }) {
        return Err(err::invalid(format!("Invalid input for {F}. Reason: '{k}' is not known.")));
    }
    if !caller.admin {
        for k in ["enable_snat", "external_fixed_ips"] {
            if info.map.get(k).is_some_and(|v| !v.is_null()) {
                return Err(err::policy(&format!("{verb}_router:{F}:{k}")));
            }
        }
    }
    let Some(network) = info.opt_id("network_id")? else {
        return Ok(Some(Gateway::Clear));
    };
    let list = fields::list(&info, "external_fixed_ips")?.filter(|l| !l.is_empty());
    Ok(Some(Gateway::Set(Outside {
        network,
        enable_snat: info.opt_bool("enable_snat")?,
        qos: qos::asked(&info)?,
        fixed: list.map(|l| fields::fixed_ips("external_fixed_ips", l)).transpose()?,
    })))
}

/// Every router is on each host that needs it and moves when its home fails: there is no other kind.
fn no_kind(o: &Obj) -> Result<()> {
    for k in ["distributed", "ha"] {
        if o.opt_bool(k)? == Some(true) {
            return Err(err::invalid(format!("'{k}' cannot be chosen: all routers are made alike here.")));
        }
    }
    match o.opt_str("flavor_id", fields::TEXT)? {
        None => Ok(()),
        Some(id) => Err(Fault::not_found(format!("Flavor {id} could not be found.")).tag("FlavorNotFound")),
    }
}

fn apply(tx: &Tx<'_>, caller: &Caller, r: &mut Router, g: Option<Gateway>) -> Result<()> {
    match g {
        None => Ok(()),
        Some(Gateway::Clear) => {
            table::qos::give(tx, Holder::Router, &r.id.to_string(), None)?;
            act::router::clear_gateway(tx, r)
        }
        Some(Gateway::Set(want)) => {
            if let Some(policy) = want.qos {
                act::qos::give(tx, caller, Holder::Router, r.id, policy)?;
            }
            act::router::set_gateway(tx, caller, r, &want)
        }
    }
}

impl Noun for Routers {
    const ONE: &'static str = "router";
    const MANY: &'static str = "routers";
    const TABLE: &'static str = "router";
    const COLS: &'static str = table::router::COLS;
    const FILTERS: Filters = &[
        ("name", How::Text("t.name")),
        ("admin_state_up", How::Bool("t.admin_up")),
        ("enable_snat", How::Bool("t.enable_snat")),
        ("status", How::Always("ACTIVE")),
        ("distributed", How::Always("false")),
        ("ha", How::Always("false")),
    ];
    type Row = Router;
    type View = View;
    type New = New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<Router> {
        table::router::read(r)
    }
    fn id(row: &Router) -> String {
        row.id.to_string()
    }
    fn std(row: &Router) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_router(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        q.and("t.project_id =", project);
    }
    fn views(tx: &Tx<'_>, caller: &Caller, rows: Vec<Router>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|r| r.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let policies = table::qos::held(tx, Holder::Router, &ids)?;
        let zones = super::zone::all(tx)?;
        let ports: Vec<PortId> = rows.iter().filter_map(|r| r.gateway_port).collect();
        let ports = if ports.is_empty() { Vec::new() } else { table::port::find_in(tx, "t.id", ports, "")? };
        let ports: HashMap<PortId, Port> = ports.into_iter().map(|p| (p.id, p)).collect();
        let view = |(r, id): (Router, String)| View {
            name: r.std.name.clone(),
            admin_state_up: r.admin_up,
            status: "ACTIVE",
            external_gateway_info: gateway_view(
                &r,
                r.gateway_port.and_then(|p| ports.get(&p)),
                policies.get(&id),
            ),
            routes: fields::routes_view(&r.routes),
            availability_zone_hints: r.az_hints.clone(),
            availability_zones: zones.clone(),
            flavor_id: None,
            kind: caller.admin.then_some(Kind { distributed: false, ha: false }),
            common: Common::new(&r.std, tags.remove(&id)),
            id,
        };
        Ok(rows.into_iter().zip(ids).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Router> {
        act::router::visible(tx, caller, id.parse().map_err(|_| err::no_router(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<New> {
        fields::only(o, FIELDS, "POST")?;
        no_kind(o)?;
        Ok(New {
            project: fields::project(o, caller)?,
            name: fields::text(o, "name")?,
            description: fields::text(o, "description")?,
            admin_up: o.opt_bool("admin_state_up")?.unwrap_or(true),
            gateway: gateway(o, caller, "create")?,
            routes: fields::routes(o, "routes")?,
            az_hints: super::zone::parse(o)?,
        })
    }
    fn create(tx: &Tx<'_>, caller: &Caller, n: New) -> Result<Router> {
        let mut r = act::router::create(tx, &n.project, &n.name, &n.description, n.admin_up)?;
        super::zone::check(tx, &n.az_hints)?;
        r.az_hints = n.az_hints;
        if n.gateway.is_some() {
            apply(tx, caller, &mut r, n.gateway)?;
        }
        if let Some(routes) = n.routes {
            act::router::check_routes(tx, &r, &routes)?;
            r.routes = routes;
        }
        table::router::update(tx, &r)?;
        touch::router(tx, r.id)?;
        Ok(r)
    }
    fn parse_change(o: &Obj, caller: &Caller) -> Result<Change> {
        fields::only(o, FIELDS, "PUT")?;
        no_kind(o)?;
        Ok(Change {
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            admin_up: o.opt_bool("admin_state_up")?,
            gateway: gateway(o, caller, "update")?,
            routes: if o.is_null("routes") { Some(Vec::new()) } else { fields::routes(o, "routes")? },
            az_hints: if o.has("availability_zone_hints") { Some(super::zone::parse(o)?) } else { None },
        })
    }
    fn update(tx: &Tx<'_>, caller: &Caller, mut r: Router, c: Change) -> Result<()> {
        r.std.name = c.name.unwrap_or(r.std.name);
        r.std.description = c.description.unwrap_or(r.std.description);
        let (everywhere, outside) = (c.admin_up.is_some() || c.routes.is_some(), c.gateway.is_some());
        // Other hosts know which networks the gateway leads to, and nothing else of it.
        let led = matches!(&c.gateway, Some(Gateway::Set(o)) if o.fixed.is_some());
        let (before, snat) = (r.gateway_port, r.enable_snat);
        let through = if outside { touch::hosts_through(tx, r.id)? } else { Vec::new() };
        r.admin_up = c.admin_up.unwrap_or(r.admin_up);
        if let Some(hints) = c.az_hints {
            super::zone::check(tx, &hints)?;
            r.az_hints = hints;
        }
        apply(tx, caller, &mut r, c.gateway)?;
        if let Some(routes) = c.routes {
            act::router::check_routes(tx, &r, &routes)?;
            r.routes = routes;
        }
        table::router::update(tx, &r)?;
        let other_way = before != r.gateway_port || snat != r.enable_snat;
        if other_way {
            store::host::touch_all(tx, through)?;
        }
        match (everywhere || led || other_way, outside) {
            (true, _) => touch::router(tx, r.id),
            (false, true) => touch::home(tx, r.id),
            (false, false) => Ok(()),
        }
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, r: Router) -> Result<()> {
        act::router::delete(tx, r)
    }
}

fn gateway_view(r: &Router, port: Option<&Port>, policy: Option<&QosPolicyId>) -> Value {
    let Some(p) = port else { return Value::Null };
    let fixed = p.addresses.iter().map(|a| json!({"subnet_id": a.subnet, "ip_address": a.address}));
    json!({
        "network_id": p.network,
        "enable_snat": r.enable_snat,
        "external_fixed_ips": fixed.collect::<Vec<_>>(),
        "qos_policy_id": policy,
    })
}

// ------------------------------------------------------------------------------------ interfaces

/// Which interface a request means.
fn which(o: &Obj) -> Result<(Option<SubnetId>, Option<PortId>)> {
    let missing = |f: Fault| f.tag("InvalidInput");
    Ok((o.opt_id("subnet_id").map_err(missing)?, o.opt_id("port_id").map_err(missing)?))
}

fn answer(r: &Router, p: &Port, subnet: SubnetId) -> Vec<u8> {
    let subnets: Vec<String> = p.addresses.iter().map(|a| a.subnet.to_string()).collect();
    let value = json!({
        "id": r.id,
        "tenant_id": r.std.project,
        "project_id": r.std.project,
        "port_id": p.id,
        "network_id": p.network,
        "subnet_id": subnet,
        "subnet_ids": subnets,
        "tags": [],
    });
    value.to_string().into_bytes()
}

pub async fn add_interface(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let (caller, who, expected) = (caller(&req)?, req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    let (subnet, port) = which(&req.json().await?)?;
    let body = net.db.write(move |tx| {
        let r = held::<Routers>(tx, &caller, &id, expected, "add_router_interface")?;
        let p = match (subnet, port) {
            (Some(s), None) => act::router::add_subnet(tx, &caller, &r, s)?,
            (None, Some(p)) => act::router::add_port(tx, &caller, &r, p)?,
            (Some(_), Some(_)) => {
                return Err(err::bad(
                    "BadRequest",
                    "Bad router request: Cannot specify both subnet-id and port-id.",
                ));
            }
            (None, None) => {
                return Err(err::bad(
                    "BadRequest",
                    "Bad router request: Either subnet_id or port_id must be specified.",
                ));
            }
        };
        table::bump(tx, "router", &id)?;
        log::audit(tx, &who, "router.add_interface", &id)?;
        let first = p.addresses.first().map_or(SubnetId::nil(), |a| a.subnet);
        Ok(answer(&r, &p, subnet.unwrap_or(first)))
    });
    Ok(bytes(200, body.await?))
}

pub async fn remove_interface(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let (caller, who, expected) = (caller(&req)?, req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    let (subnet, port) = which(&req.json().await?)?;
    let body = net.db.write(move |tx| {
        let r = held::<Routers>(tx, &caller, &id, expected, "remove_router_interface")?;
        let (p, about) = act::router::find_interface(tx, &r, port, subnet)?;
        act::router::remove_interface(tx, &r, &p, if port.is_none() { subnet } else { None })?;
        table::bump(tx, "router", &id)?;
        log::audit(tx, &who, "router.remove_interface", &id)?;
        Ok(answer(&r, &p, about))
    });
    Ok(bytes(200, body.await?))
}

// ------------------------------------------------------------------------------------ routes

async fn change_routes(
    net: &Network,
    mut req: Req,
    f: impl FnOnce(Vec<Route>, Vec<Route>) -> Vec<Route> + Send + 'static,
) -> Result<Reply> {
    let (caller, who, expected) = (caller(&req)?, req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    let o = req.json().await?.inner("router")?;
    let given = fields::routes(&o, "routes")?.ok_or_else(|| err::invalid("The list 'routes' is missing."))?;
    let view = net.db.write(move |tx| {
        let mut r = held::<Routers>(tx, &caller, &id, expected, "update")?;
        let routes = f(std::mem::take(&mut r.routes), given);
        act::router::check_routes(tx, &r, &routes)?;
        r.routes = routes;
        table::router::update(tx, &r)?;
        table::bump(tx, "router", &id)?;
        touch::router(tx, r.id)?;
        log::audit(tx, &who, "router.update", &id)?;
        let row = Routers::find(tx, &caller, &id)?;
        let view = Routers::views(tx, &caller, vec![row])?.pop();
        Ok(serde_json::to_vec(&json!({"router": view}))?)
    });
    Ok(bytes(200, view.await?))
}

pub async fn add_routes(net: Arc<Network>, req: Req) -> Result<Reply> {
    change_routes(&net, req, |mut have, new| {
        for r in new {
            if !have.contains(&r) {
                have.push(r);
            }
        }
        have
    })
    .await
}

pub async fn remove_routes(net: Arc<Network>, req: Req) -> Result<Reply> {
    change_routes(&net, req, |mut have, gone| {
        have.retain(|r| !gone.contains(r));
        have
    })
    .await
}
