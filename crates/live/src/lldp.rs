//! Who is at the other end of the cables: LLDP frames (IEEE 802.1AB-2016) as switches send them every 30 s.
//!
//! Listening starts with the network and ends after a bounded time; nothing is sent.

use base::doc::live::Neighbour;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recvfrom, socket_with};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Two intervals of a switch with usual settings, and some.
const LISTEN: Duration = Duration::from_secs(70);
/// A second inventory is sent this long after the listening began, if somebody was heard.
const SECOND_LOOK: Duration = Duration::from_secs(35);
const ETHERTYPE: u16 = 0x88cc;
/// "Nearest bridge": what goes there is passed on by no switch (IEEE 802.1AB-2016, 7.1).
const GROUP: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
const FRAME_MAX: usize = 2048;

/// Neighbours by the name of our card, as far as they have been heard.
#[derive(Clone)]
pub struct Neighbours {
    heard: Arc<Mutex<BTreeMap<String, Neighbour>>>,
    since: Instant,
}

impl Neighbours {
    pub fn all(&self) -> BTreeMap<String, Neighbour> {
        self.heard.lock().map(|h| h.clone()).unwrap_or_default()
    }
    /// Waits until the second look is due; whether more are known then than `before`.
    pub async fn heard_more(&self, before: usize) -> bool {
        tokio::time::sleep(SECOND_LOOK.saturating_sub(self.since.elapsed())).await;
        self.all().len() > before
    }
}

/// Hears on all cards from now on, on a thread of its own.
pub fn listen() -> Neighbours {
    let neighbours = Neighbours { heard: Arc::default(), since: Instant::now() };
    let heard = neighbours.heard.clone();
    std::thread::spawn(move || {
        // One socket for each card: what arrives is then known to have come by it.
        for (name, _) in crate::net::cards("") {
            let heard = heard.clone();
            std::thread::spawn(move || hear(&name, &heard));
        }
    });
    neighbours
}

fn hear(card: &str, heard: &Mutex<BTreeMap<String, Neighbour>>) -> Option<()> {
    let protocol = Protocol::from_raw(NonZeroU32::new(u32::from(ETHERTYPE.to_be()))?);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(protocol)).ok()?;
    let index = rustix::net::netdevice::name_to_index(&socket, card).ok()?;
    rustix::net::bind(&socket, &packet::LinkAddress::hearing(index, ETHERTYPE)).ok()?;
    packet::join(&socket, index, GROUP).ok()?;
    let until = Instant::now() + LISTEN;
    let mut frame = vec![0_u8; FRAME_MAX];
    while Instant::now() < until {
        let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&wait));
        while let Ok((length, _, _)) = recvfrom(&socket, &mut frame[..], RecvFlags::empty()) {
            if let Some(neighbour) = frame.get(..length).and_then(parse)
                && let Ok(mut heard) = heard.lock()
            {
                heard.insert(card.to_owned(), neighbour);
            }
        }
    }
    Some(())
}

/// A whole Ethernet frame. None: it is no LLDP, or its first two values (chassis and port) are missing.
pub fn parse(frame: &[u8]) -> Option<Neighbour> {
    let (_, rest) = frame.split_at_checked(12)?;
    let mut rest = match rest {
        [0x88, 0xcc, rest @ ..] => rest,
        // With a VLAN tag in front (IEEE 802.1Q).
        [0x81, 0x00, _, _, 0x88, 0xcc, rest @ ..] => rest,
        _ => return None,
    };
    let mut found = Neighbour::default();
    while let [first, second, more @ ..] = rest {
        let length = usize::from(first & 1) << 8 | usize::from(*second);
        let value = more.get(..length)?;
        rest = &more[length..];
        match (first >> 1, value) {
            (0, _) => break,
            (1, [4, mac @ ..]) | (2, [3, mac @ ..]) if mac.len() == 6 => {
                let text = mac.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
                if first >> 1 == 1 { found.chassis = text } else { found.port = text }
            }
            (1, [5, 1, ip @ ..]) if ip.len() == 4 => {
                found.chassis = format!("{}.{}.{}.{}", ip[0], ip[1], ip[2], ip[3]);
            }
            (1, [_, name @ ..]) => found.chassis = text(name),
            (2, [_, name @ ..]) => found.port = text(name),
            (4, name) => found.port_description = text(name),
            (5, name) => found.system = text(name),
            _ => {}
        }
    }
    (!found.chassis.is_empty() && !found.port.is_empty()).then_some(found)
}

/// What a switch's administrator wrote, without what could harm whoever reads it.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(values: &[(u8, &[u8])]) -> Vec<u8> {
        let mut all = vec![1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc];
        for (kind, value) in values {
            all.push(kind << 1 | (value.len() >> 8) as u8);
            all.push(value.len() as u8);
            all.extend(*value);
        }
        all
    }

    #[test]
    fn a_switch_tells_its_name_and_port() {
        let heard = frame(&[
            (1, &[4, 0, 0x1b, 0x21, 0xaa, 0xbb, 0xcc]),
            (2, b"\x05Gi1/0/7"),
            (3, &[0, 120]),
            (4, b"to the third row"),
            (5, b"tor-1\x1b[2J"),
            (0, &[]),
            (5, b"after the end"),
        ]);
        let neighbour = parse(&heard).unwrap();
        assert_eq!(neighbour.chassis, "00:1b:21:aa:bb:cc");
        assert_eq!(neighbour.port, "Gi1/0/7");
        assert_eq!(neighbour.port_description, "to the third row");
        assert_eq!(neighbour.system, "tor-1[2J");
        assert_eq!(parse(&frame(&[(1, b"\x07only a chassis")])), None);
        assert_eq!(parse(&frame(&[(1, &[5, 1, 10, 0, 0, 1]), (2, b"\x07p")])).unwrap().chassis, "10.0.0.1");
    }

    proptest! {
        #[test]
        fn garbage_is_survived(tail in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut all = frame(&[]);
            all.extend(&tail);
            let _ = parse(&all);
            let _ = parse(&tail);
        }
    }
}
