//! `GET /hanok/v1/physical-networks`: what networks of wires there are, which hosts are on them by which NIC, and
//! which of our networks lie on them. Hosts say it of themselves; a name without a host is one that a network asks for.

use crate::{Network, table};
use ::api::{Reply, Req};
use base::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Tx;

#[derive(Default)]
struct Physical {
    hosts: Vec<Value>,
    networks: Vec<Value>,
}

/// Hosts by name, networks by name.
pub async fn list(n: Arc<Network>, _: Req) -> Result<Reply> {
    let all: Vec<Value> =
        n.db.read(read)
            .await?
            .into_iter()
            .map(|(name, p)| json!({"name": name, "hosts": p.hosts, "networks": p.networks}))
            .collect();
    Ok(Reply::json(200, &json!({"physical_networks": all})))
}

fn read(tx: &Tx<'_>) -> Result<BTreeMap<String, Physical>> {
    let mut all: BTreeMap<String, Physical> = BTreeMap::new();
    // What a machine is plugged to is its rack's matter.
    let hosts = tx.rows(
        "SELECT p.name, p.device, h.id, h.name, l.vlans FROM host_physical p JOIN host h ON h.id = p.host_id
         LEFT JOIN host_link l ON l.host_id = h.id WHERE h.resource_class = '' ORDER BY h.name",
        &[],
        |r| {
            let host = json!({
                "id": r.get::<String>(2)?, "name": r.get::<String>(3)?, "device": r.get::<String>(1)?,
                "vlans": r.get::<Option<i64>>(4)? == Some(1),
            });
            Ok((r.get::<String>(0)?, host))
        },
    )?;
    for (name, host) in hosts {
        all.entry(name).or_default().hosts.push(host);
    }
    for network in table::network::with_uplink(tx)? {
        let Some(physical) = network.physical() else { continue };
        let shown = json!({
            "id": network.id, "name": network.std.name, "external": network.external, "mtu": network.mtu,
            "project_id": network.std.project, "segment": network.vlan.as_ref().map(|v| v.segment),
        });
        all.entry(physical.to_owned()).or_default().networks.push(shown);
    }
    Ok(all)
}
