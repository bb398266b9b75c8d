//! Sockets of the servers inside namespaces. A socket stays in the namespace where it was made, so
//! the servers run on the ordinary runtime and no thread lives inside.

use super::kernel::inside;
use super::plan::METADATA_V4;
use super::space::{BRIDGE, METADATA_V6, Mac};
use base::Result;
use packet::LinkAddress;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, socket_with, sockopt,
};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

const DHCP4_PORT: u16 = 67;
const DHCP6_PORT: u16 = 547;
const HTTP_PORT: u16 = 80;
/// All DHCP relay agents and servers (RFC 8415), all routers (RFC 4291).
const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

fn make<T: Send>(ns: &str, f: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
    Ok(inside(ns, f)??)
}

pub fn dhcp4(ns: &str) -> Result<UdpSocket> {
    make(ns, || {
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, FLAGS, None)?;
        sockopt::set_socket_broadcast(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, DHCP4_PORT))?;
        Ok(UdpSocket::from(socket))
    })
}

pub fn dhcp6(ns: &str) -> Result<UdpSocket> {
    make(ns, || {
        let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, FLAGS, None)?;
        sockopt::set_ipv6_v6only(&socket, true)?;
        let bridge = index(&socket, BRIDGE)?;
        sockopt::set_ipv6_add_membership(&socket, &ALL_DHCP_SERVERS, bridge)?;
        bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, DHCP6_PORT, 0, 0))?;
        Ok(UdpSocket::from(socket))
    })
}

/// A raw ICMPv6 socket that hears router solicitations on `devices`, and the index of each device.
/// It is used like a datagram socket; the kernel writes the checksums (RFC 3542, 3.1).
pub fn icmp6(ns: &str, devices: &[String]) -> Result<(UdpSocket, Vec<u32>)> {
    make(ns, || {
        let raw = socket_with(AddressFamily::INET6, SocketType::RAW, FLAGS, Some(ipproto::ICMPV6))?;
        // Neighbour discovery is only valid with the hop limit 255 (RFC 4861, 6.1.2).
        sockopt::set_ipv6_multicast_hops(&raw, 255)?;
        sockopt::set_ipv6_unicast_hops(&raw, Some(255))?;
        sockopt::set_ipv6_multicast_loop(&raw, false)?;
        let indexes: Vec<u32> = devices.iter().map(|d| index(&raw, d)).collect::<io::Result<_>>()?;
        for index in &indexes {
            sockopt::set_ipv6_add_membership(&raw, &ALL_ROUTERS, *index)?;
        }
        Ok((UdpSocket::from(raw), indexes))
    })
}

/// The metadata service's listeners: IPv4, and link-local IPv6 where the bridge has that address.
pub fn http(ns: &str, v6: bool) -> Result<Vec<TcpListener>> {
    make(ns, || {
        let mut all = vec![TcpListener::bind((METADATA_V4, HTTP_PORT))?];
        if v6 {
            let any = socket_with(AddressFamily::INET6, SocketType::DGRAM, FLAGS, None)?;
            let scope = index(&any, BRIDGE)?;
            all.push(TcpListener::bind(SocketAddrV6::new(METADATA_V6, HTTP_PORT, 0, scope))?);
        }
        for listener in &all {
            listener.set_nonblocking(true)?;
        }
        Ok(all)
    })
}

/// Announces an address to the link: a gratuitous ARP request (RFC 5227, 3).
pub fn announce(ns: &str, device: &str, mac: Mac, address: Ipv4Addr) -> Result<()> {
    let ip = address.octets();
    let mut frame = Vec::with_capacity(42);
    frame.extend([0xff; 6]);
    frame.extend(mac.0);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac.0);
    frame.extend(ip);
    frame.extend([0; 6]);
    frame.extend(ip);
    make(ns, || {
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, FLAGS, None)?;
        let to = LinkAddress::of(index(&socket, device)?);
        sendto(&socket, &frame, SendFlags::empty(), &to)?;
        Ok(())
    })
}

fn index(socket: &OwnedFd, device: &str) -> io::Result<u32> {
    Ok(rustix::net::netdevice::name_to_index(socket, device)?)
}
