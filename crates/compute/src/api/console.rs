//! Consoles: output of the serial port, and WebSockets to it and to the screen.
//!
//! Whoever may see a server's console gets a ticket: random, good once and for a short while, because a
//! browser cannot send a token with a WebSocket. The bytes pass between client and agent unread.

use super::{at, server_id, visible};
use crate::Compute;
use crate::hosts::token_hash;
use crate::metal;
use crate::model::{Server, VmState};
use crate::table::host::{self, Host};
use crate::table::server;
use crate::wire::{Socket, not_ready};
use api::{Auth, Obj, Reply, Req};
use axum::extract::ws::{Message as Here, WebSocket};
use base::{Fault, HostId, Kind, Micros, Result, ServerId};
use futures_util::{SinkExt, StreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use store::{Tx, log, params};
use tokio_tungstenite::tungstenite::Message as There;

/// How long a ticket waits for its use.
const TICKET_FOR: Duration = Duration::from_secs(600);
/// Lines of console output at most.
const LINES_MAX: i64 = 100_000;

/// A server that the caller may see and its host.
fn with_host(tx: &Tx<'_>, auth: &Auth, id: ServerId) -> Result<(Server, Option<Host>)> {
    let s = visible(tx, auth, id)?;
    let host = s.host_id.map(|h| host::by_id(tx, h)).transpose()?.flatten();
    Ok((s, host))
}

// ----------------------------------------------------------------------------------------- output

/// `os-getConsoleOutput {length}`.
pub async fn output(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    let o = body.inner("os-getConsoleOutput")?;
    o.only(&["length"])?;
    let length = o.opt_int("length", -1, i64::MAX)?.filter(|n| *n >= 0);
    let lines = length.unwrap_or(LINES_MAX).min(LINES_MAX);
    let auth = req.auth.clone();
    let found = c.db.read(move |tx| {
        let (s, host) = with_host(tx, &auth, id)?;
        let host = host.filter(|_| s.vm_state != VmState::Building).ok_or_else(|| not_ready(id))?;
        Ok((host, metal::console_log(tx, &s)?))
    });
    let output = match found.await? {
        (_, Some(kept)) => kept,
        (host, None) => c.wire.text(&host, &format!("/v1/guests/{id}/log?lines={lines}")).await?,
    };
    let output = if length.is_some() { last_parts(&output, lines) } else { &output };
    Ok(Reply::json(200, &json!({"output": output})))
}

/// The last `n` of what newlines part. Clients that ask for ten count ten: the nothing after a last newline too.
fn last_parts(text: &str, n: i64) -> &str {
    let parts = text.split('\n').count();
    let spare = parts.saturating_sub(usize::try_from(n).unwrap_or(usize::MAX));
    match spare {
        0 => text,
        _ => text.splitn(spare + 1, '\n').nth(spare).unwrap_or_default(),
    }
}

// ---------------------------------------------------------------------------------------- tickets

/// What a ticket opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Screen {
    Serial,
    Vnc,
}

impl Screen {
    fn as_str(self) -> &'static str {
        match self {
            Screen::Serial => "serial",
            Screen::Vnc => "vnc",
        }
    }
    fn parse(s: &str) -> Option<Self> {
        [Screen::Serial, Screen::Vnc].into_iter().find(|k| k.as_str() == s)
    }
}

/// A ticket, and the path of the WebSocket where it is used.
async fn ticket(c: &Compute, req: &Req, id: ServerId, kind: Screen) -> Result<(String, String)> {
    let (auth, who) = (req.auth.clone(), req.who());
    let made = c.db.write(move |tx| {
        let (s, host) = with_host(tx, &auth, id)?;
        if s.vm_state == VmState::Building || host.is_none() {
            return Err(not_ready(id));
        }
        if kind == Screen::Vnc {
            metal::refuse(&s, "os-getVNCConsole")?;
        }
        log::audit(tx, &who, &format!("server.console.{}", kind.as_str()), &id.to_string())?;
        if let Some(token) = metal::console(tx, &s, auth.is_admin())? {
            let path = ::metal::console_path(&token);
            return Ok((token, path));
        }
        let (token, now) = (Alphanumeric.sample_string(&mut rand::rng(), 43), Micros::now());
        tx.exec("DELETE FROM console_ticket WHERE expires_at < $1", params![now])?;
        tx.exec(
            "INSERT INTO console_ticket (token_hash, server_id, kind, expires_at) VALUES ($1, $2, $3, $4)",
            params![token_hash(&token), id, kind.as_str(), now.plus(TICKET_FOR)],
        )?;
        let path = format!("/hanok/v1/console/{}?token={token}", kind.as_str());
        Ok((token, path))
    });
    made.await
}

fn socket_url(req: &Req, path: &str) -> String {
    format!("{}{path}", req.base.replacen("http", "ws", 1))
}

/// The page that shows a screen. As noVNC's own, it is told in `path`, which begins without a slash, where to connect to.
fn page_url(req: &Req, path: &str) -> String {
    let path = utf8_percent_encode(path.trim_start_matches('/'), NON_ALPHANUMERIC);
    format!("{}/screen?path={path}", req.base)
}

/// `os-getSerialConsole {type: serial}`, until 2.5.
pub async fn serial_before_2_6(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    o.only(&["type"])?;
    let kind = o.str("type", 16)?;
    if kind != "serial" {
        return Err(Fault::bad_request(format!("Unavailable console type {kind}.")));
    }
    let (_, path) = ticket(c, req, id, Screen::Serial).await?;
    let url = socket_url(req, &path);
    Ok(Reply::json(200, &json!({"console": {"type": kind, "url": url}})))
}

/// `GET /os-console-auth-tokens/{token}`: where a token leads, for administrators. It stays good.
pub async fn connection(c: Arc<Compute>, req: Req) -> Result<Reply> {
    if !at(&req, 31) {
        // Until then the API told it of one kind of console only, which there is none of here.
        return Err(Fault::new(Kind::Unauthorized, "The requested console type details are not accessible"));
    }
    let hash = token_hash(req.text_param("token"));
    let found = c.db.read(move |tx| {
        let id = tx.opt(
            "SELECT server_id FROM console_ticket WHERE token_hash = $1 AND expires_at >= $2",
            params![hash, Micros::now()],
            |r| r.get::<ServerId>(0),
        )?;
        let Some(s) = id.map(|id| server::any(tx, id)).transpose()?.flatten() else { return Ok(None) };
        let host = s.host_id.map(|h| host::by_id(tx, h)).transpose()?.flatten();
        Ok(host.map(|h| (s.id, h)))
    });
    let (id, host) = found.await?.ok_or_else(|| Fault::not_found("Token not found"))?;
    let address = host.facts.bytes_url.split("//").last().unwrap_or_default().trim_end_matches('/');
    let (name, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let mut console = json!({
        "instance_uuid": id, "host": name, "port": port.parse::<u16>().ok(), "internal_access_path": null,
    });
    if at(&req, 99) {
        console["tls_port"] = serde_json::Value::Null;
    }
    Ok(Reply::json(200, &json!({"console": console})))
}

/// `os-getVNCConsole {type: novnc}`, until 2.5.
pub async fn vnc_before_2_6(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    o.only(&["type"])?;
    let kind = o.str("type", 16)?;
    if kind != "novnc" {
        return Err(Fault::bad_request(format!("Unavailable console type {kind}.")));
    }
    let (_, path) = ticket(c, req, id, Screen::Vnc).await?;
    let url = page_url(req, &path);
    Ok(Reply::json(200, &json!({"console": {"type": kind, "url": url}})))
}

/// `POST /servers/{id}/remote-consoles`, from 2.6.
pub async fn remote(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let id = server_id(&req)?;
    let body = req.json().await?;
    body.only(&["remote_console"])?;
    let o = body.inner("remote_console")?;
    o.only(&["protocol", "type"])?;
    let (protocol, kind) = (o.str("protocol", 16)?, o.str("type", 16)?);
    let screen = match (protocol.as_str(), kind.as_str()) {
        ("vnc", "novnc") => Screen::Vnc,
        ("serial", "serial") => Screen::Serial,
        _ => return Err(Fault::bad_request(format!("Unavailable console type {kind}."))),
    };
    let (_, path) = ticket(&c, &req, id, screen).await?;
    let url = match screen {
        Screen::Vnc => page_url(&req, &path),
        Screen::Serial => socket_url(&req, &path),
    };
    Ok(Reply::json(200, &json!({"remote_console": {"protocol": protocol, "type": kind, "url": url}})))
}

/// `POST /hanok/v1/servers/{id}/console {kind}`.
pub async fn open(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let id = server_id(&req)?;
    let body = req.json().await?;
    body.only(&["kind"])?;
    let text = body.str("kind", 16)?;
    let kind = Screen::parse(&text)
        .ok_or_else(|| Fault::bad_request(format!("A console is serial or vnc, not {text:?}.")))?;
    let (token, path) = ticket(&c, &req, id, kind).await?;
    let url = socket_url(&req, &path);
    let answer =
        json!({"token": token, "kind": kind.as_str(), "url": url, "expires_in_s": TICKET_FOR.as_secs()});
    Ok(Reply::json(200, &answer))
}

/// Takes a ticket: it is good once.
fn redeem(tx: &Tx<'_>, hash: &str, kind: Screen) -> Result<(ServerId, Option<HostId>)> {
    let id = tx.opt(
        "DELETE FROM console_ticket WHERE token_hash = $1 AND kind = $2 AND expires_at >= $3 RETURNING server_id",
        params![hash, kind.as_str(), Micros::now()],
        |r| r.get::<ServerId>(0),
    )?;
    let id = id.ok_or_else(|| {
        Fault::new(
            Kind::Unauthorized,
            "This console ticket was used already or has run out. Ask for another.",
        )
    })?;
    let host = tx.one("SELECT host_id FROM server WHERE id = $1", params![id], |r| r.get(0))?;
    Ok((id, host))
}

// ---------------------------------------------------------------------------------------- sockets

/// `GET /hanok/v1/console/{kind}?token=`: a WebSocket.
pub async fn socket(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let hash = token_hash(req.query.get("token").ok_or_else(Fault::unauthorized)?);
    let kind = req.text_param("kind");
    let kind = Screen::parse(kind).ok_or_else(|| Fault::not_found("A console is serial or vnc."))?;
    let upgrade = req.upgrade()?;
    let redeemed = c.db.write(move |tx| {
        let (id, host) = redeem(tx, &hash, kind)?;
        Ok((id, host.map(|h| host::by_id(tx, h)).transpose()?.flatten()))
    });
    let (id, host) = match redeemed.await {
        // Clients of WebSockets read no body; there are some that take it for what the console says.
        Err(fault) if fault.kind == Kind::Unauthorized => {
            tracing::info!(%fault, "a console is refused");
            return Ok(Reply::empty(401).header("connection", "close"));
        }
        redeemed => redeemed?,
    };
    let host = host.ok_or_else(|| not_ready(id))?;
    let there = c.wire.socket(&host, &format!("/v1/guests/{id}/{}", kind.as_str())).await?;
    let response = upgrade.protocols(["binary"]).on_upgrade(move |here| pass(here, there));
    let (parts, body) = response.into_parts();
    Ok(Reply { status: parts.status, headers: parts.headers, body })
}

/// Passes bytes both ways until either side ends.
async fn pass(here: WebSocket, there: Socket) {
    let (mut to_here, mut from_here) = here.split();
    let (mut to_there, mut from_there) = there.split();
    let up = async {
        while let Some(Ok(message)) = from_here.next().await {
            let message = match message {
                Here::Binary(b) => There::Binary(b),
                Here::Text(t) => There::Binary(t.as_str().to_owned().into()),
                Here::Close(_) => break,
                Here::Ping(_) | Here::Pong(_) => continue,
            };
            if to_there.send(message).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        while let Some(Ok(message)) = from_there.next().await {
            let message = match message {
                There::Binary(b) => Here::Binary(b),
                There::Text(t) => Here::Binary(t.as_str().to_owned().into()),
                There::Close(_) => break,
                _ => continue,
            };
            if to_here.send(message).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
    let _ = to_here.send(Here::Close(None)).await;
    let _ = to_there.send(There::Close(None)).await;
}

#[cfg(test)]
mod tests {
    use super::last_parts;

    #[test]
    fn parts_are_counted_as_clients_do() {
        assert_eq!(last_parts("a\nb\nc\n", 3), "b\nc\n");
        assert_eq!(last_parts("a\nb\nc", 3), "a\nb\nc");
        assert_eq!(last_parts("a\nb\nc", 1), "c");
        assert_eq!(last_parts("a\n", 1), "");
        assert_eq!(last_parts("a", 0), "");
        assert_eq!(last_parts("", 9), "");
    }
}
