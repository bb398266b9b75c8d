//! Asks now and then whether somebody else is a DHCP server on the segment, as a client would.

use crate::board::Segment;
use crate::mac::Mac;
use crate::sockets;
use base::{Result, SegmentId};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode};
use dhcproto::{Decodable as _, Decoder, Encodable as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(60);
/// How long servers have to answer.
const WAIT: Duration = Duration::from_secs(4);

/// The MAC by which the probe calls itself: the same at every time, so that a server keeps at most one address
/// for it, and locally administered.
pub fn own_mac(segment: SegmentId) -> Mac {
    let id = segment.0.as_bytes();
    Mac([0x06, id[0], id[1], id[2], id[3], id[4]])
}

/// Probes for ever.
pub async fn run(segment: Arc<Segment>) {
    loop {
        if let Err(fault) = once(&segment).await {
            tracing::debug!(interface = segment.interface, "no look for other DHCP servers: {fault}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(segment: &Segment) -> Result<()> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let socket =
        UdpSocket::from_std(sockets::udp("The look for DHCP servers", &segment.interface, any, 68)?)?;
    let xid = u32::from_be_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap_or(&[1; 4]));
    socket.send_to(&discover(xid, own_mac(segment.id))?, (Ipv4Addr::BROADCAST, 67)).await?;
    let until = Instant::now() + WAIT;
    let mut buffer = [0; 1500];
    while let Ok(got) = tokio::time::timeout_at(until, socket.recv_from(&mut buffer)).await {
        let (length, _) = got?;
        if let Some(server) = offered(&buffer[..length], xid) {
            segment.foreign(server.into());
        }
    }
    Ok(())
}

fn discover(xid: u32, mac: Mac) -> Result<Vec<u8>> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut ask = Message::new_with_id(xid, none, none, none, none, &mac.0);
    ask.set_opcode(Opcode::BootRequest).set_flags(Flags::default().set_broadcast());
    ask.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    let mut packet = ask.to_vec().map_err(base::Fault::internal)?;
    packet.resize(packet.len().max(300), 0);
    Ok(packet)
}

/// Who answers the probe.
fn offered(packet: &[u8], xid: u32) -> Option<Ipv4Addr> {
    let answer = Message::decode(&mut Decoder::new(packet)).ok().filter(|a| a.xid() == xid)?;
    answer.opts().iter().find_map(|(_, o)| match o {
        DhcpOption::ServerIdentifier(server) => Some(*server),
        _ => None,
    })
}
