//! HTTP for machines, on each of the rack's addresses.
//!
//! ```text
//! GET  /boot/{mac}.ipxe                  the script for iPXE of this machine; nobody else gets it
//! GET  /boot/{mac}.efi                   the live system as an EFI program, with this machine's command line
//! GET  /files/{sha512}                   kernel and initrd of the live system
//! GET  /images/{sha512}/manifest         an image in chunks; `?peer=PORT`: who asks serves chunks there too
//! GET  /images/{sha512}/chunks/{sha256}  a chunk, compressed with zstd; `?damaged=1`: it was not, when it came last
//! *    /live/v1/…, /MAAS/…               the region, with who asks
//! ```
//! Everything else is refused.

mod files;
mod pass;

use crate::Rack;
use crate::board::Segment;
use crate::boot::{self, Asker, Plan};
use crate::mac::Mac;
use crate::places::Places;
use crate::sockets;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::routing::{any, get};
use base::doc::rack::HTTP_PORT;
use base::{Fault, Kind, Result};
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tls::Limits;
use tokio::net::TcpListener;
use tower::ServiceExt;

const LIMITS: Limits =
    Limits { connections: 8192, head: Duration::from_secs(60), silence: Duration::from_secs(180) };
/// Connections of one address at the same time; more are closed. A live system fetches eight pieces at a time.
const EACH: usize = 64;

/// What a handler looks at.
#[derive(Clone)]
pub struct Seat {
    pub rack: Arc<Rack>,
    pub segment: Arc<Segment>,
    /// Ours.
    pub address: IpAddr,
}

pub type From = ConnectInfo<SocketAddr>;

/// Listens on an address, until the task is ended.
///
/// # Errors
/// When the port is taken.
pub fn start(rack: Arc<Rack>, segment: Arc<Segment>, address: IpAddr) -> Result<tokio::task::JoinHandle<()>> {
    let listener = sockets::tcp("HTTP for machines", &segment.interface, address, HTTP_PORT)?;
    let app = routes(Seat { rack, segment, address });
    Ok(tokio::spawn(serve(listener, app, LIMITS, EACH)))
}

/// A machine may be anybody's: none keeps the others out.
async fn serve(listener: TcpListener, app: Router, limits: Limits, each: usize) {
    let places = Places::new(each);
    let greet = |stream, from: SocketAddr| {
        let (app, place) = (app.clone(), places.take(from.ip()));
        async move {
            let place = place.ok_or_else(|| io::Error::other("too many connections of one address"))?;
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let _held = &place;
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(from));
                app.clone().oneshot(request)
            });
            Ok((tls::Stream::Plain(stream), service))
        }
    };
    tls::serve(listener, limits, greet).await;
}

pub fn routes(seat: Seat) -> Router {
    Router::new()
        .route("/boot/{name}", get(boot_file))
        .route("/files/{sha512}", get(files::file))
        .route("/images/{sha512}/manifest", get(files::manifest))
        .route("/images/{sha512}/chunks/{sha256}", get(files::chunk))
        .route("/live/v1/{*path}", any(pass::on))
        .route("/MAAS/{*path}", any(pass::on))
        .fallback(|| async { refuse(&Fault::not_found("There is nothing here for machines.")) })
        .with_state(seat)
}

/// A refusal as firmware and scripts read it.
pub fn refuse(fault: &Fault) -> Response<Body> {
    let status = match fault.kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::BadRequest => StatusCode::BAD_REQUEST,
        Kind::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => {
            tracing::error!("HTTP for machines: {fault}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let mut answer = Response::new(Body::from(format!("{}\n", fault.message)));
    *answer.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, text);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    }
    answer
}

/// `52-54-…​.ipxe` or `.efi`.
async fn boot_file(
    State(seat): State<Seat>,
    ConnectInfo(from): From,
    Path(name): Path<String>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let answer = async {
        let (mac, kind) = name.split_once('.').ok_or_else(|| Fault::not_found("There is no such file."))?;
        let mut asker = asker(&seat, mac, from.ip()).await?;
        asker.uuid = word_of(&query, "uuid").to_ascii_lowercase();
        match kind {
            "ipxe" => {
                let plan = boot::plan(&seat.rack, &seat.segment, &asker).await;
                let mut answer = Response::new(Body::from(boot::script(&plan, &asker)));
                let text = header::HeaderValue::from_static("text/plain");
                answer.headers_mut().insert(header::CONTENT_TYPE, text);
                Ok(answer)
            }
            "efi" => {
                asker.arch = 16;
                let content = program(&seat.rack, &seat.segment, &asker).await?;
                files::send(content, &headers, "application/efi")
            }
            _ => Err(Fault::not_found("There is no such file.")),
        }
    };
    answer.await.unwrap_or_else(|fault: Fault| {
        tracing::info!(name, %from, "no boot file: {fault}");
        refuse(&fault)
    })
}

/// Who asks for a machine's boot file: only the machine itself, or its secret would be anybody's.
///
/// # Errors
/// `Forbidden` for another one, or when the rack cannot tell.
pub async fn asker(seat: &Seat, mac: &str, from: IpAddr) -> Result<Asker> {
    let mac: Mac = mac.parse().map_err(|()| Fault::not_found("There is no such file."))?;
    if seat.segment.asker(from).await != Some(mac) {
        return Err(Fault::forbidden(format!("{from} is not known to be {mac}, for whom this is.")));
    }
    Ok(Asker { mac, uuid: String::new(), arch: 0, address: from.to_canonical(), rack: seat.address })
}

/// The live system as an EFI program for this machine.
///
/// # Errors
/// `NotFound` for a machine that should not boot it: its firmware then goes on with its disk. `Unavailable` when
/// it should try again.
pub async fn program(rack: &Rack, segment: &Segment, asker: &Asker) -> Result<crate::content::Content> {
    match boot::plan(rack, segment, asker).await {
        Plan::Live { live, cmdline } => {
            let file = rack.cache.file(&live.efi)?;
            crate::uki::with_cmdline(&file, &cmdline)
        }
        Plan::Local => Err(Fault::not_found("This machine starts from its own disk.")),
        Plan::Off => Err(Fault::not_found("This machine should be off.")),
        Plan::Nothing => Err(Fault::not_found("Nobody knows this machine here.")),
        Plan::Later(why) => Err(Fault::unavailable(format!("Try again in a moment: {why}."))),
    }
}

/// What a query says of `name`; empty when it says nothing.
pub fn word_of<'a>(query: &'a str, name: &str) -> &'a str {
    let words = query.split('&').filter_map(|w| w.split_once('='));
    words.into_iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpSocket, TcpStream};

    async fn connect(from: &str, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap()
    }

    #[tokio::test]
    async fn one_address_does_not_keep_the_others_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let who = |ConnectInfo(from): ConnectInfo<SocketAddr>| async move { from.to_string() };
        let limits = Limits { connections: 40, head: Duration::from_secs(3600), ..LIMITS };
        let serving = tokio::spawn(serve(listener, Router::new().fallback(who), limits, 30));
        let mut silent = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let mut stream = connect("127.0.0.1", here).await;
            silent.spawn(async move { stream.read(&mut [0; 1]).await });
        }
        let mut other = connect("127.0.0.2", here).await;
        other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("127.0.0.2:"), "{text}");
        for _ in 0..170 {
            silent.join_next().await;
        }
        assert!(silent.try_join_next().is_none(), "it may have as many");
        serving.abort();
    }
}
