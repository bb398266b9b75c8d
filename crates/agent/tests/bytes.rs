//! Consoles and logs over the agent's byte server, with real guests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says by panicking")]

mod parts;

use base::ServerId;
use base::doc::{GuestState, Power};
use futures_util::{SinkExt, StreamExt};
use parts::{Agent, GREETING, Region};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where the byte routes are, and the secret that opens them.
async fn door(region: &Region) -> (String, String) {
    let facts = region.until("an address", |o| !o.facts.bytes_url.is_empty()).await.facts;
    (facts.bytes_url.strip_prefix("http://").unwrap().to_owned(), facts.bytes_token)
}

/// Status and body of a GET by the region.
async fn get(region: &Region, path: &str) -> (u16, String) {
    get_with(region, path, &door(region).await.1).await
}

async fn get_with(region: &Region, path: &str, token: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(door(region).await.0).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn connect(region: &Region, id: ServerId, what: &str) -> Result<Socket, Error> {
    let (address, token) = door(region).await;
    let url = format!("ws://{address}/v1/guests/{id}/{what}");
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
}

/// Reads until the text has come. Texts hold no `r` and no `q`: the guest would reset or power off.
async fn until(socket: &mut Socket, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        match timeout(parts::PATIENCE, socket.next()).await.expect(text) {
            Some(Ok(Message::Binary(bytes))) => seen.push_str(&String::from_utf8_lossy(&bytes)),
            other => panic!("{other:?} after {seen:?}, before {text:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_for_the_region_only() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    let _typing = agent.type_serial(id, "hello\n").await;
    agent.until_serial(id, "the echo", |s| s.ends_with("hello\n")).await;
    let path = format!("/v1/guests/{id}/log");
    assert_eq!(get_with(&region, &path, "wrong").await.0, 401);
    assert_eq!(get(&region, &format!("{path}?lines=1")).await, (200, "hello\n".into()));
    assert_eq!(get(&region, &format!("{path}?bytes=3")).await, (200, "lo\n".into()));
    assert!(get(&region, &path).await.1.starts_with(GREETING));
    assert_eq!(get(&region, &format!("{path}?lines=x")).await.0, 400);
    let other = format!("/v1/guests/{}/log", ServerId::new());
    assert_eq!(get(&region, &other).await.0, 404);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_viewers_share_a_serial_console() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    let mut one = connect(&region, id, "serial").await.unwrap();
    let mut two = connect(&region, id, "serial").await.unwrap();
    one.send(Message::binary("was one")).await.unwrap();
    until(&mut one, "was one").await;
    until(&mut two, "was one").await;
    two.send(Message::text("has two")).await.unwrap();
    until(&mut one, "has two").await;
    until(&mut two, "has two").await;

    // One leaves, the other stays; both leave, and the next one finds it free.
    drop(one);
    two.send(Message::binary("still")).await.unwrap();
    until(&mut two, "still").await;
    drop(two);
    let mut three = connect(&region, id, "serial").await.unwrap();
    three.send(Message::binary("hi all")).await.unwrap();
    until(&mut three, "hi all").await;

    // A guest that stops lets its viewers go, and takes none.
    region.change_guest(id, |g| g.power = Power::Off);
    let closed = async { while let Some(Ok(_)) = three.next().await {} };
    timeout(parts::PATIENCE, closed).await.expect("the viewer was not let go");
    region.until_state(id, GuestState::Stopped).await;
    match connect(&region, id, "serial").await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 409),
        other => panic!("{other:?}"),
    }
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_speaks_rfb() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    region.until_state(id, GuestState::Running).await;
    let mut screen = connect(&region, id, "vnc").await.unwrap();
    until(&mut screen, "RFB 003.008\n").await;
    agent.end().await;
}
