//! Pause, suspend, rescue, rebuild, resize, soft deletion: the ordinary way, every crash, delete at every step (of
//! stop, start and reboot too), two workers at once.

use super::lifecycle::{crashing, wait};
use super::world::{FakeHost, World, worlds};
use base::doc::{GuestState, Power};
use base::{Micros, ServerId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::params;
use store::work::{Engine, Ran};

/// Every action of this file in an order that works, and what each comes to.
fn all_day(w: &World) -> Vec<(Value, &'static str)> {
    vec![
        (json!({"pause": null}), "PAUSED"),
        (json!({"unpause": null}), "ACTIVE"),
        (json!({"suspend": null}), "SUSPENDED"),
        (json!({"resume": null}), "ACTIVE"),
        (json!({"pause": null}), "PAUSED"),
        (json!({"reboot": {"type": "HARD"}}), "ACTIVE"),
        (json!({"suspend": null}), "SUSPENDED"),
        (json!({"reboot": {"type": "HARD"}}), "ACTIVE"),
        (json!({"rescue": {"rescue_image_ref": w.image}}), "RESCUE"),
        (json!({"unrescue": null}), "ACTIVE"),
        (json!({"rebuild": {"imageRef": w.image}}), "ACTIVE"),
        (json!({"trigger_crash_dump": null}), "ACTIVE"),
        (json!({"resize": {"flavorRef": "2"}}), "VERIFY_RESIZE"),
        (json!({"revertResize": null}), "ACTIVE"),
        (json!({"resize": {"flavorRef": "2"}}), "VERIFY_RESIZE"),
        (json!({"confirmResize": null}), "ACTIVE"),
        (json!({"os-stop": null}), "SHUTOFF"),
        (json!({"rebuild": {"imageRef": w.image}}), "SHUTOFF"),
        (json!({"resize": {"flavorRef": "3"}}), "VERIFY_RESIZE"),
        (json!({"revertResize": null}), "SHUTOFF"),
        (json!({"rescue": null}), "RESCUE"),
        (json!({"unrescue": null}), "ACTIVE"),
    ]
}

#[track_caller]
fn taken(answer: super::world::Answer) {
    assert!([200, 202, 204].contains(&answer.status.as_u16()), "{}", answer.text);
}

#[tokio::test]
async fn a_whole_day_and_each_step_dies_before_its_commit() {
    for w in worlds().await {
        for crash in [false, true] {
            let mut host = w.host(if crash { "h2" } else { "h1" }).await;
            host.turn(&w).await;
            let id = w.create("one").await;
            w.until(&mut host, id, "ACTIVE").await;
            for (ask, comes_to) in all_day(&w) {
                taken(w.act(id, ask).await);
                if crash {
                    crashing(&w, &mut host, id, comes_to).await;
                } else {
                    w.until(&mut host, id, comes_to).await;
                }
                host.turn(&w).await;
                while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
                assert_eq!(w.held().await["actions"], 0, "an action that never ends, at {comes_to}");
            }
            w.delete(id).await.expect(204);
            crashing(&w, &mut host, id, "GONE").await;
            host.turn(&w).await;
            w.nothing_left().await;
            w.db.write(move |tx| tx.exec("UPDATE host SET enabled = 0", &[])).await.unwrap();
        }
    }
}

#[tokio::test]
async fn delete_wins_over_everything_of_the_day() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let resize = || (json!({"resize": {"flavorRef": "2"}}), "VERIFY_RESIZE");
        let image = w.image;
        // What leads there, and what is under way as the deletion comes.
        for (first, last) in [
            (None, json!({"os-stop": null})),
            (Some((json!({"os-stop": null}), "SHUTOFF")), json!({"os-start": null})),
            (None, json!({"reboot": {"type": "SOFT"}})),
            (None, json!({"reboot": {"type": "HARD"}})),
            (None, json!({"pause": null})),
            (Some((json!({"pause": null}), "PAUSED")), json!({"unpause": null})),
            (None, json!({"suspend": null})),
            (Some((json!({"suspend": null}), "SUSPENDED")), json!({"resume": null})),
            (None, json!({"rescue": null})),
            (Some((json!({"rescue": null}), "RESCUE")), json!({"unrescue": null})),
            (None, json!({"rebuild": {"imageRef": image}})),
            (None, json!({"trigger_crash_dump": null})),
            (None, resize().0),
            (Some(resize()), json!({"revertResize": null})),
            (Some(resize()), json!({"confirmResize": null})),
        ] {
            for events in [0, 1, 2, 3] {
                let id = w.create("one").await;
                w.until(&mut host, id, "ACTIVE").await;
                if let Some((ask, comes_to)) = &first {
                    taken(w.act(id, ask.clone()).await);
                    w.until(&mut host, id, comes_to).await;
                }
                taken(w.act(id, last.clone()).await);
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
            }
        }
    }
}

#[tokio::test]
async fn two_engines_through_the_day() {
    for w in worlds().await {
        let w = Arc::new(w);
        let mut tasks = Vec::new();
        for i in 0..2 {
            let mut host = w.host(&format!("h{i}")).await;
            host.facts.accel = "simulated".into();
            host.turn(&w).await;
            tasks.push(tokio::spawn(host.live(w.clone())));
        }
        for _ in 0..2 {
            let engine = Engine::builder(w.db.clone()).with(w.compute.life()).build();
            tasks.push(tokio::spawn(engine.run()));
        }
        let mut ids = Vec::new();
        for i in 0..3 {
            ids.push(w.create(&format!("s{i}")).await);
        }
        let days = ids.iter().map(|id| {
            let w = w.clone();
            async move {
                wait(&w, *id, "ACTIVE").await;
                for (ask, comes_to) in all_day(&w) {
                    taken(w.act(*id, ask).await);
                    wait(&w, *id, comes_to).await;
                }
            }
        });
        futures_util::future::join_all(days).await;
        for id in &ids {
            w.delete(*id).await.expect(204);
        }
        for id in &ids {
            wait(&w, *id, "GONE").await;
        }
        w.nothing_left().await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// What the host holds of its one guest.
fn guest(host: &FakeHost) -> &base::doc::Guest {
    &host.document.as_ref().unwrap().guests[0]
}

#[tokio::test]
async fn what_the_host_is_told() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let pass = w.act(id, json!({"rescue": {"adminPass": "Secret"}})).await.expect(200);
        assert_eq!(pass, json!({"adminPass": "Secret"}));
        w.until(&mut host, id, "RESCUE").await;
        assert!(guest(&host).rescue.is_some());
        assert_eq!(guest(&host).metadata.admin_pass.as_deref(), Some("Secret"));
        for refused in [
            json!({"rescue": null}),
            json!({"reboot": {"type": "HARD"}}),
            json!({"rebuild": {"imageRef": w.image}}),
            json!({"pause": null}),
            json!({"resize": {"flavorRef": "2"}}),
        ] {
            let name = refused.as_object().unwrap().keys().next().unwrap().clone();
            let message = w.act(id, refused).await.refused(409);
            assert_eq!(message, format!("Cannot '{name}' instance {id} while it is in vm_state rescued"));
        }
        w.act(id, json!({"unrescue": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        assert!(guest(&host).rescue.is_none());

        let before = w.get(&format!("/servers/{id}")).await["server"].clone();
        let body = json!({"rebuild": {"imageRef": w.image, "name": "again", "metadata": {"a": "b"}, "adminPass": "x",
            "description": "two", "key_name": null, "user_data": "aGVsbG8="}});
        let told = w.act(id, body).await.expect(202)["server"].clone();
        assert_eq!(
            (&told["name"], &told["adminPass"], &told["status"]),
            (&json!("again"), &json!("x"), &json!("REBUILD"))
        );
        assert_eq!((&told["user_data"], &told["progress"]), (&json!("aGVsbG8="), &json!(0)));
        assert!(told.get("OS-EXT-SRV-ATTR:user_data").is_none());
        w.until(&mut host, id, "ACTIVE").await;
        let after = w.get(&format!("/servers/{id}")).await["server"].clone();
        assert_eq!((&after["addresses"], &after["metadata"]), (&before["addresses"], &json!({"a": "b"})));
        assert_eq!((guest(&host).disk.epoch, guest(&host).metadata.name.as_str()), (1, "again"));
        w.act(id, json!({"rebuild": {"imageRef": base::ImageId::new()}})).await.expect(400);
        w.act(id, json!({"rebuild": {"imageRef": "x"}})).await.expect(400);

        w.act(id, json!({"trigger_crash_dump": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        host.turn(&w).await;
        assert_eq!(guest(&host).nmi, 1);
        // No agent of a real host answers here.
        let refused = w.act(id, json!({"changePassword": {"adminPass": "new"}})).await.refused(409);
        assert!(refused.contains("guest agent is not enabled"), "{refused}");
    }
}

/// Of many who ask for the same at one moment one is heard, on both databases, and quota is taken once.
#[tokio::test]
async fn one_resize_of_many_at_once() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let small = w.held().await;
        let asks = (0..8).map(|_| w.act(id, json!({"resize": {"flavorRef": "4"}})));
        let answers = futures_util::future::join_all(asks).await;
        assert_eq!(answers.into_iter().filter(|a| a.status == 202).count(), 1);
        w.until(&mut host, id, "VERIFY_RESIZE").await;
        taken(w.act(id, json!({"revertResize": null})).await);
        w.until(&mut host, id, "ACTIVE").await;
        host.turn(&w).await;
        assert_eq!(w.held().await, small);
    }
}

#[tokio::test]
async fn resize_takes_both_sizes_until_it_is_confirmed() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let small = w.held().await;
        let act = |body| w.act(id, body);
        for (flavor, why) in [
            ("1", "When resizing, instances must change flavor!"),
            ("nosuch", "Flavor nosuch could not be found."),
        ] {
            assert_eq!(act(json!({"resize": {"flavorRef": flavor}})).await.refused(400), why);
        }
        act(json!({"confirmResize": null})).await.expect(409);
        taken(act(json!({"resize": {"flavorRef": "4"}})).await);
        assert_eq!(w.status(id).await, "RESIZE");
        w.until(&mut host, id, "VERIFY_RESIZE").await;
        assert_eq!((guest(&host).vcpus, guest(&host).memory_mib), (2, 2048));
        assert_eq!(guest(&host).disk.keep, Some(1));
        let both = w.held().await;
        taken(act(json!({"revertResize": null})).await);
        assert_eq!(w.status(id).await, "REVERT_RESIZE");
        w.until(&mut host, id, "ACTIVE").await;
        host.turn(&w).await;
        assert_eq!(guest(&host).vcpus, 1);
        assert_eq!(w.held().await["instances"], small["instances"]);
        assert_eq!(w.held().await["vcpus"], small["vcpus"]);

        taken(act(json!({"resize": {"flavorRef": "4"}})).await);
        w.until(&mut host, id, "VERIFY_RESIZE").await;
        assert_eq!(w.held().await["vcpus"], both["vcpus"]);
        taken(act(json!({"confirmResize": null})).await);
        assert_eq!(act(json!({"confirmResize": null})).await.refused(400), "Instance has not been resized.");
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(w.held().await["vcpus"], both["vcpus"], "larger than before in everything");
        host.turn(&w).await;
        assert_eq!(guest(&host).disk.keep, None);
        let refused = act(json!({"resize": {"flavorRef": "2"}})).await.refused(400);
        assert!(refused.contains("Unable to resize disk down"), "{refused}");

        let all = w.admin("2.80", "GET", "/os-migrations", None).await.expect(200);
        let ends: Vec<_> =
            all["migrations"].as_array().unwrap().iter().map(|m| m["status"].clone()).collect();
        assert_eq!(ends, ["confirmed", "reverted"]);
        assert_eq!(all["migrations"][0]["migration_type"], "resize");
        let one = w.admin("2.59", "GET", "/os-migrations?limit=1", None).await.expect(200);
        assert!(one["migrations_links"][0]["href"].as_str().unwrap().contains("marker="), "{one}");
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn a_resize_without_room_leaves_all_as_it_was() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.facts.memory_mib = 512 + 1024;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let before = w.held().await;
        taken(w.act(id, json!({"resize": {"flavorRef": "4"}})).await);
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(w.held().await, before);
        assert_eq!(guest(&host).vcpus, 1);
        let path = format!("/servers/{id}/os-instance-actions");
        let action = w.get(&path).await["instanceActions"][0].clone();
        assert_eq!(action["action"], "resize");
        assert!(action["message"].as_str().unwrap().contains("No valid host was found"), "{action}");
        // One that does not start in its new size goes back by itself.
        host.facts.memory_mib = 16 << 10;
        host.turn(&w).await;
        taken(w.act(id, json!({"resize": {"flavorRef": "4"}})).await);
        while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
        host.fetch(&w, 0).await;
        assert_eq!(guest(&host).vcpus, 2);
        host.plan.insert(id, (GuestState::Failed, 1, "qemu: no memory"));
        host.turn(&w).await;
        let past = Micros(Micros::now().0 - 60_000_000);
        w.db.write(move |tx| {
            tx.exec("UPDATE host_guest SET since = $1", params![past])?;
            store::work::wake(tx, &id.to_string())
        })
        .await
        .unwrap();
        while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
        host.plan.clear();
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(w.held().await["vcpus"], before["vcpus"]);
        let action = w.get(&path).await["instanceActions"][0].clone();
        assert_eq!(action["message"], "qemu: no memory");
    }
}

#[tokio::test]
async fn servers_move_between_simulated_hosts_only() {
    for w in worlds().await {
        let (mut a, mut b) = (w.host("a").await, w.host("b").await);
        a.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut a, id, "ACTIVE").await;
        b.turn(&w).await;
        let migrate = |body| w.admin("2.79", "POST", format!("/servers/{id}/action").leak(), Some(body));
        w.act(id, json!({"migrate": null})).await.expect(403);
        assert!(migrate(json!({"migrate": null})).await.refused(400).contains("No valid host was found"));
        for host in [&mut a, &mut b] {
            host.facts.accel = "simulated".into();
            host.turn(&w).await;
        }
        migrate(json!({"migrate": {"host": "a"}})).await.expect(400);
        migrate(json!({"migrate": {"host": "nosuch"}})).await.expect(400);
        for (end, there) in [("revertResize", false), ("confirmResize", true)] {
            migrate(json!({"migrate": null})).await.expect(202);
            for _ in 0..8 {
                while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
                a.turn(&w).await;
                b.turn(&w).await;
            }
            assert_eq!(w.status(id).await, "VERIFY_RESIZE", "{:?}", w.why(id).await);
            assert!(a.document.as_ref().unwrap().guests.is_empty());
            assert_eq!(b.document.as_ref().unwrap().guests.len(), 1);
            taken(w.act(id, json!({end: null})).await);
            for _ in 0..8 {
                while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
                a.turn(&w).await;
                b.turn(&w).await;
            }
            assert!(w.calm(id, "ACTIVE").await, "{:?}", w.why(id).await);
            assert_eq!(b.document.as_ref().unwrap().guests.len(), usize::from(there));
            let host = w.admin("2.79", "GET", &format!("/servers/{id}"), None).await.expect(200);
            assert_eq!(host["server"]["OS-EXT-SRV-ATTR:host"], if there { "b" } else { "a" });
        }
        w.delete(id).await.expect(204);
        w.until(&mut b, id, "GONE").await;
        a.turn(&w).await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn with_a_reclaim_interval_deletion_can_be_taken_back() {
    for w in super::world::worlds_with(Duration::from_secs(3600)).await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let held = w.held().await;
        w.delete(id).await.expect(204);
        assert_eq!(w.held().await["instances"], 0, "its quota is free at once");
        w.until(&mut host, id, "SOFT_DELETED").await;
        assert_eq!(guest(&host).power, Power::Off);
        assert_eq!(w.get("/servers").await["servers"], json!([]), "lists do not show it");
        w.delete(id).await.expect(204);
        w.act(id, json!({"os-start": null})).await.expect(409);
        w.act(id, json!({"restore": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(w.held().await["instances"], held["instances"]);
        w.act(id, json!({"restore": null})).await.expect(409);

        // The time passes.
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "SOFT_DELETED").await;
        let long_ago = Micros(Micros::now().0 - 7_200_000_000);
        w.db.write(move |tx| {
            tx.exec("UPDATE server SET soft_deleted_at = $1", params![long_ago])?;
            store::work::wake(tx, &id.to_string())
        })
        .await
        .unwrap();
        crashing(&w, &mut host, id, "GONE").await;
        host.turn(&w).await;
        w.nothing_left().await;

        // Or somebody does not want to wait.
        let id: ServerId = w.create("two").await;
        w.until(&mut host, id, "ACTIVE").await;
        w.delete(id).await.expect(204);
        w.act(id, json!({"forceDelete": null})).await.expect(202);
        crashing(&w, &mut host, id, "GONE").await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn diagnostics_and_what_is_refused() {
    let w = World::new().await;
    let mut host = w.host("h1").await;
    host.turn(&w).await;
    let id = w.create("one").await;
    let path = format!("/servers/{id}/diagnostics");
    w.member("2.48", "GET", &path, None).await.expect(403);
    w.admin("2.48", "GET", &path, None).await.expect(409);
    w.until(&mut host, id, "ACTIVE").await;
    let told = w.admin("2.48", "GET", &path, None).await.expect(200);
    assert_eq!(
        (&told["state"], &told["num_cpus"], &told["num_nics"]),
        (&json!("running"), &json!(1), &json!(1))
    );
    assert!(told["nic_details"][0]["mac_address"].is_string() && told["nic_details"][0]["rx_rate"].is_null());
    assert_eq!(w.admin("2.47", "GET", &path, None).await.expect(200)["memory"], 64 * 1024);
    w.act(id, json!({"os-stop": null})).await.expect(202);
    w.until(&mut host, id, "SHUTOFF").await;
    assert_eq!(
        w.admin("2.48", "GET", &path, None).await.refused(409),
        format!("Cannot 'get_diagnostics' instance {id} while it is in power state shutdown")
    );
    w.act(id, json!({"os-start": null})).await.expect(202);
    w.until(&mut host, id, "ACTIVE").await;

    let admin = |body| w.admin("2.79", "POST", format!("/servers/{id}/action").leak(), Some(body));
    admin(json!({"os-migrateLive": {"host": "h1", "block_migration": "auto"}})).await.expect(400);
    admin(json!({"evacuate": {"host": "nosuch"}})).await.expect(404);
    admin(json!({"evacuate": {}})).await.expect(400);
    w.act(id, json!({"injectNetworkInfo": null})).await.expect(403);
    admin(json!({"injectNetworkInfo": null})).await.expect(202);
    admin(json!({"resetNetwork": null})).await.expect(410);
    admin(json!({"os-resetState": {"state": "error"}})).await.expect(202);
    assert_eq!(w.status(id).await, "ERROR");
    admin(json!({"os-resetState": {"state": "active"}})).await.expect(202);
    assert_eq!(w.status(id).await, "ACTIVE");
    let refused = w.act(id, json!({"unpause": null})).await.refused(409);
    assert_eq!(refused, format!("Cannot 'unpause' instance {id} while it is in vm_state active"));
    w.member("2.16", "POST", &format!("/servers/{id}/action"), Some(json!({"trigger_crash_dump": null})))
        .await
        .expect(404);
    w.act(id, json!({"lock": null})).await.expect(202);
    for body in [
        json!({"pause": null}),
        json!({"suspend": null}),
        json!({"rescue": null}),
        json!({"rebuild": {"imageRef": w.image}}),
        json!({"resize": {"flavorRef": "2"}}),
        json!({"forceDelete": null}),
    ] {
        assert_eq!(w.act(id, body).await.refused(409), format!("Instance {id} is locked"));
    }
    // Its backups go on.
    let backup = json!({"createBackup": {"name": "b", "backup_type": "daily", "rotation": 1}});
    w.act(id, backup).await.expect(202);
}

#[tokio::test]
async fn a_resize_outlives_a_deletion_that_is_taken_back() {
    for w in super::world::worlds_with(Duration::from_secs(3600)).await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let before = w.held().await["instances"];
        // Less of it: until it is confirmed, the larger size counts.
        let less = json!({"flavor": {"name": "less", "vcpus": 1, "ram": 32, "disk": 1, "id": "less"}});
        w.admin("2.79", "POST", "/flavors", Some(less)).await.expect(200);
        for end in ["revertResize", "confirmResize"] {
            w.act(id, json!({"resize": {"flavorRef": "less"}})).await.expect(202);
            w.until(&mut host, id, "VERIFY_RESIZE").await;
            assert_eq!(w.held().await["instances"], before);
            w.delete(id).await.expect(204);
            w.until(&mut host, id, "SOFT_DELETED").await;
            assert_eq!(w.held().await["instances"], 0);
            w.act(id, json!({"restore": null})).await.expect(202);
            w.until(&mut host, id, "VERIFY_RESIZE").await;
            assert_eq!(w.held().await["instances"], before, "what was given back is taken again");
            taken(w.act(id, json!({end: null})).await);
            w.until(&mut host, id, "ACTIVE").await;
        }
        assert_eq!(w.held().await["instances"], before - 32);
        // Deleted before a host was looked for, and there is none.
        w.act(id, json!({"resize": {"flavorRef": "5"}})).await.expect(202);
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "SOFT_DELETED").await;
        assert_eq!(w.held().await["instances"], 0, "given back twice");
        w.act(id, json!({"forceDelete": null})).await.expect(202);
        w.until(&mut host, id, "GONE").await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn servers_that_are_long_gone_are_forgotten() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        let forget = |keep| w.db.write(move |tx| crate::table::server::forget_gone(tx, keep));
        assert_eq!(forget(Duration::from_secs(3600)).await.unwrap(), 0);
        let gone = || w.admin("2.79", "GET", "/servers?deleted=true&all_tenants=true", None);
        assert_eq!(gone().await.expect(200)["servers"][0]["name"], "one");
        assert_eq!(forget(Duration::ZERO).await.unwrap(), 1);
        assert_eq!(gone().await.expect(200)["servers"], json!([]));
    }
}
