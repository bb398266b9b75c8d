//! A small client of QEMU's monitor protocol (QMP): commands with a time limit, events as they come.
//!
//! Own code instead of a crate of generated types: a dozen commands and the names of events are all that
//! is used, and reading is cancel-safe, so that waiting for an event may stand in a `select!`.
//! What QEMU says is limited in length: a guest that took over its QEMU must not fill our memory.

use super::Dir;
use base::{Fault, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

const LIMIT: Duration = Duration::from_secs(10);
const LINE_MAX: usize = 1 << 20;
const EVENTS_MAX: usize = 256;
/// Characters of why QEMU refuses; they stand in every report of the host.
const SAID_MAX: usize = 300;

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
        Self::on(dir, "qmp.sock").await
    }

    /// The same on the monitor that is for looking.
    pub async fn looking(dir: &Dir) -> Result<Self> {
        Self::on(dir, "look.sock").await
    }

    async fn on(dir: &Dir, socket: &str) -> Result<Self> {
        let stream = dir.connect(socket).await?;
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
        self.ask(command, json!({})).await
    }

    /// Runs a command and returns what it returned.
    ///
    /// # Errors
    /// `Conflict` with QEMU's own words when it refuses.
    pub async fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.talk(command, arguments, None).await
    }

    /// Gives QEMU a descriptor, which later commands know as `name`.
    pub async fn give(&mut self, name: &str, fd: OwnedFd) -> Result<()> {
        self.talk("getfd", json!({ "fdname": name }), Some(fd)).await.map(drop)
    }

    async fn talk(&mut self, command: &str, arguments: Value, fd: Option<OwnedFd>) -> Result<Value> {
        self.serial += 1;
        let id = self.serial;
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments, "id": id }));
        let talk = async {
            match fd {
                None => self.stream.write_all(line.as_bytes()).await?,
                Some(fd) => self.write_with(line.as_bytes(), &fd).await?,
            }
            loop {
                let mut message = self.message().await?;
                if message.get("id").and_then(Value::as_u64) != Some(id) {
                    self.keep_event(&message);
                } else if let Some(error) = message.get("error") {
                    let said = error["desc"].as_str().unwrap_or("it gave no reason");
                    let said = base::first_chars(said, SAID_MAX);
                    return Err(Fault::conflict(format!("QEMU refused {command}: {said}")));
                } else {
                    return Ok(message["return"].take());
                }
            }
        };
        tokio::time::timeout(LIMIT, talk)
            .await
            .map_err(|_| Fault::unavailable(format!("QEMU did not answer {command} in time.")))?
    }

    /// Writes a line with a descriptor beside its first byte (`SCM_RIGHTS`).
    async fn write_with(&mut self, line: &[u8], fd: &OwnedFd) -> Result<()> {
        let sent = loop {
            self.stream.writable().await?;
            let fds = [fd.as_fd()];
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                control.push(SendAncillaryMessage::ScmRights(&fds));
                sendmsg(&self.stream, &[IoSlice::new(line)], &mut control, SendFlags::NOSIGNAL)
                    .map_err(std::io::Error::from)
            });
            match sent {
                Ok(sent) => break sent,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        };
        Ok(self.stream.write_all(&line[sent..]).await?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    #[tokio::test]
    async fn a_refusal_is_said_in_few_words() {
        let data = tempfile::tempdir().unwrap();
        let dir = Dir::of(data.path(), base::ServerId::new());
        dir.make().unwrap();
        let listener = tokio::net::UnixListener::bind(dir.path("qmp.sock")).unwrap();
        let qemu = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (from, mut to) = stream.into_split();
            let mut lines = BufReader::new(from).lines();
            let refused = json!({"error": {"desc": "x".repeat(500_000)}, "id": 2});
            for answer in [json!({"QMP": {}}), json!({"return": {}, "id": 1}), refused] {
                to.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
                lines.next_line().await.unwrap();
            }
        });
        let mut qmp = Qmp::connect(&dir).await.unwrap();
        let refused = qmp.run("cont").await.unwrap_err();
        assert!(refused.message.len() < 400, "{} bytes", refused.message.len());
        drop(qmp);
        qemu.await.unwrap();
    }
}
