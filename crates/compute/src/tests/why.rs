//! `GET /hanok/v1/why/{id}`: whom it tells what.

use super::world::{Answer, World, worlds};
use serde_json::{Value, json};
use store::log::{Level, Who, audit, event};

async fn why(w: &World, token: &str, id: &str) -> Answer {
    w.send(token, "", "GET", &format!("/hanok/v1/why/{id}"), None).await
}

/// Posts; answers what was made.
async fn made(w: &World, token: &str, path: &str, body: Value) -> Value {
    let answer = w.send(token, "", "POST", path, Some(body)).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text);
    answer.body
}

async fn network(w: &World, token: &str, noun: &str) -> String {
    let body = json!({noun: {"name": "one"}});
    made(w, token, &format!("/network/v2.0/{noun}s"), body).await[noun]["id"].as_str().unwrap().to_owned()
}

async fn happened(w: &World, kind: &'static str, target: &str) {
    let target = target.to_owned();
    w.db.write(move |tx| event(tx, Level::Warning, kind, &target, "a secret of theirs")).await.unwrap();
}

/// The actions of the trail, oldest first.
fn asked(v: &Value) -> Vec<&str> {
    v["asked_for"].as_array().unwrap().iter().rev().map(|e| e["action"].as_str().unwrap()).collect()
}

/// Members choose what key pairs are called, and the trail has those names.
#[tokio::test]
async fn a_name_that_is_another_things_id_opens_nothing() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let server = w.create("theirs").await.to_string();
        let router = network(&w, "member:a", "router").await;
        let (host, user) = (host.id.to_string(), "5bd1b33c1b1f4f6bb5d4f0a7d7a5a5b1".to_owned());
        happened(&w, "host.down", &host).await;
        happened(&w, "router.moved", &router).await;
        happened(&w, "identity.lockout", &user).await;
        let admin = Who { request_id: "req-1".into(), user_id: "root".into(), project_id: "admin".into() };
        let target = user.clone();
        w.db.write(move |tx| audit(tx, &admin, "user.update", &target)).await.unwrap();
        for id in ["fleet", &host, &user, &router, &server, "nothing"] {
            why(&w, "member:b", id).await.refused(404);
            let pair = json!({"keypair": {"name": id, "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x"}});
            made(&w, "member:b", "/compute/v2.1/os-keypairs", pair).await;
            for token in ["member:b", "reader:b"] {
                let said = why(&w, token, id).await.refused(404);
                assert!(said.contains("that you may see"), "{said}");
            }
        }
        // Administrators see all of it.
        assert_eq!(why(&w, "admin:c", "fleet").await.expect(200)["kind"], "fleet");
        assert_eq!(why(&w, "admin:c", &host).await.expect(200)["events"][0]["kind"], "host.down");
        let seen = why(&w, "admin:c", &user).await.expect(200);
        assert_eq!(
            (asked(&seen), &seen["events"][0]["kind"]),
            (vec!["user.update", "keypair.create"], &json!("identity.lockout"))
        );
        assert_eq!(why(&w, "admin:c", &router).await.expect(200)["events"][0]["kind"], "router.moved");
    }
}

/// The id of an image is for whoever makes it to choose.
#[tokio::test]
async fn an_image_with_another_things_id_tells_of_itself_alone() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let router = network(&w, "member:a", "router").await;
        happened(&w, "host.down", &host.id.to_string()).await;
        happened(&w, "router.moved", &router).await;
        for id in [host.id.to_string(), router] {
            made(&w, "member:b", "/image/v2/images", json!({"id": id, "name": "mine"})).await;
            let seen = why(&w, "member:b", &id).await.expect(200);
            assert_eq!(
                (&seen["kind"], &seen["events"], &seen["life_cycle"]),
                (&json!("image"), &json!([]), &json!(null))
            );
            assert_eq!(asked(&seen), ["image.create"], "{seen}");
            let gone = w.send("member:b", "", "DELETE", &format!("/image/v2/images/{id}"), None).await;
            assert_eq!(gone.status, 204, "{}", gone.text);
            let seen = why(&w, "member:b", &id).await;
            assert!(!seen.text.contains("secret") && !seen.text.contains("router.create"), "{}", seen.text);
        }
        // The server's own is not touched by an image beside it.
        let server = w.create("theirs").await.to_string();
        made(&w, "member:b", "/image/v2/images", json!({"id": server})).await;
        why(&w, "member:b", &server).await.refused(404);
    }
}

#[tokio::test]
async fn what_is_shared_does_not_tell_what_its_owner_did() {
    for w in worlds().await {
        let image = made(&w, "member:a", "/image/v2/images", json!({"name": "ours"})).await;
        let id = image["id"].as_str().unwrap();
        let members = format!("/image/v2/images/{id}/members");
        made(&w, "member:a", &members, json!({"member": "b"})).await;
        let yes = Some(json!({"status": "accepted"}));
        w.send("member:b", "", "PUT", &format!("{members}/b"), yes).await.expect(200);
        let theirs = why(&w, "member:b", id).await.expect(200);
        assert_eq!((asked(&theirs), &theirs["events"]), (vec!["image.answer"], &json!([])));
        let own = why(&w, "member:a", id).await.expect(200);
        assert_eq!(asked(&own), ["image.create", "image.share"]);
        assert_eq!(asked(&why(&w, "admin:c", id).await.expect(200)).len(), 3);
        why(&w, "member:c", id).await.refused(404);
    }
}

#[tokio::test]
async fn ones_own_is_told_while_it_is_there_and_after() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let server = w.create("own").await;
        w.until(&mut host, server, "ACTIVE").await;
        let id = server.to_string();
        happened(&w, "server.sent_away", &id).await;
        let lock = Some(json!({"lock": null}));
        let path = format!("/compute/v2.1/servers/{id}/action");
        assert_eq!(w.send("admin:ops", "2.79", "POST", &path, lock).await.status, 202);
        for token in ["member:a", "reader:a"] {
            let seen = why(&w, token, &id).await.expect(200);
            assert_eq!((&seen["kind"], &seen["status"]), (&json!("server"), &json!("ACTIVE")));
            assert_eq!(
                (asked(&seen), &seen["events"][0]["kind"]),
                (vec!["server.create"], &json!("server.sent_away"))
            );
            assert!(seen["life_cycle"]["state"].is_string(), "{seen}");
        }
        assert_eq!(asked(&w.why(server).await), ["server.create", "server.lock"]);
        let unlock = Some(json!({"unlock": null}));
        assert_eq!(w.send("admin:ops", "2.79", "POST", &path, unlock).await.status, 202);
        w.delete(server).await.expect(204);
        w.until(&mut host, server, "GONE").await;
        let seen = why(&w, "member:a", &id).await.expect(200);
        assert_eq!(asked(&seen), ["server.create", "server.delete"]);
        assert!(seen["deleted"].is_string(), "{seen}");

        let (router, net) =
            (network(&w, "member:a", "router").await, network(&w, "member:a", "network").await);
        happened(&w, "router.moved", &router).await;
        let seen = why(&w, "member:a", &router).await.expect(200);
        assert_eq!((&seen["kind"], &seen["events"][0]["kind"]), (&json!("router"), &json!("router.moved")));
        let seen = why(&w, "member:a", &net).await.expect(200);
        assert_eq!((&seen["kind"], asked(&seen)), (&json!("network"), vec!["network.create"]));
        let path = format!("/network/v2.0/networks/{net}");
        assert_eq!(w.send("member:a", "", "DELETE", &path, None).await.status, 204);
        let seen = why(&w, "member:a", &net).await.expect(200);
        assert_eq!(
            (&seen["kind"], asked(&seen)),
            (&json!("network"), vec!["network.create", "network.delete"])
        );
        for id in [&id, &router, &net] {
            why(&w, "member:b", id).await.refused(404);
        }
    }
}

#[tokio::test]
async fn imports_and_what_is_of_a_user() {
    for w in worlds().await {
        let image = made(
            &w,
            "member:a",
            "/image/v2/images",
            json!({"name": "i", "disk_format": "raw", "container_format": "bare"}),
        )
        .await;
        let id = image["id"].as_str().unwrap();
        let body = json!({"method": {"name": "web-download", "uri": "http://example.org/disk"}});
        made(&w, "member:a", &format!("/image/v2/images/{id}/import"), body).await;
        assert_eq!(asked(&why(&w, "member:a", id).await.expect(200)), ["image.create", "image.import.start"]);
        let task =
            w.db.read(|tx| tx.one("SELECT id FROM image_task", &[], |r| r.get::<String>(0))).await.unwrap();
        happened(&w, "work.overrun", &task).await;
        let seen = why(&w, "reader:a", &task).await.expect(200);
        assert_eq!(
            (&seen["kind"], &seen["events"][0]["kind"]),
            (&json!("image_import"), &json!("work.overrun"))
        );
        assert!(!seen["life_cycle"]["since"].is_null(), "{seen}");
        for id in [id, &task] {
            why(&w, "member:b", id).await.refused(404);
        }
        // What nobody but the user has is known to him in whichever project he is.
        let who = Who { request_id: "req-1".into(), user_id: "member:a".into(), project_id: "x".into() };
        w.db.write(move |tx| audit(tx, &who, "application_credential.create", "c0ffee")).await.unwrap();
        let seen = why(&w, "member:a", "c0ffee").await.expect(200);
        assert_eq!(asked(&seen), ["application_credential.create"]);
        why(&w, "member:b", "c0ffee").await.refused(404);
    }
}
