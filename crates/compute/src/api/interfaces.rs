//! A server's addresses, ports and security groups, as Network has them.

use super::{at, server_id, visible};
use crate::Compute;
use crate::view::addresses;
use api::{Reply, Req};
use base::{Fault, PortId, Result};
use network::for_compute::{self, Address, Interface};
use serde_json::{Value, json};
use std::sync::Arc;

async fn all_addresses(c: &Compute, req: &Req) -> Result<Vec<Address>> {
    let (id, auth) = (server_id(req)?, req.auth.clone());
    let found = c.db.read(move |tx| {
        visible(tx, &auth, id)?;
        for_compute::addresses(tx, &[id])
    });
    Ok(found.await?.remove(&id).unwrap_or_default())
}

/// `addr` and `version` alone, as this address has it.
fn short(all: &[Address]) -> Value {
    let mut v = addresses(all);
    if let Value::Object(map) = &mut v {
        for a in map.values_mut().filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
            a.retain(|k, _| k == "addr" || k == "version");
        }
    }
    v
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
    Ok(Reply::json(200, &short(&all)))
}

async fn interfaces(c: &Compute, req: &Req) -> Result<Vec<Interface>> {
    let (id, auth) = (server_id(req)?, req.auth.clone());
    c.db.read(move |tx| {
        visible(tx, &auth, id)?;
        for_compute::interfaces(tx, id)
    })
    .await
}

fn interface(req: &Req, i: &Interface) -> Value {
    let fixed: Vec<Value> =
        i.fixed.iter().map(|f| json!({"subnet_id": f.subnet, "ip_address": f.address})).collect();
    let mut v = json!({
        "port_state": if i.active { "ACTIVE" } else { "DOWN" },
        "fixed_ips": fixed, "port_id": i.port, "net_id": i.network, "mac_addr": i.mac,
    });
    if at(req, 70) {
        v["tag"] = Value::Null;
    }
    v
}

/// `GET /servers/{id}/os-interface`.
pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let all = interfaces(&c, &req).await?;
    let all: Vec<Value> = all.iter().map(|i| interface(&req, i)).collect();
    Ok(Reply::json(200, &json!({"interfaceAttachments": all})))
}

/// `GET /servers/{id}/os-interface/{port}`.
pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let text = req.text_param("port");
    let missing = || Fault::not_found(format!("Port {text} could not be found on this instance."));
    let port: PortId = text.parse().map_err(|_| missing())?;
    let all = interfaces(&c, &req).await?;
    let found = all.iter().find(|i| i.port == port).ok_or_else(missing)?;
    Ok(Reply::json(200, &json!({"interfaceAttachment": interface(&req, found)})))
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
