//! Names of outside things (namespaces, devices, files), derived from our ids, so that "delete" can
//! always find them and "not found" is success.
//!
//! Every kernel name starts with the instance prefix (two to four lower-case letters or digits),
//! so that several Hanoks share one kernel. Device names are at most 15 bytes (IFNAMSIZ - 1).

use crate::{NetworkId, PortId, RouterId};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The instance prefix of kernel names, such as `hk` (2 to 4 characters of `[a-z0-9]`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(String);

impl TryFrom<String> for Prefix {
    type Error = String;
    fn try_from(s: String) -> Result<Self, String> {
        let ok =
            (2..=4).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if ok {
            Ok(Prefix(s))
        } else {
            Err(format!("instance prefix {s:?}: 2 to 4 characters of a-z and 0-9"))
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first ten hexadecimal digits of an id: 40 bits, plenty among the devices of one host.
fn short(id: Uuid) -> String {
    let mut s = id.simple().to_string();
    s.truncate(10);
    s
}

impl Prefix {
    /// Network namespace of a virtual network on this host.
    pub fn network_ns(&self, id: NetworkId) -> String {
        format!("{self}-net-{}", id.0.simple())
    }
    /// Network namespace of a router on this host.
    pub fn router_ns(&self, id: RouterId) -> String {
        format!("{self}-rtr-{}", id.0.simple())
    }
    /// Tap of a guest's port, inside the network's namespace.
    pub fn tap(&self, id: PortId) -> String {
        format!("t{}", short(id.0))
    }
    /// Takes what comes from a guest whose port is limited, inside the network's namespace.
    pub fn ifb(&self, id: PortId) -> String {
        format!("i{}", short(id.0))
    }
    /// The network side (inside the network's namespace, on the bridge) of a router's leg.
    pub fn leg_net(&self, port: PortId) -> String {
        format!("l{}", short(port.0))
    }
    /// The router side (inside the router's namespace) of a router's leg.
    pub fn leg_router(&self, port: PortId) -> String {
        format!("r{}", short(port.0))
    }
    /// The host's own end of an external network's uplink, in the host's namespace.
    pub fn uplink(&self, id: NetworkId) -> String {
        format!("{self}{}", short(id.0))
    }
    /// Two devices, one over the other, that are there for a moment to see what the kernel can do.
    pub fn probes(&self) -> (String, String) {
        (format!("{self}-probe"), format!("{self}-tagged"))
    }
    /// The nft table that this instance owns in the host's namespace.
    pub fn host_table(&self) -> String {
        format!("hanok_{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_fit_the_kernel() {
        let p = Prefix::try_from("abcd".to_owned()).unwrap();
        for n in [p.tap(PortId::new()), p.leg_net(PortId::new()), p.uplink(NetworkId::new()), p.probes().1] {
            assert!(n.len() <= 15, "{n}");
        }
        assert!(Prefix::try_from("a-b".to_owned()).is_err());
    }
}
