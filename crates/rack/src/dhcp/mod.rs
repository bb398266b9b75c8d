//! DHCP for IPv4 on a segment.
//!
//! [`ask`] reads a packet, [`pool`] knows who holds which address, [`answer`] makes the answer of both and of the
//! document, [`serve`] has the sockets, and [`journal`] keeps leases over restarts.

pub mod answer;
pub mod ask;
pub mod frame;
pub mod journal;
pub mod pool;
pub mod probe;
pub mod serve;
#[cfg(test)]
pub mod tests;
