//! Rescue mode and tests between deployment and release: nothing is lost by them, and nobody stays behind.

use super::world::{Room, World, worlds};
use serde_json::json;

const MAC: &str = "52:54:00:aa:00:01";

#[tokio::test]
async fn rescue_and_back_and_abort() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.deployed(&mut room).await;
        w.act(id, "rescue", json!({})).await.of(202);
        w.until(&mut room, id, "rescue_mode").await;
        assert!(room.pcs[0].session.is_some());
        w.act(id, "exit-rescue", json!({})).await.of(202);
        w.until(&mut room, id, "deployed").await;
        assert!(room.pcs[0].session.is_none(), "it runs its own system again");
        assert!(room.pcs[0].marker, "and nothing was written");

        w.act(id, "release", json!({"erase": "secure"})).await.of(202);
        w.act(id, "abort", json!({})).await.of(202);
        assert_eq!(w.status(id).await, "failed_disk_erasing");
        w.act(id, "retry", json!({})).await.of(202);
        w.until(&mut room, id, "ready").await;
        w.act(id, "commission", json!({"tests": ["cpu"]})).await.of(202);
        w.act(id, "abort", json!({})).await.of(202);
        assert_eq!(w.status(id).await, "ready");
        w.act(id, "abort", json!({})).await.refused(409);
    }
}

#[tokio::test]
async fn a_deployed_machine_that_was_broken_and_tested_is_deployed_again() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.deployed(&mut room).await;
        w.act(id, "mark-broken", json!({"reason": "the fan"})).await.of(202);
        w.act(id, "test", json!({"tests": ["cpu"]})).await.of(202);
        w.until(&mut room, id, "testing").await;
        w.until(&mut room, id, "deployed").await;
        assert!(room.pcs[0].session.is_none(), "it runs its own system again");
        // The same out of rescue mode.
        w.act(id, "rescue", json!({})).await.of(202);
        w.until(&mut room, id, "rescue_mode").await;
        w.act(id, "mark-broken", json!({})).await.of(202);
        w.act(id, "mark-fixed", json!({})).await.of(202);
        w.until(&mut room, id, "deployed").await;
        assert_eq!(room.pcs[0].done.iter().filter(|what| *what == "write").count(), 1);
        assert!(room.pcs[0].marker);
    }
}

#[tokio::test]
async fn what_was_to_be_erased_is_not_ready_because_somebody_called_it_broken_and_fixed() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.deployed(&mut room).await;
        room.pcs[0].fails = Some(("erase", 1));
        w.act(id, "release", json!({"erase": "quick"})).await.of(202);
        w.until(&mut room, id, "failed_disk_erasing").await;
        w.act(id, "mark-broken", json!({})).await.of(202);
        w.act(id, "mark-fixed", json!({})).await.of(202);
        for _ in 0..12 {
            w.steps(id).await;
            room.turn(&w).await;
            let m = w.machine(id).await;
            assert!(m.owned() && m.status.word() == "deployed", "{m:?}");
        }
        assert!(room.pcs[0].marker, "nobody erased it");
        w.act(id, "release", json!({"erase": "quick"})).await.of(202);
        w.until(&mut room, id, "ready").await;
        assert!(!room.pcs[0].marker);
    }
}

#[tokio::test]
async fn a_rescue_that_was_given_up_ends_where_it_began() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.deployed(&mut room).await;
        w.act(id, "rescue", json!({})).await.of(202);
        w.steps(id).await;
        w.act(id, "abort", json!({})).await.of(202);
        // It had fetched its live system already, and comes up in it.
        room.turn(&w).await;
        assert!(room.pcs[0].session.is_some());
        for _ in 0..12 {
            w.steps(id).await;
            room.turn(&w).await;
            assert_eq!(w.status(id).await, "deployed");
        }
        assert!(room.pcs[0].session.is_none() && room.pcs[0].marker, "it runs its own system again");
        assert_eq!(w.machine(id).await.boot.word(), "local");
    }
}

/// A key of whoever asks as an operator here, which live systems do not let in by themselves.
async fn with_a_key(w: &World) {
    let key = json!({"key": {"key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA owner"}});
    w.admin("POST", "/hanok/v1/machine-keys", Some(key)).await.of(201);
}

fn lets_its_owner_in(room: &Room) -> bool {
    room.pcs[0].keys.iter().any(|key| key.ends_with(" owner"))
}

#[tokio::test]
async fn a_live_system_that_its_owner_was_let_into_does_not_erase() {
    for w in worlds().await {
        with_a_key(&w).await;
        let mut room = Room::new(&[MAC]);
        let id = w.deployed(&mut room).await;
        w.act(id, "rescue", json!({})).await.of(202);
        w.until(&mut room, id, "rescue_mode").await;
        assert!(lets_its_owner_in(&room));
        let lent = room.pcs[0].session.clone();
        w.act(id, "release", json!({"erase": "quick"})).await.of(202);
        for _ in 0..20 {
            if room.pcs[0].done.iter().any(|what| what == "erase") {
                break;
            }
            w.steps(id).await;
            room.turn(&w).await;
        }
        assert_ne!(room.pcs[0].session, lent, "it was started anew before that");
        assert!(!room.pcs[0].marker && !lets_its_owner_in(&room));
        w.until(&mut room, id, "ready").await;
    }
}

#[tokio::test]
async fn a_live_system_that_its_owner_was_let_into_does_not_stay_after_rescue() {
    for w in worlds().await {
        with_a_key(&w).await;
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
        (room.pcs[0].fails, room.pcs[0].for_good) = (Some(("write", 1)), true);
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        w.until(&mut room, id, "failed_deployment").await;
        let up = room.pcs[0].session.clone();
        assert!(up.is_some() && !lets_its_owner_in(&room));
        w.act(id, "rescue", json!({})).await.of(202);
        w.until(&mut room, id, "rescue_mode").await;
        assert!(room.pcs[0].session != up && lets_its_owner_in(&room), "keys are given as it comes up");
        w.act(id, "exit-rescue", json!({})).await.of(202);
        w.until(&mut room, id, "allocated").await;
        assert!(!room.pcs[0].on);
        // Given up after its owner was let in.
        w.act(id, "rescue", json!({})).await.of(202);
        w.steps(id).await;
        room.turn(&w).await;
        assert!(room.pcs[0].on && lets_its_owner_in(&room));
        w.act(id, "abort", json!({})).await.of(202);
        for _ in 0..6 {
            w.steps(id).await;
            room.turn(&w).await;
        }
        assert!(!room.pcs[0].on);
        assert_eq!(w.status(id).await, "allocated");
        // What is asked next starts it anew.
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        w.until(&mut room, id, "deployed").await;
        assert!(!lets_its_owner_in(&room));
    }
}
