use super::message::{A, AAAA, PTR, Question, reversed};
use super::*;
use crate::dhcp::tests::document;
use proptest::prelude::*;

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut out = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out
}

/// Code and data of the records; `None` where upstream is asked.
fn ask(names: &Names, name: &str, kind: u16) -> Option<(u8, Vec<Vec<u8>>)> {
    let packet = question(name, kind);
    let question = Question::read(&packet).unwrap();
    let reply = question.reply(&names.answer(&question)?);
    assert_eq!(reply[..2], [7, 9]);
    assert_eq!(reply[12..packet.len()], packet[12..]);
    let mut rest = &reply[packet.len()..];
    let mut all = vec![];
    for _ in 0..reply[7] {
        let length = usize::from(u16::from_be_bytes([rest[10], rest[11]]));
        all.push(rest[12..12 + length].to_vec());
        rest = &rest[12 + length..];
    }
    assert!(rest.is_empty());
    Some((reply[3] & 15, all))
}

#[test]
fn machines_have_names_and_addresses_lead_back() {
    let mut doc = document();
    doc.machines[0].nics[0].addresses.push("fd00::7".parse().unwrap());
    let leased = HashMap::from([("52:54:00:00:00:01".parse().unwrap(), vec!["10.1.0.100".parse().unwrap()])]);
    let names = Names::of(&doc, &leased);
    let two = vec![vec![10, 1, 0, 100], vec![10, 1, 0, 101]];
    assert_eq!(ask(&names, "one.maas", A), Some((0, two.clone())));
    assert_eq!(ask(&names, "One.MAAS", A), Some((0, two)), "letters are alike");
    let six: std::net::Ipv6Addr = "fd00::7".parse().unwrap();
    assert_eq!(ask(&names, "one.maas", AAAA), Some((0, vec![six.octets().to_vec()])));
    assert_eq!(ask(&names, "one.maas", 15), Some((0, vec![])), "there is the name, and no such record");
    assert_eq!(ask(&names, "two.maas", A), Some((3, vec![])));
    assert_eq!(ask(&names, "one.example", A), None);
    let back = Some((0, vec![b"\x03one\x04maas\0".to_vec()]));
    assert_eq!(ask(&names, "101.0.1.10.in-addr.arpa", PTR), back);
    let arpa: String = six.octets().iter().rev().map(|b| format!("{:x}.{:x}.", b & 15, b >> 4)).collect();
    assert_eq!(ask(&names, &format!("{arpa}ip6.arpa"), PTR), back);
    assert_eq!(ask(&names, "9.9.9.9.in-addr.arpa", PTR), None);
}

#[test]
fn other_records_are_answered_too() {
    let mut doc = document();
    doc.zones = vec!["lab.example".into()];
    let record = |name: &str, kind: &str, data: &str, ttl| base::doc::rack::DnsRecord {
        name: name.into(),
        kind: kind.into(),
        data: data.into(),
        ttl,
    };
    doc.records = vec![
        record("db.lab.example", "A", "10.1.0.9", Some(77)),
        record("db.lab.example", "AAAA", "fd00::9", None),
        record("db.lab.example", "TXT", "\"the data\"", None),
        record("www.lab.example", "CNAME", "db.lab.example.", None),
        record("lab.example", "MX", "10 mail.lab.example", None),
        record("_ldap._tcp.lab.example", "SRV", "1 2 389 db.lab.example", None),
        record("key.maas", "SSHFP", "4 2 00ff", None),
        record("bad.maas", "MX", "mail", None),
        record("one.maas", "A", "10.1.0.77", None),
    ];
    let names = Names::of(&doc, &HashMap::new());
    assert_eq!(ask(&names, "db.lab.example", A), Some((0, vec![vec![10, 1, 0, 9]])));
    let six: std::net::Ipv6Addr = "fd00::9".parse().unwrap();
    assert_eq!(ask(&names, "db.lab.example", AAAA), Some((0, vec![six.octets().to_vec()])));
    assert_eq!(ask(&names, "db.lab.example", 16), Some((0, vec![b"\x08the data".to_vec()])));
    assert_eq!(
        ask(&names, "lab.example", 15),
        Some((0, vec![b"\0\x0a\x04mail\x03lab\x07example\0".to_vec()]))
    );
    let srv = b"\0\x01\0\x02\x01\x85\x02db\x03lab\x07example\0".to_vec();
    assert_eq!(ask(&names, "_ldap._tcp.lab.example", 33), Some((0, vec![srv])));
    assert_eq!(ask(&names, "_tcp.lab.example", A), Some((0, vec![])), "a name between others");
    assert_eq!(ask(&names, "key.maas", 44), Some((0, vec![vec![4, 2, 0, 255]])));
    assert_eq!(ask(&names, "none.lab.example", A), Some((3, vec![])));
    assert_eq!(ask(&names, "bad.maas", 15), Some((3, vec![])));
    assert_eq!(ask(&names, "one.maas", A).unwrap().1.len(), 2, "beside the machine's own");
    let back = Some((0, vec![b"\x02db\x03lab\x07example\0".to_vec()]));
    assert_eq!(ask(&names, "9.0.1.10.in-addr.arpa", PTR), back);
    // An alias brings the address of its target along, under the target's name.
    let packet = question("www.lab.example", A);
    let q = Question::read(&packet).unwrap();
    let reply = q.datagram(&names.answer(&q).unwrap());
    assert_eq!(reply[7], 2);
    assert!(reply.ends_with(&[0, 0, 0, 77, 0, 4, 10, 1, 0, 9]), "{reply:?}");
    // What no datagram holds is asked for again over TCP.
    let long = "x".repeat(2000);
    let q = Question::read(&question("long.lab.example", 16)).unwrap();
    let long = Answer::Records(vec![Record::written("TXT", &long, 1).unwrap()]);
    let reply = q.datagram(&long);
    assert_eq!((reply[2] & 2, reply[7]), (2, 0));
    assert!(q.reply(&long).len() > 2000);
}

proptest! {
    #[test]
    fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0usize..40, to in any::<u8>()) {
        let names = Names::of(&document(), &HashMap::new());
        let mut near = question("101.0.1.10.in-addr.arpa", PTR);
        let at = at % near.len();
        near[at] = to;
        for packet in [&bytes, &near] {
            if let Some(q) = Question::read(packet) {
                let _ = reversed(&q.name);
                if let Some(answer) = names.answer(&q) {
                    let _ = q.reply(&answer);
                }
            }
        }
    }
}
