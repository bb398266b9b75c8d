//! Hosts as administrators see them.

use super::{at, number};
use crate::Compute;
use crate::table::host::{self, Host};
use api::{Reply, Req};
use base::{Fault, HostId, Result, ServerId};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use store::{Sql, Tx};

const GIB: u64 = 1 << 30;

type Names = HashMap<HostId, Vec<(ServerId, String)>>;

fn id(req: &Req, h: &Host) -> Value {
    if at(req, 53) { json!(h.id) } else { json!(number(h.id)) }
}

fn brief(req: &Req, h: &Host) -> Value {
    json!({
        "id": id(req, h), "hypervisor_hostname": h.name,
        "state": if h.silent() { "down" } else { "up" },
        "status": if h.enabled { "enabled" } else { "disabled" },
    })
}

fn detail(req: &Req, h: &Host) -> Value {
    let mut v = brief(req, h);
    v["hypervisor_type"] = json!("QEMU");
    v["hypervisor_version"] = json!(version_number(&h.facts.qemu_version));
    v["host_ip"] = json!(h.address());
    v["service"] = json!({
        "id": id(req, h), "host": h.name,
        "disabled_reason": (!h.disabled_reason.is_empty()).then_some(&h.disabled_reason),
    });
    if at(req, 88) {
        v["uptime"] = Value::Null;
        return v;
    }
    let cpu = json!({
        "arch": "x86_64", "model": h.facts.cpu_model, "vendor": "", "features": [],
        "topology": {"cores": h.vcpus, "threads": 1, "sockets": 1},
    });
    v["cpu_info"] = if at(req, 28) { cpu } else { json!(cpu.to_string()) };
    for (name, number) in numbers(h) {
        v[name] = json!(number);
    }
    v["disk_available_least"] = json!(h.facts.disk_free_bytes / GIB);
    v
}

/// What is there and what is taken.
fn numbers(h: &Host) -> [(&'static str, u64); 10] {
    [
        ("vcpus", h.vcpus),
        ("vcpus_used", h.vcpus_used),
        ("memory_mb", h.memory_mib),
        ("memory_mb_used", h.memory_mib_used),
        ("free_ram_mb", h.memory_mib.saturating_sub(h.memory_mib_used)),
        ("local_gb", h.disk_gib),
        ("local_gb_used", h.disk_gib_used),
        ("free_disk_gb", h.disk_gib.saturating_sub(h.disk_gib_used)),
        ("running_vms", h.guests),
        ("current_workload", 0),
    ]
}

/// `7.2.5` becomes 7002005, as the API has it.
fn version_number(text: &str) -> u64 {
    let digits =
        text.split(|c: char| !c.is_ascii_digit() && c != '.').find(|t| t.contains('.')).unwrap_or("");
    let mut parts = digits.split('.').map(|p| p.parse::<u64>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    next() * 1_000_000 + next() * 1000 + next()
}

fn servers(tx: &Tx<'_>) -> Result<Names> {
    let q = Sql::new(
        "SELECT host_id, id, name FROM server WHERE host_id IS NOT NULL AND deleted_at IS NULL ORDER BY created_at",
    );
    let mut all = Names::new();
    for (host, id, name) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))? {
        all.entry(host).or_default().push((id, name));
    }
    Ok(all)
}

fn add_servers(v: &mut Value, h: &Host, names: &Names) {
    if let Some(list) = names.get(&h.id).filter(|l| !l.is_empty()) {
        let list: Vec<Value> = list.iter().map(|(id, name)| json!({"uuid": id, "name": name})).collect();
        v["servers"] = json!(list);
    }
}

async fn list_with(c: &Compute, req: &Req, show: fn(&Req, &Host) -> Value) -> Result<Reply> {
    let with_servers = at(req, 53) && req.query.bool("with_servers")?.unwrap_or(false);
    let pattern =
        if at(req, 53) { req.query.get("hypervisor_hostname_pattern").map(str::to_owned) } else { None };
    let (hosts, names) =
        c.db.read(move |tx| Ok((host::all(tx)?, if with_servers { servers(tx)? } else { Names::new() })))
            .await?;
    let mut all = Vec::new();
    for h in hosts.iter().filter(|h| pattern.as_ref().is_none_or(|p| h.name.contains(p.as_str()))) {
        let mut v = show(req, h);
        add_servers(&mut v, h, &names);
        all.push(v);
    }
    if all.is_empty()
        && let Some(p) = pattern
    {
        return Err(Fault::not_found(format!("No hypervisor matching '{p}' could be found.")));
    }
    Ok(Reply::json(200, &json!({"hypervisors": all})))
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    list_with(&c, &req, brief).await
}

pub async fn list_detail(c: Arc<Compute>, req: Req) -> Result<Reply> {
    list_with(&c, &req, detail).await
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let text = req.text_param("id");
    let with_servers = at(&req, 53) && req.query.bool("with_servers")?.unwrap_or(false);
    let (hosts, names) =
        c.db.read(move |tx| Ok((host::all(tx)?, if with_servers { servers(tx)? } else { Names::new() })))
            .await?;
    let wanted = |h: &&Host| id(&req, h).to_string().trim_matches('"') == text;
    let found = hosts.iter().find(wanted);
    let h =
        found.ok_or_else(|| Fault::not_found(format!("Hypervisor with ID '{text}' could not be found.")))?;
    let mut v = detail(&req, h);
    add_servers(&mut v, h, &names);
    Ok(Reply::json(200, &json!({"hypervisor": v})))
}

/// `GET /os-hypervisors/{id}/uptime`, until 2.87. No agent tells its machine's uptime, and clients only show
/// the text.
pub async fn uptime(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let text = req.text_param("id");
    let hosts = c.db.read(host::all).await?;
    let found = hosts.iter().find(|h| id(&req, h).to_string().trim_matches('"') == text);
    let h =
        found.ok_or_else(|| Fault::not_found(format!("Hypervisor with ID '{text}' could not be found.")))?;
    let mut v = brief(&req, h);
    v["uptime"] = json!("");
    Ok(Reply::json(200, &json!({"hypervisor": v})))
}

/// `GET /os-hypervisors/statistics`, until 2.87: sums over all hosts.
pub async fn statistics(c: Arc<Compute>, _: Req) -> Result<Reply> {
    let hosts = c.db.read(host::all).await?;
    let mut v = json!({"count": hosts.len()});
    let least: u64 = hosts.iter().map(|h| h.facts.disk_free_bytes / GIB).sum();
    v["disk_available_least"] = json!(least);
    for h in &hosts {
        for (name, number) in numbers(h) {
            v[name] = json!(v[name].as_u64().unwrap_or(0) + number);
        }
    }
    Ok(Reply::json(200, &json!({"hypervisor_statistics": v})))
}
