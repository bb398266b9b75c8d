//! `os-hosts`, until 2.42: hosts by name, as the API had them before services and hypervisors.

use crate::Compute;
use crate::table::host::{self, Host};
use api::{Reply, Req};
use base::{Fault, Kind, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Tx, log, params};

fn missing(name: &str) -> Fault {
    Fault::not_found(format!("Compute host {name} could not be found."))
}

fn found(tx: &Tx<'_>, name: &str) -> Result<Host> {
    host::by_name(tx, name)?.ok_or_else(|| missing(name))
}

/// `GET /os-hosts`: the hosts and the region's own parts, optionally of one zone or service.
pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let hosts = c.db.read(host::all).await?;
    let line =
        |name: &str, service: &str, zone: &str| json!({"host_name": name, "service": service, "zone": zone});
    let mut all = vec![line("region", "conductor", "internal"), line("region", "scheduler", "internal")];
    all.extend(hosts.iter().map(|h| line(&h.name, "compute", &h.zone)));
    for filter in ["zone", "service"] {
        if let Some(wanted) = req.query.get(filter).filter(|w| !w.is_empty()) {
            all.retain(|h| h[filter] == *wanted);
        }
    }
    Ok(Reply::json(200, &json!({"hosts": all})))
}

/// `GET /os-hosts/{name}`: what is there, what is used, and what each project uses of it.
pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let name = req.text_param("name").to_owned();
    let read = c.db.read(move |tx| {
        let h = found(tx, &name)?;
        let sql = "SELECT project_id, vcpus, ram, disk FROM server WHERE host_id = $1 AND deleted_at IS NULL";
        let used = tx.rows(sql, params![h.id], |r| {
            Ok((r.get::<String>(0)?, [r.get::<u64>(1)?, r.get::<u64>(2)?, r.get::<u64>(3)?]))
        })?;
        Ok((h, used))
    });
    let (h, used) = read.await?;
    let mut projects: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for (project, n) in used {
        let sum = projects.entry(project).or_default();
        sum.iter_mut().zip(n).for_each(|(s, n)| *s += n);
    }
    let line = |project: &str, [cpu, memory, disk]: [u64; 3]| {
        json!({"resource": {
            "host": h.name, "project": project, "cpu": cpu, "memory_mb": memory, "disk_gb": disk,
        }})
    };
    let mut all = vec![
        line("(total)", [h.vcpus, h.memory_mib, h.disk_gib]),
        line("(used_now)", [h.vcpus_used, h.memory_mib_used, h.disk_gib_used]),
        line("(used_max)", projects.values().fold([0; 3], |a, n| [a[0] + n[0], a[1] + n[1], a[2] + n[2]])),
    ];
    all.extend(projects.iter().map(|(p, n)| line(p, *n)));
    Ok(Reply::json(200, &json!({"host": all})))
}

/// `PUT /os-hosts/{name}`: enables or disables. There is no maintenance mode beside that.
pub async fn update(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["status", "maintenance_mode"])?;
    let switch = |field: &str| -> Result<Option<bool>> {
        match body.opt_str(field, 16)?.map(|s| s.to_lowercase()).as_deref() {
            None => Ok(None),
            Some("enable") => Ok(Some(true)),
            Some("disable") => Ok(Some(false)),
            Some(other) => Err(Fault::bad_request(format!(
                "Invalid input for field/attribute {field}. Value: {other}. It is enable or disable."
            ))),
        }
    };
    let (status, maintenance) = (switch("status")?, switch("maintenance_mode")?);
    if status.is_none() && maintenance.is_none() {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute body. 'status' or 'maintenance_mode' is a required property",
        ));
    }
    let (name, who) = (req.text_param("name").to_owned(), req.who());
    let wanted = name.clone();
    c.db.write(move |tx| {
        let h = found(tx, &wanted)?;
        if maintenance.is_some() {
            return Err(Fault::new(
                Kind::NotImplemented,
                "There is no maintenance mode: disable the host, then migrate its servers away.",
            ));
        }
        if let Some(on) = status {
            host::enable(tx, h.id, on, "")?;
            if on {
                network::for_hosts::settle_homes(tx)?;
            }
            log::audit(tx, &who, if on { "host.enable" } else { "host.disable" }, &h.id.to_string())?;
        }
        Ok(())
    })
    .await?;
    let word = if status == Some(true) { "enabled" } else { "disabled" };
    Ok(Reply::json(200, &json!({"host": name, "status": word})))
}

/// `GET /os-hosts/{name}/{startup|shutdown|reboot}`: nothing here powers a host.
pub async fn power(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (name, verb) = (req.text_param("name").to_owned(), req.text_param("power").to_owned());
    if !["startup", "shutdown", "reboot"].contains(&verb.as_str()) {
        return Err(Fault::not_found("The resource could not be found."));
    }
    c.db.read(move |tx| found(tx, &name).map(drop)).await?;
    Err(Fault::new(Kind::NotImplemented, format!("Compute cannot {verb} a host. Do so at the host itself.")))
}

/// `GET /os-instance_usage_audit_log`: no host runs the audit that this reports; usage is always read from
/// the servers themselves (`os-simple-tenant-usage`).
pub async fn audit_log(c: Arc<Compute>, _: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"instance_usage_audit_logs": audit(&c).await?})))
}

/// `GET /os-instance_usage_audit_log/{before}`.
pub async fn audit_log_before(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let text = req.text_param("before");
    let readable = text.replace("%20", " ").replace("%3A", ":").replace(' ', "T");
    if base::Micros::parse(&readable).is_none() {
        return Err(Fault::bad_request(format!("Invalid timestamp for date {text}")));
    }
    Ok(Reply::json(200, &json!({"instance_usage_audit_log": audit(&c).await?})))
}

async fn audit(c: &Compute) -> Result<Value> {
    let hosts = c.db.read(host::all).await?;
    let n = hosts.len();
    let now = base::Micros::now();
    let day = 24 * 3_600_000_000;
    let end = base::Micros(now.0 - now.0 % day);
    let shown = |t: base::Micros| t.seconds_z().trim_end_matches('Z').replace('T', " ");
    Ok(json!({
        "hosts_not_run": hosts.iter().map(|h| &h.name).collect::<Vec<_>>(), "log": {},
        "num_hosts": n, "num_hosts_done": 0, "num_hosts_not_run": n, "num_hosts_running": 0,
        "overall_status": format!("0 of {n} hosts done. 0 errors."),
        "period_beginning": shown(base::Micros(end.0 - day)), "period_ending": shown(end),
        "total_errors": 0, "total_instances": 0,
    }))
}
