//! What the tests of guests are made of: a region on loopback that serves one document and collects the
//! reports, an agent over a directory of its own, and an image that a second is enough for.

#![allow(dead_code, reason = "each test binary uses its own part")]

use agent::Config;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use base::doc::*;
use base::names::Prefix;
use base::{HostId, ImageId, NetworkId, PortId, ServerId, SubnetId};
use futures_util::StreamExt;
use sha2::{Digest, Sha512};
use std::collections::HashMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Long enough for any condition on a busy machine; only a failure ever waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "secret-of-the-test-host";

/// Assembled by hand (GNU as, 16 bits): greets on the serial port, enables the power button, then on each
/// timer tick: `q` on the serial port or the power button powers off (S5), `r` resets, else echoes.
const CODE: &[u8] = &[
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfb, 0xbe, 0x62, 0x7c, 0xac, 0x84, 0xc0,
    0x74, 0x05, 0xe8, 0x3d, 0x00, 0xeb, 0xf6, 0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, 0xf4, 0xba, 0xfd,
    0x03, 0xec, 0xa8, 0x01, 0x74, 0x0f, 0xba, 0xf8, 0x03, 0xec, 0x3c, 0x71, 0x74, 0x10, 0x3c, 0x72, 0x74,
    0x16, 0xe8, 0x1c, 0x00, 0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xdf, 0xba, 0x04, 0x06, 0xb8,
    0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd, 0xb0, 0x0e, 0xba, 0xf9, 0x0c, 0xee, 0xf4, 0xeb, 0xfd, 0x50, 0xba,
    0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0x58, 0xba, 0xf8, 0x03, 0xee, 0xc3,
];
pub const GREETING: &str = "hanok guest up";

/// The same for a guest that writes to its disk for ever: a sector of each 64 KiB, up to 128 MiB.
pub const WRITES: &[u8] = &[
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfb, 0xbe, 0x29, 0x7c, 0xb2, 0x80, 0xb8,
    0x00, 0x43, 0xcd, 0x13, 0x66, 0x81, 0x06, 0x31, 0x7c, 0x80, 0x00, 0x00, 0x00, 0x66, 0x81, 0x26, 0x31,
    0x7c, 0xff, 0xff, 0x03, 0x00, 0xeb, 0xe2, 0x10, 0x00, 0x01, 0x00, 0x00, 0x7c, 0x00, 0x00, 0x80, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];

/// A raw image of one MiB that boots [`CODE`].
pub fn image() -> Vec<u8> {
    image_of(CODE)
}

/// The same of other code, which finds the greeting behind it.
pub fn image_of(code: &[u8]) -> Vec<u8> {
    let mut disk = code.to_vec();
    disk.extend(GREETING.bytes());
    disk.extend(*b"\r\n\0");
    disk.resize(510, 0);
    disk.extend([0x55, 0xaa]);
    disk.resize(1 << 20, 0);
    disk
}

/// A region that serves one document and remembers the newest report.
pub struct Region {
    pub desired: watch::Sender<Desired>,
    pub observed: watch::Sender<Option<Observed>>,
    pub images: Mutex<HashMap<String, Vec<u8>>>,
    /// What agents brought of guests' disks, and the status that they are answered.
    pub captures: Mutex<HashMap<ImageId, Vec<u8>>>,
    pub capture_status: Mutex<StatusCode>,
    /// Images that are sent only when this is true.
    pub gate: watch::Sender<bool>,
    /// Reports that said less than an earlier one.
    pub conflicts: AtomicUsize,
    pub downloads: AtomicUsize,
    /// Reports are not taken while this is true.
    pub deaf: AtomicBool,
    /// Documents are not given while this is true.
    pub dumb: watch::Sender<bool>,
    pub url: String,
}

impl Region {
    pub async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let desired = Desired {
            version: VERSION,
            host: HostId::new(),
            generation: 1,
            guests: vec![],
            networks: vec![],
            groups: vec![],
            routers: vec![],
            fence_s: None,
        };
        let region = Arc::new(Region {
            desired: watch::Sender::new(desired),
            observed: watch::Sender::new(None),
            images: Mutex::default(),
            captures: Mutex::default(),
            capture_status: Mutex::new(StatusCode::NO_CONTENT),
            gate: watch::Sender::new(true),
            conflicts: AtomicUsize::new(0),
            downloads: AtomicUsize::new(0),
            deaf: AtomicBool::new(false),
            dumb: watch::Sender::new(false),
            url: format!("http://{}", listener.local_addr().unwrap()),
        });
        let app = Router::new()
            .route("/agent/v1/desired", get(desired_route))
            .route("/agent/v1/observed", put(observed_route))
            .route("/agent/v1/images/{sha512}", get(image_route))
            .route("/agent/v1/images/{id}/content", put(capture_route))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(region.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        region
    }

    /// Changes the document.
    pub fn change(&self, f: impl FnOnce(&mut Desired)) {
        self.desired.send_modify(|d| {
            f(d);
            d.generation += 1;
        });
    }
    /// Forgets the last report, so that the next wait is for a new one.
    pub fn forget(&self) {
        self.observed.send_replace(None);
    }
    /// Changes one guest of the document.
    pub fn change_guest(&self, id: ServerId, f: impl FnOnce(&mut Guest)) {
        self.change(|d| f(d.guests.iter_mut().find(|g| g.id == id).unwrap()));
    }

    /// Stores an image and returns where it is.
    pub fn store(&self, content: Vec<u8>) -> ImageSource {
        let sha512 = hex::encode(Sha512::digest(&content));
        let bytes = content.len() as u64;
        self.images.lock().unwrap().insert(sha512.clone(), content);
        ImageSource { id: ImageId::new(), sha512, format: "raw".into(), bytes }
    }

    /// Adds a guest that boots the test image and should run.
    pub fn add_guest(&self) -> ServerId {
        let guest = guest(self.store(image()));
        let id = guest.id;
        self.change(|d| d.guests.push(guest));
        id
    }

    /// Waits for a report that holds.
    pub async fn until(&self, what: &str, f: impl Fn(&Observed) -> bool) -> Observed {
        let mut reports = self.observed.subscribe();
        let seen = tokio::time::timeout(PATIENCE, reports.wait_for(|o| o.as_ref().is_some_and(&f))).await;
        let last = self.observed.borrow().clone();
        match seen {
            Ok(seen) => seen.unwrap().clone().unwrap(),
            Err(_) => panic!("never saw: {what}\nlast report: {last:#?}"),
        }
    }
    /// Waits until the guest is reported so.
    pub async fn until_guest(
        &self,
        id: ServerId,
        what: &str,
        f: impl Fn(&GuestStatus) -> bool,
    ) -> GuestStatus {
        let is = |o: &Observed| o.guests.iter().any(|g| g.id == id && f(g));
        let report = self.until(what, is).await;
        report.guests.into_iter().find(|g| g.id == id).unwrap()
    }
    pub async fn until_state(&self, id: ServerId, state: GuestState) -> GuestStatus {
        self.until_guest(id, &format!("{state:?}"), |g| g.state == state).await
    }
}

/// `kill -9`, as a host's loss of power ends a guest.
pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub fn guest(image: ImageSource) -> Guest {
    Guest {
        id: ServerId::new(),
        ownership: 1,
        power: Power::On,
        boots: 0,
        boot_kind: BootKind::Hard,
        vcpus: 1,
        memory_mib: 32,
        disk: RootDisk { image: Some(image), bytes: 2 << 20, ..RootDisk::default() },
        nics: vec![],
        config_drive: false,
        hardware: Hardware::default(),
        limits: Limits::default(),
        local_disks: vec![],
        captures: vec![],
        arrival: None,
        departure: None,
        cpu: String::new(),
        ha: false,
        paused: false,
        suspended: false,
        rescue: None,
        password: None,
        nmi: 0,
        metadata: Metadata { name: "tester".into(), hostname: "tester".into(), ..Metadata::default() },
    }
}

/// Gives the guest a NIC on a network of its own.
pub fn network(region: &Region, id: ServerId) -> (NetworkId, PortId) {
    let (network, port, subnet) = (NetworkId::new(), PortId::new(), SubnetId::new());
    let mac = "fa:16:3e:00:00:01".to_owned();
    region.change(|d| {
        let host = d.host;
        d.networks.push(Network {
            id: network,
            vni: 4711,
            mtu: 1400,
            subnets: vec![Subnet {
                id: subnet,
                cidr: "10.1.0.0/24".parse().unwrap(),
                gateway: Some("10.1.0.1".parse().unwrap()),
                dhcp: true,
                dns: vec![],
                routes: vec![],
                ipv6: None,
            }],
            ports: vec![Port {
                id: port,
                mac: mac.clone(),
                addresses: vec![PortAddress { subnet, address: "10.1.0.5".parse().unwrap() }],
                owner: PortOwner::Guest(id),
                host: Some(host),
                tunnel: None,
                admin_up: true,
                security: true,
                groups: vec![],
                allowed_pairs: vec![],
                hostname: "tester".into(),
                dhcp_options: vec![],
                qos: None,
            }],
            uplink: None,
            vlan: None,
            peers: vec![],
            acl: vec![],
        });
        let guest = d.guests.iter_mut().find(|g| g.id == id).unwrap();
        guest.nics.push(Nic { port, network, mac, mtu: 1400, tag: None });
    });
    (network, port)
}

fn allowed(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|v| v.as_bytes() == format!("Bearer {TOKEN}").as_bytes())
}

async fn desired_route(
    State(region): State<Arc<Region>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let query = query.unwrap();
    let value = |name| query.split('&').find_map(|p| p.strip_prefix(name)).unwrap().parse::<u64>().unwrap();
    let (since, wait) = (value("since="), Duration::from_secs(value("wait=")));
    let _ = region.dumb.subscribe().wait_for(|dumb| !dumb).await;
    let mut desired = region.desired.subscribe();
    let newer = tokio::time::timeout(wait, desired.wait_for(|d| d.generation > since)).await;
    match newer {
        Ok(document) => serde_json::to_vec(&*document.unwrap()).unwrap().into_response(),
        Err(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn observed_route(State(region): State<Arc<Region>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !allowed(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    if region.deaf.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let new: Observed = serde_json::from_slice(&body).unwrap();
    if region.observed.borrow().as_ref().is_some_and(|old| old.applied > new.applied) {
        region.conflicts.fetch_add(1, Ordering::Relaxed);
        return StatusCode::CONFLICT;
    }
    region.observed.send_replace(Some(new));
    StatusCode::NO_CONTENT
}

async fn capture_route(
    State(region): State<Arc<Region>>,
    Path(id): Path<ImageId>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if !allowed(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    region.captures.lock().unwrap().insert(id, body.to_vec());
    *region.capture_status.lock().unwrap()
}

async fn image_route(
    State(region): State<Arc<Region>>,
    Path(sha512): Path<String>,
    headers: HeaderMap,
) -> Response {
    region.downloads.fetch_add(1, Ordering::Relaxed);
    let content = region.images.lock().unwrap().get(&sha512).cloned();
    let Some(content) = content.filter(|_| allowed(&headers)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // The second half comes when the gate opens.
    let second = content[content.len() / 2..].to_vec();
    let first = Bytes::from(content[..content.len() / 2].to_vec());
    let rest = async move {
        region.gate.subscribe().wait_for(|open| *open).await.unwrap();
        Ok::<_, std::io::Error>(Bytes::from(second))
    };
    let pieces = futures_util::stream::once(async { Ok(first) }).chain(futures_util::stream::once(rest));
    axum::body::Body::from_stream(pieces).into_response()
}

/// A prefix of kernel names that begins with this letter and that no other test on this machine has, for as long as
/// this process lives.
pub fn prefix(letter: char) -> Prefix {
    loop {
        let name = format!("{letter}{:03x}", uuid::Uuid::new_v4().as_u128() & 0xfff);
        let address = SocketAddr::from_abstract_name(format!("hanok-test-{name}")).unwrap();
        if let Ok(held) = UnixListener::bind_addr(&address) {
            std::mem::forget(held);
            return name.try_into().unwrap();
        }
    }
}

/// An agent over a directory of its own. Guests that are left are ended with it.
pub struct Agent {
    pub config: Config,
    pub dir: tempfile::TempDir,
    running: Option<(Runtime, JoinHandle<base::Result<()>>)>,
}

impl Agent {
    pub async fn start(region: &Region) -> Self {
        Self::with(region, |_| {}).await
    }
    pub async fn with(region: &Region, f: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::Builder::new().prefix("hanok-agent-").tempdir().unwrap();
        let mut config = Config {
            host: region.desired.borrow().host,
            region: region.url.clone(),
            token: TOKEN.into(),
            keys: None,
            data: dir.path().canonicalize().unwrap(),
            prefix: prefix('g'),
            local_images: None,
            listen: "127.0.0.1:0".parse().unwrap(),
            tunnel: None,
            storage: None,
            physical_networks: std::collections::BTreeMap::new(),
            grace_s: 60,
            guests_reach: vec![],
        };
        f(&mut config);
        let mut agent = Agent { config, dir, running: None };
        agent.again();
        agent
    }
    /// Starts the agent (again) over the same directory, in a runtime of its own.
    pub fn again(&mut self) {
        assert!(self.running.is_none());
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let task = runtime.spawn(agent::run(self.config.clone(), std::future::pending()));
        self.running = Some((runtime, task));
    }
    /// Ends the agent as a kill would: every task stops where it is, nothing of it runs on.
    pub async fn kill(&mut self) {
        let (runtime, task) = self.running.take().unwrap();
        assert!(!task.is_finished(), "it had ended by itself: {:?}", task.await);
        tokio::task::spawn_blocking(|| runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }
    pub fn guest_file(&self, id: ServerId, name: &str) -> std::path::PathBuf {
        self.config.data.join("guests").join(id.to_string()).join(name)
    }
    /// The pid of the guest's QEMU.
    pub fn pid(&self, id: ServerId) -> Option<i32> {
        let dir = agent::guest::Dir::of(&self.config.data, id);
        agent::guest::process::Process::find(&dir).map(|p| p.pid)
    }
    /// Waits until the agent has taken a document, whether or not its reports arrive.
    pub async fn until_applied(&self, generation: u64) {
        let held = || std::fs::read(self.config.data.join("desired.json")).unwrap_or_default();
        let taken = async {
            while serde_json::from_slice::<Desired>(&held()).map_or(0, |d| d.generation) < generation {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, taken).await.expect("the document was not taken");
    }
    /// What the guest wrote to its serial port.
    pub fn serial(&self, id: ServerId) -> String {
        String::from_utf8_lossy(&std::fs::read(self.guest_file(id, "serial.log")).unwrap_or_default())
            .into_owned()
    }
    pub async fn until_serial(&self, id: ServerId, what: &str, f: impl Fn(&str) -> bool) {
        let seen = async {
            while !f(&self.serial(id)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            panic!("never saw on the serial port: {what}; it holds {:?}", self.serial(id));
        }
    }
    /// Types into the guest's serial port past the agent. What the guest has not read is lost when the
    /// returned stream is dropped.
    pub async fn type_serial(&self, id: ServerId, text: &str) -> tokio::net::UnixStream {
        use tokio::io::AsyncWriteExt;
        let dir = agent::guest::Dir::of(&self.config.data, id);
        let mut serial = dir.connect("serial.sock").await.unwrap();
        serial.write_all(text.as_bytes()).await.unwrap();
        serial
    }
    /// Waits, with no agent running, until the guest has powered itself off.
    pub async fn until_shut_down(&self, id: ServerId) {
        let dir = agent::guest::Dir::of(&self.config.data, id);
        let mut monitor = agent::guest::qmp::Qmp::connect(&dir).await.unwrap();
        while monitor.status().await.unwrap() != "shutdown" {
            monitor.event().await.unwrap();
        }
    }
    /// Ends the agent and its guests.
    pub async fn end(mut self) {
        if self.running.is_some() {
            self.kill().await;
        }
        agent::wipe(&self.config.data, self.config.prefix.clone()).await.unwrap();
    }
}

impl Drop for Agent {
    /// After a failed test: no guest may outlive it.
    fn drop(&mut self) {
        if let Some((runtime, _)) = self.running.take() {
            runtime.shutdown_background();
        }
        let guests = agent::guest::process::on_disk(&self.config.data);
        for pid in guests.into_iter().filter_map(|id| {
            let pid = std::fs::read_to_string(self.guest_file(id, "pid")).ok()?.trim().parse().ok()?;
            rustix::process::Pid::from_raw(pid)
        }) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
