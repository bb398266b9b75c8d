//! From which networks packets may come to a guest with the address that their sender has.
//!
//! ```text
//! network ── router ── network                       routers keep addresses
//! network ── router without SNAT, or with an IPv6 gateway ── external network
//! provider network ── what we do not see ── provider network
//! network ── guest that may send for others ── network     port security off, or allowed address pairs
//! ```
//! and so on from there. Members of security groups matter on such networks only: the hosts of others need not
//! hear of them, so that what a guest's coming costs does not grow with all guests of its project.

use crate::model::Port;
use crate::table::fill;
use crate::table::network::WIRED;
use base::{NetworkId, Result};
use std::collections::BTreeSet;
use store::{Sql, Tx, params};

/// These networks, and all that they are connected with.
pub fn around(tx: &Tx<'_>, networks: impl IntoIterator<Item = NetworkId>) -> Result<BTreeSet<NetworkId>> {
    let mut found: BTreeSet<NetworkId> = networks.into_iter().collect();
    let mut new: Vec<NetworkId> = found.iter().copied().collect();
    let mut outside = false;
    while !new.is_empty() {
        let mut next: Vec<NetworkId> = beside(tx, &new)?;
        if !outside && are_outside(tx, &new)? {
            outside = true;
            let all = format!("SELECT t.id FROM network t WHERE {WIRED}");
            next.extend(tx.rows(&all, &[], |r| r.get::<NetworkId>(0))?);
        }
        new = next.into_iter().filter(|n| found.insert(*n)).collect();
    }
    Ok(found)
}

/// One step away from these networks.
fn beside(tx: &Tx<'_>, networks: &[NetworkId]) -> Result<Vec<NetworkId>> {
    let mut q = Sql::new(
        "SELECT b.network_id FROM router_interface a JOIN router_interface b ON b.router_id = a.router_id
         WHERE a.network_id IN (",
    );
    fill(&mut q, networks);
    let plain = "(r.enable_snat = 0 OR EXISTS (SELECT 1 FROM port_address x
                  WHERE x.port_id = r.gateway_port_id AND x.address LIKE '%:%'))";
    q.push(&format!(
        ") UNION SELECT g.network_id FROM router_interface a JOIN router r ON r.id = a.router_id
         JOIN port g ON g.id = r.gateway_port_id WHERE {plain} AND a.network_id IN ("
    ));
    fill(&mut q, networks);
    q.push(&format!(
        ") UNION SELECT i.network_id FROM port g JOIN router r ON r.gateway_port_id = g.id
         JOIN router_interface i ON i.router_id = r.id
         WHERE {plain} AND g.device_owner = 'network:router_gateway' AND g.network_id IN ("
    ));
    fill(&mut q, networks);
    q.push(
        ") UNION SELECT b.network_id FROM port a JOIN port b ON b.device_id = a.device_id
         WHERE a.device_owner LIKE 'compute:%' AND (a.port_security = 0 OR a.allowed_pairs <> '[]')
           AND (b.port_security = 0 OR b.allowed_pairs <> '[]') AND a.network_id IN (",
    );
    fill(&mut q, networks);
    q.push(")");
    q.rows(tx, |r| r.get(0))
}

/// The networks that the guest with this port connects, by being able to send for others on each; none if there is
/// but one.
pub fn by_guest(tx: &Tx<'_>, port: &Port) -> Result<Vec<NetworkId>> {
    let sql = "SELECT network_id FROM port WHERE device_id = $1 AND device_owner LIKE 'compute:%'
               AND (port_security = 0 OR allowed_pairs <> '[]') AND network_id <> $2";
    let mut networks: Vec<NetworkId> = tx.rows(sql, params![&port.device_id, port.network], |r| r.get(0))?;
    if !networks.is_empty() {
        networks.push(port.network);
    }
    Ok(networks)
}

fn are_outside(tx: &Tx<'_>, networks: &[NetworkId]) -> Result<bool> {
    let mut q = Sql::new(&format!("SELECT 1 FROM network t WHERE {WIRED} AND t.id IN ("));
    fill(&mut q, networks);
    Ok(q.push(")").limit(1).opt(tx, |_| Ok(()))?.is_some())
}
