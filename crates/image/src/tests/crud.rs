//! Making, showing, deleting; tags; versions, schemas and the rest that is only told.

use super::worlds;
use serde_json::json;

#[tokio::test]
async fn an_image_is_made_shown_and_deleted() {
    for w in worlds().await {
        let body = json!({"name": "one", "disk_format": "qcow2", "container_format": "bare", "min_ram": 64,
            "tags": ["b", "a", "b"], "os_distro": "debian", "checksum_of": null, "id": null, "owner": null});
        let made = w.call("POST", "/v2/images", "member:a", body).await.is(201);
        let id = made.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(made.header("location"), format!("http://{}/image/v2/images/{id}", w.address));
        assert!(made.header("x-openstack-request-id").starts_with("req-"));
        let shown = w.show(&id, "reader:a").await;
        assert_eq!(shown, made.json());
        let created = shown["created_at"].as_str().unwrap();
        assert!(created.ends_with('Z') && created.len() == 20, "{created}");
        let expected = json!({
            "id": id, "name": "one", "owner": "a", "status": "queued", "visibility": "shared",
            "disk_format": "qcow2", "container_format": "bare", "min_disk": 0, "min_ram": 64, "protected": false,
            "os_hidden": false, "size": null, "virtual_size": null, "checksum": null, "os_hash_algo": null,
            "os_hash_value": null, "created_at": created, "updated_at": created, "tags": ["a", "b"],
            "self": format!("/v2/images/{id}"), "file": format!("/v2/images/{id}/file"),
            "schema": "/v2/schemas/image", "os_distro": "debian",
        });
        assert_eq!(shown, expected);
        let path = format!("/v2/images/{id}");
        w.delete(&path, "member:b").await.refused(404, "No image found with ID");
        w.delete(&path, "reader:a").await.refused(403, "member");
        assert!(w.delete(&path, "member:a").await.is(204).body.is_empty());
        w.get(&path, "member:a").await.refused(404, "No image found with ID");
        w.delete(&path, "member:a").await.refused(404, "No image found with ID");
        assert_eq!(w.count("SELECT COUNT(*) FROM audit").await, 2);
        assert_eq!(w.count("SELECT CAST(SUM(used) AS BIGINT) FROM quota").await, 0);
    }
}

#[tokio::test]
async fn bad_images_are_refused_with_their_reason() {
    for w in worlds().await {
        let post = |token: &'static str, body| w.call("POST", "/v2/images", token, body);
        let wrong = [
            (json!({"disk_format": "wrong"}), "disk_format: 'wrong' is not one of"),
            (json!({"container_format": "wrong"}), "container_format: 'wrong' is not one of"),
            (json!({"visibility": "secret"}), "visibility: 'secret' is not one of"),
            (json!({"name": 5}), "name: 5 is not of type 'string'"),
            (json!({"name": "x".repeat(256)}), "longer than 255"),
            (json!({"min_disk": -1}), "min_disk: -1 is not between"),
            (json!({"min_ram": "much"}), "not of type 'integer'"),
            (json!({"protected": "yes"}), "not of type 'boolean'"),
            (json!({"tags": "x"}), "not of type 'array'"),
            (json!({"tags": [""]}), "1 to 255"),
            (json!({"prop": {"a": 1}}), "prop: {&quot;a&quot;:1} is not of type 'string'"),
            (json!({"id": "no-uuid"}), "is not a uuid"),
        ];
        for (body, words) in wrong {
            let answer = post("member:a", body.clone()).await.is(400);
            let text = String::from_utf8_lossy(&answer.body).replace('"', "&quot;");
            assert!(text.contains(words), "{body}: {text}");
        }
        post("member:a", json!([])).await.refused(400, "JSON object");
        for read_only in
            ["status", "checksum", "size", "created_at", "self", "file", "schema", "os_hash_value"]
        {
            post("member:a", json!({read_only: "x"})).await.refused(403, "is read-only");
        }
        for reserved in ["locations", "deleted", "os_glance_import_task"] {
            post("member:a", json!({reserved: "x"})).await.refused(403, "is reserved");
        }
        post("member:a", json!({"visibility": "public"})).await.refused(403, "administrator");
        post("member:a", json!({"owner": "b"})).await.refused(403, "not permitted");
        post("reader:a", json!({})).await.refused(403, "member");
        post("admin:x", json!({"visibility": "public", "owner": "b"})).await.is(201);
        let id = w.make("member:a", json!({})).await;
        post("member:b", json!({"id": id})).await.refused(409, "already exists");
        w.get("/v2/images/some-name", "member:a").await.refused(404, "could not be found");
        w.call("PUT", "/v2/images", "member:a", json!({})).await.refused(405, "method");
        assert_eq!(w.count("SELECT COUNT(*) FROM image").await, 2);
    }
}

#[tokio::test]
async fn a_protected_image_stays() {
    for w in worlds().await {
        let id = w.make("member:a", json!({"protected": true})).await;
        w.delete(&format!("/v2/images/{id}"), "member:a").await.refused(403, "is protected");
        w.delete(&format!("/v2/images/{id}"), "admin:x").await.refused(403, "is protected");
        let free = json!([{"op": "replace", "path": "/protected", "value": false}]);
        w.patch(&id, "member:a", free).await.is(200);
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
    }
}

#[tokio::test]
async fn tags_come_and_go() {
    for w in worlds().await {
        let id = w.make("member:a", json!({})).await;
        let tag = |t: &str| format!("/v2/images/{id}/tags/{t}");
        let put = |t: String, who: &'static str| {
            let request = w.request("PUT", &t, who).body(axum::body::Body::empty()).unwrap();
            w.send(request)
        };
        put(tag("x%20y"), "member:a").await.is(204);
        put(tag("x%20y"), "member:a").await.is(204);
        assert_eq!(w.show(&id, "member:a").await["tags"], json!(["x y"]));
        put(tag("z"), "member:b").await.refused(404, "No image found");
        put(tag(&"t".repeat(256)), "member:a").await.refused(400, "1 to 255");
        w.delete(&tag("none"), "member:a").await.refused(404, "has no tag");
        w.delete(&tag("x%20y"), "member:a").await.is(204);
        for i in 0..128 {
            put(tag(&format!("t{i}")), "member:a").await.is(204);
        }
        put(tag("one-more"), "member:a").await.refused(413, "at most 128");
        assert_eq!(w.show(&id, "member:a").await["tags"].as_array().unwrap().len(), 128);
    }
}

#[tokio::test]
async fn an_image_can_be_put_aside() {
    for w in worlds().await {
        let id = w.active("member:a", b"content").await;
        let act = |what: &str| format!("/v2/images/{id}/actions/{what}");
        w.call("POST", &act("deactivate"), "member:b", json!({})).await.refused(404, "No image found");
        assert!(w.call("POST", &act("deactivate"), "member:a", json!({})).await.is(204).body.is_empty());
        assert_eq!(w.show(&id, "member:a").await["status"], "deactivated");
        w.get(&format!("/v2/images/{id}/file"), "member:a").await.refused(403, "deactivated");
        w.get(&format!("/v2/images/{id}/file"), "admin:x").await.is(200);
        w.call("POST", &act("deactivate"), "member:a", json!({})).await.is(204);
        w.call("POST", &act("reactivate"), "member:a", json!({})).await.is(204);
        w.get(&format!("/v2/images/{id}/file"), "member:a").await.is(200);
        let queued = w.raw("member:a").await;
        let path = format!("/v2/images/{queued}/actions/deactivate");
        w.call("POST", &path, "member:a", json!({})).await.refused(403, "in status 'queued'");
    }
}

#[tokio::test]
async fn the_quota_of_images_holds() {
    let limits = crate::Limits { count: 2, ..crate::Limits::default() };
    for w in super::worlds_with(limits).await {
        let first = w.raw("member:a").await;
        w.raw("member:a").await;
        w.call("POST", "/v2/images", "member:a", json!({})).await.refused(413, "image_count_total");
        w.raw("member:b").await;
        let usage = w.get("/v2/info/usage", "member:a").await.is(200).json();
        assert_eq!(usage["usage"]["image_count_total"], json!({"usage": 2, "limit": 2}));
        w.delete(&format!("/v2/images/{first}"), "member:a").await.is(204);
        w.raw("member:a").await;
    }
}

#[tokio::test]
async fn what_is_only_told() {
    let w = &worlds().await[0];
    let versions = w.get("", "").await.is(300).json();
    assert_eq!(versions["versions"][0]["status"], "CURRENT");
    let href = versions["versions"][0]["links"][0]["href"].as_str().unwrap();
    assert_eq!(href, format!("http://{}/image/v2/", w.address));
    assert_eq!(w.get("/versions", "").await.is(200).json(), versions);
    for name in ["image", "images", "member", "members", "task", "tasks"] {
        let schema = w.get(&format!("/v2/schemas/{name}"), "reader:a").await.is(200).json();
        assert_eq!(schema["name"], name);
    }
    let schema = w.get("/v2/schemas/image", "reader:a").await.json();
    let id = w.make("member:a", json!({})).await;
    for key in w.show(&id, "member:a").await.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "the schema lacks {key}");
    }
    w.get("/v2/schemas/cow", "reader:a").await.refused(404, "no schema");
    w.get("/v2/info/stores", "reader:a").await.refused(404, "Multi backend");
    w.get("/v2/info/stores/detail", "admin:a").await.refused(404, "Multi backend");
    w.delete(&format!("/v2/stores/fast/{id}"), "member:a").await.refused(404, "Multi backend");
    w.get("/v2/cache", "reader:a").await.is(403);
    w.get("/v2/cache", "admin:a").await.refused(404, "Caching via API");
    w.call("PUT", &format!("/v2/cache/{id}"), "admin:a", json!({})).await.refused(404, "Caching via API");
    assert_eq!(w.get(&format!("/v2/images/{id}/tasks"), "reader:a").await.json(), json!({"tasks": []}));
    w.get("/v2/nothing", "reader:a").await.refused(404, "could not be found");
}
