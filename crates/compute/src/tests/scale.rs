//! What is done otherwise because there may be thousands of hosts.

use super::world::{FakeHost, World, worlds};
use crate::{Compute, Limits, NoBlobs, agent_service};
use api::Gate;
use axum::body::Body;
use base::{HostId, Micros};
use http::{HeaderMap, Request};
use std::sync::Arc;
use store::params;
use tower::ServiceExt;

async fn still_so(router: &axum::Router, host: &FakeHost, tag: &str) -> u16 {
    let bearer = format!("Bearer {}", host.token);
    let request = Request::put("/agent/v1/observed").header("authorization", bearer).header("if-match", tag);
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
}

fn tag(headers: &HeaderMap) -> String {
    headers["etag"].to_str().unwrap().to_owned()
}

async fn seen_at(w: &World, id: HostId) -> Micros {
    let read =
        w.db.read(move |tx| tx.one("SELECT seen_at FROM host WHERE id = $1", params![id], |r| r.get(0)));
    read.await.unwrap()
}

#[tokio::test]
async fn a_report_that_is_still_so_is_said_by_its_tag() {
    for w in worlds().await {
        let mut host = w.host("a").await;
        host.fetch(&w, 0).await;
        let first = tag(&host.send(&w, &host.report()).await.headers);
        assert_eq!(still_so(&w.router, &host, &first).await, 204);
        assert_eq!(still_so(&w.router, &host, "\"other\"").await, 412);
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(still_so(&w.router, &host, &first).await, 412, "there was a newer one");
        let newest = tag(&host.send(&w, &host.report()).await.headers);

        // Another process over the same database knows it too, and keeps what it heard.
        let me = host.id;
        w.db.write(move |tx| tx.exec("UPDATE host SET seen_at = 1 WHERE id = $1", params![me]))
            .await
            .unwrap();
        let other = Compute::new(w.db.clone(), Limits::default(), Arc::new(NoBlobs));
        let gate = Gate { authority: Arc::new(testing::Tokens), public_url: None };
        let router = agent_service().router(other, &gate);
        assert_eq!(still_so(&router, &host, &newest).await, 204);
        while seen_at(&w, me).await == Micros(1) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        host.token = "wrong".into();
        assert_eq!(still_so(&router, &host, &newest).await, 401);
    }
}

/// Many roomy hosts, beside the one that the server must go to.
#[tokio::test]
async fn hosts_behind_the_first_are_found_when_the_first_will_not_do() {
    for w in worlds().await {
        let mut small = w.host("small").await;
        small.facts.memory_mib = 4096;
        small.turn(&w).await;
        let first = w.create("first").await;
        w.until(&mut small, first, "ACTIVE").await;
        w.db.write(|tx| {
            for n in 0..70 {
                tx.exec(
                    "INSERT INTO host (id, name, token_hash, seen_at, vcpus, memory_mib, disk_gib, created_at)
                     VALUES ($1, $2, $2, $3, 64, 262144, 4096, 1)",
                    params![HostId::new(), format!("big-{n}"), Micros::now()],
                )?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let s = w.db.read(move |tx| Ok(crate::table::server::any(tx, first)?.unwrap())).await.unwrap();
        let choose = |s: crate::model::Server| {
            w.db.read(move |tx| {
                let (ask, rooms) = crate::placing::choices(tx, &s)?;
                Ok((crate::planner::plan(&rooms, &ask), rooms.len()))
            })
        };
        let (plan, looked_at) = choose(s.clone()).await.unwrap();
        assert!(matches!(plan, crate::planner::Plan::Try(_)) && looked_at == 64);
        let mut near = s.clone();
        near.hints.hints.insert("same_host".into(), serde_json::json!(first));
        let (plan, looked_at) = choose(near).await.unwrap();
        assert_eq!((plan, looked_at), (crate::planner::Plan::Try(vec![small.id]), 71));
        let mut huge = s;
        huge.ram = 1 << 30;
        let (plan, _) = choose(huge).await.unwrap();
        let crate::planner::Plan::Nowhere(why) = plan else { panic!() };
        assert!(why.starts_with("No valid host was found. 71 hosts: 71 lack memory"), "{why}");
    }
}
