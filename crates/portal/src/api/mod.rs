//! The route table of the portal's part of `/hanok/v1`.

mod capacity;
mod events;
mod log;
mod operator;
mod session;
mod work;

use crate::Portal;
use ::api::{Rule, Service, Style};

/// Every route.
pub fn service() -> Service<Portal> {
    let mut s = Service::new("", Style::Hanok);
    s.post("/hanok/v1/session", Rule::Open, session::create);
    s.get("/hanok/v1/session", Rule::Any, session::show);
    s.put("/hanok/v1/session", Rule::Any, session::rescope);
    s.delete("/hanok/v1/session", Rule::Any, session::delete);
    // Members of a project read what was done there.
    s.get("/hanok/v1/audit", Rule::Any, log::audit);
    // A list for overseers, a stream for everybody.
    s.get("/hanok/v1/events", Rule::Any, events::events);
    s.get("/hanok/v1/capacity", Rule::ADMIN, capacity::show);
    s.get("/hanok/v1/work", Rule::READER, work::list);
    s.get("/hanok/v1/doctor", Rule::ADMIN, operator::doctor);
    s.post("/hanok/v1/doctor/mends", Rule::ADMIN, operator::mend);
    s.get("/hanok/v1/config", Rule::ADMIN, operator::config);
    s.get("/hanok/v1/support-bundle", Rule::ADMIN, operator::bundle);
    s
}
