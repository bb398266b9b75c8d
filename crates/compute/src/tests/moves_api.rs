//! What may be asked of moves, and how it is refused.

use super::moves::{admin, fleet, host_of, live, status_of_move, turn, until};
use super::world::worlds;
use base::Micros;
use base::doc::MoveStage;
use serde_json::json;
use std::time::Duration;
use store::params;

#[tokio::test]
async fn bodies_of_live_migration_by_version() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let path = format!("/servers/{id}/action");
        for (version, body, status) in [
            ("2.1", json!({"host": null, "block_migration": true}), 400),
            ("2.1", json!({"host": null, "block_migration": "auto", "disk_over_commit": false}), 400),
            ("2.1", json!({"host": null, "block_migration": false, "disk_over_commit": false}), 400),
            ("2.25", json!({"host": null, "block_migration": "auto", "disk_over_commit": false}), 400),
            ("2.25", json!({"block_migration": "auto"}), 400),
            ("2.29", json!({"host": null, "block_migration": "auto", "force": true}), 400),
            ("2.30", json!({"host": null, "block_migration": "auto", "force": true}), 400),
            ("2.68", json!({"host": "b", "block_migration": "auto", "force": true}), 400),
            ("2.68", json!({"host": "nosuch", "block_migration": "auto"}), 400),
            ("2.68", json!({"host": null, "block_migration": "auto"}), 202),
            ("2.68", json!({"host": null, "block_migration": "auto"}), 409),
        ] {
            let asked = json!({"os-migrateLive": body});
            let answer = w.admin(version, "POST", &path, Some(asked.clone())).await;
            assert_eq!(answer.status, status, "{version} {asked}: {}", answer.text);
        }
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        w.act(id, live(None)).await.expect(403);
        let here = host_of(&w, id).await;
        let message = admin(&w, id, live(Some(&here))).await.refused(400);
        assert_eq!(message, format!("Unable to migrate instance ({id}) to current host ({here})."));
        // Another hypervisor.
        for host in hosts.iter_mut().filter(|h| h.name != here) {
            host.facts.accel = "kvm".into();
        }
        turn(&w, &mut hosts).await;
        let message = admin(&w, id, live(None)).await.refused(400);
        assert!(message.contains("its processor and hypervisor"), "{message}");
        w.act(id, json!({"os-stop": null})).await.expect(202);
        until(&w, &mut hosts, id, "SHUTOFF", false).await;
        let message = admin(&w, id, live(None)).await.refused(409);
        assert_eq!(message, format!("Cannot 'os-migrateLive' instance {id} while it is in vm_state stopped"));
    }
}

#[tokio::test]
async fn a_live_migration_is_given_up_or_pressed() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let home = host_of(&w, id).await;
        let at = |h: &super::world::FakeHost| h.name == home;
        for host in &mut hosts {
            let stage = if at(host) { MoveStage::Sending } else { MoveStage::Listening };
            host.stages.insert(id, stage);
        }
        admin(&w, id, live(None)).await.expect(202);
        for _ in 0..4 {
            while w.engine.run_one(&id.to_string(), true).await.unwrap() == store::work::Ran::Committed {}
            turn(&w, &mut hosts).await;
        }
        let path = format!("/servers/{id}/migrations");
        let all = w.admin("2.79", "GET", &path, None).await.expect(200)["migrations"].clone();
        let number = all[0]["id"].as_i64().unwrap();
        let one = format!("{path}/{number}");
        assert_eq!(w.admin("2.79", "GET", &one, None).await.expect(200)["migration"], all[0]);
        w.admin("2.79", "GET", &format!("{path}/99999"), None).await.expect(404);
        let press = Some(json!({"force_complete": null}));
        w.admin("2.79", "POST", &format!("{path}/99999/action"), press.clone()).await.expect(404);
        w.admin("2.79", "POST", &format!("{one}/action"), Some(json!({"force_complete": 1})))
            .await
            .expect(400);
        w.admin("2.79", "POST", &format!("{one}/action"), press.clone()).await.expect(202);
        turn(&w, &mut hosts).await;
        let source = hosts.iter().find(|h| at(h)).unwrap();
        assert!(source.document.as_ref().unwrap().guests[0].paused, "it stands still");
        w.admin("2.79", "DELETE", &one, None).await.expect(202);
        until(&w, &mut hosts, id, "ACTIVE", true).await;
        turn(&w, &mut hosts).await;
        assert_eq!((host_of(&w, id).await, status_of_move(&w, id).await), (home.clone(), "cancelled".into()));
        let source = hosts.iter().find(|h| at(h)).unwrap();
        assert!(!source.document.as_ref().unwrap().guests[0].paused);
        w.admin("2.79", "DELETE", &one, None).await.expect(404);
        assert_eq!(w.admin("2.79", "GET", &path, None).await.expect(200)["migrations"], json!([]));
    }
}

#[tokio::test]
async fn evacuation_of_a_host_that_is_down() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let home = host_of(&w, id).await;
        let evacuate = |body| admin(&w, id, json!({"evacuate": body}));
        let message = evacuate(json!({})).await.refused(400);
        assert_eq!(message, format!("Compute service of {home} is still in use."));
        let past = Micros(Micros::now().0 - 100_000_000);
        let name = home.clone();
        w.db.write(move |tx| tx.exec("UPDATE host SET seen_at = $1 WHERE name = $2", params![past, name]))
            .await
            .unwrap();
        evacuate(json!({"host": "nosuch"})).await.expect(404);
        evacuate(json!({"host": home})).await.expect(400);
        evacuate(json!({"onSharedStorage": false})).await.expect(400);
        crate::pulse::listens_for(Duration::ZERO);
        let message = evacuate(json!({})).await.refused(400);
        assert!(message.starts_with(&format!("Compute service of {home} may still be in use")), "{message}");
        crate::pulse::listens_for(Duration::from_secs(3600));
        let addresses = w.get(&format!("/servers/{id}")).await["server"]["addresses"].clone();
        evacuate(json!({})).await.expect(200);
        assert_eq!(w.status(id).await, "REBUILD");
        let mut others: Vec<_> = Vec::new();
        let mut dead = Vec::new();
        for host in hosts {
            if host.name == home { dead.push(host) } else { others.push(host) }
        }
        until(&w, &mut others, id, "ACTIVE", true).await;
        assert_ne!(host_of(&w, id).await, home);
        assert_eq!(w.get(&format!("/servers/{id}")).await["server"]["addresses"], addresses);
        assert_eq!(status_of_move(&w, id).await, "done");
        assert_eq!(others[0].document.as_ref().unwrap().guests[0].ownership, 2);
        // The old host comes back, and is told.
        dead[0].turn(&w).await;
        assert!(dead[0].document.as_ref().unwrap().guests.is_empty());
        w.delete(id).await.expect(204);
        until(&w, &mut others, id, "GONE", true).await;
        dead[0].turn(&w).await;
        w.nothing_left().await;
    }
}

/// An administrator says that a server is fine whose resize waits for the user's word. The room and the quota of its
/// old size must not be lost.
#[tokio::test]
async fn a_resize_outlives_a_state_that_an_administrator_sets() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let before = w.held().await;
        admin(&w, id, json!({"migrate": null})).await.expect(202);
        until(&w, &mut hosts, id, "VERIFY_RESIZE", false).await;
        for state in ["active", "error"] {
            admin(&w, id, json!({"os-resetState": {"state": state}})).await.expect(202);
            assert_eq!(w.status(id).await, state.to_uppercase());
            let asks = [
                (json!({"resize": {"flavorRef": "4"}}), "active"),
                (json!({"migrate": null}), "active"),
                (live(None), "active"),
                (json!({"shelve": null}), "active"),
                (json!({"rebuild": {"imageRef": w.image}}), ""),
            ];
            for (ask, only) in asks {
                let refused = admin(&w, id, ask.clone()).await.refused(409);
                assert!(
                    refused.contains("to be confirmed or reverted") || (state != only && !only.is_empty()),
                    "{ask}: {refused}"
                );
            }
            until(&w, &mut hosts, id, "VERIFY_RESIZE", false).await;
        }
        w.act(id, json!({"revertResize": null})).await.expect(202);
        until(&w, &mut hosts, id, "ACTIVE", true).await;
        turn(&w, &mut hosts).await;
        assert_eq!(w.held().await, before);
        w.delete(id).await.expect(204);
        until(&w, &mut hosts, id, "GONE", false).await;
        turn(&w, &mut hosts).await;
        w.nothing_left().await;
    }
}

/// The same while it is on its way.
#[tokio::test]
async fn a_server_on_its_way_is_sent_nowhere_else() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let before = w.held().await;
        for (way, end) in [(json!({"migrate": null}), "VERIFY_RESIZE"), (live(None), "ACTIVE")] {
            admin(&w, id, way).await.expect(202);
            while w.engine.run_one(&id.to_string(), true).await.unwrap() == store::work::Ran::Committed {}
            admin(&w, id, json!({"os-resetState": {"state": "active"}})).await.expect(202);
            for ask in [json!({"resize": {"flavorRef": "4"}}), json!({"migrate": null}), live(None)] {
                let refused = admin(&w, id, ask).await.refused(409);
                assert!(refused.ends_with("Try again in a moment."), "{refused}");
            }
            // Its state says nothing of the way.
            for _ in 0..20 {
                while w.engine.run_one(&id.to_string(), true).await.unwrap() == store::work::Ran::Committed {}
                turn(&w, &mut hosts).await;
            }
            assert!(w.calm(id, end).await, "{:#}", w.why(id).await);
            if end == "VERIFY_RESIZE" {
                w.act(id, json!({"confirmResize": null})).await.expect(204);
                until(&w, &mut hosts, id, "ACTIVE", false).await;
            }
        }
        turn(&w, &mut hosts).await;
        assert_eq!(w.held().await, before);
    }
}
