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
    /// Lower-case hexadecimal SHA-256 of the secret that it will show as `Authorization: Bearer`; or, if it
    /// will show a certificate, of its public key's SubjectPublicKeyInfo.
    pub proof: String,
    /// The public key that it wants a certificate for: a point on P-256, uncompressed, in hexadecimal.
    #[serde(default)]
    pub public_key: String,
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
    /// For the public key that was sent; empty when there was none.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

/// What a host shows of itself from now on, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub certificate: String,
    /// The region's certificate authority.
    pub authority: String,
    /// When it should ask for another one: `POST /agent/v1/renew` with [`Renew`].
    pub renew_at: Micros,
    pub expires_at: Micros,
}

/// A host asks for a new certificate over the present one, for the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    pub public_key: String,
}
