//! The rows of the Network service as types.

pub mod acl;
pub mod forward;
pub mod qos;

use base::doc::{DhcpOption, PortAddress, Route, Uplink, Vlan};
use base::{
    AddressGroupId, AddressScopeId, Fault, FloatingIpId, HostId, Micros, NetworkId, PortId, ProjectId,
    RbacPolicyId, Result, RouterId, SecurityGroupId, SecurityGroupRuleId, SubnetId, SubnetPoolId,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::net::IpAddr;
use store::Row;

/// What every resource has. The first seven columns of every SELECT in `table`.
#[derive(Debug, Clone, PartialEq)]
pub struct Std {
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub revision: i64,
    pub created: Micros,
    pub updated: Micros,
}

impl Std {
    pub fn new(project: &ProjectId, name: &str, description: &str) -> Self {
        let now = Micros::now();
        Std {
            project: project.clone(),
            name: name.to_owned(),
            description: description.to_owned(),
            revision: 1,
            created: now,
            updated: now,
        }
    }
    pub fn read(r: &Row<'_>) -> Result<Self> {
        Ok(Std {
            project: r.get(1)?,
            name: r.get(2)?,
            description: r.get(3)?,
            revision: r.get(4)?,
            created: r.get(5)?,
            updated: r.get(6)?,
        })
    }
}

/// Reads a column that holds JSON.
pub fn json<T: DeserializeOwned>(r: &Row<'_>, i: usize) -> Result<T> {
    let text: String = r.get(i)?;
    serde_json::from_str(&text).map_err(Fault::from)
}

#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub id: NetworkId,
    pub std: Std,
    pub admin_up: bool,
    pub shared: bool,
    pub external: bool,
    pub is_default: bool,
    pub mtu: u32,
    pub vni: u32,
    pub uplink: Option<Uplink>,
    /// The VLAN that it lies on, with the physical network's name in place of a device.
    pub vlan: Option<Vlan>,
    pub port_security: bool,
    pub dns_domain: String,
    pub az_hints: Vec<String>,
}

impl Network {
    /// The physical network that it lies on, tagged or not.
    pub fn physical(&self) -> Option<&str> {
        match (&self.vlan, &self.uplink) {
            (Some(vlan), _) => Some(&vlan.device),
            (None, Some(Uplink::Nic { device })) => Some(device),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Subnet {
    pub id: SubnetId,
    pub std: Std,
    pub network: NetworkId,
    pub cidr: IpNet,
    pub gateway: Option<IpAddr>,
    pub dhcp: bool,
    pub ra_mode: Option<String>,
    pub address_mode: Option<String>,
    pub pools: Vec<(IpAddr, IpAddr)>,
    pub dns: Vec<IpAddr>,
    pub routes: Vec<Route>,
    pub service_types: Vec<String>,
    /// Where its prefix comes from.
    pub pool: Option<SubnetPoolId>,
}

impl Subnet {
    pub fn is_v6(&self) -> bool {
        matches!(self.cidr, IpNet::V6(_))
    }
    /// Guests make their own address from their MAC here (SLAAC, stateless DHCPv6).
    pub fn is_auto(&self) -> bool {
        matches!(self.address_mode.as_deref(), Some("slaac" | "dhcpv6-stateless"))
    }
}

/// An address (or prefix) that a port may use beside its own, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub ip_address: String,
    pub mac_address: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    pub id: PortId,
    pub std: Std,
    pub network: NetworkId,
    pub mac: String,
    pub admin_up: bool,
    pub active: bool,
    pub device_id: String,
    pub device_owner: String,
    pub host: Option<HostId>,
    pub binding_host: String,
    pub vnic_type: String,
    pub profile: serde_json::Value,
    pub port_security: bool,
    pub pairs: Vec<Pair>,
    pub dhcp_options: Vec<DhcpOption>,
    pub dns_name: String,
    pub made_by_compute: bool,
    pub position: i64,
    /// From `port_address`, in order.
    pub addresses: Vec<PortAddress>,
    /// From `port_security_group`.
    pub groups: Vec<SecurityGroupId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    pub id: RouterId,
    pub std: Std,
    pub admin_up: bool,
    pub gateway_port: Option<PortId>,
    pub enable_snat: bool,
    pub routes: Vec<Route>,
    pub home: Option<HostId>,
    pub az_hints: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Floating {
    pub id: FloatingIpId,
    pub std: Std,
    pub network: NetworkId,
    pub own_port: PortId,
    pub address: IpAddr,
    pub port: Option<PortId>,
    pub fixed: Option<IpAddr>,
    pub router: Option<RouterId>,
    pub active: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub id: SecurityGroupId,
    pub std: Std,
    pub stateful: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub id: SecurityGroupRuleId,
    pub std: Std,
    pub group: SecurityGroupId,
    pub ingress: bool,
    pub v6: bool,
    /// As given; empty is any.
    pub protocol: String,
    pub proto: Option<u8>,
    pub min: Option<u16>,
    pub max: Option<u16>,
    pub remote_prefix: Option<String>,
    pub remote_group: Option<SecurityGroupId>,
    pub remote_addresses: Option<AddressGroupId>,
}

impl Rule {
    /// The prefix with its host bits cleared.
    pub fn masked_prefix(&self) -> Option<IpNet> {
        parse_net(self.remote_prefix.as_deref()?).map(|n| n.trunc())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    pub id: AddressScopeId,
    pub std: Std,
    pub v6: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SubnetPool {
    pub id: SubnetPoolId,
    pub std: Std,
    pub v6: bool,
    pub is_default: bool,
    pub default_len: u8,
    pub min_len: u8,
    pub max_len: u8,
    /// Per project: addresses of IPv4, /64 of IPv6.
    pub quota: Option<i64>,
    pub scope: Option<AddressScopeId>,
    /// Merged and sorted.
    pub prefixes: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AddressGroup {
    pub id: AddressGroupId,
    pub std: Std,
}

/// Who beside its project may use something.
#[derive(Debug, Clone, PartialEq)]
pub struct Rbac {
    pub id: RbacPolicyId,
    pub std: Std,
    /// `network`, `subnetpool`, …
    pub kind: String,
    pub object: String,
    pub action: String,
    /// A project, or `*` for all.
    pub target: String,
}

/// A rule that new security groups begin with.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub rule: Rule,
    /// `remote_group_id` is the new group itself.
    pub from_itself: bool,
    pub in_default: bool,
    pub in_others: bool,
}

/// Reads `10.0.0.0/24` and also a lone address.
pub fn parse_net(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
