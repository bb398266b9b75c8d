//! As much of a rack and a region as a live system sees: hello, one task at a time, reports, and one image in chunks.

use crate::wait::{LONG, until};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use base::MachineId;
use base::doc::live::{Hello, Inventory, Report, Stage, Task, Welcome, Work};
use base::doc::rack::Manifest;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const CHUNK: usize = 4 << 20;
const SESSION: &str = "session-secret";

#[derive(Default)]
struct Desk {
    token: String,
    ssh_key: String,
    hello: Option<Hello>,
    inventory: Option<Inventory>,
    task: Option<Task>,
    report: Option<Report>,
    manifest: Option<Manifest>,
    chunks: HashMap<String, Bytes>,
    damage: usize,
    damaged: usize,
    welcomed_at: i64,
}

type Shared = Arc<Mutex<Desk>>;

pub struct Rack {
    pub port: u16,
    desk: Shared,
    _runtime: tokio::runtime::Runtime,
}

impl Rack {
    pub fn start(token: &str, ssh_key: &str, image: &[u8]) -> Rack {
        let mut desk = Desk { token: token.into(), ssh_key: ssh_key.into(), ..Desk::default() };
        let mut hashes = Vec::new();
        for bytes in image.chunks(CHUNK) {
            if bytes.iter().all(|b| *b == 0) {
                hashes.push(String::new());
                continue;
            }
            let hash = hex::encode(Sha256::digest(bytes));
            desk.chunks.insert(hash.clone(), zstd::bulk::compress(bytes, 1).unwrap().into());
            hashes.push(hash);
        }
        let (size, chunk_bytes) = (image.len() as u64, CHUNK as u32);
        desk.manifest = Some(Manifest { size, chunk_bytes, chunks: hashes, peers: Vec::new() });
        let desk = Arc::new(Mutex::new(desk));
        let router = Router::new()
            .route("/live/v1/hello", post(hello))
            .route("/live/v1/task", get(task))
            .route("/live/v1/report", put(report))
            .route("/live/v1/inventory", put(inventory))
            .route("/images/{image}/manifest", get(manifest))
            .route("/images/{image}/chunks/{sha256}", get(chunk))
            .with_state(desk.clone());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Rack { port, desk, _runtime: runtime }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }
    pub fn hello(&self) -> Option<Hello> {
        self.desk().hello.clone()
    }
    pub fn inventory(&self) -> Option<Inventory> {
        self.desk().inventory.clone()
    }
    /// Seconds since 1970 that the machine was told.
    pub fn welcomed_at(&self) -> i64 {
        self.desk().welcomed_at
    }
    /// The next chunk that is asked for arrives damaged.
    pub fn damage_one(&self) {
        self.desk().damage = 1;
    }
    pub fn damaged(&self) -> usize {
        self.desk().damaged
    }
    /// Gives out a task and waits for its end.
    #[track_caller]
    pub fn carry_out(&self, work: Work) -> Report {
        let number = {
            let mut desk = self.desk();
            let number = desk.task.as_ref().map_or(1, |t| t.number + 1);
            eprintln!("task {number}: {work:?}");
            desk.task = Some(Task { number, work });
            number
        };
        let ended = |r: &Report| r.number == number && r.stage != Stage::Running;
        until(LONG, "the task ends", || self.desk().report.clone().filter(ended))
    }
}

fn bearer(headers: &HeaderMap) -> &str {
    headers.get("authorization").and_then(|v| v.to_str().ok()?.strip_prefix("Bearer ")).unwrap_or_default()
}

async fn hello(State(desk): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<String, StatusCode> {
    let mut desk = desk.lock().unwrap();
    if bearer(&headers) != desk.token {
        return Err(StatusCode::UNAUTHORIZED);
    }
    desk.hello = Some(serde_json::from_slice(&body).unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    desk.welcomed_at = now.as_secs() as i64;
    let welcome = Welcome {
        machine: MachineId::new(),
        name: "blank-1".into(),
        session: SESSION.into(),
        ssh_keys: vec![desk.ssh_key.clone()],
        now: now.as_micros() as i64,
    };
    Ok(serde_json::to_string(&welcome).unwrap())
}

/// `since=N&wait=S`
async fn task(
    State(desk): State<Shared>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<String, StatusCode> {
    if bearer(&headers) != SESSION {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let query = query.unwrap_or_default();
    let number = |name: &str| {
        let value = query.split('&').find_map(|w| w.strip_prefix(name)).unwrap();
        value.parse::<u64>().unwrap()
    };
    let (since, end) = (number("since="), Instant::now() + Duration::from_secs(number("wait=")));
    while Instant::now() < end {
        if let Some(task) = desk.lock().unwrap().task.clone().filter(|t| t.number > since) {
            return Ok(serde_json::to_string(&task).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(StatusCode::NO_CONTENT)
}

async fn report(State(desk): State<Shared>, body: Bytes) -> StatusCode {
    let new: Report = serde_json::from_slice(&body).unwrap();
    let mut desk = desk.lock().unwrap();
    // What has ended stays so, as with the region: a report of the way there may come late.
    if desk.report.as_ref().is_none_or(|r| r.number != new.number || r.stage == Stage::Running) {
        desk.report = Some(new);
    }
    StatusCode::NO_CONTENT
}

async fn inventory(State(desk): State<Shared>, body: Bytes) -> StatusCode {
    desk.lock().unwrap().inventory = Some(serde_json::from_slice(&body).unwrap());
    StatusCode::NO_CONTENT
}

async fn manifest(State(desk): State<Shared>, Path(image): Path<String>) -> Result<String, StatusCode> {
    let found = desk.lock().unwrap().manifest.clone();
    found.filter(|_| image == "mini").map(|m| serde_json::to_string(&m).unwrap()).ok_or(StatusCode::NOT_FOUND)
}

async fn chunk(
    State(desk): State<Shared>,
    Path((_, hash)): Path<(String, String)>,
) -> Result<Bytes, StatusCode> {
    let mut desk = desk.lock().unwrap();
    let bytes = desk.chunks.get(&hash).cloned().ok_or(StatusCode::NOT_FOUND)?;
    if desk.damage == 0 {
        return Ok(bytes);
    }
    desk.damage -= 1;
    desk.damaged += 1;
    let mut content = zstd::bulk::decompress(&bytes, CHUNK).unwrap();
    content[99] ^= 1;
    Ok(zstd::bulk::compress(&content, 1).unwrap().into())
}
