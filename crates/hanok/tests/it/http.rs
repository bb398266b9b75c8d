//! A small HTTP client over plain sockets: one request a connection, and nothing is repaired on the way,
//! so that tests can also send what no honest client would.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer, success or not.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// The body as JSON; null where there is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }
    /// The JSON of an answer with this status.
    ///
    /// # Panics
    /// With the whole answer when the status is another.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "answered: {}", self.text());
        self.json()
    }
}

/// Sends one request over a fresh connection and reads the answer to its end.
///
/// # Errors
/// When the connection fails or ends early; a cut-off answer is an error too.
pub fn send(
    mut stream: impl Read + Write,
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        head.push_str("Connection: close\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    // A server may refuse before it has read everything; its answer still counts.
    let sent = stream.write_all(body);
    read(stream).or_else(|e| sent.and(Err(e)))
}

pub fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one answer, to the length that it says or to the end of the connection.
pub fn read(mut stream: impl Read) -> std::io::Result<Answer> {
    let early = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer was cut off");
    let mut all = Vec::new();
    let mut buffer = [0; 64 << 10];
    loop {
        if let Some(answer) = parse(&all)
            && answer.header("content-length").and_then(|v| v.parse().ok()) == Some(answer.body.len())
        {
            return Ok(answer);
        }
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..n]);
    }
    let mut answer = parse(&all).ok_or_else(early)?;
    if answer.header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        answer.body = unchunk(&answer.body).ok_or_else(early)?;
    } else if answer.header("content-length").is_some() && !answer.body.is_empty() {
        // An answer to HEAD has a length and no body.
        return Err(early());
    }
    Ok(answer)
}

/// The head, and what of the body there is so far.
fn parse(all: &[u8]) -> Option<Answer> {
    let end = all.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers =
        lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned()));
    Some(Answer { status, headers: headers.collect(), body: all[end + 4..].to_vec() })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
