//! DNS for machines: names of the machines' domain and their addresses back are answered from the document,
//! everything else is asked of the upstream servers. UDP and TCP (RFC 1035, RFC 7766).
//!
//! A responder of its own and no library: it has three record types to write, and passes the rest on unread.

mod message;

use crate::board::Segment;
use crate::sockets;
use crate::{Rack, mac::Mac};
use base::doc::rack::RackDesired;
use base::{Fault, Result};
use message::{Answer, Question, Records};
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
    domain: String,
    forward: HashMap<String, Vec<IpAddr>>,
    back: HashMap<IpAddr, String>,
    upstream: Vec<IpAddr>,
}

impl Names {
    /// The document's machines, with their own addresses and with those that they have leased.
    pub fn of(doc: &RackDesired, leased: &HashMap<Mac, Vec<IpAddr>>) -> Names {
        let mut names = Names {
            domain: doc.domain.trim_end_matches('.').to_ascii_lowercase(),
            upstream: doc.upstream_dns.clone(),
            ..Names::default()
        };
        for machine in doc.machines.iter().filter(|m| !m.name.is_empty()) {
            let full = match names.domain.as_str() {
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
        names
    }

    /// What we know ourselves; `None` for what upstream is asked.
    fn answer(&self, question: &Question) -> Option<Answer> {
        let name = question.name.to_ascii_lowercase();
        if let Some(addresses) = self.forward.get(&name) {
            return Some(Answer::Records(match question.kind {
                message::A => Records::Addresses(addresses.iter().copied().filter(IpAddr::is_ipv4).collect()),
                message::AAAA => {
                    Records::Addresses(addresses.iter().copied().filter(IpAddr::is_ipv6).collect())
                }
                _ => Records::None,
            }));
        }
        if let Some(address) = message::reversed(&name) {
            if let Some(name) = self.back.get(&address) {
                let asked = question.kind == message::PTR;
                return Some(Answer::Records(if asked {
                    Records::Name(name.clone())
                } else {
                    Records::None
                }));
            }
            return None;
        }
        if !self.domain.is_empty() && name == self.domain {
            return Some(Answer::Records(Records::None));
        }
        let inside = !self.domain.is_empty() && name.ends_with(&format!(".{}", self.domain));
        inside.then_some(Answer::NoSuchName)
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
            let _ = socket.send_to(&question.reply(&answer), from).await;
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
