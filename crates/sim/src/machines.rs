//! Simulated machines with their racks: they speak the real protocols over the real wire and obey at once,
//! without disks or firmware.
//!
//! Invariant: what is reported follows from what was told. A machine that is switched on asks its rack what to
//! boot, as firmware does; its live system says hello and does its tasks.

use base::doc::live::{
    CpuFacts, DiskFacts, DiskKind, Erased, Hello, Inventory, NicFacts, Report, Stage, SystemFacts, Task,
    TestResult, Welcome, Work, WriteImage,
};
use base::doc::rack::{
    ASKER_MAC, Boot, BootAnswer, BootQuestion, RACK_TOKEN, RackDesired, RackImageStatus, RackMachineStatus,
    RackObserved,
};
use base::{Fault, MachineId, Micros, RackId, Result, SegmentId};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How long one waits for something newer, in seconds.
const WAIT: u64 = 10;
/// Changes that come close together are reported together.
const GATHER: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_millis(500);
const ANSWER: usize = 64 << 20;

/// A rack, and the machines behind it.
#[derive(Debug, Clone)]
pub struct Rack {
    pub id: RackId,
    pub token: String,
    pub segment: SegmentId,
    /// Numbers of its machines: each has a MAC made from its number.
    pub machines: Vec<u32>,
}

/// What a rack tells a machine's power supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Order {
    want: Option<bool>,
    cycles: u64,
    /// Restarts that were carried out before we came.
    cycled: u64,
}

/// A machine as its rack sees it.
#[derive(Debug, Clone, Default)]
struct Seen {
    id: Option<MachineId>,
    on: bool,
    cycles: u64,
    boot_at: Option<Micros>,
    boot_answer: &'static str,
}

struct Pc {
    mac: String,
    seen: Mutex<Seen>,
    order: watch::Sender<Order>,
}

struct Shared {
    wire: Wire,
    rack: Rack,
    pcs: Vec<Arc<Pc>>,
    document: Mutex<Option<Arc<RackDesired>>>,
    changed: Notify,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `52:54:ac:…` with the number at its end.
fn mac(n: u32) -> String {
    let [_, a, b, c] = n.to_be_bytes();
    format!("52:54:ac:{a:02x}:{b:02x}:{c:02x}")
}

/// Runs racks and machines against the region at `url`, until dropped.
pub async fn run(url: String, racks: Vec<Rack>) {
    let mut all = JoinSet::new();
    for rack in racks {
        let pcs = rack.machines.iter().map(|n| {
            let order = watch::Sender::new(Order::default());
            Arc::new(Pc { mac: mac(*n), seen: Mutex::default(), order })
        });
        let shared = Arc::new(Shared {
            pcs: pcs.collect(),
            wire: Wire {
                client: Client::builder(TokioExecutor::new()).build(tls::Dialer::plain()),
                url: url.clone(),
            },
            rack,
            document: Mutex::default(),
            changed: Notify::new(),
        });
        all.spawn(follow(shared.clone()));
        for pc in &shared.pcs {
            all.spawn(live(shared.clone(), pc.clone()));
        }
    }
    while all.join_next().await.is_some() {}
}

/// The rack: gets its document and tells the machines, and reports, neither waiting for the other.
async fn follow(s: Arc<Shared>) {
    tokio::join!(hear(&s), report(&s));
}

async fn hear(s: &Shared) {
    let headers = s.rack_headers();
    let mut since = 0;
    loop {
        let path = format!("/rack/v1/desired?since={since}&wait={WAIT}");
        match s.wire.ask::<(), RackDesired>(&headers, "GET", &path, None).await {
            Ok(Some(new)) => {
                obey(s, &new);
                since = new.generation;
                *lock(&s.document) = Some(Arc::new(new));
            }
            Ok(None) => {}
            Err(fault) => {
                tracing::debug!(%fault, "the region is away");
                tokio::time::sleep(AGAIN).await;
            }
        }
        s.changed.notify_one();
    }
}

async fn report(s: &Shared) {
    let headers = s.rack_headers();
    loop {
        s.changed.notified().await;
        tokio::time::sleep(GATHER).await;
        let document = lock(&s.document).clone();
        if let Some(d) = document
            && let Err(fault) = s.wire.tell(&headers, "PUT", "/rack/v1/observed", &observe(s, &d)).await
        {
            tracing::debug!(%fault, "the report was not taken");
            tokio::time::sleep(AGAIN).await;
            s.changed.notify_one();
        }
    }
}

fn obey(s: &Shared, document: &RackDesired) {
    let by: HashMap<&str, _> =
        document.machines.iter().flat_map(|m| m.nics.iter().map(move |n| (n.mac.as_str(), m))).collect();
    for pc in &s.pcs {
        let Some(told) = by.get(pc.mac.as_str()) else { continue };
        lock(&pc.seen).id = Some(told.id);
        let order = Order { want: told.power.want, cycles: told.power.cycles, cycled: told.power.cycled };
        pc.order.send_if_modified(|now| std::mem::replace(now, order) != order);
    }
}

fn observe(s: &Shared, d: &RackDesired) -> RackObserved {
    let machines = s.pcs.iter().filter_map(|pc| {
        let seen = lock(&pc.seen).clone();
        Some(RackMachineStatus {
            id: seen.id?,
            power: Some(seen.on),
            cycles: seen.cycles,
            reason: String::new(),
            read_at: Some(Micros::now()),
            boot_at: seen.boot_at,
            boot_answer: seen.boot_answer.to_owned(),
        })
    });
    let images = d.images.iter().map(|i| RackImageStatus {
        sha512: i.sha512.clone(),
        ready: true,
        done_bytes: i.size,
        total_bytes: i.size,
        virtual_size: i.size,
        reason: String::new(),
    });
    RackObserved {
        version: base::doc::VERSION,
        rack: s.rack.id,
        applied: d.generation,
        agent_version: env!("CARGO_PKG_VERSION").into(),
        interfaces: Vec::new(),
        segments: Vec::new(),
        machines: machines.collect(),
        images: images.collect(),
        leases: Vec::new(),
        strangers: Vec::new(),
    }
}

/// One machine: somebody has just plugged it in.
async fn live(s: Arc<Shared>, pc: Arc<Pc>) {
    let mut orders = pc.order.subscribe();
    let mut says_so = None;
    set(&s, &pc, |seen| seen.on = true);
    loop {
        let on = lock(&pc.seen).on;
        let runs =
            async { if on { power_on(&s, &pc, &mut says_so).await } else { std::future::pending().await } };
        tokio::select! {
            left = runs => set(&s, &pc, |seen| seen.on = left),
            told = orders.changed() => {
                if told.is_err() {
                    return;
                }
            }
        }
        let order = *orders.borrow_and_update();
        set(&s, &pc, |seen| {
            seen.cycles = seen.cycles.max(order.cycled);
            if order.cycles > seen.cycles {
                (seen.cycles, seen.on) = (order.cycles, true);
            } else if let Some(want) = order.want {
                seen.on = want;
            }
        });
    }
}

fn set(s: &Shared, pc: &Pc, change: impl FnOnce(&mut Seen)) {
    change(&mut lock(&pc.seen));
    s.changed.notify_one();
}

/// From switching on to the next start (true) or to its going off.
async fn power_on(s: &Shared, pc: &Pc, says_so: &mut Option<String>) -> bool {
    loop {
        match start(s, pc, says_so).await {
            Ok(on) => return on,
            Err(fault) => tracing::debug!(mac = pc.mac, %fault, "a simulated machine starts again"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn start(s: &Shared, pc: &Pc, says_so: &mut Option<String>) -> Result<bool> {
    let question =
        BootQuestion { segment: s.rack.segment, mac: pc.mac.clone(), uuid: String::new(), arch: 7 };
    let answer: Option<BootAnswer> =
        s.wire.ask(&s.rack_headers(), "POST", "/rack/v1/boot", Some(&question)).await?;
    let Some(answer) = answer else { return Err(Fault::unavailable("no answer")) };
    let word = match &answer.boot {
        Boot::Live { .. } => "live",
        Boot::Local => "local",
        Boot::Off => "off",
    };
    set(s, pc, |seen| (seen.boot_at, seen.boot_answer) = (Some(Micros::now()), word));
    match answer.boot {
        Boot::Off => Ok(false),
        Boot::Local => {
            if let Some(path) = says_so.as_deref() {
                s.wire.tell(&[], "POST", path, &()).await?;
            }
            // Its own system runs until somebody switches it.
            std::future::pending().await
        }
        Boot::Live { token } => live_system(s, pc, &token, says_so).await,
    }
}

async fn live_system(s: &Shared, pc: &Pc, token: &str, says_so: &mut Option<String>) -> Result<bool> {
    let hello = Hello {
        macs: vec![pc.mac.clone()],
        uuid: String::new(),
        serial: pc.mac.replace(':', ""),
        uefi: true,
        live_version: env!("CARGO_PKG_VERSION").into(),
        address: String::new(),
        peer_port: 0,
    };
    let welcome: Option<Welcome> =
        s.wire.ask(&s.live_headers(pc, token), "POST", "/live/v1/hello", Some(&hello)).await?;
    let Some(welcome) = welcome else { return Err(Fault::unavailable("no welcome")) };
    let headers = s.live_headers(pc, &welcome.session);
    set(s, pc, |seen| seen.id = Some(welcome.machine));
    let mut since = 0;
    loop {
        let path = format!("/live/v1/task?since={since}&wait={WAIT}");
        let Some(task): Option<Task> = s.wire.ask::<(), _>(&headers, "GET", &path, None).await? else {
            continue;
        };
        since = task.number;
        let mut report = Report {
            number: task.number,
            stage: Stage::Done,
            reason: String::new(),
            lasting: false,
            done_bytes: 0,
            total_bytes: 0,
            results: Vec::new(),
            erased: Vec::new(),
        };
        let mut leaves = None;
        match task.work {
            Work::Idle => continue,
            Work::Inventory => {
                s.wire.tell(&headers, "PUT", "/live/v1/inventory", &inventory(&pc.mac)).await?
            }
            Work::Test { tests } => {
                let fine =
                    |test| TestResult { test, part: String::new(), passed: true, output: String::new() };
                report.results = tests.into_iter().map(fine).collect();
            }
            Work::Erase { .. } => report.erased = vec![erased(&pc.mac)],
            Work::Write(image) => *says_so = its_word(&image),
            Work::Reboot => leaves = Some(true),
            Work::PowerOff => leaves = Some(false),
        }
        s.wire.tell(&headers, "PUT", "/live/v1/report", &report).await?;
        if let Some(on) = leaves {
            return Ok(on);
        }
    }
}

fn erased(mac: &str) -> Erased {
    Erased {
        disk: format!("sim-{mac}"),
        method: "simulated".into(),
        bytes: 500 << 30,
        read_back: 500 << 30,
        wrong: 0,
    }
}

/// Where the new system says that it is up: the path in its seed.
fn its_word(image: &WriteImage) -> Option<String> {
    const PATH: &str = "/live/v1/booted/";
    let vendor = image.config_drive.get("openstack/latest/vendor_data.json")?;
    let rest = &vendor[vendor.find(PATH)? + PATH.len()..];
    let secret: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    Some(format!("{PATH}{secret}"))
}

/// A desktop as there are many of.
fn inventory(mac: &str) -> Inventory {
    Inventory {
        system: SystemFacts {
            vendor: "Simulated".into(),
            product: "Desktop".into(),
            serial: mac.replace(':', ""),
            uefi: true,
            ..SystemFacts::default()
        },
        cpu: CpuFacts {
            model: "Simulated CPU".into(),
            arch: "x86_64".into(),
            sockets: 1,
            cores: 4,
            threads: 8,
            mhz: 3000,
            numa_nodes: 1,
            virtualisation: "vmx".into(),
        },
        memory_mib: 32 << 10,
        disks: vec![DiskFacts {
            id: format!("sim-{mac}"),
            name: "sda".into(),
            model: "Simulated SSD".into(),
            size_bytes: 500_000_000_000,
            sector: 512,
            physical_sector: 4096,
            kind: DiskKind::Ssd,
            ..DiskFacts::default()
        }],
        nics: vec![NicFacts {
            name: "eth0".into(),
            mac: mac.into(),
            link: true,
            speed: 1000,
            boot: true,
            ..NicFacts::default()
        }],
        ..Inventory::default()
    }
}

type Headers = Vec<(&'static str, String)>;

impl Shared {
    fn rack_headers(&self) -> Headers {
        vec![("authorization", format!("Bearer {}", self.rack.token))]
    }
    fn live_headers(&self, pc: &Pc, secret: &str) -> Headers {
        vec![
            ("authorization", format!("Bearer {secret}")),
            (RACK_TOKEN, self.rack.token.clone()),
            (ASKER_MAC, pc.mac.clone()),
        ]
    }
}

/// JSON over HTTP.
struct Wire {
    client: Client<tls::Dialer, Full<Bytes>>,
    url: String,
}

impl Wire {
    async fn ask<B: Serialize, T: DeserializeOwned>(
        &self,
        headers: &[(&'static str, String)],
        method: &str,
        path: &str,
        body: Option<&B>,
    ) -> Result<Option<T>> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(Fault::internal)?;
        let response = self.client.request(request).await.map_err(|e| Fault::unavailable(e.to_string()))?;
        let status = response.status();
        let bytes =
            Limited::new(response.into_body(), ANSWER).collect().await.map_err(Fault::internal)?.to_bytes();
        match status.as_u16() {
            204 => Ok(None),
            200..300 => Ok(Some(serde_json::from_slice(&bytes)?)),
            code => Err(Fault::unavailable(format!("{path}: {code} {}", String::from_utf8_lossy(&bytes)))),
        }
    }

    /// As `ask`, where the answer says nothing.
    async fn tell<B: Serialize>(
        &self,
        headers: &[(&'static str, String)],
        method: &str,
        path: &str,
        body: &B,
    ) -> Result<()> {
        self.ask::<B, serde_json::Value>(headers, method, path, Some(body)).await.map(drop)
    }
}
