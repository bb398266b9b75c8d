//! Resource providers: the hosts.

use super::held::{Holder, of_host};
use super::names::{amounts, stocks};
use super::{answer, at, only};
use crate::Compute;
use crate::table::aggregate;
use crate::table::host::{self, Host};
use api::{Reply, Req};
use base::{Fault, HostId, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use store::Tx;

fn view(req: &Req, h: &Host) -> Value {
    let place = format!("/placement/resource_providers/{}", h.id);
    let mut links = vec![json!({"rel": "self", "href": place})];
    for (name, from) in
        [("inventories", 0), ("usages", 0), ("aggregates", 1), ("traits", 6), ("allocations", 11)]
    {
        if at(req, from) {
            links.push(json!({"rel": name, "href": format!("{place}/{name}")}));
        }
    }
    let mut v = json!({"uuid": h.id, "name": h.name, "generation": h.generation, "links": links});
    if at(req, 14) {
        v["parent_provider_uuid"] = Value::Null;
        v["root_provider_uuid"] = json!(h.id);
    }
    v
}

/// What requests filter hosts by, beside their own columns.
pub struct Around {
    pub aggregates: HashMap<HostId, BTreeSet<String>>,
    pub traits: HashMap<HostId, BTreeSet<String>>,
}

pub fn around(tx: &Tx<'_>) -> Result<Around> {
    let mut aggregates: HashMap<HostId, BTreeSet<String>> = HashMap::new();
    for a in aggregate::all(tx)? {
        for (host, _) in &a.hosts {
            aggregates.entry(*host).or_default().insert(a.uuid.clone());
        }
    }
    Ok(Around { aggregates, traits: host::traits(tx)? })
}

/// A filter over names that a host has: `A`, `!A`, and `in:A,B`, several of them together.
pub struct Wanted(Vec<(bool, Vec<String>)>);

impl Wanted {
    /// `required`: each of a comma-separated list (`!` forbids; `in:` takes any of them).
    pub fn traits(req: &Req, field: &str) -> Wanted {
        let mut all = Vec::new();
        for text in req.query.all(field) {
            if let Some(any) = text.strip_prefix("in:") {
                all.push((true, any.split(',').map(str::to_owned).collect()));
                continue;
            }
            for one in text.split(',') {
                let (have, name) = one.strip_prefix('!').map_or((true, one), |n| (false, n));
                all.push((have, vec![name.to_owned()]));
            }
        }
        Wanted(all)
    }
    /// `member_of`: one or `in:` several aggregates, each time it is said; `!` excludes.
    pub fn aggregates(req: &Req) -> Wanted {
        let one = |text: &str| {
            let (have, text) = text.strip_prefix('!').map_or((true, text), |n| (false, n));
            (have, text.strip_prefix("in:").unwrap_or(text).split(',').map(str::to_owned).collect())
        };
        Wanted(req.query.all("member_of").map(one).collect())
    }
    pub fn met_by(&self, held: Option<&BTreeSet<String>>) -> bool {
        let has = |names: &[String]| held.is_some_and(|h| names.iter().any(|n| h.contains(n)));
        self.0.iter().all(|(have, names)| has(names) == *have)
    }
    /// # Errors
    /// 400 for a trait that nobody knows.
    pub fn known(&self, tx: &Tx<'_>) -> Result<()> {
        for name in self.0.iter().flat_map(|(_, names)| names) {
            if !super::traits::exists(tx, name)? {
                return Err(Fault::bad_request(format!("No such trait(s): {name}.")));
            }
        }
        Ok(())
    }
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    only(&req, &["name", "uuid", "member_of", "resources", "in_tree", "required"], &[])?;
    let room = req.query.get("resources").map(amounts).transpose()?;
    let (traits, groups) = (Wanted::traits(&req, "required"), Wanted::aggregates(&req));
    let text = |name: &str| req.query.get(name).map(str::to_owned);
    let (name, uuid, tree) = (text("name"), text("uuid"), text("in_tree"));
    if let Some(id) = uuid.iter().chain(&tree).find(|id| id.parse::<HostId>().is_err()) {
        return Err(Fault::bad_request(format!("Invalid query string parameters: '{id}' is not a 'uuid'")));
    }
    let read = c.db.read(move |tx| {
        traits.known(tx)?;
        let around = around(tx)?;
        let mut hosts = host::all(tx)?;
        hosts.retain(|h| {
            name.as_ref().is_none_or(|n| *n == h.name)
                && uuid.iter().chain(&tree).all(|u| *u == h.id.to_string())
                && room.is_none_or(|r| r.fit(&stocks(h)))
                && traits.met_by(around.traits.get(&h.id))
                && groups.met_by(around.aggregates.get(&h.id))
        });
        Ok(hosts)
    });
    let all: Vec<Value> = read.await?.iter().map(|h| view(&req, h)).collect();
    Ok(answer(&req, &json!({"resource_providers": all})))
}

/// The host in the path.
pub fn found(tx: &Tx<'_>, id: &str) -> Result<Host> {
    let host = id.parse().ok().map(|id| host::by_id(tx, id)).transpose()?.flatten();
    host.ok_or_else(|| Fault::not_found(format!("No resource provider with uuid {id} found")))
}

async fn one(c: &Compute, req: &Req) -> Result<Host> {
    let id = req.text_param("id").to_owned();
    c.db.read(move |tx| found(tx, &id)).await
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let h = one(&c, &req).await?;
    Ok(answer(&req, &view(&req, &h)))
}

pub async fn inventories(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let h = one(&c, &req).await?;
    let all: Map<String, Value> = stocks(&h).iter().map(|s| (s.class.to_owned(), s.inventory())).collect();
    Ok(answer(&req, &json!({"resource_provider_generation": h.generation, "inventories": all})))
}

pub async fn inventory(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (h, class) = (one(&c, &req).await?, req.text_param("class"));
    let all = stocks(&h);
    let stock = all.iter().find(|s| s.class == class);
    let stock =
        stock.ok_or_else(|| Fault::not_found(format!("No inventory of class {class} for {}", h.id)))?;
    let mut v = stock.inventory();
    v["resource_provider_generation"] = json!(h.generation);
    Ok(answer(&req, &v))
}

pub async fn usages(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let h = one(&c, &req).await?;
    let all: Map<String, Value> = stocks(&h).iter().map(|s| (s.class.to_owned(), json!(s.used))).collect();
    Ok(answer(&req, &json!({"resource_provider_generation": h.generation, "usages": all})))
}

pub async fn aggregates(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let h = one(&c, &req).await?;
    let mut around = c.db.read(around).await?;
    let mut v = json!({"aggregates": around.aggregates.remove(&h.id).unwrap_or_default()});
    if at(&req, 19) {
        v["resource_provider_generation"] = json!(h.generation);
    }
    Ok(answer(&req, &v))
}

pub async fn allocations(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let read = c.db.read(move |tx| {
        let h = found(tx, &id)?;
        Ok((of_host(tx, h.id)?, h))
    });
    let (held, h) = read.await?;
    let one = |a: &Holder| {
        let mut v = json!({"resources": a.amounts.shown()});
        if at(&req, 28) {
            v["consumer_generation"] = json!(a.revision);
        }
        (a.consumer.clone(), v)
    };
    let all: Map<String, Value> = held.iter().map(one).collect();
    Ok(answer(&req, &json!({"resource_provider_generation": h.generation, "allocations": all})))
}
