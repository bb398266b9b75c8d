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

        let put = json!({"server": {"name": "one"}});
        let put = w.member(version, "PUT", &path, Some(put)).await.expect(200)["server"].clone();
        let mut in_put = all.clone();
        if *version != "2.75" {
            in_put.retain(|f| !words(NOT_IN_PUT).any(|n| n == *f));
        }
        assert_eq!(names(&put), in_put, "{version} PUT");

        let flavor = names(&mine["flavor"]);
        let minor: u16 = version[2..].parse().unwrap();
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
