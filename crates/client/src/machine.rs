//! `hanok machine`, `hanok segment`, `hanok rack list`: the machines of a region, by our own calls.

use crate::login::{Session, path_part};
use crate::why::rows;
use base::{Fault, Result};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

const MACHINES: &str = "/hanok/v1/machines";
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_secs(2);

fn say(text: &str) {
    // A closed pipe is the reader's business.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table
}

fn text(v: &Value) -> String {
    match v {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

async fn done(session: &Session, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
    let reply = session.send(method, path, body).await?;
    if reply.status >= 400 {
        return Err(Fault::bad_request(reply.message()));
    }
    if reply.status == 204 { Ok(Value::Null) } else { reply.json() }
}

/// One line a machine. `filters` are those of the call, such as `status=ready`.
pub async fn list(filters: &[String]) -> Result<()> {
    let session = Session::open().await?;
    let mut query = Vec::new();
    for f in filters {
        let (name, value) = f.split_once('=').ok_or_else(|| {
            Fault::bad_request(format!("{f:?} is no filter, such as status=ready or tag=dimms-4x8g."))
        })?;
        query.push(format!("{}={}", path_part(name), path_part(value)));
    }
    let mut lines =
        table(&["NAME", "STATUS", "POWER", "CORES", "MEMORY MIB", "DISK GB", "PROJECT", "TAGS", "WHY"]);
    let mut marker = String::new();
    loop {
        let path = format!("{MACHINES}?limit=1000{marker}&{}", query.join("&"));
        let answer = done(&session, "GET", path.trim_end_matches('&'), None).await?;
        let all = answer["machines"].as_array().cloned().unwrap_or_default();
        for m in &all {
            let why = if m["to_do"].is_null() { &m["message"] } else { &m["to_do"] };
            lines.add_row([
                text(&m["name"]),
                text(&m["status_name"]),
                text(&m["power"]),
                text(&m["cores"]),
                text(&m["memory_mib"]),
                (m["disk_bytes"].as_u64().unwrap_or(0) / 1_000_000_000).to_string(),
                text(&m["project_id"]),
                text(&m["tags"]),
                text(why),
            ]);
        }
        match all.last().filter(|_| answer["machines_links"].is_array()) {
            Some(last) => marker = format!("&marker={}", text(&last["id"])),
            None => break,
        }
    }
    say(&lines.to_string());
    Ok(())
}

/// The whole ledger as a table for spreadsheets.
pub async fn export() -> Result<()> {
    let session = Session::open().await?;
    let reply = session.send("GET", &format!("{MACHINES}?format=csv"), None).await?;
    if reply.status >= 400 {
        return Err(Fault::bad_request(reply.message()));
    }
    let _ = write!(std::io::stdout(), "{}", reply.text());
    Ok(())
}

/// Everything that is known of a machine; `part` is one of what hangs on it (inventory, events, tests, …).
pub async fn show(name: &str, part: Option<&str>) -> Result<()> {
    let session = Session::open().await?;
    let path = format!("{MACHINES}/{}", path_part(name));
    let path = part.map_or_else(|| path.clone(), |p| format!("{path}/{p}"));
    let answer = done(&session, "GET", &path, None).await?;
    let inner = answer.as_object().and_then(|o| o.values().find(|v| v.is_object() || v.is_array())).cloned();
    let mut lines = Table::new();
    lines.load_style(presets::NOTHING);
    rows(&mut lines, "", &inner.unwrap_or(answer));
    say(&lines.to_string());
    Ok(())
}

/// Enters a machine.
pub async fn add(machine: Value) -> Result<()> {
    let session = Session::open().await?;
    let made = done(&session, "POST", MACHINES, Some(json!({"machine": machine}))).await?;
    let name = text(&made["machine"]["name"]);
    say(&format!("{name} is known. Let it be measured: hanok machine commission {name}"));
    Ok(())
}

/// Changes what is said of a machine.
pub async fn change(name: &str, change: Value) -> Result<()> {
    let session = Session::open().await?;
    let path = format!("{MACHINES}/{}", path_part(name));
    let now = done(&session, "PATCH", &path, Some(json!({"machine": change}))).await?;
    say(&format!("{} is changed.", text(&now["machine"]["name"])));
    Ok(())
}

/// Forgets a machine.
pub async fn remove(name: &str, force: bool) -> Result<()> {
    let session = Session::open().await?;
    let force = if force { "?force=true" } else { "" };
    done(&session, "DELETE", &format!("{MACHINES}/{}{force}", path_part(name)), None).await?;
    say(&format!(
        "{name} is forgotten. It is left as it is; what it proved itself with opens nothing any more."
    ));
    Ok(())
}

/// Asks something of a machine. With `wait` it tells each change until that is over.
///
/// # Errors
/// With `wait`, `Conflict` when it fails, with the reason.
pub async fn act(name: &str, action: &str, body: Value, wait: bool) -> Result<()> {
    let session = Session::open().await?;
    let path = format!("{MACHINES}/{}", path_part(name));
    let mut now = done(&session, "POST", &format!("{path}/{action}"), Some(body)).await?["machine"].take();
    let mut told = String::new();
    loop {
        let words = state(&session, &path, &now).await;
        if words != told {
            say(&words);
            told = words;
        }
        if !wait || !busy(&now) {
            break;
        }
        tokio::time::sleep(LOOK).await;
        now = done(&session, "GET", &path, None).await?["machine"].take();
    }
    let failed = wait && text(&now["status"]).starts_with("failed");
    if failed { Err(Fault::conflict(text(&now["message"]))) } else { Ok(()) }
}

fn busy(m: &Value) -> bool {
    let under_way = [
        "commissioning",
        "testing",
        "deploying",
        "releasing",
        "disk_erasing",
        "entering_rescue_mode",
        "exiting_rescue_mode",
    ];
    m["status"].as_str().is_some_and(|s| under_way.contains(&s))
}

async fn state(session: &Session, path: &str, m: &Value) -> String {
    let mut words = format!("{}: {}", text(&m["name"]), text(&m["status_name"]));
    if let Some(asked) = m["to_do"].as_str() {
        return format!("{words}; {asked}");
    }
    let far = match busy(m) {
        true => done(session, "GET", &format!("{path}/progress"), None).await.unwrap_or_default(),
        false => Value::Null,
    };
    let why = [&far["progress"]["reason"], &m["message"]].into_iter().map(text).find(|t| !t.is_empty());
    if let Some(why) = why {
        words.push_str(&format!("; {why}"));
    }
    words
}

/// The id of an image, by its name or id.
pub async fn image_id(name: &str) -> Result<String> {
    let session = Session::open().await?;
    let found = session.ask("GET", &format!("/image/v2/images?name={}", path_part(name)), None).await?;
    match found["images"].as_array().and_then(|all| all.first()) {
        Some(image) => Ok(text(&image["id"])),
        None => Ok(name.to_owned()),
    }
}

/// One line a segment.
pub async fn segments() -> Result<()> {
    let session = Session::open().await?;
    let answer = done(&session, "GET", "/hanok/v1/segments", None).await?;
    let mut lines = table(&["NAME", "RACK", "INTERFACE", "DHCP", "ENLIST", "SUBNETS", "FREE", "WHY"]);
    for s in answer["segments"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let cidrs: Vec<String> = s["subnets"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .map(|n| text(&n["cidr"]))
            .collect();
        lines.add_row([
            text(&s["name"]),
            text(&s["rack"]),
            text(&s["interface"]),
            text(&s["dhcp"]),
            text(&s["enlist"]),
            cidrs.join(" "),
            text(&s["free"]),
            text(&s["reason"]),
        ]);
    }
    say(&lines.to_string());
    Ok(())
}

/// Makes a segment, changes one (`PATCH`), or gives it a subnet.
pub async fn segment(method: &str, path: &str, body: Option<Value>) -> Result<()> {
    let session = Session::open().await?;
    done(&session, method, &format!("/hanok/v1/segments{path}"), body).await?;
    say("done.");
    Ok(())
}

/// One line a rack controller.
pub async fn racks() -> Result<()> {
    let session = Session::open().await?;
    let answer = done(&session, "GET", "/hanok/v1/racks", None).await?;
    let mut lines = table(&["NAME", "STATE", "SEEN AT", "SEGMENTS", "MACHINES"]);
    for r in answer["racks"].as_array().map(Vec::as_slice).unwrap_or_default() {
        lines.add_row(["name", "state", "seen_at", "segments", "machines"].map(|f| text(&r[f])));
    }
    say(&lines.to_string());
    Ok(())
}

/// Puts the address of something in a path.
pub fn part(text: &str) -> String {
    path_part(text)
}
