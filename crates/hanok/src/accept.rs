//! The one port: takes connections and hands requests to the router, within limits.

use api::Channel;
use axum::Router;
use base::Result;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tls::{Front, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

/// Connections at the same time; one more waits in the kernel's queue. Each host has up to two.
const CONNECTIONS: usize = 32_768;
/// A client must send its request's head within this time.
const HEAD: Duration = Duration::from_secs(60);

/// Serves until the future is dropped; over TLS if there is something to show.
pub async fn serve(listener: TcpListener, router: Router, front: Option<Arc<Front>>) -> Result<()> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, router.clone(), front.clone(), slot));
            }
            Err(error) => {
                // Out of file descriptors, most likely: it passes when clients go.
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    front: Option<Arc<Front>>,
    slot: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let (stream, channel) = match front {
        None => (Stream::Plain(stream), Channel::default()),
        Some(front) => match front.accept(stream).await {
            Ok((stream, peer)) => (stream, Channel { secure: true, peer: peer.proof }),
            Err(error) => return tracing::debug!(%error, "no handshake"),
        },
    };
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let mut request = without_slash(request).map(axum::body::Body::new);
        request.extensions_mut().insert(channel.clone());
        router.clone().oneshot(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
    }
    drop(slot);
}

/// OpenStack's services answer at their own address with and without a slash at the end (`/compute/v2.1/`),
/// so we drop it before routing. Deeper, a slash at the end asks for the thing with an empty id: nobody's.
fn without_slash<B>(mut request: http::Request<B>) -> http::Request<B> {
    let uri = request.uri();
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    if path.len() > 1 && path.ends_with('/') && trimmed.matches('/').count() <= 2 {
        let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
        let rest = uri.query().map_or(trimmed.to_owned(), |q| format!("{trimmed}?{q}"));
        if let Ok(new) = rest.parse() {
            *request.uri_mut() = new;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_of_an_address_makes_no_difference() {
        let strip = |s: &str| without_slash(http::Request::get(s).body(()).unwrap()).uri().to_string();
        assert_eq!(strip("/identity/v3/"), "/identity/v3");
        assert_eq!(strip("/identity/v3/?a=b/"), "/identity/v3?a=b/");
        assert_eq!(strip("/"), "/");
        assert_eq!(strip("//"), "/");
        assert_eq!(strip("/image/v2/images/"), "/image/v2/images/", "the image with an empty id");
    }
}
