//! The Image API: the table of contents, one file per noun.

mod actions;
mod file;
mod images;
mod import;
mod info;
mod list;
mod members;
mod metadefs;
mod off;
mod patch;
mod pieces;
mod schemas;
mod tags;
mod tasks;
mod versions;

pub use metadefs::first_start as metadefs_first_start;

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
    s.put("/v2/images/{id}/stage", MEMBER, import::put_stage);
    s.post("/v2/images/{id}/import", MEMBER, import::start);
    s.post("/v2/images/{id}/actions/deactivate", MEMBER, actions::deactivate);
    s.post("/v2/images/{id}/actions/reactivate", MEMBER, actions::reactivate);
    s.put("/v2/images/{id}/tags/{tag}", MEMBER, tags::put);
    s.delete("/v2/images/{id}/tags/{tag}", MEMBER, tags::delete);
    s.get("/v2/images/{id}/tasks", READER, import::tasks);

    s.get("/v2/images/{id}/members", READER, members::list);
    s.post("/v2/images/{id}/members", MEMBER, members::create);
    s.get("/v2/images/{id}/members/{member}", READER, members::show);
    s.put("/v2/images/{id}/members/{member}", MEMBER, members::update);
    s.delete("/v2/images/{id}/members/{member}", MEMBER, members::delete);

    s.get("/v2/schemas/{name}", READER, schemas::show);
    s.get("/v2/info/import", READER, info::import);
    s.get("/v2/info/stores", READER, off::stores);
    s.get("/v2/info/stores/detail", Rule::ADMIN, off::stores);
    s.delete("/v2/stores/{store}/{id}", MEMBER, off::stores);
    s.get("/v2/info/usage", READER, info::usage);

    s.get("/v2/tasks", Rule::ADMIN, tasks::list);
    s.post("/v2/tasks", Rule::ADMIN, tasks::create);
    s.get("/v2/tasks/{task}", Rule::ADMIN, tasks::show);

    metadefs::routes(&mut s);

    s.get("/v2/cache", Rule::ADMIN, off::cache);
    s.delete("/v2/cache", Rule::ADMIN, off::cache);
    s.put("/v2/cache/{id}", Rule::ADMIN, off::cache);
    s.delete("/v2/cache/{id}", Rule::ADMIN, off::cache);
    s
}

/// What the Image API has no place for.
pub fn own_service() -> Service<Image> {
    let mut s = Service::new("", Style::Hanok);
    s.get("/hanok/v1/image-uploads", READER, pieces::list);
    s.get("/hanok/v1/images/{id}/upload", MEMBER, pieces::show);
    s.post("/hanok/v1/images/{id}/upload", MEMBER, pieces::begin);
    s.put("/hanok/v1/images/{id}/upload", MEMBER, pieces::put);
    s.delete("/hanok/v1/images/{id}/upload", MEMBER, pieces::delete);
    s.post("/hanok/v1/images/{id}/upload/finish", MEMBER, pieces::finish);
    s
}
