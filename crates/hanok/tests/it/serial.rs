//! A serial console as a program uses it: the WebSocket behind the address that the compute API gives.

use crate::wait::until;
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Error, Message, client};

/// Stands in the text when there is no console any more.
pub const ENDED: &str = "(the console has ended";

pub struct Serial {
    keys: Sender<Vec<u8>>,
    text: Arc<Mutex<String>>,
}

impl Serial {
    /// Opens `wss://…`, trusting the authority in this file. It is read on its own, so that whoever writes there never
    /// waits for the test.
    #[track_caller]
    pub fn open(url: &str, authority: &Path) -> Serial {
        let at = url.strip_prefix("wss://").and_then(|rest| rest.split('/').next());
        let at = at.unwrap_or_else(|| panic!("no address of a WebSocket over TLS: {url}"));
        let name = at.rsplit_once(':').unwrap().0;
        let config = tls::client_config(Some(authority)).unwrap();
        let name = tls::server_name(name).unwrap();
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let stream = tls::StreamOwned::new(tls::ClientConnection::new(config, name).unwrap(), stream);
        let mut begun = client(url, stream);
        let mut socket = loop {
            match begun {
                Ok((socket, _)) => break socket,
                Err(tokio_tungstenite::tungstenite::HandshakeError::Interrupted(more)) => {
                    begun = more.handshake();
                }
                Err(e) => panic!("{url}: {e}"),
            }
        };
        let (keys, typed) = channel::<Vec<u8>>();
        let text: Arc<Mutex<String>> = Arc::default();
        let screen = text.clone();
        std::thread::spawn(move || {
            loop {
                match typed.try_recv() {
                    Ok(keys) => drop(socket.send(Message::Binary(keys.into()))),
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return socket.close(None),
                }
                let said = match socket.read() {
                    Ok(Message::Binary(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
                    Ok(Message::Text(words)) => words.as_str().to_owned(),
                    Ok(_) => continue,
                    Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock => continue,
                    Err(e) => format!("\n{ENDED}: {e})\n"),
                };
                screen.lock().unwrap().push_str(&said);
                if said.contains(ENDED) {
                    return Ok(());
                }
            }
        });
        Serial { keys, text }
    }

    /// All that it said so far.
    pub fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits for words after the first `from` bytes of what it says. The keys are typed again and again meanwhile: the
    /// console may not have been there, or nobody who read them.
    #[track_caller]
    pub fn wait_for(&self, seconds: u64, from: usize, keys: &str, words: &str) {
        let mut rounds = 0;
        until(seconds, &format!("{words:?} on the serial console"), || {
            if !keys.is_empty() && rounds % 20 == 0 {
                let _ = self.keys.send(keys.into());
            }
            rounds += 1;
            self.text().get(from..).is_some_and(|text| text.contains(words)).then_some(())
        });
    }
}

impl Drop for Serial {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- serial console\n{}\n---", self.text());
        }
    }
}
