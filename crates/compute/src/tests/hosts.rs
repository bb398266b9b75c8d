//! The agent protocol, and what it says of hosts.

use super::world::{World, active, worlds};
use base::doc::{CaptureStage, CaptureStatus, Problem};
use base::{ImageId, Micros};
use http::Request;
use serde_json::json;
use std::sync::Arc;
use store::params;

#[tokio::test]
async fn a_host_proves_itself_and_reads_only_its_own() {
    let w = World::new().await;
    let (mut a, mut b) = (w.host("a").await, w.host("b").await);
    a.turn(&w).await;
    b.turn(&w).await;
    assert_eq!(a.document.as_ref().unwrap().host, a.id);
    let mut stranger = w.host("c").await;
    stranger.token = "wrong".into();
    stranger.send(&w, &stranger.report()).await.expect(401);
    // The report of another.
    a.send(&w, &b.report()).await.expect(403);
    let image = Request::get(format!("/agent/v1/images/{}", "ab".repeat(64)));
    w.ask(image.body(axum::body::Body::empty()).unwrap()).await.expect(401);
}

#[tokio::test]
async fn an_older_report_is_refused() {
    for w in worlds().await {
        let mut host = w.host("a").await;
        host.turn(&w).await;
        let old = host.report();
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        assert!(host.generation() > old.applied);
        host.send(&w, &old).await.expect(409);
        // The same again is fine.
        host.send(&w, &host.report()).await.expect(204);
    }
}

#[tokio::test]
async fn an_agent_ahead_of_a_restored_database_is_overtaken() {
    for w in worlds().await {
        let mut host = w.host("a").await;
        host.turn(&w).await;
        let mut report = host.report();
        report.applied = 500;
        host.send(&w, &report).await.expect(204);
        host.fetch(&w, 0).await;
        assert!(host.generation() > 500);
    }
}

#[tokio::test]
async fn what_hosts_and_guests_say_is_cut_short() {
    let w = World::new().await;
    let (host, id) = active(&w).await;
    let long = "\u{e4}".repeat(100_000);
    let mut report = host.report();
    let guest = report.guests.iter_mut().find(|g| g.id == id).unwrap();
    guest.reason.clone_from(&long);
    guest.password_error.clone_from(&long);
    guest.captures =
        vec![CaptureStatus { image: ImageId::new(), stage: CaptureStage::Failed, reason: long.clone() }];
    report.problems = vec![Problem { kind: "host".into(), id: host.id.to_string(), reason: long }];
    host.send(&w, &report).await.expect(204);
    // The same again is no news.
    host.send(&w, &report).await.expect(204);
    let me = host.id;
    let (kept, problems) =
        w.db.read(move |tx| {
            let problems = "SELECT problems FROM host_report WHERE host_id = $1";
            let problems = tx.one(problems, params![me], |r| r.get::<String>(0))?;
            Ok((crate::table::guest::one(tx, me, id)?, problems))
        })
        .await
        .unwrap();
    let kept = kept.unwrap().status;
    for text in [&kept.reason, &kept.password_error, &kept.captures[0].reason] {
        assert_eq!(text.chars().count(), 1000);
    }
    assert!(problems.chars().count() < 1200, "{} characters", problems.chars().count());
}

#[tokio::test]
async fn a_waiting_host_hears_of_a_change() {
    for w in worlds().await {
        let w = Arc::new(w);
        let mut host = w.host("a").await;
        host.turn(&w).await;
        while host.fetch(&w, 0).await {}
        let before = host.generation();
        let (world, id) = (w.clone(), host.id);
        let waiting = tokio::spawn(async move {
            assert!(host.fetch(&world, 30).await, "nobody told it");
            host.generation()
        });
        tokio::task::yield_now().await;
        w.db.write(move |tx| store::host::touch(tx, id)).await.unwrap();
        assert!(waiting.await.unwrap() > before);
    }
}

#[tokio::test]
async fn hosts_as_administrators_see_them() {
    for w in worlds().await {
        let mut host = w.host("a").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let all = w.admin("2.79", "GET", "/os-hypervisors/detail?with_servers=true", None).await.expect(200);
        let h = &all["hypervisors"][0];
        assert_eq!((h["state"].as_str(), h["vcpus_used"].as_u64()), (Some("up"), Some(1)));
        assert_eq!((h["memory_mb_used"].as_u64(), h["running_vms"].as_u64()), (Some(64), Some(1)));
        assert_eq!(h["hypervisor_version"], 7_002_005);
        assert_eq!(h["servers"], json!([{"uuid": id, "name": "one"}]));
        let one = w.admin("2.79", "GET", &format!("/os-hypervisors/{}", host.id), None).await.expect(200);
        assert_eq!(one["hypervisor"]["hypervisor_hostname"], "a");
        let old = w.admin("2.1", "GET", "/os-hypervisors", None).await.expect(200);
        let number = old["hypervisors"][0]["id"].as_u64().unwrap();
        w.admin("2.1", "GET", &format!("/os-hypervisors/{number}"), None).await.expect(200);
        w.admin("2.1", "GET", "/os-hypervisors/nothing", None).await.expect(404);

        let off = json!({"status": "disabled", "disabled_reason": "new fans"});
        w.admin("2.79", "PUT", &format!("/os-services/{}", host.id), Some(off)).await.expect(200);
        let long_ago = Micros(Micros::now().0 - 90_000_000);
        w.db.write(move |tx| tx.exec("UPDATE host SET seen_at = $1", params![long_ago])).await.unwrap();
        let list = w.admin("2.79", "GET", "/os-services?binary=nova-compute", None).await.expect(200);
        let s = &list["services"][0];
        assert_eq!(
            (&s["state"], &s["status"], &s["disabled_reason"]),
            (&json!("down"), &json!("disabled"), &json!("new fans"))
        );
        let old = json!({"host": "a", "binary": "nova-compute"});
        w.admin("2.1", "PUT", "/os-services/enable", Some(old)).await.expect(200);
        let zones = w.member("2.1", "GET", "/os-availability-zone", None).await.expect(200);
        assert_eq!(
            zones["availabilityZoneInfo"],
            json!([{"zoneName": "nova", "zoneState": {"available": true}, "hosts": null}])
        );
        let why = w.send("admin:a", "", "GET", &format!("/hanok/v1/why/{}", host.id), None).await.expect(200);
        assert_eq!((&why["kind"], &why["facts"]["bytes_token"]), (&json!("host"), &json!(null)));
    }
}

/// Pages over hypervisors, by both kinds of ids, hold each host once; servers are those of the page.
#[tokio::test]
async fn hypervisors_are_paged() {
    for w in worlds().await {
        let mut first = w.host("a").await;
        first.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut first, id, "ACTIVE").await;
        for name in ["b", "c", "d", "e"] {
            w.host(name).await;
        }
        for version in ["2.33", "2.53"] {
            let (mut path, mut names) = (String::from("/os-hypervisors?limit=2"), Vec::new());
            loop {
                let page = w.admin(version, "GET", &path, None).await.expect(200);
                let list = page["hypervisors"].as_array().unwrap();
                assert!(!list.is_empty() && list.len() <= 2);
                names.extend(list.iter().map(|h| h["hypervisor_hostname"].as_str().unwrap().to_owned()));
                let last = &list[list.len() - 1]["id"];
                if page["hypervisors_links"].is_null() {
                    break;
                }
                let last = last.as_str().map_or_else(|| last.to_string(), str::to_owned);
                path = format!("/os-hypervisors?limit=2&marker={last}");
            }
            assert_eq!(names, ["a", "b", "c", "d", "e"]);
        }
        let with =
            w.admin("2.53", "GET", "/os-hypervisors?limit=1&with_servers=true", None).await.expect(200);
        assert_eq!(with["hypervisors"][0]["servers"][0]["uuid"], json!(id));
    }
}
