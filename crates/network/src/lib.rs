//! The Network service (OpenStack Network API v2.0): networks, subnets, ports, routers, floating IPs,
//! security groups, quotas; and what each host should know of them.
//!
//! ```text
//! api/    parse → call → answer, one noun a file
//! act/    the rules: what may be made, changed, deleted, and what follows
//! table/  SQL
//! plan    which address next (pure)
//! touch   which hosts have to hear of a change
//! ```
//! Invariants: an address, a MAC and a VNI are rows with unique keys, so the database itself cannot give
//! one twice; whatever changes what a host holds bumps that host's generation in the same transaction.

mod act;
mod api;
mod err;
mod first;
pub mod for_compute;
pub mod for_hosts;
pub mod for_proxies;
mod model;
mod plan;
mod table;
mod touch;

pub use first::first_start;

/// The Network service.
pub struct Network {
    db: store::Db,
}

impl Network {
    pub fn new(db: store::Db) -> Self {
        Network { db }
    }
}

/// Its route table.
pub fn service() -> ::api::Service<Network> {
    api::service()
}

/// Its part of our own API.
pub fn own_service() -> ::api::Service<Network> {
    api::own_service()
}

#[cfg(test)]
mod tests;
