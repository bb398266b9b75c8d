//! `/v2.0/floatingips/{id}/port_forwardings`

use super::floating::Floatings;
use super::noun::{Noun, held};
use super::{caller, fields};
use crate::act::{self, Caller};
use crate::model::Floating;
use crate::model::forward::{Forward, Span};
use crate::{Network, err, table};
use ::api::{Obj, Reply, Req};
use base::{Fault, PortForwardingId, PortId, Result};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use store::{Tx, log};

const FIELDS: &[&str] = &[
    "protocol",
    "external_port",
    "external_port_range",
    "internal_port",
    "internal_port_range",
    "internal_port_id",
    "internal_ip_address",
    "description",
];

/// A single port is shown by itself and as a range, a longer range only as one.
fn span_view(view: &mut Value, name: &str, (first, last): Span) {
    view[name] = if first == last { json!(first) } else { Value::Null };
    view[format!("{name}_range")] = json!(format!("{first}:{last}"));
}

fn view(w: &Forward) -> Value {
    let mut view = json!({
        "id": w.id,
        "protocol": w.protocol(),
        "internal_port_id": w.port,
        "internal_ip_address": w.address,
        "description": w.description,
    });
    span_view(&mut view, "external_port", w.external);
    span_view(&mut view, "internal_port", w.internal);
    view
}

/// As the floating IP shows it: a single port by itself, a longer range as one.
pub fn in_floating(w: &Forward) -> Value {
    let mut view = json!({
        "id": w.id, "protocol": w.protocol(), "internal_ip_address": w.address, "internal_port_id": w.port,
    });
    for (name, (first, last)) in [("external_port", w.external), ("internal_port", w.internal)] {
        if first == last {
            view[name] = json!(first);
        } else {
            view[format!("{name}_range")] = json!(format!("{first}:{last}"));
        }
    }
    view
}

/// What a request says of a forwarding; `None` where it says nothing.
struct Asked {
    udp: Option<bool>,
    external: Option<Span>,
    internal: Option<Span>,
    port: Option<PortId>,
    address: Option<IpAddr>,
    description: Option<String>,
}

fn invalid(field: &str, why: &str) -> Fault {
    err::invalid(format!("Invalid input for {field}. Reason: {why}."))
}

/// `external_port: 80`, or `external_port_range: "80:90"`, not both.
fn span(o: &Obj, name: &str) -> Result<Option<Span>> {
    let number = |n: i64| u16::try_from(n).ok().filter(|n| *n > 0);
    let single = fields::int(o, name, 1, 65_535)?.and_then(number);
    let field = format!("{name}_range");
    let range = o.opt_str(&field, fields::TEXT)?;
    let range = match range.as_deref() {
        None => None,
        Some(text) => {
            let (a, b) = text.split_once(':').unwrap_or((text, text));
            let port = |t: &str| t.trim().parse().ok().and_then(number);
            let (Some(a), Some(b)) = (port(a), port(b)) else {
                return Err(invalid(&field, &format!("'{text}' is not a range of ports such as 80:90")));
            };
            if a > b {
                return Err(invalid(&field, &format!("'{text}' ends before it begins")));
            }
            Some((a, b))
        }
    };
    match (single, range) {
        (Some(_), Some(_)) => Err(err::bad(
            "BadRequest",
            format!("Bad port_forwarding request: {name} and {field} cannot be given together."),
        )),
        (Some(n), None) => Ok(Some((n, n))),
        (None, range) => Ok(range),
    }
}

fn parse(o: &Obj) -> Result<Asked> {
    let fine = |k: &&String| FIELDS.contains(&k.as_str()) || matches!(k.as_str(), "tenant_id" | "project_id");
    if let Some(k) = o.map.keys().find(|k| !fine(k)) {
        return Err(Fault::bad_request(format!("Unrecognized attribute(s) '{k}'")));
    }
    let udp = match o.opt_str("protocol", fields::TEXT)?.map(|p| p.to_ascii_lowercase()).as_deref() {
        None => None,
        Some("tcp") => Some(false),
        Some("udp") => Some(true),
        Some(other) => return Err(invalid("protocol", &format!("'{other}' is not in ['tcp', 'udp']"))),
    };
    let address = fields::opt_parse::<Ipv4Addr>(o, "internal_ip_address", "a valid IPv4 address")?;
    Ok(Asked {
        udp,
        external: span(o, "external_port")?,
        internal: span(o, "internal_port")?,
        port: o.opt_id("internal_port_id")?,
        address: address.map(IpAddr::V4),
        description: o.opt_str("description", fields::TEXT)?,
    })
}

/// One that is asked for anew: what must be there is.
fn made(f: &Floating, a: Asked) -> Result<Forward> {
    let need = |field: &str| {
        Fault::bad_request(format!("Failed to parse request. Required attribute '{field}' not specified"))
    };
    Ok(Forward {
        id: PortForwardingId::new(),
        floating: f.id,
        description: a.description.unwrap_or_default(),
        udp: a.udp.ok_or_else(|| need("protocol"))?,
        external: a.external.ok_or_else(|| need("external_port"))?,
        port: a.port.ok_or_else(|| need("internal_port_id"))?,
        address: a.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        internal: a.internal.ok_or_else(|| need("internal_port"))?,
    })
}

fn no_forward(id: &str) -> Fault {
    Fault::not_found(format!("Port Forwarding {id} could not be found.")).tag("PortForwardingNotFound")
}

fn find(tx: &Tx<'_>, f: &Floating, id: &str) -> Result<Forward> {
    let found = table::forward::by_id(tx, id.parse().map_err(|_| no_forward(id))?)?;
    found.filter(|w| w.floating == f.id).ok_or_else(|| no_forward(id))
}

pub async fn list(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, id) = (caller(&req)?, req.text_param("id").to_owned());
    let all = net.db.read(move |tx| {
        let f = Floatings::find(tx, &caller, &id)?;
        table::forward::of_floating(tx, f.id)
    });
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut views: Vec<Value> = all.await?.iter().map(view).collect();
    for (k, want) in &req.query.0 {
        if FIELDS.contains(&k.as_str()) || k == "id" {
            views.retain(|v| text(&v[k]) == *want);
        } else if !matches!(k.as_str(), "fields" | "limit" | "marker" | "sort_key" | "sort_dir") {
            return Err(err::invalid(format!("['{k}'] is invalid attribute for filtering")));
        }
    }
    Ok(Reply::json(200, &json!({"port_forwardings": views})))
}

pub async fn show(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, id) = (caller(&req)?, req.text_param("id").to_owned());
    let forward = req.text_param("forward").to_owned();
    let one = net.db.read(move |tx| find(tx, &Floatings::find(tx, &caller, &id)?, &forward)).await?;
    Ok(Reply::json(200, &json!({"port_forwarding": view(&one)})))
}

/// Holds the floating IP, changes something, and leaves a word about it.
async fn change<T: Send + 'static>(
    net: &Network,
    req: &Req,
    verb: &'static str,
    f: impl FnOnce(&Tx<'_>, &Caller, &mut Floating) -> Result<(PortForwardingId, T)> + Send + 'static,
) -> Result<T> {
    let (caller, who, id) = (caller(req)?, req.who(), req.text_param("id").to_owned());
    net.db
        .write(move |tx| {
            let mut floating = held::<Floatings>(tx, &caller, &id, None, "update")?;
            let (id, out) = f(tx, &caller, &mut floating)?;
            log::audit(tx, &who, &format!("port_forwarding.{verb}"), &id.to_string())?;
            Ok(out)
        })
        .await
}

pub async fn create(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let asked = parse(&req.json().await?.inner("port_forwarding")?)?;
    let made = change(&net, &req, "create", move |tx, caller, f| {
        let w = made(f, asked)?;
        let w = act::forward::create(tx, caller, f, w)?;
        Ok((w.id, w))
    });
    Ok(Reply::json(201, &json!({"port_forwarding": view(&made.await?)})))
}

pub async fn update(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let asked = parse(&req.json().await?.inner("port_forwarding")?)?;
    let id = req.text_param("forward").to_owned();
    let changed = change(&net, &req, "update", move |tx, caller, f| {
        let mut w = find(tx, f, &id)?;
        w.udp = asked.udp.unwrap_or(w.udp);
        w.external = asked.external.unwrap_or(w.external);
        w.internal = asked.internal.unwrap_or(w.internal);
        w.description = asked.description.unwrap_or(w.description);
        if let Some(port) = asked.port.filter(|p| *p != w.port) {
            w.port = port;
            w.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        }
        w.address = asked.address.unwrap_or(w.address);
        let w = act::forward::update(tx, caller, f, w)?;
        Ok((w.id, w))
    });
    Ok(Reply::json(200, &json!({"port_forwarding": view(&changed.await?)})))
}

pub async fn delete(net: Arc<Network>, req: Req) -> Result<Reply> {
    let id = req.text_param("forward").to_owned();
    change(&net, &req, "delete", move |tx, _, f| {
        let w = find(tx, f, &id)?;
        act::forward::delete(tx, f, &w)?;
        Ok((w.id, ()))
    })
    .await?;
    Ok(Reply::empty(204))
}
