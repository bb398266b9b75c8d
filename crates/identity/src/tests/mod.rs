//! The service behind its real router, on SQLite always and on PostgreSQL when `HANOK_TEST_POSTGRES`
//! holds a URL.

mod bodies;
mod catalog;
mod credentials;
mod grants;
mod keeps;
mod keys;
mod limits;
mod login;
mod nouns;
mod one_time;
mod race;
mod routes;
mod rules;
mod steward;
mod trusts;

use crate::{Identity, Seed, service};
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Db;
use tower::ServiceExt;

pub const ADMIN: &str = "admin's secret";
pub const DEMO: &str = "demo's secret";

pub struct World {
    pub db: Db,
    pub identity: Arc<Identity>,
    pub seed: Seed,
    pub router: Router,
    pub dir: tempfile::TempDir,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// The answer's body, which must have come with that status.
    #[track_caller]
    pub fn of(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
}

pub async fn worlds() -> Vec<World> {
    let mut all = Vec::new();
    for (db, dir) in testing::databases().await {
        all.push(World::over(db, dir).await);
    }
    all
}

impl World {
    pub async fn on_sqlite() -> World {
        let (db, dir) = testing::sqlite().await;
        World::over(db, dir).await
    }

    pub async fn over(db: Db, dir: tempfile::TempDir) -> World {
        World::with(db, dir, crate::Rules::default()).await
    }

    /// With rules for passwords.
    pub async fn with(db: Db, dir: tempfile::TempDir, rules: crate::Rules) -> World {
        let identity = Identity::open(db.clone(), &dir.path().join("master-key"), rules).await.unwrap();
        let seed = identity.bootstrap(ADMIN, DEMO).await.unwrap();
        let router = router(&identity);
        World { db, identity, seed, router, dir }
    }

    /// Another process on the same database.
    pub async fn sibling(&self) -> Arc<Identity> {
        self.ruled(crate::Rules::default()).await
    }

    /// The same, with rules for passwords.
    pub async fn ruled(&self, rules: crate::Rules) -> Arc<Identity> {
        Identity::open(self.db.clone(), &self.dir.path().join("master-key"), rules).await.unwrap()
    }

    pub async fn call(&self, method: &str, path: &str, token: &str, body: impl Into<Call>) -> Answer {
        call(&self.router, method, path, token, body).await
    }

    pub async fn login(&self, auth: Value) -> Answer {
        self.call("POST", "/v3/auth/tokens", "", json!({"auth": auth})).await
    }

    pub async fn token(&self, auth: Value) -> String {
        let answer = self.login(auth).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.header("x-subject-token").to_owned()
    }

    /// A token of admin in project admin.
    pub async fn admin(&self) -> String {
        self.token(json!({"identity": password("admin", ADMIN), "scope": project("admin")})).await
    }

    /// A token of demo in project demo.
    pub async fn demo(&self) -> String {
        self.token(json!({"identity": password("demo", DEMO), "scope": project("demo")})).await
    }

    pub async fn id_of(&self, token: &str, plural: &str, name: &str) -> String {
        let body = self.call("GET", &format!("/v3/{plural}?name={name}"), token, ()).await.of(200);
        assert_eq!(body[plural].as_array().unwrap().len(), 1, "{plural} {name}: {body}");
        body[plural][0]["id"].as_str().unwrap().to_owned()
    }

    /// A new user with that password; answers the id.
    pub async fn user(&self, token: &str, name: &str, secret: &str) -> String {
        let user = json!({"user": {"name": name, "password": secret, "domain_id": "default"}});
        let body = self.call("POST", "/v3/users", token, user).await.of(201);
        body["user"]["id"].as_str().unwrap().to_owned()
    }

    pub async fn project(&self, token: &str, project: Value) -> String {
        let body = self.call("POST", "/v3/projects", token, json!({"project": project})).await.of(201);
        body["project"]["id"].as_str().unwrap().to_owned()
    }

    /// Whether a token is good for anything.
    pub async fn good(&self, token: &str) -> bool {
        let answer = self.call("GET", "/v3/auth/projects", token, ()).await;
        assert!([200, 401].contains(&answer.status), "{}", answer.text);
        answer.status == 200
    }
}

pub fn router(identity: &Arc<Identity>) -> Router {
    let gate = api::Gate { authority: identity.clone(), public_url: None };
    service().router(identity.clone(), &gate)
}

/// A request's body.
pub enum Call {
    Nothing,
    Json(Value),
    Raw(Vec<u8>),
}

impl From<()> for Call {
    fn from((): ()) -> Self {
        Call::Nothing
    }
}
impl From<Value> for Call {
    fn from(v: Value) -> Self {
        Call::Json(v)
    }
}
impl From<&[u8]> for Call {
    fn from(v: &[u8]) -> Self {
        Call::Raw(v.to_vec())
    }
}

/// `path` follows `/identity`; a token in front of a `|` is the one that the request is about.
pub async fn call(router: &Router, method: &str, path: &str, token: &str, body: impl Into<Call>) -> Answer {
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(format!("/identity{path}"))
        .header("host", "cloud.example:5240");
    let (subject, token) = match token.split_once('|') {
        Some((subject, token)) => (subject, token),
        None => ("", token),
    };
    if !token.is_empty() {
        request = request.header("x-auth-token", token);
    }
    if !subject.is_empty() {
        request = request.header("x-subject-token", subject);
    }
    let body = match body.into() {
        Call::Nothing => Body::empty(),
        Call::Json(v) => Body::from(v.to_string()),
        Call::Raw(v) => Body::from(v),
    };
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status: parts.status.as_u16(), headers: parts.headers, body, text }
}

pub fn password(name: &str, secret: &str) -> Value {
    json!({
        "methods": ["password"],
        "password": {"user": {"name": name, "domain": {"id": "default"}, "password": secret}},
    })
}

pub fn by_token(token: &str) -> Value {
    json!({"methods": ["token"], "token": {"id": token}})
}

pub fn project(name: &str) -> Value {
    json!({"project": {"name": name, "domain": {"name": "Default"}}})
}
