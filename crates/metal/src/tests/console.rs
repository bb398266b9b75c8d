//! Serial consoles: who gets a ticket, what the rack is told, and what passes.

use super::world::{Room, World, worlds};
use crate::table::console::{self, Asked};
use axum::serve;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const MAC: &str = "52:54:00:ee:00:01";

async fn listening(w: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = w.router.clone();
    tokio::spawn(async move { serve(listener, router).await });
    address
}

/// A WebSocket there, or the status of the refusal.
async fn connect(at: SocketAddr, path: &str, bearer: &str) -> Result<WebSocketStream<TcpStream>, u16> {
    let mut request = format!("ws://{at}{path}").into_client_request().unwrap();
    if !bearer.is_empty() {
        request.headers_mut().insert("authorization", format!("Bearer {bearer}").parse().unwrap());
    }
    match client_async(request, TcpStream::connect(at).await.unwrap()).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

/// The console that the rack is asked for.
async fn asked(w: &World) -> Option<Value> {
    let own = [("authorization", "Bearer the-rack")];
    let doc = w.send(&own, "GET", "/rack/v1/desired?since=0", None).await.of(200);
    doc["consoles"].as_array().unwrap().first().cloned()
}

/// A machine of the project `a`, with a BMC that has a serial port.
async fn given(w: &World) -> base::MachineId {
    let mut room = Room::new(&[MAC]);
    let id = w.ready(&mut room).await;
    let path = format!("/hanok/v1/machines/{id}");
    let open = format!("{path}/console");
    let manual = json!({"machine": {"bmc": {"kind": "manual"}}});
    w.admin("PATCH", &path, Some(manual)).await.of(200);
    let words = w.admin("POST", &open, None).await.refused(409);
    assert!(words.contains("no serial console"), "{words}");
    let bmc = json!({"kind": "ipmi", "address": "10.0.0.9", "user": "root", "password": "calvin"});
    w.admin("PATCH", &path, Some(json!({"machine": {"bmc": bmc}}))).await.of(200);
    w.member("POST", &open, None).await.of(404);
    w.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
    w.send(&[("x-auth-token", "reader:a")], "POST", &open, None).await.of(403);
    w.send(&[("x-auth-token", "member:b")], "POST", &open, None).await.of(404);
    id
}

#[tokio::test]
async fn a_ticket_opens_a_console_once_and_the_rack_brings_it() {
    for w in worlds().await {
        let at = listening(&w).await;
        let id = given(&w).await;
        let ticket = w.member("POST", &format!("/hanok/v1/machines/{id}/console"), None).await.of(200);
        let path = format!("/hanok/v1/machine-console?token={}", ticket["token"].as_str().unwrap());
        assert!(ticket["url"].as_str().unwrap().ends_with(&path));
        assert_eq!(asked(&w).await, None, "nobody looks yet");
        assert_eq!(connect(at, "/hanok/v1/machine-console?token=guess", "").await.err(), Some(401));
        let mut viewer = connect(at, &path, "").await.unwrap();
        assert_eq!(connect(at, &path, "").await.err(), Some(401), "once");
        let wanted = asked(&w).await.unwrap();
        assert_eq!(wanted["machine"], json!(id));
        let bring = format!("/rack/v1/consoles/{}", wanted["key"].as_str().unwrap());
        assert_eq!(connect(at, &bring, "").await.err(), Some(401));
        assert_eq!(connect(at, &bring, "another rack").await.err(), Some(401));
        assert_eq!(connect(at, "/rack/v1/consoles/guess", "the-rack").await.err(), Some(404));
        let mut rack = connect(at, &bring, "the-rack").await.unwrap();
        viewer.send(Message::Binary("root\r".into())).await.unwrap();
        assert_eq!(rack.next().await.unwrap().unwrap(), Message::Binary("root\r".into()));
        rack.send(Message::Binary("login: ".into())).await.unwrap();
        assert_eq!(viewer.next().await.unwrap().unwrap(), Message::Binary("login: ".into()));
        assert_eq!(connect(at, &bring, "the-rack").await.err(), Some(404), "it is there already");
        assert_eq!(asked(&w).await, None, "and not asked for any more");
        let kept = || w.db.read(move |tx| crate::console_log(tx, id));
        assert_eq!(kept().await.unwrap(), None);
        // The rack hangs up, and so does the region.
        rack.send(Message::Text("the BMC is gone".into())).await.unwrap();
        rack.close(None).await.unwrap();
        assert_eq!(viewer.next().await.unwrap().unwrap(), Message::Text("the BMC is gone".into()));
        assert!(matches!(viewer.next().await, Some(Ok(Message::Close(_))) | None));
        let end = Instant::now() + Duration::from_secs(60);
        while kept().await.unwrap().as_deref() != Some("login: ") {
            assert!(Instant::now() < end, "what it said is not kept");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn the_last_of_what_a_console_said_is_kept_for_its_owner() {
    for w in worlds().await {
        let id = given(&w).await;
        let of = |project: &str| Asked {
            machine: id,
            key: String::new(),
            project: project.to_owned(),
            operator: false,
        };
        let say =
            async |a: Asked, said: String| w.db.write(move |tx| console::keep(tx, &a, &said)).await.unwrap();
        let kept = async || w.db.read(move |tx| console::kept(tx, id)).await.unwrap();
        say(of("a"), "one\0 ".into()).await;
        say(of("a"), "two".into()).await;
        say(of("b"), "of somebody else".into()).await;
        assert_eq!(kept().await.as_deref(), Some("one two"));
        say(of("a"), "ü".repeat(console::KEPT / 2 + 7)).await;
        let all = kept().await.unwrap();
        assert_eq!(all, "ü".repeat(console::KEPT / 2), "the last, in whole characters");
        // To the next owner nothing of it is shown, also before it is forgotten.
        w.db.write(move |tx| crate::table::machine::set(tx, id, "project_id", "b")).await.unwrap();
        assert_eq!(kept().await, None);
        say(of("b"), "new".into()).await;
        assert_eq!(kept().await.as_deref(), Some("new"));
        let m = w.machine(id).await;
        w.db.write(move |tx| crate::act::disown(tx, &m)).await.unwrap();
        let left = "SELECT COUNT(*) FROM machine_console_log";
        assert_eq!(w.db.read(|tx| tx.one(left, &[], |r| r.get::<i64>(0))).await.unwrap(), 0);
    }
}

/// A console of its owner that is in use, both its ends, and a ticket that was not used.
struct InUse {
    at: SocketAddr,
    viewer: WebSocketStream<TcpStream>,
    rack: WebSocketStream<TcpStream>,
    unused: String,
}

impl InUse {
    async fn of(w: &World, id: base::MachineId) -> InUse {
        let at = listening(w).await;
        let open = format!("/hanok/v1/machines/{id}/console");
        let path_of = |t: Value| format!("/hanok/v1/machine-console?token={}", t["token"].as_str().unwrap());
        let unused = path_of(w.member("POST", &open, None).await.of(200));
        let used = path_of(w.member("POST", &open, None).await.of(200));
        let mut viewer = connect(at, &used, "").await.unwrap();
        let key = asked(w).await.unwrap()["key"].as_str().unwrap().to_owned();
        let mut rack = connect(at, &format!("/rack/v1/consoles/{key}"), "the-rack").await.unwrap();
        rack.send(Message::Binary("x".into())).await.unwrap();
        assert_eq!(viewer.next().await.unwrap().unwrap(), Message::Binary("x".into()));
        InUse { at, viewer, rack, unused }
    }

    /// Both ends are let go, and the older ticket opens nothing.
    async fn ends(mut self) {
        assert!(matches!(self.viewer.next().await, Some(Ok(Message::Close(_))) | None));
        assert!(matches!(self.rack.next().await, Some(Ok(Message::Close(_))) | None));
        assert_eq!(connect(self.at, &self.unused, "").await.err(), Some(401));
    }
}

#[tokio::test]
async fn a_console_ends_when_the_machine_is_somebody_elses() {
    for w in worlds().await {
        let id = given(&w).await;
        let console = InUse::of(&w, id).await;
        w.db.write(move |tx| crate::table::machine::set(tx, id, "project_id", "b")).await.unwrap();
        console.ends().await;
    }
}

#[tokio::test]
async fn its_owner_has_no_console_of_a_machine_that_is_given_back() {
    for w in worlds().await {
        let id = given(&w).await;
        let console = InUse::of(&w, id).await;
        w.act(id, "release", json!({"erase": "secure"})).await.of(202);
        console.ends().await;
        let open = format!("/hanok/v1/machines/{id}/console");
        let words = w.member("POST", &open, None).await.refused(409);
        assert!(words.contains("Disk erasing"), "{words}");
        // It was not erased, and is still to be.
        w.act(id, "abort", json!({})).await.of(202);
        w.member("POST", &open, None).await.refused(409);
        w.admin("POST", &open, None).await.of(200);
    }
}
