//! DNS messages (RFC 1035, 4), as much as the rack writes itself: one question, and records of a few kinds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const A: u16 = 1;
pub const CNAME: u16 = 5;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
/// Any kind (RFC 8482).
pub const ANY: u16 = 255;
const INTERNET: u16 = 1;
/// Short: a machine gets another address when it moves. In seconds.
pub const LIFE_S: u32 = 30;
/// Most records of an answer: a datagram holds them all.
const RECORDS: usize = 16;
/// Longer answers are asked for again over TCP. In bytes (DNS flag day 2020).
pub const DATAGRAM: usize = 1232;

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
    /// None: there is the name, and no such record.
    Records(Vec<Record>),
    NoSuchName,
    /// Nobody could be asked.
    Failed,
}

/// A resource record as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is; `None`: of the name in the question.
    pub owner: Option<String>,
    pub kind: u16,
    /// Seconds.
    pub ttl: u32,
    pub data: Vec<u8>,
}

impl Record {
    pub fn address(address: IpAddr, ttl: u32) -> Record {
        let (kind, data) = match address {
            IpAddr::V4(a) => (A, a.octets().to_vec()),
            IpAddr::V6(a) => (AAAA, a.octets().to_vec()),
        };
        Record { owner: None, kind, ttl, data }
    }
    pub fn pointer(name: &str) -> Record {
        Record { owner: None, kind: PTR, ttl: LIFE_S, data: encoded(name) }
    }
    /// As a zone file has it (RFC 1035, 5; RFC 2782; RFC 4255). `None` for what makes no sense.
    pub fn written(kind: &str, data: &str, ttl: u32) -> Option<Record> {
        let words: Vec<&str> = data.split_whitespace().collect();
        let (kind, data) = match (kind, words.as_slice()) {
            ("NS", [name]) => (2, encoded(name)),
            ("CNAME", [name]) => (CNAME, encoded(name)),
            ("MX", [preference, name]) => (15, [numbers(&[preference])?, encoded(name)].concat()),
            ("TXT", _) => (16, text(data)),
            ("SRV", [priority, weight, port, name]) => {
                (33, [numbers(&[priority, weight, port])?, encoded(name)].concat())
            }
            ("SSHFP", [algorithm, of, print]) => {
                (44, [vec![algorithm.parse().ok()?, of.parse().ok()?], hex::decode(print).ok()?].concat())
            }
            _ => return None,
        };
        Some(Record { owner: None, kind, ttl, data })
    }
}

fn numbers(all: &[&str]) -> Option<Vec<u8>> {
    let each = all.iter().map(|n| Some(n.parse::<u16>().ok()?.to_be_bytes()));
    Some(each.collect::<Option<Vec<_>>>()?.concat())
}

/// Strings of at most 255 bytes each; quotation marks around the whole are no part of it.
fn text(data: &str) -> Vec<u8> {
    let inner = data.strip_prefix('"').and_then(|d| d.strip_suffix('"')).unwrap_or(data);
    let mut out = Vec::new();
    for piece in inner.as_bytes().chunks(255) {
        out.push(piece.len() as u8);
        out.extend(piece);
    }
    if out.is_empty() { vec![0] } else { out }
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
        let records: &[Record] = match answer {
            Answer::Records(all) => &all[..all.len().min(RECORDS)],
            _ => &[],
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
        for record in records {
            match &record.owner {
                Some(name) => out.extend(encoded(name)),
                // The name in the question.
                None => out.extend([0xc0, 12]),
            }
            out.extend(record.kind.to_be_bytes());
            out.extend(INTERNET.to_be_bytes());
            out.extend(record.ttl.to_be_bytes());
            out.extend(u16::try_from(record.data.len()).unwrap_or(0).to_be_bytes());
            out.extend(&record.data);
        }
        out
    }

    /// As [`Question::reply`], for a datagram: what is too long for one is said to be cut off.
    pub fn datagram(&self, answer: &Answer) -> Vec<u8> {
        let whole = self.reply(answer);
        if whole.len() <= DATAGRAM {
            return whole;
        }
        let mut short = self.reply(&Answer::Records(Vec::new()));
        short[2] |= 2;
        short
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
