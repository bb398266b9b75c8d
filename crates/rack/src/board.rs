//! What the rack has seen, for its reports: who asked to boot and what it got, strangers, other DHCP servers,
//! and what does not work on a segment.

use crate::dhcp::pool::Pool;
use crate::mac::Mac;
use crate::view::View;
use base::doc::rack::{Lease, SegmentStatus, Stranger};
use base::{MachineId, Micros, SegmentId};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Strangers are told of for so long after they last asked.
const STRANGER: Duration = Duration::from_secs(3600);
/// More are not remembered: anybody can make up MACs.
const STRANGERS_MAX: usize = 4096;
/// A DHCP server that is not heard of for so long is gone: twice it did not answer when it was asked for.
const FOREIGN: Duration = Duration::from_secs(150);
/// More are not remembered: anybody can make them up, and the first say what is wrong.
const FOREIGN_MAX: usize = 16;
/// That the addresses do not suffice is said for so long after somebody last got none.
const EXHAUSTED: Duration = Duration::from_secs(600);
/// More of those who got none are not remembered.
const WITHOUT_MAX: usize = 64;
/// And so many of them are named.
const NAMED: usize = 3;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What concerns the whole rack.
#[derive(Debug, Default)]
pub struct Board {
    boots: Mutex<HashMap<MachineId, (Micros, &'static str)>>,
    strangers: Mutex<HashMap<Mac, Stranger>>,
    /// Something is to be reported.
    pub news: Notify,
}

impl Board {
    /// A machine asked what to boot and got this.
    pub fn booted(&self, machine: MachineId, got: &'static str) {
        tracing::info!(%machine, got, "a machine boots from the network");
        lock(&self.boots).insert(machine, (Micros::now(), got));
        self.news.notify_one();
    }

    pub fn boot_of(&self, machine: MachineId) -> Option<(Micros, &'static str)> {
        lock(&self.boots).get(&machine).copied()
    }

    pub fn stranger(&self, seen: Stranger, mac: Mac) {
        let mut all = lock(&self.strangers);
        if let Some(known) = all.get_mut(&mac) {
            // Told again only when there is something new, or once in a while.
            let told = known.last_at;
            *known = Stranger {
                uuid: if seen.uuid.is_empty() { std::mem::take(&mut known.uuid) } else { seen.uuid },
                address: seen.address.or(known.address),
                first_at: known.first_at,
                ..seen
            };
            if known.last_at.since(told) < Duration::from_secs(10) {
                return;
            }
        } else {
            let now = seen.last_at;
            if all.len() >= STRANGERS_MAX {
                all.retain(|_, s| now.since(s.last_at) < STRANGER);
            }
            if all.len() >= STRANGERS_MAX {
                return;
            }
            tracing::info!(%mac, arch = seen.arch, "a stranger asks to boot");
            all.insert(mac, seen);
        }
        self.news.notify_one();
    }

    /// Those who are no machine of the document.
    pub fn strangers(&self, known: impl Fn(Mac) -> bool) -> Vec<Stranger> {
        let mut all = lock(&self.strangers);
        let now = Micros::now();
        all.retain(|mac, s| now.since(s.last_at) < STRANGER && !known(*mac));
        let mut list: Vec<_> = all.values().cloned().collect();
        list.sort_by(|a, b| a.mac.cmp(&b.mac));
        list
    }
}

/// What concerns one segment. Its servers share it.
#[derive(Debug)]
pub struct Segment {
    pub id: SegmentId,
    pub interface: String,
    pub view: watch::Sender<Arc<View>>,
    pub pool: Mutex<Pool>,
    pub board: Arc<Board>,
    foreign: Mutex<BTreeMap<IpAddr, Micros>>,
    /// Who asked for an address, got none, and has none yet.
    without: Mutex<HashMap<Mac, Micros>>,
    /// By the part that it concerns.
    trouble: Mutex<BTreeMap<&'static str, String>>,
}

impl Segment {
    pub fn new(view: Arc<View>, pool: Pool, board: Arc<Board>) -> Self {
        Segment {
            id: view.segment.id,
            interface: view.segment.interface.clone(),
            view: watch::Sender::new(view),
            pool: Mutex::new(pool),
            board,
            foreign: Mutex::default(),
            without: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Who holds what, and the time for questions about that.
    pub fn pool_now(&self) -> (MutexGuard<'_, Pool>, Micros) {
        let mut pool = lock(&self.pool);
        let now = Micros::now();
        pool.keep_time(Instant::now(), now);
        (pool, now)
    }

    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Another DHCP server answers here.
    pub fn foreign(&self, server: IpAddr) {
        let (now, mut all) = (Micros::now(), lock(&self.foreign));
        all.retain(|_, at| now.since(*at) < FOREIGN);
        if all.len() >= FOREIGN_MAX && !all.contains_key(&server) {
            return;
        }
        if all.insert(server, now).is_none() {
            tracing::info!(interface = self.interface, %server, "another DHCP server answers");
            self.board.news.notify_one();
        }
    }

    /// Somebody got no address. Says whether that is news.
    pub fn without(&self, mac: Mac) -> bool {
        let (now, mut all) = (Micros::now(), lock(&self.without));
        all.retain(|_, at| now.since(*at) <= EXHAUSTED);
        if all.len() >= WITHOUT_MAX && !all.contains_key(&mac) {
            return false;
        }
        let news = all.insert(mac, now).is_none();
        if news {
            self.board.news.notify_one();
        }
        news
    }

    /// Somebody got an address.
    pub fn has(&self, mac: Mac) {
        if lock(&self.without).remove(&mac).is_some() {
            self.board.news.notify_one();
        }
    }

    /// What to say of those who have no address; nothing once there are addresses again for them to ask for.
    fn short(&self, free: u64) -> Option<String> {
        let (now, mut all) = (Micros::now(), lock(&self.without));
        all.retain(|_, at| now.since(*at) <= EXHAUSTED);
        if free > 0 || all.is_empty() {
            return None;
        }
        let mut names: Vec<String> = all.keys().map(Mac::to_string).collect();
        names.sort();
        let more = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        Some(format!(
            "All addresses that may be leased are taken: {}{more} asked for one and got none. Make the range larger, \
             or wait until leases run out.",
            names.join(", ")
        ))
    }

    /// A part does not work, or works again.
    pub fn trouble(&self, part: &'static str, why: Option<String>) {
        let mut all = lock(&self.trouble);
        let before = match &why {
            Some(text) => all.insert(part, text.clone()),
            None => all.remove(part),
        };
        if before != why {
            if let Some(text) = why {
                tracing::warn!(interface = self.interface, "{text}");
            }
            self.board.news.notify_one();
        }
    }

    pub fn status(&self) -> SegmentStatus {
        let (view, now) = (self.view(), Micros::now());
        let mut foreign = lock(&self.foreign);
        foreign.retain(|_, at| now.since(*at) < FOREIGN);
        let foreign_dhcp: Vec<IpAddr> = foreign.keys().copied().collect();
        let mut reasons: Vec<String> = lock(&self.trouble).values().cloned().collect();
        if view.serves()
            && let Some(other) = foreign_dhcp.first()
        {
            reasons.push(format!(
                "Another DHCP server, {other}, answers on this network too: machines take addresses of either. Switch \
                 that one off, or set this segment's DHCP to proxy."
            ));
        }
        let free = {
            let (pool, now) = self.pool_now();
            pool.free(&view.v4, now)
        };
        reasons.extend(self.short(free).filter(|_| view.serves()));
        SegmentStatus { id: self.id, free, foreign_dhcp, reason: reasons.join(" ") }
    }

    pub fn leases(&self) -> Vec<Lease> {
        let (pool, now) = self.pool_now();
        let all = pool.leases(now).map(|(address, mac, hostname, expires_at)| Lease {
            segment: self.id,
            mac: mac.to_string(),
            address: address.into(),
            hostname: hostname.to_owned(),
            expires_at,
        });
        all.collect()
    }

    /// Whether an address is reached without a relay.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        let view = self.view();
        match address.to_canonical() {
            IpAddr::V4(a) => view.subnet4(a).is_some_and(|s| s.relays.is_empty()),
            IpAddr::V6(a) => a.is_unicast_link_local() || view.v6.iter().any(|s| s.cidr.contains(&a)),
        }
    }

    /// Which MAC asks from this address: whoever the kernel exchanges frames with, or, behind a relay, who holds the
    /// lease. On the link a lease says nothing: anybody can send from any address.
    pub async fn asker(&self, address: IpAddr) -> Option<Mac> {
        let address = address.to_canonical();
        if self.view().segment.subnets.iter().any(|s| s.address == address) {
            return None;
        }
        if self.is_on_link(address) {
            return crate::iface::asked(&self.interface, address).await;
        }
        match address {
            IpAddr::V4(a) => {
                let (pool, now) = self.pool_now();
                pool.holder(a, now)
            }
            IpAddr::V6(_) => None,
        }
    }
}
