//! The Placement API: what it shows of hosts, and reservations that the planner respects.

use super::world::{Answer, World, worlds};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

const ME: &str = "11111111-2222-4333-8444-555555555555";

async fn ask(w: &World, token: &str, version: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/placement{path}"))
        .header("host", "hanok.test")
        .header("x-auth-token", token)
        .header("openstack-api-version", format!("placement {version}"));
    w.ask(request.body(body.map_or_else(Body::empty, |b| Body::from(b.to_string()))).unwrap()).await
}

#[tokio::test]
async fn hosts_are_providers() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let get = |path: String| {
            let w = &w;
            async move { ask(w, "admin:a", "1.29", "GET", &path, None).await.expect(200) }
        };
        let all = get("/resource_providers".into()).await;
        let p = all["resource_providers"][0].clone();
        assert_eq!(
            (&p["name"], &p["uuid"], &p["root_provider_uuid"]),
            (&json!("h1"), &json!(host.id), &json!(host.id))
        );
        let rp = format!("/resource_providers/{}", host.id);
        let inventories = get(format!("{rp}/inventories")).await["inventories"].clone();
        assert_eq!(
            inventories["MEMORY_MB"],
            json!({"total": 16384, "reserved": 512, "min_unit": 1, "max_unit": 15872, "step_size": 1, "allocation_ratio": 1.0})
        );
        assert_eq!(inventories["VCPU"]["allocation_ratio"], 4.0);
        assert_eq!(
            get(format!("{rp}/usages")).await["usages"],
            json!({"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1})
        );
        let held = get(format!("{rp}/allocations")).await["allocations"][id.to_string()]["resources"].clone();
        assert_eq!(held, json!({"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}));
        let mine = get(format!("/allocations/{id}")).await;
        assert_eq!(
            (&mine["project_id"], &mine["allocations"][host.id.to_string()]["resources"]["VCPU"]),
            (&json!("a"), &json!(1))
        );
        for (query, n) in [
            ("resources=VCPU:31,MEMORY_MB:100", 1),
            ("resources=VCPU:32", 0),
            ("name=h1", 1),
            ("name=h2", 0),
            ("required=COMPUTE_NODE", 1),
            ("required=!COMPUTE_NODE", 0),
            ("member_of=11111111-2222-4333-8444-555555555555", 0),
        ] {
            let found = get(format!("/resource_providers?{query}")).await;
            assert_eq!(found["resource_providers"].as_array().unwrap().len(), n, "{query}");
        }
        let fit =
            get("/allocation_candidates?resources=VCPU:1&resources1=MEMORY_MB:64&required1=COMPUTE_NODE"
                .into())
            .await;
        assert_eq!(
            fit["allocation_requests"],
            json!([{"allocations": {host.id.to_string(): {"resources": {"VCPU": 1, "MEMORY_MB": 64}}}}])
        );
        assert_eq!(
            fit["provider_summaries"][host.id.to_string()]["resources"]["VCPU"],
            json!({"used": 1, "capacity": 32})
        );
        let over = get("/allocation_candidates?resources=DISK_GB:1000".into()).await;
        assert_eq!(over, json!({"allocation_requests": [], "provider_summaries": {}}));
        let usages = ask(&w, "member:a", "1.29", "GET", "/usages?project_id=a", None).await.expect(200);
        assert_eq!(usages["usages"]["VCPU"], 1);
        let by_kind = ask(&w, "member:a", "1.38", "GET", "/usages?project_id=a", None).await.expect(200);
        assert_eq!(by_kind["usages"]["INSTANCE"]["consumer_count"], 1);
        ask(&w, "member:a", "1.29", "GET", "/usages?project_id=b", None).await.expect(403);
        for (version, path, status) in [
            ("1.29", "/resource_providers/nope", 404),
            ("1.29", "/resource_providers?nonsense=1", 400),
            ("1.29", "/allocation_candidates", 400),
            ("1.29", "/allocation_candidates?resources=VGPU:1", 400),
            ("1.29", "/resource_classes/VCPU", 200),
            ("1.29", "/resource_classes/VGPU", 404),
            ("1.5", "/traits", 404),
            ("1.6", "/traits/COMPUTE_NODE", 204),
            ("1.99", "/traits", 406),
        ] {
            let answer = ask(&w, "admin:a", version, "GET", path, None).await;
            assert_eq!(answer.status.as_u16(), status, "{version} {path}: {}", answer.text);
            if status >= 400 {
                let e = &answer.body["errors"][0];
                assert_eq!(e["status"], status);
                assert!(e["detail"].is_string() && e["request_id"].as_str().unwrap().starts_with("req-"));
            }
        }
        let refused =
            ask(&w, "admin:a", "1.29", "POST", "/resource_providers", Some(json!({"name": "x"}))).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert_eq!(ask(&w, "", "1.29", "GET", "/traits", None).await.status, 401);
        assert_eq!(ask(&w, "member:a", "1.29", "GET", "/traits", None).await.status, 403);
    }
}

#[tokio::test]
async fn traits_are_given_and_asked_for() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let send = |method: &'static str, path: String, body: Option<Value>| {
            let w = &w;
            async move { ask(w, "admin:a", "1.29", method, &path, body).await }
        };
        assert_eq!(send("PUT", "/traits/CUSTOM_SSD".into(), None).await.status, 201);
        assert_eq!(send("PUT", "/traits/CUSTOM_SSD".into(), None).await.status, 204);
        assert_eq!(send("PUT", "/traits/custom".into(), None).await.status, 400);
        let path = format!("/resource_providers/{}/traits", host.id);
        let now = send("GET", path.clone(), None).await.expect(200);
        let generation = now["resource_provider_generation"].as_i64().unwrap();
        let body = |generation: i64| {
            Some(json!({"resource_provider_generation": generation, "traits": ["CUSTOM_SSD"]}))
        };
        assert_eq!(send("PUT", path.clone(), body(generation + 7)).await.status, 409);
        let set = send("PUT", path.clone(), body(generation)).await.expect(200);
        assert!(set["traits"].as_array().unwrap().contains(&json!("CUSTOM_SSD")));
        let again = send("GET", path.clone(), None).await.expect(200);
        assert_eq!(again["resource_provider_generation"], set["resource_provider_generation"]);
        assert_eq!(send("DELETE", "/traits/CUSTOM_SSD".into(), None).await.status, 409);
        assert_eq!(send("DELETE", path, None).await.status, 204);
        assert_eq!(send("DELETE", "/traits/CUSTOM_SSD".into(), None).await.status, 204);
        assert_eq!(send("DELETE", "/traits/CUSTOM_SSD".into(), None).await.status, 404);
        assert_eq!(send("DELETE", "/traits/COMPUTE_NODE".into(), None).await.status, 400);
    }
}

#[tokio::test]
async fn a_reservation_keeps_servers_away() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let rp = host.id.to_string();
        let send = |method: &'static str, path: String, body: Option<Value>| {
            let w = &w;
            async move { ask(w, "admin:a", "1.29", method, &path, body).await }
        };
        let wish = |n: u64, generation: Value| {
            Some(json!({
                "allocations": {rp.clone(): {"resources": {"VCPU": n, "DISK_GB": 10}}},
                "project_id": "a", "user_id": "u", "consumer_generation": generation,
            }))
        };
        let path = format!("/allocations/{ME}");
        assert_eq!(send("PUT", path.clone(), wish(33, Value::Null)).await.status, 409);
        assert_eq!(send("PUT", path.clone(), wish(31, json!(1))).await.status, 409);
        assert_eq!(send("PUT", path.clone(), wish(30, Value::Null)).await.status, 204);
        assert_eq!(send("PUT", path.clone(), wish(32, json!(1))).await.status, 204);
        let shown = send("GET", path.clone(), None).await.expect(200);
        assert_eq!(shown["consumer_generation"], 2);
        assert_eq!(shown["allocations"][&rp]["resources"], json!({"VCPU": 32, "DISK_GB": 10}));
        // No CPU is left for a server.
        let id = w.create("one").await;
        w.until(&mut host, id, "ERROR").await;
        assert_eq!(send("DELETE", path.clone(), None).await.status, 204);
        assert_eq!(send("DELETE", path.clone(), None).await.status, 404);
        let id = w.create("two").await;
        w.until(&mut host, id, "ACTIVE").await;
        // A server's own is not ours to move.
        assert_eq!(send("DELETE", format!("/allocations/{id}"), None).await.status, 409);
        assert_eq!(send("PUT", format!("/allocations/{id}"), wish(1, Value::Null)).await.status, 409);
        let both = json!({
            ME: {"allocations": {rp.clone(): {"resources": {"VCPU": 1}}}, "project_id": "a", "user_id": "u", "consumer_generation": null},
            "22222222-2222-4333-8444-555555555555": {"allocations": {rp.clone(): {"resources": {"VCPU": 99}}}, "project_id": "a", "user_id": "u", "consumer_generation": null},
        });
        assert_eq!(send("POST", "/allocations".into(), Some(both)).await.status, 409);
        assert_eq!(send("GET", path, None).await.expect(200), json!({"allocations": {}}));
    }
}
