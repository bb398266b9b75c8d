//! `GET /hanok/v1/why/{id}`: whom it tells what.

use super::world::{Answer, World, worlds};
use serde_json::{Value, json};
use store::log::{Level, Who, audit, event};
use store::params;

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

/// The one of Network that a list by this query has.
async fn listed(w: &World, token: &str, noun: &str, query: &str) -> String {
    let path = format!("/network/v2.0/{}s?{query}", noun.replace('_', "-"));
    let all = w.send(token, "", "GET", &path, None).await.expect(200);
    let all = all[format!("{noun}s")].as_array().unwrap();
    assert_eq!(all.len(), 1, "{path}: {all:?}");
    all[0]["id"].as_str().unwrap().to_owned()
}

/// What is said of it: its status, the code of the sentence, the sentence.
async fn said(w: &World, token: &str, id: &str) -> (String, String, String) {
    let seen = why(w, token, id).await.expect(200);
    let text = |v: &Value| v.as_str().unwrap_or("none").to_owned();
    (text(&seen["status"]), text(&seen["said"]["reason"][0]["code"]), text(&seen["reason"]))
}

#[tokio::test]
async fn what_nobody_asked_for_by_name_is_explained_too() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let is = async |token: &str, id: &str, status: &str, code: &str| {
            let (is, of, sentence) = said(&w, token, id).await;
            assert_eq!((is.as_str(), of.as_str()), (status, code), "{token}: {sentence}");
            sentence
        };
        let private = listed(&w, "member:a", "network", "name=private").await;
        let subnet = listed(&w, "member:a", "subnet", "name=private-subnet").await;
        let router = listed(&w, "member:a", "router", "name=router1").await;
        let leg = listed(&w, "member:a", "port", "device_owner=network:router_interface").await;
        let group = listed(&w, "member:a", "security_group", "name=default").await;
        let public = listed(&w, "member:a", "network", "name=public").await;
        for token in ["admin:c", "member:a"] {
            assert_eq!(why(&w, token, &private).await.expect(200)["name"], "private");
            is(token, &private, "ACTIVE", "network.inside").await;
            is(token, &subnet, "none", "subnet.gateway").await;
            is(token, &leg, "ACTIVE", "port.leg").await;
            is(token, &group, "none", "network.no_state").await;
        }
        let home = is("admin:c", &router, "ACTIVE", "router.home_on").await;
        assert!(home.ends_with("on public, and the host h1 is its home."), "{home}");
        let home = is("member:a", &router, "ACTIVE", "router.home_some").await;
        assert!(!home.contains("h1"), "{home}");
        // It is everybody's.
        is("member:b", &public, "ACTIVE", "network.outside").await;
        is("member:b", &w.image.to_string(), "active", "image.active").await;

        let server = w.create("one").await.to_string();
        let port = listed(&w, "member:a", "port", &format!("device_id={server}")).await;
        is("admin:c", &port, "DOWN", "port.no_host").await;
        w.engine.run_one(&server, true).await.unwrap();
        let down = is("admin:c", &port, "DOWN", "port.down_on").await;
        assert!(down.contains("the host h1 does not have it up"), "{down}");
        assert!(!is("member:a", &port, "DOWN", "port.down").await.contains("h1"));

        let body = json!({"floatingip": {"floating_network_id": public}});
        let made = made(&w, "member:a", "/network/v2.0/floatingips", body).await;
        let floating = made["floatingip"]["id"].as_str().unwrap().to_owned();
        for token in ["admin:c", "member:a"] {
            is(token, &floating, "DOWN", "floating.free").await;
        }
        let path = format!("/network/v2.0/floatingips/{floating}");
        let to = json!({"floatingip": {"port_id": port}});
        w.send("member:a", "", "PUT", &path, Some(to)).await.expect(200);
        is("member:a", &floating, "DOWN", "floating.down").await;
        w.until(&mut host, server.parse().unwrap(), "ACTIVE").await;
        let up = is("admin:c", &port, "ACTIVE", "port.up_on").await;
        assert_eq!(up, format!("It belongs to the server {server}, and the host h1 has it up."));
        is("member:a", &port, "ACTIVE", "port.up").await;
        for token in ["admin:c", "member:a"] {
            let leads = is(token, &floating, "ACTIVE", "floating.up").await;
            assert!(leads.contains(&format!("of the port {port}, by the router {router}")), "{leads}");
        }
        for id in [&private, &subnet, &router, &leg, &group, &port, &floating] {
            why(&w, "member:b", id).await.refused(404);
        }
    }
}

#[tokio::test]
async fn what_an_image_or_a_router_lacks_is_said() {
    let w = World::new().await;
    let image = made(&w, "member:a", "/image/v2/images", json!({"name": "i"})).await;
    let queued = said(&w, "member:a", image["id"].as_str().unwrap()).await;
    assert_eq!((queued.0.as_str(), queued.1.as_str()), ("queued", "image.queued"));
    let id = image["id"].as_str().unwrap().to_owned();
    let of = id.clone();
    w.db.write(move |tx| {
        tx.exec("UPDATE image SET status = 'saving' WHERE id = $1", params![&of])?;
        let staged =
            "INSERT INTO image_stage (image_id, file, sha512, md5, bytes) VALUES ($1, 'f', '', '', 9)";
        tx.exec(staged, params![&of])?;
        let work = "INSERT INTO work (id, kind, state, since, reason)
                    VALUES ($1, 'image_check', '{}', 1, 'its checksums are being computed: 3 of 9 MiB')";
        tx.exec(work, params![&of])
    })
    .await
    .unwrap();
    for token in ["member:a", "admin:c"] {
        let seen = why(&w, token, &id).await.expect(200);
        assert_eq!((&seen["kind"], &seen["status"]), (&json!("image"), &json!("saving")));
        assert_eq!(seen["said"]["reason"][0]["code"], "image.arrived");
        assert_eq!(seen["life_cycle"]["said"]["reason"][0]["code"], "image.digesting");
    }
    for (noun, code) in [("router", "router.no_gateway"), ("network", "network.no_subnet")] {
        let id = network(&w, "member:a", noun).await;
        assert_eq!(said(&w, "member:a", &id).await.1, code);
        let off = Some(json!({noun: {"admin_state_up": false}}));
        w.send("member:a", "", "PUT", &format!("/network/v2.0/{noun}s/{id}"), off).await.expect(200);
        assert_eq!(said(&w, "admin:c", &id).await.1, format!("reach.{noun}_off"));
    }
    let group = json!({"server_group": {"name": "apart", "policies": ["anti-affinity"]}});
    let group = made(&w, "member:a", "/compute/v2.1/os-server-groups", group).await;
    let id = group["server_group"]["id"].as_str().unwrap();
    assert_eq!(said(&w, "member:a", id).await.2, "Servers in it: 0. Its policy is anti-affinity.");
    why(&w, "member:b", id).await.refused(404);
}
