//! A server that its host cannot make, and what it is tried on then; hosts whose disks are full.

use super::world::{FakeHost, World, worlds};
use base::doc::{GuestState, Power};
use base::{Micros, ServerId};
use std::time::Duration;
use store::params;
use store::work::Ran;

const FULL: &str = "disk: The host's disk is full: 65 MiB are needed, 1 MiB are free, 64 MiB are missing.";

/// Hosts that have reported, the first choice first.
async fn hosts(w: &World, names: &[&str]) -> Vec<FakeHost> {
    let mut all = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let mut host = w.host(name).await;
        host.facts.memory_mib = (64 << 10) - ((n as u64) << 10);
        host.turn(w).await;
        all.push(host);
    }
    all
}

/// Runs the server's steps until it rests or waits; each dies before its commit once.
async fn steps(w: &World, id: ServerId) {
    while w.engine.run_one(&id.to_string(), false).await.unwrap() == Ran::Dropped {
        assert_eq!(w.engine.run_one(&id.to_string(), true).await.unwrap(), Ran::Committed);
    }
}

/// The host has said for a while that it cannot make the server. From then on it does what it is told.
async fn fails(w: &World, host: &mut FakeHost, id: ServerId) {
    host.plan.insert(id, (GuestState::Failed, 0, FULL));
    host.turn(w).await;
    host.plan.clear();
    failed_for(w, id, 60).await;
}

async fn failed_for(w: &World, id: ServerId, seconds: i64) {
    let past = Micros(Micros::now().0 - seconds * 1_000_000);
    w.db.write(move |tx| {
        tx.exec("UPDATE host_guest SET since = $1", params![past])?;
        store::work::wake(tx, &id.to_string())
    })
    .await
    .unwrap();
}

async fn place(w: &World, id: ServerId) -> Option<String> {
    let shown = w.admin("2.79", "GET", &format!("/servers/{id}"), None).await.expect(200);
    shown["server"]["OS-EXT-SRV-ATTR:host"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn what_one_host_cannot_make_another_one_makes() {
    for w in worlds().await {
        let mut all = hosts(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        steps(&w, id).await;
        assert_eq!(place(&w, id).await.as_deref(), Some("a"));
        fails(&w, &mut all[0], id).await;
        steps(&w, id).await;
        // It might be starting this very moment: not elsewhere before its host says that it is not.
        assert_eq!(w.status(id).await, "BUILD");
        assert_eq!(place(&w, id).await.as_deref(), Some("a"));
        all[0].fetch(&w, 0).await;
        assert_eq!(all[0].document.as_ref().unwrap().guests[0].power, Power::Off);
        all[0].turn(&w).await;
        steps(&w, id).await;
        assert_eq!(place(&w, id).await.as_deref(), Some("b"));
        all[0].turn(&w).await;
        assert!(all[0].document.as_ref().unwrap().guests.is_empty());
        let used = "SELECT vcpus_used + memory_mib_used + disk_gib_used + guests FROM host WHERE name = 'a'";
        assert_eq!(w.db.read(move |tx| tx.one(used, &[], |r| r.get::<i64>(0))).await.unwrap(), 0);
        w.until(&mut all[1], id, "ACTIVE").await;
        assert_eq!(all[1].document.as_ref().unwrap().guests[0].power, Power::On);
        // That it could not be made there once says nothing of a server that runs.
        let s = w.db.read(move |tx| Ok(crate::table::server::any(tx, id)?.unwrap())).await.unwrap();
        let (ask, rooms) = w.db.read(move |tx| crate::placing::choices(tx, &s)).await.unwrap();
        assert!(ask.rules.is_empty() && rooms.iter().any(|r| r.name == "a"), "{rooms:?}");
        w.delete(id).await.expect(204);
        w.until(&mut all[1], id, "GONE").await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn three_hosts_are_tried_and_no_more() {
    for w in worlds().await {
        let mut all = hosts(&w, &["a", "b", "c", "d"]).await;
        let id = w.create("one").await;
        steps(&w, id).await;
        for host in &mut all[..3] {
            assert_eq!(place(&w, id).await, Some(host.name.clone()));
            fails(&w, host, id).await;
            steps(&w, id).await;
            host.turn(&w).await;
            steps(&w, id).await;
        }
        let server = w.get(&format!("/servers/{id}")).await["server"].clone();
        assert_eq!(server["status"], "ERROR");
        assert_eq!(server["fault"]["message"], FULL);
        w.delete(id).await.expect(204);
        w.until(&mut all[2], id, "GONE").await;
        for host in &mut all {
            host.turn(&w).await;
            assert!(host.document.as_ref().is_none_or(|d| d.guests.is_empty()));
        }
        w.nothing_left().await;
    }
}

/// Its disk breaks, or it goes away: it never says that the guest is off.
#[tokio::test]
async fn of_a_host_that_never_lets_go_the_server_fails() {
    for w in worlds().await {
        let mut all = hosts(&w, &["a", "b"]).await;
        for gone in [false, true] {
            let id = w.create("one").await;
            steps(&w, id).await;
            fails(&w, &mut all[0], id).await;
            steps(&w, id).await;
            if gone {
                let past = Micros(Micros::now().0 - 3_600_000_000);
                let sql = "UPDATE host SET seen_at = $1 WHERE name = 'a'";
                w.db.write(move |tx| tx.exec(sql, params![past])).await.unwrap();
                crate::pulse::listens_for(Duration::from_secs(600));
            } else {
                all[0].plan.insert(id, (GuestState::Failed, 0, FULL));
                all[0].turn(&w).await;
                steps(&w, id).await;
                assert_eq!(w.status(id).await, "BUILD", "it has a moment");
                failed_for(&w, id, 300).await;
            }
            w.db.write(move |tx| store::work::wake(tx, &id.to_string())).await.unwrap();
            steps(&w, id).await;
            let server = w.get(&format!("/servers/{id}")).await["server"].clone();
            assert_eq!(server["status"], "ERROR");
            let why = server["fault"]["message"].as_str().unwrap();
            assert!(why.contains(if gone { "has been silent" } else { FULL }), "{why}");
            w.delete(id).await.expect(204);
            all[0].plan.clear();
            w.until(&mut all[0], id, "GONE").await;
            w.nothing_left().await;
        }
    }
}

#[tokio::test]
async fn delete_wins_while_another_host_is_looked_for() {
    for w in worlds().await {
        let mut all = hosts(&w, &["a", "b"]).await;
        // 0: at once; then after one more step or turn of the host each time.
        for events in 0..6 {
            let id = w.create("one").await;
            steps(&w, id).await;
            fails(&w, &mut all[0], id).await;
            for event in 0..events {
                if event % 2 == 0 {
                    w.engine.run_one(&id.to_string(), true).await.unwrap();
                } else {
                    all[0].turn(&w).await;
                }
            }
            w.delete(id).await.expect(204);
            for _ in 0..4 {
                steps(&w, id).await;
                for host in &mut all {
                    host.turn(&w).await;
                }
            }
            assert_eq!(w.status(id).await, "GONE", "after {events}");
            w.nothing_left().await;
        }
    }
}

/// Makes a server when the host has so many bytes left on its disk.
async fn placed(w: &World, host: &mut FakeHost, left: u64) -> (ServerId, Option<String>) {
    host.facts.disk_free_bytes = left;
    host.turn(w).await;
    let id = w.create("one").await;
    steps(w, id).await;
    (id, place(w, id).await)
}

/// Disks are promised thinly: one that guests have filled takes no more servers, however much was not promised yet.
#[tokio::test]
async fn a_host_whose_disk_is_full_is_passed_over() {
    for w in worlds().await {
        let mut all = hosts(&w, &["a", "b"]).await;
        (all[0].facts.disk_bytes, all[0].facts.disk_free_bytes) = (4 << 40, 40 << 30);
        all[0].turn(&w).await;
        assert_eq!(placed(&w, &mut all[0], 39 << 30).await.1.as_deref(), Some("a"));
        // A small part of such a disk, and it is news.
        assert_eq!(placed(&w, &mut all[0], 900 << 20).await.1.as_deref(), Some("b"));
        let (lost, nowhere) = placed(&w, &mut all[1], 0).await;
        assert_eq!(nowhere, None);
        let shown = w.get(&format!("/servers/{lost}")).await;
        let why = shown["server"]["fault"]["message"].as_str().unwrap();
        assert!(why.contains("2 lack disk") && why.contains("at most 0 free"), "{why}");
        assert_eq!(placed(&w, &mut all[0], 2 << 30).await.1.as_deref(), Some("a"), "there is room again");
    }
}
