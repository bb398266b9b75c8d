//! The address of a packet socket (packet(7)), for frames below IP: what agents announce, racks answer with and
//! machines listen for. The one place where it is laid out as the kernel reads it.

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

const AF_PACKET: u16 = 17;

/// `struct sockaddr_ll`, of which sending reads family and device, and binding the protocol too.
#[repr(C)]
#[derive(Debug, Default)]
pub struct LinkAddress {
    family: u16,
    protocol: u16,
    index: u32,
    kind: u16,
    packet: u8,
    length: u8,
    address: [u8; 8],
}

impl LinkAddress {
    /// The device with that index, to send on.
    pub fn of(index: u32) -> LinkAddress {
        LinkAddress { family: AF_PACKET, index, ..LinkAddress::default() }
    }
    /// The same, to hear only frames with that EtherType.
    pub fn hearing(index: u32, ethertype: u16) -> LinkAddress {
        LinkAddress { protocol: ethertype.to_be(), ..LinkAddress::of(index) }
    }
}

#[expect(unsafe_code, reason = "hands out a pointer to itself and its own size, alive during the call")]
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        f(std::ptr::from_ref(self).cast(), size_of::<LinkAddress>() as SocketAddrLen)
    }
}
