//! Logging in: methods, scopes, the token's description, and tokens that stop being good.

use super::{ADMIN, DEMO, World, by_token, password, project, worlds};
use serde_json::{Value, json};

#[tokio::test]
async fn a_password_token_is_described_as_keystone_does() {
    for w in worlds().await {
        let answer = w.login(json!({"identity": password("demo", DEMO), "scope": project("demo")})).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.header("vary"), "X-Auth-Token");
        let subject = answer.header("x-subject-token").to_owned();
        let token = &answer.body["token"];
        assert_eq!(token["methods"], json!(["password"]));
        assert_eq!(token["user"]["name"], "demo");
        assert_eq!(token["user"]["domain"], json!({"id": "default", "name": "Default"}));
        assert_eq!(token["user"]["password_expires_at"], Value::Null);
        assert_eq!(token["project"]["id"], json!(w.seed.demo));
        assert_eq!(token["project"]["domain"]["name"], "Default");
        assert_eq!(token["is_domain"], false);
        assert_eq!(names(&token["roles"]), ["member", "reader"]);
        assert_eq!(token["audit_ids"].as_array().unwrap().len(), 1);
        assert!(token["expires_at"].as_str().unwrap().ends_with(".000000Z"));
        let compute = token["catalog"].as_array().unwrap().iter().find(|s| s["type"] == "compute").unwrap();
        assert_eq!(compute["name"], "nova");
        assert_eq!(compute["endpoints"].as_array().unwrap().len(), 3);
        assert_eq!(compute["endpoints"][0]["url"], "http://cloud.example:5240/compute/v2.1");
        assert_eq!(compute["endpoints"][0]["region"], "RegionOne");

        // Asked about, it says the same; without a catalogue where that is asked for.
        let about = format!("{subject}|{subject}");
        let shown = w.call("GET", "/v3/auth/tokens", &about, ()).await;
        assert_eq!(shown.header("x-subject-token"), subject);
        assert_eq!(shown.of(200), answer.body);
        let bare = w.call("GET", "/v3/auth/tokens?nocatalog", &about, ()).await.of(200);
        assert!(bare["token"].get("catalog").is_none());
        let head = w.call("HEAD", "/v3/auth/tokens", &about, ()).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
    }
}

fn names(roles: &Value) -> Vec<&str> {
    let mut names: Vec<_> = roles.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn every_scope() {
    for w in worlds().await {
        let admin = || password("admin", ADMIN);
        let own = w.login(json!({"identity": admin()})).await.of(201);
        assert_eq!(own["token"]["project"]["name"], "admin", "the default project");
        assert_eq!(names(&own["token"]["roles"]), ["admin", "manager", "member", "reader"]);
        let domain =
            w.login(json!({"identity": admin(), "scope": {"domain": {"name": "Default"}}})).await.of(201);
        assert_eq!(domain["token"]["domain"], json!({"id": "default", "name": "Default"}));
        assert!(domain["token"]["catalog"].is_array() && domain["token"].get("project").is_none());
        let system = w.login(json!({"identity": admin(), "scope": {"system": {"all": true}}})).await.of(201);
        assert_eq!(system["token"]["system"], json!({"all": true}));
        for scope in [json!("unscoped"), json!({"unscoped": {}})] {
            let bare = w.login(json!({"identity": admin(), "scope": scope})).await.of(201);
            for absent in ["project", "domain", "system", "roles", "catalog"] {
                assert!(bare["token"].get(absent).is_none(), "{absent}");
            }
        }
        let by_id = json!({"project": {"id": w.seed.demo}});
        let demo = w.login(json!({"identity": admin(), "scope": by_id})).await.of(201);
        assert_eq!(demo["token"]["project"]["name"], "demo");

        // Not one's own, or not there at all: the same refusal.
        let nowhere = [
            project("admin"),
            project("no such"),
            json!({"project": {"id": "no such"}}),
            json!({"project": {"name": "demo", "domain": {"id": "no such"}}}),
            json!({"domain": {"id": "default"}}),
            json!({"system": {"all": true}}),
        ];
        for scope in nowhere {
            let refused = w.login(json!({"identity": password("demo", DEMO), "scope": scope})).await;
            same_refusal(refused.of(401));
        }
        for scope in [
            json!("project"),
            json!({"system": {"all": false}}),
            json!({}),
            json!({"project": {}}),
            json!([]),
        ] {
            w.login(json!({"identity": password("demo", DEMO), "scope": scope})).await.of(400);
        }
    }
}

fn same_refusal(body: Value) {
    let message = "The request you have made requires authentication.";
    assert_eq!(body, json!({"error": {"code": 401, "title": "Unauthorized", "message": message}}));
}

#[tokio::test]
async fn wrong_secrets_are_refused_alike() {
    for w in worlds().await {
        let admin = w.admin().await;
        let id = w.id_of(&admin, "users", "demo").await;
        let by_id = json!({"methods": ["password"], "password": {"user": {"id": id, "password": DEMO}}});
        w.login(json!({"identity": by_id})).await.of(201);
        w.call("POST", "/v3/users", &admin, json!({"user": {"name": "secretless", "domain_id": "default"}}))
            .await
            .of(201);
        let by_wrong_id =
            json!({"methods": ["password"], "password": {"user": {"id": "x", "password": DEMO}}});
        let refused = [
            password("demo", "wrong"),
            password("demo", ""),
            password("nobody", DEMO),
            password("secretless", ""),
            password("DEMO", DEMO),
            by_wrong_id,
            json!({"methods": ["carrier pigeon"], "carrier pigeon": {}}),
            json!({"methods": []}),
        ];
        for identity in refused {
            same_refusal(w.login(json!({"identity": identity})).await.of(401));
        }
        for token in ["no token", ""] {
            w.login(json!({"identity": by_token(token)})).await.of(404);
        }
        let not_understood = [
            json!({}),
            json!({"methods": ["carrier pigeon"]}),
            json!({"methods": "password"}),
            json!({"methods": ["password"]}),
            json!({"methods": ["password"], "password": {"user": {"name": "demo", "password": DEMO}}}),
            json!({"methods": ["password"], "password": {"user": {"id": id}}}),
            json!({"methods": ["password"], "password": {"user": {"id": 7, "password": DEMO}}}),
            json!({"methods": ["token"], "token": {}}),
        ];
        for identity in not_understood {
            w.login(json!({"identity": identity})).await.of(400);
        }
        w.call("POST", "/v3/auth/tokens", "", json!({"identity": {}})).await.of(400);
        for raw in [&b"{"[..], b"", b"[]", b"\"auth\"", b"\xff"] {
            w.call("POST", "/v3/auth/tokens", "", raw).await.of(400);
        }
    }
}

#[tokio::test]
async fn a_token_makes_another_with_its_expiry_and_chain() {
    for w in worlds().await {
        let first = w.login(json!({"identity": password("demo", DEMO), "scope": "unscoped"})).await;
        let bare = first.header("x-subject-token").to_owned();
        let next = w.login(json!({"identity": by_token(&bare), "scope": project("demo")})).await.of(201);
        assert_eq!(next["token"]["expires_at"], first.body["token"]["expires_at"]);
        assert_eq!(next["token"]["methods"], json!(["token", "password"]));
        assert_eq!(next["token"]["audit_ids"][1], first.body["token"]["audit_ids"][0]);
        assert_eq!(names(&next["token"]["roles"]), ["member", "reader"]);
        let both = json!({
            "methods": ["token", "password"],
            "token": {"id": bare},
            "password": {"user": {"name": "admin", "domain": {"id": "default"}, "password": ADMIN}},
        });
        w.login(json!({"identity": both})).await.of(401);
    }
}

#[tokio::test]
async fn a_revoked_token_is_bad_at_once_and_no_other() {
    for w in worlds().await {
        let (one, other) = (w.demo().await, w.demo().await);
        assert!(w.good(&one).await && w.good(&other).await);
        w.call("DELETE", "/v3/auth/tokens", &format!("{one}|{one}"), ()).await.of(204);
        assert!(!w.good(&one).await);
        assert!(w.good(&other).await);
        w.login(json!({"identity": by_token(&one)})).await.of(404);
        w.call("GET", "/v3/auth/tokens", &format!("{one}|{other}"), ()).await.of(404);
        // One may not look at or revoke the token of somebody else; an admin may.
        let admin = w.admin().await;
        w.call("GET", "/v3/auth/tokens", &format!("{admin}|{other}"), ()).await.of(403);
        w.call("DELETE", "/v3/auth/tokens", &format!("{admin}|{other}"), ()).await.of(403);
        w.call("GET", "/v3/auth/tokens", &format!("{other}|{admin}"), ()).await.of(200);
        w.call("DELETE", "/v3/auth/tokens", &format!("{other}|{admin}"), ()).await.of(204);
        assert!(!w.good(&other).await);
        for nothing in ["", "gAAAAA", "é"] {
            let subject = w.call("GET", "/v3/auth/tokens", &format!("{nothing}|{admin}"), ()).await;
            assert_eq!(subject.status, 404);
        }
    }
}

/// Changes something about demo, who must then have lost the token; after the way back, a new login
/// works and the old token stays bad.
async fn loses(w: &World, path: &str, off: Value, on: Value) {
    let (admin, demo) = (w.admin().await, w.demo().await);
    assert!(w.good(&demo).await);
    w.call("PATCH", path, &admin, off).await.of(200);
    assert!(!w.good(&demo).await, "{path}");
    w.login(json!({"identity": password("demo", DEMO), "scope": project("demo")})).await.of(401);
    w.call("PATCH", path, &admin, on).await.of(200);
    assert!(!w.good(&demo).await, "{path}: a token from before");
    let again = w.demo().await;
    assert!(w.good(&again).await);
}

#[tokio::test]
async fn disabling_revokes_what_was_issued_before() {
    for w in worlds().await {
        let admin = w.admin().await;
        let user = w.id_of(&admin, "users", "demo").await;
        let project = w.id_of(&admin, "projects", "demo").await;
        let set = |what: &str, on: bool| json!({what: {"enabled": on}});
        loses(&w, &format!("/v3/users/{user}"), set("user", false), set("user", true)).await;
        loses(&w, &format!("/v3/projects/{project}"), set("project", false), set("project", true)).await;
        let user_path = format!("/v3/users/{user}");
        let with = |secret: &str| json!({"user": {"password": secret}});
        loses(&w, &user_path, with("another"), with(DEMO)).await;
    }
}

#[tokio::test]
async fn a_disabled_domain_shuts_its_users_out() {
    for w in worlds().await {
        let admin = w.admin().await;
        let body =
            w.call("POST", "/v3/domains", &admin, json!({"domain": {"name": "elsewhere"}})).await.of(201);
        let domain = body["domain"]["id"].as_str().unwrap();
        let user = json!({"user": {"name": "guest", "password": "pw", "domain_id": domain}});
        w.call("POST", "/v3/users", &admin, user).await.of(201);
        let guest = json!({"methods": ["password"], "password": {"user": {
            "name": "guest", "domain": {"name": "elsewhere"}, "password": "pw"}}});
        let token = w.token(json!({"identity": guest})).await;
        assert!(w.good(&token).await);
        let path = format!("/v3/domains/{domain}");
        w.call("PATCH", &path, &admin, json!({"domain": {"enabled": false}})).await.of(200);
        assert!(!w.good(&token).await);
        w.login(json!({"identity": guest})).await.of(401);
        w.call("PATCH", &path, &admin, json!({"domain": {"enabled": true}})).await.of(200);
        assert!(!w.good(&token).await);
        let again = w.token(json!({"identity": guest})).await;
        w.call("PATCH", &path, &admin, json!({"domain": {"enabled": false}})).await.of(200);
        w.call("DELETE", &path, &admin, ()).await.of(204);
        assert!(!w.good(&again).await);
        w.call("GET", &path, &admin, ()).await.of(404);
    }
}

#[tokio::test]
async fn one_changes_ones_own_password_by_proving_the_old_one() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let id = w.id_of(&admin, "users", "demo").await;
        let path = format!("/v3/users/{id}/password");
        let change = |old: &str, new: &str| json!({"user": {"original_password": old, "password": new}});
        w.call("POST", &path, &demo, change("wrong", "new secret")).await.of(401);
        w.call("POST", &path, &demo, change(DEMO, "")).await.of(400);
        w.call("POST", &path, &demo, json!({"user": {"password": "x"}})).await.of(400);
        w.call("POST", &path, &admin, change("wrong", "new secret")).await.of(401);
        w.call("POST", "/v3/users/nobody/password", &admin, change(DEMO, "new secret")).await.of(401);
        assert!(w.good(&demo).await);
        // Whose password has expired has no token.
        w.call("POST", &path, "", change(DEMO, "new secret")).await.of(204);
        assert!(!w.good(&demo).await);
        w.login(json!({"identity": password("demo", DEMO)})).await.of(401);
        w.login(json!({"identity": password("demo", "new secret")})).await.of(201);
    }
}

#[tokio::test]
async fn a_default_project_that_does_not_work_means_no_scope() {
    for w in worlds().await {
        let admin = w.admin().await;
        let user = w.user(&admin, "newcomer", "pw").await;
        let bare = w.login(json!({"identity": password("newcomer", "pw")})).await.of(201);
        assert!(bare["token"].get("project").is_none());
        let default = json!({"user": {"default_project_id": w.seed.demo}});
        w.call("PATCH", &format!("/v3/users/{user}"), &admin, default).await.of(200);
        let bare = w.login(json!({"identity": password("newcomer", "pw")})).await.of(201);
        assert!(bare["token"].get("project").is_none(), "no role there");
        w.login(json!({"identity": password("newcomer", "pw"), "scope": project("demo")})).await.of(401);
    }
}
