//! The servers of each segment: started when the document names it and its interface is there, told of every
//! new document, and ended when it goes.

use crate::board::{Segment, lock};
use crate::content::Content;
use crate::dhcp::{self, journal::Journal};
use crate::dns;
use crate::filter::Filter;
use crate::http::{self, Seat};
use crate::leave::Given;
use crate::mac::Mac;
use crate::view::{View, views};
use crate::{Rack, iface, tftp, v6};
use base::doc::rack::{self, DhcpMode, RackDesired, RackInterface, RackSubnet, SegmentStatus};
use base::names::Prefix;
use base::{Fault, Result, SegmentId};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// Where Debian's `ipxe` package has the loader for network cards under BIOS.
const ROM_LOADERS: [&str; 2] = ["/usr/lib/ipxe/undionly.kpxe", "/usr/lib/ipxe/undionly.kkpxe"];

/// All segments of the rack.
pub struct Segments {
    /// Which interfaces may be used; empty: any.
    interfaces: Vec<String>,
    dir: PathBuf,
    running: Mutex<BTreeMap<SegmentId, Running>>,
    /// Segments that cannot be served, with the reason.
    idle: Mutex<BTreeMap<SegmentId, String>>,
    filter: Filter,
    given: Given,
}

/// Ends a task when it is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Running {
    segment: Arc<Segment>,
    /// The interface by the kernel's number. Sockets belong to it, and hear nothing of one that comes in its place.
    number: u32,
    /// The interface's MAC, which a bridge may change.
    mac: Mac,
    /// DHCP, while it is wanted.
    dhcp: Option<dhcp::serve::Server>,
    probe: Option<Task>,
    /// DHCP for IPv6, while there are such subnets.
    dhcp6: Option<Task>,
    /// Router advertisements, while addresses are given.
    adverts: Option<Task>,
    /// What runs at each of our addresses.
    servers: HashMap<(IpAddr, Part), Vec<Task>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Http,
    Tftp,
    Dns,
}

const PARTS: [Part; 3] = [Part::Http, Part::Tftp, Part::Dns];

fn start(
    part: Part,
    rack: &Arc<Rack>,
    segment: &Arc<Segment>,
    address: IpAddr,
) -> Result<Vec<JoinHandle<()>>> {
    match part {
        Part::Http => Ok(vec![http::start(rack.clone(), segment.clone(), address)?]),
        Part::Tftp => {
            let seat = Seat { rack: rack.clone(), segment: segment.clone(), address };
            let find = move |name: String, from: std::net::SocketAddr| {
                let seat = seat.clone();
                async move { tftp_file(&seat, &name, from.ip()).await }
            };
            Ok(vec![tftp::start(&segment.interface, address, find)?])
        }
        Part::Dns => dns::start(rack.clone(), segment, address),
    }
}

impl Segments {
    /// Keeps leases in a directory within `data`.
    pub fn new(prefix: Prefix, interfaces: Vec<String>, data: &Path) -> Result<Self> {
        let dir = data.join("leases");
        std::fs::create_dir_all(&dir)?;
        let (filter, given) = (Filter::new(&prefix), Given::open(data)?);
        Ok(Segments { interfaces, dir, running: Mutex::default(), idle: Mutex::default(), filter, given })
    }

    pub fn all(&self) -> Vec<Arc<Segment>> {
        lock(&self.running).values().map(|r| r.segment.clone()).collect()
    }

    pub fn statuses(&self) -> Vec<SegmentStatus> {
        let mut all: Vec<_> = self.all().iter().map(|s| s.status()).collect();
        all.extend(lock(&self.idle).iter().map(|(id, reason)| SegmentStatus {
            id: *id,
            free: 0,
            foreign_dhcp: Vec::new(),
            reason: reason.clone(),
        }));
        all
    }

    /// Makes it so.
    pub async fn apply(&self, rack: &Arc<Rack>, doc: &RackDesired) {
        let (numbers, mut shown): (Vec<u32>, Vec<RackInterface>) = match iface::all().await {
            Ok(all) => all.into_iter().unzip(),
            // What runs stays: that nothing can be looked at does not mean that it has gone.
            Err(fault) => return tracing::warn!("the network interfaces cannot be looked at: {fault}"),
        };
        let mut idle = BTreeMap::new();
        // Those that go first: another segment may have got their interface.
        lock(&self.running).retain(|id, r| {
            let name = &r.segment.interface;
            let same = shown.iter().zip(&numbers).any(|(i, number)| i.name == *name && *number == r.number);
            same && doc.segments.iter().any(|s| s.id == *id && s.interface == *name)
        });
        // Before new ones are given: the same address may have moved to another interface.
        if let Err(fault) = self.given.take_unwanted(&mut shown, &wanted(doc)).await {
            tracing::warn!("an address of the rack is not wanted any more and stays for now: {fault}");
        }
        for view in views(doc) {
            let id = view.segment.id;
            let done = match self.interface(&shown, &view.segment.interface) {
                Ok(at) => self.serve(rack, view, &shown[at], numbers[at]).await,
                Err(fault) => {
                    lock(&self.running).remove(&id);
                    Err(fault)
                }
            };
            if let Err(fault) = done {
                idle.insert(id, fault.message);
            }
        }
        self.filter.apply(&rack.link, doc, &shown, &self.all()).await;
        let mut known = lock(&self.idle);
        if *known != idle {
            for (id, reason) in &idle {
                tracing::warn!(segment = %id, "{reason}");
            }
            *known = idle;
        }
    }

    /// Which of the interfaces it is.
    fn interface(&self, shown: &[RackInterface], name: &str) -> Result<usize> {
        if !self.interfaces.is_empty() && !self.interfaces.iter().any(|i| i == name) {
            let may = self.interfaces.join(", ");
            return Err(Fault::unavailable(format!(
                "This rack may not use the interface {name}, only {may}."
            )));
        }
        let found = shown.iter().position(|i| i.name == name);
        found.ok_or_else(|| Fault::unavailable(format!("This rack has no interface {name}.")))
    }

    async fn serve(
        &self,
        rack: &Arc<Rack>,
        view: Arc<View>,
        interface: &RackInterface,
        number: u32,
    ) -> Result<()> {
        let mac = interface.mac.parse().unwrap_or(Mac([0; 6]));
        let segment = self.open(rack, &view, number, mac)?;
        segment.view.send_replace(view.clone());
        let down = format!("The interface {} is down, or no cable is in it.", interface.name);
        segment.trouble("interface", (!interface.up).then_some(down));
        let (addresses, trouble) = self.own_addresses(&view, interface).await;
        segment.trouble("address", trouble);
        let started = self.dhcp(&segment, &view, mac);
        segment.trouble("dhcp", started.err().map(|f| f.message));
        let started = self.listen(rack, &segment, &addresses);
        segment.trouble("listen", started.err().map(|f| f.message));
        Ok(())
    }

    /// The segment with its leases. They stay open while it is there, whatever DHCP does.
    fn open(&self, rack: &Arc<Rack>, view: &Arc<View>, number: u32, mac: Mac) -> Result<Arc<Segment>> {
        let mut all = lock(&self.running);
        let id = view.segment.id;
        if let Some(running) = all.get(&id) {
            return Ok(running.segment.clone());
        }
        let (_, pool) = Journal::open(&self.journal(id))?;
        let segment = Arc::new(Segment::new(view.clone(), pool, rack.board.clone()));
        let running = Running {
            segment: segment.clone(),
            number,
            mac,
            dhcp: None,
            probe: None,
            dhcp6: None,
            adverts: None,
            servers: HashMap::new(),
        };
        all.insert(id, running);
        Ok(segment)
    }

    fn journal(&self, id: SegmentId) -> PathBuf {
        self.dir.join(format!("{id}.jsonl"))
    }

    fn dhcp(&self, segment: &Arc<Segment>, view: &View, mac: Mac) -> Result<()> {
        let mut all = lock(&self.running);
        let Some(running) = all.get_mut(&segment.id) else { return Ok(()) };
        if !view.serves() || std::mem::replace(&mut running.mac, mac) != mac {
            // The advertisements of another MAC would name a router that is not there.
            (running.dhcp6, running.adverts) = (None, None);
        }
        if view.segment.dhcp == DhcpMode::Off {
            (running.dhcp, running.probe) = (None, None);
            return Ok(());
        }
        if running.dhcp.is_none() {
            let (journal, pool) = Journal::open(&self.journal(segment.id))?;
            *lock(&segment.pool) = pool;
            running.dhcp = Some(dhcp::serve::start(segment.clone(), journal, mac)?);
            running.probe = Some(Task(tokio::spawn(dhcp::probe::run(segment.clone()))));
        }
        if view.serves() && running.adverts.is_none() {
            match v6::start_adverts(segment, mac) {
                Ok(task) => running.adverts = Some(Task(task)),
                Err(fault) if !view.v6.is_empty() => return Err(fault),
                // An interface without IPv6 has nobody to tell.
                Err(_) => {}
            }
        }
        if view.v6.is_empty() {
            running.dhcp6 = None;
        } else if view.serves() && running.dhcp6.is_none() {
            running.dhcp6 = Some(Task(v6::serve_dhcp(segment, mac)?));
        }
        Ok(())
    }

    /// Starts what does not run yet at our addresses. What cannot be started keeps nothing else from it.
    fn listen(&self, rack: &Arc<Rack>, segment: &Arc<Segment>, addresses: &[IpAddr]) -> Result<()> {
        let mut all = lock(&self.running);
        let Some(running) = all.get_mut(&segment.id) else { return Ok(()) };
        running.servers.retain(|(a, _), _| addresses.contains(a));
        let mut failed = Ok(());
        for address in addresses {
            for part in PARTS {
                if running.servers.contains_key(&(*address, part)) {
                    continue;
                }
                match start(part, rack, segment, *address) {
                    Ok(tasks) => {
                        let tasks = tasks.into_iter().map(Task).collect();
                        running.servers.insert((*address, part), tasks);
                    }
                    Err(fault) => failed = Err(fault),
                }
            }
        }
        failed
    }

    /// Our addresses on the segment, and why one of them is not there.
    async fn own_addresses(&self, view: &View, interface: &RackInterface) -> (Vec<IpAddr>, Option<String>) {
        let (mut addresses, mut trouble) = (Vec::new(), None);
        for subnet in view.segment.subnets.iter().filter(|s| s.relays.is_empty()) {
            addresses.push(subnet.address);
            if interface.addresses.iter().any(|a| a.addr() == subnet.address) {
                continue;
            }
            // Beside somebody else's DHCP server the network, and our address on it, are theirs.
            trouble = if view.segment.dhcp == DhcpMode::Proxy {
                Some(format!("{} does not have the rack's address {}.", interface.name, subnet.address))
            } else {
                self.give(interface, subnet.address, subnet.cidr).await.err().map(|f| f.to_string())
            };
        }
        (addresses, trouble)
    }

    async fn give(&self, interface: &RackInterface, address: IpAddr, net: IpNet) -> Result<()> {
        self.given.note(&interface.name, IpNet::new_assert(address, net.prefix_len()))?;
        iface::give(interface, address, net).await
    }

    /// Ends all servers.
    pub async fn stop(&self) {
        lock(&self.running).clear();
        self.filter.remove().await;
    }
}

/// The rack's addresses on its interfaces by the document.
fn wanted(doc: &RackDesired) -> BTreeSet<(String, IpNet)> {
    let own = |s: &RackSubnet| IpNet::new(s.address, s.cidr.prefix_len()).ok();
    let of = |s: &rack::Segment| {
        let near = s.subnets.iter().filter(|s| s.relays.is_empty()).filter_map(own);
        near.map(|net| (s.interface.clone(), net)).collect::<Vec<_>>()
    };
    doc.segments.iter().flat_map(of).collect()
}

/// What firmware fetches by TFTP.
async fn tftp_file(seat: &Seat, name: &str, from: IpAddr) -> Result<tftp::Found> {
    if name == dhcp::answer::ROM_LOADER {
        let loader = ROM_LOADERS.iter().find_map(|p| File::open(p).ok()).ok_or_else(|| {
            Fault::not_found(
                "The loader for network cards under BIOS is missing: on the rack, `apt install ipxe`.",
            )
        })?;
        return Ok(tftp::Found { content: Content::file(Arc::new(loader))?, only: None });
    }
    let mac = name.strip_prefix("boot/").and_then(|n| n.strip_suffix(".efi"));
    let mac = mac.ok_or_else(|| Fault::not_found("There is no such file."))?;
    let mut asker = http::asker(seat, mac, from).await?;
    asker.arch = 7;
    let content = http::program(&seat.rack, &seat.segment, &asker).await?;
    Ok(tftp::Found { content, only: seat.segment.is_on_link(from).then_some(asker.mac) })
}
