//! The table of contents: every address, and who may.

use crate::Metal;
use crate::api::{live, rack};
use api::{Rule, Service, Style};

/// What racks speak. No user's token: each handler demands the rack's own proof.
pub fn rack_service() -> Service<Metal> {
    let mut s = Service::new("/rack", Style::Hanok);
    s.post("/v1/join", Rule::Open, rack::join);
    s.post("/v1/renew", Rule::Open, rack::renew);
    s.get("/v1/desired", Rule::Open, rack::desired);
    s.put("/v1/observed", Rule::Open, rack::observe);
    s.post("/v1/boot", Rule::Open, rack::boot);
    s.get("/v1/images/{sha512}", Rule::Open, rack::image);
    s
}

/// What live systems and deployed machines ask, through their rack, with their own secrets.
pub fn live_service() -> Service<Metal> {
    let mut s = Service::new("/live", Style::Hanok);
    s.post("/v1/hello", Rule::Open, live::hello);
    s.get("/v1/task", Rule::Open, live::task);
    s.put("/v1/report", Rule::Open, live::report);
    s.put("/v1/inventory", Rule::Open, live::inventory);
    s.post("/v1/booted/{secret}", Rule::Open, live::booted);
    s.get("/v1/program/{secret}", Rule::Open, live::program);
    s
}
