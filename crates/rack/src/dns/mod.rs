//! DNS for machines: names of the machines' domain and their addresses back are answered from the document,
//! everything else is asked of the upstream servers. UDP and TCP (RFC 1035, RFC 7766).
//!
//! A responder of its own and no library: it has few record types to write, and passes the rest on unread.

mod message;

use crate::board::Segment;
use crate::sockets;
use crate::{Rack, mac::Mac};
use base::doc::rack::{DnsRecord, RackDesired};
use base::{Fault, Result};
use message::{Answer, Question, Record};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

const PORT: u16 = 53;
const UPSTREAM: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);
/// Questions that wait for upstream servers at a time; others are dropped, and asked again by who asks.
const WAITING: usize = 1024;
const CONNECTIONS: usize = 256;
const PACKET_MAX: usize = 4096;

/// Names of the document. Made anew for each document.
#[derive(Debug, Default)]
pub struct Names {
    /// That are answered here alone, the one of machines first.
    zones: Vec<String>,
    forward: HashMap<String, Vec<IpAddr>>,
    back: HashMap<IpAddr, String>,
    /// How long addresses of a name are good, where that is said. In seconds.
    life: HashMap<String, u32>,
    /// What is no address.
    records: HashMap<String, Vec<(Record, String)>>,
    upstream: Vec<IpAddr>,
}

impl Names {
    /// The document's machines, with their own addresses and with those that they have leased.
    pub fn of(doc: &RackDesired, leased: &HashMap<Mac, Vec<IpAddr>>) -> Names {
        let lower = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        let mut names = Names { upstream: doc.upstream_dns.clone(), ..Names::default() };
        let zones = [&doc.domain].into_iter().chain(&doc.zones).map(|z| lower(z));
        names.zones = zones.filter(|z| !z.is_empty()).collect();
        for machine in doc.machines.iter().filter(|m| !m.name.is_empty()) {
            let full = match lower(&doc.domain).as_str() {
                "" => machine.name.to_ascii_lowercase(),
                domain => format!("{}.{domain}", machine.name.to_ascii_lowercase()),
            };
            let mut all: Vec<IpAddr> = machine.nics.iter().flat_map(|n| n.addresses.clone()).collect();
            let macs = machine.nics.iter().filter_map(|n| n.mac.parse().ok());
            all.extend(macs.filter_map(|m: Mac| leased.get(&m)).flatten());
            all.sort();
            all.dedup();
            for address in &all {
                names.back.entry(*address).or_insert_with(|| full.clone());
            }
            names.forward.insert(full, all);
        }
        for record in &doc.records {
            names.add(record, lower(&record.name));
        }
        names
    }

    fn add(&mut self, record: &DnsRecord, name: String) {
        if matches!(record.kind.as_str(), "A" | "AAAA") {
            let Ok(address) = record.data.parse() else { return };
            if let Some(ttl) = record.ttl {
                self.life.insert(name.clone(), ttl);
            }
            self.back.entry(address).or_insert_with(|| name.clone());
            let all = self.forward.entry(name).or_default();
            if !all.contains(&address) {
                all.push(address);
            }
        } else if let Some(made) =
            Record::written(&record.kind, &record.data, record.ttl.unwrap_or(message::LIFE_S))
        {
            let target = record.data.trim_end_matches('.').to_ascii_lowercase();
            self.records.entry(name).or_default().push((made, target));
        }
    }

    /// Records of a name; `None` for a name that we do not know.
    fn of_name(&self, name: &str, kind: u16) -> Option<Vec<Record>> {
        let (addresses, others) = (self.forward.get(name), self.records.get(name));
        if addresses.is_none() && others.is_none() {
            return None;
        }
        let life = self.life.get(name).copied().unwrap_or(message::LIFE_S);
        let known = addresses.into_iter().flatten().map(|a| Record::address(*a, life));
        let wanted = |r: &Record| r.kind == kind || kind == message::ANY;
        let mut all: Vec<Record> = known.filter(wanted).collect();
        for (record, target) in others.into_iter().flatten() {
            if wanted(record) {
                all.push(record.clone());
            } else if record.kind == message::CNAME {
                // The name is another one's: what is known of that goes along (RFC 1034, 3.6.2).
                all.push(record.clone());
                let life = self.life.get(target).copied().unwrap_or(message::LIFE_S);
                let there = self.forward.get(target).into_iter().flatten();
                let there = there.map(|a| Record::address(*a, life)).filter(wanted);
                all.extend(there.map(|r| Record { owner: Some(target.clone()), ..r }));
            }
        }
        Some(all)
    }

    /// What we know ourselves; `None` for what upstream is asked.
    fn answer(&self, question: &Question) -> Option<Answer> {
        let name = question.name.to_ascii_lowercase();
        if let Some(records) = self.of_name(&name, question.kind) {
            return Some(Answer::Records(records));
        }
        if let Some(address) = message::reversed(&name) {
            let name = self.back.get(&address)?;
            let asked = question.kind == message::PTR;
            return Some(Answer::Records(asked.then(|| Record::pointer(name)).into_iter().collect()));
        }
        if self.zones.contains(&name) {
            return Some(Answer::Records(Vec::new()));
        }
        let inside = |zone: &String| name.strip_suffix(zone.as_str()).is_some_and(|n| n.ends_with('.'));
        if !self.zones.iter().any(inside) {
            return None;
        }
        // A name between others is there, though nothing is said of it (RFC 8020).
        let under = format!(".{name}");
        let between = self.forward.keys().chain(self.records.keys()).any(|n| n.ends_with(&under));
        Some(if between { Answer::Records(Vec::new()) } else { Answer::NoSuchName })
    }
}

/// Answers at one address until the tasks are ended.
///
/// # Errors
/// When the port is taken.
pub fn start(
    rack: Arc<Rack>,
    segment: &Segment,
    address: IpAddr,
) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let udp = UdpSocket::from_std(sockets::udp("DNS", &segment.interface, address, PORT)?)?;
    let tcp = sockets::tcp("DNS", &segment.interface, address, PORT)?;
    Ok(vec![tokio::spawn(datagrams(rack.clone(), Arc::new(udp))), tokio::spawn(streams(rack, tcp))])
}

async fn datagrams(rack: Arc<Rack>, socket: Arc<UdpSocket>) {
    let waiting = Arc::new(Semaphore::new(WAITING));
    let mut buffer = [0; PACKET_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let packet = &buffer[..length];
        let Some(question) = Question::read(packet) else { continue };
        let names = rack.names.borrow().clone();
        if let Some(answer) = names.answer(&question) {
            let _ = socket.send_to(&question.datagram(&answer), from).await;
            continue;
        }
        let Ok(place) = waiting.clone().try_acquire_owned() else { continue };
        let (socket, packet) = (socket.clone(), packet.to_vec());
        tokio::spawn(async move {
            let _place = place;
            let reply = upstream(&names, &packet).await;
            let reply = reply.unwrap_or_else(|_| question.reply(&Answer::Failed));
            let _ = socket.send_to(&reply, from).await;
        });
    }
}

/// Asks the upstream servers in turn. Each question has a socket, and so a port, of its own.
async fn upstream(names: &Names, packet: &[u8]) -> Result<Vec<u8>> {
    for server in &names.upstream {
        let ask = async {
            let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
            let socket = UdpSocket::bind(any).await?;
            socket.connect((*server, PORT)).await?;
            socket.send(packet).await?;
            let mut buffer = vec![0; PACKET_MAX];
            loop {
                let length = socket.recv(&mut buffer).await?;
                if buffer.get(..2) == packet.get(..2) {
                    buffer.truncate(length);
                    return Ok::<_, std::io::Error>(buffer);
                }
            }
        };
        if let Ok(Ok(reply)) = timeout(UPSTREAM, ask).await {
            return Ok(reply);
        }
    }
    Err(Fault::unavailable("No upstream DNS server answers."))
}

async fn streams(rack: Arc<Rack>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let rack = rack.clone();
        tokio::spawn(async move {
            let _place = place;
            let _ = timeout(IDLE * 6, stream_of(rack, stream)).await;
        });
    }
}

async fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = timeout(IDLE, stream.read_u16()).await??;
    let mut packet = vec![0; usize::from(length)];
    timeout(IDLE, stream.read_exact(&mut packet)).await??;
    Ok(packet)
}

async fn write_framed(stream: &mut TcpStream, packet: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(packet.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], packet].concat()).await
}

async fn stream_of(rack: Arc<Rack>, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let packet = read_framed(&mut stream).await?;
        let Some(question) = Question::read(&packet) else { return Ok(()) };
        let names = rack.names.borrow().clone();
        let reply = match names.answer(&question) {
            Some(answer) => question.reply(&answer),
            None => {
                let mut reply = question.reply(&Answer::Failed);
                for server in &names.upstream {
                    let ask = async {
                        let mut up = TcpStream::connect((*server, PORT)).await?;
                        write_framed(&mut up, &packet).await?;
                        read_framed(&mut up).await
                    };
                    if let Ok(Ok(heard)) = timeout(UPSTREAM, ask).await {
                        reply = heard;
                        break;
                    }
                }
                reply
            }
        };
        write_framed(&mut stream, &reply).await?;
    }
}

#[cfg(test)]
mod tests;
