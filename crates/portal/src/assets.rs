//! The pages: what was built from `portal/ui`, embedded.
//!
//! `/` is the portal for who accepts HTML and the region's own description for programs. Every other address that
//! belongs to no API is a page of the portal (which finds it itself) for browsers, and not found for programs.
//! `/screen` is the page that shows a server's screen to whoever has its address, and may be a part of other pages.
//! Files with a hash in their name never change; `index.html`, which names them, is asked for each time.

use api::Reply;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, Method, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// A file of the portal.
pub struct File {
    path: &'static str,
    mark: &'static str,
    plain: &'static [u8],
    /// The same, by the name of its content coding; the best one first.
    packed: &'static [(&'static str, &'static [u8])],
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

const INDEX: &str = "index.html";
const SCREEN: &str = "screen.html";
const NOT_BUILT: &str = include_str!("not_built.html");
/// First parts of addresses that are never pages.
const APIS: &[&str] = &[
    "MAAS",
    "agent",
    "assets",
    "compute",
    "hanok",
    "health",
    "identity",
    "image",
    "live",
    "metrics",
    "network",
    "placement",
    "rack",
];
/// What a page may do: nothing with anybody but us.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; \
    font-src 'self'; style-src 'self'; object-src 'none'; \
    base-uri 'none'; form-action 'self'";

/// The pages and everything else that no service answers. `welcome` is what programs read at `/`.
pub fn pages(welcome: Value) -> Router {
    let welcome = Arc::new(welcome);
    let root = move |request: Request| {
        let welcome = welcome.clone();
        async move {
            if wants_page(request.headers()) {
                page(&request, INDEX)
            } else {
                Reply::json(200, &welcome).into()
            }
        }
    };
    Router::new()
        .route("/", get(root))
        .route("/screen", get(|request: Request| async move { page(&request, SCREEN) }))
        .fallback(|request: Request| async move { other(&request) })
}

/// Browsers name HTML when somebody goes to an address; programs say `*/*` or JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("text/html"))
}

fn other(request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && let Some(file) = FILES.iter().find(|f| f.path == path) {
        return serve(file, request.headers());
    }
    let first = path.split('/').next().unwrap_or_default();
    if reads && !APIS.contains(&first) && wants_page(request.headers()) {
        return page(request, INDEX);
    }
    let words = "There is nothing at this address. GET / says where the APIs are.";
    Reply::json(404, &json!({"error": {"code": 404, "message": words, "title": "Not Found"}})).into()
}

fn page(request: &Request, path: &'static str) -> Response {
    match FILES.iter().find(|f| f.path == path) {
        Some(file) => serve(file, request.headers()),
        None => guarded(
            Reply::text(200, "text/html; charset=utf-8", NOT_BUILT).header("cache-control", "no-cache"),
            path,
        ),
    }
}

fn serve(file: &File, asked: &HeaderMap) -> Response {
    let lasting = is_hashed(file.path);
    let keep = if lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = asked.get(header::IF_NONE_MATCH).and_then(|m| m.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|m| m.trim().trim_start_matches("W/") == file.mark) {
        return guarded(Reply::empty(304).header("etag", file.mark).header("cache-control", keep), file.path);
    }
    let takes = asked.get(header::ACCEPT_ENCODING).and_then(|e| e.to_str().ok()).unwrap_or_default();
    let packed = file.packed.iter().find(|(coding, _)| accepts(takes, coding));
    let reply = match packed {
        Some((coding, bytes)) => Reply::text(200, kind(file.path), *bytes).header("content-encoding", coding),
        None => Reply::text(200, kind(file.path), file.plain),
    };
    let reply =
        reply.header("etag", file.mark).header("cache-control", keep).header("vary", "Accept-Encoding");
    guarded(reply, file.path)
}

/// Whether `Accept-Encoding` names a coding and does not refuse it.
fn accepts(header: &str, coding: &str) -> bool {
    header.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        let named = words.next().is_some_and(|w| w.eq_ignore_ascii_case(coding));
        named && !words.any(|w| matches!(w, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// `assets/index-Bd4f9aK2.js`: the build puts a hash into the names of what is below `assets`.
fn is_hashed(path: &str) -> bool {
    path.starts_with("assets/")
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// With the headers that keep other pages out of ours and ours out of others. A screen needs no session and has an
/// address that nobody guesses: other dashboards show it inside their own pages.
fn guarded(reply: Reply, path: &str) -> Response {
    let frames = if path == SCREEN { "*" } else { "'none'" };
    let reply = if path == SCREEN { reply } else { reply.header("x-frame-options", "DENY") };
    reply
        .header("content-security-policy", &format!("{POLICY}; frame-ancestors {frames}"))
        .header("x-content-type-options", "nosniff")
        .header("referrer-policy", "no-referrer")
        .header("cross-origin-opener-policy", "same-origin")
        .header("cross-origin-resource-policy", "same-origin")
        .header("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: File = File {
        path: "assets/a-1.js",
        mark: "\"1\"",
        plain: b"plain",
        packed: &[("br", b"b"), ("gzip", b"g")],
    };

    fn asked(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.clone(), v.parse().unwrap())).collect()
    }

    #[test]
    fn the_smallest_form_that_the_browser_takes() {
        let coding = |takes: &str| {
            let response = serve(&FILE, &asked(&[(header::ACCEPT_ENCODING, takes)]));
            response.headers().get("content-encoding").map(|c| c.to_str().unwrap().to_owned())
        };
        assert_eq!(coding("gzip, deflate, br").as_deref(), Some("br"));
        assert_eq!(coding("gzip").as_deref(), Some("gzip"));
        assert_eq!(coding("br;q=0, gzip;q=0.5").as_deref(), Some("gzip"));
        assert_eq!(coding("identity"), None);
        assert_eq!(coding(""), None);
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let response = serve(&FILE, &asked(&[(header::IF_NONE_MATCH, "W/\"0\", W/\"1\"")]));
        assert_eq!(response.status(), 304);
        assert_eq!(serve(&FILE, &asked(&[(header::IF_NONE_MATCH, "\"2\"")])).status(), 200);
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        assert!(response.headers().contains_key("content-security-policy"));
    }
}
