//! Hosts as administrators see them.

use super::{at, next_links, number, only_query};
use crate::Compute;
use crate::table::host::{self, Host};
use api::{Page, Reply, Req};
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
    v["hypervisor_type"] = json!(if h.class.is_empty() { "QEMU" } else { "ironic" });
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

fn servers(tx: &Tx<'_>, hosts: &[Host]) -> Result<Names> {
    let mut all = Names::new();
    // As many at once as both databases take.
    for some in hosts.chunks(8192) {
        let mut q = Sql::new("SELECT host_id, id, name FROM server WHERE deleted_at IS NULL");
        q.and_in("host_id", some.iter().map(|h| h.id)).push(" ORDER BY created_at");
        for (host, id, name) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))? {
            all.entry(host).or_default().push((id, name));
        }
    }
    Ok(all)
}

/// From 2.75 a host without servers has the empty list, before it has none.
fn add_servers(req: &Req, v: &mut Value, h: &Host, names: &Names) {
    let list = names.get(&h.id).map(Vec::as_slice).unwrap_or_default();
    if !list.is_empty() || at(req, 75) {
        v["servers"] = list.iter().map(|(id, name)| json!({"uuid": id, "name": name})).collect();
    }
}

fn with_servers(req: &Req) -> Result<bool> {
    Ok(at(req, 53) && req.query.bool("with_servers")?.unwrap_or(false))
}

async fn list_with(c: &Compute, req: &Req, show: fn(&Req, &Host) -> Value) -> Result<Reply> {
    only_query(req, &["limit", "marker", "with_servers", "hypervisor_hostname_pattern"])?;
    let with = with_servers(req)?;
    let pattern = req.query.get("hypervisor_hostname_pattern").filter(|_| at(req, 53)).map(str::to_owned);
    let paged = at(req, 33);
    let page =
        if paged { Page::parse(&req.query, Some(1000), 1000)? } else { Page { limit: None, marker: None } };
    if pattern.is_some() && (req.query.has("limit") || req.query.has("marker")) {
        return Err(Fault::bad_request(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.",
        ));
    }
    let by_uuid = at(req, 53);
    let read = c.db.read(move |tx| {
        let mut hosts = match &pattern {
            Some(p) => containing(tx, p)?,
            None => {
                let after = page.marker.as_ref().map(|m| marked(tx, by_uuid, m)).transpose()?;
                host::page(tx, after.as_deref(), page.fetch())?
            }
        };
        let more = page.cut(&mut hosts);
        let names = if with { servers(tx, &hosts)? } else { Names::new() };
        Ok((hosts, more, names))
    });
    let (hosts, more, names) = read.await?;
    let all = hosts.iter().map(|h| {
        let mut v = show(req, h);
        if with {
            add_servers(req, &mut v, h, &names);
        }
        v
    });
    let mut body = json!({"hypervisors": all.collect::<Vec<_>>()});
    if let Some(last) = hosts.last().filter(|_| more) {
        body["hypervisors_links"] = next_links(req, &shown_id(req, last));
    }
    Ok(Reply::json(200, &body))
}

fn shown_id(req: &Req, h: &Host) -> String {
    if at(req, 53) { h.id.to_string() } else { number(h.id).to_string() }
}

/// The name of the host that a marker means.
fn marked(tx: &Tx<'_>, by_uuid: bool, marker: &str) -> Result<String> {
    let found = found(tx, by_uuid, marker)?.map(|h| h.name);
    found.ok_or_else(|| Fault::bad_request(format!("marker [{marker}] not found")))
}

/// The host that is shown with this id.
fn found(tx: &Tx<'_>, by_uuid: bool, id: &str) -> Result<Option<Host>> {
    let id = if by_uuid {
        id.parse().ok()
    } else {
        let all: Vec<HostId> = tx.rows("SELECT id FROM host", &[], |r| r.get(0))?;
        all.into_iter().find(|h| number(*h).to_string() == id)
    };
    id.map_or(Ok(None), |id| host::by_id(tx, id))
}

fn containing(tx: &Tx<'_>, part: &str) -> Result<Vec<Host>> {
    let mut hosts = host::with_machines(tx)?;
    hosts.retain(|h| h.name.contains(part));
    if hosts.is_empty() { Err(no_match(part)) } else { Ok(hosts) }
}

fn no_match(pattern: &str) -> Fault {
    Fault::not_found(format!("No hypervisor matching '{pattern}' could be found."))
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    list_with(&c, &req, brief).await
}

pub async fn list_detail(c: Arc<Compute>, req: Req) -> Result<Reply> {
    list_with(&c, &req, detail).await
}

async fn one(c: &Compute, req: &Req) -> Result<Host> {
    let (by_uuid, text) = (at(req, 53), req.text_param("id").to_owned());
    let id = text.clone();
    let found = c.db.read(move |tx| found(tx, by_uuid, &id)).await?;
    found.ok_or_else(|| Fault::not_found(format!("Hypervisor with ID '{text}' could not be found.")))
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    only_query(&req, &["with_servers"])?;
    let h = one(&c, &req).await?;
    let mut v = detail(&req, &h);
    if with_servers(&req)? {
        let (h, names) = c.db.read(move |tx| servers(tx, std::slice::from_ref(&h)).map(|n| (h, n))).await?;
        add_servers(&req, &mut v, &h, &names);
    }
    Ok(Reply::json(200, &json!({"hypervisor": v})))
}

/// `GET /os-hypervisors/{part of a name}/search`, until 2.52.
pub async fn search(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let part = req.text_param("id").to_owned();
    let hosts = c.db.read(move |tx| containing(tx, &part)).await?;
    Ok(Reply::json(200, &json!({"hypervisors": hosts.iter().map(|h| brief(&req, h)).collect::<Vec<_>>()})))
}

/// `GET /os-hypervisors/{part of a name}/servers`, until 2.52.
pub async fn servers_of(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let part = req.text_param("id").to_owned();
    let read = c.db.read(move |tx| {
        let hosts = containing(tx, &part)?;
        let names = servers(tx, &hosts)?;
        Ok((hosts, names))
    });
    let (hosts, names) = read.await?;
    let all = hosts.iter().map(|h| {
        let mut v = brief(&req, h);
        add_servers(&req, &mut v, h, &names);
        v
    });
    Ok(Reply::json(200, &json!({"hypervisors": all.collect::<Vec<_>>()})))
}

/// `GET /os-hypervisors/{id}/uptime`, until 2.87. No agent tells its machine's uptime, and clients only show
/// the text.
pub async fn uptime(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let mut v = brief(&req, &one(&c, &req).await?);
    v["uptime"] = json!("");
    Ok(Reply::json(200, &json!({"hypervisor": v})))
}

/// `GET /os-hypervisors/statistics`, until 2.87: sums over all hosts.
pub async fn statistics(c: Arc<Compute>, _: Req) -> Result<Reply> {
    let hosts = c.db.read(host::with_machines).await?;
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
