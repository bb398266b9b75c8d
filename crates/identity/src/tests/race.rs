//! Many at once.

use super::{DEMO, World, call, password, project, router, worlds};
use api::Authority;
use serde_json::{Value, json};
use std::time::Duration;
use store::Db;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_with_one_name_one_is_made() {
    for w in worlds().await {
        let admin = w.admin().await;
        for round in 0..10 {
            let body = json!({"project": {"name": format!("race {round}")}});
            let make = || w.call("POST", "/v3/projects", &admin, body.clone());
            let (a, b, c) = tokio::join!(make(), make(), make());
            let mut codes = [a.status, b.status, c.status];
            codes.sort_unstable();
            assert_eq!(codes, [201, 409, 409]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_of_different_fields_are_both_kept() {
    for w in worlds().await {
        let admin = w.admin().await;
        let id = w.project(&admin, json!({"name": "shared"})).await;
        let path = format!("/v3/projects/{id}");
        let set = |field: String| {
            let (w, admin, path) = (&w, &admin, &path);
            async move { w.call("PATCH", path, admin, json!({"project": {field: 1}})).await.of(200) }
        };
        for i in 0..10 {
            tokio::join!(set(format!("a{i}")), set(format!("b{i}")));
        }
        let shown = w.call("GET", &path, &admin, ()).await.of(200);
        for i in 0..10 {
            assert_eq!(
                (&shown["project"][format!("a{i}")], &shown["project"][format!("b{i}")]),
                (&json!(1), &json!(1))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_deletes_one_succeeds() {
    for w in worlds().await {
        let admin = w.admin().await;
        let path = format!("/v3/users/{}", w.user(&admin, "brief", "pw").await);
        let delete = || w.call("DELETE", &path, &admin, ());
        let (a, b, c) = tokio::join!(delete(), delete(), delete());
        let mut codes = [a.status, b.status, c.status];
        codes.sort_unstable();
        assert_eq!(codes, [204, 404, 404]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revoked_token_is_never_seen_good_again() {
    for w in worlds().await {
        for _ in 0..10 {
            let token = w.demo().await;
            let path = format!("{token}|{token}");
            // Readers who fill the memory while the token is being revoked.
            let reading = async {
                for _ in 0..50 {
                    w.good(&token).await;
                }
            };
            let revoking = async {
                w.call("DELETE", "/v3/auth/tokens", &path, ()).await.of(204);
                assert!(!w.good(&token).await);
            };
            tokio::join!(reading, revoking);
            assert!(!w.good(&token).await);
        }
    }
}

/// Another process hears of it through the database.
#[tokio::test]
async fn a_sibling_forgets_too() {
    let Some(server) = testing::postgres() else { return };
    let db = Db::postgres(&testing::fresh_url(&server).await).await.unwrap();
    let w = World::over(db, tempfile::tempdir().unwrap()).await;
    let sibling = w.sibling().await;
    let token = w.demo().await;
    assert!(sibling.verify(&token).await.is_ok());
    w.call("DELETE", "/v3/auth/tokens", &format!("{token}|{token}"), ()).await.of(204);
    let mut tries = 0;
    while sibling.verify(&token).await.is_ok() {
        tries += 1;
        assert!(tries < 1000, "the other process still takes it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_logs_in() {
    let w = World::on_sqlite().await;
    let router = router(&w.identity);
    let mut tasks = Vec::new();
    for i in 0..100 {
        let router = router.clone();
        let (secret, expected) = if i % 2 == 0 { (DEMO, 201) } else { ("wrong", 401) };
        tasks.push(tokio::spawn(async move {
            let body = json!({"auth": {"identity": password("demo", secret), "scope": project("demo")}});
            call(&router, "POST", "/v3/auth/tokens", "", body).await.of(expected);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_of_a_kept_secret_are_both_kept() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let user = w.id_of(&admin, "users", "demo").await;
        let made = json!({"credential": {"type": "cert", "blob": "old", "user_id": user}});
        let made = w.call("POST", "/v3/credentials", &demo, made).await.of(201);
        let path = format!("/v3/credentials/{}", made["credential"]["id"].as_str().unwrap());
        let set = |change: Value| {
            let (w, demo, path) = (&w, &demo, &path);
            async move { w.call("PATCH", path, demo, json!({"credential": change})).await.of(200) }
        };
        for i in 0..10 {
            let (field, blob) = (format!("a{i}"), format!("new {i}"));
            tokio::join!(set(json!({field.clone(): 1})), set(json!({"blob": blob})));
            let shown = w.call("GET", &path, &demo, ()).await.of(200);
            assert_eq!(
                (&shown["credential"][&field], &shown["credential"]["blob"]),
                (&json!(1), &json!(blob))
            );
        }
    }
}
