//! The cloud as a whole: availability zones, and lists that are empty until their time comes.

use crate::Compute;
use crate::table::host::{self, Host};
use api::{Reply, Req};
use base::Result;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Hosts by zone, in order.
fn zones(hosts: &[Host]) -> Vec<(String, Vec<&Host>)> {
    let mut zones: Vec<(String, Vec<&Host>)> = Vec::new();
    for h in hosts {
        match zones.iter_mut().find(|(z, _)| *z == h.zone) {
            Some((_, list)) => list.push(h),
            None => zones.push((h.zone.clone(), vec![h])),
        }
    }
    zones
}

fn zone(name: &str, hosts: &[&Host], detail: bool) -> Value {
    let up = hosts.iter().any(|h| h.enabled);
    let list = if detail {
        let list = hosts.iter().map(|h| {
            let service = json!({"nova-compute": {
                "active": h.enabled, "available": !h.silent(), "updated_at": h.seen_at.micros_bare(),
            }});
            (h.name.clone(), service)
        });
        Value::Object(list.collect::<Map<_, _>>())
    } else {
        Value::Null
    };
    json!({"zoneName": name, "zoneState": {"available": up}, "hosts": list})
}

async fn availability(c: &Compute, detail: bool) -> Result<Reply> {
    let hosts = c.db.read(host::all).await?;
    let mut list: Vec<Value> = zones(&hosts).iter().map(|(name, hosts)| zone(name, hosts, detail)).collect();
    if list.is_empty() {
        list.push(zone("nova", &[], detail));
    }
    Ok(Reply::json(200, &json!({"availabilityZoneInfo": list})))
}

pub async fn availability_zones(c: Arc<Compute>, _: Req) -> Result<Reply> {
    availability(&c, false).await
}

pub async fn availability_zones_detail(c: Arc<Compute>, _: Req) -> Result<Reply> {
    availability(&c, true).await
}

// ----------------------------------------------------------------------------------- empty so far
