//! Images of servers' disks.

use super::lifecycle::crashing;
use super::world::{FakeHost, World, active, worlds};
use base::ServerId;
use serde_json::{Value, json};
use store::params;
use store::work::{Engine, Ran};

fn create_image(name: &str) -> Value {
    json!({"createImage": {"name": name, "metadata": {"k": "v"}}})
}

/// Name and status of each image that was made of a server.
async fn images(w: &World) -> Vec<(String, String)> {
    let sql = "SELECT name, status FROM image WHERE server_id IS NOT NULL ORDER BY created_at, id";
    w.db.read(move |tx| tx.rows(sql, &[], |r| Ok((r.get(0)?, r.get(1)?)))).await.unwrap()
}

async fn task(w: &World, id: ServerId) -> Value {
    w.get(&format!("/servers/{id}")).await["server"]["OS-EXT-STS:task_state"].clone()
}

#[tokio::test]
async fn an_image_is_made_while_the_server_goes_on() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        let path = format!("/servers/{id}/action");
        let old = w.member("2.44", "POST", &path, Some(create_image("old"))).await;
        let location = old.headers["location"].to_str().unwrap().to_owned();
        old.expect(202);
        assert_eq!(task(&w, id).await, "image_snapshot_pending");
        assert_eq!(
            w.act(id, json!({"os-stop": null})).await.refused(409),
            format!("Cannot 'stop' instance {id} while it is in task_state image_snapshot_pending")
        );
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(images(&w).await, [("old".to_owned(), "active".to_owned())]);
        let made = w.act(id, create_image("new")).await.expect(202);
        assert!(!location.ends_with(made["image_id"].as_str().unwrap()));
        w.until(&mut host, id, "ACTIVE").await;
        host.turn(&w).await;
        assert!(host.document.as_ref().unwrap().guests[0].captures.is_empty());

        // Another host's word counts for nothing.
        let other = w.host("h2").await;
        w.act(id, create_image("third")).await.expect(202);
        host.fetch(&w, 0).await;
        let stranger = FakeHost { document: host.document.clone(), ..other };
        stranger.deliver(&w).await;
        assert_eq!(images(&w).await[2].1, "queued");
        w.until(&mut host, id, "ACTIVE").await;
        for wrong in [json!({"createImage": {}}), json!({"createImage": {"name": "a", "x": 1}})] {
            w.act(id, wrong).await.expect(400);
        }
    }
}

#[tokio::test]
async fn an_image_has_what_held_of_the_one_that_the_server_was_made_from() {
    for w in worlds().await {
        let base = w.image;
        let set = async |name: &'static str, value: &'static str| {
            let sql = "INSERT INTO image_property (image_id, name, value) VALUES ($1, $2, $3)
                       ON CONFLICT (image_id, name) DO UPDATE SET value = excluded.value";
            w.db.write(move |tx| tx.exec(sql, params![base, name, value])).await.unwrap();
        };
        set("hw_disk_bus", "scsi").await;
        set("img_signature", "of that file").await;
        let (mut host, id) = active(&w).await;
        // It changes, and goes.
        set("hw_disk_bus", "virtio").await;
        set("hw_vif_model", "e1000").await;
        w.db.write(move |tx| tx.exec("DELETE FROM image WHERE id = $1", params![base])).await.unwrap();
        let made = w.act(id, create_image("later")).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        let image = made["image_id"].as_str().unwrap().to_owned();
        let sql = "SELECT name, value FROM image_property WHERE image_id = $1
                   AND (name LIKE 'hw_%' OR name LIKE 'img_%' OR name = 'k') ORDER BY name";
        let has = w
            .db
            .read(move |tx| tx.rows(sql, params![image], |r| Ok((r.get::<String>(0)?, r.get::<String>(1)?))));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(has.await.unwrap(), [pair("hw_disk_bus", "scsi"), pair("k", "v")]);
    }
}

#[tokio::test]
async fn backups_are_kept_as_many_as_asked() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        for name in ["b1", "b2", "b3"] {
            let body = json!({"createBackup": {"name": name, "backup_type": "daily", "rotation": 2}});
            w.act(id, body).await.expect(202);
            w.until(&mut host, id, "ACTIVE").await;
        }
        let body = json!({"createBackup": {"name": "w1", "backup_type": "weekly", "rotation": 1}});
        w.act(id, body).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        let names: Vec<_> = images(&w).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b2", "b3", "w1"]);
        let body = json!({"createBackup": {"name": "b", "backup_type": "daily", "rotation": -1}});
        w.act(id, body).await.expect(400);
    }
}

#[tokio::test]
async fn what_cannot_be_made_leaves_nothing() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        host.no_image = Some("The host's disk is full.".into());
        w.act(id, create_image("lost")).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(images(&w).await, []);
        let actions = w.get(&format!("/servers/{id}/os-instance-actions")).await;
        let last = &actions["instanceActions"][0];
        assert_eq!(last["action"], "createImage");
        assert!(last["message"].as_str().unwrap().contains("disk is full"), "{last}");
        let why = w.why(id).await;
        assert_eq!(why["ended_badly"][0]["request"], last["request_id"], "{why}");
        assert_eq!(why["ended_badly"][0]["said"]["message"][0]["code"], "server.image_failed", "{why}");

        // Deleted by its owner meanwhile.
        host.no_image = None;
        let made = w.act(id, create_image("unwanted")).await.expect(202);
        let image = made["image_id"].as_str().unwrap().to_owned();
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        w.db.write(move |tx| {
            tx.exec("DELETE FROM image WHERE id = $1", params![image])?;
            store::work::wake(tx, &id.to_string())
        })
        .await
        .unwrap();
        w.until(&mut host, id, "ACTIVE").await;
        host.turn(&w).await;
        assert!(host.document.as_ref().unwrap().guests[0].captures.is_empty());

        // The server goes: so does what was to be made of it, and what is made stays.
        w.act(id, create_image("kept")).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        w.act(id, create_image("late")).await.expect(202);
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        assert_eq!(images(&w).await, [("kept".to_owned(), "active".to_owned())]);
        host.turn(&w).await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn crashes_and_deletes_at_every_step() {
    for w in worlds().await {
        let (mut host, id) = active(&w).await;
        w.act(id, create_image("one")).await.expect(202);
        crashing(&w, &mut host, id, "ACTIVE").await;
        assert_eq!(images(&w).await.len(), 1);
        w.delete(id).await.expect(204);
        crashing(&w, &mut host, id, "GONE").await;
        for events in 0..7 {
            let id = w.create("more").await;
            w.until(&mut host, id, "ACTIVE").await;
            w.act(id, create_image("more")).await.expect(202);
            for event in 0..events {
                if event % 2 == 0 {
                    w.engine.run_one(&id.to_string(), true).await.unwrap();
                } else {
                    host.turn(&w).await;
                }
            }
            w.delete(id).await.expect(204);
            crashing(&w, &mut host, id, "GONE").await;
            host.turn(&w).await;
            w.nothing_left().await;
            assert!(images(&w).await.iter().all(|(_, status)| status == "active"));
        }
    }
}

#[tokio::test]
async fn two_engines() {
    for w in worlds().await {
        let (host, id) = active(&w).await;
        let w = std::sync::Arc::new(w);
        let mut tasks = vec![tokio::spawn(host.live(w.clone()))];
        for _ in 0..2 {
            let engine = Engine::builder(w.db.clone()).with(w.compute.life()).build();
            tasks.push(tokio::spawn(engine.run()));
        }
        for n in 0..5 {
            w.act(id, create_image(&format!("i{n}"))).await.expect(202);
            while !w.calm(id, "ACTIVE").await {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(images(&w).await.iter().filter(|(_, status)| status == "active").count(), 5);
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        assert_ne!(w.engine.run_one(&id.to_string(), true).await.unwrap(), Ran::Dropped);
    }
}
