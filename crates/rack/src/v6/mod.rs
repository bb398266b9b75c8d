//! IPv6 on a segment: addresses and boot files by DHCP, and router advertisements ([`answer`]).

mod answer;

use crate::board::Segment;
use crate::mac::Mac;
use crate::sockets;
use answer::{Held, Seat, advert, nothing};
use base::Result;
use rustix::net::{netdevice, sockopt};
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
/// Another router says everything at least this often (RFC 4861, 6.2.1), and answers who asks.
const ROUTER_HEARD: Duration = Duration::from_secs(1800);
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;

/// Starts DHCP; `own` is the interface's MAC.
///
/// # Errors
/// When the port is taken.
pub fn serve_dhcp(segment: &Arc<Segment>, own: Mac) -> Result<JoinHandle<()>> {
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let socket = sockets::udp("DHCP for IPv6", &segment.interface, any, SERVER)?;
    sockets::deep(&socket)?;
    let index = netdevice::name_to_index(&socket, &segment.interface).map_err(io::Error::from)?;
    sockopt::set_ipv6_add_membership(&socket, &ALL_SERVERS, index).map_err(io::Error::from)?;
    Ok(tokio::spawn(serve(segment.clone(), UdpSocket::from_std(socket)?, own)))
}

/// Starts router advertisements, from the interface with this MAC.
///
/// # Errors
/// Where there is no IPv6.
pub fn start_adverts(segment: &Arc<Segment>, own: Mac) -> Result<JoinHandle<()>> {
    let socket = sockets::icmpv6(&segment.interface)?;
    let index = netdevice::name_to_index(&socket, &segment.interface).map_err(io::Error::from)?;
    sockopt::set_ipv6_add_membership(&socket, &ALL_ROUTERS, index).map_err(io::Error::from)?;
    Ok(tokio::spawn(advertise(segment.clone(), UdpSocket::from_std(socket)?, index, own)))
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

/// Says everything now and then, and soon to who asks. Where there is nothing to say, firmware that asks hears so: iPXE
/// waits for an answer before it boots, by IPv4 too, and gives up after 13 seconds only.
async fn advertise(segment: Arc<Segment>, socket: UdpSocket, index: u32, own: Mac) {
    let mut every = tokio::time::interval(ADVERT_EVERY);
    let mut last = Instant::now();
    let mut router: Option<Instant> = None;
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
                Ok((_, SocketAddr::V6(from))) if buffer[0] == SOLICITATION => {
                    let view = segment.view();
                    if advert(&view, own).is_some() {
                        every.reset_after(ADVERT_PAUSE.saturating_sub(last.elapsed()));
                    } else if router.is_none_or(|heard| heard.elapsed() > ROUTER_HEARD)
                        && Mac::from_link_local(*from.ip()).is_some_and(|mac| !view.ignores(mac))
                    {
                        let _ = socket.send_to(&nothing(own), from).await;
                    }
                }
                Ok(_) if buffer[0] == ADVERTISEMENT => router = Some(Instant::now()),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}
