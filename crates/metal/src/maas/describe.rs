//! `describe/`: the table of contents as clients read it, and the hash by which they notice that it changed.
//!
//! python-libmaas calls only what it finds here, at the absolute addresses that it finds here.

use super::table::{Action, Resource, Table};
use super::{Call, Door};
use api::{Reply, Rule};
use base::Result;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use std::sync::Arc;

fn action(a: &Action) -> Value {
    json!({
        "name": a.name,
        "method": a.method.as_str(),
        "op": if a.op.is_empty() { Value::Null } else { json!(a.op) },
        "restful": a.op.is_empty(),
        "doc": a.doc,
    })
}

/// What one may do with a resource, with a key or without; null when that is nothing.
fn handler(r: &Resource, base: &str, anonymous: bool) -> Value {
    let may = |a: &&Action| !anonymous || a.rule == Rule::Open;
    let actions: Vec<Value> = r.actions.iter().filter(may).map(action).collect();
    if actions.is_empty() {
        return Value::Null;
    }
    let prefix = if anonymous { "Anon" } else { "" };
    json!({
        "name": format!("{prefix}{}Handler", r.name),
        "doc": r.doc,
        "params": r.variables(),
        "path": r.path,
        "uri": format!("{base}{}", r.path),
        "actions": actions,
    })
}

fn resources(table: &Table, base: &str) -> Vec<Value> {
    let described = table.resources.iter().filter(|r| r.described);
    described
        .map(|r| {
            json!({
                "name": format!("{}Handler", r.name),
                "anon": handler(r, base, true),
                "auth": handler(r, base, false),
            })
        })
        .collect()
}

/// SHA-1 of the description, without the address that it was asked at.
pub fn hash(table: &Table) -> String {
    hex::encode(Sha1::digest(Value::Array(resources(table, "")).to_string()))
}

/// GET describe/
pub async fn describe(door: Arc<Door>, call: Call) -> Result<Reply> {
    let resources = resources(&door.table, &call.base);
    let both = resources.iter().flat_map(|r| [&r["anon"], &r["auth"]]);
    let handlers: Vec<&Value> = both.filter(|h| !h.is_null()).collect();
    let body = json!({
        "doc": "MAAS API 2.0, as Hanok speaks it.",
        "hash": door.hash(),
        "handlers": handlers,
        "resources": resources,
    });
    Ok(Reply::json(200, &body))
}

/// GET version/
pub async fn version(_: Arc<Door>, _: Call) -> Result<Reply> {
    Ok(Reply::json(
        200,
        &json!({
            "version": "3.7.0",
            "subversion": concat!("hanok-", env!("CARGO_PKG_VERSION")),
            "capabilities": [
                "networks-management", "static-ipaddresses", "ipv6-deployment-ubuntu", "devices-management",
                "storage-deployment-ubuntu", "network-deployment-ubuntu", "bridging-interface-ubuntu",
                "bridging-automatic-ubuntu", "authenticate-api",
            ],
        }),
    ))
}
