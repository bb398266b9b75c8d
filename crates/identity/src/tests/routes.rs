//! Every route refuses who must not pass.

use super::{World, call, password, project, worlds};
use crate::service;
use api::{Level, Rule};
use serde_json::json;

/// What answers without a token. It only shrinks.
const OPEN: &[&str] = &[
    "GET /identity",
    "GET /identity/v3",
    "POST /identity/v3/auth/tokens",
    // Proved by the old password, also when that has expired.
    "POST /identity/v3/users/{id}/password",
];

/// The path behind `/identity`, with something in each place.
fn concrete(path: &str) -> String {
    let path = path.strip_prefix("/identity").unwrap();
    let parts = path.split('/').map(|p| if p.starts_with('{') { "0123" } else { p });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn no_route_answers_without_a_good_token() {
    for w in worlds().await {
        for route in service().list() {
            let name = format!("{} {}", route.method, route.path);
            assert_eq!(route.rule == Rule::Open, OPEN.contains(&name.as_str()), "{name}");
            if route.rule == Rule::Open {
                continue;
            }
            for token in ["", "nonsense", "gAAAAABnonsense"] {
                let answer = w.call(route.method.as_str(), &concrete(&route.path), token, ()).await;
                assert_eq!(answer.status, 401, "{name}");
                assert_eq!(
                    answer.header("www-authenticate"),
                    "Keystone uri=\"http://cloud.example:5240/identity\"",
                    "{name}"
                );
            }
        }
    }
}

/// A reader of project demo.
async fn reader(w: &World) -> String {
    let admin = w.admin().await;
    let user = w.user(&admin, "looker", "pw").await;
    let role = w.id_of(&admin, "roles", "reader").await;
    let path = format!("/v3/projects/{}/users/{user}/roles/{role}", w.seed.demo);
    w.call("PUT", &path, &admin, ()).await.of(204);
    w.token(json!({"identity": password("looker", "pw"), "scope": project("demo")})).await
}

#[tokio::test]
async fn what_is_for_admins_is_refused_to_others() {
    for w in worlds().await {
        let others = [reader(&w).await, w.demo().await];
        let mut checked = 0;
        for route in service().list() {
            let closed = matches!(route.rule, Rule::Overseer | Rule::Steward | Rule::Role(Level::Admin));
            if route.method != "GET" && !closed {
                let own = [
                    "/auth/tokens",
                    "/password",
                    "/application_credentials",
                    "/access_rules",
                    "/credentials",
                    "/OS-TRUST/",
                    "/ec2tokens",
                    "/s3tokens",
                ];
                assert!(own.iter().any(|o| route.path.contains(o)), "{} {}", route.method, route.path);
            }
            if !closed {
                continue;
            }
            checked += 1;
            for token in &others {
                let answer = w.call(route.method.as_str(), &concrete(&route.path), token, json!({})).await;
                assert_eq!(answer.status, 403, "{} {}", route.method, route.path);
                let said = &answer.body["error"]["title"];
                assert!(said == "Forbidden" || route.method == "HEAD", "{}", answer.text);
            }
        }
        assert!(checked > 80, "{checked}");
    }
}

#[tokio::test]
async fn a_token_without_scope_is_no_admin() {
    for w in worlds().await {
        let bare = w.token(json!({"identity": password("admin", super::ADMIN), "scope": "unscoped"})).await;
        w.call("GET", "/v3/users", &bare, ()).await.of(403);
        w.call("POST", "/v3/projects", &bare, json!({"project": {"name": "x"}})).await.of(403);
        w.call("GET", "/v3/auth/catalog", &bare, ()).await.of(403);
        let mine = w.call("GET", "/v3/auth/projects", &bare, ()).await.of(200);
        assert_eq!(mine["projects"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn one_sees_oneself_and_ones_project_but_not_others() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let own = w.id_of(&admin, "users", "demo").await;
        let other = w.id_of(&admin, "users", "admin").await;
        let shown = w.call("GET", &format!("/v3/users/{own}"), &demo, ()).await.of(200);
        assert_eq!(shown["user"]["name"], "demo");
        for path in ["", "/projects", "/groups", "/application_credentials"] {
            w.call("GET", &format!("/v3/users/{own}{path}"), &demo, ()).await.of(200);
            w.call("GET", &format!("/v3/users/{other}{path}"), &demo, ()).await.of(403);
            w.call("GET", &format!("/v3/users/{other}{path}"), &admin, ()).await.of(200);
        }
        w.call("GET", &format!("/v3/projects/{}", w.seed.demo), &demo, ()).await.of(200);
        w.call("GET", &format!("/v3/projects/{}", w.seed.admin), &demo, ()).await.of(403);
        w.call("GET", "/v3/projects/nothing", &demo, ()).await.of(403);
        w.call("GET", "/v3/projects/nothing", &admin, ()).await.of(404);
        w.call("GET", "/v3/domains/default", &demo, ()).await.of(200);
        w.call("GET", "/v3/regions", &demo, ()).await.of(200);
        let projects = w.call("GET", &format!("/v3/users/{own}/projects"), &demo, ()).await.of(200);
        assert_eq!(projects["projects"][0]["id"], json!(w.seed.demo));
        assert_eq!(projects["projects"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_domain_reader_sees_the_domain_and_no_other() {
    for w in worlds().await {
        let admin = w.admin().await;
        let body = w.call("POST", "/v3/domains", &admin, json!({"domain": {"name": "west"}})).await.of(201);
        let west = body["domain"]["id"].as_str().unwrap().to_owned();
        let user = json!({"user": {"name": "warden", "password": "pw", "domain_id": west}});
        let user = w.call("POST", "/v3/users", &admin, user).await.of(201)["user"]["id"].clone();
        let role = w.id_of(&admin, "roles", "reader").await;
        let grant = format!("/v3/domains/{west}/users/{}/roles/{role}", user.as_str().unwrap());
        w.call("PUT", &grant, &admin, ()).await.of(204);
        w.project(&admin, json!({"name": "westward", "domain_id": west})).await;
        let identity = json!({"methods": ["password"], "password": {"user": {"id": user, "password": "pw"}}});
        let warden = w.token(json!({"identity": identity, "scope": {"domain": {"id": west}}})).await;
        for (plural, only) in [("users", "warden"), ("projects", "westward"), ("domains", "west")] {
            let list = w.call("GET", &format!("/v3/{plural}"), &warden, ()).await.of(200);
            let names: Vec<_> = list[plural].as_array().unwrap().iter().map(|i| &i["name"]).collect();
            assert_eq!(names, [only], "{plural}");
        }
        w.call("GET", &format!("/v3/projects/{}", w.seed.demo), &warden, ()).await.of(403);
        w.call("GET", "/v3/domains/default", &warden, ()).await.of(403);
        w.call("POST", "/v3/users", &warden, json!({"user": {"name": "n"}})).await.of(403);
        let mine = w.call("GET", "/v3/role_assignments", &warden, ()).await.of(200);
        assert_eq!(mine["role_assignments"].as_array().unwrap().len(), 1);
        let listed = w.call("GET", "/v3/auth/domains", &warden, ()).await.of(200);
        assert_eq!(listed["domains"][0]["name"], "west");
    }
}

#[tokio::test]
async fn versions_are_told_to_everybody() {
    let w = World::on_sqlite().await;
    let list = w.call("GET", "", "", ()).await;
    assert_eq!(list.header("location"), "http://cloud.example:5240/identity/v3/");
    let body = list.of(300);
    let v3 = &body["versions"]["values"][0];
    assert_eq!((&v3["id"], &v3["status"]), (&json!("v3.14"), &json!("stable")));
    assert_eq!(v3["links"][0]["href"], "http://cloud.example:5240/identity/v3/");
    assert_eq!(w.call("GET", "/v3", "", ()).await.of(200)["version"], *v3);
    let answer = w.call("GET", "/v2.0", "", ()).await;
    assert!(answer.header("x-openstack-request-id").starts_with("req-"));
    answer.of(404);
    w.call("PUT", "/v3/users", &w.admin().await, ()).await.of(405);
    let gate = api::Gate { authority: w.identity.clone(), public_url: Some("https://cloud.example".into()) };
    let behind_proxy = service().router(w.identity.clone(), &gate);
    let body = call(&behind_proxy, "GET", "/v3", "", ()).await.of(200);
    assert_eq!(body["version"]["links"][0]["href"], "https://cloud.example/identity/v3/");
}
