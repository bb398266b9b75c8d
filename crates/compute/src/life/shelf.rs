//! Putting a server aside and taking it back.
//!
//! ```text
//!  shelve ─▶ Shelving: stopped, its disk copied to an image ─▶ Shelved ─▶ Offloading: the host lets go of it
//!                └─ no image: stopped, as if nothing had been asked          └─▶ Shelved, on no host
//!  unshelve ─▶ from its host: started;  from no host: Scheduling, Building from the image ─▶ Settled, the image goes
//! ```
//! The row in `server_shelf` is the wish and remembers the image. An offloaded server holds its ports and
//! its project's quota, and nothing on any host.

use super::capture::{self, End};
use super::{LOOK, Seen, State};
use crate::model::{Task, VmState, power_state};
use crate::table::shelf::{Shelf, Wish};
use crate::table::{action, guest, host, server, shelf};
use base::doc::{CaptureStage, GuestState};
use base::{Micros, Result, ServerId};
use std::time::Duration;
use store::Tx;
use store::log::{Level, event};
use store::work::Step;

/// The next step of a server that is put aside, or should be; `offload_after` is how long its disk stays on
/// its host, `None` for ever.
pub fn step(at: &State, seen: &Seen, offload_after: Option<Duration>) -> Option<Step<State>> {
    let s = &seen.server;
    let shelf = seen.shelf.as_ref().filter(|_| s.intent.soft_deleted_at.is_none())?;
    Some(match (at, shelf.wish) {
        (State::Offloading { generation }, _) => offloading(seen, shelf, *generation),
        (_, Wish::Back) if s.host_id.is_none() && *at == State::Shelved => Step::go(State::Scheduling),
        (_, Wish::Back) => return None,
        _ if shelf.since.is_none() => shelving(at, seen, shelf),
        (State::Shelved, Wish::Offloaded) if s.host_id.is_some() => offload(seen),
        (State::Shelved, Wish::Shelved) => resting(seen, shelf, offload_after),
        (State::Shelved, Wish::Offloaded) => Step::rest(State::Shelved),
        _ => Step::go(State::Shelved),
    })
}

/// Until the image is there.
fn shelving(at: &State, seen: &Seen, shelf: &Shelf) -> Step<State> {
    if *at != State::Shelving {
        return Step::go(State::Shelving);
    }
    let (id, host, shelf) = (seen.server.id, seen.server.host_id, shelf.clone());
    let outstanding = seen.captures.iter().find(|o| o.capture.image == shelf.image);
    let end = match outstanding {
        Some(o) => capture::end(seen, o),
        None => Some(End::Lost("The image that it was put aside as is not there any more.".into())),
    };
    let capture = outstanding.map(|o| o.capture.clone());
    let stopped = seen.ours().is_some_and(|g| g.status.state == GuestState::Stopped);
    match end {
        Some(End::Made) if stopped => {
            let task = (shelf.wish == Wish::Offloaded).then_some(Task::ShelvingOffloading);
            Step::go(State::Shelved).also(move |tx| {
                if let Some(c) = capture {
                    capture::finish(tx, id, &c, &End::Made)?;
                }
                shelf::put(tx, id, &Shelf { since: Some(Micros::now()), ..shelf })?;
                server::put_aside(tx, id, VmState::Shelved, power_state::SHUT_DOWN, task)?;
                host.map_or(Ok(()), |h| store::host::touch(tx, h))
            })
        }
        Some(End::Lost(why)) => Step::go(State::Settled).also(move |tx| {
            if let Some(c) = capture {
                capture::finish(tx, id, &c, &End::Lost(why))?;
            }
            shelf::clear(tx, id)?;
            server::task(tx, id, Some(Task::PoweringOff))?;
            host.map_or(Ok(()), |h| store::host::touch(tx, h))
        }),
        _ => {
            let said = capture.as_ref().and_then(|c| capture::said(seen, c)).map(|s| s.stage);
            let (task, what) = match said {
                Some(CaptureStage::Uploading) => {
                    (Task::ShelvingImageUploading, "its image is on its way from the host")
                }
                Some(_) if stopped => (Task::ShelvingImagePendingUpload, "the host copies its disk"),
                _ => (Task::Shelving, "waiting for the guest to stop"),
            };
            let step = Step::wait(LOOK, seen.why(what));
            if seen.server.task_state == Some(task) {
                return step;
            }
            step.also(move |tx| server::task(tx, id, Some(task)))
        }
    }
}

/// Stopped on its host, for as long as that is wanted.
fn resting(seen: &Seen, shelf: &Shelf, offload_after: Option<Duration>) -> Step<State> {
    let (Some(after), Some(since)) = (offload_after, shelf.since) else { return Step::rest(State::Shelved) };
    let left = after.saturating_sub(Micros::now().since(since));
    if !left.is_zero() {
        return Step::wait(left, "put aside; its disk leaves the host when its time has passed");
    }
    let (id, shelf) = (seen.server.id, shelf.clone());
    Step::go(State::Shelved).also(move |tx| {
        shelf::put(tx, id, &Shelf { wish: Wish::Offloaded, ..shelf })?;
        server::task(tx, id, Some(Task::ShelvingOffloading))
    })
}

/// Out of its host's document.
fn offload(seen: &Seen) -> Step<State> {
    let Some(host) = &seen.host else { return Step::rest(State::Shelved) };
    let (id, generation) = (host.id, host.generation + 1);
    Step::go(State::Offloading { generation }).also(move |tx| store::host::touch(tx, id))
}

fn offloading(seen: &Seen, shelf: &Shelf, generation: u64) -> Step<State> {
    let s = seen.server.clone();
    let Some(host) = &seen.host else { return Step::rest(State::Shelved) };
    if host.applied < generation || seen.guest.is_some() {
        return Step::wait(LOOK, seen.why("waiting for the host to let go of the guest"));
    }
    let (h, shelf) = (host.id, shelf.clone());
    Step::rest(State::Shelved).also(move |tx| {
        network::for_compute::hold(tx, s.id)?;
        network::for_compute::hold_hosts(tx, s.id, None, [h])?;
        host::unclaim(tx, h, s.vcpus.into(), s.ram, s.disk)?;
        guest::forget(tx, h, s.id)?;
        network::for_compute::bind(tx, s.id, None)?;
        image::release(tx, s.id)?;
        shelf::put(tx, s.id, &Shelf { wish: Wish::Offloaded, ..shelf })?;
        server::leave_host(tx, s.id)?;
        server::put_aside(tx, s.id, VmState::ShelvedOffloaded, 0, None)?;
        action::finish(tx, s.id, None)
    })
}

/// It runs again, in the transaction that says so: the image has done its duty.
pub fn returned(tx: &Tx<'_>, id: ServerId, shelf: Option<&Shelf>) -> Result<()> {
    match shelf.filter(|s| s.wish == Wish::Back) {
        Some(shelf) => {
            shelf::clear(tx, id)?;
            image::discard(tx, shelf.image)
        }
        None => Ok(()),
    }
}

/// No host has room for it: it stays where it is, on none.
pub fn no_room(id: ServerId, shelf: Option<&Shelf>, why: String) -> Option<Step<State>> {
    let shelf = shelf?.clone();
    Some(Step::rest(State::Shelved).also(move |tx| {
        shelf::put(tx, id, &Shelf { wish: Wish::Offloaded, ..shelf })?;
        server::put_aside(tx, id, VmState::ShelvedOffloaded, 0, None)?;
        action::finish(tx, id, Some(&why))?;
        event(tx, Level::Error, "server.unshelve_failed", &id.to_string(), &why)
    }))
}

/// The server goes, and what it was put aside as with it.
pub fn abandon(tx: &Tx<'_>, id: ServerId) -> Result<()> {
    if let Some(shelf) = shelf::of(tx, id)? {
        shelf::clear(tx, id)?;
        image::discard(tx, shelf.image)?;
    }
    Ok(())
}
