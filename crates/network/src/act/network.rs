//! Networks.

use super::{Caller, give, rbac, take};
use crate::model::{Network, Std};
use crate::{err, links, table, touch};
use base::doc::{Uplink, Vlan};
use base::{Fault, NetworkId, ProjectId, QosPolicyId, Result};
use store::{Tx, params};

pub const FLAT_MTU: u32 = 1500;
/// Least IPv4 MTU (RFC 791), and the largest that NICs carry.
pub const MIN_MTU: u32 = 68;
pub const MAX_FLAT_MTU: u32 = 9000;

/// A network as asked for.
#[derive(Debug, Clone)]
pub struct New {
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub admin_up: bool,
    pub shared: bool,
    pub external: bool,
    pub is_default: bool,
    pub mtu: Option<u32>,
    pub vni: Option<u32>,
    pub uplink: Option<Uplink>,
    pub vlan: Option<Vlan>,
    pub port_security: bool,
    pub dns_domain: String,
    /// `None`: the project's default policy.
    pub qos: Option<QosPolicyId>,
    pub az_hints: Vec<String>,
}

impl New {
    pub fn plain(project: &ProjectId, name: &str) -> Self {
        New {
            project: project.clone(),
            name: name.to_owned(),
            description: String::new(),
            admin_up: true,
            shared: false,
            external: false,
            is_default: false,
            mtu: None,
            vni: None,
            uplink: None,
            vlan: None,
            port_security: true,
            dns_domain: String::new(),
            qos: None,
            az_hints: Vec::new(),
        }
    }
}

/// A network that the caller sees: an own one, or one that is shared with or external for the project.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: NetworkId) -> Result<Network> {
    match table::network::by_id(tx, id)? {
        Some(n) if rbac::sees(tx, caller, &id.to_string(), &n.std.project)? => Ok(n),
        _ => Err(err::no_network(id)),
    }
}

/// Checks an MTU against what the network can carry.
pub fn check_mtu(tx: &Tx<'_>, mtu: u32, flat: bool) -> Result<()> {
    let max = if flat { MAX_FLAT_MTU } else { links::overlay_mtu(tx)? };
    if (MIN_MTU..=max).contains(&mtu) {
        return Ok(());
    }
    Err(err::invalid(format!("The MTU must be between {MIN_MTU} and {max} on this network; {mtu} is not.")))
}

pub fn create(tx: &Tx<'_>, new: New) -> Result<Network> {
    take(tx, &new.project, "network")?;
    let flat = new.uplink.is_some() || new.vlan.is_some();
    let mtu = match new.mtu {
        Some(mtu) => mtu,
        None if flat || new.external => FLAT_MTU,
        None => links::overlay_mtu(tx)?,
    };
    check_mtu(tx, mtu, flat || new.external)?;
    if new.is_default {
        only_default(tx, NetworkId::nil())?;
    }
    if let Some(Uplink::Nic { device }) = &new.uplink {
        nic_free(tx, device)?;
    }
    let mut n = Network {
        id: NetworkId::new(),
        std: Std::new(&new.project, &new.name, &new.description),
        admin_up: new.admin_up,
        shared: new.shared,
        external: new.external,
        is_default: new.is_default,
        mtu,
        vni: 0,
        uplink: new.uplink,
        vlan: new.vlan,
        port_security: new.port_security,
        dns_domain: new.dns_domain,
        az_hints: new.az_hints,
    };
    if let Some(vni) = new.vni {
        n.vni = vni;
        if !table::network::insert(tx, &n)? {
            return Err(err::conflict(
                "TunnelIdInUse",
                format!("Unable to create the network. The tunnel ID {vni} is in use."),
            ));
        }
        return open(tx, n);
    }
    for _ in 0..64 {
        n.vni = rand::random_range(1..1 << 24);
        if table::network::insert(tx, &n)? {
            return open(tx, n);
        }
    }
    Err(Fault::unavailable("Unable to create the network. No tenant network is available for allocation.")
        .tag("NoNetworkAvailable"))
}

fn open(tx: &Tx<'_>, n: Network) -> Result<Network> {
    let (id, owner) = (n.id.to_string(), &n.std.project);
    if n.shared {
        rbac::set_for_all(tx, "network", &id, owner, rbac::SHARED, true)?;
    }
    if n.external {
        rbac::set_for_all(tx, "network", &id, owner, rbac::EXTERNAL, true)?;
    }
    Ok(n)
}

/// Holds off all others who are about to make something of which there is one at most, until the transaction ends: the
/// look whether there is one already would not see theirs. After quotas, before what is new (see [`store::quota`]).
fn alone(tx: &Tx<'_>) -> Result<()> {
    let sql = "INSERT INTO setting (name, value) VALUES ('network.only-one', '')
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    if tx.writes_alone() { Ok(()) } else { tx.exec(sql, &[]).map(drop) }
}

/// A NIC carries one flat network.
fn nic_free(tx: &Tx<'_>, device: &str) -> Result<()> {
    alone(tx)?;
    let uplink = serde_json::to_string(&Uplink::Nic { device: device.to_owned() })?;
    match tx.opt("SELECT 1 FROM network WHERE uplink = $1", params![uplink], |_| Ok(()))? {
        None => Ok(()),
        Some(()) => Err(err::conflict(
            "FlatNetworkInUse",
            format!("Unable to create the flat network. Physical network {device} is in use."),
        )),
    }
}

/// Refuses a second default external network.
pub fn only_default(tx: &Tx<'_>, but: NetworkId) -> Result<()> {
    alone(tx)?;
    let sql = "SELECT id FROM network WHERE is_default = 1 AND id <> $1 LIMIT 1";
    match tx.opt(sql, params![but], |r| r.get::<String>(0))? {
        None => Ok(()),
        Some(id) => Err(err::conflict(
            "DefaultExternalNetworkExists",
            format!("A default external network already exists: {id}."),
        )),
    }
}

/// Deletes a network with its subnets, and the floating IPs on it that lead nowhere. Other ports keep it
/// (409).
pub fn delete(tx: &Tx<'_>, n: &Network) -> Result<()> {
    let why = format!(
        "Unable to complete operation on network {}. There are one or more ports still in use on the network.",
        n.id
    );
    super::hold(tx, &n.std.project, &["network", "subnet", "port", "floatingip", "rbac_policy"])?;
    let hosts = touch::hosts_of_networks(tx, &[n.id])?;
    for f in table::floating::find(tx, "t.network_id = $1 AND t.port_id IS NULL", params![n.id])? {
        super::floating::delete(tx, &f)?;
    }
    let ports = table::port::find(tx, "t.network_id = $1", params![n.id])?;
    if ports.iter().any(|p| p.device_owner != "network:dhcp") {
        return Err(err::conflict("NetworkInUse", why));
    }
    for p in &ports {
        super::port::remove(tx, p)?;
    }
    for s in table::subnet::of_network(tx, n.id)? {
        table::delete(tx, "subnet", &s.id.to_string())
            .map_err(err::still_used("NetworkInUse", why.clone()))?;
        give(tx, &s.std.project, "subnet", 1)?;
    }
    rbac::forget(tx, &n.id.to_string())?;
    table::delete(tx, "network", &n.id.to_string()).map_err(err::still_used("NetworkInUse", why))?;
    give(tx, &n.std.project, "network", 1)?;
    store::host::touch_all(tx, hosts)
}
