//! The life-cycle: the ordinary way, every crash, delete at every step, two workers at once.

use super::world::{FakeHost, World, worlds};
use base::doc::GuestState;
use base::{Micros, ServerId};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use store::params;
use store::work::{Engine, Ran};

#[tokio::test]
async fn boots_stops_starts_reboots_and_goes() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        assert_eq!(w.status(id).await, "BUILD");
        w.until(&mut host, id, "ACTIVE").await;
        let server = w.get(&format!("/servers/{id}")).await["server"].clone();
        assert_eq!(server["OS-EXT-STS:power_state"], 1);
        assert_eq!(server["OS-EXT-AZ:availability_zone"], "nova");
        assert!(server["OS-SRV-USG:launched_at"].is_string());
        assert_eq!(server["addresses"]["private"][0]["version"], 4);

        w.act(id, json!({"os-stop": null})).await.expect(202);
        assert_eq!(
            w.act(id, json!({"os-stop": null})).await.refused(409),
            format!("Cannot 'stop' instance {id} while it is in task_state powering-off")
        );
        w.until(&mut host, id, "SHUTOFF").await;
        assert_eq!(
            w.act(id, json!({"os-stop": null})).await.refused(409),
            format!("Cannot 'stop' instance {id} while it is in vm_state stopped")
        );
        w.act(id, json!({"os-start": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;

        w.act(id, json!({"reboot": {"type": "SOFT"}})).await.expect(202);
        assert_eq!(w.status(id).await, "REBOOT");
        // A hard one helps a soft one that hangs.
        w.act(id, json!({"reboot": {"type": "HARD"}})).await.expect(202);
        assert_eq!(w.status(id).await, "HARD_REBOOT");
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(host.document.as_ref().unwrap().guests[0].boots, 4, "create, start, two reboots");

        // What is asked for and then overtaken by the deletion is not said to be done.
        w.act(id, json!({"os-stop": null})).await.expect(202);
        w.delete(id).await.expect(204);
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        host.turn(&w).await;
        w.nothing_left().await;
        let actions = w.get(&format!("/servers/{id}/os-instance-actions")).await;
        let names: Vec<_> =
            actions["instanceActions"].as_array().unwrap().iter().map(|a| a["action"].clone()).collect();
        assert_eq!(names, ["delete", "stop", "reboot", "reboot", "start", "stop", "create"]);
        let said = |i: usize| actions["instanceActions"][i]["message"].clone();
        assert!(said(0).is_null());
        assert_eq!(said(1), "The server was deleted before this was done.");
    }
}

#[tokio::test]
async fn every_step_may_die_before_its_commit() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        for (ask, comes_to) in [
            (None, "ACTIVE"),
            (Some(json!({"os-stop": null})), "SHUTOFF"),
            (Some(json!({"os-start": null})), "ACTIVE"),
            (Some(json!({"reboot": {"type": "SOFT"}})), "ACTIVE"),
            (Some(json!({"reboot": {"type": "HARD"}})), "ACTIVE"),
        ] {
            if let Some(ask) = ask {
                w.act(id, ask).await.expect(202);
            }
            crashing(&w, &mut host, id, comes_to).await;
        }
        w.delete(id).await.expect(204);
        crashing(&w, &mut host, id, "GONE").await;
        host.turn(&w).await;
        w.nothing_left().await;
    }
}

/// Each step runs once without its commit, then again with it.
pub async fn crashing(w: &World, host: &mut FakeHost, id: ServerId, status: &str) {
    for _ in 0..100 {
        if w.calm(id, status).await {
            return;
        }
        while w.engine.run_one(&id.to_string(), false).await.unwrap() == Ran::Dropped {
            assert_eq!(w.engine.run_one(&id.to_string(), true).await.unwrap(), Ran::Committed);
        }
        host.turn(w).await;
    }
    panic!("{id} never came to {status}");
}

#[tokio::test]
async fn delete_wins_at_every_step() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        // 0: at once; then after one more step or turn of the host each time.
        for events in 0..10 {
            let id = w.create("one").await;
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
            assert!(host.document.as_ref().unwrap().guests.is_empty());
        }
    }
}

#[tokio::test]
async fn two_engines_and_many_servers() {
    for w in worlds().await {
        let w = Arc::new(w);
        let mut tasks = Vec::new();
        for i in 0..3 {
            let mut host = w.host(&format!("h{i}")).await;
            host.turn(&w).await;
            tasks.push(tokio::spawn(host.live(w.clone())));
        }
        for _ in 0..2 {
            let engine = Engine::builder(w.db.clone()).with(w.compute.life()).build();
            tasks.push(tokio::spawn(engine.run()));
        }
        let mut ids = Vec::new();
        for i in 0..10 {
            ids.push(w.create(&format!("s{i}")).await);
        }
        for id in &ids {
            wait(&w, *id, "ACTIVE").await;
        }
        let body = json!({"server": w.wish("one too many")});
        let message = w.member("2.79", "POST", "/servers", Some(body)).await.refused(403);
        assert_eq!(message, "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances");
        let rounds = ids.iter().map(|id| {
            let w = w.clone();
            async move {
                for (ask, comes_to) in [
                    (json!({"os-stop": null}), "SHUTOFF"),
                    (json!({"os-start": null}), "ACTIVE"),
                    (json!({"reboot": {"type": "SOFT"}}), "ACTIVE"),
                    (json!({"reboot": {"type": "HARD"}}), "ACTIVE"),
                ] {
                    w.act(*id, ask).await.expect(202);
                    wait(&w, *id, comes_to).await;
                }
            }
        });
        futures_util::future::join_all(rounds).await;
        let deletes = ids.iter().flat_map(|id| [w.delete(*id), w.delete(*id)]);
        for answer in futures_util::future::join_all(deletes).await {
            assert!(answer.status == 204 || answer.status == 404);
        }
        for id in &ids {
            wait(&w, *id, "GONE").await;
        }
        w.nothing_left().await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

pub async fn wait(w: &World, id: ServerId, status: &str) {
    while !w.calm(id, status).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_host_fits() {
    for w in worlds().await {
        let id = w.create("one").await;
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        let server = w.get(&format!("/servers/{id}")).await["server"].clone();
        assert_eq!(server["status"], "ERROR");
        assert_eq!(server["fault"]["code"], 500);
        assert_eq!(server["fault"]["message"], "No valid host was found. No host has joined yet.");
        w.act(id, json!({"reboot": {"type": "HARD"}})).await.expect(409);
        w.delete(id).await.expect(204);
        while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
        assert_eq!(w.status(id).await, "GONE");
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn a_host_is_never_overcommitted() {
    for w in worlds().await {
        let w = Arc::new(w);
        let mut host = w.host("small").await;
        host.facts.memory_mib = 512 + 3 * 64;
        host.turn(&w).await;
        let mut ids = Vec::new();
        for i in 0..8 {
            ids.push(w.create(&format!("s{i}")).await);
        }
        let live = tokio::spawn(host.live(w.clone()));
        let engines: Vec<_> = (0..3)
            .map(|_| tokio::spawn(Engine::builder(w.db.clone()).with(w.compute.life()).build().run()))
            .collect();
        let mut active = 0;
        for id in &ids {
            loop {
                match w.status(*id).await.as_str() {
                    "ACTIVE" => break active += 1,
                    "ERROR" => break,
                    _ => tokio::task::yield_now().await,
                }
            }
        }
        assert_eq!(active, 3);
        engines.iter().for_each(tokio::task::JoinHandle::abort);
        live.abort();
    }
}

#[tokio::test]
async fn a_guest_that_shuts_itself_down_stays_down() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        host.plan.insert(id, (GuestState::Stopped, 1, ""));
        w.until(&mut host, id, "SHUTOFF").await;
        host.plan.clear();
        host.turn(&w).await;
        assert_eq!(host.document.as_ref().unwrap().guests[0].power, base::doc::Power::Off);
        w.act(id, json!({"os-start": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(host.document.as_ref().unwrap().guests[0].boots, 2);
    }
}

#[tokio::test]
async fn a_guest_that_cannot_be_made_ends_in_error() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        host.plan.insert(id, (GuestState::Failed, 0, "image: the content does not match its digest"));
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        host.turn(&w).await;
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        assert_eq!(w.status(id).await, "BUILD");
        let reason = w.why(id).await["life_cycle"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("the content does not match its digest"), "{reason}");
        // As if it had been so for a minute.
        let past = Micros(Micros::now().0 - 60_000_000);
        w.db.write(move |tx| {
            tx.exec("UPDATE host_guest SET since = $1", params![past])?;
            store::work::wake(tx, &id.to_string())
        })
        .await
        .unwrap();
        w.until(&mut host, id, "ERROR").await;
        let server = w.get(&format!("/servers/{id}")).await["server"].clone();
        assert_eq!(server["fault"]["message"], "image: the content does not match its digest");
        host.plan.clear();
        host.turn(&w).await;
        assert!(host.document.as_ref().unwrap().guests.is_empty(), "the agent stops trying");
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        host.turn(&w).await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn deleting_waits_for_the_host_unless_it_was_disabled() {
    for w in worlds().await {
        crate::pulse::listens_for(Duration::ZERO);
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        w.delete(id).await.expect(204);
        while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
        assert_eq!(w.status(id).await, "ACTIVE");
        let long_ago = Micros(Micros::now().0 - 3_600_000_000);
        w.db.write(move |tx| {
            tx.exec("UPDATE host SET seen_at = $1", params![long_ago])?;
            store::work::wake(tx, &id.to_string())
        })
        .await
        .unwrap();
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        let reason = w.why(id).await["life_cycle"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("has been silent since"), "{reason}");
        w.db.write(move |tx| {
            tx.exec("UPDATE host SET enabled = 0", &[])?;
            store::work::wake(tx, &id.to_string())
        })
        .await
        .unwrap();
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        assert_eq!(w.status(id).await, "ACTIVE", "it may be we who did not hear");
        crate::pulse::listens_for(Duration::from_secs(3600));
        w.db.write(move |tx| store::work::wake(tx, &id.to_string())).await.unwrap();
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        assert_eq!(w.status(id).await, "GONE");
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn a_new_server_gives_silent_hosts_a_moment() {
    for w in worlds().await {
        // Known, and not heard of since the region started.
        let mut host = w.host("h1").await;
        let id = w.create("one").await;
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        assert_eq!(w.status(id).await, "BUILD");
        let reason = w.why(id).await["life_cycle"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("1 has not reported lately. Waiting a moment"), "{reason}");
        host.turn(&w).await;
        w.db.write(move |tx| store::work::wake(tx, &id.to_string())).await.unwrap();
        w.until(&mut host, id, "ACTIVE").await;
        // One that has been silent for long is given up on.
        let late = w.create("two").await;
        let long_ago = Micros(Micros::now().0 - 3_600_000_000);
        w.db.write(move |tx| {
            tx.exec("UPDATE host SET seen_at = $1", params![long_ago])?;
            tx.exec("UPDATE server SET created_at = $1", params![long_ago])
        })
        .await
        .unwrap();
        w.engine.run_one(&late.to_string(), true).await.unwrap();
        let server = w.get(&format!("/servers/{late}")).await["server"].clone();
        assert_eq!(server["fault"]["message"], "No valid host was found. 1 host: 1 has not reported lately.");
    }
}

#[tokio::test]
async fn a_host_that_was_given_a_server_must_say_that_it_let_go() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.engine.run_one(&id.to_string(), true).await.unwrap();
        // It has the document with the guest, and is making it: nothing is reported of it yet.
        host.fetch(&w, 0).await;
        assert_eq!(host.document.as_ref().unwrap().guests.len(), 1);
        w.delete(id).await.expect(204);
        while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
        assert_eq!(w.status(id).await, "BUILD", "the host may be starting it this very moment");
        w.until(&mut host, id, "GONE").await;
    }
}

#[tokio::test]
async fn the_content_that_a_server_runs_on_is_held_until_it_is_gone() {
    for w in worlds().await {
        let held = |n: i64| {
            let db = w.db.clone();
            async move {
                let sql = "SELECT COUNT(*) FROM image_hold";
                assert_eq!(db.read(move |tx| tx.one(sql, &[], |r| r.get::<i64>(0))).await.unwrap(), n);
            }
        };
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        held(1).await;
        w.until(&mut host, id, "ACTIVE").await;
        w.delete(id).await.expect(204);
        held(1).await;
        w.until(&mut host, id, "GONE").await;
        held(0).await;
    }
}
