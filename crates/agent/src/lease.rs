//! How long this host may run guests that are started elsewhere when it is silent.
//!
//! ```text
//!  report taken ─▶ held ──(fence_s since that report was sent)──▶ fenced: guests that are bound are killed
//!                   ▲                                               │
//!                   └── a report is taken, then a poll for the document answered ◀──┘
//! ```
//! The region counts from when it took a report, this host from before it sent it, so this host is always
//! first. After a fence a report alone is not enough: the region may have started the guests elsewhere
//! meanwhile, and only a document fetched after that report says whether they are still ours.
//!
//! A guest that is arriving live is bound too, whatever the document says of fences: until the region has heard
//! that it is here and has said so, it may give the move up and let the source go on, once this host has been
//! silent for two minutes.
//!
//! Time is `CLOCK_BOOTTIME` (by `/proc/uptime`): it goes on while a machine sleeps and no clock step changes
//! it. What is left open: when a whole host was frozen and wakes, its guests' processors run again at once,
//! until this process runs and looks, which it does every [`TICK`]. The region must therefore wait longer than
//! `fence_s`, and a host that is frozen longer than it waits runs old guests for about that tick.
//!
//! The time of the last report is kept in a file, so that an agent that is merely started anew kills nothing;
//! after a reboot of the machine it is worth nothing.

use crate::guest::Dir;
use crate::guest::process::Process;
use crate::host::Host;
use base::doc::{Desired, Guest};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks at the clock.
pub const TICK: Duration = Duration::from_millis(500);
/// Seconds of silence after which a live guest that has not wholly arrived is ended.
const ARRIVING_S: u64 = 60;
const FILE: &str = "lease.json";

#[derive(Debug)]
pub struct Lease {
    file: PathBuf,
    boot: String,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct State {
    /// Seconds since the machine started when the last report that was taken was sent.
    last: Option<f64>,
    fenced: bool,
    /// Seconds since the machine started when a report was taken since the fence.
    reported: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct Noted {
    boot: String,
    at: f64,
}

/// Seconds since the machine started, sleep included.
fn now() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    // A clock that cannot be read has run out.
    text.split_whitespace().next().and_then(|t| t.parse().ok()).unwrap_or(f64::INFINITY)
}

/// Whether the guest ends with the lease.
pub fn bound(guest: &Guest) -> bool {
    guest.ha || guest.arrival.as_ref().is_some_and(|a| a.live)
}

/// Seconds of silence that the document allows, if it says anything of that.
fn allowed(desired: &Desired) -> Option<u64> {
    let live = |g: &Guest| g.arrival.as_ref().is_some_and(|a| a.live);
    let arriving = desired.guests.iter().any(live).then_some(ARRIVING_S);
    desired.fence_s.into_iter().chain(arriving).min()
}

/// A moment, to be taken before something is asked of the region.
#[derive(Debug, Clone, Copy)]
pub struct Moment(f64);

impl Moment {
    pub fn now() -> Self {
        Moment(now())
    }
}

impl State {
    fn expired(&self, fence_s: u64, now: f64) -> bool {
        !self.last.is_some_and(|last| now - last <= fence_s as f64)
    }
    /// The lease is looked at; an expired one stays so until [`State::polled`] says otherwise.
    fn look(&mut self, fence_s: Option<u64>, now: f64) {
        match fence_s {
            None => (self.fenced, self.reported) = (false, None),
            Some(s) if self.expired(s, now) => (self.fenced, self.reported) = (true, None),
            Some(_) => {}
        }
    }
    fn taken(&mut self, sent: f64, fence_s: Option<u64>, now: f64) {
        self.look(fence_s, now);
        self.last = Some(sent);
        if self.fenced {
            self.reported = Some(now);
        }
    }
    fn polled(&mut self, begun: f64, fence_s: Option<u64>, now: f64) {
        self.look(fence_s, now);
        if self.fenced && self.reported.is_some_and(|at| begun >= at) {
            (self.fenced, self.reported) = (false, None);
        }
    }
}

impl Lease {
    pub fn open(data: &std::path::Path) -> Self {
        let file = data.join(FILE);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let noted = std::fs::read(&file).ok().and_then(|b| serde_json::from_slice::<Noted>(&b).ok());
        let last = noted.filter(|n| n.boot == boot).map(|n| n.at);
        Lease { file, boot, state: watch::Sender::new(State { last, ..State::default() }) }
    }

    /// Whether guests that say `ha` must not run here.
    pub fn fenced(&self, desired: Option<&Arc<Desired>>) -> bool {
        self.change(desired, |_, _, _| {});
        self.state.borrow().fenced
    }
    /// A report was taken that was sent then.
    pub fn taken(&self, sent: Moment, desired: Option<&Arc<Desired>>) {
        self.change(desired, |state, fence_s, now| state.taken(sent.0, fence_s, now));
        self.note(desired);
    }
    /// The region answered a poll that was begun then, and what it said is the document now.
    pub fn polled(&self, begun: Moment, desired: Option<&Arc<Desired>>) {
        self.change(desired, |state, fence_s, now| state.polled(begun.0, fence_s, now));
    }
    /// Keeps the time of the last report, where it matters.
    pub fn note(&self, desired: Option<&Arc<Desired>>) {
        let last = self.state.borrow().last;
        if let Some(at) = last.filter(|_| desired.is_some_and(|d| allowed(d).is_some())) {
            let noted = serde_json::to_vec(&Noted { boot: self.boot.clone(), at });
            if let Err(e) = noted.map_err(base::Fault::from).and_then(|b| tls::write_private(&self.file, &b))
            {
                tracing::warn!("the time of the last report could not be kept: {e}");
            }
        }
    }
    /// A way to hear of the fence.
    pub fn watch(&self) -> Fence {
        let state = self.state.subscribe();
        let seen = state.borrow().fenced;
        Fence { state, seen }
    }

    fn change(&self, desired: Option<&Arc<Desired>>, f: impl FnOnce(&mut State, Option<u64>, f64)) {
        let (fence_s, now) = (desired.and_then(|d| allowed(d)), now());
        self.state.send_if_modified(|state| {
            let old = *state;
            state.look(fence_s, now);
            f(state, fence_s, now);
            *state != old
        });
    }
}

/// One who has to know when the fence comes or goes.
pub struct Fence {
    state: watch::Receiver<State>,
    seen: bool,
}

impl Fence {
    /// Returns when it is not as it was the last time. Cancel-safe.
    pub async fn changed(&mut self) {
        let seen = self.seen;
        if self.state.wait_for(|s| s.fenced != seen).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.seen = !seen;
    }
}

/// Looks at the clock, and kills what may run elsewhere. Again and again: a guest may just have been starting.
pub async fn keep(host: Arc<Host>) {
    let mut said = false;
    loop {
        let desired = host.desired.borrow().clone();
        let fenced = host.lease.fenced(desired.as_ref());
        if fenced != said {
            said = fenced;
            if fenced {
                tracing::error!(
                    "the region was not heard of for too long: guests that it may start elsewhere are ended"
                );
            } else {
                tracing::info!("the region is heard of again");
            }
        }
        let all = desired.iter().flat_map(|d| &d.guests);
        for guest in all.filter(|g| fenced && bound(g)) {
            if let Some(process) = Process::find(&Dir::of(&host.data, guest.id)) {
                tracing::warn!(guest = %guest.id, "fenced");
                if let Err(fault) = process.kill().await {
                    tracing::error!(guest = %guest.id, "it could not be fenced: {fault}");
                }
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_goes_only_with_a_document_from_after_it() {
        let fence = Some(10);
        let mut state = State { last: Some(100.0), ..State::default() };
        state.look(fence, 110.0);
        assert!(!state.fenced);
        // A report that was sent in time and answered late does not help: the region may have acted.
        state.taken(109.0, fence, 110.5);
        assert!(state.fenced);
        // A poll from before the report says nothing.
        state.polled(110.4, fence, 111.0);
        assert!(state.fenced);
        state.polled(110.6, fence, 111.0);
        assert!(!state.fenced);
        // Nothing known: nothing allowed, unless nobody asks for it.
        let mut state = State::default();
        state.look(fence, 5.0);
        assert!(state.fenced);
        state.look(None, 5.0);
        assert!(!state.fenced);
        // A second silence before the poll.
        let mut state = State::default();
        state.taken(5.0, fence, 5.0);
        state.polled(20.0, fence, 20.0);
        assert!(state.fenced);
    }
}
