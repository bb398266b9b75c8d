//! One installation: database, service, engine, one project with a network and an image.

use crate::{
    Blobs, Compute, Content, Limits, Opening, Receiving, agent_service, console_service, register_host,
    service,
};
use api::Gate;
use axum::Router;
use axum::body::Body;
use base::doc::{
    CaptureStage, CaptureStatus, Desired, GuestState, GuestStatus, HostFacts, MoveStage, Observed, PortOwner,
    VERSION,
};
use base::{HostId, ImageId, Micros, PortId, ProjectId, ServerId};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::work::{Engine, Ran};
use store::{Db, params};
use testing::{Tokens, databases};
use tower::ServiceExt;

/// The image store, as the region has it.
struct Images(Arc<image::Image>);

impl Blobs for Images {
    fn open<'a>(&'a self, sha512: &'a str) -> Opening<'a> {
        Box::pin(async move { self.0.open_blob(sha512).await.map(|(file, length)| (length, file)) })
    }
    fn receive(&self, id: ImageId, c: Content) -> Receiving<'_> {
        Box::pin(async move { self.0.receive(id, &c.request_id, c.body, c.length, c.gone).await })
    }
}

pub struct World {
    pub db: Db,
    pub compute: Arc<Compute>,
    pub engine: Engine,
    pub router: Router,
    pub image: ImageId,
    pub flavor: &'static str,
    _dir: tempfile::TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.body
    }
    /// The message of an error in whichever manner.
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let inner = self.body.as_object().and_then(|m| m.values().next()).cloned().unwrap_or_default();
        inner["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// One server that runs, and its host.
pub async fn active(w: &World) -> (FakeHost, ServerId) {
    let mut host = w.host("h1").await;
    host.turn(w).await;
    let id = w.create("one").await;
    w.until(&mut host, id, "ACTIVE").await;
    (host, id)
}

/// A world on every database.
pub async fn worlds() -> Vec<World> {
    worlds_with(Duration::ZERO).await
}

/// The same with a reclaim interval.
pub async fn worlds_with(reclaim: Duration) -> Vec<World> {
    let mut all = Vec::new();
    for (db, dir) in databases().await {
        all.push(World::on(db, dir, Limits { reclaim, ..Limits::default() }).await);
    }
    all
}

impl World {
    /// On SQLite alone, for what does not depend on the database.
    pub async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        World::on(Db::sqlite(&dir.path().join("db")).await.unwrap(), dir, Limits::default()).await
    }

    async fn on(db: Db, dir: tempfile::TempDir, limits: Limits) -> World {
        let images =
            image::Image::open(db.clone(), &dir.path().join("images"), image::Imports::default(), "t/1")
                .await
                .unwrap();
        let (certificate, key) = tls::Authority::make().unwrap();
        let authority = tls::Authority::open(&certificate, &key, Duration::from_secs(3600)).unwrap();
        let authority = Arc::new(authority);
        let client = tls::Front::new(authority.clone(), vec![], None).unwrap().client().unwrap();
        let channel = Some(crate::Channel { authority, client });
        let compute = Compute::over(db.clone(), limits, Arc::new(Images(images.clone())), channel);
        let engine = Engine::builder(db.clone()).with(compute.life()).with(compute.watch()).build();
        compute.watch().begin().await.unwrap();
        let gate = Gate { authority: Arc::new(Tokens), public_url: None };
        let router = service()
            .router(compute.clone(), &gate)
            .merge(crate::placement_service().router(compute.clone(), &gate))
            .merge(agent_service().router(compute.clone(), &gate))
            .merge(console_service().router(compute.clone(), &gate))
            .merge(image::service().router(images, &gate))
            .merge(network::service().router(Arc::new(network::Network::new(db.clone())), &gate));
        let image = ImageId::new();
        db.write(move |tx| {
            crate::flavors_first_start(tx)?;
            let (admin, demo) = (ProjectId::from("admin"), ProjectId::from("a"));
            network::first_start(tx, &admin, &demo, "172.24.4.1/24".parse().unwrap())?;
            tx.exec(
                "INSERT INTO image_blob (sha512, md5, bytes, created_at) VALUES ($1, 'm', 1000, 1)",
                params!["ab".repeat(64)],
            )?;
            tx.exec(
                "INSERT INTO image (id, owner, name, status, visibility, disk_format, container_format, sha512,
                   virtual_size, created_at, updated_at)
                 VALUES ($1, 'admin', 'mini', 'active', 'public', 'qcow2', 'bare', $2, 1048576, 1, 1)",
                params![image, "ab".repeat(64)],
            )?;
            Ok(())
        })
        .await
        .unwrap();
        World { db, compute, engine, router, image, flavor: "1", _dir: dir }
    }

    pub async fn send(
        &self,
        token: &str,
        version: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "hanok.test");
        if !token.is_empty() {
            request = request.header("x-auth-token", token);
        }
        if !version.is_empty() {
            request = request.header("openstack-api-version", format!("compute {version}"));
        }
        self.ask(request.body(body.map_or_else(Body::empty, |b| Body::from(b.to_string()))).unwrap()).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body, text }
    }

    /// As a member of project `a`, at `version`, below `/compute/v2.1`.
    pub async fn member(&self, version: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send("member:a", version, method, &format!("/compute/v2.1{path}"), body).await
    }
    pub async fn admin(&self, version: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send("admin:a", version, method, &format!("/compute/v2.1{path}"), body).await
    }
    pub async fn get(&self, path: &str) -> Value {
        self.member("2.79", "GET", path, None).await.expect(200)
    }

    pub fn wish(&self, name: &str) -> Value {
        json!({"name": name, "flavorRef": self.flavor, "imageRef": self.image, "networks": "auto"})
    }
    /// Another public image, whose content is this digit many times.
    pub async fn another_image(&self, digit: &str, virtual_size: u64) -> ImageId {
        let (id, sha512) = (ImageId::new(), digit.repeat(128));
        self.db
            .write(move |tx| {
                tx.exec(
                    "INSERT INTO image_blob (sha512, md5, bytes, created_at) VALUES ($1, 'm', 1000, 1)",
                    params![&sha512],
                )?;
                tx.exec(
                    "INSERT INTO image (id, owner, name, status, visibility, disk_format, container_format,
                       sha512, virtual_size, created_at, updated_at)
                     VALUES ($1, 'admin', 'other', 'active', 'public', 'qcow2', 'bare', $2, $3, 1, 1)",
                    params![id, &sha512, virtual_size],
                )
            })
            .await
            .unwrap();
        id
    }
    pub async fn create(&self, name: &str) -> ServerId {
        let body = json!({"server": self.wish(name)});
        let made = self.member("2.79", "POST", "/servers", Some(body)).await.expect(202);
        made["server"]["id"].as_str().unwrap().parse().unwrap()
    }
    pub async fn act(&self, id: ServerId, body: Value) -> Answer {
        self.member("2.79", "POST", &format!("/servers/{id}/action"), Some(body)).await
    }
    pub async fn delete(&self, id: ServerId) -> Answer {
        self.member("2.79", "DELETE", &format!("/servers/{id}"), None).await
    }
    /// The status that the API shows; `GONE` for 404.
    pub async fn status(&self, id: ServerId) -> String {
        let answer = self.member("2.1", "GET", &format!("/servers/{id}"), None).await;
        if answer.status == 404 {
            return "GONE".into();
        }
        answer.expect(200)["server"]["status"].as_str().unwrap().to_owned()
    }
    /// The view without a task, as clients wait for it.
    pub async fn calm(&self, id: ServerId, status: &str) -> bool {
        let answer = self.member("2.1", "GET", &format!("/servers/{id}"), None).await;
        if answer.status == 404 {
            return status == "GONE";
        }
        let server = answer.expect(200)["server"].clone();
        server["status"] == status && server["OS-EXT-STS:task_state"].is_null()
    }

    pub async fn host(&self, name: &str) -> FakeHost {
        let host = FakeHost {
            id: HostId::new(),
            name: name.into(),
            token: format!("token-of-{name}"),
            document: None,
            facts: facts(name),
            no_image: None,
            stages: HashMap::new(),
            plan: HashMap::new(),
        };
        let (id, name, token) = (host.id, host.name.clone(), host.token.clone());
        self.db.write(move |tx| register_host(tx, id, &name, &token, "nova")).await.unwrap();
        host
    }

    /// Runs steps and the host until the server shows `status` with nothing under way.
    pub async fn until(&self, host: &mut FakeHost, id: ServerId, status: &str) {
        for _ in 0..100 {
            if self.calm(id, status).await {
                return;
            }
            while self.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
            host.turn(self).await;
        }
        panic!("{id} never came to {status}: {:?}", self.why(id).await);
    }

    pub async fn why(&self, id: ServerId) -> Value {
        self.send("admin:a", "", "GET", &format!("/hanok/v1/why/{id}"), None).await.expect(200)
    }

    /// Everything that servers hold, summed: zero of all when none is left.
    pub async fn held(&self) -> HashMap<String, i64> {
        let all = self.db.read(|tx| {
            let mut all = HashMap::new();
            for (name, sql) in [
                ("instances", "SELECT COALESCE(CAST(SUM(used) AS BIGINT), 0) FROM quota WHERE resource IN ('instances', 'cores', 'ram')"),
                ("vcpus", "SELECT COALESCE(CAST(SUM(vcpus_used + memory_mib_used + disk_gib_used + guests) AS BIGINT), 0) FROM host"),
                ("ports", "SELECT COUNT(*) FROM port WHERE device_owner LIKE 'compute:%'"),
                ("work", "SELECT COUNT(*) FROM work WHERE kind = 'server'"),
                ("guests", "SELECT COUNT(*) FROM host_guest"),
                ("captures", "SELECT COUNT(*) FROM server_capture"),
                ("shelves", "SELECT COUNT(*) FROM server_shelf"),
                ("actions", "SELECT COUNT(*) FROM server_action WHERE finished_at IS NULL"),
            ] {
                all.insert(name.to_owned(), tx.one(sql, &[], |r| r.get::<i64>(0))?);
            }
            Ok(all)
        });
        all.await.unwrap()
    }
    pub async fn nothing_left(&self) {
        let held = self.held().await;
        assert!(held.values().all(|n| *n == 0), "left behind: {held:?}");
    }
}

/// An empty qcow2 disk of 1 MiB: a header and tables.
fn qcow2() -> Vec<u8> {
    let mut disk = vec![0; 4 << 16];
    disk[..4].copy_from_slice(b"QFI\xfb");
    for (at, word) in [(4, 2_u32), (20, 16), (36, 1), (56, 1)] {
        disk[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    for (at, long) in [(24, 1_u64 << 20), (40, 3 << 16), (48, 1 << 16)] {
        disk[at..at + 8].copy_from_slice(&long.to_be_bytes());
    }
    disk
}

pub fn facts(name: &str) -> HostFacts {
    HostFacts {
        hostname: name.to_owned(),
        vcpus: 8,
        memory_mib: 16 << 10,
        disk_bytes: 100 << 30,
        disk_free_bytes: 100 << 30,
        accel: "tcg".into(),
        qemu_version: "7.2.5".into(),
        ..HostFacts::default()
    }
}

/// A host that speaks the agent protocol and does what it is told, or what a test tells it to do instead.
pub struct FakeHost {
    pub id: HostId,
    pub name: String,
    pub token: String,
    pub document: Option<Desired>,
    pub facts: HostFacts,
    /// Why it makes no images, if it does not.
    pub no_image: Option<String>,
    /// Says of guests that come or go what they are at, instead of done.
    pub stages: HashMap<ServerId, MoveStage>,
    /// What to report of a guest instead of obedience.
    pub plan: HashMap<ServerId, (GuestState, u64, &'static str)>,
}

impl FakeHost {
    pub fn request(&self, method: &str, path: &str, body: Body) -> Request<Body> {
        let bearer = format!("Bearer {}", self.token);
        Request::builder().method(method).uri(path).header("authorization", bearer).body(body).unwrap()
    }
    pub fn generation(&self) -> u64 {
        self.document.as_ref().map_or(0, |d| d.generation)
    }
    /// Fetches a newer document, if there is one.
    pub async fn fetch(&mut self, world: &World, wait: u64) -> bool {
        let path = format!("/agent/v1/desired?since={}&wait={wait}", self.generation());
        let answer = world.ask(self.request("GET", &path, Body::empty())).await;
        if answer.status == 204 {
            return false;
        }
        let document: Desired = serde_json::from_value(answer.expect(200)).unwrap();
        assert!(document.generation > self.generation());
        self.document = Some(document);
        true
    }
    pub fn report(&self) -> Observed {
        let guests = self.document.iter().flat_map(|d| &d.guests).map(|g| {
            let captures = g.captures.iter().map(|c| self.captured(c.image)).collect();
            let mut obey = GuestStatus { captures, ..GuestStatus::obedient(g) };
            if let (Some(m), Some(stage)) = (&mut obey.moving, self.stages.get(&g.id)) {
                m.stage = *stage;
                m.reason = format!("{stage:?}");
                if g.arrival.is_some() && *stage != MoveStage::Arrived {
                    obey.state = GuestState::Preparing;
                } else if g.departure.as_ref().is_some_and(|d| d.live) && *stage != MoveStage::Sent {
                    obey.state = GuestState::Running;
                }
            }
            match self.plan.get(&g.id) {
                None => obey,
                Some((state, boots, reason)) => {
                    GuestStatus { state: *state, boots: *boots, reason: (*reason).into(), ..obey }
                }
            }
        });
        let ports = self.document.iter().flat_map(|d| &d.networks).flat_map(|n| &n.ports);
        let ports: Vec<PortId> = ports
            .filter(|p| p.host == Some(self.id) && matches!(p.owner, PortOwner::Guest(_)))
            .map(|p| p.id)
            .collect();
        Observed {
            version: VERSION,
            host: self.id,
            applied: self.generation(),
            at: Micros::now(),
            facts: self.facts.clone(),
            guests: guests.collect(),
            ports_up: ports,
            problems: Vec::new(),
        }
    }
    fn captured(&self, image: ImageId) -> CaptureStatus {
        match &self.no_image {
            Some(reason) => CaptureStatus { image, stage: CaptureStage::Failed, reason: reason.clone() },
            None => CaptureStatus { image, stage: CaptureStage::Copying, reason: String::new() },
        }
    }
    /// Brings the images that are asked for.
    pub async fn deliver(&self, world: &World) {
        let asked = self.document.iter().flat_map(|d| &d.guests).flat_map(|g| &g.captures);
        for c in asked {
            let path = format!("/agent/v1/images/{}/content", c.image);
            let answer = world.ask(self.request("PUT", &path, Body::from(qcow2()))).await;
            assert!([204, 404].contains(&answer.status.as_u16()), "{}", answer.text);
        }
    }
    pub async fn send(&self, world: &World, report: &Observed) -> Answer {
        let body = Body::from(serde_json::to_vec(report).unwrap());
        world.ask(self.request("PUT", "/agent/v1/observed", body)).await
    }
    /// Fetches and reports once.
    pub async fn turn(&mut self, world: &World) {
        self.fetch(world, 0).await;
        self.send(world, &self.report()).await.expect(204);
        if self.no_image.is_none() {
            self.deliver(world).await;
        }
    }
    /// Forever, as an agent does.
    pub async fn live(mut self, world: Arc<World>) {
        loop {
            self.send(&world, &self.report()).await;
            self.deliver(&world).await;
            self.fetch(&world, 20).await;
        }
    }
}
