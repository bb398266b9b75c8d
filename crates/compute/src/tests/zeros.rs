//! Zero characters, which PostgreSQL keeps in no text.

use super::world::worlds;
use base::doc::GuestState;
use serde_json::json;

#[tokio::test]
async fn clients_are_told_where_one_is() {
    for w in worlds().await {
        let id = w.create("one").await;
        let mut named = w.wish("a\0");
        let server = json!({"server": named.clone()});
        named["name"] = "a".into();
        named["metadata"] = json!({"k\0": "v"});
        for (method, path, body, place) in [
            ("POST", "/servers".to_owned(), server, "server.name"),
            ("POST", "/servers".to_owned(), json!({"server": named}), "server.metadata"),
            ("PUT", format!("/servers/{id}/tags"), json!({"tags": ["x", "y\0"]}), "tags[1]"),
            ("PUT", format!("/servers/{id}/metadata/a"), json!({"meta": {"a": "\0"}}), "meta.a"),
            ("POST", "/os-keypairs".to_owned(), json!({"keypair": {"name": "\0"}}), "keypair.name"),
        ] {
            let no = w.member("2.79", method, &path, Some(body)).await.expect(400);
            let words = no["badRequest"]["message"].as_str().unwrap();
            assert!(words.contains(&format!("attribute {place}. It holds a zero character")), "{words}");
        }
        w.member("2.79", "GET", "/servers?name=%00", None).await.expect(400);
        w.member("2.79", "PUT", &format!("/servers/{id}/tags/%00"), None).await.expect(404);
    }
}

/// What a guest or its hypervisor says must not keep its host from being heard.
#[tokio::test]
async fn a_host_is_heard_with_one_in_its_report() {
    for w in worlds().await {
        let mut host = w.host("a").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        host.plan.insert(id, (GuestState::Failed, 1, "it said \0"));
        host.send(&w, &host.report()).await.expect(204);
        assert_eq!(w.why(id).await["host"]["guest"]["reason"], "it said ");
    }
}
