//! Sockets on one interface: what arrives on another is not heard, whatever address it is for.

use base::{Fault, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Room for what thousands of clients send in the same moment, in bytes.
const BURST: usize = 32 << 20;

fn socket(interface: &str, address: SocketAddr, kind: Type, protocol: Protocol) -> std::io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind_device(Some(interface.as_bytes()))?;
    // The address may be one that the interface is about to get.
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn trouble(what: &str, interface: &str, address: SocketAddr, e: &std::io::Error) -> Fault {
    let taken = e.kind() == std::io::ErrorKind::AddrInUse;
    let advice = if taken { " Another program uses it: `ss -lnp` shows which." } else { "" };
    Fault::unavailable(format!("{what} cannot listen at {address} of {interface}: {e}.{advice}"))
}

/// A datagram socket; `what` names its use in errors.
pub fn udp(what: &str, interface: &str, ip: IpAddr, port: u16) -> Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let made = socket(interface, address, Type::DGRAM, Protocol::UDP);
    let socket = made.map_err(|e| trouble(what, interface, address, &e))?;
    if address.is_ipv4() {
        socket.set_broadcast(true)?;
    }
    Ok(socket.into())
}

/// One that takes bursts. More than the system's usual limit needs root; without, it is as large as it may be.
pub fn deep(socket: &UdpSocket) -> Result<()> {
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, BURST).is_err() {
        rustix::net::sockopt::set_socket_recv_buffer_size(socket, BURST).map_err(std::io::Error::from)?;
    }
    Ok(())
}

/// A raw socket for neighbour discovery, which is used like a datagram socket; the kernel writes the checksums
/// (RFC 3542, 3.1).
pub fn icmpv6(interface: &str) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    // It is only valid with the hop limit 255 (RFC 4861, 6.1.2).
    socket.set_multicast_hops_v6(255)?;
    socket.set_unicast_hops_v6(255)?;
    socket.set_multicast_loop_v6(false)?;
    Ok(socket.into())
}

/// A listener for connections.
pub fn tcp(what: &str, interface: &str, ip: IpAddr, port: u16) -> Result<tokio::net::TcpListener> {
    let address = SocketAddr::new(ip, port);
    let made = socket(interface, address, Type::STREAM, Protocol::TCP);
    let socket = made.map_err(|e| trouble(what, interface, address, &e))?;
    socket.listen(1024)?;
    Ok(tokio::net::TcpListener::from_std(socket.into())?)
}
