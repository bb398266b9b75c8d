//! SQL of networks' access lists.

use crate::model::acl::Rule;
use crate::model::forward::Span;
use base::{Fault, NetworkId, Result};
use std::collections::HashMap;
use store::{Row, Tx, params};

fn span(r: &Row<'_>, i: usize) -> Result<Option<Span>> {
    let (first, last): (i64, i64) = (r.get(i)?, r.get(i + 1)?);
    Ok(u16::try_from(first).ok().zip(u16::try_from(last).ok()))
}

/// The lists of networks, each in its order.
pub fn of_networks(tx: &Tx<'_>, networks: &[String]) -> Result<HashMap<String, Vec<Rule>>> {
    let sql = "SELECT network_id, priority, direction, allow, ip_version, protocol, port_first, port_last,
               source_first, source_last, remote, description FROM network_acl_rule WHERE network_id IN (";
    super::children(tx, sql, ") ORDER BY network_id, priority", networks, |r| {
        let remote: String = r.get(10)?;
        let remote = Some(remote).filter(|t| !t.is_empty());
        Ok(Rule {
            priority: r.get(1)?,
            ingress: r.get::<String>(2)? == "ingress",
            allow: r.get(3)?,
            version: u8::try_from(r.get::<i64>(4)?).ok().filter(|v| *v > 0),
            protocol: u8::try_from(r.get::<i64>(5)?).ok(),
            ports: span(r, 6)?,
            source_ports: span(r, 8)?,
            remote: remote.map(|t| t.parse().map_err(Fault::internal)).transpose()?,
            description: r.get(11)?,
        })
    })
}

/// Puts a list in the place of the one that there is.
pub fn replace(tx: &Tx<'_>, network: NetworkId, rules: &[Rule]) -> Result<()> {
    tx.exec("DELETE FROM network_acl_rule WHERE network_id = $1", params![network])?;
    let ends = |s: Option<Span>| s.map_or((-1, -1), |(a, b)| (i64::from(a), i64::from(b)));
    for r in rules {
        let (ports, sources) = (ends(r.ports), ends(r.source_ports));
        tx.exec(
            "INSERT INTO network_acl_rule (network_id, priority, direction, allow, ip_version, protocol, port_first,
             port_last, source_first, source_last, remote, description)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            params![
                network,
                r.priority,
                if r.ingress { "ingress" } else { "egress" },
                r.allow,
                r.version.map_or(0, u32::from),
                r.protocol.map_or(-1, i64::from),
                ports.0,
                ports.1,
                sources.0,
                sources.1,
                r.remote.map(|n| n.to_string()).unwrap_or_default(),
                &r.description
            ],
        )?;
    }
    Ok(())
}
