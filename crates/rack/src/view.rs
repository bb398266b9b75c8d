//! What the servers of one segment look at: the region's document, sorted by what packets ask for.
//!
//! Made anew from every document and never changed, so that a server holds one for the time of a packet.

use crate::mac::Mac;
use base::doc::rack::{DhcpMode, LiveSystem, RackDesired, RackMachine, Segment};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A machine's network card.
#[derive(Debug, Clone)]
pub struct Card {
    pub machine: Arc<RackMachine>,
    pub v4: Vec<Ipv4Addr>,
    pub v6: Vec<Ipv6Addr>,
}

#[derive(Debug, Clone)]
pub struct Subnet4 {
    pub cidr: Ipv4Net,
    pub address: Ipv4Addr,
    pub gateway: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub ntp: Vec<Ipv4Addr>,
    pub ranges: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Bytes.
    pub mtu: u16,
    pub relays: Vec<Ipv4Addr>,
    /// Never leased from a range: ours, the gateway's, and those that belong to one machine.
    pub reserved: HashSet<Ipv4Addr>,
}

#[derive(Debug, Clone)]
pub struct Subnet6 {
    pub cidr: Ipv6Net,
    pub address: Ipv6Addr,
    pub gateway: Option<Ipv6Addr>,
    pub dns: Vec<Ipv6Addr>,
    pub ntp: Vec<Ipv6Addr>,
    pub ranges: Vec<(Ipv6Addr, Ipv6Addr)>,
    pub mtu: u32,
    pub reserved: HashSet<Ipv6Addr>,
}

/// A segment as its servers see it.
#[derive(Debug, Clone)]
pub struct View {
    pub segment: Segment,
    pub v4: Vec<Subnet4>,
    pub v6: Vec<Subnet6>,
    /// Machines of the whole rack: a cable may be plugged anywhere.
    pub cards: Arc<HashMap<Mac, Card>>,
    /// Addresses of MACs that are no machine's.
    pub fixed: Arc<HashMap<Mac, Vec<IpAddr>>>,
    pub live: Option<LiveSystem>,
    pub domain: String,
}

impl View {
    pub fn card(&self, mac: Mac) -> Option<&Card> {
        self.cards.get(&mac)
    }

    /// Addresses that are this MAC's and nobody else's.
    pub fn own4(&self, mac: Mac) -> Vec<Ipv4Addr> {
        let fixed = self.fixed.get(&mac).into_iter().flatten().filter_map(|a| v4(*a));
        self.card(mac).into_iter().flat_map(|c| c.v4.iter().copied()).chain(fixed).collect()
    }

    /// As [`View::own4`].
    pub fn own6(&self, mac: Mac) -> Vec<Ipv6Addr> {
        let fixed = self.fixed.get(&mac).into_iter().flatten().filter_map(|a| v6(*a));
        self.card(mac).into_iter().flat_map(|c| c.v6.iter().copied()).chain(fixed).collect()
    }

    /// The subnet of an address of ours or of a machine.
    pub fn subnet4(&self, address: Ipv4Addr) -> Option<&Subnet4> {
        self.v4.iter().find(|s| s.cidr.contains(&address))
    }

    /// Whether a network boot of this card is answered: it is known, or strangers are welcome.
    pub fn boots(&self, mac: Mac) -> bool {
        self.segment.enlist || self.cards.contains_key(&mac)
    }

    /// Whether this card is none of ours: guests on the same wire have their addresses from Networking, and boot
    /// from their disks.
    pub fn ignores(&self, mac: Mac) -> bool {
        mac.is_guests() && !self.cards.contains_key(&mac)
    }

    pub fn serves(&self) -> bool {
        self.segment.dhcp == DhcpMode::Serve
    }
}

/// All cards of the document's machines. A MAC that two machines have is the first one's.
pub fn cards(doc: &RackDesired) -> Arc<HashMap<Mac, Card>> {
    let mut all = HashMap::new();
    for machine in doc.machines.iter().cloned().map(Arc::new) {
        for nic in &machine.nics {
            let Ok(mac) = nic.mac.parse() else { continue };
            let v4 = nic.addresses.iter().filter_map(|a| v4(*a)).collect();
            let v6 = nic.addresses.iter().filter_map(|a| v6(*a)).collect();
            all.entry(mac).or_insert_with(|| Card { machine: machine.clone(), v4, v6 });
        }
    }
    Arc::new(all)
}

fn fixed(doc: &RackDesired) -> Arc<HashMap<Mac, Vec<IpAddr>>> {
    let mut all: HashMap<Mac, Vec<IpAddr>> = HashMap::new();
    for nic in &doc.fixed {
        if let Ok(mac) = nic.mac.parse() {
            all.entry(mac).or_default().extend(&nic.addresses);
        }
    }
    Arc::new(all)
}

/// One view for each segment of the document.
pub fn views(doc: &RackDesired) -> Vec<Arc<View>> {
    let (cards, fixed) = (cards(doc), fixed(doc));
    doc.segments.iter().map(|s| Arc::new(view(doc, s, &cards, &fixed))).collect()
}

fn view(
    doc: &RackDesired,
    segment: &Segment,
    cards: &Arc<HashMap<Mac, Card>>,
    fixed: &Arc<HashMap<Mac, Vec<IpAddr>>>,
) -> View {
    let (mut all4, mut all6) = (Vec::new(), Vec::new());
    for s in &segment.subnets {
        let of = |list: &[IpAddr]| list.iter().filter_map(|a| v4(*a)).collect::<Vec<_>>();
        let of6 = |list: &[IpAddr]| list.iter().filter_map(|a| v6(*a)).collect::<Vec<_>>();
        match (s.cidr, s.address) {
            (IpNet::V4(cidr), IpAddr::V4(address)) => {
                let gateway = s.gateway.and_then(v4);
                let kept = fixed.values().flatten().filter_map(|a| v4(*a));
                let own = cards.values().flat_map(|c| &c.v4).copied().chain(kept);
                let own = own.filter(|a| cidr.contains(a));
                let ends = [cidr.network(), cidr.broadcast()];
                let reserved = own.chain([address]).chain(gateway).chain(ends).collect();
                let ranges = s.ranges.iter().filter_map(|r| Some((v4(r.0)?, v4(r.1)?)));
                all4.push(Subnet4 {
                    cidr,
                    address,
                    gateway,
                    dns: if s.dns.is_empty() { vec![address] } else { of(&s.dns) },
                    ntp: of(&s.ntp),
                    ranges: ranges.filter(|(a, b)| a <= b && cidr.contains(a) && cidr.contains(b)).collect(),
                    mtu: u16::try_from(s.mtu).unwrap_or(0),
                    relays: of(&s.relays),
                    reserved,
                });
            }
            (IpNet::V6(cidr), IpAddr::V6(address)) => {
                let gateway = s.gateway.and_then(v6);
                let kept = fixed.values().flatten().filter_map(|a| v6(*a));
                let own = cards.values().flat_map(|c| &c.v6).copied().chain(kept);
                let own = own.filter(|a| cidr.contains(a));
                let reserved = own.chain([address]).chain(gateway).collect();
                let ranges = s.ranges.iter().filter_map(|r| Some((v6(r.0)?, v6(r.1)?)));
                all6.push(Subnet6 {
                    cidr,
                    address,
                    gateway,
                    dns: if s.dns.is_empty() { vec![address] } else { of6(&s.dns) },
                    ntp: of6(&s.ntp),
                    ranges: ranges.filter(|(a, b)| a <= b && cidr.contains(a) && cidr.contains(b)).collect(),
                    mtu: s.mtu,
                    reserved,
                });
            }
            _ => {}
        }
    }
    View {
        segment: segment.clone(),
        v4: all4,
        v6: all6,
        cards: cards.clone(),
        fixed: fixed.clone(),
        live: doc.live.clone(),
        domain: doc.domain.clone(),
    }
}

pub fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(_) => None,
    }
}

pub fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(a) => Some(a),
        IpAddr::V4(_) => None,
    }
}

/// [`cards`] of a document that may not have come yet.
pub fn cards_of(doc: Option<&RackDesired>) -> Arc<HashMap<Mac, Card>> {
    doc.map(cards).unwrap_or_default()
}
