//! Allocations: a consumer's part of hosts. A server's is Compute's alone to move; any other consumer is a
//! reservation, which an administrator makes, changes and drops.

use super::held::{self, Holder, INSTANCE};
use super::names::no_class;
use super::{answer, at, only};
use crate::Compute;
use crate::table::reservation::{self, Amounts, Reservation};
use crate::table::{host, server};
use api::{Obj, Reply, Req};
use base::{Fault, HostId, Result, ServerId};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Tx, log};

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let id = req.text_param("consumer").to_owned();
    let read = c.db.read(move |tx| {
        let held = held::of_consumer(tx, &id)?;
        let mut all = Vec::new();
        for a in held {
            let generation = host::by_id(tx, a.host)?.map_or(0, |h| h.generation);
            all.push((a, generation));
        }
        Ok(all)
    });
    let all = read.await?;
    let one = |(a, generation): &(Holder, u64)| {
        (a.host.to_string(), json!({"generation": generation, "resources": a.amounts.shown()}))
    };
    let mut v = json!({"allocations": all.iter().map(one).collect::<Map<_, _>>()});
    if let Some((first, _)) = all.first() {
        if at(&req, 12) {
            v["project_id"] = json!(first.project_id);
            v["user_id"] = json!(first.user_id);
        }
        if at(&req, 28) {
            v["consumer_generation"] = json!(first.revision);
        }
        if at(&req, 38) {
            v["consumer_type"] = json!(first.kind);
        }
    }
    Ok(answer(&req, &v))
}

/// What a consumer is to hold.
struct Wish {
    consumer: String,
    parts: BTreeMap<HostId, Amounts>,
    project_id: String,
    user_id: String,
    kind: String,
    /// From 1.28: what the caller thinks it is; `None` for a new consumer.
    revision: Option<Option<i64>>,
}

fn invalid(why: impl std::fmt::Display) -> Fault {
    Fault::bad_request(format!("JSON does not validate: {why}"))
}

fn consumer_id(text: &str) -> Result<String> {
    let id: uuid::Uuid =
        text.parse().map_err(|_| Fault::bad_request(format!("Malformed consumer_uuid: {text}")))?;
    Ok(id.to_string())
}

fn wish(req: &Req, consumer: &str, o: &Obj) -> Result<Wish> {
    let mut known = vec!["allocations", "mappings"];
    if at(req, 8) {
        known.extend(["project_id", "user_id"]);
    }
    if at(req, 28) {
        known.push("consumer_generation");
    }
    if at(req, 38) {
        known.push("consumer_type");
    }
    o.only(&known)?;
    let who = |field: &str| if at(req, 8) { o.name(field, 255) } else { Ok(String::new()) };
    let mut parts = BTreeMap::new();
    for (host, resources) in listed(req, o)? {
        let id = host.parse().map_err(|_| invalid(format!("'{host}' is not a uuid")))?;
        if parts.insert(id, sum(&resources)?).is_some() {
            return Err(invalid(format!("{host} is named twice")));
        }
    }
    let revision = match o.map.get("consumer_generation") {
        _ if !at(req, 28) => None,
        None => return Err(invalid("'consumer_generation' is a required property")),
        Some(Value::Null) => Some(None),
        Some(_) => Some(Some(o.int("consumer_generation", 0, i64::MAX)?)),
    };
    let kind = if at(req, 38) { o.name("consumer_type", 255)? } else { String::new() };
    if kind == INSTANCE {
        return Err(Fault::bad_request("The consumer type INSTANCE is for servers, which Compute places."));
    }
    Ok(Wish {
        consumer: consumer_id(consumer)?,
        parts,
        project_id: who("project_id")?,
        user_id: who("user_id")?,
        kind,
        revision,
    })
}

/// `{host: {resources}}`, or until 1.11 a list of providers with resources.
fn listed(req: &Req, o: &Obj) -> Result<Vec<(String, Map<String, Value>)>> {
    let mut all = Vec::new();
    if at(req, 12) {
        let by_host = o.inner("allocations")?;
        for host in by_host.map.keys() {
            let part = by_host.inner(host)?;
            part.only(&["resources", "generation"])?;
            all.push((host.clone(), part.inner("resources")?.map));
        }
    } else {
        let list = o.opt_list("allocations")?.filter(|l| !l.is_empty());
        for v in list.ok_or_else(|| invalid("'allocations' is a list of at least one"))? {
            let part = Obj::root(v.clone())?;
            part.only(&["resource_provider", "resources"])?;
            all.push((part.inner("resource_provider")?.str("uuid", 64)?, part.inner("resources")?.map));
        }
    }
    if all.is_empty() && !at(req, 28) {
        return Err(invalid("{} does not have enough properties"));
    }
    Ok(all)
}

fn sum(resources: &Map<String, Value>) -> Result<Amounts> {
    if resources.is_empty() {
        return Err(invalid("{} does not have enough properties"));
    }
    let mut amounts = Amounts::default();
    for (class, n) in resources {
        let n = n.as_u64().filter(|n| (1..=0x7fff_ffff).contains(n));
        amounts
            .add(class, n.ok_or_else(|| invalid(format!("{class} must be a whole number, 1 or more")))?)
            .map_err(|_| no_class(class))?;
    }
    Ok(amounts)
}

fn is_server(tx: &Tx<'_>, consumer: &str) -> Result<bool> {
    let id = consumer.parse::<ServerId>().ok();
    let found = id.map(|id| server::any(tx, id)).transpose()?.flatten();
    Ok(found.is_some_and(|s| s.deleted_at.is_none()))
}

fn not_a_server(tx: &Tx<'_>, consumer: &str) -> Result<()> {
    if is_server(tx, consumer)? {
        return Err(Fault::conflict(format!(
            "The consumer {consumer} is a server: Compute moves its allocation. Migrate, resize or delete the server."
        )));
    }
    Ok(())
}

fn write(tx: &Tx<'_>, who: &log::Who, w: &Wish) -> Result<()> {
    not_a_server(tx, &w.consumer)?;
    let now = reservation::of_consumer(tx, &w.consumer)?.first().map(|r| r.revision);
    if w.revision.is_some_and(|asked| asked != now) {
        let shown = |r: Option<i64>| r.map_or("null".into(), |r| r.to_string());
        return Err(Fault::conflict(format!(
            "consumer generation conflict - expected {} but got {}",
            shown(now),
            shown(w.revision.flatten())
        ))
        .tag("placement.concurrent_update"));
    }
    reservation::give(tx, &w.consumer)?;
    for (host, amounts) in &w.parts {
        let known = host::by_id(tx, *host)?.ok_or_else(|| {
            Fault::bad_request(format!("Allocation for resource provider '{host}' that does not exist."))
        })?;
        let row = Reservation {
            consumer: w.consumer.clone(),
            host: *host,
            amounts: *amounts,
            project_id: w.project_id.clone(),
            user_id: w.user_id.clone(),
            kind: w.kind.clone(),
            revision: now.unwrap_or(0) + 1,
        };
        if !reservation::take(tx, &row)? {
            return Err(Fault::conflict(format!(
                "Unable to allocate inventory: Unable to create allocation for {} on resource provider '{}' ({}). The \
                 requested amount would exceed the capacity.",
                amounts.shown(),
                known.id,
                known.name
            )));
        }
    }
    log::audit(tx, who, "allocation.set", &w.consumer)
}

/// `PUT /allocations/{consumer}`: all that a consumer holds, at once or not at all.
pub async fn put(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let (w, who) = (wish(&req, req.text_param("consumer"), &body)?, req.who());
    c.db.write(move |tx| write(tx, &who, &w)).await?;
    Ok(Reply::empty(204))
}

/// `POST /allocations`: several consumers at once.
pub async fn post(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let mut all = Vec::new();
    for consumer in body.map.keys() {
        all.push(wish(&req, consumer, &body.inner(consumer)?)?);
    }
    if all.is_empty() {
        return Err(invalid("{} does not have enough properties"));
    }
    let who = req.who();
    c.db.write(move |tx| {
        // What one gives back another may take.
        all.sort_by_key(|w| !w.parts.is_empty());
        all.iter().try_for_each(|w| write(tx, &who, w))
    })
    .await?;
    Ok(Reply::empty(204))
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("consumer").to_owned(), req.who());
    c.db.write(move |tx| {
        not_a_server(tx, &id)?;
        if reservation::give(tx, &id)? == 0 {
            return Err(Fault::not_found(format!("No allocations for consumer '{id}'")));
        }
        log::audit(tx, &who, "allocation.delete", &id)
    })
    .await?;
    Ok(Reply::empty(204))
}

/// `GET /usages?project_id=…`: sums over what a project (and one of its users) holds; from 1.38 by kind of
/// consumer.
pub async fn usages(c: Arc<Compute>, req: Req) -> Result<Reply> {
    only(&req, &["project_id", "user_id", "consumer_type"], &[])?;
    let text = |name: &str| req.query.get(name).map(str::to_owned);
    let missing =
        || Fault::bad_request("Invalid query string parameters: 'project_id' is a required property");
    let (project, user) = (text("project_id").ok_or_else(missing)?, text("user_id"));
    if !req.auth.sees(&project) {
        return Err(Fault::forbidden("Usages of other projects are for administrators."));
    }
    let held = c.db.read(move |tx| held::of_project(tx, &project, user.as_deref())).await?;
    if !at(&req, 38) {
        let mut sum = Amounts::default();
        held.iter().for_each(|h| sum.sum(&h.amounts));
        return Ok(answer(&req, &json!({"usages": sum.shown()})));
    }
    let kind = text("consumer_type").unwrap_or_else(|| "all".into());
    let mut sums: BTreeMap<&str, (Amounts, BTreeSet<&str>)> = BTreeMap::new();
    for h in held.iter().filter(|h| kind == "all" || h.kind == kind) {
        let key = if text("consumer_type").as_deref() == Some("all") { "all" } else { h.kind.as_str() };
        let (sum, consumers) = sums.entry(key).or_default();
        sum.sum(&h.amounts);
        consumers.insert(&h.consumer);
    }
    let one = |(kind, (sum, consumers)): (&str, (Amounts, BTreeSet<&str>))| {
        let mut v = sum.shown();
        v["consumer_count"] = json!(consumers.len());
        (kind.to_owned(), v)
    };
    Ok(answer(&req, &json!({"usages": sums.into_iter().map(one).collect::<Map<_, _>>()})))
}
