//! Consoles against an agent that serves bytes.

use super::world::{FakeHost, World};
use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::get;
use base::ServerId;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message as There};

const SECRET: &str = "this-start-only";

fn proven(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|v| v == &format!("Bearer {SECRET}"))
}

/// An agent's byte routes: a log, and a serial console that says everything twice.
async fn agent() -> String {
    let log = |headers: HeaderMap, uri: http::Uri| async move {
        assert!(proven(&headers));
        format!("booted {}", uri.query().unwrap_or(""))
    };
    let serial = |headers: HeaderMap, ws: WebSocketUpgrade| async move {
        assert!(proven(&headers));
        ws.on_upgrade(|mut socket| async move {
            while let Some(Ok(Message::Binary(b))) = socket.recv().await {
                let twice = [b.as_ref(), b.as_ref()].concat();
                if socket.send(Message::Binary(twice.into())).await.is_err() {
                    return;
                }
            }
        })
    };
    let router =
        Router::new().route("/v1/guests/{id}/log", get(log)).route("/v1/guests/{id}/serial", get(serial));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn running() -> (World, FakeHost, ServerId) {
    let w = World::new().await;
    let mut host = w.host("h1").await;
    host.facts.bytes_url = agent().await;
    host.facts.bytes_token = SECRET.into();
    host.turn(&w).await;
    let id = w.create("one").await;
    let early = w.act(id, json!({"os-getConsoleOutput": {}})).await;
    assert_eq!(early.refused(409), format!("Instance {id} is not ready"));
    w.until(&mut host, id, "ACTIVE").await;
    (w, host, id)
}

#[tokio::test]
async fn output_comes_from_the_host() {
    let (w, mut host, id) = running().await;
    let out = w.act(id, json!({"os-getConsoleOutput": {"length": 7}})).await.expect(200);
    assert_eq!(out["output"], "booted lines=7");
    host.facts.bytes_url = "http://127.0.0.1:1".into();
    host.turn(&w).await;
    let message = w.act(id, json!({"os-getConsoleOutput": {}})).await.refused(503);
    assert!(message.starts_with("The host h1 does not hand out this console at the moment"), "{message}");
}

/// An agent that answers everything so.
async fn agent_that_says(status: StatusCode) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(move || async move { status });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_guest_that_is_not_there_is_no_trouble_of_its_host() {
    let (w, mut host, id) = running().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = w.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let console = format!("/hanok/v1/servers/{id}/console");
    let usage = format!("/hanok/v1/servers/{id}/metrics");
    for (says, status) in [(404, 409), (409, 409), (401, 503), (500, 503), (503, 503)] {
        host.facts.bytes_url = agent_that_says(StatusCode::from_u16(says).unwrap()).await;
        host.turn(&w).await;
        let output = w.act(id, json!({"os-getConsoleOutput": {}})).await.refused(status);
        assert_eq!(output == format!("Instance {id} is not ready"), status == 409, "{says}: {output}");
        w.admin("2.48", "GET", &format!("/servers/{id}/diagnostics"), None).await.refused(status);
        w.send("member:a", "", "GET", &usage, None).await.expect(if status == 409 { 200 } else { status });
        let ticket =
            w.send("member:a", "", "POST", &console, Some(json!({"kind": "serial"}))).await.expect(200);
        let url =
            format!("ws://{address}/hanok/v1/console/serial?token={}", ticket["token"].as_str().unwrap());
        match connect_async(url).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), status, "{says}"),
            other => panic!("{says}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_ticket_opens_a_console_once() {
    let (w, _host, id) = running().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = w.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let path = format!("/hanok/v1/servers/{id}/console");
    let ticket = w.send("member:a", "", "POST", &path, Some(json!({"kind": "serial"}))).await.expect(200);
    w.send("member:b", "", "POST", &path, Some(json!({"kind": "serial"}))).await.expect(404);
    let url = |kind: &str| {
        format!("ws://{address}/hanok/v1/console/{kind}?token={}", ticket["token"].as_str().unwrap())
    };
    assert!(connect_async(url("vnc")).await.is_err(), "a ticket is for one kind");
    let (mut socket, _) = connect_async(url("serial")).await.unwrap();
    socket.send(There::Binary("ls\n".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), There::Binary("ls\nls\n".into()));
    assert!(connect_async(url("serial")).await.is_err(), "a ticket is good once");
}

#[tokio::test]
async fn addresses_of_screens() {
    let (w, _host, id) = running().await;
    let path = format!("/servers/{id}/remote-consoles");
    let body = json!({"remote_console": {"protocol": "vnc", "type": "novnc"}});
    let url =
        w.member("2.6", "POST", &path, Some(body.clone())).await.expect(200)["remote_console"]["url"].clone();
    let page = "http://hanok.test/screen?path=hanok%2Fv1%2Fconsole%2Fvnc%3Ftoken%3D";
    assert!(url.as_str().unwrap().starts_with(page), "{url}");
    w.member("2.5", "POST", &path, Some(body)).await.expect(404);
    let act = format!("/servers/{id}/action");
    let old = json!({"os-getVNCConsole": {"type": "novnc"}});
    let old = w.member("2.1", "POST", &act, Some(old)).await.expect(200);
    assert_eq!(old["console"]["type"], "novnc");
}
