//! Resize and cold migration: asked for, tried, then confirmed or taken back ([`crate::life::resize`]).

use super::{accepted, admins_only, intend, no_arguments};
use crate::Compute;
use crate::api::at;
use crate::api::create::{GIB, flavor_usable, take};
use crate::api::servers::{must_be, must_stay};
use crate::api::wish::{disk_config, flavor_ref};
use crate::life::resize::movable;
use crate::limits::Limits;
use crate::model::{Flavor, Resize, Server, Size, Stage, Task, VmState};
use crate::table::migration::Migration;
use crate::table::{flavor, host, intent, migration, server};
use api::{Auth, Obj, Reply, Req};
use base::doc::Power;
use base::{Fault, Micros, Result, ServerId};
use store::{Tx, params};

/// `resize {flavorRef, OS-DCF:diskConfig}`.
pub async fn resize(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    o.only(&["flavorRef", "OS-DCF:diskConfig"])?;
    let (wanted, disk_config) = (flavor_ref(o)?, disk_config(o)?);
    let (auth, limits) = (req.auth.clone(), c.limits.clone());
    let asked = intend(c, req, id, "resize", move |tx, s| {
        must_be(s, "resize", &[VmState::Active, VmState::Stopped], &[None])?;
        must_stay(tx, s, "resize")?;
        let new =
            flavor::by_id(tx, &wanted)?.filter(|f| auth.is_admin() || flavor_usable(tx, f, &s.project_id));
        let new = new.ok_or_else(|| Fault::bad_reference(format!("Flavor {wanted} could not be found.")))?;
        let size = size_of(s, &new)?;
        take_more(tx, &limits.now(tx)?, s, &size)?;
        if let Some(text) = disk_config {
            tx.exec("UPDATE server SET disk_config = $2 WHERE id = $1", params![id, text])?;
        }
        begin(tx, &auth, s, Asked { kind: "resize", new: size, must_move: false, to: None })
    });
    asked.await.map(accepted)
}

/// What the flavor gives this server.
///
/// # Errors
/// 400 when it is the one that the server has, is disabled, or has a smaller disk or ephemeral disk.
fn size_of(s: &Server, new: &Flavor) -> Result<Size> {
    if new.disabled {
        return Err(Fault::bad_reference(format!("Flavor {} could not be found.", new.id)));
    }
    if new.id.0 == s.flavor.id {
        return Err(Fault::bad_request("When resizing, instances must change flavor!"));
    }
    if new.disk == 0 && s.flavor.disk != 0 {
        return Err(Fault::bad_request("Resize to zero disk flavor is not allowed."));
    }
    let disk_bytes = if new.disk == 0 { s.disk_bytes } else { new.disk * GIB };
    if disk_bytes < s.disk_bytes {
        return Err(Fault::bad_request(format!(
            "Unable to resize disk down: the server's disk has {} bytes, the flavor {} gives {disk_bytes}.",
            s.disk_bytes, new.name
        )));
    }
    if new.ephemeral < s.flavor.ephemeral {
        return Err(Fault::bad_request(format!(
            "Unable to resize disk down: the server's ephemeral disk has {} GiB, the flavor {} gives {}.",
            s.flavor.ephemeral, new.name, new.ephemeral
        )));
    }
    Ok(Size {
        flavor: new.kept(),
        vcpus: new.vcpus,
        ram: new.ram,
        disk: disk_bytes.div_ceil(GIB) + crate::hardware::local_gib(&new.kept()),
        disk_bytes,
    })
}

/// Quota for what it gets more; what it gets less is given back when the resize is confirmed.
fn take_more(tx: &Tx<'_>, limits: &Limits, s: &Server, new: &Size) -> Result<()> {
    let more = [
        ("cores", i64::from(new.vcpus) - i64::from(s.vcpus), limits.cores),
        ("ram", i64::try_from(new.ram.saturating_sub(s.ram)).unwrap_or(i64::MAX), limits.ram),
    ];
    let more: Vec<_> = more.into_iter().filter(|(_, n, _)| *n > 0).collect();
    take(tx, &s.project_id, &s.user_id, &more)
}

struct Asked {
    /// `resize` or `migration`.
    kind: &'static str,
    new: Size,
    must_move: bool,
    to: Option<String>,
}

fn begin(tx: &Tx<'_>, auth: &Auth, s: &Server, asked: Asked) -> Result<()> {
    let number = migration::next_number(tx)?;
    let here = s.host_id.map(|h| host::by_id(tx, h)).transpose()?.flatten();
    let now = Micros::now();
    migration::insert(
        tx,
        &Migration {
            id: number,
            uuid: uuid::Uuid::new_v4().to_string(),
            server_id: s.id,
            kind: asked.kind.to_owned(),
            status: "pre-migrating".to_owned(),
            user_id: auth.user.id.clone(),
            project_id: s.project_id.clone(),
            from_host: here.map(|h| h.name).unwrap_or_default(),
            to_host: None,
            from_flavor: s.flavor.id.clone(),
            to_flavor: asked.new.flavor.id.clone(),
            created_at: now,
            updated_at: now,
        },
    )?;
    let resize = Resize {
        number,
        stage: Stage::Asked,
        old: s.size(),
        new: asked.new,
        ran: s.want_power == Power::On,
        must_move: asked.must_move,
        to: asked.to,
        from: None,
    };
    intent::resize(tx, s.id, Some(&resize))?;
    server::task(tx, s.id, Some(Task::ResizePrep))
}

/// `migrate`, with `{host}` from 2.56: the same size on another host.
pub async fn migrate(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    admins_only(req, "os-migrate-server:migrate")?;
    let to = if at(req, 56) {
        match body.opt_inner("migrate")? {
            Some(o) => {
                o.only(&["host"])?;
                o.opt_str("host", 255)?
            }
            None => None,
        }
    } else {
        no_arguments(body, "migrate")?;
        None
    };
    let auth = req.auth.clone();
    let asked = intend(c, req, id, "migrate", move |tx, s| {
        must_be(s, "migrate", &[VmState::Active, VmState::Stopped], &[None])?;
        must_stay(tx, s, "migrate")?;
        another(tx, s, to.as_deref())?;
        begin(tx, &auth, s, Asked { kind: "migration", new: s.size(), must_move: true, to })
    });
    asked.await.map(accepted)
}

/// That there is a host to go to at all.
fn another(tx: &Tx<'_>, s: &Server, to: Option<&str>) -> Result<()> {
    if let Some(name) = to {
        let found = host::by_name(tx, name)?;
        let found =
            found.ok_or_else(|| Fault::bad_reference(format!("Compute host {name} could not be found.")))?;
        if Some(found.id) == s.host_id {
            return Err(Fault::bad_request(format!(
                "Unable to migrate instance ({}) to current host ({name}).",
                s.id
            )));
        }
    }
    let others = s.host_id.map_or(Ok(Vec::new()), |here| movable(tx, here))?;
    if !others.is_empty() {
        return Ok(());
    }
    Err(Fault::bad_request("No valid host was found. There is no other host that the server can move to."))
}

/// `confirmResize` answers 204.
pub async fn confirm(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "confirmResize")?;
    intend(c, req, id, "confirmResize", move |tx, s| {
        let r = verifying(s, "confirmResize")?;
        migration::set(tx, r.number, "confirming", None)?;
        intent::resize(tx, id, Some(&Resize { stage: Stage::Confirm, ..r }))
    })
    .await?;
    Ok(Reply::empty(204))
}

pub async fn revert(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "revertResize")?;
    let asked = intend(c, req, id, "revertResize", move |tx, s| {
        let r = verifying(s, "revertResize")?;
        migration::set(tx, r.number, "reverting", None)?;
        intent::resize(tx, id, Some(&Resize { stage: Stage::Revert, ..r }))?;
        server::task(tx, id, Some(Task::ResizeReverting))
    });
    asked.await.map(accepted)
}

/// The resize that waits for the user's word.
///
/// # Errors
/// 409 when the server is in another state, 400 when the word was given.
fn verifying(s: &Server, what: &str) -> Result<Resize> {
    must_be(s, what, &[VmState::Resized], &[None])?;
    let resize = s.intent.resize.clone().filter(|r| r.stage == Stage::Verifying);
    resize.ok_or_else(|| Fault::bad_request("Instance has not been resized."))
}
