//! What other services keep, under Compute's old addresses.

use super::world::{World, worlds};
use serde_json::{Value, json};

async fn ask(w: &World, method: &str, path: &str, body: Option<Value>) -> super::world::Answer {
    w.member("2.35", method, path, body).await
}

#[tokio::test]
async fn they_end_with_2_35() {
    let w = World::new().await;
    for path in ["/images", "/os-networks", "/os-tenant-networks", "/os-floating-ips", "/os-security-groups"]
    {
        ask(&w, "GET", path, None).await.expect(200);
        w.member("2.36", "GET", path, None).await.expect(404);
    }
    let meta = format!("/images/{}/metadata", w.image);
    w.member("2.38", "GET", &meta, None).await.expect(200);
    w.member("2.39", "GET", &meta, None).await.expect(404);
}

#[tokio::test]
async fn images_with_their_metadata() {
    for w in worlds().await {
        let list = ask(&w, "GET", "/images/detail?status=ACTIVE&name=mini", None).await.expect(200);
        let image = list["images"][0].clone();
        assert_eq!(
            (&image["status"], &image["progress"], &image["minRam"]),
            (&json!("ACTIVE"), &json!(100), &json!(0))
        );
        assert_eq!(ask(&w, "GET", "/images?name=other", None).await.expect(200), json!({"images": []}));
        assert_eq!(ask(&w, "GET", "/images?type=snapshot", None).await.expect(200), json!({"images": []}));
        ask(&w, "GET", "/images/nope", None).await.expect(404);
        let meta = format!("/images/{}/metadata", w.image);
        let put = |path: String, body: Value| {
            let w = &w;
            async move { w.admin("2.35", "PUT", &path, Some(body)).await }
        };
        put(meta.clone(), json!({"metadata": {"os_distro": "hanok", "x": "y"}})).await.expect(200);
        put(format!("{meta}/x"), json!({"meta": {"x": "z"}})).await.expect(200);
        put(format!("{meta}/x"), json!({"meta": {"other": "z"}})).await.expect(400);
        assert_eq!(ask(&w, "GET", &format!("{meta}/x"), None).await.expect(200), json!({"meta": {"x": "z"}}));
        w.admin("2.35", "DELETE", &format!("{meta}/x"), None).await.expect(204);
        w.admin("2.35", "DELETE", &format!("{meta}/x"), None).await.expect(404);
        assert_eq!(
            ask(&w, "GET", &meta, None).await.expect(200),
            json!({"metadata": {"os_distro": "hanok"}})
        );
        // Another's image is not a member's to change.
        ask(&w, "POST", &meta, Some(json!({"metadata": {"a": "b"}}))).await.expect(403);
        ask(&w, "DELETE", &format!("/images/{}", w.image), None).await.expect(403);
    }
}

#[tokio::test]
async fn groups_rules_and_floating_ips() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let group = json!({"security_group": {"name": "web", "description": "d"}});
        let group =
            ask(&w, "POST", "/os-security-groups", Some(group)).await.expect(200)["security_group"].clone();
        assert_eq!(group["rules"], json!([]));
        let rule = |more: Value| {
            let mut r =
                json!({"parent_group_id": group["id"], "ip_protocol": "tcp", "from_port": 22, "to_port": 22});
            r.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let w = &w;
            async move {
                ask(w, "POST", "/os-security-group-rules", Some(json!({"security_group_rule": r}))).await
            }
        };
        let made = rule(json!({})).await.expect(200)["security_group_rule"].clone();
        assert_eq!((&made["ip_range"], &made["group"]), (&json!({"cidr": "0.0.0.0/0"}), &json!({})));
        rule(json!({})).await.expect(400);
        rule(json!({"ip_protocol": "wrong"})).await.expect(400);
        rule(json!({"parent_group_id": 7})).await.expect(400);
        rule(json!({"parent_group_id": "4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1"})).await.expect(404);
        let by_group =
            rule(json!({"group_id": group["id"]})).await.expect(200)["security_group_rule"].clone();
        assert_eq!((&by_group["group"]["name"], &by_group["ip_range"]), (&json!("web"), &json!({})));
        let path = format!("/os-security-groups/{}", group["id"].as_str().unwrap());
        let shown = ask(&w, "GET", &path, None).await.expect(200);
        assert_eq!(shown["security_group"]["rules"].as_array().unwrap().len(), 2);
        let rule_path = format!("/os-security-group-rules/{}", made["id"].as_str().unwrap());
        ask(&w, "DELETE", &rule_path, None).await.expect(202);
        ask(&w, "DELETE", &rule_path, None).await.expect(404);
        ask(&w, "DELETE", &path, None).await.expect(202);

        let pools = ask(&w, "GET", "/os-floating-ip-pools", None).await.expect(200);
        let pool = pools["floating_ip_pools"][0]["name"].clone();
        ask(&w, "POST", "/os-floating-ips", Some(json!({"pool": "nope"}))).await.expect(404);
        let f =
            ask(&w, "POST", "/os-floating-ips", Some(json!({"pool": pool}))).await.expect(200)["floating_ip"]
                .clone();
        assert_eq!((&f["pool"], &f["instance_id"]), (&pool, &Value::Null));
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let act = |v: &'static str, body: Value| {
            let w = &w;
            async move { w.member(v, "POST", &format!("/servers/{id}/action"), Some(body)).await }
        };
        act("2.44", json!({"addFloatingIp": {"address": f["ip"]}})).await.expect(404);
        act("2.35", json!({"addFloatingIp": {"address": "192.0.2.1"}})).await.expect(404);
        act("2.35", json!({"addFloatingIp": {"address": f["ip"]}})).await.expect(202);
        let fips = ask(&w, "GET", "/os-floating-ips", None).await.expect(200);
        assert_eq!(fips["floating_ips"][0]["instance_id"], json!(id));
        act("2.35", json!({"removeFloatingIp": {"address": f["ip"]}})).await.expect(202);
        act("2.35", json!({"removeFloatingIp": {"address": f["ip"]}})).await.expect(409);
        let path = format!("/os-floating-ips/{}", f["id"].as_str().unwrap());
        ask(&w, "DELETE", &path, None).await.expect(202);
        ask(&w, "GET", &path, None).await.expect(404);
    }
}
