//! DNS messages (RFC 1035, 4), as much as the rack writes itself: one question, and addresses or a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
const INTERNET: u16 = 1;
/// Short: a machine gets another address when it moves. In seconds.
const LIFE_S: u32 = 30;

/// A query with one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: [u8; 2],
    wants_recursion: bool,
    /// With dots, without one at the end.
    pub name: String,
    pub kind: u16,
    /// The question as it came.
    raw: Vec<u8>,
}

pub enum Answer {
    Records(Records),
    NoSuchName,
    /// Nobody could be asked.
    Failed,
}

pub enum Records {
    None,
    Addresses(Vec<IpAddr>),
    Name(String),
}

impl Question {
    /// `None` for what is no query, or has no name in plain letters.
    pub fn read(packet: &[u8]) -> Option<Question> {
        let head: [u8; 12] = packet.get(..12)?.try_into().ok()?;
        let is_query = head[2] & 0xf8 == 0;
        if !is_query || head[4..6] != [0, 1] {
            return None;
        }
        let (mut at, mut labels) = (12, Vec::new());
        loop {
            let length = usize::from(*packet.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // Questions are not compressed.
            let label = packet.get(at..at + length).filter(|_| length < 64)?;
            labels.push(std::str::from_utf8(label).ok().filter(|l| !l.contains('.'))?);
            at += length;
        }
        let name = labels.join(".");
        let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
        let class = u16::from_be_bytes([*packet.get(at + 2)?, *packet.get(at + 3)?]);
        let good = name.len() < 255 && class == INTERNET;
        let raw = packet.get(12..at + 4)?.to_vec();
        good.then_some(Question {
            id: [head[0], head[1]],
            wants_recursion: head[2] & 1 != 0,
            name,
            kind,
            raw,
        })
    }

    pub fn reply(&self, answer: &Answer) -> Vec<u8> {
        let records: Vec<(u16, Vec<u8>)> = match answer {
            Answer::Records(Records::Addresses(all)) => all
                .iter()
                // A datagram holds them all.
                .take(16)
                .map(|a| match a {
                    IpAddr::V4(a) => (A, a.octets().to_vec()),
                    IpAddr::V6(a) => (AAAA, a.octets().to_vec()),
                })
                .collect(),
            Answer::Records(Records::Name(name)) => vec![(PTR, encoded(name))],
            _ => vec![],
        };
        let code = match answer {
            Answer::Records(_) => 0,
            Answer::NoSuchName => 3,
            Answer::Failed => 2,
        };
        // An answer, with authority unless upstream failed; recursion is available.
        let first = 0x80 | if code == 2 { 0 } else { 4 } | u8::from(self.wants_recursion);
        let mut out = self.id.to_vec();
        out.extend([first, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        out.extend(&self.raw);
        for (kind, data) in records {
            // The name is the one in the question.
            out.extend([0xc0, 12]);
            out.extend(kind.to_be_bytes());
            out.extend(INTERNET.to_be_bytes());
            out.extend(LIFE_S.to_be_bytes());
            out.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            out.extend(data);
        }
        out
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|l| (1..64).contains(&l.len())) {
        out.push(label.len() as u8);
        out.extend(label.bytes());
    }
    out.push(0);
    out
}

/// The address of a name in `in-addr.arpa` or `ip6.arpa` (RFC 1035, 3.5; RFC 3596, 2.5).
pub fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let [d, c, b, a] = <[&str; 4]>::try_from(rest.split('.').collect::<Vec<_>>()).ok()?;
        return format!("{a}.{b}.{c}.{d}").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').collect();
    if digits.len() != 32 || digits.iter().any(|d| d.len() != 1) {
        return None;
    }
    let bits = u128::from_str_radix(&digits.into_iter().rev().collect::<String>(), 16).ok()?;
    Some(Ipv6Addr::from_bits(bits).into())
}
