//! Everything dies now and then, and nothing is lost: real guests on three hosts, two processes of the region on one
//! PostgreSQL, clients that never stop asking, and faults one upon the other: what is killed, frozen or cut off, and
//! clocks that jump. A guest's disk is blank, so that it costs little.
//!
//! `scripts/chaos.sh 500 7` is the long way; the seed chooses the faults and what clients ask, the machine chooses how
//! they fall together.

use crate::api::Api;
use crate::clock::Clock;
use crate::dev_crash::assert_counters;
use crate::leaks;
use crate::random::Random;
use crate::room::Room;
use crate::wait::{LONG, until, until_true};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HOSTS: usize = 3;
const CLIENTS: u64 = 3;
const FAULTS: u64 = 20;
const SEED: u64 = 0x43_4841_4f53;
/// Servers at a time: QEMU's emulation shares two cores with everything else.
const ALIVE: usize = 6;
/// How long healing may take at the end, on a busy machine.
const HEAL: u64 = LONG;

/// `os-migrateLive` decides by itself about disks from 2.25 on.
const HEADERS: [(&str, &str); 2] =
    [("Content-Type", "application/json"), ("OpenStack-API-Version", "compute 2.79")];

/// What clients were told.
#[derive(Default)]
struct Told {
    made: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// Deletion asked for, with no answer.
    unsure: BTreeSet<String>,
    /// Names of servers that were asked for without an answer.
    perhaps: BTreeSet<String>,
    /// What was granted of servers, and may take its time: server and request.
    granted: Vec<(String, String)>,
    names: u64,
    turns: usize,
    tally: BTreeMap<String, u64>,
}

impl Told {
    fn count(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_default() += 1;
    }
    /// Those that should be there, as far as anybody knows.
    fn alive(&self) -> Vec<String> {
        self.made
            .iter()
            .filter(|id| !self.deleted.contains(*id) && !self.unsure.contains(*id))
            .cloned()
            .collect()
    }
}

#[test]
fn nothing_is_lost_whatever_dies() {
    let mut random = Random::seeded(SEED);
    let faults = std::env::var("HANOK_FAULTS").ok().and_then(|s| s.parse().ok()).unwrap_or(FAULTS);
    let mut room = Room::in_parts(HOSTS);
    let scene = Scene::set(&room);
    let (told, stop) = (Mutex::new(Told::default()), AtomicBool::new(false));
    let data: Vec<_> = (0..HOSTS).map(|i| room.data(i)).collect();
    let twice = std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (scene, told, stop) = (&scene, &told, &stop);
            let random = Random(random.next());
            scope.spawn(move || scene.churn(told, stop, random));
        }
        let watch = scope.spawn(|| watch(&data, &stop));
        // Ends the others also when something panics here.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            break_things(&mut room, faults, &mut random, &told);
        }));
        stop.store(true, Ordering::Relaxed);
        let twice = watch.join().unwrap();
        ended.unwrap();
        twice
    });
    assert_eq!(twice, Vec::<String>::new(), "guests that ran twice at one time");
    room.wait_for_hosts();

    let told = told.into_inner().unwrap();
    eprintln!("{faults} faults: {:#?}", told.tally);
    assert!(!told.made.is_empty(), "too little happened to mean anything");
    let end = until(HEAL, "every server comes to rest", || scene.at_rest());
    scene.promises_are_kept(&told, &end);
    everything_granted_has_ended(&room, &told, &end);
    scene.no_address_is_held_twice();
    until_true(HEAL, "what should run runs once, and nothing else", || {
        let mut run = running(&data);
        run.sort_unstable();
        let wanted: Vec<_> = end.iter().filter(|(_, s)| *s == "ACTIVE").map(|(id, _)| id.clone()).collect();
        // One that waits for its resize to be confirmed runs too.
        run.retain(|id| end.get(id).is_none_or(|s| s != "VERIFY_RESIZE"));
        run == wanted
    });

    for id in end.keys() {
        scene.demo.delete(&format!("/compute/v2.1/servers/{id}")).expect(204);
    }
    for id in end.keys() {
        scene.demo.wait_until_gone(id);
    }
    until_true(LONG, "no guest runs any more", || running(&data).is_empty());
    assert_counters(|sql| room.rows(sql));
    let ports = scene.demo.get("/network/v2.0/ports?device_owner=compute:nova").expect(200);
    assert_eq!(ports["ports"], json!([]), "ports of servers that are gone");
    // An agent that was frozen, or started anew beside a guest that arrives, ends what it may not keep.
    room.finish_despite("the region was not heard of for too long");
}

/// What the clients work with.
struct Scene {
    /// Where the processes of the region listen.
    regions: Vec<SocketAddr>,
    demo: Api,
    /// Who may move servers.
    admin: Api,
    body: Value,
    bigger: String,
    networks: Vec<String>,
}

impl Scene {
    fn set(room: &Room) -> Scene {
        let (demo, admin) = (room.world().api("demo"), room.world().api("hanok"));
        for (service, quota, limits) in [
            ("compute/v2.1/os-quota-sets", "quota_set", json!({"instances": -1, "cores": -1, "ram": -1})),
            ("network/v2.0/quotas", "quota", json!({"port": -1})),
        ] {
            admin.put(&format!("/{service}/{}", demo.project), &json!({quota: limits})).expect(200);
        }
        let image = json!({"name": "blank", "disk_format": "raw", "container_format": "bare"});
        let image = demo.post("/image/v2/images", &image).expect(201)["id"].as_str().unwrap().to_owned();
        let content = vec![0; 1 << 20];
        let octets = [("Content-Type", "application/octet-stream")];
        demo.raw("PUT", &format!("/image/v2/images/{image}/file"), &octets, &content).unwrap().expect(204);
        let second = demo.post("/network/v2.0/networks", &json!({"network": {"name": "second"}})).expect(201);
        let second = second["network"]["id"].as_str().unwrap().to_owned();
        let subnet = json!({"subnet": {"network_id": second, "ip_version": 4, "cidr": "10.77.0.0/24"}});
        demo.post("/network/v2.0/subnets", &subnet).expect(201);
        let networks = vec![demo.network("private"), second];
        let regions = std::iter::once(demo.to).chain(room.second.iter().map(|(peer, _)| peer.to)).collect();
        let mut body = demo.server_body("chaos", &[&networks[0]]);
        body["server"]["imageRef"] = json!(image);
        Scene { regions, bigger: demo.flavor("micro"), demo, admin, body, networks }
    }

    /// One client: asks for this and that until it is told to stop.
    fn churn(&self, told: &Mutex<Told>, stop: &AtomicBool, mut random: Random) {
        while !stop.load(Ordering::Relaxed) {
            let alive = told.lock().unwrap().alive();
            let victim = random.pick(&alive).cloned();
            match (random.below(12), victim) {
                (0..=2, _) if alive.len() < ALIVE => self.create(told),
                // So seldom that there is time for the rest.
                (3, Some(id)) if random.below(4) == 0 => self.delete(&id, told),
                (0..=2, Some(id)) => self.act(&id, "os-start", Value::Null, told),
                (4, Some(id)) => self.resize(&id, told, &mut random),
                (5, Some(id)) => self.act(&id, "reboot", json!({"type": "HARD"}), told),
                (6, Some(id)) => self.act(&id, "os-stop", Value::Null, told),
                (7, Some(id)) => self.act(&id, "os-start", Value::Null, told),
                (8, Some(id)) => self.attach(&id, told),
                (9, Some(id)) => {
                    self.act(&id, "os-migrateLive", json!({"host": null, "block_migration": "auto"}), told)
                }
                (10, Some(id)) => self.act(&id, "migrate", Value::Null, told),
                (_, Some(id)) => self.detach(&id, told, &mut random),
                (_, None) => self.create(told),
            }
            // A client that has an answer takes a breath, as people do; one that has none tries again.
            std::thread::sleep(Duration::from_millis(50 + random.below(200)));
        }
    }

    /// A call whose answer is counted. `None` when there was none, or one that says to try again.
    fn ask(
        &self,
        what: &str,
        method: &str,
        path: &str,
        body: &Value,
        told: &Mutex<Told>,
    ) -> Option<(bool, Value)> {
        let who = if what.contains("igrate") { &self.admin } else { &self.demo };
        let text = if body.is_null() { String::new() } else { body.to_string() };
        // One process or the other; the other too, where nobody answers and twice does no harm.
        let turn = {
            let mut told = told.lock().unwrap();
            told.turns += 1;
            told.turns
        };
        let mut answer =
            who.at(self.regions[turn % self.regions.len()]).raw(method, path, &HEADERS, text.as_bytes());
        if answer.is_err() && method != "POST" {
            let other = self.regions[(turn + 1) % self.regions.len()];
            answer = who.at(other).raw(method, path, &HEADERS, text.as_bytes());
        }
        let mut told = told.lock().unwrap();
        let Ok(answer) = answer else {
            told.count(&format!("{what}: no answer"));
            return None;
        };
        assert!(answer.status < 500 || answer.status == 503, "{what}: {} {}", answer.status, answer.text());
        let granted = answer.status < 300;
        let outcome = match answer.status {
            503 => "try again",
            _ if granted => "granted",
            _ => "refused",
        };
        told.count(&format!("{what}: {outcome}"));
        let said: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
        // Of a second deletion there is no record; what is deleted must be gone.
        if granted && !["interfaces", "delete"].contains(&what) {
            let id = path.split('/').nth(4).or(said["server"]["id"].as_str()).expect("it is about a server");
            let request = answer.header("x-openstack-request-id").expect("an answer says of which request");
            told.granted.push((id.to_owned(), request.to_owned()));
        }
        (answer.status != 503).then_some((granted, said))
    }

    fn create(&self, told: &Mutex<Told>) {
        let name = {
            let mut told = told.lock().unwrap();
            told.names += 1;
            format!("chaos-{}", told.names)
        };
        let mut body = self.body.clone();
        body["server"]["name"] = json!(name);
        match self.ask("create", "POST", "/compute/v2.1/servers", &body, told) {
            Some((granted, said)) => {
                assert!(granted, "create was refused: {said}");
                told.lock().unwrap().made.insert(said["server"]["id"].as_str().unwrap().to_owned());
            }
            None => drop(told.lock().unwrap().perhaps.insert(name)),
        }
    }

    fn delete(&self, id: &str, told: &Mutex<Told>) {
        // From here on nobody counts on it, whatever the answer.
        told.lock().unwrap().unsure.insert(id.to_owned());
        let path = format!("/compute/v2.1/servers/{id}");
        if self.ask("delete", "DELETE", &path, &Value::Null, told).is_some() {
            told.lock().unwrap().deleted.insert(id.to_owned());
        }
    }

    fn act(&self, id: &str, action: &str, body: Value, told: &Mutex<Told>) {
        let path = format!("/compute/v2.1/servers/{id}/action");
        self.ask(action, "POST", &path, &json!({action: body}), told);
    }

    /// Ends the resize that waits for an end, or asks for one.
    fn resize(&self, id: &str, told: &Mutex<Told>, random: &mut Random) {
        let end = if random.below(2) == 0 { "confirmResize" } else { "revertResize" };
        let path = format!("/compute/v2.1/servers/{id}/action");
        if let Some((false, _)) = self.ask(end, "POST", &path, &json!({end: null}), told) {
            self.act(id, "resize", json!({"flavorRef": self.bigger}), told);
        }
    }

    fn attach(&self, id: &str, told: &Mutex<Told>) {
        let body = json!({"interfaceAttachment": {"net_id": self.networks[1]}});
        self.ask("attach", "POST", &format!("/compute/v2.1/servers/{id}/os-interface"), &body, told);
    }

    fn detach(&self, id: &str, told: &Mutex<Told>, random: &mut Random) {
        let path = format!("/compute/v2.1/servers/{id}/os-interface");
        let Some((true, said)) = self.ask("interfaces", "GET", &path, &Value::Null, told) else { return };
        let second = |i: &&Value| i["net_id"] == self.networks[1].as_str();
        let ports: Vec<_> =
            said["interfaceAttachments"].as_array().into_iter().flatten().filter(second).collect();
        if let Some(port) = random.pick(&ports) {
            let port = port["port_id"].as_str().unwrap();
            self.ask("detach", "DELETE", &format!("{path}/{port}"), &Value::Null, told);
        }
    }

    /// What was promised is there, what was deleted is not, and what nobody promised is explained by an answer that
    /// was lost.
    fn promises_are_kept(&self, told: &Told, end: &BTreeMap<String, String>) {
        for id in &told.deleted {
            assert!(!end.contains_key(id), "{id} was deleted and is {}", end[id]);
        }
        for id in told.alive() {
            assert!(end.contains_key(&id), "{id} was promised and is not there");
        }
        let mut names = BTreeSet::new();
        for id in end.keys() {
            let name = self.demo.server(id)["name"].as_str().unwrap().to_owned();
            assert!(told.made.contains(id) || told.perhaps.contains(&name), "{id} ({name}) is nobody's");
            assert!(names.insert(name.clone()), "{name} was asked for once and is there twice");
        }
    }

    /// Every server and its status, once none of them is on the way any more. What failed says why.
    fn at_rest(&self) -> Option<BTreeMap<String, String>> {
        let said = self.demo.get("/compute/v2.1/servers/detail?limit=1000").expect(200);
        let mut all = BTreeMap::new();
        for server in said["servers"].as_array().unwrap() {
            let status = server["status"].as_str().unwrap();
            let rests = ["ACTIVE", "SHUTOFF", "VERIFY_RESIZE", "ERROR"].contains(&status);
            if !rests || !server["OS-EXT-STS:task_state"].is_null() {
                return None;
            }
            let why = server["fault"]["message"].as_str().unwrap_or_default();
            assert!(status != "ERROR" || !why.is_empty(), "it failed without a word: {server}");
            all.insert(server["id"].as_str().unwrap().into(), status.into());
        }
        Some(all)
    }

    fn no_address_is_held_twice(&self) {
        let said = self.demo.get("/network/v2.0/ports?limit=1000").expect(200);
        let mut seen = BTreeSet::new();
        for port in said["ports"].as_array().unwrap() {
            assert!(seen.insert(port["mac_address"].to_string()), "a MAC twice: {port}");
            for ip in port["fixed_ips"].as_array().unwrap() {
                let held = format!("{} {}", port["network_id"], ip["ip_address"]);
                assert!(seen.insert(held), "an address twice: {port}");
            }
        }
    }
}

/// Of every request that was granted there is a record, which says how it ended; what failed says why.
fn everything_granted_has_ended(room: &Room, told: &Told, end: &BTreeMap<String, String>) {
    let silent = room.rows("SELECT request_id FROM server_action WHERE result = 'Error' AND message IS NULL");
    assert_eq!(silent, Vec::<String>::new(), "failed without a word");
    let all = room.rows(
        "SELECT server_id || ' ' || request_id || ' ' || COALESCE(result, 'open') || ' ' || action FROM server_action",
    );
    let all: Vec<Vec<&str>> = all.iter().map(|l| l.split(' ').collect()).collect();
    let mut tally = BTreeMap::new();
    for (id, request) in &told.granted {
        let records: Vec<_> = all.iter().filter(|r| r[0] == id && r[1] == request).collect();
        assert!(!records.is_empty(), "{request} of {id} was granted, and nothing is known of it");
        for record in records {
            // One that waits for its user's word is not over.
            let status = end.get(id).map_or("deleted", String::as_str);
            assert!(
                record[2] != "open" || status == "VERIFY_RESIZE",
                "{request} of {id} ({status}) was granted and has no end"
            );
            *tally.entry(format!("{}: {}", record[3], record[2])).or_insert(0) += 1;
        }
    }
    eprintln!("what came of what was granted: {tally:#?}");
}

/// The uuids of the guests that run, once for each process; those that another host hands over are told apart.
fn processes(data: &[PathBuf]) -> Vec<(String, bool)> {
    let uuid = |line: &str| line.split(" -uuid ").nth(1)?.split(' ').next().map(str::to_owned);
    let all = data.iter().flat_map(|d| leaks::qemus(d));
    all.filter_map(|(_, line)| Some((uuid(&line)?, line.contains(" -incoming ")))).collect()
}

fn running(data: &[PathBuf]) -> Vec<String> {
    processes(data).into_iter().map(|(id, _)| id).collect()
}

/// Looks until it is told to stop; answers with the guests that it saw twice at one time. While one moves as it
/// runs there is a second process that takes it over.
fn watch(data: &[PathBuf], stop: &AtomicBool) -> Vec<String> {
    let mut twice = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let mut now = processes(data);
        now.sort_unstable();
        let same = |w: &&[(String, bool)]| w[0].0 == w[1].0 && !w[1].1;
        twice.extend(now.windows(2).filter(same).map(|w| w[0].0.clone()));
        twice.extend(now.windows(3).filter(|w| w[0].0 == w[2].0).map(|w| w[0].0.clone()));
        std::thread::sleep(Duration::from_millis(100));
    }
    twice.into_iter().collect()
}

/// What is in trouble for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wound {
    Cut(usize),
    Frozen(usize),
    /// The clock with this number does not go right.
    Clock(usize),
}

/// Breaks one thing after the other, heals wounds some faults later, and everything at the end.
fn break_things(room: &mut Room, faults: u64, random: &mut Random, told: &Mutex<Told>) {
    let clocks = room.clocks();
    let mut wounds: BTreeMap<Wound, u64> = BTreeMap::new();
    for n in 0..faults {
        let host = 1 + usize::try_from(random.below(HOSTS as u64 - 1)).unwrap();
        let whole = !wounds.contains_key(&Wound::Cut(host)) && !wounds.contains_key(&Wound::Frozen(host));
        let until = n + 1 + random.below(3);
        let what = match random.below(9) {
            0 => {
                room.kill(0);
                room.start(0);
                "region killed".to_owned()
            }
            1 if room.second.is_some() => kill_second(room, random),
            2 if room.database.is_some() => {
                let database = room.database.as_mut().unwrap();
                database.kill();
                database.up();
                "database killed".to_owned()
            }
            3 if whole => {
                room.kill(host);
                room.start(host);
                "agent killed".to_owned()
            }
            4 if whole => {
                room.cut(host);
                wounds.insert(Wound::Cut(host), until);
                "cable cut".to_owned()
            }
            5 if whole => {
                room.freeze(host);
                wounds.insert(Wound::Frozen(host), until);
                "agent frozen".to_owned()
            }
            6 | 7 if !clocks.is_empty() => {
                let which = usize::try_from(random.below(clocks.len() as u64)).unwrap();
                let wide = [5, 60, 600, 7200][usize::try_from(random.below(4)).unwrap()];
                let by = if random.below(2) == 0 { wide } else { -wide };
                clocks[which].1.set(by);
                wounds.insert(Wound::Clock(which), until);
                format!("clock of {} {}", clocks[which].0, if by > 0 { "forward" } else { "back" })
            }
            _ => kill_guest(room, random),
        };
        told.lock().unwrap().count(&what);
        // The moment itself is what is tried here; nothing is expected of it.
        std::thread::sleep(Duration::from_millis(random.below(1500)));
        heal(room, &clocks, &mut wounds, n);
    }
    heal(room, &clocks, &mut wounds, u64::MAX);
}

/// The second process, or both.
fn kill_second(room: &mut Room, random: &mut Random) -> String {
    let both = random.below(3) == 0;
    if both {
        room.kill(0);
    }
    let (mut peer, before) = room.second.take().unwrap();
    peer.kill();
    if both {
        room.start(0);
    }
    peer.start(room.world());
    room.second = Some((peer, before));
    if both { "both regions killed" } else { "second region killed" }.to_owned()
}

fn kill_guest(room: &Room, random: &mut Random) -> String {
    let guests: Vec<_> = (0..HOSTS).flat_map(|i| leaks::qemus(&room.data(i))).collect();
    let Some((pid, _)) = random.pick(&guests) else { return "no guest to kill".to_owned() };
    // It may have ended by itself in between.
    let _ = kill_process(Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap(), Signal::KILL);
    "guest killed".to_owned()
}

fn heal(room: &Room, clocks: &[(String, Clock)], wounds: &mut BTreeMap<Wound, u64>, now: u64) {
    wounds.retain(|wound, until| {
        if *until > now {
            return true;
        }
        match *wound {
            Wound::Cut(host) => room.restore(host),
            Wound::Frozen(host) => room.thaw(host),
            Wound::Clock(which) => clocks[which].1.set(0),
        }
        false
    });
}
