//! Reading the fields of bodies, beyond what [`api::Obj`] does for everybody.

use crate::act::Caller;
use crate::act::address::Want;
use crate::{err, plan};
use ::api::{Obj, Req};
use base::doc::Route;
use base::{Fault, ProjectId, Result};
use ipnet::IpNet;
use serde_json::Value;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest name, description and the like.
pub const TEXT: usize = 255;

/// Refuses fields that a request may not hold. `known` are the noun's own.
pub fn only(o: &Obj, known: &[&str], verb: &str) -> Result<()> {
    const ALWAYS: &[&str] = &["name", "description"];
    const NEW: &[&str] = &["tags", "tenant_id", "project_id"];
    let all = |k: &str| known.contains(&k) || ALWAYS.contains(&k) || (verb == "POST" && NEW.contains(&k));
    match o.map.keys().find(|k| !all(k)) {
        None => Ok(()),
        Some(k) => Err(Fault::bad_request(format!(
            "Attribute '{k}' is not recognized, or not allowed in {verb} of a {}.",
            o.name
        ))),
    }
}

/// Whose the new resource is: the caller's, or for an admin anybody's.
pub fn project(o: &Obj, caller: &Caller) -> Result<ProjectId> {
    let given = match o.opt_str("project_id", TEXT)? {
        Some(p) => Some(p),
        None => o.opt_str("tenant_id", TEXT)?,
    };
    match given {
        Some(p) if p != caller.project.0 && !caller.admin => Err(err::policy("create for another project")),
        Some(p) => Ok(ProjectId(p)),
        None if caller.project.0.is_empty() => {
            Err(Fault::bad_request("Running without a project scope: say project_id, whose this is to be."))
        }
        None => Ok(caller.project.clone()),
    }
}

pub fn text(o: &Obj, field: &str) -> Result<String> {
    Ok(o.opt_str(field, TEXT)?.unwrap_or_default())
}

/// A field that only an admin may set (to something that matters).
pub fn admin_only(o: &Obj, caller: &Caller, fields: &[&str], verb: &str) -> Result<()> {
    if caller.admin {
        return Ok(());
    }
    let set = |f: &&&str| !matches!(o.map.get(**f), None | Some(Value::Null | Value::Bool(false)));
    match fields.iter().find(set) {
        None => Ok(()),
        Some(f) => Err(err::policy(&format!("{verb}_{}:{f}", o.name))),
    }
}

fn invalid(field: &str, value: &Value, why: &str) -> Fault {
    let value: String = value.to_string().chars().take(200).collect();
    err::invalid(format!("Invalid input for {field}. Reason: {value} {why}."))
}

/// Parses one text, such as an address.
pub fn parse<T: FromStr>(field: &str, value: &Value, what: &str) -> Result<T> {
    let text = value.as_str().ok_or_else(|| invalid(field, value, &format!("is not {what}")))?;
    text.trim().parse().map_err(|_| invalid(field, value, &format!("is not {what}")))
}

pub fn opt_parse<T: FromStr>(o: &Obj, field: &str, what: &str) -> Result<Option<T>> {
    match o.map.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(v) => parse(field, v, what).map(Some),
    }
}

pub const ADDRESS: &str = "a valid IP address";
pub const PREFIX: &str = "a valid IP subnet";

pub fn list<'a>(o: &'a Obj, field: &str) -> Result<Option<&'a Vec<Value>>> {
    match o.map.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(l)) if l.len() > 1000 => Err(invalid(field, &Value::Null, "is too long")),
        Some(Value::Array(l)) => Ok(Some(l)),
        Some(v) => Err(invalid(field, v, "is not a list")),
    }
}

/// Things of a list, each parsed.
pub fn each<T>(o: &Obj, field: &str, f: impl Fn(&Value) -> Result<T>) -> Result<Option<Vec<T>>> {
    list(o, field)?.map(|l| l.iter().map(f).collect()).transpose()
}

/// `[{"destination": …, "nexthop": …}]`
pub fn routes(o: &Obj, field: &str) -> Result<Option<Vec<Route>>> {
    each(o, field, |v| {
        Ok(Route {
            destination: parse::<IpNet>(field, &v["destination"], PREFIX)?.trunc(),
            nexthop: parse(field, &v["nexthop"], ADDRESS)?,
        })
    })
}

pub fn routes_view(routes: &[Route]) -> Value {
    let one = |r: &Route| serde_json::json!({"destination": r.destination.to_string(), "nexthop": r.nexthop.to_string()});
    Value::Array(routes.iter().map(one).collect())
}

/// `[{"subnet_id": …, "ip_address": …}]`
pub fn fixed_ips(field: &str, list: &[Value]) -> Result<Vec<Want>> {
    let one = |v: &Value| {
        let Value::Object(map) = v else { return Err(invalid(field, v, "is not an object")) };
        if let Some(k) = map.keys().find(|k| !matches!(k.as_str(), "subnet_id" | "ip_address")) {
            return Err(invalid(field, v, &format!("holds the unknown key '{k}'")));
        }
        let present = |k: &str| map.get(k).filter(|v| !v.is_null());
        let want = Want {
            subnet: present("subnet_id").map(|v| parse(field, v, "a valid UUID")).transpose()?,
            address: present("ip_address").map(|v| parse::<IpAddr>(field, v, ADDRESS)).transpose()?,
        };
        Ok(want)
    };
    let wants: Vec<Want> = list.iter().map(one).collect::<Result<_>>()?;
    let mut addresses: Vec<IpAddr> = wants.iter().filter_map(|w| w.address).collect();
    addresses.sort_unstable();
    if addresses.windows(2).any(|w| w[0] == w[1]) {
        return Err(err::invalid(format!("Invalid input for {field}. Reason: Duplicate IP address.")));
    }
    Ok(wants)
}

pub fn mac(o: &Obj, field: &str) -> Result<Option<String>> {
    let Some(text) = o.opt_str(field, TEXT)? else { return Ok(None) };
    let mac = plan::normal_mac(&text)
        .ok_or_else(|| invalid(field, &Value::String(text), "is not a valid MAC address of one station"))?;
    Ok(Some(mac))
}

/// A number that may be null.
pub fn int(o: &Obj, field: &str, min: i64, max: i64) -> Result<Option<i64>> {
    o.opt_int(field, min, max).map_err(|f| f.tag("InvalidInput"))
}

/// `If-Match: revision_number=3`
pub fn if_match(req: &Req) -> Result<Option<i64>> {
    let Some(text) = req.header("if-match") else { return Ok(None) };
    let number =
        text.trim().trim_matches('"').strip_prefix("revision_number=").and_then(|n| n.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        Fault::bad_request(format!("If-Match must be revision_number=N here; {text:?} is something else."))
    })
}
