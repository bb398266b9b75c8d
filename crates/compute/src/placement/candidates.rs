//! Allocation candidates: hosts that have what is asked for, with what to allocate there.
//!
//! A provider here has no children, so everything comes from one host: numbered groups of resources that may
//! lie together do, and groups that must not (`group_policy=isolate`) have no candidate.

use super::names::{Stock, amounts, stocks};
use super::providers::{Wanted, around};
use super::{answer, at, only};
use crate::Compute;
use crate::table::host::{self, Host};
use crate::table::reservation::Amounts;
use api::{Reply, Req};
use base::{Fault, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parameters that may have a group's suffix.
const GROUPED: &[&str] = &["resources", "required", "member_of", "in_tree"];

struct Asked {
    groups: BTreeMap<String, Amounts>,
    all: Amounts,
    isolate: bool,
    limit: usize,
    traits: Vec<Wanted>,
    members: Wanted,
    tree: Vec<String>,
}

fn asked(req: &Req) -> Result<Asked> {
    only(req, &["limit", "group_policy", "root_required", "same_subtree"], GROUPED)?;
    let (mut groups, mut all) = (BTreeMap::new(), Amounts::default());
    let (mut traits, mut tree) = (vec![Wanted::traits(req, "root_required")], Vec::new());
    for (name, value) in &req.query.0 {
        if let Some(suffix) = name.strip_prefix("resources") {
            let part = amounts(value)?;
            all.sum(&part);
            groups.insert(suffix.to_owned(), part);
        } else if name.starts_with("required") {
            traits.push(Wanted::traits(req, name));
        } else if name.starts_with("in_tree") {
            tree.push(value.clone());
        }
    }
    if groups.is_empty() {
        return Err(Fault::bad_request(
            "At least one request group (`resources` or `resources{$S}`) is required.",
        )
        .tag("placement.query.missing_value"));
    }
    let policy = req.query.get("group_policy");
    let numbered = groups.keys().filter(|g| !g.is_empty()).count();
    let isolate = match policy {
        Some("isolate") => true,
        Some("none") => false,
        None if numbered > 1 => {
            return Err(Fault::bad_request(
                "The \"group_policy\" parameter is required when specifying more than one \"resources{N}\" parameter.",
            )
            .tag("placement.query.missing_value"));
        }
        None => false,
        Some(_) => {
            return Err(
                Fault::bad_request("group_policy is none or isolate.").tag("placement.query.bad_value")
            );
        }
    };
    let limit = match req.query.get("limit") {
        None => usize::MAX,
        Some(text) => text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            Fault::bad_request(format!("limit must be a whole number above 0, not {text}."))
                .tag("placement.query.bad_value")
        })?,
    };
    let isolate = isolate && numbered > 1;
    Ok(Asked { groups, all, isolate, limit, traits, members: Wanted::aggregates(req), tree })
}

fn summary(
    req: &Req,
    h: &Host,
    stocks: &[Stock],
    traits: Option<&std::collections::BTreeSet<String>>,
) -> Value {
    let one = |s: &Stock| (s.class.to_owned(), json!({"used": s.used, "capacity": s.capacity()}));
    let mut v = json!({"resources": stocks.iter().map(one).collect::<Map<_, _>>()});
    if at(req, 17) {
        v["traits"] = json!(traits.cloned().unwrap_or_default());
    }
    if at(req, 29) {
        v["parent_provider_uuid"] = Value::Null;
        v["root_provider_uuid"] = json!(h.id);
    }
    v
}

fn request(req: &Req, h: &Host, asked: &Asked) -> Value {
    let resources = asked.all.shown();
    if !at(req, 12) {
        return json!({"allocations": [{"resource_provider": {"uuid": h.id}, "resources": resources}]});
    }
    let mut v = json!({"allocations": {h.id.to_string(): {"resources": resources}}});
    if at(req, 34) {
        v["mappings"] = asked.groups.keys().map(|g| (g.clone(), json!([h.id]))).collect::<Map<_, _>>().into();
    }
    v
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let asked = Arc::new(asked(&req)?);
    let a = asked.clone();
    let read = c.db.read(move |tx| {
        a.traits.iter().try_for_each(|t| t.known(tx))?;
        let around = around(tx)?;
        let mut hosts = host::all(tx)?;
        hosts.retain(|h| {
            !a.isolate
                && a.all.fit(&stocks(h))
                && a.tree.iter().all(|t| *t == h.id.to_string())
                && a.traits.iter().all(|t| t.met_by(around.traits.get(&h.id)))
                && a.members.met_by(around.aggregates.get(&h.id))
        });
        hosts.truncate(a.limit);
        Ok((hosts, around))
    });
    let (hosts, around) = read.await?;
    let requests: Vec<Value> = hosts.iter().map(|h| request(&req, h, &asked)).collect();
    let summaries: Map<String, Value> = hosts
        .iter()
        .map(|h| (h.id.to_string(), summary(&req, h, &stocks(h), around.traits.get(&h.id))))
        .collect();
    Ok(answer(&req, &json!({"allocation_requests": requests, "provider_summaries": summaries})))
}
