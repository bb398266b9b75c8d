//! The region's side of the contract, as much as a rack sees of it.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use base::doc::rack::*;
use base::{MachineId, Micros, RackId, SegmentId};
use bytes::Bytes;
use http::StatusCode;
use sha2::{Digest, Sha512};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub const TOKEN: &str = "the-racks-own-token";

#[derive(Clone)]
pub struct Region(Arc<Inner>);

struct Inner {
    doc: watch::Sender<RackDesired>,
    seen: watch::Sender<Option<RackObserved>>,
    blobs: Mutex<HashMap<String, Vec<u8>>>,
    /// What was passed on: path, asker's address and MAC, and the asker's own proof.
    passed: Mutex<Vec<[String; 4]>>,
}

impl Region {
    pub fn new() -> Region {
        let doc = RackDesired {
            version: 1,
            rack: RackId::new(),
            generation: 1,
            segments: vec![],
            machines: vec![],
            images: vec![],
            live: None,
            domain: "metal.test".into(),
            upstream_dns: vec![],
            fixed: vec![],
            zones: vec![],
            records: vec![],
            consoles: vec![],
        };
        Region(Arc::new(Inner {
            doc: watch::Sender::new(doc),
            seen: watch::Sender::new(None),
            blobs: Mutex::default(),
            passed: Mutex::default(),
        }))
    }

    pub fn rack(&self) -> RackId {
        self.0.doc.borrow().rack
    }

    /// Changes the document; the generation counts up.
    pub fn tell(&self, change: impl FnOnce(&mut RackDesired)) {
        self.0.doc.send_modify(|d| {
            change(d);
            d.generation += 1;
        });
    }

    pub fn blob(&self, bytes: Vec<u8>) -> String {
        let hash = hex::encode(Sha512::digest(&bytes));
        self.0.blobs.lock().unwrap().insert(hash.clone(), bytes);
        hash
    }

    pub fn passed(&self) -> Vec<[String; 4]> {
        self.0.passed.lock().unwrap().clone()
    }

    /// The first report that is as wished for.
    pub async fn sees(&self, what: &str, good: impl Fn(&RackObserved) -> bool) -> RackObserved {
        let mut seen = self.0.seen.subscribe();
        let wanted = seen.wait_for(|s| s.as_ref().is_some_and(&good));
        match tokio::time::timeout(Duration::from_secs(120), wanted).await {
            Ok(found) => found.unwrap().clone().unwrap(),
            Err(_) => panic!("never seen: {what}; at last {:#?}", self.0.seen.borrow()),
        }
    }

    /// Serves until the task ends; answers with the base URL.
    pub async fn serve(&self) -> (String, tokio::task::JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/rack/v1/desired", get(desired))
            .route("/rack/v1/observed", put(observed))
            .route("/rack/v1/boot", post(boot))
            .route("/rack/v1/images/{sha512}", get(image))
            .route("/live/v1/{*path}", any(passed))
            .with_state(self.clone());
        (url, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
    }
}

fn proven(request: &Request) -> bool {
    request.headers().get("authorization").is_some_and(|a| *a == format!("Bearer {TOKEN}"))
}

async fn desired(State(region): State<Region>, request: Request) -> Response {
    if !proven(&request) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let query = request.uri().query().unwrap_or_default();
    let since: u64 = query.split('&').find_map(|w| w.strip_prefix("since=")?.parse().ok()).unwrap();
    let mut doc = region.0.doc.subscribe();
    let newer = doc.wait_for(|d| d.generation > since);
    match tokio::time::timeout(Duration::from_secs(5), newer).await {
        Ok(doc) => serde_json::to_vec(&*doc.unwrap()).unwrap().into_response(),
        Err(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn observed(State(region): State<Region>, body: Bytes) -> StatusCode {
    region.0.seen.send_replace(Some(serde_json::from_slice(&body).unwrap()));
    StatusCode::NO_CONTENT
}

async fn boot(State(region): State<Region>, body: Bytes) -> Response {
    let question: BootQuestion = serde_json::from_slice(&body).unwrap();
    let doc = region.0.doc.borrow().clone();
    let known = doc.machines.iter().find(|m| m.nics.iter().any(|n| n.mac == question.mac));
    let answer = match known {
        Some(machine) => BootAnswer { machine: Some(machine.id), boot: machine.boot.clone() },
        None => BootAnswer { machine: None, boot: Boot::Live { token: "stranger".into() } },
    };
    serde_json::to_vec(&answer).unwrap().into_response()
}

async fn image(State(region): State<Region>, Path(sha512): Path<String>, request: Request) -> Response {
    let Some(bytes) = region.0.blobs.lock().unwrap().get(&sha512).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let from = request.headers().get("range").and_then(|r| r.to_str().ok()?.strip_prefix("bytes="));
    match from.and_then(|r| r.strip_suffix('-')?.parse::<usize>().ok()) {
        Some(from) if from >= bytes.len() => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        Some(from) => (StatusCode::PARTIAL_CONTENT, bytes[from..].to_vec()).into_response(),
        None => bytes.into_response(),
    }
}

async fn passed(State(region): State<Region>, request: Request<Body>) -> String {
    let header =
        |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    assert_eq!(header(RACK_TOKEN), TOKEN);
    let path = request.uri().path().to_owned();
    let seen = [path, header(ASKER_ADDRESS), header(ASKER_MAC), header("authorization")];
    region.0.passed.lock().unwrap().push(seen);
    "heard".into()
}

pub fn machine(name: &str, mac: &str, address: &str, boot: Boot) -> RackMachine {
    RackMachine {
        id: MachineId::new(),
        name: name.into(),
        nics: vec![RackNic { mac: mac.into(), addresses: vec![address.parse().unwrap()] }],
        uuid: String::new(),
        boot,
        bmc: None,
        power: PowerOrder::default(),
        host: false,
    }
}

pub fn segment(dhcp: DhcpMode, ranges: &[(&str, &str)]) -> Segment {
    Segment {
        id: SegmentId::new(),
        name: "metal".into(),
        interface: "br0".into(),
        dhcp,
        enlist: true,
        subnets: vec![RackSubnet {
            cidr: "10.77.0.0/20".parse().unwrap(),
            address: "10.77.0.1".parse().unwrap(),
            gateway: None,
            dns: vec![],
            ntp: vec![],
            ranges: ranges.iter().map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).collect(),
            mtu: 0,
            relays: vec![],
        }],
    }
}

/// How much later a lease ends than now.
pub fn left(lease: &Lease) -> Duration {
    lease.expires_at.since(Micros::now())
}
