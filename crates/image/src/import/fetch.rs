//! Fetching content from the web, with `curl` (HTTP and TLS as Debian maintains them).
//!
//! We resolve the name, look at each address, and tell curl which one to connect to; redirections are
//! answered to us and looked at in the same way. So nothing is connected to that was not allowed.

use super::jobs::Progress;
use super::source::{Imports, Source};
use crate::Image;
use crate::content::blocking;
use crate::table::stage::Staged;
use crate::upload::{Arrival, Limit, receive};
use base::{Fault, Result};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

const REDIRECTIONS: usize = 5;
const CONNECT: Duration = Duration::from_secs(30);
/// Longest head of an answer, in bytes.
const HEAD: usize = 64 << 10;
/// Bytes that are read at a time.
const READ: usize = 256 << 10;

/// Fetches `uri` into the staged file `name`.
///
/// # Errors
/// With the words for the user: the place that cannot be reached or gives no content, a download that is
/// too large or takes too long.
pub async fn into_stage(
    image: &Arc<Image>,
    uri: &str,
    max: Limit,
    name: &str,
    progress: Arc<Progress>,
) -> Result<Staged> {
    // Downloads wait for a place among the uploads, where clients would be turned away.
    let _slot = image.uploads.acquire().await.map_err(Fault::internal)?;
    let fetch = async {
        let (length, body) = open(&image.imports, uri).await?;
        progress.total.store(length.unwrap_or(0), Ordering::Relaxed);
        let counted = body.inspect(|part| {
            let n = part.as_ref().map_or(0, Bytes::len) as u64;
            progress.done.fetch_add(n, Ordering::Relaxed);
        });
        let arrival = Arrival { body: Box::pin(counted), length, gone: CancellationToken::new() };
        receive(image, max, arrival).await?.digested().await
    };
    let limit = Duration::from_secs(image.imports.download_s);
    let incoming = tokio::time::timeout(limit, fetch).await.map_err(|_| {
        Fault::unavailable(format!(
            "The download took longer than {} seconds and was given up.",
            limit.as_secs()
        ))
    })??;
    let (files, name) = (image.clone(), name.to_owned());
    blocking(move || files.contents.stage(incoming, &name)).await
}

type Body = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

async fn open(imports: &Imports, uri: &str) -> Result<(Option<u64>, Body)> {
    let mut uri = uri.to_owned();
    for _ in 0..=REDIRECTIONS {
        let source = imports.parse(&uri)?;
        let to = address(imports, &source).await?;
        let mut curl = Curl::start(imports, &source, to)?;
        let (head, rest) = curl.head(&source).await?;
        match head.status {
            200 => return Ok((head.length, curl.body(source, rest))),
            301 | 302 | 303 | 307 | 308 => match head.location {
                Some(location) => uri = source.onward(&location),
                None => return Err(failed(&source, "it redirects to nowhere")),
            },
            other => return Err(failed(&source, &format!("it answered {other}"))),
        }
    }
    Err(Fault::unavailable(format!(
        "{uri} could not be downloaded: it redirects more than {REDIRECTIONS} times."
    )))
}

fn failed(source: &Source, why: &str) -> Fault {
    Fault::unavailable(format!("{} could not be downloaded: {why}.", source.url()))
}

/// The first address of the host that one may connect to.
async fn address(imports: &Imports, source: &Source) -> Result<SocketAddr> {
    let found =
        tokio::time::timeout(CONNECT, tokio::net::lookup_host((source.host.as_str(), source.port))).await;
    let found: Vec<_> = match found {
        Ok(Ok(all)) => all.collect(),
        Ok(Err(e)) => return Err(failed(source, &format!("the name cannot be resolved ({e})"))),
        Err(_) => return Err(failed(source, "the name was not resolved in time")),
    };
    let allowed = found.iter().find(|a| imports.allows(&source.host, a.ip()));
    allowed.copied().ok_or_else(|| failed(source, "none of its addresses is a public one"))
}

/// What stands before the body.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<u64>,
    location: Option<String>,
}

impl Head {
    /// `None` when it is not HTTP.
    fn parse(text: &str) -> Option<Head> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        let mut head = Head { status, length: None, location: None };
        let mut chunked = false;
        for (name, value) in lines.filter_map(|l| l.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().ok(),
                "location" => head.location = Some(value.to_owned()),
                "transfer-encoding" => chunked = true,
                _ => {}
            }
        }
        if chunked {
            head.length = None;
        }
        Some(head)
    }
}

struct Curl {
    child: Child,
    out: ChildStdout,
}

impl Curl {
    fn start(imports: &Imports, source: &Source, to: SocketAddr) -> Result<Curl> {
        let mut child = Command::new("curl")
            // No file of the user's, no proxy, no name that we have not resolved.
            .args([
                "--disable",
                "--noproxy",
                "*",
                "--silent",
                "--show-error",
                "--include",
                "--globoff",
                "--http1.1",
            ])
            .args(["--proto", "=http,https", "--user-agent", "hanok"])
            .args(["--connect-timeout", &CONNECT.as_secs().to_string()])
            .args(["--max-time", &imports.download_s.to_string()])
            .args(["--connect-to", &format!("::{to}")])
            .args(["--url", &source.url()])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                Fault::unavailable(
                    "The program curl, which downloads images, cannot be started: apt install curl.",
                )
                .because(e)
            })?;
        let out = child.stdout.take().ok_or_else(|| Fault::internal("curl has no output"))?;
        Ok(Curl { child, out })
    }

    /// Reads until the body begins; answers its first bytes too.
    async fn head(&mut self, source: &Source) -> Result<(Head, Bytes)> {
        let mut read = BytesMut::new();
        loop {
            if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
                let text = read.split_to(end + 4);
                let head = Head::parse(&String::from_utf8_lossy(&text));
                return Ok((head.ok_or_else(|| failed(source, "it does not speak HTTP"))?, read.freeze()));
            }
            if read.len() > HEAD {
                return Err(failed(source, "the head of its answer is too long"));
            }
            if self.out.read_buf(&mut read).await? == 0 {
                let why = self.end().await?.unwrap_or_else(|| "it gave no answer".into());
                return Err(failed(source, &why));
            }
        }
    }

    /// Waits for the end of the program; answers what it complains of.
    async fn end(&mut self) -> Result<Option<String>> {
        let mut said = String::new();
        if let Some(err) = &mut self.child.stderr {
            err.take(4096).read_to_string(&mut said).await?;
        }
        if self.child.wait().await?.success() {
            return Ok(None);
        }
        let said = said.trim().trim_start_matches("curl: ");
        Ok(Some(if said.is_empty() { "it was cut short".into() } else { said.to_owned() }))
    }

    fn body(self, source: Source, first: Bytes) -> Body {
        let rest = stream::unfold(Some((self, source)), |state| async move {
            let (mut curl, source) = state?;
            let mut part = BytesMut::with_capacity(READ);
            match curl.out.read_buf(&mut part).await {
                Ok(0) => match curl.end().await {
                    Ok(None) => None,
                    Ok(Some(why)) => Some((Err(failed(&source, &why)), None)),
                    Err(fault) => Some((Err(fault), None)),
                },
                Ok(_) => Some((Ok(part.freeze()), Some((curl, source)))),
                Err(e) => Some((Err(e.into()), None)),
            }
        });
        Box::pin(stream::iter([Ok(first)]).chain(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn heads_are_read_as_http_has_them() {
        let head = |text: &str| Head::parse(text);
        let plain = head("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX: y\r\n\r\n").unwrap();
        assert_eq!(plain, Head { status: 200, length: Some(12), location: None });
        let chunked =
            head("HTTP/1.1 200 OK\r\ncontent-length: 12\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        assert_eq!(chunked.length, None);
        let moved = head("HTTP/1.0 302 Found\r\nLocation:  /x \r\n\r\n").unwrap();
        assert_eq!((moved.status, moved.location.as_deref()), (302, Some("/x")));
        for bad in ["", "SSH-2.0-x\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "ICY 200 OK\r\n\r\n"]
        {
            assert_eq!(head(bad), None, "{bad:?}");
        }
    }
}
