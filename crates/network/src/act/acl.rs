//! Access lists of networks, and what else of a network's traffic is asked for, in a host's document.

use crate::model::acl::Rule;
use crate::{table, touch};
use base::{HostId, NetworkId, Result, doc};
use store::Tx;

/// Most rules of one list: each is looked at for every packet.
pub const MAX_RULES: usize = 100;

pub fn of(tx: &Tx<'_>, network: NetworkId) -> Result<Vec<Rule>> {
    let id = network.to_string();
    Ok(table::acl::of_networks(tx, std::slice::from_ref(&id))?.remove(&id).unwrap_or_default())
}

/// Puts a list in the place of the network's. The network must be held.
pub fn replace(tx: &Tx<'_>, network: NetworkId, rules: &[Rule]) -> Result<()> {
    table::acl::replace(tx, network, rules)?;
    table::bump(tx, "network", &network.to_string())?;
    touch::networks(tx, &[network])
}

fn rule_doc(r: &Rule) -> doc::AclRule {
    doc::AclRule {
        direction: if r.ingress { doc::Direction::Ingress } else { doc::Direction::Egress },
        allow: r.allow,
        ip_version: r.version,
        protocol: r.protocol,
        ports: r.ports,
        source_ports: r.source_ports,
        remote: r.remote,
    }
}

/// Adds access lists and QoS to the networks of a host's document.
pub fn fill(tx: &Tx<'_>, host: HostId, networks: &mut [doc::Network]) -> Result<()> {
    let ids: Vec<String> = networks.iter().map(|n| n.id.to_string()).collect();
    let lists = table::acl::of_networks(tx, &ids)?;
    let qos = table::qos::of_host(tx, host)?;
    for (n, id) in networks.iter_mut().zip(&ids) {
        n.acl = lists.get(id).into_iter().flatten().map(rule_doc).collect();
        for p in n.ports.iter_mut().filter(|p| p.host == Some(host)) {
            p.qos = qos.get(&p.id).copied();
        }
    }
    Ok(())
}
