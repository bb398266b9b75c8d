//! IPv6 on a segment: addresses and boot files by DHCP ([`answer`]), and router advertisements that say so.

mod answer;

use crate::board::Segment;
use crate::mac::Mac;
use crate::sockets;
use answer::{Held, Seat, advert};
use base::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, netdevice, socket_with, sockopt};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const SERVER: u16 = 547;
/// All DHCP relay agents and servers (RFC 8415), all routers and all nodes (RFC 4291).
const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ADVERT_EVERY: Duration = Duration::from_secs(30);
/// Advertisements to all may not be closer together (RFC 4861, 6.2.6).
const ADVERT_PAUSE: Duration = Duration::from_secs(3);
const ROUTER_SOLICIT: u8 = 133;

/// Starts both; `own` is the interface's MAC.
///
/// # Errors
/// When the port is taken.
pub fn start(segment: &Arc<Segment>, own: Mac) -> Result<Vec<JoinHandle<()>>> {
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let socket = sockets::udp("DHCP for IPv6", &segment.interface, any, SERVER)?;
    sockets::deep(&socket)?;
    let index = netdevice::name_to_index(&socket, &segment.interface).map_err(io::Error::from)?;
    sockopt::set_ipv6_add_membership(&socket, &ALL_SERVERS, index).map_err(io::Error::from)?;
    let icmp = icmp(index)?;
    Ok(vec![
        tokio::spawn(serve(segment.clone(), UdpSocket::from_std(socket)?, own)),
        tokio::spawn(advertise(segment.clone(), UdpSocket::from_std(icmp)?, index, own)),
    ])
}

/// A raw socket that hears router solicitations and is used like a datagram socket; the kernel writes the
/// checksums (RFC 3542, 3.1).
fn icmp(index: u32) -> io::Result<std::net::UdpSocket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let raw = socket_with(AddressFamily::INET6, SocketType::RAW, flags, Some(ipproto::ICMPV6))?;
    // Neighbour discovery is only valid with the hop limit 255 (RFC 4861, 6.1.2).
    sockopt::set_ipv6_multicast_hops(&raw, 255)?;
    sockopt::set_ipv6_unicast_hops(&raw, Some(255))?;
    sockopt::set_ipv6_multicast_loop(&raw, false)?;
    sockopt::set_ipv6_add_membership(&raw, &ALL_ROUTERS, index)?;
    Ok(raw.into())
}

async fn serve(segment: Arc<Segment>, socket: UdpSocket, own: Mac) {
    let (begun, mut held, mut buffer) = (Instant::now(), Held::new(), [0; 1500]);
    loop {
        let Ok((length, SocketAddr::V6(from))) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let view = segment.view();
        let seat = Seat { view: &view, own, now: begun.elapsed().as_secs() };
        if let Some(reply) = answer::answer(&seat, &mut held, &buffer[..length], *from.ip()) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// Says everything now and then, and soon to who asks.
async fn advertise(segment: Arc<Segment>, socket: UdpSocket, index: u32, own: Mac) {
    let mut every = tokio::time::interval(ADVERT_EVERY);
    let mut last = Instant::now();
    let mut buffer = [0; 1500];
    let all = SocketAddrV6::new(ALL_NODES, 0, 0, index);
    loop {
        tokio::select! {
            _ = every.tick() => {
                if let Some(advert) = advert(&segment.view(), own) {
                    let _ = socket.send_to(&advert, all).await;
                }
                last = Instant::now();
            }
            got = socket.recv_from(&mut buffer) => match got {
                Ok((_, SocketAddr::V6(from))) if from.scope_id() == index && buffer[0] == ROUTER_SOLICIT => {
                    every.reset_after(ADVERT_PAUSE.saturating_sub(last.elapsed()));
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}
