//! The answer to plain HTTP on a port that speaks TLS: browsers are sent to the same address with `https`, programs are
//! told what to change. They are not sent on, as they would go on showing their tokens to everybody on the way.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, LOCATION};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use tokio::net::TcpStream;

const SAYS: &str = "This port speaks HTTPS: use https:// in the address, and trust the certificate authority in ca.pem \
                    of the region's data directory.\n";

/// Answers one request.
pub async fn answer(stream: TcpStream) -> io::Result<()> {
    let one = service_fn(async |req| Ok::<_, Infallible>(reply(&req)));
    http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), one)
        .await
        .map_err(io::Error::other)
}

fn reply(req: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from_static(SAYS.as_bytes())));
    reply.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    let Some(to) = elsewhere(req).and_then(|to| to.try_into().ok()) else {
        *reply.status_mut() = StatusCode::BAD_REQUEST;
        return reply;
    };
    *reply.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    reply.headers_mut().insert(LOCATION, to);
    reply
}

/// Where a browser that wants to see a page finds it.
fn elsewhere(req: &Request<Incoming>) -> Option<String> {
    let text = |name| req.headers().get(name).and_then(|v| v.to_str().ok());
    let page = req.method() == Method::GET && text(ACCEPT)?.contains("text/html");
    let host: Authority = text(HOST)?.parse().ok()?;
    let path = req.uri().path_and_query().map_or("/", |p| p.as_str());
    page.then(|| format!("https://{host}{path}"))
}
