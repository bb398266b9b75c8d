//! `os-floating-ips` and their pools, and the actions `addFloatingIp` and `removeFloatingIp` (until 2.43).

use crate::Compute;
use crate::api::{at, changeable};
use api::{Auth, Obj, Reply, Req};
use base::{Fault, Result, ServerId};
use network::for_proxies::{self, Kind};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use store::Tx;

fn view(tx: &Tx<'_>, auth: &Auth, f: &Value) -> Result<Value> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let pool = for_proxies::show(tx, auth, Kind::Network, &text(&f["floating_network_id"])).ok();
    let port = if f["port_id"].is_null() {
        None
    } else {
        for_proxies::show(tx, auth, Kind::Port, &text(&f["port_id"])).ok()
    };
    let server = port.map(|p| p["device_id"].clone()).filter(|d| d.as_str().is_some_and(|d| !d.is_empty()));
    Ok(json!({
        "id": f["id"], "ip": f["floating_ip_address"], "fixed_ip": f["fixed_ip_address"],
        "pool": pool.map(|p| p["name"].clone()), "instance_id": server,
    }))
}

fn project(auth: &Auth) -> Result<String> {
    Ok(auth.project()?.0.clone())
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let auth = req.auth.clone();
    let all = c.db.read(move |tx| {
        let all = for_proxies::list(tx, &auth, Kind::FloatingIp, &[("project_id", &project(&auth)?)])?;
        all.iter().map(|f| view(tx, &auth, f)).collect::<Result<Vec<_>>>()
    });
    Ok(Reply::json(200, &json!({"floating_ips": all.await?})))
}

fn missing(id: &str) -> Fault {
    Fault::not_found(format!("Floating IP not found for ID {id}"))
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (auth, id) = (req.auth.clone(), req.text_param("id").to_owned());
    let v = c.db.read(move |tx| {
        let f =
            for_proxies::show(tx, &auth, Kind::FloatingIp, &id).map_err(|f| f.or_missing(|| missing(&id)))?;
        view(tx, &auth, &f)
    });
    Ok(Reply::json(200, &json!({"floating_ip": v.await?})))
}

fn external(tx: &Tx<'_>, auth: &Auth) -> Result<Vec<Value>> {
    for_proxies::list(tx, auth, Kind::Network, &[("router:external", "true")])
}

pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    // No body, or an empty one, asks for any pool.
    let bytes = req.bytes(65_536).await?;
    let pool = if bytes.is_empty() {
        None
    } else {
        let body = Obj::root(api::body::json(&bytes)?)?;
        body.only(&["pool"])?;
        body.opt_str("pool", 255)?
    };
    let (auth, who) = (req.auth.clone(), req.who());
    let v = c.db.write(move |tx| {
        let nets = external(tx, &auth)?;
        let named = |n: &&Value| pool.as_ref().is_none_or(|p| n["name"] == **p || n["id"] == **p);
        let net = nets.iter().find(named).ok_or_else(|| Fault::not_found("Floating IP pool not found."))?;
        let body = json!({"floating_network_id": net["id"], "project_id": project(&auth)?});
        let f = for_proxies::create(tx, &auth, &who, Kind::FloatingIp, body)?;
        view(tx, &auth, &f)
    });
    Ok(Reply::json(200, &json!({"floating_ip": v.await?})))
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (auth, who, id) = (req.auth.clone(), req.who(), req.text_param("id").to_owned());
    c.db.write(move |tx| for_proxies::delete(tx, &auth, &who, Kind::FloatingIp, &id)).await?;
    Ok(Reply::empty(202))
}

pub async fn pools(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let auth = req.auth.clone();
    let all = c.db.read(move |tx| external(tx, &auth)).await?;
    let all: Vec<Value> = all.iter().map(|n| json!({"name": n["name"]})).collect();
    Ok(Reply::json(200, &json!({"floating_ip_pools": all})))
}

/// `addFloatingIp {address, fixed_address}` and `removeFloatingIp {address}`.
pub async fn change(c: &Compute, req: &Req, o: &Obj, id: ServerId, add: bool) -> Result<Reply> {
    if at(req, 44) {
        return Err(Fault::not_found("This action left the API with 2.44. Use Network's floating IPs."));
    }
    o.only(if add { &["address", "fixed_address"] } else { &["address"] })?;
    let address: IpAddr = o
        .str("address", 64)?
        .parse()
        .map_err(|_| Fault::bad_request("Invalid input for field/attribute address. It is no IP address."))?;
    let fixed = o.opt_str("fixed_address", 64)?;
    let (auth, who) = (req.auth.clone(), req.who());
    c.db.write(move |tx| {
        changeable(tx, &auth, id)?;
        let text = address.to_string();
        let found = for_proxies::list(tx, &auth, Kind::FloatingIp, &[("floating_ip_address", &text)])?;
        let f = found.first().ok_or_else(|| Fault::not_found("floating IP not found"))?;
        let floating = f["id"].as_str().unwrap_or_default();
        let ports = network::for_compute::interfaces(tx, id)?;
        let body = if add {
            let fits = |a: &IpAddr| a.is_ipv4() && fixed.as_ref().is_none_or(|f| *f == a.to_string());
            let target =
                ports.iter().find_map(|p| p.fixed.iter().find(|f| fits(&f.address)).map(|f| (p, f.address)));
            let (port, fixed) = target.ok_or_else(|| {
                Fault::bad_request("No fixed IPs associated to instance that the floating IP could lead to.")
            })?;
            json!({"port_id": port.port, "fixed_ip_address": fixed})
        } else {
            if !ports.iter().any(|p| f["port_id"] == json!(p.port)) {
                return Err(Fault::conflict(format!(
                    "Floating IP {text} is not associated with instance {id}."
                )));
            }
            json!({"port_id": null})
        };
        let done = for_proxies::update(tx, &auth, &who, Kind::FloatingIp, floating, body).map(drop);
        if add { done.map_err(super::as_compute) } else { done }
    })
    .await?;
    Ok(Reply::empty(202))
}
