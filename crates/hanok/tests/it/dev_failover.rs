//! PostgreSQL fails over to a standby while clients work: what was accepted is there, and the control plane goes on
//! by itself.

use crate::api::Api;
use crate::postgres::Server;
use crate::wait::until_true;
use crate::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const CLIENTS: usize = 3;

#[test]
fn a_failover_loses_nothing() {
    let Some(mut primary) = Server::start() else { return };
    let standby = primary.standby();
    let w = World::dev_with(2, &format!("database = {:?}", primary.url_with(&standby)));
    let demo = w.api("demo");
    let admin = w.api("hanok");
    admin
        .put("/compute/v2.1/os-quota-class-sets/default", &json!({"quota_class_set": {"key_pairs": -1}}))
        .expect(200);
    let (told, stop) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (demo, told, stop) = (&demo, &told, &stop);
            scope.spawn(move || work(demo, client, told, stop));
        }
        let _end = Flag(&stop);
        let enough = |n: usize| move |told: &Mutex<BTreeSet<String>>| told.lock().unwrap().len() >= n;
        until_true(60, "clients are at work", || enough(30)(&told));
        primary.kill();
        assert_eq!(standby.sql("SELECT pg_promote()"), ["t"]);
        let before = told.lock().unwrap().len();
        until_true(60, "clients are at work again", || enough(before + 30)(&told));
    });
    let told = told.into_inner().unwrap();
    let list = demo.get("/compute/v2.1/os-keypairs").expect(200);
    let there: BTreeSet<_> =
        list["keypairs"].as_array().unwrap().iter().map(|k| k["keypair"]["name"].as_str().unwrap()).collect();
    let lost: Vec<_> = told.iter().filter(|name| !there.contains(name.as_str())).collect();
    assert!(lost.is_empty(), "accepted and gone: {lost:?}");
    // The engine and the hosts went on, too.
    let id = demo.create_server(&demo.server_body("after", &[&demo.network("private")]));
    demo.wait_for(&id, "ACTIVE");
    w.finish();
}

struct Flag<'a>(&'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One client: makes key pairs, until told to stop.
fn work(demo: &Api, client: usize, told: &Mutex<BTreeSet<String>>, stop: &AtomicBool) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("k{client}-{n}");
        let wish = json!({"keypair": {"name": name, "public_key": crate::dev_regions::KEY}});
        match demo.try_send("POST", "/compute/v2.1/os-keypairs", &wish) {
            Ok(a) if a.status == 200 => {
                told.lock().unwrap().insert(name);
            }
            Ok(a) => assert_eq!((a.status, a.header("retry-after")), (503, Some("1")), "{}", a.text()),
            Err(e) => panic!("{name}: the process answers whatever the database does: {e}"),
        }
        // Read what one wrote, wherever it is.
        if n % 10 == 0 {
            let _: Option<Value> = demo
                .try_send("GET", "/compute/v2.1/os-keypairs?limit=1", &Value::Null)
                .ok()
                .map(|a| a.json());
        }
    }
}
