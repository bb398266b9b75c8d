//! What guests may ask of the host itself.
//!
//! The host has an address on each external network that hangs on it (it is the gateway there), so
//! whatever listens on all its addresses would listen to every guest: its ssh, its database. Only what
//! is named may be asked; connections that the host makes to guests, and ping, work all the same.

use super::rules::{Rules, Table, join};
use base::Fault;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A port of this machine: `tcp/5240`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    pub udp: bool,
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        let wrong =
            || Fault::bad_request(format!("{text:?} is not a port such as \"tcp/3128\" or \"udp/53\"."));
        let (protocol, port) = text.split_once('/').ok_or_else(wrong)?;
        let udp = match protocol {
            "tcp" => false,
            "udp" => true,
            _ => return Err(wrong()),
        };
        let port = port.parse().ok().filter(|p| *p > 0).ok_or_else(wrong)?;
        Ok(HostPort { udp, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", if self.udp { "udp" } else { "tcp" }, self.port)
    }
}

/// Adds the rules for what comes in by these devices; the table is named either way, so that one of an
/// earlier run goes.
pub fn close(rules: &mut Rules, table: &str, uplinks: &[String], open: &[HostPort]) {
    let name = format!("inet {table}");
    if uplinks.is_empty() {
        return;
    }
    let devices = join(uplinks.iter().map(|d| format!("\"{d}\"")));
    let mut body = String::from(
        "ct state established,related accept\nicmp type echo-request accept\n\
         icmpv6 type { 1, 2, 3, 4, 128, 133, 135, 136 } accept\n",
    );
    for (protocol, udp) in [("tcp", false), ("udp", true)] {
        let ports: Vec<_> = open.iter().filter(|p| p.udp == udp).map(|p| p.port).collect();
        if !ports.is_empty() {
            let _ = writeln!(body, "{protocol} dport {{ {} }} accept", join(ports.iter()));
        }
    }
    let chains = format!(
        "chain from_guests {{\n{body}reject with icmpx type admin-prohibited\n}}\n\
         chain input {{\ntype filter hook input priority 0; policy accept;\niifname {{ {devices} }} jump from_guests\n}}\n"
    );
    rules.tables.insert(name, Table { chains, ..Table::default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_read_and_print() {
        for text in ["tcp/5240", "udp/53"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        for bad in ["", "5240", "tcp/", "tcp/0", "tcp/65536", "icmp/1"] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }
}
