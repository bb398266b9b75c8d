//! `os-security-groups` and their rules: only what comes in, as the old API knew it.

use super::as_compute;
use crate::Compute;
use api::{Auth, Obj, Reply, Req};
use base::{Fault, Result};
use network::for_proxies::{self, Kind};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Tx;

fn rule(tx: &Tx<'_>, auth: &Auth, r: &Value) -> Result<Value> {
    let remote = r["remote_group_id"].as_str();
    let group = match remote {
        None => json!({}),
        Some(id) => {
            let g = for_proxies::show(tx, auth, Kind::Group, id).ok();
            g.map_or_else(|| json!({}), |g| json!({"name": g["name"], "tenant_id": g["tenant_id"]}))
        }
    };
    let everywhere = if r["ethertype"] == "IPv6" { "::/0" } else { "0.0.0.0/0" };
    let range = match (&r["remote_ip_prefix"], remote) {
        (Value::String(net), _) => json!({"cidr": net}),
        (_, None) => json!({"cidr": everywhere}),
        _ => json!({}),
    };
    let (mut from, mut to) = (r["port_range_min"].clone(), r["port_range_max"].clone());
    if from.is_null() && to.is_null() && !r["protocol"].is_null() {
        let ports = r["protocol"] == "tcp" || r["protocol"] == "udp";
        (from, to) = if ports { (json!(1), json!(65_535)) } else { (json!(-1), json!(-1)) };
    }
    Ok(json!({
        "id": r["id"], "parent_group_id": r["security_group_id"], "ip_protocol": r["protocol"],
        "from_port": from, "to_port": to, "group": group, "ip_range": range,
    }))
}

fn view(tx: &Tx<'_>, auth: &Auth, g: &Value) -> Result<Value> {
    let rules = g["security_group_rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    let incoming = rules.iter().filter(|r| r["direction"] == "ingress");
    let rules: Vec<Value> = incoming.map(|r| rule(tx, auth, r)).collect::<Result<_>>()?;
    Ok(json!({
        "id": g["id"], "name": g["name"], "description": g["description"], "tenant_id": g["tenant_id"],
        "rules": rules,
    }))
}

/// Of one's project; an admin may ask for `all_tenants`.
pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let all = req.auth.is_admin() && req.query.bool("all_tenants")?.unwrap_or(false);
    let number = |name: &str| -> Result<Option<usize>> {
        let Some(text) = req.query.get(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Fault::bad_request(format!("{name} must be a whole number, 0 or more.")))
    };
    let (offset, limit) = (number("offset")?.unwrap_or(0), number("limit")?.unwrap_or(1000).min(1000));
    let auth = req.auth.clone();
    let groups = c.db.write(move |tx| {
        let own = auth.project().map(|p| p.0.clone()).unwrap_or_default();
        let filters: &[(&str, &str)] = if all { &[] } else { &[("project_id", own.as_str())] };
        let found = for_proxies::list(tx, &auth, Kind::Group, filters)?;
        found.iter().skip(offset).take(limit).map(|g| view(tx, &auth, g)).collect::<Result<Vec<_>>>()
    });
    Ok(Reply::json(200, &json!({"security_groups": groups.await?})))
}

/// Compute has uuids here only in part; what is none is a group that does not exist.
pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (auth, id) = (req.auth.clone(), req.text_param("id").to_owned());
    let v = c.db.read(move |tx| {
        let g = for_proxies::show(tx, &auth, Kind::Group, &id)?;
        view(tx, &auth, &g)
    });
    Ok(Reply::json(200, &json!({"security_group": v.await?})))
}

fn named(body: &Obj) -> Result<Value> {
    body.only(&["security_group"])?;
    let o = body.inner("security_group")?;
    o.only(&["name", "description"])?;
    let (name, description) = (o.name("name", 255)?, o.opt_str("description", 255)?);
    Ok(json!({"name": name, "description": description.unwrap_or_default()}))
}

pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = named(&req.json().await?)?;
    let (auth, who) = (req.auth.clone(), req.who());
    let v = c.db.write(move |tx| {
        let g = for_proxies::create(tx, &auth, &who, Kind::Group, body)?;
        view(tx, &auth, &g)
    });
    Ok(Reply::json(200, &json!({"security_group": v.await.map_err(as_compute)?})))
}

pub async fn update(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = named(&req.json().await?)?;
    let (auth, who, id) = (req.auth.clone(), req.who(), req.text_param("id").to_owned());
    let v = c.db.write(move |tx| {
        let g = for_proxies::update(tx, &auth, &who, Kind::Group, &id, body)?;
        view(tx, &auth, &g)
    });
    Ok(Reply::json(200, &json!({"security_group": v.await.map_err(as_compute)?})))
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (auth, who, id) = (req.auth.clone(), req.who(), req.text_param("id").to_owned());
    let done = c.db.write(move |tx| for_proxies::delete(tx, &auth, &who, Kind::Group, &id));
    done.await.map_err(as_compute)?;
    Ok(Reply::empty(202))
}

/// A group's id in a body.
fn group_id(o: &Obj, field: &str) -> Result<Option<String>> {
    let text = match o.map.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    };
    text.parse::<uuid::Uuid>()
        .map(|id| Some(id.to_string()))
        .map_err(|_| Fault::bad_request(format!("Security group id {text} should be uuid")))
}

/// What the old body asks for, in Network's form.
fn rule_body(o: &Obj) -> Result<Value> {
    o.only(&["parent_group_id", "ip_protocol", "from_port", "to_port", "cidr", "group_id"])?;
    let parent = group_id(o, "parent_group_id")?;
    let parent = parent.ok_or_else(|| Fault::bad_request("Parent group id is required."))?;
    let (remote, cidr) = (group_id(o, "group_id")?, o.opt_str("cidr", 64)?.filter(|c| !c.is_empty()));
    let protocol = o.opt_str("ip_protocol", 32)?.map(|p| p.to_lowercase());
    if remote.is_none() && protocol.is_none() {
        return Err(Fault::bad_request("Not enough parameters to build a valid rule."));
    }
    let port = |field: &str| o.opt_int(field, -1, 65_535);
    let (from, to) = (port("from_port")?, port("to_port")?);
    if let Some(p) = &protocol {
        if !["tcp", "udp", "icmp"].contains(&p.as_str()) {
            return Err(Fault::bad_request(format!("Invalid IP protocol {p}.")));
        }
        if remote.is_none() && (from.is_none() || to.is_none()) {
            return Err(Fault::bad_request("Not enough parameters to build a valid rule."));
        }
    }
    let bound = |n: Option<i64>| n.filter(|n| *n >= 0);
    let v6 = cidr.as_ref().is_some_and(|c| c.contains(':'));
    Ok(json!({
        "security_group_id": parent, "direction": "ingress", "ethertype": if v6 { "IPv6" } else { "IPv4" },
        "protocol": protocol, "port_range_min": bound(from), "port_range_max": bound(to),
        "remote_ip_prefix": cidr, "remote_group_id": remote,
    }))
}

pub async fn create_rule(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["security_group_rule"])?;
    let body = rule_body(&body.inner("security_group_rule")?)?;
    let (auth, who) = (req.auth.clone(), req.who());
    let v = c.db.write(move |tx| {
        let r = for_proxies::create(tx, &auth, &who, Kind::Rule, body)?;
        rule(tx, &auth, &r)
    });
    Ok(Reply::json(200, &json!({"security_group_rule": v.await.map_err(as_compute)?})))
}

pub async fn delete_rule(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (auth, who, id) = (req.auth.clone(), req.who(), req.text_param("id").to_owned());
    let done = c.db.write(move |tx| for_proxies::delete(tx, &auth, &who, Kind::Rule, &id));
    done.await.map_err(as_compute)?;
    Ok(Reply::empty(202))
}
