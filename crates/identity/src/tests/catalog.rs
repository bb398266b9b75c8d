//! Services, endpoints, regions, and the catalogue that is made from them.

use super::worlds;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_registered_is_in_the_catalogue() {
    for w in worlds().await {
        let admin = w.admin().await;
        let body = json!({"service": {"type": "volumev3", "name": "cinderv3", "description": "d", "x": "y"}});
        let service = w.call("POST", "/v3/services", &admin, body).await.of(201)["service"].clone();
        assert_eq!((&service["enabled"], &service["x"]), (&json!(true), &json!("y")));
        let id = service["id"].as_str().unwrap();
        let url = "http://volumes.example/v3/$(project_id)s";
        let body = json!({"endpoint": {
            "service_id": id, "interface": "public", "region": "Elsewhere", "url": url, "name": "n"}});
        let endpoint = w.call("POST", "/v3/endpoints", &admin, body).await.of(201)["endpoint"].clone();
        assert_eq!((&endpoint["region_id"], &endpoint["region"]), (&json!("Elsewhere"), &json!("Elsewhere")));
        assert_eq!((&endpoint["url"], &endpoint["name"]), (&json!(url), &json!("n")));
        w.call("GET", "/v3/regions/Elsewhere", &admin, ()).await.of(200);

        let urls = async |token: &str| -> Vec<Value> {
            let body = w.call("GET", "/v3/auth/catalog", token, ()).await.of(200);
            let list = body["catalog"].as_array().unwrap().clone();
            let volume = list.iter().find(|s| s["type"] == "volumev3");
            let endpoints = volume.map(|v| v["endpoints"].as_array().unwrap().clone()).unwrap_or_default();
            endpoints.iter().map(|e| e["url"].clone()).collect()
        };
        let demo = w.demo().await;
        assert_eq!(urls(&demo).await, [json!(format!("http://volumes.example/v3/{}", w.seed.demo))]);
        assert_eq!(urls(&admin).await, [json!(format!("http://volumes.example/v3/{}", w.seed.admin))]);
        let identity = super::password("admin", super::ADMIN);
        let system = w.token(json!({"identity": identity, "scope": {"system": {"all": true}}})).await;
        assert!(urls(&system).await.is_empty(), "there is no project to put in");

        let path = format!("/v3/endpoints/{}", endpoint["id"].as_str().unwrap());
        let moved = json!({"endpoint": {"url": "/volume/v3", "region_id": "RegionOne"}});
        let moved = w.call("PATCH", &path, &admin, moved).await.of(200);
        assert_eq!(moved["endpoint"]["url"], "http://cloud.example:5240/volume/v3");
        assert_eq!(urls(&demo).await, [json!("http://cloud.example:5240/volume/v3")]);
        w.call("PATCH", &path, &admin, json!({"endpoint": {"enabled": false}})).await.of(200);
        assert!(urls(&demo).await.is_empty());
        let found = w.call("GET", &format!("/v3/endpoints?service_id={id}"), &admin, ()).await.of(200);
        assert_eq!(found["endpoints"].as_array().unwrap().len(), 1);
        w.call("DELETE", &format!("/v3/services/{id}"), &admin, ()).await.of(204);
        w.call("GET", &path, &admin, ()).await.of(404);
        w.call("GET", &format!("/v3/services/{id}"), &admin, ()).await.of(404);
    }
}

#[tokio::test]
async fn services_and_endpoints_are_changed_and_deleted() {
    for w in worlds().await {
        let admin = w.admin().await;
        let all = w.call("GET", "/v3/endpoints", &admin, ()).await.of(200);
        assert_eq!(all["endpoints"].as_array().unwrap().len(), 3 * crate::bootstrap::SERVICES.len());
        let public =
            w.call("GET", "/v3/endpoints?interface=public&region_id=RegionOne", &admin, ()).await.of(200);
        assert_eq!(public["endpoints"].as_array().unwrap().len(), crate::bootstrap::SERVICES.len());
        let found = w.call("GET", "/v3/services?type=compute", &admin, ()).await.of(200);
        let path = format!("/v3/services/{}", found["services"][0]["id"].as_str().unwrap());
        let change = json!({"service": {"description": "machines", "enabled": false}});
        let changed = w.call("PATCH", &path, &admin, change).await.of(200);
        assert_eq!(changed["service"]["type"], "compute");
        assert_eq!(w.call("GET", &path, &admin, ()).await.of(200), changed);
        let one = format!("/v3/endpoints/{}", all["endpoints"][0]["id"].as_str().unwrap());
        w.call("DELETE", &one, &admin, ()).await.of(204);
        w.call("DELETE", &one, &admin, ()).await.of(404);
        let service = all["endpoints"][1]["service_id"].clone();
        let with = |field: &str, value: Value| {
            let mut e = json!({"service_id": service, "interface": "public", "url": "http://h/"});
            e[field] = value;
            json!({"endpoint": e})
        };
        let bad = [
            with("interface", json!("private")),
            with("interface", Value::Null),
            with("url", json!("nowhere")),
            with("url", json!("")),
            with("service_id", json!("nothing")),
            with("region_id", json!("Nowhere")),
            with("enabled", json!("False")),
            with("enabled", json!("True")),
            json!({"endpoint": {}}),
        ];
        for body in bad {
            let refused = w.call("POST", "/v3/endpoints", &admin, body.clone()).await;
            assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        }
        w.call("POST", "/v3/services", &admin, json!({"service": {"name": "typeless"}})).await.of(400);
    }
}

#[tokio::test]
async fn regions() {
    for w in worlds().await {
        let admin = w.admin().await;
        let made = w
            .call("POST", "/v3/regions", &admin, json!({"region": {"id": "서울", "description": "d"}}))
            .await
            .of(201);
        assert_eq!(made["region"]["id"], "서울");
        let body = json!({"region": {"parent_region_id": "서울"}});
        w.call("PUT", "/v3/regions/gangnam", &admin, body.clone()).await.of(201);
        w.call("PUT", "/v3/regions/gangnam", &admin, body).await.of(409);
        w.call("PUT", "/v3/regions/one", &admin, json!({"region": {"id": "two"}})).await.of(400);
        let unnamed = w.call("POST", "/v3/regions", &admin, json!({"region": {}})).await.of(201);
        assert_eq!(unnamed["region"]["id"].as_str().unwrap().len(), 32);
        let below =
            w.call("GET", "/v3/regions?parent_region_id=%EC%84%9C%EC%9A%B8", &admin, ()).await.of(200);
        assert_eq!(below["regions"].as_array().unwrap().len(), 1);
        let circle = json!({"region": {"parent_region_id": "gangnam"}});
        w.call("PATCH", "/v3/regions/%EC%84%9C%EC%9A%B8", &admin, circle).await.of(400);
        let lost = json!({"region": {"parent_region_id": "nothing"}});
        w.call("PATCH", "/v3/regions/gangnam", &admin, lost).await.of(404);
        let change = json!({"region": {"description": "new", "x": 1}});
        let changed = w.call("PATCH", "/v3/regions/gangnam", &admin, change).await.of(200);
        assert_eq!(w.call("GET", "/v3/regions/gangnam", &admin, ()).await.of(200), changed);
        w.call("DELETE", "/v3/regions/RegionOne", &admin, ()).await.of(403);
        w.call("DELETE", "/v3/regions/%EC%84%9C%EC%9A%B8", &admin, ()).await.of(204);
        w.call("GET", "/v3/regions/gangnam", &admin, ()).await.of(404);
    }
}
