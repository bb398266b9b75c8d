//! Packet sockets (packet(7)), for frames below IP: what agents announce, racks answer with and machines listen for.
//! Their address and their groups, in the one place where these are laid out as the kernel reads them.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use std::ffi::{c_int, c_void};

const AF_PACKET: u16 = 17;
const SOL_PACKET: c_int = 263;
const PACKET_ADD_MEMBERSHIP: c_int = 1;
const PACKET_MR_MULTICAST: u16 = 0;

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

/// `struct packet_mreq`.
#[repr(C)]
struct Membership {
    index: c_int,
    kind: u16,
    length: u16,
    address: [u8; 8],
}

/// Has the card let frames to that group address through for as long as the socket is open; cards drop what goes to
/// groups that nobody has joined.
///
/// # Errors
/// The kernel's, such as `NODEV` for no such device.
pub fn join(socket: &impl AsFd, index: u32, group: [u8; 6]) -> Result<(), Errno> {
    let [a, b, c, d, e, f] = group;
    let index = c_int::try_from(index).map_err(|_| Errno::NODEV)?;
    let wish = Membership { index, kind: PACKET_MR_MULTICAST, length: 6, address: [a, b, c, d, e, f, 0, 0] };
    set(socket.as_fd(), PACKET_ADD_MEMBERSHIP, &wish)
}

#[expect(
    unsafe_code,
    reason = "setsockopt(2) has no safe wrapper for this option; it reads a value that we own"
)]
fn set(socket: BorrowedFd<'_>, option: c_int, value: &Membership) -> Result<(), Errno> {
    unsafe extern "C" {
        fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) -> c_int;
    }
    let at = std::ptr::from_ref(value).cast();
    let length = size_of::<Membership>() as u32;
    match unsafe { setsockopt(socket.as_raw_fd(), SOL_PACKET, option, at, length) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}
