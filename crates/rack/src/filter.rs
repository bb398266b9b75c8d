//! What machines may reach of this computer: DHCP, TFTP, HTTP for machines, DNS, and nothing else; and through
//! it: nothing, unless the rack is their gateway, and then not the networks that the rack itself is plugged to.
//! Machines that are hosts of this cloud are no tenant's: they reach the region and the host on this computer.
//!
//! An interface over which this computer is managed, or reaches the world or its region, is left open: its
//! network is not the machines' alone, and shutting it would lock people out. That is said in the log.

use crate::board::Segment;
use crate::iface;
use crate::link::Link;
use base::doc::rack::{HTTP_PORT, RackDesired, RackInterface};
use base::names::Prefix;
use base::{Fault, Result};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

/// Our table in the kernel.
pub struct Filter {
    name: String,
    /// What the kernel was told last.
    told: Mutex<Option<String>>,
    /// Interfaces of which it was said that they stay open.
    open: Mutex<BTreeSet<String>>,
}

impl Filter {
    pub fn new(prefix: &Prefix) -> Self {
        Filter { name: format!("{prefix}rack"), told: Mutex::default(), open: Mutex::default() }
    }

    /// Makes it so for the segments that are served.
    pub async fn apply(
        &self,
        link: &Link,
        doc: &RackDesired,
        shown: &[RackInterface],
        served: &[Arc<Segment>],
    ) {
        let region = region_address(link).await;
        let mut closed = Vec::new();
        for segment in served {
            let name = segment.interface.as_str();
            if !iface::is_way_out(name, region).await {
                closed.push(name);
            } else if self.open.lock().await.insert(name.to_owned()) {
                tracing::warn!(
                    interface = name,
                    "this computer is reached by the same interface as its machines, so they are not kept from it"
                );
            }
        }
        let text = rules(&self.name, &closed, doc, shown);
        let mut told = self.told.lock().await;
        if told.as_ref() == Some(&text) {
            return;
        }
        let done = nft(&text).await;
        let why = done.as_ref().err().map(|f| format!("Machines are not kept from this computer: {f}."));
        for segment in served {
            segment.trouble("filter", why.clone());
        }
        *told = done.is_ok().then_some(text);
    }

    /// Takes away what a rack left that was killed.
    ///
    /// # Errors
    /// When it stays.
    pub async fn wipe(&self) -> Result<()> {
        // Made first, so that it can be taken away where it is not.
        nft(&format!("table inet {name}\ndelete table inet {name}\n", name = self.name)).await
    }

    /// Takes the table away.
    pub async fn remove(&self) {
        if self.told.lock().await.take().is_some()
            && let Err(fault) = nft(&format!("delete table inet {}\n", self.name)).await
        {
            tracing::warn!("the rack's packet filter stays: {fault}");
        }
    }
}

async fn region_address(link: &Link) -> Option<IpAddr> {
    let found = tokio::net::lookup_host(link.authority()).await.ok()?.next();
    found.map(|a| a.ip())
}

fn rules(name: &str, closed: &[&str], doc: &RackDesired, shown: &[RackInterface]) -> String {
    let mut text = format!("table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n");
    let quoted: Vec<_> = closed.iter().map(|i| format!("\"{i}\"")).collect();
    let hosts: Vec<_> = doc.machines.iter().filter(|m| m.host).flat_map(|m| &m.nics).collect();
    let hosts = hosts.into_iter().map(|n| n.mac.as_str()).collect::<Vec<_>>().join(", ");
    let trusted =
        if hosts.is_empty() { String::new() } else { format!("ether saddr {{ {hosts} }} accept\n") };
    let _ = writeln!(
        text,
        "chain machines {{\n\
         meta l4proto {{ icmp, ipv6-icmp, igmp }} accept\n\
         udp dport {{ 53, 67, 68, 69, 547, 4011 }} accept\n\
         tcp dport {{ 53, {HTTP_PORT} }} accept\n\
         drop\n}}"
    );
    let _ = writeln!(text, "chain input {{\ntype filter hook input priority -5; policy accept;");
    if !quoted.is_empty() {
        let quoted = quoted.join(", ");
        let _ = writeln!(text, "iifname {{ {quoted} }} ct state established,related accept");
        for interface in closed {
            text.push_str(&to_others(interface, &trusted, doc, shown));
        }
        let _ = writeln!(text, "iifname {{ {quoted} }} goto machines");
    }
    let _ = writeln!(text, "}}\nchain forward {{\ntype filter hook forward priority -5; policy accept;");
    text.push_str("ct state established,related accept\n");
    for interface in closed.iter().filter(|_| !trusted.is_empty()) {
        let _ = write!(text, "iifname \"{interface}\" {trusted}");
    }
    for interface in closed {
        let own = |s: &&base::doc::rack::Segment| s.interface == **interface;
        let subnets = doc.segments.iter().filter(own).flat_map(|s| &s.subnets);
        let is_gateway = subnets.clone().any(|s| s.gateway == Some(s.address));
        let others = shown.iter().filter(|i| i.name != **interface).flat_map(|i| &i.addresses);
        if !is_gateway {
            let _ = writeln!(text, "iifname \"{interface}\" oifname != \"{interface}\" drop");
        }
        for net in others.filter(|_| is_gateway) {
            let family = if net.addr().is_ipv4() { "ip" } else { "ip6" };
            let net = net.trunc();
            let _ = writeln!(
                text,
                "iifname \"{interface}\" oifname != \"{interface}\" {family} daddr {net} drop"
            );
        }
    }
    text.push_str("}\n}\n");
    text
}

/// Linux answers on every interface for the addresses of all: machines reach only those that are theirs to reach.
fn to_others(interface: &str, trusted: &str, doc: &RackDesired, shown: &[RackInterface]) -> String {
    let own = shown.iter().filter(|i| i.name == interface).flat_map(|i| &i.addresses).copied();
    let meant = doc.segments.iter().filter(|s| s.interface == interface).flat_map(|s| &s.subnets);
    let meant = meant.filter_map(|s| IpNet::new(s.address, s.cidr.prefix_len()).ok());
    let mut four = vec!["224.0.0.0/4".to_owned(), "255.255.255.255".to_owned()];
    let mut six = vec!["fe80::/10".to_owned(), "ff00::/8".to_owned()];
    let all: BTreeSet<IpNet> = own.chain(meant).collect();
    for net in all {
        match net {
            IpNet::V4(n) => four.extend([n.addr().to_string(), n.broadcast().to_string()]),
            IpNet::V6(n) if n.addr().is_unicast_link_local() => {}
            IpNet::V6(n) => six.push(n.addr().to_string()),
        }
    }
    four.sort();
    four.dedup();
    let hosts = if trusted.is_empty() { String::new() } else { format!("iifname \"{interface}\" {trusted}") };
    format!(
        "{hosts}iifname \"{interface}\" ip daddr != {{ {} }} drop\n\
         iifname \"{interface}\" ip6 daddr != {{ {} }} drop\n",
        four.join(", "),
        six.join(", ")
    )
}

async fn nft(text: &str) -> Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Fault::unavailable("nft does not run; install Debian's nftables").because(e))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).await?;
    }
    let out = child.wait_with_output().await?;
    if out.status.success() {
        return Ok(());
    }
    Err(Fault::internal(String::from_utf8_lossy(&out.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_leads_out_and_not_to_its_own_networks() {
        let mut doc = crate::dhcp::tests::document();
        let management = RackInterface {
            name: "eth0".into(),
            mac: String::new(),
            up: true,
            addresses: vec!["10.9.0.4/24".parse().unwrap()],
        };
        let shown = [management];
        let text = rules("hkrack", &["eth1"], &doc, &shown);
        assert!(text.contains("iifname { \"eth1\" } goto machines"));
        let own = "iifname \"eth1\" ip daddr != { 10.1.0.1, 10.1.0.255, 224.0.0.0/4, 255.255.255.255 } drop";
        assert!(text.contains(own), "not the rack's other addresses: {text}");
        assert!(text.contains("iifname \"eth1\" oifname != \"eth1\" drop"));
        doc.segments[0].subnets[0].gateway = Some(doc.segments[0].subnets[0].address);
        let text = rules("hkrack", &["eth1"], &doc, &shown);
        assert!(!text.contains("oifname != \"eth1\" drop\n"));
        assert!(text.contains("oifname != \"eth1\" ip daddr 10.9.0.0/24 drop"));
        assert!(!rules("hkrack", &[], &doc, &shown).contains("goto"));
    }

    #[test]
    fn hosts_reach_more_than_other_machines() {
        let mut doc = crate::dhcp::tests::document();
        assert!(!rules("hkrack", &["eth1"], &doc, &[]).contains("ether saddr"));
        doc.machines[0].host = true;
        let text = rules("hkrack", &["eth1"], &doc, &[]);
        let mac = &doc.machines[0].nics[0].mac;
        let way = format!("iifname \"eth1\" ether saddr {{ {mac} }} accept\n");
        let (input, forward) = text.split_once("chain forward").unwrap();
        assert!(input.find(&way).unwrap() < input.find("ip daddr !=").unwrap(), "{text}");
        assert!(forward.find(&way).unwrap() < forward.find("oifname").unwrap(), "{text}");
    }
}
