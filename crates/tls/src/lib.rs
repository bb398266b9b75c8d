//! Channels: the region's certificate authority, how hosts and racks join with an invitation, and TLS between
//! region, hosts and clients.
//!
//! ```text
//! authority (one per region, key sealed in its database)
//!   ├─ the region's processes   region.hanok + the addresses that clients use     short-lived, made in memory
//!   └─ each host                <id>.host.hanok and host.hanok                    short-lived, renewed by the host
//! ```
//! Region and hosts call each other by these names, never by addresses, so that an address may change. A
//! host proves itself by its key: the region keeps the SHA-256 of the public key with the host, and a
//! certificate whose key is not there any more opens nothing, however long it would be good.
//!
//! Invariants: no private key leaves the computer on which it was made, but the authority's, sealed; nobody
//! is trusted at first contact who is not signed by the authority whose fingerprint the invitation holds.

mod authority;
mod clients;
mod first;
mod front;
mod invitation;
mod join;
mod keys;
mod pinned;
mod plain;
mod renew;
mod serve;
mod stream;

pub use authority::{Authority, fingerprint};
pub use clients::client_config;
pub use first::first_contact;
pub use front::{Files, Front, Peer};
pub use invitation::Invitation;
pub use join::{Role, deepest, is_distrust, new_token, write_private};
pub use keys::{HostKeys, new_key, proof_of, public_key};
pub use pinned::pinned;
pub use renew::renew;
pub use serve::{Limits, or_cut, serve};
pub use stream::{Dialer, Stream, accept};

pub use rustls::{ClientConfig, ClientConnection, ServerConfig, StreamOwned};

use base::HostId;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// The name of every process of the region.
pub const REGION: &str = "region.hanok";
/// A name that every host has.
pub const HOST: &str = "host.hanok";

/// The name that only this host has.
pub fn host_name(id: HostId) -> String {
    format!("{id}.host.hanok")
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    static ONE: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    ONE.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

/// # Errors
/// For what is no name of a host or an address.
pub fn server_name(text: &str) -> base::Result<ServerName<'static>> {
    ServerName::try_from(text.to_owned())
        .map_err(|_| base::Fault::bad_request(format!("{text:?} is no name of a host.")))
}

#[cfg(test)]
mod tests;
