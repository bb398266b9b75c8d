//! The rack role: DHCP, TFTP, HTTP boot, DNS, image content and power for the machines of a segment.

pub mod power;
