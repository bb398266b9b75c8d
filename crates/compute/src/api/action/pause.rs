//! Pause (the guest's CPUs stand still) and suspend (its memory goes to the disk), and both back.

use super::{accepted, intend, no_arguments};
use crate::Compute;
use crate::api::servers::must_be;
use crate::model::{Task, VmState};
use crate::table::{intent, server};
use api::{Obj, Reply, Req};
use base::{Result, ServerId};

pub async fn pause(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "pause")?;
    let asked = intend(c, req, id, "pause", move |tx, s| {
        must_be(s, "pause", &[VmState::Active], &[None])?;
        intent::pause(tx, id, true)?;
        server::task(tx, id, Some(Task::Pausing))
    });
    asked.await.map(accepted)
}

pub async fn unpause(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "unpause")?;
    let asked = intend(c, req, id, "unpause", move |tx, s| {
        must_be(s, "unpause", &[VmState::Paused], &[None])?;
        intent::pause(tx, id, false)?;
        server::task(tx, id, Some(Task::Unpausing))
    });
    asked.await.map(accepted)
}

pub async fn suspend(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "suspend")?;
    let asked = intend(c, req, id, "suspend", move |tx, s| {
        must_be(s, "suspend", &[VmState::Active], &[None])?;
        intent::suspend(tx, id, true)?;
        server::task(tx, id, Some(Task::Suspending))
    });
    asked.await.map(accepted)
}

pub async fn resume(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "resume")?;
    let asked = intend(c, req, id, "resume", move |tx, s| {
        must_be(s, "resume", &[VmState::Suspended], &[None])?;
        intent::suspend(tx, id, false)?;
        server::task(tx, id, Some(Task::Resuming))
    });
    asked.await.map(accepted)
}
