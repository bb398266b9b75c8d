//! Which fields a server has at which microversion, exactly.

use super::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What each step adds; an admin sees those after the bar too.
const STEPS: &[(&str, &str)] = &[
    (
        "2.1",
        "id name status tenant_id user_id metadata hostId image flavor created updated addresses accessIPv4 accessIPv6
         links OS-DCF:diskConfig progress key_name config_drive security_groups OS-SRV-USG:launched_at
         OS-SRV-USG:terminated_at OS-EXT-AZ:availability_zone OS-EXT-STS:task_state OS-EXT-STS:vm_state
         OS-EXT-STS:power_state os-extended-volumes:volumes_attached
         | OS-EXT-SRV-ATTR:host OS-EXT-SRV-ATTR:hypervisor_hostname OS-EXT-SRV-ATTR:instance_name",
    ),
    (
        "2.3",
        "| OS-EXT-SRV-ATTR:hostname OS-EXT-SRV-ATTR:kernel_id OS-EXT-SRV-ATTR:ramdisk_id OS-EXT-SRV-ATTR:launch_index
         OS-EXT-SRV-ATTR:reservation_id OS-EXT-SRV-ATTR:root_device_name OS-EXT-SRV-ATTR:user_data",
    ),
    ("2.9", "locked |"),
    ("2.16", "| host_status"),
    ("2.19", "description |"),
    ("2.26", "tags |"),
    ("2.47", "|"),
    ("2.63", "trusted_image_certificates |"),
    ("2.71", "server_groups |"),
    ("2.73", "locked_reason |"),
    ("2.75", "|"),
    ("2.90", "OS-EXT-SRV-ATTR:hostname |"),
    ("2.96", "pinned_availability_zone |"),
];

/// Not in the answer to PUT before 2.75.
const NOT_IN_PUT: &str =
    "key_name config_drive security_groups OS-SRV-USG:launched_at OS-SRV-USG:terminated_at
    OS-EXT-AZ:availability_zone OS-EXT-STS:task_state OS-EXT-STS:vm_state OS-EXT-STS:power_state
    os-extended-volumes:volumes_attached";

fn names(v: &Value) -> BTreeSet<String> {
    v.as_object().unwrap().keys().cloned().collect()
}
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split_whitespace().map(str::to_owned)
}

#[tokio::test]
async fn exactly_these_fields() {
    let w = World::new().await;
    let mut host = w.host("h1").await;
    host.turn(&w).await;
    let id = w.create("one").await;
    w.until(&mut host, id, "ACTIVE").await;
    let path = format!("/servers/{id}");
    let (mut all, mut admins) = (BTreeSet::new(), BTreeSet::new());
    for (version, added) in STEPS {
        let (everybody, admin) = added.split_once('|').unwrap();
        all.extend(words(everybody));
        admins.extend(words(admin));
        let mine = w.member(version, "GET", &path, None).await.expect(200)["server"].clone();
        assert_eq!(names(&mine), all, "{version} member");
        let theirs = w.admin(version, "GET", &path, None).await.expect(200)["server"].clone();
        assert_eq!(names(&theirs), all.union(&admins).cloned().collect(), "{version} admin");

        let mut in_list = all.clone();
        in_list.remove("server_groups");
        let list = w.member(version, "GET", "/servers/detail", None).await.expect(200);
        assert_eq!(names(&list["servers"][0]), in_list, "{version} list");

        let minor: u16 = version[2..].parse().unwrap();
        let put = json!({"server": {"name": "one"}});
        let put = w.member(version, "PUT", &path, Some(put)).await.expect(200)["server"].clone();
        let mut in_put = all.clone();
        if minor < 75 {
            in_put.retain(|f| !words(NOT_IN_PUT).any(|n| n == *f));
        }
        assert_eq!(names(&put), in_put, "{version} PUT");

        let flavor = names(&mine["flavor"]);
        let kept = "vcpus ram disk ephemeral swap original_name extra_specs";
        assert_eq!(flavor, words(if minor < 47 { "id links" } else { kept }).collect(), "{version} flavor");
    }
}

#[tokio::test]
async fn the_answer_to_create() {
    let w = World::new().await;
    let body = json!({"server": {
        "name": "one", "flavorRef": w.flavor, "imageRef": w.image, "min_count": 1, "max_count": 1,
        "block_device_mapping_v2": [{"uuid": w.image, "source_type": "image", "destination_type": "local",
            "boot_index": 0, "delete_on_termination": true}],
    }});
    let answer = w.member("2.1", "POST", "/servers", Some(body)).await;
    let place = answer.headers["location"].to_str().unwrap().to_owned();
    let server = answer.expect(202)["server"].clone();
    assert_eq!(names(&server), words("id links OS-DCF:diskConfig security_groups adminPass").collect());
    assert_eq!(place, format!("http://hanok.test/compute/v2.1/servers/{}", server["id"].as_str().unwrap()));
    assert_eq!(server["security_groups"], json!([{"name": "default"}]));
}

type Steps = &'static [(&'static str, &'static str)];
/// What each step adds to and (after a minus) takes from a resource, by its address.
const OTHERS: &[(&str, &str, Steps)] = &[
    (
        "flavor",
        "/flavors/1",
        &[
            ("2.1", "id name ram disk vcpus swap OS-FLV-EXT-DATA:ephemeral OS-FLV-DISABLED:disabled
                     os-flavor-access:is_public rxtx_factor links"),
            ("2.55", "description"),
            ("2.61", "extra_specs"),
            ("2.75", ""),
            ("2.96", ""),
        ],
    ),
    (
        "hypervisors",
        "/os-hypervisors/detail",
        &[
            ("2.1", "id hypervisor_hostname state status hypervisor_type hypervisor_version host_ip service cpu_info
                     vcpus vcpus_used memory_mb memory_mb_used free_ram_mb local_gb local_gb_used free_disk_gb
                     running_vms current_workload disk_available_least"),
            ("2.53", ""),
            ("2.87", ""),
            ("2.88", "uptime -cpu_info -vcpus -vcpus_used -memory_mb -memory_mb_used -free_ram_mb -local_gb
                      -local_gb_used -free_disk_gb -running_vms -current_workload -disk_available_least"),
            ("2.96", ""),
        ],
    ),
    (
        "services",
        "/os-services?host=h1",
        &[
            ("2.1", "id binary host zone status state updated_at disabled_reason"),
            ("2.11", "forced_down"),
            ("2.96", ""),
        ],
    ),
    ("keypair", "/os-keypairs/k", &[
        ("2.1", "name public_key fingerprint user_id created_at updated_at deleted_at deleted id"),
        ("2.2", "type"),
        ("2.96", ""),
    ]),
    ("server_groups", "/os-server-groups", &[
        ("2.1", "id name policies members metadata"),
        ("2.13", "project_id user_id"),
        ("2.64", "policy rules -policies -metadata"),
        ("2.96", ""),
    ]),
    ("aggregates", "/os-aggregates", &[
        ("2.1", "id name availability_zone created_at updated_at deleted deleted_at hosts metadata"),
        ("2.41", "uuid"),
        ("2.96", ""),
    ]),
    ("quota_set", "/os-quota-sets/a", &[
        ("2.1", "id instances cores ram key_pairs metadata_items server_groups server_group_members floating_ips fixed_ips
                 security_groups security_group_rules injected_files injected_file_content_bytes
                 injected_file_path_bytes"),
        ("2.36", "-floating_ips -fixed_ips -security_groups -security_group_rules"),
        ("2.57", "-injected_files -injected_file_content_bytes -injected_file_path_bytes"),
        ("2.96", ""),
    ]),
    ("quota_class_set", "/os-quota-class-sets/default", &[
        ("2.1", "id instances cores ram key_pairs metadata_items floating_ips fixed_ips security_groups
                 security_group_rules injected_files injected_file_content_bytes injected_file_path_bytes"),
        ("2.50", "server_groups server_group_members -floating_ips -fixed_ips -security_groups -security_group_rules"),
        ("2.57", "-injected_files -injected_file_content_bytes -injected_file_path_bytes"),
        ("2.96", ""),
    ]),
];

#[tokio::test]
async fn every_step_changes_exactly_these_fields() {
    let w = World::new().await;
    let mut host = w.host("h1").await;
    host.turn(&w).await;
    w.admin("2.1", "POST", "/os-keypairs", Some(json!({"keypair": {"name": "k"}}))).await.expect(200);
    let group = json!({"server_group": {"name": "g", "policies": ["affinity"]}});
    w.admin("2.1", "POST", "/os-server-groups", Some(group)).await.expect(200);
    w.admin("2.1", "POST", "/os-aggregates", Some(json!({"aggregate": {"name": "g"}}))).await.expect(200);
    for (noun, path, steps) in OTHERS {
        let mut all = BTreeSet::new();
        for (version, change) in *steps {
            for word in words(change) {
                match word.strip_prefix('-') {
                    Some(gone) => assert!(all.remove(gone), "{word}"),
                    None => assert!(all.insert(word)),
                }
            }
            let answer = w.admin(version, "GET", path, None).await.expect(200)[noun].clone();
            let shown = if answer.is_array() { answer[0].clone() } else { answer };
            assert_eq!(names(&shown), all, "{version} {noun}");
        }
    }
}

#[tokio::test]
async fn steps_that_change_behaviour() {
    let w = World::new().await;
    let mut host = w.host("h1").await;
    host.turn(&w).await;
    let id = w.create("one").await;
    w.until(&mut host, id, "ACTIVE").await;
    let project = "0123456789abcdef0123456789abcdef";
    let token = format!("member:{project}");
    let below = |path: &str| format!("/compute/v2.1/{project}{path}");
    w.send(&token, "2.1", "GET", &below("/servers"), None).await.expect(200);
    w.send(&token, "2.1", "GET", &below("/servers/detail?limit=1"), None).await.expect(200);
    let wrong = w.send("member:a", "2.1", "GET", &below("/servers"), None).await.refused(400);
    assert!(wrong.starts_with("Malformed request URL"), "{wrong}");
    w.send(&token, "2.1", "GET", &below("/nothing"), None).await.expect(404);
    w.send(&token, "2.1", "GET", &below(&format!("/{project}/servers")), None).await.expect(404);
    w.send("", "2.1", "GET", &below("/servers"), None).await.expect(401);

    let path = format!("/servers/{id}");
    let hostname = |v: &'static str, name: &'static str| {
        let (w, path) = (&w, path.clone());
        async move { w.member(v, "PUT", &path, Some(json!({"server": {"hostname": name}}))).await }
    };
    hostname("2.89", "web").await.expect(400);
    let put = hostname("2.90", "web").await.expect(200);
    assert_eq!(put["server"]["OS-EXT-SRV-ATTR:hostname"], "web");
    hostname("2.90", "web.example").await.expect(400);
    hostname("2.94", "web.example").await.expect(200);
    hostname("2.94", "-web").await.expect(400);

    for (version, method, path, status) in [
        ("2.42", "GET", "/os-hosts", 200),
        ("2.43", "GET", "/os-hosts", 404),
        ("2.42", "GET", "/os-hosts/h1", 200),
        ("2.42", "GET", "/os-hosts/nope", 404),
        ("2.42", "GET", "/os-hosts/h1/reboot", 501),
        ("2.52", "GET", "/os-hypervisors/h/search", 200),
        ("2.52", "GET", "/os-hypervisors/x/search", 404),
        ("2.52", "GET", "/os-hypervisors/h/servers", 200),
        ("2.53", "GET", "/os-hypervisors/h/search", 404),
        ("2.87", "GET", "/os-hypervisors/statistics", 200),
        ("2.88", "GET", "/os-hypervisors/statistics", 404),
        ("2.33", "GET", "/os-hypervisors?limit=1", 200),
        ("2.33", "GET", "/os-hypervisors?marker=nope", 400),
        ("2.74", "GET", "/os-hypervisors?nonsense=1", 200),
        ("2.75", "GET", "/os-hypervisors?nonsense=1", 400),
        ("2.75", "GET", "/flavors?nonsense=1", 400),
        ("2.75", "GET", "/os-keypairs?nonsense=1", 400),
        ("2.75", "GET", "/os-services?nonsense=1", 400),
        ("2.75", "GET", "/os-server-groups?nonsense=1", 400),
        ("2.75", "GET", "/os-simple-tenant-usage?nonsense=1", 400),
        ("2.1", "GET", "/os-instance_usage_audit_log", 200),
        ("2.1", "GET", "/os-instance_usage_audit_log/2026-01-01%2000%3A00%3A00", 200),
        ("2.1", "GET", "/os-instance_usage_audit_log/nonsense", 400),
        ("2.1", "GET", "/os-agents", 410),
        ("2.1", "GET", "/os-cells", 410),
    ] {
        let answer = w.admin(version, method, path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{version} {path}: {}", answer.text);
    }
    let with = w.admin("2.75", "GET", "/os-hypervisors?with_servers=1", None).await.expect(200);
    assert_eq!(with["hypervisors"][0]["servers"], json!([{"uuid": id, "name": "one"}]));

    let key = |v: &'static str, body: Value| {
        let w = &w;
        async move { w.member(v, "POST", "/os-keypairs", Some(json!({"keypair": body}))).await }
    };
    key("2.91", json!({"name": "old"})).await.expect(201);
    assert!(key("2.92", json!({"name": "new"})).await.refused(400).contains("public_key"));
    key("2.91", json!({"name": "me@home"})).await.expect(400);
    let windows = key("2.2", json!({"name": "windows", "type": "x509"})).await.expect(201)["keypair"].clone();
    assert_eq!(windows["type"], "x509");
    assert!(windows["private_key"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    let certificate = windows["public_key"].clone();
    key("2.92", json!({"name": "me@home", "type": "x509", "public_key": certificate})).await.expect(201);
    key("2.92", json!({"name": "x", "type": "ssh", "public_key": certificate})).await.expect(400);
    key("2.92", json!({"name": "x", "type": "gpg", "public_key": certificate})).await.expect(400);

    let specs = |v: &'static str, name: &'static str, value: &'static str| {
        let w = &w;
        async move {
            let body = json!({"extra_specs": {name: value}});
            w.admin(v, "POST", "/flavors/1/os-extra_specs", Some(body)).await
        }
    };
    specs("2.85", "hw:cpu_polic", "shared").await.expect(200);
    specs("2.86", "hw:cpu_polic", "shared").await.expect(400);
    specs("2.86", "hw:cpu_policy", "sometimes").await.expect(400);
    specs("2.86", "hw:cpu_policy", "shared").await.expect(200);
    specs("2.86", "hw:numa_cpus.0", "0,1").await.expect(200);
    specs("2.86", "trait:CUSTOM_X", "perhaps").await.expect(400);
    specs("2.86", "foo:bar", "baz").await.expect(200);
}

#[tokio::test]
async fn events_of_other_services() {
    let w = World::new().await;
    let mut host = w.host("h1").await;
    host.turn(&w).await;
    let id = w.create("one").await;
    w.until(&mut host, id, "ACTIVE").await;
    let unplaced = w.create("two").await;
    let send = |token: &'static str, list: Value| {
        let w = &w;
        let path = "/compute/v2.1/os-server-external-events";
        async move { w.send(token, "2.1", "POST", path, Some(json!({"events": list}))).await }
    };
    let e = |id: base::ServerId| json!({"name": "network-changed", "server_uuid": id});
    let one = send("admin:a", json!([e(id)])).await.expect(200);
    assert_eq!(
        one["events"][0],
        json!({"name": "network-changed", "server_uuid": id, "status": "completed", "code": 200})
    );
    let both = send("admin:a", json!([e(id), e(unplaced)])).await.expect(207);
    assert_eq!((&both["events"][1]["code"], &both["events"][1]["status"]), (&json!(422), &json!("failed")));
    let none = send("admin:a", json!([e(base::ServerId::new())])).await.expect(207);
    assert_eq!(none["events"][0]["code"], 404);
    send("admin:a", json!([])).await.expect(400);
    send("admin:a", json!([{"name": "volume-extended", "server_uuid": id}])).await.expect(400);
    send("member:a", json!([e(id)])).await.expect(403);
}
