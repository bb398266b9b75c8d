//! Locking: only administrators change a locked server, and only they take a lock off that an administrator
//! put on. An owner's lock does not cover another one: a locked server stays as it was locked.

use super::no_arguments;
use crate::Compute;
use crate::api::{at, held};
use crate::table::action;
use api::{Obj, Reply, Req};
use base::{Fault, Micros, Result, ServerId};
use store::{Tx, log, params};

/// Who put a lock on.
const OWNER: &str = "owner";
const ADMIN: &str = "admin";

fn locked_by(tx: &Tx<'_>, id: ServerId) -> Result<Option<String>> {
    tx.one("SELECT locked_by FROM server WHERE id = $1", params![id], |r| r.get(0))
}

pub async fn lock(c: &Compute, req: &Req, body: &Obj, id: ServerId, lock: bool) -> Result<Reply> {
    let mut reason = None;
    if lock && at(req, 73) {
        if let Some(o) = body.opt_inner("lock")? {
            o.only(&["locked_reason"])?;
            reason = Some(o.name("locked_reason", 255)?);
        }
    } else {
        no_arguments(body, if lock { "lock" } else { "unlock" })?;
    }
    let (auth, who) = (req.auth.clone(), req.who());
    c.db.write(move |tx| {
        let s = held(tx, &auth, id)?;
        let owner = auth.project().is_ok_and(|p| *p == s.project_id);
        if lock && s.locked && owner {
            return Ok(());
        }
        if !lock && owner && !auth.is_admin() && locked_by(tx, id)?.as_deref() == Some(ADMIN) {
            return Err(Fault::forbidden(
                "Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed.",
            ));
        }
        let by = lock.then_some(if owner { OWNER } else { ADMIN });
        tx.exec(
            "UPDATE server SET locked = $2, locked_by = $3, locked_reason = $4, updated_at = $5 WHERE id = $1",
            params![s.id, lock, by, reason.as_deref(), Micros::now()],
        )?;
        let what = if lock { "lock" } else { "unlock" };
        action::at_once(tx, id, &who, what)?;
        log::audit(tx, &who, &format!("server.{what}"), &id.to_string())
    })
    .await?;
    Ok(Reply::empty(202))
}
