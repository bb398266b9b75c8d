//! The life-cycle of a machine.
//!
//! ```text
//!              something is asked (op grows)                              that was all
//!   Resting ───────────────────────────────▶ Booting ─ it says hello ─▶ … ──────────────▶ Resting
//!      ▲                                        ▲                                            │ half an hour
//!      │                                        │ falls silent (at most three times)         ▼ of nothing
//!      │            commission: Measuring ─▶ Testing                                    PoweringOff
//!      │            test:       Testing (─▶ Restarting, if it was deployed)
//!      │            deploy:     Fetching ─▶ Writing ─▶ Restarting
//!      │            release:    Erasing, or PoweringOff
//!      │            rescue:     (as long as people want; then Restarting or PoweringOff)
//!      └────── it failed, or was aborted: explained, and the live system stays up for a while
//! ```
//! What was asked is the machine's status and [`Errand`], written by [`crate::act`]; the state here is how far
//! that is. A live system that is up already is used as it is, so that no restart is wasted between
//! commissioning and deployment; but not one that the machine's owner was let into (rescue), who may have put anything
//! there: it is started anew before whatever comes next, or switched off, and so that the owner's keys get in, rescue
//! begins with a restart. A step acts on nothing itself: it writes what the rack's document and the live
//! system's task say, in the transaction that moves the state, so it may run twice. A machine that loses its power
//! comes back into its live system with a new token, and is told the same task again, or is brought up anew.

mod ends;
mod enter;
mod phases;

use crate::Metal;
use crate::model::{Disk, Errand, Machine, Status};
use crate::racks::is_silent;
use crate::table::session::{self, Session};
use crate::table::task::Progress;
use crate::table::{disk, errand, machine, nic, rack, rack_image, segment, task};
use base::doc::rack::RackImageStatus;
use base::{Fault, MachineId, Micros, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::Tx;
use store::work::{self, Life, Step};

/// How far what was asked is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The machine's `op` that this is for.
    op: i64,
    /// Restarts and repetitions so far.
    tries: u32,
    /// Number of the live system's task.
    task: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing is under way. Its live system may be up for a while, in case something is asked.
    Resting,
    /// It is brought into its live system.
    Booting(Run),
    Measuring(Run),
    Testing(Run),
    Erasing(Run),
    /// Its rack gets the image.
    Fetching(Run),
    Writing(Run),
    /// Out of its live system, to its disk.
    Restarting(Run),
    PoweringOff(Run),
}

impl State {
    fn run(&self) -> Option<Run> {
        match self {
            State::Resting => None,
            State::Booting(r)
            | State::Measuring(r)
            | State::Testing(r)
            | State::Erasing(r)
            | State::Fetching(r)
            | State::Writing(r)
            | State::Restarting(r)
            | State::PoweringOff(r) => Some(*r),
        }
    }
}

/// Reports wake a machine; this is how often it is looked at besides.
const LOOK: Duration = Duration::from_secs(5);
/// A live system asks for its task at least every half minute.
const SILENT: Duration = Duration::from_secs(75);
/// How often a machine is restarted, or something repeated, before that is given up.
const TRIES: u32 = 3;

/// The life-cycle, for the work engine.
#[derive(Clone)]
pub struct MachineLife(Arc<Metal>);

impl MachineLife {
    pub(crate) fn new(metal: Arc<Metal>) -> Self {
        MachineLife(metal)
    }
}

/// Everything that a step looks at, in one view of the data.
#[derive(Clone)]
struct Seen {
    m: Machine,
    errand: Option<Errand>,
    session: Option<Session>,
    task: Option<Progress>,
    /// What is to be erased: its disks when it was measured that are not removable.
    disks: Vec<Disk>,
    /// When the present state began.
    since: Micros,
    /// How its rack is with the image that is to be written.
    image: Option<RackImageStatus>,
    /// Its rack, and whether that is silent.
    rack: Option<(String, bool)>,
    /// Since when its live system can be heard: while region or rack were away it could not.
    open_since: Micros,
    /// Where the rack is on the segment that it starts from.
    door: Option<String>,
    /// What its rack says of that segment, if something is wrong there.
    wire: Option<String>,
}

impl Life for MachineLife {
    const KIND: &'static str = "machine";
    type State = State;

    async fn step(&self, id: &str, state: &State) -> Result<Step<State>> {
        let id: MachineId = id.parse().map_err(Fault::internal)?;
        let metal = self.0.clone();
        let Some(seen) = self.0.db.read(move |tx| look(&metal, tx, id)).await? else {
            // It was removed: what hung on it goes with it.
            return Ok(Step::gone().also(move |tx| machine::forget(tx, id)));
        };
        Ok(match state.run().filter(|r| r.op == seen.m.op) {
            Some(run) => phases::go_on(self, state, run, &seen),
            None if seen.m.status.busy() => phases::begin(self, &seen),
            // What it was on the way to is not asked any more.
            None if *state != State::Resting => Step::go(State::Resting),
            None => ends::rest(self, &seen),
        })
    }

    fn budget(state: &State) -> Option<Duration> {
        Some(Duration::from_secs(
            60 * match state {
                State::Resting => return None,
                State::Booting(_) => 15,
                State::Measuring(_) => 10,
                State::Testing(_) => 60,
                // Every byte of large disks.
                State::Erasing(_) => 24 * 60,
                State::Fetching(_) => 60,
                State::Writing(_) => 60,
                State::Restarting(_) => 25,
                State::PoweringOff(_) => 5,
            },
        ))
    }
}

fn look(metal: &Metal, tx: &Tx<'_>, id: MachineId) -> Result<Option<Seen>> {
    let Some(m) = machine::by_id(tx, id)? else { return Ok(None) };
    let since = work::why(tx, &id.to_string())?.map_or(Micros::now(), |w| w.since);
    let errand = errand::get(tx, &*metal.seal, id)?;
    let (mut image, mut known, mut open_since) = (None, None, Micros(0));
    if let Some(rack) = m.rack.map(|r| rack::by_id(tx, r)).transpose()?.flatten() {
        if let Some(Errand::Deploy(d)) = &errand {
            image = rack_image::one(tx, rack.id, &d.sha512)?;
        }
        known = Some((rack.name.clone(), is_silent(rack.seen_at)));
        open_since = rack.back_at;
    }
    let disks = match &errand {
        Some(Errand::Release { .. }) => disk::of(tx, id)?.into_iter().filter(|d| !d.removable).collect(),
        _ => Vec::new(),
    };
    let (door, wire) = door(tx, id)?;
    let (session, task) = (session::of(tx, id)?, task::progress(tx, id)?);
    Ok(Some(Seen { m, errand, session, task, disks, since, image, rack: known, open_since, door, wire }))
}

/// `address:port` of the rack's HTTP server, as the machine reaches it; and what is wrong with the segment on which it
/// does.
fn door(tx: &Tx<'_>, id: MachineId) -> Result<(Option<String>, Option<String>)> {
    let boots = nic::of(tx, id)?.into_iter().find(|n| n.boot).and_then(|n| n.segment);
    let Some(on) = boots else { return Ok((None, None)) };
    let wire = segment::by_id(tx, on)?.map(|s| s.reason).filter(|r| !r.is_empty());
    let mut subnets = segment::subnets_of(tx, on)?;
    subnets.retain(|s| !s.address.is_unspecified());
    let best = subnets.iter().find(|s| s.address.is_ipv4()).or(subnets.first());
    let at = best.map(|s| std::net::SocketAddr::new(s.address, base::doc::rack::HTTP_PORT).to_string());
    Ok((at, wire))
}

impl Seen {
    /// Its live system is up: it has asked for something a moment ago, and was not seen off since.
    fn alive(&self) -> bool {
        let off = (self.m.seen.power == Some(false)).then_some(self.m.seen.read_at).flatten();
        let heard = |s: &Session| {
            let at = s.seen_at.max(self.open_since);
            Micros::now().since(at) < SILENT && off.is_none_or(|off| off <= s.seen_at)
        };
        self.session.as_ref().is_some_and(heard)
    }
    /// The machine's owner was let into its live system, whether that is still heard or not.
    fn lent(&self) -> bool {
        self.session.as_ref().is_some_and(|s| s.lent)
    }
    fn elapsed(&self) -> Duration {
        Micros::now().since(self.since)
    }
    fn next_task(&self) -> u64 {
        self.task.as_ref().map_or(1, |t| t.number + 1)
    }
    /// How the task of this run goes.
    fn progress(&self, run: Run) -> Option<&Progress> {
        self.task.as_ref().filter(|t| t.number == run.task)
    }
    /// What stands in the way outside of the machine: a silent rack, a person who is asked, trouble with power.
    fn trouble(&self) -> Option<String> {
        match &self.rack {
            None => {
                return Some("no rack controller serves it; make one known: hanok admin rack-token".into());
            }
            Some((name, true)) => return Some(format!("its rack {name} is silent")),
            Some(_) => {}
        }
        let asked = crate::act::wanted(&self.m);
        asked.or(Some(self.m.seen.reason.clone()).filter(|r| !r.is_empty()))
    }
    /// The same of a machine that is to come up, for which its network matters too.
    fn why_not_up(&self, what: &str) -> String {
        match self.trouble().or_else(|| self.wire.clone()) {
            Some(trouble) => format!("{what}; {trouble}"),
            None => what.to_owned(),
        }
    }
    fn rack_is_away(&self) -> bool {
        self.rack.as_ref().is_none_or(|(_, silent)| *silent)
    }
    /// `what`, with what stands in its way.
    fn why(&self, what: &str) -> String {
        match self.trouble() {
            Some(trouble) => format!("{what}; {trouble}"),
            None => what.to_owned(),
        }
    }
}

/// The status that shows while a machine is under way; what it is that fails is told by it.
fn is_new(m: &Machine) -> bool {
    m.status == Status::New
}
