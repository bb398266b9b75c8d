//! Packets in, packets out.

use super::answer::{ROM_LOADER, Reply, Said, To, answer, answer_boot};
use super::ask::{Ask, Boots};
use super::pool::{None4, Pool};
use crate::mac::Mac;
use crate::view::{View, views};
use base::doc::rack::*;
use base::{MachineId, Micros, RackId, SegmentId};
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable as _, Decoder, Encodable as _};
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

const NOW: Micros = Micros(1_000_000_000_000);

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn mac(n: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, n])
}

/// 10.1.0.0/24 with a range of three addresses, of which the machine 1 has the middle one.
pub fn document() -> RackDesired {
    let subnet = |cidr: &str, own: &str, range: (&str, &str), relays: &[&str]| RackSubnet {
        cidr: cidr.parse().unwrap(),
        address: own.parse().unwrap(),
        gateway: None,
        dns: vec![],
        ntp: vec!["10.1.0.7".parse().unwrap()],
        ranges: vec![(range.0.parse().unwrap(), range.1.parse().unwrap())],
        mtu: 0,
        relays: relays.iter().map(|r| r.parse().unwrap()).collect(),
    };
    let near = subnet("10.1.0.0/24", "10.1.0.1", ("10.1.0.100", "10.1.0.102"), &[]);
    let far = subnet("10.2.0.0/24", "10.1.0.1", ("10.2.0.100", "10.2.0.199"), &["10.2.0.1"]);
    let segment = Segment {
        id: SegmentId::nil(),
        name: "metal".into(),
        interface: "eth1".into(),
        dhcp: DhcpMode::Serve,
        enlist: true,
        subnets: vec![near, far],
    };
    let machine = RackMachine {
        id: MachineId::nil(),
        name: "one".into(),
        nics: vec![RackNic { mac: mac(1).to_string(), addresses: vec!["10.1.0.101".parse().unwrap()] }],
        uuid: String::new(),
        boot: Boot::Local,
        bmc: None,
        power: PowerOrder::default(),
        host: false,
    };
    RackDesired {
        version: 1,
        rack: RackId::nil(),
        generation: 1,
        segments: vec![segment],
        machines: vec![machine],
        images: vec![],
        live: None,
        domain: "maas".into(),
        upstream_dns: vec![],
        fixed: vec![],
        zones: vec![],
        records: vec![],
        consoles: vec![],
    }
}

fn view() -> Arc<View> {
    views(&document()).remove(0)
}

fn view_with(change: impl FnOnce(&mut Segment)) -> Arc<View> {
    let mut doc = document();
    change(&mut doc.segments[0]);
    views(&doc).remove(0)
}

/// Anybody on the wire can ask for servers that are not there.
#[test]
fn other_servers_are_remembered_up_to_a_bound() {
    let segment = crate::board::Segment::new(view(), Pool::default(), Arc::default());
    for n in 1..=40 {
        segment.foreign(std::net::IpAddr::from([10, 1, 0, n]));
    }
    assert_eq!(segment.status().foreign_dhcp.len(), 16);
    segment.foreign(ip("10.1.0.1").into());
    assert_eq!(segment.status().foreign_dhcp.len(), 16);
}

/// On the link anybody can send from any address; through a relay only what it leads back arrives.
#[tokio::test]
async fn a_lease_says_who_asks_behind_a_relay_only() {
    let held = ["10.1.0.100", "10.2.0.100"].map(|address| super::pool::Held {
        address: ip(address),
        mac: Some(mac(7).to_string()),
        hostname: String::new(),
        until: Micros::now().plus(Duration::from_secs(600)),
    });
    let segment = crate::board::Segment::new(view(), Pool::with(held, Micros::now()), Arc::default());
    assert_eq!(segment.asker(ip("10.2.0.100").into()).await, Some(mac(7)));
    assert_eq!(segment.asker(ip("10.1.0.100").into()).await, None);
}

fn message(kind: MessageType, from: u8, more: Vec<DhcpOption>) -> Message {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut m = Message::new_with_id(7, none, none, none, none, &mac(from).0);
    m.set_opcode(Opcode::BootRequest);
    m.opts_mut().insert(DhcpOption::MessageType(kind));
    more.into_iter().for_each(|o| drop(m.opts_mut().insert(o)));
    m
}

fn say_at(view: &View, pool: &mut Pool, m: &Message, now: Micros) -> Said {
    let bytes = m.to_vec().unwrap();
    answer(view, pool, &Ask::read(&bytes).unwrap(), now)
}

fn say(view: &View, pool: &mut Pool, m: &Message) -> Said {
    say_at(view, pool, m, NOW)
}

fn reply(said: Said) -> (Message, Reply) {
    let Said::Reply(reply) = said else { panic!("{said:?}") };
    (Message::decode(&mut Decoder::new(&reply.packet)).unwrap(), *reply)
}

fn kind(m: &Message) -> MessageType {
    m.opts()
        .iter()
        .find_map(|(_, o)| if let DhcpOption::MessageType(k) = o { Some(*k) } else { None })
        .unwrap()
}

fn file_of(m: &Message) -> &str {
    m.fname_str().unwrap().unwrap().trim_end_matches('\0')
}

fn wish(address: &str) -> DhcpOption {
    DhcpOption::RequestedIpAddress(ip(address))
}

fn pxe(arch: u16) -> Vec<DhcpOption> {
    let class = if arch == 16 { "HTTPClient:Arch:00016" } else { "PXEClient:Arch:00000:UNDI:002001" };
    let raw = |code: u8, data: Vec<u8>| DhcpOption::Unknown(UnknownOption::new(OptionCode::from(code), data));
    vec![
        DhcpOption::ClassIdentifier(class.into()),
        raw(93, arch.to_be_bytes().to_vec()),
        raw(97, [&[0][..], &[0x67, 0x45, 0x23, 1, 0xab, 0x89, 0xef, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8]].concat()),
    ]
}

/// Discover and request; the address in the acknowledgement.
fn lease(view: &View, pool: &mut Pool, from: u8, now: Micros) -> Option<Ipv4Addr> {
    let Said::Reply(offer) = say_at(view, pool, &message(MessageType::Discover, from, vec![]), now) else {
        return None;
    };
    let offer = Message::decode(&mut Decoder::new(&offer.packet)).unwrap().yiaddr();
    let server = DhcpOption::ServerIdentifier(ip("10.1.0.1"));
    let asked = message(MessageType::Request, from, vec![wish(&offer.to_string()), server]);
    let (m, _) = reply(say_at(view, pool, &asked, now));
    assert_eq!((kind(&m), m.yiaddr()), (MessageType::Ack, offer));
    Some(offer)
}

#[test]
fn a_machine_gets_its_own_address_and_a_stranger_one_of_the_range() {
    let (view, mut pool) = (view(), Pool::default());
    let (offer, raw) = reply(say(&view, &mut pool, &message(MessageType::Discover, 1, vec![])));
    assert_eq!((kind(&offer), offer.yiaddr()), (MessageType::Offer, ip("10.1.0.101")));
    assert_eq!(raw.to, To::Frame(mac(1), ip("10.1.0.101")));
    assert!(raw.packet.len() >= 300);
    let has = |o: DhcpOption| offer.opts().iter().any(|(_, x)| *x == o);
    assert!(has(DhcpOption::Hostname("one".into())) && has(DhcpOption::DomainName("maas".into())));
    assert!(has(DhcpOption::DomainNameServer(vec![ip("10.1.0.1")])), "the rack itself");
    assert!(has(DhcpOption::NtpServers(vec![ip("10.1.0.7")])));
    assert_eq!(lease(&view, &mut pool, 2, NOW), Some(ip("10.1.0.100")));
    assert_eq!(lease(&view, &mut pool, 3, NOW), Some(ip("10.1.0.102")), "101 is a machine's");
    assert_eq!(
        say(&view, &mut pool, &message(MessageType::Discover, 4, vec![])),
        Said::Empty(None4::Exhausted)
    );
    assert_eq!(lease(&view, &mut pool, 1, NOW), Some(ip("10.1.0.101")), "a machine still gets its own");
    assert_eq!(pool.free(&view.v4[..1], NOW), 0);
}

#[test]
fn guests_on_the_wire_are_not_answered() {
    let (view, mut pool) = (view(), Pool::default());
    let guest = [0xfa, 0x16, 0x3e, 0, 0, 9];
    for more in [vec![], pxe(0), pxe(16)] {
        let mut ask = message(MessageType::Discover, 9, more);
        ask.set_chaddr(&guest);
        assert_eq!(say(&view, &mut pool, &ask), Said::Nothing);
        let bytes = ask.to_vec().unwrap();
        let from = "10.1.0.9:4011".parse().unwrap();
        assert_eq!(answer_boot(&view, &Ask::read(&bytes).unwrap(), from), Said::Nothing);
        // Nor taken for somebody who asks a server that should not be there.
        ask.opts_mut().insert(DhcpOption::MessageType(MessageType::Request));
        ask.opts_mut().insert(DhcpOption::ServerIdentifier(ip("169.254.169.254")));
        assert_eq!(say(&view, &mut pool, &ask), Said::Nothing);
    }
    // A machine may have such a MAC where the machines are guests of another cloud.
    let mut doc = document();
    doc.machines[0].nics[0].mac = Mac(guest).to_string();
    let mut ask = message(MessageType::Discover, 9, vec![]);
    ask.set_chaddr(&guest);
    let (offer, _) = reply(say(&views(&doc).remove(0), &mut pool, &ask));
    assert_eq!(offer.yiaddr(), ip("10.1.0.101"));
}

#[test]
fn an_address_goes_to_another_only_when_its_time_is_over() {
    let (view, mut pool) = (view(), Pool::default());
    assert_eq!(lease(&view, &mut pool, 2, NOW), Some(ip("10.1.0.100")));
    let asked = message(MessageType::Request, 3, vec![wish("10.1.0.100")]);
    assert_eq!(kind(&reply(say(&view, &mut pool, &asked)).0), MessageType::Nak);
    let later = NOW.plus(Duration::from_secs(10_000));
    assert_eq!(lease(&view, &mut pool, 3, later), Some(ip("10.1.0.102")), "never given goes first");
    assert_eq!(lease(&view, &mut pool, 4, later), Some(ip("10.1.0.100")), "then the longest free");
    assert_eq!(lease(&view, &mut pool, 2, later), None);
    // As does one that is given back.
    let mut back = message(MessageType::Release, 4, vec![]);
    back.set_ciaddr(ip("10.1.0.100"));
    assert_eq!(say_at(&view, &mut pool, &back, later), Said::Nothing);
    assert_eq!(lease(&view, &mut pool, 2, later), Some(ip("10.1.0.100")));
    // The journal tells a new process the same.
    let mut again = Pool::with(pool.all(), later);
    assert_eq!(again.holder(ip("10.1.0.100"), later), Some(mac(2)));
    assert_eq!(lease(&view, &mut again, 5, later), None);
}

/// Zeros at the end are expected (RFC 2132, section 2); what is no name is left out, and the client still served.
#[test]
fn host_names_are_kept_without_what_is_no_text() {
    for (sent, kept) in [
        (&b"printer"[..], "printer"),
        (b"printer\0\0", "printer"),
        (b"prin\0ter", ""),
        (b"a\x1b[2Jb", ""),
        (b"\0", ""),
        (b"\xff", ""),
        (b"", ""),
    ] {
        let (view, mut pool) = (view(), Pool::default());
        let name = DhcpOption::Unknown(UnknownOption::new(OptionCode::Hostname, sent.to_vec()));
        let server = DhcpOption::ServerIdentifier(ip("10.1.0.1"));
        let m = message(MessageType::Request, 9, vec![wish("10.1.0.100"), server, name]);
        assert_eq!(kind(&reply(say(&view, &mut pool, &m)).0), MessageType::Ack, "{sent:?}");
        let names: Vec<_> = pool.leases(NOW).map(|(_, _, name, _)| name.to_owned()).collect();
        assert_eq!(names, [kept], "{sent:?}");
    }
}

#[test]
fn an_address_that_somebody_uses_rests() {
    let (view, mut pool) = (view(), Pool::default());
    assert_eq!(lease(&view, &mut pool, 2, NOW), Some(ip("10.1.0.100")));
    assert_eq!(
        say(&view, &mut pool, &message(MessageType::Decline, 2, vec![wish("10.1.0.100")])),
        Said::Nothing
    );
    assert_eq!(lease(&view, &mut pool, 2, NOW), Some(ip("10.1.0.102")));
    assert_eq!(lease(&view, &mut pool, 3, NOW), None);
    assert_eq!(lease(&view, &mut pool, 3, NOW.plus(Duration::from_secs(601))), Some(ip("10.1.0.100")));
}

#[test]
fn each_firmware_gets_what_it_can_load() {
    let (view, mut pool) = (view(), Pool::default());
    let ipxe = DhcpOption::UserClass(b"iPXE".to_vec());
    let http = "http://10.1.0.1:5248/boot/52-54-00-00-00-02";
    for (arch, more, file, class) in [
        (0, vec![], ROM_LOADER.to_owned(), "PXEClient"),
        (0, vec![ipxe.clone()], format!("{http}.ipxe"), "PXEClient"),
        (7, vec![], "boot/52-54-00-00-00-02.efi".into(), "PXEClient"),
        (9, vec![], "boot/52-54-00-00-00-02.efi".into(), "PXEClient"),
        (7, vec![ipxe], format!("{http}.ipxe"), "PXEClient"),
        (16, vec![], format!("{http}.efi"), "HTTPClient"),
    ] {
        let m = message(MessageType::Discover, 2, [pxe(arch), more].concat());
        let (offer, _) = reply(say(&view, &mut pool, &m));
        assert_eq!(file_of(&offer), file, "{arch}");
        assert_eq!(offer.siaddr(), ip("10.1.0.1"));
        let has = |o: DhcpOption| offer.opts().iter().any(|(_, x)| *x == o);
        assert!(has(DhcpOption::ClassIdentifier(class.into())) && has(DhcpOption::BootfileName(file.into())));
    }
    // For a processor without a live system, and for who does not boot: an address and nothing to boot.
    for more in [pxe(11), vec![]] {
        let (offer, _) = reply(say(&view, &mut pool, &message(MessageType::Discover, 2, more)));
        assert_eq!(offer.fname(), None);
    }
    // Strangers only where they are welcome.
    let closed = view_with(|s| s.enlist = false);
    let (offer, _) = reply(say(&closed, &mut pool, &message(MessageType::Discover, 2, pxe(7))));
    assert_eq!(offer.fname(), None);
    let (offer, _) = reply(say(&closed, &mut pool, &message(MessageType::Discover, 1, pxe(7))));
    assert!(offer.fname().is_some());
    let bytes = message(MessageType::Discover, 2, pxe(7)).to_vec().unwrap();
    let ask = Ask::read(&bytes).unwrap();
    assert_eq!((ask.uuid().as_str(), ask.boots()), ("01234567-89ab-cdef-0102-030405060708", Boots::UefiTftp));
}

#[test]
fn relays_are_answered_for_their_subnet() {
    let (view, mut pool) = (view(), Pool::default());
    let mut m = message(MessageType::Discover, 2, vec![]);
    m.set_giaddr(ip("10.2.0.1"));
    let raw = DhcpOption::Unknown(UnknownOption::new(OptionCode::from(82), vec![1, 2, b'x', b'y']));
    m.opts_mut().insert(raw);
    let (offer, raw) = reply(say(&view, &mut pool, &m));
    assert_eq!(offer.yiaddr(), ip("10.2.0.100"));
    assert_eq!(raw.to, To::Address("10.2.0.1:67".parse().unwrap()));
    assert!(raw.packet.windows(6).any(|w| w == [82, 4, 1, 2, b'x', b'y']), "option 82 goes back as it came");
    m.set_giaddr(ip("10.9.0.1"));
    assert_eq!(say(&view, &mut pool, &m), Said::Empty(None4::NoRange), "nobody's relay");
}

#[test]
fn a_client_from_elsewhere_is_refused_and_another_servers_is_left_alone() {
    let (view, mut pool) = (view(), Pool::default());
    let asked = message(MessageType::Request, 2, vec![wish("192.168.7.7")]);
    let (m, raw) = reply(say(&view, &mut pool, &asked));
    assert_eq!((kind(&m), raw.to), (MessageType::Nak, To::All));
    let server = DhcpOption::ServerIdentifier(ip("10.1.0.9"));
    let asked = message(MessageType::Request, 2, vec![wish("10.1.0.100"), server]);
    assert_eq!(say(&view, &mut pool, &asked), Said::Foreign(ip("10.1.0.9")));
}

#[test]
fn beside_another_server_only_the_boot_is_answered() {
    let view = view_with(|s| s.dhcp = DhcpMode::Proxy);
    let mut pool = Pool::default();
    assert_eq!(say(&view, &mut pool, &message(MessageType::Discover, 1, vec![])), Said::Nothing);
    let (offer, raw) = reply(say(&view, &mut pool, &message(MessageType::Discover, 1, pxe(0))));
    assert_eq!((offer.yiaddr(), raw.to), (ip("0.0.0.0"), To::All));
    assert_eq!(file_of(&offer), ROM_LOADER);
    assert!(!offer.opts().iter().any(|(_, o)| matches!(o, DhcpOption::AddressLeaseTime(_))));
    let bytes = message(MessageType::Request, 1, pxe(7)).to_vec().unwrap();
    let from = "10.1.0.101:68".parse().unwrap();
    let (ack, raw) = reply(answer_boot(&view, &Ask::read(&bytes).unwrap(), from));
    assert_eq!((kind(&ack), raw.to), (MessageType::Ack, To::Address(from)));
    assert_eq!(file_of(&ack), "boot/52-54-00-00-00-01.efi");
    assert_eq!(pool.leases(NOW).count(), 0);
    // What was leased before the other server came is taken back.
    let before = self::view();
    assert_eq!(lease(&before, &mut pool, 2, NOW), Some(ip("10.1.0.100")));
    let mut back = message(MessageType::Release, 2, vec![]);
    back.set_ciaddr(ip("10.1.0.100"));
    assert_eq!(say(&view, &mut pool, &back), Said::Nothing);
    assert_eq!(pool.leases(NOW).count(), 0);
}

proptest! {
    #[test]
    fn no_packet_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0usize..400, to in any::<u8>(), kind in 1u8..9,
    ) {
        let (view, mut pool) = (view(), Pool::default());
        let mut near = message(kind.into(), 2, [pxe(7), vec![wish("10.1.0.100")]].concat()).to_vec().unwrap();
        let at = at % near.len();
        near[at] = to;
        near.extend(&bytes);
        for packet in [&bytes, &near] {
            if let Some(ask) = Ask::read(packet) {
                let _ = ask.uuid();
                let _ = answer(&view, &mut pool, &ask, NOW);
                let _ = answer_boot(&view, &ask, "10.1.0.9:68".parse().unwrap());
            }
        }
    }

    /// Whatever clients do, an address has one holder.
    #[test]
    fn nobody_shares_an_address(steps in proptest::collection::vec((0u8..4, 1u8..7, 0u8..4, 0u64..700), 1..60)) {
        let (view, mut pool) = (view(), Pool::default());
        let mut holders: std::collections::HashMap<Ipv4Addr, (u8, Micros)> = Default::default();
        let mut now = NOW;
        for (what, client, which, seconds) in steps {
            now = now.plus(Duration::from_secs(seconds));
            let address = ip("10.1.0.100").to_bits() + u32::from(which);
            let address = Ipv4Addr::from_bits(address);
            match what {
                0 => drop(say_at(&view, &mut pool, &message(MessageType::Discover, client, vec![]), now)),
                1 | 2 => {
                    let asked = message(MessageType::Request, client, vec![wish(&address.to_string())]);
                    let (m, _) = reply(say_at(&view, &mut pool, &asked, now));
                    if kind(&m) == MessageType::Ack {
                        if let Some((other, until)) = holders.get(&address) {
                            prop_assert!(*other == client || *until <= now, "{address} has two holders");
                        }
                        let life = m.opts().iter().find_map(|(_, o)| match o {
                            DhcpOption::AddressLeaseTime(s) => Some(*s),
                            _ => None,
                        });
                        let life = Duration::from_secs(life.unwrap().into());
                        holders.insert(address, (client, now.plus(life)));
                    }
                }
                _ => {
                    let mut m = message(MessageType::Release, client, vec![]);
                    m.set_ciaddr(address);
                    say_at(&view, &mut pool, &m, now);
                    if holders.get(&address).is_some_and(|(c, _)| *c == client) {
                        holders.remove(&address);
                    }
                }
            }
        }
    }
}
