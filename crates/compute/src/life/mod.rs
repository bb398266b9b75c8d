//! The life-cycle of a server.
//!
//! ```text
//!                        no host fits, or it cannot be made
//!              ┌────────────────────────────────────────────▶ Failed
//!              │                    ▲                           │
//!  Scheduling ─┴─ room claimed ─▶ Building ─ guest seen ─▶ Settled ⇄ Stopping, Starting, Rebooting, Pausing,
//!      │                            │                        │  ▲    Suspending, Resuming, Rescuing, Rebuilding
//!      │                            │   resize asked: Choosing  └── Reverting
//!      │                            │        └─ room claimed ─▶ Moving ─▶ Settled (until confirmed or reverted)
//!      │                            │   to another host: Choosing ─▶ Travelling ─▶ Settled (or TurningBack first)
//!      │                            │   its first host cannot make it, another may: Withdrawing ─▶ Scheduling
//!      │                            │   deletion with a reclaim interval: Reclaiming ─ restored ─▶ Settled
//!      └──────── delete asked, from any state: wins over everything
//!                                   ▼
//!                    Deleting ─ the host says the guest is gone ─▶ (no row)
//! ```
//! The API writes intent (`want_power`, `boots`, [`crate::model::Intent`], `delete_at`; the host's document
//! shows it) and wakes. A step reads the server anew, compares intent with what its host reported, and
//! writes facts in the same transaction as the move. No step acts on the world: the document does, so steps
//! may run twice. One file each: [`place`] (a new server), [`power`] (what a guest is doing), [`resize`],
//! [`moving`] (to another host), [`capture`] (images of its disk), [`shelf`] (putting it aside), [`depart`] (the
//! end).

mod capture;
pub mod depart;
pub mod fleet;
pub mod moving;
mod place;
mod power;
pub mod resize;
mod shelf;

use crate::limits::Limits;
use crate::model::{Server, Stage};
use crate::placing;
use crate::planner::{Ask, Room};
use crate::table::guest::Seen as Guest;
use crate::table::host::Host;
use crate::table::moving::Move;
use crate::table::shelf::Shelf;
use crate::table::{self, action, guest, host, server};
use base::doc::GuestState;
use base::{Fault, HostId, Result, ServerId};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::work::{Life, Step};
use store::{Db, Tx};

/// Where a server is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// No host yet.
    Scheduling,
    /// A host has it in its document and makes it.
    Building,
    /// That host cannot, and is told to stop trying: another one is chosen then.
    Withdrawing,
    /// As wanted, nothing under way.
    Settled,
    Stopping,
    Starting,
    Rebooting,
    Pausing,
    Suspending,
    /// Out of a pause or suspension.
    Resuming,
    /// To its rescue disk, or back from it.
    Rescuing,
    Rebuilding,
    /// Something small inside the guest: a password, a crash dump.
    Working,
    /// A resize or migration that has no room yet.
    Choosing,
    /// It is being started in another size or place.
    Moving,
    /// It is being started as it was before a resize.
    Reverting,
    /// On its way to another host.
    Travelling,
    /// That was given up; its destination has to let go of it first.
    TurningBack,
    /// Deleted so that it can be restored, until the reclaim interval has passed.
    Reclaiming,
    /// An image of its disk is being made.
    Capturing,
    /// It is stopped and its disk copied, to be put aside.
    Shelving,
    /// Put aside.
    Shelved,
    /// Put aside and out of its host's document since `generation`.
    Offloading {
        generation: u64,
    },
    /// Out of its host's document since `generation`.
    Deleting {
        generation: u64,
    },
    /// It never ran and never will; only deletion is left.
    Failed,
}

/// A failure that the agent reports for this long is final. It has tried about five times by then.
const FAILED_FOR: Duration = Duration::from_secs(20);
/// Reports wake a server; this is how often its reason is looked at besides.
const LOOK: Duration = Duration::from_secs(5);

/// The life-cycle, for the work engine.
#[derive(Clone)]
pub struct ServerLife {
    db: Db,
    /// How long a deleted server can be restored; zero: not at all.
    reclaim: Duration,
    /// How long the disk of a shelved server stays on its host; `None`: for ever.
    offload_after: Option<Duration>,
}

impl ServerLife {
    pub(crate) fn new(db: Db, limits: &Limits) -> Self {
        let offload_after = u64::try_from(limits.shelved_offload_s).ok().map(Duration::from_secs);
        ServerLife { db, reclaim: limits.reclaim, offload_after }
    }
}

/// Everything that a step looks at, in one view of the data.
pub struct Seen {
    server: Server,
    host: Option<Host>,
    guest: Option<Guest>,
    /// All hosts, while one is being chosen.
    hosts: Vec<Room>,
    /// What is asked of them.
    ask: Option<Ask>,
    /// The hosts that servers can move between, while one is being moved.
    movable: Vec<HostId>,
    /// Its way to another host, that host, and what it says of the guest.
    moving: Option<Move>,
    to: Option<Host>,
    there: Option<Guest>,
    ports_down: bool,
    /// Something was asked of it that has not ended.
    asked: bool,
    captures: Vec<capture::Outstanding>,
    shelf: Option<Shelf>,
}

impl Life for ServerLife {
    const KIND: &'static str = "server";
    type State = State;

    async fn step(&self, id: &str, state: &State) -> Result<Step<State>> {
        let (id, at) = (id.parse::<ServerId>().map_err(Fault::internal)?, state.clone());
        let Some(seen) = self.db.read(move |tx| look(tx, id, &at)).await? else { return Ok(Step::gone()) };
        let leaves = matches!(state, State::Deleting { .. }) || seen.server.delete_at.is_some();
        if !leaves
            && let Some(step) = moving::step(state, &seen)
                .or_else(|| shelf::step(state, &seen, self.offload_after))
                .or_else(|| capture::step(state, &seen))
        {
            return Ok(step);
        }
        Ok(match state {
            State::Deleting { generation } => depart::deleting(&seen, *generation),
            _ if seen.server.delete_at.is_some() => depart::depart(&seen),
            State::Scheduling => place::schedule(seen),
            State::Building => place::building(&seen),
            State::Withdrawing => place::withdrawing(&seen),
            State::Failed => Step::rest(State::Failed),
            State::Reclaiming if seen.server.intent.soft_deleted_at.is_some() => {
                depart::reclaiming(&seen, self.reclaim)
            }
            _ => resize::step(state, &seen).unwrap_or_else(|| power::follow(state, &seen)),
        })
    }

    fn budget(state: &State) -> Option<Duration> {
        Some(Duration::from_secs(match state {
            State::Scheduling | State::Choosing => 30,
            // An image may have to come over a slow link first.
            State::Building | State::Rebuilding | State::Rescuing => 900,
            // The disk is copied before.
            State::Moving | State::Reverting => 1800,
            // Disks go over the network. A move that takes too long for its size is given up by itself.
            State::Travelling => 7200,
            State::TurningBack => 300,
            // The agent gives a guest a minute to power down by itself.
            State::Stopping | State::Rebooting | State::Withdrawing | State::Deleting { .. } => 180,
            State::Starting | State::Pausing | State::Working => 120,
            // The guest's memory goes to the disk, or comes from there.
            State::Suspending | State::Resuming => 300,
            // A disk is copied and sent.
            State::Capturing | State::Shelving => 3600,
            State::Offloading { .. } => 180,
            State::Settled | State::Shelved | State::Reclaiming | State::Failed => return None,
        }))
    }
}

/// Images that are being made of a server that goes, and its being put aside, are given up.
pub fn give_up(tx: &Tx<'_>, s: &Server) -> Result<()> {
    capture::abandon(tx, s)?;
    shelf::abandon(tx, s.id)
}

fn look(tx: &Tx<'_>, id: ServerId, state: &State) -> Result<Option<Seen>> {
    let Some(server) = server::any(tx, id)? else { return Ok(None) };
    let (mut host, mut guest, mut hosts, mut movable) = (None, None, Vec::new(), Vec::new());
    let (mut ask, mut ports_down, mut to, mut there) = (None, false, None, None);
    if let Some(h) = server.host_id {
        host = host::by_id(tx, h)?;
        guest = guest::one(tx, h, id)?;
    }
    let moving = table::moving::of(tx, id)?;
    if let Some(h) = moving.as_ref().and_then(|m| m.to) {
        to = host::by_id(tx, h)?;
        there = guest::one(tx, h, id)?;
    }
    let resize = server.intent.resize.as_ref().filter(|r| r.stage == Stage::Asked && moving.is_none());
    match (state, moving.as_ref().filter(|m| m.to.is_none()), resize) {
        (State::Scheduling, ..) => {
            let (wish, rooms) = placing::choices(tx, &server)?;
            (ask, hosts) = (Some(wish), rooms);
        }
        (State::Building, ..) if guest.is_some() => {
            ports_down = network::for_compute::interfaces(tx, id)?.iter().any(|i| !i.active);
            if guest.as_ref().is_some_and(|g| g.status.state == GuestState::Failed) {
                let (wish, rooms) = placing::choices(tx, &server)?;
                (ask, hosts) = (Some(wish), rooms);
            }
        }
        (_, Some(m), _) => {
            let (wish, rooms) = placing::choices_to_move(tx, &server, m)?;
            (ask, hosts) = (Some(wish), rooms);
        }
        (_, _, Some(r)) => {
            let (wish, rooms) = placing::choices_of_all(tx, &resize::resized(&server, r))?;
            (ask, hosts) = (Some(wish), rooms);
            movable = server.host_id.map_or(Ok(Vec::new()), |here| resize::movable(tx, here))?;
        }
        _ => {}
    }
    let asked = action::open(tx, id)?;
    let (captures, shelf) = (capture::look(tx, id)?, crate::table::shelf::of(tx, id)?);
    Ok(Some(Seen {
        server,
        host,
        guest,
        hosts,
        ask,
        movable,
        moving,
        to,
        there,
        ports_down,
        asked,
        captures,
        shelf,
    }))
}

impl Seen {
    /// The host's report of the guest, if it is about the guest that the host owns now.
    fn ours(&self) -> Option<&Guest> {
        self.guest.as_ref().filter(|g| g.status.ownership == self.server.ownership)
    }
    /// What we wait for, with the host's own words or its silence.
    fn why(&self, what: &str) -> String {
        let Some(host) = &self.host else { return format!("{what}; its host is not known any more") };
        if host.silent() {
            let since = if host.seen_at.0 == 0 { "it joined".into() } else { host.seen_at.seconds_z() };
            return format!("{what}; the host {} has been silent since {since}", host.name);
        }
        match self.ours().map(|g| &g.status).filter(|g| !g.reason.is_empty()) {
            Some(g) => format!("{what}; the host {} says: {}", host.name, g.reason),
            None => format!("{what} (host {})", host.name),
        }
    }
}
