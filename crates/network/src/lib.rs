//! The Network service (OpenStack Network API v2.0): networks, subnets, ports, routers, floating IPs,
//! security groups, quotas; and what each host should know of them.
//!
//! Invariants: an address, a MAC and a VNI are rows with unique keys, so the database itself cannot give
//! one twice; whatever changes what a host holds bumps that host's generation in the same transaction.

pub mod for_compute;
pub mod for_hosts;
