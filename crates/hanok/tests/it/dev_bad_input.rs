//! What no honest client sends, and what honest clients get wrong: each gets the documented error, and
//! nothing is lost or left behind.

use crate::api::Api;
use crate::http;
use crate::world::World;
use serde_json::{Value, json};
use std::io::Write;

const NOWHERE: &str = "11111111-2222-4333-8444-555555555555";

#[test]
fn bad_requests() {
    let w = World::dev(2);
    let demo = w.api("demo");
    malformed(&demo);
    servers(&demo);
    networks(&demo);
    keypairs(&demo);
    unknown_ids(&demo);
    paging(&demo);
    w.finish();
}

/// What each service calls a refusal, so that its clients understand it.
fn refusal(path: &str, answer: &http::Answer) -> bool {
    let json = || serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    match path.split('/').nth(1).unwrap_or_default() {
        "identity" => json()["error"]["message"].is_string(),
        "compute" => json().as_object().is_some_and(|o| o.values().all(|v| v["message"].is_string())),
        "network" => {
            json()["NeutronError"]["type"].is_string() && json()["NeutronError"]["message"].is_string()
        }
        _ => answer.header("content-type").is_some_and(|t| t.starts_with("text/html") || t.contains("json")),
    }
}

#[track_caller]
fn refused(api: &Api, method: &str, path: &str, body: &Value, status: u16) {
    let answer = api.send(method, path, body);
    assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
    assert!(refusal(path, &answer), "{method} {path} {body}: not this service's error: {}", answer.text());
    assert!(answer.header("x-openstack-request-id").is_some(), "{method} {path}: no request id");
}

fn malformed(demo: &Api) {
    let collections = [
        "/identity/v3/auth/tokens",
        "/compute/v2.1/servers",
        "/compute/v2.1/os-keypairs",
        "/image/v2/images",
        "/network/v2.0/networks",
        "/network/v2.0/ports",
        "/network/v2.0/security-groups",
    ];
    let deep = "[".repeat(60_000);
    let bodies: &[&[u8]] = &[
        b"{",
        b"",
        b"[]",
        b"\"text\"",
        b"null",
        b"{\"server\": 1}",
        b"\xff\xfe\x00",
        b"{}",
        deep.as_bytes(),
    ];
    for path in collections {
        for body in bodies {
            let answer = demo.raw("POST", path, &[("Content-Type", "application/json")], body).unwrap();
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            // An image may be made of nothing at all.
            let fine = path.ends_with("images") && *body == b"{}" && answer.status == 201;
            assert!(answer.status == 400 || fine, "POST {path} {shown}: {} {}", answer.status, answer.text());
            assert!(fine || refusal(path, &answer), "POST {path} {shown}: {}", answer.text());
        }
    }
    // A body of more than a mebibyte is not read to its end.
    let big = format!("{{\"server\": {{\"name\": \"{}\"}}}}", "x".repeat(3 << 20));
    let answer =
        demo.raw("POST", "/compute/v2.1/servers", &[("Content-Type", "application/json")], big.as_bytes());
    if let Ok(answer) = answer {
        assert!([400, 413].contains(&answer.status), "{}", answer.status);
    }
    refused(demo, "GET", "/compute/v2.1/no-such-thing", &Value::Null, 404);
    let answer = demo.send("PATCH", "/compute/v2.1/servers", &json!({}));
    assert_eq!(answer.status, 405, "{}", answer.text());
}

fn servers(demo: &Api) {
    let path = "/compute/v2.1/servers";
    let private = demo.network("private");
    let good = demo.server_body("x", &[&private]);
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body["server"][field] = value;
        body
    };
    for (field, value) in [
        ("name", json!("n".repeat(256))),
        ("name", json!("")),
        ("name", json!(7)),
        ("name", json!("   ")),
        ("flavorRef", json!("no-such-flavor")),
        ("flavorRef", Value::Null),
        ("imageRef", json!(NOWHERE)),
        ("imageRef", json!("not-an-id")),
        ("networks", json!([{"uuid": NOWHERE}])),
        ("networks", json!([{"uuid": "not-an-id"}])),
        ("networks", json!([{"port": NOWHERE}])),
        ("networks", json!("nonsense")),
        ("key_name", json!("no-such-key")),
        ("user_data", json!("not base64 !!!")),
        ("user_data", json!("QUFB".repeat(20_000))),
        ("min_count", json!(0)),
        ("min_count", json!(-1)),
        ("max_count", json!("many")),
        ("metadata", json!({"k": "v".repeat(256)})),
        ("metadata", json!({"k": 7})),
        ("metadata", json!("text")),
        ("security_groups", json!([{"name": "no-such-group"}])),
        ("availability_zone", json!("nowhere")),
        ("config_drive", json!("perhaps")),
    ] {
        refused(demo, "POST", path, &with(field, value), 400);
    }
    let mut reversed = with("min_count", json!(3));
    reversed["server"]["max_count"] = json!(2);
    refused(demo, "POST", path, &reversed, 400);
    assert_eq!(demo.get(path).expect(200)["servers"], json!([]), "a refused server must not exist");

    let id = demo.create_server(&good);
    demo.wait_for(&id, "ACTIVE");
    let action = format!("{path}/{id}/action");
    for (body, status) in [
        (json!({"os-start": null}), 409),
        (json!({"no-such-action": null}), 400),
        (json!({}), 400),
        (json!({"os-stop": null, "os-start": null}), 400),
        (json!({"reboot": {"type": "SIDEWAYS"}}), 400),
        (json!({"reboot": null}), 400),
        (json!({"os-getConsoleOutput": {"length": -7}}), 400),
        (json!({"os-getConsoleOutput": {"length": "long"}}), 400),
    ] {
        refused(demo, "POST", &action, &body, status);
    }
    refused(demo, "PUT", &format!("{path}/{id}"), &json!({"server": {"name": "n".repeat(256)}}), 400);
    refused(demo, "PUT", &format!("{path}/{id}"), &json!({"server": {"accessIPv4": "here"}}), 400);
    let bad_version = demo.raw("GET", path, &[("OpenStack-API-Version", "compute 2.9999")], b"").unwrap();
    assert_eq!(bad_version.status, 406, "{}", bad_version.text());
    let bad_version = demo.raw("GET", path, &[("OpenStack-API-Version", "compute two")], b"").unwrap();
    assert_eq!(bad_version.status, 400, "{}", bad_version.text());
    demo.delete_server(&id);
}

fn networks(demo: &Api) {
    let network = demo.post("/network/v2.0/networks", &json!({"network": {"name": "lan"}})).expect(201);
    let network = network["network"]["id"].as_str().unwrap();
    let subnets = "/network/v2.0/subnets";
    let subnet = |cidr: &str| json!({"subnet": {"network_id": network, "ip_version": 4, "cidr": cidr}});
    let made = demo.post(subnets, &subnet("10.8.0.0/24")).expect(201);
    let made = made["subnet"]["id"].as_str().unwrap().to_owned();
    // Overlapping in either direction, and what is no network at all.
    for cidr in [
        "10.8.0.0/25",
        "10.8.0.0/16",
        "10.8.0.0/24",
        "10.8.0.0/33",
        "nonsense",
        "10.8.0.0",
        "fd00::/64",
        "0.0.0.0/0",
    ] {
        refused(demo, "POST", subnets, &subnet(cidr), 400);
    }
    let with = |field: &str, value: Value| {
        let mut body = subnet("10.18.0.0/24");
        body["subnet"][field] = value;
        body
    };
    for (field, value) in [
        ("gateway_ip", json!("not-an-address")),
        ("ip_version", json!(5)),
        ("allocation_pools", json!([{"start": "10.18.0.9", "end": "10.18.0.5"}])),
        ("allocation_pools", json!([{"start": "10.19.0.5", "end": "10.19.0.9"}])),
        ("dns_nameservers", json!(["not-an-address"])),
        ("name", json!("n".repeat(256))),
        ("host_routes", json!([{"destination": "x", "nexthop": "y"}])),
    ] {
        refused(demo, "POST", subnets, &with(field, value), 400);
    }
    refused(
        demo,
        "POST",
        subnets,
        &json!({"subnet": {"network_id": NOWHERE, "ip_version": 4, "cidr": "10.1.0.0/24"}}),
        404,
    );

    let ports = "/network/v2.0/ports";
    let port = |field: &str, value: Value| json!({"port": {"network_id": network, field: value}});
    for (field, value, status) in [
        ("mac_address", json!("zz:zz"), 400),
        ("mac_address", json!("01:00:5e:00:00:01"), 400),
        ("fixed_ips", json!([{"ip_address": "10.9.9.9"}]), 400),
        ("fixed_ips", json!([{"subnet_id": NOWHERE}]), 400),
        ("fixed_ips", json!("10.8.0.5"), 400),
        ("security_groups", json!([NOWHERE]), 404),
        ("admin_state_up", json!("maybe"), 400),
        ("no_such_field", json!(1), 400),
        ("allowed_address_pairs", json!([{"ip_address": "300.1.1.1"}]), 400),
    ] {
        refused(demo, "POST", ports, &port(field, value), status);
    }
    let rules = "/network/v2.0/security-group-rules";
    let group = demo.id_of("/network/v2.0/security-groups", "default");
    for (field, value) in [
        ("port_range_min", json!(70_000)),
        ("port_range_min", json!(-5)),
        ("protocol", json!("carrier-pigeon")),
        ("protocol", json!(256)),
        ("direction", json!("sideways")),
        ("ethertype", json!("IPX")),
        ("remote_ip_prefix", json!("10.0.0.0/99")),
    ] {
        let mut body = json!({"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "tcp", "port_range_min": 1, "port_range_max": 1}});
        body["security_group_rule"][field] = value;
        refused(demo, "POST", rules, &body, 400);
    }
    // A floating IP from a network that gives none, and for a port that no router reaches.
    refused(
        demo,
        "POST",
        "/network/v2.0/floatingips",
        &json!({"floatingip": {"floating_network_id": network}}),
        400,
    );
    let lonely = demo.post(ports, &json!({"port": {"network_id": network}})).expect(201);
    let lonely = lonely["port"]["id"].as_str().unwrap().to_owned();
    let public = demo.network("public");
    let body = json!({"floatingip": {"floating_network_id": public, "port_id": lonely}});
    refused(demo, "POST", "/network/v2.0/floatingips", &body, 404);
    refused(demo, "DELETE", &format!("/network/v2.0/networks/{network}"), &Value::Null, 409);
    refused(demo, "DELETE", &format!("{subnets}/{made}"), &Value::Null, 409);
    demo.delete(&format!("{ports}/{lonely}")).expect(204);
    demo.delete(&format!("/network/v2.0/networks/{network}")).expect(204);
    refused(demo, "GET", &format!("{subnets}/{made}"), &Value::Null, 404);
    // Only an administrator makes networks that others see.
    let body = json!({"network": {"name": "loud", "router:external": true}});
    refused(demo, "POST", "/network/v2.0/networks", &body, 403);
}

fn keypairs(demo: &Api) {
    let path = "/compute/v2.1/os-keypairs";
    for (name, key) in [
        ("k", json!("not a key")),
        ("k", json!("ssh-rsa AAAA")),
        ("k", json!(7)),
        (
            &"k".repeat(256),
            json!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x"),
        ),
        ("a/b", json!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x")),
    ] {
        refused(demo, "POST", path, &json!({"keypair": {"name": name, "public_key": key}}), 400);
    }
    refused(demo, "GET", &format!("{path}/nobody"), &Value::Null, 404);
    refused(demo, "DELETE", &format!("{path}/nobody"), &Value::Null, 404);
}

fn unknown_ids(demo: &Api) {
    for collection in [
        "/compute/v2.1/servers",
        "/compute/v2.1/flavors",
        "/image/v2/images",
        "/network/v2.0/networks",
        "/network/v2.0/subnets",
        "/network/v2.0/ports",
        "/network/v2.0/routers",
        "/network/v2.0/floatingips",
        "/network/v2.0/security-groups",
        "/network/v2.0/security-group-rules",
        "/identity/v3/projects",
    ] {
        for id in [NOWHERE, "not-an-id", "%00", "..%2f..%2fetc%2fpasswd", &"x".repeat(2000)] {
            let answer = demo.get(&format!("{collection}/{id}"));
            let hidden = collection.starts_with("/identity") && answer.status == 403;
            assert!(
                [404, 400].contains(&answer.status) || hidden,
                "GET {collection}/{id}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
}

fn paging(demo: &Api) {
    for path in [
        "/compute/v2.1/servers?limit=-1",
        "/compute/v2.1/servers?limit=many",
        &format!("/compute/v2.1/servers?marker={NOWHERE}"),
        "/compute/v2.1/flavors?limit=-1",
        "/compute/v2.1/flavors?minRam=few",
        "/image/v2/images?limit=-1",
        &format!("/image/v2/images?marker={NOWHERE}"),
        "/image/v2/images?sort_key=nonsense",
        "/network/v2.0/networks?limit=-1",
        "/network/v2.0/networks?nonsense=1",
    ] {
        refused(demo, "GET", path, &Value::Null, 400);
    }
    refused(demo, "GET", &format!("/network/v2.0/networks?marker={NOWHERE}"), &Value::Null, 404);
}

#[test]
fn bad_images() {
    let w = World::dev(1);
    let demo = w.api("demo");
    let qcow2 = |extra: &[&str]| {
        let file = w.file("made.img");
        let mut command = std::process::Command::new("qemu-img");
        let made = command
            .current_dir(w.data().parent().unwrap())
            .args(["create", "-q"])
            .args(extra)
            .arg(&file)
            .arg("8M");
        let output = made.output().unwrap();
        assert!(output.status.success(), "qemu-img: {output:?}");
        std::fs::read(&file).unwrap()
    };
    std::fs::write(w.file("base.raw"), vec![0; 1 << 20]).unwrap();
    let lies = [
        ("a text that says it is qcow2", "qcow2", b"just some text, long enough to be looked at".repeat(20)),
        ("qcow2 that says it is raw", "raw", qcow2(&["-f", "qcow2"])),
        ("a backing file", "qcow2", qcow2(&["-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", "-u"])),
        (
            "an external data file",
            "qcow2",
            qcow2(&["-f", "qcow2", "-o", "data_file=base.raw,data_file_raw=on"]),
        ),
        ("a vmdk that is a qcow2", "vmdk", qcow2(&["-f", "qcow2"])),
        ("a qcow2 cut short", "qcow2", qcow2(&["-f", "qcow2"])[..60].to_vec()),
    ];
    for (what, format, content) in &lies {
        let id = new_image(&demo, format);
        let answer = upload(&demo, &id, content);
        assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
        assert_unused(&demo, &id, what);
    }

    // Cut off in the middle: nothing was stored, and the same image takes the whole thing then.
    let id = new_image(&demo, "raw");
    let mut stream = http::connect(demo.to).unwrap();
    let path = format!("/image/v2/images/{id}/file");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n",
        demo.token()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[7; 1000]).unwrap();
    drop(stream);
    let content = vec![7_u8; 1_000_000];
    // Until the end of the connection is noticed, the upload is under way, and another is refused.
    crate::wait::until_true(30, "the cut-off upload is noticed", || {
        let answer = upload(&demo, &id, &content);
        assert!([204, 409].contains(&answer.status), "{}", answer.text());
        answer.status == 204
    });
    let shown = demo.get(&format!("/image/v2/images/{id}")).expect(200);
    assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(content.len())));
    // A second upload is refused, and the first stays.
    assert_eq!(upload(&demo, &id, b"other").status, 409);
    assert!(demo.get(&path).body == content);

    for (body, status) in [
        (json!({"name": "x", "disk_format": "floppy", "container_format": "bare"}), 400),
        (json!({"name": "x", "disk_format": "raw", "container_format": "bare", "min_disk": -1}), 400),
        (json!({"name": "n".repeat(256), "disk_format": "raw", "container_format": "bare"}), 400),
        (json!({"name": "x", "id": "not-an-id"}), 400),
        (json!({"name": "x", "visibility": "public"}), 403),
        (json!({"name": "x", "status": "active"}), 403),
        (json!({"name": "x", "tags": "red"}), 400),
    ] {
        let answer = demo.post("/image/v2/images", &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let patch = |kind: &str, body: &Value| {
        demo.raw(
            "PATCH",
            &format!("/image/v2/images/{id}"),
            &[("Content-Type", kind)],
            body.to_string().as_bytes(),
        )
    };
    let wrong = patch("application/json", &json!([])).unwrap();
    assert_eq!(wrong.status, 415, "{}", wrong.text());
    let right = "application/openstack-images-v2.1-json-patch";
    for (body, status) in [
        (json!({"op": "replace"}), 400),
        (json!([{"op": "melt", "path": "/name"}]), 400),
        (json!([{"op": "replace", "path": "/id", "value": NOWHERE}]), 403),
        (json!([{"op": "remove", "path": "/no-such-property"}]), 409),
    ] {
        let answer = patch(right, &body).unwrap();
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }

    // Content that is there twice is stored once, and goes with its last image.
    let twin = new_image(&demo, "raw");
    assert_eq!(upload(&demo, &twin, &content).status, 204);
    let stored = || {
        let one = |sql: &str| w.database().query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
        one("SELECT COUNT(*) FROM image_blob WHERE bytes = 1000000")
    };
    assert_eq!(stored(), 1);
    demo.delete(&format!("/image/v2/images/{id}")).expect(204);
    assert!(demo.get(&format!("/image/v2/images/{twin}/file")).body == content);
    demo.delete(&format!("/image/v2/images/{twin}")).expect(204);
    crate::wait::until_true(60, "the content is gone", || stored() == 0);
    w.finish();
}

fn new_image(demo: &Api, format: &str) -> String {
    let body = json!({"name": "x", "disk_format": format, "container_format": "bare"});
    demo.post("/image/v2/images", &body).expect(201)["id"].as_str().unwrap().to_owned()
}

fn upload(demo: &Api, id: &str, content: &[u8]) -> http::Answer {
    let kind = [("Content-Type", "application/octet-stream")];
    demo.raw("PUT", &format!("/image/v2/images/{id}/file"), &kind, content).unwrap()
}

/// A refused image is visible as such and cannot be booted.
fn assert_unused(demo: &Api, id: &str, what: &str) {
    let image = demo.get(&format!("/image/v2/images/{id}")).expect(200);
    assert_ne!(image["status"], "active", "{what}");
    let mut body = demo.server_body("x", &[]);
    body["server"]["imageRef"] = id.into();
    body["server"].as_object_mut().unwrap().remove("networks");
    demo.post("/compute/v2.1/servers", &body).expect(400);
    demo.delete(&format!("/image/v2/images/{id}")).expect(204);
}

#[test]
fn quotas_and_races() {
    let w = World::dev(2);
    let (demo, admin) = (w.api("demo"), w.api("hanok"));
    let set = |value: Value| {
        let path = format!("/compute/v2.1/os-quota-sets/{}", demo.project);
        admin.put(&path, &json!({"quota_set": value})).expect(200);
    };
    // Forty ask at once for what is there five times.
    set(json!({"instances": 5}));
    let body = demo.server_body("race", &[&demo.network("private")]);
    let answers = at_once(40, |_| demo.post("/compute/v2.1/servers", &body).status);
    assert_eq!(answers.iter().filter(|s| **s == 202).count(), 5, "{answers:?}");
    assert!(answers.iter().all(|s| [202, 403].contains(s)), "{answers:?}");
    let refused = demo.post("/compute/v2.1/servers", &body).expect(403);
    assert!(refused.to_string().contains("Quota exceeded"), "{refused}");
    // Three more would be one too many: none comes.
    let list = demo.get("/compute/v2.1/servers").expect(200);
    let ids: Vec<String> =
        list["servers"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 5);
    for id in &ids {
        demo.wait_for(id, "ACTIVE");
    }

    // Many delete the same: each is told that it is going or gone.
    let answers =
        at_once(20, |n| demo.delete(&format!("/compute/v2.1/servers/{}", ids[n % ids.len()])).status);
    assert!(answers.iter().all(|s| [204, 404].contains(s)), "{answers:?}");
    for id in &ids {
        demo.wait_until_gone(id);
    }
    set(json!({"instances": 10}));

    // An address that many want goes to one.
    let network = demo.network("private");
    let subnets = demo.get(&format!("/network/v2.0/subnets?network_id={network}")).expect(200);
    let cidr = subnets["subnets"][0]["cidr"].as_str().unwrap();
    let address = format!("{}.77", cidr.rsplit_once('.').unwrap().0);
    let want = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": address}]}});
    let answers = at_once(16, |_| demo.post("/network/v2.0/ports", &want).status);
    assert_eq!(answers.iter().filter(|s| **s == 201).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|s| [201, 409].contains(s)), "{answers:?}");

    // A router goes, or gets an interface, never both.
    for _ in 0..5 {
        let router = demo.post("/network/v2.0/routers", &json!({"router": {}})).expect(201);
        let router = router["router"]["id"].as_str().unwrap().to_owned();
        let lan = demo.post("/network/v2.0/networks", &json!({"network": {}})).expect(201);
        let lan = lan["network"]["id"].as_str().unwrap().to_owned();
        let subnet = json!({"subnet": {"network_id": lan, "ip_version": 4, "cidr": "10.44.0.0/24"}});
        let subnet = demo.post("/network/v2.0/subnets", &subnet).expect(201);
        let subnet = subnet["subnet"]["id"].as_str().unwrap().to_owned();
        let path = format!("/network/v2.0/routers/{router}");
        let answers = at_once(2, |n| match n {
            0 => demo.put(&format!("{path}/add_router_interface"), &json!({"subnet_id": subnet})).status,
            _ => demo.delete(&path).status,
        });
        match answers[..] {
            [200, 409] => {
                demo.put(&format!("{path}/remove_router_interface"), &json!({"subnet_id": subnet}))
                    .expect(200);
                demo.delete(&path).expect(204);
            }
            [404, 204] => {}
            _ => panic!("{answers:?}"),
        }
        demo.delete(&format!("/network/v2.0/networks/{lan}")).expect(204);
    }
    let taken = demo.get(&format!("/network/v2.0/ports?fixed_ips=ip_address%3D{address}")).expect(200);
    demo.delete(&format!("/network/v2.0/ports/{}", taken["ports"][0]["id"].as_str().unwrap())).expect(204);
    crate::dev_crash::assert_counters(|sql| w.rows(sql));
    w.finish();
}

/// The answers of `n` threads that start together.
fn at_once<T: Send>(n: usize, ask: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let gate = std::sync::Barrier::new(n);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..n)
            .map(|i| {
                let (gate, ask) = (&gate, &ask);
                scope.spawn(move || {
                    gate.wait();
                    ask(i)
                })
            })
            .collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    })
}
