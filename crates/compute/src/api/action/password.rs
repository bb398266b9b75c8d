//! A new password for the guest's administrator, set by the agent inside the guest.

use super::{accepted, intend};
use crate::Compute;
use crate::api::servers::must_be;
use crate::api::visible;
use crate::model::{Task, VmState};
use crate::table::{host, intent, server};
use api::{Obj, Reply, Req};
use base::{Fault, Result, ServerId};

/// `changePassword {adminPass}`. The host is asked whether an agent answers in the guest before anything is
/// promised: the API says so at once, and nothing else tells.
pub async fn change(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    o.only(&["adminPass"])?;
    let pass = o.str("adminPass", 255)?;
    let auth = req.auth.clone();
    let check = |s: &crate::model::Server| must_be(s, "changePassword", &[VmState::Active], &[None]);
    let host = c.db.read(move |tx| {
        let s = visible(tx, &auth, id)?;
        check(&s)?;
        s.host_id.map(|h| host::by_id(tx, h)).transpose().map(Option::flatten)
    });
    let host = host.await?.ok_or_else(|| Fault::conflict(format!("Instance {id} is not ready")))?;
    if !c.wire.agent_answers(&host, id).await {
        return Err(Fault::conflict(format!(
            "Failed to set admin password on {id} because QEMU guest agent is not enabled. Install qemu-guest-agent \
             in the guest and see that it runs."
        )));
    }
    let asked = intend(c, req, id, "changePassword", move |tx, s| {
        check(s)?;
        intent::password(tx, id, s.intent.password.as_ref(), &pass)?;
        server::task(tx, id, Some(Task::UpdatingPassword))
    });
    asked.await.map(accepted)
}
