//! What a server uses at the moment, as its host tells it.
//!
//! Source: OpenStack Compute API reference, “Server diagnostics”: free words until 2.47, a fixed form after.

use super::{at, server_id, visible};
use crate::Compute;
use crate::model::{Server, VmState, power_state};
use crate::table::host;
use crate::wire::not_ready;
use api::{Reply, Req};
use base::{Fault, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let (s, host, macs) =
        c.db.read(move |tx| {
            let s = visible(tx, &auth, id)?;
            let host = s.host_id.map(|h| host::by_id(tx, h)).transpose()?.flatten();
            let macs = network::for_compute::nics(tx, &[id])?.remove(&id).unwrap_or_default();
            Ok((s, host, macs.into_iter().map(|n| n.mac).collect::<Vec<_>>()))
        })
        .await?;
    let host = host.filter(|_| s.vm_state != VmState::Building);
    let host = host.ok_or_else(|| not_ready(id))?;
    if s.power_state != power_state::RUNNING {
        return Err(Fault::conflict(format!(
            "Cannot 'get_diagnostics' instance {id} while it is in power state {}",
            state(&s)
        )));
    }
    // A simulated host has nothing to measure.
    let figures = if host.facts.bytes_url.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&c.wire.text(&host, &format!("/v1/guests/{id}/diagnostics")).await?)?
    };
    let body = if at(&req, 48) { fixed(&s, &macs, &figures) } else { free(&s, &figures) };
    Ok(Reply::json(200, &body))
}

fn list<'a>(figures: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    figures[name].as_array().into_iter().flatten()
}

fn state(s: &Server) -> &'static str {
    match s.power_state {
        power_state::RUNNING => "running",
        power_state::PAUSED => "paused",
        power_state::SHUT_DOWN => "shutdown",
        power_state::SUSPENDED => "suspended",
        _ => "pending",
    }
}

/// From 2.48.
fn fixed(s: &Server, macs: &[String], figures: &Value) -> Value {
    let cpus = list(figures, "cpus_ns").enumerate();
    let cpus: Vec<Value> = cpus.map(|(i, ns)| json!({"id": i, "time": ns, "utilisation": null})).collect();
    let disks: Vec<Value> = list(figures, "disks")
        .map(|d| {
            json!({
                "read_bytes": d["read_bytes"], "read_requests": d["read_requests"],
                "write_bytes": d["write_bytes"], "write_requests": d["write_requests"],
                "errors_count": d["errors"],
            })
        })
        .collect();
    let nics: Vec<Value> = macs
        .iter()
        .map(|mac| {
            let seen = list(figures, "nics").find(|n| n["mac"] == **mac).unwrap_or(&Value::Null);
            let mut nic = Map::from_iter([("mac_address".to_owned(), json!(mac))]);
            for way in ["rx", "tx"] {
                for what in ["octets", "errors", "drop", "packets", "rate"] {
                    let name = format!("{way}_{what}");
                    let value = seen[&name].clone();
                    nic.insert(name, value);
                }
            }
            Value::Object(nic)
        })
        .collect();
    json!({
        "state": state(s),
        // The API knows only its own drivers' names; of those this is the one for QEMU.
        "driver": "libvirt", "hypervisor": "qemu", "hypervisor_os": "linux",
        "uptime": figures["uptime_s"], "config_drive": s.config_drive,
        "num_cpus": s.vcpus, "num_nics": macs.len(), "num_disks": 1 + usize::from(s.config_drive),
        "memory_details": {"maximum": s.ram, "used": figures["memory_used_mib"]},
        "cpu_details": cpus, "disk_details": disks, "nic_details": nics,
    })
}

/// Until 2.47: names as the API's QEMU driver made them up.
fn free(s: &Server, figures: &Value) -> Value {
    let mut all = Map::from_iter([("memory".to_owned(), json!(s.ram * 1024))]);
    if let Some(used) = figures["memory_used_mib"].as_u64() {
        all.insert("memory-rss".into(), json!(used * 1024));
    }
    for (i, ns) in list(figures, "cpus_ns").enumerate() {
        all.insert(format!("cpu{i}_time"), ns.clone());
    }
    for (i, d) in list(figures, "disks").enumerate() {
        let name = format!("vd{}", char::from(b'a' + u8::try_from(i).unwrap_or(25).min(25)));
        for (field, key) in [
            ("read", "read_bytes"),
            ("read_req", "read_requests"),
            ("write", "write_bytes"),
            ("write_req", "write_requests"),
            ("errors", "errors"),
        ] {
            all.insert(format!("{name}_{field}"), d[key].clone());
        }
    }
    for (i, n) in list(figures, "nics").enumerate() {
        for way in ["rx", "tx"] {
            for (field, key) in
                [("", "octets"), ("_packets", "packets"), ("_errors", "errors"), ("_drop", "drop")]
            {
                all.insert(format!("vnet{i}_{way}{field}"), n[format!("{way}_{key}")].clone());
            }
        }
    }
    Value::Object(all)
}
