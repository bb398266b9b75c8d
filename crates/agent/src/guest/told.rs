//! Tells running guests their routes, through the agent inside them.
//!
//! A task per guest that has any waits for a change, then makes the guest's routes equal to what is
//! wanted: `ip route replace` for each, marked with a protocol number of ours, and removal of those with
//! that mark which are not wanted any more, or which were wanted before and came by DHCP. So only what we
//! told is ever touched, applying twice changes nothing, and nothing has to be remembered about a guest.
//! A default route is DHCP's and the guest's own business. Guests without an agent, or without `ip`,
//! learn from DHCP when they renew their lease (see [`crate::net`]).

use super::Dir;
use super::qga::Qga;
use crate::host::Host;
use crate::net::routes::{self, Routes};
use base::doc::{Desired, Power};
use base::{Backoff, Fault, Result, ServerId};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Marks our routes in guests (`ip route … proto`).
const PROTOCOL: &str = "186";
/// How often a guest is tried: it may be booting, and most have no agent. Some ten minutes in all.
const TRIES: u32 = 24;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a guest should have. A new start of it counts as a change: it has forgotten.
#[derive(Debug, Clone, Default, PartialEq)]
struct Want {
    /// By the MAC of the NIC.
    routes: BTreeMap<String, Routes>,
    boots: u64,
    on: bool,
}

fn wants(desired: &Desired) -> HashMap<ServerId, Want> {
    let want = |g: &base::doc::Guest| {
        let mut routes = routes::of_guest(g, desired);
        routes.values_mut().for_each(|r| r.retain(|to, _| to.prefix_len() > 0));
        routes.retain(|_, r| !r.is_empty());
        Want { routes, boots: g.boots, on: g.power == Power::On }
    };
    desired.guests.iter().map(|g| (g.id, want(g))).collect()
}

/// Goes on for ever.
pub async fn keep(host: Arc<Host>) {
    let mut desired = host.desired.subscribe();
    let mut lines: HashMap<ServerId, watch::Sender<Want>> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let document = desired.borrow_and_update().clone();
        let mut now = document.map(|d| wants(&d)).unwrap_or_default();
        // A task ends with its line.
        lines.retain(|id, line| match now.remove(id) {
            None => false,
            Some(want) => {
                line.send_if_modified(|old| {
                    let new = *old != want;
                    *old = want;
                    new
                });
                true
            }
        });
        for (id, want) in now.into_iter().filter(|(_, w)| !w.routes.is_empty()) {
            let (line, hear) = watch::channel(want);
            tasks.spawn(tell(Dir::of(&host.data, id), hear));
            lines.insert(id, line);
        }
        while tasks.try_join_next().is_some() {}
        if desired.changed().await.is_err() {
            return;
        }
    }
}

async fn tell(dir: Dir, mut hear: watch::Receiver<Want>) {
    let mut told = Want::default();
    loop {
        let want = hear.borrow_and_update().clone();
        if want.on && tell_one(&dir, &told, &want, &mut hear).await {
            told = want;
        }
        if hear.changed().await.is_err() {
            return;
        }
    }
}

/// Tries until the guest has what is wanted; false when that changed meanwhile, or it is given up.
async fn tell_one(dir: &Dir, told: &Want, want: &Want, hear: &mut watch::Receiver<Want>) -> bool {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    while backoff.tries() < TRIES {
        match apply(dir, &told.routes, &want.routes).await {
            Ok(()) => return true,
            Err(fault) => tracing::debug!(guest = %dir.id, "routes could not be told: {fault}"),
        }
        tokio::select! {
            changed = hear.changed() => {
                // It is looked at anew by the caller, who waits for a change.
                if changed.is_ok() {
                    hear.mark_changed();
                }
                return false;
            }
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
    false
}

/// A route inside a guest: where to, by what, on which interface.
type Entry = (IpNet, IpAddr, String);

async fn apply(dir: &Dir, told: &BTreeMap<String, Routes>, want: &BTreeMap<String, Routes>) -> Result<()> {
    let mut agent = Qga::connect(dir).await?;
    let mut names: HashMap<String, String> = HashMap::new();
    for i in agent.interfaces().await? {
        names.insert(i.mac, i.name);
    }
    let named = |all: &BTreeMap<String, Routes>| -> BTreeSet<Entry> {
        let on = |(mac, routes): (&String, &Routes)| {
            let name = names.get(mac).filter(|n| is_sane(n)).cloned();
            let entries = routes.iter().map(|(to, via)| (*to, *via));
            entries.filter_map(|(to, via)| Some((to, via, name.clone()?))).collect::<Vec<_>>()
        };
        all.iter().flat_map(on).collect()
    };
    let wanted = named(want);
    let mut have = BTreeSet::new();
    for family in ["-4", "-6"] {
        let shown = agent.run("ip", &[family, "route", "show", "proto", PROTOCOL], "").await?;
        have.extend(shown.out.lines().filter_map(entry));
    }
    let lines = batch(&have, &named(told), &wanted);
    if !lines.is_empty() {
        let done = agent.run("ip", &["-force", "-batch", "-"], &lines).await?;
        tracing::debug!(guest = %dir.id, code = done.code, said = %done.err, "routes told");
    }
    // What was to be removed may have been gone already; what was to be there must be.
    let mut there = BTreeSet::new();
    for family in ["-4", "-6"] {
        let shown = agent.run("ip", &[family, "route", "show", "proto", PROTOCOL], "").await?;
        there.extend(shown.out.lines().filter_map(entry));
    }
    let nics = want.keys().all(|mac| names.contains_key(mac));
    if nics && wanted.is_subset(&there) {
        Ok(())
    } else {
        Err(Fault::unavailable("Not all of them are there yet."))
    }
}

/// Names come from inside the guest and go back there, into a line of words.
fn is_sane(name: &str) -> bool {
    (1..16).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.@:".contains(&b))
}

/// Reads `192.0.2.0/24 via 10.0.0.9 dev eth0 …`.
fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split_whitespace();
    let to = words.next()?;
    let to = to.parse().or_else(|_| to.parse::<IpAddr>().map(IpNet::from)).ok()?;
    let rest: Vec<&str> = words.collect();
    let after = |word: &str| rest.iter().position(|w| *w == word).and_then(|at| rest.get(at + 1));
    Some((to, after("via")?.parse().ok()?, (*after("dev")?).to_owned()))
}

/// The lines for `ip` that lead from what is there, and what was told before, to what is wanted.
fn batch(have: &BTreeSet<Entry>, told: &BTreeSet<Entry>, want: &BTreeSet<Entry>) -> String {
    let mut lines = String::new();
    let old = have.iter().map(|e| (e, true)).chain(told.difference(have).map(|e| (e, false)));
    for ((to, via, dev), ours) in old.filter(|(e, _)| !want.contains(*e)) {
        let mark = if ours { format!(" proto {PROTOCOL}") } else { String::new() };
        lines += &format!("route del {to} via {via} dev {dev}{mark}\n");
        // The same route may stand beside ours as DHCP put it there.
        if ours && told.contains(&(*to, *via, dev.clone())) {
            lines += &format!("route del {to} via {via} dev {dev}\n");
        }
    }
    for (to, via, dev) in want.difference(have) {
        lines += &format!("route replace {to} via {via} dev {dev} proto {PROTOCOL}\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(lines: &[&str]) -> BTreeSet<Entry> {
        lines.iter().map(|l| entry(l).unwrap()).collect()
    }

    #[test]
    fn only_what_we_told_goes() {
        let have =
            entries(&["192.0.2.0/24 via 10.0.0.9 dev eth0 ", "198.51.100.7 via 10.0.0.8 dev eth0 metric 5"]);
        let want = entries(&["192.0.2.0/24 via 10.0.0.9 dev eth0", "2001:db8::/32 via fd00::1 dev eth1"]);
        assert_eq!(batch(&want, &want, &want), "");
        assert_eq!(
            batch(&have, &have, &want),
            "route del 198.51.100.7/32 via 10.0.0.8 dev eth0 proto 186\n\
             route del 198.51.100.7/32 via 10.0.0.8 dev eth0\n\
             route replace 2001:db8::/32 via fd00::1 dev eth1 proto 186\n"
        );
        // Told by DHCP at boot, and wanted no more.
        assert_eq!(
            batch(&BTreeSet::new(), &have, &BTreeSet::new()).lines().next(),
            Some("route del 192.0.2.0/24 via 10.0.0.9 dev eth0")
        );
        assert_eq!(entry("default dev eth0 scope link"), None);
        assert!(is_sane("enp1s0") && !is_sane("a b") && !is_sane("x\nroute"));
    }
}
