//! What the release before wrote, kept as it was in `tests/samples`: a host's document, its report, and the record of a
//! guest on its disk. This release reads all of it and writes nothing of it otherwise; and a release reads what the
//! next one adds, by not minding it. A release that adds fields puts new samples beside these.

use crate::guest::Record;
use base::doc::{Desired, Observed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What of `old` is not in `new` as it was.
fn lost(old: &Value, new: &Value, at: &str) -> Vec<String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let null = Value::Null;
            old.iter().flat_map(|(k, v)| lost(v, new.get(k).unwrap_or(&null), &format!("{at}.{k}"))).collect()
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).flat_map(|(o, n)| lost(o, n, &format!("{at}[]"))).collect()
        }
        // What is empty may be left out.
        (Value::Array(old), Value::Null) if old.is_empty() => vec![],
        (Value::String(old), Value::Null) if old.is_empty() => vec![],
        _ if old == new => vec![],
        _ => vec![format!("{at}: {old} became {new}")],
    }
}

fn add_everywhere(value: &mut Value) {
    match value {
        // Where keys are data and not fields, all values are of one kind.
        Value::Object(map) if map.contains_key("id") || map.contains_key("version") => {
            map.values_mut().for_each(add_everywhere);
            map.insert("of_the_next_release".into(), json!({"more": [1, "two"]}));
        }
        Value::Object(map) => map.values_mut().for_each(add_everywhere),
        Value::Array(all) => all.iter_mut().for_each(add_everywhere),
        _ => {}
    }
}

fn understood<T: Serialize + DeserializeOwned>(name: &str, text: &str) -> T {
    let old: Value = serde_json::from_str(text).unwrap();
    let read: T = serde_json::from_value(old.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let lost = lost(&old, &serde_json::to_value(&read).unwrap(), name);
    assert_eq!(lost, Vec::<String>::new(), "the release before would not find what it wrote");
    let mut next = old;
    add_everywhere(&mut next);
    assert!(serde_json::from_value::<T>(next).is_ok(), "{name}: what the next release adds is in the way");
    read
}

#[test]
fn what_the_release_before_wrote_is_understood() {
    let desired: Desired = understood("desired", include_str!("../tests/samples/desired-1.json"));
    assert!(
        desired.guests[0].departure.as_ref().is_some_and(|d| d.live) && desired.guests[1].arrival.is_some()
    );
    assert!(
        !desired.networks.is_empty() && !desired.routers.is_empty() && !desired.groups[0].rules.is_empty()
    );
    let observed: Observed = understood("observed", include_str!("../tests/samples/observed-1.json"));
    assert_eq!((observed.guests.len(), observed.applied), (2, desired.generation));
    let record: Record = understood("record", include_str!("../tests/samples/config-1.json"));
    assert!(record.disk_made && record.boots == Some(1));
}
