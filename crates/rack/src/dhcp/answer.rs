//! DHCP for IPv4 (RFC 2131) and network boot (RFC 4578, PXE specification 2.1): from a packet, the document
//! and the pool to the answer. No clock, no socket.

use super::ask::{Ask, Boots};
use super::pool::{None4, Pool};
use crate::mac::Mac;
use crate::view::{Subnet4, View};
use base::Micros;
use base::doc::rack::{DhcpMode, HTTP_PORT};
use dhcproto::Encodable as _;
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode, UnknownOption};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// For an address of a range: short, since many who ask are gone soon.
const RANGE_LEASE: Duration = Duration::from_secs(1200);
/// For a machine's own address; no lease is longer.
pub const OWN_LEASE: Duration = Duration::from_secs(3600);
/// BOOTP's shortest message (RFC 1542, 2.1); some ROMs hold to it.
const LEAST: usize = 300;
/// The loader for network cards that have only PXE's own.
pub const ROM_LOADER: &str = "undionly.kpxe";

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To a relay or to a client that has its address.
    Address(SocketAddrV4),
    /// To a client that has none yet: a frame to its MAC, with this destination address.
    Frame(Mac, Ipv4Addr),
    /// To everybody on the link.
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub packet: Vec<u8>,
    /// Our address in it.
    pub from: Ipv4Addr,
    pub to: To,
}

/// What came of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Reply(Box<Reply>),
    /// Somebody asks another server, which is at this address.
    Foreign(Ipv4Addr),
    /// There is no address for this client.
    Empty(None4),
    Nothing,
}

/// The answer to a message on port 67.
pub fn answer(view: &View, pool: &mut Pool, ask: &Ask<'_>, now: Micros) -> Said {
    if view.ignores(ask.mac) {
        return Said::Nothing;
    }
    if let Some(other) = foreign(view, ask) {
        return Said::Foreign(other);
    }
    match view.segment.dhcp {
        DhcpMode::Off => Said::Nothing,
        DhcpMode::Proxy if ask.kind == MessageType::Discover => boot_offer(view, ask, MessageType::Offer),
        // Leases of a time when addresses were ours to give.
        DhcpMode::Proxy if ask.kind == MessageType::Release => {
            pool.release(ask.mac, ask.ciaddr, now);
            Said::Nothing
        }
        DhcpMode::Proxy => Said::Nothing,
        DhcpMode::Serve => serve(view, pool, ask, now),
    }
}

/// The answer to a message on port 4011, where clients ask who have an address of another server.
pub fn answer_boot(view: &View, ask: &Ask<'_>, from: SocketAddrV4) -> Said {
    let asks = matches!(ask.kind, MessageType::Request | MessageType::Inform | MessageType::Discover);
    if view.segment.dhcp == DhcpMode::Off || !asks || view.ignores(ask.mac) {
        return Said::Nothing;
    }
    match boot_offer(view, ask, MessageType::Ack) {
        Said::Reply(reply) => Said::Reply(Box::new(Reply { to: To::Address(from), ..*reply })),
        other => other,
    }
}

/// A client that chose another server says so to all.
fn foreign(view: &View, ask: &Ask<'_>) -> Option<Ipv4Addr> {
    let server = ask.server.filter(|_| ask.kind == MessageType::Request && ask.giaddr.is_unspecified())?;
    (!view.v4.iter().any(|s| s.address == server)).then_some(server)
}

/// The subnets that the client may be on.
fn subnets<'a>(view: &'a View, ask: &Ask<'_>) -> Vec<&'a Subnet4> {
    let relay = ask.giaddr;
    let here = |s: &&Subnet4| match relay.is_unspecified() {
        true => s.relays.is_empty(),
        false => s.relays.contains(&relay) || s.cidr.contains(&relay),
    };
    let mut all: Vec<_> = view.v4.iter().filter(here).collect();
    let own = view.own4(ask.mac);
    all.sort_by_key(|s| !own.iter().any(|a| s.cidr.contains(a)));
    all
}

fn serve(view: &View, pool: &mut Pool, ask: &Ask<'_>, now: Micros) -> Said {
    let subnets = subnets(view, ask);
    match ask.kind {
        MessageType::Discover => {
            let mut why = None4::NoRange;
            for subnet in subnets {
                let wish = ask.requested.filter(|a| subnet.cidr.contains(a));
                match pool.offer(view, subnet, ask.mac, wish, now) {
                    Ok(address) => return lease(view, subnet, ask, MessageType::Offer, address),
                    Err(None4::Exhausted) => why = None4::Exhausted,
                    Err(None4::NoRange) => {}
                }
            }
            Said::Empty(why)
        }
        MessageType::Request => {
            let address = ask.requested.unwrap_or(ask.ciaddr);
            let Some(subnet) = subnets.iter().find(|s| s.cidr.contains(&address)) else {
                return subnets.first().map_or(Said::Nothing, |s| refuse(s, ask));
            };
            let own = view.own4(ask.mac).contains(&address);
            let life = if own { OWN_LEASE } else { RANGE_LEASE };
            let hostname = ask.hostname.unwrap_or_default();
            if pool.bind(view, subnet, ask.mac, address, hostname, (now, life)) {
                lease(view, subnet, ask, MessageType::Ack, address)
            } else {
                refuse(subnet, ask)
            }
        }
        MessageType::Inform => match subnets.first() {
            Some(subnet) => lease(view, subnet, ask, MessageType::Ack, Ipv4Addr::UNSPECIFIED),
            None => Said::Nothing,
        },
        MessageType::Decline => {
            if let Some(address) = ask.requested {
                tracing::warn!(mac = %ask.mac, %address, "a client found its address in use by somebody else");
                pool.decline(ask.mac, address, now);
            }
            Said::Nothing
        }
        MessageType::Release => {
            pool.release(ask.mac, ask.ciaddr, now);
            Said::Nothing
        }
        _ => Said::Nothing,
    }
}

fn start(ask: &Ask<'_>, kind: MessageType, server: Ipv4Addr, yiaddr: Ipv4Addr) -> Message {
    let none = Ipv4Addr::UNSPECIFIED;
    let ciaddr = if kind == MessageType::Nak { none } else { ask.ciaddr };
    let mut reply = Message::new_with_id(ask.xid, ciaddr, yiaddr, none, ask.giaddr, &ask.mac.0);
    reply.set_opcode(Opcode::BootReply).set_flags(ask.flags.into());
    let opts = reply.opts_mut();
    opts.insert(DhcpOption::MessageType(kind));
    opts.insert(DhcpOption::ServerIdentifier(server));
    if let Some(id) = ask.client {
        // RFC 6842: a client with several identities looks for its own.
        opts.insert(DhcpOption::ClientIdentifier(id.to_vec()));
    }
    if let Some(info) = ask.relay_info {
        let code = OptionCode::RelayAgentInformation;
        opts.insert(DhcpOption::Unknown(UnknownOption::new(code, info.to_vec())));
    }
    reply
}

fn finish(mut reply: Message, ask: &Ask<'_>, from: Ipv4Addr, yiaddr: Ipv4Addr, kind: MessageType) -> Said {
    // A relay broadcasts a refusal only if it is told to (RFC 2131, 4.3.2).
    if kind == MessageType::Nak && !ask.giaddr.is_unspecified() {
        reply.set_flags((ask.flags | 0x8000).into());
    }
    let Ok(mut packet) = reply.to_vec() else { return Said::Nothing };
    packet.resize(packet.len().max(LEAST), 0);
    let to = destination(ask, yiaddr, kind);
    Said::Reply(Box::new(Reply { packet, from, to }))
}

/// RFC 2131, 4.1.
fn destination(ask: &Ask<'_>, yiaddr: Ipv4Addr, kind: MessageType) -> To {
    if !ask.giaddr.is_unspecified() {
        return To::Address(SocketAddrV4::new(ask.giaddr, 67));
    }
    if kind == MessageType::Nak {
        return To::All;
    }
    if !ask.ciaddr.is_unspecified() {
        return To::Address(SocketAddrV4::new(ask.ciaddr, 68));
    }
    if ask.flags & 0x8000 != 0 || yiaddr.is_unspecified() {
        return To::All;
    }
    To::Frame(ask.mac, yiaddr)
}

fn refuse(subnet: &Subnet4, ask: &Ask<'_>) -> Said {
    let reply = start(ask, MessageType::Nak, subnet.address, Ipv4Addr::UNSPECIFIED);
    finish(reply, ask, subnet.address, Ipv4Addr::UNSPECIFIED, MessageType::Nak)
}

fn lease(view: &View, subnet: &Subnet4, ask: &Ask<'_>, kind: MessageType, yiaddr: Ipv4Addr) -> Said {
    let mut reply = start(ask, kind, subnet.address, yiaddr);
    let card = view.card(ask.mac);
    let opts = reply.opts_mut();
    if ask.kind != MessageType::Inform {
        let own = view.own4(ask.mac).contains(&yiaddr);
        let life = if own { OWN_LEASE } else { RANGE_LEASE };
        let life = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
        opts.insert(DhcpOption::AddressLeaseTime(life));
        opts.insert(DhcpOption::Renewal(life / 2));
        opts.insert(DhcpOption::Rebinding(life / 8 * 7));
    }
    opts.insert(DhcpOption::SubnetMask(subnet.cidr.netmask()));
    opts.insert(DhcpOption::BroadcastAddr(subnet.cidr.broadcast()));
    if let Some(gateway) = subnet.gateway {
        opts.insert(DhcpOption::Router(vec![gateway]));
    }
    if !subnet.dns.is_empty() {
        opts.insert(DhcpOption::DomainNameServer(subnet.dns.clone()));
    }
    if !subnet.ntp.is_empty() {
        opts.insert(DhcpOption::NtpServers(subnet.ntp.clone()));
    }
    if subnet.mtu != 0 {
        opts.insert(DhcpOption::InterfaceMtu(subnet.mtu));
    }
    if let Some(name) = card.map(|c| &c.machine.name).filter(|n| !n.is_empty()) {
        opts.insert(DhcpOption::Hostname(name.clone()));
    }
    if !view.domain.is_empty() {
        opts.insert(DhcpOption::DomainName(view.domain.clone()));
    }
    boot(&mut reply, view, subnet.address, ask);
    finish(reply, ask, subnet.address, yiaddr, kind)
}

/// What to boot and nothing else, beside another server that gives the address.
fn boot_offer(view: &View, ask: &Ask<'_>, kind: MessageType) -> Said {
    let Some(subnet) = subnets(view, ask).first().copied().or(view.v4.first()) else { return Said::Nothing };
    let mut reply = start(ask, kind, subnet.address, Ipv4Addr::UNSPECIFIED);
    if !boot(&mut reply, view, subnet.address, ask) {
        return Said::Nothing;
    }
    finish(reply, ask, subnet.address, Ipv4Addr::UNSPECIFIED, kind)
}

/// Writes what to boot into an answer; what the machine then really gets is decided when it fetches that.
fn boot(reply: &mut Message, view: &View, rack: Ipv4Addr, ask: &Ask<'_>) -> bool {
    let mac = ask.mac.dashed();
    let (file, class) = match ask.boots() {
        Boots::No | Boots::Foreign(_) => return false,
        _ if !view.boots(ask.mac) => return false,
        Boots::Ipxe => (format!("http://{rack}:{HTTP_PORT}/boot/{mac}.ipxe"), "PXEClient"),
        Boots::Rom => (ROM_LOADER.to_owned(), "PXEClient"),
        Boots::UefiTftp => (format!("boot/{mac}.efi"), "PXEClient"),
        Boots::UefiHttp => (format!("http://{rack}:{HTTP_PORT}/boot/{mac}.efi"), "HTTPClient"),
    };
    reply.set_siaddr(rack).set_fname_str(&file);
    let opts = reply.opts_mut();
    opts.insert(DhcpOption::ClassIdentifier(class.into()));
    opts.insert(DhcpOption::BootfileName(file.into_bytes()));
    if class == "PXEClient" {
        opts.insert(DhcpOption::TFTPServerName(rack.to_string().into_bytes()));
        // PXE_DISCOVERY_CONTROL, bit 3: take the file of this answer and look for no further server.
        opts.insert(DhcpOption::VendorExtensions(vec![6, 1, 8, 255]));
    }
    if let Some(id) = ask.machine_id {
        opts.insert(DhcpOption::ClientMachineIdentifier(id.to_vec()));
    }
    if ask.boots() == Boots::Ipxe && view.serves() {
        // Encapsulated option 176: no other server has to be waited for.
        let code = OptionCode::from(175);
        opts.insert(DhcpOption::Unknown(UnknownOption::new(code, vec![176, 1, 1])));
    }
    true
}
