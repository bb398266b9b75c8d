//! Deletion: at once, or so that it can be taken back while the reclaim interval lasts.

use super::{accepted, intend, no_arguments};
use crate::Compute;
use crate::api::changeable;
use crate::api::create::take;
use crate::api::servers::must_be;
use crate::life::depart::give_quota;
use crate::life::{self, resize::counted_again};
use crate::model::{Task, VmState};
use crate::table::{action, intent, server};
use api::{Obj, Reply, Req};
use base::doc::Power;
use base::{Micros, Result, ServerId};
use store::{log, work};

/// `DELETE /servers/{id}`: with a reclaim interval a server that ever ran can be restored.
pub async fn delete(c: &Compute, req: &Req, id: ServerId) -> Result<()> {
    let (auth, who, keep) = (req.auth.clone(), req.who(), !c.limits.reclaim.is_zero());
    c.db.write(move |tx| {
        let s = changeable(tx, &auth, id)?;
        if s.intent.soft_deleted_at.is_some() || s.delete_at.is_some() {
            return Ok(());
        }
        // What is put aside is on no host that could bring it to rest.
        let aside = matches!(s.vm_state, VmState::Shelved | VmState::ShelvedOffloaded);
        let softly = keep && s.launched_at.is_some() && !aside;
        if softly {
            // What is under way for it ends here: nothing could go on where it stopped when it is restored.
            life::give_up(tx, &s)?;
            give_quota(tx, &s)?;
            intent::soft_delete(tx, id, Some(Micros::now()))?;
            intent::awake(tx, id)?;
            server::want_power(tx, id, Power::Off, Task::SoftDeleting)?;
            s.host_id.map_or(Ok(()), |h| store::host::touch(tx, h))?;
        } else if !server::want_gone(tx, id)? {
            return Ok(());
        }
        action::begin(tx, id, &who, if softly { "softDelete" } else { "delete" })?;
        log::audit(tx, &who, "server.delete", &id.to_string())?;
        work::wake(tx, &id.to_string())
    })
    .await
}

/// `forceDelete`: at once, whatever the interval is.
pub async fn force(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "forceDelete")?;
    let (auth, who) = (req.auth.clone(), req.who());
    c.db.write(move |tx| {
        changeable(tx, &auth, id)?;
        if !server::want_gone(tx, id)? {
            return Ok(());
        }
        action::begin(tx, id, &who, "delete")?;
        log::audit(tx, &who, "server.delete", &id.to_string())?;
        work::wake(tx, &id.to_string())
    })
    .await?;
    Ok(Reply::empty(202))
}

/// `restore`: it starts again, if the quota has room for it.
pub async fn restore(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "restore")?;
    let limits = c.limits.clone();
    let asked = intend(c, req, id, "restore", move |tx, s| {
        must_be(s, "restore", &[VmState::SoftDeleted], &[None])?;
        let limits = limits.now(tx)?;
        // As much as was given back: of a resize that waits for the user's word, both sizes.
        let (vcpus, ram) = counted_again(s);
        let (vcpus, ram) = (i64::from(vcpus), i64::try_from(ram).unwrap_or(i64::MAX));
        take(
            tx,
            &s.project_id,
            &s.user_id,
            &[("instances", 1, limits.instances), ("cores", vcpus, limits.cores), ("ram", ram, limits.ram)],
        )?;
        intent::soft_delete(tx, id, None)?;
        server::want_power(tx, id, Power::On, Task::Restoring)
    });
    asked.await.map(accepted)
}
