//! Serial consoles of machines: a ticket for who may, a WebSocket for who has one, and the rack's side of it.
//!
//! The rack opens the way: it is told by its document which console is waited for, and brings it. A console ends when
//! the machine becomes somebody else's, and when it is given back: who can type into its firmware could keep it from being
//! erased. The last of what it says is kept for its owner ([`log_of`]).

use super::machines::seen;
use super::rack::{known, proof};
use crate::model::{Machine, Status};
use crate::table::console::{self, ARRIVAL, Asked, KEPT, TICKET};
use crate::table::{machine, rack};
use crate::{Metal, token_hash};
use api::{Reply, Req};
use axum::extract::ws::{Message, WebSocket};
use base::{Fault, MachineId, Result};
use futures_util::{SinkExt, StreamExt};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Tx, log};
use tokio::sync::oneshot;

/// How often it is looked whether the machine is still whose it was, besides when its live system is told something.
const LOOK: Duration = Duration::from_secs(5);
/// How often what came is put down.
const KEEP: Duration = Duration::from_secs(2);
/// A keystroke or a paste; the longest message that is passed on, in bytes.
const MESSAGE_MAX: usize = 1 << 20;

/// Viewers of this process who wait for their rack.
#[derive(Default)]
pub struct Consoles(Mutex<HashMap<String, oneshot::Sender<WebSocket>>>);

impl Consoles {
    fn wait(&self, key: &str) -> oneshot::Receiver<WebSocket> {
        let (bring, come) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), bring);
        come
    }
    fn take(&self, key: &str) -> Option<oneshot::Sender<WebSocket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

/// A ticket for a machine's console. Who may have one has been looked at.
///
/// # Errors
/// 409 for a machine whose BMC has no console that we speak, and for its owner while it is given back.
pub fn ticket(tx: &Tx<'_>, m: &Machine, operator: bool) -> Result<String> {
    if !operator && is_given_back(m) {
        return Err(Fault::conflict(format!(
            "{} is {}: its console is the operators' from now on.",
            m.name,
            m.status.name()
        )));
    }
    if m.bmc_kind != "ipmi" {
        return Err(Fault::conflict(format!(
            "{} has no serial console: its power is switched by {}, and consoles come by IPMI (Serial over LAN).",
            m.name, m.bmc_kind
        )));
    }
    if m.rack.is_none() {
        return Err(Fault::conflict(format!("No rack controller serves {}.", m.name)));
    }
    let random = |n| Alphanumeric.sample_string(&mut rand::rng(), n);
    let (token, key) = (random(43), random(22));
    let project = m.project.0.clone();
    console::give(tx, &token_hash(&token), &Asked { machine: m.id, key, project, operator })?;
    Ok(token)
}

/// Where a ticket is used.
pub fn path(token: &str) -> String {
    format!("/hanok/v1/machine-console?token={token}")
}

/// `POST /hanok/v1/machines/{id}/console`: a ticket, good once.
pub async fn open(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let (who, base) = (req.who(), req.base.clone());
    let made = m.db.write(move |tx| {
        let found = seen(tx, &req.auth, req.text_param("id"))?;
        let token = ticket(tx, &found, req.auth.is_admin())?;
        log::audit(tx, &who, "machine.console", &found.id.to_string())?;
        Ok(token)
    });
    let token = made.await?;
    let url = format!("{}{}", base.replacen("http", "ws", 1), path(&token));
    let view = json!({"token": token, "kind": "serial", "url": url, "expires_in_s": TICKET.as_secs()});
    Ok(Reply::json(200, &view))
}

fn is_given_back(m: &Machine) -> bool {
    use Status::{DiskErasing, FailedDiskErasing, FailedReleasing, Releasing};
    matches!(m.status, Releasing | FailedReleasing | DiskErasing | FailedDiskErasing)
}

/// Whether the console may (still) be looked at.
fn may(tx: &Tx<'_>, a: &Asked) -> Result<bool> {
    let theirs = |m: Machine| m.project.0 == a.project && !is_given_back(&m);
    Ok(machine::by_id(tx, a.machine)?.is_some_and(|m| a.operator || theirs(m)))
}

/// `GET /hanok/v1/machine-console?token=`: a WebSocket.
pub async fn socket(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let hash = token_hash(req.query.get("token").ok_or_else(Fault::unauthorized)?);
    let upgrade = req.upgrade()?;
    let used = || {
        Fault::new(
            base::Kind::Unauthorized,
            "This console ticket was used already or has run out. Ask for another.",
        )
    };
    let asked = m.db.write(move |tx| {
        let a = console::redeem(tx, &hash)?.ok_or_else(used)?;
        if !may(tx, &a)? {
            return Err(used());
        }
        rack::touch_of(tx, a.machine)?;
        Ok(a)
    });
    let asked = asked.await?;
    let come = m.consoles.wait(&asked.key);
    let upgrade = upgrade.protocols(["binary"]).max_message_size(MESSAGE_MAX);
    Ok(reply(upgrade.on_upgrade(move |here| async move { serve(m, asked, come, here).await })))
}

fn reply(response: axum::response::Response) -> Reply {
    let (parts, body) = response.into_parts();
    Reply { status: parts.status, headers: parts.headers, body }
}

async fn serve(m: Arc<Metal>, asked: Asked, come: oneshot::Receiver<WebSocket>, mut here: WebSocket) {
    let there = tokio::select! {
        there = tokio::time::timeout(ARRIVAL, come) => there.ok().and_then(std::result::Result::ok),
        // Whoever goes away does not wait.
        () = gone(&mut here) => None,
    };
    drop(m.consoles.take(&asked.key));
    let key = asked.key.clone();
    let forgotten = m.db.write(move |tx| {
        console::forget(tx, &key)?;
        rack::touch_of(tx, asked.machine)
    });
    if let Err(fault) = forgotten.await {
        tracing::warn!("a console that came is still asked for: {fault}");
    }
    let Some(there) = there else {
        let words =
            "The machine's rack controller does not bring the console. Is it up? Try again in a moment.\r\n";
        let _ = here.send(Message::Text(words.into())).await;
        let _ = here.send(Message::Close(None)).await;
        return;
    };
    pass(&m, &asked, here, there).await;
}

/// Ready when the other side has hung up; what is typed before the console has come is lost.
async fn gone(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
    }
}

async fn until_theirs(m: &Metal, asked: &Asked) {
    let bell = m.bells.of(asked.machine.0);
    loop {
        let mut told = std::pin::pin!(bell.notified());
        told.as_mut().enable();
        let a = asked.clone();
        if let Ok(false) = m.db.read(move |tx| may(tx, &a)).await {
            return;
        }
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn hear(heard: &Mutex<Vec<u8>>, bytes: &[u8]) {
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard.extend_from_slice(bytes);
    let spare = heard.len().saturating_sub(KEPT);
    heard.drain(..spare);
}

async fn keep_on(m: &Metal, asked: &Asked, heard: &Mutex<Vec<u8>>) {
    loop {
        tokio::time::sleep(KEEP).await;
        keep(m, asked, heard).await;
    }
}

async fn keep(m: &Metal, asked: &Asked, heard: &Mutex<Vec<u8>>) {
    let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    if heard.is_empty() {
        return;
    }
    let (asked, said) = (asked.clone(), String::from_utf8_lossy(&heard).into_owned());
    if let Err(fault) = m.db.write(move |tx| console::keep(tx, &asked, &said)).await {
        tracing::warn!("what a console said is not kept: {fault}");
    }
}

/// The last of what a machine's console said while somebody had it open, 64 KiB at most; `None` if nobody had, since its
/// owner has it.
///
/// # Errors
/// The database's.
pub fn log_of(tx: &Tx<'_>, id: MachineId) -> Result<Option<String>> {
    console::kept(tx, id)
}

/// Passes messages both ways until either side ends, or the machine is another's.
async fn pass(m: &Metal, asked: &Asked, here: WebSocket, there: WebSocket) {
    let (mut to_here, mut from_here) = here.split();
    let (mut to_there, mut from_there) = there.split();
    let heard = Mutex::default();
    let up = async {
        while let Some(Ok(message)) = from_here.next().await {
            match message {
                Message::Binary(_) | Message::Text(_) => {
                    if to_there.send(message).await.is_err() {
                        break;
                    }
                }
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    };
    let down = async {
        while let Some(Ok(message)) = from_there.next().await {
            match message {
                Message::Binary(_) | Message::Text(_) => {
                    if let Message::Binary(bytes) = &message {
                        hear(&heard, bytes);
                    }
                    if to_here.send(message).await.is_err() {
                        break;
                    }
                }
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        () = until_theirs(m, asked) => {}
        () = keep_on(m, asked, &heard) => {}
    }
    keep(m, asked, &heard).await;
    let _ = to_here.send(Message::Close(None)).await;
    let _ = to_there.send(Message::Close(None)).await;
}

/// `GET /rack/v1/consoles/{key}`: the rack brings a console that is waited for.
pub async fn bring(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let (proof, key) = (proof(&req)?, req.text_param("key").to_owned());
    let wanted = key.clone();
    m.db.read(move |tx| {
        let rack = known(tx, &proof)?;
        let found = console::of_rack(tx, rack.id)?.into_iter().any(|a| a.key == wanted);
        if found { Ok(()) } else { Err(nobody()) }
    })
    .await?;
    let upgrade = req.upgrade()?;
    let viewer = m.consoles.take(&key).ok_or_else(nobody)?;
    let upgrade = upgrade.max_message_size(MESSAGE_MAX);
    Ok(reply(upgrade.on_upgrade(move |socket| async move { drop(viewer.send(socket)) })))
}

fn nobody() -> Fault {
    Fault::not_found("Nobody waits for this console here.")
}

/// A ticket for the console of a machine, for doors that have looked at who may.
///
/// # Errors
/// As [`ticket`]; `NotFound` when there is no such machine.
pub fn ticket_of(tx: &Tx<'_>, id: MachineId, operator: bool) -> Result<String> {
    let m = machine::by_id(tx, id)?.ok_or_else(|| Fault::not_found("The machine is gone."))?;
    ticket(tx, &m, operator)
}
