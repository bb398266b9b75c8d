//! The same region on PostgreSQL. Runs where `HANOK_TEST_POSTGRES` holds a URL, as in `make test`
//! (`scripts/postgres-for-tests.sh`).

use crate::wait::until_true;
use crate::world::{World, both};
use serde_json::json;
use std::process::Command;

/// A database of the test's own on the server, dropped at the end.
struct Own {
    server: String,
    name: String,
}

impl Own {
    fn on(server: &str) -> Own {
        let own = Own { server: server.to_owned(), name: format!("hanok_it_{}", std::process::id()) };
        own.sql(&format!("CREATE DATABASE {}", own.name));
        own
    }
    fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').unwrap();
        format!("{base}/{}", self.name)
    }
    fn sql(&self, text: &str) {
        let done = Command::new("psql").args(["-q", "-X", &self.server, "-c", text]).output().unwrap();
        assert!(done.status.success(), "{text}: {}", both(&done));
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let text = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = Command::new("psql").args(["-q", "-X", &self.server, "-c", &text]).output();
    }
}

#[test]
fn the_same_on_postgres() {
    let Ok(server) = std::env::var("HANOK_TEST_POSTGRES") else {
        eprintln!("HANOK_TEST_POSTGRES is not set: nothing to try");
        return;
    };
    let own = Own::on(&server);
    let mut w = World::dev_with(3, &format!("database = {:?}", own.url()));
    let demo = w.api("demo");
    let body = demo.server_body("pg", &[&demo.network("private")]);
    let ids: Vec<_> = (0..8).map(|_| demo.create_server(&body)).collect();
    w.kill();
    w.start();
    for id in &ids {
        demo.wait_for(id, "ACTIVE");
    }
    demo.action(&ids[0], &json!({"os-stop": null})).expect(202);
    demo.wait_for(&ids[0], "SHUTOFF");
    for id in &ids {
        demo.delete(&format!("/compute/v2.1/servers/{id}")).expect(204);
    }
    w.kill();
    w.start();
    for id in &ids {
        demo.wait_until_gone(id);
    }
    let quota = || demo.get(&format!("/compute/v2.1/os-quota-sets/{}/detail", demo.project)).expect(200);
    until_true(30, "no instance is counted", || quota()["quota_set"]["instances"]["in_use"] == 0);
    let ports = demo.get("/network/v2.0/ports?device_owner=compute:nova").expect(200);
    assert_eq!(ports["ports"], json!([]));
    w.finish();
}
