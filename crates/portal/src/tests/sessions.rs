//! Signing in, what a session may, and how it ends.

use super::world::{ADMIN, DEMO, worlds, worlds_that_idle};
use serde_json::{Value, json};
use std::time::Duration;
use store::params;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_and_out() {
    for w in worlds().await {
        let wrong = json!({"user": "demo", "password": "wrong"});
        let refused = w.send("POST", "/hanok/v1/session", &[], wrong).await;
        assert!(!refused.headers.contains_key("set-cookie"));
        assert_eq!(refused.of(401)["error"]["code"], 401);
        let nobody = json!({"user": "nobody", "password": "wrong"});
        w.send("POST", "/hanok/v1/session", &[], nobody).await.of(401);
        w.send("POST", "/hanok/v1/session", &[], json!({"user": "demo"})).await.of(400);
        w.send("GET", "/hanok/v1/session", &[], Value::Null).await.of(401);

        let good = json!({"user": "demo", "password": DEMO, "domain": "Default"});
        let answer =
            w.send("POST", "/hanok/v1/session", &[("sec-fetch-site", "same-origin")], good.clone()).await;
        let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        for part in ["Path=/", "HttpOnly", "SameSite=Strict"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Secure"), "plain HTTP on loopback");
        let elsewhere = [("origin", "https://evil.example")];
        w.send("POST", "/hanok/v1/session", &elsewhere, good).await.of(403);

        let b = w.sign_in("demo", DEMO).await;
        let again = b.ask(&w, "GET", "/hanok/v1/session", Value::Null).await.of(200);
        assert_eq!(again, b.session);
        assert_eq!((&again["user"]["name"], &again["project"]["name"]), (&json!("demo"), &json!("demo")));
        assert_eq!(
            (&again["admin"], &again["idle_s"], &again["region"]),
            (&json!(false), &json!(1800), &json!("Here"))
        );
        assert!(again["roles"].as_array().unwrap().contains(&json!("member")), "{again}");
        assert!(w.sign_in("admin", ADMIN).await.session["admin"] == true);

        let gone = b.ask(&w, "DELETE", "/hanok/v1/session", Value::Null).await;
        assert!(gone.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
        assert_eq!(gone.status, 204);
        b.ask(&w, "GET", "/hanok/v1/session", Value::Null).await.of(401);
        b.ask(&w, "GET", "/network/v2.0/networks", Value::Null).await.of(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_of_too_many_sessions_ends_at_once() {
    for w in worlds().await {
        let first = w.sign_in("demo", DEMO).await;
        first.ask(&w, "GET", "/hanok/v1/session", Value::Null).await.of(200);
        let mut last = first.clone();
        for _ in 0..32 {
            last = w.sign_in("demo", DEMO).await;
        }
        first.ask(&w, "GET", "/hanok/v1/session", Value::Null).await.of(401);
        last.ask(&w, "GET", "/hanok/v1/session", Value::Null).await.of(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_takes_the_cookie_and_changes_need_the_word() {
    for w in worlds().await {
        let b = w.sign_in("demo", DEMO).await;
        let cookie = ("cookie", b.cookie.as_str());
        let (list, make) = ("/network/v2.0/networks", json!({"network": {"name": "mine"}}));
        w.send("GET", list, &[cookie], Value::Null).await.of(200);
        w.send("GET", "/identity/v3/auth/projects", &[cookie], Value::Null).await.of(200);
        let refused = w.send("POST", list, &[cookie], make.clone()).await.of(403);
        assert!(refused["NeutronError"]["message"].as_str().unwrap().contains("X-Hanok-CSRF"), "{refused}");
        let wrong = "0".repeat(b.csrf.len());
        w.send("POST", list, &[cookie, ("x-hanok-csrf", &wrong)], make.clone()).await.of(403);
        w.send("DELETE", "/hanok/v1/session", &[cookie], Value::Null).await.of(403);
        let word = ("x-hanok-csrf", b.csrf.as_str());
        for elsewhere in [("origin", "http://other:1"), ("sec-fetch-site", "cross-site")] {
            w.send("POST", list, &[cookie, word, elsewhere], make.clone()).await.of(403);
            w.send("GET", list, &[cookie, elsewhere], Value::Null).await.of(403);
        }
        let at_home = [cookie, word, ("origin", "http://here:5240"), ("sec-fetch-site", "same-origin")];
        w.send("POST", list, &at_home, make.clone()).await.of(201);
        // What asks for its own token goes by that, and needs no word.
        let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user":
            {"name": "demo", "domain": {"name": "Default"}, "password": DEMO}}},
            "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}}}});
        let answer = w.send("POST", "/identity/v3/auth/tokens", &[cookie], body).await;
        let token = answer.headers["x-subject-token"].to_str().unwrap().to_owned();
        w.send("POST", list, &[("x-auth-token", &token)], make).await.of(201);
        w.send("GET", list, &[("x-auth-token", "nonsense"), cookie], Value::Null).await.of(401);
        w.send("GET", "/hanok/v1/session", &[("x-auth-token", &token)], Value::Null).await.of(200);
        w.send("DELETE", "/hanok/v1/session", &[("x-auth-token", &token)], Value::Null).await.of(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_between_projects_and_ends_with_the_role() {
    for w in worlds().await {
        let admin = w.sign_in("admin", ADMIN).await;
        let ask = async |method: &str, path: &str, body: Value| admin.ask(&w, method, path, body).await;
        let demo = w.sign_in("demo", DEMO).await;
        let user = demo.session["user"]["id"].as_str().unwrap().to_owned();
        let made = ask("POST", "/identity/v3/projects", json!({"project": {"name": "second"}})).await.of(201);
        let second = made["project"]["id"].as_str().unwrap().to_owned();
        let roles = ask("GET", "/identity/v3/roles?name=member", Value::Null).await.of(200);
        let role = roles["roles"][0]["id"].as_str().unwrap().to_owned();
        let grant = format!("/identity/v3/projects/{second}/users/{user}/roles/{role}");
        let to = json!({"project_id": second});
        demo.ask(&w, "PUT", "/hanok/v1/session", to.clone()).await.of(403);
        assert_eq!(ask("PUT", &grant, Value::Null).await.status, 204);

        let moved = demo.ask(&w, "PUT", "/hanok/v1/session", to).await.of(200);
        assert_eq!(moved["project"]["name"], "second");
        assert_eq!(moved["projects"].as_array().unwrap().len(), 2);
        assert_eq!(moved["csrf"], demo.session["csrf"]);
        let made = json!({"network": {"name": "n"}});
        let network = demo.ask(&w, "POST", "/network/v2.0/networks", made).await.of(201);
        assert_eq!(network["network"]["project_id"], json!(second));
        demo.ask(&w, "PUT", "/hanok/v1/session", json!({"project_id": "nonsense"})).await.of(403);

        assert_eq!(ask("DELETE", &grant, Value::Null).await.status, 204);
        demo.ask(&w, "GET", "/hanok/v1/session", Value::Null).await.of(401);
        let demo = w.sign_in("demo", DEMO).await;
        let off = json!({"user": {"enabled": false}});
        ask("PATCH", &format!("/identity/v3/users/{user}"), off).await.of(200);
        demo.ask(&w, "GET", "/hanok/v1/session", Value::Null).await.of(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_uses_ends() {
    for w in worlds_that_idle(Duration::from_secs(600)).await {
        let b = w.sign_in("demo", DEMO).await;
        let ago = async |seconds: u64| {
            let at = base::Micros::now().minus(Duration::from_secs(seconds));
            w.db.write(move |tx| {
                tx.hint(store::Topic::Identity);
                tx.exec("UPDATE portal_session SET seen_at = $1", params![at])
            })
            .await
            .unwrap();
        };
        let seen = async || {
            let rows = w
                .db
                .read(|tx| tx.one("SELECT seen_at FROM portal_session", &[], |r| r.get::<base::Micros>(0)));
            base::Micros::now().since(rows.await.unwrap())
        };
        ago(500).await;
        let passive = [("cookie", b.cookie.as_str()), ("x-hanok-passive", "1")];
        w.send("GET", "/network/v2.0/networks", &passive, Value::Null).await.of(200);
        assert!(seen().await >= Duration::from_secs(500), "a page that refreshes itself is nobody");
        b.ask(&w, "GET", "/network/v2.0/networks", Value::Null).await.of(200);
        assert!(seen().await < Duration::from_secs(400));
        ago(601).await;
        b.ask(&w, "GET", "/network/v2.0/networks", Value::Null).await.of(401);
        let left = w.db.read(|tx| tx.one("SELECT COUNT(*) FROM portal_session", &[], |r| r.get::<i64>(0)));
        assert_eq!(left.await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_known_to_all_regions_and_end_in_all() {
    for w in worlds().await {
        let Some(other) = w.other().await else { continue };
        let b = w.sign_in("demo", DEMO).await;
        b.ask(&other, "GET", "/hanok/v1/session", Value::Null).await.of(200);
        assert_eq!(b.ask(&w, "DELETE", "/hanok/v1/session", Value::Null).await.status, 204);
        super::streams::until("the other region forgets it", async || {
            b.ask(&other, "GET", "/hanok/v1/session", Value::Null).await.status == 401
        })
        .await;
    }
}

#[tokio::test]
async fn no_secret_is_kept() {
    for w in worlds().await {
        let b = w.sign_in("demo", DEMO).await;
        let secret = b.cookie.split_once('=').unwrap().1.to_owned();
        let rows = w.db.read(|tx| {
            tx.rows("SELECT id, token FROM portal_session", &[], |r| {
                Ok(format!("{} {}", r.get::<String>(0)?, r.get::<String>(1)?))
            })
        });
        let rows = rows.await.unwrap();
        assert_eq!(rows.len(), 1);
        assert!(!rows[0].contains(&secret) && !rows[0].contains(&b.csrf), "{rows:?}");
        let token = w.sessions.token(&secret).await.unwrap();
        assert!(!rows[0].contains(&token));
        assert!(!b.session.to_string().contains(&token));
    }
}

#[tokio::test]
async fn browsers_get_pages_and_programs_get_answers() {
    for w in worlds().await {
        let page = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
        for path in ["/", "/servers/some-id", "/anything"] {
            let answer = w.send("GET", path, &page, Value::Null).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
            assert!(
                answer.headers["content-security-policy"]
                    .to_str()
                    .unwrap()
                    .contains("frame-ancestors 'none'")
            );
            assert_eq!(answer.headers["cache-control"], "no-cache");
        }
        // A screen has an address of its own, which programs look at too, and other pages show.
        let screen = w.send("GET", "/screen?path=x", &[], Value::Null).await;
        assert!(screen.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        assert!(
            screen.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors *")
                && !screen.headers.contains_key("x-frame-options")
        );
        assert_eq!(w.send("GET", "/", &[("accept", "*/*")], Value::Null).await.of(200)["name"], "Hanok");
        assert_eq!(w.send("GET", "/", &[], Value::Null).await.of(200)["name"], "Hanok");
        w.send("GET", "/anything", &[], Value::Null).await.of(404);
        w.send("POST", "/anything", &page, json!({})).await.of(404);
        for path in ["/hanok/v1/nothing", "/network/v2.0/nothing", "/assets/nothing.js", "/MAAS/nothing"] {
            let answer = w.send("GET", path, &page, Value::Null).await;
            assert_eq!(answer.status, 404, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_needs_a_code_as_well_is_told_only_after_the_password() {
    for w in worlds().await {
        let (admin, demo) = (w.sign_in("admin", ADMIN).await, w.sign_in("demo", DEMO).await);
        let id = demo.session["user"]["id"].as_str().unwrap();
        let seed = json!({"credential": {"type": "totp", "blob": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "user_id": id}});
        demo.ask(&w, "POST", "/identity/v3/credentials", seed).await.of(201);
        let rules = json!({"user": {"options": {"multi_factor_auth_rules": [["password", "totp"]]}}});
        admin.ask(&w, "PATCH", &format!("/identity/v3/users/{id}"), rules).await.of(200);
        let enter = async |password: &str, passcode: Option<&str>| {
            let mut body = json!({"user": "demo", "password": password});
            if let Some(code) = passcode {
                body["passcode"] = json!(code);
            }
            let answer = w.send("POST", "/hanok/v1/session", &[], body).await;
            let reason = answer.headers.get("x-hanok-reason").map(|r| r.to_str().unwrap().to_owned());
            (reason, answer.of(401)["error"]["message"].as_str().unwrap().to_owned())
        };
        let (reason, words) = enter(DEMO, None).await;
        assert_eq!(reason.as_deref(), Some("passcode-needed"));
        assert!(words.contains("one-time code"), "{words}");
        assert_eq!(enter("wrong", None).await.0, None);
        assert_eq!(enter(DEMO, Some("000000")).await.0, None);
    }
}
