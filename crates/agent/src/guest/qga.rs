//! A small client of the agent inside the guest (qemu-guest-agent), over its serial line.
//!
//! Whoever is at the other end is the tenant: answers are short, come in time or not at all, and prove
//! nothing. Each talk begins with `guest-sync-delimited`, so that leftovers of an earlier one are skipped.

use super::Dir;
use base::{Fault, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const LIMIT: Duration = Duration::from_secs(5);
const ANSWER_MAX: usize = 64 << 10;

/// Whether an agent answers in the guest.
pub async fn answers(dir: &Dir) -> Result<()> {
    ask(dir, "guest-ping", Value::Null).await.map(drop)
}

/// Sets the password of `user`.
///
/// # Errors
/// `Unavailable` when no agent answers, `Conflict` with its words when it refuses.
pub async fn set_password(dir: &Dir, user: &str, password: &str) -> Result<()> {
    let arguments = json!({ "username": user, "password": STANDARD.encode(password), "crypted": false });
    ask(dir, "guest-set-user-password", arguments).await.map(drop)
}

/// Runs one command.
pub async fn ask(dir: &Dir, command: &str, arguments: Value) -> Result<Value> {
    let talk = async {
        let mut line = Line { stream: dir.connect("qga.sock").await?, unread: Vec::new() };
        let id = u64::from(std::process::id());
        line.send(&json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } })).await?;
        while line.answer(true).await?["return"] != id {}
        let command = match arguments {
            Value::Null => json!({ "execute": command }),
            arguments => json!({ "execute": command, "arguments": arguments }),
        };
        line.send(&command).await?;
        let mut answer = line.answer(false).await?;
        match answer.get("error") {
            Some(error) => {
                let said = error["desc"].as_str().unwrap_or("it gave no reason").to_owned();
                Err(Fault::conflict(format!("The guest agent refused: {said}")))
            }
            None => Ok(answer["return"].take()),
        }
    };
    tokio::time::timeout(LIMIT, talk)
        .await
        .map_err(|_| Fault::unavailable("No guest agent answers. Install qemu-guest-agent in the guest."))?
}

struct Line {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Line {
    async fn send(&mut self, message: &Value) -> Result<()> {
        // The byte before ends whatever half a message the agent had read.
        let text = format!("{message}\n");
        Ok(self.stream.write_all(&[b"\xff", text.as_bytes()].concat()).await?)
    }
    /// The next message; with `delimited`, the next one after a mark. What is no JSON is skipped.
    async fn answer(&mut self, delimited: bool) -> Result<Value> {
        loop {
            while let Some(end) = self.unread.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let mark = line.iter().rposition(|b| *b == 0xff);
                if delimited && mark.is_none() {
                    continue;
                }
                if let Ok(value) = serde_json::from_slice(&line[mark.map_or(0, |m| m + 1)..]) {
                    return Ok(value);
                }
            }
            if self.unread.len() > ANSWER_MAX || self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(Fault::unavailable("The guest agent's line ended."));
            }
        }
    }
}
