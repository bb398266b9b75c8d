//! What is decided about many hosts at once: who is down, whether it is us who are cut off, what leaves a host
//! that is being emptied, and in which order. Pure: data in, a decision out; [`crate::life::fleet`] asks.

use crate::model::{Task, VmState};
use crate::table::moving::Kind;
use base::{HostId, Micros, ServerId};
use std::time::Duration;

/// A silent host kills its guests that are restarted elsewhere after this ([`base::doc::Desired::fence_s`]).
pub const FENCE: Duration = Duration::from_secs(30);
/// They are restarted so much later: reports on their way, notes of them that are a little old, the killing.
pub const MARGIN: Duration = Duration::from_secs(15);
/// Hosts that go silent within this went at once.
const AT_ONCE: Duration = Duration::from_secs(60);
/// Servers that leave a host at the same time while it is emptied.
pub const DRAIN_AT_ONCE: usize = 2;
/// Servers that are made anew elsewhere at the same time.
pub const RESTART_AT_ONCE: usize = 10;

/// A host as it is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub id: HostId,
    pub name: String,
    pub seen_at: Micros,
    pub silent: bool,
    pub forced_down: bool,
    pub down_since: Micros,
    pub draining: bool,
}

/// What is to be written and done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub went: Vec<HostId>,
    pub came: Vec<HostId>,
    /// Most of all hosts went silent together: it is this region that is cut off.
    pub cut_off: bool,
    /// Hosts that are down and do not run their guests any more.
    pub fenced: Vec<HostId>,
}

/// A host that has been silent for so long does not run its guests any more.
pub fn fenced_after(lag: Duration) -> Duration {
    FENCE + MARGIN + lag
}

/// Looks at all hosts. `cut_off` is what the last look came to: it stays so until half of the hosts are heard.
/// `listening` is for how long they could have been heard: who was silent while we were away gets as much time as
/// a silent host has, and only who is said to be down is believed to be so before. `lag` is how much too old what
/// is known of them may be.
pub fn decide(hosts: &[Watched], cut_off: bool, listening: Duration, now: Micros, lag: Duration) -> Decision {
    // The hosts that end a cut are the first ones; the others are on their way.
    let had_time = !cut_off && listening > fenced_after(lag);
    // Hosts that never reported say nothing about the network.
    let known: Vec<&Watched> = hosts.iter().filter(|h| h.seen_at.0 != 0).collect();
    let recent = |h: &Watched| h.down_since.0 == 0 || now.since(h.down_since) < AT_ONCE;
    let lately = known.iter().filter(|h| h.silent && !h.forced_down && (cut_off || recent(h))).count();
    let before = known.iter().filter(|h| !h.silent || recent(h) || cut_off).count();
    let cut_off = lately > 1 && lately * 2 > before;
    let gone = |h: &Watched| h.silent && now.since(h.seen_at) > fenced_after(lag);
    let fenced = |h: &&&Watched| h.forced_down || (had_time && !cut_off && gone(h));
    Decision {
        went: known.iter().filter(|h| h.silent && h.down_since.0 == 0).map(|h| h.id).collect(),
        came: known.iter().filter(|h| !h.silent && h.down_since.0 != 0).map(|h| h.id).collect(),
        cut_off,
        fenced: known.iter().filter(fenced).map(|h| h.id).collect(),
    }
}

/// A server on a host that is being emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: ServerId,
    pub vm: VmState,
    pub task: Option<Task>,
    pub memory_mib: u64,
    /// It is on its way.
    pub moving: bool,
    /// Why its last try came to nothing, lately.
    pub failed: Option<String>,
}

/// What to do with the servers of such a host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Emptying {
    /// Send these now, like that.
    pub go: Vec<(ServerId, Kind)>,
    pub moving: Vec<ServerId>,
    /// Their turn comes.
    pub waiting: Vec<ServerId>,
    /// They cannot go, for this reason.
    pub stuck: Vec<(ServerId, String)>,
}

/// Running servers first, small ones before large ones: most are out of harm's way soonest.
pub fn empty(mut tenants: Vec<Tenant>, at_once: usize) -> Emptying {
    tenants.sort_by_key(|t| (t.vm == VmState::Stopped, t.memory_mib, t.id));
    let mut plan = Emptying::default();
    let mut free = at_once.saturating_sub(tenants.iter().filter(|t| t.moving).count());
    for t in tenants {
        match way(&t) {
            _ if t.moving => plan.moving.push(t.id),
            Err(why) => plan.stuck.push((t.id, why)),
            Ok(_) if free == 0 => plan.waiting.push(t.id),
            Ok(kind) => {
                free -= 1;
                plan.go.push((t.id, kind));
            }
        }
    }
    plan
}

/// How a server leaves, if it can.
fn way(t: &Tenant) -> Result<Kind, String> {
    if let Some(why) = &t.failed {
        return Err(format!("{why} It is tried again in a while."));
    }
    if let Some(task) = t.task {
        return Err(format!("Something is being done to it ({}).", task.as_str()));
    }
    match t.vm {
        VmState::Active | VmState::Paused => Ok(Kind::Live),
        VmState::Stopped => Ok(Kind::Plain),
        VmState::Resized => Err("Its resize waits to be confirmed or reverted.".into()),
        VmState::Suspended => Err("It is suspended: resume or stop it.".into()),
        VmState::Rescued => Err("It is being rescued: unrescue it.".into()),
        VmState::Shelved => Err("It is shelved: offload it.".into()),
        VmState::SoftDeleted => {
            Err("It is deleted and can be restored: delete it for good, or restore it.".into())
        }
        other => Err(format!("A server that is {} does not move.", other.as_str())),
    }
}
