//! The crash harness: every step runs, dies before its commit, and runs again; removal at every step; two workers.

use super::world::{Room, World, worlds};
use base::MachineId;
use serde_json::json;
use std::sync::Arc;
use store::params;
use store::work::{Engine, Ran};

const MAC: &str = "52:54:00:cc:00:01";

/// Each step runs once without its commit, then again with it.
async fn crashing(w: &World, room: &mut Room, id: MachineId, status: &str) {
    for _ in 0..80 {
        if w.status(id).await == status {
            return;
        }
        while w.engine.run_one(&id.to_string(), false).await.unwrap() == Ran::Dropped {
            assert_eq!(w.engine.run_one(&id.to_string(), true).await.unwrap(), Ran::Committed);
        }
        room.turn(w).await;
    }
    panic!("{id} is {} and never came to {status}", w.status(id).await);
}

#[tokio::test]
async fn every_step_may_die_before_its_commit() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.found(&mut room).await;
        for (action, body, status) in [
            ("commission", json!({"tests": ["cpu"]}), "ready"),
            ("test", json!({"tests": ["memory"]}), "ready"),
            ("allocate", json!({}), "allocated"),
            ("deploy", json!({"image_id": w.image.to_string()}), "deployed"),
            ("rescue", json!({}), "rescue_mode"),
            ("exit-rescue", json!({}), "deployed"),
            ("release", json!({"erase": "verified"}), "ready"),
            ("allocate", json!({}), "allocated"),
            ("release", json!({"erase": "none"}), "ready"),
        ] {
            w.act(id, action, body).await.of(202);
            crashing(&w, &mut room, id, status).await;
        }
        // Each thing was done once, whatever died: the live system never heard an order twice.
        let wrote = room.pcs[0].done.iter().filter(|d| *d == "write").count();
        let erased = room.pcs[0].done.iter().filter(|d| *d == "erase").count();
        assert_eq!((wrote, erased), (1, 1), "{:?}", room.pcs[0].done);
    }
}

#[tokio::test]
async fn removal_wins_at_every_step() {
    for w in worlds().await {
        // 0: at once; then after one more step or turn each time.
        for events in 0..14 {
            let mut room = Room::new(&[MAC]);
            let id = w.ready(&mut room).await;
            w.act(id, "allocate", json!({})).await.of(202);
            w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
            for event in 0..events {
                if event % 2 == 0 {
                    w.engine.run_one(&id.to_string(), true).await.unwrap();
                } else {
                    room.turn(&w).await;
                }
            }
            w.admin("DELETE", &format!("/hanok/v1/machines/{id}"), None).await.refused(409);
            w.admin("DELETE", &format!("/hanok/v1/machines/{id}?force=1"), None).await.of(204);
            w.admin("GET", &format!("/hanok/v1/machines/{id}"), None).await.of(404);
            while w.engine.run_one(&id.to_string(), false).await.unwrap() == Ran::Dropped {
                assert_eq!(w.engine.run_one(&id.to_string(), true).await.unwrap(), Ran::Committed);
            }
            nothing_left(&w, id).await;
        }
    }
}

/// Of a machine that was removed.
async fn nothing_left(w: &World, id: MachineId) {
    let left = w.db.read(move |tx| {
        let id = id.to_string();
        let mut left = Vec::new();
        for (table, column) in [
            ("work", "id"),
            ("machine", "id"),
            ("machine_nic", "machine_id"),
            ("machine_seen", "machine_id"),
            ("live_session", "machine_id"),
            ("boot_token", "machine_id"),
            ("machine_task", "machine_id"),
        ] {
            let n: i64 =
                tx.one(&format!("SELECT COUNT(*) FROM {table} WHERE {column} = $1"), params![&id], |r| {
                    r.get(0)
                })?;
            if n > 0 {
                left.push(table);
            }
        }
        let addresses: i64 = tx.one("SELECT COUNT(*) FROM metal_address", &[], |r| r.get(0))?;
        if addresses > 0 {
            left.push("metal_address");
        }
        Ok(left)
    });
    assert_eq!(left.await.unwrap(), Vec::<&str>::new());
}

#[tokio::test]
async fn two_workers_and_many_machines() {
    for w in worlds().await {
        let macs: Vec<String> = (0..12).map(|n| format!("52:54:00:dd:00:{n:02x}")).collect();
        let mut room = Room::new(&macs.iter().map(String::as_str).collect::<Vec<_>>());
        let workers: Vec<_> = (0..2)
            .map(|_| tokio::spawn(Engine::builder(w.db.clone()).with(w.metal.life()).build().run()))
            .collect();
        for pc in &mut room.pcs {
            pc.start(&w, w.segment).await;
        }
        let ids: Vec<MachineId> = room.pcs.iter().map(|pc| pc.id.unwrap()).collect();
        let w = Arc::new(w);
        for (action, body, status) in [
            ("commission", json!({"tests": ["cpu"]}), "ready"),
            ("allocate", json!({}), "allocated"),
            ("deploy", json!({"image_id": w.image.to_string()}), "deployed"),
            ("release", json!({"erase": "quick"}), "ready"),
        ] {
            for id in &ids {
                w.act(*id, action, body.clone()).await.of(202);
            }
            until_all(&w, &mut room, &ids, status).await;
        }
        workers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn until_all(w: &World, room: &mut Room, ids: &[MachineId], status: &str) {
    for _ in 0..2000 {
        room.turn(w).await;
        let mut left = 0;
        for id in ids {
            left += usize::from(w.status(*id).await != status);
        }
        if left == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("not all came to {status}");
}
