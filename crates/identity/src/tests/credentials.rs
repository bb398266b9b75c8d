//! Application credentials.

use super::{DEMO, World, by_token, password, project, worlds};
use serde_json::{Value, json};

async fn own(w: &World) -> (String, String) {
    let id = w.id_of(&w.admin().await, "users", "demo").await;
    (w.demo().await, format!("/v3/users/{id}/application_credentials"))
}

fn with(credential: &Value) -> Value {
    json!({"methods": ["application_credential"], "application_credential": {
        "id": credential["id"], "secret": credential["secret"]}})
}

async fn make(w: &World, token: &str, path: &str, body: Value) -> Value {
    let made = w.call("POST", path, token, json!({"application_credential": body})).await.of(201);
    made["application_credential"].clone()
}

#[tokio::test]
async fn one_logs_in_by_id_or_by_name() {
    for w in worlds().await {
        let (demo, path) = own(&w).await;
        let made =
            make(&w, &demo, &path, json!({"name": "ci", "description": "d", "roles": [{"name": "reader"}]}))
                .await;
        assert!(made["secret"].as_str().unwrap().len() >= 40);
        assert_eq!(made["project_id"], json!(w.seed.demo));
        assert_eq!(made["roles"][0]["name"], "reader");
        assert_eq!((&made["unrestricted"], &made["expires_at"]), (&json!(false), &Value::Null));
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        let shown = w.call("GET", &one, &demo, ()).await.of(200);
        assert!(shown["application_credential"].get("secret").is_none(), "shown once");
        let list = w.call("GET", &path, &demo, ()).await.of(200);
        assert_eq!(list["application_credentials"], json!([shown["application_credential"]]));

        let body = w.login(json!({"identity": with(&made)})).await.of(201);
        let token = &body["token"];
        assert_eq!(token["methods"], json!(["application_credential"]));
        assert_eq!(token["project"]["name"], "demo");
        assert_eq!(token["roles"].as_array().unwrap().len(), 1, "only what was asked for");
        let told = json!({"id": made["id"], "name": "ci", "restricted": true});
        assert_eq!(token["application_credential"], told);
        let by_name = json!({"methods": ["application_credential"], "application_credential": {
            "name": "ci", "secret": made["secret"], "user": {"name": "demo", "domain": {"name": "Default"}}}});
        w.login(json!({"identity": by_name})).await.of(201);

        let mut wrong = with(&made);
        wrong["application_credential"]["secret"] = json!("wrong");
        w.login(json!({"identity": wrong})).await.of(401);
        wrong["application_credential"]["id"] = json!("nothing");
        w.login(json!({"identity": wrong})).await.of(401);
        w.call("POST", &path, &demo, json!({"application_credential": {"name": "ci"}})).await.of(409);

        let token = w.token(json!({"identity": with(&made)})).await;
        assert!(w.good(&token).await);
        w.call("DELETE", &one, &demo, ()).await.of(204);
        assert!(!w.good(&token).await, "it goes with its credential");
        w.login(json!({"identity": with(&made)})).await.of(401);
        let gone = w.call("GET", &one, &demo, ()).await.of(404);
        assert!(
            gone["error"]["message"].as_str().unwrap().starts_with("Could not find Application Credential: ")
        );
    }
}

#[tokio::test]
async fn it_stays_in_its_project_and_within_its_user() {
    for w in worlds().await {
        let (demo, path) = own(&w).await;
        let made = make(&w, &demo, &path, json!({"name": "tool", "secret": "chosen by me"})).await;
        assert_eq!(made["secret"], "chosen by me");
        w.login(json!({"identity": with(&made), "scope": project("demo")})).await.of(201);
        for scope in [project("admin"), json!("unscoped"), json!({"domain": {"id": "default"}})] {
            w.login(json!({"identity": with(&made), "scope": scope})).await.of(401);
        }
        // Nor does the detour over another token lead out of it.
        let token = w.token(json!({"identity": with(&made)})).await;
        w.login(json!({"identity": by_token(&token), "scope": "unscoped"})).await.of(401);
        let again = w.login(json!({"identity": by_token(&token)})).await.of(201);
        assert_eq!(again["token"]["application_credential"]["name"], "tool");
        w.call("POST", &path, &token, json!({"application_credential": {"name": "more"}})).await.of(403);
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        w.call("DELETE", &one, &token, ()).await.of(403);
        let free = make(&w, &demo, &path, json!({"name": "free", "unrestricted": true})).await;
        let free = w.token(json!({"identity": with(&free)})).await;
        make(&w, &free, &path, json!({"name": "made by a program"})).await;

        let admin = w.admin().await;
        let user = path.split('/').nth(3).unwrap();
        let member = w.id_of(&admin, "roles", "member").await;
        let grant = format!("/v3/projects/{}/users/{user}/roles/{member}", w.seed.demo);
        w.call("DELETE", &grant, &admin, ()).await.of(204);
        assert!(!w.good(&token).await, "its user has no role there any more");
        w.login(json!({"identity": with(&made)})).await.of(401);
        w.call("PUT", &grant, &admin, ()).await.of(204);
        w.login(json!({"identity": with(&made)})).await.of(201);
        let off = json!({"user": {"enabled": false}});
        w.call("PATCH", &format!("/v3/users/{user}"), &admin, off).await.of(200);
        w.login(json!({"identity": with(&made)})).await.of(401);
    }
}

#[tokio::test]
async fn it_expires_and_is_nobody_elses() {
    for w in worlds().await {
        let (demo, path) = own(&w).await;
        let soon = make(&w, &demo, &path, json!({"name": "soon", "expires_at": "2099-01-31T12:00:00"})).await;
        assert_eq!(soon["expires_at"], "2099-01-31T12:00:00.000000");
        let (db, id) = (w.db.clone(), soon["id"].as_str().unwrap().to_owned());
        let token = w.token(json!({"identity": with(&soon)})).await;
        let sql = "UPDATE application_credential SET expires_at = 1 WHERE id = $1";
        db.write(move |tx| {
            tx.hint(store::Topic::Identity);
            tx.exec(sql, store::params![id])
        })
        .await
        .unwrap();
        w.login(json!({"identity": with(&soon)})).await.of(401);
        assert!(!w.good(&token).await);
        let bad = [
            json!({"name": "x", "expires_at": "2020-01-01T00:00:00"}),
            json!({"name": "x", "expires_at": "tomorrow"}),
            json!({"name": ""}),
            json!({}),
            json!({"name": "x", "roles": [{"name": "admin"}]}),
            json!({"name": "x", "roles": ["member"]}),
            json!({"name": "x", "secret": ""}),
            json!({"name": "x", "unrestricted": "yes"}),
            json!({"name": "x", "access_rules": [{"path": "v2", "method": "GET", "service": "compute"}]}),
            json!({"name": "x", "access_rules": [{"path": "/v2", "method": "get", "service": "compute"}]}),
            json!({"name": "x", "access_rules": [{"path": "/v2", "method": "GET"}]}),
            json!({"name": "x", "access_rules": ["all"]}),
        ];
        for body in bad {
            let refused = w.call("POST", &path, &demo, json!({"application_credential": body})).await;
            assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        }
        let bare = w.token(json!({"identity": password("demo", DEMO), "scope": "unscoped"})).await;
        w.call("POST", &path, &bare, json!({"application_credential": {"name": "x"}})).await.of(400);
        let admin = w.admin().await;
        w.call("GET", &path, &admin, ()).await.of(200);
        w.call("POST", &path, &admin, json!({"application_credential": {"name": "x"}})).await.of(403);
        w.user(&admin, "stranger", "pw").await;
        let stranger = w.token(json!({"identity": password("stranger", "pw")})).await;
        w.call("GET", &path, &stranger, ()).await.of(403);
        w.call("DELETE", &format!("{path}/{}", soon["id"].as_str().unwrap()), &stranger, ()).await.of(403);
    }
}

#[tokio::test]
async fn a_role_is_kept_once_however_often_it_is_named() {
    for w in worlds().await {
        let (demo, path) = own(&w).await;
        let many = |n: usize| vec![json!({"name": "reader"}); n];
        let made = make(&w, &demo, &path, json!({"name": "ci", "roles": many(100)})).await;
        assert_eq!(made["roles"].as_array().unwrap().len(), 1);
        let kept =
            w.db.read(|tx| tx.one("SELECT roles FROM application_credential", &[], |r| r.get::<String>(0)));
        assert_eq!(serde_json::from_str::<Vec<String>>(&kept.await.unwrap()).unwrap().len(), 1);
        let body = json!({"application_credential": {"name": "more", "roles": many(101)}});
        w.call("POST", &path, &demo, body).await.of(400);
    }
}
