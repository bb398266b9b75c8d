//! The metadata service: HTTP at 169.254.169.254 inside a namespace.
//!
//! Who asks is known by the source address and the namespace alone: the filter at each tap lets only
//! its own addresses in, and replies go to their owner by static entries. Headers that claim another
//! identity (`X-Forwarded-For`, `X-Instance-ID`) are never read.

use super::view::Directory;
use base::metadata;
use base::{Kind, ServerId};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

/// Connections at the same time per namespace; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;
/// Of one guest; more are closed, so that nobody keeps the others out.
const CONNECTIONS_PER_GUEST_MAX: usize = 16;
/// An encrypted password, in bytes.
const PASSWORD_MAX: usize = 1020;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is closed after this long, however slowly its guest reads.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two passwords of one guest that are brought to the region.
const PASSWORD_EVERY: Duration = Duration::from_secs(5);

/// What a guest told of its password, and where the answer goes.
pub struct Told {
    pub guest: ServerId,
    pub password: Bytes,
    pub answer: oneshot::Sender<base::Result<()>>,
}

/// Who takes what guests tell; nobody in a datapath that stands alone.
pub type Passwords = Option<mpsc::Sender<Told>>;

pub async fn serve(listener: TcpListener, directory: watch::Receiver<Arc<Directory>>, passwords: Passwords) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let guests = Arc::new(Mutex::new(HashMap::new()));
    let asked = Arc::new(Mutex::new(HashMap::new()));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(error = %e, "the metadata service cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(seat) = Seat::take(&guests, peer.ip()) else { continue };
        let (directory, passwords, asked) = (directory.clone(), passwords.clone(), asked.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let now = directory.borrow().clone();
                let (passwords, asked) = (passwords.clone(), asked.clone());
                async move {
                    let posts = request.method() == Method::POST;
                    Ok::<_, Infallible>(match passwords.filter(|_| posts) {
                        Some(passwords) => told(&now, peer.ip(), request, &passwords, &asked).await,
                        None => reply(&now, peer.ip(), &request),
                    })
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                // Scripts ask by `printf … | nc`, which has closed its side when the question arrives.
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            // A guest that goes away in the middle is no event.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop((permit, seat));
        });
    }
}

/// A guest's share of the connections, given back when dropped.
struct Seat(Arc<Mutex<HashMap<IpAddr, usize>>>, IpAddr);

impl Seat {
    fn take(guests: &Arc<Mutex<HashMap<IpAddr, usize>>>, peer: IpAddr) -> Option<Seat> {
        let mut taken = guests.lock().ok()?;
        let count = taken.entry(peer).or_default();
        if *count >= CONNECTIONS_PER_GUEST_MAX {
            return None;
        }
        *count += 1;
        Some(Seat(guests.clone(), peer))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Ok(mut taken) = self.0.lock()
            && let Some(count) = taken.get_mut(&self.1)
        {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}

/// When each guest last told something that was brought to the region.
type Asked = Mutex<HashMap<ServerId, Instant>>;

/// Whether the region may be asked for this guest now; if so, not again for a while.
fn may_ask(asked: &Asked, guest: ServerId) -> bool {
    let Ok(mut asked) = asked.lock() else { return false };
    asked.retain(|_, at| at.elapsed() < PASSWORD_EVERY);
    let free = !asked.contains_key(&guest);
    if free {
        asked.insert(guest, Instant::now());
    }
    free
}

/// A guest tells its password, which it may do once. The region is asked only when that can come to something.
async fn told(
    directory: &Directory,
    peer: IpAddr,
    request: Request<Incoming>,
    passwords: &mpsc::Sender<Told>,
    asked: &Asked,
) -> Response<Full<Bytes>> {
    let known = || plain(StatusCode::CONFLICT, "The password was told already.\n".into());
    let wrong = || plain(StatusCode::BAD_REQUEST, "This is no password.\n".into());
    let Some(guest) = directory.get(&peer).filter(|_| metadata::takes_password(request.uri().path())) else {
        return plain(StatusCode::NOT_FOUND, "There is nothing here for you.\n".into());
    };
    let Ok(body) = Limited::new(request.into_body(), PASSWORD_MAX).collect().await else {
        return plain(StatusCode::BAD_REQUEST, "Request is too long.\n".into());
    };
    let password = body.to_bytes();
    if guest.guest.metadata.password.is_some() {
        return known();
    }
    if password.is_empty() || std::str::from_utf8(&password).is_err() {
        return wrong();
    }
    if !may_ask(asked, guest.guest.id) {
        return plain(StatusCode::TOO_MANY_REQUESTS, "Try again in a moment.\n".into());
    }
    let (answer, answered) = oneshot::channel();
    let told = Told { guest: guest.guest.id, password, answer };
    if passwords.send(told).await.is_err() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment.\n".into());
    }
    match answered.await {
        Ok(Ok(())) => plain(StatusCode::OK, Bytes::new()),
        Ok(Err(fault)) if fault.kind == Kind::Conflict => known(),
        Ok(Err(fault)) if fault.kind == Kind::BadRequest => wrong(),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment.\n".into()),
    }
}

fn reply(directory: &Directory, peer: IpAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n".into());
    }
    let path = request.uri().path();
    let found = directory.get(&peer).and_then(|g| metadata::answer(path, &g.guest, &g.nics));
    let Some(body) = found else {
        return plain(StatusCode::NOT_FOUND, "There is nothing here for you.\n".into());
    };
    let mut reply = plain(StatusCode::OK, body.into());
    if path.ends_with(".json") {
        let json = header::HeaderValue::from_static("application/json");
        reply.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    reply
}

fn plain(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, text);
    reply
}

#[cfg(test)]
mod tests {
    use super::super::view::GuestView;
    use super::*;
    use serde_json::json;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// The status that a guest is answered which tells this password.
    async fn tell(at: SocketAddr, password: &[u8]) -> u16 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let head =
            format!("POST /openstack/latest/password HTTP/1.0\r\ncontent-length: {}\r\n\r\n", password.len());
        stream.write_all(&[head.as_bytes(), password].concat()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn the_region_hears_of_a_password_that_may_be_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let directory = |password: Option<&str>| {
            let guest = json!({
                "id": ServerId::new(), "ownership": 1, "power": "on", "vcpus": 1, "memory_mib": 64,
                "disk": {"image": null, "bytes": 1}, "metadata": {"name": "a", "hostname": "a", "project_id": "p",
                "availability_zone": "nova", "launch_index": 0, "flavor": "nano", "password": password},
            });
            let view = GuestView { guest: serde_json::from_value(guest).unwrap(), nics: vec![] };
            Arc::new(Directory::from([(at.ip(), Arc::new(view))]))
        };
        let (change, newest) = watch::channel(directory(None));
        let (passwords, mut told) = mpsc::channel::<Told>(4);
        let serving = tokio::spawn(serve(listener, newest, Some(passwords)));
        let region = tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Some(told) = told.recv().await {
                heard.push(told.password);
                let _ = told.answer.send(Err(base::Fault::unavailable("The region is away.")));
            }
            heard
        });
        assert_eq!(tell(at, b"").await, 400);
        assert_eq!(tell(at, b"\xff\xfe").await, 400);
        assert_eq!(tell(at, b"first").await, 503);
        assert_eq!(tell(at, b"too soon").await, 429);
        change.send_replace(directory(Some("told")));
        assert_eq!(tell(at, b"another").await, 409);
        serving.abort();
        assert_eq!(region.await.unwrap(), [Bytes::from("first")]);
    }

    /// As `printf … | nc` does. Its end often arrives with what it asked.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn who_has_closed_its_side_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (_keep, directory) = watch::channel(Arc::new(Directory::default()));
        let serving = tokio::spawn(serve(listener, directory, None));
        for round in 0..500 {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(b"GET /openstack HTTP/1.0\r\n\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            assert!(said.starts_with("HTTP/1.0 404"), "{round}: {said:?}");
        }
        serving.abort();
    }
}
