//! Wake-on-LAN: the magic packet (six bytes of ones, then the MAC sixteen times) in a UDP datagram, to everybody
//! on each segment, and to the machine's own addresses for what lies behind a router that still knows it.

use super::trouble::Trouble;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::UdpSocket;

/// The discard service: nothing listens, the network card looks at the bytes alone.
const PORT: u16 = 9;
/// All nodes of a link (RFC 4291, 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// `None` for what is no MAC.
fn packet(mac: &str) -> Option<[u8; 102]> {
    let mut bytes = [0xff; 102];
    // The standard library would take "+2" for a number.
    let digits = mac.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-'));
    let mac = mac.split([':', '-']).filter(|_| digits).map(|b| u8::from_str_radix(b, 16));
    let mac: Vec<u8> = mac.collect::<Result<_, _>>().ok()?;
    let mac: [u8; 6] = mac.try_into().ok()?;
    bytes[6..].as_chunks_mut::<6>().0.fill(mac);
    Some(bytes)
}

/// Sends it every way there is; one that works is enough.
pub(super) async fn send(mac: &str, interfaces: &[String], addresses: &[IpAddr]) -> Result<(), Trouble> {
    let Some(packet) = packet(mac) else {
        return Err(Trouble::Unable(format!("{mac:?} is no MAC address that could be woken.")));
    };
    let mut why = "no segment of the rack has a network interface, and it has no address".to_owned();
    let mut sent = false;
    let everybody: [IpAddr; 2] = [Ipv4Addr::BROADCAST.into(), ALL_NODES.into()];
    let wide = interfaces.iter().flat_map(|i| everybody.map(|to| (Some(i.as_str()), to)));
    for (interface, to) in wide.chain(addresses.iter().map(|a| (None, *a))) {
        match send_to(&packet, interface, to).await {
            Ok(()) => sent = true,
            // Segments without IPv6 are usual.
            Err(_) if to == IpAddr::V6(ALL_NODES) => {}
            Err(e) => why = e.to_string(),
        }
    }
    if sent {
        return Ok(());
    }
    Err(Trouble::Unable(format!("No magic packet could be sent to {mac}: {why}.")))
}

async fn send_to(packet: &[u8], interface: Option<&str>, to: IpAddr) -> std::io::Result<()> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if to.is_ipv4() {
        socket.set_broadcast(true)?;
    }
    socket.send_to(packet, SocketAddr::new(to, PORT)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_is_magic() {
        let bytes = packet("52:54:00:00:00:2a").unwrap();
        assert_eq!(bytes[..6], [0xff; 6]);
        assert!(bytes[6..].chunks(6).all(|c| c == [0x52, 0x54, 0, 0, 0, 0x2a]));
        for wrong in ["", "52:54:00:00:00", "52:54:00:00:00:2a:01", "52:54:00:00:00:zz", "+2:54:00:00:00:2a"]
        {
            assert!(packet(wrong).is_none(), "{wrong}");
        }
    }
}
