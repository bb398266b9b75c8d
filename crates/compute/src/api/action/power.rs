//! Start, stop, reboot.

use super::{accepted, intend, no_arguments};
use crate::api::servers::must_be;
use crate::model::{Task, VmState};
use crate::table::{intent, server};
use crate::{Compute, cpu};
use api::{Obj, Reply, Req};
use base::doc::{BootKind, Power};
use base::{Fault, Result, ServerId};

/// A hard reboot helps what hangs in one of these.
const HANGS: &[Option<Task>] = &[
    None,
    Some(Task::Rebooting),
    Some(Task::RebootingHard),
    Some(Task::Pausing),
    Some(Task::Unpausing),
    Some(Task::Suspending),
    Some(Task::Resuming),
];

pub async fn start(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "os-start")?;
    let asked = intend(c, req, id, "start", move |tx, s| {
        must_be(s, "start", &[VmState::Stopped], &[None])?;
        if let Some(host) = s.host_id {
            cpu::choose(tx, s, host)?;
        }
        server::want_power(tx, id, Power::On, Task::PoweringOn)
    });
    asked.await.map(accepted)
}

pub async fn stop(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "os-stop")?;
    let asked = intend(c, req, id, "stop", move |tx, s| {
        must_be(s, "stop", &[VmState::Active, VmState::Error], &[None])?;
        intent::awake(tx, id)?;
        server::want_power(tx, id, Power::Off, Task::PoweringOff)
    });
    asked.await.map(accepted)
}

pub async fn reboot(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    o.only(&["type"])?;
    let kind = match o.str("type", 10)?.to_ascii_uppercase().as_str() {
        "SOFT" => BootKind::Soft,
        "HARD" => BootKind::Hard,
        other => {
            return Err(Fault::bad_request(format!(
                "Invalid input for field/attribute type. Value: {other}. '{other}' is not one of ['HARD', 'SOFT']"
            )));
        }
    };
    let asked = intend(c, req, id, "reboot", move |tx, s| {
        match kind {
            BootKind::Soft => must_be(s, "reboot", &[VmState::Active], &[None])?,
            BootKind::Hard => must_be(
                s,
                "reboot",
                &[VmState::Active, VmState::Stopped, VmState::Paused, VmState::Suspended, VmState::Error],
                HANGS,
            )?,
        }
        intent::awake(tx, id)?;
        server::want_reboot(tx, id, kind)
    });
    asked.await.map(accepted)
}
