//! Rules for passwords and accounts.

use super::{DEMO, World, password, project, router, worlds};
use crate::Rules;
use serde_json::{Value, json};
use std::time::Duration;
use store::params;

/// The world with rules; its data stay.
async fn ruled(w: &mut World, rules: Rules) {
    w.identity = w.ruled(rules).await;
    w.router = router(&w.identity);
}

async fn login(w: &World, secret: &str) -> u16 {
    w.login(json!({"identity": password("demo", secret)})).await.status
}

async fn change(w: &World, id: &str, old: &str, new: &str) -> (u16, String) {
    let body = json!({"user": {"original_password": old, "password": new}});
    let answer = w.call("POST", &format!("/v3/users/{id}/password"), "", body).await;
    (answer.status, answer.body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

async fn set(w: &World, sql: &'static str, id: &str, value: i64) {
    let id = id.to_owned();
    w.db.write(move |tx| tx.exec(sql, params![id, value])).await.unwrap();
}

fn ago(days: u64) -> i64 {
    base::Micros::now().0 - i64::try_from(Duration::from_secs(days * 86_400).as_micros()).unwrap()
}

#[tokio::test]
async fn wrong_passwords_lock_an_account_for_a_while() {
    for mut w in worlds().await {
        let admin = w.admin().await;
        let id = w.id_of(&admin, "users", "demo").await;
        ruled(&mut w, Rules { lockout_failure_attempts: 2, lockout_duration: 60, ..Rules::default() }).await;
        assert_eq!(login(&w, "wrong").await, 401);
        assert_eq!(login(&w, DEMO).await, 201, "the first failure is forgiven");
        assert_eq!(login(&w, "wrong").await, 401);
        assert_eq!(login(&w, "wrong").await, 401);
        assert_eq!(login(&w, DEMO).await, 401, "locked");
        assert_eq!(change(&w, &id, DEMO, "another").await.0, 401);
        let events = w.db.read(|tx| {
            let sql = "SELECT COUNT(*) FROM event WHERE kind = 'identity.lockout'";
            tx.one(sql, &[], |r| r.get::<i64>(0))
        });
        assert_eq!(events.await.unwrap(), 1);
        // Time passes; then counting begins anew.
        set(&w, "UPDATE account SET failed_at = $2 WHERE id = $1", &id, ago(1)).await;
        assert_eq!(login(&w, "wrong").await, 401);
        assert_eq!(login(&w, DEMO).await, 201);
        for _ in 0..2 {
            assert_eq!(change(&w, &id, "wrong", "another").await.0, 401);
        }
        assert_eq!(login(&w, DEMO).await, 401, "failures there count too");
        let enable = json!({"user": {"enabled": true}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, enable).await.of(200);
        assert_eq!(login(&w, DEMO).await, 201, "an administrator lets them in");
        let options = json!({"user": {"options": {"ignore_lockout_failure_attempts": true}}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, options).await.of(200);
        for _ in 0..3 {
            assert_eq!(login(&w, "wrong").await, 401);
        }
        assert_eq!(login(&w, DEMO).await, 201);
    }
}

#[tokio::test]
async fn new_passwords_follow_the_rules() {
    for mut w in worlds().await {
        let admin = w.admin().await;
        let id = w.id_of(&admin, "users", "demo").await;
        let rules = Rules {
            password_regex: r"^(?=.*\d).{4,}$".into(),
            password_regex_description: "four characters, one of them a digit".into(),
            unique_last_password_count: 3,
            minimum_password_age: 1,
            ..Rules::default()
        };
        ruled(&mut w, rules).await;
        let (status, said) = change(&w, &id, DEMO, "none").await;
        assert_eq!(status, 400);
        assert!(said.contains("four characters, one of them a digit"), "{said}");
        let weak = json!({"user": {"name": "weak", "password": "none"}});
        w.call("POST", "/v3/users", &admin, weak).await.of(400);
        let weak = json!({"user": {"password": "none"}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, weak).await.of(400);
        assert_eq!(change(&w, &id, DEMO, "new 1").await.0, 204, "an administrator's password has no age");
        let (status, said) = change(&w, &id, "new 1", "new 2").await;
        assert_eq!(status, 400);
        assert!(said.contains("it must be used for 1 day(s)"), "{said}");
        let older = || set(&w, "UPDATE account SET password_at = $2 WHERE id = $1", &id, ago(2));
        older().await;
        let (status, said) = change(&w, &id, "new 1", "new 1").await;
        assert_eq!(status, 400);
        assert!(said.contains("cannot be identical to a previous password"), "{said}");
        assert_eq!(change(&w, &id, "new 1", "new 2").await.0, 204);
        older().await;
        assert_eq!(change(&w, &id, "new 2", "new 1").await.0, 400, "the last but one");
        assert_eq!(change(&w, &id, "new 2", "new 3").await.0, 204);
        older().await;
        assert_eq!(change(&w, &id, "new 3", "new 1").await.0, 400);
        assert_eq!(change(&w, &id, "new 3", "new 4").await.0, 204);
        older().await;
        assert_eq!(change(&w, &id, "new 4", "new 1").await.0, 204, "three are between");
        let options = json!({"user": {"options": {"lock_password": true}}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, options).await.of(200);
        older().await;
        assert_eq!(change(&w, &id, "new 1", "new 9").await.0, 400, "this user's password is not the user's");
    }
}

#[tokio::test]
async fn passwords_expire() {
    for mut w in worlds().await {
        let admin = w.admin().await;
        ruled(&mut w, Rules { password_expires_days: 30, ..Rules::default() }).await;
        let id = w.user(&admin, "worker", "pw").await;
        let path = format!("/v3/users/{id}");
        let shown = w.call("GET", &path, &admin, ()).await.of(200);
        let expires = shown["user"]["password_expires_at"].as_str().unwrap().to_owned();
        let who = || json!({"identity": password("worker", "pw")});
        let body = w.login(who()).await.of(201);
        assert_eq!(body["token"]["user"]["password_expires_at"], json!(expires));
        let soon = format!("/v3/users?password_expires_at=gt:{expires}");
        let count = |body: Value| body["users"].as_array().unwrap().len();
        assert_eq!(count(w.call("GET", &soon, &admin, ()).await.of(200)), 0);
        let soon = format!("/v3/users?password_expires_at=lte:{expires}");
        assert_eq!(count(w.call("GET", &soon, &admin, ()).await.of(200)), 1);
        w.call("GET", "/v3/users?password_expires_at=soon", &admin, ()).await.of(400);
        set(&w, "UPDATE account SET password_expires_at = $2 WHERE id = $1", &id, ago(1)).await;
        let refused = w.login(who()).await.of(401);
        assert_eq!(
            refused["error"]["message"],
            format!("The password is expired and needs to be changed for user: {id}.")
        );
        let wrong = w.login(json!({"identity": password("worker", "wrong")})).await.of(401);
        assert_eq!(wrong["error"]["message"], "The request you have made requires authentication.");
        let exempt = json!({"user": {"options": {"ignore_password_expiry": true}}});
        w.call("PATCH", &path, &admin, exempt).await.of(200);
        w.login(who()).await.of(201);
        let not = json!({"user": {"options": {"ignore_password_expiry": null}}});
        w.call("PATCH", &path, &admin, not).await.of(200);
        w.login(who()).await.of(401);
        assert_eq!(change(&w, &id, "pw", "fresh").await.0, 204);
        w.login(json!({"identity": password("worker", "fresh")})).await.of(201);
    }
}

#[tokio::test]
async fn the_first_password_is_for_changing() {
    for mut w in worlds().await {
        let admin = w.admin().await;
        ruled(&mut w, Rules { change_password_upon_first_use: true, ..Rules::default() }).await;
        let id = w.user(&admin, "worker", "pw").await;
        w.login(json!({"identity": password("worker", "pw")})).await.of(401);
        assert_eq!(change(&w, &id, "pw", "own").await.0, 204);
        w.login(json!({"identity": password("worker", "own")})).await.of(201);
        let reset = json!({"user": {"password": "reset"}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, reset).await.of(200);
        w.login(json!({"identity": password("worker", "reset")})).await.of(401);
        let user = json!({"user": {"name": "robot", "password": "pw",
            "options": {"ignore_change_password_upon_first_use": true}}});
        w.call("POST", "/v3/users", &admin, user).await.of(201);
        w.login(json!({"identity": password("robot", "pw")})).await.of(201);
    }
}

#[tokio::test]
async fn accounts_that_nobody_uses_count_as_disabled() {
    for mut w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let id = w.id_of(&admin, "users", "demo").await;
        let program = json!({"application_credential": {"name": "program", "secret": "its secret"}});
        let programs = format!("/v3/users/{id}/application_credentials");
        let program = w.call("POST", &programs, &demo, program).await.of(201);
        let program = json!({"identity": {"methods": ["application_credential"], "application_credential": {
            "id": program["application_credential"]["id"], "secret": "its secret"}}});
        let days = Rules { disable_user_account_days_inactive: 90, ..Rules::default() };
        ruled(&mut w, days.clone()).await;
        assert!(w.good(&demo).await);
        let path = format!("/v3/users/{id}");
        for sql in [
            "UPDATE account SET active_at = $2 WHERE id = $1",
            // Never used: the days count from when it was made.
            "UPDATE account SET active_at = NULL, created_at = $2 WHERE id = $1",
        ] {
            set(&w, sql, &id, ago(89)).await;
            assert_eq!(login(&w, DEMO).await, 201);
            set(&w, sql, &id, ago(91)).await;
            ruled(&mut w, days.clone()).await;
            assert!(!w.good(&demo).await);
            assert_eq!(login(&w, DEMO).await, 401, "a login is too late");
            w.login(program.clone()).await.of(401);
            assert_eq!(change(&w, &id, DEMO, "another").await.0, 401);
            assert_eq!(login(&w, DEMO).await, 401, "and has changed nothing");
            assert_eq!(w.call("GET", &path, &admin, ()).await.of(200)["user"]["enabled"], false);
            let enable = json!({"user": {"enabled": true}});
            assert_eq!(w.call("PATCH", &path, &admin, enable).await.of(200)["user"]["enabled"], true);
            assert_eq!(login(&w, DEMO).await, 201);
            w.login(program.clone()).await.of(201);
        }
    }
}

#[tokio::test]
async fn options_are_known_ones() {
    for w in worlds().await {
        let admin = w.admin().await;
        let id = w.id_of(&admin, "users", "demo").await;
        let path = format!("/v3/users/{id}");
        for bad in [
            json!({"color": true}),
            json!({"lock_password": "yes"}),
            json!("x"),
            json!({"multi_factor_auth_rules": ["x"]}),
        ] {
            let body = json!({"user": {"options": bad}});
            assert_eq!(w.call("PATCH", &path, &admin, body).await.status, 400, "{bad}");
        }
        let a = json!({"user": {"options": {"lock_password": true}}});
        w.call("PATCH", &path, &admin, a).await.of(200);
        let b = json!({"user": {"options": {"ignore_password_expiry": true, "lock_password": null}}});
        let shown = w.call("PATCH", &path, &admin, b).await.of(200);
        assert_eq!(shown["user"]["options"], json!({"ignore_password_expiry": true}));
        let keep = w.project(&admin, json!({"name": "keep", "options": {"immutable": true}})).await;
        let path = format!("/v3/projects/{keep}");
        let change = json!({"project": {"name": "other"}});
        w.call("PATCH", &path, &admin, change.clone()).await.of(403);
        w.call("DELETE", &path, &admin, ()).await.of(403);
        let free = json!({"project": {"options": {"immutable": false}}});
        w.call("PATCH", &path, &admin, free).await.of(200);
        w.call("PATCH", &path, &admin, change).await.of(200);
        w.call("DELETE", &path, &admin, ()).await.of(204);
    }
}

#[tokio::test]
async fn a_code_is_a_second_factor_and_works_once() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let id = w.id_of(&admin, "users", "demo").await;
        let seed = json!({"credential": {"type": "totp", "blob": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "user_id": id}});
        w.call("POST", "/v3/credentials", &demo, seed).await.of(201);
        let rules = json!({"user": {"options": {"multi_factor_auth_rules": [["password", "totp"]]}}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, rules).await.of(200);
        let half = w.login(json!({"identity": password("demo", DEMO)})).await;
        assert_eq!(half.headers["x-hanok-reason"], "passcode-needed");
        half.of(401);
        assert_eq!(login(&w, DEMO).await, 401, "one factor is not enough");
        let step = base::Micros::now().since(base::Micros(0)).as_secs() / 30;
        let code = crate::sign::totp(b"12345678901234567890", step).unwrap();
        let both = |code: &str| {
            let mut identity = password("demo", DEMO);
            identity["methods"] = json!(["password", "totp"]);
            identity["totp"] = json!({"user": {"id": id, "passcode": code}});
            json!({"identity": identity, "scope": project("demo")})
        };
        w.login(both("000000x")).await.of(401);
        let body = w.login(both(&code)).await.of(201);
        assert_eq!(body["token"]["methods"], json!(["password", "totp"]));
        w.login(both(&code)).await.of(401);
        let off = json!({"user": {"options": {"multi_factor_auth_enabled": false}}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, off).await.of(200);
        assert_eq!(login(&w, DEMO).await, 201);
    }
}

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// Gives demo a seed of codes, and rules about methods.
async fn coded(w: &World, admin: &str, rules: Value) -> String {
    let id = w.id_of(admin, "users", "demo").await;
    let seed = json!({"credential": {"type": "totp", "blob": SEED, "user_id": id}});
    w.call("POST", "/v3/credentials", admin, seed).await.of(201);
    let options = json!({"user": {"options": {"multi_factor_auth_rules": rules}}});
    w.call("PATCH", &format!("/v3/users/{id}"), admin, options).await.of(200);
    id
}

fn code() -> String {
    let step = base::Micros::now().since(base::Micros(0)).as_secs() / 30;
    crate::sign::totp(b"12345678901234567890", step).unwrap()
}

/// A login of demo with a code, by these methods.
async fn by_code(w: &World, id: &str, methods: &[&str], secret: &str, code: &str) -> u16 {
    let mut identity = password("demo", secret);
    identity["methods"] = json!(methods);
    identity["totp"] = json!({"user": {"id": id, "passcode": code}});
    w.login(json!({"identity": identity})).await.status
}

/// Codes may be used again.
async fn unused(w: &World) {
    w.db.write(|tx| tx.exec("UPDATE credential SET used_step = 0", &[])).await.unwrap();
}

const BOTH: &[&str] = &["password", "totp"];

#[tokio::test]
async fn a_code_alone_is_a_login_only_where_a_rule_says_so() {
    for w in worlds().await {
        let admin = w.admin().await;
        let id = coded(&w, &admin, Value::Null).await;
        assert_eq!(by_code(&w, &id, &["totp"], "", &code()).await, 401);
        assert_eq!(by_code(&w, &id, &["totp", "totp"], "", &code()).await, 401);
        let twice = ["password", "totp", "password", "totp"];
        assert_eq!(by_code(&w, &id, &twice, DEMO, &code()).await, 201, "the code was not used up");
        let set = |options: Value| {
            let (w, admin, path) = (&w, &admin, format!("/v3/users/{id}"));
            async move {
                unused(w).await;
                w.call("PATCH", &path, admin, json!({"user": {"options": options}})).await.of(200);
            }
        };
        set(json!({"multi_factor_auth_rules": [["password", "totp"]]})).await;
        assert_eq!(by_code(&w, &id, &["totp"], "", &code()).await, 401);
        set(json!({"multi_factor_auth_rules": [["password", "totp"], ["totp"]]})).await;
        assert_eq!(by_code(&w, &id, &["totp"], "", &code()).await, 201);
        set(json!({"multi_factor_auth_enabled": false})).await;
        assert_eq!(by_code(&w, &id, &["totp"], "", &code()).await, 401, "the rules do not count");
    }
}

#[tokio::test]
async fn wrong_codes_lock_codes_whatever_the_rules_are() {
    for w in worlds().await {
        let admin = w.admin().await;
        let id = coded(&w, &admin, json!([["password", "totp"], ["totp"]])).await;
        // Whoever has not proved the rest tries no codes.
        for _ in 0..10 {
            assert_eq!(by_code(&w, &id, &["totp", "password"], "wrong", "000000x").await, 401);
        }
        w.user(&admin, "stranger", "pw").await;
        for _ in 0..10 {
            let mut identity = password("stranger", "pw");
            identity["methods"] = json!(BOTH);
            identity["totp"] = json!({"user": {"id": id, "passcode": "000000x"}});
            w.login(json!({"identity": identity})).await.of(401);
        }
        for _ in 0..5 {
            assert_eq!(by_code(&w, &id, BOTH, DEMO, "000000x").await, 401);
        }
        assert_eq!(by_code(&w, &id, BOTH, DEMO, &code()).await, 201, "then the right one");
        for _ in 0..6 {
            assert_eq!(by_code(&w, &id, BOTH, DEMO, "000000x").await, 401);
        }
        unused(&w).await;
        assert_eq!(by_code(&w, &id, BOTH, DEMO, &code()).await, 401, "locked");
        let told = w.db.read(|tx| {
            let sql = "SELECT COUNT(*) FROM event WHERE kind = 'identity.lockout'";
            tx.one(sql, &[], |r| r.get::<i64>(0))
        });
        assert_eq!(told.await.unwrap(), 1);
        // Time passes; then counting begins anew.
        set(&w, "UPDATE account SET failed_code_at = $2 WHERE id = $1", &id, ago(1)).await;
        assert_eq!(by_code(&w, &id, BOTH, DEMO, "000000x").await, 401);
        assert_eq!(by_code(&w, &id, BOTH, DEMO, &code()).await, 201);
        for _ in 0..6 {
            assert_eq!(by_code(&w, &id, BOTH, DEMO, "000000x").await, 401);
        }
        let enable = json!({"user": {"enabled": true}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, enable).await.of(200);
        unused(&w).await;
        assert_eq!(by_code(&w, &id, BOTH, DEMO, &code()).await, 201, "an administrator lets them in");
    }
}

#[tokio::test]
async fn a_right_password_forgives_no_wrong_codes() {
    for mut w in worlds().await {
        let admin = w.admin().await;
        let id = coded(&w, &admin, json!([["password", "totp"]])).await;
        ruled(&mut w, Rules { lockout_failure_attempts: 3, ..Rules::default() }).await;
        for _ in 0..2 {
            assert_eq!(by_code(&w, &id, BOTH, DEMO, "000000x").await, 401);
        }
        assert_eq!(login(&w, DEMO).await, 401, "half of it");
        assert_eq!(by_code(&w, &id, BOTH, DEMO, "000000x").await, 401);
        assert_eq!(by_code(&w, &id, BOTH, DEMO, &code()).await, 401, "locked");
        let enable = json!({"user": {"enabled": true}});
        w.call("PATCH", &format!("/v3/users/{id}"), &admin, enable).await.of(200);
        for _ in 0..2 {
            assert_eq!(by_code(&w, &id, BOTH, "wrong", "").await, 401);
            assert_eq!(by_code(&w, &id, BOTH, DEMO, "000000x").await, 401);
            unused(&w).await;
            assert_eq!(by_code(&w, &id, BOTH, DEMO, &code()).await, 201, "all of it forgives");
        }
    }
}

/// Wrong at the same time is wrong as often.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failures_at_once_are_all_counted() {
    for mut w in worlds().await {
        let admin = w.admin().await;
        let id = w.id_of(&admin, "users", "demo").await;
        ruled(&mut w, Rules { lockout_failure_attempts: 100, ..Rules::default() }).await;
        let all = (0..20).map(|_| {
            let (identity, id) = (w.identity.clone(), id.clone());
            tokio::spawn(async move {
                let found =
                    identity.db.read(move |tx| crate::table::user::get(tx, &id.into())).await.unwrap();
                crate::password::failed(&identity, found).await.unwrap();
            })
        });
        for one in all.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        let sql = "SELECT failed_logins FROM account WHERE id = $1";
        let counted = w.db.read(move |tx| tx.one(sql, params![id], |r| r.get::<i64>(0)));
        assert_eq!(counted.await.unwrap(), 20);
    }
}
