//! A server's addresses, ports and security groups, as Network has them.
//!
//! A port comes and goes in one transaction; the host makes the guest's NICs follow, while it runs.

use super::servers::must_be;
use super::{at, changeable, server_id, visible};
use crate::Compute;
use crate::metal;
use crate::model::VmState;
use crate::table::{action, nic_tag, server};
use crate::view::Addresses;
use api::{Obj, Reply, Req};
use base::{Fault, Kind, PortId, Result, ServerId};
use network::for_compute::{self, Address, Interface, Nic, Nics};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use store::{Tx, log, work};

/// NICs that a server can be given one by one: a host has so many slots for them.
const NICS_MAX: usize = 8;
/// The states in which NICs may come and go.
const CALM: &[VmState] = &[VmState::Active, VmState::Stopped];

async fn all_addresses(c: &Compute, req: &Req) -> Result<Vec<Address>> {
    let (id, auth) = (server_id(req)?, req.auth.clone());
    let found = c.db.read(move |tx| {
        visible(tx, &auth, id)?;
        for_compute::addresses(tx, &[id])
    });
    Ok(found.await?.remove(&id).unwrap_or_default())
}

fn short(all: &[Address]) -> Addresses<'_> {
    Addresses { all, short: true }
}

/// `GET /servers/{id}/ips`.
pub async fn ips(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let all = all_addresses(&c, &req).await?;
    Ok(Reply::json(200, &json!({"addresses": short(&all)})))
}

/// `GET /servers/{id}/ips/{network}`: by the network's name.
pub async fn ips_of_network(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let name = req.text_param("network");
    let mut all = all_addresses(&c, &req).await?;
    all.retain(|a| a.network_name == name);
    if all.is_empty() {
        return Err(Fault::not_found("Network not found"));
    }
    Reply::json_of(200, &short(&all))
}

type Tags = HashMap<PortId, String>;

fn seen(tx: &Tx<'_>, id: ServerId) -> Result<(Vec<Interface>, Tags)> {
    Ok((for_compute::interfaces(tx, id)?, nic_tag::of(tx, &[id])?.remove(&id).unwrap_or_default()))
}

async fn interfaces(c: &Compute, req: &Req) -> Result<(Vec<Interface>, Tags)> {
    let (id, auth) = (server_id(req)?, req.auth.clone());
    c.db.read(move |tx| {
        visible(tx, &auth, id)?;
        seen(tx, id)
    })
    .await
}

fn interface(req: &Req, i: &Interface, tags: &Tags) -> Value {
    let fixed: Vec<Value> =
        i.fixed.iter().map(|f| json!({"subnet_id": f.subnet, "ip_address": f.address})).collect();
    let mut v = json!({
        "port_state": if i.active { "ACTIVE" } else { "DOWN" },
        "fixed_ips": fixed, "port_id": i.port, "net_id": i.network, "mac_addr": i.mac,
    });
    if at(req, 70) {
        v["tag"] = json!(tags.get(&i.port));
    }
    v
}

/// `GET /servers/{id}/os-interface`.
pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (all, tags) = interfaces(&c, &req).await?;
    let all: Vec<Value> = all.iter().map(|i| interface(&req, i, &tags)).collect();
    Ok(Reply::json(200, &json!({"interfaceAttachments": all})))
}

/// `GET /servers/{id}/os-interface/{port}`.
pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let text = req.text_param("port");
    let missing = || Fault::not_found(format!("Port {text} could not be found on this instance."));
    let port: PortId = text.parse().map_err(|_| missing())?;
    let (all, tags) = interfaces(&c, &req).await?;
    let found = all.iter().find(|i| i.port == port).ok_or_else(missing)?;
    Ok(Reply::json(200, &json!({"interfaceAttachment": interface(&req, found, &tags)})))
}

/// What `POST /servers/{id}/os-interface` asks for.
#[derive(Clone)]
struct Ask {
    nics: Nics,
    tag: Option<String>,
}

fn parse(req: &Req, o: &Obj) -> Result<Ask> {
    o.only(if at(req, 49) {
        &["net_id", "port_id", "fixed_ips", "tag"]
    } else {
        &["net_id", "port_id", "fixed_ips"]
    })?;
    let nic = Nic { port: o.opt_id("port_id")?, network: o.opt_id("net_id")?, fixed_ip: fixed_ip(o)? };
    if nic.port.is_some() && nic.network.is_some() {
        return Err(Fault::bad_request("Must not input both network_id and port_id"));
    }
    if nic.fixed_ip.is_some() && nic.network.is_none() {
        return Err(Fault::bad_request("Must input network_id when request IP address"));
    }
    let tag = o.opt_str("tag", 60)?;
    if let Some(tag) = &tag {
        super::tags::check(std::slice::from_ref(tag))?;
    }
    let auto = nic.port.is_none() && nic.network.is_none();
    Ok(Ask { nics: if auto { Nics::Auto } else { Nics::These(vec![nic]) }, tag })
}

fn fixed_ip(o: &Obj) -> Result<Option<IpAddr>> {
    let Some(list) = o.opt_list("fixed_ips")? else { return Ok(None) };
    let [Value::Object(map)] = list.as_slice() else {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute fixed_ips. It must be a list of exactly one {\"ip_address\": …}.",
        ));
    };
    let f = Obj { name: "fixed_ips".into(), map: map.clone() };
    f.only(&["ip_address"])?;
    let text = f.str("ip_address", 64)?;
    let bad = || {
        Fault::bad_request(format!(
            "Invalid input for field/attribute ip_address. Value: {text}. '{text}' is not a 'ipv4' or 'ipv6'"
        ))
    };
    text.parse().map(Some).map_err(|_| bad())
}

/// `POST /servers/{id}/os-interface`.
pub async fn attach(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let id = server_id(&req)?;
    let body = req.json().await?;
    body.only(&["interfaceAttachment"])?;
    let ask = parse(&req, &body.inner("interfaceAttachment")?)?;
    let (auth, who) = (req.auth.clone(), req.who());
    let (made, tags) = c
        .db
        .write(move |tx| {
            let s = changeable(tx, &auth, id)?;
            metal::refuse(&s, "addFixedIp")?;
            must_be(&s, "attach_interface", CALM, &[None])?;
            if for_compute::interfaces(tx, id)?.len() >= NICS_MAX {
                return Err(Fault::forbidden(format!(
                    "Failed to attach network adapter device to {id}: it has {NICS_MAX} already, as many as it can. \
                     Detach one first."
                )));
            }
            // All of its ports are changed below: held before the quota, as whoever deletes one does it.
            for_compute::hold(tx, id)?;
            let groups = &s.security_groups;
            let made =
                for_compute::allocate(tx, &s.project_id, auth.is_admin(), id, &s.hostname, &ask.nics, groups)
                    .map_err(|f| in_attachs_words(f, &ask.nics))?;
            let Some(port) = made.first().copied() else {
                return Err(Fault::bad_request(format!(
                    "No specific network was requested and none are available for project '{}'.",
                    s.project_id
                )));
            };
            if let Some(host) = s.host_id {
                for_compute::check_reach(tx, port, host)?;
            }
            if let Some(tag) = &ask.tag {
                nic_tag::set(tx, id, port, tag)?;
            }
            for_compute::bind(tx, id, s.host_id)?;
            done(tx, &who, id, "attach_interface")?;
            let (all, tags) = seen(tx, id)?;
            let made = all.into_iter().find(|i| i.port == port);
            Ok((made.ok_or_else(|| Fault::internal("the port was not made"))?, tags))
        })
        .await?;
    Ok(Reply::json(200, &json!({"interfaceAttachment": interface(&req, &made, &tags)})))
}

/// What is missing is 404 here, and a choice that must be made is 400.
fn in_attachs_words(f: Fault, nics: &Nics) -> Fault {
    match f.kind {
        Kind::BadReference => Fault::not_found(f.message),
        Kind::Conflict if *nics == Nics::Auto => Fault::bad_request(f.message),
        _ => f,
    }
}

/// Both are over as far as the API goes: the host does the rest.
fn done(tx: &Tx<'_>, who: &log::Who, id: ServerId, what: &'static str) -> Result<()> {
    action::begin(tx, id, who, what)?;
    action::finish(tx, id, None)?;
    log::audit(tx, who, &format!("server.{what}"), &id.to_string())?;
    server::touch(tx, id)?;
    work::wake(tx, &id.to_string())
}

/// `DELETE /servers/{id}/os-interface/{port}`.
pub async fn detach(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let id = server_id(&req)?;
    let text = req.text_param("port");
    let missing = format!("Port id {text} not found.");
    let port: PortId = text.parse().map_err(|_| Fault::not_found(missing.clone()))?;
    let (auth, who) = (req.auth.clone(), req.who());
    c.db.write(move |tx| {
        let s = changeable(tx, &auth, id)?;
        metal::refuse(&s, "removeFixedIp")?;
        must_be(&s, "detach_interface", CALM, &[None])?;
        for_compute::release_port(tx, id, port)
            .map_err(|f| if f.is_not_found() { Fault::not_found(missing) } else { f })?;
        nic_tag::clear(tx, id, port)?;
        done(tx, &who, id, "detach_interface")
    })
    .await?;
    Ok(Reply::empty(202))
}

/// `addFixedIp {networkId}` and `removeFixedIp {address}`, until 2.43.
pub async fn change_fixed(c: &Compute, req: &Req, o: &Obj, id: ServerId, add: bool) -> Result<Reply> {
    let (network, address) = if add {
        o.only(&["networkId"])?;
        (Some(o.id("networkId")?), None)
    } else {
        o.only(&["address"])?;
        let text = o.str("address", 64)?;
        let address = text.parse::<IpAddr>().map_err(|_| {
            Fault::bad_request(format!(
                "Invalid input for field/attribute address. Value: {text}. '{text}' is not a 'ipv4' or 'ipv6'"
            ))
        })?;
        (None, Some(address))
    };
    let (auth, who) = (req.auth.clone(), req.who());
    c.db.write(move |tx| {
        let s = changeable(tx, &auth, id)?;
        let what = if add { "add_fixed_ip" } else { "remove_fixed_ip" };
        must_be(&s, what, CALM, &[None])?;
        if let Some(network) = network {
            for_compute::add_fixed(tx, id, network)?;
        }
        if let Some(address) = address {
            for_compute::remove_fixed(tx, id, address)?;
        }
        done(tx, &who, id, what)
    })
    .await?;
    Ok(Reply::empty(202))
}

/// `GET /servers/{id}/os-security-groups`. Their rules are Network's to show.
pub async fn security_groups(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let groups = c.db.read(move |tx| {
        visible(tx, &auth, id)?;
        for_compute::groups_of(tx, id)
    });
    let groups: Vec<Value> = groups
        .await?
        .into_iter()
        .map(|g| {
            json!({"id": g.id, "name": g.name, "description": g.description, "rules": [], "tenant_id": g.project})
        })
        .collect();
    Ok(Reply::json(200, &json!({"security_groups": groups})))
}
