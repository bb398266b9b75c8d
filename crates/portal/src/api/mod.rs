//! The route table of the portal's part of `/hanok/v1`.

mod events;
mod session;

use crate::Portal;
use ::api::{Rule, Service, Style};

/// Every route.
pub fn service() -> Service<Portal> {
    let mut s = Service::new("", Style::Hanok);
    s.post("/hanok/v1/session", Rule::Open, session::create);
    s.get("/hanok/v1/session", Rule::Any, session::show);
    s.put("/hanok/v1/session", Rule::Any, session::rescope);
    s.delete("/hanok/v1/session", Rule::Any, session::delete);
    // A list for overseers, a stream for everybody.
    s.get("/hanok/v1/events", Rule::Any, events::events);
    s
}
