//! Keys, and how requests may be written.

use super::{World, answer, header, worlds};
use api::Rule;
use axum::body::Body;
use http::Request;
use serde_json::json;

#[tokio::test]
async fn nobody_gets_in_without_a_key() {
    let w = World::on_sqlite().await;
    let other_secret = format!("{}x", w.admin);
    let other_consumer = format!("x{}", w.admin);
    for listed in super::super::list() {
        if listed.rule == Rule::Open || !listed.path.starts_with(super::API) {
            continue;
        }
        let path = listed.path.replace(['{', '}'], "");
        for key in ["", "a:b:c", &other_secret, &other_consumer] {
            let answer = w.call(key, listed.method.as_str(), &path, "").await;
            assert_eq!(answer.status, 401, "{} {path} with {key:?}: {}", listed.method, answer.text);
            assert!(answer.header("www-authenticate").starts_with("OAuth"));
            assert!(answer.header("content-type").starts_with("text/plain"));
        }
    }
}

#[tokio::test]
async fn a_normal_user_is_refused_what_is_for_administrators() {
    let w = World::on_sqlite().await;
    for listed in super::super::list().into_iter().filter(|l| l.rule == Rule::ADMIN) {
        let path = listed.path.replace(['{', '}'], "");
        let answer = w.call(&w.demo, listed.method.as_str(), &path, "").await;
        assert_eq!(answer.status, 403, "{} {path}: {}", listed.method, answer.text);
    }
}

#[tokio::test]
async fn the_description_leads_clients() {
    let w = World::on_sqlite().await;
    let d = w.get("", "describe/").await;
    assert_eq!(d.header("content-type"), "application/json");
    let said = d.of(200);
    assert_eq!(said["hash"], d.header("x-maas-api-hash"));
    assert_eq!(said["hash"].as_str().unwrap().len(), 40);
    let users = said["resources"].as_array().unwrap().iter().find(|r| r["name"] == "UsersHandler").unwrap();
    assert_eq!(users["auth"]["uri"], "http://maas.test:5240/MAAS/api/2.0/users/");
    assert!(users["anon"].is_null());
    let whoami = users["auth"]["actions"].as_array().unwrap().iter().find(|a| a["op"] == "whoami").unwrap();
    assert_eq!(whoami["restful"], false);
    let read = users["auth"]["actions"].as_array().unwrap().iter().find(|a| a["op"].is_null()).unwrap();
    assert_eq!((&read["name"], &read["method"]), (&json!("read"), &json!("GET")));
    for handler in said["handlers"].as_array().unwrap() {
        for key in ["name", "doc", "params", "path", "uri", "actions"] {
            assert!(!handler[key].is_null(), "{handler}");
        }
    }
    // Behind a proxy, and with a name that does not belong into an address.
    for (name, value, uri) in [
        ("x-forwarded-host", "cloud.example", "http://cloud.example/"),
        ("x-forwarded-proto", "https, http", "https://maas.test:5240/"),
        ("x-forwarded-host", "a/b\"><", "http://maas.test:5240/"),
    ] {
        let request =
            Request::get("/MAAS/api/2.0/describe").header("host", "maas.test:5240").header(name, value);
        let said = answer(&w.router, request.body(Body::empty()).unwrap()).await.of(200);
        assert!(
            said["handlers"][0]["uri"].as_str().unwrap().starts_with(uri),
            "{}",
            said["handlers"][0]["uri"]
        );
    }
    let version = w.get("", "version/").await.of(200);
    for capability in ["networks-management", "devices-management", "authenticate-api"] {
        assert!(version["capabilities"].as_array().unwrap().contains(&json!(capability)));
    }
}

#[tokio::test]
async fn keys_come_and_go() {
    for w in worlds().await {
        let me = w.get(&w.demo, "users/?op=whoami").await.of(200);
        assert_eq!((&me["username"], &me["is_superuser"]), (&json!("demo"), &json!(false)));
        assert_eq!(w.get(&w.admin, "users/?op=whoami").await.of(200)["is_superuser"], true);

        let made = w.post(&w.demo, "account/?op=create_authorisation_token", "name=laptop").await.of(200);
        let part = |name: &str| made[name].as_str().unwrap().to_owned();
        let key = format!("{}:{}:{}", part("consumer_key"), part("token_key"), part("token_secret"));
        w.get(&key, "users/?op=whoami").await.of(200);
        let listed = w.get(&w.demo, "account/?op=list_authorisation_tokens").await;
        assert!(
            listed.text.contains("laptop") && !listed.text.contains(&part("token_secret")),
            "{}",
            listed.text
        );
        w.post(&key, "account/?op=update_token_name", &format!("token={}&name=desk", part("token_key")))
            .await
            .of(200);

        let form = format!("token_key={}", part("token_key"));
        w.post(&w.admin, "account/?op=delete_authorisation_token", &form).await.of(404);
        w.post(&w.demo, "account/?op=delete_authorisation_token", &form).await.of(204);
        w.get(&key, "users/?op=whoami").await.of(401);

        let login = "/MAAS/accounts/authenticate/";
        let made = w.post("", login, "username=demo&password=demo%27s+secret&consumer=me@here").await.of(200);
        let part = |name: &str| made[name].as_str().unwrap().to_owned();
        let key = format!("{}:{}:{}", part("consumer_key"), part("token_key"), part("token_secret"));
        assert_eq!(w.get(&key, "users/demo/").await.of(200)["username"], "demo");
        w.get(&key, "users/admin/").await.of(404);
        w.post("", login, "username=demo&password=wrong").await.of(401);
        w.post("", login, "username=demo").await.of(400);
    }
}

#[tokio::test]
async fn however_a_request_is_written() {
    let w = World::on_sqlite().await;
    for path in ["users?op=whoami", "users/?op=whoami", "users/op-whoami", "users/op-whoami/"] {
        assert_eq!(w.get(&w.demo, path).await.of(200)["username"], "demo", "{path}");
    }
    assert_eq!(w.get(&w.demo, "users/?op=nonsense").await.status, 400);
    assert_eq!(w.get(&w.demo, "nonsense/").await.status, 404);
    assert_eq!(w.call(&w.demo, "PUT", "users/", "").await.status, 405);
    // An empty operation is the plain verb; an operation may be in the body.
    assert_eq!(w.get(&w.admin, "users/?op=").await.of(200).as_array().unwrap().len(), 2);
    let made = w.post(&w.demo, "account/", "op=create_authorisation_token&name=x").await.of(200);
    assert_eq!(made["name"], "x");
    // Parts that are base64 inside, as python-libmaas sends them.
    let body = "--b\r\nContent-Disposition: form-data; name=\"name\"\r\nContent-Transfer-Encoding: base64\r\n\r\naGkgeW91\r\n\r\n--b--\r\n";
    let kind = "multipart/form-data; boundary=\"b\"";
    let path = "account/?op=create_authorisation_token";
    assert_eq!(w.send(&w.demo, "POST", path, kind, Body::from(body)).await.of(200)["name"], "hi you");
    assert_eq!(w.send(&w.demo, "POST", path, kind, Body::from("--c")).await.status, 400);
    assert_eq!(w.send(&w.demo, "POST", path, "text/html", Body::from("x")).await.status, 415);

    let request = Request::get("/MAAS/api/2.0/users/?op=whoami")
        .header("authorization", header(&w.demo).replace("1700000000", "today"));
    assert_eq!(answer(&w.router, request.body(Body::empty()).unwrap()).await.status, 400);
}

/// Wherever a request has one: no database is asked about a zero character.
#[tokio::test]
async fn zero_characters_are_refused() {
    for w in worlds().await {
        let id = w.machine("one", 1, crate::model::Status::Ready).await;
        for (method, path, form) in [
            ("POST", "account/?op=create_authorisation_token".to_owned(), "name=a%00b"),
            ("PUT", format!("machines/{id}/"), "description=%00"),
            ("POST", format!("machines/{id}/?op=set_owner_data"), "a=%00"),
            ("POST", format!("machines/{id}/?op=set_owner_data"), "a%00=b"),
            ("POST", "tags/".to_owned(), "name=a%00"),
            ("POST", "files/".to_owned(), "filename=%00&file=x"),
            ("POST", "account/prefs/sshkeys/".to_owned(), "key=ssh-ed25519+%00"),
            ("GET", "machines/?hostname=%00".to_owned(), ""),
            ("GET", "machines/?id=%00".to_owned(), ""),
            ("GET", "machines/?%00=x".to_owned(), ""),
            ("GET", "files/?prefix=%00".to_owned(), ""),
        ] {
            let answer = w.call(&w.admin, method, &path, form).await;
            assert_eq!(answer.status, 400, "{method} {path} {form}: {}", answer.text);
        }
        let json = Body::from(r#"{"name": "a\u0000"}"#);
        let path = "account/?op=create_authorisation_token";
        assert_eq!(w.send(&w.demo, "POST", path, "application/json", json).await.status, 400);
        w.get(&w.admin, "machines/%00/").await.of(404);
        for part in ["oauth_token=", "oauth_consumer_key="] {
            let header = header(&w.demo).replace(&format!("{part}\""), &format!("{part}\"%00"));
            let request = Request::get("/MAAS/api/2.0/users/?op=whoami").header("authorization", header);
            assert_eq!(answer(&w.router, request.body(Body::empty()).unwrap()).await.status, 401, "{part}");
        }
    }
}

#[tokio::test]
async fn settings_are_kept() {
    let w = World::on_sqlite().await;
    let ask = "maas/?op=get_config&name=maas_name";
    assert_eq!(w.get(&w.demo, ask).await.of(200), "hanok");
    w.post(&w.demo, "maas/?op=set_config", "name=maas_name&value=x").await.of(403);
    assert_eq!(w.post(&w.admin, "maas/?op=set_config", "name=maas_name&value=room+7").await.text, "OK");
    assert_eq!(w.get(&w.demo, ask).await.of(200), "room 7");
    let said = w.get(&w.admin, "maas/?op=get_config&name=nonsense").await.of(400);
    assert!(said["nonsense"][0].as_str().unwrap().contains("not a valid config setting"));
}
