//! Whose limits count where: the installation's changed defaults, and a user's part of the project's quota.

use super::world::{World, active, worlds, worlds_with};
use serde_json::{Value, json};
use std::time::Duration;

/// Changes the defaults of all projects.
async fn defaults(w: &World, limits: Value) {
    let body = json!({"quota_class_set": limits});
    w.admin("2.79", "PUT", "/os-quota-class-sets/default", Some(body)).await.expect(200);
}

const OWN: &str = "/os-quota-sets/a?user_id=member:a";

/// Gives the member limits of his own.
async fn own(w: &World, limits: Value) {
    w.admin("2.79", "PUT", OWN, Some(json!({"quota_set": limits}))).await.expect(200);
}

/// What counts of the member's servers: instances, cores, MiB.
async fn counted(w: &World) -> [i64; 3] {
    let path = "/os-quota-sets/a/detail?user_id=member:a";
    let set = w.admin("2.79", "GET", path, None).await.expect(200)["quota_set"].clone();
    ["instances", "cores", "ram"].map(|name| set[name]["in_use"].as_i64().unwrap())
}

fn flavor(id: &str) -> Value {
    json!({"resize": {"flavorRef": id}})
}

#[tokio::test]
async fn changed_defaults_count_for_what_is_there() {
    for w in worlds_with(Duration::from_secs(3600)).await {
        let (mut host, id) = active(&w).await;
        defaults(&w, json!({"cores": 1, "metadata_items": 1})).await;
        let over = w.act(id, flavor("4")).await.refused(403);
        assert_eq!(over, "Quota exceeded for cores: Requested 1, but already used 1 of 1 cores");
        let two = json!({"a": "1", "b": "2"});
        let over = w.act(id, json!({"rebuild": {"imageRef": w.image, "metadata": &two}})).await.refused(403);
        assert_eq!(over, "Maximum number of metadata items exceeds 1");
        for body in [
            json!({"createImage": {"name": "i", "metadata": &two}}),
            json!({"createBackup": {"name": "i", "backup_type": "b", "rotation": 1, "metadata": &two}}),
        ] {
            let path = format!("/servers/{id}/action");
            let over = w.member("2.38", "POST", &path, Some(body)).await.refused(403);
            assert_eq!(over, "Image metadata limit exceeded");
        }
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "SOFT_DELETED").await;
        defaults(&w, json!({"instances": 0})).await;
        let over = w.act(id, json!({"restore": null})).await.refused(403);
        assert_eq!(over, "Quota exceeded for instances: Requested 1, but already used 0 of 0 instances");
        assert_eq!(w.held().await["instances"], 0);

        // More than is built in is had as well.
        defaults(&w, json!({"instances": 1, "cores": 30})).await;
        w.act(id, json!({"restore": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        let many = json!({"flavor": {"name": "many", "vcpus": 24, "ram": 64, "disk": 1, "id": "many"}});
        w.admin("2.79", "POST", "/flavors", Some(many)).await.expect(200);
        w.act(id, flavor("many")).await.expect(202);
    }
}

#[tokio::test]
async fn a_users_part_counts_for_a_resize() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        own(&w, json!({"cores": 1})).await;
        let over = w.act(id, flavor("4")).await.refused(403);
        assert_eq!(over, "Quota exceeded for cores: Requested 1, but already used 1 of 1 cores");
        // Whoever of the project asks: it is the member's server.
        let path = format!("/compute/v2.1/servers/{id}/action");
        w.send("manager:a", "2.79", "POST", &path, Some(flavor("4"))).await.refused(403);
        own(&w, json!({"cores": 3})).await;
        w.act(id, flavor("4")).await.expect(202);
        assert_eq!(counted(&w).await, [1, 2, 2048], "no host has been chosen yet");
        let other = w.create("two").await;
        let over = w.act(other, flavor("4")).await.refused(409);
        assert!(over.contains("vm_state building"), "{over}");
        w.until(&mut host, other, "ACTIVE").await;
        w.act(other, flavor("4")).await.refused(403);
        w.until(&mut host, id, "VERIFY_RESIZE").await;
        w.act(id, json!({"revertResize": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(counted(&w).await, [2, 2, 128]);
        w.act(other, flavor("4")).await.expect(202);
    }
}

#[tokio::test]
async fn a_users_part_counts_for_a_restore() {
    for w in worlds_with(Duration::from_secs(3600)).await {
        let (mut host, id) = active(&w).await;
        own(&w, json!({"instances": 1})).await;
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "SOFT_DELETED").await;
        assert_eq!(counted(&w).await, [0; 3], "as for the project");
        let other = w.create("two").await;
        let over = w.act(id, json!({"restore": null})).await.refused(403);
        assert_eq!(over, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances");
        assert_eq!(w.status(id).await, "SOFT_DELETED");
        w.act(other, json!({"forceDelete": null})).await.expect(202);
        w.until(&mut host, other, "GONE").await;
        w.act(id, json!({"restore": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(counted(&w).await, [1, 1, 64]);
    }
}

#[tokio::test]
async fn as_many_are_made_as_the_user_may_have() {
    for w in worlds().await {
        own(&w, json!({"instances": 3})).await;
        let wish = |least: i64| {
            let mut wish = w.wish("some");
            wish["min_count"] = json!(least);
            wish["max_count"] = json!(9);
            json!({"server": wish})
        };
        let over = w.member("2.79", "POST", "/servers", Some(wish(4))).await.refused(403);
        assert_eq!(over, "Quota exceeded for instances: Requested 4, but already used 0 of 3 instances");
        w.member("2.79", "POST", "/servers", Some(wish(2))).await.expect(202);
        assert_eq!(counted(&w).await[0], 3);
    }
}

#[tokio::test]
async fn key_pairs_that_nobody_may_have_are_not_made() {
    let w = World::new().await;
    defaults(&w, json!({"key_pairs": 1})).await;
    let make = |token: &'static str, name: &'static str| {
        let body = json!({"keypair": {"name": name}});
        w.send(token, "2.79", "POST", "/compute/v2.1/os-keypairs", Some(body))
    };
    make("member:a", "first").await.expect(201);
    // Nobody is there who could make one.
    let busy = crate::api::keys::MAKERS.acquire_many(2).await.unwrap();
    let over = tokio::time::timeout(Duration::from_secs(60), make("member:a", "second")).await;
    assert_eq!(over.expect("an answer").refused(403), "Quota exceeded, too many key pairs.");
    defaults(&w, json!({"key_pairs": 2})).await;
    let again = tokio::time::timeout(Duration::from_secs(60), make("member:a", "first")).await;
    assert_eq!(again.expect("an answer").refused(409), "Key pair 'first' already exists.");
    drop(busy);
    make("member:a", "second").await.expect(201);
}
