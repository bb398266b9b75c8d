//! A database of its own with hosts, the router in process, and a few words to talk to it.

use api::{Auth, Authority, Gate, Level, Named, Scope};
use axum::Router;
use axum::handler::Handler;
use base::{DomainId, Fault, HostId, Micros, ProjectId, Result, RoleId, ServerId, UserId};
use http::Request;
use ipnet::IpNet;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use store::{Db, params};
use tempfile::TempDir;

#[derive(Clone)]
pub struct World {
    pub db: Db,
    router: Router,
    _dir: Arc<TempDir>,
}

/// Tokens are names: `admin`, `demo`, `other` (members of a project each), `reader` (of demo).
struct Names;

impl Authority for Names {
    fn verify<'a>(&'a self, token: &'a str) -> Pin<Box<dyn Future<Output = Result<Arc<Auth>>> + Send + 'a>> {
        let (project, level) = match token {
            "admin" => (ADMIN, Level::Admin),
            "demo" => (DEMO, Level::Member),
            "other" => (OTHER, Level::Member),
            "reader" => (DEMO, Level::Reader),
            _ => return Box::pin(async { Err(Fault::unauthorized()) }),
        };
        let domain = DomainId::from("default");
        let auth = Auth {
            user: Named {
                id: UserId::from(token),
                name: token.into(),
                domain_id: domain.clone(),
                domain_name: "Default".into(),
            },
            scope: Scope::Project(Named {
                id: ProjectId::from(project),
                name: token.into(),
                domain_id: domain,
                domain_name: "Default".into(),
            }),
            roles: vec![(RoleId::from("r"), format!("{level:?}").to_lowercase())],
            level,
            methods: Vec::new(),
            audit_ids: Vec::new(),
            issued_at: Micros::now(),
            expires_at: Micros(i64::MAX),
            application_credential: None,
        };
        Box::pin(async { Ok(Arc::new(auth)) })
    }
}

fn world(db: Db, dir: TempDir) -> World {
    let gate = Gate { authority: Arc::new(Names), public_url: None };
    let net = Arc::new(crate::Network::new(db.clone()));
    let router = crate::service().router(net.clone(), &gate).merge(crate::own_service().router(net, &gate));
    World { db, router, _dir: Arc::new(dir) }
}

/// One world per database.
pub async fn worlds() -> Vec<World> {
    testing::databases().await.into_iter().map(|(db, dir)| world(db, dir)).collect()
}

pub const ADMIN: &str = "a0000000000000000000000000000000";
pub const DEMO: &str = "d0000000000000000000000000000000";
pub const OTHER: &str = "e0000000000000000000000000000000";

/// An answer: status and JSON (null when there is no body).
pub type Answer = (u16, Value);

impl World {
    /// One request. `path` follows `/network/v2.0`; `extra` is one more header.
    pub async fn send(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
        extra: Option<(&str, &str)>,
    ) -> Answer {
        let full = if path.starts_with("//") { path[1..].to_owned() } else { format!("/network/v2.0{path}") };
        let mut r = Request::builder().method(method).uri(full).header("host", "cloud:5240");
        if !token.is_empty() {
            r = r.header("x-auth-token", token);
        }
        if let Some((k, v)) = extra {
            r = r.header(k, v);
        }
        let body = if body.is_null() { axum::body::Body::empty() } else { body.to_string().into() };
        let serve = axum::routing::any_service(self.router.clone());
        let answer = Handler::call(serve, r.body(body).unwrap(), ()).await;
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 26).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    pub async fn get(&self, token: &str, path: &str) -> Value {
        let (status, v) = self.send(token, "GET", path, &Value::Null, None).await;
        assert_eq!(status, 200, "GET {path}: {v}");
        v
    }

    /// POST that must make something.
    pub async fn make(&self, token: &str, path: &str, body: Value) -> Value {
        let (status, v) = self.send(token, "POST", path, &body, None).await;
        assert_eq!(status, 201, "POST {path} {body}: {v}");
        v.as_object().unwrap().values().next().unwrap().clone()
    }

    pub async fn put(&self, token: &str, path: &str, body: Value) -> Value {
        let (status, v) = self.send(token, "PUT", path, &body, None).await;
        assert_eq!(status, 200, "PUT {path} {body}: {v}");
        v
    }

    pub async fn remove(&self, token: &str, path: &str) {
        let (status, v) = self.send(token, "DELETE", path, &Value::Null, None).await;
        assert_eq!(status, 204, "DELETE {path}: {v}");
    }

    /// A request that must be refused with this status and type.
    pub async fn refused(&self, token: &str, method: &str, path: &str, body: Value, status: u16, kind: &str) {
        let (got, v) = self.send(token, method, path, &body, None).await;
        let found = v["NeutronError"]["type"].as_str().unwrap_or("").to_owned();
        assert_eq!((got, found.as_str()), (status, kind), "{method} {path} {body}: {v}");
    }

    /// A network of `token`'s project with one IPv4 subnet; both ids.
    pub async fn network(&self, token: &str, cidr: &str) -> (String, String) {
        let n = self.make(token, "/networks", serde_json::json!({"network": {"name": "n"}})).await;
        let id = n["id"].as_str().unwrap().to_owned();
        let body = serde_json::json!({"subnet": {"network_id": id, "ip_version": 4, "cidr": cidr}});
        let s = self.make(token, "/subnets", body).await;
        (id, s["id"].as_str().unwrap().to_owned())
    }

    /// A host whose underlay address is 192.0.2.`n`.
    pub async fn host(&self, name: &str, n: u8) -> HostId {
        let (id, name) = (HostId::new(), name.to_owned());
        self.db
            .write(move |tx| {
                tx.exec(
                    "INSERT INTO host (id, name, token_hash, facts, seen_at, created_at) VALUES ($1, $2, $2, $3, $4, 1)",
                    params![id, &name, format!("{{\"tunnel\": \"192.0.2.{n}\"}}"), base::Micros::now()],
                )?;
                crate::for_hosts::settle_homes(tx)?;
                Ok(id)
            })
            .await
            .unwrap()
    }

    pub async fn first_start(&self) {
        let nat: IpNet = "172.24.4.1/24".parse().unwrap();
        self.db
            .write(move |tx| crate::first_start(tx, &ProjectId::from(ADMIN), &ProjectId::from(DEMO), nat))
            .await
            .unwrap();
    }

    pub async fn generation(&self, host: HostId) -> i64 {
        self.db
            .read(move |tx| tx.one("SELECT generation FROM host WHERE id = $1", params![host], |r| r.get(0)))
            .await
            .unwrap()
    }

    /// What the host says it has done.
    pub async fn applied(&self, host: HostId, generation: i64) {
        let sql = "UPDATE host SET applied = $2 WHERE id = $1";
        self.db.write(move |tx| tx.exec(sql, params![host, generation])).await.unwrap();
    }

    /// A server of the demo project with one NIC on its only network, bound to `host`.
    pub async fn server(&self, host: HostId) -> ServerId {
        let id = ServerId::new();
        self.db
            .write(move |tx| {
                let (p, nics) = (ProjectId::from(DEMO), crate::for_compute::Nics::Default);
                crate::for_compute::allocate(tx, &p, false, id, "web", &nics, &[])?;
                crate::for_compute::bind(tx, id, Some(host))
            })
            .await
            .unwrap();
        id
    }

    pub async fn document(&self, host: HostId) -> crate::for_hosts::HostNetworks {
        self.db.read(move |tx| crate::for_hosts::document(tx, host)).await.unwrap()
    }

    /// An address of the public network that nobody has: others are chosen at random.
    pub async fn free_public(&self) -> String {
        let ports = self.get("admin", "/ports?fields=fixed_ips").await.to_string();
        let mut all = (2..=254).map(|n| format!("172.24.4.{n}"));
        all.find(|a| !ports.contains(&format!("\"{a}\""))).unwrap()
    }
    pub async fn used(&self, project: &'static str, resource: &'static str) -> i64 {
        self.db
            .read(move |tx| Ok(store::quota::usage(tx, &ProjectId::from(project), resource, 0)?.used))
            .await
            .unwrap()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        self.db.read(move |tx| tx.one(sql, &[], |r| r.get(0))).await.unwrap()
    }
}

/// The hosts that have what a network asks.
pub fn hosts_of(
    tx: &store::Tx<'_>,
    need: &crate::for_compute::Need,
) -> base::Result<std::collections::BTreeSet<HostId>> {
    Ok(need.hosts.rows(tx, |r| r.get(0))?.into_iter().collect())
}
