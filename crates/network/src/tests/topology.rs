//! The network that a project gets by itself.

use super::world::{DEMO, OTHER, World, worlds};
use crate::for_compute::{self, Nics};
use base::{ProjectId, ServerId};
use serde_json::{Value, json};

fn id(v: &Value) -> String {
    v["id"].as_str().unwrap().to_owned()
}

async fn nic(w: &World, nics: Nics) -> base::Result<usize> {
    w.db.write(move |tx| {
        let ports =
            for_compute::allocate(tx, &ProjectId::from(OTHER), false, ServerId::new(), "web", &nics, &[])?;
        Ok(ports.len())
    })
    .await
}

#[tokio::test]
async fn it_is_made_once_and_taken_away_whole() {
    for w in worlds().await {
        let path = "/auto-allocated-topology/null";
        w.refused("other", "GET", path, Value::Null, 409, "AutoAllocationFailure").await;
        let dry = format!("{path}?fields=dry-run");
        w.refused("other", "GET", &dry, Value::Null, 409, "AutoAllocationFailure").await;
        assert!(nic(&w, Nics::Auto).await.is_err());
        w.first_start().await;
        assert_eq!(w.get("other", &dry).await["auto_allocated_topology"]["id"], "dry-run=pass");
        assert_eq!(w.count("SELECT COUNT(*) FROM auto_topology").await, 0);
        assert_eq!(nic(&w, Nics::Default).await.unwrap(), 0, "nothing said makes nothing");
        w.refused("reader", "GET", path, Value::Null, 403, "PolicyNotAuthorized").await;
        w.refused(
            "demo",
            "GET",
            &format!("/auto-allocated-topology/{OTHER}"),
            Value::Null,
            403,
            "PolicyNotAuthorized",
        )
        .await;
        let t = w.get("other", path).await["auto_allocated_topology"].clone();
        assert_eq!(
            w.get("admin", &format!("/auto-allocated-topology/{OTHER}")).await["auto_allocated_topology"],
            t
        );
        let n = w.get("other", &format!("/networks/{}", id(&t))).await["network"].clone();
        assert_eq!(
            (&n["name"], n["subnets"].as_array().unwrap().len()),
            (&json!("auto_allocated_network"), 2)
        );
        let six = w.get("other", "/subnets?ip_version=6").await["subnets"][0].clone();
        assert_eq!((&six["ipv6_address_mode"], &six["network_id"]), (&json!("slaac"), &n["id"]));
        let r = w.get("other", "/routers").await["routers"][0].clone();
        assert!(r["external_gateway_info"]["network_id"].is_string());
        assert_eq!(w.used(OTHER, "port").await, 2, "the router's legs");

        // A server finds it.
        assert_eq!(nic(&w, Nics::Auto).await.unwrap(), 1);
        w.refused("other", "DELETE", path, Value::Null, 409, "NetworkInUse").await;
        let port = w.get("other", "/ports?device_owner=compute:nova").await["ports"][0].clone();
        w.remove("other", &format!("/ports/{}", id(&port))).await;
        w.remove("other", path).await;
        w.remove("other", path).await;
        for noun in ["network", "subnet", "port", "router"] {
            assert_eq!(w.used(OTHER, noun).await, 0, "{noun}");
        }
        assert_eq!(w.count("SELECT COUNT(*) FROM auto_topology").await, 0);
        // What a user took apart is no hindrance to the next.
        assert_eq!(nic(&w, Nics::Auto).await.unwrap(), 1);
        assert_eq!(w.used(DEMO, "network").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_make_one() {
    for w in worlds().await {
        w.first_start().await;
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let w = w.clone();
                tokio::spawn(async move {
                    if i % 2 == 0 {
                        return nic(&w, Nics::Auto).await.map(drop);
                    }
                    w.get("other", "/auto-allocated-topology/None").await;
                    Ok(())
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap().unwrap();
        }
        assert_eq!((w.used(OTHER, "network").await, w.used(OTHER, "router").await), (1, 1));
    }
}
