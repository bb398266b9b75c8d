//! What hosts say of their place in the network: where they are reached, how much fits through, and which
//! physical networks they have. And what follows from it for the region: the MTU of overlay networks, and
//! the NIC by which a host takes part in a provider network.
//!
//! Invariant: a change here bumps every host whose document names what has changed, in the transaction that
//! takes the report over.

use crate::act::network::MIN_MTU;
use crate::model::Network;
use crate::touch;
use base::doc::HostFacts;
use base::{HostId, NetworkId, Result, RouterId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use store::log::{Level, event};
use store::{Sql, Tx, params};

/// Overlay networks' MTU where no host has said anything: the usual underlay's 1500 bytes without the 50 that
/// VXLAN over IPv4 takes.
pub const USUAL_OVERLAY_MTU: u32 = 1450;
/// What VXLAN takes of each packet: Ethernet, IP, UDP and its own header (RFC 7348).
const OVER_V4: u32 = 50;
const OVER_V6: u32 = 70;
/// The largest that guests' NICs carry over the overlay: jumbo frames.
const MAX_OVERLAY_MTU: u32 = 9000 - OVER_V4;
const SETTING: &str = "overlay-mtu";

/// What one guest's packet may hold on its way out of a host, in bytes; `None` when the host has not said.
fn room(facts: &HostFacts) -> Option<u32> {
    let over = if facts.tunnel?.is_ipv6() { OVER_V6 } else { OVER_V4 };
    (facts.tunnel_mtu > 0).then(|| facts.tunnel_mtu.saturating_sub(over).clamp(MIN_MTU, MAX_OVERLAY_MTU))
}

/// Takes over what a host says of itself, if it says something else than `before`.
pub fn reported(tx: &Tx<'_>, host: HostId, before: &HostFacts, now: &HostFacts) -> Result<()> {
    if (before.tunnel, before.tunnel_mtu, before.vlans) != (now.tunnel, now.tunnel_mtu, now.vlans) {
        let tunnel = now.tunnel.map(|t| t.to_string()).unwrap_or_default();
        tx.exec(
            "INSERT INTO host_link (host_id, tunnel, mtu, vlans) VALUES ($1, $2, $3, $4)
             ON CONFLICT (host_id)
             DO UPDATE SET tunnel = excluded.tunnel, mtu = excluded.mtu, vlans = excluded.vlans",
            params![host, tunnel, now.tunnel_mtu, now.vlans],
        )?;
        if let Some(room) = room(now).filter(|r| room(before).is_none_or(|had| *r < had)) {
            warn_of_narrow(tx, host, &now.hostname, room)?;
        }
    }
    if before.tunnel != now.tunnel {
        store::host::touch_all(tx, touch::neighbours_of(tx, host)?)?;
    }
    if before.physical_networks != now.physical_networks {
        physical(tx, host, &now.physical_networks)?;
    }
    Ok(())
}

/// Networks keep the MTU that they were made with, so somebody has to know when a host carries less.
fn warn_of_narrow(tx: &Tx<'_>, host: HostId, name: &str, room: u32) -> Result<()> {
    let wider = "SELECT COUNT(*) FROM network WHERE external = 0 AND uplink IS NULL AND vlan_segment IS NULL
                 AND mtu > $1";
    let wider: i64 = tx.one(wider, params![room], |r| r.get(0))?;
    if wider == 0 {
        return Ok(());
    }
    let text = format!(
        "Host {name} carries packets of at most {room} bytes between hosts, and {wider} networks have a larger \
         MTU: their large packets do not reach it. Raise the MTU of its NIC, or lower that of the networks \
         (`openstack network set --mtu {room} NETWORK`) and renew their guests' leases."
    );
    event(tx, Level::Warning, "host.narrow", &host.to_string(), &text)
}

fn physical(tx: &Tx<'_>, host: HostId, now: &BTreeMap<String, String>) -> Result<()> {
    tx.exec("DELETE FROM host_physical WHERE host_id = $1", params![host])?;
    for (name, device) in now {
        let sql = "INSERT INTO host_physical (host_id, name, device) VALUES ($1, $2, $3)";
        tx.exec(sql, params![host, name, device])?;
    }
    store::host::touch(tx, host)
}

/// The MTU of new overlay networks, and the largest that any may have: what is configured, else what fits
/// through the narrowest host.
pub fn overlay_mtu(tx: &Tx<'_>) -> Result<u32> {
    let set =
        tx.opt("SELECT value FROM setting WHERE name = $1", params![SETTING], |r| r.get::<String>(0))?;
    if let Some(mtu) = set.and_then(|v| v.parse().ok()) {
        return Ok(mtu);
    }
    let least: Option<i64> = tx.one(
        "SELECT MIN(CASE WHEN tunnel LIKE '%:%' THEN mtu - 70 ELSE mtu - 50 END) FROM host_link
         WHERE mtu > 0 AND tunnel <> ''",
        &[],
        |r| r.get(0),
    )?;
    let least = least.and_then(|m| u32::try_from(m).ok());
    Ok(least.map_or(USUAL_OVERLAY_MTU, |m| m.clamp(MIN_MTU, MAX_OVERLAY_MTU)))
}

/// Sets what [`overlay_mtu`] answers; `None` leaves it to the hosts.
pub fn configure_mtu(tx: &Tx<'_>, mtu: Option<u32>) -> Result<()> {
    match mtu {
        None => tx.exec("DELETE FROM setting WHERE name = $1", params![SETTING]),
        Some(mtu) => tx.exec(
            "INSERT INTO setting (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![SETTING, mtu.to_string()],
        ),
    }
    .map(drop)
}

/// Where hosts are reached, of those that are.
pub fn tunnels(tx: &Tx<'_>, hosts: &BTreeSet<HostId>) -> Result<HashMap<HostId, IpAddr>> {
    if hosts.is_empty() {
        return Ok(HashMap::new());
    }
    // What has not been reported since this table is there, is in the facts alone.
    let mut q = Sql::new(
        "SELECT h.id, l.tunnel, CASE WHEN l.host_id IS NULL THEN h.facts ELSE '{}' END
         FROM host h LEFT JOIN host_link l ON l.host_id = h.id WHERE h.id IN (",
    );
    crate::table::fill(&mut q, hosts);
    q.push(")");
    let found = q.rows(tx, |r| {
        let facts: serde_json::Value = crate::model::json(r, 2).unwrap_or_default();
        let text = r.get::<Option<String>>(1)?.or_else(|| Some(facts["tunnel"].as_str()?.to_owned()));
        Ok((r.get::<HostId>(0)?, text.and_then(|t| t.parse::<IpAddr>().ok())))
    })?;
    Ok(found.into_iter().filter_map(|(id, tunnel)| Some((id, tunnel?))).collect())
}

/// The NICs by which a host reaches physical networks, by their names.
pub fn devices(tx: &Tx<'_>, host: HostId) -> Result<HashMap<String, String>> {
    let sql = "SELECT name, device FROM host_physical WHERE host_id = $1";
    Ok(tx.rows(sql, params![host], |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect())
}

/// Something that a network asks of its hosts, in words, and the hosts that have it.
#[derive(Debug, Clone)]
pub struct Need {
    pub what: String,
    /// Selects `host_id`.
    pub hosts: Sql,
}

impl Need {
    pub fn met_by(&self, tx: &Tx<'_>, host: HostId) -> Result<bool> {
        let mut q = Sql::new("SELECT 1 FROM (");
        q.add(&self.hosts).push(") n WHERE 1 = 1").and("n.host_id =", host);
        Ok(q.opt(tx, |_| Ok(()))?.is_some())
    }
}

/// What a network on a wire asks of its hosts; nothing where every host can have it. While no host names its physical
/// network, that is taken for the name of a NIC that any may have.
pub fn needs(tx: &Tx<'_>, network: &Network) -> Result<Vec<Need>> {
    let Some(physical) = network.physical() else { return Ok(Vec::new()) };
    let mut needs = Vec::new();
    let mut named = Sql::new("SELECT host_id FROM host_physical WHERE 1 = 1");
    named.and("name =", physical);
    if named.clone().limit(1).opt(tx, |_| Ok(()))?.is_some() {
        needs.push(Need { what: format!("its NIC on the physical network {physical}"), hosts: named });
    }
    if let Some(vlan) = &network.vlan {
        let what = format!(
            "its NIC on VLAN {} of {physical} (802.1Q in the host's kernel: load the module 8021q there and restart the \
             agent)",
            vlan.segment
        );
        needs.push(Need { what, hosts: Sql::new("SELECT host_id FROM host_link WHERE vlans = 1") });
    }
    Ok(needs)
}

/// What a network asks that a host does not have.
pub fn lack(tx: &Tx<'_>, network: &Network, host: HostId) -> Result<Option<Need>> {
    for need in needs(tx, network)? {
        if !need.met_by(tx, host)? {
            return Ok(Some(need));
        }
    }
    Ok(None)
}

/// Networks and routers of a host, for [`touch::neighbours_of`].
pub fn of_host(tx: &Tx<'_>, host: HostId) -> Result<(Vec<NetworkId>, Vec<RouterId>)> {
    let networks = "SELECT DISTINCT network_id FROM port WHERE host_id = $1";
    let routers = "SELECT id FROM router WHERE home_host_id = $1";
    Ok((tx.rows(networks, params![host], |r| r.get(0))?, tx.rows(routers, params![host], |r| r.get(0))?))
}
