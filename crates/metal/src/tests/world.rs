//! One installation with a rack and machines that obey when they are told to (`turn`), over the real routes.

use crate::model::Machine;
use crate::table::{machine, rack};
use crate::{Metal, Seal, live_service, own_service, rack_service, token_hash};
use api::Gate;
use axum::Router;
use axum::body::Body;
use base::doc::live::{
    CpuFacts, DiskFacts, DiskKind, EraseMode, Erased, Hello, Inventory, NicFacts, Report, Stage, SystemFacts,
    Task, TestResult, Welcome, Work,
};
use base::doc::rack::{
    ASKER_MAC, Boot, BootAnswer, BootQuestion, Lease, RACK_TOKEN, RackDesired, RackImageStatus,
    RackMachineStatus, RackObserved,
};
use base::{Fault, ImageId, MachineId, Micros, RackId, Result, SegmentId};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use store::work::{Engine, Ran};
use store::{Db, Tx, params};
use testing::{Tokens, databases};
use tower::ServiceExt;

/// Turns text around: enough to see that nothing is kept as it is.
pub struct Mirror;

impl Seal for Mirror {
    fn seal(&self, secret: &str) -> String {
        format!("sealed:{}", secret.chars().rev().collect::<String>())
    }
    fn unseal(&self, sealed: &str) -> Result<String> {
        let inner = sealed.strip_prefix("sealed:").ok_or_else(|| Fault::internal("not sealed"))?;
        Ok(inner.chars().rev().collect())
    }
}

struct Doors;

impl crate::Hosts for Doors {
    fn invite(&self, _: &Tx<'_>, name: &str) -> Result<String> {
        Ok(format!("invited-{name}@region:5240"))
    }
}

pub struct World {
    pub db: Db,
    pub metal: Arc<Metal>,
    pub engine: Engine,
    pub router: Router,
    pub rack: RackId,
    pub segment: SegmentId,
    pub image: ImageId,
    _dir: tempfile::TempDir,
}

pub struct Answer {
    pub status: u16,
    pub text: String,
    pub headers: http::HeaderMap,
}

impl Answer {
    #[track_caller]
    pub fn of(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        let body = self.of(status);
        body.as_object().and_then(|m| m.values().next()).unwrap()["message"].as_str().unwrap().to_owned()
    }
}

/// A world on every database.
pub async fn worlds() -> Vec<World> {
    let mut all = Vec::new();
    for (db, dir) in databases().await {
        all.push(World::on(db, dir).await);
    }
    all
}

const TOKEN: &str = "the-rack";

impl World {
    async fn on(db: Db, dir: tempfile::TempDir) -> World {
        let settings = crate::Settings { hosts: Some(Arc::new(Doors)), ..crate::Settings::default() };
        let metal = Metal::with(db.clone(), Arc::new(Mirror), None, None, settings);
        let gate = Gate { authority: Arc::new(Tokens), public_url: None };
        let router = rack_service()
            .router(metal.clone(), &gate)
            .merge(live_service().router(metal.clone(), &gate))
            .merge(own_service().router(metal.clone(), &gate));
        let (rack, image) = (RackId::new(), ImageId::new());
        db.write(move |tx| {
            rack::admit(tx, rack, "r1", &token_hash(TOKEN))?;
            tx.exec(
                "INSERT INTO image_blob (sha512, md5, bytes, created_at) VALUES ($1, 'm', 1000, 1)",
                params!["ab".repeat(64)],
            )?;
            tx.exec(
                "INSERT INTO image (id, owner, name, status, visibility, disk_format, container_format, sha512,
                   virtual_size, created_at, updated_at)
                 VALUES ($1, 'admin', 'debian-12', 'active', 'public', 'qcow2', 'bare', $2, 2147483648, 1, 1)",
                params![image, "ab".repeat(64)],
            )
        })
        .await
        .unwrap();
        let engine = Engine::builder(db.clone()).with(metal.life()).build();
        let mut w = World { db, metal, engine, router, rack, segment: SegmentId::nil(), image, _dir: dir };
        let wish = json!({"segment": {"name": "lab", "rack": "r1", "interface": "eth1", "subnets": [{
            "cidr": "10.9.0.0/24", "address": "10.9.0.1",
            "ranges": [{"first": "10.9.0.100", "last": "10.9.0.200"}]}]}});
        let made = w.admin("POST", "/hanok/v1/segments", Some(wish)).await.of(201);
        w.segment = made["segment"]["id"].as_str().unwrap().parse().unwrap();
        w
    }

    pub async fn send(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "hanok.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status.as_u16(), text, headers: parts.headers }
    }
    pub async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(&[("x-auth-token", "admin:admin")], method, path, body).await
    }
    pub async fn member(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(&[("x-auth-token", "member:a")], method, path, body).await
    }
    /// Asks something of a machine, as an operator.
    pub async fn act(&self, id: MachineId, action: &str, body: Value) -> Answer {
        self.admin("POST", &format!("/hanok/v1/machines/{id}/{action}"), Some(body)).await
    }
    pub async fn machine(&self, id: MachineId) -> Machine {
        self.db.read(move |tx| machine::by_id(tx, id)).await.unwrap().unwrap()
    }
    pub async fn status(&self, id: MachineId) -> &'static str {
        self.db.read(move |tx| machine::by_id(tx, id)).await.unwrap().map_or("gone", |m| m.status.word())
    }
    /// Steps and turns until the machine has this status and rests.
    pub async fn until(&self, room: &mut Room, id: MachineId, status: &str) {
        for _ in 0..60 {
            if self.status(id).await == status {
                return;
            }
            self.steps(id).await;
            room.turn(self).await;
        }
        let why = self.db.read(move |tx| store::work::why(tx, &id.to_string())).await.unwrap();
        let message = self.db.read(move |tx| machine::by_id(tx, id)).await.unwrap().map(|m| m.message);
        panic!("{id} is {} and never came to {status}: {why:?} {message:?}", self.status(id).await);
    }
    /// Runs what is due of a machine.
    pub async fn steps(&self, id: MachineId) {
        for _ in 0..10 {
            if self.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Nothing {
                return;
            }
        }
    }
    /// Makes the present state of a machine older, and has it looked at.
    pub async fn later(&self, id: MachineId, minutes: i64) {
        self.db
            .write(move |tx| {
                let (by, id) = (minutes * 60_000_000, id.to_string());
                tx.exec("UPDATE work SET since = since - $2 WHERE id = $1", params![&id, by])?;
                tx.exec(
                    "UPDATE live_session SET seen_at = seen_at - $2, begun_at = begun_at - $2 WHERE machine_id = $1",
                    params![&id, by],
                )?;
                tx.exec("UPDATE machine_seen SET boot_at = boot_at - $2 WHERE machine_id = $1", params![&id, by])?;
                tx.exec("UPDATE machine SET stay_until = stay_until - $2 WHERE id = $1", params![&id, by])?;
                store::work::wake(tx, &id)
            })
            .await
            .unwrap();
    }
}

/// A machine as it stands in the room.
#[derive(Default)]
pub struct Pc {
    pub mac: String,
    /// Its other cards.
    pub more: Vec<String>,
    /// Of its mainboard.
    pub uuid: String,
    pub id: Option<MachineId>,
    pub on: bool,
    pub cycles: u64,
    pub session: Option<String>,
    /// Whom its live system lets in.
    pub keys: Vec<String>,
    /// Number of the last task that it did.
    pub did: u64,
    pub done: Vec<String>,
    /// It does not start from the network.
    pub deaf: bool,
    /// Its power goes in the middle of the next task of this name; the times that are left.
    pub dies_in: Option<(&'static str, u32)>,
    /// The next tasks of this name fail.
    pub fails: Option<(&'static str, u32)>,
    /// And would fail again.
    pub for_good: bool,
    /// It does not come to its next write yet.
    pub slow: bool,
    /// Its new system says nothing.
    pub mute: bool,
    /// A second disk, which was there when it was measured or came later.
    pub second_disk: bool,
    /// That one is removable.
    pub stick: bool,
    /// Bytes of each disk that it does not show to be erased.
    pub hidden: u64,
    /// What of a last owner is on its disk.
    pub marker: bool,
    pub boot_at: Option<Micros>,
    pub boot_answer: String,
    pub told: Option<Boot>,
    pub says_so: Option<String>,
    /// What it was last written with.
    pub user_data: Vec<u8>,
}

/// The rack and its machines.
pub struct Room {
    pub pcs: Vec<Pc>,
    pub images_ready: bool,
    pub away: bool,
    pub document: Option<RackDesired>,
    pub leases: Vec<Lease>,
}

impl Room {
    pub fn new(macs: &[&str]) -> Room {
        let pcs = macs.iter().map(|mac| Pc { mac: (*mac).to_owned(), ..Pc::default() }).collect();
        Room { pcs, images_ready: true, away: false, document: None, leases: vec![] }
    }

    /// Everybody does once what they are told, and says so.
    pub async fn turn(&mut self, w: &World) {
        if !self.away {
            self.fetch(w).await;
            self.switch(w).await;
        }
        for pc in &mut self.pcs {
            pc.work(w).await;
        }
        if !self.away {
            self.report(w).await;
        }
    }

    async fn fetch(&mut self, w: &World) {
        let bearer = format!("Bearer {TOKEN}");
        let answer =
            w.send(&[("authorization", &bearer)], "GET", "/rack/v1/desired?since=0&wait=0", None).await;
        self.document = Some(serde_json::from_value(answer.of(200)).unwrap());
    }

    async fn switch(&mut self, w: &World) {
        let document = self.document.clone().unwrap();
        let by: HashMap<&str, _> =
            document.machines.iter().flat_map(|m| m.nics.iter().map(move |n| (n.mac.as_str(), m))).collect();
        let mut starting = Vec::new();
        for (n, pc) in self.pcs.iter_mut().enumerate() {
            let Some(told) = by.get(pc.mac.as_str()) else { continue };
            pc.id = Some(told.id);
            let restart = told.power.cycles > pc.cycles;
            pc.cycles = told.power.cycles.max(pc.cycles);
            match told.power.want {
                Some(false) => pc.off(),
                Some(true) if !pc.on || restart => {
                    pc.off();
                    pc.on = true;
                    starting.push(n);
                }
                _ => {}
            }
        }
        // A rack is faster than firmware: that they are on is known before they ask for anything.
        if !starting.is_empty() {
            self.report(w).await;
        }
        for n in starting {
            self.pcs[n].start(w, w.segment).await;
        }
    }

    pub async fn report(&mut self, w: &World) {
        let document = self.document.clone().unwrap();
        let machines = self.pcs.iter().filter_map(|pc| {
            Some(RackMachineStatus {
                id: pc.id?,
                power: Some(pc.on),
                cycles: pc.cycles,
                reason: String::new(),
                read_at: Some(Micros::now()),
                boot_at: pc.boot_at,
                boot_answer: pc.boot_answer.clone(),
            })
        });
        let images = document.images.iter().map(|i| RackImageStatus {
            sha512: i.sha512.clone(),
            ready: self.images_ready,
            done_bytes: 1,
            total_bytes: 1,
            virtual_size: 1,
            reason: String::new(),
        });
        let report = RackObserved {
            version: 1,
            rack: w.rack,
            applied: document.generation,
            agent_version: "test".into(),
            interfaces: vec![],
            segments: vec![],
            machines: machines.collect(),
            images: images.collect(),
            leases: self.leases.clone(),
            strangers: vec![],
        };
        let bearer = format!("Bearer {TOKEN}");
        let body = serde_json::to_value(report).unwrap();
        w.send(&[("authorization", &bearer)], "PUT", "/rack/v1/observed", Some(body)).await.of(204);
    }
}

impl Pc {
    pub fn off(&mut self) {
        (self.on, self.session, self.did) = (false, None, 0);
    }

    /// Switched on: it asks what to boot.
    pub async fn start(&mut self, w: &World, segment: SegmentId) {
        self.on = true;
        if self.deaf {
            return;
        }
        let boot = self.boot(w, segment).await;
        self.boot_at = Some(Micros::now());
        self.told = Some(boot.clone());
        match boot {
            Boot::Live { token } => {
                self.boot_answer = "live".into();
                let welcome: Welcome = serde_json::from_value(self.hello(w, &token).await.of(200)).unwrap();
                self.keys = welcome.ssh_keys;
                (self.session, self.id, self.did) = (Some(welcome.session), Some(welcome.machine), 0);
            }
            Boot::Local => {
                self.boot_answer = "local".into();
                if let Some(path) = self.says_so.clone().filter(|_| !self.mute) {
                    w.send(&[], "POST", &path, None).await.of(204);
                }
            }
            Boot::Off => {
                self.boot_answer = "off".into();
                self.off();
            }
        }
    }

    /// What it is to boot. Whatever runs there may ask.
    pub async fn boot(&self, w: &World, segment: SegmentId) -> Boot {
        let question = BootQuestion { segment, mac: self.mac.clone(), uuid: String::new(), arch: 7 };
        let bearer = format!("Bearer {TOKEN}");
        let body = serde_json::to_value(question).unwrap();
        let answer = w.send(&[("authorization", &bearer)], "POST", "/rack/v1/boot", Some(body)).await;
        serde_json::from_value::<BootAnswer>(answer.of(200)).unwrap().boot
    }

    pub async fn hello(&self, w: &World, token: &str) -> Answer {
        let hello = Hello {
            macs: [&self.mac].into_iter().chain(&self.more).cloned().collect(),
            uuid: self.uuid.clone(),
            serial: String::new(),
            uefi: true,
            live_version: "test".into(),
            address: "10.9.0.101".into(),
            peer_port: 0,
        };
        let bearer = format!("Bearer {token}");
        let headers =
            [("authorization", bearer.as_str()), (RACK_TOKEN, TOKEN), (ASKER_MAC, self.mac.as_str())];
        w.send(&headers, "POST", "/live/v1/hello", Some(serde_json::to_value(hello).unwrap())).await
    }

    /// As its live system asks.
    pub async fn ask(&self, w: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {}", self.session.as_deref().unwrap());
        let headers =
            [("authorization", bearer.as_str()), (RACK_TOKEN, TOKEN), (ASKER_MAC, self.mac.as_str())];
        w.send(&headers, method, path, body).await
    }

    /// Its live system does its task.
    pub async fn work(&mut self, w: &World) {
        if self.session.is_none() {
            return;
        }
        let answer = self.ask(w, "GET", &format!("/live/v1/task?since={}&wait=0", self.did), None).await;
        if answer.status == 401 {
            return;
        }
        if answer.status == 204 {
            return;
        }
        let task: Task = serde_json::from_value(answer.of(200)).unwrap();
        let name = name_of(&task.work);
        if let Some((what, left)) = &mut self.dies_in
            && *what == name
            && *left > 0
        {
            *left -= 1;
            self.off();
            return;
        }
        if self.slow && name == "write" {
            return;
        }
        self.did = task.number;
        self.done.push(name.to_owned());
        let mut report = Report {
            number: task.number,
            stage: Stage::Done,
            reason: String::new(),
            lasting: false,
            done_bytes: 0,
            total_bytes: 0,
            results: vec![],
            erased: vec![],
        };
        if let Some((what, left)) = &mut self.fails
            && *what == name
            && *left > 0
        {
            *left -= 1;
            (report.stage, report.reason) = (Stage::Failed, format!("the {name} went wrong"));
            report.lasting = self.for_good;
            self.say(w, &report).await;
            return;
        }
        self.obey(w, task.work, report).await;
    }

    fn disks(&self) -> Vec<DiskFacts> {
        let first = inventory(&self.mac).disks;
        let second = first.iter().take(usize::from(self.second_disk)).map(|d| DiskFacts {
            id: "wwn-2".into(),
            name: "sdb".into(),
            model: "Rust".into(),
            serial: "R7".into(),
            removable: self.stick,
            ..d.clone()
        });
        first.iter().cloned().chain(second).collect()
    }

    async fn say(&self, w: &World, report: &Report) {
        let body = serde_json::to_value(report).unwrap();
        self.ask(w, "PUT", "/live/v1/report", Some(body)).await.of(204);
    }

    async fn obey(&mut self, w: &World, work: Work, mut report: Report) {
        match work {
            Work::Idle => return,
            Work::Inventory => {
                let mut found = inventory(&self.mac);
                found.system.uuid.clone_from(&self.uuid);
                found.disks = self.disks();
                let more = self.more.iter().map(|mac| NicFacts { mac: mac.clone(), ..NicFacts::default() });
                found.nics.extend(more);
                let body = serde_json::to_value(found).unwrap();
                self.ask(w, "PUT", "/live/v1/inventory", Some(body)).await.of(204);
            }
            Work::Test { tests } => {
                let one = |test| TestResult { test, part: "sda".into(), passed: true, output: "fine".into() };
                report.results = tests.into_iter().map(one).collect();
            }
            Work::Erase { mode } => {
                self.marker = false;
                let erased = |d: &DiskFacts| Erased {
                    disk: d.id.clone(),
                    method: "overwrite".into(),
                    bytes: match mode {
                        EraseMode::Quick => d.size_bytes.min(2 << 20),
                        _ => d.size_bytes - self.hidden,
                    },
                    read_back: 10,
                    wrong: 0,
                };
                report.erased = self.disks().iter().map(erased).collect();
            }
            Work::Write(image) => {
                self.marker = true;
                self.user_data =
                    image.drive().unwrap().remove("openstack/latest/user_data").unwrap_or_default();
                let vendor = &image.config_drive["openstack/latest/vendor_data.json"];
                let at = vendor.find("/live/v1/booted/").unwrap();
                self.says_so = Some(vendor[at..at + "/live/v1/booted/".len() + 32].to_owned());
            }
            Work::Reboot => {
                self.say(w, &report).await;
                self.off();
                self.start(w, w.segment).await;
                return;
            }
            Work::PowerOff => {
                self.say(w, &report).await;
                self.off();
                return;
            }
        }
        self.say(w, &report).await;
    }
}

fn name_of(work: &Work) -> &'static str {
    match work {
        Work::Idle => "idle",
        Work::Inventory => "inventory",
        Work::Test { .. } => "test",
        Work::Erase { .. } => "erase",
        Work::Write(_) => "write",
        Work::Reboot => "reboot",
        Work::PowerOff => "power_off",
    }
}

pub fn inventory(mac: &str) -> Inventory {
    Inventory {
        system: SystemFacts {
            serial: "S1".into(),
            vendor: "Acme".into(),
            uefi: true,
            ..SystemFacts::default()
        },
        cpu: CpuFacts {
            arch: "x86_64".into(),
            cores: 2,
            threads: 4,
            virtualisation: "vmx".into(),
            ..CpuFacts::default()
        },
        memory_mib: 8192,
        disks: vec![DiskFacts {
            id: "wwn-1".into(),
            name: "sda".into(),
            size_bytes: 100 << 30,
            sector: 512,
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

impl World {
    /// A machine that was found by booting from the network, and is new.
    pub async fn found(&self, room: &mut Room) -> MachineId {
        for pc in &mut room.pcs {
            pc.start(self, self.segment).await;
        }
        let id = room.pcs[0].id.unwrap();
        for _ in 0..10 {
            self.steps(id).await;
            room.turn(self).await;
            if self.machine(id).await.inventory_at.0 > 0 {
                break;
            }
        }
        self.steps(id).await;
        let bmc = json!({"kind": "ipmi", "address": "10.0.0.9", "user": "root", "password": "calvin"});
        let change = json!({"machine": {"bmc": bmc}});
        self.admin("PATCH", &format!("/hanok/v1/machines/{id}"), Some(change)).await.of(200);
        id
    }
    /// One that is ready.
    pub async fn ready(&self, room: &mut Room) -> MachineId {
        let id = self.found(room).await;
        self.act(id, "commission", json!({})).await.of(202);
        self.until(room, id, "ready").await;
        id
    }
    /// One that was deployed for the project `a`.
    pub async fn deployed(&self, room: &mut Room) -> MachineId {
        let id = self.ready(room).await;
        self.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
        self.act(id, "deploy", json!({"image_id": self.image.to_string()})).await.of(202);
        self.until(room, id, "deployed").await;
        id
    }
}
