//! Bodies that are read to their end when nobody wants them.
//!
//! A server that answers early and closes makes the kernel reset the connection, and the reset destroys
//! the answer before a client that is still sending has read it (RFC 9112, 9.6). So what a handler
//! leaves of a body is taken and thrown away for a while, beside the answer.

use axum::body::{Body, BodyDataStream, HttpBody};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a body is read on after its answer is known.
const LINGER: Duration = Duration::from_secs(10);

/// The body, read on after it is dropped.
pub fn lingering(body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::from_stream(Lingering(Some(body.into_data_stream())))
}

struct Lingering(Option<BodyDataStream>);

impl Stream for Lingering {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let next = std::task::ready!(body.poll_next_unpin(cx));
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(next)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let (Some(mut rest), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime
            .spawn(tokio::time::timeout(LINGER, async move { while let Some(Ok(_)) = rest.next().await {} }));
    }
}
