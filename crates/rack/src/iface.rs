//! The rack's network interfaces, read and set with iproute2.

use crate::mac::Mac;
use base::doc::rack::RackInterface;
use base::{Fault, Result};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;
use std::process::Output;
use tokio::process::Command;

#[derive(Deserialize)]
struct Shown {
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
    let output = tokio::time::timeout(std::time::Duration::from_secs(10), run).await;
    let output = output.map_err(|_| Fault::internal("ip does not end"))??;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Fault::internal(format!("ip {}: {said}", arguments.join(" "))))
}

/// All Ethernet interfaces.
pub async fn all() -> Result<Vec<RackInterface>> {
    let shown: Vec<Shown> = serde_json::from_slice(&ip(&["-j", "address", "show"]).await?.stdout)?;
    let ether = shown.into_iter().filter(|s| s.link_type == "ether");
    Ok(ether
        .map(|s| RackInterface {
            name: s.ifname,
            mac: s.address,
            // Administratively up, and a cable is in.
            up: s.flags.iter().any(|f| f == "UP") && !s.flags.iter().any(|f| f == "NO-CARRIER"),
            addresses: s.addr_info.iter().filter_map(|a| IpNet::new(a.local?, a.prefixlen).ok()).collect(),
        })
        .collect())
}

/// Gives an interface an address, if it has it not.
pub async fn give(interface: &RackInterface, address: IpAddr, net: IpNet) -> Result<()> {
    if interface.addresses.iter().any(|a| a.addr() == address) {
        return Ok(());
    }
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
    let text = address.to_string();
    let output = ip(&["-j", "neighbour", "show", "to", &text, "dev", interface]).await.ok()?;
    let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
    found.first()?["lladdr"].as_str()?.parse().ok()
}
