//! Serial consoles of machines: the document says which the region waits for; each is brought to it over a WebSocket
//! that the rack opens, so that nobody needs a way to the rack.
//!
//! A machine has one console at a time: who asks last has it.

use crate::Rack;
use crate::link::Link;
use crate::power::Serial;
use base::doc::rack::Bmc;
use base::{MachineId, Result};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::tungstenite::Message;

/// Another process of the region may be the one that waits: it is asked for again.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(300);
/// Pieces that wait for the other side.
const WAITING: usize = 64;

/// Serves consoles until it is dropped.
pub async fn run(rack: Arc<Rack>) {
    let mut desired = rack.desired.subscribe();
    let mut seen: HashSet<String> = HashSet::new();
    let mut open: HashMap<MachineId, AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let document = desired.borrow_and_update().clone();
        if let Some(document) = document {
            for ask in document.consoles.iter().filter(|a| !seen.contains(&a.key)) {
                let machine = document.machines.iter().find(|m| m.id == ask.machine);
                let bmc = machine.and_then(|m| m.bmc.clone()).unwrap_or(Bmc::Manual);
                let task = tasks.spawn(serve(rack.link.clone(), ask.key.clone(), bmc));
                if let Some(before) = open.insert(ask.machine, task) {
                    before.abort();
                }
            }
            seen = document.consoles.iter().map(|a| a.key.clone()).collect();
        }
        open.retain(|_, task| !task.is_finished());
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn serve(link: Link, key: String, bmc: Bmc) {
    let mut socket = None;
    for _ in 0..TRIES {
        match link.console(&key).await {
            Ok(found) => {
                socket = Some(found);
                break;
            }
            Err(fault) => tracing::debug!("a console that is waited for is not taken: {fault}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    let Some(mut socket) = socket else { return };
    if let Err(words) = pass(&mut socket, &bmc).await {
        let _ = socket.send(Message::Text(words.into())).await;
    }
    let _ = socket.close(None).await;
}

/// The BMC's side and the region's, until one of them ends. What is wrong is said in words.
async fn pass(socket: &mut crate::link::Socket, bmc: &Bmc) -> Result<(), String> {
    let serial = Serial::open(bmc).await?;
    let (keys, typed) = mpsc::channel::<Bytes>(WAITING);
    let (say, mut said) = mpsc::channel::<Bytes>(WAITING);
    let mut run = std::pin::pin!(serial.run(typed, say));
    loop {
        tokio::select! {
            outcome = &mut run => return outcome,
            message = socket.next() => {
                let bytes = match message {
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Text(text))) => text.as_str().to_owned().into(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                };
                // A BMC that takes nothing does not hold up what it says.
                let _ = keys.try_send(bytes);
            }
            Some(bytes) = said.recv() => {
                if socket.send(Message::Binary(bytes)).await.is_err() {
                    break;
                }
            }
        }
    }
    // The BMC is told, so that the next one finds it free.
    drop((keys, said));
    run.await
}
