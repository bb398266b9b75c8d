//! The one port: takes connections and hands requests to the router, within limits.

use api::Channel;
use axum::Router;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tls::{Front, Limits, Stream};
use tokio::net::TcpListener;
use tower::ServiceExt;

/// Each host has up to two connections.
const LIMITS: Limits =
    Limits { connections: 32_768, head: Duration::from_secs(60), silence: Duration::from_secs(300) };

/// Serves until dropped; over TLS if there is something to show.
pub async fn serve(listener: TcpListener, router: Router, front: Option<Arc<Front>>) {
    let greet = |stream, _| {
        let (router, front) = (router.clone(), front.clone());
        async move {
            let (stream, channel) = match front {
                None => (Stream::Plain(stream), Channel::default()),
                Some(front) => {
                    let (stream, peer) = front.accept(stream).await?;
                    (stream, Channel { secure: true, peer: peer.proof })
                }
            };
            let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                let mut request = without_slash(request).map(axum::body::Body::new);
                request.extensions_mut().insert(channel.clone());
                router.clone().oneshot(request)
            });
            Ok((stream, service))
        }
    };
    tls::serve(listener, LIMITS, greet).await;
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
