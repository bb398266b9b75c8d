//! `kill -9` at any moment: what was promised is kept, what was not is not there, and no unit of
//! anything is lost.

use crate::api::Api;
use crate::random::Random;
use crate::wait::until;
use crate::world::World;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ROUNDS: u64 = 10;
/// A busy machine may need more of them until enough has been done to mean anything.
const ROUNDS_MAX: u64 = 60;
const CLIENTS: usize = 4;
/// Another seed is another set of moments; a failure prints its own.
const SEED: u64 = 0x4841_4e4f_4b31;

/// What clients were told before the lights went out.
#[derive(Default)]
struct Told {
    /// Asked for and granted.
    made: BTreeSet<String>,
    /// Deletion asked for and granted.
    deleted: BTreeSet<String>,
    /// Deletion asked for, with no answer.
    unsure: BTreeSet<String>,
}

#[test]
fn killed_at_any_moment() {
    let mut random = Random::seeded(SEED);
    let mut w = World::dev(3);
    let demo = w.api("demo");
    let admin = w.api("hanok");
    for (service, quota) in [("compute/v2.1/os-quota-sets", "quota_set"), ("network/v2.0/quotas", "quota")] {
        let limits = match quota {
            "quota" => serde_json::json!({"port": -1}),
            _ => serde_json::json!({"instances": -1, "cores": -1, "ram": -1}),
        };
        admin.put(&format!("/{service}/{}", demo.project), &serde_json::json!({quota: limits})).expect(200);
    }
    // Room for as many as a fast machine makes.
    let lan =
        demo.post("/network/v2.0/networks", &serde_json::json!({"network": {"name": "lan"}})).expect(201);
    let lan = lan["network"]["id"].as_str().unwrap();
    let subnet = serde_json::json!({"subnet": {"network_id": lan, "ip_version": 4, "cidr": "10.40.0.0/16"}});
    demo.post("/network/v2.0/subnets", &subnet).expect(201);
    let body = demo.server_body("crash", &[lan]);
    let told = Mutex::new(Told::default());
    let enough = |told: &Told| told.made.len() >= 10 && !told.deleted.is_empty();
    for round in 0..ROUNDS_MAX {
        if round >= ROUNDS && enough(&told.lock().unwrap()) {
            break;
        }
        let stop = AtomicBool::new(false);
        let moment = Duration::from_millis(random.below(600));
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (demo, body, told, stop) = (&demo, &body, &told, &stop);
                let mut random = Random(random.next() ^ client as u64);
                scope.spawn(move || churn(demo, body, told, stop, &mut random));
            }
            // The moment itself is what is tried here; nothing is expected of it.
            std::thread::sleep(moment);
            w.kill();
            stop.store(true, Ordering::Relaxed);
        });
        w.start();
    }

    let told = told.into_inner().unwrap();
    assert!(enough(&told), "too little happened to mean anything");
    let end = until(120, "every server ends ACTIVE or gone", || settled(&demo));
    for id in &told.deleted {
        assert!(!end.contains_key(id), "{id} was deleted and is {}", end[id]);
    }
    for id in told.made.difference(&told.deleted).filter(|id| !told.unsure.contains(*id)) {
        assert_eq!(end.get(id).map(String::as_str), Some("ACTIVE"), "{id} was promised");
    }
    assert_counters(|sql| w.rows(sql));
    for id in end.keys() {
        demo.delete(&format!("/compute/v2.1/servers/{id}")).expect(204);
    }
    for id in end.keys() {
        demo.wait_until_gone(id);
    }
    assert_counters(|sql| w.rows(sql));
    let left: i64 = w
        .database()
        .query_row("SELECT COUNT(*) FROM port WHERE device_owner LIKE 'compute:%'", [], |r| r.get(0))
        .unwrap();
    assert_eq!(left, 0, "ports of servers that are gone");
    w.finish();
}

/// One client: makes servers and deletes some of them, until nobody answers any more.
fn churn(demo: &Api, body: &Value, told: &Mutex<Told>, stop: &AtomicBool, random: &mut Random) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(answer) = demo.try_send("POST", "/compute/v2.1/servers", body) else { return };
        let id = answer.expect(202)["server"]["id"].as_str().unwrap().to_owned();
        told.lock().unwrap().made.insert(id.clone());
        if random.below(4) == 0 && !disturb(demo, body, told, random) {
            return;
        }
        if random.below(2) == 0 {
            continue;
        }
        // A server that is still being built is deleted just as well.
        let victim = {
            let told = told.lock().unwrap();
            let all: Vec<_> = told.made.difference(&told.deleted).collect();
            all[usize::try_from(random.below(all.len() as u64)).unwrap()].clone()
        };
        match demo.try_send("DELETE", &format!("/compute/v2.1/servers/{victim}"), &Value::Null) {
            Ok(answer) if [204, 404].contains(&answer.status) => {
                told.lock().unwrap().deleted.insert(victim);
            }
            Ok(answer) => panic!("delete {victim}: {} {}", answer.status, answer.text()),
            Err(_) => {
                told.lock().unwrap().unsure.insert(victim);
                return;
            }
        }
    }
}

/// Asks for something that ends where it began: a fresh start or a fresh disk. False when nobody answers any
/// more.
fn disturb(demo: &Api, body: &Value, told: &Mutex<Told>, random: &mut Random) -> bool {
    let id = {
        let told = told.lock().unwrap();
        let all: Vec<_> = told.made.iter().collect();
        all[usize::try_from(random.below(all.len() as u64)).unwrap()].clone()
    };
    let ask = match random.below(2) {
        0 => serde_json::json!({"rebuild": {"imageRef": body["server"]["imageRef"]}}),
        _ => serde_json::json!({"reboot": {"type": "HARD"}}),
    };
    match demo.try_send("POST", &format!("/compute/v2.1/servers/{id}/action"), &ask) {
        // Otherwise it is gone, or something else is being done to it.
        Ok(answer) => {
            assert!([202, 404, 409].contains(&answer.status), "{ask}: {}", answer.text());
            true
        }
        Err(_) => false,
    }
}

/// Every server and its status, once none of them is on the way any more.
pub fn settled(demo: &Api) -> Option<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut path = "/compute/v2.1/servers/detail?limit=1000".to_owned();
    loop {
        let page = demo.get(&path).expect(200);
        for server in page["servers"].as_array().unwrap() {
            assert_ne!(server["status"], "ERROR", "{server}");
            if server["status"] != "ACTIVE" || !server["OS-EXT-STS:task_state"].is_null() {
                return None;
            }
            all.insert(server["id"].as_str().unwrap().into(), server["status"].as_str().unwrap().into());
        }
        match page["servers_links"][0]["href"].as_str() {
            Some(next) => path = next.split_once("/compute").map(|(_, p)| format!("/compute{p}")).unwrap(),
            None => return Some(all),
        }
    }
}

/// Counters say what the rows say: nothing is counted twice, and nothing that is gone is counted. `rows` answers
/// the first column of a query.
#[track_caller]
pub fn assert_counters(rows: impl Fn(&str) -> Vec<String>) {
    let wrong_hosts = rows(
        "SELECT h.name || ': ' || h.vcpus_used || '/' || h.memory_mib_used || '/' || h.guests
         FROM host h LEFT JOIN (
             SELECT host_id, SUM(vcpus) v, SUM(ram) m, COUNT(*) n FROM server
             WHERE deleted_at IS NULL AND host_id IS NOT NULL GROUP BY host_id) s ON s.host_id = h.id
         WHERE h.vcpus_used <> COALESCE(s.v, 0) OR h.memory_mib_used <> COALESCE(s.m, 0) OR h.guests <> COALESCE(s.n, 0)",
    );
    assert_eq!(wrong_hosts, Vec::<String>::new(), "hosts that count what they do not have");
    for (resource, count) in [
        (
            "instances",
            "SELECT COUNT(*) FROM server s WHERE s.deleted_at IS NULL AND s.project_id = q.project_id",
        ),
        (
            "cores",
            "SELECT COALESCE(SUM(vcpus), 0) FROM server s WHERE s.deleted_at IS NULL AND s.project_id = q.project_id",
        ),
        (
            "ram",
            "SELECT COALESCE(SUM(ram), 0) FROM server s WHERE s.deleted_at IS NULL AND s.project_id = q.project_id",
        ),
        ("network", "SELECT COUNT(*) FROM network n WHERE n.project_id = q.project_id"),
        ("port", "SELECT COUNT(*) FROM port p WHERE p.project_id = q.project_id"),
        ("router", "SELECT COUNT(*) FROM router r WHERE r.project_id = q.project_id"),
        ("floatingip", "SELECT COUNT(*) FROM floating_ip f WHERE f.project_id = q.project_id"),
        ("security_group", "SELECT COUNT(*) FROM security_group g WHERE g.project_id = q.project_id"),
    ] {
        let wrong = rows(&format!(
            "SELECT q.project_id || ' ' || q.used || ' instead of ' || ({count}) FROM quota q
             WHERE q.resource = '{resource}' AND q.project_id <> '' AND q.used <> ({count})"
        ));
        assert_eq!(wrong, Vec::<String>::new(), "quota of {resource}");
    }
    let lost = rows(
        "SELECT p.id FROM port p WHERE p.device_owner LIKE 'compute:%' AND p.made_by_compute = 1
         AND NOT EXISTS (SELECT 1 FROM server s WHERE s.id = p.device_id AND s.deleted_at IS NULL)",
    );
    assert_eq!(lost, Vec::<String>::new(), "ports whose server is gone");
    let bare = rows(
        "SELECT s.id FROM server s WHERE s.deleted_at IS NULL AND s.vm_state = 'active'
         AND NOT EXISTS (SELECT 1 FROM port p JOIN port_address a ON a.port_id = p.id WHERE p.device_id = s.id)",
    );
    assert_eq!(bare, Vec::<String>::new(), "servers without their address");
}
