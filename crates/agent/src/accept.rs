//! Takes connections to the byte routes, over TLS where the host has keys.

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tls::{ServerConfig, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// Connections at the same time; one more waits in the kernel's queue.
const CONNECTIONS: usize = 4096;
/// A request's head must come within this time.
const HEAD: Duration = Duration::from_secs(30);

/// Serves until dropped.
pub async fn serve(listener: TcpListener, app: Router, secure: Option<Arc<ServerConfig>>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (app, secure) = (app.clone(), secure.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, app, secure).await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: it passes.
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, app: Router, secure: Option<Arc<ServerConfig>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = match secure {
        Some(config) => tls::accept(config, stream).await?,
        None => Stream::Plain(stream),
    };
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        app.clone().oneshot(request.map(axum::body::Body::new))
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
        .map_err(io::Error::other)
}
