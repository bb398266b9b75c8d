//! What the kernel knows of a running guest's connections: read on the host that it leaves, written on the one it
//! comes to.
//!
//! Rules of stateful groups look at the original direction of a connection. A host that sees one first in its
//! middle takes whoever speaks next for the caller, and shuts out answers that nobody may send unasked. So what
//! the kernel knows goes along, while the guest stands still.
//!
//! Only TCP and UDP, which have connections that last, and only what is not translated: in a network's namespace
//! nothing is. Another host is believed as far as an end of the connection is the guest's own address.

use super::Datapath;
use super::kernel::{Kernel, inside};
use base::doc::{Desired, Guest, Network, Port};
use base::{Fault, NetworkId, Result};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// So many go along at most; the rest finds out for itself.
const MOST: usize = 10_000;
/// The states of a TCP connection, as `conntrack` calls them.
const STATES: [&str; 9] = [
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

/// A connection, from who began it to the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub network: NetworkId,
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// One of TCP's, or none for UDP.
    pub state: Option<String>,
    /// It is forgotten when nothing comes for so long.
    pub seconds: u32,
    /// There was an answer.
    pub replied: bool,
    /// It goes last when there are too many.
    pub assured: bool,
}

/// The places of one guest's connections on a host.
pub struct Flows {
    kernel: Arc<Kernel>,
    places: Vec<Place>,
}

struct Place {
    network: NetworkId,
    ns: String,
    own: Vec<IpNet>,
}

impl Datapath {
    /// Where a guest's connections are.
    pub fn flows(&self, guest: &Guest, desired: &Desired) -> Flows {
        let mut own: BTreeMap<NetworkId, Vec<IpNet>> = BTreeMap::new();
        for nic in &guest.nics {
            let network = desired.networks.iter().find(|n| n.id == nic.network);
            let port = |n: &&Network| n.ports.iter().find(|p| p.id == nic.port).cloned();
            own.entry(nic.network)
                .or_default()
                .extend(network.as_ref().and_then(port).iter().flat_map(addresses));
        }
        let place = |(network, own)| Place { network, ns: self.prefix.network_ns(network), own };
        Flows { kernel: self.kernel.clone(), places: own.into_iter().map(place).collect() }
    }
}

fn addresses(port: &Port) -> Vec<IpNet> {
    let own = port.addresses.iter().map(|a| IpNet::from(a.address));
    own.chain(port.allowed_pairs.iter().map(|p| p.address)).collect()
}

impl Place {
    fn has(&self, flow: &Flow) -> bool {
        let own = |a: IpAddr| self.own.iter().any(|n| n.contains(&a));
        flow.network == self.network && (own(flow.from.ip()) || own(flow.to.ip()))
    }
}

impl Flows {
    /// What the kernel knows here.
    ///
    /// # Errors
    /// When a namespace is not there, or the kernel cannot be asked.
    pub async fn read(self) -> Result<Vec<Flow>> {
        let read = move || {
            let mut all = Vec::new();
            for place in &self.places {
                for family in ["ipv4", "ipv6"] {
                    let text = self.kernel.connections(&place.ns, family)?;
                    let flows = text.lines().filter_map(|l| parse(place.network, l));
                    all.extend(flows.filter(|f| place.has(f)));
                }
            }
            all.truncate(MOST);
            Ok(all)
        };
        tokio::task::spawn_blocking(read).await.map_err(Fault::internal)?
    }

    /// Has the kernel know them here, beside what it knows already.
    ///
    /// # Errors
    /// `BadRequest` for what is no connection of the guest; otherwise as [`Flows::read`].
    pub async fn write(self, all: Vec<Flow>) -> Result<()> {
        let state = |f: &Flow| f.state.as_ref().is_none_or(|s| STATES.contains(&s.as_str()));
        let known =
            |f: &Flow| state(f) && f.from.is_ipv4() == f.to.is_ipv4() && self.places.iter().any(|p| p.has(f));
        if all.len() > MOST || !all.iter().all(known) {
            return Err(Fault::bad_request("These are not connections of this guest."));
        }
        let write = move || {
            for place in &self.places {
                let lines: String = all.iter().filter(|f| f.network == place.network).map(line).collect();
                self.kernel.know_connections(&place.ns, &lines)?;
            }
            Ok(())
        };
        tokio::task::spawn_blocking(write).await.map_err(Fault::internal)?
    }
}

impl Kernel {
    /// What `conntrack` prints in the form in which it takes it again.
    pub fn connections(&self, ns: &str, family: &str) -> Result<String> {
        let output = inside(ns, || self.run("conntrack", &["-L", "-f", family, "-o", "save"], ""))??;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Fault::internal(format!("conntrack: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// One that is there already is left as it is.
    fn know_connections(&self, ns: &str, lines: &str) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let output = inside(ns, || self.run("conntrack", &["-R", "-"], lines))??;
        if output.status.success() {
            return Ok(());
        }
        Err(Fault::internal(format!("conntrack: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }
}

/// A line such as `-A -t 300 -u SEEN_REPLY,ASSURED -s 10.0.0.1 -d 10.0.0.2 … -p tcp --sport 33 --dport 44 …`.
/// `None` for other protocols.
fn parse(network: NetworkId, line: &str) -> Option<Flow> {
    let words: Vec<_> = line.split_whitespace().collect();
    let after = |flag: &str| words.iter().position(|w| *w == flag).and_then(|at| words.get(at + 1)).copied();
    let end = |address: &str, port: &str| -> Option<SocketAddr> {
        Some(SocketAddr::new(after(address)?.parse().ok()?, after(port)?.parse().ok()?))
    };
    let state = match after("-p")? {
        "tcp" => Some(after("--state")?.to_owned()),
        "udp" => None,
        _ => return None,
    };
    let marks = after("-u").unwrap_or_default();
    Some(Flow {
        network,
        from: end("-s", "--sport")?,
        to: end("-d", "--dport")?,
        state,
        seconds: after("-t")?.parse().ok()?,
        replied: marks.contains("SEEN_REPLY"),
        assured: marks.contains("ASSURED"),
    })
}

fn line(flow: &Flow) -> String {
    let mut text = format!("-A -t {}", flow.seconds);
    let marks = [(flow.replied, "SEEN_REPLY"), (flow.assured, "ASSURED")];
    let marks: Vec<_> = marks.iter().filter(|(is, _)| *is).map(|(_, m)| *m).collect();
    if !marks.is_empty() {
        let _ = write!(text, " -u {}", marks.join(","));
    }
    let (from, to) = (flow.from, flow.to);
    let _ = write!(text, " -s {} -d {} -r {} -q {}", from.ip(), to.ip(), to.ip(), from.ip());
    let protocol = if flow.state.is_some() { "tcp" } else { "udp" };
    let _ = write!(text, " -p {protocol} --sport {} --dport {}", from.port(), to.port());
    let _ = write!(text, " --reply-port-src {} --reply-port-dst {}", to.port(), from.port());
    if let Some(state) = &flow.state {
        let _ = write!(text, " --state {state}");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
-A -t 431999 -u SEEN_REPLY,ASSURED -s 10.0.0.5 -d 10.0.0.6 -r 10.0.0.6 -q 10.0.0.5 -p tcp --sport 40000 --dport 80 --reply-port-src 80 --reply-port-dst 40000 --state ESTABLISHED
-A -t 29 -s fd42::9 -d fd42::5 -r fd42::5 -q fd42::9 -p udp --sport 5353 --dport 53 --reply-port-src 53 --reply-port-dst 5353
";

    #[test]
    fn what_is_read_is_written_alike() {
        let network = NetworkId(uuid::Uuid::from_u128(1));
        let flows: Vec<_> = SAID.lines().map(|l| parse(network, l).unwrap()).collect();
        assert_eq!(flows[0].from, "10.0.0.5:40000".parse().unwrap());
        assert!(flows[0].assured && !flows[1].replied);
        assert_eq!(flows.iter().map(line).collect::<String>(), SAID);
        let icmp = "-A -t 29 -s 10.0.0.5 -d 10.0.0.6 -r 10.0.0.6 -q 10.0.0.5 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 7";
        assert_eq!(parse(network, icmp), None);
    }

    #[tokio::test]
    async fn another_host_is_not_believed_about_others() {
        let network = NetworkId(uuid::Uuid::from_u128(1));
        let place = || Place { network, ns: "none".into(), own: vec!["10.0.0.5/32".parse().unwrap()] };
        let flows = || Flows { kernel: Arc::default(), places: vec![place()] };
        let good = parse(network, SAID.lines().next().unwrap()).unwrap();
        for odd in [
            Flow { from: "10.0.0.7:1".parse().unwrap(), ..good.clone() },
            Flow { network: NetworkId(uuid::Uuid::from_u128(2)), ..good.clone() },
            Flow { state: Some("OPEN\n-D".into()), ..good.clone() },
            Flow { to: "[fd42::5]:80".parse().unwrap(), ..good.clone() },
        ] {
            let fault = flows().write(vec![odd]).await.unwrap_err();
            assert_eq!(fault.kind, base::Kind::BadRequest, "{fault}");
        }
        let fault = flows().write(vec![good]).await.unwrap_err();
        assert_eq!(fault.kind, base::Kind::Unavailable, "the namespace is not there: {fault}");
    }
}
