//! How a computer becomes a host: `POST /agent/v1/join` with `Authorization: Join <secret>`.
//!
//! The host chooses what it will prove itself with and tells only a hash of it, so that nothing secret but
//! the invitation goes over the wire. An invitation is good once; the same host that asks again with the
//! same proof (the answer was lost) is answered again.

use crate::{HostId, Micros, ServerId};
use serde::{Deserialize, Serialize};

/// What a computer says of itself when it joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// How it wants to be called, if the invitation does not say.
    pub name: String,
    /// Lower-case hexadecimal SHA-256 of the secret that it will show as `Authorization: Bearer`.
    pub proof: String,
    /// Its clock.
    pub at: Micros,
    #[serde(default)]
    pub agent_version: String,
    /// Guests whose disks are on it already: of a host that joins anew with its data kept.
    #[serde(default)]
    pub guests: Vec<ServerId>,
}

/// The region's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    pub host: HostId,
    pub name: String,
    pub zone: String,
    /// The region's clock.
    pub at: Micros,
}
