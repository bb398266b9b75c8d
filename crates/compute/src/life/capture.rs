//! Images of a server's disk, one after another, while the server goes on as it is.
//!
//! ```text
//!  asked ─▶ Capturing: the host copies, then sends ─▶ the image is active ─▶ Settled
//!                 └─ the host gives up, or the image was deleted ─▶ no image ─▶ Settled
//! ```
//! The row in `server_capture` is the wish, and puts the image into the host's document; the image's own
//! status is the outcome. Whatever it is, the row goes, and the server has no task any more.

use super::{LOOK, Seen, State};
use crate::model::{Server, Task};
use crate::table::capture::{Capture, Purpose};
use crate::table::{action, capture, server};
use base::doc::{CaptureStage, CaptureStatus};
use base::{Result, ServerId};
use image::Delivery;
use store::Tx;
use store::log::{Level, event};
use store::work::Step;

/// A capture and how far its image is; `None` when there is none (any more).
pub struct Outstanding {
    pub capture: Capture,
    pub delivery: Option<Delivery>,
}

/// The captures of a server, oldest first.
pub fn look(tx: &Tx<'_>, id: ServerId) -> Result<Vec<Outstanding>> {
    let all = capture::of_server(tx, id)?.into_iter();
    all.map(|capture| Ok(Outstanding { delivery: image::delivery(tx, capture.image)?, capture })).collect()
}

/// What the host says of one.
pub fn said<'a>(seen: &'a Seen, c: &Capture) -> Option<&'a CaptureStatus> {
    seen.ours()?.status.captures.iter().find(|s| s.image == c.image)
}

/// How a capture ended, if it has.
pub enum End {
    Made,
    Lost(String),
}

pub fn end(seen: &Seen, o: &Outstanding) -> Option<End> {
    match o.delivery {
        Some(Delivery::Done) => Some(End::Made),
        None => Some(End::Lost("The image was deleted while it was being made.".into())),
        Some(_) => {
            let said = said(seen, &o.capture).filter(|s| s.stage == CaptureStage::Failed)?;
            Some(End::Lost(format!("The image could not be made: {}", said.reason)))
        }
    }
}

/// The next step of a server whose disk is being copied.
pub fn step(at: &State, seen: &Seen) -> Option<Step<State>> {
    let Some(first) = seen.captures.first() else {
        return (*at == State::Capturing).then(|| Step::go(State::Settled));
    };
    let (id, host) = (seen.server.id, seen.server.host_id);
    Some(match end(seen, first) {
        Some(end) => {
            let c = first.capture.clone();
            Step::go(State::Settled).also(move |tx| {
                finish(tx, id, &c, &end)?;
                server::task(tx, id, None)?;
                host.map_or(Ok(()), |h| store::host::touch(tx, h))
            })
        }
        None => waiting(at, seen, &first.capture),
    })
}

/// Whatever state it was asked in, it is waited for in one.
fn waiting(at: &State, seen: &Seen, c: &Capture) -> Step<State> {
    if *at != State::Capturing {
        return Step::go(State::Capturing);
    }
    let (task, what) = match said(seen, c).map(|s| s.stage) {
        Some(CaptureStage::Uploading) => (Task::ImageUploading, "the image is on its way from the host"),
        Some(_) => (Task::ImageSnapshot, "the host copies the disk"),
        None if matches!(c.purpose, Purpose::Backup { .. }) => {
            (Task::ImageBackup, "waiting for the host to copy the disk")
        }
        None => (Task::ImageSnapshotPending, "waiting for the host to copy the disk"),
    };
    let step = Step::wait(LOOK, seen.why(what));
    if seen.server.task_state == Some(task) {
        return step;
    }
    let id = seen.server.id;
    step.also(move |tx| server::task(tx, id, Some(task)))
}

/// Takes note of how a capture ended: the row goes, what is of no use goes with it.
pub fn finish(tx: &Tx<'_>, id: ServerId, c: &Capture, end: &End) -> Result<()> {
    capture::forget(tx, c.image)?;
    match end {
        End::Made => {
            if let Purpose::Backup { backup_type, rotation } = &c.purpose {
                for old in image::backups(tx, id, backup_type)?.into_iter().skip(*rotation) {
                    image::discard(tx, old)?;
                }
            }
            action::finish(tx, id, None)
        }
        End::Lost(why) => {
            image::abandon(tx, c.image)?;
            action::finish(tx, id, Some(why))?;
            event(tx, Level::Warning, "server.image_lost", &id.to_string(), why)
        }
    }
}

/// The server goes: images of it that are not there yet will never be.
pub fn abandon(tx: &Tx<'_>, s: &Server) -> Result<()> {
    for c in capture::of_server(tx, s.id)? {
        capture::forget(tx, c.image)?;
        image::abandon(tx, c.image)?;
    }
    Ok(())
}
