//! What Compute asks of Network, in Compute's transaction.

pub use crate::act::fixed::{add_fixed, remove_fixed};

use crate::act::{self, Caller, address::Want};
pub use crate::links::Need;
use crate::model::{Network, Port};
use crate::{connected, err, links, table, touch};
use base::{Fault, HostId, Kind, NetworkId, PortId, ProjectId, Result, SecurityGroupId, ServerId, doc};
use std::collections::HashMap;
use std::net::IpAddr;
use store::{Sql, Tx, params};

/// The NICs that a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nics {
    /// `networks: "none"`.
    None,
    /// Nothing said: the project's only network, or the only shared one, or none.
    Default,
    /// `"auto"`: the same, and where there is none, the one that a project gets by itself.
    Auto,
    These(Vec<Nic>),
}

/// One NIC: an existing port, or a new one on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nic {
    pub port: Option<PortId>,
    pub network: Option<NetworkId>,
    pub fixed_ip: Option<IpAddr>,
}

/// One address of a server as Compute shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub network: NetworkId,
    pub network_name: String,
    pub address: IpAddr,
    /// True for a floating IP.
    pub floating: bool,
    pub mac: String,
    pub port: PortId,
}

/// Makes (or adopts) the ports of a new server: quota, addresses, MACs, security groups (`groups` are
/// names or ids; empty means `default`). Errors in Compute's words: an unknown network or port is
/// `BadReference`, a port in use `Conflict`, several possible networks for `Auto` `Conflict`.
pub fn allocate(
    tx: &Tx<'_>,
    project: &ProjectId,
    is_admin: bool,
    server: ServerId,
    hostname: &str,
    nics: &Nics,
    groups: &[String],
) -> Result<Vec<PortId>> {
    let caller = Caller { project: project.clone(), admin: is_admin };
    let nics = match nics {
        Nics::None => return Ok(Vec::new()),
        Nics::Default => only_network(tx, project)?,
        Nics::Auto => auto(tx, project)?,
        Nics::These(list) => list.clone(),
    };
    let groups = find_groups(tx, project, groups)?;
    // Further NICs of a server that has some already come after them.
    let first = tx.one(
        "SELECT COALESCE(MAX(position) + 1, 0) FROM port WHERE device_id = $1",
        params![server],
        |r| r.get::<i64>(0),
    )?;
    let mut ports = Vec::new();
    for (position, nic) in (first..).zip(&nics) {
        let port = match nic.port {
            Some(id) => adopt(tx, &caller, server, id, position)?,
            None => new_port(tx, &caller, server, hostname, nic, &groups, position)?,
        };
        ports.push(port);
    }
    Ok(ports)
}

/// One NIC on the project's only network, or on the one that is made for it.
fn auto(tx: &Tx<'_>, project: &ProjectId) -> Result<Vec<Nic>> {
    let found = only_network(tx, project)?;
    if !found.is_empty() {
        return Ok(found);
    }
    let made = act::topology::ensure(tx, project).map_err(|f| match f.kind {
        Kind::Conflict => Fault::bad_request(format!(
            "Unable to automatically allocate a network for project {project}: {}",
            f.message
        )),
        _ => f,
    })?;
    Ok(vec![Nic { network: Some(made), ..Nic::default() }])
}

fn only_network(tx: &Tx<'_>, project: &ProjectId) -> Result<Vec<Nic>> {
    let mut networks = tx.rows(
        "SELECT id FROM network WHERE project_id = $1 AND external = 0 ORDER BY created_at LIMIT 2",
        params![project],
        |r| r.get::<NetworkId>(0),
    )?;
    if networks.is_empty() {
        networks = tx.rows(
            "SELECT id FROM network WHERE external = 0 AND id IN
             (SELECT object_id FROM rbac_policy WHERE object_type = 'network' AND action = 'access_as_shared'
              AND target IN ('*', $1)) ORDER BY created_at LIMIT 2",
            params![project],
            |r| r.get(0),
        )?;
    }
    if networks.len() > 1 {
        return Err(Fault::conflict(
            "Multiple possible networks found, use a Network ID to be more specific.",
        ));
    }
    Ok(networks.into_iter().map(|n| Nic { network: Some(n), ..Nic::default() }).collect())
}

/// Groups by id or name. No answer for an empty list: the default group.
fn find_groups(tx: &Tx<'_>, project: &ProjectId, wanted: &[String]) -> Result<Option<Vec<SecurityGroupId>>> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut out = Vec::new();
    for text in wanted {
        if text == "default" {
            out.push(act::group::default_of(tx, project)?);
            continue;
        }
        let by_id = match text.parse() {
            Ok(id) => table::group::by_id(tx, id)?.filter(|g| g.std.project == *project).map(|g| g.id),
            Err(_) => None,
        };
        let found = match by_id {
            Some(id) => vec![id],
            None => table::group::by_name(tx, project, text)?,
        };
        match found.as_slice() {
            [one] => out.push(*one),
            [] => {
                return Err(Fault::bad_reference(format!(
                    "Unable to find security_group with name or id '{text}'."
                )));
            }
            _ => {
                return Err(Fault::conflict(format!(
                    "Multiple security_group matches found for name '{text}', use an ID to be more specific."
                )));
            }
        }
    }
    Ok(Some(out))
}

fn adopt(tx: &Tx<'_>, caller: &Caller, server: ServerId, id: PortId, position: i64) -> Result<PortId> {
    let missing = || Fault::bad_reference(format!("Port {id} could not be found."));
    // Held before the look at it, so that two servers cannot both take it, and nothing that others write
    // meanwhile is lost.
    table::bump(tx, "port", &id.to_string())?;
    let mut p = table::port::by_id(tx, id)?.filter(|p| caller.owns(&p.std.project)).ok_or_else(missing)?;
    if !p.device_id.is_empty() {
        return Err(Fault::conflict(format!("Port {id} is still in use.")));
    }
    p.device_id = server.to_string();
    p.device_owner = "compute:nova".into();
    p.made_by_compute = false;
    p.position = position;
    table::port::update(tx, &p)?;
    Ok(id)
}

fn new_port(
    tx: &Tx<'_>,
    caller: &Caller,
    server: ServerId,
    hostname: &str,
    nic: &Nic,
    groups: &Option<Vec<SecurityGroupId>>,
    position: i64,
) -> Result<PortId> {
    let id = nic.network.ok_or_else(|| Fault::bad_request("A NIC needs a network or a port."))?;
    let network = act::network::visible(tx, caller, id)
        .map_err(|f| f.or_missing(|| Fault::bad_reference(format!("Network {id} could not be found."))))?;
    check_usable(tx, caller, &network)?;
    act::port::net_owner_only(caller, &network, "create", &[("fixed_ips:ip_address", nic.fixed_ip.is_some())])
        .map_err(|f| {
            Fault::forbidden(format!(
                "{}: network {id} is another project's, which alone chooses addresses on it. Leave the fixed IP out to \
                 be given one, or use a port that the network's owner made for it.",
                f.message
            ))
        })?;
    let new = act::port::New {
        fixed: nic.fixed_ip.map(|a| vec![Want { subnet: None, address: Some(a) }]),
        device_id: server.to_string(),
        device_owner: "compute:nova".into(),
        groups: if network.port_security { groups.clone() } else { None },
        dns_name: hostname.to_owned(),
        made_by_compute: true,
        position,
        ..act::port::New::plain(id, &caller.project)
    };
    act::port::make(tx, caller, &network, new).map(|p| p.id).map_err(in_computes_words)
}

fn check_usable(tx: &Tx<'_>, caller: &Caller, network: &Network) -> Result<()> {
    let shared = || act::rbac::uses(tx, caller, &network.id.to_string(), &network.std.project);
    if network.external && !shared()? {
        return Err(Fault::forbidden(format!(
            "It is not allowed to create an interface on external network {}.",
            network.id
        )));
    }
    if table::subnet::of_network(tx, network.id)?.is_empty() {
        return Err(Fault::bad_request(format!(
            "Network {} requires a subnet in order to boot instances on.",
            network.id
        )));
    }
    Ok(())
}

fn in_computes_words(f: Fault) -> Fault {
    match (f.kind, f.tag) {
        (Kind::Quota, _) => Fault::quota("Maximum number of ports exceeded."),
        (_, Some("IpAddressAlreadyAllocated" | "InvalidIpForNetwork" | "InvalidIpForSubnet")) => {
            Fault::bad_request(f.message)
        }
        (Kind::NotFound, _) => Fault::bad_reference(f.message),
        _ => f,
    }
}

fn of_server(tx: &Tx<'_>, server: ServerId) -> Result<Vec<Port>> {
    table::port::find(tx, "t.device_id = $1 AND t.device_owner LIKE 'compute:%'", params![server])
}

/// Holds a server's ports, before quotas and hosts are written (see [`store::quota`]).
pub fn hold(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    if tx.writes_alone() {
        return Ok(());
    }
    let mut ports: Vec<PortId> = of_server(tx, server)?.into_iter().map(|p| p.id).collect();
    ports.sort_unstable();
    ports.iter().try_for_each(|p| table::hold(tx, "port", &p.to_string()).map(drop))
}

/// Holds the hosts that hear of it when a server's ports are bound (to `to`) or let go, and `others`.
pub fn hold_hosts(
    tx: &Tx<'_>,
    server: ServerId,
    to: Option<HostId>,
    others: impl IntoIterator<Item = HostId>,
) -> Result<()> {
    if tx.writes_alone() {
        return Ok(());
    }
    let mut ports = of_server(tx, server)?;
    for p in &mut ports {
        p.host = p.host.or(to);
    }
    let mut hosts = touch::hosts_of_ports(tx, &ports)?;
    if hosts.is_empty() {
        // The first here, as somebody beside us may be: no host is there at which one would wait for the other.
        for network in connected::around(tx, ports.iter().map(|p| p.network))? {
            table::hold(tx, "network", &network.to_string())?;
        }
        hosts = touch::hosts_of_ports(tx, &ports)?;
    }
    hosts.extend(to.into_iter().chain(others));
    store::host::hold(tx, hosts)
}

/// Has a server's ports plugged at a second host as well, to which it is on its way; `None` takes that back.
/// Everybody else goes on sending to where the ports are bound.
pub fn expect(tx: &Tx<'_>, server: ServerId, host: Option<HostId>) -> Result<()> {
    let ports = of_server(tx, server)?;
    let sql = "SELECT DISTINCT next_host_id FROM port WHERE device_id = $1 AND next_host_id IS NOT NULL";
    let mut hosts: Vec<HostId> = tx.rows(sql, params![server], |r| r.get(0))?;
    for p in &ports {
        tx.exec("UPDATE port SET next_host_id = $2 WHERE id = $1", params![p.id, host])?;
    }
    hosts.extend(host);
    store::host::touch_all(tx, hosts)
}

/// What a server's NICs ask of its host.
pub fn needs(tx: &Tx<'_>, server: ServerId) -> Result<Vec<Need>> {
    let sql = format!(
        "SELECT {} FROM network t WHERE {} AND t.id IN
         (SELECT network_id FROM port WHERE device_id = $1 AND device_owner LIKE 'compute:%') ORDER BY t.id",
        table::network::COLS,
        table::network::WIRED
    );
    let mut all = Vec::new();
    for network in tx.rows(&sql, params![server], table::network::read)? {
        all.extend(links::needs(tx, &network)?);
    }
    Ok(all)
}

/// Whether a host can have the network of a port.
///
/// # Errors
/// 400 when it cannot, with what it lacks.
pub fn check_reach(tx: &Tx<'_>, port: PortId, host: HostId) -> Result<()> {
    let sql = format!(
        "SELECT {} FROM network t WHERE t.id = (SELECT network_id FROM port WHERE id = $1)",
        table::network::COLS
    );
    let Some(network) = tx.opt(&sql, params![port], table::network::read)? else { return Ok(()) };
    match links::lack(tx, &network, host)? {
        None => Ok(()),
        Some(need) => Err(Fault::bad_request(format!(
            "The server's host cannot have the network {}: it lacks {}. Or move the server to a host that has it, and \
             attach it there.",
            network.std.name, need.what
        ))),
    }
}

/// Binds a server's ports to a host, or (with `None`) to no host; touches the documents concerned. The caller holds
/// the ports ([`hold`]).
pub fn bind(tx: &Tx<'_>, server: ServerId, host: Option<HostId>) -> Result<()> {
    expect(tx, server, None)?;
    let mut ports = of_server(tx, server)?;
    if ports.iter().all(|p| p.host == host) {
        return Ok(());
    }
    let name = match host {
        Some(id) => {
            tx.opt("SELECT name FROM host WHERE id = $1", params![id], |r| r.get(0))?.unwrap_or_default()
        }
        None => String::new(),
    };
    let mut hosts = touch::hosts_of_ports(tx, &ports)?;
    let own: Vec<HostId> = ports.iter().filter_map(|p| p.host).chain(host).collect();
    let moves = ports.iter().any(|p| p.host.is_some()) && host.is_some();
    for p in ports.iter_mut().filter(|p| p.host != host) {
        p.host = host;
        p.binding_host.clone_from(&name);
        p.active = false;
        table::port::set_host(tx, p)?;
        table::bump(tx, "port", &p.id.to_string())?;
    }
    hosts.extend(touch::hosts_of_ports(tx, &ports)?);
    if moves {
        // Somebody may be talking to it.
        return store::host::touch_all(tx, hosts);
    }
    store::host::touch_all(tx, own)?;
    store::host::touch_neighbours(tx, hosts)
}

/// Has a server's ports wear the MACs of the machine that it is. `nics` are the machine's, each as the physical
/// network that it is plugged to and its MAC, in the order in which they are taken.
///
/// # Errors
/// `Conflict` when a port is on a network that no NIC is plugged to.
pub fn wear(tx: &Tx<'_>, server: ServerId, nics: &[(String, String)]) -> Result<()> {
    let mut free = nics.to_vec();
    let ports = of_server(tx, server)?;
    for p in &ports {
        let network = table::network::by_id(tx, p.network)?;
        let device = network.as_ref().and_then(|n| match &n.uplink {
            Some(doc::Uplink::Nic { device }) => Some(device.as_str()),
            _ => None,
        });
        let Some(at) = free.iter().position(|(physical, _)| Some(physical.as_str()) == device) else {
            let name = network.map_or_else(String::new, |n| n.std.name);
            return Err(Fault::conflict(format!(
                "The machine has no free NIC on the network {name}. Machines reach physical networks: give it a port on \
                 a provider network of the segment that it is plugged to."
            )));
        };
        let (_, mac) = free.remove(at);
        if table::port::mac_taken(tx, p.network, &mac, p.id)? {
            return Err(act::port::mac_in_use(p.network, &mac));
        }
        let sql = "UPDATE port SET own_mac = CASE WHEN own_mac = '' THEN mac ELSE own_mac END, mac = $2 WHERE id = $1";
        tx.exec(sql, params![p.id, mac])?;
    }
    store::host::touch_all(tx, touch::hosts_of_ports(tx, &ports)?)
}

/// Gives a port its own MAC back.
fn undress(tx: &Tx<'_>, port: PortId) -> Result<()> {
    let sql = "UPDATE port SET mac = own_mac, own_mac = '' WHERE id = $1 AND own_mac <> ''";
    tx.exec(sql, params![port]).map(drop)
}

/// Lets go of a server's ports: those made for it are deleted (addresses, quota, floating IPs come
/// free), the others are unbound and kept. Not an error when there are none. The caller holds them ([`hold`]).
pub fn release(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    for p in of_server(tx, server)? {
        release_one(tx, p)?;
    }
    Ok(())
}

/// Lets go of one of a server's ports (`os-interface` DELETE).
///
/// # Errors
/// 404 when the server has no such port.
pub fn release_port(tx: &Tx<'_>, server: ServerId, port: PortId) -> Result<()> {
    table::hold(tx, "port", &port.to_string())?;
    let p = of_server(tx, server)?.into_iter().find(|p| p.id == port);
    release_one(tx, p.ok_or_else(|| err::no_port(port))?)
}

fn release_one(tx: &Tx<'_>, mut p: Port) -> Result<()> {
    if p.made_by_compute {
        return act::port::remove(tx, &p);
    }
    let hosts = touch::hosts_of_ports(tx, std::slice::from_ref(&p))?;
    p.host = None;
    p.binding_host.clear();
    p.device_id.clear();
    p.device_owner.clear();
    p.active = false;
    p.position = 0;
    table::port::update(tx, &p)?;
    undress(tx, p.id)?;
    table::bump(tx, "port", &p.id.to_string())?;
    store::host::touch_all(tx, hosts)
}

/// The NICs of servers, in their order. A port that no host has is none: there would be nothing to plug it to.
pub fn nics(tx: &Tx<'_>, servers: &[ServerId]) -> Result<HashMap<ServerId, Vec<doc::Nic>>> {
    let ids: Vec<String> = servers.iter().map(ServerId::to_string).collect();
    let found = table::children(
        tx,
        "SELECT p.device_id, p.id, p.network_id, p.mac, n.mtu FROM port p JOIN network n ON n.id = p.network_id
         WHERE p.host_id IS NOT NULL AND p.device_owner LIKE 'compute:%' AND p.device_id IN (",
        ") ORDER BY p.position, p.created_at, p.id",
        &ids,
        |r| Ok(doc::Nic { port: r.get(1)?, network: r.get(2)?, mac: r.get(3)?, mtu: r.get(4)?, tag: None }),
    )?;
    Ok(by_server(found))
}

fn by_server<T>(found: HashMap<String, Vec<T>>) -> HashMap<ServerId, Vec<T>> {
    found.into_iter().filter_map(|(id, list)| Some((id.parse().ok()?, list))).collect()
}

/// All addresses of servers, fixed and floating, for `addresses` in lists (two queries for many servers).
pub fn addresses(tx: &Tx<'_>, servers: &[ServerId]) -> Result<HashMap<ServerId, Vec<Address>>> {
    let ids: Vec<String> = servers.iter().map(ServerId::to_string).collect();
    let mut found = table::children(
        tx,
        "SELECT p.device_id, n.id, n.name, a.address, p.mac, p.id FROM port p JOIN network n ON n.id = p.network_id
         JOIN port_address a ON a.port_id = p.id
         WHERE p.device_owner LIKE 'compute:%' AND p.device_id IN (",
        ") ORDER BY p.position, p.created_at, p.id, a.seq",
        &ids,
        |r| address(r, false),
    )?;
    let floating = table::children(
        tx,
        "SELECT p.device_id, n.id, n.name, f.address, p.mac, p.id FROM port p JOIN network n ON n.id = p.network_id
         JOIN floating_ip f ON f.port_id = p.id
         WHERE p.device_owner LIKE 'compute:%' AND p.device_id IN (",
        ") ORDER BY p.position, p.created_at, p.id, f.address",
        &ids,
        |r| address(r, true),
    )?;
    for (server, mut list) in floating {
        found.entry(server).or_default().append(&mut list);
    }
    Ok(by_server(found))
}

fn address(r: &store::Row<'_>, floating: bool) -> Result<Address> {
    Ok(Address {
        network: r.get(1)?,
        network_name: r.get(2)?,
        address: r.get(3)?,
        floating,
        mac: r.get(4)?,
        port: r.get(5)?,
    })
}

/// Names of the security groups of servers' ports, each once.
pub fn security_groups(tx: &Tx<'_>, servers: &[ServerId]) -> Result<HashMap<ServerId, Vec<String>>> {
    let ids: Vec<String> = servers.iter().map(ServerId::to_string).collect();
    let found = table::children(
        tx,
        "SELECT DISTINCT p.device_id, g.name FROM port p JOIN port_security_group m ON m.port_id = p.id
         JOIN security_group g ON g.id = m.group_id
         WHERE p.device_owner LIKE 'compute:%' AND p.device_id IN (",
        ") ORDER BY p.device_id, g.name",
        &ids,
        |r| r.get(1),
    )?;
    Ok(by_server(found))
}

/// Servers that have an address (fixed or floating) matching: for the filters `ip` and `ip6` (substring).
pub fn servers_with_address(tx: &Tx<'_>, part: &str, ip_version: u8) -> Result<Vec<ServerId>> {
    // What is in no address (also the wildcards of LIKE) matches nothing.
    if !part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.' || b == b':') {
        return Ok(Vec::new());
    }
    let mark = if ip_version == 6 { "%:%" } else { "%.%" };
    // A dot may stand for any character: who asks has a regular expression.
    let like = format!("%{}%", part.to_ascii_lowercase().replace('.', "_"));
    let mut q = Sql::new(
        "SELECT p.device_id FROM port p JOIN port_address a ON a.port_id = p.id
         WHERE p.device_owner LIKE 'compute:%'",
    );
    q.and("a.address LIKE", like.as_str()).and("a.address LIKE", mark);
    q.push(
        " UNION SELECT p.device_id FROM port p JOIN floating_ip f ON f.port_id = p.id
         WHERE p.device_owner LIKE 'compute:%'",
    );
    q.and("f.address LIKE", like.as_str()).and("f.address LIKE", mark);
    let ids = q.rows(tx, |r| r.get::<String>(0))?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// One NIC as `os-interface` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub port: PortId,
    pub network: NetworkId,
    pub mac: String,
    pub active: bool,
    pub fixed: Vec<doc::PortAddress>,
}

pub fn interfaces(tx: &Tx<'_>, server: ServerId) -> Result<Vec<Interface>> {
    let ports = of_server(tx, server)?;
    let view = |p: Port| Interface {
        port: p.id,
        network: p.network,
        mac: p.mac,
        active: p.active,
        fixed: p.addresses,
    };
    Ok(ports.into_iter().map(view).collect())
}

/// A security group of a server's ports as Compute shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerGroup {
    pub id: SecurityGroupId,
    pub name: String,
    pub description: String,
    pub project: ProjectId,
}

/// The security groups of a server's ports, each once.
pub fn groups_of(tx: &Tx<'_>, server: ServerId) -> Result<Vec<ServerGroup>> {
    tx.rows(
        "SELECT DISTINCT g.id, g.name, g.description, g.project_id FROM port p
         JOIN port_security_group m ON m.port_id = p.id JOIN security_group g ON g.id = m.group_id
         WHERE p.device_owner LIKE 'compute:%' AND p.device_id = $1 ORDER BY g.name, g.id",
        params![server],
        |r| Ok(ServerGroup { id: r.get(0)?, name: r.get(1)?, description: r.get(2)?, project: r.get(3)? }),
    )
}

/// Puts a security group (by name or id) on every port of a server, or takes it off.
///
/// # Errors
/// `BadReference` for an unknown group; `NotFound` when there is nothing to take off; `BadRequest` for a
/// server without ports that could have one.
pub fn change_group(
    tx: &Tx<'_>,
    project: &ProjectId,
    server: ServerId,
    group: &str,
    add: bool,
) -> Result<()> {
    hold(tx, server)?;
    let wanted = find_groups(tx, project, &[group.to_owned()])?.unwrap_or_default();
    let mut ports = of_server(tx, server)?;
    ports.retain(|p| p.port_security);
    if ports.is_empty() {
        return Err(Fault::bad_request(format!("Instance {server} has no port that takes security groups.")));
    }
    ports.retain(|p| wanted.iter().any(|g| p.groups.contains(g) != add));
    if ports.is_empty() && !add {
        return Err(Fault::not_found(format!(
            "Security group {group} not associated with the instance {server}"
        )));
    }
    let mut hosts = touch::hosts_of_members_too(tx, &ports)?;
    for p in &mut ports {
        p.groups.retain(|g| !wanted.contains(g));
        if add {
            p.groups.extend(&wanted);
        }
        table::port::set_groups(tx, p.id, &p.groups)?;
        table::bump(tx, "port", &p.id.to_string())?;
    }
    hosts.extend(touch::hosts_of_members_too(tx, &ports)?);
    store::host::touch_all(tx, hosts)
}
