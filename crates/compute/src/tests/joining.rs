//! Hosts that join: what a token is good for, and for how long.

use super::world::{Answer, World, worlds};
use crate::join::{self, Invitation};
use axum::body::Body;
use base::doc::{Certificate, Desired, Join, Joined, Renew};
use base::{Fault, HostId, Kind, Micros, ServerId};
use http::Request;
use serde_json::json;
use std::time::Duration;
use store::params;

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    async fn invite(&self, name: Option<&str>) -> String {
        let wish = Invitation { name: name.map(str::to_owned), zone: None, life: HOUR };
        self.db.write(move |tx| join::invite(tx, &wish)).await.unwrap().secret
    }
    async fn join(&self, secret: &str, wish: Join) -> Result<HostId, Fault> {
        self.joined(secret, wish).await.map(|j| j.host)
    }
    async fn joined(&self, secret: &str, wish: Join) -> Result<Joined, Fault> {
        let (secret, authority) = (secret.to_owned(), self.compute.authority.clone());
        self.db.write(move |tx| join::join(tx, &secret, &wish, authority.as_deref())).await
    }
    /// As a host that has shown a certificate for this key.
    async fn shown(
        &self,
        public_key: &str,
        method: &str,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "hanok.test");
        let peer = Some(tls::proof_of(public_key).unwrap());
        request = request.extension(api::Channel { secure: true, peer });
        self.ask(request.body(Body::from(serde_json::to_vec(body).unwrap())).unwrap()).await
    }
    async fn proof_of(&self, host: HostId) -> String {
        let sql = "SELECT token_hash FROM host WHERE id = $1";
        self.db.read(move |tx| tx.one(sql, params![host], |r| r.get(0))).await.unwrap()
    }
}

fn wish(name: &str, proof: u8) -> Join {
    Join {
        name: name.into(),
        proof: hex::encode([proof; 32]),
        public_key: String::new(),
        at: Micros::now(),
        agent_version: String::new(),
        guests: Vec::new(),
    }
}

#[tokio::test]
async fn a_token_is_good_once_also_at_the_same_time() {
    for w in worlds().await {
        let secret = w.invite(None).await;
        let both = tokio::join!(w.join(&secret, wish("a", 1)), w.join(&secret, wish("b", 2)));
        let (won, lost) = match both {
            (Ok(host), Err(fault)) | (Err(fault), Ok(host)) => (host, fault),
            other => panic!("one wins: {other:?}"),
        };
        assert_eq!(lost.kind, Kind::Unauthorized);
        assert!(lost.message.contains("used already"), "{lost}");
        // Who lost the answer asks again, as the same.
        let proof = w.proof_of(won).await;
        let (name, n) = if proof == hex::encode([1; 32]) { ("a", 1) } else { ("b", 2) };
        assert_eq!(w.join(&secret, wish(name, n)).await.unwrap(), won);
        let hosts = w.db.read(|tx| tx.one("SELECT COUNT(*) FROM host", &[], |r| r.get::<i64>(0))).await;
        assert_eq!(hosts.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_token_expires_and_says_so() {
    for w in worlds().await {
        let secret = w.invite(None).await;
        w.db.write(|tx| tx.exec("UPDATE join_token SET expires_at = 1", &[])).await.unwrap();
        let refused = w.join(&secret, wish("a", 1)).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unauthorized);
        assert!(refused.message.contains("expired at 1970"), "{refused}");
        let unknown = w.join("nonsense", wish("a", 1)).await.unwrap_err();
        assert!(unknown.message.contains("not known"), "{unknown}");
    }
}

#[tokio::test]
async fn a_refusal_for_another_reason_keeps_the_token_good() {
    for w in worlds().await {
        let taken = w.host("taken").await;
        let secret = w.invite(None).await;
        let late = Join { at: Micros(Micros::now().0 - 600_000_000), ..wish("a", 1) };
        let refused = w.join(&secret, late).await.unwrap_err();
        assert!(refused.message.contains("600 s behind"), "{refused}");
        let refused = w.join(&secret, wish("taken", 1)).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Conflict);
        assert!(refused.message.contains("--name taken"), "{refused}");
        let refused = w.join(&secret, wish("a b", 1)).await.unwrap_err();
        assert_eq!(refused.kind, Kind::BadRequest);
        assert_ne!(w.join(&secret, wish("a", 1)).await.unwrap(), taken.id);
    }
}

#[tokio::test]
async fn a_host_that_was_installed_anew_is_the_same_host_with_another_proof() {
    for w in worlds().await {
        let mut host = w.host("a").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        let server: ServerId = id;

        // Its servers would be empty.
        let secret = w.invite(Some("a")).await;
        let refused = w.join(&secret, wish("whatever", 7)).await.unwrap_err();
        assert!(refused.message.contains(&server.to_string()), "{refused}");
        let kept = Join { guests: vec![server], ..wish("whatever", 7) };
        assert_eq!(w.join(&secret, kept).await.unwrap(), host.id);
        assert_eq!(w.proof_of(host.id).await, hex::encode([7; 32]));
        // What proved it before proves nothing now.
        host.send(&w, &host.report()).await.expect(401);
    }
}

#[tokio::test]
async fn administrators_hand_out_tokens_and_take_them_back() {
    let w = World::new().await;
    let ask = |method: &'static str, path: String, body: Option<serde_json::Value>| {
        let w = &w;
        async move { w.send("admin:a", "2.1", method, &path, body).await }
    };
    let tokens = "/hanok/v1/join-tokens".to_owned();
    let made = ask("POST", tokens.clone(), Some(json!({"join_token": {"ttl": 60, "zone": "z"}}))).await;
    let made = made.expect(201)["join_token"].clone();
    let list = ask("GET", tokens.clone(), None).await.expect(200);
    assert_eq!(list["join_tokens"][0]["state"], "open");
    assert!(list["join_tokens"][0].get("token").is_none(), "told once");
    let (secret, fingerprint) = made["token"].as_str().unwrap().split_once('.').unwrap();
    assert_eq!(fingerprint, w.compute.authority.as_ref().unwrap().fingerprint());
    let host = w.join(secret, wish("a", 1)).await.unwrap();
    let list = ask("GET", tokens.clone(), None).await.expect(200);
    assert_eq!(list["join_tokens"][0]["state"], "used");
    assert_eq!(list["join_tokens"][0]["host_id"], host.to_string());
    for bad in [json!({"ttl": 0}), json!({"ttl": 99_999_999}), json!({"name": ""}), json!({"nme": "x"})] {
        ask("POST", tokens.clone(), Some(json!({"join_token": bad}))).await.expect(400);
    }
    let gone = format!("{tokens}/{}", made["id"].as_str().unwrap());
    ask("DELETE", gone.clone(), None).await.expect(204);
    ask("DELETE", gone, None).await.expect(404);
}

fn keyed(name: &str) -> (Join, String) {
    let public = tls::public_key(&tls::new_key().unwrap()).unwrap();
    (Join { public_key: public.clone(), proof: tls::proof_of(&public).unwrap(), ..wish(name, 0) }, public)
}

#[tokio::test]
async fn a_certificate_opens_its_own_document_and_is_renewed() {
    for w in worlds().await {
        let (a, key_a) = keyed("a");
        let (b, key_b) = keyed("b");
        let a = w.joined(&w.invite(None).await, a).await.unwrap();
        let b = w.joined(&w.invite(None).await, b).await.unwrap();
        let certificate = a.certificate.unwrap();
        assert!(certificate.renew_at < certificate.expires_at && certificate.renew_at > Micros::now());
        for (host, key) in [(a.host, &key_a), (b.host, &key_b)] {
            let said = w.shown(key, "GET", "/agent/v1/desired", &()).await;
            assert_eq!(serde_json::from_value::<Desired>(said.expect(200)).unwrap().host, host);
        }
        let renew = |of: &str| Renew { public_key: of.to_owned() };
        let new = w.shown(&key_a, "POST", "/agent/v1/renew", &renew(&key_a)).await.expect(200);
        let new: Certificate = serde_json::from_value(new).unwrap();
        assert_ne!(new.certificate, certificate.certificate);
        // Nobody gets a certificate for another key, and who was given a new identity nothing at all.
        w.shown(&key_a, "POST", "/agent/v1/renew", &renew(&key_b)).await.expect(403);
        let (anew, key_new) = keyed("a");
        assert_eq!(w.join(&w.invite(Some("a")).await, anew).await.unwrap(), a.host);
        w.shown(&key_a, "POST", "/agent/v1/renew", &renew(&key_a)).await.expect(401);
        w.shown(&key_a, "GET", "/agent/v1/desired", &()).await.expect(401);
        w.shown(&key_new, "GET", "/agent/v1/desired", &()).await.expect(200);
    }
}

#[tokio::test]
async fn a_proof_that_is_not_the_keys_is_refused() {
    let w = World::new().await;
    let secret = w.invite(None).await;
    let (good, _) = keyed("a");
    let refused = w.joined(&secret, Join { proof: hex::encode([1; 32]), ..good.clone() }).await.unwrap_err();
    assert_eq!(refused.kind, Kind::BadRequest);
    let refused = w.joined(&secret, Join { public_key: "04ff".into(), ..good.clone() }).await.unwrap_err();
    assert_eq!(refused.kind, Kind::BadRequest);
    w.joined(&secret, good).await.unwrap();
}

#[tokio::test]
async fn a_host_leaves_when_it_is_empty() {
    let w = World::new().await;
    let (a, key) = keyed("a");
    let id = w.join(&w.invite(None).await, a).await.unwrap();
    let mut full = w.host("full").await;
    full.turn(&w).await;
    let server = w.create("one").await;
    w.until(&mut full, server, "ACTIVE").await;
    let ask = full.request("POST", "/agent/v1/leave", Body::empty());
    assert!(w.ask(ask).await.refused(409).contains("hosting instances"));
    w.shown(&key, "POST", "/agent/v1/leave", &()).await.expect(204);
    w.shown(&key, "POST", "/agent/v1/leave", &()).await.expect(401);
    let left = w.db.read(move |tx| tx.opt("SELECT 1 FROM host WHERE id = $1", params![id], |_| Ok(()))).await;
    assert!(left.unwrap().is_none());
}

#[tokio::test]
async fn hosts_get_other_names_and_zones() {
    let w = World::new().await;
    for name in ["a", "b"] {
        w.host(name).await;
    }
    let change = |name: &str, host: serde_json::Value| {
        let (w, path) = (&w, format!("/hanok/v1/hosts/{name}"));
        async move { w.send("admin:a", "2.1", "PATCH", &path, Some(json!({"host": host}))).await }
    };
    let now = change("a", json!({"name": "c", "zone": "attic"})).await.expect(200);
    assert_eq!((&now["host"]["name"], &now["host"]["zone"]), (&json!("c"), &json!("attic")));
    change("a", json!({"name": "d"})).await.expect(404);
    change("c", json!({"name": "b"})).await.expect(409);
    change("c", json!({"name": "no name"})).await.expect(400);
    change("c", json!({"zone": "a:b"})).await.expect(400);
    change("c", json!({"pod": "a b"})).await.expect(400);
    assert_eq!(change("c", json!({"pod": "left"})).await.expect(200)["host"]["pod"], "left");
    let places = w.send("admin:a", "2.1", "GET", "/hanok/v1/places", None).await.expect(200);
    let names = |v: &serde_json::Value| {
        v.as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&places["zones"]), ["attic", "nova"]);
    let pod = |zone: usize| places["zones"][zone]["pods"][0].clone();
    assert_eq!((&pod(0)["name"], names(&pod(0)["hosts"])), (&json!("left"), vec!["c".to_owned()]));
    assert_eq!((&pod(1)["name"], names(&pod(1)["hosts"])), (&json!(""), vec!["b".to_owned()]));
    assert_eq!(change("c", json!({"pod": ""})).await.expect(200)["host"]["pod"], "");
}
