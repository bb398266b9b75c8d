//! DHCP for IPv4 (RFC 2131): a pure function from a packet to its answer.
//!
//! Only the MACs of guests' ports on this host are answered, always with the address from the
//! document; so there is no lease database, and two hosts never disagree. Options: RFC 2132, and
//! RFC 3442 for routes (a client that understands those ignores option 3, so they hold the default).

use super::plan::METADATA_V4;
use super::space::Mac;
use super::view::{NetView, PortView};
use base::doc::{DhcpOption as Extra, Subnet};
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable as _, Decoder, Encodable as _};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

/// How long an address is given for. It never changes while the port lives.
const LEASE_S: u32 = 86_400;
const CLIENT_PORT: u16 = 68;

/// The answer to one packet and where to send it; `None` for what is not for us.
pub fn answer(view: &NetView, packet: &[u8]) -> Option<(Vec<u8>, SocketAddrV4)> {
    let ask = Message::decode(&mut Decoder::new(packet)).ok()?;
    if ask.opcode() != Opcode::BootRequest || ask.hlen() != 6 || !ask.giaddr().is_unspecified() {
        return None;
    }
    let mac = Mac(ask.chaddr().get(..6)?.try_into().ok()?);
    let port = view.ports.get(&mac)?;
    let (address, subnet) =
        port.port.addresses.iter().find_map(|a| match (a.address, view.subnet(a.subnet)) {
            (IpAddr::V4(address), Some(subnet)) if subnet.dhcp => Some((address, subnet)),
            _ => None,
        })?;
    let kind = reply_kind(&ask, address)?;
    let mut reply = Message::new_with_id(
        ask.xid(),
        Ipv4Addr::UNSPECIFIED,
        if kind == MessageType::Nak { Ipv4Addr::UNSPECIFIED } else { address },
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::UNSPECIFIED,
        &mac.0,
    );
    reply.set_opcode(Opcode::BootReply).set_flags(ask.flags());
    let opts = reply.opts_mut();
    opts.insert(DhcpOption::MessageType(kind));
    opts.insert(DhcpOption::ServerIdentifier(METADATA_V4));
    if let Some(id) = ask.opts().get(OptionCode::ClientIdentifier) {
        // RFC 6842: a client with several identities looks for its own.
        opts.insert(id.clone());
    }
    let informs = ask.opts().msg_type() == Some(MessageType::Inform);
    if kind != MessageType::Nak {
        configure(&mut reply, view, port, subnet, informs);
    }
    if informs {
        reply.set_yiaddr(Ipv4Addr::UNSPECIFIED).set_ciaddr(ask.ciaddr());
    }
    let to = destination(&ask, kind, address);
    Some((reply.to_vec().ok()?, SocketAddrV4::new(to, CLIENT_PORT)))
}

/// RFC 2131, 4.3: which answer a message gets. Silence where it is meant for another server.
fn reply_kind(ask: &Message, address: Ipv4Addr) -> Option<MessageType> {
    let opts = ask.opts();
    let requested = match opts.get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(a)) => Some(*a),
        _ => None,
    };
    match opts.msg_type()? {
        MessageType::Discover => Some(MessageType::Offer),
        MessageType::Inform => Some(MessageType::Ack),
        MessageType::Request => {
            match opts.get(OptionCode::ServerIdentifier) {
                Some(DhcpOption::ServerIdentifier(id)) if *id != METADATA_V4 => return None,
                _ => {}
            }
            let wants = requested.unwrap_or(ask.ciaddr());
            Some(if wants == address { MessageType::Ack } else { MessageType::Nak })
        }
        _ => None,
    }
}

/// RFC 2131, 4.1. Unicast works before the client has its address, because the neighbour entry of
/// every port is written from the document.
fn destination(ask: &Message, kind: MessageType, address: Ipv4Addr) -> Ipv4Addr {
    if kind == MessageType::Nak {
        Ipv4Addr::BROADCAST
    } else if !ask.ciaddr().is_unspecified() && ask.ciaddr() == address {
        address
    } else if ask.flags().broadcast() {
        Ipv4Addr::BROADCAST
    } else {
        address
    }
}

fn configure(reply: &mut Message, view: &NetView, port: &PortView, subnet: &Subnet, informs: bool) {
    let IpNet::V4(cidr) = subnet.cidr else { return };
    let gateway = subnet.gateway.and_then(v4);
    let opts = reply.opts_mut();
    if !informs {
        opts.insert(DhcpOption::AddressLeaseTime(LEASE_S));
        opts.insert(DhcpOption::Renewal(LEASE_S / 2));
        opts.insert(DhcpOption::Rebinding(LEASE_S / 8 * 7));
    }
    opts.insert(DhcpOption::SubnetMask(cidr.netmask()));
    opts.insert(DhcpOption::BroadcastAddr(cidr.broadcast()));
    if let Some(gateway) = gateway {
        opts.insert(DhcpOption::Router(vec![gateway]));
    }
    let dns: Vec<Ipv4Addr> = subnet.dns.iter().copied().filter_map(v4).collect();
    if !dns.is_empty() {
        opts.insert(DhcpOption::DomainNameServer(dns));
    }
    if let Ok(mtu) = u16::try_from(view.mtu) {
        opts.insert(DhcpOption::InterfaceMtu(mtu));
    }
    if !port.port.hostname.is_empty() {
        opts.insert(DhcpOption::Hostname(port.port.hostname.clone()));
    }
    if let Some(domain) = domain(port) {
        opts.insert(DhcpOption::DomainName(domain));
    }
    opts.insert(DhcpOption::ClasslessStaticRoute(routes(subnet, gateway)));
    for extra in port.port.dhcp_options.iter().filter(|o| o.ip_version == 4) {
        match (extra.name.as_str(), extra.value.parse::<Ipv4Addr>()) {
            ("server-ip-address", Ok(address)) => {
                reply.set_siaddr(address);
            }
            _ => {
                if let Some(option) = option(extra) {
                    reply.opts_mut().insert(option);
                }
            }
        }
    }
}

/// The subnet's routes, the metadata service on the link, and the default.
fn routes(subnet: &Subnet, gateway: Option<Ipv4Addr>) -> Vec<(Ipv4Net, Ipv4Addr)> {
    let own = subnet.routes.iter().filter_map(|r| match (r.destination, r.nexthop) {
        (IpNet::V4(to), IpAddr::V4(via)) => Some((to.trunc(), via)),
        _ => None,
    });
    let mut all: Vec<_> = own.collect();
    if !all.iter().any(|(to, _)| to.contains(&METADATA_V4) && to.prefix_len() == 32) {
        all.push((Ipv4Net::from(METADATA_V4), Ipv4Addr::UNSPECIFIED));
    }
    if let Some(gateway) = gateway.filter(|_| !all.iter().any(|(to, _)| to.prefix_len() == 0)) {
        all.push((Ipv4Net::default(), gateway));
    }
    all
}

/// The guest's full name may carry a domain after the port's own.
fn domain(port: &PortView) -> Option<String> {
    let full = &port.guest.as_ref()?.guest.metadata.hostname;
    let rest = full.strip_prefix(&port.port.hostname)?.strip_prefix('.')?;
    (!rest.is_empty()).then(|| rest.to_owned())
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(_) => None,
    }
}

/// An option that the port's owner asked for, by number or by the name that the Network API documents.
fn option(extra: &Extra) -> Option<DhcpOption> {
    const NAMES: [(&str, u8); 17] = [
        ("netmask", 1),
        ("router", 3),
        ("dns-server", 6),
        ("hostname", 12),
        ("domain-name", 15),
        ("interface-mtu", 26),
        ("mtu", 26),
        ("broadcast", 28),
        ("ntp-server", 42),
        ("vendor-class", 60),
        ("tftp-server", 66),
        ("tftp-server-name", 66),
        ("bootfile-name", 67),
        ("domain-search", 119),
        ("tftp-server-address", 150),
        ("path-prefix", 210),
        ("wpad", 252),
    ];
    let named = NAMES.iter().find(|(n, _)| *n == extra.name).map(|(_, code)| *code);
    let code = named.or_else(|| extra.name.parse().ok()).filter(|c| (1..255).contains(c))?;
    // These say who answers and what for how long: ours alone.
    if [50, 51, 53, 54].contains(&code) {
        return None;
    }
    let value = extra.value.trim();
    let data = match (code, value.parse::<u16>()) {
        (26, Ok(mtu)) => mtu.to_be_bytes().to_vec(),
        (26, Err(_)) => return None,
        (119, _) => domains(value)?,
        (66, _) => value.as_bytes().to_vec(),
        _ => addresses(value).unwrap_or_else(|| value.as_bytes().to_vec()),
    };
    (data.len() <= 255).then(|| DhcpOption::Unknown(UnknownOption::new(OptionCode::from(code), data)))
}

fn addresses(value: &str) -> Option<Vec<u8>> {
    let list: Result<Vec<Ipv4Addr>, _> = value.split(',').map(|a| a.trim().parse()).collect();
    Some(list.ok()?.iter().flat_map(Ipv4Addr::octets).collect())
}

/// A search list as RFC 3397 writes it, without compression.
fn domains(value: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for label in value.split(',').flat_map(|d| d.trim().trim_end_matches('.').split('.').chain([""])) {
        out.push(u8::try_from(label.len()).ok().filter(|l| *l < 64)?);
        out.extend(label.as_bytes());
    }
    Some(out)
}
