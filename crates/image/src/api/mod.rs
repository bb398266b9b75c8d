//! The Image API: the table of contents, one file per noun.

mod actions;
mod file;
mod images;
mod info;
mod list;
mod members;
mod patch;
mod schemas;
mod tags;
mod versions;

use crate::Image;
use api::{Rule, Service, Style};

const READER: Rule = Rule::READER;
const MEMBER: Rule = Rule::MEMBER;

/// The table of contents.
pub fn service() -> Service<Image> {
    let mut s = Service::new("/image", Style::Image);
    s.get("", Rule::Open, versions::choices);
    s.get("/versions", Rule::Open, versions::list);
    s.get("/v2", Rule::Open, versions::choices);

    s.get("/v2/images", READER, list::list);
    s.post("/v2/images", MEMBER, images::create);
    s.get("/v2/images/{id}", READER, images::show);
    s.patch("/v2/images/{id}", MEMBER, patch::patch);
    s.delete("/v2/images/{id}", MEMBER, images::delete);

    s.get("/v2/images/{id}/file", READER, file::get);
    s.put("/v2/images/{id}/file", MEMBER, file::put);
    s.post("/v2/images/{id}/actions/deactivate", MEMBER, actions::deactivate);
    s.post("/v2/images/{id}/actions/reactivate", MEMBER, actions::reactivate);
    s.put("/v2/images/{id}/tags/{tag}", MEMBER, tags::put);
    s.delete("/v2/images/{id}/tags/{tag}", MEMBER, tags::delete);
    s.get("/v2/images/{id}/tasks", READER, images::tasks);

    s.get("/v2/images/{id}/members", READER, members::list);
    s.post("/v2/images/{id}/members", MEMBER, members::create);
    s.get("/v2/images/{id}/members/{member}", READER, members::show);
    s.put("/v2/images/{id}/members/{member}", MEMBER, members::update);
    s.delete("/v2/images/{id}/members/{member}", MEMBER, members::delete);

    s.get("/v2/schemas/{name}", READER, schemas::show);
    s.get("/v2/info/import", READER, info::import);
    s.get("/v2/info/stores", READER, info::stores);
    s.get("/v2/info/stores/detail", READER, info::stores);
    s.get("/v2/info/usage", READER, info::usage);
    s
}
