//! A region without hosts, and browsers before it.

use crate::{About, Portal, Sessions};
use ::api::Gate;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use identity::{Identity, Rules};
use network::Network;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::Db;
use tower::ServiceExt;

pub const ADMIN: &str = "admin's secret";
pub const DEMO: &str = "demo's secret";

/// One process over a database.
pub struct World {
    pub db: Db,
    pub sessions: Arc<Sessions>,
    pub router: Router,
    url: Option<String>,
    dir: Arc<tempfile::TempDir>,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The answer's body, which must have come with that status.
    #[track_caller]
    pub fn of(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

pub async fn worlds() -> Vec<World> {
    worlds_that_idle(Duration::from_secs(1800)).await
}

pub async fn worlds_that_idle(idle: Duration) -> Vec<World> {
    let dir = || Arc::new(tempfile::tempdir().unwrap());
    let mut all = vec![World::open(None, dir(), idle).await];
    if let Some(server) = testing::postgres() {
        all.push(World::open(Some(testing::fresh_url(&server).await), dir(), idle).await);
    }
    all
}

impl World {
    async fn open(url: Option<String>, dir: Arc<tempfile::TempDir>, idle: Duration) -> World {
        let db = match &url {
            None => Db::sqlite(&dir.path().join("db")).await.unwrap(),
            Some(url) => Db::postgres(url).await.unwrap(),
        };
        let identity =
            Identity::open(db.clone(), &dir.path().join("master-key"), Rules::default()).await.unwrap();
        identity.bootstrap(ADMIN, DEMO).await.unwrap();
        let sessions = Sessions::new(db.clone(), identity.clone(), idle);
        let about = About {
            version: "0.0".into(),
            region: "Here".into(),
            config: json!({"idle": 1}),
            data: dir.path().to_owned(),
            images: dir.path().to_owned(),
            ..About::default()
        };
        let portal = Arc::new(Portal::new(db.clone(), identity.clone(), sessions.clone(), about));
        let gate = Gate { authority: sessions.clone(), public_url: None };
        let router = Router::new()
            .merge(identity::service().router(identity.clone(), &gate))
            .merge(network::service().router(Arc::new(Network::new(db.clone())), &gate))
            .merge(crate::service().router(portal, &gate))
            .merge(crate::pages(json!({"name": "Hanok"})));
        World { db, sessions, router, url, dir }
    }

    /// Another process over the same database; SQLite has none.
    pub async fn other(&self) -> Option<World> {
        self.url.as_ref()?;
        Some(World::open(self.url.clone(), self.dir.clone(), self.sessions.idle()).await)
    }

    pub async fn raw(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "here:5240");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.raw(request.body(body).unwrap()).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    pub async fn sign_in(&self, user: &str, password: &str) -> Browser {
        let answer =
            self.send("POST", "/hanok/v1/session", &[], json!({"user": user, "password": password})).await;
        let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        let session = answer.of(200);
        let pair = cookie.split(';').next().unwrap().to_owned();
        Browser { cookie: pair, csrf: session["csrf"].as_str().unwrap().to_owned(), session }
    }
}

/// A browser that is signed in.
#[derive(Debug, Clone)]
pub struct Browser {
    pub cookie: String,
    pub csrf: String,
    pub session: Value,
}

impl Browser {
    pub async fn ask(&self, w: &World, method: &str, path: &str, body: Value) -> Answer {
        w.send(method, path, &[("cookie", &self.cookie), ("x-hanok-csrf", &self.csrf)], body).await
    }
}
