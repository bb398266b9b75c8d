//! A small client of QEMU's monitor protocol (QMP): commands with a time limit, events as they come.
//!
//! Own code instead of a crate of generated types: five commands and the names of events are all that
//! is used, and reading is cancel-safe, so that waiting for an event may stand in a `select!`.
//! What QEMU says is limited in length: a guest that took over its QEMU must not fill our memory.

use super::Dir;
use base::{Fault, Result};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const LIMIT: Duration = Duration::from_secs(10);
const LINE_MAX: usize = 1 << 20;
const EVENTS_MAX: usize = 256;

/// A connection to one QEMU. A command that was abandoned half-way leaves it unusable: drop it then.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    unread: Vec<u8>,
    events: VecDeque<String>,
    serial: u64,
}

impl Qmp {
    /// Connects and negotiates.
    ///
    /// # Errors
    /// When nobody listens (yet), or no greeting comes in time (another client holds the monitor).
    pub async fn connect(dir: &Dir) -> Result<Self> {
        let stream = dir.connect("qmp.sock").await?;
        let mut qmp = Qmp { stream, unread: Vec::new(), events: VecDeque::new(), serial: 0 };
        let greeting = tokio::time::timeout(LIMIT, qmp.message())
            .await
            .map_err(|_| Fault::unavailable("QEMU's monitor does not answer."))??;
        if greeting.get("QMP").is_none() {
            return Err(Fault::internal(format!("unexpected greeting {greeting}")));
        }
        qmp.run("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// Runs a command without arguments and returns what it returned.
    pub async fn run(&mut self, command: &str) -> Result<Value> {
        self.serial += 1;
        let id = self.serial;
        let line = format!("{}\n", json!({ "execute": command, "id": id }));
        let talk = async {
            self.stream.write_all(line.as_bytes()).await?;
            loop {
                let mut message = self.message().await?;
                if message.get("id").and_then(Value::as_u64) != Some(id) {
                    self.keep_event(&message);
                } else if let Some(error) = message.get("error") {
                    return Err(Fault::internal(format!("QMP {command}: {error}")));
                } else {
                    return Ok(message["return"].take());
                }
            }
        };
        tokio::time::timeout(LIMIT, talk)
            .await
            .map_err(|_| Fault::unavailable(format!("QEMU did not answer {command} in time.")))?
    }

    /// The run state: `running`, `paused`, `shutdown`, `io-error`, …
    pub async fn status(&mut self) -> Result<String> {
        let answer = self.run("query-status").await?;
        Ok(answer["status"].as_str().unwrap_or("unknown").to_owned())
    }

    /// The name of the next event. Cancel-safe. An error means that QEMU has gone.
    pub async fn event(&mut self) -> Result<String> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let message = self.message().await?;
            self.keep_event(&message);
        }
    }

    fn keep_event(&mut self, message: &Value) {
        if let Some(name) = message.get("event").and_then(Value::as_str)
            && self.events.len() < EVENTS_MAX
        {
            self.events.push_back(name.to_owned());
        }
    }

    async fn message(&mut self) -> Result<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            if self.unread.len() > LINE_MAX {
                return Err(Fault::internal("QMP message without an end"));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(Fault::unavailable("QEMU closed its monitor."));
            }
        }
    }
}
