//! `/MAAS/metadata/`: what a deployed system asks of itself, in the form that cloud-init's MAAS data source reads,
//! and where it says how it gets on.
//!
//! MAAS gives a machine's credentials to whoever knows its short id (`by-id/ID/?op=get_preseed`). Here they are made
//! for one deployment and written onto the machine's own disk, by its live system, which has proved itself with
//! a token that is good once and for its MACs. A rack that passes a request on says whose MAC asks, and that must be
//! one of the machine's.

pub(super) mod node_key;

use super::{Call, Door, config, missing, plain};
use crate::model::{Errand, Machine, Seed};
use crate::table::{errand, key, nic, segment};
use api::Reply;
use base::doc::live::SeedFile;
use base::doc::rack::HTTP_PORT;
use base::{Fault, Kind, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Tx;
use store::log::{Level, event};

/// Versions of the tree; both are the same.
const VERSIONS: [&str; 2] = ["latest", "2012-03-01"];
/// The setting that says where deployed systems find their metadata: `config_drive` or `maas`.
pub const SOURCE: &str = "hanok_data_source";
/// Where the image's cloud-init reads it.
const SEED_FILE: &str = "/etc/cloud/cloud.cfg.d/90_hanok_maas.cfg";

/// Has the new system use this tree, where the setting says so; else it gets a configuration drive.
pub fn furnish(door: &Door, tx: &Tx<'_>, m: &Machine, seed: &mut Seed) -> Result<()> {
    node_key::forget(tx, m.id)?;
    if config::value(tx, SOURCE)?.and_then(|v| v.as_str().map(|s| s == "maas")) != Some(true) {
        return Ok(());
    }
    let made = node_key::make(tx, m.id)?;
    let base = match (&door.public_url, rack_address(tx, m)?) {
        (_, Some(at)) => format!("http://{at}"),
        (Some(url), None) => url.trim_end_matches('/').to_owned(),
        (None, None) => {
            return Err(Fault::conflict(format!(
                "{} stands on no segment with a subnet, so its system would not find its metadata. Put its NIC on one, \
                 or set {SOURCE} to config_drive.",
                m.name
            )));
        }
    };
    let keys = json!({
        "consumer_key": made.consumer, "token_key": made.token, "token_secret": made.secret,
    });
    let mut source = keys.clone();
    source["metadata_url"] = json!(format!("{base}/MAAS/metadata/"));
    let mut webhook = keys;
    webhook["type"] = json!("webhook");
    webhook["endpoint"] = json!(format!("{base}/MAAS/metadata/status/{}", m.system_id));
    // JSON is YAML.
    let content = json!({
        "datasource_list": ["MAAS"], "datasource": {"MAAS": source}, "reporting": {"maas": webhook},
    });
    seed.no_drive = true;
    seed.files.insert(SEED_FILE.to_owned(), SeedFile { content: format!("{content:#}\n"), mode: 0o600 });
    Ok(())
}

/// The rack's address and port on the segment that a machine starts from.
fn rack_address(tx: &Tx<'_>, m: &Machine) -> Result<Option<String>> {
    let nics = nic::of(tx, m.id)?;
    let of = nics.iter().find(|n| n.boot).or(nics.first()).and_then(|n| n.segment);
    let Some(of) = of else { return Ok(None) };
    let found = segment::subnets_of(tx, of)?.into_iter().find(|s| !s.address.is_unspecified());
    Ok(found.map(|s| std::net::SocketAddr::new(s.address, HTTP_PORT).to_string()))
}

/// The machine whose system asks.
///
/// # Errors
/// 401 without a good key, 403 from another machine's MAC.
fn asker(tx: &Tx<'_>, call: &Call) -> Result<Machine> {
    let m = node_key::check(tx, call)?;
    let Some(mac) = call.asker_mac(tx)? else { return Ok(m) };
    if nic::of(tx, m.id)?.iter().any(|n| n.mac == mac) {
        return Ok(m);
    }
    let words = format!("its metadata was asked for from {mac}, which is not one of its MACs; refused");
    tracing::warn!(machine = %m.id, "{words}");
    Err(Fault::forbidden("This key is another machine's."))
}

async fn tell<F>(door: Arc<Door>, call: Call, f: F) -> Result<Reply>
where
    F: FnOnce(&Door, &Tx<'_>, &Call, Machine) -> Result<Reply> + Send + 'static,
{
    let inner = door.clone();
    door.db.read(move |tx| f(&inner, tx, &call, asker(tx, &call)?)).await
}

fn known_version(call: &Call) -> Result<()> {
    if VERSIONS.contains(&call.param("version")) { Ok(()) } else { Err(missing()) }
}

/// GET /MAAS/metadata/
pub async fn versions(door: Arc<Door>, call: Call) -> Result<Reply> {
    tell(door, call, |_, _, _, _| Ok(plain(VERSIONS.join("\n")))).await
}

/// GET /MAAS/metadata/VERSION/
pub async fn index(door: Arc<Door>, call: Call) -> Result<Reply> {
    known_version(&call)?;
    tell(door, call, |_, _, _, _| Ok(plain("meta-data\nuser-data"))).await
}

/// GET /MAAS/metadata/VERSION/meta-data/
pub async fn meta_index(door: Arc<Door>, call: Call) -> Result<Reply> {
    known_version(&call)?;
    tell(door, call, |_, _, _, _| Ok(plain("instance-id\nlocal-hostname\npublic-keys\nvendor-data"))).await
}

/// GET /MAAS/metadata/VERSION/meta-data/ITEM
pub async fn meta(door: Arc<Door>, call: Call) -> Result<Reply> {
    known_version(&call)?;
    tell(door, call, |door, tx, call, m| {
        Ok(plain(match call.param("item") {
            "instance-id" => m.system_id,
            "local-hostname" => format!("{}.{}", m.name, super::view::domain(&door.metal)),
            "public-keys" => {
                let mut keys = deploy_of(door, tx, &m)?.ssh_keys;
                keys.extend(key::of(tx, &m.user)?.into_iter().map(|k| k.key));
                keys.dedup();
                keys.join("\n")
            }
            "vendor-data" => "cloud-init: |\n  #cloud-config\n  {}\n".to_owned(),
            _ => return Err(missing()),
        }))
    })
    .await
}

/// What was asked for with the deployment.
fn deploy_of(door: &Door, tx: &Tx<'_>, m: &Machine) -> Result<Seed> {
    Ok(match errand::get(tx, &*door.metal.seal, m.id)? {
        Some(Errand::Deploy(d)) => d.seed,
        _ => Seed::default(),
    })
}

/// GET /MAAS/metadata/VERSION/user-data
pub async fn user_data(door: Arc<Door>, call: Call) -> Result<Reply> {
    known_version(&call)?;
    tell(door, call, |door, tx, _, m| {
        let seed = deploy_of(door, tx, &m)?;
        if seed.user_data.is_empty() {
            return Err(missing());
        }
        let bytes = seed.binary_user_data().unwrap_or_else(|| seed.user_data.into_bytes());
        Ok(Reply::text(200, "application/octet-stream", bytes))
    })
    .await
}

/// POST /MAAS/metadata/VERSION/ with op=signal: the system says how it gets on.
pub async fn signal(door: Arc<Door>, call: Call) -> Result<Reply> {
    known_version(&call)?;
    let status = call.fields.need("status")?;
    let error = call.fields.text("error")?.unwrap_or_default();
    let metal = door.metal.clone();
    let kept = move |tx: &Tx<'_>| {
        let m = asker(tx, &call)?;
        match status.as_str() {
            "OK" => metal.is_up(tx, m.id).map(drop),
            "FAILED" | "TIMEDOUT" => {
                say(tx, &m, Level::Warning, &format!("its system says {status}: {error}"))
            }
            _ => Ok(()),
        }
    };
    door.db.write(kept).await?;
    Ok(plain("OK"))
}

/// Longest text of a report that is kept, in characters.
const WORDS: usize = 500;

fn say(tx: &Tx<'_>, m: &Machine, level: Level, words: &str) -> Result<()> {
    let words: String = words.chars().take(WORDS).collect();
    event(tx, level, "machine.system", &m.id.to_string(), &words)
}

/// POST /MAAS/metadata/status/SYSTEM_ID: cloud-init's webhook reports. One, or a list of them.
pub async fn status(door: Arc<Door>, mut call: Call) -> Result<Reply> {
    let bytes = call.take_body_bytes();
    let body: Value = api::body::report(&bytes, "report in JSON")?;
    let reports = match body {
        Value::Array(all) => all,
        one => vec![one],
    };
    let metal = door.metal.clone();
    let kept = move |tx: &Tx<'_>| {
        let m = asker(tx, &call)?;
        if m.system_id != call.param("system_id") {
            return Err(Fault::forbidden("This key is another machine's."));
        }
        for report in reports.iter().take(100) {
            let text = |name: &str| report.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (what, name) = (text("event_type"), text("name"));
            // Only whole stages count: their parts are many.
            if what != "finish" || name.contains('/') {
                continue;
            }
            let failed = text("result").starts_with("FAIL");
            let level = if failed { Level::Warning } else { Level::Info };
            say(tx, &m, level, &format!("its system: {name}: {} {}", text("result"), text("description")))?;
            if name == "modules-final" && !failed {
                metal.is_up(tx, m.id)?;
            }
        }
        Ok(())
    };
    door.db.write(kept).await?;
    Ok(Reply::empty(204))
}

/// What MAAS answers to anybody, and we to nobody.
pub async fn nobody(_: Arc<Door>, _: Call) -> Result<Reply> {
    Err(Fault::new(
        Kind::Gone,
        "Machines are not told their secrets by their short id here. The live system gets them with a token that is \
         good once, for the MAC that asked its rack.",
    ))
}
