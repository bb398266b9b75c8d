//! `hanok why ID`.

use crate::hosts;
use crate::login::{Session, path_part};
use base::{Fault, Kind, Result};
use comfy_table::{Table, presets};
use serde_json::Value;
use std::io::Write;
use std::net::IpAddr;

/// Prints everything that is known about why a resource is as it is.
pub async fn why(name: &str) -> Result<()> {
    let session = Session::open().await?;
    let id = match name.parse() {
        Ok(address) => match of_address(&session, address).await? {
            Some(id) => id,
            None => named(&session, name).await?.ok_or_else(|| nobody_has(address))?,
        },
        Err(_) => named(&session, name).await?.unwrap_or_else(|| name.to_owned()),
    };
    let answer = session.ask("GET", &format!("/hanok/v1/why/{}", path_part(&id)), None).await?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    rows(&mut table, "", &answer);
    // A closed pipe is the reader's business.
    let _ = writeln!(std::io::stdout(), "{table}");
    Ok(())
}

/// The id of what is known by this name.
async fn named(session: &Session, name: &str) -> Result<Option<String>> {
    match session.server(name).await {
        Err(fault) if fault.is_not_found() => other(session, name).await,
        found => found.map(Some),
    }
}

/// The id of what administrators know by name besides their project's servers: a machine, a host, anybody's server.
async fn other(session: &Session, name: &str) -> Result<Option<String>> {
    let machine = session.send("GET", &format!("/hanok/v1/machines/{}", path_part(name)), None).await?;
    if machine.status == 200 {
        return Ok(machine.json()?["machine"]["id"].as_str().map(str::to_owned));
    }
    // Refused to whoever is no administrator.
    if let Ok(Some(host)) = hosts::id_of(session, name).await {
        return Ok(Some(host));
    }
    match session.server_of_all(name).await {
        Ok(id) => Ok(Some(id)),
        Err(fault) if fault.kind == Kind::Conflict => Err(fault),
        // Whoever may not see all of them is told what is said of an unknown id.
        Err(_) => Ok(None),
    }
}

/// The id of the floating IP or port that has this address.
async fn of_address(session: &Session, address: IpAddr) -> Result<Option<String>> {
    let at = path_part(&address.to_string());
    for (noun, filter) in [("floatingips", "floating_ip_address="), ("ports", "fixed_ips=ip_address%3D")] {
        let list = session.ask("GET", &format!("/network/v2.0/{noun}?fields=id&{filter}{at}"), None).await?;
        let found: Vec<_> =
            list[noun].as_array().into_iter().flatten().filter_map(|v| v["id"].as_str()).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Some((*one).to_owned())),
            many => {
                return Err(Fault::conflict(format!(
                    "{} {noun} have the address {address}, on networks of their own; give the id of one: {}",
                    many.len(),
                    many.join(", ")
                )));
            }
        }
    }
    Ok(None)
}

fn nobody_has(address: IpAddr) -> Fault {
    Fault::not_found(format!(
        "No floating IP and no port has the address {address}. `openstack port list` shows those that you may see."
    ))
}

/// One row a value; nested names are joined by dots.
pub(crate) fn rows(table: &mut Table, name: &str, value: &Value) {
    let join = |k: &str| if name.is_empty() { k.to_owned() } else { format!("{name}.{k}") };
    match value {
        Value::Null => {}
        Value::String(s) if s.is_empty() => {}
        // Codes of the sentences are for pages in other languages.
        Value::Object(map) => {
            map.iter().filter(|(k, _)| *k != "said").for_each(|(k, v)| rows(table, &join(k), v));
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            list.iter().enumerate().for_each(|(i, v)| rows(table, &join(&i.to_string()), v));
        }
        Value::String(s) => {
            table.add_row([name, s]);
        }
        other => {
            table.add_row([name, &other.to_string()]);
        }
    }
}
