//! Who holds which IPv4 address of a segment.
//!
//! A client is its MAC, whatever identifier it sends: firmware, loader and system of one machine send
//! different ones and should have one address. An address has one holder; it goes to another only when its
//! lease has run out, and the one that has been free longest goes first, so that a machine that comes back
//! mostly finds its own again. An address that a client found in use (DHCPDECLINE) rests for a while.
//!
//! Leases run by the time that goes, as at their clients, and not by what a clock says that may be set.

use super::answer::OWN_LEASE;
use crate::mac::Mac;
use crate::view::{Subnet4, View};
use base::{Micros, clock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How long an offer is kept for who asked.
const OFFER: Duration = Duration::from_secs(30);
/// How long an address rests that somebody else was found to use.
const DECLINED: Duration = Duration::from_secs(600);

/// A line of the journal: who holds an address, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub address: Ipv4Addr,
    /// Nobody: it rests.
    pub mac: Option<String>,
    #[serde(default)]
    pub hostname: String,
    pub until: Micros,
}

#[derive(Debug, Clone)]
struct Slot {
    mac: Option<Mac>,
    hostname: String,
    until: Micros,
    /// Only offered yet: not worth keeping on disk.
    offered: bool,
}

/// The leases of one segment.
#[derive(Debug, Default)]
pub struct Pool {
    slots: BTreeMap<Ipv4Addr, Slot>,
    /// A client's addresses; one for each subnet in which it has been.
    of: HashMap<Mac, Vec<Ipv4Addr>>,
    by_end: BTreeSet<(Micros, Ipv4Addr)>,
    /// Where the search for an address that was never given goes on, by the start of its range.
    next: HashMap<Ipv4Addr, u32>,
    /// Changes that are not in the journal yet.
    pub changed: Vec<Held>,
    /// When the clock was looked at last, and what it said.
    seen: Option<(Instant, Micros)>,
}

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum None4 {
    /// Every one of the ranges is taken.
    Exhausted,
    /// The subnet has no ranges, and the client no address of its own.
    NoRange,
}

impl Pool {
    /// With what a journal holds. It may have been written by a clock that was ahead.
    pub fn with(held: impl IntoIterator<Item = Held>, now: Micros) -> Self {
        let longest = now.plus(OWN_LEASE);
        let mut pool = Pool::default();
        for h in held {
            let mac = match h.mac.as_deref().map(str::parse) {
                Some(Ok(mac)) => Some(mac),
                Some(Err(())) => continue,
                None => None,
            };
            pool.put(
                h.address,
                Slot { mac, hostname: h.hostname, until: h.until.min(longest), offered: false },
            );
        }
        pool
    }

    /// Says what time it is, before anything else is asked. When the clock has jumped, all ends jump with it.
    pub fn keep_time(&mut self, at: Instant, now: Micros) {
        let Some((then, said)) = self.seen.replace((at, now)) else { return };
        let expected = said.plus(at.duration_since(then));
        let by = now.0.saturating_sub(expected.0);
        if by.abs() < clock::JUMP {
            return;
        }
        for slot in self.slots.values_mut() {
            slot.until = Micros(slot.until.0.saturating_add(by));
        }
        self.by_end = self.slots.iter().map(|(address, slot)| (slot.until, *address)).collect();
        self.changed = self.all().collect();
    }

    /// The address for an offer, kept for a moment.
    ///
    /// # Errors
    /// Why there is none.
    pub fn offer(
        &mut self,
        view: &View,
        subnet: &Subnet4,
        mac: Mac,
        wish: Option<Ipv4Addr>,
        now: Micros,
    ) -> Result<Ipv4Addr, None4> {
        let address = self.choose(view, subnet, mac, wish, now)?;
        let until = now.plus(OFFER);
        let bound =
            self.slots.get(&address).is_some_and(|s| s.mac == Some(mac) && !s.offered && s.until > now);
        if !bound {
            self.put(address, Slot { mac: Some(mac), hostname: String::new(), until, offered: true });
        }
        Ok(address)
    }

    /// Whether this client may have this address, and if so gives it.
    pub fn bind(
        &mut self,
        view: &View,
        subnet: &Subnet4,
        mac: Mac,
        address: Ipv4Addr,
        hostname: &str,
        lease: (Micros, Duration),
    ) -> bool {
        let (now, life) = lease;
        if self.choose(view, subnet, mac, Some(address), now) != Ok(address) {
            return false;
        }
        let slot = Slot { mac: Some(mac), hostname: hostname.into(), until: now.plus(life), offered: false };
        self.note(address, &slot);
        self.put(address, slot);
        true
    }

    fn choose(
        &mut self,
        view: &View,
        subnet: &Subnet4,
        mac: Mac,
        wish: Option<Ipv4Addr>,
        now: Micros,
    ) -> Result<Ipv4Addr, None4> {
        let fixed =
            view.own4(mac).into_iter().find(|a| subnet.cidr.contains(a) && self.may_have(*a, mac, now));
        if let Some(address) = fixed {
            return Ok(address);
        }
        let in_range = |a: &Ipv4Addr| {
            subnet.ranges.iter().any(|(first, last)| (first..=last).contains(&a))
                && !subnet.reserved.contains(a)
        };
        let before = self.of.get(&mac).into_iter().flatten().copied().find(in_range);
        if let Some(address) = before.filter(|a| self.may_have(*a, mac, now)) {
            return Ok(address);
        }
        if let Some(address) = wish.filter(in_range).filter(|a| self.may_have(*a, mac, now)) {
            return Ok(address);
        }
        if subnet.ranges.is_empty() {
            return Err(None4::NoRange);
        }
        self.never_given(subnet).or_else(|| self.longest_free(now, &in_range)).ok_or(None4::Exhausted)
    }

    fn may_have(&self, address: Ipv4Addr, mac: Mac, now: Micros) -> bool {
        self.slots.get(&address).is_none_or(|s| s.mac == Some(mac) || s.until <= now)
    }

    fn never_given(&mut self, subnet: &Subnet4) -> Option<Ipv4Addr> {
        for (first, last) in &subnet.ranges {
            let next = self.next.entry(*first).or_insert_with(|| first.to_bits());
            while *next <= last.to_bits() {
                let address = Ipv4Addr::from_bits(*next);
                if !self.slots.contains_key(&address) && !subnet.reserved.contains(&address) {
                    return Some(address);
                }
                *next = next.checked_add(1)?;
            }
        }
        None
    }

    fn longest_free(&self, now: Micros, good: &impl Fn(&Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        self.by_end.iter().take_while(|(until, _)| *until <= now).map(|(_, a)| *a).find(|a| good(a))
    }

    /// The client does not need it any more.
    pub fn release(&mut self, mac: Mac, address: Ipv4Addr, now: Micros) {
        self.end(mac, address, Some(mac), now);
    }

    /// The client found that somebody else uses it.
    pub fn decline(&mut self, mac: Mac, address: Ipv4Addr, now: Micros) {
        self.end(mac, address, None, now.plus(DECLINED));
    }

    fn end(&mut self, mac: Mac, address: Ipv4Addr, then: Option<Mac>, until: Micros) {
        if self.slots.get(&address).is_none_or(|s| s.mac != Some(mac)) {
            return;
        }
        let slot = Slot { mac: then, hostname: String::new(), until, offered: false };
        self.note(address, &slot);
        self.put(address, slot);
    }

    fn note(&mut self, address: Ipv4Addr, slot: &Slot) {
        self.changed.push(held(address, slot));
    }

    fn put(&mut self, address: Ipv4Addr, slot: Slot) {
        if let Some(old) = self.slots.remove(&address) {
            self.by_end.remove(&(old.until, address));
            self.forget(old.mac, address);
        }
        self.by_end.insert((slot.until, address));
        if let Some(mac) = slot.mac {
            self.of.entry(mac).or_default().push(address);
        }
        self.slots.insert(address, slot);
    }

    /// A client that has no address any more leaves nothing behind: anybody can ask under any number of MACs.
    fn forget(&mut self, mac: Option<Mac>, address: Ipv4Addr) {
        let Some(mac) = mac else { return };
        if let Some(list) = self.of.get_mut(&mac) {
            list.retain(|a| *a != address);
            if list.is_empty() {
                self.of.remove(&mac);
            }
        }
    }

    /// Who holds an address now.
    pub fn holder(&self, address: Ipv4Addr, now: Micros) -> Option<Mac> {
        self.slots.get(&address).filter(|s| !s.offered && s.until > now).and_then(|s| s.mac)
    }

    /// Leases that have not run out.
    pub fn leases(&self, now: Micros) -> impl Iterator<Item = (Ipv4Addr, Mac, &str, Micros)> {
        let bound = self.slots.iter().filter(move |(_, s)| !s.offered && s.until > now);
        bound.filter_map(|(a, s)| Some((*a, s.mac?, s.hostname.as_str(), s.until)))
    }

    /// What a new journal would hold. Leases that have run out are kept: their clients may come back.
    pub fn all(&self) -> impl Iterator<Item = Held> + '_ {
        self.slots.iter().filter(|(_, s)| !s.offered).map(|(a, s)| held(*a, s))
    }

    /// Addresses of the ranges that can be leased now.
    pub fn free(&self, subnets: &[Subnet4], now: Micros) -> u64 {
        let of = |s: &Subnet4| {
            let in_range = |a: &Ipv4Addr| s.ranges.iter().any(|(f, l)| (f..=l).contains(&a));
            let all: u64 =
                s.ranges.iter().map(|(f, l)| u64::from(l.to_bits()) - u64::from(f.to_bits()) + 1).sum();
            let reserved = s.reserved.iter().filter(|a| in_range(a)).count();
            let taken = self
                .slots
                .iter()
                .filter(|(a, slot)| slot.until > now && in_range(a) && !s.reserved.contains(a));
            all.saturating_sub((reserved + taken.count()) as u64)
        };
        subnets.iter().map(of).sum()
    }
}

fn held(address: Ipv4Addr, slot: &Slot) -> Held {
    let mac = slot.mac.map(|m| m.to_string());
    Held { address, mac, hostname: slot.hostname.clone(), until: slot.until }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_without_an_address_leave_nothing_behind() {
        let mut pool = Pool::default();
        let address = Ipv4Addr::new(10, 1, 0, 100);
        let slot = |n: u8, until| Slot {
            mac: Some(Mac([0x52, 0x54, 0, 0, 0, n])),
            hostname: String::new(),
            until: Micros(until),
            offered: false,
        };
        for n in 0..100 {
            pool.put(address, slot(n, i64::from(n)));
        }
        assert_eq!((pool.slots.len(), pool.of.len(), pool.by_end.len()), (1, 1, 1));
        pool.decline(Mac([0x52, 0x54, 0, 0, 0, 99]), address, Micros(50));
        assert!(pool.of.is_empty());
    }

    #[test]
    fn leases_do_not_jump_with_the_clock() {
        const HOUR: Duration = Duration::from_secs(3600);
        let (begun, now) = (Instant::now(), Micros(1_000_000_000_000));
        let (mac, address) = (Mac([0x52, 0x54, 0, 0, 0, 1]), Ipv4Addr::new(10, 1, 0, 100));
        let slot = Slot { mac: Some(mac), hostname: String::new(), until: now.plus(HOUR), offered: false };
        for to in [now.plus(HOUR * 5), now.minus(HOUR * 9)] {
            let mut pool = Pool::default();
            pool.put(address, slot.clone());
            pool.keep_time(begun, now);
            pool.keep_time(begun + HOUR / 2, now.plus(HOUR / 2));
            assert!(pool.changed.is_empty(), "time goes");
            pool.keep_time(begun + HOUR / 2, to);
            assert_eq!(pool.holder(address, to), Some(mac));
            assert_eq!(pool.changed[0].until, to.plus(HOUR / 2), "the journal is told");
            let end = to.plus(HOUR / 2);
            pool.keep_time(begun + HOUR, end);
            assert_eq!((pool.holder(address, end), pool.longest_free(end, &|_| true)), (None, Some(address)));
        }
    }

    #[test]
    fn what_a_clock_wrote_that_was_ahead_ends_in_time() {
        let (now, year) = (Micros(1_000_000_000_000), Duration::from_secs(365 * 24 * 3600));
        let address = Ipv4Addr::new(10, 1, 0, 100);
        let mac = Some("52:54:00:00:00:01".to_owned());
        let held = Held { address, mac, hostname: String::new(), until: now.plus(year) };
        let pool = Pool::with([held], now);
        assert!(pool.holder(address, now).is_some());
        assert_eq!(pool.holder(address, now.plus(Duration::from_secs(3600))), None);
    }
}
