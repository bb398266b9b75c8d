//! `POST /servers/{id}/action`: the body's only key names the action.

use super::servers::{must_be, remove};
use super::{at, changeable, console, interfaces, server_id};
use crate::Compute;
use crate::model::{Task, VmState};
use crate::table::{action, server};
use api::{Obj, Reply, Req};
use base::doc::{BootKind, Power};
use base::{Fault, Kind, Micros, Result, ServerId};
use serde_json::Value;
use std::sync::Arc;
use store::{Tx, log, params, work};

/// Actions that the API has and this release does not.
const LATER: &[&str] = &[
    "addFloatingIp",
    "changePassword",
    "confirmResize",
    "createBackup",
    "createImage",
    "evacuate",
    "injectNetworkInfo",
    "migrate",
    "os-getRDPConsole",
    "os-getSPICEConsole",
    "os-getSerialConsole",
    "os-migrateLive",
    "pause",
    "rebuild",
    "removeFloatingIp",
    "rescue",
    "resetNetwork",
    "resize",
    "restore",
    "resume",
    "revertResize",
    "shelve",
    "shelveOffload",
    "suspend",
    "trigger_crash_dump",
    "unpause",
    "unrescue",
    "unshelve",
];

pub async fn act(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let mut keys = body.map.keys();
    let (Some(name), None) = (keys.next().cloned(), keys.next()) else {
        return Err(Fault::bad_request("The body of an action must hold exactly one key, its name."));
    };
    let id = server_id(&req)?;
    match name.as_str() {
        "os-start" => power(&c, &req, &body, id, Power::On).await,
        "os-stop" => power(&c, &req, &body, id, Power::Off).await,
        "reboot" => reboot(&c, &req, &body.inner("reboot")?, id).await,
        "forceDelete" => remove(&c, &req, id).await.map(|()| Reply::empty(202)),
        "lock" => lock(&c, &req, &body, id, true).await,
        "unlock" => lock(&c, &req, &body, id, false).await,
        "os-resetState" => reset_state(&c, &req, &body.inner("os-resetState")?, id).await,
        "addSecurityGroup" => group(&c, &req, &body.inner(&name)?, id, true).await,
        "removeSecurityGroup" => group(&c, &req, &body.inner(&name)?, id, false).await,
        "addFixedIp" | "removeFixedIp" if at(&req, 44) => Err(unknown(&name)),
        "addFixedIp" => interfaces::change_fixed(&c, &req, &body.inner(&name)?, id, true).await,
        "removeFixedIp" => interfaces::change_fixed(&c, &req, &body.inner(&name)?, id, false).await,
        "os-getConsoleOutput" => console::output(&c, &req, &body, id).await,
        "os-getVNCConsole" if at(&req, 6) => Err(unknown(&name)),
        "os-getVNCConsole" => console::vnc_before_2_6(&c, &req, &body.inner(&name)?, id).await,
        later if LATER.contains(&later) => {
            exists(&c, &req, id).await?;
            Err(Fault::new(Kind::NotImplemented, format!("The action {later} comes in a later release.")))
        }
        other => Err(unknown(other)),
    }
}

fn unknown(name: &str) -> Fault {
    let name: String = name.chars().take(64).collect();
    Fault::bad_request(format!("There is no such action: {name}"))
}

async fn exists(c: &Compute, req: &Req, id: ServerId) -> Result<()> {
    let auth = req.auth.clone();
    c.db.read(move |tx| super::visible(tx, &auth, id).map(drop)).await
}

/// An action without arguments takes `null`, and `{}` for old clients.
fn no_arguments(body: &Obj, name: &str) -> Result<()> {
    match body.map.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(map)) if map.is_empty() => Ok(()),
        Some(other) => Err(Fault::bad_request(format!(
            "Invalid input for field/attribute {name}. Value: {other}. It takes null."
        ))),
    }
}

/// Changes intent: what is under way, in which words, and the host's document with it.
fn intend(tx: &Tx<'_>, req: &Asked, id: ServerId, host: Option<base::HostId>) -> Result<()> {
    action::begin(tx, id, &req.who, req.action)?;
    log::audit(tx, &req.who, &format!("server.{}", req.action), &id.to_string())?;
    if let Some(host) = host {
        store::host::touch(tx, host)?;
    }
    work::wake(tx, &id.to_string())
}

struct Asked {
    who: log::Who,
    action: &'static str,
}

async fn power(c: &Compute, req: &Req, body: &Obj, id: ServerId, want: Power) -> Result<Reply> {
    let (what, action, from, task): (_, _, &[VmState], _) = match want {
        Power::On => ("start", "start", &[VmState::Stopped], Task::PoweringOn),
        Power::Off => ("stop", "stop", &[VmState::Active], Task::PoweringOff),
    };
    no_arguments(body, if want == Power::On { "os-start" } else { "os-stop" })?;
    let (auth, asked) = (req.auth.clone(), Asked { who: req.who(), action });
    c.db.write(move |tx| {
        let s = changeable(tx, &auth, id)?;
        must_be(&s, what, from, &[None])?;
        server::want_power(tx, id, want, task)?;
        intend(tx, &asked, id, s.host_id)
    })
    .await?;
    Ok(Reply::empty(202))
}

async fn reboot(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
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
    let (auth, asked) = (req.auth.clone(), Asked { who: req.who(), action: "reboot" });
    c.db.write(move |tx| {
        let s = changeable(tx, &auth, id)?;
        match kind {
            BootKind::Soft => must_be(&s, "reboot", &[VmState::Active], &[None])?,
            // A hard reboot helps a soft one that hangs, and a server that failed after it had run.
            BootKind::Hard if s.vm_state == VmState::Error && s.launched_at.is_none() => {
                must_be(&s, "reboot", &[VmState::Active], &[None])?;
            }
            BootKind::Hard => must_be(
                &s,
                "reboot",
                &[VmState::Active, VmState::Stopped, VmState::Error],
                &[None, Some(Task::Rebooting), Some(Task::RebootingHard)],
            )?,
        }
        server::want_reboot(tx, id, kind)?;
        intend(tx, &asked, id, s.host_id)
    })
    .await?;
    Ok(Reply::empty(202))
}

async fn lock(c: &Compute, req: &Req, body: &Obj, id: ServerId, lock: bool) -> Result<Reply> {
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
        let s = super::visible(tx, &auth, id)?;
        tx.exec(
            "UPDATE server SET locked = $2, locked_reason = $3, updated_at = $4 WHERE id = $1",
            params![s.id, lock, reason.as_deref(), Micros::now()],
        )?;
        log::audit(tx, &who, if lock { "server.lock" } else { "server.unlock" }, &id.to_string())
    })
    .await?;
    Ok(Reply::empty(202))
}

async fn group(c: &Compute, req: &Req, o: &Obj, id: ServerId, add: bool) -> Result<Reply> {
    o.only(&["name"])?;
    let (name, auth, who) = (o.name("name", 255)?, req.auth.clone(), req.who());
    c.db.write(move |tx| {
        let s = changeable(tx, &auth, id)?;
        network::for_compute::change_group(tx, &s.project_id, id, &name, add).map_err(|f| match f.kind {
            Kind::BadReference => Fault::not_found(f.message),
            _ => f,
        })?;
        let what = if add { "server.add_security_group" } else { "server.remove_security_group" };
        log::audit(tx, &who, what, &id.to_string())
    })
    .await?;
    Ok(Reply::empty(202))
}

/// For administrators: says that a server is fine, or is not. The life-cycle says so itself as soon as its
/// host reports a change.
async fn reset_state(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    if !req.auth.is_admin() {
        return Err(Fault::forbidden(
            "Policy doesn't allow os_compute_api:os-admin-actions:reset_state to be performed.",
        ));
    }
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
        let s = super::visible(tx, &auth, id)?;
        tx.exec(
            "UPDATE server SET vm_state = $2, task_state = NULL, updated_at = $3 WHERE id = $1",
            params![s.id, to.as_str(), Micros::now()],
        )?;
        log::audit(tx, &who, "server.reset_state", &id.to_string())
    })
    .await?;
    Ok(Reply::empty(202))
}
