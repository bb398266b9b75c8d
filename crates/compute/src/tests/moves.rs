//! Servers on their way between hosts: the ordinary way, every crash, delete and failure at every step, two
//! engines at once. At no time do two hosts run the same guest.

use super::lifecycle::wait;
use super::world::{FakeHost, World, worlds};
use base::doc::{GuestState, MoveStage, Power};
use base::{Micros, ServerId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::params;
use store::work::{Engine, Ran};

/// Hosts that guests can move between, as real ones say of themselves.
pub async fn fleet(w: &World, names: &[&str]) -> Vec<FakeHost> {
    let mut all = Vec::new();
    for name in names {
        let mut host = w.host(name).await;
        host.facts.cpu_models = vec!["qemu64".into()];
        host.facts.bytes_url = format!("http://{name}.test");
        host.turn(w).await;
        all.push(host);
    }
    all
}

/// One turn of every host. What arrives is there once its source has sent it, and not before; whoever has a
/// stage of its own says that.
pub async fn turn(w: &World, hosts: &mut [FakeHost]) {
    for i in 0..hosts.len() {
        hosts[i].fetch(w, 0).await;
        let coming: Vec<(ServerId, u64)> =
            guests(&hosts[i]).filter_map(|g| g.arrival.as_ref().map(|a| (g.id, a.number))).collect();
        let own = hosts[i].stages.clone();
        for (id, number) in coming {
            let sent = hosts.iter().flat_map(guests).any(|g| {
                g.id == id && g.departure.as_ref().is_some_and(|d| d.number == number && !d.token.is_empty())
            });
            let stage = if sent { MoveStage::Arrived } else { MoveStage::Listening };
            hosts[i].stages.entry(id).or_insert(stage);
        }
        let report = hosts[i].report();
        hosts[i].stages = own;
        hosts[i].send(w, &report).await.expect(204);
    }
    for id in hosts.iter().flat_map(guests).map(|g| g.id).collect::<Vec<_>>() {
        let owners = hosts.iter().flat_map(guests).filter(|g| g.id == id && runs(g)).count();
        assert!(owners <= 1, "{owners} hosts run {id}");
    }
}

/// Whether a host that obeys runs this guest for good: not while it is on its way.
fn runs(g: &base::doc::Guest) -> bool {
    g.power == Power::On && g.arrival.is_none() && g.departure.is_none()
}

fn guests(host: &FakeHost) -> impl Iterator<Item = &base::doc::Guest> {
    host.document.iter().flat_map(|d| &d.guests)
}

/// Steps and turns until the server shows `status`; with `crash`, every step dies once before its commit.
pub async fn until(w: &World, hosts: &mut [FakeHost], id: ServerId, status: &str, crash: bool) {
    for _ in 0..60 {
        if w.calm(id, status).await {
            return;
        }
        if crash {
            while w.engine.run_one(&id.to_string(), false).await.unwrap() == Ran::Dropped {
                assert_eq!(w.engine.run_one(&id.to_string(), true).await.unwrap(), Ran::Committed);
            }
        } else {
            steps(w, id).await;
        }
        turn(w, hosts).await;
    }
    panic!("{id} never came to {status}: {:#}", w.why(id).await);
}

async fn steps(w: &World, id: ServerId) {
    while w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
}

pub async fn admin(w: &World, id: ServerId, body: Value) -> super::world::Answer {
    w.admin("2.79", "POST", &format!("/servers/{id}/action"), Some(body)).await
}

pub fn live(to: Option<&str>) -> Value {
    json!({"os-migrateLive": {"host": to, "block_migration": "auto"}})
}

pub async fn host_of(w: &World, id: ServerId) -> String {
    let server = w.admin("2.79", "GET", &format!("/servers/{id}"), None).await.expect(200)["server"].clone();
    server["OS-EXT-SRV-ATTR:host"].as_str().unwrap().to_owned()
}

pub async fn status_of_move(w: &World, id: ServerId) -> String {
    let path = format!("/os-migrations?instance_uuid={id}");
    let all = w.admin("2.79", "GET", &path, None).await.expect(200);
    all["migrations"][0]["status"].as_str().unwrap().to_owned()
}

/// What the hosts hold, and the documents without guests that nobody owns.
async fn used(w: &World) -> Vec<(String, i64)> {
    let sql = "SELECT name, vcpus_used + memory_mib_used + disk_gib_used + guests FROM host ORDER BY name";
    w.db.read(move |tx| tx.rows(sql, &[], |r| Ok((r.get(0)?, r.get(1)?)))).await.unwrap()
}

async fn nothing_left(w: &World, hosts: &mut [FakeHost]) {
    turn(w, hosts).await;
    w.nothing_left().await;
    assert!(hosts.iter().all(|h| guests(h).next().is_none()));
    for sql in
        ["SELECT COUNT(*) FROM server_move", "SELECT COUNT(*) FROM port WHERE next_host_id IS NOT NULL"]
    {
        assert_eq!(w.db.read(move |tx| tx.one(sql, &[], |r| r.get::<i64>(0))).await.unwrap(), 0, "{sql}");
    }
}

#[tokio::test]
async fn a_live_one_goes_on_elsewhere() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        hosts[1].facts.memory_mib = 4096;
        hosts[1].facts.storage_url = "http://b.storage.test".into();
        turn(&w, &mut hosts).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        assert_eq!(host_of(&w, id).await, "a");
        let before = used(&w).await;
        admin(&w, id, live(None)).await.expect(202);
        assert_eq!(w.status(id).await, "MIGRATING");
        steps(&w, id).await;
        assert_ne!(used(&w).await[1], before[1], "both hosts hold it");
        hosts[1].stages.insert(id, MoveStage::Listening);
        hosts[0].stages.insert(id, MoveStage::Sending);
        turn(&w, &mut hosts).await;
        let coming = guests(&hosts[1]).next().unwrap().clone();
        assert!(coming.arrival.as_ref().unwrap().live);
        assert_eq!(coming.ownership, 2);
        let port = |h: &FakeHost| {
            let all = h.document.iter().flat_map(|d| &d.networks).flat_map(|n| &n.ports);
            all.clone().find(|p| p.id == coming.nics[0].port).unwrap().clone()
        };
        assert_eq!(port(&hosts[1]).host, Some(hosts[1].id), "plugged there already");
        steps(&w, id).await;
        turn(&w, &mut hosts).await;
        let going = guests(&hosts[0]).next().unwrap().departure.clone().unwrap();
        assert_eq!((going.url.as_str(), going.live), ("http://b.storage.test", true));
        assert_eq!(Some(going.token), coming.arrival.map(|a| a.token));
        assert_eq!(port(&hosts[0]).host, Some(hosts[0].id), "and here still");
        let path = format!("/servers/{id}/migrations");
        let listed = w.admin("2.79", "GET", &path, None).await.expect(200)["migrations"].clone();
        assert_eq!((&listed[0]["status"], &listed[0]["dest_compute"]), (&json!("running"), &json!("b")));
        let why = w.why(id).await["life_cycle"]["reason"].as_str().unwrap().to_owned();
        assert!(why.contains("a sends it to b"), "{why}");
        hosts.iter_mut().for_each(|h| h.stages.clear());
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        assert_eq!(host_of(&w, id).await, "b");
        let there = guests(&hosts[1]).next().unwrap();
        assert_eq!((there.ownership, there.boots, there.arrival.is_none()), (2, 1, true), "no fresh start");
        turn(&w, &mut hosts).await;
        assert!(guests(&hosts[0]).next().is_none());
        assert_eq!(used(&w).await[0].1, 0);
        assert_eq!(status_of_move(&w, id).await, "completed");
        w.delete(id).await.expect(204);
        until(&w, &mut hosts, id, "GONE", false).await;
        nothing_left(&w, &mut hosts).await;
    }
}

#[tokio::test]
async fn every_step_of_a_move_may_die() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", true).await;
        let first = host_of(&w, id).await;
        for (ask, comes_to, moved) in [
            (live(None), "ACTIVE", true),
            (live(None), "ACTIVE", false),
            (json!({"migrate": null}), "VERIFY_RESIZE", true),
            (json!({"revertResize": null}), "ACTIVE", false),
            (json!({"migrate": null}), "VERIFY_RESIZE", true),
            (json!({"confirmResize": null}), "ACTIVE", true),
        ] {
            let answer = admin(&w, id, ask.clone()).await;
            assert!([202, 204].contains(&answer.status.as_u16()), "{}", answer.text);
            until(&w, &mut hosts, id, comes_to, true).await;
            assert_eq!(host_of(&w, id).await != first, moved, "{ask}");
            turn(&w, &mut hosts).await;
        }
        w.delete(id).await.expect(204);
        until(&w, &mut hosts, id, "GONE", true).await;
        nothing_left(&w, &mut hosts).await;
    }
}

#[tokio::test]
async fn a_revert_brings_the_disk_back_as_it_was() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        // No room for more where it is.
        let full = "UPDATE host SET memory_mib_used = memory_mib - 512 WHERE guests > 0";
        w.db.write(move |tx| tx.exec(full, &[])).await.unwrap();
        let before = used(&w).await;
        w.act(id, json!({"resize": {"flavorRef": "2"}})).await.expect(202);
        until(&w, &mut hosts, id, "VERIFY_RESIZE", false).await;
        let at = hosts.iter().position(|h| guests(h).next().is_some()).unwrap();
        let there = guests(&hosts[at]).next().unwrap();
        assert!(there.disk.keep.is_some() && there.memory_mib == 128, "in its new size, and kept as it was");
        w.act(id, json!({"revertResize": null})).await.expect(202);
        steps(&w, id).await;
        hosts[at].fetch(&w, 0).await;
        let putting = guests(&hosts[at]).next().unwrap();
        assert_eq!((putting.power, putting.disk.revert.is_some()), (Power::Off, true));
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        assert_eq!(used(&w).await, before);
        turn(&w, &mut hosts).await;
        let home = guests(&hosts[1 - at]).next().unwrap();
        assert_eq!((home.power, home.memory_mib, home.disk.keep), (Power::On, 64, None));
        assert_eq!(status_of_move(&w, id).await, "reverted");
    }
}

#[tokio::test]
async fn a_size_for_another_kind_of_host_is_had_there() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let specs = json!({"extra_specs": {"aggregate_instance_extra_specs:kind": "large"}});
        w.admin("2.79", "POST", "/flavors/2/os-extra_specs", Some(specs)).await.expect(200);
        // No host is of that kind: it stays as it is, and says why.
        w.act(id, json!({"resize": {"flavorRef": "2"}})).await.expect(202);
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let why = w.get(&format!("/servers/{id}/os-instance-actions")).await.to_string();
        assert!(why.contains("ruled out by the flavor's kind = large"), "{why}");
        let from = hosts.iter().position(|h| guests(h).next().is_some()).unwrap();
        let made = json!({"aggregate": {"name": "large"}});
        let made =
            w.admin("2.79", "POST", "/os-aggregates", Some(made)).await.expect(200)["aggregate"].clone();
        for act in [
            json!({"set_metadata": {"metadata": {"kind": "large"}}}),
            json!({"add_host": {"host": (if from == 0 { "b" } else { "a" })}}),
        ] {
            let path = format!("/os-aggregates/{}/action", made["id"]);
            w.admin("2.79", "POST", &path, Some(act)).await.expect(200);
        }
        // There is room where it is, and it goes all the same.
        w.act(id, json!({"resize": {"flavorRef": "2"}})).await.expect(202);
        until(&w, &mut hosts, id, "VERIFY_RESIZE", false).await;
        assert!(guests(&hosts[1 - from]).next().is_some());
        w.act(id, json!({"confirmResize": null})).await.expect(204);
        until(&w, &mut hosts, id, "ACTIVE", false).await;
    }
}

#[tokio::test]
async fn delete_wins_at_every_step_of_a_move() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        for ask in [live(None), json!({"migrate": null})] {
            for events in 0..10 {
                let id = w.create("one").await;
                until(&w, &mut hosts, id, "ACTIVE", false).await;
                admin(&w, id, ask.clone()).await.expect(202);
                some_events(&w, &mut hosts, id, events).await;
                w.delete(id).await.expect(204);
                until(&w, &mut hosts, id, "GONE", true).await;
                nothing_left(&w, &mut hosts).await;
            }
        }
    }
}

/// Steps and turns in alternation.
async fn some_events(w: &World, hosts: &mut [FakeHost], id: ServerId, events: usize) {
    for event in 0..events {
        if event % 2 == 0 {
            w.engine.run_one(&id.to_string(), true).await.unwrap();
        } else {
            turn(w, hosts).await;
        }
    }
}

#[tokio::test]
async fn a_move_that_fails_turns_back() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let home = hosts.iter().position(|h| guests(h).next().is_some()).unwrap();
        let before = used(&w).await;
        for (ask, fails_there, boots) in
            [(live(None), true, 0), (live(None), false, 0), (json!({"migrate": null}), false, 1)]
        {
            let had = guests(&hosts[home]).next().unwrap().boots;
            let side = if fails_there { 1 - home } else { home };
            hosts[side].stages.insert(id, MoveStage::Failed);
            admin(&w, id, ask.clone()).await.expect(202);
            until(&w, &mut hosts, id, "ACTIVE", true).await;
            hosts[side].stages.clear();
            turn(&w, &mut hosts).await;
            assert_eq!(used(&w).await, before, "{ask}");
            let here = guests(&hosts[home]).next().unwrap();
            assert_eq!((here.ownership, here.boots), (1, had + boots), "{ask}");
            assert!(guests(&hosts[1 - home]).next().is_none());
            assert_eq!(status_of_move(&w, id).await, "error");
            let actions = w.get(&format!("/servers/{id}/os-instance-actions")).await;
            let message = actions["instanceActions"][0]["message"].as_str().unwrap_or_default().to_owned();
            assert!(message.contains("could not go on: Failed"), "{message}");
        }
    }
}

#[tokio::test]
async fn the_source_goes_on_only_when_the_destination_has_let_go() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let home = hosts.iter().position(|h| guests(h).next().is_some()).unwrap();
        admin(&w, id, json!({"migrate": null})).await.expect(202);
        steps(&w, id).await;
        turn(&w, &mut hosts).await;
        hosts[home].stages.insert(id, MoveStage::Failed);
        steps(&w, id).await;
        hosts[home].turn(&w).await;
        assert_eq!(guests(&hosts[home]).next().unwrap().power, Power::Off, "it was told to go");
        for _ in 0..3 {
            steps(&w, id).await;
            hosts[home].turn(&w).await;
            assert!(guests(&hosts[home]).next().unwrap().departure.is_some(), "the other has not let go");
        }
        let why = w.why(id).await["life_cycle"]["reason"].as_str().unwrap().to_owned();
        assert!(why.contains("to let go of the guest"), "{why}");
        hosts[home].stages.clear();
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        assert_eq!(guests(&hosts[home]).next().unwrap().power, Power::On);
        // A destination that is cut off does not start a cold one, so it is not waited for.
        crate::pulse::listens_for(Duration::from_secs(3600));
        admin(&w, id, json!({"migrate": null})).await.expect(202);
        steps(&w, id).await;
        let gone = hosts[1 - home].name.clone();
        let past = Micros(Micros::now().0 - 100_000_000);
        w.db.write(move |tx| {
            tx.exec("UPDATE host SET seen_at = $1 WHERE name = $2", params![past, gone])?;
            store::work::wake(tx, &id.to_string())
        })
        .await
        .unwrap();
        steps(&w, id).await;
        hosts[home].turn(&w).await;
        steps(&w, id).await;
        assert!(w.calm(id, "ACTIVE").await, "{:#}", w.why(id).await);
    }
}

/// Every host looks silent when the region has been away: that is no reason to give up.
#[tokio::test]
async fn moves_outlive_an_outage_of_the_region() {
    for w in worlds().await {
        crate::pulse::listens_for(Duration::ZERO);
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        let home = host_of(&w, id).await;
        admin(&w, id, json!({"migrate": null})).await.expect(202);
        steps(&w, id).await;
        turn(&w, &mut hosts).await;
        let past = Micros(Micros::now().0 - 100_000_000);
        w.db.write(move |tx| {
            tx.exec("UPDATE host SET seen_at = $1", params![past])?;
            store::work::wake(tx, &id.to_string())
        })
        .await
        .unwrap();
        steps(&w, id).await;
        until(&w, &mut hosts, id, "VERIFY_RESIZE", false).await;
        assert_ne!(host_of(&w, id).await, home);
        let ended = "SELECT COUNT(*) FROM event WHERE kind = 'server.move_failed'";
        assert_eq!(w.db.read(move |tx| tx.one(ended, &[], |r| r.get::<i64>(0))).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn two_engines_and_many_moves() {
    for w in worlds().await {
        let w = Arc::new(w);
        let mut tasks = Vec::new();
        for name in ["a", "b", "c"] {
            let mut host = w.host(name).await;
            host.facts.accel = "simulated".into();
            host.turn(&w).await;
            tasks.push(tokio::spawn(host.live(w.clone())));
        }
        for _ in 0..2 {
            let engine = Engine::builder(w.db.clone()).with(w.compute.life()).build();
            tasks.push(tokio::spawn(engine.run()));
        }
        let mut ids = Vec::new();
        for i in 0..4 {
            ids.push(w.create(&format!("s{i}")).await);
        }
        let ways = ids.iter().map(|id| {
            let w = w.clone();
            async move {
                wait(&w, *id, "ACTIVE").await;
                for (ask, comes_to) in [
                    (live(None), "ACTIVE"),
                    (json!({"migrate": null}), "VERIFY_RESIZE"),
                    (json!({"revertResize": null}), "ACTIVE"),
                    (live(None), "ACTIVE"),
                ] {
                    admin(&w, *id, ask).await.expect(202);
                    wait(&w, *id, comes_to).await;
                }
            }
        });
        futures_util::future::join_all(ways).await;
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

#[tokio::test]
async fn a_guest_that_stops_meanwhile_is_no_start() {
    for w in worlds().await {
        let mut hosts = fleet(&w, &["a", "b"]).await;
        let id = w.create("one").await;
        until(&w, &mut hosts, id, "ACTIVE", false).await;
        w.act(id, json!({"os-stop": null})).await.expect(202);
        until(&w, &mut hosts, id, "SHUTOFF", false).await;
        admin(&w, id, json!({"migrate": null})).await.expect(202);
        until(&w, &mut hosts, id, "VERIFY_RESIZE", false).await;
        w.act(id, json!({"confirmResize": null})).await.expect(204);
        until(&w, &mut hosts, id, "SHUTOFF", false).await;
        assert!(hosts.iter().flat_map(guests).all(|g| g.power == Power::Off));
        let states = [GuestState::Stopped];
        assert!(hosts.iter().flat_map(|h| h.report().guests).all(|g| states.contains(&g.state)));
    }
}
