//! The datapath: namespaces, bridges, taps, filters, routers, DHCP, RA and metadata on one host.
//!
//! ```text
//!   host's namespace                       hk-net-<id>  (one per network)
//!  ┌───────────────────┐        ┌─────────────────────────────────────────────────┐
//!  │ QEMU ─ fd of tap ─┼────────┼─ t<port> ─┐ anti-spoof, mark     169.254.169.254│
//!  │                   │        │           br0 ── DHCP, metadata, RA (our tasks) │
//!  │ vxlan's UDP socket┼────────┼─ vx0 ─────┤ only with other hosts               │
//!  │                   │        │  l<port> ─┘ security groups on br0's way        │
//!  │                   │        └──────┼──────────────────────────────────────────┘
//!  │                   │   r<port> ────┘    hk-rtr-<id>  (one per router)
//!  │                   │    addresses, forwarding, SNAT, floating addresses
//!  │                   │   r<port> ────┐
//!  │                   │        ┌──────┼──────────────────────────────────────────┐
//!  │                   │        │  l<port> ── br0    hk-net-<id>, external        │
//!  │ hk<network> ──────┼────────┼─ up0 ────────┘     (or a NIC, or a VLAN of one) │
//!  │ masquerading      │        └─────────────────────────────────────────────────┘
//!  └───────────────────┘
//! ```
//!
//! [`plan`] turns the document into what each namespace should hold, [`converge`] brings the kernel
//! there, [`serve`] answers the guests. What is there and not in the document goes, by its name.
//!
//! Invariants: a tap is up only after its filter is loaded; applying a document twice starts no
//! process; nothing outside of names with our prefix is touched.

mod converge;
mod dhcp4;
mod dhcp6;
mod door;
mod filter;
mod flows;
mod http;
mod kernel;
mod nat;
mod plan;
mod ra;
pub mod routes;
mod rules;
#[cfg(test)]
pub mod sample;
mod serve;
mod shape;
mod sockets;
mod space;
#[cfg(test)]
mod tests;
mod traffic;
mod underlay;
mod view;

use base::doc::{Desired, Guest, Network, Problem, RouterLeg};
use base::names::Prefix;
use base::{Fault, HostId, Kind, NetworkId, PortId, Result, ServerId};
use converge::{Converge, Known, Outcome};
pub use door::HostPort;
pub use flows::{Flow, Flows};
pub use http::Told;
use kernel::Kernel;
use serve::{NetServers, RouterServers};
use space::Mac;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::Mutex;
use view::NetView;

/// What applying the networks of a document came to.
#[derive(Debug, Default)]
pub struct NetReport {
    /// Ports of this host that are plugged and filtered as desired.
    pub ports_up: Vec<PortId>,
    pub problems: Vec<Problem>,
}

/// What an operator should read of a failure: our own has its substance in the cause.
fn reason(fault: &Fault) -> String {
    match (fault.kind, &fault.cause) {
        (Kind::Internal, Some(cause)) => cause.clone(),
        _ => fault.to_string(),
    }
}

/// The datapath of one host. Cheap to clone; one apply runs at a time.
#[derive(Clone)]
pub struct Datapath {
    prefix: Prefix,
    host: HostId,
    /// What guests may ask of the host itself.
    open: Arc<[HostPort]>,
    /// Where other hosts reach this one.
    tunnel: Option<IpAddr>,
    kernel: Arc<Kernel>,
    passwords: http::Passwords,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    known: Known,
    /// Guests that have come to this host while the document still has them on their way, under these numbers.
    arrived: BTreeMap<ServerId, u64>,
    networks: BTreeMap<String, NetServers>,
    routers: BTreeMap<String, RouterServers>,
}

impl Datapath {
    pub async fn start(prefix: Prefix, host: HostId, open: Vec<HostPort>) -> Result<Self> {
        let (kernel, state) = (Arc::default(), Arc::default());
        Ok(Datapath { prefix, host, open: open.into(), tunnel: None, kernel, passwords: None, state })
    }

    /// Tunnels to other hosts leave from this address of the host: it is by it that they know who sends.
    #[must_use]
    pub fn reached_at(self, tunnel: Option<IpAddr>) -> Self {
        Datapath { tunnel, ..self }
    }

    /// Guests' passwords go this way from now on.
    #[must_use]
    pub fn telling(self, passwords: tokio::sync::mpsc::Sender<http::Told>) -> Self {
        Datapath { passwords: Some(passwords), ..self }
    }

    /// Makes the kernel and the servers inside the namespaces equal to the document. Idempotent; what
    /// fails is reported and the rest goes on.
    pub async fn apply(&self, desired: &Desired) -> NetReport {
        let (prefix, kernel) = (self.prefix.clone(), self.kernel.clone());
        // The lock goes with the work: a caller that gives up waiting must not let a second one in.
        let mut state = self.state.clone().lock_owned().await;
        let arrivals: BTreeMap<ServerId, u64> =
            desired.guests.iter().filter_map(|g| Some((g.id, g.arrival.as_ref()?.number))).collect();
        state.arrived.retain(|id, number| arrivals.get(id) == Some(&*number));
        let coming: BTreeSet<ServerId> =
            arrivals.into_keys().filter(|id| !state.arrived.contains_key(id)).collect();
        let plan = plan::plan(&self.prefix, self.host, desired, &self.open, self.tunnel, &coming);
        self.take_leave(desired, &state);
        let work = move || {
            let before = kernel.starts();
            let outcome = Converge { kernel: &kernel, prefix: &prefix }.run(&plan, &mut state.known);
            let processes = kernel.starts() - before;
            tracing::debug!(processes, problems = outcome.problems.len(), "networks applied");
            (state, outcome)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((mut state, mut outcome)) => {
                self.serve(desired, &mut state, &mut outcome);
                NetReport { ports_up: outcome.ports_up, problems: outcome.problems }
            }
            Err(e) => {
                let (id, reason) = (self.host.to_string(), e.to_string());
                NetReport { ports_up: vec![], problems: vec![Problem { kind: "host".into(), id, reason }] }
            }
        }
    }

    /// A guest has arrived under this number: what is sent to it from here comes to its taps from now on, and not
    /// to the host that it left, as the next document says too. Cheap when it is known.
    ///
    /// # Errors
    /// The kernel's; the next [`Datapath::apply`] does it then.
    pub async fn take_in(&self, guest: &Guest, number: u64) -> Result<()> {
        let mut state = self.state.clone().lock_owned().await;
        if state.arrived.insert(guest.id, number) == Some(number) {
            return Ok(());
        }
        let (prefix, kernel) = (self.prefix.clone(), self.kernel.clone());
        let taps: Vec<(String, String, Mac)> = guest
            .nics
            .iter()
            .filter_map(|n| Some((prefix.network_ns(n.network), prefix.tap(n.port), Mac::parse(&n.mac)?)))
            .collect();
        let work = move || {
            let converge = Converge { kernel: &kernel, prefix: &prefix };
            let claims = taps.iter().map(|(ns, tap, mac)| converge.claim(ns, tap, *mac, &mut state.known));
            // Whatever becomes of one of them, the others are claimed.
            claims.fold(Ok(()), Result::and)
        };
        tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?
    }

    /// Routers whose legs go with this document say so while they still can.
    fn take_leave(&self, desired: &Desired, state: &State) {
        for (ns, servers) in &state.routers {
            let router = desired.routers.iter().find(|r| self.prefix.router_ns(r.id) == *ns);
            let stay = router.map(|r| view::adverts(&self.prefix, r, &desired.networks));
            servers.leave(ns, &stay.unwrap_or_default());
        }
    }

    /// Gives the servers their newest view; starts and ends them with their namespaces.
    fn serve(&self, desired: &Desired, state: &mut State, outcome: &mut Outcome) {
        let guests = view::guests(desired);
        let views: Vec<(&Network, Arc<NetView>)> = desired
            .networks
            .iter()
            .map(|n| (n, Arc::new(view::network(self.host, n, desired, &guests))))
            .collect();
        let mut problems = Vec::new();
        let mut problem = |kind: &str, id: String, e: Fault| {
            problems.push(Problem { kind: kind.into(), id, reason: reason(&e) });
        };
        let mut old = std::mem::take(&mut state.networks);
        for (network, view) in &views {
            let ns = self.prefix.network_ns(network.id);
            if outcome.bare.contains(&ns) {
                continue;
            }
            let running = old.remove(&ns).filter(|_| !outcome.fresh.contains(&ns));
            let done = match running {
                Some(mut servers) => servers.update(&ns, view.clone()).map(|()| servers),
                None => NetServers::start(&ns, view.clone(), &self.passwords),
            };
            match done {
                Ok(servers) => drop(state.networks.insert(ns, servers)),
                Err(e) => problem("network", network.id.to_string(), e),
            }
        }
        let mut old = std::mem::take(&mut state.routers);
        for router in &desired.routers {
            let ns = self.prefix.router_ns(router.id);
            let mut running = old.remove(&ns).filter(|_| !outcome.fresh.contains(&ns));
            let lost = |l: &RouterLeg| outcome.fresh.contains(&self.prefix.network_ns(l.network));
            if let Some(servers) = running.as_mut().filter(|_| router.legs.iter().any(lost)) {
                servers.forget_legs();
            }
            let running = running.map_or_else(|| RouterServers::start(&ns, &self.passwords), Ok);
            let directory = view::behind(router, views.iter().map(|(n, v)| (n.id, v.as_ref())));
            let adverts = view::adverts(&self.prefix, router, &desired.networks);
            match running.and_then(|mut servers| servers.update(&ns, directory, adverts).map(|()| servers)) {
                Ok(servers) => drop(state.routers.insert(ns, servers)),
                Err(e) => problem("router", router.id.to_string(), e),
            }
        }
        outcome.problems.extend(problems);
    }

    /// Those of the physical networks whose NIC is here: with the host, or lent to a network already.
    pub fn physical(&self, wanted: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let spaces = kernel::namespaces(&format!("{}-net-", self.prefix)).unwrap_or_default();
        let has = |device: &str| {
            let mut places = std::iter::once(None).chain(spaces.iter().map(|ns| Some(ns.as_str())));
            places.any(|ns| self.kernel.look(kernel::Tool::Ip, ns, &["link", "show", "dev", device]).is_ok())
        };
        let (here, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = wanted.into_iter().partition(|(_, d)| has(d));
        for (network, device) in gone {
            tracing::warn!(%network, %device, "this host has no such NIC, so it is not on that physical network");
        }
        here
    }

    /// Whether this host's kernel tags frames, so that VLANs can be had here.
    pub fn makes_vlans(&self) -> bool {
        self.kernel.makes_vlans(&self.prefix)
    }

    /// Opens the tap of a guest's port (already made by [`Datapath::apply`]) for QEMU.
    pub fn open_tap(&self, network: NetworkId, port: PortId) -> Result<OwnedFd> {
        kernel::open_tap(&self.prefix.network_ns(network), &self.prefix.tap(port))
    }

    /// What went over the tap of a guest's port, by the kernel's names such as `rx_bytes`.
    pub fn tap_counters(&self, network: NetworkId, port: PortId) -> Result<BTreeMap<String, u64>> {
        kernel::counters(&self.prefix.network_ns(network), &self.prefix.tap(port))
    }

    /// Removes everything in the kernel that carries this instance's prefix.
    pub async fn wipe(&self) -> Result<()> {
        let mut state = self.state.clone().lock_owned().await;
        let (prefix, kernel) = (self.prefix.clone(), self.kernel.clone());
        let work = move || {
            *state = State::default();
            Converge { kernel: &kernel, prefix: &prefix }.wipe()
        };
        tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?
    }
}
