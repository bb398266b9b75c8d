//! `nodes/ID/results/`, `scripts/` and `notifications/`: what was found out about machines and racks, in MAAS's words.
//!
//! Measuring and testing are built in: there are no scripts to upload, and the lists are made from what is kept.

use super::fields::invalid;
use super::machines::find;
use super::view::Scene;
use super::{Call, Door, missing};
use crate::model::{Machine, Status};
use crate::racks::is_silent;
use crate::table::test::{self, Kept};
use api::Reply;
use base::doc::live::Test;
use base::{Micros, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use store::Tx;

const API: &str = "/MAAS/api/2.0";
/// Number, name, what it is for: testing is 2, and measuring comes first.
const COMMISSIONING: (i64, &str) = (0, "Commissioning");
const TESTING: (i64, &str) = (2, "Testing");
const PASSED: (i64, &str) = (2, "Passed");
const FAILED: (i64, &str) = (3, "Failed");
const RUNNING: (i64, &str) = (1, "Running");
/// Result sets of a machine are numbered by task; the one of measuring is the first.
const MEASURED: u64 = 0;

/// A built-in test: its number, its name, what it looks at, what it does.
fn about(test: Test) -> (i64, &'static str, i64, &'static str) {
    match test {
        Test::DiskHealth => {
            (2, "disk_health", 3, "Reads what the disks say of themselves (SMART, NVMe health).")
        }
        Test::DiskRead => (3, "disk_read", 3, "Reads samples over each whole disk."),
        Test::Memory => (4, "memory", 2, "Writes and checks patterns in a part of the free memory."),
        Test::Cpu => (5, "cpu", 1, "All cores compute and compare for a while."),
        Test::Network => (6, "network", 4, "The rack is reached at the speed of each linked interface."),
    }
}

const TESTS: [Test; 5] = [Test::DiskHealth, Test::DiskRead, Test::Memory, Test::Cpu, Test::Network];

fn script(id: i64, name: &str, title: &str, kind: (i64, &str), hardware: i64) -> Value {
    let hardware_name =
        ["Node", "CPU", "Memory", "Storage", "Network"][usize::try_from(hardware).unwrap_or(0)];
    json!({
        "id": id, "name": name, "title": title, "description": title, "tags": [], "script_type": kind.0,
        "script_type_name": if kind.0 == 2 { "Testing script" } else { "Commissioning script" },
        "hardware_type": hardware, "hardware_type_name": hardware_name, "parallel": 0,
        "parallel_name": "Disabled", "results": {}, "parameters": {}, "packages": {}, "timeout": "0:00:00",
        "destructive": false, "default": true, "for_hardware": [], "may_reboot": false, "recommission": false,
        "apply_configured_networking": false, "history": [], "resource_uri": format!("{API}/scripts/{name}"),
    })
}

fn scripts_all() -> Vec<Value> {
    let measure = script(1, "hanok-inventory", "Measures what the machine is made of.", COMMISSIONING, 0);
    let tests = TESTS.into_iter().map(|t| {
        let (id, name, hardware, title) = about(t);
        script(id, name, title, TESTING, hardware)
    });
    [measure].into_iter().chain(tests).collect()
}

/// GET scripts/ (`type`, `hardware_type`), and one of them.
pub async fn scripts(_: Arc<Door>, call: Call) -> Result<Reply> {
    let mut all = scripts_all();
    let key = call.param("name");
    if !key.is_empty() {
        let found = all.into_iter().find(|s| s["name"] == key || s["id"].as_i64() == key.parse().ok());
        return Ok(Reply::json(200, &found.ok_or_else(missing)?));
    }
    match call.fields.text("type")?.as_deref() {
        None => {}
        Some("testing" | "test" | "2") => all.retain(|s| s["script_type"] == 2),
        Some("commissioning" | "commission" | "0") => all.retain(|s| s["script_type"] == 0),
        Some(_) => all.clear(),
    }
    Ok(Reply::json(200, &Value::Array(all)))
}

/// What came out of one step.
struct Part {
    number: i64,
    name: String,
    title: String,
    status: (i64, &'static str),
    output: String,
    at: Micros,
}

fn part_view(p: &Part, output: bool) -> Value {
    let mut v = json!({
        "id": p.number, "name": p.name, "created": p.at.seconds_z(), "updated": p.at.seconds_z(),
        "status": p.status.0, "status_name": p.status.1,
        "exit_status": match p.status { PASSED => json!(0), FAILED => json!(1), _ => Value::Null },
        "started": p.at.seconds_z(), "ended": if p.status == RUNNING { Value::Null } else { json!(p.at.seconds_z()) },
        "runtime": "", "starttime": p.at.0 as f64 / 1e6, "endtime": p.at.0 as f64 / 1e6,
        "estimated_runtime": "Unknown", "parameters": {}, "script_id": null, "script_revision_id": null,
        "script_name": p.title, "suppressed": false, "interface": null, "physical_blockdevice": null,
    });
    if output {
        let coded = STANDARD.encode(&p.output);
        v["output"] = json!(coded);
        v["stdout"] = json!(coded);
        v["stderr"] = json!("");
        v["result"] = json!("");
    }
    v
}

fn set_view(m: &Machine, number: u64, kind: (i64, &str), parts: &[Part], output: bool) -> Value {
    let status =
        [FAILED, RUNNING].into_iter().find(|s| parts.iter().any(|p| p.status == *s)).unwrap_or(PASSED);
    let (first, last) = (parts.iter().map(|p| p.at).min(), parts.iter().map(|p| p.at).max());
    let time = |at: Option<Micros>| at.map(Micros::seconds_z);
    json!({
        "id": number, "system_id": m.system_id, "type": kind.0, "type_name": kind.1, "last_ping": time(last),
        "status": status.0, "status_name": status.1, "started": time(first),
        "ended": if status == RUNNING { None } else { time(last) }, "runtime": "",
        "results": parts.iter().map(|p| part_view(p, output)).collect::<Vec<_>>(),
        "resource_uri": format!("{API}/nodes/{}/results/{number}/", m.system_id),
    })
}

/// What measuring gave: the inventory, or why there is none.
fn measured(m: &Machine, inventory: String) -> Option<Part> {
    let (status, at, output) = match m.status {
        Status::Commissioning => (RUNNING, m.status_at, String::new()),
        Status::FailedCommissioning => (FAILED, m.status_at, m.message.clone()),
        _ if m.inventory_at.0 > 0 => (PASSED, m.inventory_at, inventory),
        _ => return None,
    };
    let title = "hanok-inventory".to_owned();
    Some(Part { number: 1, name: title.clone(), title, status, output, at })
}

fn tested(k: &Kept, number: usize) -> Part {
    let (_, name, ..) = about(k.result.test);
    let part = if k.result.part.is_empty() { name.to_owned() } else { format!("{name}.{}", k.result.part) };
    Part {
        number: i64::try_from(number).unwrap_or(0) + 2,
        name: part,
        title: name.to_owned(),
        status: if k.result.passed { PASSED } else { FAILED },
        output: k.result.output.clone(),
        at: k.at,
    }
}

/// A result set: number, kind, parts.
type Set = (u64, (i64, &'static str), Vec<Part>);

/// Result sets of a machine, the newest first.
fn sets(door: &Door, tx: &Tx<'_>, m: &Machine) -> Result<Vec<Set>> {
    let mut all: Vec<Set> = Vec::new();
    for (at, k) in test::of(tx, m.id)?.iter().enumerate() {
        match all.last_mut().filter(|(number, ..)| *number == k.number) {
            Some((.., parts)) => parts.push(tested(k, at)),
            None => all.push((k.number, TESTING, vec![tested(k, at)])),
        }
    }
    let inventory = door.metal.inventory(tx, m.id)?;
    let text = inventory.map(|i| serde_json::to_string_pretty(&i)).transpose()?.unwrap_or_default();
    all.extend(measured(m, text).map(|p| (MEASURED, COMMISSIONING, vec![p])));
    Ok(all)
}

/// GET nodes/ID/results/ (`type`, `include_output`, `filters`) and nodes/ID/results/NUMBER/; `current-testing` and
/// `current-commissioning` are the newest.
pub async fn results(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (f, inner) = (&call.fields, door.clone());
    let output = f.bool("include_output")?.unwrap_or(false);
    let kind = match f.text("type")?.as_deref() {
        None => None,
        Some("testing" | "2") => Some(TESTING),
        Some("commissioning" | "0") => Some(COMMISSIONING),
        // Writing an image has no script.
        Some("installation" | "1" | "release" | "3" | "deployment" | "4") => {
            return Ok(Reply::json(200, &json!([])));
        }
        Some(other) => return Err(invalid("type", format!("{other:?} is no type of results."))),
    };
    let filters = f.words("filters")?;
    let of = move |tx: &Tx<'_>| {
        let m = find(tx, &call.auth, call.param("system_id"))?;
        let mut all = sets(&inner, tx, &m)?;
        all.retain(|(_, k, _)| kind.is_none_or(|kind| kind == *k));
        for (.., parts) in &mut all {
            let wanted =
                |p: &Part| filters.is_empty() || filters.contains(&p.name) || filters.contains(&p.title);
            parts.retain(wanted);
        }
        let view = |(number, kind, parts): &Set| set_view(&m, *number, *kind, parts, output);
        let found = match call.param("id") {
            "" => return Ok(all.iter().map(view).collect()),
            "current-testing" => all.iter().find(|(_, k, _)| *k == TESTING),
            "current-commissioning" => all.iter().find(|(_, k, _)| *k == COMMISSIONING),
            key => all.iter().find(|(n, ..)| n.to_string() == key),
        };
        found.map(view).ok_or_else(missing)
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

fn notice(id: i64, category: &str, message: String, at: Micros) -> Value {
    json!({
        "id": id, "ident": null, "user": null, "users": false, "admins": true, "message": message, "context": {},
        "category": category, "dismissable": false, "created": at.seconds_z(),
        "resource_uri": format!("{API}/notifications/{id}/"),
    })
}

/// What an administrator should look at: silent racks, segments in trouble. It goes when the trouble does.
fn notices(tx: &Tx<'_>) -> Result<Vec<Value>> {
    let (scene, now, mut all) = (Scene::load(tx, [])?, Micros::now(), Vec::new());
    for r in scene.racks.iter().filter(|r| is_silent(r.seen_at)) {
        let words =
            format!("The rack controller {} is silent. Its machines start from their disks only.", r.name);
        all.push(notice(r.number * 4, "error", words, r.seen_at));
    }
    for s in &scene.segments {
        if !s.reason.is_empty() {
            all.push(notice(s.number * 4 + 1, "error", format!("{}: {}", s.name, s.reason), now));
        }
        if !s.foreign_dhcp.is_empty() {
            let words = format!("Another DHCP server ({}) answers on {}.", s.foreign_dhcp[0], s.name);
            all.push(notice(s.number * 4 + 2, "warning", words, now));
        }
    }
    Ok(all)
}

/// GET notifications/, and one of them. All are for administrators.
pub async fn notifications(door: Arc<Door>, call: Call) -> Result<Reply> {
    let of = move |tx: &Tx<'_>| {
        let all = if call.is_admin() { notices(tx)? } else { Vec::new() };
        match call.param("id") {
            "" => Ok(Value::Array(all)),
            key => {
                let wanted = key.parse::<i64>().ok();
                all.into_iter().find(|n| n["id"].as_i64() == wanted).ok_or_else(missing)
            }
        }
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}
