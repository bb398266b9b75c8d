//! The move from SQLite to PostgreSQL and back, with everything that the usual actions leave in a database.

use crate::api::Api;
use crate::postgres::Server;
use crate::wait::until_true;
use crate::world::{World, both};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

#[test]
fn there_and_back() {
    let Some(server) = Server::start() else { return };
    let mut w = World::dev(3);
    let demo = w.api("demo");
    let servers = furnish(&demo);
    let refused = moved(&w, &server.url(), "sqlite");
    assert!(!refused.status.success() && both(&refused).contains("already runs"), "{}", both(&refused));
    w.interrupt();

    cut_short(&w, &server);
    let done = moved(&w, &server.url(), "sqlite");
    assert!(done.status.success(), "{}", both(&done));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains(&format!("database = \"{}\"", server.url())), "{said}");
    let counted = said.lines().find(|l| l.starts_with("server ")).unwrap().split_whitespace().nth(1).unwrap();
    assert_eq!(counted, servers.len().to_string());

    // Who forgets to change the line does not go on with the past.
    let forgot = w.hanok(&["dev", "--listen", "127.0.0.1:0", "--data", &w.data().display().to_string()]);
    assert!(!forgot.status.success() && both(&forgot).contains("was moved to"), "{}", both(&forgot));

    let generations = || -> Vec<i64> {
        let rows = server.sql("SELECT generation FROM host ORDER BY name");
        rows.iter().map(|g| g.parse().unwrap()).collect()
    };
    let before = generations();
    configure(&w, &server.url());
    w.start();
    all_is_there(&demo, &servers, "as it was");
    assert!(generations().iter().zip(&before).all(|(now, then)| now >= then), "a document went backwards");
    w.interrupt();

    let back = moved(&w, "sqlite", &server.url());
    assert!(back.status.success(), "{}", both(&back));
    configure(&w, "sqlite");
    w.start();
    all_is_there(&demo, &servers, "as it was there");
    w.finish();
}

fn moved(w: &World, to: &str, from: &str) -> Output {
    let data = w.data().display().to_string();
    w.hanok(&["admin", "move-database", "--data", &data, "--database", from, "--to", to])
}

/// `kill -9` in the middle: the source is as it was, and the target empty.
fn cut_short(w: &World, server: &Server) {
    let before = fs::read(w.data().join("hanok.db")).unwrap();
    let mut child = w
        .hanok_command()
        .args(["admin", "move-database", "--to", &server.url(), "--data"])
        .arg(w.data())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(
        lines.map_while(Result::ok).filter(|l| l.contains(" rows  ")).take(5).count(),
        5,
        "it ended too early"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    until_true(30, "the server has noticed", || {
        server.sql("SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'hanok'") == ["0"]
    });
    assert_eq!(server.sql("SELECT COUNT(*) FROM setting"), ["0"], "half a move");
    assert!(fs::read(w.data().join("hanok.db")).unwrap() == before, "the source is another");
}

fn configure(w: &World, database: &str) {
    let file = w.file("hanok.toml");
    let text = fs::read_to_string(&file).unwrap();
    let kept: Vec<_> = text.lines().filter(|l| !l.starts_with("database = ")).collect();
    fs::write(file, format!("database = {database:?}\n{}\n", kept.join("\n"))).unwrap();
}

/// What the usual actions leave: servers in several states, an image with content, odd texts.
fn furnish(demo: &Api) -> Vec<(String, String)> {
    let body = demo.server_body("kept", &[&demo.network("private")]);
    let ids: Vec<_> = (0..4).map(|_| demo.create_server(&body)).collect();
    for id in &ids {
        demo.wait_for(id, "ACTIVE");
    }
    demo.action(&ids[0], &json!({"os-stop": null})).expect(202);
    demo.wait_for(&ids[0], "SHUTOFF");
    demo.delete_server(&ids[3]);
    demo.post(
        &format!("/compute/v2.1/servers/{}/metadata", ids[1]),
        &json!({"metadata": {"note": "탭\tback\\slash\nline"}}),
    )
    .expect(200);
    let new = json!({"name": "own", "disk_format": "raw", "container_format": "bare", "note": "\\N"});
    let image = demo.post("/image/v2/images", &new).expect(201)["id"].as_str().unwrap().to_owned();
    let put = demo.raw(
        "PUT",
        &format!("/image/v2/images/{image}/file"),
        &[("Content-Type", "application/octet-stream")],
        &[9; 4096],
    );
    assert_eq!(put.unwrap().status, 204);
    // A deleted server keeps its row for administrators.
    let states = ["SHUTOFF", "ACTIVE", "ACTIVE", ""];
    ids.into_iter().zip(states).map(|(id, state)| (id, state.to_owned())).collect()
}

/// With the token of before.
fn all_is_there(demo: &Api, servers: &[(String, String)], what: &str) {
    for (id, state) in servers.iter().filter(|(_, s)| !s.is_empty()) {
        assert_eq!(demo.server(id)["status"], state.as_str(), "{id} {what}");
    }
    let said = demo.get(&format!("/compute/v2.1/servers/{}/metadata", servers[1].0)).expect(200);
    assert_eq!(said["metadata"]["note"], "탭\tback\\slash\nline");
    let image = demo.image("own");
    let image = demo.get(&format!("/image/v2/images/{image}")).expect(200);
    assert_eq!((image["note"].as_str(), image["size"].as_u64()), (Some("\\N"), Some(4096)));
    // The hosts go on from where they were.
    let id = &servers[1].0;
    demo.action(id, &json!({"os-stop": null})).expect(202);
    demo.wait_for(id, "SHUTOFF");
    demo.action(id, &json!({"os-start": null})).expect(202);
    demo.wait_for(id, "ACTIVE");
}
