//! `hanok console SERVER` and `hanok machine console NAME`: the serial console in this terminal.

use crate::login::{Session, path_part};
use base::{Fault, Result};
use futures_util::{SinkExt, StreamExt};
use rustix::termios::{self, OptionalActions, Termios};
use serde_json::json;
use std::io::Write;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// Ctrl-], as telnet and virsh have it.
const LEAVE: u8 = 0x1d;

/// Connects the terminal to a server's serial port until the user or the server hangs up.
pub async fn console(server: &str) -> Result<()> {
    let session = Session::open().await?;
    let id = session.server(server).await?;
    attach(&session, &format!("/hanok/v1/servers/{id}/console"), server).await
}

/// Connects the terminal to a machine's serial port, through its BMC.
pub async fn machine(name: &str) -> Result<()> {
    let session = Session::open().await?;
    attach(&session, &format!("/hanok/v1/machines/{}/console", path_part(name)), name).await
}

/// Asks for a ticket at `path` and uses it.
async fn attach(session: &Session, path: &str, server: &str) -> Result<()> {
    let ticket = session.ask("POST", path, Some(json!({"kind": "serial"}))).await?;
    let url = ticket["url"].as_str().and_then(|u| u.split_once("//")).map(|(_, rest)| rest);
    let path = url.and_then(|u| u.find("/hanok/v1/").map(|at| &u[at..]));
    let url = session.socket_url(path.ok_or_else(|| Fault::internal("the ticket has no address"))?);
    let away = |e: String| Fault::unavailable(format!("The console of {server} cannot be reached: {e}"));
    let stream = session.connect().await.map_err(|e| away(e.to_string()))?;
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.map_err(|e| away(e.to_string()))?;
    let _ = writeln!(std::io::stderr(), "Connected to {server}. Ctrl-] leaves; Enter shows the prompt.\r");
    let raw = RawTerminal::enter();
    let ended = pass(socket).await;
    drop(raw);
    let _ = writeln!(std::io::stderr(), "\nLeft the console of {server}.");
    ended
}

type Socket = tokio_tungstenite::WebSocketStream<tls::Stream>;

async fn pass(socket: Socket) -> Result<()> {
    let (mut to_guest, mut from_guest) = socket.split();
    let mut keys = keys();
    loop {
        tokio::select! {
            typed = keys.recv() => {
                let Some(typed) = typed else { return Ok(()) };
                if typed.contains(&LEAVE) {
                    return Ok(());
                }
                to_guest.send(Message::Binary(typed.into())).await.map_err(gone)?;
            }
            said = from_guest.next() => match said {
                Some(Ok(Message::Binary(bytes))) => show(&bytes)?,
                Some(Ok(Message::Text(text))) => show(text.as_bytes())?,
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(gone(e)),
            }
        }
    }
}

fn gone(e: tokio_tungstenite::tungstenite::Error) -> Fault {
    Fault::unavailable(
        "The console was cut off. The server may have been stopped; connect again when it runs.",
    )
    .because(e)
}

fn show(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// What is typed, read on a thread of its own because a terminal can only be read by waiting.
fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (tx, rx) = mpsc::channel(64);
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 1024];
        while let Ok(n) = rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            if n == 0 || tx.blocking_send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    rx
}

/// The terminal in raw mode; back to what it was when dropped.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter() -> Self {
        let Ok(before) = termios::tcgetattr(rustix::stdio::stdin()) else { return RawTerminal(None) };
        let mut raw = before.clone();
        raw.make_raw();
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &raw);
        RawTerminal(Some(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, before);
        }
    }
}
