//! `os-migrateLive` and `evacuate`: to another host while it runs, and away from a host that is down. What
//! follows is [`crate::life::moving`]'s.

use super::{accepted, admins_only, intend};
use crate::Compute;
use crate::api::at;
use crate::api::servers::{must_be, must_stay};
use crate::api::wish::admin_pass;
use crate::life::moving;
use crate::model::{Server, VmState};
use crate::placing;
use crate::planner::{Plan, plan};
use crate::pulse::is_lost;
use crate::table::host::Host;
use crate::table::moving::{Kind, Move};
use crate::table::{host, intent, server};
use api::{Obj, Reply, Req};
use base::doc::Power;
use base::{Fault, Result, ServerId};
use serde_json::json;
use store::{Tx, params};

fn required(o: &Obj, action: &str, fields: &[&str]) -> Result<()> {
    match fields.iter().find(|f| !o.map.contains_key(**f)) {
        None => Ok(()),
        Some(f) => Err(Fault::bad_request(format!(
            "Invalid input for field/attribute {action}. '{f}' is a required property"
        ))),
    }
}

/// Where a live migration goes, and whether disks may go along.
fn parse_live(req: &Req, o: &Obj) -> Result<Option<String>> {
    let old = !at(req, 25);
    let forcible = at(req, 30) && !at(req, 68);
    match () {
        () if old => o.only(&["host", "block_migration", "disk_over_commit"])?,
        () if forcible => o.only(&["host", "block_migration", "force"])?,
        () => o.only(&["host", "block_migration"])?,
    }
    required(o, "os-migrateLive", &["block_migration", "host"])?;
    if old {
        required(o, "os-migrateLive", &["disk_over_commit"])?;
        o.opt_bool("disk_over_commit")?;
    }
    let automatic = !old && o.map.get("block_migration") == Some(&json!("auto"));
    let disks = automatic || o.opt_bool("block_migration")? == Some(true);
    let host = o.opt_str("host", 255)?;
    if forcible && o.opt_bool("force")? == Some(true) && host.is_none() {
        return Err(Fault::bad_request("Can't force to a non-provided destination"));
    }
    if !disks {
        return Err(Fault::bad_request(
            "The server's disk is not on shared storage: Shared storage live-migration requires either shared \
             storage or boot-from-volume with no local disks. Ask with block_migration.",
        ));
    }
    Ok(host)
}

/// `os-migrateLive {host, block_migration}`. `force` changes nothing: a host that cannot take the server is
/// never made to.
pub async fn migrate_live(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    admins_only(req, "os-migrate-server:migrate_live")?;
    let (to, user) = (parse_live(req, o)?, req.auth.user.id.clone());
    let asked = intend(c, req, id, "live-migration", move |tx, s| {
        must_be(s, "os-migrateLive", &[VmState::Active, VmState::Paused], &[None])?;
        must_stay(tx, s, "os-migrateLive")?;
        let here = own_host(tx, s)?;
        in_service(&here)?;
        if let Some(name) = &to {
            another(tx, s, &here, name)?;
        }
        let m = moving::ask(tx, s, Kind::Live, to, &user)?;
        there_is_one(tx, s, &m)
    });
    asked.await.map(accepted)
}

fn own_host(tx: &Tx<'_>, s: &Server) -> Result<Host> {
    let host = s.host_id.map(|h| host::by_id(tx, h)).transpose()?.flatten();
    host.ok_or_else(|| Fault::conflict(format!("Instance {} is on no host.", s.id)))
}

fn in_service(h: &Host) -> Result<()> {
    if h.silent() {
        return Err(Fault::bad_request(format!(
            "Compute service of {} is unavailable at this time.",
            h.name
        )));
    }
    Ok(())
}

/// The host that was asked for, if the server can go there at all.
fn another(tx: &Tx<'_>, s: &Server, here: &Host, name: &str) -> Result<()> {
    let found = host::by_name(tx, name)?;
    let found =
        found.ok_or_else(|| Fault::bad_request(format!("Compute host {name} could not be found.")))?;
    if found.id == here.id {
        return Err(Fault::bad_request(format!(
            "Unable to migrate instance ({}) to current host ({name}).",
            s.id
        )));
    }
    in_service(&found)
}

/// A request that no host can meet is refused at once, not in a while.
fn there_is_one(tx: &Tx<'_>, s: &Server, m: &Move) -> Result<()> {
    let (ask, mut rooms) = placing::choices_to_move(tx, s, m)?;
    rooms.retain(|r| r.id != m.from);
    match plan(&rooms, &ask) {
        Plan::Try(_) => Ok(()),
        Plan::Nowhere(why) => Err(Fault::bad_request(why)),
    }
}

/// `evacuate {host, adminPass}`: from a host that is down to another one, made anew from its image. Without
/// shared storage what its disk held is lost. From 2.95 it stays powered off.
pub async fn evacuate(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    admins_only(req, "os-evacuate")?;
    let old = !at(req, 14);
    let forcible = at(req, 29) && !at(req, 68);
    match () {
        () if old => {
            o.only(&["host", "onSharedStorage", "adminPass"])?;
            required(o, "evacuate", &["onSharedStorage"])?;
        }
        () if forcible => o.only(&["host", "adminPass", "force"])?,
        () => o.only(&["host", "adminPass"])?,
    }
    let (wanted, pass) = (o.opt_str("host", 255)?, admin_pass(Some(o))?);
    if old && o.opt_bool("onSharedStorage")? == Some(true) {
        if o.map.contains_key("adminPass") {
            return Err(Fault::bad_request("admin password can't be changed on existing disk"));
        }
        return Err(Fault::bad_request(
            "Invalid state of instance files on shared storage: its disk is on the host that is down.",
        ));
    }
    if forcible && o.opt_bool("force")? == Some(true) && wanted.is_none() {
        return Err(Fault::bad_request("Can't force to a non-provided destination"));
    }
    let (user, told, stays_off) = (req.auth.user.id.clone(), pass.clone(), at(req, 95));
    intend(c, req, id, "evacuate", move |tx, s| {
        let any = std::iter::once(None).chain(s.task_state.map(Some)).collect::<Vec<_>>();
        must_be(s, "evacuate", &[VmState::Active, VmState::Stopped, VmState::Error], &any)?;
        let here = own_host(tx, s)?;
        leaves(tx, s, &here, wanted.as_deref())?;
        tx.exec("UPDATE server SET admin_pass = $2 WHERE id = $1", params![s.id, &pass])?;
        if stays_off {
            server::want_power(tx, s.id, Power::Off, crate::model::Task::Rebuilding)?;
        }
        intent::awake(tx, s.id)?;
        moving::ask(tx, s, Kind::Evacuate, wanted, &user).map(drop)
    })
    .await?;
    Ok(if old { Reply::json(200, &json!({"adminPass": told})) } else { Reply::empty(200) })
}

/// Whether a server may leave its host like that.
fn leaves(tx: &Tx<'_>, s: &Server, here: &Host, wanted: Option<&str>) -> Result<()> {
    if let Some(name) = wanted {
        let found = host::by_name(tx, name)?;
        let found = found.ok_or_else(|| Fault::not_found(format!("Compute host {name} not found.")))?;
        if found.id == here.id {
            return Err(Fault::bad_request("The target host can't be the same one."));
        }
    }
    if !here.silent() {
        return Err(Fault::bad_request(format!("Compute service of {} is still in use.", here.name)));
    }
    if !is_lost(here) {
        return Err(Fault::bad_request(format!(
            "Compute service of {0} may still be in use: it was not heard since an outage of the region, after which \
             hosts have a minute to report. Try again then, or say that it is down (`openstack compute service set \
             --down {0} nova-compute`), if you are sure.",
            here.name
        )));
    }
    must_stay(tx, s, "evacuate")
}
