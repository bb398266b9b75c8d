//! Credentials that users keep, ec2 keys and what they sign, access rules.

use super::{World, by_token, password, project, router, worlds};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

const ALL: &str = "/v3/credentials";

#[tokio::test]
async fn credentials_are_sealed_and_their_owners() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let blob = r#"{"access": "left-half", "secret": "right-half"}"#;
        let demo_id = w.id_of(&admin, "users", "demo").await;
        let admin_id = w.id_of(&admin, "users", "admin").await;
        let ec2 = json!({"credential": {"type": "ec2", "blob": blob, "project_id": w.seed.demo,
            "user_id": demo_id, "color": "red"}});
        let made = w.call("POST", ALL, &demo, ec2.clone()).await.of(201);
        let made = &made["credential"];
        assert_eq!((&made["type"], &made["color"]), (&json!("ec2"), &json!("red")));
        let id = made["id"].as_str().unwrap().to_owned();
        w.call("POST", ALL, &admin, ec2).await.of(409);
        for bad in [
            json!({"type": "ec2", "blob": blob}),
            json!({"type": "ec2", "blob": "{}", "project_id": w.seed.demo}),
            json!({"type": "ec2", "blob": {"access": "a"}, "project_id": w.seed.demo}),
            json!({"blob": "x"}),
            json!({"type": "cert"}),
        ] {
            let mut bad = bad;
            bad["user_id"] = json!(demo_id);
            assert_eq!(w.call("POST", ALL, &demo, json!({"credential": bad})).await.status, 400, "{bad}");
        }
        w.call("POST", ALL, &demo, json!({"credential": {"type": "cert", "blob": "x"}})).await.of(400);
        let cert = json!({"credential": {"type": "cert", "blob": "a certificate", "user_id": admin_id}});
        w.call("POST", ALL, &admin, cert.clone()).await.of(201);
        let others = json!({"credential": {"type": "cert", "blob": "x", "user_id": admin_id}});
        w.call("POST", ALL, &demo, others).await.of(403);
        let stored = w.db.read(|tx| tx.rows("SELECT blob FROM credential", &[], |r| r.get::<String>(0)));
        assert!(stored.await.unwrap().iter().all(|b| !b.contains("half") && !b.contains("certificate")));
        let count = |body: Value| body["credentials"].as_array().unwrap().len();
        assert_eq!(count(w.call("GET", ALL, &demo, ()).await.of(200)), 1);
        assert_eq!(count(w.call("GET", ALL, &admin, ()).await.of(200)), 2);
        assert_eq!(count(w.call("GET", &format!("{ALL}?type=cert"), &admin, ()).await.of(200)), 1);
        assert_eq!(count(w.call("GET", &format!("{ALL}?user_id={demo_id}"), &admin, ()).await.of(200)), 1);
        let one = format!("{ALL}/{id}");
        let stranger = w.user(&admin, "stranger", "pw").await;
        assert!(!stranger.is_empty());
        let stranger = w.token(json!({"identity": password("stranger", "pw")})).await;
        for method in ["GET", "DELETE"] {
            w.call(method, &one, &stranger, ()).await.of(403);
            w.call(method, &format!("{ALL}/nothing"), &stranger, ()).await.of(403);
            w.call(method, &format!("{ALL}/nothing"), &admin, ()).await.of(404);
        }
        let blob = r#"{"access": "new", "secret": "new"}"#;
        let changed = w.call("PATCH", &one, &demo, json!({"credential": {"blob": blob}})).await.of(200);
        assert_eq!(changed["credential"]["blob"], blob);
        w.call("PATCH", &one, &demo, json!({"credential": {"type": "cert"}})).await.of(400);
        w.call("PATCH", &one, &demo, json!({"credential": {"blob": "{}"}})).await.of(400);
        w.call("DELETE", &one, &demo, ()).await.of(204);
        w.call("GET", &one, &admin, ()).await.of(404);
    }
}

struct Key {
    access: String,
    secret: String,
}

async fn key(w: &World, token: &str, user: &str) -> Key {
    let path = format!("/v3/users/{user}/credentials/OS-EC2");
    let made = w.call("POST", &path, token, json!({"tenant_id": w.seed.demo})).await.of(201);
    let text = |name: &str| made["credential"][name].as_str().unwrap().to_owned();
    Key { access: text("access"), secret: text("secret") }
}

fn s3(key: &Key) -> Value {
    let text = b"GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/bucket/key";
    let mut mac = <Hmac<sha1::Sha1> as KeyInit>::new_from_slice(key.secret.as_bytes()).unwrap();
    mac.update(text);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    json!({"credentials": {"access": key.access, "token": STANDARD.encode(text), "signature": signature}})
}

/// Signature version 2 of a request.
fn ec2(key: &Key, at: base::Micros) -> Value {
    let at = at.seconds_z();
    let query = format!(
        "AWSAccessKeyId={}&Action=DescribeInstances&SignatureMethod=HmacSHA256&SignatureVersion=2&Timestamp={}",
        key.access,
        at.replace(':', "%3A")
    );
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(key.secret.as_bytes()).unwrap();
    mac.update(format!("GET\ncloud.example\n/services/Cloud\n{query}").as_bytes());
    json!({"credentials": {
        "access": key.access, "signature": STANDARD.encode(mac.finalize().into_bytes()),
        "host": "cloud.example:8773", "verb": "GET", "path": "/services/Cloud",
        "params": {"AWSAccessKeyId": key.access, "Action": "DescribeInstances", "SignatureMethod": "HmacSHA256",
                   "SignatureVersion": "2", "Timestamp": at},
    }})
}

#[tokio::test]
async fn a_signature_is_worth_a_token() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let user = w.id_of(&admin, "users", "demo").await;
        let key = key(&w, &demo, &user).await;
        let path = format!("/v3/users/{user}/credentials/OS-EC2");
        let listed = w.call("GET", &path, &demo, ()).await.of(200);
        assert_eq!(listed["credentials"][0]["access"], json!(key.access));
        let shown = w.call("GET", &format!("{path}/{}", key.access), &demo, ()).await.of(200);
        assert_eq!(shown["credential"]["secret"], json!(key.secret));
        assert_eq!(shown["credential"]["tenant_id"], json!(w.seed.demo));
        let now = base::Micros::now();
        w.call("POST", "/v3/s3tokens", "", s3(&key)).await.of(401);
        w.call("POST", "/v3/s3tokens", &demo, s3(&key)).await.of(403);
        for (path, body) in [("/v3/s3tokens", s3(&key)), ("/v3/ec2tokens", ec2(&key, now))] {
            let answer = w.call("POST", path, &admin, body.clone()).await;
            let token = answer.header("x-subject-token").to_owned();
            let said = answer.of(200);
            assert_eq!(said["token"]["user"]["id"], json!(user), "{path}");
            assert_eq!(said["token"]["project"]["id"], json!(w.seed.demo));
            assert_eq!(said["token"]["methods"], json!(["ec2credential"]));
            assert!(w.good(&token).await);
            let mut wrong = body;
            wrong["credentials"]["signature"] = json!(STANDARD.encode("nonsense"));
            w.call("POST", path, &admin, wrong).await.of(401);
        }
        w.call("POST", "/v3/ec2tokens", &admin, ec2(&key, base::Micros(now.0 - 3_600_000_000))).await.of(401);
        let unknown = Key { access: "nobody".into(), secret: "x".into() };
        w.call("POST", "/v3/ec2tokens", &admin, ec2(&unknown, now)).await.of(404);
        w.call("POST", "/v3/ec2tokens", &admin, json!({})).await.of(400);
        w.call("DELETE", &format!("{path}/{}", key.access), &demo, ()).await.of(204);
        w.call("GET", &format!("{path}/{}", key.access), &demo, ()).await.of(404);
        w.call("POST", "/v3/s3tokens", &admin, s3(&key)).await.of(404);
    }
}

#[tokio::test]
async fn a_program_neither_sees_nor_makes_keys() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let user = w.id_of(&admin, "users", "demo").await;
        let own = key(&w, &demo, &user).await;
        let path = format!("/v3/users/{user}/application_credentials");
        let body = json!({"application_credential": {"name": "look", "unrestricted": true}});
        let made = w.call("POST", &path, &demo, body).await.of(201);
        let c = &made["application_credential"];
        let identity = json!({"methods": ["application_credential"],
            "application_credential": {"id": c["id"], "secret": c["secret"]}});
        let token = w.token(json!({"identity": identity})).await;
        let keys = format!("/v3/users/{user}/credentials/OS-EC2");
        let one = format!("{keys}/{}", own.access);
        let id = crate::table::stored::access_hash(&own.access);
        let stored = format!("{ALL}/{id}");
        for (method, path) in [
            ("GET", keys.as_str()),
            ("POST", &keys),
            ("GET", &one),
            ("DELETE", &one),
            ("GET", ALL),
            ("POST", ALL),
            ("GET", &stored),
            ("PATCH", &stored),
            ("DELETE", &stored),
        ] {
            let body =
                json!({"tenant_id": w.seed.demo, "credential": {"user_id": user, "type": "x", "blob": "x"}});
            assert_eq!(w.call(method, path, &token, body).await.status, 403, "{method} {path}");
        }
        w.call("GET", &stored, &demo, ()).await.of(200);
    }
}

#[tokio::test]
async fn access_rules_hold_for_every_request() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let user = w.id_of(&admin, "users", "demo").await;
        let path = format!("/v3/users/{user}/application_credentials");
        let rule = json!({"path": "/v3/users/*", "method": "GET", "service": "identity"});
        let make = |name: &str, rules: Value| json!({"application_credential": {"name": name, "access_rules": rules}});
        let made = w.call("POST", &path, &demo, make("narrow", json!([rule, rule]))).await.of(201);
        let c = &made["application_credential"];
        assert_eq!(c["access_rules"].as_array().unwrap().len(), 1);
        let id = c["access_rules"][0]["id"].as_str().unwrap().to_owned();
        let identity = json!({"methods": ["application_credential"],
            "application_credential": {"id": c["id"], "secret": c["secret"]}});
        let answer = w.login(json!({"identity": identity})).await;
        let token = answer.header("x-subject-token").to_owned();
        let said = answer.of(201);
        assert_eq!(said["token"]["application_credential"]["access_rules"][0]["path"], "/v3/users/*");
        w.call("GET", &format!("/v3/users/{user}"), &token, ()).await.of(200);
        for (method, path) in [
            ("GET", "/v3/auth/projects".to_owned()),
            ("GET", format!("/v3/users/{user}/projects")),
            ("HEAD", format!("/v3/users/{user}")),
            ("DELETE", "/v3/auth/tokens".to_owned()),
        ] {
            assert_eq!(w.call(method, &path, &token, ()).await.status, 401, "{method} {path}");
        }
        let rules = format!("/v3/users/{user}/access_rules");
        let listed = w.call("GET", &rules, &demo, ()).await.of(200);
        assert_eq!(listed["access_rules"][0]["id"], json!(id));
        let again = make("again", json!([{"id": id}]));
        let again = w.call("POST", &path, &demo, again).await.of(201);
        assert_eq!(again["application_credential"]["access_rules"][0]["service"], "identity");
        w.call("POST", &path, &demo, make("wrong", json!([{"id": "nothing"}]))).await.of(404);
        let one = format!("{rules}/{id}");
        w.call("GET", &one, &demo, ()).await.of(200);
        w.call("DELETE", &one, &demo, ()).await.of(403);
        for name in ["narrow", "again"] {
            let found = w.call("GET", &format!("{path}?name={name}"), &demo, ()).await.of(200);
            let id = found["application_credentials"][0]["id"].as_str().unwrap().to_owned();
            w.call("DELETE", &format!("{path}/{id}"), &demo, ()).await.of(204);
        }
        w.call("DELETE", &one, &demo, ()).await.of(204);
        w.call("GET", &one, &demo, ()).await.of(404);
        let stranger = w.user(&admin, "stranger", "pw").await;
        w.call("GET", &format!("/v3/users/{stranger}/access_rules"), &demo, ()).await.of(403);
    }
}

#[tokio::test]
async fn another_process_opens_what_was_sealed_here() {
    let w = World::on_sqlite().await;
    let demo = w.token(json!({"identity": password("demo", super::DEMO), "scope": project("demo")})).await;
    let own = w.id_of(&w.admin().await, "users", "demo").await;
    let cert = json!({"credential": {"type": "cert", "blob": "a certificate", "user_id": own}});
    w.call("POST", ALL, &demo, cert).await.of(201);
    let sibling = router(&w.sibling().await);
    let listed = super::call(&sibling, "GET", ALL, &demo, ()).await.of(200);
    assert_eq!(listed["credentials"][0]["blob"], "a certificate");
}

#[tokio::test]
async fn what_a_signature_is_worth_stays_in_the_keys_project() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let user = w.id_of(&admin, "users", "demo").await;
        let other = w.project(&admin, json!({"name": "other"})).await;
        let member = w.id_of(&admin, "roles", "member").await;
        w.call("PUT", &format!("/v3/projects/{other}/users/{user}/roles/{member}"), &admin, ()).await.of(204);
        let key = key(&w, &demo, &user).await;
        let answer = w.call("POST", "/v3/s3tokens", &admin, s3(&key)).await;
        let first = answer.header("x-subject-token").to_owned();
        let same = json!({"project": {"id": w.seed.demo}});
        let again = w.token(json!({"identity": by_token(&first), "scope": same})).await;
        for token in [&first, &again] {
            assert!(w.good(token).await);
            for scope in
                [json!({"project": {"id": other}}), json!("unscoped"), json!({"system": {"all": true}})]
            {
                w.login(json!({"identity": by_token(token), "scope": scope})).await.of(401);
            }
            let unsaid = w.login(json!({"identity": by_token(token)})).await.of(201);
            assert_eq!(unsaid["token"]["project"]["id"], json!(w.seed.demo));
            let keys = format!("/v3/users/{user}/credentials/OS-EC2");
            let programs = format!("/v3/users/{user}/application_credentials");
            let trust = json!({"trustor_user_id": user, "trustee_user_id": w.id_of(&admin, "users", "admin").await,
                "project_id": w.seed.demo, "impersonation": false, "roles": [{"name": "member"}]});
            for (method, path, body) in [
                ("GET", ALL, json!({})),
                ("POST", ALL, json!({"credential": {"user_id": user, "type": "x", "blob": "x"}})),
                ("GET", &keys, json!({})),
                ("POST", &keys, json!({"tenant_id": w.seed.demo})),
                ("POST", &programs, json!({"application_credential": {"name": "more"}})),
                ("POST", "/v3/OS-TRUST/trusts", json!({"trust": trust})),
            ] {
                let answer = w.call(method, path, token, body).await;
                assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn access_rules_are_counted() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let user = w.id_of(&admin, "users", "demo").await;
        let of = user.clone();
        let many = move |tx: &store::Tx<'_>| {
            for i in 0..999 {
                let sql = "INSERT INTO access_rule (id, user_id, service, method, path, created_at)
                           VALUES ($1, $2, 'identity', 'GET', $1, 1)";
                tx.exec(sql, store::params![format!("/{i}"), &of])?;
            }
            Ok(())
        };
        w.db.write(many).await.unwrap();
        let path = format!("/v3/users/{user}/application_credentials");
        for (i, status) in [(1_000, 201), (1_000, 201), (1_001, 403), (1, 201)] {
            let rule = json!({"path": format!("/{i}"), "method": "GET", "service": "identity"});
            let new = json!({"name": rand::random::<u64>().to_string(), "access_rules": [rule]});
            w.call("POST", &path, &demo, json!({"application_credential": new})).await.of(status);
        }
    }
}
