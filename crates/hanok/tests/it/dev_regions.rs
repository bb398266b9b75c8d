//! Several region processes on one PostgreSQL: equal, and none of them needed.

use crate::api::Api;
use crate::http;
use crate::peer::Peer;
use crate::postgres::Server;
use crate::wait::{until, until_true};
use crate::world::{World, password_login};
use serde_json::json;
use std::fs;
use std::io::Write;

pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxxpOMqhPjNQ8ZZxQ2ZQ3dXj8nQW1rYFq0vYx6Jw3hT test";

pub fn world(server: &Server, hosts: u32) -> World {
    // In the world's directory, where all of its programs start.
    World::dev_with(hosts, &format!("database = {:?}\nimages = \"shared\"", server.url()))
}

fn images_of(w: &World) -> std::path::PathBuf {
    w.file("shared")
}

#[test]
fn what_one_process_does_the_other_knows() {
    let Some(server) = Server::start() else { return };
    let w = world(&server, 3);
    strangers_are_refused(&w);
    let mut b = Peer::of(&w, "b", &["region"]);
    b.start(&w);
    assert!(!b.data.join("admin-password").exists(), "a password that opens nothing");
    let (here, there) = (w.api("demo"), b.api(&w.api("demo")));
    read_your_writes(&here, &there);
    revocations_arrive(&w, &b);
    uploads_of_the_living_stay(&w, &mut b);

    // Asked for there; the host's agent waits here.
    let id = there.create_server(&there.server_body("far", &[&there.network("private")]));
    here.wait_for(&id, "ACTIVE");
    there.delete_server(&id);
    b.interrupt();
    assert_eq!(server.sql("SELECT COUNT(*) FROM process"), ["1"], "one that ends in good order says goodbye");
    w.finish();
}

/// One process simulates the hosts, and when it ends another does.
#[test]
fn simulated_hosts_outlive_their_process() {
    let Some(server) = Server::start() else { return };
    let mut w = world(&server, 2);
    let mut b = Peer::of(&w, "b", &["dev", "--hosts", "2"]);
    b.start(&w);
    let demo = w.api("demo");
    let body = demo.server_body("moved", &[&demo.network("private")]);
    let id = demo.create_server(&body);
    demo.wait_for(&id, "ACTIVE");
    assert_eq!(server.sql("SELECT COUNT(*) FROM host"), ["2"], "the same hosts, whoever simulates them");
    assert_eq!(server.sql("SELECT COUNT(*) FROM image WHERE name = 'mini'"), ["1"], "made once");
    w.interrupt();
    let demo = b.api(&demo);
    let id = demo.create_server(&body);
    demo.wait_for(&id, "ACTIVE");
    w.start();
    b.interrupt();
    w.finish();
}

#[test]
fn the_server_proves_who_it_is() {
    let Some(server) = Server::start() else { return };
    let w = world(&server, 0);
    let roots = w.file("roots.pem");
    server.certificate(&roots);
    let verified = format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), roots.display());
    let mut good = Peer::of(&w, "good", &["region", "--database", &verified]);
    good.start(&w);
    let encrypted = "SELECT COUNT(*) > 0 AND BOOL_AND(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'hanok'";
    assert_eq!(server.sql(encrypted), ["t"]);
    good.interrupt();
    // The system's authorities know nothing of this server.
    let stranger =
        Peer::of(&w, "bad", &["region", "--database", &format!("{}?sslmode=verify-full", server.url())]);
    let said = stranger.refused(&w);
    assert!(said.contains("The database cannot be used") && said.contains("certificate"), "{said}");
    w.finish();
}

/// Without the master key, with another, with another image directory: each is told what to do, and leaves no trace.
fn strangers_are_refused(w: &World) {
    let stranger = Peer::of(w, "stranger", &["region"]);
    let key = stranger.data.join("master-key");
    fs::remove_file(&key).unwrap();
    let said = stranger.refused(w);
    assert!(said.contains("Copy the file `master-key`"), "{said}");
    assert!(!key.exists(), "a key that opens nothing");
    fs::write(&key, "RTQ3aVJwZFJPcjl2Q3pOd1l2dnZGc0ZlWXpKb1ZxZ0U=\n").unwrap();
    let said = stranger.refused(w);
    assert!(said.contains("does not open what is sealed"), "{said}");
    fs::copy(w.data().join("master-key"), &key).unwrap();
    let configuration = fs::read_to_string(w.file("hanok.toml")).unwrap();
    let elsewhere = configuration.replace("\"shared\"", "\"empty\"");
    fs::write(w.file("hanok.toml"), elsewhere).unwrap();
    let said = stranger.refused(w);
    assert!(said.contains("every region process needs the same"), "{said}");
    fs::write(w.file("hanok.toml"), configuration).unwrap();
}

/// Whoever was answered finds it at every process at once.
fn read_your_writes(here: &Api, there: &Api) {
    for n in 0..500 {
        let (a, b) = if n % 2 == 0 { (here, there) } else { (there, here) };
        let path = format!("/compute/v2.1/os-keypairs/k{n}");
        a.post(
            "/compute/v2.1/os-keypairs",
            &json!({"keypair": {"name": format!("k{n}"), "public_key": KEY}}),
        )
        .expect(200);
        b.get(&path).expect(200);
        assert_eq!(b.delete(&path).status, 202);
        assert_eq!(a.get(&path).status, 404);
    }
}

/// A token that ended, a password that changed, a role that was taken: the other process comes to know.
fn revocations_arrive(w: &World, b: &Peer) {
    let (admin, demo) = (w.api("hanok"), w.api("demo"));
    let there = b.api(&demo);
    there.get("/compute/v2.1/servers").expect(200);
    let revoked =
        admin.raw("DELETE", "/identity/v3/auth/tokens", &[("X-Subject-Token", demo.token())], b"").unwrap();
    assert_eq!(revoked.status, 204);
    until_true(60, "the revoked token is refused", || there.get("/compute/v2.1/servers").status == 401);

    let user =
        json!({"user": {"name": "passing", "password": "first-of-two", "default_project_id": demo.project}});
    let user = admin.post("/identity/v3/users", &user).expect(201)["user"]["id"].as_str().unwrap().to_owned();
    let role = admin.id_of("/identity/v3/roles", "member");
    let grant = format!("/identity/v3/projects/{}/users/{user}/roles/{role}", demo.project);
    admin.put(&grant, &serde_json::Value::Null).expect(204);
    let login = |password: &str| {
        Api::anonymous(b.to).post("/identity/v3/auth/tokens", &password_login("passing", password, "demo"))
    };
    let first = login("first-of-two");
    first.expect(201);
    let theirs = there.with_token(first.header("x-subject-token").unwrap());
    theirs.get("/network/v2.0/networks").expect(200);
    let change = json!({"user": {"password": "second-of-two"}});
    assert_eq!(admin.send("PATCH", &format!("/identity/v3/users/{user}"), &change).status, 200);
    assert_eq!(login("first-of-two").status, 401, "the hash is read at each login");
    login("second-of-two").expect(201);
    until_true(60, "tokens of the old password end", || theirs.get("/network/v2.0/networks").status == 401);
}

/// A process that starts gives up what its own last run took, and nothing that another one takes.
fn uploads_of_the_living_stay(w: &World, b: &mut Peer) {
    let here = w.api("demo");
    let there = b.api(&here);
    let new = json!({"name": "slow", "disk_format": "raw", "container_format": "bare"});
    let id = there.post("/image/v2/images", &new).expect(201)["id"].as_str().unwrap().to_owned();
    let status =
        || here.get(&format!("/image/v2/images/{id}")).expect(200)["status"].as_str().unwrap().to_owned();
    let begin = || {
        let mut stream = http::connect(b.to).unwrap();
        let head = format!(
            "PUT /image/v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: 2097152\r\n\r\n",
            there.token()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![7; 1 << 20]).unwrap();
        stream
    };
    let mut stream = begin();
    until_true(30, "the upload has begun", || status() == "saving");
    let mut c = Peer::of(w, "c", &["region"]);
    c.start(w);
    assert_eq!(status(), "saving", "another's start is no reason to give up");
    stream.write_all(&vec![7; 1 << 20]).unwrap();
    assert_eq!(http::read(stream).unwrap().status, 204);
    assert_eq!(status(), "active");
    let content = c.api(&here).get(&format!("/image/v2/images/{id}/file"));
    assert_eq!((content.status, content.body.len()), (200, 2 << 20), "every process has every content");
    here.delete(&format!("/image/v2/images/{id}")).expect(204);
    let file = images_of(w);
    until_true(60, "the content goes with its image", || {
        let left = fs::read_dir(&file).unwrap().flatten().filter(|e| e.file_name().len() == 128);
        left.count() == 1 // mini
    });
    c.interrupt();

    let id = there.post("/image/v2/images", &new).expect(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/image/v2/images/{id}");
    let head = format!(
        "PUT {path}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: 2097152\r\n\r\n",
        there.token()
    );
    let mut stream = http::connect(b.to).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    until(30, "the upload has begun", || (here.get(&path).expect(200)["status"] == "saving").then_some(()));
    b.kill();
    b.start(w);
    assert_eq!(here.get(&path).expect(200)["status"], "queued", "the upload ended with its process");
}
