//! One-time codes that somebody switches on himself.

use super::{DEMO, World, password, project, worlds};
use axum::Router;
use axum::body::Body;
use base::Micros;
use http::Request;
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const SEED: &[u8] = b"12345678901234567890";
const PATH: &str = "/hanok/v1/one-time-codes";

/// Seconds that a code is that of now, and those of them that a test may need to show it.
const STEP: u64 = 30;
const ENOUGH: u64 = 10;

/// The code of now, or of the step before. That one is good for no longer than this step is, so one that is almost
/// over is waited out.
async fn code(off: i64) -> String {
    let now = || Micros::now().since(Micros(0)).as_secs();
    while off < 0 && now() % STEP > STEP - ENOUGH {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    crate::sign::totp(SEED, (now() / STEP).checked_add_signed(off).unwrap()).unwrap()
}

struct Own<'a> {
    router: Router,
    token: &'a str,
}

impl Own<'_> {
    async fn ask(&self, method: &str, path: &str, codes: Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header("x-auth-token", self.token);
        let body = json!({"one_time_codes": codes}).to_string();
        let request = request.header("content-type", "application/json").body(Body::from(body)).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }
}

fn own<'a>(w: &World, token: &'a str) -> Own<'a> {
    let gate = api::Gate { authority: w.identity.clone(), public_url: None };
    Own { router: crate::own_service().router(w.identity.clone(), &gate), token }
}

async fn login(w: &World, id: &str, passcode: Option<&str>) -> u16 {
    let mut identity = password("demo", DEMO);
    if let Some(passcode) = passcode {
        identity["methods"] = json!(["password", "totp"]);
        identity["totp"] = json!({"user": {"id": id, "passcode": passcode}});
    }
    w.login(json!({"identity": identity, "scope": project("demo")})).await.status
}

#[tokio::test]
async fn a_user_switches_codes_on_and_off() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let id = w.id_of(&admin, "users", "demo").await;
        let me = own(&w, &demo);
        let off = json!({"one_time_codes": {"on": false, "required": false}});
        assert_eq!(me.ask("GET", PATH, json!({})).await, (200, off.clone()));
        let program = json!({"application_credential": {"name": "program", "secret": "its secret"}});
        let path = format!("/v3/users/{id}/application_credentials");
        let program =
            w.call("POST", &path, &demo, program).await.of(201)["application_credential"]["id"].clone();

        for (secret, passcode) in [(SECRET, "000000x"), ("not base32!", "1"), ("GEZDGNBV", "1")] {
            let (status, body) = me.ask("PUT", PATH, json!({"secret": secret, "passcode": passcode})).await;
            assert_eq!(status, 400, "{body}");
        }
        assert_eq!(login(&w, &id, None).await, 201, "a slip switches nothing on");

        let (status, body) = me.ask("PUT", PATH, json!({"secret": SECRET, "passcode": code(-1).await})).await;
        assert_eq!((status, &body["one_time_codes"]["on"]), (200, &json!(true)), "{body}");
        assert_eq!(login(&w, &id, None).await, 401);
        let used = code(0).await;
        assert_eq!(login(&w, &id, Some(&used)).await, 201);
        assert!(w.good(&demo).await, "the session goes on");
        let by_program = json!({"identity": {"methods": ["application_credential"],
            "application_credential": {"id": program, "secret": "its secret"}}});
        w.login(by_program).await.of(201);
        let again = json!({"secret": SECRET, "passcode": code(0).await});
        assert_eq!(me.ask("PUT", PATH, again).await.0, 409);

        let end = format!("{PATH}/end");
        assert_eq!(me.ask("POST", &end, json!({"passcode": used})).await.0, 400, "it was used already");
        w.db.write(|tx| tx.exec("UPDATE credential SET used_step = 0", &[])).await.unwrap();
        assert_eq!(me.ask("POST", &end, json!({"passcode": code(0).await})).await, (200, off));
        assert_eq!(login(&w, &id, None).await, 201);
    }
}

#[tokio::test]
async fn what_an_administrator_asks_for_stays() {
    let w = World::on_sqlite().await;
    let (admin, demo) = (w.admin().await, w.demo().await);
    let id = w.id_of(&admin, "users", "demo").await;
    let me = own(&w, &demo);
    let rules = json!({"user": {"options": {"multi_factor_auth_rules": [["password", "totp"]]}}});
    w.call("PATCH", &format!("/v3/users/{id}"), &admin, rules).await.of(200);
    let (status, body) = me.ask("PUT", PATH, json!({"secret": SECRET, "passcode": code(-1).await})).await;
    let shown = json!({"one_time_codes": {"on": true, "required": true}});
    assert_eq!((status, body), (200, shown));
    let (status, _) = me.ask("POST", &format!("{PATH}/end"), json!({"passcode": code(0).await})).await;
    assert_eq!(status, 403);
    assert_eq!(login(&w, &id, Some(&code(0).await)).await, 201);
}

#[tokio::test]
async fn what_an_administrator_has_switched_off_stays_off() {
    let w = World::on_sqlite().await;
    let (admin, demo) = (w.admin().await, w.demo().await);
    let path = format!("/v3/users/{}", w.id_of(&admin, "users", "demo").await);
    let me = own(&w, &demo);
    let rules = json!([["password", "totp"]]);
    let off = json!({"multi_factor_auth_enabled": false, "multi_factor_auth_rules": rules});
    w.call("PATCH", &path, &admin, json!({"user": {"options": off}})).await.of(200);
    let (status, body) = me.ask("PUT", PATH, json!({"secret": SECRET, "passcode": code(0).await})).await;
    assert_eq!(status, 403, "{body}");
    let (status, body) = me.ask("POST", &format!("{PATH}/end"), json!({"passcode": "000000x"})).await;
    assert_eq!(status, 403, "{body}");
    let shown = me.ask("GET", PATH, json!({})).await;
    assert_eq!(shown, (200, json!({"one_time_codes": {"on": false, "required": false}})));
    let kept = w.call("GET", &path, &admin, ()).await.of(200);
    assert_eq!(kept["user"]["options"], off);
}
