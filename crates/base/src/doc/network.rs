//! The networks of a host: what its guests are plugged into, what filters and limits them, and the
//! routers between.

use crate::{HostId, NetworkId, PortId, RouterId, SecurityGroupId, ServerId, SubnetId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A router's home as its other hosts see it: addresses in networks that nobody else has (the block that
/// RFC 3927 keeps back, and a unique local one), so that agents know what is no tenant's.
pub const TRANSIT_HOME_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 0, 1));
pub const TRANSIT_HOME_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd68, 0x616e, 0x6f6b, 0, 0, 0, 0, 1));

/// A virtual network that this host takes part in: a namespace with a bridge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub id: NetworkId,
    /// VXLAN network identifier, unique in the region (24 bits).
    pub vni: u32,
    /// In bytes, as the guests should use it.
    pub mtu: u32,
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// Every port of the network, also those on other hosts (for forwarding entries).
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Set on an external network: how it reaches the world from this host.
    #[serde(default)]
    pub uplink: Option<Uplink>,
    /// Set on a network that lies on a VLAN. It is no [`Uplink`]: an agent of the release before would fail to read
    /// a new kind of those, and take a new field of an old kind for the untagged wire; so it makes a bridge without
    /// a wire, and the region sends no guest there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// Underlay addresses of the other hosts that may send to this one's guests on the network: those with
    /// ports on it, and those whose routers lead here.
    #[serde(default)]
    pub peers: Vec<IpAddr>,
    /// Stateless rules for what enters and leaves guests, in their order; what none matches passes.
    #[serde(default)]
    pub acl: Vec<AclRule>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    pub id: SubnetId,
    pub cidr: IpNet,
    pub gateway: Option<IpAddr>,
    /// Whether DHCP (v4) or DHCPv6/RA (v6, see `ipv6`) answer on it.
    pub dhcp: bool,
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Address mode of an IPv6 subnet: who tells the guest its address.
    #[serde(default)]
    pub ipv6: Option<Ipv6Mode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ipv6Mode {
    /// Router advertisement with the autonomous flag; the guest makes its EUI-64 address.
    Slaac,
    /// SLAAC address, other options (DNS) by DHCPv6.
    DhcpStateless,
    /// Address by DHCPv6.
    DhcpStateful,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: IpNet,
    pub nexthop: IpAddr,
}

/// A port of a network: a guest's NIC, or a router's leg. Of one that another host has, only where it is and
/// what it answers to is told; what is empty is left out, which every release reads as such.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Port {
    pub id: PortId,
    pub mac: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<PortAddress>,
    pub owner: PortOwner,
    /// The host that holds it; `None` while nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Underlay address of that host, when it is not this one. A port of this host has it as long as its guest is
    /// still on its way here: the address of the host that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<IpAddr>,
    pub admin_up: bool,
    /// False switches anti-spoofing and security groups off for this port.
    pub security: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<SecurityGroupId>,
    /// Addresses (and MACs) that the port may use beside its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_pairs: Vec<AddressPair>,
    /// Name for DHCP option 12 and DNS.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Extra DHCP options, by their names or numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dhcp_options: Vec<DhcpOption>,
    /// Limits and marks of the port's traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Qos>,
}

/// What a QoS policy asks for. Directions are the guest's: `egress` is what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Qos {
    #[serde(default)]
    pub egress: Option<Limit>,
    #[serde(default)]
    pub ingress: Option<Limit>,
    /// Differentiated services code point (RFC 2474) of what the guest sends: 0 to 63.
    #[serde(default)]
    pub dscp: Option<u8>,
}

/// A bandwidth limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Kilobits (1000 bits) per second.
    pub kbps: u64,
    /// Kilobits that may pass at once; 0 leaves it to the host.
    pub burst_kb: u64,
}

/// A rule of a network's access list. It looks at each packet for itself, replies included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclRule {
    pub direction: Direction,
    pub allow: bool,
    /// 4 or 6; `None` is both.
    #[serde(default)]
    pub ip_version: Option<u8>,
    /// IP protocol number; `None` is any.
    #[serde(default)]
    pub protocol: Option<u8>,
    /// Destination ports, both ends included.
    #[serde(default)]
    pub ports: Option<(u16, u16)>,
    /// Source ports, both ends included.
    #[serde(default)]
    pub source_ports: Option<(u16, u16)>,
    /// The other side: where it comes from (ingress) or goes to (egress).
    #[serde(default)]
    pub remote: Option<IpNet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortOwner {
    Guest(ServerId),
    Router(RouterId),
    /// Held by nobody that a host would plug.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortAddress {
    pub subnet: SubnetId,
    pub address: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPair {
    pub address: IpNet,
    #[serde(default)]
    pub mac: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOption {
    pub name: String,
    pub value: String,
    /// 4 or 6.
    pub ip_version: u8,
}

/// How an external network reaches the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Uplink {
    /// The host itself sits on the network with these addresses (the subnets' gateways) and
    /// masquerades what leaves for the outside.
    HostNat { addresses: Vec<IpNet> },
    /// A physical NIC of the host is a port of the bridge (flat provider network).
    Nic { device: String },
}

/// A VLAN of a physical network (IEEE 802.1Q): its frames carry the segment's tag on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// The NIC that carries it beside whatever else; the region's own tables have the physical network's name here.
    pub device: String,
    /// 1 to 4094.
    pub segment: u16,
}

/// A security group, with the addresses of its members so that rules can name them as peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub id: SecurityGroupId,
    pub stateful: bool,
    #[serde(default)]
    pub rules: Vec<SecurityRule>,
    /// Addresses of all member ports in the region (sorted), for rules with `Remote::Group`.
    #[serde(default)]
    pub members: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityRule {
    pub direction: Direction,
    /// 4 or 6.
    pub ip_version: u8,
    /// IP protocol number; `None` is any.
    #[serde(default)]
    pub protocol: Option<u8>,
    /// Port range for TCP, UDP, SCTP, UDPLITE, DCCP; type and code for ICMP.
    #[serde(default)]
    pub min: Option<u16>,
    #[serde(default)]
    pub max: Option<u16>,
    #[serde(default)]
    pub remote: Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Ingress,
    Egress,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remote {
    #[default]
    Any,
    Prefix(IpNet),
    Group(SecurityGroupId),
}

/// A virtual router. The same gateway MAC and addresses exist on every host that needs it (anycast).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Router {
    pub id: RouterId,
    pub admin_up: bool,
    /// Legs into tenant networks: ports of `networks` in the same document, owned by this router.
    #[serde(default)]
    pub legs: Vec<RouterLeg>,
    #[serde(default)]
    pub gateway: Option<Gateway>,
    #[serde(default)]
    pub routes: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouterLeg {
    pub port: PortId,
    pub network: NetworkId,
    pub mac: String,
    /// With the subnet's prefix length.
    pub addresses: Vec<IpNet>,
}

/// The way out: a leg into an external network, SNAT and floating IPs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    pub port: PortId,
    pub network: NetworkId,
    pub mac: String,
    /// With the subnet's prefix length.
    pub addresses: Vec<IpNet>,
    /// Default routes, one per IP version at most.
    pub nexthops: Vec<IpAddr>,
    pub snat: bool,
    #[serde(default)]
    pub floating: Vec<Floating>,
    /// Single ports of floating addresses that lead to guests.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Limits of what passes the gateway from and to single addresses outside: floating ones, and the
    /// gateway's own for what has none.
    #[serde(default)]
    pub limits: Vec<AddressLimit>,
}

/// Directions are those of the guests behind: `egress` leaves for the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressLimit {
    pub address: IpAddr,
    #[serde(default)]
    pub egress: Option<Limit>,
    #[serde(default)]
    pub ingress: Option<Limit>,
}

/// Ports of a floating address that lead to ports of a guest, one to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    pub floating: IpAddr,
    /// 6 (TCP) or 17 (UDP).
    pub protocol: u8,
    /// First and last.
    pub external: (u16, u16),
    pub fixed: IpAddr,
    /// First and last; as many as `external`.
    pub internal: (u16, u16),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floating {
    pub floating: IpAddr,
    pub fixed: IpAddr,
}
