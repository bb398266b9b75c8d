//! The rules of a QoS policy, below it and by their own ids (`/qos/alias-…`), and the kinds there are.
//!
//! Guaranteed bandwidth and packet rates are not enforced here, so their routes do not exist and no
//! extension says that they do.

use super::noun::held;
use super::qos::{Policies, rule_view};
use super::{caller, fields};
use crate::act::{self, Caller};
use crate::model::qos::{Kind, Policy, Rule, What};
use crate::{Network, err, table};
use ::api::{Obj, Reply, Req};
use base::{Fault, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log};

/// What the API calls one kind of rule.
pub trait Words: 'static {
    const KIND: Kind;
    const ONE: &'static str;
    const MANY: &'static str;
    /// What a request asks for, over what there is.
    fn parse(o: &Obj, old: Option<What>) -> Result<What>;
}

/// The code points that RFC 2474, 2597 and 3246 give a meaning.
const MARKS: [u8; 21] = [0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 46, 48, 56];

pub struct Bandwidth;
pub struct Dscp;

impl Words for Bandwidth {
    const KIND: Kind = Kind::Bandwidth;
    const ONE: &'static str = "bandwidth_limit_rule";
    const MANY: &'static str = "bandwidth_limit_rules";

    fn parse(o: &Obj, old: Option<What>) -> Result<What> {
        known(o, &["max_kbps", "max_burst_kbps", "direction"])?;
        let (was_ingress, was_kbps, was_burst) = match old {
            Some(What::Bandwidth { ingress, kbps, burst_kb }) => (ingress, Some(kbps), burst_kb),
            _ => (false, None, 0),
        };
        let number = |field: &str, least: i64| -> Result<Option<u32>> {
            Ok(fields::int(o, field, least, i64::from(i32::MAX))?.and_then(|n| u32::try_from(n).ok()))
        };
        let ingress = match o.opt_str("direction", fields::TEXT)?.as_deref() {
            None => was_ingress,
            Some("ingress") => true,
            Some("egress") => false,
            Some(other) => {
                let why = format!(
                    "Invalid input for direction. Reason: '{other}' is not in ['egress', 'ingress']."
                );
                return Err(err::invalid(why));
            }
        };
        let kbps = number("max_kbps", 1)?.or(was_kbps).ok_or_else(|| missing_field("max_kbps"))?;
        Ok(What::Bandwidth { ingress, kbps, burst_kb: number("max_burst_kbps", 0)?.unwrap_or(was_burst) })
    }
}

impl Words for Dscp {
    const KIND: Kind = Kind::Dscp;
    const ONE: &'static str = "dscp_marking_rule";
    const MANY: &'static str = "dscp_marking_rules";

    fn parse(o: &Obj, old: Option<What>) -> Result<What> {
        known(o, &["dscp_mark"])?;
        let mark = match (fields::int(o, "dscp_mark", 0, 63)?, old) {
            (Some(mark), _) => u8::try_from(mark).ok(),
            (None, Some(What::Dscp(mark))) => Some(mark),
            (None, _) => return Err(missing_field("dscp_mark")),
        };
        match mark.filter(|m| MARKS.contains(m)) {
            Some(mark) => Ok(What::Dscp(mark)),
            None => {
                Err(err::invalid(format!("Invalid input for dscp_mark. Reason: it is not one of {MARKS:?}.")))
            }
        }
    }
}

fn known(o: &Obj, own: &[&str]) -> Result<()> {
    let fine = |k: &&String| own.contains(&k.as_str()) || matches!(k.as_str(), "tenant_id" | "project_id");
    match o.map.keys().find(|k| !fine(k)) {
        None => Ok(()),
        Some(k) => Err(Fault::bad_request(format!("Attribute '{k}' is not recognized in a {}.", o.name))),
    }
}

fn missing_field(field: &str) -> Fault {
    Fault::bad_request(format!("Failed to parse request. Required attribute '{field}' not specified"))
}

fn no_rule(id: &str, policy: &str) -> Fault {
    Fault::not_found(format!("QoS rule {id} for policy {policy} could not be found.")).tag("QosRuleNotFound")
}

/// The rule that a path names. Without a policy in it (an alias), the rule says whose it is.
fn find<W: Words>(tx: &Tx<'_>, caller: &Caller, path: &Path) -> Result<Rule> {
    let given = path.policy.as_deref();
    if let Some(policy) = given {
        policy_of(tx, caller, policy)?;
    }
    let missing = || no_rule(&path.rule, given.unwrap_or("None"));
    let rule = table::qos::rule(tx, path.rule.parse().map_err(|_| missing())?)?;
    let fits = |r: &Rule| r.what.kind() == W::KIND && given.is_none_or(|p| p == r.policy.to_string());
    let rule = rule.filter(fits).ok_or_else(missing)?;
    act::qos::visible(tx, caller, rule.policy).map_err(|f| f.or_missing(missing))?;
    Ok(rule)
}

fn policy_of(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Policy> {
    act::qos::visible(tx, caller, id.parse().map_err(|_| act::qos::missing(id))?)
}

/// Where a rule is: `/qos/policies/{id}/…/{rule}`, or by its own id alone.
struct Path {
    policy: Option<String>,
    rule: String,
}

impl Path {
    fn of(req: &Req) -> Path {
        let policy = Some(req.text_param("id")).filter(|p| !p.is_empty()).map(str::to_owned);
        Path { policy, rule: req.text_param("rule").trim_end_matches(".json").to_owned() }
    }
}

pub async fn list<W: Words>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, id) = (caller(&req)?, req.text_param("id").to_owned());
    let rules = net.db.read(move |tx| {
        policy_of(tx, &caller, &id)?;
        Ok(table::qos::rules(tx, std::slice::from_ref(&id))?.remove(&id).unwrap_or_default())
    });
    let views: Vec<Value> = rules.await?.iter().filter(|r| r.what.kind() == W::KIND).map(rule_view).collect();
    // Few rules: they are filtered by whatever field they show.
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let wanted = |v: &Value| {
        let known = |k: &str| v.get(k).map(text);
        req.query.0.iter().all(|(k, want)| known(k).is_none_or(|have| have == *want))
    };
    Ok(Reply::json(200, &json!({W::MANY: views.into_iter().filter(wanted).collect::<Vec<_>>()})))
}

pub async fn show<W: Words>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, path) = (caller(&req)?, Path::of(&req));
    let rule = net.db.read(move |tx| find::<W>(tx, &caller, &path)).await?;
    Ok(Reply::json(200, &json!({W::ONE: rule_view(&rule)})))
}

pub async fn create<W: Words>(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let (caller, who, id) = (caller(&req)?, req.who(), req.text_param("id").to_owned());
    let what = W::parse(&req.json().await?.inner(W::ONE)?, None)?;
    let rule = net.db.write(move |tx| {
        let policy = held::<Policies>(tx, &caller, &id, None, "update")?;
        let rule = act::qos::add_rule(tx, &policy, what)?;
        log::audit(tx, &who, &format!("{}.create", W::ONE), &rule.id.to_string())?;
        Ok(rule)
    });
    Ok(Reply::json(201, &json!({W::ONE: rule_view(&rule.await?)})))
}

pub async fn update<W: Words>(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let (caller, who, path) = (caller(&req)?, req.who(), Path::of(&req));
    let o = req.json().await?.inner(W::ONE)?;
    let rule = net.db.write(move |tx| {
        let mut rule = find::<W>(tx, &caller, &path)?;
        held::<Policies>(tx, &caller, &rule.policy.to_string(), None, "update")?;
        rule.what = W::parse(&o, Some(rule.what))?;
        act::qos::change_rule(tx, &rule)?;
        log::audit(tx, &who, &format!("{}.update", W::ONE), &rule.id.to_string())?;
        Ok(rule)
    });
    Ok(Reply::json(200, &json!({W::ONE: rule_view(&rule.await?)})))
}

pub async fn delete<W: Words>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, who, path) = (caller(&req)?, req.who(), Path::of(&req));
    net.db
        .write(move |tx| {
            let rule = find::<W>(tx, &caller, &path)?;
            held::<Policies>(tx, &caller, &rule.policy.to_string(), None, "update")?;
            act::qos::remove_rule(tx, &rule)?;
            log::audit(tx, &who, &format!("{}.delete", W::ONE), &rule.id.to_string())
        })
        .await?;
    Ok(Reply::empty(204))
}

// ------------------------------------------------------------------------------------ kinds

pub async fn kinds(_net: Arc<Network>, req: Req) -> Result<Reply> {
    let fits = |k: &Kind| req.query.get("type").is_none_or(|t| t == k.as_str());
    let all = Kind::ALL.iter().filter(|k| fits(k)).map(|k| json!({"type": k.as_str()}));
    Ok(Reply::json(200, &json!({"rule_types": all.collect::<Vec<_>>()})))
}

pub async fn kind(_net: Arc<Network>, req: Req) -> Result<Reply> {
    let name = req.text_param("type");
    let parameters = match Kind::ALL.into_iter().find(|k| k.as_str() == name) {
        Some(Kind::Bandwidth) => json!([
            {"parameter_name": "max_kbps", "parameter_type": "range", "parameter_values": {"start": 1, "end": i32::MAX}},
            {"parameter_name": "max_burst_kbps", "parameter_type": "range", "parameter_values": {"start": 0, "end": i32::MAX}},
            {"parameter_name": "direction", "parameter_type": "choices", "parameter_values": ["egress", "ingress"]},
        ]),
        Some(Kind::Dscp) => json!([
            {"parameter_name": "dscp_mark", "parameter_type": "choices", "parameter_values": MARKS},
        ]),
        None => {
            let why = format!("QoS rule type {name} could not be found.");
            return Err(Fault::not_found(why).tag("QosRuleTypeNotFound"));
        }
    };
    let drivers = json!([{"name": "hanok", "supported_parameters": parameters}]);
    Ok(Reply::json(200, &json!({"rule_type": {"type": name, "drivers": drivers}})))
}
