//! Takes connections and answers what is asked on them, within limits.

use crate::Stream;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How much of it there is.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at the same time; one more waits in the kernel's queue.
    pub connections: usize,
    /// Within this time a request's head must be there.
    pub head: Duration,
    /// A connection is cut when its other side is silent for so long: a machine without power, a computer that
    /// sleeps, a reader that has stopped.
    pub silence: Duration,
}

/// Serves HTTP/1.1 until dropped. `greet` says over what to speak with one who came, and who answers it; its error
/// ends the connection.
pub async fn serve<G, F, S, B>(listener: TcpListener, limits: Limits, greet: G)
where
    G: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = io::Result<(Stream, S)>> + Send + 'static,
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Future: Send> + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                // A connection that cannot be set like this is at its end already.
                let _ = stream.set_nodelay(true).and_then(|()| or_cut(&stream, limits.silence));
                let greeted = greet(stream, from);
                tokio::spawn(async move {
                    let served = async {
                        let (stream, service) = greeted.await?;
                        hyper::server::conn::http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(limits.head)
                            .serve_connection(TokioIo::new(stream), service)
                            .with_upgrades()
                            .await
                            .map_err(io::Error::other)
                    };
                    if let Err(error) = served.await {
                        tracing::debug!(%from, %error, "a connection ended early");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: it passes when clients go.
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Has the kernel ask an idle connection whether the other side is there, and cut it when nothing was acknowledged,
/// or taken, for `silence`.
pub fn or_cut(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    sockopt::set_tcp_user_timeout(stream, u32::try_from(silence.as_millis()).unwrap_or(u32::MAX))?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, silence / 3)?;
    Ok(sockopt::set_tcp_keepintvl(stream, silence / 6)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::future::ready;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LONG: Duration = Duration::from_secs(3600);

    /// Says hello to everybody; its address and what ends it.
    async fn start(limits: Limits) -> (SocketAddr, tokio::task::AbortHandle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let greet = |stream, _| {
            let hello = |_| ready(Ok::<_, Infallible>(Response::new("hello".to_owned())));
            ready(Ok((Stream::Plain(stream), hyper::service::service_fn(hello))))
        };
        (here, tokio::spawn(serve(listener, limits, greet)).abort_handle())
    }

    async fn ask(stream: &mut TcpStream) {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stream.read_u8().await.unwrap();
    }

    #[tokio::test]
    async fn who_falls_silent_is_asked_for() {
        let limits = Limits { connections: 2, head: LONG, silence: Duration::from_secs(300) };
        let (here, serving) = start(limits).await;
        let mut stream = TcpStream::connect(here).await.unwrap();
        ask(&mut stream).await;
        // proc(5): `tr` is 02 where the keep-alive timer runs.
        let ends =
            format!("0100007F:{:04X} 0100007F:{:04X}", here.port(), stream.local_addr().unwrap().port());
        let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = all.lines().find(|l| l.contains(&ends)).unwrap();
        assert!(line.split_whitespace().nth(5).unwrap().starts_with("02:"), "{line}");
        serving.abort();
    }

    #[tokio::test]
    async fn who_asks_nothing_gives_way() {
        let (here, serving) =
            start(Limits { connections: 4, head: Duration::from_millis(200), silence: LONG }).await;
        let mut silent = Vec::new();
        for _ in 0..8 {
            silent.push(TcpStream::connect(here).await.unwrap());
        }
        ask(&mut TcpStream::connect(here).await.unwrap()).await;
        for mut stream in silent {
            while stream.read(&mut [0; 512]).await.is_ok_and(|n| n > 0) {}
        }
        serving.abort();
    }
}
