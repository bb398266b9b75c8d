//! What comes to a server and goes from it while it lives: NICs, images of its disk, its place on a host. And
//! what it may begin with: other firmware, limits, a network that nobody made before.

use crate::api::Api;
use crate::guest::Guest;
use crate::leaks;
use crate::up_cloud::BOOT;
use crate::up_life::reachable;
use crate::wait::{LONG, until, until_true};
use crate::world::World;
use serde_json::{Value, json};

#[test]
fn parts_of_a_server_come_and_go() {
    let w = World::up();
    let demo = w.api("demo");
    let (id, guest) = reachable(&w, "whole");
    a_nic_comes_and_goes(&w, &demo, &id, &guest);
    a_password_is_told_once(&demo, &id, &guest);

    guest.run("echo kept | sudo tee /root/kept && sync");
    let image = demo.action(&id, &json!({"createImage": {"name": "as-it-was"}}));
    image.expect(202);
    until(BOOT, "the image is there and nothing is under way", || {
        let images = demo.get("/image/v2/images?name=as-it-was").expect(200);
        let active = images["images"][0]["status"] == "active";
        (active && demo.server(&id)["OS-EXT-STS:task_state"].is_null()).then_some(())
    });
    assert_eq!(guest.run("sudo cat /root/kept"), "kept", "it ran on");
    from_the_image(&w, &demo, guest.address());
    away_and_back(&w, &demo, &id, &guest);
    bounded(&w, &demo, &guest);
    network_by_itself(&w);
    demo.delete_server(&id);
    until_true(LONG, "nothing runs", || leaks::qemus(&w.data()).is_empty());
    crate::dev_crash::assert_counters(|sql| w.rows(sql));
    w.finish();
}

/// A card that is plugged into the running guest gets its address there; unplugged, it is gone there.
fn a_nic_comes_and_goes(w: &World, demo: &Api, id: &str, guest: &Guest) {
    w.osc("network create second");
    w.osc("subnet create --network second --subnet-range 10.66.0.0/24 second4");
    let at = format!("/compute/v2.1/servers/{id}/os-interface");
    let ask = json!({"interfaceAttachment": {"net_id": demo.network("second"), "tag": "second"}});
    let version = [("openstack-api-version", "compute 2.70")];
    let made = demo.raw("POST", &at, &version, ask.to_string().as_bytes()).unwrap();
    let made = made.expect(200)["interfaceAttachment"].clone();
    assert_eq!(made["tag"], "second");
    let address = made["fixed_ips"][0]["ip_address"].as_str().unwrap();
    until(BOOT, "the guest has the new card's address", || {
        guest.run("ip -4 -o address").contains(&format!(" {address}/24")).then_some(())
    });
    let metadata = guest.run("wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json");
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["devices"][0]["tags"], json!(["second"]), "{metadata}");
    let port = made["port_id"].as_str().unwrap();
    demo.delete(&format!("{at}/{port}")).expect(202);
    until(BOOT, "the card is gone from the guest", || {
        (guest.run("ls /sys/class/net | grep -c eth") == "1").then_some(())
    });
    // And once more: its slot is free again.
    let ask = json!({"interfaceAttachment": {"net_id": demo.network("second")}});
    let made = demo.post(&at, &ask).expect(200)["interfaceAttachment"].clone();
    let address = made["fixed_ips"][0]["ip_address"].as_str().unwrap();
    until(BOOT, "the guest has the second card's address", || {
        guest.run("ip -4 -o address").contains(&format!(" {address}/24")).then_some(())
    });
}

fn a_password_is_told_once(demo: &Api, id: &str, guest: &Guest) {
    let at = format!("/compute/v2.1/servers/{id}/os-server-password");
    assert_eq!(demo.get(&at).expect(200)["password"], "");
    let url = "http://169.254.169.254/openstack/2013-04-04/password";
    let tell = format!("wget -q -O - --post-data c2VjcmV0 {url}");
    guest.run(&tell);
    assert_eq!(demo.get(&at).expect(200)["password"], "c2VjcmV0");
    until(LONG, "the guest reads it too", || {
        (guest.run(&format!("wget -q -O - {url}")) == "c2VjcmV0").then_some(())
    });
    assert!(!guest.says_yes(&tell), "told twice");
    demo.delete(&at).expect(204);
    assert_eq!(demo.get(&at).expect(200)["password"], "");
}

/// The image starts as a new server, with what was written before it was made, and by UEFI when it says so.
fn from_the_image(w: &World, demo: &Api, original: &str) {
    let flavor = json!({"flavor": {"name": "roomy", "vcpus": 1, "ram": 256, "disk": 1}});
    let flavor = w.api("hanok").post("/compute/v2.1/flavors", &flavor).expect(200)["flavor"]["id"].clone();
    w.osc_do("image set --property hw_firmware_type=uefi as-it-was");
    let mut body = demo.server_body("copy", &[&demo.network("private")]);
    body["server"]["key_name"] = "mine".into();
    body["server"]["flavorRef"] = flavor;
    body["server"]["imageRef"] = demo.image("as-it-was").into();
    let id = demo.create_server(&body);
    demo.wait_for(&id, "ACTIVE");
    let port = demo.ports_of(&id)[0]["id"].clone();
    let ask = json!({"floatingip": {"floating_network_id": demo.network("public"), "port_id": port}});
    let fip = demo.post("/network/v2.0/floatingips", &ask).expect(201);
    let address = fip["floatingip"]["floating_ip_address"].as_str().unwrap();
    let copy = Guest::at(address, "mini", &w.file("key"));
    copy.wait(BOOT);
    assert_eq!(copy.run("sudo cat /root/kept"), "kept");
    assert_eq!(copy.run("hostname"), "copy");
    let firmware = |guest: &Guest| guest.says_yes("test -d /sys/firmware/efi");
    assert!(firmware(&copy) && !firmware(&Guest::at(original, "mini", &w.file("key"))), "which firmware");
    demo.delete_server(&id);
}

/// Put aside it is nowhere; back, it has what it had, also its address.
fn away_and_back(w: &World, demo: &Api, id: &str, guest: &Guest) {
    demo.action(id, &json!({"shelve": null})).expect(202);
    demo.wait_for(id, "SHELVED_OFFLOADED");
    until_true(LONG, "nothing runs", || leaks::qemus(&w.data()).is_empty());
    assert_eq!(std::fs::read_dir(w.data().join("host/guests")).unwrap().count(), 0, "nothing on the host");
    demo.action(id, &json!({"unshelve": null})).expect(202);
    demo.wait_for(id, "ACTIVE");
    guest.wait(BOOT);
    assert_eq!(guest.run("sudo cat /root/kept"), "kept");
    let left = demo.get("/image/v2/images?name=whole-shelved").expect(200);
    assert_eq!(left["images"], json!([]), "its image has done its duty");
}

/// A flavor bounds what its servers write, and gives them further disks. What is bounded takes at least as
/// long as the bound says; that nothing else is slower is not for a busy machine to tell.
fn bounded(w: &World, demo: &Api, via: &Guest) {
    let admin = w.api("hanok");
    let flavor = json!({"flavor": {"name": "bounded", "vcpus": 1, "ram": 64, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": 1,
        "swap": 64}});
    let flavor = admin.post("/compute/v2.1/flavors", &flavor).expect(200)["flavor"]["id"].clone();
    let specs = json!({"extra_specs": {"quota:disk_write_bytes_sec": "1048576", "quota:cpu_quota": "50000"}});
    let flavor = flavor.as_str().unwrap();
    admin.post(&format!("/compute/v2.1/flavors/{flavor}/os-extra_specs"), &specs).expect(200);
    let mut body = demo.server_body("slow", &[&demo.network("private")]);
    body["server"]["key_name"] = "mine".into();
    body["server"]["flavorRef"] = flavor.into();
    let id = demo.create_server(&body);
    demo.wait_for(&id, "ACTIVE");
    let slow = via.beyond(&demo.address_of(&id));
    slow.wait(BOOT);
    let disks = slow.run("sudo blkid");
    let has = |words: &[&str]| disks.lines().any(|l| words.iter().all(|word| l.contains(word)));
    assert!(
        has(&["/dev/vdb", "LABEL=\"ephemeral0\"", "ext4"]) && has(&["/dev/vdc", "TYPE=\"swap\""]),
        "{disks}"
    );
    let before = std::time::Instant::now();
    slow.run("sudo sh -c 'dd if=/dev/zero of=/root/six bs=1M count=6 && sync'");
    assert!(before.elapsed().as_secs() >= 4, "6 MiB at 1 MiB/s in {:?}", before.elapsed());
    demo.delete_server(&id);
}

/// In a project without any network, a server that asks for one gets one with a way out.
fn network_by_itself(w: &World) {
    let admin = w.api("hanok");
    w.osc_admin("project create newcomers");
    w.osc_do_as("hanok", "role add --project newcomers --user admin admin");
    let password = std::fs::read_to_string(w.data().join("admin-password")).unwrap();
    let fresh = Api::login(admin.to, "admin", password.trim(), "newcomers");
    let pair = json!({"keypair": {"name": "new", "public_key": std::fs::read_to_string(w.file("key.pub")).unwrap()}});
    fresh.post("/compute/v2.1/os-keypairs", &pair).expect(200);
    let groups =
        fresh.get(&format!("/network/v2.0/security-groups?project_id={}", fresh.project)).expect(200);
    let rule = json!({"security_group_rule": {"direction": "ingress", "protocol": "tcp",
        "security_group_id": groups["security_groups"][0]["id"]}});
    fresh.post("/network/v2.0/security-group-rules", &rule).expect(201);
    let mut body = fresh.server_body("first", &[]);
    body["server"]["networks"] = "auto".into();
    body["server"]["key_name"] = "new".into();
    let version = [("Content-Type", "application/json"), ("OpenStack-API-Version", "compute 2.37")];
    let made = fresh.raw("POST", "/compute/v2.1/servers", &version, body.to_string().as_bytes()).unwrap();
    let id = made.expect(202)["server"]["id"].as_str().unwrap().to_owned();
    fresh.wait_for(&id, "ACTIVE");
    let port = fresh.ports_of(&id)[0]["id"].clone();
    let ask = json!({"floatingip": {"floating_network_id": fresh.network("public"), "port_id": port}});
    let fip = fresh.post("/network/v2.0/floatingips", &ask).expect(201);
    let guest = Guest::at(fip["floatingip"]["floating_ip_address"].as_str().unwrap(), "mini", &w.file("key"));
    guest.wait(BOOT);
    until_true(LONG, "the way out", || guest.pings(&w.public.to_string()));
    fresh.delete_server(&id);
    let fip = fip["floatingip"]["id"].as_str().unwrap();
    fresh.delete(&format!("/network/v2.0/floatingips/{fip}")).expect(204);
    let topology = format!("/network/v2.0/auto-allocated-topology/{}", fresh.project);
    fresh.delete(&topology).expect(204);
    w.osc_do_as("hanok", "keypair delete new");
    w.osc_do_as("hanok", "project delete newcomers");
}
