//! DHCP for IPv4 (RFC 2131): a pure function from a packet to its answer.
//!
//! Only the MACs of guests' ports on this host are answered, always with the address from the
//! document; so there is no lease database, and two hosts never disagree. Options: RFC 2132, and
//! RFC 3442 for routes (a client that understands those ignores option 3, so they hold the default).

use super::plan::METADATA_V4;
use super::space::Mac;
use super::view::{NetView, PortView};
use base::doc::{DhcpOption as Extra, Subnet};
use dhcproto::Encodable as _;
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode, UnknownOption};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

/// How long an address is given for. It never changes while the port lives.
const LEASE_S: u32 = 86_400;
/// When a client asks again, so that one without a guest agent learns changed options in good time. The
/// lease is much longer: a client keeps its address while nobody answers.
const RENEW_S: u32 = 600;
const CLIENT_PORT: u16 = 68;

/// What matters of a client's message (RFC 2131, figure 1). Read by hand: a library that decodes every
/// option refuses, or worse, a message for an option that nobody here needs.
struct Ask<'a> {
    xid: u32,
    flags: u16,
    ciaddr: Ipv4Addr,
    mac: Mac,
    kind: MessageType,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    client: Option<&'a [u8]>,
}

impl<'a> Ask<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        const REQUEST_OF_ETHERNET: [u8; 3] = [1, 1, 6];
        const COOKIE: [u8; 4] = [99, 130, 83, 99];
        let four = |at: usize| packet.get(at..at + 4)?.try_into().ok().map(|b: [u8; 4]| b);
        let relayed = four(24)? != [0; 4];
        if packet.get(..3)? != REQUEST_OF_ETHERNET || relayed || four(236)? != COOKIE {
            return None;
        }
        let mut ask = Ask {
            xid: u32::from_be_bytes(four(4)?),
            flags: u16::from_be_bytes([packet[10], packet[11]]),
            ciaddr: four(12)?.into(),
            mac: Mac(packet.get(28..34)?.try_into().ok()?),
            // Without this option it is BOOTP, which is not answered.
            kind: MessageType::Unknown(0),
            requested: None,
            server: None,
            client: None,
        };
        let mut rest = &packet[240..];
        while let [code, after @ ..] = rest {
            if *code == 0 {
                rest = after;
                continue;
            }
            let (Some(length), false) = (after.first(), *code == 255) else { break };
            let value = after.get(1..1 + usize::from(*length))?;
            rest = &after[1 + value.len()..];
            let address = || <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from);
            match code {
                50 => ask.requested = Some(address()?),
                53 => ask.kind = (*value.first()?).into(),
                54 => ask.server = Some(address()?),
                61 => ask.client = Some(value),
                _ => {}
            }
        }
        Some(ask)
    }
}

/// The answer to one packet and where to send it; `None` for what is not for us.
pub fn answer(view: &NetView, packet: &[u8]) -> Option<(Vec<u8>, SocketAddrV4)> {
    let ask = Ask::read(packet)?;
    let port = view.ports.get(&ask.mac)?;
    let (address, subnet) =
        port.port.addresses.iter().find_map(|a| match (a.address, view.subnet(a.subnet)) {
            (IpAddr::V4(address), Some(subnet)) if subnet.dhcp => Some((address, subnet)),
            _ => None,
        })?;
    let kind = reply_kind(&ask, address)?;
    let informs = ask.kind == MessageType::Inform;
    let none = Ipv4Addr::UNSPECIFIED;
    let ciaddr = if informs { ask.ciaddr } else { none };
    let yiaddr = if informs || kind == MessageType::Nak { none } else { address };
    let mut reply = Message::new_with_id(ask.xid, ciaddr, yiaddr, none, none, &ask.mac.0);
    reply.set_opcode(Opcode::BootReply).set_flags(ask.flags.into());
    let opts = reply.opts_mut();
    opts.insert(DhcpOption::MessageType(kind));
    opts.insert(DhcpOption::ServerIdentifier(METADATA_V4));
    if let Some(id) = ask.client {
        // RFC 6842: a client with several identities looks for its own.
        opts.insert(DhcpOption::ClientIdentifier(id.to_vec()));
    }
    if kind != MessageType::Nak {
        configure(&mut reply, view, port, subnet, informs);
    }
    let to = destination(&ask, kind, address);
    Some((reply.to_vec().ok()?, SocketAddrV4::new(to, CLIENT_PORT)))
}

/// RFC 2131, 4.3: which answer a message gets. Silence where it is meant for another server.
fn reply_kind(ask: &Ask<'_>, address: Ipv4Addr) -> Option<MessageType> {
    match ask.kind {
        MessageType::Discover => Some(MessageType::Offer),
        MessageType::Inform => Some(MessageType::Ack),
        MessageType::Request if ask.server.is_some_and(|s| s != METADATA_V4) => None,
        MessageType::Request if ask.requested.unwrap_or(ask.ciaddr) == address => Some(MessageType::Ack),
        MessageType::Request => Some(MessageType::Nak),
        _ => None,
    }
}

/// RFC 2131, 4.1. Unicast works before the client has its address, because the neighbour entry of
/// every port is written from the document.
fn destination(ask: &Ask<'_>, kind: MessageType, address: Ipv4Addr) -> Ipv4Addr {
    let wants_broadcast = ask.flags & 0x8000 != 0 && ask.ciaddr != address;
    if kind == MessageType::Nak || wants_broadcast { Ipv4Addr::BROADCAST } else { address }
}

fn configure(reply: &mut Message, view: &NetView, port: &PortView, subnet: &Subnet, informs: bool) {
    let IpNet::V4(cidr) = subnet.cidr else { return };
    let gateway = subnet.gateway.and_then(v4);
    let opts = reply.opts_mut();
    if !informs {
        opts.insert(DhcpOption::AddressLeaseTime(LEASE_S));
        opts.insert(DhcpOption::Renewal(RENEW_S));
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
    opts.insert(DhcpOption::ClasslessStaticRoute(routes(port, gateway)));
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

/// The port's routes, the metadata service on the link, and the default.
fn routes(port: &PortView, gateway: Option<Ipv4Addr>) -> Vec<(Ipv4Net, Ipv4Addr)> {
    let own = port.routes.iter().filter_map(|r| match r {
        (IpNet::V4(to), IpAddr::V4(via)) => Some((*to, *via)),
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
pub fn domains(value: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for label in value.split(',').flat_map(|d| d.trim().trim_end_matches('.').split('.').chain([""])) {
        out.push(u8::try_from(label.len()).ok().filter(|l| *l < 64)?);
        out.extend(label.as_bytes());
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sample::{document, guest, network, port, subnet};
    use crate::net::view;
    use base::doc::Route;
    use dhcproto::{Decodable as _, Decoder};
    use proptest::prelude::*;

    fn view_with(change: impl FnOnce(&mut base::doc::Network)) -> NetView {
        let mut net = network(1, vec![subnet(1, "10.0.0.0/24", Some("10.0.0.1"))], vec![]);
        net.ports = vec![port(1, &[(1, "10.0.0.5")])];
        change(&mut net);
        let doc = document(vec![net.clone()], vec![guest(&net.ports[0], &net)]);
        view::network(crate::net::sample::HOST, &net, &doc, &view::guests(&doc))
    }

    fn ask(kind: MessageType, ciaddr: &str, extra: Vec<DhcpOption>) -> Message {
        let (none, mac) = (Ipv4Addr::UNSPECIFIED, [0xfa, 0x16, 0x3e, 0, 0, 1]);
        let mut m = Message::new_with_id(7, ciaddr.parse().unwrap(), none, none, none, &mac);
        m.opts_mut().insert(DhcpOption::MessageType(kind));
        for option in extra {
            m.opts_mut().insert(option);
        }
        m
    }

    fn reply(view: &NetView, ask: &Message) -> Option<(Message, String)> {
        let (bytes, to) = answer(view, &ask.to_vec().unwrap())?;
        Some((Message::decode(&mut Decoder::new(&bytes)).unwrap(), to.ip().to_string()))
    }

    #[test]
    fn each_message_gets_the_answer_of_rfc_2131() {
        use MessageType::*;
        let view = view_with(|_| {});
        let wants = |a: &str| DhcpOption::RequestedIpAddress(a.parse().unwrap());
        let from = |a: &str| DhcpOption::ServerIdentifier(a.parse().unwrap());
        let cases = [
            (ask(Discover, "0.0.0.0", vec![]), Some((Offer, "10.0.0.5"))),
            (
                ask(Request, "0.0.0.0", vec![wants("10.0.0.5"), from("169.254.169.254")]),
                Some((Ack, "10.0.0.5")),
            ),
            (ask(Request, "0.0.0.0", vec![wants("10.0.0.5"), from("10.0.0.2")]), None),
            (ask(Request, "0.0.0.0", vec![wants("10.0.0.9")]), Some((Nak, "255.255.255.255"))),
            (ask(Request, "10.0.0.5", vec![]), Some((Ack, "10.0.0.5"))),
            (ask(Request, "10.0.0.9", vec![]), Some((Nak, "255.255.255.255"))),
            (ask(Inform, "10.0.0.5", vec![]), Some((Ack, "10.0.0.5"))),
            (ask(Release, "10.0.0.5", vec![]), None),
            (ask(Decline, "0.0.0.0", vec![wants("10.0.0.5")]), None),
        ];
        for (ask, want) in cases {
            let got = reply(&view, &ask).map(|(m, to)| (m.opts().msg_type().unwrap(), to));
            assert_eq!(got, want.map(|(kind, to)| (kind, to.to_owned())), "{ask:?}");
        }
        let mut stranger = ask(Discover, "0.0.0.0", vec![]);
        stranger.set_chaddr(&[2, 0, 0, 0, 0, 9]);
        assert_eq!(reply(&view, &stranger), None);
        let (inform, _) = reply(&view, &ask(Inform, "10.0.0.5", vec![])).unwrap();
        assert!(
            inform.yiaddr().is_unspecified() && inform.opts().get(OptionCode::AddressLeaseTime).is_none()
        );
    }

    #[test]
    fn routes_name_servers_and_extra_options_follow_the_document() {
        let view = view_with(|net| {
            let subnet = &mut net.subnets[0];
            subnet.dns = vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()];
            let (destination, nexthop) = ("10.9.0.0/16".parse().unwrap(), "10.0.0.9".parse().unwrap());
            subnet.routes = vec![Route { destination, nexthop }];
            let extra =
                |name: &str, value: &str| Extra { name: name.into(), value: value.into(), ip_version: 4 };
            net.ports[0].dhcp_options = vec![
                extra("bootfile-name", "boot.ipxe"),
                extra("42", "192.0.2.1,192.0.2.2"),
                extra("server-ip-address", "192.0.2.69"),
                extra("54", "192.0.2.66"),
                extra("119", "example.org,a.example"),
            ];
        });
        let (m, _) = reply(&view, &ask(MessageType::Discover, "0.0.0.0", vec![])).unwrap();
        let has = |option: DhcpOption| m.opts().iter().any(|(_, o)| *o == option);
        let ip = |a: &str| a.parse::<Ipv4Addr>().unwrap();
        assert!(has(DhcpOption::DomainNameServer(vec![ip("192.0.2.53")])));
        assert!(has(DhcpOption::NtpServers(vec![ip("192.0.2.1"), ip("192.0.2.2")])), "{m:?}");
        assert!(has(DhcpOption::ServerIdentifier(METADATA_V4)));
        assert_eq!(m.siaddr(), ip("192.0.2.69"));
        let net = |n: &str| n.parse::<Ipv4Net>().unwrap();
        let routes = vec![
            (net("10.9.0.0/16"), ip("10.0.0.9")),
            (net("169.254.169.254/32"), ip("0.0.0.0")),
            (net("0.0.0.0/0"), ip("10.0.0.1")),
        ];
        assert!(has(DhcpOption::ClasslessStaticRoute(routes)), "{m:?}");
        assert_eq!(domains("a.bc,d").unwrap(), b"\x01a\x02bc\0\x01d\0");
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), at in 0usize..300, to in any::<u8>()) {
            let view = view_with(|_| {});
            let _ = answer(&view, &bytes);
            let mut near = ask(MessageType::Discover, "0.0.0.0", vec![]).to_vec().unwrap();
            let at = at % near.len();
            near[at] = to;
            near.extend(&bytes);
            let _ = answer(&view, &near);
        }
    }
}
