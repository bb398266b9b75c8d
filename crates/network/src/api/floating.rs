//! `/v2.0/floatingips`

use super::list::{Filters, How};
use super::noun::{Noun, Way};
use super::{Common, fields, qos};
use crate::act::{self, Caller};
use crate::model::{Floating, Port, Std};
use crate::table::qos::Holder;
use crate::{err, table};
use ::api::Obj;
use base::{Fault, PortId, QosPolicyId, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use store::{Row, Sql, Tx};

pub struct Floatings;

#[derive(Serialize)]
pub struct View {
    id: String,
    floating_network_id: String,
    floating_ip_address: IpAddr,
    fixed_ip_address: Option<IpAddr>,
    port_id: Option<PortId>,
    router_id: Option<String>,
    status: &'static str,
    port_details: Value,
    port_forwardings: Vec<Value>,
    qos_policy_id: Option<QosPolicyId>,
    dns_name: &'static str,
    dns_domain: &'static str,
    #[serde(flatten)]
    common: Common,
}

const FIELDS: &[&str] = &["port_id", "fixed_ip_address", "qos_policy_id"];
const NEW_FIELDS: &[&str] = &[
    "floating_network_id",
    "port_id",
    "fixed_ip_address",
    "floating_ip_address",
    "subnet_id",
    "qos_policy_id",
    "dns_name",
    "dns_domain",
];

/// What is asked of where the address leads.
pub struct Change {
    description: Option<String>,
    /// Some(None): to nowhere.
    port: Option<Option<PortId>>,
    fixed: Option<IpAddr>,
    qos: Option<Option<QosPolicyId>>,
}

fn refuse_unbuilt(o: &Obj) -> Result<()> {
    for k in ["dns_name", "dns_domain"] {
        if o.opt_str(k, fields::TEXT)?.is_some_and(|v| !v.is_empty()) {
            return Err(err::invalid(format!(
                "'{k}' cannot be set: names of floating IPs are not published here."
            )));
        }
    }
    Ok(())
}

fn by_policy(q: &mut Sql, values: &[&str]) -> Result<()> {
    table::qos::filter(q, Holder::Floating, values);
    Ok(())
}

/// An empty text stands for null in some clients.
fn port_id(o: &Obj) -> Result<Option<PortId>> {
    if o.opt_str("port_id", fields::TEXT)?.as_deref() == Some("") { Ok(None) } else { o.opt_id("port_id") }
}

impl Noun for Floatings {
    const ONE: &'static str = "floatingip";
    const MANY: &'static str = "floatingips";
    const TABLE: &'static str = "floating_ip";
    const COLS: &'static str = table::floating::COLS;
    const FILTERS: Filters = &[
        ("floating_network_id", How::Text("t.network_id")),
        ("floating_ip_address", How::Text("t.address")),
        ("fixed_ip_address", How::Text("COALESCE(t.fixed_address, '')")),
        ("port_id", How::Text("COALESCE(t.port_id, '')")),
        ("router_id", How::Text("COALESCE(t.router_id, '')")),
        ("status", How::Text("t.status")),
        ("qos_policy_id", How::With(by_policy)),
    ];
    type Row = Floating;
    type View = View;
    type New = act::floating::New;
    type Change = Change;

    fn label(row: &Floating) -> String {
        row.address.to_string()
    }
    fn read(r: &Row<'_>) -> Result<Floating> {
        table::floating::read(r)
    }
    fn id(row: &Floating) -> String {
        row.id.to_string()
    }
    fn std(row: &Floating) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_floating(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        q.and("t.project_id =", project);
    }
    fn views(tx: &Tx<'_>, _caller: &Caller, rows: Vec<Floating>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|f| f.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let forwards = table::forward::of_many(tx, &ids)?;
        let policies = table::qos::held(tx, Holder::Floating, &ids)?;
        let ports: Vec<PortId> = rows.iter().filter_map(|f| f.port).collect();
        let ports = if ports.is_empty() { Vec::new() } else { table::port::find_in(tx, "t.id", ports, "")? };
        let ports: HashMap<PortId, Port> = ports.into_iter().map(|p| (p.id, p)).collect();
        let view = |(f, id): (Floating, String)| View {
            floating_network_id: f.network.to_string(),
            floating_ip_address: f.address,
            fixed_ip_address: f.fixed,
            port_id: f.port,
            router_id: f.router.map(|r| r.to_string()),
            status: if f.active { "ACTIVE" } else { "DOWN" },
            port_details: f.port.and_then(|p| ports.get(&p)).map_or(Value::Null, details),
            port_forwardings: forwards
                .get(&id)
                .into_iter()
                .flatten()
                .map(super::forward::in_floating)
                .collect(),
            qos_policy_id: policies.get(&id).copied(),
            dns_name: "",
            dns_domain: "",
            common: Common::new(&f.std, tags.remove(&id)),
            id,
        };
        Ok(rows.into_iter().zip(ids).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Floating> {
        let missing = || err::no_floating(id);
        let f = table::floating::by_id(tx, id.parse().map_err(|_| missing())?)?;
        f.filter(|f| caller.owns(&f.std.project)).ok_or_else(missing)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<act::floating::New> {
        fields::only(o, NEW_FIELDS, "POST")?;
        refuse_unbuilt(o)?;
        fields::admin_only(o, caller, &["floating_ip_address"], "create")?;
        Ok(act::floating::New {
            project: fields::project(o, caller)?,
            network: o.id("floating_network_id")?,
            subnet: o.opt_id("subnet_id")?,
            address: fields::opt_parse(o, "floating_ip_address", fields::ADDRESS)?,
            description: fields::text(o, "description")?,
            port: port_id(o)?,
            fixed: fields::opt_parse(o, "fixed_ip_address", fields::ADDRESS)?,
            qos: qos::asked(o)?.flatten(),
        })
    }
    fn create(tx: &Tx<'_>, caller: &Caller, new: act::floating::New) -> Result<Floating> {
        act::floating::create(tx, caller, &new)
    }
    fn parse_change(o: &Obj, _caller: &Caller) -> Result<Change> {
        fields::only(o, FIELDS, "PUT")?;
        refuse_unbuilt(o)?;
        Ok(Change {
            description: o.opt_str("description", fields::TEXT)?,
            // Asking for nothing at all takes it off, as it always has.
            port: match (o.has("port_id"), o.map.is_empty()) {
                (true, _) => Some(port_id(o)?),
                (false, true) => Some(None),
                (false, false) => None,
            },
            fixed: fields::opt_parse(o, "fixed_ip_address", fields::ADDRESS)?,
            qos: qos::asked(o)?,
        })
    }
    fn update(tx: &Tx<'_>, caller: &Caller, mut f: Floating, c: Change) -> Result<()> {
        f.std.description = c.description.unwrap_or(f.std.description);
        let before = f.router;
        if let Some(policy) = c.qos {
            act::qos::give(tx, caller, Holder::Floating, f.id, policy)?;
            act::floating::touch_router(tx, &f)?;
        }
        if matches!(c.port, Some(Some(_))) {
            act::forward::none_of(tx, &f)?;
        }
        match (c.port, c.fixed) {
            (Some(Some(port)), fixed) => act::floating::point(tx, caller, &mut f, port, fixed)?,
            // With forwardings it leads to no port as a whole already.
            (Some(None), None) if f.port.is_none() => {}
            (Some(None), None) => act::floating::detach(&mut f),
            (None, Some(fixed)) => {
                let port = f.port.ok_or_else(act::floating::fixed_needs_port)?;
                act::floating::point(tx, caller, &mut f, port, Some(fixed))?;
            }
            (Some(None), Some(_)) => return Err(act::floating::fixed_needs_port()),
            (None, None) => return table::floating::update(tx, &f),
        }
        table::floating::update(tx, &f)?;
        for router in [before, f.router].into_iter().flatten() {
            crate::touch::home(tx, router)?;
        }
        Ok(())
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, f: Floating) -> Result<()> {
        act::forward::none_of(tx, &f)?;
        act::floating::delete(tx, &f)
    }
    fn way(f: &Floating) -> Option<Way> {
        Some((f.router?, f.port?, f.fixed))
    }
}

fn details(p: &Port) -> Value {
    json!({
        "name": p.std.name,
        "network_id": p.network,
        "mac_address": p.mac,
        "admin_state_up": p.admin_up,
        "status": if p.active { "ACTIVE" } else { "DOWN" },
        "device_id": p.device_id,
        "device_owner": p.device_owner,
    })
}
