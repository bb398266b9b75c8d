//! Serial consoles for many viewers, and the bridge between a WebSocket and one of QEMU's sockets.
//!
//! QEMU's serial socket takes one client. The first viewer has it connected, and one task copies what
//! comes to all who watch; it ends with the last viewer or with QEMU. A viewer too slow for the
//! guest misses output; the guest never waits for one. A guest that does not read misses what is typed, so that
//! viewers never wait for it. Nothing is replayed: that is what the log is for.

use super::Dir;
use axum::extract::ws::{Message, WebSocket};
use base::{Fault, Kind, Result, ServerId};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Pieces of output that a viewer may lag behind before it misses some.
const BEHIND: usize = 256;
const VIEWERS_MAX: usize = 32;
const PIECE: usize = 8192;
/// A guest that takes nothing of what is typed for so long does not read.
const TAKES: Duration = Duration::from_secs(1);

/// The serial consoles that somebody watches.
pub struct Consoles {
    shared: Mutex<HashMap<ServerId, Shared>>,
    stop: CancellationToken,
}

/// The way to a console's task; weak, so that the task ends with its viewers and they with it.
struct Shared {
    input: mpsc::WeakSender<Bytes>,
    output: broadcast::WeakSender<Bytes>,
}

/// Connects to one of QEMU's sockets for a viewer.
///
/// # Errors
/// `Conflict` when the guest does not run.
pub async fn connect(dir: &Dir, socket: &str) -> Result<UnixStream> {
    let connected = dir.connect(socket).await;
    connected.map_err(|fault| Fault {
        kind: Kind::Conflict,
        message: "The guest does not run at the moment. Start it, then try again.".into(),
        ..fault
    })
}

/// One who watches and types.
pub struct Viewer {
    input: mpsc::Sender<Bytes>,
    output: broadcast::Receiver<Bytes>,
}

impl Consoles {
    pub fn new(stop: CancellationToken) -> Self {
        Consoles { shared: Mutex::default(), stop }
    }

    /// # Errors
    /// `Conflict` when the guest does not run, `Unavailable` when too many watch already.
    pub async fn join(&self, dir: &Dir) -> Result<Viewer> {
        let mut shared = self.shared.lock().await;
        shared.retain(|_, s| s.input.upgrade().is_some());
        if let Some(s) = shared.get(&dir.id)
            && let (Some(input), Some(output)) = (s.input.upgrade(), s.output.upgrade())
        {
            if output.receiver_count() >= VIEWERS_MAX {
                return Err(Fault::unavailable(format!(
                    "{VIEWERS_MAX} viewers watch this console already. Close one of them."
                )));
            }
            return Ok(Viewer { input, output: output.subscribe() });
        }
        let stream = connect(dir, "serial.sock").await?;
        let (input, typed) = mpsc::channel(16);
        let (say, output) = broadcast::channel(BEHIND);
        shared.insert(dir.id, Shared { input: input.downgrade(), output: say.downgrade() });
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = share(stream, typed, say) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Viewer { input, output })
    }
}

/// Copies output to all viewers and input from all, until the last has gone or QEMU has.
async fn share(stream: UnixStream, mut typed: mpsc::Receiver<Bytes>, say: broadcast::Sender<Bytes>) {
    let (mut from, mut to) = stream.into_split();
    let write = async {
        while let Some(mut text) = typed.recv().await {
            while !text.is_empty() {
                match timeout(TAKES, to.write(&text)).await {
                    Ok(Ok(n)) => text.advance(n),
                    Ok(Err(_)) => return,
                    Err(_) => {
                        text.clear();
                        while typed.try_recv().is_ok() {}
                    }
                }
            }
        }
    };
    let read = async {
        let mut piece = BytesMut::with_capacity(PIECE);
        while from.read_buf(&mut piece).await.is_ok_and(|n| n > 0) {
            let _ = say.send(piece.split().freeze());
            piece.reserve(PIECE);
        }
    };
    tokio::select! { () = write => {} () = read => {} }
}

impl Viewer {
    /// Serves one WebSocket until either side ends.
    pub async fn serve(mut self, socket: WebSocket) {
        let (mut to, mut from) = socket.split();
        let shows = async {
            loop {
                match self.output.recv().await {
                    Ok(piece) => {
                        if to.send(Message::Binary(piece)).await.is_err() {
                            return;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => break,
                }
            }
            let _ = to.send(Message::Close(None)).await;
        };
        let types = async {
            while let Some(text) = next(&mut from).await {
                if self.input.send(text).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = shows => {} () = types => {} }
    }
}

/// Copies between a WebSocket and a stream until either side ends.
pub async fn pump(socket: WebSocket, stream: UnixStream) {
    let (mut to_socket, mut from_socket) = socket.split();
    let (mut from_stream, mut to_stream) = stream.into_split();
    let out = async {
        let mut piece = BytesMut::with_capacity(PIECE);
        while from_stream.read_buf(&mut piece).await.is_ok_and(|n| n > 0) {
            if to_socket.send(Message::Binary(piece.split().freeze())).await.is_err() {
                return;
            }
            piece.reserve(PIECE);
        }
        let _ = to_socket.send(Message::Close(None)).await;
    };
    let into = async {
        while let Some(bytes) = next(&mut from_socket).await {
            if to_stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = out => {} () = into => {} }
}

/// The next bytes that the other side sent; `None` at the end.
async fn next(from: &mut futures_util::stream::SplitStream<WebSocket>) -> Option<Bytes> {
    loop {
        match from.next().await?.ok()? {
            Message::Binary(bytes) => return Some(bytes),
            Message::Text(text) => return Some(Bytes::from(text)),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guest_that_does_not_read_holds_up_nobody() {
        let (ours, guests) = UnixStream::pair().unwrap();
        let (input, typed) = mpsc::channel(16);
        let (say, mut output) = broadcast::channel(BEHIND);
        let task = tokio::spawn(share(ours, typed, say));
        // More than a socket holds, and more than waits for its turn.
        let typing = async {
            for _ in 0..40 {
                input.send(Bytes::from(vec![b'x'; 1 << 20])).await.unwrap();
            }
        };
        timeout(Duration::from_secs(60), typing).await.expect("a viewer waits for the guest");
        // What it says still comes, and the console ends with its viewers.
        let (_, mut to) = guests.into_split();
        to.write_all(b"hello").await.unwrap();
        assert_eq!(output.recv().await.unwrap(), "hello");
        drop(input);
        timeout(Duration::from_secs(60), task).await.expect("the console outlives its viewers").unwrap();
    }
}
