//! DHCP for IPv6 (RFC 8415): a pure function from a packet to its answer.
//!
//! As with IPv4, the address is the one of the document. A client is known by the MAC in its
//! link-local source address, which the filter at its tap has checked; a client that makes its
//! link-local address otherwise (possible only without that filter) by the MAC in its identifier.

use super::space::Mac;
use super::view::{NetView, PortView};
use base::doc::{DhcpOption as Extra, Ipv6Mode, Subnet};
use dhcproto::v6::{
    DhcpOption, DhcpOptions, IAAddr, IANA, Message, MessageType, OptionCode, Status, StatusCode,
    UnknownOption,
};
use dhcproto::{Decodable as _, Decoder, Encodable as _};
use std::net::{IpAddr, Ipv6Addr};

const LEASE_S: u32 = 86_400;
/// When a client asks again and learns changed options; see [`super::dhcp4`].
const RENEW_S: u32 = 600;

/// The answer to one packet from `source`; `None` for what is not for us.
pub fn answer(view: &NetView, packet: &[u8], source: Ipv6Addr) -> Option<Vec<u8>> {
    let ask = Message::decode(&mut Decoder::new(packet)).ok()?;
    let Some(DhcpOption::ClientId(client)) = ask.opts().get(OptionCode::ClientId) else {
        // Only a request for information may come without (RFC 8415, 18.2.6).
        return (ask.msg_type() == MessageType::InformationRequest)
            .then(|| information(view, &ask, source))?;
    };
    let port = port_of(view, source).or_else(|| view.ports.get(&mac_in(client)?))?;
    let own = identifier(view);
    if matches!(ask.opts().get(OptionCode::ServerId), Some(DhcpOption::ServerId(id)) if *id != own) {
        return None;
    }
    let addresses = addresses(view, port);
    let rapid = ask.opts().get(OptionCode::RapidCommit).is_some();
    let kind = match ask.msg_type() {
        MessageType::Solicit if addresses.is_empty() => return None,
        MessageType::Solicit if !rapid => MessageType::Advertise,
        MessageType::Solicit
        | MessageType::Request
        | MessageType::Renew
        | MessageType::Rebind
        | MessageType::Confirm
        | MessageType::Release
        | MessageType::Decline
        | MessageType::InformationRequest => MessageType::Reply,
        _ => return None,
    };
    let mut reply = Message::new_with_id(kind, ask.xid());
    reply.opts_mut().insert(DhcpOption::ClientId(client.clone()));
    reply.opts_mut().insert(DhcpOption::ServerId(own));
    match ask.msg_type() {
        MessageType::Confirm => {
            let right = asked(ask.opts()).all(|a| addresses.contains(&a));
            let (code, words) =
                if right { (Status::Success, "yours") } else { (Status::NotOnLink, "not on this link") };
            reply.opts_mut().insert(status(code, words));
        }
        MessageType::Release | MessageType::Decline => {
            reply.opts_mut().insert(status(Status::Success, "noted"));
        }
        MessageType::InformationRequest => {}
        message => {
            if message == MessageType::Solicit && rapid {
                reply.opts_mut().insert(DhcpOption::RapidCommit);
            }
            identities(&mut reply, &ask, &addresses);
        }
    }
    configure(&mut reply, view, port);
    reply.to_vec().ok()
}

fn information(view: &NetView, ask: &Message, source: Ipv6Addr) -> Option<Vec<u8>> {
    let port = port_of(view, source)?;
    let mut reply = Message::new_with_id(MessageType::Reply, ask.xid());
    reply.opts_mut().insert(DhcpOption::ServerId(identifier(view)));
    configure(&mut reply, view, port);
    reply.to_vec().ok()
}

/// The first identity gets the port's addresses; there are none for others.
fn identities(reply: &mut Message, ask: &Message, addresses: &[Ipv6Addr]) {
    let wanted = ask.opts().get_all(OptionCode::IANA).unwrap_or_default();
    for (n, option) in wanted.iter().enumerate() {
        let DhcpOption::IANA(ia) = option else { continue };
        let mut opts = DhcpOptions::new();
        if n == 0 && !addresses.is_empty() {
            for address in addresses {
                opts.insert(lease(*address, LEASE_S));
            }
        } else {
            opts.insert(status(Status::NoAddrsAvail, "this port has no further address"));
        }
        // What the client believes to have and has not ends now (RFC 8415, 18.3.4).
        for address in in_identity(ia).filter(|a| !addresses.contains(a)) {
            opts.insert(lease(address, 0));
        }
        let (t1, t2) = (RENEW_S, LEASE_S / 10 * 8);
        reply.opts_mut().insert(DhcpOption::IANA(IANA { id: ia.id, t1, t2, opts }));
    }
}

fn lease(addr: Ipv6Addr, life: u32) -> DhcpOption {
    DhcpOption::IAAddr(IAAddr { addr, preferred_life: life, valid_life: life, opts: DhcpOptions::new() })
}

fn status(status: Status, words: &str) -> DhcpOption {
    DhcpOption::StatusCode(StatusCode { status, msg: words.into() })
}

fn in_identity(ia: &IANA) -> impl Iterator<Item = Ipv6Addr> {
    ia.opts.iter().filter_map(|o| match o {
        DhcpOption::IAAddr(a) => Some(a.addr),
        _ => None,
    })
}

fn asked(opts: &DhcpOptions) -> impl Iterator<Item = Ipv6Addr> {
    let identities = opts.get_all(OptionCode::IANA).unwrap_or_default();
    identities.iter().flat_map(|o| match o {
        DhcpOption::IANA(ia) => in_identity(ia).collect::<Vec<_>>(),
        _ => vec![],
    })
}

fn configure(reply: &mut Message, view: &NetView, port: &PortView) {
    let mut dns: Vec<Ipv6Addr> = Vec::new();
    for address in subnets(view, port).flat_map(|s| &s.dns) {
        if let IpAddr::V6(a) = address
            && !dns.contains(a)
        {
            dns.push(*a);
        }
    }
    for extra in port.port.dhcp_options.iter().filter(|o| o.ip_version == 6) {
        match option(extra) {
            Some((DNS_SERVERS, data)) => dns = in_sixteens(&data),
            Some((code, data)) => reply.opts_mut().insert(other(code, data)),
            None => {}
        }
    }
    if !dns.is_empty() {
        reply.opts_mut().insert(DhcpOption::DomainNameServers(dns));
    }
}

const DNS_SERVERS: u16 = 23;
const DOMAIN_SEARCH: u16 = 24;
const SNTP_SERVERS: u16 = 31;

/// An option that the port's owner asked for, by number or name: its number and what it holds. Numbers
/// up to 22 say who is who, who answers, and what is given for how long: ours alone.
fn option(extra: &Extra) -> Option<(u16, Vec<u8>)> {
    const NAMES: [(&str, u16); 8] = [
        ("dns-server", DNS_SERVERS),
        ("domain-search", DOMAIN_SEARCH),
        ("ntp-server", SNTP_SERVERS),
        ("sntp-server", SNTP_SERVERS),
        ("information-refresh-time", 32),
        ("posix-timezone", 41),
        ("bootfile-url", 59),
        ("bootfile-param", 60),
    ];
    let named = NAMES.iter().find(|(n, _)| *n == extra.name).map(|(_, code)| *code);
    let code = named.or_else(|| extra.name.parse().ok()).filter(|c| *c >= DNS_SERVERS)?;
    let value = extra.value.trim();
    let data = match code {
        DOMAIN_SEARCH => super::dhcp4::domains(value)?,
        32 => value.parse::<u32>().ok()?.to_be_bytes().to_vec(),
        // Each parameter with its length before it (RFC 5970, 3.2).
        60 => value.split(' ').try_fold(Vec::new(), |mut all, word| {
            all.extend(u16::try_from(word.len()).ok()?.to_be_bytes());
            all.extend(word.as_bytes());
            Some(all)
        })?,
        _ => match addresses_in(value) {
            Some(data) => data,
            None if code == DNS_SERVERS || code == SNTP_SERVERS => return None,
            None => value.as_bytes().to_vec(),
        },
    };
    (data.len() <= 1024).then_some((code, data))
}

fn addresses_in(value: &str) -> Option<Vec<u8>> {
    let list: Result<Vec<Ipv6Addr>, _> = value.split(',').map(|a| a.trim().parse()).collect();
    Some(list.ok()?.iter().flat_map(Ipv6Addr::octets).collect())
}

fn in_sixteens(data: &[u8]) -> Vec<Ipv6Addr> {
    data.chunks_exact(16).filter_map(|c| <[u8; 16]>::try_from(c).ok()).map(Ipv6Addr::from).collect()
}

fn other(code: u16, data: Vec<u8>) -> DhcpOption {
    DhcpOption::Unknown(UnknownOption::new(OptionCode::from(code), data))
}

/// The port's subnets on which DHCP for IPv6 answers.
fn subnets<'a>(view: &'a NetView, port: &'a PortView) -> impl Iterator<Item = &'a Subnet> {
    let own = port.port.addresses.iter().filter_map(|a| view.subnet(a.subnet));
    own.filter(|s| s.dhcp && matches!(s.ipv6, Some(Ipv6Mode::DhcpStateful | Ipv6Mode::DhcpStateless)))
}

fn addresses(view: &NetView, port: &PortView) -> Vec<Ipv6Addr> {
    let given = port.port.addresses.iter().filter_map(|a| match (a.address, view.subnet(a.subnet)?) {
        (IpAddr::V6(address), s) if s.dhcp && s.ipv6 == Some(Ipv6Mode::DhcpStateful) => Some(address),
        _ => None,
    });
    given.collect()
}

/// Our identifier: the bridge's MAC, which stays with the network (DUID-LL, RFC 8415, 11.4).
fn identifier(view: &NetView) -> Vec<u8> {
    [&[0, 3, 0, 1][..], &view.bridge.0].concat()
}

fn port_of(view: &NetView, source: Ipv6Addr) -> Option<&std::sync::Arc<PortView>> {
    view.ports.get(&Mac::from_link_local(source)?)
}

/// The MAC in an identifier made from one (DUID-LLT and DUID-LL of Ethernet).
fn mac_in(client: &[u8]) -> Option<Mac> {
    let mac = match client {
        [0, 1, 0, 1, _, _, _, _, mac @ ..] | [0, 3, 0, 1, mac @ ..] => mac,
        _ => return None,
    };
    Some(Mac(mac.try_into().ok()?))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::net::sample::{HOST, document, guest, network, port, subnet};
    use crate::net::view;
    use proptest::prelude::*;

    fn view_of(mode: Ipv6Mode) -> NetView {
        let mut subnet = subnet(1, "2001:db8::/64", Some("2001:db8::1"));
        subnet.ipv6 = Some(mode);
        subnet.dns = vec!["2001:db8::53".parse().unwrap()];
        let net = network(1, vec![subnet], vec![port(1, &[(1, "2001:db8::5")])]);
        let doc = document(vec![net.clone()], vec![guest(&net.ports[0], &net)]);
        view::network(HOST, &net, &doc, &view::guests(&doc))
    }

    fn source() -> Ipv6Addr {
        Mac([0xfa, 0x16, 0x3e, 0, 0, 1]).link_local()
    }

    pub fn ask(kind: MessageType, addresses: &[&str], ids: &[DhcpOption]) -> Vec<u8> {
        let mut m = Message::new_with_id(kind, [1, 2, 3]);
        m.opts_mut().insert(DhcpOption::ClientId(vec![0, 4, 9, 9]));
        let mut opts = DhcpOptions::new();
        addresses.iter().for_each(|a| opts.insert(lease(a.parse().unwrap(), 60)));
        m.opts_mut().insert(DhcpOption::IANA(IANA { id: 5, t1: 0, t2: 0, opts }));
        ids.iter().for_each(|o| m.opts_mut().insert(o.clone()));
        m.to_vec().unwrap()
    }

    /// The addresses in an answer.
    pub fn given(packet: &[u8]) -> Vec<Ipv6Addr> {
        asked(Message::decode(&mut Decoder::new(packet)).unwrap().opts()).collect()
    }

    fn reply(view: &NetView, packet: &[u8]) -> Option<Message> {
        let bytes = answer(view, packet, source())?;
        Some(Message::decode(&mut Decoder::new(&bytes)).unwrap())
    }

    #[test]
    fn a_stateful_subnet_gives_the_port_its_address() {
        use MessageType::*;
        let view = view_of(Ipv6Mode::DhcpStateful);
        let five: Ipv6Addr = "2001:db8::5".parse().unwrap();
        for (kind, want) in [(Solicit, Advertise), (Request, Reply), (Renew, Reply), (Rebind, Reply)] {
            let m = reply(&view, &ask(kind, &[], &[])).unwrap();
            assert_eq!((m.msg_type(), asked(m.opts()).collect::<Vec<_>>()), (want, vec![five]));
        }
        let rapid = reply(&view, &ask(Solicit, &[], &[DhcpOption::RapidCommit])).unwrap();
        assert_eq!(rapid.msg_type(), Reply);
        let other = DhcpOption::ServerId(vec![0, 3, 0, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(reply(&view, &ask(Request, &[], &[other])), None);
        let m = reply(&view, &ask(Confirm, &["2001:db8::6"], &[])).unwrap();
        let code = m.opts().iter().find_map(|o| match o {
            DhcpOption::StatusCode(s) => Some(s.status),
            _ => None,
        });
        assert_eq!(code, Some(Status::NotOnLink));
    }

    #[test]
    fn a_stateless_subnet_gives_information_only() {
        let view = view_of(Ipv6Mode::DhcpStateless);
        assert_eq!(reply(&view, &ask(MessageType::Solicit, &[], &[])), None);
        let m = reply(&view, &ask(MessageType::InformationRequest, &[], &[])).unwrap();
        let dns = DhcpOption::DomainNameServers(vec!["2001:db8::53".parse().unwrap()]);
        assert!(m.opts().iter().any(|o| *o == dns));
        assert!(answer(&view, &ask(MessageType::Solicit, &[], &[]), "fe80::1".parse().unwrap()).is_none());
    }

    #[test]
    fn extra_options_are_sent_as_their_rfcs_write_them() {
        let mut view = view_of(Ipv6Mode::DhcpStateful);
        for p in view.ports.values_mut() {
            let mut port = p.port.clone();
            let extra =
                |(name, value): (&str, &str)| Extra { name: name.into(), value: value.into(), ip_version: 6 };
            port.dhcp_options = [
                ("dns-server", "2001:db8::1,2001:db8::2"),
                ("domain-search", "example.org"),
                ("ntp-server", "2001:db8::3"),
                ("bootfile-url", "http://[2001:db8::4]/boot"),
                ("60", "a bc"),
                ("2", "not ours to give"),
                ("nonsense", "x"),
            ]
            .map(extra)
            .into();
            let routes = super::super::routes::Routes::new();
            *p = std::sync::Arc::new(PortView { port, mac: p.mac, guest: None, routes });
        }
        let m = reply(&view, &ask(MessageType::Request, &[], &[])).unwrap();
        let servers = ["2001:db8::1", "2001:db8::2"].map(|a| a.parse().unwrap());
        assert!(m.opts().iter().any(|o| *o == DhcpOption::DomainNameServers(servers.into())), "{m:?}");
        let bytes = answer(&view, &ask(MessageType::Request, &[], &[]), source()).unwrap();
        let holds = |what: &[u8]| assert!(bytes.windows(what.len()).any(|w| w == what), "{what:?}");
        holds(b"\0\x18\0\x0d\x07example\x03org\0");
        holds(&[&[0, 31, 0, 16][..], &"2001:db8::3".parse::<Ipv6Addr>().unwrap().octets()].concat());
        holds(b"\0\x3b\0\x19http://[2001:db8::4]/boot");
        holds(&[0, 60, 0, 7, 0, 1, b'a', 0, 2, b'b', b'c']);
        assert!(!bytes.windows(9).any(|w| w == b"not ours "));
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), at in 0usize..80, to in any::<u8>()) {
            let view = view_of(Ipv6Mode::DhcpStateful);
            let _ = answer(&view, &bytes, source());
            let mut near = ask(MessageType::Request, &["2001:db8::6"], &[]);
            let at = at % near.len();
            near[at] = to;
            near.extend(&bytes);
            let _ = answer(&view, &near, source());
        }
    }
}
