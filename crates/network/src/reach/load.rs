//! Reads the picture: both ports, their networks, and the routers around as far as routes may lead.

use super::Picture;
use crate::model::Port;
use crate::{connected, for_hosts, table};
use base::{AddressGroupId, NetworkId, PortId, Result, RouterId, SecurityGroupId};
use std::collections::BTreeSet;
use store::{Sql, Tx};

/// How far from the two networks is looked, in routers.
const FAR: usize = 4;
/// Routers that are looked at.
const MOST: usize = 200;

pub fn load(tx: &Tx<'_>, from: Port, to: Port) -> Result<Picture> {
    let mut networks = BTreeSet::from([from.network, to.network]);
    let mut routers = BTreeSet::new();
    for _ in 0..FAR {
        let found = routers_on(tx, &networks)?;
        let before = (routers.len(), networks.len());
        routers.extend(found);
        networks.extend(networks_of(tx, &routers)?);
        if before == (routers.len(), networks.len()) || routers.len() >= MOST {
            break;
        }
    }
    let routers = table::router::by_ids(tx, &routers.into_iter().take(MOST).collect::<Vec<_>>())?;
    let mut legs = for_hosts::legs(tx, &routers)?;
    legs.extend(for_hosts::gateways(tx, &routers)?);
    networks.extend(legs.iter().map(|l| l.network));
    let ids: Vec<NetworkId> = networks.iter().copied().collect();
    let groups: BTreeSet<SecurityGroupId> = from.groups.iter().chain(&to.groups).copied().collect();
    let rules = table::group::rules_of(tx, &groups.into_iter().collect::<Vec<_>>())?;
    let peers = rules.iter().filter_map(|r| r.remote_group).collect();
    let named: Vec<AddressGroupId> = rules.iter().filter_map(|r| r.remote_addresses).collect();
    Ok(Picture {
        networks: for_hosts::networks(tx, &networks)?,
        subnets: table::subnet::of_networks(tx, &ids)?,
        members: for_hosts::members(tx, &peers, &connected::around(tx, [from.network, to.network])?)?,
        addresses: table::addresses::of(tx, &named)?,
        acls: table::acl::of_networks(tx, &[from.network.to_string(), to.network.to_string()])?,
        from,
        to,
        routers,
        legs,
        rules,
    })
}

fn routers_on(tx: &Tx<'_>, networks: &BTreeSet<NetworkId>) -> Result<Vec<RouterId>> {
    let mut q = Sql::new("SELECT DISTINCT router_id FROM router_interface WHERE 1 = 1");
    q.and_in("network_id", networks.iter().copied()).push(" ORDER BY router_id").limit(MOST);
    q.rows(tx, |r| r.get(0))
}

fn networks_of(tx: &Tx<'_>, routers: &BTreeSet<RouterId>) -> Result<Vec<NetworkId>> {
    let mut q = Sql::new("SELECT DISTINCT network_id FROM router_interface WHERE 1 = 1");
    q.and_in("router_id", routers.iter().copied());
    q.rows(tx, |r| r.get(0))
}

/// A port that the caller may see.
///
/// # Errors
/// 404 for any other.
pub fn visible(tx: &Tx<'_>, auth: &api::Auth, id: PortId) -> Result<Port> {
    let found = table::port::by_id(tx, id)?.filter(|p| auth.sees(p.std.project.as_str()));
    found.ok_or_else(|| base::Fault::not_found(format!("Port {id} could not be found.")).tag("PortNotFound"))
}
