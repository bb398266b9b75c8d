//! The sockets of DHCP for IPv4, on a thread of their own: nothing else makes its clients wait.
//!
//! Packets are taken in batches, as many as there are. What they change is on the disk before the first answer of
//! the batch goes out, so that no address is ever promised that would be forgotten; one write serves them all.

use super::answer::{Reply, Said, To, answer, answer_boot};
use super::ask::{Ask, Boots};
use super::frame::Frames;
use super::journal::Journal;
use super::pool::None4;
use super::probe;
use crate::board::Segment;
use crate::mac::Mac;
use crate::sockets;
use base::doc::rack::Stranger;
use base::{Fault, Micros, Result};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

/// No client has a reason to send more than a frame.
const PACKET_MAX: usize = 1500;
/// Packets that are answered together at most.
const BATCH: usize = 512;
const SERVER: u16 = 67;
/// Where clients ask for what to boot (PXE specification 2.1, 2.2.5).
const BOOT_SERVER: u16 = 4011;

/// A server on a thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    _stop: oneshot::Sender<()>,
}

struct Sockets {
    dhcp: UdpSocket,
    boot: UdpSocket,
    frames: Frames,
}

/// Starts to answer on a segment. `mac` is the interface's.
///
/// # Errors
/// When the ports are taken.
pub fn start(segment: Arc<Segment>, journal: Journal, mac: Mac) -> Result<Server> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let dhcp = sockets::udp("DHCP", &segment.interface, any, SERVER)?;
    sockets::deep(&dhcp)?;
    let boot = sockets::udp("DHCP for network boot", &segment.interface, any, BOOT_SERVER)?;
    let frames = Frames::on(&segment.interface, mac)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("dhcp".into()).spawn(move || {
        runtime.block_on(async {
            let sockets = UdpSocket::from_std(dhcp).and_then(|dhcp| Ok((dhcp, UdpSocket::from_std(boot)?)));
            match sockets {
                Ok((dhcp, boot)) => {
                    let run = run(segment, Sockets { dhcp, boot, frames }, journal);
                    tokio::select! {
                        () = run => {}
                        _ = stopped => {}
                    }
                }
                Err(e) => segment.trouble("dhcp", Some(format!("DHCP does not run: {e}."))),
            }
        });
    })?;
    Ok(Server { _stop: stop })
}

async fn run(segment: Arc<Segment>, sockets: Sockets, mut journal: Journal) {
    let mut buffer = [0; PACKET_MAX];
    let mut replies = Vec::new();
    loop {
        let ready = tokio::select! {
            ready = sockets.dhcp.readable() => ready.map(|()| true),
            ready = sockets.boot.readable() => ready.map(|()| false),
        };
        match ready {
            Ok(true) => batch(&segment, &sockets, &mut journal, &mut buffer, &mut replies),
            Ok(false) => boot(&segment, &sockets, &mut buffer),
            Err(e) => segment.trouble("dhcp", Some(format!("DHCP cannot receive: {e}."))),
        }
        // Lets the server be stopped between two batches.
        tokio::task::yield_now().await;
    }
}

fn batch(
    segment: &Segment,
    sockets: &Sockets,
    journal: &mut Journal,
    buffer: &mut [u8],
    replies: &mut Vec<Reply>,
) {
    let view = segment.view();
    replies.clear();
    let kept = {
        let (mut pool, now) = segment.pool_now();
        for _ in 0..BATCH {
            let Ok(length) = sockets.dhcp.try_recv(buffer) else { break };
            let Some(ask) = Ask::read(&buffer[..length]).filter(|a| a.mac != probe::own_mac(segment.id))
            else {
                continue;
            };
            match answer(&view, &mut pool, &ask, now) {
                Said::Reply(reply) => {
                    meet(segment, &ask, now);
                    segment.has(ask.mac);
                    replies.push(*reply);
                }
                Said::Foreign(server) => {
                    segment.foreign(server.into());
                    segment.has(ask.mac);
                }
                Said::Empty(None4::Exhausted) => {
                    // A machine that gets no further than this is to be seen all the same.
                    meet(segment, &ask, now);
                    if segment.without(ask.mac) {
                        tracing::warn!(interface = segment.interface, mac = %ask.mac, "no address is left to lease");
                    }
                }
                Said::Empty(None4::NoRange) | Said::Nothing => {}
            }
        }
        let changed = !pool.changed.is_empty();
        let kept = journal.keep(&mut pool);
        if changed && kept.is_ok() {
            segment.board.news.notify_one();
        }
        kept
    };
    let why = kept.err().map(|f: Fault| {
        format!(
            "Leases cannot be kept on the disk, so nobody gets one: {f}. Look at the rack's data directory."
        )
    });
    let broken = why.is_some();
    segment.trouble("leases", why);
    if broken {
        return;
    }
    for reply in replies.iter() {
        if let Err(e) = send(sockets, reply) {
            tracing::debug!(interface = segment.interface, error = %e, "a DHCP answer could not be sent");
        }
    }
}

fn send(sockets: &Sockets, reply: &Reply) -> io::Result<()> {
    match reply.to {
        To::Address(to) => sockets.dhcp.try_send_to(&reply.packet, to.into()).map(drop),
        To::Frame(mac, to) => sockets.frames.send(mac, reply.from, to, &reply.packet),
        To::All => sockets.frames.send(Mac([0xff; 6]), reply.from, Ipv4Addr::BROADCAST, &reply.packet),
    }
}

fn boot(segment: &Segment, sockets: &Sockets, buffer: &mut [u8]) {
    let Ok((length, SocketAddr::V4(from))) = sockets.boot.try_recv_from(buffer) else { return };
    let Some(ask) = Ask::read(&buffer[..length]) else { return };
    if let Said::Reply(reply) = answer_boot(&segment.view(), &ask, from) {
        meet(segment, &ask, Micros::now());
        if let Err(e) = sockets.boot.try_send_to(&reply.packet, from.into()) {
            tracing::debug!(interface = segment.interface, error = %e, "a boot answer could not be sent");
        }
    }
}

/// Remembers who boots from the network and is unknown.
fn meet(segment: &Segment, ask: &Ask<'_>, now: Micros) {
    if ask.boots() == Boots::No || segment.view.borrow().card(ask.mac).is_some() {
        return;
    }
    let stranger = Stranger {
        segment: segment.id,
        mac: ask.mac.to_string(),
        uuid: ask.uuid(),
        arch: ask.arch.unwrap_or(0),
        address: ask.requested.or(Some(ask.ciaddr).filter(|a| !a.is_unspecified())).map(IpAddr::V4),
        first_at: now,
        last_at: now,
    };
    segment.board.stranger(stranger, ask.mac);
}
