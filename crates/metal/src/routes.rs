//! The table of contents: every address, and who may.

use crate::Metal;
use crate::api::{actions, console, live, machines, parts, rack, racks, segments};
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
    s.get("/v1/consoles/{key}", Rule::Open, console::bring);
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

/// Our own calls. Machines are for those who were given them; the rest is for those who look after them.
pub fn own_service() -> Service<Metal> {
    let mut s = Service::new("", Style::Hanok);
    s.get("/hanok/v1/machines", Rule::READER, machines::list);
    s.post("/hanok/v1/machines", Rule::ADMIN, machines::create);
    s.get("/hanok/v1/machines/count", Rule::READER, machines::count);
    s.get("/hanok/v1/machines/{id}", Rule::READER, machines::show);
    s.patch("/hanok/v1/machines/{id}", Rule::MEMBER, machines::change);
    s.delete("/hanok/v1/machines/{id}", Rule::ADMIN, machines::delete);
    s.get("/hanok/v1/machines/{id}/inventory", Rule::READER, parts::inventory);
    s.get("/hanok/v1/machines/{id}/events", Rule::READER, parts::events);
    s.get("/hanok/v1/machines/{id}/tests", Rule::READER, parts::tests);
    s.get("/hanok/v1/machines/{id}/erasures", Rule::READER, parts::erasures);
    s.get("/hanok/v1/machines/{id}/progress", Rule::READER, parts::progress);
    s.post("/hanok/v1/machines/{id}/console", Rule::MEMBER, console::open);
    s.post("/hanok/v1/machines/{id}/{action}", Rule::MEMBER, actions::act);
    s.get("/hanok/v1/machine-console", Rule::Open, console::socket);
    s.get("/hanok/v1/machine-keys", Rule::READER, parts::keys);
    s.post("/hanok/v1/machine-keys", Rule::MEMBER, parts::create_key);
    s.delete("/hanok/v1/machine-keys/{id}", Rule::MEMBER, parts::delete_key);
    s.get("/hanok/v1/machine-tags", Rule::ADMIN, parts::tags);
    s.put("/hanok/v1/machine-tags/{name}", Rule::ADMIN, parts::put_tag);
    s.delete("/hanok/v1/machine-tags/{name}", Rule::ADMIN, parts::delete_tag);
    s.get("/hanok/v1/machine-zones", Rule::ADMIN, parts::zones);
    s.post("/hanok/v1/machine-zones", Rule::ADMIN, parts::create_zone);
    s.patch("/hanok/v1/machine-zones/{id}", Rule::ADMIN, parts::change_zone);
    s.delete("/hanok/v1/machine-zones/{id}", Rule::ADMIN, parts::delete_zone);
    s.get("/hanok/v1/machine-pools", Rule::ADMIN, parts::pools);
    s.post("/hanok/v1/machine-pools", Rule::ADMIN, parts::create_pool);
    s.patch("/hanok/v1/machine-pools/{id}", Rule::ADMIN, parts::change_pool);
    s.delete("/hanok/v1/machine-pools/{id}", Rule::ADMIN, parts::delete_pool);
    places(&mut s);
    s
}

/// Segments, racks, what machines boot.
fn places(s: &mut Service<Metal>) {
    s.get("/hanok/v1/segments", Rule::ADMIN, segments::list);
    s.post("/hanok/v1/segments", Rule::ADMIN, segments::create);
    s.get("/hanok/v1/segments/{id}", Rule::ADMIN, segments::show);
    s.patch("/hanok/v1/segments/{id}", Rule::ADMIN, segments::change);
    s.delete("/hanok/v1/segments/{id}", Rule::ADMIN, segments::delete);
    s.get("/hanok/v1/segments/{id}/leases", Rule::ADMIN, segments::leases);
    s.post("/hanok/v1/segments/{id}/subnets", Rule::ADMIN, segments::create_subnet);
    s.patch("/hanok/v1/segments/{id}/subnets/{subnet}", Rule::ADMIN, segments::change_subnet);
    s.delete("/hanok/v1/segments/{id}/subnets/{subnet}", Rule::ADMIN, segments::delete_subnet);
    s.get("/hanok/v1/strangers", Rule::ADMIN, segments::strangers);
    s.get("/hanok/v1/racks", Rule::ADMIN, racks::list);
    s.get("/hanok/v1/racks/{id}", Rule::ADMIN, racks::show);
    s.delete("/hanok/v1/racks/{id}", Rule::ADMIN, racks::delete);
    s.get("/hanok/v1/rack-tokens", Rule::ADMIN, racks::invitations);
    s.post("/hanok/v1/rack-tokens", Rule::ADMIN, racks::invite);
    s.delete("/hanok/v1/rack-tokens/{id}", Rule::ADMIN, racks::uninvite);
    s.get("/hanok/v1/live-system", Rule::ADMIN, parts::live);
    s.put("/hanok/v1/live-system", Rule::ADMIN, parts::set_live);
}
