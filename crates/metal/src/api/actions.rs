//! `POST /hanok/v1/machines/{id}/{action}`: what is asked of a machine. The answer is the machine; what takes time
//! goes on by itself (202).

use super::machines::{seen, shown};
use crate::Metal;
use crate::act::{Installation, Owner, Power};
use crate::model::{Constraints, Machine, Seed};
use api::{Auth, Obj, Reply, Req};
use base::doc::live::{EraseMode, Test};
use base::{Fault, ImageId, ProjectId, Result, UserId};
use serde_json::Value;
use std::sync::Arc;
use store::{Tx, log};

/// What projects may ask of machines that they were given.
const FOR_OWNERS: &[&str] = &[
    "deploy",
    "release",
    "power-on",
    "power-off",
    "power-cycle",
    "lock",
    "unlock",
    "rescue",
    "exit-rescue",
    "abort",
    "retry",
    "test",
];
const ALL: &[&str] = &[
    "commission",
    "allocate",
    "give",
    "approve",
    "mark-broken",
    "mark-fixed",
    "done",
    "override-failed-testing",
];

/// Longest user data, in bytes.
const USER_DATA: usize = 256 << 10;

/// `POST /hanok/v1/machines/{id}/{action}`.
pub async fn act(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let action = req.text_param("action").to_owned();
    if !FOR_OWNERS.contains(&action.as_str()) {
        if !ALL.contains(&action.as_str()) {
            return Err(Fault::not_found(format!(
                "There is no action {action:?}. Actions: {}, {}.",
                FOR_OWNERS.join(", "),
                ALL.join(", ")
            )));
        }
        api::Rule::ADMIN.check(&req.auth)?;
    }
    let bytes = req.bytes(api_limit()).await?;
    let body = match bytes.iter().all(u8::is_ascii_whitespace) {
        true => Obj::root(Value::Object(serde_json::Map::new()))?,
        false => Obj::root(api::body::json(&bytes)?)?,
    };
    match body.opt_id("image_id")? {
        Some(image) => image::settled(&m.db, image).await?,
        None if action == "approve" => {
            image::settled_of(&m.db, |_, name| crate::act::HOST_IMAGES.contains(&name)).await?;
        }
        None => {}
    }
    let (metal, who) = (m.clone(), req.who());
    let done = m.db.write(move |tx| {
        let found = seen(tx, &req.auth, req.text_param("id"))?;
        let now = one(&metal, tx, &req.auth, &found, &action, &body)?;
        log::audit(tx, &who, &format!("machine.{action}"), &found.id.to_string())?;
        shown(&metal, tx, &req.auth, now)
    });
    Ok(Reply::json(202, &done.await?))
}

fn api_limit() -> usize {
    USER_DATA * 2
}

fn one(metal: &Metal, tx: &Tx<'_>, auth: &Auth, m: &Machine, action: &str, body: &Obj) -> Result<Machine> {
    let nothing = |known: &[&str]| body.only(known);
    match action {
        "commission" => {
            nothing(&["tests", "stay"])?;
            metal.commission(
                tx,
                m.id,
                tests(body)?.unwrap_or_default(),
                body.opt_bool("stay")?.unwrap_or(false),
            )
        }
        "test" => {
            nothing(&["tests"])?;
            metal.test(
                tx,
                m.id,
                tests(body)?.unwrap_or_else(|| vec![Test::DiskHealth, Test::Memory, Test::Cpu]),
            )
        }
        "allocate" => {
            nothing(&["project_id", "user_id"])?;
            let only = Constraints { id: Some(m.id), ..Constraints::default() };
            if m.status != crate::model::Status::Ready {
                return Err(Fault::conflict(format!("{} is {}, not ready.", m.name, m.status.name())));
            }
            metal.allocate(tx, &only, &owner(auth, body)?)
        }
        "give" => {
            nothing(&["project_id", "user_id"])?;
            metal.give(tx, m.id, &owner(auth, body)?)
        }
        "deploy" => {
            let what = installation(body)?;
            // This system has a configuration drive; what the one before proved itself with is over.
            crate::maas::forget_node_key(tx, m.id)?;
            metal.deploy(tx, auth, m.id, what)
        }
        "approve" => {
            nothing(&["as", "image_id"])?;
            match body.opt_str("as", 16)?.as_deref() {
                None | Some("host") => metal.approve_as_host(tx, auth, m.id, body.opt_id("image_id")?),
                Some("metal") => metal.commission(tx, m.id, Vec::new(), false),
                Some(other) => {
                    Err(Fault::bad_request(format!("A machine is approved as host or metal, not {other:?}.")))
                }
            }
        }
        "release" => {
            nothing(&["erase"])?;
            metal.release(tx, m.id, erase(body)?)
        }
        "power-on" => metal.power(tx, m.id, Power::On),
        "power-off" => metal.power(tx, m.id, Power::Off { hard: body.opt_bool("hard")?.unwrap_or(false) }),
        "power-cycle" => {
            metal.power(tx, m.id, Power::Cycle { hard: body.opt_bool("hard")?.unwrap_or(false) })
        }
        "done" => metal.done_by_hand(tx, m.id),
        "lock" => metal.lock(tx, m.id, true),
        "unlock" => metal.lock(tx, m.id, false),
        "rescue" => metal.rescue(tx, m.id),
        "exit-rescue" => metal.exit_rescue(tx, m.id),
        "abort" => metal.abort(tx, m.id),
        "retry" => metal.retry(tx, m.id),
        "mark-broken" => {
            let why = body.opt_str("reason", 1024)?.unwrap_or_else(|| "marked broken".into());
            metal.mark_broken(tx, m.id, &why)
        }
        "mark-fixed" => metal.mark_fixed(tx, m.id),
        _ => metal.override_failed_testing(tx, m.id),
    }
}

fn tests(body: &Obj) -> Result<Option<Vec<Test>>> {
    let Some(names) = body.opt_strs("tests", 32)? else { return Ok(None) };
    let each = names.into_iter().map(|name| {
        serde_json::from_value(Value::String(name.clone())).map_err(|_| {
            Fault::bad_request(format!(
                "There is no test {name:?}. Tests: disk_health, disk_read, memory, cpu, network."
            ))
        })
    });
    each.collect::<Result<_>>().map(Some)
}

/// Clean is what nobody says otherwise.
fn erase(body: &Obj) -> Result<EraseMode> {
    Ok(match body.opt_str("erase", 16)?.as_deref() {
        None | Some("quick") => EraseMode::Quick,
        Some("none") => EraseMode::None,
        Some("secure") => EraseMode::Secure,
        Some("verified") => EraseMode::Verified,
        Some(other) => {
            return Err(Fault::bad_request(format!(
                "erase is none, quick, secure or verified, not {other:?}."
            )));
        }
    })
}

fn owner(auth: &Auth, body: &Obj) -> Result<Owner> {
    let project = match body.opt_str("project_id", 64)? {
        Some(id) => ProjectId(id),
        None => auth.project()?.clone(),
    };
    let user = body.opt_str("user_id", 64)?.map_or_else(|| auth.user.id.clone(), UserId);
    Ok(Owner { project, user, agent_name: String::new() })
}

fn installation(body: &Obj) -> Result<Installation> {
    body.only(&["image_id", "user_data", "ssh_keys", "disk", "wait_for_system"])?;
    let keys = body.opt_strs("ssh_keys", 16384)?.unwrap_or_default();
    let seed = Seed {
        user_data: body.opt_str("user_data", USER_DATA)?.unwrap_or_default(),
        ssh_keys: keys.iter().map(|k| crate::table::key::good(k)).collect::<Result<_>>()?,
        ..Seed::default()
    };
    Ok(Installation {
        image: body.id::<ImageId>("image_id")?,
        seed,
        disk: body.opt_str("disk", 255)?.unwrap_or_default(),
        wait_for_system: body.opt_bool("wait_for_system")?.unwrap_or(false),
        as_host: false,
    })
}
