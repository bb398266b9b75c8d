//! Machines as our own API shows them.

use crate::act::wanted;
use crate::model::{Disk, Machine, Nic, Whole};
use crate::table::named::Named;
use base::Micros;
use serde_json::{Value, json};
use std::collections::HashMap;

/// What ids in machines' rows are called.
pub struct Names {
    pub zones: HashMap<String, String>,
    pub pools: HashMap<String, String>,
    pub racks: HashMap<base::RackId, String>,
    pub segments: HashMap<base::SegmentId, String>,
}

impl Names {
    pub fn of(list: Vec<Named>) -> HashMap<String, String> {
        list.into_iter().map(|n| (n.id, n.name)).collect()
    }
}

fn at(t: Micros) -> Option<String> {
    (t.0 > 0).then(|| t.seconds_z())
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|t| !t.is_empty())
}

/// `operator`: with what only those see who look after the machines.
pub fn machine(w: &Whole, names: &Names, operator: bool) -> Value {
    let m = &w.machine;
    let mut v = json!({
        "id": m.id,
        "system_id": m.system_id,
        "name": m.name,
        "description": m.description,
        "status": m.status.word(),
        "status_name": m.status.name(),
        "status_at": at(m.status_at),
        "message": some(&m.message),
        "locked": m.locked,
        "project_id": some(m.project.as_str()),
        "user_id": some(m.user.as_str()),
        "zone": names.zones.get(&m.zone),
        "pool": names.pools.get(&m.pool),
        "arch": m.arch,
        "uefi": m.uefi,
        "vendor": some(&m.vendor),
        "product": some(&m.product),
        "serial": some(&m.serial),
        "cpu_model": some(&m.cpu_model),
        "cores": m.cores,
        "memory_mib": m.memory_mib,
        "disk_bytes": m.disk_bytes,
        "resource_class": some(&m.resource_class),
        "power": m.power(),
        "image_id": m.image_id,
        "image_name": some(&m.image_name),
        "as_host": m.as_host,
        "deployed_at": at(m.deployed_at),
        "tags": w.tags.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "automatic_tags": w.tags.iter().filter(|(_, a)| *a).map(|(name, _)| name).collect::<Vec<_>>(),
        "nics": w.nics.iter().map(|n| nic(n, names)).collect::<Vec<_>>(),
        "disks": w.disks.iter().map(disk).collect::<Vec<_>>(),
        "owner_data": m.owner_data,
        "measured_at": at(m.inventory_at),
        "created_at": m.created_at.seconds_z(),
        "updated_at": m.updated_at.seconds_z(),
    });
    if operator {
        v["uuid"] = json!(some(&m.uuid));
        v["bmc"] = json!(m.bmc_kind);
        v["rack"] = json!(m.rack.and_then(|r| names.racks.get(&r)));
        v["power_reason"] = json!(some(&m.seen.reason));
        v["to_do"] = json!(wanted(m));
        v["last_boot_at"] = json!(m.seen.boot_at.map(Micros::seconds_z));
        v["last_boot_answer"] = json!(some(&m.seen.boot_answer));
    }
    if let Some(i) = &w.inventory {
        v["verdicts"] = json!(i.verdicts);
    }
    base::said::annotate(&mut v);
    v
}

fn nic(n: &Nic, names: &Names) -> Value {
    let neighbour: Value = serde_json::from_str(&n.neighbour).unwrap_or_default();
    json!({
        "mac": n.mac,
        "name": some(&n.name),
        "boot": n.boot,
        "link": n.link,
        "speed": n.speed,
        "product": some(&n.product),
        "segment": n.segment.and_then(|s| names.segments.get(&s)),
        "addresses": n.addresses,
        "neighbour": neighbour,
    })
}

fn disk(d: &Disk) -> Value {
    json!({
        "id": d.id,
        "name": d.name,
        "model": some(&d.model),
        "serial": some(&d.serial),
        "size_bytes": d.size_bytes,
        "kind": d.kind,
        "removable": d.removable,
        "role": some(&d.role),
    })
}

/// One line of the ledger.
const COLUMNS: &str = "name,status,vendor,product,serial,uuid,cpu_model,cores,memory_mib,disk_bytes,macs,addresses,\
    zone,pool,project_id,resource_class,tags,switch,port,bmc,created_at,updated_at";

/// The ledger as a table (RFC 4180).
pub fn csv(machines: &[Whole], names: &Names) -> String {
    let mut text = format!("{COLUMNS}\r\n");
    for w in machines {
        text.push_str(&line(w, names));
        text.push_str("\r\n");
    }
    text
}

fn line(w: &Whole, names: &Names) -> String {
    let m: &Machine = &w.machine;
    let many = |all: Vec<String>| all.join(" ");
    let neighbours: Vec<Value> =
        w.nics.iter().filter_map(|n| serde_json::from_str(&n.neighbour).ok()).collect();
    let of =
        |field: &str| many(neighbours.iter().filter_map(|n| n[field].as_str().map(str::to_owned)).collect());
    let fields = [
        m.name.clone(),
        m.status.word().to_owned(),
        m.vendor.clone(),
        m.product.clone(),
        m.serial.clone(),
        m.uuid.clone(),
        m.cpu_model.clone(),
        m.cores.to_string(),
        m.memory_mib.to_string(),
        m.disk_bytes.to_string(),
        many(w.nics.iter().map(|n| n.mac.clone()).collect()),
        many(w.nics.iter().flat_map(|n| &n.addresses).map(ToString::to_string).collect()),
        names.zones.get(&m.zone).cloned().unwrap_or_default(),
        names.pools.get(&m.pool).cloned().unwrap_or_default(),
        m.project.0.clone(),
        m.resource_class.clone(),
        many(w.tags.iter().map(|(t, _)| t.clone()).collect()),
        of("system"),
        of("port"),
        m.bmc_kind.clone(),
        m.created_at.seconds_z(),
        m.updated_at.seconds_z(),
    ];
    fields.iter().map(|f| field(f)).collect::<Vec<_>>().join(",")
}

/// Quoted where need be; and no spreadsheet takes it for a formula.
fn field(text: &str) -> String {
    let text =
        if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_quoted_and_never_formulas() {
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(field("=1+1"), "'=1+1");
    }
}
