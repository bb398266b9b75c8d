//! `/v2.0/agents`: each host is shown as the agents that clients look for. There is one process on a
//! host, and it is alive or not as a whole.

use super::list::prune;
use crate::{Network, err};
use ::api::{Reply, Req};
use base::{HostId, Micros, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Tx, params};

/// Type, program and topic of each.
const KINDS: [(&str, &str, &str); 4] = [
    ("Open vSwitch agent", "neutron-openvswitch-agent", "N/A"),
    ("DHCP agent", "neutron-dhcp-agent", "dhcp_agent"),
    ("L3 agent", "neutron-l3-agent", "l3_agent"),
    ("Metadata agent", "neutron-metadata-agent", "N/A"),
];

/// A host that was silent for so long counts as dead.
pub const SILENCE: Duration = Duration::from_secs(75);

/// The id of a host's agent: the host's own with another first digit for each kind, the same each time.
fn agent_id(host: HostId, kind: usize) -> String {
    let digit = ["a", "b", "c", "d"][kind % KINDS.len()];
    format!("{digit}{}", &host.to_string()[1..])
}

/// The id of a host's L3 agent.
pub fn l3_id(host: HostId) -> String {
    agent_id(host, 2)
}

pub fn all(tx: &Tx<'_>) -> Result<Vec<Value>> {
    let notes = tx.rows("SELECT id, description, admin_up FROM network_agent", &[], |r| {
        Ok((r.get::<String>(0)?, (r.get::<String>(1)?, r.get::<bool>(2)?)))
    })?;
    let notes: HashMap<_, _> = notes.into_iter().collect();
    let hosts = tx.rows(
        "SELECT id, name, availability_zone, enabled, seen_at, created_at FROM host
         WHERE resource_class = '' ORDER BY name",
        &[],
        |r| {
            Ok((
                r.get::<HostId>(0)?,
                r.get::<String>(1)?,
                r.get::<String>(2)?,
                r.get::<bool>(3)?,
                r.get::<Micros>(4)?,
                r.get::<Micros>(5)?,
            ))
        },
    )?;
    let now = Micros::now();
    let mut out = Vec::new();
    for (host, name, zone, enabled, seen, created) in hosts {
        for (kind, (agent_type, binary, topic)) in KINDS.iter().enumerate() {
            let id = agent_id(host, kind);
            let (description, up) = notes.get(&id).cloned().unwrap_or((String::new(), true));
            out.push(json!({
                "id": id,
                "agent_type": agent_type,
                "binary": binary,
                "topic": topic,
                "host": name,
                "availability_zone": if kind == 1 || kind == 2 { Some(&zone) } else { None },
                "admin_state_up": enabled && up,
                "alive": now.since(seen) < SILENCE,
                "description": description,
                "configurations": {},
                "resource_versions": {},
                "resources_synced": null,
                "created_at": plain(created),
                "started_at": plain(created),
                "heartbeat_timestamp": plain(seen),
            }));
        }
    }
    Ok(out)
}

/// `2026-11-20 22:05:58`, as agents are shown.
fn plain(t: Micros) -> String {
    t.seconds_z().replace('T', " ").replace('Z', "")
}

fn text(v: &Value) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

pub async fn list(net: Arc<Network>, req: Req) -> Result<Reply> {
    const KNOWN: &[&str] = &[
        "id",
        "agent_type",
        "binary",
        "topic",
        "host",
        "availability_zone",
        "admin_state_up",
        "alive",
        "description",
    ];
    // Others are not refused: they see none.
    let agents = if req.auth.is_admin() { net.db.read(all).await? } else { Vec::new() };
    let agents = super::values::chosen(agents, &req.query, KNOWN, "id")?;
    Ok(Reply::json(200, &json!({"agents": agents})))
}

async fn find(net: &Network, id: String) -> Result<Value> {
    let found = net.db.read(all).await?.into_iter().find(|a| a["id"] == id.as_str());
    found.ok_or_else(|| err::no_agent(id))
}

pub async fn show(net: Arc<Network>, req: Req) -> Result<Reply> {
    let mut agent = find(&net, req.text_param("id").to_owned()).await?;
    prune(&mut agent, &req.query.all("fields").map(str::to_owned).collect::<Vec<_>>());
    Ok(Reply::json(200, &json!({"agent": agent})))
}

pub async fn update(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let now = find(&net, id.clone()).await?;
    let o = req.json().await?.inner("agent")?;
    o.only(&["admin_state_up", "description"])?;
    let description =
        o.opt_str("description", super::fields::TEXT)?.unwrap_or_else(|| text(&now["description"]));
    let up = o.opt_bool("admin_state_up")?.unwrap_or(now["admin_state_up"] == true);
    let (key, who) = (id.clone(), req.who());
    net.db
        .write(move |tx| {
            tx.exec(
                "INSERT INTO network_agent (id, description, admin_up) VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET description = excluded.description, admin_up = excluded.admin_up",
                params![&key, &description, up],
            )?;
            store::log::audit(tx, &who, "agent.update", &key)
        })
        .await?;
    Ok(Reply::json(200, &json!({"agent": find(&net, id).await?})))
}

pub async fn delete(net: Arc<Network>, req: Req) -> Result<Reply> {
    let agent = find(&net, req.text_param("id").to_owned()).await?;
    Err(err::conflict(
        "AgentInUse",
        format!("This agent is part of host {}; it goes when the host is removed.", text(&agent["host"])),
    ))
}
