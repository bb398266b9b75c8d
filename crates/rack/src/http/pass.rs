//! The way from a machine to the region: what it asks is passed on unread, with who asks.

use super::{From, Seat, refuse};
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use base::Fault;
use http::{Request, Response};

pub async fn on(State(seat): State<Seat>, ConnectInfo(from): From, ask: Request<Body>) -> Response<Body> {
    let path = ask.uri().path();
    if !allowed(path) {
        return refuse(&Fault::not_found("There is nothing here for machines."));
    }
    let address = from.ip().to_canonical();
    let mac = seat.segment.asker(address).await;
    match seat.rack.link.pass(ask, address, mac).await {
        Ok(answer) => answer,
        Err(fault) => {
            tracing::debug!(%from, "not passed on: {fault}");
            refuse(&fault)
        }
    }
}

/// Whether a path is one of those that machines may ask the region for, and no way around to another one.
fn allowed(path: &str) -> bool {
    const OPEN: [&str; 3] = ["/live/v1/", "/MAAS/metadata/", "/MAAS/api/"];
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let lower = path.to_ascii_lowercase();
    let crooked =
        lower.split('/').any(|s| s == "." || s == "..") || lower.contains("%2e") || lower.contains("%2f");
    plain && !crooked && OPEN.iter().any(|o| path.starts_with(o))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_for_machines_passes() {
        for good in ["/live/v1/hello", "/MAAS/metadata/2012-03-01/", "/MAAS/api/2.0/version/"] {
            assert!(allowed(good), "{good}");
        }
        for bad in
            ["/MAAS/", "/live/v2/x", "/live/v1/../../identity/v3", "/live/v1/%2E%2e/x", "/live/v1/a%2fb", "/"]
        {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
