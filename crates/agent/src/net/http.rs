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
use std::time::Duration;
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
        let (directory, passwords) = (directory.clone(), passwords.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let now = directory.borrow().clone();
                let passwords = passwords.clone();
                async move {
                    let posts = request.method() == Method::POST;
                    Ok::<_, Infallible>(match passwords.filter(|_| posts) {
                        Some(passwords) => told(&now, peer.ip(), request, &passwords).await,
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

/// A guest tells its password, which it may do once.
async fn told(
    directory: &Directory,
    peer: IpAddr,
    request: Request<Incoming>,
    passwords: &mpsc::Sender<Told>,
) -> Response<Full<Bytes>> {
    let Some(guest) = directory.get(&peer).filter(|_| metadata::takes_password(request.uri().path())) else {
        return plain(StatusCode::NOT_FOUND, "There is nothing here for you.\n".into());
    };
    let Ok(body) = Limited::new(request.into_body(), PASSWORD_MAX).collect().await else {
        return plain(StatusCode::BAD_REQUEST, "Request is too long.\n".into());
    };
    let (answer, answered) = oneshot::channel();
    let told = Told { guest: guest.guest.id, password: body.to_bytes(), answer };
    if passwords.send(told).await.is_err() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment.\n".into());
    }
    match answered.await {
        Ok(Ok(())) => plain(StatusCode::OK, Bytes::new()),
        Ok(Err(fault)) if fault.kind == Kind::Conflict => {
            plain(StatusCode::CONFLICT, "The password was told already.\n".into())
        }
        Ok(Err(fault)) if fault.kind == Kind::BadRequest => {
            plain(StatusCode::BAD_REQUEST, "This is no password.\n".into())
        }
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
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

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
