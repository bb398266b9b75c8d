//! What was used, against agents that remember it.

use super::world::{Answer, World, worlds};
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::routing::get;
use base::Micros;
use base::doc::usage::{History, Sample};
use serde_json::json;

/// An agent on whose host half of a core worked for the last hour; of guests it remembers a new start.
async fn agent() -> String {
    let now = u64::try_from(Micros::now().0 / 1_000_000).unwrap() / 30 * 30;
    let at = move |n: u64| Sample {
        at: now - 3600 + n * 30,
        cpu_ns: n * 15_000_000_000,
        memory_mib: 100,
        net_in: n * 3_000,
        ..Sample::default()
    };
    let text = |samples: Vec<Sample>| serde_json::to_string(&History { samples }).unwrap();
    let host = move |RawQuery(query): RawQuery| async move {
        let query = query.unwrap();
        assert!(query.starts_with("since=") && query.contains("&points="), "{query}");
        text((0..=120).map(at).collect())
    };
    let guest = move |_: Path<String>| async move {
        text([at(118), Sample { at: now - 30, ..at(0) }, at(120)].into())
    };
    let router = Router::new().route("/v1/history", get(host)).route("/v1/guests/{id}/history", get(guest));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn ask(w: &World, who: &str, path: &str) -> Answer {
    w.send(who, "", "GET", &format!("/hanok/v1{path}"), None).await
}

#[tokio::test]
async fn hosts_tell_what_was_used() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.facts.bytes_url = agent().await;
        host.turn(&w).await;
        let id = w.create("one").await;
        let early = ask(&w, "member:a", &format!("/servers/{id}/metrics")).await.expect(200);
        assert_eq!(early["metrics"]["at"], json!([]), "no host yet");
        w.until(&mut host, id, "ACTIVE").await;

        let m = ask(&w, "member:a", &format!("/servers/{id}/metrics")).await.expect(200)["metrics"].clone();
        assert_eq!((m["at"].as_array().unwrap().len(), &m["hours"]), (2, &json!(3)));
        assert_eq!(m["cpu_percent"][0], json!(null), "its counters started anew");
        assert!(m["memory_mib"].as_u64().unwrap() > 0 && m["cores"].as_u64().unwrap() > 0);
        ask(&w, "member:b", &format!("/servers/{id}/metrics")).await.expect(404);

        let m = ask(&w, "admin:a", "/hosts/h1/metrics?hours=1").await.expect(200)["metrics"].clone();
        let cores = f64::from(host.facts.vcpus);
        assert_eq!(m["cpu_percent"][7], json!((50.0 / cores * 100.0).round() / 100.0));
        assert_eq!(m["net_in_bytes_s"][7], json!(100.0));
        let by_id = ask(&w, "admin:a", &format!("/hosts/{}/metrics", host.id)).await.expect(200);
        assert_eq!(by_id["metrics"]["cores"], m["cores"]);
        ask(&w, "admin:a", "/hosts/nobody/metrics").await.expect(404);
        for hours in ["0", "25", "x"] {
            ask(&w, "admin:a", &format!("/hosts/h1/metrics?hours={hours}")).await.expect(400);
        }
        ask(&w, "member:a", "/hosts/h1/metrics").await.expect(403);
        ask(&w, "member:a", "/metrics").await.expect(403);
    }
}

#[tokio::test]
async fn all_hosts_together_and_those_that_do_not_tell() {
    let w = World::new().await;
    for name in ["h1", "h2"] {
        let mut host = w.host(name).await;
        host.facts.bytes_url = agent().await;
        host.turn(&w).await;
    }
    let mut gone = w.host("h3").await;
    gone.facts.bytes_url = "http://127.0.0.1:1".into();
    gone.turn(&w).await;
    let m = ask(&w, "admin:a", "/metrics?hours=1").await.expect(200)["metrics"].clone();
    assert_eq!((&m["hosts"], &m["answered"]), (&json!(3), &json!(2)));
    assert_eq!(m["net_in_bytes_s"][5], json!(200.0));
    assert_eq!(m["cores"], json!(2 * gone.facts.vcpus), "of those that told");
    let message = ask(&w, "admin:a", "/hosts/h3/metrics").await.refused(503);
    assert!(message.starts_with("The host h3 does not tell"), "{message}");
}
