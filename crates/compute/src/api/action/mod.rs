//! `POST /servers/{id}/action`: the body's only key names the action. One file per family; each checks, writes
//! intent and wakes the life-cycle, all in one transaction ([`intend`]).
//!
//! Which states an action is allowed in: OpenStack Compute API reference, “Servers - run an action”.

mod admin;
mod group;
mod lock;
mod password;
mod pause;
mod power;
mod rebuild;
pub mod remove;
mod rescue;
mod resize;
mod shelf;
mod snapshot;
mod travel;

use super::{at, changeable, console, interfaces, server_id, versions};
use crate::Compute;
use crate::metal;
use crate::model::Server;
use crate::proxy::floating;
use crate::table::action;
use api::{Auth, Obj, Reply, Req};
use base::{Fault, Kind, Result, ServerId};
use serde_json::Value;
use std::sync::Arc;
use store::{Tx, log, work};

/// Actions that the API has and this release does not.
const LATER: &[&str] = &["os-getRDPConsole", "os-getSPICEConsole"];

pub async fn act(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let mut keys = body.map.keys();
    let (Some(name), None) = (keys.next().cloned(), keys.next()) else {
        return Err(Fault::bad_request("The body of an action must hold exactly one key, its name."));
    };
    let (c, req, id) = (&*c, &req, server_id(&req)?);
    if metal::for_guests(&name) {
        let (auth, action) = (req.auth.clone(), name.clone());
        c.db.read(move |tx| metal::refuse(&super::visible(tx, &auth, id)?, &action)).await?;
    }
    match name.as_str() {
        "os-start" => power::start(c, req, &body, id).await,
        "os-stop" => power::stop(c, req, &body, id).await,
        "reboot" => power::reboot(c, req, &body.inner("reboot")?, id).await,
        "pause" => pause::pause(c, req, &body, id).await,
        "unpause" => pause::unpause(c, req, &body, id).await,
        "suspend" => pause::suspend(c, req, &body, id).await,
        "resume" => pause::resume(c, req, &body, id).await,
        "rescue" => rescue::rescue(c, req, &body, id).await,
        "unrescue" => rescue::unrescue(c, req, &body, id).await,
        "rebuild" => rebuild::rebuild(c, req, &body.inner("rebuild")?, id).await,
        "resize" => resize::resize(c, req, &body.inner("resize")?, id).await,
        "confirmResize" => resize::confirm(c, req, &body, id).await,
        "revertResize" => resize::revert(c, req, &body, id).await,
        "migrate" => resize::migrate(c, req, &body, id).await,
        "changePassword" => password::change(c, req, &body.inner("changePassword")?, id).await,
        "forceDelete" => remove::force(c, req, &body, id).await,
        "restore" => remove::restore(c, req, &body, id).await,
        "lock" => lock::lock(c, req, &body, id, true).await,
        "unlock" => lock::lock(c, req, &body, id, false).await,
        "os-resetState" => admin::reset_state(c, req, &body.inner("os-resetState")?, id).await,
        "injectNetworkInfo" => admin::nothing_to_do(c, req, &body, id).await,
        "resetNetwork" => Err(versions::gone()),
        "trigger_crash_dump" if !at(req, 17) => Err(not_in_this_version()),
        "trigger_crash_dump" => admin::crash_dump(c, req, &body, id).await,
        "evacuate" => travel::evacuate(c, req, &body.inner("evacuate")?, id).await,
        "os-migrateLive" => travel::migrate_live(c, req, &body.inner("os-migrateLive")?, id).await,
        "addSecurityGroup" => group::group(c, req, &body.inner(&name)?, id, true).await,
        "removeSecurityGroup" => group::group(c, req, &body.inner(&name)?, id, false).await,
        "addFixedIp" | "removeFixedIp" if at(req, 44) => Err(not_in_this_version()),
        "os-getSerialConsole" | "os-getVNCConsole" if at(req, 6) => Err(not_in_this_version()),
        "addFixedIp" => interfaces::change_fixed(c, req, &body.inner(&name)?, id, true).await,
        "removeFixedIp" => interfaces::change_fixed(c, req, &body.inner(&name)?, id, false).await,
        "addFloatingIp" => floating::change(c, req, &body.inner(&name)?, id, true).await,
        "removeFloatingIp" => floating::change(c, req, &body.inner(&name)?, id, false).await,
        "os-getConsoleOutput" => console::output(c, req, &body, id).await,
        "createImage" => snapshot::create_image(c, req, &body.inner(&name)?, id).await,
        "createBackup" => snapshot::create_backup(c, req, &body.inner(&name)?, id).await,
        "shelve" => shelf::shelve(c, req, &body, id).await,
        "shelveOffload" => shelf::offload(c, req, &body, id).await,
        "unshelve" => shelf::unshelve(c, req, &body, id).await,
        "os-getSerialConsole" => console::serial_before_2_6(c, req, &body.inner(&name)?, id).await,
        "os-getVNCConsole" => console::vnc_before_2_6(c, req, &body.inner(&name)?, id).await,
        later if LATER.contains(&later) => {
            exists(c, req, id).await?;
            Err(Fault::new(Kind::NotImplemented, format!("The action {later} comes in a later release.")))
        }
        other => Err(unknown(other)),
    }
}

fn unknown(name: &str) -> Fault {
    let name: String = name.chars().take(64).collect();
    Fault::bad_request(format!("There is no such action: {name}"))
}

/// An action that the API has in other microversions.
fn not_in_this_version() -> Fault {
    Fault::not_found("The resource could not be found in this microversion.")
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

/// Changes intent: `f` checks the server's state and writes what is wanted; what is under way, the audit, the
/// host's document and the life-cycle's waking come with it.
pub async fn intend<T: Send + 'static>(
    c: &Compute,
    req: &Req,
    id: ServerId,
    action: &'static str,
    f: impl FnOnce(&Tx<'_>, &Server) -> Result<T> + Send + 'static,
) -> Result<T> {
    intend_of(c, req, id, action, changeable, f).await
}

/// As [`intend`], with another idea of who may: `find` is [`changeable`], or [`super::held`] for what a lock
/// does not keep off.
async fn intend_of<T: Send + 'static>(
    c: &Compute,
    req: &Req,
    id: ServerId,
    action: &'static str,
    find: fn(&Tx<'_>, &Auth, ServerId) -> Result<Server>,
    f: impl FnOnce(&Tx<'_>, &Server) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (auth, who) = (req.auth.clone(), req.who());
    c.db.write(move |tx| {
        let s = find(tx, &auth, id)?;
        let out = f(tx, &s)?;
        action::begin(tx, id, &who, action)?;
        log::audit(tx, &who, &format!("server.{action}"), &id.to_string())?;
        if let Some(host) = s.host_id {
            store::host::touch(tx, host)?;
        }
        work::wake(tx, &id.to_string())?;
        Ok(out)
    })
    .await
}

pub fn accepted(_: ()) -> Reply {
    Reply::empty(202)
}

/// What only administrators may do.
fn admins_only(req: &Req, rule: &str) -> Result<()> {
    if req.auth.is_admin() {
        return Ok(());
    }
    Err(Fault::forbidden(format!("Policy doesn't allow os_compute_api:{rule} to be performed.")))
}
