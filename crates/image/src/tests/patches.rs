//! Changes to an image.

use super::worlds;
use axum::body::Body;
use serde_json::json;

#[tokio::test]
async fn attributes_and_properties_change_together_or_not_at_all() {
    for w in worlds().await {
        let id = w.make("member:a", json!({"name": "old", "color": "red"})).await;
        let changed = w
            .patch(
                &id,
                "member:a",
                json!([
                    {"op": "replace", "path": "/name", "value": "new"},
                    {"op": "add", "path": "/min_ram", "value": 512},
                    {"op": "replace", "path": "/tags", "value": ["x"]},
                    {"op": "replace", "path": "/color", "value": "blue"},
                    {"op": "add", "path": "/a~1b~0c", "value": "slash and tilde"},
                    {"op": "replace", "path": "/visibility", "value": "private"},
                    {"op": "replace", "path": "/disk_format", "value": "raw"},
                ]),
            )
            .await
            .is(200)
            .json();
        assert_eq!(changed["name"], "new");
        assert_eq!(changed["min_ram"], 512);
        assert_eq!(changed["tags"], json!(["x"]));
        assert_eq!(changed["color"], "blue");
        assert_eq!(changed["a/b~c"], "slash and tilde");
        assert_eq!(changed["visibility"], "private");
        assert_eq!(changed["disk_format"], "raw");
        assert_eq!(w.show(&id, "member:a").await, changed);
        let half = json!([{"op": "remove", "path": "/color"}, {"op": "remove", "path": "/none"}]);
        w.patch(&id, "member:a", half).await.refused(409, "Property none does not exist.");
        assert_eq!(w.show(&id, "member:a").await, changed);
        let gone = w.patch(&id, "member:a", json!([{"op": "remove", "path": "/color"}])).await.is(200).json();
        assert!(gone.get("color").is_none());
    }
}

#[tokio::test]
async fn the_old_form_is_understood() {
    for w in worlds().await {
        let id = w.make("member:a", json!({"color": "red"})).await;
        let send = |body: serde_json::Value| {
            let kind = "application/openstack-images-v2.0-json-patch";
            let request =
                w.request("PATCH", &format!("/v2/images/{id}"), "member:a").header("content-type", kind);
            w.send(request.body(Body::from(body.to_string())).unwrap())
        };
        let changed = send(json!([{"replace": "/name", "value": "n"}, {"remove": "/color"}])).await.is(200);
        assert_eq!(changed.json()["name"], "n");
        send(json!([{"replace": "/name", "add": "/name", "value": "n"}])).await.refused(400, "exactly one");
        send(json!([{"add": "/color", "value": "red"}])).await.is(200);
        send(json!([{"add": "/color", "value": "blue"}])).await.refused(409, "already present");
        let again = json!([{"op": "add", "path": "/color", "value": "blue"}]);
        assert_eq!(w.patch(&id, "member:a", again).await.is(200).json()["color"], "blue");
    }
}

#[tokio::test]
async fn wrong_changes_are_refused_with_their_reason() {
    for w in worlds().await {
        let id = w.active("member:a", b"x").await;
        let path = format!("/v2/images/{id}");
        let wrong = w.call("PATCH", &path, "member:a", json!([])).await.refused(415, "media type");
        let accepted =
            "application/openstack-images-v2.1-json-patch, application/openstack-images-v2.0-json-patch";
        assert_eq!(wrong.header("accept-patch"), accepted);
        let cases = [
            (json!({"op": "add"}), 400, "must be a JSON array"),
            (json!(["x"]), 400, "must be JSON objects"),
            (json!([{"op": "move", "path": "/name"}]), 400, "must be one of add, replace, remove"),
            (json!([{"op": "replace", "path": "/name"}]), 400, "must have a value"),
            (json!([{"op": "replace", "value": "x"}]), 400, "must have a path"),
            (json!([{"op": "replace", "path": "name", "value": "x"}]), 400, "Invalid JSON pointer"),
            (json!([{"op": "add", "path": "/a/b", "value": "x"}]), 400, "Invalid JSON pointer"),
            (json!([{"op": "replace", "path": "/status", "value": "killed"}]), 403, "is read-only"),
            (json!([{"op": "replace", "path": "/id", "value": "x"}]), 403, "is read-only"),
            (json!([{"op": "remove", "path": "/size"}]), 403, "is read-only"),
            (json!([{"op": "replace", "path": "/locations", "value": []}]), 403, "locations are invisible"),
            (
                json!([{"op": "add", "path": "/locations/-", "value": {"url": "http://x/"}}]),
                403,
                "locations are invisible",
            ),
            (json!([{"op": "remove", "path": "/locations/0"}]), 403, "locations are invisible"),
            (json!([{"op": "remove", "path": "/name"}]), 403, "may not be removed"),
            (json!([{"op": "replace", "path": "/disk_format", "value": "iso"}]), 403, "queued image"),
            (json!([{"op": "replace", "path": "/container_format", "value": "ova"}]), 403, "queued image"),
            (json!([{"op": "replace", "path": "/visibility", "value": "public"}]), 403, "administrator"),
            (json!([{"op": "replace", "path": "/visibility", "value": null}]), 400, "visibility"),
            (json!([{"op": "replace", "path": "/protected", "value": "x"}]), 400, "boolean"),
            (json!([{"op": "add", "path": "/color", "value": 5}]), 400, "not of type 'string'"),
            (json!([{"op": "replace", "path": "/color", "value": "x"}]), 409, "does not exist"),
        ];
        let before = w.show(&id, "member:a").await;
        for (body, status, words) in cases {
            w.patch(&id, "member:a", body).await.refused(status, words);
        }
        let many: Vec<_> =
            (0..129).map(|i| json!({"op": "add", "path": format!("/p{i}"), "value": "v"})).collect();
        w.patch(&id, "member:a", json!(many)).await.refused(413, "at most 128");
        assert_eq!(w.show(&id, "member:a").await, before);
        let rename = json!([{"op": "replace", "path": "/name", "value": "x"}]);
        w.patch(&id, "member:b", rename.clone()).await.refused(404, "No image found");
        w.patch(&id, "reader:a", rename.clone()).await.refused(403, "member");
        w.patch(&id, "admin:x", rename.clone()).await.is(200);
        let publish = json!([{"op": "replace", "path": "/visibility", "value": "public"}]);
        w.patch(&id, "admin:x", publish).await.is(200);
        w.patch(&id, "member:b", rename.clone()).await.refused(403, "another project");
        // Its owner may still change a public image otherwise.
        w.patch(&id, "member:a", rename).await.is(200);
    }
}
