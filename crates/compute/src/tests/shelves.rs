//! Servers that are put aside.

use super::lifecycle::crashing;
use super::world::{World, active, worlds};
use base::ServerId;
use serde_json::{Value, json};
use std::time::Duration;
use store::params;

async fn shelved_images(w: &World) -> i64 {
    let sql = "SELECT COUNT(*) FROM image WHERE name LIKE '%-shelved'";
    w.db.read(move |tx| tx.one(sql, &[], |r| r.get(0))).await.unwrap()
}

async fn show(w: &World, id: ServerId) -> Value {
    w.get(&format!("/servers/{id}")).await["server"].clone()
}

#[tokio::test]
async fn away_and_back() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        let before = show(&w, id).await;
        w.act(id, json!({"unshelve": null})).await.expect(409);
        w.act(id, json!({"shelve": null})).await.expect(202);
        assert_eq!(show(&w, id).await["OS-EXT-STS:task_state"], "shelving");
        w.until(&mut host, id, "SHELVED_OFFLOADED").await;
        let away = show(&w, id).await;
        assert_eq!((&away["OS-EXT-STS:power_state"], &away["hostId"]), (&json!(0), &json!("")));
        assert_eq!(away["addresses"], before["addresses"], "it keeps its addresses");
        assert_eq!(away["image"], before["image"], "and shows what it was made of");
        let held = w.held().await;
        assert_eq!((held["vcpus"], held["guests"]), (0, 0), "the host has its room back");
        assert!(host.document.as_ref().unwrap().guests.is_empty());
        w.act(id, json!({"os-start": null})).await.expect(409);
        w.act(id, json!({"shelveOffload": null})).await.expect(403);

        w.act(id, json!({"unshelve": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        while w.engine.run_one(&id.to_string(), true).await.unwrap() == store::work::Ran::Committed {}
        let guest = host.document.as_ref().unwrap().guests[0].clone();
        assert_ne!(guest.disk.image.unwrap().sha512, "ab".repeat(64), "it starts from what it was");
        assert_eq!(shelved_images(&w).await, 0);
        assert_eq!(show(&w, id).await["addresses"], before["addresses"]);

        // A server that is deleted while it is away takes its image along.
        w.act(id, json!({"shelve": null})).await.expect(202);
        w.until(&mut host, id, "SHELVED_OFFLOADED").await;
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        assert_eq!(shelved_images(&w).await, 0);
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn back_needs_room_and_may_be_told_where() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        w.act(id, json!({"shelve": null})).await.expect(202);
        w.until(&mut host, id, "SHELVED_OFFLOADED").await;
        let unshelve = |body: Value| json!({"unshelve": body});
        let at = format!("/servers/{id}/action");
        for (version, body, status) in [
            ("2.76", json!({"availability_zone": "nova"}), 400),
            ("2.77", json!({"availability_zone": "nowhere"}), 400),
            ("2.77", json!({}), 400),
            ("2.90", json!({"host": "h1"}), 400),
            ("2.91", json!({"host": "h1"}), 403),
        ] {
            let answer = w.member(version, "POST", &at, Some(unshelve(body.clone()))).await;
            assert_eq!(answer.status, status, "{version} {body}: {}", answer.text);
        }
        // Nowhere to go: it stays where it is, and may try again.
        w.db.write(|tx| tx.exec("UPDATE host SET enabled = 0", &[])).await.unwrap();
        w.act(id, unshelve(Value::Null)).await.expect(202);
        w.until(&mut host, id, "SHELVED_OFFLOADED").await;
        assert_eq!(shelved_images(&w).await, 1);
        w.db.write(|tx| tx.exec("UPDATE host SET enabled = 1", &[])).await.unwrap();
        w.admin("2.91", "POST", &at, Some(unshelve(json!({"host": "h1", "availability_zone": "nova"}))))
            .await
            .expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn without_an_image_it_is_only_stopped() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        host.no_image = Some("The host's disk is full.".into());
        w.act(id, json!({"shelve": null})).await.expect(202);
        w.until(&mut host, id, "SHUTOFF").await;
        assert_eq!(shelved_images(&w).await, 0);
        host.no_image = None;
        w.act(id, json!({"os-start": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
    }
}

#[tokio::test]
async fn deleted_and_taken_back_on_the_way() {
    for w in super::world::worlds_with(Duration::from_secs(3600)).await {
        let (mut host, id) = active(&w).await;
        for what in [json!({"shelve": null}), json!({"createImage": {"name": "x"}})] {
            for events in 0..3 {
                w.act(id, what.clone()).await.expect(202);
                for event in 0..events {
                    if event % 2 == 0 {
                        w.engine.run_one(&id.to_string(), true).await.unwrap();
                    } else {
                        host.turn(&w).await;
                    }
                }
                w.delete(id).await.expect(204);
                w.until(&mut host, id, "SOFT_DELETED").await;
                host.turn(&w).await;
                let held = w.held().await;
                assert_eq!((held["captures"], held["shelves"], held["actions"]), (0, 0, 0));
                w.act(id, json!({"restore": null})).await.expect(202);
                w.until(&mut host, id, "ACTIVE").await;
                assert!(host.document.as_ref().unwrap().guests[0].captures.is_empty());
                assert_eq!(shelved_images(&w).await, 0, "{what} after {events} steps");
            }
        }
        w.act(id, json!({"forceDelete": null})).await.expect(202);
        w.until(&mut host, id, "GONE").await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn crashes_and_deletes_at_every_step() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        w.act(id, json!({"shelve": null})).await.expect(202);
        crashing(&w, &mut host, id, "SHELVED_OFFLOADED").await;
        w.act(id, json!({"unshelve": null})).await.expect(202);
        crashing(&w, &mut host, id, "ACTIVE").await;
        w.delete(id).await.expect(204);
        crashing(&w, &mut host, id, "GONE").await;
        for events in 0..14 {
            let id = w.create("more").await;
            w.until(&mut host, id, "ACTIVE").await;
            w.act(id, json!({"shelve": null})).await.expect(202);
            for event in 0..events {
                if event % 2 == 0 {
                    w.engine.run_one(&id.to_string(), true).await.unwrap();
                } else {
                    host.turn(&w).await;
                }
                if event == 7 && w.calm(id, "SHELVED_OFFLOADED").await {
                    w.act(id, json!({"unshelve": null})).await.expect(202);
                }
            }
            w.delete(id).await.expect(204);
            crashing(&w, &mut host, id, "GONE").await;
            host.turn(&w).await;
            w.nothing_left().await;
            assert_eq!(shelved_images(&w).await, 0);
            let left =
                w.db.read(|tx| tx.one("SELECT COUNT(*) FROM image_hold", params![], |r| r.get::<i64>(0)));
            assert_eq!(left.await.unwrap(), 0);
        }
    }
}
