//! Machines through the door: the calls that Juju (gomaasapi), the Terraform provider (gomaasclient) and
//! python-libmaas make, written out as they send them, and what their strict readers need in the answers.

use super::{World, worlds};
use crate::model::Status;
use crate::table::machine;
use base::doc::rack::Bmc;
use serde_json::{Value, json};

/// What is there, and of what type: `s` text, `n` number, `b` boolean, `l` list, `o` object, `?` may be null.
#[track_caller]
fn shape(value: &Value, keys: &[(&str, &str)]) {
    for (key, kind) in keys {
        let v = value.get(key).unwrap_or_else(|| panic!("{key} is missing in {value}"));
        let good = match kind.trim_end_matches('?') {
            "s" => v.is_string(),
            "n" => v.is_number(),
            "b" => v.is_boolean(),
            "l" => v.is_array(),
            _ => v.is_object(),
        };
        assert!(good || (kind.ends_with('?') && v.is_null()), "{key} is {v}, not {kind}");
    }
}

const MACHINE: &[(&str, &str)] = &[
    ("resource_uri", "s"),
    ("system_id", "s"),
    ("hostname", "s"),
    ("fqdn", "s"),
    ("tag_names", "l"),
    ("owner_data", "o"),
    ("osystem", "s"),
    ("distro_series", "s"),
    ("architecture", "s"),
    ("memory", "n"),
    ("cpu_count", "n"),
    ("hardware_info", "o?"),
    ("ip_addresses", "l"),
    ("power_state", "s"),
    ("status_name", "s"),
    ("status_message", "s?"),
    ("boot_interface", "o?"),
    ("interface_set", "l"),
    ("zone", "o"),
    ("pool", "o?"),
    ("physicalblockdevice_set", "l"),
    ("blockdevice_set", "l"),
    ("constraints_by_type", "o"),
    ("status", "n"),
    ("domain", "o"),
    ("owner", "s?"),
    ("locked", "b"),
    ("storage", "n"),
    ("cpu_speed", "n"),
    ("netboot", "b"),
    ("power_type", "s"),
    ("boot_disk", "o?"),
    ("special_filesystems", "l"),
    ("default_gateways", "o"),
    ("numanode_set", "l"),
    ("bcaches", "l"),
    ("raids", "l"),
    ("volume_groups", "l"),
    ("cache_sets", "l"),
    ("virtualblockdevice_set", "l"),
    ("swap_size", "n?"),
    ("min_hwe_kernel", "s"),
    ("hwe_kernel", "s"),
    ("hardware_uuid", "s?"),
    ("description", "s"),
    ("bios_boot_method", "s"),
    ("address_ttl", "n?"),
    ("status_action", "s"),
    ("node_type", "n"),
    ("node_type_name", "s"),
    ("parent", "s?"),
    ("pod", "o?"),
    ("commissioning_status", "n"),
    ("commissioning_status_name", "s"),
    ("testing_status", "n"),
    ("interface_test_status_name", "s"),
    ("current_testing_result_id", "n?"),
    ("workload_annotations", "o"),
    ("last_sync", "s?"),
    ("sync_interval", "n?"),
    ("next_sync", "s?"),
    ("enable_hw_sync", "b"),
    ("is_dpu", "b"),
    ("ephemeral_deploy", "b"),
    ("error_description", "s"),
    ("disable_ipv4", "b"),
    ("enable_kernel_crash_dump", "b"),
];
const INTERFACE: &[(&str, &str)] = &[
    ("resource_uri", "s"),
    ("id", "n"),
    ("name", "s"),
    ("type", "s"),
    ("enabled", "b"),
    ("tags", "l"),
    ("vlan", "o?"),
    ("links", "l"),
    ("mac_address", "s"),
    ("effective_mtu", "n"),
    ("parents", "l"),
    ("children", "l"),
];
const VLAN: &[(&str, &str)] = &[
    ("id", "n"),
    ("resource_uri", "s"),
    ("name", "s"),
    ("fabric", "s"),
    ("vid", "n"),
    ("mtu", "n"),
    ("dhcp_on", "b"),
    ("primary_rack", "s?"),
    ("secondary_rack", "s?"),
];
const SUBNET: &[(&str, &str)] = &[
    ("resource_uri", "s"),
    ("id", "n"),
    ("name", "s"),
    ("space", "s"),
    ("gateway_ip", "s?"),
    ("cidr", "s"),
    ("vlan", "o"),
    ("dns_servers", "l"),
];
const DISK: &[(&str, &str)] = &[
    ("resource_uri", "s"),
    ("id", "n"),
    ("uuid", "s?"),
    ("name", "s"),
    ("model", "s"),
    ("id_path", "s?"),
    ("path", "s"),
    ("used_for", "s"),
    ("tags", "l"),
    ("block_size", "n"),
    ("used_size", "n"),
    ("size", "n"),
    ("filesystem", "o?"),
    ("partitions", "l"),
];

#[tokio::test]
async fn a_machine_has_all_that_strict_clients_read() {
    for w in worlds().await {
        let id = w.machine("one", 1, Status::Ready).await;
        let all = w.get(&w.admin, "machines/?id=&hostname=one").await.of(200);
        let m = &all.as_array().unwrap()[0];
        shape(m, MACHINE);
        shape(&m["interface_set"][0], INTERFACE);
        shape(&m["interface_set"][0]["vlan"], VLAN);
        shape(&m["interface_set"][0]["links"][0], &[("id", "n"), ("mode", "s"), ("subnet", "o")]);
        shape(&m["interface_set"][0]["links"][0]["subnet"], SUBNET);
        for d in m["physicalblockdevice_set"].as_array().unwrap() {
            shape(d, DISK);
        }
        shape(&m["zone"], &[("name", "s"), ("description", "s"), ("resource_uri", "s"), ("id", "n")]);
        shape(&m["pool"], &[("name", "s"), ("description", "s"), ("resource_uri", "s"), ("id", "n")]);
        assert_eq!(
            (&m["status_name"], &m["system_id"], &m["cpu_count"]),
            (&json!("Ready"), &json!(id), &json!(4))
        );
        // gomaasapi goes to whatever address the answer names.
        for uri in [
            &m["resource_uri"],
            &m["interface_set"][0]["resource_uri"],
            &m["boot_disk"]["resource_uri"],
            &m["zone"]["resource_uri"],
            &m["pool"]["resource_uri"],
            &m["interface_set"][0]["vlan"]["resource_uri"],
            &m["interface_set"][0]["links"][0]["subnet"]["resource_uri"],
            &m["domain"]["resource_uri"],
        ] {
            w.get(&w.admin, uri.as_str().unwrap()).await.of(200);
        }
        assert_eq!(w.get(&w.admin, &format!("machines/{id}/")).await.of(200)["hostname"], "one");
        w.get(&w.admin, "machines/zzzzzz/").await.of(404);
        // By name it is not found where its short id belongs.
        w.get(&w.admin, "machines/one/").await.of(404);
    }
}

/// What Juju asks at the start.
#[tokio::test]
async fn juju_looks_around() {
    let w = World::on_sqlite().await;
    w.machine("one", 1, Status::Ready).await;
    for (path, keys) in [
        (
            "fabrics/?op=",
            vec![("id", "n"), ("name", "s"), ("class_type", "s?"), ("vlans", "l"), ("resource_uri", "s")],
        ),
        ("spaces/?op=", vec![("id", "n"), ("name", "s"), ("subnets", "l"), ("resource_uri", "s")]),
        ("zones/?op=", vec![("name", "s"), ("description", "s"), ("resource_uri", "s")]),
        ("pools/?op=", vec![("name", "s"), ("description", "s"), ("resource_uri", "s")]),
        (
            "domains/?op=",
            vec![
                ("authoritative", "b"),
                ("resource_record_count", "n"),
                ("ttl", "n?"),
                ("id", "n"),
                ("name", "s"),
            ],
        ),
        ("subnets/?op=", SUBNET.to_vec()),
    ] {
        let all = w.get(&w.demo, path).await.of(200);
        shape(&all.as_array().unwrap_or_else(|| panic!("{path}"))[0], &keys);
    }
    for path in
        ["static-routes/?op=", "tags/?op=", "boot-resources/?op=", "devices/?op=", "files/?op=&prefix=x"]
    {
        assert_eq!(w.get(&w.demo, path).await.of(200), json!([]), "{path}");
    }
}

#[tokio::test]
async fn allocation_finds_what_is_asked_for() {
    for w in worlds().await {
        let small = w.machine("small", 1, Status::Ready).await;
        let large = w.machine("large", 8, Status::Ready).await;
        let asked = |form: &'static str| {
            let w = &w;
            async move { w.post(&w.demo, "machines/?op=allocate", form).await }
        };
        for none in [
            "name=nobody",
            "system_id=zzzzzz",
            "arch=arm64",
            "cpu_count=33",
            "mem=8193",
            "tags=gpu",
            "storage=2000",
            "storage=a:50(nvme)",
            "interfaces=a:fabric=elsewhere",
            "not_in_zone=default",
            "interfaces=a:space=other",
            "subnets=space:other",
            "storage=600,600",
        ] {
            let answer = asked(none).await;
            assert_eq!(answer.status, 409, "{none}: {}", answer.text);
            assert!(answer.text.starts_with("No available machine matches constraints"), "{}", answer.text);
        }
        for wrong in ["zone=nowhere", "storage=a:b", "interfaces=a", "cpu_count=many", "pool=nowhere"] {
            assert_eq!(asked(wrong).await.status, 400, "{wrong}");
        }
        let dry = asked("dry_run=True&cpu_count=8.0").await.of(200);
        assert_eq!((&dry["system_id"], &dry["status_name"]), (&json!(large), &json!("Ready")));
        let got = asked("storage=root:50(ssd),data:500&interfaces=lan:space=undefined,subnet=lab&agent_name=juju&comment=x&not_subnets=space:other&zone=default&pool=default").await.of(200);
        shape(&got, MACHINE);
        assert_eq!(
            (&got["system_id"], &got["status_name"], &got["owner"]),
            (&json!(small), &json!("Allocated"), &json!("demo"))
        );
        let by_type = &got["constraints_by_type"];
        assert_eq!(by_type["interfaces"]["lan"], json!([got["interface_set"][0]["id"]]));
        let disk = |name: &str| {
            let all = got["blockdevice_set"].as_array().unwrap();
            json!([all.iter().find(|d| d["name"] == name).unwrap()["id"]])
        };
        assert_eq!((&by_type["storage"]["root"], &by_type["storage"]["data"]), (&disk("sda"), &disk("sdb")));
        let mine = w.get(&w.demo, "machines/?agent_name=juju&op=").await.of(200);
        assert_eq!(mine.as_array().unwrap().len(), 1);
        assert_eq!(asked("system_id=zzzzzz").await.status, 409);
        let form = format!("machines={small}");
        assert_eq!(w.post(&w.demo, "machines/?op=release", &form).await.of(200), json!([small]));
        assert_eq!(w.post(&w.demo, "machines/?op=release", "machines=zzzzzz").await.status, 400);
    }
}

/// A client that lost the answer asks again, and is told how far it is.
#[tokio::test]
async fn one_is_released_as_often_as_it_is_asked() {
    for w in worlds().await {
        let id = w.machine("one", 1, Status::Ready).await;
        w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
        let release = async |key: &str, status: u16| {
            w.post(key, &format!("machines/{id}/?op=release"), "erase=false").await.of(status)["status_name"]
                .clone()
        };
        assert_eq!(release(&w.demo, 200).await, "Releasing");
        let noted = async || w.get(&w.admin, "events/?op=query").await.of(200)["count"].clone();
        let before = noted().await;
        assert_eq!(release(&w.demo, 200).await, "Releasing");
        w.status(&id, Status::DiskErasing).await;
        assert_eq!(release(&w.demo, 200).await, "Disk erasing");
        w.status(&id, Status::Ready).await;
        assert_eq!(release(&w.demo, 200).await, "Ready");
        assert_eq!(release(&w.admin, 200).await, "Ready");
        assert_eq!(noted().await, before);
        // Somebody else's by now: not theirs to release, nor to see.
        w.post(&w.admin, "machines/?op=allocate", "").await.of(200);
        release(&w.demo, 404).await;
        w.status(&id, Status::New).await;
        w.post(&w.admin, &format!("machines/{id}/?op=mark_broken"), "").await.of(200);
        assert_eq!(release(&w.admin, 200).await, "Releasing");
    }
}

/// A client that lost the answer and asks again wipes nothing.
#[tokio::test]
async fn what_has_a_system_is_not_deployed_again() {
    let w = World::on_sqlite().await;
    let id = w.machine("one", 1, Status::Ready).await;
    w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
    let deploy =
        async || w.post(&w.demo, &format!("machines/{id}/?op=deploy"), "distro_series=nothing").await;
    for status in [Status::Deployed, Status::Deploying, Status::RescueMode] {
        w.status(&id, status).await;
        let answer = deploy().await;
        assert!(answer.status == 409 && answer.text.contains(status.name()), "{}", answer.text);
    }
    for status in [Status::Allocated, Status::FailedDeployment] {
        w.status(&id, status).await;
        deploy().await.of(400);
    }
}

#[tokio::test]
async fn everybody_sees_what_is_theirs() {
    let w = World::on_sqlite().await;
    let (theirs, free, new) = (
        w.machine("theirs", 1, Status::Ready).await,
        w.machine("free", 2, Status::Ready).await,
        w.machine("new", 3, Status::New).await,
    );
    w.post(&w.admin, "machines/?op=allocate", &format!("system_id={theirs}")).await.of(200);
    let names = |all: Value| -> Vec<String> {
        all.as_array().unwrap().iter().map(|m| m["hostname"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(w.get(&w.demo, "machines/").await.of(200)), ["free"]);
    assert_eq!(names(w.get(&w.admin, "nodes/").await.of(200)), ["theirs", "free", "new"]);
    for id in [&theirs, &new] {
        for (method, path) in [
            ("GET", format!("machines/{id}/")),
            ("GET", format!("nodes/{id}/interfaces/")),
            ("GET", format!("nodes/{id}/blockdevices/")),
            ("GET", format!("machines/{id}/?op=query_power_state")),
            ("GET", format!("machines/{id}/?op=details")),
            ("POST", format!("machines/{id}/?op=deploy")),
            ("POST", format!("machines/{id}/?op=release")),
            ("POST", format!("machines/{id}/?op=power_off")),
            ("POST", format!("machines/{id}/?op=lock")),
            ("POST", format!("machines/{id}/?op=set_owner_data")),
        ] {
            let answer = w.call(&w.demo, method, &path, "").await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        }
    }
    // What is free is seen, and not changed before it is allocated.
    w.post(&w.demo, &format!("machines/{free}/?op=power_off"), "").await.of(403);
    w.post(&w.demo, &format!("machines/{free}/?op=set_owner_data"), "a=b").await.of(403);
    w.get(&w.demo, &format!("machines/{free}/?op=power_parameters")).await.of(403);
    let asked = w.post(&w.demo, "machines/?op=release", &format!("machines={theirs}")).await;
    assert_eq!(asked.status, 400, "{}", asked.text);
    assert_eq!(w.get(&w.demo, "events/?op=query").await.of(200)["count"], 0);
}

#[tokio::test]
async fn what_is_done_with_one() {
    let w = World::on_sqlite().await;
    let id = w.machine("one", 1, Status::Ready).await;
    let op = |name: &str| format!("machines/{id}/?op={name}");
    w.post(&w.demo, &op("deploy"), "").await.of(403);
    w.post(&w.admin, &op("deploy"), "").await.of(409);
    w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
    let noted = w.post(&w.demo, &op("set_owner_data"), "juju-model=x&empty=").await.of(200);
    assert_eq!(noted["owner_data"], json!({"juju-model": "x"}));
    let refused = w.post(&w.demo, &op("deploy"), "distro_series=nothing").await.of(400);
    assert!(refused["distro_series"][0].as_str().unwrap().contains("'nothing' is not a valid distro_series"));
    assert_eq!(w.post(&w.demo, &op("deploy"), "user_data=%%%").await.status, 400);
    w.post(&w.demo, &op("power_on"), "").await.of(200);
    assert_eq!(w.get(&w.demo, &op("query_power_state")).await.of(200)["state"], "unknown");
    assert_eq!(w.post(&w.demo, &op("lock"), "").await.of(200)["locked"], true);
    w.post(&w.demo, &op("power_off"), "").await.of(409);
    assert_eq!(w.post(&w.demo, &op("unlock"), "").await.of(200)["locked"], false);
    w.get(&w.demo, &op("get_curtin_config")).await.of(501);
    let details = w.get(&w.demo, &op("details")).await;
    assert_eq!((details.status, details.header("content-type")), (200, "application/bson"));
    assert_eq!(details.bytes.len(), usize::from(details.bytes[0]));

    let broken = w.post(&w.demo, &op("mark_broken"), "comment=the+fan").await.of(200);
    assert_eq!((&broken["status_name"], &broken["status_message"]), (&json!("Broken"), &json!("the fan")));
    w.post(&w.admin, &op("mark_fixed"), "").await.of(200);
    let released = w.post(&w.demo, &op("release"), "erase=false&comment=done").await.of(200);
    assert_eq!(released["status_name"], "Releasing");
    w.status(&id, Status::Ready).await;
    for (verb, name) in
        [("commission", "Commissioning"), ("abort", "Ready"), ("rescue_mode", "Entering rescue mode")]
    {
        assert_eq!(w.post(&w.admin, &op(verb), "").await.of(200)["status_name"], name, "{verb}");
    }
    w.post(&w.admin, &op("commission"), "testing_scripts=nonsense").await.of(400);
    let events = w.get(&w.admin, &format!("events/?op=query&id={id}&limit=2")).await.of(200);
    assert_eq!(events["events"].as_array().unwrap().len(), 2);
    assert!(events["next_uri"].as_str().unwrap().contains("before="));
}

/// What a project keeps with a machine is bounded, and so is what one request says.
#[tokio::test]
async fn notes_are_few_and_short() {
    for w in worlds().await {
        let id = w.machine("one", 1, Status::Ready).await;
        w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
        let op = format!("machines/{id}/?op=set_owner_data");
        let many = |n: usize| (0..n).map(|n| format!("f{n}=v")).collect::<Vec<_>>().join("&");
        let refused = w.post(&w.demo, &op, &many(2_001)).await;
        assert!(refused.status == 400 && refused.text.contains("2000 fields"), "{}", refused.text);
        let parts: serde_json::Map<String, Value> =
            (0..2_001).map(|n| (format!("f{n}"), json!("v"))).collect();
        let body = axum::body::Body::from(Value::Object(parts).to_string());
        let refused = w.send(&w.demo, "POST", &op, "application/json", body).await;
        assert!(refused.status == 400 && refused.text.contains("2000 fields"), "{}", refused.text);

        w.post(&w.demo, &op, "kept=yes").await.of(200);
        let long = "x".repeat(40_000);
        for (form, words) in [(many(256), "256 notes"), (format!("a={long}&b={long}"), "64 KiB")] {
            let refused = w.post(&w.demo, &op, &form).await;
            assert!(refused.status == 400 && refused.text.contains(words), "{}", refused.text);
        }
        let now = w.get(&w.demo, &format!("machines/{id}/")).await.of(200);
        assert_eq!(now["owner_data"], json!({"kept": "yes"}));
        let now = w.post(&w.demo, &op, &format!("{}&kept=", many(256))).await.of(200);
        assert_eq!(now["owner_data"].as_object().unwrap().len(), 256);
    }
}

#[tokio::test]
async fn machines_are_entered_and_described() {
    let w = World::on_sqlite().await;
    let form = "architecture=amd64%2Fgeneric&hostname=new&mac_addresses=52%3A54%3A00%3Aaa%3A00%3A01&power_type=ipmi&\
        power_parameters_power_address=10.0.0.9&power_parameters_power_user=root&power_parameters_power_pass=secret&commission=false";
    let made = w.post(&w.admin, "machines/", form).await.of(200);
    shape(&made, MACHINE);
    let id = made["system_id"].as_str().unwrap();
    let params = w.get(&w.admin, &format!("machines/{id}/?op=power_parameters")).await.of(200);
    assert_eq!((&params["power_address"], &params["power_pass"]), (&json!("10.0.0.9"), &json!("secret")));
    let all = w.get(&w.admin, "machines/?op=power_parameters").await.of(200);
    assert_eq!(all[id]["power_user"], "root");
    assert_eq!(w.get(&w.admin, "nodes/?op=is_registered&mac_address=52:54:00:AA:00:01").await.of(200), true);
    w.post(&w.admin, "machines/", form).await.of(400);
    w.post(&w.admin, "machines/", "hostname=x").await.of(400);
    w.post(&w.admin, "zones/", "name=hall+2&description=d").await.of(200);
    let changed = w
        .call(&w.admin, "PUT", &format!("machines/{id}/"), "zone=hall+2&hostname=renamed.metal")
        .await
        .of(200);
    assert_eq!((&changed["zone"]["name"], &changed["hostname"]), (&json!("hall 2"), &json!("renamed")));
    w.call(&w.admin, "PUT", &format!("machines/{id}/"), "zone=nowhere").await.of(400);
    w.post(&w.admin, "zones/", "name=hall+2").await.of(400);
    w.call(&w.admin, "DELETE", "zones/hall%202/", "").await.of(204);
    w.call(&w.admin, "DELETE", "zones/default/", "").await.of(400);

    w.post(&w.admin, "tags/", "name=gpu&comment=has+one").await.of(200);
    let done = w.post(&w.admin, "tags/gpu/?op=update_nodes", &format!("add={id}")).await.of(200);
    assert_eq!(done, json!({"added": 1, "removed": 0}));
    assert_eq!(w.get(&w.admin, "tags/gpu/?op=machines").await.of(200)[0]["system_id"], id);
    assert_eq!(w.get(&w.admin, "machines/?tags=gpu").await.of(200)[0]["tag_names"], json!(["gpu"]));
    w.post(&w.admin, "tags/", "name=x&definition=//node").await.of(400);
    w.call(&w.admin, "DELETE", "tags/gpu/", "").await.of(204);
    w.call(&w.admin, "DELETE", &format!("machines/{id}/"), "").await.of(204);
    w.get(&w.admin, &format!("machines/{id}/")).await.of(404);
}

/// What is not sent stays: above all the certificate by which a BMC is known.
#[tokio::test]
async fn power_is_changed_in_part() {
    let w = World::on_sqlite().await;
    let id = w.machine("one", 1, Status::Ready).await;
    let of = |url: &str, password: &str, fingerprint: &str| Bmc::Redfish {
        url: url.into(),
        user: "root".into(),
        password: password.into(),
        system: "1".into(),
        fingerprint: fingerprint.into(),
    };
    let (metal, system_id, first) = (w.metal.clone(), id.clone(), of("https://bmc", "old", "ab:cd"));
    let set = move |tx: &store::Tx<'_>| {
        let m = machine::by_any(tx, &system_id)?.unwrap();
        metal.set_bmc(tx, m.id, &first).map(|()| m.id)
    };
    let number = w.db.write(set).await.unwrap();
    let put = async |form: &str| {
        w.call(&w.admin, "PUT", &format!("machines/{id}/"), form).await.of(200);
        let metal = w.metal.clone();
        w.db.read(move |tx| metal.bmc(tx, number)).await.unwrap()
    };
    assert_eq!(put("power_parameters_power_pass=new").await, of("https://bmc", "new", "ab:cd"));
    let form = "power_type=redfish&power_parameters_power_address=bmc&power_parameters_power_pass=third";
    assert_eq!(put(form).await, of("https://bmc", "third", "ab:cd"));
    let form = "power_parameters_power_address=other";
    assert_eq!(put(form).await, of("https://other", "third", ""), "another BMC has another certificate");
    assert_eq!(put("power_type=manual").await, Bmc::Manual);
}

#[tokio::test]
async fn what_belongs_to_a_user() {
    for w in worlds().await {
        let key = "key=ssh-ed25519+AAAAC3NzaC1lZDI1NTE5AAAAIA+me%40here";
        let made = w.post(&w.demo, "account/prefs/sshkeys/", key).await.of(201);
        w.post(&w.demo, "account/prefs/sshkeys/", key).await.of(400);
        w.post(&w.demo, "account/prefs/sshkeys/", "key=nonsense").await.of(400);
        let uri = made["resource_uri"].as_str().unwrap();
        w.get(&w.admin, uri).await.of(404);
        w.call(&w.admin, "DELETE", uri, "").await.of(404);
        assert_eq!(w.get(&w.demo, "account/prefs/sshkeys/").await.of(200).as_array().unwrap().len(), 1);
        w.call(&w.demo, "DELETE", uri, "").await.of(204);

        let file = w.post(&w.demo, "files/", "filename=a%2Fb&file=hello").await.of(201);
        assert_eq!(
            w.get(&w.demo, file["resource_uri"].as_str().unwrap()).await.of(200)["content"],
            "aGVsbG8="
        );
        assert_eq!(w.get(&w.demo, "files/?op=get&filename=a%2Fb").await.text, "hello");
        assert_eq!(w.get("", file["anon_resource_uri"].as_str().unwrap()).await.text, "hello");
        assert_eq!(w.get("", "files/?op=get_by_key&key=guess").await.status, 404);
        assert_eq!(w.get("", "files/").await.status, 401);
        w.get(&w.admin, file["resource_uri"].as_str().unwrap()).await.of(404);
        assert_eq!(w.get(&w.demo, "files/?prefix=a").await.of(200).as_array().unwrap().len(), 1);
        w.call(&w.demo, "DELETE", file["resource_uri"].as_str().unwrap(), "").await.of(204);
    }
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let w = World::on_sqlite().await;
    for (path, status) in [
        ("pods/", 410),
        ("vm-hosts/1/", 410),
        ("license-keys/", 501),
        ("nodes/abc/raids/", 404),
        ("dhcpsnippets/", 501),
        ("nonsense/", 404),
    ] {
        assert_eq!(w.get(&w.admin, path).await.status, status, "{path}");
        assert_eq!(w.get("x:y:z", path).await.status, 401, "{path}");
    }
    let id = w.machine("one", 1, Status::Ready).await;
    assert_eq!(w.get(&w.admin, &format!("nodes/{id}/raids/")).await.of(200), json!([]));
    w.get(&w.admin, &format!("nodes/{id}/raid/1/")).await.of(404);
    let of = |rest: &str| format!("nodes/{id}/{rest}");
    for path in [
        "scripts/".to_owned(),
        "devices/".to_owned(),
        "boot-sources/".to_owned(),
        of("raids/"),
        of("volume-groups/"),
        of("interfaces/?op=create_bond"),
        of("interfaces/1/?op=set_default_gateway"),
        of("blockdevices/"),
        of("blockdevices/1/partitions/"),
        of("blockdevices/1/?op=format"),
        of("blockdevices/1/partition/1/?op=mount"),
        format!("machines/{id}/?op=mount_special"),
        "domains/0/?op=set_default".to_owned(),
    ] {
        let path = path.as_str();
        let answer = w.post(&w.admin, path, "name=x").await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (501, "text/plain; charset=utf-8"),
            "{path}"
        );
        assert!(answer.text.len() > 40, "{}", answer.text);
    }
}

/// As MAAS's command sends an image: announced, then in pieces.
#[tokio::test]
async fn images_arrive_in_pieces() {
    use sha2::{Digest, Sha256};
    let w = World::on_sqlite().await;
    let disk = vec![7_u8; 1 << 20];
    let digest = hex::encode(Sha256::digest(&disk));
    let form = format!(
        "name=custom%2Fbare&architecture=amd64%2Fgeneric&filetype=ddraw&size={}&sha256={digest}",
        disk.len()
    );
    w.post(&w.demo, "boot-resources/", &form).await.of(403);
    let made = w.post(&w.admin, "boot-resources/", &form).await.of(201);
    let uri = made["sets"]["1"]["files"]["root-dd"]["upload_uri"].as_str().unwrap().to_owned();
    let put = |bytes: Vec<u8>| {
        let (w, uri) = (&w, &uri);
        async move {
            w.send(&w.admin, "PUT", uri, "application/octet-stream", axum::body::Body::from(bytes))
                .await
                .status
        }
    };
    assert_eq!(put(disk[..600_000].to_vec()).await, 200);
    assert_eq!(put(disk.clone()).await, 400, "more than was announced");
    let so_far = w.get(&w.admin, made["resource_uri"].as_str().unwrap()).await.of(200);
    assert_eq!(so_far["sets"]["1"]["progress"], 57);
    assert_eq!(put(disk[600_000..].to_vec()).await, 200);
    let whole = w.get(&w.admin, made["resource_uri"].as_str().unwrap()).await.of(200);
    assert_eq!(whole["sets"]["1"]["complete"], true);
    assert_eq!(w.get(&w.demo, "boot-resources/").await.of(200)[0]["name"], "custom/bare");
    w.post(&w.admin, "boot-resources/", &form).await.of(400);

    let other = form.replace("bare", "other").replace(&digest, &"0".repeat(64));
    let made = w.post(&w.admin, "boot-resources/", &other).await.of(201);
    let uri = made["sets"]["1"]["files"]["root-dd"]["upload_uri"].as_str().unwrap();
    let wrong = w.send(&w.admin, "PUT", uri, "application/octet-stream", axum::body::Body::from(disk)).await;
    assert!(wrong.status == 400 && wrong.text.contains("sha256"), "{}", wrong.text);
    w.get(&w.admin, made["resource_uri"].as_str().unwrap()).await.of(404);
    w.post(&w.admin, "boot-resources/", "name=x&filetype=tgz&size=1").await.of(400);
}
