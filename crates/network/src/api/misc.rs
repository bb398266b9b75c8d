//! What is no resource of its own: versions, zones, providers, how full networks are.

use super::fields;
use crate::{Network, err, model::json as from_json, plan};
use ::api::{Reply, Req};
use base::Result;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use store::{Sql, Tx};

pub async fn versions(_net: Arc<Network>, req: Req) -> Result<Reply> {
    let href = format!("{}/network/v2.0/", req.base);
    let v = json!({"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": href}]});
    Ok(Reply::json(200, &json!({"versions": [v]})))
}

/// The collections, by the names of one and of many.
pub async fn resources(_net: Arc<Network>, req: Req) -> Result<Reply> {
    const ALL: &[(&str, &str)] = &[
        ("network", "networks"),
        ("subnet", "subnets"),
        ("port", "ports"),
        ("router", "routers"),
        ("floatingip", "floatingips"),
        ("security-group", "security-groups"),
        ("security-group-rule", "security-group-rules"),
        ("policy", "qos/policies"),
        ("rbac-policy", "rbac-policies"),
        ("subnetpool", "subnetpools"),
        ("address-scope", "address-scopes"),
        ("address-group", "address-groups"),
        ("default-security-group-rule", "default-security-group-rules"),
        ("floatingip-pool", "floatingip_pools"),
        ("agent", "agents"),
        ("availability_zone", "availability_zones"),
        ("extension", "extensions"),
        ("network-ip-availability", "network-ip-availabilities"),
        ("quota", "quotas"),
        ("service-provider", "service-providers"),
    ];
    let one = |(name, many): &(&str, &str)| {
        let href = format!("{}/network/v2.0/{many}", req.base);
        json!({"name": name.replace('-', "_"), "collection": many.replace('-', "_"), "links": [{"rel": "self", "href": href}]})
    };
    Ok(Reply::json(200, &json!({"resources": ALL.iter().map(one).collect::<Vec<_>>()})))
}

pub async fn zones(net: Arc<Network>, req: Req) -> Result<Reply> {
    let names = net
        .db
        .read(|tx| {
            let sql = "SELECT DISTINCT availability_zone FROM host ORDER BY availability_zone";
            tx.rows(sql, &[], |r| r.get::<String>(0))
        })
        .await?;
    let names = if names.is_empty() { vec!["nova".to_owned()] } else { names };
    let zones = names.iter().flat_map(|name| {
        ["network", "router"].map(|of| json!({"name": name, "resource": of, "state": "available"}))
    });
    let zones = super::values::chosen(zones.collect(), &req.query, &["name", "resource", "state"], "name")?;
    Ok(Reply::json(200, &json!({"availability_zones": zones})))
}

pub async fn providers(_net: Arc<Network>, _req: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"service_providers": []})))
}

/// How many addresses networks have and have given. The numbers are exact as JSON integers, also for IPv6.
fn usage(tx: &Tx<'_>, which: &[(&'static str, String)]) -> Result<Vec<Value>> {
    let mut q = Sql::new("SELECT t.id, t.name, t.project_id FROM network t WHERE 1 = 1");
    for (col, value) in which {
        q.and(&format!("t.{col} ="), value.as_str());
    }
    q.push(" ORDER BY t.created_at, t.id");
    let networks = q.rows(tx, |r| Ok((r.get::<String>(0)?, r.get::<String>(1)?, r.get::<String>(2)?)))?;
    let subnets = tx.rows(
        "SELECT s.network_id, s.id, s.name, s.cidr, s.ip_version, s.pools,
         (SELECT COUNT(*) FROM port_address a WHERE a.subnet_id = s.id) FROM subnet s ORDER BY s.created_at, s.id",
        &[],
        |r| {
            let pools: Vec<(IpAddr, IpAddr)> = from_json(r, 5)?;
            let pools: Vec<_> = pools.iter().map(|(a, b)| (plan::num(*a), plan::num(*b))).collect();
            let view = json!({
                "subnet_id": r.get::<String>(1)?,
                "subnet_name": r.get::<String>(2)?,
                "cidr": r.get::<String>(3)?,
                "ip_version": r.get::<i64>(4)?,
                "total_ips": number(plan::size(&pools)),
                "used_ips": r.get::<i64>(6)?,
            });
            Ok((r.get::<String>(0)?, (view, plan::size(&pools), r.get::<i64>(6)?)))
        },
    )?;
    let mut by_network: HashMap<String, Vec<(Value, u128, i64)>> = HashMap::new();
    for (network, s) in subnets {
        by_network.entry(network).or_default().push(s);
    }
    let one = |(id, name, project): (String, String, String)| {
        let subnets = by_network.remove(&id).unwrap_or_default();
        let total = subnets.iter().fold(0_u128, |n, s| n.saturating_add(s.1));
        json!({
            "network_id": id,
            "network_name": name,
            "tenant_id": project,
            "project_id": project,
            "total_ips": number(total),
            "used_ips": subnets.iter().map(|s| s.2).sum::<i64>(),
            "subnet_ip_availability": subnets.into_iter().map(|s| s.0).collect::<Vec<_>>(),
        })
    };
    Ok(networks.into_iter().map(one).collect())
}

/// A count as JSON; beyond 64 bits as a floating number, which JSON has no other way for.
fn number(n: u128) -> Value {
    match u64::try_from(n) {
        Ok(n) => json!(n),
        #[expect(clippy::cast_precision_loss, reason = "nobody counts a /48 to the last address")]
        Err(_) => json!(n as f64),
    }
}

pub async fn availabilities(net: Arc<Network>, req: Req) -> Result<Reply> {
    let mut which = Vec::new();
    let mut version = None;
    for (k, v) in &req.query.0 {
        match k.as_str() {
            "network_id" => which.push(("id", v.clone())),
            "network_name" => which.push(("name", v.clone())),
            "tenant_id" | "project_id" => which.push(("project_id", v.clone())),
            "ip_version" => version = v.parse::<i64>().ok(),
            "fields" | "limit" | "marker" | "page_reverse" | "sort_key" | "sort_dir" => {}
            other => return Err(err::invalid(format!("['{other}'] is invalid attribute for filtering"))),
        }
    }
    let mut list = net.db.read(move |tx| usage(tx, &which)).await?;
    if let Some(v) = version {
        list.iter_mut().for_each(|n| of_version(n, v));
        list.retain(|n| n["subnet_ip_availability"].as_array().is_some_and(|s| !s.is_empty()));
    }
    Ok(Reply::json(200, &json!({"network_ip_availabilities": list})))
}

/// Leaves only the subnets of one IP version, and counts only these.
fn of_version(n: &mut Value, version: i64) {
    let Some(subnets) = n["subnet_ip_availability"].as_array_mut() else { return };
    subnets.retain(|s| s["ip_version"] == version);
    let sum = |k: &str| subnets.iter().filter_map(|s| s[k].as_u64()).fold(0_u64, u64::saturating_add);
    let (total, used) = (sum("total_ips"), sum("used_ips"));
    n["total_ips"] = json!(total);
    n["used_ips"] = json!(used);
}

pub async fn availability(net: Arc<Network>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let which = [("id", id.chars().take(fields::TEXT).collect::<String>())];
    let one = net.db.read(move |tx| usage(tx, &which)).await?.pop();
    let one = one.ok_or_else(|| err::no_network(id))?;
    Ok(Reply::json(200, &json!({"network_ip_availability": one})))
}
