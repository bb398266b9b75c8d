//! DHCP clients as raw as those in firmware.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

/// Firmware with IPv6 at the end of a cable.
pub struct Six(UdpSocket, SocketAddrV6);

impl Six {
    /// To be made in the namespace of the device.
    pub fn on(device: &str) -> Six {
        let (domain, kind) = (socket2::Domain::IPV6, socket2::Type::RAW);
        let socket = socket2::Socket::new(domain, kind, Some(socket2::Protocol::ICMPV6)).unwrap();
        socket.bind_device(Some(device.as_bytes())).unwrap();
        socket.set_multicast_hops_v6(255).unwrap();
        socket.set_multicast_loop_v6(false).unwrap();
        let index = rustix::net::netdevice::name_to_index(&socket, device).unwrap();
        Six(socket.into(), SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), 0, 0, index))
    }

    /// The advertisement of no router (its lifetime is zero) that comes to who asks so often, a second apart.
    pub fn solicit(&self, times: u32) -> Option<Vec<u8>> {
        let mut buffer = [0; 1500];
        for _ in 0..times {
            // Nobody can until the address is known to be nobody else's.
            let _ = self.0.send_to(&[133, 0, 0, 0, 0, 0, 0, 0], self.1);
            let until = Instant::now() + Duration::from_secs(1);
            while let Some(left) = until.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
                self.0.set_read_timeout(Some(left)).unwrap();
                match self.0.recv(&mut buffer) {
                    Ok(n) if buffer[0] == 134 && buffer[6..8] == [0, 0] => return Some(buffer[..n].to_vec()),
                    _ => {}
                }
            }
        }
        None
    }

    /// A router says to all that it is one.
    pub fn advertise(&self) {
        let mut to = self.1;
        to.set_ip(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        self.0.send_to(&[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], to).unwrap();
    }
}

/// The end of a cable in a namespace of its own. Its clients have no addresses and want to be answered
/// through all.
pub struct Wire {
    socket: UdpSocket,
}

/// What a client heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub kind: u8,
    pub address: Ipv4Addr,
    pub file: String,
    pub options: HashMap<u8, Vec<u8>>,
}

impl Wire {
    /// To be made in the namespace of the device.
    pub fn on(device: &str) -> Wire {
        let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::DGRAM);
        let socket = socket2::Socket::new(domain, kind, None).unwrap();
        socket.bind_device(Some(device.as_bytes())).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.bind(&std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into()).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20).unwrap();
        Wire { socket: socket.into() }
    }

    /// Options come behind the message's kind.
    pub fn ask(&self, mac: [u8; 6], kind: u8, more: &[(u8, &[u8])]) {
        let mut dhcp = vec![1, 1, 6, 0];
        dhcp.extend(&mac[2..]);
        dhcp.extend([0, 0, 0x80, 0]);
        dhcp.extend([0; 16]);
        dhcp.extend(mac);
        dhcp.extend([0; 202]);
        dhcp.extend([99, 130, 83, 99, 53, 1, kind]);
        for (code, value) in more {
            dhcp.extend([*code, u8::try_from(value.len()).unwrap()]);
            dhcp.extend(*value);
        }
        dhcp.push(255);
        self.socket.send_to(&dhcp, (Ipv4Addr::BROADCAST, 67)).unwrap();
    }

    /// The next answer to any client, if one comes in time; with the client's MAC.
    pub fn hear(&self, until: Instant) -> Option<([u8; 6], Answer)> {
        let mut buffer = [0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            match self.socket.recv(&mut buffer) {
                Ok(n) => {
                    if let Some(heard) = read(&buffer[..n]) {
                        return Some(heard);
                    }
                }
                Err(_) if Instant::now() >= until => return None,
                Err(_) => {}
            }
        }
    }

    /// The answer to this client.
    pub fn answer(&self, mac: [u8; 6], wait: Duration) -> Option<Answer> {
        let until = Instant::now() + wait;
        loop {
            let (to, answer) = self.hear(until)?;
            if to == mac {
                return Some(answer);
            }
        }
    }

    /// Asks for an offer until there is one, as clients do.
    pub fn discover(&self, mac: [u8; 6], more: &[(u8, &[u8])]) -> Option<Answer> {
        (0..20).find_map(|_| {
            self.ask(mac, 1, more);
            self.answer(mac, Duration::from_secs(1)).filter(|a| a.kind == 2)
        })
    }

    /// Asks for an address; the answer to that.
    pub fn request(&self, mac: [u8; 6], address: Ipv4Addr) -> Option<Answer> {
        (0..20).find_map(|_| {
            self.ask(mac, 3, &[(50, &address.octets())]);
            self.answer(mac, Duration::from_secs(1)).filter(|a| a.kind != 2)
        })
    }
}

fn read(dhcp: &[u8]) -> Option<([u8; 6], Answer)> {
    let mac = dhcp.get(28..34)?.try_into().ok()?;
    let address: [u8; 4] = dhcp.get(16..20)?.try_into().ok()?;
    let file: Vec<u8> = dhcp.get(108..236)?.iter().copied().take_while(|b| *b != 0).collect();
    let mut options = HashMap::new();
    let mut rest = dhcp.get(240..)?;
    while let [code, length, after @ ..] = rest {
        if *code == 255 {
            break;
        }
        options.insert(*code, after.get(..usize::from(*length))?.to_vec());
        rest = &after[usize::from(*length)..];
    }
    let kind = *options.get(&53)?.first()?;
    let file = String::from_utf8(file).ok()?;
    Some((mac, Answer { kind, address: address.into(), file, options }))
}
