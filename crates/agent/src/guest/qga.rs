//! A small client of QEMU's guest agent: what runs inside a guest, if its image has one.
//!
//! The agent listens on a serial port of the guest, which QEMU hands on to `qga.sock`; one client at a
//! time, so conversations are short. Whoever answers is inside the guest and not to be trusted: what it
//! says is limited in length and time, and nothing of it is believed that could matter to others.
//! Protocol: QEMU Guest Agent Protocol Reference.

use super::Dir;
use base::{Fault, Result, ServerId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, LazyLock, PoisonError, Weak};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long the agent may take to show that it is there. One that is not never answers.
const PRESENT: Duration = Duration::from_secs(5);
/// How long any one command may take on a slow guest.
const LIMIT: Duration = Duration::from_secs(20);
/// How long a guest's keeper waits for all of a talk.
const SHORT: Duration = Duration::from_secs(10);
/// How long a program inside may run.
const RUN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const LINE_MAX: usize = 1 << 20;
/// Characters of why the agent refuses; they stand in every report of the host.
const SAID_MAX: usize = 300;
/// Begins what an agent says after a sync, and makes it forget what half a client said before.
const MARK: u8 = 0xff;

/// Sets the password of `user`.
///
/// # Errors
/// `Unavailable` when no agent answers, `Conflict` with its words when it refuses.
pub async fn set_password(dir: &Dir, user: &str, password: &str) -> Result<()> {
    let arguments = json!({"username": user, "password": BASE64.encode(password), "crypted": false});
    let talk = async { Qga::connect(dir).await?.ask("guest-set-user-password", arguments).await.map(drop) };
    tokio::time::timeout(SHORT, talk)
        .await
        .map_err(|_| Fault::unavailable("The guest agent did not answer in time."))?
}

/// A conversation with one guest's agent. One that failed half-way is to be dropped.
#[derive(Debug)]
pub struct Qga {
    stream: UnixStream,
    unread: Vec<u8>,
    _alone: OwnedMutexGuard<()>,
}

/// Who talks with which guest: QEMU would let a second client wait without a word.
fn line_of(id: ServerId) -> Arc<Mutex<()>> {
    static LINES: LazyLock<std::sync::Mutex<HashMap<ServerId, Weak<Mutex<()>>>>> =
        LazyLock::new(Default::default);
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.retain(|_, line| line.strong_count() > 0);
    if let Some(line) = lines.get(&id).and_then(Weak::upgrade) {
        return line;
    }
    let line = Arc::default();
    lines.insert(id, Arc::downgrade(&line));
    line
}

/// A network interface as the guest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    /// Lower case, with colons; empty for those without one.
    pub mac: String,
}

/// How a program inside ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub code: i64,
    pub out: String,
    pub err: String,
}

impl Qga {
    /// Connects and waits until the agent answers.
    ///
    /// # Errors
    /// `Unavailable` when the guest does not run, has no agent, or another conversation goes on.
    pub async fn connect(dir: &Dir) -> Result<Qga> {
        let alone = line_of(dir.id).lock_owned().await;
        let stream = dir.connect("qga.sock").await?;
        let mut qga = Qga { stream, unread: Vec::new(), _alone: alone };
        // Small enough to be the same number for every reader of JSON; the standard library's seeded
        // hasher is the random number that needs no dependency.
        let id = RandomState::new().build_hasher().finish() >> 32;
        let ask = json!({"execute": "guest-sync-delimited", "arguments": {"id": id}});
        let meet = async {
            qga.stream.write_all(&[&[MARK], format!("{ask}\n").as_bytes()].concat()).await?;
            loop {
                // Answers to earlier clients may come first; each sync's own answer begins with the mark.
                let answer: Option<Value> = serde_json::from_slice(&qga.line().await?).ok();
                if answer.is_some_and(|a| a["return"] == id) {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(PRESENT, meet).await {
            Ok(met) => met.map(|()| qga),
            Err(_) => {
                Err(Fault::unavailable("No guest agent answers. Install qemu-guest-agent in the guest."))
            }
        }
    }

    /// Runs a command of the agent and returns what it returned.
    ///
    /// # Errors
    /// `Conflict` with the agent's words when it refuses.
    pub async fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        let talk = async {
            self.stream.write_all(line.as_bytes()).await?;
            let mut answer: Value = serde_json::from_slice(&self.line().await?)?;
            if let Some(error) = answer.get("error") {
                let said = error["desc"].as_str().unwrap_or("it gave no reason");
                let said = base::first_chars(said, SAID_MAX);
                return Err(Fault::conflict(format!("The guest agent refused: {said}")));
            }
            Ok(answer["return"].take())
        };
        tokio::time::timeout(LIMIT, talk)
            .await
            .map_err(|_| Fault::unavailable(format!("The guest agent did not answer {command} in time.")))?
    }

    pub async fn interfaces(&mut self) -> Result<Vec<Interface>> {
        let found = self.ask("guest-network-get-interfaces", json!({})).await?;
        let one = |v: &Value| {
            let mac = v["hardware-address"].as_str().unwrap_or_default().to_ascii_lowercase();
            Some(Interface { name: v["name"].as_str()?.to_owned(), mac })
        };
        Ok(found.as_array().into_iter().flatten().filter_map(one).collect())
    }

    /// Runs a program inside and waits for its end. It is started without a shell.
    pub async fn run(&mut self, program: &str, arguments: &[&str], input: &str) -> Result<Ended> {
        let mut ask = json!({"path": program, "arg": arguments, "capture-output": true});
        if !input.is_empty() {
            ask["input-data"] = BASE64.encode(input).into();
        }
        let pid = self.ask("guest-exec", ask).await?["pid"].as_i64();
        let pid =
            pid.ok_or_else(|| Fault::unavailable("The guest agent started something without a number."))?;
        let wait = async {
            loop {
                let status = self.ask("guest-exec-status", json!({"pid": pid})).await?;
                if status["exited"] == true {
                    return Ok(Ended {
                        code: status["exitcode"].as_i64().unwrap_or(-1),
                        out: text(&status["out-data"]),
                        err: text(&status["err-data"]),
                    });
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let late = || Fault::unavailable(format!("{program} did not end in time inside the guest."));
        tokio::time::timeout(RUN, wait).await.map_err(|_| late())?
    }

    /// The next line without the mark before it.
    async fn line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let start = line.iter().rposition(|b| *b == MARK).map_or(0, |at| at + 1);
                return Ok(line[start..].to_vec());
            }
            if self.unread.len() > LINE_MAX {
                return Err(Fault::unavailable("The guest agent says too much."));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(Fault::unavailable("The guest agent's line was cut."));
            }
        }
    }
}

fn text(data: &Value) -> String {
    let bytes = data.as_str().and_then(|d| BASE64.decode(d).ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    #[tokio::test]
    async fn a_refusal_is_said_in_few_words() {
        let data = tempfile::tempdir().unwrap();
        let dir = Dir::of(data.path(), ServerId::new());
        dir.make().unwrap();
        let listener = tokio::net::UnixListener::bind(dir.path("qga.sock")).unwrap();
        let guest = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (from, mut to) = stream.into_split();
            let mut lines = BufReader::new(from).split(b'\n');
            let met = lines.next_segment().await.unwrap().unwrap();
            let met: Value = serde_json::from_slice(&met[1..]).unwrap();
            let answer = format!("{}\n", json!({"return": met["arguments"]["id"]}));
            to.write_all(answer.as_bytes()).await.unwrap();
            lines.next_segment().await.unwrap();
            let refused = format!("{}\n", json!({"error": {"desc": "\u{e4}".repeat(400_000)}}));
            to.write_all(refused.as_bytes()).await.unwrap();
        });
        let refused = set_password(&dir, "root", "secret").await.unwrap_err();
        assert_eq!(refused.kind, base::Kind::Conflict);
        assert!(refused.message.chars().count() < 400, "{} characters", refused.message.chars().count());
        guest.await.unwrap();
    }
}
