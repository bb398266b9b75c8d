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
