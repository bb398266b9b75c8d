//! Our own calls: lists, changes, refusals.

use super::world::{Room, World, worlds};
use crate::act::Owner;
use crate::model::Constraints;
use base::{MachineId, ProjectId, UserId};
use serde_json::{Value, json};

async fn enter(w: &World, name: &str, n: u32) -> MachineId {
    let mac = format!("52:54:00:00:{:02x}:{:02x}", n >> 8, n & 255);
    let wish = json!({"machine": {"name": name, "macs": [mac]}});
    let made = w.admin("POST", "/hanok/v1/machines", Some(wish)).await.of(201);
    made["machine"]["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn machines_are_listed_by_filters_and_pages() {
    for w in worlds().await {
        for n in 0..7 {
            let id = enter(&w, &format!("m{n}"), n).await;
            if n < 3 {
                let change = json!({"machine": {"tags": ["gpu"], "description": "rack 4"}});
                w.admin("PATCH", &format!("/hanok/v1/machines/{id}"), Some(change)).await.of(200);
            }
        }
        let names = |v: &Value| -> Vec<String> {
            let all = v["machines"].as_array().unwrap().iter();
            all.map(|m| m["name"].as_str().unwrap().to_owned()).collect()
        };
        let first =
            w.admin("GET", "/hanok/v1/machines?limit=5&sort_key=name&sort_dir=desc", None).await.of(200);
        assert_eq!(names(&first), ["m6", "m5", "m4", "m3", "m2"]);
        let next = first["machines_links"][0]["href"].as_str().unwrap().replace("http://hanok.test", "");
        let rest = w.admin("GET", &next, None).await.of(200);
        assert_eq!(names(&rest), ["m1", "m0"]);
        for (query, n) in [
            ("tag=gpu", 3),
            ("not_tag=gpu", 4),
            ("status=new", 7),
            ("status=Ready", 0),
            ("q=RACK 4", 3),
            ("q=00:06", 1),
            ("mac=52:54:00:00:00:02", 1),
            ("name=m1&name=m2", 2),
            ("pool=default&zone=default", 7),
            ("zone=nowhere", 0),
            ("power=unknown", 7),
            ("min_cores=1", 0),
        ] {
            let query = query.replace(' ', "%20");
            let found = w.admin("GET", &format!("/hanok/v1/machines?{query}"), None).await.of(200);
            assert_eq!(names(&found).len(), n, "{query}");
        }
        for bad in ["colour=red", "status=happy", "min_cores=x", "limit=-1", "sort_key=luck", "format=xml"] {
            w.admin("GET", &format!("/hanok/v1/machines?{bad}"), None).await.refused(400);
        }
        let count = w.admin("GET", "/hanok/v1/machines/count", None).await.of(200);
        assert_eq!(count["count"], json!({"total": 7, "by_status": {"new": 7}}));
        let csv = w.admin("GET", "/hanok/v1/machines?format=csv", None).await;
        assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
        assert_eq!(csv.text.lines().count(), 8);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    for w in worlds().await {
        let id = enter(&w, "one", 1).await;
        for (wish, status) in [
            (json!({"name": "one", "macs": ["52:54:00:99:00:01"]}), 409),
            (json!({"name": "two", "macs": ["52:54:00:00:00:01"]}), 409),
            (json!({"name": "two", "macs": []}), 400),
            (json!({"name": "two", "macs": ["nonsense"]}), 400),
            (json!({"name": "Two!", "macs": ["52:54:00:99:00:01"]}), 400),
            (json!({"name": "two", "macs": ["52:54:00:99:00:01"], "bmc": {"kind": "magic"}}), 400),
            (json!({"name": "two", "macs": ["52:54:00:99:00:01"], "zone": "nowhere"}), 400),
            (json!({"name": "two", "colour": "red"}), 400),
        ] {
            w.admin("POST", "/hanok/v1/machines", Some(json!({"machine": wish}))).await.refused(status);
        }
        for (action, body, status) in [
            ("dance", json!({}), 404),
            ("release", json!({}), 409),
            ("deploy", json!({"image_id": base::ImageId::new().to_string()}), 404),
            ("commission", json!({"tests": ["luck"]}), 400),
            ("exit-rescue", json!({}), 409),
            ("retry", json!({}), 409),
            ("allocate", json!({}), 409),
            ("release", json!({"erase": "gently"}), 400),
        ] {
            w.act(id, action, body).await.refused(status);
        }
        w.act(id, "lock", json!({})).await.of(202);
        for action in ["commission", "mark-broken", "power-on"] {
            assert!(w.act(id, action, json!({})).await.refused(409).contains("locked"));
        }
        w.admin("DELETE", &format!("/hanok/v1/machines/{id}"), None).await.refused(409);
        w.act(id, "unlock", json!({})).await.of(202);
        w.act(id, "mark-broken", json!({"reason": "it smokes"})).await.of(202);
        assert_eq!(w.machine(id).await.message, "it smokes");
        w.act(id, "mark-fixed", json!({})).await.of(202);
        assert_eq!(w.status(id).await, "new");
    }
}

#[tokio::test]
async fn segments_hold_together() {
    for w in worlds().await {
        let one = w.admin("GET", "/hanok/v1/segments/lab", None).await.of(200);
        assert_eq!(one["segment"]["subnets"][0]["ranges"][0]["first"], "10.9.0.100");
        let subnet = |cidr: &str, address: &str| json!({"subnet": {"cidr": cidr, "address": address}});
        let path = "/hanok/v1/segments/lab/subnets";
        w.admin("POST", path, Some(subnet("10.9.0.128/25", "10.9.0.129"))).await.refused(409);
        w.admin("POST", path, Some(subnet("10.10.0.0/24", "10.11.0.1"))).await.refused(400);
        w.admin("POST", path, Some(subnet("fd00:9::/64", "fd00:9::1"))).await.of(201);
        let id = one["segment"]["subnets"][0]["id"].as_str().unwrap();
        let ranges = json!({"subnet": {"ranges": [
            {"first": "10.9.0.10", "last": "10.9.0.20"}, {"first": "10.9.0.15", "last": "10.9.0.30"}]}});
        w.admin("PATCH", &format!("{path}/{id}"), Some(ranges)).await.refused(409);
        w.admin("PATCH", "/hanok/v1/segments/lab", Some(json!({"segment": {"dhcp": "proxy"}}))).await.of(200);
        w.admin("PATCH", "/hanok/v1/segments/lab", Some(json!({"segment": {"dhcp": "maybe"}})))
            .await
            .refused(400);
        w.admin("DELETE", "/hanok/v1/racks/r1", None).await.of(204);
        let one = w.admin("GET", "/hanok/v1/segments/lab", None).await.of(200);
        assert_eq!((&one["segment"]["rack"], &one["segment"]["dhcp"]), (&json!(null), &json!("proxy")));
        w.admin("DELETE", "/hanok/v1/segments/lab", None).await.of(204);
        w.admin("GET", "/hanok/v1/segments/lab", None).await.of(404);
    }
}

#[tokio::test]
async fn zones_pools_tags_and_keys() {
    for w in worlds().await {
        let id = enter(&w, "one", 1).await;
        for (word, words) in [("zone", "zones"), ("pool", "pools")] {
            let path = format!("/hanok/v1/machine-{words}");
            w.admin("POST", &path, Some(json!({word: {"name": "east"}}))).await.of(201);
            w.admin("POST", &path, Some(json!({word: {"name": "east"}}))).await.refused(409);
            let change = json!({"machine": {word: "east"}});
            let now = w.admin("PATCH", &format!("/hanok/v1/machines/{id}"), Some(change)).await.of(200);
            assert_eq!(now["machine"][word], "east");
            w.admin("DELETE", &format!("{path}/east"), None).await.of(204);
            w.admin("DELETE", &format!("{path}/default"), None).await.refused(409);
            let now = w.admin("GET", &format!("/hanok/v1/machines/{id}"), None).await.of(200);
            assert_eq!(now["machine"][word], "default");
        }
        let key = json!({"key": {"key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me", "operator": true}});
        w.member("POST", "/hanok/v1/machine-keys", Some(key.clone())).await.refused(403);
        let made = w.admin("POST", "/hanok/v1/machine-keys", Some(key.clone())).await.of(201);
        w.admin("POST", "/hanok/v1/machine-keys", Some(key)).await.refused(409);
        let bad = json!({"key": {"key": "hello"}});
        w.admin("POST", "/hanok/v1/machine-keys", Some(bad)).await.refused(400);
        let path = format!("/hanok/v1/machine-keys/{}", made["key"]["id"]);
        w.admin("DELETE", &path, None).await.of(204);
        w.admin("DELETE", &path, None).await.of(404);
    }
}

#[tokio::test]
async fn the_smallest_machine_that_suits_is_given_and_each_once() {
    for w in worlds().await {
        let mut room = Room::new(&["52:54:00:01:00:01", "52:54:00:01:00:02"]);
        w.ready(&mut room).await;
        let second = room.pcs[1].id.unwrap();
        w.steps(second).await;
        room.turn(&w).await;
        w.steps(second).await;
        w.act(second, "commission", json!({})).await.of(202);
        w.until(&mut room, second, "ready").await;
        w.db.write(move |tx| crate::table::machine::set(tx, second, "cores", 2_i64)).await.unwrap();
        let owner =
            Owner { project: ProjectId::from("a"), user: UserId::from("u"), agent_name: String::new() };
        let give = |c: Constraints| {
            let (metal, owner) = (w.metal.clone(), owner.clone());
            w.db.write(move |tx| metal.allocate(tx, &c, &owner))
        };
        let none = Constraints { disks: vec![200 << 30], ..Constraints::default() };
        give(none).await.unwrap_err();
        let some = Constraints { disks: vec![50 << 30], tags: vec!["ssd".into()], ..Constraints::default() };
        assert_eq!(give(some.clone()).await.unwrap().id, second);
        let big = Constraints { min_cores: Some(4), ..some.clone() };
        give(big).await.unwrap();
        let fault = give(some).await.unwrap_err();
        assert!(fault.message.contains("No available machine"), "{fault}");
    }
}

/// PostgreSQL keeps no zero character in a text, and refuses even to look for one.
#[tokio::test]
async fn zero_characters_are_refused_in_words() {
    for w in worlds().await {
        let id = enter(&w, "m1", 1).await;
        let machine = format!("/hanok/v1/machines/{id}");
        for (method, path, body, place) in [
            ("PATCH", machine.clone(), json!({"machine": {"tags": ["a\0"]}}), "machine.tags[0]"),
            ("PATCH", machine.clone(), json!({"machine": {"description": "a\0b"}}), "machine.description"),
            (
                "POST",
                "/hanok/v1/machines".into(),
                json!({"machine": {"name": "x", "macs": ["\0"]}}),
                "machine.macs[0]",
            ),
            ("POST", "/hanok/v1/segments".into(), json!({"segment": {"name": "\0"}}), "segment.name"),
            ("POST", format!("{machine}/mark-broken"), json!({"reason": "\0"}), "reason"),
        ] {
            let words = w.admin(method, &path, Some(body)).await.refused(400);
            assert!(words.contains(&format!("attribute {place}. It holds a zero character")), "{words}");
        }
        for query in ["?name=a%00", "?tag=%00", "?q=%00", "?a%00=b"] {
            w.admin("GET", &format!("/hanok/v1/machines{query}"), None).await.refused(400);
        }
        w.admin("GET", "/hanok/v1/machines/a%00b", None).await.refused(404);
        // What only looks like one.
        let change = json!({"machine": {"description": r"\u0000"}});
        w.admin("PATCH", &machine, Some(change)).await.of(200);
    }
}
