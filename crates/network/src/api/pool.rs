//! `/v2.0/subnetpools`

use super::list::{Filters, How};
use super::noun::{Noun, held};
use super::{Common, bytes, caller, fields};
use crate::act::{self, Caller, pool};
use crate::model::{Std, SubnetPool};
use crate::{Network, err, table};
use ::api::{Obj, Reply, Req};
use base::{AddressScopeId, Fault, NetworkId, Result};
use ipnet::IpNet;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Row, Sql, Tx, log};

pub struct Pools;

/// Lengths are shown as text, as clients have always got them.
#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    ip_version: u8,
    prefixes: Vec<String>,
    default_prefixlen: String,
    min_prefixlen: String,
    max_prefixlen: String,
    default_quota: Option<i64>,
    address_scope_id: Option<AddressScopeId>,
    is_default: bool,
    shared: bool,
    #[serde(flatten)]
    common: Common,
}

const FIELDS: &[&str] = &[
    "prefixes",
    "default_prefixlen",
    "min_prefixlen",
    "max_prefixlen",
    "default_quota",
    "address_scope_id",
    "is_default",
];
const NEW_FIELDS: &[&str] = &[
    "prefixes",
    "default_prefixlen",
    "min_prefixlen",
    "max_prefixlen",
    "default_quota",
    "address_scope_id",
    "is_default",
    "shared",
];

pub struct Change {
    name: Option<String>,
    description: Option<String>,
    prefixes: Option<Vec<IpNet>>,
    default_len: Option<u8>,
    min_len: Option<u8>,
    max_len: Option<u8>,
    /// `Some(None)`: without one.
    quota: Option<Option<i64>>,
    scope: Option<Option<AddressScopeId>>,
    is_default: Option<bool>,
}

fn len(o: &Obj, field: &str) -> Result<Option<u8>> {
    Ok(fields::int(o, field, 0, 128)?.and_then(|n| u8::try_from(n).ok()))
}

fn quota(o: &Obj) -> Result<Option<i64>> {
    fields::int(o, "default_quota", 0, i64::MAX)
}

/// A list of prefixes; one alone may come without a list.
fn prefixes(o: &Obj) -> Result<Option<Vec<IpNet>>> {
    const F: &str = "prefixes";
    let one = |v: &Value| fields::parse::<IpNet>(F, v, fields::PREFIX);
    match o.map.get(F) {
        Some(text @ Value::String(_)) => Ok(Some(vec![one(text)?])),
        _ => fields::each(o, F, one),
    }
}

fn scope(o: &Obj) -> Result<Option<AddressScopeId>> {
    let Some(text) = o.opt_str("address_scope_id", fields::TEXT)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| err::no_scope(text))
}

fn shown(prefixes: &[IpNet]) -> Vec<String> {
    prefixes.iter().map(IpNet::to_string).collect()
}

impl Noun for Pools {
    const ONE: &'static str = "subnetpool";
    const MANY: &'static str = "subnetpools";
    const TABLE: &'static str = "subnetpool";
    const COLS: &'static str = table::pool::COLS;
    const FILTERS: Filters = &[
        ("name", How::Text("t.name")),
        ("ip_version", How::Int("t.ip_version")),
        ("is_default", How::Bool("t.is_default")),
        ("default_prefixlen", How::Int("t.default_prefixlen")),
        ("min_prefixlen", How::Int("t.min_prefixlen")),
        ("max_prefixlen", How::Int("t.max_prefixlen")),
        ("default_quota", How::Int("COALESCE(t.default_quota, -1)")),
        ("address_scope_id", How::Text("COALESCE(t.address_scope_id, '')")),
        ("shared", How::Shared),
    ];
    type Row = SubnetPool;
    type View = View;
    type New = pool::New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<SubnetPool> {
        table::pool::read(r)
    }
    fn id(row: &SubnetPool) -> String {
        row.id.to_string()
    }
    fn std(row: &SubnetPool) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_pool(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        table::rbac::seen(q, "subnetpool", project);
    }
    fn views(tx: &Tx<'_>, caller: &Caller, rows: Vec<SubnetPool>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|p| p.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let shared = table::rbac::shared(tx, &ids, &caller.project)?;
        let view = |(p, id): (SubnetPool, String)| View {
            name: p.std.name.clone(),
            ip_version: if p.v6 { 6 } else { 4 },
            prefixes: shown(&p.prefixes),
            default_prefixlen: p.default_len.to_string(),
            min_prefixlen: p.min_len.to_string(),
            max_prefixlen: p.max_len.to_string(),
            default_quota: p.quota,
            address_scope_id: p.scope,
            is_default: p.is_default,
            shared: shared.contains(&id),
            common: Common::new(&p.std, tags.remove(&id)),
            id,
        };
        Ok(rows.into_iter().zip(ids.clone()).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<SubnetPool> {
        pool::visible(tx, caller, id.parse().map_err(|_| err::no_pool(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<pool::New> {
        fields::only(o, NEW_FIELDS, "POST")?;
        fields::admin_only(o, caller, &["shared", "is_default"], "create")?;
        Ok(pool::New {
            project: fields::project(o, caller)?,
            name: fields::text(o, "name")?,
            description: fields::text(o, "description")?,
            prefixes: prefixes(o)?.ok_or_else(|| {
                Fault::bad_request("'prefixes' is required: a list such as [\"10.0.0.0/16\"].")
            })?,
            default_len: len(o, "default_prefixlen")?,
            min_len: len(o, "min_prefixlen")?,
            max_len: len(o, "max_prefixlen")?,
            quota: quota(o)?,
            scope: scope(o)?,
            is_default: o.opt_bool("is_default")?.unwrap_or(false),
            shared: o.opt_bool("shared")?.unwrap_or(false),
        })
    }
    fn create(tx: &Tx<'_>, caller: &Caller, new: pool::New) -> Result<SubnetPool> {
        pool::create(tx, caller, new)
    }
    fn parse_change(o: &Obj, caller: &Caller) -> Result<Change> {
        fields::only(o, FIELDS, "PUT")?;
        if !caller.admin && o.has("is_default") {
            return Err(err::policy("update_subnetpool:is_default"));
        }
        Ok(Change {
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            prefixes: prefixes(o)?,
            default_len: len(o, "default_prefixlen")?,
            min_len: len(o, "min_prefixlen")?,
            max_len: len(o, "max_prefixlen")?,
            quota: if o.has("default_quota") { Some(quota(o)?) } else { None },
            scope: if o.has("address_scope_id") { Some(scope(o)?) } else { None },
            is_default: o.opt_bool("is_default")?,
        })
    }
    fn update(tx: &Tx<'_>, caller: &Caller, mut p: SubnetPool, c: Change) -> Result<()> {
        let before = p.clone();
        p.std.name = c.name.unwrap_or(p.std.name);
        p.std.description = c.description.unwrap_or(p.std.description);
        p.default_len = c.default_len.unwrap_or(p.default_len);
        p.min_len = c.min_len.unwrap_or(p.min_len);
        p.max_len = c.max_len.unwrap_or(p.max_len);
        p.quota = c.quota.unwrap_or(p.quota);
        p.scope = c.scope.unwrap_or(p.scope);
        p.is_default = c.is_default.unwrap_or(p.is_default);
        if let Some(new) = c.prefixes {
            p.prefixes = pool::merged(&new)?;
            let kept = |old: &IpNet| p.prefixes.iter().any(|n| n.contains(old));
            if !before.prefixes.iter().all(kept) {
                return Err(pool::illegal_update("Existing prefixes must be a subset of the new prefixes"));
            }
        }
        pool::check(&p)?;
        if p.scope != before.scope || p.prefixes != before.prefixes {
            act::scope::admit(tx, caller, &p, p.scope != before.scope)?;
        }
        pool::only_default(tx, &p)?;
        table::pool::update(tx, &p)
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, p: SubnetPool) -> Result<()> {
        pool::delete(tx, &p)
    }
}

/// Changes the prefixes of a pool; answers all of them.
async fn change_prefixes(
    net: &Network,
    mut req: Req,
    verb: &'static str,
    f: impl FnOnce(&Tx<'_>, &SubnetPool, &[IpNet]) -> Result<Vec<IpNet>> + Send + 'static,
) -> Result<Reply> {
    let (caller, who, expected) = (caller(&req)?, req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    let o = req.json().await?;
    let given = prefixes(&o)?.filter(|p| !p.is_empty());
    let given = given.ok_or_else(|| Fault::bad_request("'prefixes' is required: a list of prefixes."))?;
    let given: Vec<IpNet> = given.iter().map(IpNet::trunc).collect();
    let body = net.db.write(move |tx| {
        let mut p = held::<Pools>(tx, &caller, &id, expected, verb)?;
        p.prefixes = f(tx, &p, &given)?;
        act::scope::admit(tx, &caller, &p, false)?;
        table::pool::update(tx, &p)?;
        table::bump(tx, "subnetpool", &id)?;
        log::audit(tx, &who, &format!("subnetpool.{verb}"), &id)?;
        Ok(serde_json::to_vec(&json!({"prefixes": shown(&p.prefixes)}))?)
    });
    Ok(bytes(200, body.await?))
}

pub async fn add_prefixes(net: Arc<Network>, req: Req) -> Result<Reply> {
    change_prefixes(&net, req, "add_prefixes", |_, p, new| {
        pool::merged(&p.prefixes.iter().chain(new).copied().collect::<Vec<_>>())
    })
    .await
}

pub async fn remove_prefixes(net: Arc<Network>, req: Req) -> Result<Reply> {
    change_prefixes(&net, req, "remove_prefixes", pool::without).await
}

/// Takes the subnets of a network into the pool.
pub async fn onboard(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let (caller, who, expected) = (caller(&req)?, req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    let network: NetworkId = req.json().await?.id("network_id")?;
    net.db
        .write(move |tx| {
            // The network first, as where subnets are made.
            if !table::hold(tx, "network", &network.to_string())? {
                return Err(err::no_network(network));
            }
            let n = act::network::visible(tx, &caller, network)?;
            if !caller.owns(&n.std.project) {
                return Err(err::policy("onboard_network_subnets"));
            }
            let mut p = held::<Pools>(tx, &caller, &id, expected, "onboard_network_subnets")?;
            pool::onboard(tx, &caller, &mut p, &n)?;
            table::bump(tx, "subnetpool", &id)?;
            log::audit(tx, &who, "subnetpool.onboard", &id)
        })
        .await?;
    Ok(Reply::json(200, &json!({})))
}
