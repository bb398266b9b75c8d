//! `maas/?op=get_config` and `set_config`: the settings that clients ask for. Those that mean something here
//! are kept; a name that MAAS does not have either is refused.

use super::fields::invalid;
use super::{Call, Door, plain};
use api::Reply;
use base::Result;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log::audit, params};

/// Settings and what they are until somebody says otherwise.
fn default_of(name: &str) -> Option<Value> {
    Some(match name {
        "maas_name" => json!("hanok"),
        "default_osystem" | "commissioning_osystem" => json!("custom"),
        "default_distro_series" | "commissioning_distro_series" => json!(""),
        "default_min_hwe_kernel" | "kernel_opts" | "main_archive" | "ports_archive" | "upstream_dns" => {
            json!("")
        }
        "http_proxy" | "ntp_servers" | "remote_syslog" | "dns_trusted_acl" | "windows_kms_host" => json!(""),
        "default_storage_layout" => json!("flat"),
        "default_dns_ttl" => json!(30),
        "dnssec_validation" => json!("auto"),
        "node_timeout" => json!(30),
        "network_discovery" => json!("disabled"),
        "active_discovery_interval" => json!(0),
        "max_node_testing_results" | "max_node_commissioning_results" | "max_node_installation_results" => {
            json!(10)
        }
        "enable_http_proxy"
        | "use_peer_proxy"
        | "prefer_v4_proxy"
        | "enable_analytics"
        | "enable_third_party_drivers" => {
            json!(false)
        }
        "boot_images_auto_import" | "ntp_external_only" | "prometheus_enabled" | "hardware_sync_enabled" => {
            json!(false)
        }
        "enable_disk_erasing_on_release" | "disk_erase_with_quick_erase" => json!(true),
        "disk_erase_with_secure_erase" => json!(false),
        super::metadata::SOURCE => json!("config_drive"),
        "completed_intro" => json!(true),
        "maas_internal_domain" => json!("maas-internal"),
        _ => return None,
    })
}

pub fn value(tx: &Tx<'_>, name: &str) -> Result<Option<Value>> {
    let kept: Option<String> =
        tx.opt("SELECT value FROM maas_config WHERE name = $1", params![name], |r| r.get(0))?;
    match kept {
        Some(text) => Ok(Some(serde_json::from_str(&text)?)),
        None => Ok(default_of(name)),
    }
}

fn unknown(name: &str) -> base::Fault {
    invalid(name, format!("{name} is not a valid config setting."))
}

/// GET maas/?op=get_config (`name`): the bare value as JSON.
pub async fn get(door: Arc<Door>, call: Call) -> Result<Reply> {
    let name = call.fields.need("name")?;
    let found = door.db.read(move |tx| value(tx, &name)?.ok_or_else(|| unknown(&name))).await?;
    Ok(Reply::json(200, &found))
}

/// POST maas/?op=set_config (`name`, `value`).
pub async fn set(door: Arc<Door>, call: Call) -> Result<Reply> {
    let name = call.fields.need("name")?;
    let text = call.fields.raw_text("value")?.ok_or_else(|| invalid("value", "This field is required."))?;
    let new = match default_of(&name).ok_or_else(|| unknown(&name))? {
        Value::Bool(_) => json!(call.fields.bool("value")?.unwrap_or(false)),
        Value::Number(_) => json!(call.fields.int("value")?.unwrap_or(0)),
        _ => json!(text),
    };
    if name == super::metadata::SOURCE && new != "maas" && new != "config_drive" {
        return Err(invalid("value", "Use maas or config_drive."));
    }
    let who = call.who();
    door.db
        .write(move |tx| {
            tx.exec(
                "INSERT INTO maas_config (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
                params![&name, new.to_string()],
            )?;
            audit(tx, &who, "maas.config.set", &name)
        })
        .await?;
    Ok(plain("OK"))
}
