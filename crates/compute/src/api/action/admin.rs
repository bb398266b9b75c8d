//! What administrators do to a server, and crash dumps.

use super::{accepted, admins_only, exists, intend, no_arguments};
use crate::Compute;
use crate::api::held;
use crate::api::servers::must_be;
use crate::model::VmState;
use crate::table::{action, intent, moving};
use api::{Obj, Reply, Req};
use base::{Fault, Micros, Result, ServerId};
use store::{log, params, work};

/// Says that a server is fine, or is not, and that nothing is being done to it. The life-cycle says so itself
/// as soon as its host reports a change; at once of one whose resize or move has not ended.
pub async fn reset_state(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    admins_only(req, "os-admin-actions:reset_state")?;
    o.only(&["state"])?;
    let to = match o.str("state", 10)?.as_str() {
        "active" => VmState::Active,
        "error" => VmState::Error,
        other => {
            return Err(Fault::bad_request(format!(
                "Invalid input for field/attribute state. Value: {other}. '{other}' is not one of ['active', 'error']"
            )));
        }
    };
    let (auth, who) = (req.auth.clone(), req.who());
    c.db.write(move |tx| {
        let s = held(tx, &auth, id)?;
        tx.exec(
            "UPDATE server SET vm_state = $2, task_state = NULL, updated_at = $3 WHERE id = $1",
            params![s.id, to.as_str(), Micros::now()],
        )?;
        action::at_once(tx, id, &who, "resetState")?;
        log::audit(tx, &who, "server.reset_state", &id.to_string())?;
        // Nobody could confirm or revert it otherwise.
        if s.intent.resize.is_some() || moving::of(tx, id)?.is_some() {
            work::wake(tx, &id.to_string())?;
        }
        Ok(())
    })
    .await?;
    Ok(Reply::empty(202))
}

/// `injectNetworkInfo`: the network is always as the document says, so there is nothing to do.
pub async fn nothing_to_do(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    admins_only(req, "os-admin-actions:inject_network_info")?;
    no_arguments(body, "injectNetworkInfo")?;
    exists(c, req, id).await.map(accepted)
}

/// `trigger_crash_dump`, from 2.17: a non-maskable interrupt; what the guest makes of it is its own affair.
pub async fn crash_dump(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "trigger_crash_dump")?;
    let asked = intend(c, req, id, "trigger_crash_dump", move |tx, s| {
        let states = [VmState::Active, VmState::Paused, VmState::Rescued, VmState::Resized, VmState::Error];
        must_be(s, "trigger_crash_dump", &states, &[None])?;
        intent::interrupt(tx, id)
    });
    asked.await.map(accepted)
}
