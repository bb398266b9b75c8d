//! Locking: only administrators change a locked server.

use super::no_arguments;
use crate::Compute;
use crate::api::{at, visible};
use crate::table::action;
use api::{Obj, Reply, Req};
use base::{Micros, Result, ServerId};
use store::{log, params};

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
        let s = visible(tx, &auth, id)?;
        tx.exec(
            "UPDATE server SET locked = $2, locked_reason = $3, updated_at = $4 WHERE id = $1",
            params![s.id, lock, reason.as_deref(), Micros::now()],
        )?;
        let what = if lock { "lock" } else { "unlock" };
        action::at_once(tx, id, &who, what)?;
        log::audit(tx, &who, &format!("server.{what}"), &id.to_string())
    })
    .await?;
    Ok(Reply::empty(202))
}
