//! `hanok host`: the hosts of a region, by the calls that every OpenStack client has, and two of our own.

use crate::login::{Session, path_part};
use crate::why::rows;
use base::{Fault, Result};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

const SERVICES: &str = "/compute/v2.1/os-services";

/// One line a host.
pub async fn list() -> Result<()> {
    let session = Session::open().await?;
    let services = services(&session).await?;
    let details = session.ask("GET", "/compute/v2.1/os-hypervisors/detail", None).await?;
    let pods = pods(&session).await?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "NAME",
        "ZONE",
        "POD",
        "STATE",
        "STATUS",
        "ADDRESS",
        "SERVERS",
        "VCPUS",
        "MEMORY MIB",
        "WHY",
    ]);
    for service in &services {
        let name = service["host"].as_str().unwrap_or_default();
        let detail = named(&details, name);
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let of = |field: &str| text(&detail[field]);
        let pair = |used: &str, all: &str| format!("{}/{}", of(used), of(all));
        table.add_row([
            name.to_owned(),
            text(&service["zone"]),
            pods.get(name).cloned().unwrap_or_default(),
            text(&service["state"]),
            text(&service["status"]),
            of("host_ip"),
            of("running_vms"),
            pair("vcpus_used", "vcpus"),
            pair("memory_mb_used", "memory_mb"),
            service["disabled_reason"].as_str().unwrap_or_default().to_owned(),
        ]);
    }
    say(&table.to_string());
    Ok(())
}

/// Everything that is known of a host.
pub async fn show(name: &str) -> Result<()> {
    let session = Session::open().await?;
    let details = session.ask("GET", "/compute/v2.1/os-hypervisors/detail", None).await?;
    let detail = named(&details, name);
    if detail.is_null() {
        return Err(unknown(name));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    rows(&mut table, "", &detail);
    if let Some(id) = id_of(&session, name).await? {
        let why = session.ask("GET", &format!("/hanok/v1/why/{}", path_part(&id)), None).await?;
        wires(&mut table, &why["facts"]);
    }
    say(&table.to_string());
    Ok(())
}

/// The physical networks that a host is on, and whether it can have VLANs of them.
fn wires(table: &mut Table, facts: &Value) {
    rows(table, "physical_networks", &facts["physical_networks"]);
    let vlans = match facts["vlans"] == true {
        true => "yes",
        false => {
            "no: its kernel has no 802.1Q (load the module 8021q there and restart the agent), or its agent is of an \
                  older release"
        }
    };
    table.add_row(["vlan_networks", vlans]);
}

/// Lets a host take servers, or no new ones.
pub async fn enable(name: &str, enabled: bool, reason: Option<&str>) -> Result<()> {
    let session = Session::open().await?;
    let mut body = json!({"host": name, "binary": "nova-compute"});
    let verb = match (enabled, reason) {
        (true, _) => "enable",
        (false, None) => "disable",
        (false, Some(reason)) => {
            body["disabled_reason"] = reason.into();
            "disable-log-reason"
        }
    };
    done(&session, "PUT", &format!("{SERVICES}/{verb}"), Some(body)).await?;
    say(&format!("{name} {}", if enabled { "takes servers again." } else { "takes no new servers." }));
    Ok(())
}

/// Hosts, each with the name of its pod.
async fn places(session: &Session) -> Result<Vec<(Value, String)>> {
    let places = session.ask("GET", "/hanok/v1/places", None).await?;
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let mut hosts = Vec::new();
    for pod in list(&places["zones"]).iter().flat_map(|z| list(&z["pods"])) {
        let name = pod["name"].as_str().unwrap_or_default();
        hosts.extend(list(&pod["hosts"]).into_iter().map(|h| (h, name.to_owned())));
    }
    Ok(hosts)
}

/// The pod of each host that is in one, by the host's name.
async fn pods(session: &Session) -> Result<BTreeMap<String, String>> {
    let named = |(h, pod): (Value, String)| Some((h["name"].as_str()?.to_owned(), pod));
    Ok(places(session).await?.into_iter().filter_map(named).collect())
}

pub(crate) async fn id_of(session: &Session, name: &str) -> Result<Option<String>> {
    let found = places(session).await?.into_iter().find(|(h, _)| h["name"] == name);
    Ok(found.and_then(|(h, _)| h["id"].as_str().map(str::to_owned)))
}

/// Changes what a host goes by: its `name`, its `zone` or its `pod`.
pub async fn change(name: &str, what: &str, value: &str) -> Result<()> {
    let session = Session::open().await?;
    let path = format!("/hanok/v1/hosts/{}", path_part(name));
    let now = session.ask("PATCH", &path, Some(json!({"host": {what: value}}))).await?;
    let pod = now["host"]["pod"].as_str().filter(|p| !p.is_empty());
    let pod = pod.map(|p| format!(", in the pod {p:?}")).unwrap_or_default();
    say(&format!("{} is in the zone {}{pod}.", now["host"]["name"], now["host"]["zone"]));
    Ok(())
}

/// Forgets a host that is gone for good.
pub async fn remove(name: &str) -> Result<()> {
    let session = Session::open().await?;
    let all = services(&session).await?;
    let service = all.iter().find(|s| s["host"] == name).ok_or_else(|| unknown(name))?;
    done(&session, "DELETE", &format!("{SERVICES}/{}", service["id"]), None).await?;
    say(&format!("{name} is forgotten; what it proved itself with opens nothing any more."));
    Ok(())
}

async fn services(session: &Session) -> Result<Vec<Value>> {
    let answer = session.ask("GET", &format!("{SERVICES}?binary=nova-compute"), None).await?;
    Ok(answer["services"].as_array().cloned().unwrap_or_default())
}

fn named(details: &Value, name: &str) -> Value {
    let all = details["hypervisors"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|h| h["hypervisor_hostname"] == name).cloned().unwrap_or_default()
}

async fn done(session: &Session, method: &str, path: &str, body: Option<Value>) -> Result<()> {
    let reply = session.send(method, path, body).await?;
    if reply.status >= 400 { Err(Fault::bad_request(reply.message())) } else { Ok(()) }
}

fn unknown(name: &str) -> Fault {
    Fault::not_found(format!("No host is named {name:?}. `hanok host list` shows them."))
}

fn say(text: &str) {
    // A closed pipe is the reader's business.
    let _ = writeln!(std::io::stdout(), "{text}");
}
