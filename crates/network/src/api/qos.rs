//! `/v2.0/qos/policies`

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, fields};
use crate::act::{self, Caller};
use crate::model::Std;
use crate::model::qos::{Policy, Rule, What};
use crate::{err, table};
use ::api::Obj;
use base::{Fault, QosPolicyId, Result};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Row, Sql, Tx};

pub struct Policies;

#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    shared: bool,
    is_default: bool,
    rules: Vec<Value>,
    #[serde(flatten)]
    common: Common,
}

pub struct New {
    std: Std,
    shared: bool,
    is_default: bool,
}

pub struct Change {
    name: Option<String>,
    description: Option<String>,
    shared: Option<bool>,
    is_default: Option<bool>,
}

const FIELDS: &[&str] = &["shared", "is_default"];

/// A rule as its own resource shows it.
pub fn rule_view(r: &Rule) -> Value {
    match r.what {
        What::Bandwidth { kbps, burst_kb, .. } => json!({
            "id": r.id, "max_kbps": kbps, "max_burst_kbps": burst_kb, "direction": r.what.direction(),
        }),
        What::Dscp(mark) => json!({"id": r.id, "dscp_mark": mark}),
    }
}

/// A rule as its policy shows it.
fn rule_in_policy(r: &Rule) -> Value {
    let mut view = rule_view(r);
    view["type"] = r.what.kind().as_str().into();
    view["qos_policy_id"] = json!(r.policy);
    view
}

/// `qos_policy_id` of a body that may hold one: `Some(None)` takes the policy off.
pub fn asked(o: &Obj) -> Result<Option<Option<QosPolicyId>>> {
    const F: &str = "qos_policy_id";
    if !o.has(F) {
        return Ok(None);
    }
    match o.opt_str(F, fields::TEXT)? {
        None => Ok(Some(None)),
        Some(id) => id.parse().map(|id| Some(Some(id))).map_err(|_| act::qos::missing(id)),
    }
}

impl Noun for Policies {
    const ONE: &'static str = "policy";
    const MANY: &'static str = "policies";
    const TABLE: &'static str = "qos_policy";
    const COLS: &'static str = table::qos::COLS;
    const FILTERS: Filters =
        &[("name", How::Text("t.name")), ("shared", How::Shared), ("is_default", How::Bool("t.is_default"))];
    type Row = Policy;
    type View = View;
    type New = New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<Policy> {
        table::qos::read(r)
    }
    fn id(row: &Policy) -> String {
        row.id.to_string()
    }
    fn std(row: &Policy) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        act::qos::missing(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        q.push(" AND (t.shared = 1 OR t.project_id = ").bind(project).push(" OR ");
        table::rbac::open_to(q, "t.id", "qos_policy", project);
        q.push(")");
    }
    fn views(tx: &Tx<'_>, caller: &Caller, rows: Vec<Policy>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|p| p.id.to_string()).collect();
        let granted = table::rbac::shared(tx, &ids, &caller.project)?;
        let mut tags = table::tags(tx, &ids)?;
        let rules = table::qos::rules(tx, &ids)?;
        let view = |(p, id): (Policy, String)| View {
            name: p.std.name.clone(),
            shared: p.shared || granted.contains(&id),
            is_default: p.is_default,
            rules: rules.get(&id).into_iter().flatten().map(rule_in_policy).collect(),
            common: Common::new(&p.std, tags.remove(&id)),
            id,
        };
        Ok(rows.into_iter().zip(ids).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Policy> {
        act::qos::visible(tx, caller, id.parse().map_err(|_| act::qos::missing(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<New> {
        fields::only(o, FIELDS, "POST")?;
        let name = o.name("name", fields::TEXT)?;
        let new = New {
            std: Std::new(&fields::project(o, caller)?, &name, &fields::text(o, "description")?),
            shared: o.opt_bool("shared")?.unwrap_or(false),
            is_default: o.opt_bool("is_default")?.unwrap_or(false),
        };
        if caller.admin { Ok(new) } else { Err(err::policy("create_policy")) }
    }
    fn may_change(_tx: &Tx<'_>, caller: &Caller, _row: &Policy, _verb: &str) -> Result<bool> {
        Ok(caller.admin)
    }
    fn create(tx: &Tx<'_>, _caller: &Caller, new: New) -> Result<Policy> {
        act::qos::create(tx, new.std, new.shared, new.is_default)
    }
    fn parse_change(o: &Obj, _caller: &Caller) -> Result<Change> {
        fields::only(o, FIELDS, "PUT")?;
        Ok(Change {
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            shared: o.opt_bool("shared")?,
            is_default: o.opt_bool("is_default")?,
        })
    }
    fn update(tx: &Tx<'_>, _caller: &Caller, mut p: Policy, c: Change) -> Result<()> {
        p.std.name = c.name.unwrap_or(p.std.name);
        p.std.description = c.description.unwrap_or(p.std.description);
        p.shared = c.shared.unwrap_or(p.shared);
        p.is_default = c.is_default.unwrap_or(p.is_default);
        act::qos::update(tx, &p)
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, p: Policy) -> Result<()> {
        act::qos::delete(tx, p.id)
    }
}
