//! Every route of the region, asked by those who must not pass. What a route wants is what it declares; the only list
//! is that of the open ones, beside the other tests of the repository.

use crate::config::Config;
use crate::region::{Region, routes};
use crate::site::Site;
use crate::tidy::is_open;
use api::{Level, Listed, Rule};
use axum::Router;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

const SECRET: &str = "everybody's secret";

struct World {
    router: Router,
    _site: Site,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::take(Config { data: dir.path().join("data"), ..Config::default() }).unwrap();
        let region = Region::open(&site).await.unwrap();
        region.identity.bootstrap(SECRET, SECRET).await.unwrap();
        World { router: region.router(), _site: site, _dir: dir }
    }

    /// Status, the header with a token, and the body.
    async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, String, Value) {
        let mut request = Request::builder().method(method).uri(path).header("host", "cloud.example:5240");
        if !token.is_empty() {
            request = request.header("x-auth-token", token);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let made = parts.headers.get("x-subject-token").map_or("", |t| t.to_str().unwrap()).to_owned();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), made, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn status(&self, route: &Listed, token: &str) -> u16 {
        let part = |p| if str::starts_with(p, '{') { "4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1" } else { p };
        let path: Vec<_> = route.path.split('/').map(part).collect();
        self.call(route.method.as_str(), &path.join("/"), token, Value::Null).await.0
    }

    async fn login(&self, name: &str, project: &str) -> String {
        let user = json!({"name": name, "domain": {"id": "default"}, "password": SECRET});
        let scope = json!({"project": {"name": project, "domain": {"id": "default"}}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": scope}});
        let (status, token, said) = self.call("POST", "/identity/v3/auth/tokens", "", body).await;
        assert_eq!(status, 201, "{said}");
        token
    }

    /// The token of a new user who has that role in the project demo.
    async fn somebody(&self, admin: &str, role: &str) -> String {
        let user = json!({"user": {"name": role, "password": SECRET, "domain_id": "default"}});
        let (status, _, user) = self.call("POST", "/identity/v3/users", admin, user).await;
        assert_eq!(status, 201, "{user}");
        // Those that are there by themselves are a conflict.
        let new = json!({"role": {"name": role}});
        self.call("POST", "/identity/v3/roles", admin, new).await;
        let found = async |nouns: &str, name: &str| {
            let path = format!("/identity/v3/{nouns}?name={name}");
            let (_, _, list) = self.call("GET", &path, admin, Value::Null).await;
            list[nouns][0]["id"].as_str().unwrap().to_owned()
        };
        let (role_id, project) = (found("roles", role).await, found("projects", "demo").await);
        let user = user["user"]["id"].as_str().unwrap();
        let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{role_id}");
        assert_eq!(self.call("PUT", &grant, admin, Value::Null).await.0, 204);
        self.login(role, "demo").await
    }
}

#[tokio::test]
async fn no_route_lets_in_who_must_not_pass() {
    let w = World::new().await;
    let admin = w.login("admin", "admin").await;
    // A role that means nothing here is none.
    let guest = w.somebody(&admin, "guest").await;
    let reader = w.somebody(&admin, "reader").await;
    let member = w.somebody(&admin, "member").await;
    let mut walked = 0;
    for route in routes().into_iter().filter(|r| !is_open(r)) {
        let name = format!("{} {}", route.method, route.path);
        assert_ne!(route.rule, Rule::Open, "{name} is not on the list of open routes");
        assert_eq!(w.status(&route, "").await, 401, "{name} without a token");
        assert_eq!(w.status(&route, "gAAAAABnonsense").await, 401, "{name} with no good token");
        if route.rule == Rule::Any {
            continue;
        }
        assert_eq!(w.status(&route, &guest).await, 403, "{name} without a role");
        let reads = matches!(route.method.as_str(), "GET" | "HEAD");
        if !reads || route.rule != Rule::Role(Level::Reader) {
            assert_eq!(w.status(&route, &reader).await, 403, "{name} as a reader");
        }
        if !matches!(route.rule, Rule::Role(Level::Reader | Level::Member)) {
            assert_eq!(w.status(&route, &member).await, 403, "{name} as a member");
        }
        walked += 1;
    }
    assert!(walked > 300, "{walked}");
    // There a request is signed with a key of MAAS's; whose it is says what it may.
    for route in metal::maas::list().iter().filter(|r| !is_open(r)) {
        let name = format!("{} {}", route.method, route.path);
        assert_eq!(w.status(route, "").await, 401, "{name} without a key");
        assert_eq!(w.status(route, &reader).await, 401, "{name} with a token");
        walked += 1;
    }
    assert!(walked > 400, "{walked}");
}
