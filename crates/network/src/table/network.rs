//! SQL of networks.

use crate::err;
use crate::model::{Network, Std, json};
use base::doc::Vlan;
use base::{Fault, NetworkId, Result};
use store::{Row, Tx, params};

pub const COLS: &str = "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at, \
     t.admin_up, t.shared, t.external, t.is_default, t.mtu, t.vni, t.uplink, t.port_security, t.dns_domain, \
     t.az_hints, t.vlan_physical, t.vlan_segment";

pub fn read(r: &Row<'_>) -> Result<Network> {
    let uplink: Option<String> = r.get(13)?;
    let (physical, segment): (Option<String>, Option<i64>) = (r.get(17)?, r.get(18)?);
    let segment = segment.map(u16::try_from).transpose().map_err(Fault::internal)?;
    Ok(Network {
        id: r.get(0)?,
        std: Std::read(r)?,
        admin_up: r.get(7)?,
        shared: r.get(8)?,
        external: r.get(9)?,
        is_default: r.get(10)?,
        mtu: r.get(11)?,
        vni: r.get(12)?,
        uplink: uplink.map(|u| serde_json::from_str(&u)).transpose()?,
        vlan: physical.zip(segment).map(|(device, segment)| Vlan { device, segment }),
        port_security: r.get(14)?,
        dns_domain: r.get(15)?,
        az_hints: json(r, 16)?,
    })
}

pub fn by_id(tx: &Tx<'_>, id: NetworkId) -> Result<Option<Network>> {
    tx.opt(&format!("SELECT {COLS} FROM network t WHERE t.id = $1"), params![id], read)
}

/// A network `t` that lies on something outside: on a wire or a VLAN of one.
pub const WIRED: &str = "(t.uplink IS NOT NULL OR t.vlan_segment IS NOT NULL)";

/// Those, by name.
pub fn with_uplink(tx: &Tx<'_>) -> Result<Vec<Network>> {
    tx.rows(&format!("SELECT {COLS} FROM network t WHERE {WIRED} ORDER BY t.name, t.id"), &[], read)
}

pub fn vni_taken(tx: &Tx<'_>, vni: u32) -> Result<bool> {
    Ok(tx.opt("SELECT 1 FROM network WHERE vni = $1", params![vni], |_| Ok(()))?.is_some())
}

/// False when the VNI is taken.
///
/// # Errors
/// 409 when another network has the VLAN.
pub fn insert(tx: &Tx<'_>, n: &Network) -> Result<bool> {
    if !crate::transit::is_free(tx, n.vni)? {
        return Ok(false);
    }
    let uplink = n.uplink.as_ref().map(serde_json::to_string).transpose()?;
    let vlan = n.vlan.as_ref();
    let taken = || match vlan {
        Some(v) => err::vlan_in_use(&v.device, v.segment),
        None => Fault::conflict("The network is there already."),
    };
    let added = tx.exec_unique(
        "INSERT INTO network (id, project_id, name, description, revision, created_at, updated_at, admin_up, shared,
         external, is_default, mtu, vni, uplink, port_security, dns_domain, az_hints, vlan_physical, vlan_segment)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         ON CONFLICT (vni) DO NOTHING",
        params![
            n.id, &n.std.project, &n.std.name, &n.std.description, n.std.revision, n.std.created, n.std.updated,
            n.admin_up, n.shared, n.external, n.is_default, n.mtu, n.vni, &uplink, n.port_security, &n.dns_domain,
            serde_json::to_string(&n.az_hints)?, vlan.map(|v| v.device.as_str()), vlan.map(|v| i64::from(v.segment))
        ],
        taken,
    )?;
    Ok(added == 1)
}

/// Writes everything that may change.
pub fn update(tx: &Tx<'_>, n: &Network) -> Result<()> {
    let uplink = n.uplink.as_ref().map(serde_json::to_string).transpose().map_err(Fault::from)?;
    tx.exec(
        "UPDATE network SET name = $2, description = $3, admin_up = $4, shared = $5, external = $6,
         is_default = $7, mtu = $8, uplink = $9, port_security = $10, dns_domain = $11 WHERE id = $1",
        params![
            n.id,
            &n.std.name,
            &n.std.description,
            n.admin_up,
            n.shared,
            n.external,
            n.is_default,
            n.mtu,
            &uplink,
            n.port_security,
            &n.dns_domain
        ],
    )?;
    Ok(())
}
