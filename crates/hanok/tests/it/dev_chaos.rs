//! Region processes and PostgreSQL are killed at any moment, while several clients work through one address: what
//! was accepted is done, what was refused is not, and nothing is counted or held twice.

use crate::api::Api;
use crate::dev_crash::{assert_counters, settled};
use crate::dev_regions::world;
use crate::http::Answer;
use crate::peer::Peer;
use crate::postgres::Server;
use crate::proxy::Proxy;
use crate::random::Random;
use crate::wait::until;
use crate::world::{World, is_worrying};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const FAULTS: usize = 12;
const CLIENTS: u64 = 4;
const SEED: u64 = 0x4841_4e4f_4b32;

/// What clients were told.
#[derive(Default)]
struct Told {
    /// Servers that were granted, by id.
    made: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// Deletion asked for, with no answer.
    unsure: BTreeSet<String>,
    /// Names of servers that were asked for without an answer.
    perhaps: BTreeSet<String>,
    /// Requests that were put off with 503.
    put_off: u64,
    asked: u64,
}

#[test]
fn processes_and_database_killed_at_any_moment() {
    let Some(mut server) = Server::start() else { return };
    let mut random = Random::seeded(SEED);
    let mut w = world(&server, 3);
    let mut peers = [Peer::of(&w, "b", &["region"]), Peer::of(&w, "c", &["region"])];
    peers.iter_mut().for_each(|p| p.start(&w));
    let proxy = Proxy::before(vec![w.api("demo").to, peers[0].to, peers[1].to]);
    let demo = w.api("demo").at(proxy.to);
    let body = without_limits(&w, &demo);
    let (told, stop) = (Mutex::new(Told::default()), AtomicBool::new(false));
    let mut tally = BTreeMap::new();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (demo, body, told, stop) = (&demo, &body, &told, &stop);
            let mut random = Random(random.next() ^ client);
            scope.spawn(move || churn(demo, body, told, stop, client, &mut random));
        }
        // Whatever goes wrong here, the clients end.
        let _end = Flag(&stop);
        for _ in 0..FAULTS {
            std::thread::sleep(Duration::from_millis(random.below(700)));
            *tally.entry(disturb(&mut w, &mut peers, &mut server, &mut random)).or_insert(0) += 1;
        }
    });
    let told = told.into_inner().unwrap();
    eprintln!(
        "{tally:?}; {} requests, {} put off, {} servers made, {} deleted, {} answers lost",
        told.asked,
        told.put_off,
        told.made.len(),
        told.deleted.len(),
        told.perhaps.len() + told.unsure.len()
    );
    assert!(told.made.len() >= 10 && !told.deleted.is_empty(), "too little happened to mean anything");
    kept(&demo, &told);
    nothing_leaks(&demo, &server);
    for p in &peers {
        let errors: Vec<_> = p.log().lines().filter(|l| is_worrying(l)).map(str::to_owned).collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }
    peers.iter_mut().for_each(Peer::interrupt);
    w.finish();
}

struct Flag<'a>(&'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A network with room and a project without limits; answers what to ask for.
fn without_limits(w: &World, demo: &Api) -> Value {
    let admin = w.api("hanok");
    let compute = json!({"quota_set": {"instances": -1, "cores": -1, "ram": -1}});
    admin.put(&format!("/compute/v2.1/os-quota-sets/{}", demo.project), &compute).expect(200);
    admin.put(&format!("/network/v2.0/quotas/{}", demo.project), &json!({"quota": {"port": -1}})).expect(200);
    let lan = demo.post("/network/v2.0/networks", &json!({"network": {"name": "lan"}})).expect(201);
    let lan = lan["network"]["id"].as_str().unwrap();
    let subnet = json!({"subnet": {"network_id": lan, "ip_version": 4, "cidr": "10.40.0.0/16"}});
    demo.post("/network/v2.0/subnets", &subnet).expect(201);
    demo.server_body("chaos", &[lan])
}

/// One fault, and its repair. Answers what it was.
fn disturb(w: &mut World, peers: &mut [Peer; 2], server: &mut Server, random: &mut Random) -> &'static str {
    match random.below(6) {
        0 => {
            w.kill();
            w.start();
            "the process with the hosts"
        }
        n @ (1 | 2) => {
            let peer = &mut peers[usize::try_from(n - 1).unwrap()];
            peer.kill();
            peer.start(w);
            "a region process"
        }
        3 => {
            server.kill();
            peers[0].kill();
            server.up();
            peers[0].start(w);
            "PostgreSQL and a region process"
        }
        _ => {
            server.kill();
            std::thread::sleep(Duration::from_millis(random.below(1500)));
            server.up();
            "PostgreSQL"
        }
    }
}

/// One client: makes servers and deletes some of them, until told to stop.
fn churn(demo: &Api, body: &Value, told: &Mutex<Told>, stop: &AtomicBool, client: u64, random: &mut Random) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        told.lock().unwrap().asked += 1;
        let name = format!("c{client}-{n}");
        let mut wish = body.clone();
        wish["server"]["name"] = json!(name);
        match demo.try_send("POST", "/compute/v2.1/servers", &wish) {
            Ok(a) if a.status == 202 => {
                let id = a.json()["server"]["id"].as_str().unwrap().to_owned();
                told.lock().unwrap().made.insert(id);
            }
            Ok(a) if put_off(&a) => {
                told.lock().unwrap().put_off += 1;
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Ok(a) => {
                assert_eq!(a.status, 503, "create: {}", a.text());
                told.lock().unwrap().perhaps.insert(name);
                continue;
            }
            Err(_) => {
                told.lock().unwrap().perhaps.insert(name);
                continue;
            }
        }
        if random.below(2) == 0 {
            continue;
        }
        let victim = {
            let told = told.lock().unwrap();
            let all: Vec<_> = told.made.difference(&told.deleted).collect();
            all[usize::try_from(random.below(all.len() as u64)).unwrap()].clone()
        };
        match demo.try_send("DELETE", &format!("/compute/v2.1/servers/{victim}"), &Value::Null) {
            Ok(a) if [204, 404].contains(&a.status) => {
                told.lock().unwrap().deleted.insert(victim);
            }
            Ok(a) if put_off(&a) => told.lock().unwrap().put_off += 1,
            Ok(a) => {
                assert_eq!(a.status, 503, "delete: {}", a.text());
                told.lock().unwrap().unsure.insert(victim);
            }
            Err(_) => {
                told.lock().unwrap().unsure.insert(victim);
            }
        }
    }
}

/// Whether a request was put off because the database is away, in the API's own form, with the promise that
/// nothing came of it.
fn put_off(a: &Answer) -> bool {
    if a.status != 503 {
        return false;
    }
    let said = a.json();
    let known = said.get("serviceUnavailable").or(said.get("error"));
    assert!(known.is_some(), "not the API's own form: {}", a.text());
    assert!(a.header("retry-after").is_some(), "nobody is told when to come back");
    a.text().contains("Nothing was changed")
}

/// Every promise is kept, and what nobody promised is explained by an answer that was lost.
fn kept(demo: &Api, told: &Told) {
    let end = until(120, "every server ends ACTIVE or gone", || settled(demo));
    for id in &told.deleted {
        assert!(!end.contains_key(id), "{id} was deleted and is {}", end[id]);
    }
    for id in told.made.difference(&told.deleted).filter(|id| !told.unsure.contains(*id)) {
        assert_eq!(end.get(id).map(String::as_str), Some("ACTIVE"), "{id} was promised");
    }
    let mut names = BTreeSet::new();
    for id in end.keys() {
        let name = demo.server(id)["name"].as_str().unwrap().to_owned();
        assert!(told.made.contains(id) || told.perhaps.contains(&name), "{id} ({name}) is nobody's");
        assert!(names.insert(name.clone()), "{name} was asked for once and is there twice");
    }
}

fn nothing_leaks(demo: &Api, server: &Server) {
    assert_counters(|sql| server.sql(sql));
    let end = until(60, "the list of all", || settled(demo));
    for id in end.keys() {
        demo.delete(&format!("/compute/v2.1/servers/{id}")).expect(204);
    }
    for id in end.keys() {
        demo.wait_until_gone(id);
    }
    assert_counters(|sql| server.sql(sql));
    assert_eq!(
        server.sql("SELECT COUNT(*) FROM port WHERE device_owner LIKE 'compute:%'"),
        ["0"],
        "ports that stay"
    );
    let locks = server.sql("SELECT COUNT(*) FROM work WHERE kind = 'server' AND wake_at IS NOT NULL");
    assert_eq!(locks, ["0"], "life-cycles that go on without their server");
}
