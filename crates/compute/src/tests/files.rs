//! `personality`: files that a server is made and rebuilt with, until 2.57.

use super::world::{FakeHost, World, active, worlds};
use base::ServerId;
use base::doc::InjectedFile;
use serde_json::{Value, json};

fn file(path: &str, contents: &str) -> Value {
    json!({"path": path, "contents": contents})
}

fn wish(w: &World, files: Value) -> Option<Value> {
    let mut wish = w.wish("x");
    wish["personality"] = files;
    Some(json!({"server": wish}))
}

fn told(host: &FakeHost, id: ServerId) -> (Vec<InjectedFile>, bool) {
    let guest = host.document.as_ref().unwrap().guests.iter().find(|g| g.id == id).unwrap();
    (guest.metadata.files.clone(), guest.config_drive)
}

#[tokio::test]
async fn files_reach_the_host_with_a_configuration_drive_and_a_rebuild_has_its_own() {
    for w in worlds().await {
        let (mut host, plain) = active(&w).await;
        assert_eq!(told(&host, plain), (Vec::new(), false));
        let files = json!([file("/etc/motd", "aGVs\nbG8="), file("empty", "")]);
        let made = w.member("2.56", "POST", "/servers", wish(&w, files)).await.expect(202);
        let id: ServerId = made["server"]["id"].as_str().unwrap().parse().unwrap();
        w.until(&mut host, id, "ACTIVE").await;
        let content = |path: &str, content: &str| InjectedFile { path: path.into(), content: content.into() };
        assert_eq!(told(&host, id), (vec![content("/etc/motd", "aGVsbG8="), content("empty", "")], true));
        assert_eq!(w.get(&format!("/servers/{id}")).await["server"]["config_drive"], "True");

        let act = format!("/servers/{plain}/action");
        let body = json!({"rebuild": {"imageRef": w.image, "personality": [file("other", "eA==")]}});
        w.member("2.56", "POST", &act, Some(body)).await.expect(202);
        w.until(&mut host, plain, "ACTIVE").await;
        assert_eq!(told(&host, plain), (vec![content("other", "eA==")], true));
        w.act(plain, json!({"rebuild": {"imageRef": w.image}})).await.expect(202);
        w.until(&mut host, plain, "ACTIVE").await;
        assert_eq!(told(&host, plain), (Vec::new(), true), "a fresh disk without the files of the last one");
        w.delete(id).await.expect(204);
        w.delete(plain).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        w.until(&mut host, plain, "GONE").await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn how_many_how_large_and_until_when() {
    let w = World::new().await;
    let many = |n: usize| (0..n).map(|i| file(&format!("f{i}"), "eA==")).collect::<Value>();
    let large = |bytes: usize| json!([file("f", &"A".repeat(bytes.div_ceil(3) * 4))]);
    let cases = [
        (many(6), 403, "Personality file limit exceeded"),
        (large(10_245), 403, "Personality file content exceeds maximum 10240"),
        (json!([file(&"p".repeat(256), "")]), 403, "Personality file path exceeds maximum 255"),
        (json!([file("f", "not base 64!")]), 400, "base64"),
        (json!([file("", "eA==")]), 400, "names a file"),
        (json!([file("a\nb", "eA==")]), 400, "names a file"),
        (json!([{"path": "f"}]), 400, "contents"),
        (json!([{"path": "f", "contents": "eA==", "mode": 1}]), 400, "mode"),
        (json!(["f"]), 400, ""),
        (json!("f"), 400, ""),
    ];
    for (files, status, says) in cases {
        let said = w.member("2.56", "POST", "/servers", wish(&w, files)).await.refused(status);
        assert!(said.contains(says), "{says}: {said}");
    }
    w.member("2.57", "POST", "/servers", wish(&w, many(1))).await.refused(400);
    for files in [many(5), large(10_239), json!([])] {
        w.member("2.56", "POST", "/servers", wish(&w, files)).await.expect(202);
    }
    let most = async || {
        let limits = w.member("2.56", "GET", "/limits", None).await.expect(200);
        limits["limits"]["absolute"]["maxPersonality"].clone()
    };
    assert_eq!(most().await, 5);
    let quota = json!({"quota_class_set": {"injected_files": 1, "injected_file_content_bytes": -1}});
    w.admin("2.56", "PUT", "/os-quota-class-sets/default", Some(quota)).await.expect(200);
    assert_eq!(most().await, 1);
    w.member("2.56", "POST", "/servers", wish(&w, many(2))).await.refused(403);
    w.member("2.56", "POST", "/servers", wish(&w, large(20_000))).await.expect(202);
}
