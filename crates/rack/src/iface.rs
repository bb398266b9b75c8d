//! The rack's network interfaces, read and set with iproute2.

use crate::mac::Mac;
use crate::sockets;
use base::doc::rack::RackInterface;
use base::{Fault, Result};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Output;
use std::time::Duration;
use tokio::process::Command;

/// The port at which nobody minds (RFC 863).
const DISCARD: u16 = 9;
/// How often and after what pauses it is looked whether a neighbour has answered.
const ASKS: u32 = 10;
const ASK: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    ifindex: u32,
    #[serde(default)]
    ifname: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    link_type: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<ShownAddress>,
}

#[derive(Deserialize)]
struct ShownAddress {
    #[serde(default)]
    local: Option<IpAddr>,
    #[serde(default)]
    prefixlen: u8,
}

async fn ip(arguments: &[&str]) -> Result<Output> {
    let run = Command::new("ip").args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(10), run).await;
    let output = output.map_err(|_| Fault::internal("ip does not end"))??;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Fault::internal(format!("ip {}: {said}", arguments.join(" "))))
}

/// All Ethernet interfaces, each with the kernel's number: one that is made anew under its name has another.
pub async fn all() -> Result<Vec<(u32, RackInterface)>> {
    let shown: Vec<Shown> = serde_json::from_slice(&ip(&["-j", "address", "show"]).await?.stdout)?;
    let ether = shown.into_iter().filter(|s| s.link_type == "ether");
    Ok(ether
        .map(|s| {
            let interface = RackInterface {
                name: s.ifname,
                mac: s.address,
                // Administratively up, and a cable is in.
                up: s.flags.iter().any(|f| f == "UP") && !s.flags.iter().any(|f| f == "NO-CARRIER"),
                addresses: s
                    .addr_info
                    .iter()
                    .filter_map(|a| IpNet::new(a.local?, a.prefixlen).ok())
                    .collect(),
            };
            (s.ifindex, interface)
        })
        .collect())
}

/// Takes an address from an interface.
///
/// # Errors
/// When it has it not, or is not there.
pub async fn take(interface: &str, address: IpNet) -> Result<()> {
    // With the first IPv4 address of a network its others would go too, whoever gave them.
    let others = format!("/proc/sys/net/ipv4/conf/{interface}/promote_secondaries");
    let before = std::fs::read(&others).and_then(|before| std::fs::write(&others, "1").map(|()| before));
    let done = ip(&["address", "del", &address.to_string(), "dev", interface]).await;
    if let Ok(before) = before {
        let _ = std::fs::write(&others, before);
    }
    done.map(drop)
}

/// Gives an interface an address.
pub async fn give(interface: &RackInterface, address: IpAddr, net: IpNet) -> Result<()> {
    let text = format!("{address}/{}", net.prefix_len());
    let mut arguments = vec!["address", "replace", &text, "dev", &interface.name];
    if address.is_ipv6() {
        // It is ours to give: nobody is asked whether it is free, which would take a second.
        arguments.push("nodad");
    }
    ip(&arguments).await.map(drop)?;
    tracing::info!(interface = interface.name, %address, "the interface has got the rack's address");
    Ok(())
}

/// Whether this computer reaches the world, or its region at `region`, through an interface.
pub async fn is_way_out(interface: &str, region: Option<IpAddr>) -> bool {
    let region = region.filter(|r| !r.is_loopback()).map(|r| r.to_string());
    let mut ways = vec![vec!["-j", "route", "show", "default"], vec!["-j", "-6", "route", "show", "default"]];
    if let Some(region) = &region {
        ways.push(vec!["-j", "route", "get", region]);
    }
    for way in ways {
        let Ok(output) = ip(&way).await else { continue };
        let routes: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if routes.iter().any(|r| r["dev"] == interface) {
            return true;
        }
    }
    false
}

/// The MAC that answers for an address on an interface, as the kernel has just seen it.
pub async fn neighbour(interface: &str, address: IpAddr) -> Option<Mac> {
    if address.is_ipv4() {
        // Asked for every request of a machine, so no program is started for it.
        let table = std::fs::read_to_string("/proc/thread-self/net/arp").ok()?;
        return known(&table, interface, address);
    }
    let text = address.to_string();
    let output = ip(&["-j", "neighbour", "show", "to", &text, "dev", interface]).await.ok()?;
    let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
    found.first()?["lladdr"].as_str()?.parse().ok()
}

/// As [`neighbour`]; where the kernel has seen nobody, it asks first.
pub async fn asked(interface: &str, address: IpAddr) -> Option<Mac> {
    if let Some(mac) = neighbour(interface, address).await {
        return Some(mac);
    }
    let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Whatever is to be sent makes the kernel ask whose the address is.
    let socket = sockets::udp("The question for a neighbour", interface, any, 0).ok()?;
    let _ = socket.send_to(&[], (address, DISCARD));
    for _ in 0..ASKS {
        tokio::time::sleep(ASK).await;
        if let Some(mac) = neighbour(interface, address).await {
            return Some(mac);
        }
    }
    None
}

/// The entry of an address in the kernel's table (proc(5): address, type, flags, MAC, mask, device).
fn known(table: &str, interface: &str, address: IpAddr) -> Option<Mac> {
    let complete =
        |flags: &str| u32::from_str_radix(flags.trim_start_matches("0x"), 16).is_ok_and(|f| f & 2 != 0);
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ip, _, flags, mac, _, device] = words.as_slice() else { return None };
        let right = ip.parse() == Ok(address) && *device == interface && complete(flags);
        if right { mac.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_entries_of_the_interface_count() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     10.1.0.9         0x1         0x2         52:54:00:00:00:01     *        br0\n\
                     10.1.0.8         0x1         0x0         00:00:00:00:00:00     *        br0\n";
        let of = |device, ip: &str| known(table, device, ip.parse().unwrap()).map(|m| m.to_string());
        assert_eq!(of("br0", "10.1.0.9").as_deref(), Some("52:54:00:00:00:01"));
        assert_eq!((of("br0", "10.1.0.8"), of("eth0", "10.1.0.9")), (None, None));
    }
}
