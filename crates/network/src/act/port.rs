//! Ports.

use super::address::{self, Want};
use super::{Caller, give, rbac, take};
use crate::model::{Network, Pair, Port, Std};
use crate::table::qos::Holder;
use crate::{err, links, plan, table, touch};
use base::doc::DhcpOption;
use base::{Fault, HostId, NetworkId, PortId, ProjectId, QosPolicyId, Result, SecurityGroupId, ServerId};
use store::{Tx, params};

/// A port as asked for.
#[derive(Debug, Clone)]
pub struct New {
    pub network: NetworkId,
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub admin_up: bool,
    pub mac: Option<String>,
    /// `None`: what a port gets by itself.
    pub fixed: Option<Vec<Want>>,
    pub device_id: String,
    pub device_owner: String,
    /// `None`: the project's default group.
    pub groups: Option<Vec<SecurityGroupId>>,
    pub pairs: Vec<Pair>,
    pub dhcp_options: Vec<DhcpOption>,
    /// `None`: as the network has it.
    pub port_security: Option<bool>,
    pub binding_host: String,
    pub vnic_type: String,
    pub profile: serde_json::Value,
    pub dns_name: String,
    pub made_by_compute: bool,
    pub position: i64,
    pub qos: Option<QosPolicyId>,
}

impl New {
    pub fn plain(network: NetworkId, project: &ProjectId) -> Self {
        New {
            network,
            project: project.clone(),
            name: String::new(),
            description: String::new(),
            admin_up: true,
            mac: None,
            fixed: None,
            device_id: String::new(),
            device_owner: String::new(),
            groups: None,
            pairs: Vec::new(),
            dhcp_options: Vec::new(),
            port_security: None,
            binding_host: String::new(),
            vnic_type: "normal".into(),
            profile: serde_json::json!({}),
            dns_name: String::new(),
            made_by_compute: false,
            position: 0,
            qos: None,
        }
    }
}

/// Makes a port whose owner may be anybody; whether the caller may is for [`create`] to say.
pub fn make(tx: &Tx<'_>, caller: &Caller, network: &Network, new: New) -> Result<Port> {
    take(tx, &new.project, "port")?;
    let trusted = new.device_owner.starts_with("network:");
    let secure = new.port_security.unwrap_or(network.port_security && !trusted);
    let groups = match new.groups {
        Some(ids) if !ids.is_empty() => {
            if !secure {
                return Err(err::bad(
                    "PortSecurityAndIPRequiredForSecurityGroups",
                    "Port security must be enabled and port must have an IP address in order to use security groups.",
                ));
            }
            super::group::check_all(tx, caller, &ids)?
        }
        Some(_) => Vec::new(),
        None if secure && !trusted => vec![super::group::default_of(tx, &new.project)?],
        None => Vec::new(),
    };
    if !secure && !new.pairs.is_empty() {
        return Err(pairs_need_security());
    }
    let host = host_named(tx, network, &new.binding_host)?;
    let mut port = Port {
        id: PortId::new(),
        std: Std::new(&new.project, &new.name, &new.description),
        network: new.network,
        mac: new.mac.clone().unwrap_or_default(),
        admin_up: new.admin_up,
        // A router's leg is on every host that needs it, so there is nothing to wait for.
        active: new.device_owner.starts_with("network:router_"),
        device_id: new.device_id,
        device_owner: new.device_owner,
        host,
        binding_host: new.binding_host,
        vnic_type: new.vnic_type,
        profile: new.profile,
        port_security: secure,
        pairs: new.pairs,
        dhcp_options: new.dhcp_options,
        dns_name: new.dns_name,
        made_by_compute: new.made_by_compute,
        position: new.position,
        addresses: Vec::new(),
        groups,
    };
    insert(tx, &mut port, new.mac.is_some())?;
    let subnets = table::subnet::of_network(tx, new.network)?;
    port.addresses = address::assign(tx, &port, &subnets, new.fixed.as_deref(), &[])?;
    table::port::add_groups(tx, port.id, &port.groups)?;
    if new.qos.is_some() {
        super::qos::give(tx, caller, Holder::Port, port.id, new.qos)?;
    }
    if port.host.is_some() {
        touch::ports(tx, std::slice::from_ref(&port))?;
    }
    Ok(port)
}

fn insert(tx: &Tx<'_>, port: &mut Port, chosen: bool) -> Result<()> {
    for _ in 0..16 {
        if !chosen {
            port.mac = plan::random_mac(rand::random());
        }
        if table::port::insert(tx, port)? {
            return Ok(());
        }
        if chosen {
            return Err(mac_in_use(port.network, &port.mac));
        }
    }
    Err(Fault::unavailable(format!("Unable to generate unique mac on network {}.", port.network))
        .tag("MacAddressGenerationFailure"))
}

pub fn mac_in_use(network: NetworkId, mac: &str) -> Fault {
    err::conflict(
        "MacAddressInUse",
        format!("Unable to complete operation for network {network}. The mac address {mac} is in use."),
    )
}

pub fn pairs_need_security() -> Fault {
    err::conflict(
        "AddressPairAndPortSecurityRequired",
        "Port Security must be enabled in order to have allowed address pairs on a port.",
    )
}

/// The host that `binding:host_id` names, if it is one of ours and can have the network; the binding has failed
/// else.
pub fn host_named(tx: &Tx<'_>, network: &Network, name: &str) -> Result<Option<HostId>> {
    if name.is_empty() {
        return Ok(None);
    }
    let host: Option<HostId> = tx.opt("SELECT id FROM host WHERE name = $1", params![name], |r| r.get(0))?;
    Ok(match host {
        Some(h) if links::lack(tx, network, h)?.is_none() => Some(h),
        _ => None,
    })
}

/// Makes a port for somebody who asked through the API.
pub fn create(tx: &Tx<'_>, caller: &Caller, new: New) -> Result<Port> {
    let network = super::network::visible(tx, caller, new.network)?;
    if !rbac::uses(tx, caller, &network.id.to_string(), &network.std.project)? {
        return Err(err::policy("create_port"));
    }
    let asked = [
        ("mac_address", new.mac.is_some()),
        ("fixed_ips:ip_address", new.fixed.iter().flatten().any(|w| w.address.is_some())),
        ("port_security_enabled", new.port_security.is_some()),
        ("allowed_address_pairs", !new.pairs.is_empty()),
        ("device_owner", new.device_owner.starts_with("network:")),
    ];
    net_owner_only(caller, &network, "create", &asked)?;
    no_servers(tx, ("", ""), (&new.device_id, &new.device_owner))?;
    make(tx, caller, &network, new)
}

/// Refuses to give a port to a server by what it says of itself (device and owner, `before` and `now`): it would be
/// one of the server's NICs without anybody asking whose the server is, or having its host plug it. Ports are
/// Compute's to plug, whoever asks; what a port says already, it may go on saying.
pub fn no_servers(tx: &Tx<'_>, before: (&str, &str), now: (&str, &str)) -> Result<()> {
    /// Life-cycles of servers are of this kind.
    const SERVER: &str = "server";
    // SQLite's LIKE knows no case.
    let is_nic = |owner: &str| owner.to_ascii_lowercase().starts_with("compute:");
    if before.0 == now.0 && (is_nic(before.1) || !is_nic(now.1)) {
        return Ok(());
    }
    let Ok(server) = now.0.parse::<ServerId>() else { return Ok(()) };
    if !store::work::lives(tx, SERVER, &server.to_string())? {
        return Ok(());
    }
    Err(err::conflict(
        "DeviceIDNotOwnedByTenant",
        format!(
            "{server} is a server, and ports are given to servers by Compute. Leave device_id and device_owner out, and \
             attach the port with `openstack server add port {server} PORT`."
        ),
    ))
}

/// Refuses those of these that are asked, unless the caller has the network: by them a port could take what is
/// others' there, or pass for them. The same fields as in Neutron's policy.
pub fn net_owner_only(
    caller: &Caller,
    network: &Network,
    verb: &str,
    asked: &[(&'static str, bool)],
) -> Result<()> {
    match asked.iter().find(|(_, asked)| *asked) {
        Some((field, _)) if !caller.owns(&network.std.project) => {
            Err(err::policy(&format!("{verb}_port:{field}")))
        }
        _ => Ok(()),
    }
}

/// A port that the caller sees: an own one, or one on an own network.
pub fn visible(tx: &Tx<'_>, caller: &Caller, id: PortId) -> Result<Port> {
    let p = table::port::by_id(tx, id)?.ok_or_else(|| err::no_port(id))?;
    if caller.owns(&p.std.project) {
        return Ok(p);
    }
    match table::network::by_id(tx, p.network)? {
        Some(n) if caller.owns(&n.std.project) => Ok(p),
        _ => Err(err::no_port(id)),
    }
}

/// Deletes a port for somebody who asked through the API. What belongs to a router or floating IP goes
/// with that only.
pub fn delete(tx: &Tx<'_>, port: &Port) -> Result<()> {
    let owner = port.device_owner.as_str();
    if matches!(owner, "network:router_interface" | "network:router_gateway" | "network:floatingip") {
        return Err(err::conflict(
            "ServicePortInUse",
            format!(
                "Port {} cannot be deleted directly via the port API: has device owner {owner}.",
                port.id
            ),
        ));
    }
    let device = port.device_id.clone();
    remove(tx, port)?;
    if owner.starts_with("compute:") {
        store::work::wake(tx, &device)?;
    }
    Ok(())
}

/// Takes a port out of the world, whatever it is for: floating IPs let go of it, addresses and quota
/// come free.
pub fn remove(tx: &Tx<'_>, port: &Port) -> Result<()> {
    // Before the addresses come free, as whoever takes one has its quota by then.
    super::hold(tx, &port.std.project, &["port"])?;
    super::floating::let_go_of(tx, port)?;
    let hosts = touch::hosts_of_ports(tx, std::slice::from_ref(port))?;
    let gone = table::delete(tx, "port", &port.id.to_string())
        .map_err(err::still_used("PortInUse", format!("Port {} was taken into use just now.", port.id)))?;
    if gone {
        give(tx, &port.std.project, "port", 1)?;
    }
    store::host::touch_all(tx, port.host)?;
    store::host::touch_neighbours(tx, hosts)
}
