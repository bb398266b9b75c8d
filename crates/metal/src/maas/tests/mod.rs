//! The door behind its real router, on SQLite always and on PostgreSQL when `HANOK_TEST_POSTGRES` holds a URL.

mod gate;
mod lives;
mod machines;
mod metadata;
mod networks;
mod people;
mod reference;

use super::{Door, keys, router};
use crate::Metal;
use crate::act::NewMachine;
use crate::model::{Disk, Status};
use crate::table::{disk, machine, segment};
use axum::Router;
use axum::body::Body;
use base::{Micros, SegmentId};
use http::{HeaderMap, Request};
use identity::Identity;
use serde_json::Value;
use std::sync::Arc;
use store::Db;
use tower::ServiceExt;

pub const API: &str = "/MAAS/api/2.0/";

pub struct World {
    pub db: Db,
    pub metal: Arc<Metal>,
    pub door: Arc<Door>,
    pub router: Router,
    /// API keys.
    pub admin: String,
    pub demo: String,
    _dir: tempfile::TempDir,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub bytes: bytes::Bytes,
}

impl Answer {
    /// The JSON of an answer that must have come with that status.
    #[track_caller]
    pub fn of(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
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

    async fn over(db: Db, dir: tempfile::TempDir) -> World {
        World::before(db, dir, None).await
    }

    /// The door to the machines of a world in which they live.
    pub async fn beside(lives: &crate::tests::world::World) -> World {
        World::before(lives.db.clone(), tempfile::tempdir().unwrap(), Some(lives.metal.clone())).await
    }

    async fn before(db: Db, dir: tempfile::TempDir, metal: Option<Arc<Metal>>) -> World {
        let rules = identity::Rules::default();
        let identity = Identity::open(db.clone(), &dir.path().join("master-key"), rules).await.unwrap();
        identity.bootstrap("admin's secret", "demo's secret").await.unwrap();
        let key = |user: &'static str| {
            let db = db.clone();
            async move { db.write(move |tx| keys::make_for(tx, user, None, "test")).await.unwrap().to_string() }
        };
        let (admin, demo) = (key("admin").await, key("demo").await);
        let images = dir.path().join("images");
        let image = image::Image::open(db.clone(), &images, image::Imports::default(), "test").await.unwrap();
        let metal = metal.unwrap_or_else(|| Metal::new(db.clone(), identity.clone()));
        let door: Arc<Door> = Door::new(metal.clone(), identity, image, dir.path().join("uploads"), None);
        World { db, metal, router: router(door.clone()), door, admin, demo, _dir: dir }
    }

    /// A machine with a NIC on the segment `room` and two disks, as if it had been measured.
    pub async fn machine(&self, name: &'static str, n: u8, status: Status) -> String {
        let metal = self.metal.clone();
        self.db
            .write(move |tx| {
                let new = NewMachine {
                    name: name.into(),
                    macs: vec![format!("52:54:00:00:00:{n:02x}")],
                    segment: Some(room(tx)?),
                    ..NewMachine::default()
                };
                let m = metal.create(tx, &new)?;
                for (column, value) in
                    [("cores", 4 * i64::from(n)), ("memory_mib", 8192), ("disk_bytes", 1_100_000_000_000)]
                {
                    machine::set(tx, m.id, column, value)?;
                }
                machine::set(tx, m.id, "inventory_at", Micros::now())?;
                machine::set_status(tx, m.id, status, "")?;
                for (id, size, kind) in [("sda", 100_000_000_000, "ssd"), ("sdb", 1_000_000_000_000, "hdd")] {
                    disk::put(
                        tx,
                        &Disk {
                            machine: m.id,
                            id: format!("{id}-{n}"),
                            number: 0,
                            name: id.into(),
                            model: "Disk".into(),
                            serial: format!("S{n}{id}"),
                            size_bytes: size,
                            sector: 512,
                            kind: kind.into(),
                            removable: false,
                            role: String::new(),
                            role_by_hand: false,
                        },
                    )?;
                }
                Ok(m.system_id)
            })
            .await
            .unwrap()
    }

    /// Sets a machine's status as the life-cycle would.
    pub async fn status(&self, system_id: &str, status: Status) {
        let id = system_id.to_owned();
        self.db
            .write(move |tx| {
                let m = machine::by_any(tx, &id)?.unwrap();
                if status == Status::Ready {
                    machine::set(tx, m.id, "project_id", "")?;
                    machine::set(tx, m.id, "user_id", "")?;
                }
                machine::set_status(tx, m.id, status, "")
            })
            .await
            .unwrap();
    }

    /// A request with a form as its body; an empty key is none.
    pub async fn call(&self, key: &str, method: &str, path: &str, form: &str) -> Answer {
        let body = Body::from(form.to_owned());
        self.send(key, method, path, "application/x-www-form-urlencoded", body).await
    }

    pub async fn get(&self, key: &str, path: &str) -> Answer {
        self.call(key, "GET", path, "").await
    }

    pub async fn post(&self, key: &str, path: &str, form: &str) -> Answer {
        self.call(key, "POST", path, form).await
    }

    pub async fn send(&self, key: &str, method: &str, path: &str, kind: &str, body: Body) -> Answer {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{API}{path}") };
        let mut request = Request::builder().method(method).uri(path).header("host", "maas.test:5240");
        if !key.is_empty() {
            request = request.header("authorization", header(key));
        }
        let request = request.header("content-type", kind).body(body).unwrap();
        answer(&self.router, request).await
    }
}

/// The segment `room` with a subnet, made when it is not there.
fn room(tx: &store::Tx<'_>) -> base::Result<SegmentId> {
    if let Ok(found) = segment::find(tx, "room") {
        return Ok(found.id);
    }
    let id = SegmentId::new();
    segment::insert(
        tx,
        &segment::Segment {
            id,
            number: 0,
            name: "room".into(),
            rack: None,
            interface: "eth1".into(),
            dhcp: base::doc::rack::DhcpMode::Serve,
            enlist: true,
            description: String::new(),
            free: 0,
            foreign_dhcp: Vec::new(),
            reason: String::new(),
            created_at: Micros::now(),
        },
    )?;
    segment::insert_subnet(
        tx,
        &segment::Subnet {
            id: "s1".into(),
            number: 0,
            segment: id,
            name: "lab".into(),
            cidr: "10.9.0.0/24".parse().unwrap(),
            address: "10.9.0.1".parse().unwrap(),
            gateway: Some("10.9.0.1".parse().unwrap()),
            dns: Vec::new(),
            ntp: Vec::new(),
            relays: Vec::new(),
            mtu: 0,
        },
    )?;
    Ok(id)
}

pub async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 26).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer { status: parts.status.as_u16(), headers: parts.headers, text, bytes }
}

/// The header that a key goes in.
pub fn header(key: &str) -> String {
    let mut parts = key.split(':');
    let mut part = || parts.next().unwrap_or_default();
    let (consumer, token, secret) = (part(), part(), part());
    format!(
        r#"OAuth oauth_nonce="7", oauth_timestamp="1700000000", oauth_version="1.0", oauth_signature_method="PLAINTEXT", oauth_consumer_key="{consumer}", oauth_token="{token}", oauth_signature="%26{secret}""#
    )
}
