//! Imports from the web, and from other images.

use super::staging::{crashing, done, import, staged};
use super::{World, worlds, worlds_importing};
use crate::{Imports, Limits};
use axum::Router;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use serde_json::{Value, json};
use std::convert::Infallible;

/// A web server on loopback; ends with the test's process.
async fn web() -> (String, Imports) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let cut = || async {
        let parts = vec![Ok::<_, Infallible>(bytes::Bytes::from_static(b"half"))];
        let body = axum::body::Body::from_stream(futures_util::stream::iter(parts));
        ([("content-length", "100")], body).into_response()
    };
    let routes = Router::new()
        .route("/disk", get(|| async { vec![5_u8; 300_000] }))
        .route("/moved", get(|| async { Redirect::temporary("/disk") }))
        .route("/round", get(|| async { Redirect::temporary("/round") }))
        .route("/inside", get(|| async { Redirect::temporary("http://127.0.0.2/latest/meta-data") }))
        .route("/file", get(|| async { Redirect::temporary("file:///etc/hostname") }))
        .route("/cut", get(cut));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let imports = Imports { download_hosts: hosts, download_ports: vec![port, 80], ..Imports::default() };
    (format!("http://127.0.0.1:{port}"), imports)
}

async fn fetch(w: &World, id: &str, uri: &str) -> Value {
    import(w, id, json!({"name": "web-download", "uri": uri})).await.is(202);
    done(w, id).await
}

#[tokio::test]
async fn content_is_downloaded() {
    let (at, imports) = web().await;
    for w in worlds_importing(Limits::default(), imports).await {
        for path in ["disk", "moved"] {
            let id = w.raw("member:a").await;
            let ended = fetch(&w, &id, &format!("{at}/{path}")).await;
            assert_eq!(ended["status"], "success", "{ended}");
            let shown = w.show(&id, "member:a").await;
            assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(300_000)));
            import(&w, &id, json!({"name": "web-download", "uri": at})).await.refused(409, "'queued' state");
        }
        assert_eq!((staged(&w), w.incoming()), (0, 0));
    }
}

#[tokio::test]
async fn a_download_that_fails_leaves_a_queued_image() {
    let (at, imports) = web().await;
    let limits = Limits { image_bytes: 200_000, ..Limits::default() };
    for w in worlds_importing(limits, imports).await {
        let id = w.raw("member:a").await;
        for (path, why) in [
            ("none", "it answered 404"),
            ("round", "redirects more than"),
            ("inside", "does not pass filtering"),
            ("file", "does not pass filtering"),
            ("cut", "could not be downloaded"),
            ("disk", "larger than the 200000 bytes"),
        ] {
            let ended = fetch(&w, &id, &format!("{at}/{path}")).await;
            assert_eq!(ended["status"], "failure", "{path}");
            assert!(ended["message"].as_str().unwrap().contains(why), "{path}: {ended}");
            assert_eq!(w.show(&id, "member:a").await["status"], "queued", "{path}");
        }
        assert_eq!((staged(&w), w.incoming(), w.files().len()), (0, 0, 0));
    }
}

#[tokio::test]
async fn every_step_of_a_download_may_die_before_its_commit() {
    let (at, imports) = web().await;
    for mut w in worlds_importing(Limits::default(), imports).await {
        let id = w.raw("member:a").await;
        import(&w, &id, json!({"name": "web-download", "uri": format!("{at}/disk")})).await.is(202);
        crashing(&mut w, &id).await;
        assert_eq!(w.show(&id, "member:a").await["status"], "active");
        assert_eq!((staged(&w), w.incoming(), w.files().len()), (0, 0, 1));
        // One that fails, and whose failing dies.
        let id = w.raw("member:a").await;
        import(&w, &id, json!({"name": "web-download", "uri": format!("{at}/none")})).await.is(202);
        crashing(&mut w, &id).await;
        assert_eq!(w.show(&id, "member:a").await["status"], "queued");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_by_default() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        for uri in [
            "http://127.0.0.1/x",
            "http://169.254.169.254/",
            "http://[::1]/",
            "ftp://example.org/",
            "http://example.org:22/",
        ] {
            import(&w, &id, json!({"name": "web-download", "uri": uri}))
                .await
                .refused(400, "does not pass filtering");
        }
        assert_eq!(w.show(&id, "member:a").await["status"], "queued");
        // A name is looked at when it is resolved.
        let ended = fetch(&w, &id, "http://localhost/x").await;
        assert!(
            ended["message"].as_str().unwrap().contains("none of its addresses is a public one"),
            "{ended}"
        );
    }
}

#[tokio::test]
async fn wrong_requests_say_what_is_missing() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        let ask = |body: Value| w.call("POST", "/v2/images/x/import", "member:a", body);
        ask(json!({"method": {"name": "glance-direct"}})).await.is(404);
        let path = format!("/v2/images/{id}/import");
        for (body, status, words) in [
            (json!({}), 400, "requires a 'method' field"),
            (json!({"method": "web-download"}), 400, "requires a 'method' field"),
            (json!({"method": {}}), 400, "requires a 'name' field"),
            (json!({"method": {"name": "by-post"}}), 400, "Unknown import method name 'by-post'"),
            (json!({"method": {"name": "copy-image"}, "all_stores": true}), 400, "there is one store"),
            (json!({"method": {"name": "web-download"}}), 400, "URI is required"),
            (json!({"method": {"name": "glance-direct"}, "stores": ["fast"]}), 409, "Multi backend"),
            (json!({"method": {"name": "glance-direct"}, "all_stores": 3}), 400, "all_stores"),
            (
                json!({"method": {"name": "glance-download", "glance_region": "RegionOne"}}),
                400,
                "glance_image_id",
            ),
            (
                json!({"method": {"name": "glance-download", "glance_region": "RegionOne", "glance_image_id": "foo"}}),
                400,
                "does not look like a UUID",
            ),
        ] {
            w.call("POST", &path, "member:a", body).await.refused(status, words);
        }
        w.call("POST", &path, "reader:a", json!({"method": {"name": "glance-direct"}})).await.is(403);
        let bare = w.make("member:a", json!({"name": "x"})).await;
        import(&w, &bare, json!({"name": "web-download", "uri": "http://example.org/"}))
            .await
            .refused(409, "container_format");
        let methods = w.get("/v2/info/import", "reader:a").await.is(200).json();
        assert_eq!(
            methods["import-methods"]["value"],
            json!(["glance-direct", "web-download", "glance-download"])
        );
    }
}

#[tokio::test]
async fn the_content_of_another_image_is_taken_over() {
    for mut w in worlds().await {
        let source = w.active("member:a", b"disk").await;
        let add = |k: &str, v: &str| json!({"op": "add", "path": format!("/{k}"), "value": v});
        let body = json!([add("hw_cpu_cores", "5"), add("os_distro", "rhel"), add("speed", "88mph")]);
        w.patch(&source, "member:a", body).await.is(200);
        let method = |id: &str, region: &str| json!({"name": "glance-download", "glance_image_id": id, "glance_region": region});
        let id = w
            .make("member:a", json!({"disk_format": "iso", "container_format": "ovf", "os_distro": "x"}))
            .await;
        import(&w, &id, method(&source, "elsewhere")).await.is(202);
        assert!(done(&w, &id).await["message"].as_str().unwrap().contains("no region"));
        import(&w, &id, method("36d4b546-64a2-4bb9-bdd0-ba676aa48f2c", "RegionOne")).await.is(202);
        assert_eq!(done(&w, &id).await["status"], "failure");
        let hidden = w.active("member:b", b"hidden").await;
        import(&w, &id, method(&hidden, "RegionOne")).await.is(202);
        assert_eq!(done(&w, &id).await["status"], "failure");
        let shown = w.show(&id, "member:a").await;
        assert_eq!((&shown["status"], &shown["os_distro"]), (&json!("queued"), &json!("x")));
        import(&w, &id, method(&source, "RegionOne")).await.is(202);
        crashing(&mut w, &id).await;
        let shown = w.show(&id, "member:a").await;
        for (key, value) in [
            ("status", "active"),
            ("disk_format", "raw"),
            ("container_format", "bare"),
            ("hw_cpu_cores", "5"),
            ("os_distro", "rhel"),
        ] {
            assert_eq!(shown[key], value, "{key}");
        }
        assert_eq!(shown["speed"], Value::Null);
        assert_eq!(w.get(&format!("/v2/images/{id}/file"), "member:a").await.body, "disk");
    }
}
