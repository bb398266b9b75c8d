//! `hanok acl NETWORK`: shows a network's access list, or puts another one in its place.

use crate::login::{Session, path_part};
use base::{Fault, Result};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;

const COLUMNS: [&str; 8] =
    ["priority", "direction", "action", "ip_version", "protocol", "ports", "source_ports", "cidr"];

/// Shows the list of a network given by name or id. With a file (`-` is standard input) its rules, as
/// JSON, take the place of those that there are first.
pub async fn acl(network: &str, rules: Option<&Path>) -> Result<()> {
    let rules = rules.map(read).transpose()?;
    let session = Session::open().await?;
    let id = network_id(&session, network).await?;
    let path = format!("/hanok/v1/networks/{}/acl", path_part(&id));
    let now = match rules {
        None => session.ask("GET", &path, None).await?,
        Some(rules) => session.ask("PUT", &path, Some(json!({"acl": {"rules": rules}}))).await?,
    };
    print(&now["acl"]["rules"]);
    Ok(())
}

/// The rules of a file: a list, or what the API answers.
fn read(file: &Path) -> Result<Value> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let name = file.display();
    let text = text.map_err(|e| Fault::bad_request(format!("{name} cannot be read: {e}")))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| Fault::bad_request(format!("{name} is no JSON: {e}. It should be a list of rules.")))?;
    let list = [&value, &value["rules"], &value["acl"]["rules"]].into_iter().find(|v| v.is_array());
    list.cloned().ok_or_else(|| Fault::bad_request(format!("{name} holds no list of rules.")))
}

async fn network_id(session: &Session, name: &str) -> Result<String> {
    let by_id = session.send("GET", &format!("/network/v2.0/networks/{}", path_part(name)), None).await?;
    if by_id.status == 200 {
        return Ok(name.to_owned());
    }
    let list = session.ask("GET", &format!("/network/v2.0/networks?name={}", path_part(name)), None).await?;
    let ids: Vec<_> =
        list["networks"].as_array().into_iter().flatten().filter_map(|n| n["id"].as_str()).collect();
    match ids.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Fault::not_found(format!(
            "No network is named {name:?} here. `openstack network list` shows them."
        ))),
        many => Err(Fault::conflict(format!(
            "{} networks are named {name:?}; give the id of one: {}",
            many.len(),
            many.join(", ")
        ))),
    }
}

fn print(rules: &Value) {
    let rules = rules.as_array().map_or(&[][..], Vec::as_slice);
    let mut out = std::io::stdout();
    // A closed pipe is the reader's business.
    if rules.is_empty() {
        let _ = writeln!(out, "No rules: everything passes.");
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(COLUMNS);
    for rule in rules {
        let cell = |name: &&str| match &rule[*name] {
            Value::Null => "any".to_owned(),
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        table.add_row(COLUMNS.iter().map(cell));
    }
    let _ = writeln!(out, "{table}");
}
