//! The service behind a real socket, on SQLite and (when `HANOK_TEST_POSTGRES` holds a URL) on
//! PostgreSQL.

mod blobs;
mod bodies;
mod boot;
mod checks;
mod crud;
mod holds;
mod imports;
mod lists;
mod metadefs;
mod patches;
mod pieces;
mod sharing;
mod snapshots;
mod staging;
mod tasks;
mod uploads;
mod walk;

use crate::{Image, Imports, Limits, checks, imports, life, own_service, service};
use api::Gate;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Db, work::Engine};
use testing::Tokens;

struct World {
    db: Db,
    image: Arc<Image>,
    engine: Engine,
    address: String,
    client: Client<HttpConnector, Body>,
    server: tokio::task::JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn worlds() -> Vec<World> {
    worlds_with(Limits::default()).await
}

async fn worlds_with(limits: Limits) -> Vec<World> {
    worlds_importing(limits, Imports::default()).await
}

async fn worlds_importing(limits: Limits, imports: Imports) -> Vec<World> {
    let mut all = Vec::new();
    for (db, dir) in testing::databases().await {
        all.push(World::new(db, dir, limits.clone(), imports.clone()).await);
    }
    all
}

fn engine(image: &Arc<Image>) -> Engine {
    Engine::builder(image.db.clone())
        .with(life(image.clone()))
        .with(checks(image.clone()))
        .with(imports(image.clone()))
        .build()
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }
    /// Checks the status, with the body in the message.
    #[track_caller]
    fn is(self, status: u16) -> Answer {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
    /// Checks that this is an error as Image writes them.
    #[track_caller]
    fn refused(self, status: u16, words: &str) -> Answer {
        let answer = self.is(status);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.header("content-type"), "text/html; charset=UTF-8");
        assert!(text.starts_with("<html>"), "{text}");
        assert!(text.contains(&format!("<title>{status} ")), "{text}");
        assert!(text.contains(words), "{words:?} is not in {text}");
        answer
    }
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl World {
    async fn new(db: Db, dir: tempfile::TempDir, limits: Limits, imports: Imports) -> World {
        let image = Image::with(
            db.clone(),
            &dir.path().join("images"),
            limits,
            imports,
            &store::process::new_id("t"),
        )
        .await
        .unwrap();
        let gate = Gate { authority: Arc::new(Tokens), public_url: None };
        let router = service().router(image.clone(), &gate);
        let router = router.merge(own_service().router(image.clone(), &gate));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let engine = engine(&image);
        let client = Client::builder(TokioExecutor::new()).build_http();
        World { db, image, engine, address, client, server, dir }
    }

    /// The process dies and its successor starts: jobs and temporary files are gone.
    async fn restart(&mut self) {
        let (limits, imports) = (self.image.limits.clone(), self.image.imports.clone());
        let dir = self.dir.path().join("images");
        self.image =
            Image::with(self.db.clone(), &dir, limits, imports, &store::process::new_id("t")).await.unwrap();
        self.engine = engine(&self.image);
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    fn request(&self, method: &str, path: &str, token: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(format!("http://{}/image{path}", self.address));
        if token.is_empty() { request } else { request.header("x-auth-token", token) }
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(self.request("GET", path, token).body(Body::empty()).unwrap()).await
    }

    async fn delete(&self, path: &str, token: &str) -> Answer {
        self.send(self.request("DELETE", path, token).body(Body::empty()).unwrap()).await
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        let request = self.request(method, path, token).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn patch(&self, id: &str, token: &str, body: Value) -> Answer {
        let kind = "application/openstack-images-v2.1-json-patch";
        let request = self.request("PATCH", &format!("/v2/images/{id}"), token).header("content-type", kind);
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Makes an image; answers its id.
    async fn make(&self, token: &str, body: Value) -> String {
        let made = self.call("POST", "/v2/images", token, body).await.is(201).json();
        made["id"].as_str().unwrap().to_owned()
    }

    /// Makes a queued raw image.
    async fn raw(&self, token: &str) -> String {
        self.make(token, json!({"name": "r", "disk_format": "raw", "container_format": "bare"})).await
    }

    async fn put(&self, id: &str, token: &str, content: impl Into<Body>) -> Answer {
        let request = self.request("PUT", &format!("/v2/images/{id}/file"), token);
        let request = request.header("content-type", "application/octet-stream");
        self.send(request.body(content.into()).unwrap()).await
    }

    /// Makes an active raw image.
    async fn active(&self, token: &str, content: &[u8]) -> String {
        let id = self.raw(token).await;
        self.put(&id, token, content.to_vec()).await.is(204);
        id
    }

    async fn show(&self, id: &str, token: &str) -> Value {
        self.get(&format!("/v2/images/{id}"), token).await.is(200).json()
    }

    /// The names of the images in a list, in order.
    async fn names(&self, query: &str, token: &str) -> Vec<String> {
        let list = self.get(&format!("/v2/images{query}"), token).await.is(200).json();
        let images = list["images"].as_array().unwrap();
        images.iter().map(|i| i["name"].as_str().unwrap_or("-").to_owned()).collect()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.db.read(move |tx| tx.one(sql, &[], |r| r.get(0))).await.unwrap()
    }

    /// Waits until the image has a status.
    async fn until(&self, id: &str, token: &str, status: &str) {
        while self.show(id, token).await["status"] != status {
            tokio::task::yield_now().await;
        }
    }

    /// Names of the contents on disk.
    fn files(&self) -> Vec<String> {
        self.image.contents.all(&[]).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    fn incoming(&self) -> usize {
        let places =
            std::fs::read_dir(self.dir.path().join("images/incoming")).unwrap().map(|e| e.unwrap().path());
        places.map(|p| if p.is_dir() { std::fs::read_dir(p).unwrap().count() } else { 1 }).sum()
    }
}
