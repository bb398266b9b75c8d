//! Bodies in which something is something else: refused in the API's words, or taken, and never our fault.

use super::world::{World, active, worlds};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use testing::{Ask, spoiled};

/// What each action of a server takes.
fn actions(w: &World) -> Vec<Value> {
    vec![
        json!({"reboot": {"type": "SOFT"}}),
        json!({"lock": {"locked_reason": "r"}}),
        json!({"rescue": {"adminPass": "p", "rescue_image_ref": w.image}}),
        json!({"rebuild": {"imageRef": w.image, "name": "n", "metadata": {"k": "v"}, "key_name": null,
            "user_data": "aGk=", "description": "d", "adminPass": "p", "accessIPv4": "10.0.0.1"}}),
        json!({"resize": {"flavorRef": "2", "OS-DCF:diskConfig": "AUTO"}}),
        json!({"changePassword": {"adminPass": "p"}}),
        json!({"createImage": {"name": "i", "metadata": {"k": "v"}}}),
        json!({"createBackup": {"name": "b", "backup_type": "daily", "rotation": 1}}),
        json!({"os-migrateLive": {"host": null, "block_migration": "auto"}}),
        json!({"evacuate": {"host": "h1", "adminPass": "p"}}),
        json!({"addSecurityGroup": {"name": "default"}}),
        json!({"os-resetState": {"state": "active"}}),
        json!({"unshelve": {"availability_zone": "nova", "host": "h1"}}),
    ]
}

async fn right(w: &World) -> Vec<Ask> {
    let (_, id) = active(w).await;
    let nic = json!({"uuid": "4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1", "fixed_ip": "10.0.0.9", "tag": "t"});
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x";
    let mut wish = json!({"metadata": {"k": "v"}, "tags": ["red"], "description": "d", "user_data": "aGk=",
        "min_count": 1, "max_count": 1, "config_drive": true, "availability_zone": "nova", "hostname": "h",
        "OS-DCF:diskConfig": "AUTO", "accessIPv4": "10.0.0.1", "accessIPv6": "::1", "adminPass": "p",
        "key_name": null, "return_reservation_id": false, "security_groups": [{"name": "default"}],
        "block_device_mapping_v2": [{"uuid": w.image, "source_type": "image", "destination_type": "local",
            "boot_index": 0, "delete_on_termination": true}]});
    wish.as_object_mut().unwrap().extend(w.wish("x").as_object().unwrap().clone());
    let mut wired = w.wish("x");
    wired["networks"] = json!([nic]);
    let flavor = json!({"name": "f", "ram": 64, "vcpus": 1, "disk": 1, "id": "f", "swap": 0, "rxtx_factor": 1.0,
        "OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": true, "description": "d"});
    let group = json!({"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 2}});
    let one = format!("/servers/{id}");
    let asks: [(_, &str, _); 12] = [
        ("POST", "/servers", json!({"server": wish, "os:scheduler_hints": {"different_host": []}})),
        ("POST", "/servers", json!({"server": wired})),
        ("PUT", &one, json!({"server": {"name": "n", "description": "d", "accessIPv4": "10.0.0.1"}})),
        ("POST", &format!("{one}/metadata"), json!({"metadata": {"k": "v"}})),
        ("PUT", &format!("{one}/tags"), json!({"tags": ["red"]})),
        ("POST", &format!("{one}/os-interface"), json!({"interfaceAttachment": nic})),
        ("POST", "/flavors", json!({"flavor": flavor})),
        ("POST", "/flavors/1/os-extra_specs", json!({"extra_specs": {"hw:cpu_cores": "1"}})),
        ("POST", "/os-keypairs", json!({"keypair": {"name": "k", "type": "ssh", "public_key": key}})),
        ("POST", "/os-server-groups", json!({"server_group": group})),
        ("POST", "/os-aggregates", json!({"aggregate": {"name": "a", "availability_zone": "b"}})),
        ("PUT", "/os-quota-sets/b", json!({"quota_set": {"cores": 9, "ram": -1, "force": true}})),
    ];
    let mut asks: Vec<Ask> = asks.map(|(method, path, body)| (method, path.to_owned(), body)).into();
    asks.extend(actions(w).into_iter().map(|body| ("POST", format!("{one}/action"), body)));
    asks
}

#[test]
fn no_body_is_our_fault() {
    let run = tokio::runtime::Runtime::new().unwrap();
    for w in run.block_on(worlds()) {
        let right = run.block_on(right(&w));
        let few = testing::few();
        proptest!(few, |((method, path, body) in spoiled(right), version in select(vec!["2.1", "2.96"]))| {
            let answer = run.block_on(w.admin(version, method, &path, Some(body)));
            prop_assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.text);
        });
    }
}
