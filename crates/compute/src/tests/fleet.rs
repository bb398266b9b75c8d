//! Hosts that go down, servers that are restarted elsewhere, hosts that are emptied.

use super::moves::{fleet, host_of, turn, until};
use super::world::{FakeHost, World, worlds};
use crate::fleet::{Decision, Tenant, Watched, decide, empty};
use crate::model::{Task, VmState};
use crate::table::moving::Kind;
use base::{HostId, Micros, ServerId};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;
use store::params;
use store::work::Ran;

const NOW: Micros = Micros(1_000_000_000_000);

fn ago(seconds: i64) -> Micros {
    Micros(NOW.0 - seconds * 1_000_000)
}

/// Hosts by seconds since they were heard and since they were noted as down (-1: they were not).
fn watched(hosts: &[(i64, i64)]) -> Vec<Watched> {
    let one = |(seen, down): &(i64, i64)| Watched {
        id: HostId::new(),
        name: "h".into(),
        seen_at: ago(*seen),
        silent: *seen > 15,
        forced_down: false,
        down_since: if *down < 0 { Micros(0) } else { ago(*down) },
        draining: false,
    };
    hosts.iter().map(one).collect()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn who_is_down_and_who_is_cut_off() {
    for (hosts, was, went, came, cut_off, fenced) in [
        (vec![(1, -1), (2, -1), (3, -1)], false, 0, 0, false, 0),
        // One goes; its guests are left alone until its lease is over.
        (vec![(1, -1), (2, -1), (16, -1)], false, 1, 0, false, 0),
        (vec![(1, -1), (2, -1), (46, 30)], false, 0, 0, false, 1),
        (vec![(1, -1), (2, -1), (3, 30)], false, 0, 1, false, 0),
        // Two of three at once: that is us. It stays so however long it takes.
        (vec![(1, -1), (17, -1), (16, -1)], false, 2, 0, true, 0),
        (vec![(1, -1), (600, 580), (600, 580)], true, 0, 0, true, 0),
        // Those who are heard later than the first get their time.
        (vec![(1, -1), (2, 580), (600, 580)], true, 0, 1, false, 0),
        (vec![(1, -1), (2, -1), (600, 580)], false, 0, 0, false, 1),
        // One after the other is another matter.
        (vec![(1, -1), (50, 35), (600, 580)], false, 0, 0, false, 2),
        // The one host beside us.
        (vec![(1, -1), (50, 35)], false, 0, 0, false, 1),
    ] {
        let hosts = watched(&hosts);
        let d = decide(&hosts, was, HOUR, NOW, Duration::ZERO);
        let told = (d.went.len(), d.came.len(), d.cut_off, d.fenced.len());
        assert_eq!(told, (went, came, cut_off, fenced), "{hosts:?}");
    }
    let forced = vec![Watched { forced_down: true, silent: true, ..watched(&[(1, -1)]).remove(0) }];
    let id = forced[0].id;
    for (cut_off, listening) in [(false, HOUR), (false, Duration::ZERO), (true, Duration::ZERO)] {
        let d = decide(&forced, cut_off, listening, NOW, Duration::ZERO);
        assert_eq!(d, Decision { went: vec![id], fenced: vec![id], ..Decision::default() });
    }
}

/// The region, or its database, was away for a while: all hosts look silent, and report one after the other.
#[test]
fn hosts_get_their_time_anew_after_an_outage() {
    let lag = Duration::from_secs(4);
    let decide = |hosts: &[(i64, i64)], was, listening| {
        let d = decide(&watched(hosts), was, Duration::from_secs(listening), NOW, lag);
        (d.cut_off, d.fenced.len())
    };
    assert_eq!(decide(&[(60, -1), (60, -1)], false, 0), (true, 0));
    assert_eq!(decide(&[(1, 2), (62, 2)], true, 2), (false, 0), "the second is on its way");
    assert_eq!(decide(&[(2, -1), (64, 4)], false, 2), (false, 0));
    assert_eq!(decide(&[(1, -1), (108, 48)], false, 48), (false, 0));
    assert_eq!(
        decide(&[(1, -1), (110, 50)], false, 50),
        (false, 1),
        "it had as much time as a silent host has"
    );
    // The one host beside us, whom nobody can tell from a cut.
    assert_eq!(decide(&[(1, -1), (62, -1)], false, 2), (false, 0));
}

fn tenant(vm: VmState, memory_mib: u64) -> Tenant {
    Tenant { id: ServerId::new(), vm, task: None, memory_mib, moving: false, failed: None }
}

#[test]
fn in_which_order_a_host_is_emptied() {
    let stopped = tenant(VmState::Stopped, 1);
    let (small, large) = (tenant(VmState::Active, 64), tenant(VmState::Paused, 4096));
    let busy = Tenant { task: Some(Task::Rebooting), ..tenant(VmState::Active, 1) };
    let rescued = tenant(VmState::Rescued, 1);
    let all = vec![stopped.clone(), large.clone(), busy.clone(), small.clone(), rescued.clone()];
    let plan = empty(all.clone(), 2);
    assert_eq!(plan.go, [(small.id, Kind::Live), (large.id, Kind::Live)]);
    assert_eq!(plan.waiting, [stopped.id]);
    let stuck: HashSet<_> = plan.stuck.iter().map(|(id, _)| *id).collect();
    assert_eq!(stuck, HashSet::from([busy.id, rescued.id]));
    let under_way: Vec<_> =
        all.into_iter().map(|t| Tenant { moving: t.id == small.id || t.id == large.id, ..t }).collect();
    let plan = empty(under_way, 2);
    assert!(plan.go.is_empty() && plan.moving.len() == 2 && plan.waiting == [stopped.id]);
}

async fn look(w: &World) {
    w.db.write(|tx| store::work::wake(tx, "fleet")).await.unwrap();
    for _ in 0..3 {
        if w.engine.run_one("fleet", true).await.unwrap() == Ran::Nothing {
            break;
        }
    }
}

/// As if hosts could have been heard for that long, by this process and by the region.
async fn listens_for(w: &World, time: Duration) {
    crate::pulse::listens_for(time);
    let since = Micros::now().minus(time);
    w.db.write(move |tx| tx.exec("UPDATE work SET since = $1 WHERE id = 'fleet'", params![since]))
        .await
        .unwrap();
}

async fn gone_for(w: &World, name: &str, seconds: i64) {
    let (name, past) = (name.to_owned(), Micros(Micros::now().0 - seconds * 1_000_000));
    w.db.write(move |tx| tx.exec("UPDATE host SET seen_at = $1 WHERE name = $2", params![past, name]))
        .await
        .unwrap();
}

async fn events(w: &World) -> Vec<String> {
    let sql = "SELECT kind FROM event ORDER BY at, id";
    w.db.read(move |tx| tx.rows(sql, &[], |r| r.get(0))).await.unwrap()
}

async fn protected(w: &World, name: &str, metadata: Value) -> ServerId {
    let mut body = json!({"server": w.wish(name)});
    body["server"]["metadata"] = metadata;
    let made = w.member("2.79", "POST", "/servers", Some(body)).await.expect(202);
    made["server"]["id"].as_str().unwrap().parse().unwrap()
}

/// The hosts of these names, and the others.
fn part(hosts: Vec<FakeHost>, name: &str) -> (Vec<FakeHost>, Vec<FakeHost>) {
    hosts.into_iter().partition(|h| h.name == name)
}

#[tokio::test]
async fn a_protected_server_starts_elsewhere_when_its_host_dies() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a"]).await;
        let id = protected(&w, "one", json!({"hanok:ha": "restart"})).await;
        let plain = w.create("two").await;
        for id in [id, plain] {
            until(&w, &mut hosts, id, "ACTIVE", false).await;
        }
        let d = hosts[0].document.clone().unwrap();
        assert_eq!(d.fence_s, Some(30));
        assert!(d.guests.iter().all(|g| g.ha == (g.id == id)));
        hosts.extend(fleet(&w, &["b", "c"]).await);
        listens_for(&w, HOUR).await;
        crate::pulse::listens_for(Duration::ZERO);
        look(&w).await;
        gone_for(&w, "a", 62).await;
        look(&w).await;
        look(&w).await;
        assert!(events(&w).await.contains(&"host.down".to_owned()));
        assert!(!events(&w).await.contains(&"server.sent_away".to_owned()), "it may not have found us yet");
        crate::pulse::listens_for(HOUR);
        look(&w).await;
        let (mut dead, mut alive) = part(hosts, "a");
        until(&w, &mut alive, id, "ACTIVE", true).await;
        assert_ne!(host_of(&w, id).await, "a");
        assert_eq!(host_of(&w, plain).await, "a", "nobody asked for that one");
        assert!(events(&w).await.contains(&"server.evacuated".to_owned()));
        look(&w).await;
        turn(&w, &mut dead).await;
        assert_eq!(dead[0].document.as_ref().unwrap().guests.len(), 1, "told that it is not its any more");
        look(&w).await;
        assert!(events(&w).await.contains(&"host.up".to_owned()));
    }
}

#[tokio::test]
async fn a_region_that_is_cut_off_restarts_nothing() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b", "c"]).await;
        let id = protected(&w, "one", json!({"hanok:ha": "restart"})).await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        listens_for(&w, HOUR).await;
        look(&w).await;
        let home = host_of(&w, id).await;
        for h in &hosts {
            gone_for(&w, &h.name, 100).await;
        }
        look(&w).await;
        look(&w).await;
        assert!(events(&w).await.contains(&"region.cut_off".to_owned()));
        assert!(!events(&w).await.contains(&"server.sent_away".to_owned()));
        let (_, mut others) = part(hosts, &home);
        // News is written at once.
        others.iter_mut().for_each(|h| h.facts.vcpus += 1);
        turn(&w, &mut others).await;
        look(&w).await;
        look(&w).await;
        assert!(events(&w).await.contains(&"region.connected".to_owned()));
        assert!(!events(&w).await.contains(&"server.sent_away".to_owned()), "the last one is on its way");
        listens_for(&w, HOUR).await;
        look(&w).await;
        until(&w, &mut others, id, "ACTIVE", true).await;
        assert_ne!(host_of(&w, id).await, home, "now it is one host that is down");
    }
}

#[tokio::test]
async fn a_host_is_emptied() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a"]).await;
        let mut ids = Vec::new();
        for i in 0..4 {
            let id = w.create(&format!("s{i}")).await;
            until(&w, &mut hosts, id, "ACTIVE", false).await;
            ids.push(id);
        }
        w.act(ids[0], json!({"os-stop": null})).await.expect(202);
        until(&w, &mut hosts, ids[0], "SHUTOFF", false).await;
        w.act(ids[1], json!({"suspend": null})).await.expect(202);
        until(&w, &mut hosts, ids[1], "SUSPENDED", false).await;
        hosts.extend(fleet(&w, &["b"]).await);
        let ask = |method: &'static str| {
            let w = &w;
            async move { w.send("admin:a", "", method, "/hanok/v1/hosts/a/drain", None).await }
        };
        w.send("member:a", "", "POST", "/hanok/v1/hosts/a/drain", None).await.expect(403);
        w.send("admin:a", "", "POST", "/hanok/v1/hosts/x/drain", None).await.expect(404);
        let told = ask("POST").await.expect(202)["drain"].clone();
        assert_eq!(
            (&told["left"], &told["draining"], &told["enabled"]),
            (&json!(4), &json!(true), &json!(false))
        );
        for _ in 0..30 {
            look(&w).await;
            for id in &ids {
                while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
            }
            let moving = ask("GET").await.expect(200)["drain"]["moving"].as_array().unwrap().len();
            assert!(moving <= 2);
            turn(&w, &mut hosts).await;
        }
        let told = ask("GET").await.expect(200)["drain"].clone();
        assert_eq!(told["left"], 1, "{told}");
        assert_eq!(told["stuck"][0]["server"], json!(ids[1]));
        assert!(told["stuck"][0]["reason"].as_str().unwrap().contains("suspended"), "{told}");
        for (id, status) in [(ids[0], "SHUTOFF"), (ids[2], "ACTIVE"), (ids[3], "ACTIVE")] {
            assert!(w.calm(id, status).await, "{:#}", w.why(id).await);
            assert_eq!(host_of(&w, id).await, "b");
        }
        assert_eq!(ask("DELETE").await.expect(200)["drain"]["enabled"], true);
    }
}

#[tokio::test]
async fn a_server_sees_what_all_its_hosts_can_give() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        hosts[0].facts.cpu_models = vec!["Icelake".into(), "Haswell".into()];
        hosts[0].facts.cpu_model = "new".into();
        hosts[1].facts.cpu_models = vec!["Haswell".into()];
        turn(&w, &mut hosts).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let seen = |hosts: &[FakeHost]| {
            hosts
                .iter()
                .flat_map(|h| &h.document)
                .flat_map(|d| &d.guests)
                .map(|g| g.cpu.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(&hosts), ["Haswell"]);
        // Unequal hosts, and it goes on there all the same.
        super::moves::admin(&w, id, super::moves::live(None)).await.expect(202);
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        turn(&w, &mut hosts).await;
        assert_eq!(seen(&hosts), ["Haswell"]);
        // What is chosen at a start lasts until the next.
        hosts.iter_mut().for_each(|h| h.facts.cpu_models = vec!["Sapphire".into(), "Haswell".into()]);
        turn(&w, &mut hosts).await;
        assert_eq!(seen(&hosts), ["Haswell"]);
        w.act(id, json!({"os-stop": null})).await.expect(202);
        until(&w, &mut hosts, id, "SHUTOFF", false).await;
        w.act(id, json!({"os-start": null})).await.expect(202);
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        assert_eq!(seen(&hosts), ["Sapphire"]);
    }
}
