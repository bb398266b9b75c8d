//! The API by its noun: what clients ask and are answered.

use super::world::{World, worlds};
use base::ServerId;
use serde_json::{Value, json};

async fn create(w: &World, change: impl FnOnce(&mut Value)) -> super::world::Answer {
    let mut s = w.wish("x");
    change(&mut s);
    w.member("2.79", "POST", "/servers", Some(json!({"server": s}))).await
}

#[tokio::test]
async fn versions_need_no_token() {
    let w = World::new().await;
    let v = w.send("", "", "GET", "/compute/v2.1", None).await.expect(200);
    assert_eq!((&v["version"]["version"], &v["version"]["min_version"]), (&json!("2.96"), &json!("2.1")));
    w.send("", "", "GET", "/compute", None).await.expect(200);
    let message = w.member("2.999", "GET", "/servers", None).await;
    assert_eq!(message.status, 406);
    assert_eq!(message.body["computeFault"]["code"], 406);
}

#[tokio::test]
async fn refusals_of_create_in_computes_words() {
    for w in worlds().await {
        let bad = |change: fn(&mut Value)| create(&w, change);
        assert_eq!(
            bad(|s| s["flavorRef"] = json!("999")).await.refused(400),
            "Flavor 999 could not be found."
        );
        let none = bad(|s| s["imageRef"] = json!("4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1")).await.refused(400);
        assert!(none.starts_with("Can not find requested image"), "{none}");
        assert_eq!(bad(|s| s["key_name"] = json!("nope")).await.refused(400), "Invalid key_name provided.");
        assert_eq!(
            bad(|s| s["availability_zone"] = json!("nope")).await.refused(400),
            "The requested availability zone is not available"
        );
        bad(|s| s["name"] = json!(12345)).await.refused(400);
        bad(|s| s["name"] = json!("x".repeat(256))).await.refused(400);
        bad(|s| s["imageRef"] = json!("-1")).await.refused(400);
        bad(|s| s["networks"] = json!([{"uuid": "a-b-c"}])).await.refused(400);
        bad(|s| s["networks"] = json!([{"uuid": "4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1"}])).await.refused(400);
        bad(|s| s["accessIPv6"] = json!("notvalid")).await.refused(400);
        bad(|s| s["user_data"] = json!("not base 64!")).await.refused(400);
        bad(|s| s["user_data"] = json!("A".repeat(70_000))).await.refused(400);
        bad(|s| s["metadata"] = json!({"k": "v".repeat(256)})).await.refused(400);
        bad(|s| {
            s["min_count"] = json!(3);
            s["max_count"] = json!(2);
        })
        .await
        .refused(400);
        let volumes = bad(|s| {
            s["block_device_mapping_v2"] = json!([{"uuid": "4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1", "source_type": "volume", "boot_index": 0}]);
        });
        assert!(volumes.await.refused(400).contains("volumes come in a later release"));
        let mut s = w.wish("x");
        s.as_object_mut().unwrap().remove("networks");
        w.member("2.37", "POST", "/servers", Some(json!({"server": s.clone()}))).await.refused(400);
        w.member("2.36", "POST", "/servers", Some(json!({"server": s}))).await.expect(202);
        // Refused requests leave nothing.
        assert_eq!(w.held().await["work"], 1);
        assert_eq!(w.held().await["ports"], 1);
    }
}

#[tokio::test]
async fn several_at_once() {
    for w in worlds().await {
        let made = create(&w, |s| {
            s["min_count"] = json!(2);
            s["max_count"] = json!(3);
            s["return_reservation_id"] = json!(true);
        });
        let reservation = made.await.expect(202)["reservation_id"].as_str().unwrap().to_owned();
        let list =
            w.get(&format!("/servers?reservation_id={reservation}&sort_key=display_name&sort_dir=asc")).await;
        let names: Vec<_> = list["servers"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
        assert_eq!(names, ["x-1", "x-2", "x-3"]);
        // As many as the quota allows, if that is at least min_count.
        create(&w, |s| {
            s["min_count"] = json!(1);
            s["max_count"] = json!(20);
        })
        .await
        .expect(202);
        assert_eq!(w.get("/limits").await["limits"]["absolute"]["totalInstancesUsed"], 10);
        let over = create(&w, |_| ()).await.refused(403);
        assert!(
            over.starts_with("Quota exceeded for instances: Requested 1, but already used 10 of 10"),
            "{over}"
        );
    }
}

fn ids(v: &Value) -> Vec<ServerId> {
    v["servers"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn lists_filter_sort_and_page() {
    for w in worlds().await {
        let mut made = Vec::new();
        for name in ["web-instance-1", "web-instance-2", "db"] {
            made.push(w.create(name).await);
        }
        let newest_first: Vec<_> = made.iter().rev().copied().collect();
        assert_eq!(ids(&w.get("/servers").await), newest_first);
        assert_eq!(
            ids(&w.get("/servers?sort_key=display_name&sort_dir=desc").await),
            [made[1], made[0], made[2]]
        );
        let page = w.get("/servers/detail?limit=2&sort_key=display_name").await;
        assert_eq!(ids(&page), [made[2], made[0]]);
        let next = page["servers_links"][0]["href"].as_str().unwrap();
        let path = next.strip_prefix("http://hanok.test/compute/v2.1").unwrap();
        let rest = w.get(path).await;
        assert_eq!((ids(&rest), &rest["servers_links"]), (vec![made[1]], &Value::Null));
        for (query, found) in [
            ("name=web", vec![made[1], made[0]]),
            ("name=%5E.*%5C-instance%5C-%5B0-9%5D%2B%24", vec![made[1], made[0]]),
            ("name=nope", vec![]),
            ("status=BUILD", newest_first.clone()),
            ("status=ACTIVE", vec![]),
            ("status=RESIZE", vec![]),
            ("flavor=1&image=", vec![]),
            (&format!("image={}", w.image), newest_first.clone()),
            ("flavor=2", vec![]),
            ("changes-since=2001-01-01T00:00:00Z", newest_first.clone()),
            ("changes-since=2999-01-01T00:00:00Z", vec![]),
            ("ip=10.20.30", newest_first.clone()),
            ("ip=192.0.2", vec![]),
            ("limit=0", vec![]),
        ] {
            assert_eq!(ids(&w.get(&format!("/servers?{query}")).await), found, "{query}");
        }
        for bad in [
            "limit=-1",
            "limit=x",
            "marker=nope",
            "status=nope",
            "changes-since=nope",
            "nonsense=1",
            "sort_key=nope",
        ] {
            w.member("2.79", "GET", &format!("/servers?{bad}"), None).await.expect(400);
        }
        assert_eq!(ids(&w.member("2.1", "GET", "/servers?status=nope&x=y", None).await.expect(200)), []);
        w.member("2.79", "GET", "/servers?all_tenants=1", None).await.expect(403);
        for key in ["host", "node"] {
            let path = format!("/servers?sort_key=display_name&sort_key={key}");
            assert_eq!(
                w.member("2.79", "GET", &path, None).await.refused(403),
                format!("Only administrators can sort servers by {key}")
            );
            w.admin("2.79", "GET", &path, None).await.expect(200);
        }
        assert_eq!(ids(&w.admin("2.79", "GET", "/servers?all_tenants=1", None).await.expect(200)).len(), 3);
        // Another project's.
        assert_eq!(
            ids(&w.send("member:b", "2.79", "GET", "/compute/v2.1/servers", None).await.expect(200)),
            []
        );
        let path = format!("/compute/v2.1/servers/{}", made[0]);
        w.send("member:b", "2.79", "GET", &path, None).await.expect(404);
        w.send("member:b", "2.79", "DELETE", &path, None).await.expect(404);
        w.member("2.79", "GET", "/servers/a-name", None).await.expect(404);
    }
}

#[tokio::test]
async fn metadata_tags_and_locks() {
    for w in worlds().await {
        let id = w.create("one").await;
        let meta = format!("/servers/{id}/metadata");
        let w = &w;
        let put = |path: String, body: Value| async move { w.member("2.79", "PUT", &path, Some(body)).await };
        let post = json!({"metadata": {"a": "1", "b": "2"}});
        w.member("2.1", "POST", &meta, Some(post)).await.expect(200);
        put(format!("{meta}/b"), json!({"meta": {"b": "3"}})).await.expect(200);
        assert_eq!(w.get(&meta).await, json!({"metadata": {"a": "1", "b": "3"}}));
        assert_eq!(w.get(&format!("{meta}/b")).await, json!({"meta": {"b": "3"}}));
        w.member("2.1", "DELETE", &format!("{meta}/b"), None).await.expect(204);
        w.member("2.1", "DELETE", &format!("{meta}/b"), None).await.expect(404);
        put(meta.clone(), json!({"metadata": {}})).await.expect(200);
        assert_eq!(w.get(&meta).await, json!({"metadata": {}}));

        let tags = format!("/servers/{id}/tags");
        assert_eq!(
            put(tags.clone(), json!({"tags": ["x", "y"]})).await.expect(200),
            json!({"tags": ["x", "y"]})
        );
        assert_eq!(w.member("2.26", "PUT", &format!("{tags}/z"), None).await.status, 201);
        assert_eq!(w.member("2.26", "PUT", &format!("{tags}/z"), None).await.status, 204);
        assert_eq!(w.member("2.26", "GET", &format!("{tags}/z"), None).await.status, 204);
        for (query, n) in [
            ("tags=x,z", 1),
            ("tags=x,n", 0),
            ("tags-any=n,z", 1),
            ("not-tags=x,n", 1),
            ("not-tags-any=x", 0),
        ] {
            assert_eq!(ids(&w.get(&format!("/servers?{query}")).await).len(), n, "{query}");
        }
        w.member("2.26", "DELETE", &format!("{tags}/z"), None).await.expect(204);
        w.member("2.26", "GET", &format!("{tags}/z"), None).await.expect(404);
        w.member("2.26", "DELETE", &tags, None).await.expect(204);
        w.member("2.25", "GET", &tags, None).await.expect(404);

        // An administrator of another project.
        let act = format!("/compute/v2.1/servers/{id}/action");
        let admin = |body: Value| w.send("admin:b", "2.79", "POST", &act, Some(body));
        admin(json!({"lock": {"locked_reason": "mine"}})).await.expect(202);
        assert_eq!(w.delete(id).await.refused(409), format!("Instance {id} is locked"));
        assert_eq!(w.get(&format!("/servers/{id}")).await["server"]["locked_reason"], "mine");
        // An administrator's lock is not the owner's to take off, nor to cover with one of his own.
        assert!(w.act(id, json!({"unlock": null})).await.refused(403).contains("unlock_override"));
        w.act(id, json!({"lock": null})).await.expect(202);
        w.act(id, json!({"unlock": null})).await.refused(403);
        admin(json!({"unlock": null})).await.expect(202);
        w.act(id, json!({"lock": null})).await.expect(202);
        w.delete(id).await.refused(409);
        w.act(id, json!({"unlock": null})).await.expect(202);
        w.delete(id).await.expect(204);
        assert!(w.act(id, json!({"os-getSPICEConsole": {}})).await.refused(501).contains("later release"));
    }
}

#[tokio::test]
async fn flavors() {
    for w in worlds().await {
        let list = w.get("/flavors").await;
        let names: Vec<_> = list["flavors"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
        assert_eq!(names, ["nano", "micro", "small", "medium", "large"]);
        let page = w.get("/flavors/detail?limit=1&marker=2").await;
        assert_eq!(page["flavors"][0]["name"], "small");
        assert!(page["flavors_links"].is_array());
        assert_eq!(w.get("/flavors?minRam=2048").await["flavors"].as_array().unwrap().len(), 2);
        w.member("2.1", "GET", "/flavors?marker=nope", None).await.expect(400);
        assert_eq!(w.member("2.1", "GET", "/flavors/1", None).await.expect(200)["flavor"]["swap"], "");
        assert_eq!(w.get("/flavors/1").await["flavor"]["swap"], 0);

        let secret = json!({"flavor": {"name": "secret", "ram": 64, "vcpus": 1, "disk": 0, "id": 77,
            "os-flavor-access:is_public": false}});
        w.admin("2.79", "POST", "/flavors", Some(secret.clone())).await.expect(200);
        assert_eq!(
            w.admin("2.79", "POST", "/flavors", Some(secret)).await.refused(409),
            "Flavor with ID 77 already exists."
        );
        w.member("2.79", "GET", "/flavors/77", None).await.expect(404);
        assert_eq!(
            create(&w, |s| s["flavorRef"] = json!("77")).await.refused(400),
            "Flavor 77 could not be found."
        );
        let grant = json!({"addTenantAccess": {"tenant": "a"}});
        let access = w.admin("2.1", "POST", "/flavors/77/action", Some(grant)).await.expect(200);
        assert_eq!(access["flavor_access"], json!([{"flavor_id": "77", "tenant_id": "a"}]));
        w.get("/flavors/77").await;
        create(&w, |s| s["flavorRef"] = json!("77")).await.expect(202);
        assert_eq!(
            w.admin("2.1", "GET", "/flavors/detail?is_public=None", None).await.expect(200)["flavors"]
                .as_array()
                .unwrap()
                .len(),
            6
        );

        let specs = json!({"extra_specs": {"hw:x": "1", "hw:n": 2}});
        w.admin("2.1", "POST", "/flavors/77/os-extra_specs", Some(specs)).await.expect(200);
        w.admin("2.1", "PUT", "/flavors/77/os-extra_specs/hw:x", Some(json!({"hw:x": "3"})))
            .await
            .expect(200);
        assert_eq!(w.get("/flavors/77").await["flavor"]["extra_specs"], json!({"hw:n": "2", "hw:x": "3"}));
        w.admin("2.1", "DELETE", "/flavors/77/os-extra_specs/hw:x", None).await.expect(200);
        w.admin("2.1", "GET", "/flavors/77/os-extra_specs/hw:x", None).await.expect(404);
        w.admin("2.55", "PUT", "/flavors/77", Some(json!({"flavor": {"description": "d"}})))
            .await
            .expect(200);
        w.admin("2.54", "PUT", "/flavors/77", Some(json!({"flavor": {"description": "d"}})))
            .await
            .expect(404);
        w.admin("2.1", "DELETE", "/flavors/77", None).await.expect(202);
        w.admin("2.1", "DELETE", "/flavors/77", None).await.expect(404);
    }
}

#[tokio::test]
async fn keypairs() {
    for w in worlds().await {
        let made = w
            .member("2.1", "POST", "/os-keypairs", Some(json!({"keypair": {"name": "k"}})))
            .await
            .expect(200);
        assert!(made["keypair"]["private_key"].as_str().unwrap().contains("PRIVATE KEY"));
        let public = made["keypair"]["public_key"].clone();
        let import = json!({"keypair": {"name": "j", "public_key": public, "type": "ssh"}});
        let made = w.member("2.2", "POST", "/os-keypairs", Some(import.clone())).await.expect(201);
        assert_eq!(made["keypair"]["type"], "ssh");
        assert_eq!(
            w.member("2.2", "POST", "/os-keypairs", Some(import)).await.refused(409),
            "Key pair 'j' already exists."
        );
        let list = w.member("2.35", "GET", "/os-keypairs?limit=1", None).await.expect(200);
        assert_eq!(list["keypairs"][0]["keypair"]["name"], "j");
        assert!(list["keypairs_links"].is_array());
        assert_eq!(w.get("/os-keypairs/k").await["keypair"]["user_id"], "member:a");
        w.member("2.10", "GET", "/os-keypairs?user_id=another", None).await.expect(403);
        w.admin("2.10", "GET", "/os-keypairs/k?user_id=member:a", None).await.expect(200);
        create(&w, |s| s["key_name"] = json!("k")).await.expect(202);
        w.member("2.1", "DELETE", "/os-keypairs/k", None).await.expect(202);
        w.member("2.2", "DELETE", "/os-keypairs/j", None).await.expect(204);
        w.member("2.2", "DELETE", "/os-keypairs/j", None).await.expect(404);
        let bad = json!({"keypair": {"name": "k", "public_key": "ssh-rsa nonsense"}});
        w.member("2.2", "POST", "/os-keypairs", Some(bad)).await.expect(400);
    }
}

#[tokio::test]
async fn quotas_and_limits() {
    for w in worlds().await {
        let shown = w.member("2.1", "GET", "/os-quota-sets/a", None).await.expect(200)["quota_set"].clone();
        assert_eq!(
            (&shown["instances"], &shown["floating_ips"], &shown["injected_files"]),
            (&json!(10), &json!(-1), &json!(5))
        );
        let names = |v: &Value| v.as_object().unwrap().len();
        assert_eq!(names(&w.get("/os-quota-sets/a").await["quota_set"]), 8, "seven and the id");
        w.member("2.1", "GET", "/os-quota-sets/b", None).await.expect(403);
        let put = json!({"quota_set": {"instances": 1, "force": true}});
        w.admin("2.79", "PUT", "/os-quota-sets/a", Some(put)).await.expect(200);
        w.create("one").await;
        create(&w, |_| ()).await.expect(403);
        let detail = w.get("/os-quota-sets/a/detail").await;
        assert_eq!(detail["quota_set"]["instances"], json!({"in_use": 1, "limit": 1, "reserved": 0}));
        let low = json!({"quota_set": {"instances": 0}});
        w.admin("2.79", "PUT", "/os-quota-sets/a", Some(low)).await.expect(400);
        w.admin("2.79", "DELETE", "/os-quota-sets/a", None).await.expect(202);
        assert_eq!(w.get("/os-quota-sets/a").await["quota_set"]["instances"], 10);
        assert_eq!(w.get("/os-quota-sets/a/defaults").await["quota_set"]["cores"], 20);
        let absolute = w.get("/limits").await["limits"]["absolute"].clone();
        assert_eq!((&absolute["totalInstancesUsed"], &absolute["totalRAMUsed"]), (&json!(1), &json!(64)));
    }
}

#[tokio::test]
async fn parts_of_a_server() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let ips = w.get(&format!("/servers/{id}/ips")).await;
        let addr = ips["addresses"]["private"][0]["addr"].as_str().unwrap().to_owned();
        assert_eq!(
            w.get(&format!("/servers/{id}/ips/private")).await["private"][0],
            json!({"addr": addr, "version": 4})
        );
        w.member("2.1", "GET", &format!("/servers/{id}/ips/nope"), None).await.expect(404);
        let ports = w.get(&format!("/servers/{id}/os-interface")).await;
        let port = &ports["interfaceAttachments"][0];
        assert_eq!(
            (&port["port_state"], &port["fixed_ips"][0]["ip_address"]),
            (&json!("ACTIVE"), &json!(addr))
        );
        let groups = w.get(&format!("/servers/{id}/os-security-groups")).await;
        assert_eq!(groups["security_groups"][0]["name"], "default");
        assert_ne!(groups["security_groups"][0]["id"], "default");
        w.act(id, json!({"removeSecurityGroup": {"name": "default"}})).await.expect(202);
        w.act(id, json!({"removeSecurityGroup": {"name": "default"}})).await.expect(404);
        assert_eq!(w.get(&format!("/servers/{id}")).await["server"].get("security_groups"), None);
        w.act(id, json!({"addSecurityGroup": {"name": "nope"}})).await.expect(404);
        w.act(id, json!({"addSecurityGroup": {"name": "default"}})).await.expect(202);
        w.act(id, json!({"addSecurityGroup": {"name": "default"}})).await.expect(202);
        let actions = w.get(&format!("/servers/{id}/os-instance-actions")).await;
        let request = actions["instanceActions"][0]["request_id"].as_str().unwrap().to_owned();
        let one =
            w.get(&format!("/servers/{id}/os-instance-actions/{request}")).await["instanceAction"].clone();
        assert_eq!((&one["action"], &one["events"][0]["result"]), (&json!("create"), &json!("Success")));
        let usage = w.get("/os-simple-tenant-usage/a").await["tenant_usage"].clone();
        assert_eq!(usage["server_usages"][0]["name"], "one");
        w.get("/extensions").await;
        w.get("/os-server-groups").await;
        let renamed = json!({"server": {"name": "two", "accessIPv4": "192.0.2.7", "description": null}});
        let renamed = w.member("2.19", "PUT", &format!("/servers/{id}"), Some(renamed)).await.expect(200);
        assert_eq!(
            (&renamed["server"]["name"], &renamed["server"]["accessIPv4"]),
            (&json!("two"), &json!("192.0.2.7"))
        );
        let deleted = w.admin("2.79", "GET", "/servers?deleted=true&all_tenants=1", None).await.expect(200);
        assert_eq!(ids(&deleted), []);
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        let deleted =
            w.admin("2.79", "GET", "/servers/detail?deleted=true&all_tenants=1", None).await.expect(200);
        assert_eq!(deleted["servers"][0]["status"], "DELETED");
        let changed = w.get("/servers/detail?changes-since=2001-01-01T00:00:00Z").await;
        assert_eq!(changed["servers"][0]["status"], "DELETED");
    }
}
