//! `GET /hanok/v1/events` as a stream (`Accept: text/event-stream`).
//!
//! ```text
//! event: hello    at the start: {"version", "region"}
//! event: change   {"kind", "id", "project_id", "what": "created" | "updated" | "deleted"}
//! event: lost     changes went by: look at everything again
//! event: bye      the session is over, or goes on in another project: {"reason"}; then the stream ends
//! :               a comment every 15 s, so that a dead connection is noticed
//! ```
//! Every line that moves on has an `id`, with which a browser comes back by itself (`Last-Event-ID`).

use crate::Portal;
use crate::feed::{Place, Seat, Viewer};
use crate::session::secret_of;
use ::api::{Authority, Reply, Req};
use axum::body::Body;
use base::{Fault, Kind, Result};
use bytes::Bytes;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between signs of life.
const BEAT: Duration = Duration::from_secs(15);
/// A session or role that is gone is noticed by a hint at once, and by the clock after this at the latest.
const LOOK: Duration = Duration::from_secs(60);

pub async fn events(p: Arc<Portal>, req: Req) -> Result<Reply> {
    let accept = req.header("accept").unwrap_or_default();
    if !accept.contains("text/event-stream") {
        return super::log::events(p, req).await;
    }
    let seat = p.feed.sit(req.auth.user.id.as_str()).ok_or_else(|| {
        let words = "You have too many streams of events open. Close some pages of the portal and try again.";
        Fault::new(Kind::Unavailable, words)
    })?;
    let last =
        req.header("last-event-id").or_else(|| req.query.get("last_event_id")).filter(|id| !id.is_empty());
    let stream = Stream::begin(p, &req, seat, last);
    let body = futures_util::stream::unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    Ok(Reply::text(200, "text/event-stream", Body::from_stream(body))
        .header("cache-control", "no-store")
        .header("x-accel-buffering", "no"))
}

/// How somebody came in.
enum Way {
    /// The secret of the session, and the token that it stood for.
    Cookie(String, String),
    Token(String),
}

struct Stream {
    portal: Arc<Portal>,
    _seat: Seat,
    way: Way,
    viewer: Viewer,
    /// `None` when the client came with a place that nobody knows.
    at: Option<Place>,
    greeted: bool,
    over: bool,
    news: watch::Receiver<u64>,
    rights: watch::Receiver<u64>,
    looked: Instant,
}

impl Stream {
    fn begin(portal: Arc<Portal>, req: &Req, seat: Seat, last: Option<&str>) -> Stream {
        let token = req.header("x-auth-token").unwrap_or_default().to_owned();
        let way = match secret_of(&req.headers) {
            Some(secret) => Way::Cookie(secret.to_owned(), token),
            None => Way::Token(token),
        };
        let at = match last {
            None => Some(portal.feed.place()),
            Some(id) => id.parse().ok(),
        };
        let (news, rights) = (portal.feed.news.subscribe(), portal.feed.rights.subscribe());
        Stream {
            _seat: seat,
            way,
            viewer: Viewer::of(&req.auth),
            at,
            greeted: false,
            over: false,
            news,
            rights,
            looked: Instant::now(),
            portal,
        }
    }

    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        if !self.greeted {
            self.greeted = true;
            return Some(self.hello());
        }
        loop {
            let beat = tokio::time::sleep(BEAT);
            if self.rights.has_changed().unwrap_or(false) || self.looked.elapsed() > LOOK {
                self.rights.mark_unchanged();
                self.looked = Instant::now();
                if let Err(reason) = self.look().await {
                    self.over = true;
                    return Some(format!("event: bye\ndata: {}\n\n", json!({"reason": reason})));
                }
            }
            self.news.mark_unchanged();
            let read = self.portal.feed.read(self.at.unwrap_or_else(Place::nowhere));
            let (text, place) = read.text(&self.viewer);
            if let Some(place) = place {
                self.at = Some(place);
                if text.is_empty() {
                    continue;
                }
                return Some(text);
            }
            tokio::select! {
                _ = self.news.changed() => {}
                _ = self.rights.changed() => self.rights.mark_changed(),
                () = beat => return Some(":\n\n".into()),
            }
        }
    }

    fn hello(&self) -> String {
        let about = &self.portal.about;
        let data = json!({"version": about.version, "region": about.region});
        let id = self.at.map(|place| format!("id: {place}\n")).unwrap_or_default();
        format!("retry: 1000\n\nevent: hello\n{id}data: {data}\n\n")
    }

    /// Whether the stream may go on, and with which eyes.
    async fn look(&mut self) -> Result<(), &'static str> {
        let over = |fault: Fault| match fault.kind {
            Kind::Unauthorized | Kind::Forbidden => Some("over"),
            // The database is away for a moment, as it may be for anybody.
            _ => None,
        };
        let token = match &self.way {
            Way::Token(token) => token.clone(),
            Way::Cookie(secret, before) => match self.portal.sessions.token(secret).await {
                Ok(now) if now == *before => now,
                Ok(_) => return Err("moved"),
                Err(fault) => return over(fault).map_or(Ok(()), Err),
            },
        };
        match self.portal.sessions.verify(&token).await {
            Ok(auth) => {
                self.viewer = Viewer::of(&auth);
                Ok(())
            }
            Err(fault) => over(fault).map_or(Ok(()), Err),
        }
    }
}
