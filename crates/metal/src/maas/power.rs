//! Power as MAAS says it: parameters of each power type, what was read, switching; and machines as they are
//! entered with them.

use super::config;
use super::fields::{Fields, invalid};
use crate::Metal;
use crate::act::{NewMachine, Power};
use crate::model::Machine;
use base::Result;
use base::doc::live::EraseMode;
use base::doc::rack::Bmc;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::Tx;

/// How a machine's power is switched, with passwords: for administrators.
pub fn parameters(metal: &Metal, tx: &Tx<'_>, m: &Machine) -> Result<Value> {
    Ok(shown(metal.bmc(tx, m.id)?))
}

fn shown(bmc: Bmc) -> Value {
    match bmc {
        Bmc::Ipmi { address, port, user, password, cipher } => {
            let place = match port {
                0 | 623 => address,
                _ if address.contains(':') => format!("[{address}]:{port}"),
                _ => format!("{address}:{port}"),
            };
            let cipher = cipher.map(|c| c.to_string()).unwrap_or_default();
            json!({
                "power_driver": "LAN_2_0", "power_address": place, "power_user": user, "power_pass": password,
                "cipher_suite_id": cipher, "k_g": "", "privilege_level": "OPERATOR", "power_boot_type": "auto",
                "mac_address": "",
            })
        }
        Bmc::Redfish { url, user, password, system, .. } => json!({
            "power_address": url, "power_user": user, "power_pass": password, "node_id": system,
        }),
        Bmc::WakeOnLan { mac } => json!({"mac_address": mac}),
        Bmc::Webhook { on_url, off_url, query_url, on_pattern, off_pattern, .. } => json!({
            "power_on_uri": on_url, "power_off_uri": off_url, "power_query_uri": query_url,
            "power_on_regex": on_pattern, "power_off_regex": off_pattern, "power_user": "", "power_pass": "",
            "power_token": "", "power_verify_ssl": "y",
        }),
        Bmc::Manual => json!({}),
    }
}

/// How power is switched, from `power_type` and `power_parameters_NAME` (or `power_parameters`, JSON). What is not sent
/// stays as it is `kept`, as long as the type does. `None` where nothing is said of it.
///
/// # Errors
/// 400 for a type that is not known here.
pub fn bmc(fields: &Fields, kept: &Bmc) -> Result<Option<Bmc>> {
    let given = given(fields)?;
    let kind = match fields.text("power_type")? {
        Some(kind) => kind,
        None if given.is_empty() => return Ok(None),
        None => kept.kind().to_owned(),
    };
    let mut all = BTreeMap::new();
    if kind == kept.kind()
        && let Value::Object(shown) = shown(kept.clone())
    {
        all.extend(shown.into_iter().map(|(name, value)| (name, text(value))));
    }
    all.extend(given);
    let get = |name: &str| all.get(name).cloned().unwrap_or_default();
    let need = |name: &str| {
        let value = get(name);
        let field = format!("power_parameters_{name}");
        if value.is_empty() { Err(invalid(&field, "This field is required.")) } else { Ok(value) }
    };
    Ok(Some(match kind.as_str() {
        "manual" | "" => Bmc::Manual,
        "ipmi" => {
            let (address, port) = place(&need("power_address")?);
            let cipher = get("cipher_suite_id").parse().ok();
            Bmc::Ipmi { address, port, user: get("power_user"), password: get("power_pass"), cipher }
        }
        "redfish" => {
            let address = need("power_address")?;
            let url = if address.contains("://") { address } else { format!("https://{address}") };
            let (user, password) = (get("power_user"), get("power_pass"));
            // The certificate that was pinned is of the BMC at that place.
            let fingerprint = match kept {
                Bmc::Redfish { url: old, fingerprint, .. } if *old == url => fingerprint.clone(),
                _ => String::new(),
            };
            Bmc::Redfish { url, user, password, system: get("node_id"), fingerprint }
        }
        "wake_on_lan" => Bmc::WakeOnLan { mac: need("mac_address")? },
        "webhook" => {
            let mut headers = match kept {
                Bmc::Webhook { headers, .. } => headers.clone(),
                _ => BTreeMap::new(),
            };
            let token = get("power_token");
            if !token.is_empty() {
                headers.insert("Authorization".to_owned(), format!("Bearer {token}"));
            }
            let or = |name: &str, default: &str| {
                Some(get(name)).filter(|v| !v.is_empty()).unwrap_or_else(|| default.to_owned())
            };
            Bmc::Webhook {
                on_url: need("power_on_uri")?,
                off_url: need("power_off_uri")?,
                query_url: need("power_query_uri")?,
                headers,
                on_pattern: or("power_on_regex", r#"status.*:.*running"#),
                off_pattern: or("power_off_regex", r#"status.*:.*stopped"#),
            }
        }
        other => {
            return Err(invalid(
                "power_type",
                format!("'{other}' is not known here. Use ipmi, redfish, wake_on_lan, webhook or manual."),
            ));
        }
    }))
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn given(fields: &Fields) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    if let Some(json) = fields.text("power_parameters")? {
        let parsed: serde_json::Map<String, Value> = serde_json::from_str(&json)
            .map_err(|e| invalid("power_parameters", format!("This is no JSON object ({e}).")))?;
        for (name, value) in parsed {
            all.insert(name, text(value));
        }
    }
    for (name, _) in fields.iter() {
        if let Some(short) = name.strip_prefix("power_parameters_") {
            all.insert(short.to_owned(), fields.text(name)?.unwrap_or_default());
        }
    }
    Ok(all)
}

/// `10.0.0.9`, `10.0.0.9:6230`, `[::1]:6230`; the port is 0 where none is named.
fn place(text: &str) -> (String, u16) {
    if let Some((host, port)) = text.rsplit_once(':')
        && let Ok(port) = port.parse()
        && (!host.contains(':') || host.ends_with(']'))
    {
        return (host.trim_matches(['[', ']']).to_owned(), port);
    }
    (text.trim_matches(['[', ']']).to_owned(), 0)
}

/// A machine that is entered by hand.
pub fn new_machine(fields: &Fields) -> Result<NewMachine> {
    let macs = fields.words("mac_addresses")?;
    if macs.is_empty() {
        return Err(invalid("mac_addresses", "This field is required."));
    }
    let arch = fields.text("architecture")?.unwrap_or_default();
    let name = fields.text("hostname")?.unwrap_or_default();
    Ok(NewMachine {
        name: name.split('.').next().unwrap_or_default().to_owned(),
        macs,
        arch: arch.split('/').next().unwrap_or_default().to_owned(),
        description: fields.text("description")?.unwrap_or_default(),
        bmc: bmc(fields, &Bmc::Manual)?,
        zone: fields.text("zone")?,
        pool: fields.text("pool")?,
        ..NewMachine::default()
    })
}

/// What is asked for the disks of a released machine; `None` where nothing is.
pub fn erase(fields: &Fields) -> Result<Option<EraseMode>> {
    let is = |name: &str| Ok::<_, base::Fault>(fields.bool(name)?.unwrap_or(false));
    let asked = fields.bool("erase")?;
    Ok(match (asked, is("secure_erase")?, is("quick_erase")?) {
        (Some(false), ..) => Some(EraseMode::None),
        (None, false, false) => None,
        (_, _, true) => Some(EraseMode::Quick),
        _ => Some(EraseMode::Secure),
    })
}

/// Takes a machine back, its disks erased as asked, else as the settings say.
pub fn release(metal: &Metal, tx: &Tx<'_>, m: &Machine, asked: Option<EraseMode>) -> Result<Machine> {
    if let Some(erase) = asked {
        return metal.release(tx, m.id, erase);
    }
    let on = |name: &str| Ok::<_, base::Fault>(config::value(tx, name)?.is_some_and(|v| v == true));
    let erase = match on("enable_disk_erasing_on_release")? {
        false => EraseMode::None,
        true if on("disk_erase_with_secure_erase")? => EraseMode::Secure,
        true if on("disk_erase_with_quick_erase")? => EraseMode::Quick,
        // Neither: all of it is overwritten, as in MAAS.
        true => EraseMode::Secure,
    };
    metal.release_as_usual(tx, m.id, erase)
}

/// Off softly where asked, else by taking the current away as MAAS does.
pub fn off(fields: &Fields) -> Result<Power> {
    let soft = fields.text("stop_mode")?.is_some_and(|m| m == "soft");
    Ok(Power::Off { hard: !soft })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Query;

    #[test]
    fn power_as_clients_write_it() {
        let read = |text: &str| bmc(&Fields::of_query(&Query::parse(Some(text))), &Bmc::Manual);
        let ipmi =
            "power_type=ipmi&power_parameters_power_address=10.0.0.9:6230&power_parameters_power_user=u";
        let Some(Bmc::Ipmi { address, port, user, .. }) = read(ipmi).unwrap() else { panic!("no IPMI") };
        assert_eq!((address.as_str(), port, user.as_str()), ("10.0.0.9", 6230, "u"));
        let json =
            "power_type=redfish&power_parameters=%7B%22power_address%22%3A%22h%22%2C%22node_id%22%3A1%7D";
        let Some(Bmc::Redfish { url, system, .. }) = read(json).unwrap() else { panic!("no Redfish") };
        assert_eq!((url.as_str(), system.as_str()), ("https://h", "1"));
        assert_eq!(read("hostname=x").unwrap(), None);
        for bad in ["power_type=ipmi", "power_type=lxd", "power_type=ipmi&power_parameters=x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(place("[fe80::1]:623"), ("fe80::1".into(), 623));
        assert_eq!(place("fe80::1"), ("fe80::1".into(), 0));
    }

    #[test]
    fn disks_are_erased_as_asked() {
        let read = |text: &str| erase(&Fields::of_query(&Query::parse(Some(text)))).unwrap();
        assert_eq!(read(""), None);
        assert_eq!(read("erase=false&secure_erase=false"), Some(EraseMode::None));
        assert_eq!(read("erase=true"), Some(EraseMode::Secure));
        assert_eq!(read("erase=true&quick_erase=true"), Some(EraseMode::Quick));
        assert_eq!(read("secure_erase=True"), Some(EraseMode::Secure));
    }
}
