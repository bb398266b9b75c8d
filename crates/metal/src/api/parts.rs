//! What hangs on machines: inventories, histories, tests, erasures; tags, zones, pools, keys, the live system.

use super::machines::seen;
use crate::Metal;
use crate::table::named::{self, Kind, Named};
use crate::table::tag::{self, Tag};
use crate::table::{erase, errand, key, lease, task, test};
use api::{Reply, Req};
use base::doc::rack::LiveSystem;
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log, params, work};

/// `GET /hanok/v1/machines/{id}/inventory`.
pub async fn inventory(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let metal = m.clone();
    let read = m.db.read(move |tx| {
        let found = seen(tx, &req.auth, req.text_param("id"))?;
        let inventory = metal.inventory(tx, found.id)?.ok_or_else(|| {
            Fault::not_found(format!(
                "{} was not measured yet: hanok machine commission {}",
                found.name, found.name
            ))
        })?;
        Ok(json!({"inventory": inventory, "measured_at": found.inventory_at.seconds_z()}))
    });
    Ok(Reply::json(200, &read.await?))
}

/// The events with which machines became their owners'. The words tell them from a return to the status.
pub(crate) const GIVEN: &str =
    "kind IN ('machine.allocated', 'machine.given') AND message LIKE 'given to the project %'";

/// `GET /hanok/v1/machines/{id}/events`: its history, newest first; for its owner since it is the owner's.
pub async fn events(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let page = api::Page::parse(&req.query, Some(200), 1000)?;
    let read = m.db.read(move |tx| {
        let found = seen(tx, &req.auth, req.text_param("id"))?;
        let id = found.id.to_string();
        // What was before is of others.
        let begin = match req.auth.is_admin() {
            true => None,
            false => {
                let given = format!("SELECT MAX(id) FROM event WHERE target = $1 AND {GIVEN}");
                tx.one(&given, params![&id], |r| r.get::<Option<String>>(0))?
            }
        };
        let sql = "SELECT id, at, level, kind, message FROM event
                   WHERE target = $1 AND ($2 = '' OR id < $2) AND id >= $3 ORDER BY id DESC LIMIT $4";
        let limit = u64::try_from(page.limit.unwrap_or(200)).unwrap_or(200);
        let (begin, end) = (begin.unwrap_or_default(), page.marker.as_deref().unwrap_or(""));
        tx.rows(sql, params![&id, end, begin, limit], |r| {
            let mut event = json!({
                "id": r.get::<String>(0)?,
                "at": r.get::<Micros>(1)?.micros_z(),
                "level": r.get::<String>(2)?,
                "kind": r.get::<String>(3)?,
                "message": r.get::<String>(4)?,
            });
            base::said::annotate(&mut event);
            Ok(event)
        })
    });
    Ok(Reply::json(200, &json!({"events": read.await?})))
}

/// `GET /hanok/v1/machines/{id}/tests`: results, the newest run first.
pub async fn tests(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let kept = m.db.read(move |tx| test::of(tx, seen(tx, &req.auth, req.text_param("id"))?.id)).await?;
    let all: Vec<Value> = kept
        .iter()
        .map(|k| {
            json!({
                "run": k.number,
                "test": k.result.test,
                "part": k.result.part,
                "passed": k.result.passed,
                "output": k.result.output,
                "at": k.at.seconds_z(),
            })
        })
        .collect();
    Ok(Reply::json(200, &json!({"tests": all})))
}

/// `GET /hanok/v1/machines/{id}/erasures`: what was wiped, and what reading back found.
pub async fn erasures(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let kept = m.db.read(move |tx| erase::of(tx, seen(tx, &req.auth, req.text_param("id"))?.id)).await?;
    let all: Vec<Value> = kept
        .iter()
        .map(|k| {
            json!({"id": k.id, "at": k.at.seconds_z(), "mode": k.mode, "clean": k.clean, "disks": k.disks,
                   "serial": k.serial})
        })
        .collect();
    Ok(Reply::json(200, &json!({"erasures": all})))
}

/// `GET /hanok/v1/machines/{id}/progress`: where it is in its life, how its task goes, and why it waits.
pub async fn progress(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let metal = m.clone();
    let read = m.db.read(move |tx| {
        let found = seen(tx, &req.auth, req.text_param("id"))?;
        let why = work::why(tx, &found.id.to_string())?;
        let task = task::progress(tx, found.id)?.map(|t| {
            json!({
                "number": t.number,
                "stage": t.stage,
                "reason": t.reason,
                "done_bytes": t.done_bytes,
                "total_bytes": t.total_bytes,
                "told_at": t.told_at.seconds_z(),
            })
        });
        let asked = errand::get(tx, &*metal.seal, found.id)?.map(|e| format!("{e:?}"));
        let leases: Vec<Value> = lease::of_machine(tx, found.id)?
            .iter()
            .map(|l| json!({"mac": l.mac, "address": l.address, "expires_at": l.expires_at.seconds_z()}))
            .collect();
        let asked = if req.auth.is_admin() { asked } else { None };
        let mut answer = json!({"progress": {
            "status": found.status.word(),
            "message": found.message,
            "asked": asked,
            "state": why.as_ref().map(|w| w.state.clone()),
            "reason": why.as_ref().map(|w| w.reason.clone()),
            "since": why.as_ref().map(|w| w.since.seconds_z()),
            "overrun": why.as_ref().is_some_and(|w| w.overrun),
            "last_error": why.as_ref().map(|w| w.last_error.clone()),
            "task": task,
            "leases": leases,
        }});
        base::said::annotate(&mut answer);
        Ok(answer)
    });
    Ok(Reply::json(200, &read.await?))
}

/// `GET /hanok/v1/machine-tags`.
pub async fn tags(m: Arc<Metal>, _: Req) -> Result<Reply> {
    let all: Vec<Value> =
        m.db.read(tag::all).await?.iter().map(|t| json!({"name": t.name, "comment": t.comment})).collect();
    Ok(Reply::json(200, &json!({"tags": all})))
}

/// `PUT /hanok/v1/machine-tags/{name}`.
pub async fn put_tag(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("tag")?;
    body.only(&["comment"])?;
    let t = Tag {
        name: req.text_param("name").to_owned(),
        comment: body.opt_str("comment", 1024)?.unwrap_or_default(),
        ..Tag::default()
    };
    let who = req.who();
    let view = json!({"tag": {"name": t.name, "comment": t.comment}});
    m.db.write(move |tx| {
        tag::define(tx, &t)?;
        log::audit(tx, &who, "machine_tag.put", &t.name)
    })
    .await?;
    Ok(Reply::json(200, &view))
}

/// `DELETE /hanok/v1/machine-tags/{name}`: off every machine too.
pub async fn delete_tag(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let who = req.who();
    m.db.write(move |tx| {
        let name = req.text_param("name");
        if !tag::forget(tx, name)? {
            return Err(Fault::not_found(format!("Tag {name} could not be found.")));
        }
        log::audit(tx, &who, "machine_tag.delete", name)
    })
    .await?;
    Ok(Reply::empty(204))
}

fn named_view(n: &Named) -> Value {
    json!({"id": n.id, "name": n.name, "description": n.description})
}

macro_rules! named_handlers {
    ($kind:expr, $word:literal, $words:literal, $list:ident, $create:ident, $change:ident, $delete:ident) => {
        #[doc = concat!("`GET /hanok/v1/machine-", $words, "`.")]
        pub async fn $list(m: Arc<Metal>, _: Req) -> Result<Reply> {
            let all: Vec<Value> =
                m.db.read(|tx| named::all(tx, $kind)).await?.iter().map(named_view).collect();
            Ok(Reply::json(200, &json!({$words: all})))
        }
        #[doc = concat!("`POST /hanok/v1/machine-", $words, "`.")]
        pub async fn $create(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
            let body = req.json().await?.inner($word)?;
            body.only(&["name", "description"])?;
            let (name, words) = (body.name("name", 255)?, body.opt_str("description", 4096)?.unwrap_or_default());
            let who = req.who();
            let made = m.db.write(move |tx| {
                let made = named::create(tx, $kind, &name, &words)?;
                log::audit(tx, &who, concat!("machine_", $word, ".create"), &made.id)?;
                Ok(made)
            });
            Ok(Reply::json(201, &json!({$word: named_view(&made.await?)})))
        }
        #[doc = concat!("`PATCH /hanok/v1/machine-", $words, "/{id}`.")]
        pub async fn $change(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
            let body = req.json().await?.inner($word)?;
            body.only(&["name", "description"])?;
            let (name, words) = (body.opt_str("name", 255)?, body.opt_str("description", 4096)?);
            let who = req.who();
            let changed = m.db.write(move |tx| {
                let id = req.text_param("id");
                let now = named::change(tx, $kind, id, name.as_deref(), words.as_deref())?;
                log::audit(tx, &who, concat!("machine_", $word, ".update"), &now.id)?;
                Ok(now)
            });
            Ok(Reply::json(200, &json!({$word: named_view(&changed.await?)})))
        }
        #[doc = concat!("`DELETE /hanok/v1/machine-", $words, "/{id}`: its machines go to the default.")]
        pub async fn $delete(m: Arc<Metal>, req: Req) -> Result<Reply> {
            let who = req.who();
            m.db.write(move |tx| {
                let id = req.text_param("id");
                named::delete(tx, $kind, id)?;
                log::audit(tx, &who, concat!("machine_", $word, ".delete"), id)
            })
            .await?;
            Ok(Reply::empty(204))
        }
    };
}

named_handlers!(Kind::Zone, "zone", "zones", zones, create_zone, change_zone, delete_zone);
named_handlers!(Kind::Pool, "pool", "pools", pools, create_pool, change_pool, delete_pool);

/// `GET /hanok/v1/machine-keys`: the caller's SSH keys, for machines that they deploy.
pub async fn keys(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let kept = m.db.read(move |tx| key::of(tx, &req.auth.user.id)).await?;
    let all: Vec<Value> =
        kept.iter().map(|k| json!({"id": k.number, "key": k.key, "operator": k.operator})).collect();
    Ok(Reply::json(200, &json!({"keys": all})))
}

/// `POST /hanok/v1/machine-keys`: `{"key": {"key": "ssh-ed25519 …", "operator": false}}`. Live systems let operators in.
pub async fn create_key(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("key")?;
    body.only(&["key", "operator"])?;
    let (line, operator) = (body.str("key", 16384)?, body.opt_bool("operator")?.unwrap_or(false));
    if operator {
        api::Rule::ADMIN.check(&req.auth)?;
    }
    let who = req.who();
    let made = m.db.write(move |tx| {
        let made = key::add(tx, &req.auth.user.id, &line, "", operator)?;
        log::audit(tx, &who, "machine_key.create", &made.number.to_string())?;
        Ok(made)
    });
    let k = made.await?;
    Ok(Reply::json(201, &json!({"key": {"id": k.number, "key": k.key, "operator": k.operator}})))
}

/// `DELETE /hanok/v1/machine-keys/{id}`.
pub async fn delete_key(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let number: i64 = req.param("id")?;
    let who = req.who();
    m.db.write(move |tx| {
        if !key::delete(tx, &req.auth.user.id, number)? {
            return Err(Fault::not_found(format!("Key {number} could not be found.")));
        }
        log::audit(tx, &who, "machine_key.delete", &number.to_string())
    })
    .await?;
    Ok(Reply::empty(204))
}

/// `GET /hanok/v1/live-system`: what machines boot.
pub async fn live(m: Arc<Metal>, _: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"live_system": m.db.read(crate::live).await?})))
}

/// `PUT /hanok/v1/live-system`: `{"live_system": {"kernel", "initrd", "efi", "cmdline"}}`, the files being images here,
/// each by its id.
pub async fn set_live(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("live_system")?;
    body.only(&["kernel", "initrd", "efi", "cmdline"])?;
    let ids = [body.str("kernel", 64)?, body.str("initrd", 64)?, body.str("efi", 64)?];
    let cmdline = body.opt_str("cmdline", 2048)?.unwrap_or_default();
    for id in ids.iter().filter_map(|id| id.parse().ok()) {
        image::settled(&m.db, id).await?;
    }
    let who = req.who();
    let set = m.db.write(move |tx| {
        let [kernel, initrd, efi] = [content(tx, &ids[0])?, content(tx, &ids[1])?, content(tx, &ids[2])?];
        let live = LiveSystem { kernel, initrd, efi, cmdline };
        crate::set_live(tx, &live)?;
        log::audit(tx, &who, "live_system.set", &live.kernel)?;
        Ok(live)
    });
    Ok(Reply::json(200, &json!({"live_system": set.await?})))
}

/// The content of an image.
fn content(tx: &Tx<'_>, id: &str) -> Result<String> {
    let sql = "SELECT sha512 FROM image WHERE id = $1 AND status = 'active' AND sha512 IS NOT NULL";
    tx.opt(sql, params![id], |r| r.get(0))?
        .ok_or_else(|| Fault::bad_request(format!("There is no active image {id}.")))
}
