//! Where servers go: groups, aggregates and zones, services.

use super::world::{FakeHost, World, worlds};
use base::ServerId;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::params;
use store::work::Ran;

async fn hosts(w: &World, names: &[&str]) -> Vec<FakeHost> {
    let mut all = Vec::new();
    for name in names {
        let mut h = w.host(name).await;
        h.turn(w).await;
        all.push(h);
    }
    all
}

async fn group(w: &World, body: Value) -> String {
    let made = w.member("2.79", "POST", "/os-server-groups", Some(json!({"server_group": body}))).await;
    made.expect(200)["server_group"]["id"].as_str().unwrap().to_owned()
}

async fn hinted(w: &World, name: &str, hints: Value) -> super::world::Answer {
    let body = json!({"server": w.wish(name), "os:scheduler_hints": hints});
    w.member("2.79", "POST", "/servers", Some(body)).await
}

async fn created(w: &World, name: &str, hints: Value) -> ServerId {
    hinted(w, name, hints).await.expect(202)["server"]["id"].as_str().unwrap().parse().unwrap()
}

/// Runs the server's steps until it rests or waits.
async fn placed(w: &World, id: ServerId) -> Option<String> {
    while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
    let shown = w.admin("2.79", "GET", &format!("/servers/{id}"), None).await.expect(200);
    shown["server"]["OS-EXT-SRV-ATTR:host"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_server_group_in_every_microversion() {
    for w in worlds().await {
        let post = |v: &'static str, b: Value| {
            let w = &w;
            async move { w.member(v, "POST", "/os-server-groups", Some(json!({"server_group": b}))).await }
        };
        let old = post("2.1", json!({"name": "g", "policies": ["affinity"]})).await.expect(200);
        let names: BTreeSet<&str> =
            old["server_group"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, BTreeSet::from(["id", "name", "policies", "members", "metadata"]));
        let id = old["server_group"]["id"].as_str().unwrap().to_owned();
        let new = w.member("2.64", "GET", &format!("/os-server-groups/{id}"), None).await.expect(200);
        assert_eq!(
            (&new["server_group"]["policy"], &new["server_group"]["rules"], &new["server_group"]["policies"]),
            (&json!("affinity"), &json!({}), &Value::Null)
        );
        assert_eq!(new["server_group"]["project_id"], "a");
        post("2.1", json!({"name": "g", "policies": ["soft-affinity"]})).await.expect(400);
        post("2.15", json!({"name": "g", "policies": ["soft-affinity"]})).await.expect(200);
        post("2.64", json!({"name": "g", "policies": ["affinity"]})).await.expect(400);
        post("2.64", json!({"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 2}}))
            .await
            .expect(400);
        post("2.1", json!({"name": "g", "policies": []})).await.expect(400);
        post("2.1", json!({"name": "", "policies": ["affinity"]})).await.expect(400);
        w.send("member:b", "2.1", "GET", &format!("/compute/v2.1/os-server-groups/{id}"), None)
            .await
            .expect(404);
        assert_eq!(w.get("/os-server-groups?limit=1").await["server_groups"].as_array().unwrap().len(), 1);
        let rest = w.get("/os-server-groups?limit=5&offset=1").await;
        assert_eq!(rest["server_groups"].as_array().unwrap().len(), 1);
        assert_eq!(w.get("/limits").await["limits"]["absolute"]["totalServerGroupsUsed"], 2);
        w.member("2.1", "DELETE", &format!("/os-server-groups/{id}"), None).await.expect(204);
        w.member("2.1", "DELETE", &format!("/os-server-groups/{id}"), None).await.expect(404);
        let quota = json!({"quota_set": {"server_groups": 1}});
        w.admin("2.79", "PUT", "/os-quota-sets/a", Some(quota)).await.expect(200);
        let over = post("2.64", json!({"name": "g", "policy": "affinity"})).await.refused(403);
        assert_eq!(over, "Quota exceeded, too many server groups.");
    }
}

#[tokio::test]
async fn groups_are_kept_together_and_apart() {
    for w in worlds().await {
        let _hosts = hosts(&w, &["a", "b"]).await;
        let apart = group(&w, json!({"name": "apart", "policy": "anti-affinity"})).await;
        let one = created(&w, "one", json!({"group": apart})).await;
        let two = created(&w, "two", json!({"group": apart})).await;
        let three = created(&w, "three", json!({"group": apart})).await;
        let (h1, h2) = (placed(&w, one).await.unwrap(), placed(&w, two).await.unwrap());
        assert_ne!(h1, h2);
        assert_eq!(placed(&w, three).await, None);
        assert_eq!(
            w.member("2.1", "GET", &format!("/servers/{three}"), None).await.expect(200)["server"]["fault"]["message"],
            "No valid host was found. 2 hosts: 2 are ruled out by the server group apart (anti-affinity)."
        );
        let shown = w.get(&format!("/servers/{one}")).await;
        assert_eq!(shown["server"]["server_groups"], json!([apart]));
        let members = w.get(&format!("/os-server-groups/{apart}")).await["server_group"]["members"].clone();
        assert_eq!(members, json!([one, two, three]));

        let near = group(&w, json!({"name": "near", "policy": "affinity"})).await;
        let first = created(&w, "first", json!({"group": near})).await;
        let place = placed(&w, first).await;
        for name in ["n2", "n3"] {
            let id = created(&w, name, json!({"group": near})).await;
            assert_eq!(placed(&w, id).await, place);
        }
        let by = created(&w, "by", json!({"same_host": [one]})).await;
        assert_eq!(placed(&w, by).await, Some(h1.clone()));
        let off = created(&w, "off", json!({"different_host": one})).await;
        assert_eq!(placed(&w, off).await, Some(h2));
        hinted(&w, "x", json!({"group": "nonsense"})).await.expect(400);
        hinted(&w, "x", json!({"query": "[\">\", \"$ram\", 1]"})).await.expect(400);
        let nowhere =
            hinted(&w, "x", json!({"group": "4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1"})).await.refused(400);
        assert!(nowhere.starts_with("Instance group"), "{nowhere}");
    }
}

#[tokio::test]
async fn pods_are_chosen_and_kept_apart() {
    for w in worlds().await {
        let _hosts = hosts(&w, &["l1", "l2", "r1", "alone"]).await;
        for (name, pod) in [("l1", "left"), ("l2", "left"), ("r1", "right")] {
            let body = json!({"host": {"pod": pod}});
            w.send("admin:a", "", "PATCH", &format!("/hanok/v1/hosts/{name}"), Some(body)).await.expect(200);
        }
        let place = async |name: &str, hints: Value| {
            let id = created(&w, name, hints).await;
            (id, placed(&w, id).await.unwrap_or_default())
        };
        let (one, at) = place("one", json!({"pod": "right"})).await;
        assert_eq!(at, "r1");
        let (two, at) = place("two", json!({"pod": ["left", "attic"]})).await;
        assert!(at.starts_with('l'), "{at}");
        for name in ["n1", "n2", "n3"] {
            let (_, at) = place(name, json!({"same_pod": [two]})).await;
            assert!(at.starts_with('l'), "{at}");
        }
        let (_, at) = place("off", json!({"different_pod": [one, two]})).await;
        assert_eq!(at, "alone");
        let (lost, at) = place("lost", json!({"pod": "attic"})).await;
        assert_eq!(at, "");
        let shown = w.get(&format!("/servers/{lost}")).await;
        let why = shown["server"]["fault"]["message"].as_str().unwrap();
        assert!(why.contains("4 are ruled out by the hint pod"), "{why}");
        hinted(&w, "x", json!({"pod": 1})).await.expect(400);
        hinted(&w, "x", json!({"same_pod": "left"})).await.expect(400);
    }
}

#[tokio::test]
async fn anti_affinity_holds_when_plans_are_made_at_once() {
    for w in worlds().await {
        let _hosts = hosts(&w, &["a", "b", "c"]).await;
        let apart = group(&w, json!({"name": "apart", "policy": "anti-affinity"})).await;
        let mut ids = Vec::new();
        for name in ["1", "2", "3"] {
            ids.push(created(&w, name, json!({"group": apart})).await);
        }
        // All plans are made from the same view, before any of them is carried out.
        let plans = w.db.read({
            let ids = ids.clone();
            move |tx| {
                let mut plans = Vec::new();
                for id in ids {
                    let s = crate::table::server::any(tx, id)?.unwrap();
                    let (ask, rooms) = crate::placing::choices(tx, &s)?;
                    let crate::planner::Plan::Try(order) = crate::planner::plan(&rooms, &ask) else {
                        panic!()
                    };
                    plans.push((id, order, ask));
                }
                Ok(plans)
            }
        });
        let plans = plans.await.unwrap();
        assert_eq!(plans[0].1, plans[2].1);
        let claims = plans.into_iter().map(|(id, order, ask)| {
            let db = w.db.clone();
            tokio::spawn(async move {
                db.write(move |tx| {
                    let h = crate::placing::claim(tx, id, &order, &ask)?;
                    if let Some(h) = h {
                        crate::table::server::place(tx, id, h)?;
                    }
                    Ok(h)
                })
                .await
                .unwrap()
            })
        });
        let mut got = BTreeSet::new();
        for claim in claims.collect::<Vec<_>>() {
            got.insert(claim.await.unwrap().unwrap());
        }
        assert_eq!(got.len(), 3, "two of the group share a host");
    }
}

#[tokio::test]
async fn aggregates_steer() {
    for w in worlds().await {
        let all = hosts(&w, &["a", "b"]).await;
        let made = json!({"aggregate": {"name": "ssd", "availability_zone": null}});
        let made =
            w.admin("2.79", "POST", "/os-aggregates", Some(made)).await.expect(200)["aggregate"].clone();
        assert!(made.get("hosts").is_none() && made["uuid"].is_string(), "{made}");
        let path = format!("/os-aggregates/{}", made["id"]);
        let act = |body: Value| {
            let (w, path) = (&w, format!("{path}/action"));
            async move { w.admin("2.79", "POST", &path, Some(body)).await }
        };
        act(json!({"add_host": {"host": "b"}})).await.expect(200);
        act(json!({"add_host": {"host": "b"}})).await.expect(409);
        act(json!({"add_host": {"host": "nope"}})).await.expect(404);
        act(json!({"remove_host": {"host": "nope"}})).await.expect(404);
        let set = act(json!({"set_metadata": {"metadata": {"ssd": "true", "gone": null}}})).await.expect(200);
        assert_eq!(set["aggregate"]["metadata"], json!({"ssd": "true"}));
        let specs = json!({"extra_specs": {"aggregate_instance_extra_specs:ssd": "true"}});
        w.admin("2.79", "POST", "/flavors/2/os-extra_specs", Some(specs)).await.expect(200);
        for name in ["s1", "s2"] {
            let mut wish = w.wish(name);
            wish["flavorRef"] = json!("2");
            let id = w.member("2.79", "POST", "/servers", Some(json!({"server": wish}))).await.expect(202);
            let id = id["server"]["id"].as_str().unwrap().parse().unwrap();
            assert_eq!(placed(&w, id).await.as_deref(), Some("b"));
        }
        // The host has servers: its zone stays.
        let zone = |z: &str| json!({"aggregate": {"availability_zone": z}});
        w.admin("2.79", "PUT", &path, Some(zone("east"))).await.expect(400);
        let free = json!({"aggregate": {"name": "east", "availability_zone": "east"}});
        let free =
            w.admin("2.79", "POST", "/os-aggregates", Some(free.clone())).await.expect(200)["aggregate"]
                .clone();
        w.admin("2.79", "POST", "/os-aggregates", Some(json!({"aggregate": {"name": "east"}})))
            .await
            .expect(409);
        let east = format!("/os-aggregates/{}/action", free["id"]);
        w.admin("2.79", "POST", &east, Some(json!({"add_host": {"host": "b"}}))).await.expect(409);
        w.admin("2.79", "POST", &east, Some(json!({"add_host": {"host": "a"}}))).await.expect(200);
        let zones = w.member("2.1", "GET", "/os-availability-zone", None).await.expect(200);
        let names: Vec<_> =
            zones["availabilityZoneInfo"].as_array().unwrap().iter().map(|z| z["zoneName"].clone()).collect();
        assert_eq!(names, ["east", "nova"]);
        let mut wish = w.wish("z");
        wish["availability_zone"] = json!("east");
        let id = w.member("2.79", "POST", "/servers", Some(json!({"server": wish}))).await.expect(202);
        let id = id["server"]["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(placed(&w, id).await.as_deref(), Some("a"));
        w.admin("2.79", "POST", &east, Some(json!({"remove_host": {"host": "a"}}))).await.expect(409);
        // A host that registers again stays in the zone of its aggregate.
        let again = all[0].id;
        w.db.write(move |tx| crate::register_host(tx, again, "a", "token-of-a", "nova")).await.unwrap();
        let hosts = w.admin("2.1", "GET", "/os-services?host=a", None).await.expect(200);
        assert_eq!(hosts["services"][0]["zone"], "east");
        let images = format!("/os-aggregates/{}/images", free["id"]);
        let cache = json!({"cache": [{"id": w.image}]});
        w.admin("2.80", "POST", &images, Some(cache.clone())).await.expect(404);
        w.admin("2.81", "POST", &images, Some(cache)).await.expect(501);
        w.admin("2.81", "POST", &images, Some(json!({"cache": []}))).await.expect(400);
        w.admin("2.79", "DELETE", &path, None).await.expect(400);
        act(json!({"remove_host": {"host": "b"}})).await.expect(200);
        w.admin("2.79", "DELETE", &path, None).await.expect(200);
        w.admin("2.79", "GET", &path, None).await.expect(404);
    }
}

#[tokio::test]
async fn hosts_are_switched_off_forced_down_and_forgotten() {
    for w in worlds().await {
        let all = hosts(&w, &["a", "b"]).await;
        let put = |v: &'static str, path: String, body: Value| {
            let w = &w;
            async move { w.admin(v, "PUT", &format!("/os-services/{path}"), Some(body)).await }
        };
        let a = all[0].id.to_string();
        put("2.53", a.clone(), json!({"status": "disabled", "disabled_reason": "fans"})).await.expect(200);
        put("2.53", a.clone(), json!({"status": "enabled", "disabled_reason": "x"})).await.expect(400);
        put("2.53", a.clone(), json!({})).await.expect(400);
        put("2.53", "x".into(), json!({"status": "enabled"})).await.expect(400);
        let id = w.create("one").await;
        assert_eq!(placed(&w, id).await.as_deref(), Some("b"));
        let b = json!({"host": "b", "binary": "nova-compute", "forced_down": true});
        assert_eq!(
            put("2.11", "force-down".into(), b.clone()).await.expect(200),
            json!({"service": {"host": "b", "binary": "nova-compute", "forced_down": true}})
        );
        put("2.10", "force-down".into(), b).await.expect(404);
        let list = w.admin("2.11", "GET", "/os-services?host=b", None).await.expect(200);
        assert_eq!(
            (&list["services"][0]["state"], &list["services"][0]["forced_down"]),
            (&json!("down"), &json!(true))
        );
        let shown = w.admin("2.16", "GET", &format!("/servers/{id}"), None).await.expect(200);
        assert_eq!(shown["server"]["host_status"], "DOWN");
        w.admin("2.53", "DELETE", &format!("/os-services/{}", all[1].id), None).await.expect(409);
        // It still reports.
        w.admin("2.53", "DELETE", &format!("/os-services/{a}"), None).await.expect(409);
        put("2.53", a.clone(), json!({"forced_down": true})).await.expect(200);
        w.admin("2.53", "DELETE", &format!("/os-services/{a}"), None).await.expect(204);
        w.admin("2.53", "DELETE", &format!("/os-services/{a}"), None).await.expect(404);
    }
}

#[tokio::test]
async fn a_user_has_a_part_of_the_projects_quota() {
    for w in worlds().await {
        let path = "/os-quota-sets/a?user_id=member:a";
        let put = |n: i64| {
            let w = &w;
            async move { w.admin("2.79", "PUT", path, Some(json!({"quota_set": {"instances": n}}))).await }
        };
        put(11).await.expect(400);
        assert_eq!(put(1).await.expect(200)["quota_set"]["instances"], 1);
        w.create("one").await;
        let two = json!({"server": w.wish("two")});
        let over = w.member("2.79", "POST", "/servers", Some(two.clone())).await.refused(403);
        assert!(
            over.starts_with("Quota exceeded for instances: Requested 1, but already used 1 of 1"),
            "{over}"
        );
        // Another user of the project has what is left.
        w.send("manager:a", "2.79", "POST", "/compute/v2.1/servers", Some(two.clone())).await.expect(202);
        put(0).await.expect(400);
        let detail =
            w.admin("2.79", "GET", "/os-quota-sets/a/detail?user_id=member:a", None).await.expect(200);
        assert_eq!(detail["quota_set"]["instances"], json!({"in_use": 1, "limit": 1, "reserved": 0}));
        w.admin("2.79", "DELETE", path, None).await.expect(202);
        w.member("2.79", "POST", "/servers", Some(two)).await.expect(202);
        // Defaults change for everybody who has none of his own.
        let class = json!({"quota_class_set": {"instances": 3}});
        w.admin("2.79", "PUT", "/os-quota-class-sets/default", Some(class)).await.expect(200);
        assert_eq!(w.get("/limits").await["limits"]["absolute"]["maxTotalInstances"], 3);
        let three = json!({"server": w.wish("three")});
        w.member("2.79", "POST", "/servers", Some(three)).await.expect(403);
        w.admin("2.79", "PUT", "/os-quota-class-sets/other", Some(json!({"quota_class_set": {}})))
            .await
            .expect(400);
    }
}

#[tokio::test]
async fn what_everybody_may_filter_by() {
    for w in worlds().await {
        let _hosts = hosts(&w, &["a"]).await;
        let one = w.create("one").await;
        let two = w.create("two").await;
        placed(&w, one).await;
        let list = |token: &'static str, v: &'static str, query: String| {
            let w = &w;
            async move {
                let path = format!("/compute/v2.1/servers?{query}");
                let v = w.send(token, v, "GET", &path, None).await.expect(200);
                v["servers"].as_array().unwrap().len()
            }
        };
        let shown = w.get(&format!("/servers/{one}")).await["server"]["addresses"].clone();
        let addresses: Vec<&str> = shown
            .as_object()
            .unwrap()
            .values()
            .flat_map(|l| l.as_array().unwrap())
            .map(|a| a["addr"].as_str().unwrap())
            .collect();
        let v4 = addresses.iter().find(|a| a.contains('.')).unwrap().to_string();
        for (query, n) in [
            (format!("ip=%5E{}%24", v4.replace('.', "%5C.")), 1),
            (format!("ip={}", v4.replace('.', "%5B.%5D")), 1),
            ("ip=10.20.%28x%7C30%29".into(), 2),
            ("ip=%5E9".into(), 0),
            ("description=w".into(), 2),
            ("vm_state=building".into(), 2),
            (format!("uuid={two}"), 2),
            ("created_at=2001-01-01T00:00:00Z".into(), 0),
        ] {
            assert_eq!(list("member:a", "2.83", query.clone()).await, n, "{query}");
        }
        assert_eq!(list("admin:a", "2.1", format!("uuid={two}")).await, 1);
        assert_eq!(list("admin:a", "2.1", "host=a".into()).await, 1);
        assert_eq!(list("member:a", "2.1", "host=a".into()).await, 2);
        assert_eq!(list("member:a", "2.82", "vm_state=active".into()).await, 2);
        assert_eq!(list("member:a", "2.83", "vm_state=active".into()).await, 0);
        w.member("2.83", "GET", "/servers?ip=%28", None).await.expect(400);
        w.member(
            "2.66",
            "GET",
            "/servers?changes-since=2030-01-01T00:00:00Z&changes-before=2029-01-01T00:00:00Z",
            None,
        )
        .await
        .expect(400);
    }
}

#[tokio::test]
async fn the_number_of_an_aggregate_is_its_own_for_ever() {
    for w in worlds().await {
        let make = |name: String| {
            let (w, body) = (&w, json!({"aggregate": {"name": name, "availability_zone": null}}));
            async move { w.admin("2.79", "POST", "/os-aggregates", Some(body)).await }
        };
        let number = |made: Value| made["aggregate"]["id"].as_i64().unwrap();
        let first = number(make("first".into()).await.expect(200));
        w.admin("2.79", "DELETE", &format!("/os-aggregates/{first}"), None).await.expect(200);
        let second = number(make("second".into()).await.expect(200));
        assert!(second > first, "{second} was {first}'s");
        let taken = make("second".into()).await.refused(409);
        assert_eq!(taken, "Aggregate second already exists.");
        // A region of the release before has made one.
        let theirs = second + 10;
        w.db.write(move |tx| {
            tx.exec(
                "INSERT INTO aggregate (id, uuid, name, created_at) VALUES ($1, 'u', 'theirs', 1)",
                params![theirs],
            )
        })
        .await
        .unwrap();
        assert_eq!(number(make("third".into()).await.expect(200)), theirs + 1);
        let many = futures_util::future::join_all((0..8).map(|i| make(format!("many{i}")))).await;
        let mut numbers: Vec<_> = many.into_iter().map(|a| number(a.expect(200))).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 8);
    }
}

/// During an upgrade a region of the release before takes the number after the largest, and has not committed yet.
#[tokio::test]
async fn a_number_that_another_release_takes_in_this_moment_is_passed_over() {
    for w in worlds().await {
        if w.db.is_alone() {
            continue;
        }
        let (begun, both_have_it) = tokio::sync::oneshot::channel();
        let theirs = w.db.write(move |tx| {
            tx.exec("INSERT INTO aggregate (id, uuid, name, created_at) VALUES (1, 'u', 'theirs', 1)", &[])?;
            begun.send(()).unwrap();
            let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
                         AND transactionid = pg_current_xact_id()::xid";
            while tx.one(waits, &[], |r| r.get::<i64>(0))? == 0 {}
            Ok(())
        });
        let ours = async {
            both_have_it.await.unwrap();
            let body = json!({"aggregate": {"name": "ours", "availability_zone": null}});
            w.admin("2.79", "POST", "/os-aggregates", Some(body)).await
        };
        let (theirs, ours) = tokio::join!(theirs, ours);
        theirs.unwrap();
        assert_eq!(ours.expect(200)["aggregate"]["id"], 2);
    }
}
