//! Frames to clients that have no address yet: nobody answers ARP for them, so the kernel cannot send.

use crate::mac::Mac;
use packet::LinkAddress;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

/// Sends on one interface.
#[derive(Debug)]
pub struct Frames {
    socket: OwnedFd,
    index: u32,
    /// The interface's own address.
    mac: Mac,
}

impl Frames {
    /// `mac` is the interface's own.
    pub fn on(interface: &str, mac: Mac) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        let index = rustix::net::netdevice::name_to_index(&socket, interface)?;
        Ok(Frames { socket, index, mac })
    }

    /// Sends a DHCP answer; `to` is the client's MAC, or nobody's for all.
    pub fn send(&self, to: Mac, from: Ipv4Addr, address: Ipv4Addr, payload: &[u8]) -> io::Result<()> {
        let frame = frame(self.mac, to, (from, 67), (address, 68), payload);
        let to = LinkAddress::of(self.index);
        sendto(&self.socket, &frame, SendFlags::empty(), &to)?;
        Ok(())
    }
}

/// Ethernet, IPv4 (RFC 791) and UDP (RFC 768) around a payload.
fn frame(own: Mac, to: Mac, from: (Ipv4Addr, u16), dest: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
    let mut ip = vec![0x45, 0x10];
    ip.extend((udp_len + 20).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(from.0.octets());
    ip.extend(dest.0.octets());
    let sum = checksum(0, &ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut udp = Vec::with_capacity(payload.len() + 8);
    for n in [from.1, dest.1, udp_len, 0] {
        udp.extend(n.to_be_bytes());
    }
    udp.extend(payload);
    let pseudo = checksum_sum(0, &ip[12..20]) + 17 + u32::from(udp_len);
    let sum = checksum(pseudo, &udp);
    udp[6..8].copy_from_slice(&(if sum == 0 { u16::MAX } else { sum }).to_be_bytes());
    [&to.0[..], &own.0, &[8, 0], &ip, &udp].concat()
}

fn checksum_sum(start: u32, bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(start, |sum, pair| {
        sum + u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
    })
}

fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = checksum_sum(start, bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_add_up() {
        let (from, to) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 9));
        let f = frame(Mac([2; 6]), Mac([4; 6]), (from, 67), (to, 68), b"abcde");
        assert_eq!(checksum(0, &f[14..34]), 0, "a right header sums to nothing");
        let pseudo = checksum_sum(0, &f[26..34]) + 17 + 13;
        assert_eq!(checksum(pseudo, &f[34..]), 0);
        assert_eq!(f.len(), 14 + 20 + 8 + 5);
    }
}
