//! Metadata definitions: what properties of images, flavors and servers mean, in namespaces that
//! administrators write and everybody reads.

mod check;
mod items;
mod namespaces;
mod resource_types;
pub mod schemas;
mod seed;

pub use seed::first_start;

use crate::Image;
use crate::table::metadef::{self, Namespace};
use api::{Auth, Rule, Service};
use base::{Fault, Result};
use store::Tx;

/// Longest list, and longest page of one.
const LARGEST_PAGE: usize = 1000;
const PAGE: usize = 25;
/// Items of one kind in a namespace.
const ITEMS: usize = 1000;

pub fn routes(s: &mut Service<Image>) {
    let (read, write) = (Rule::READER, Rule::ADMIN);
    s.get("/v2/metadefs/namespaces", read, namespaces::list);
    s.post("/v2/metadefs/namespaces", write, namespaces::create);
    s.get("/v2/metadefs/namespaces/{ns}", read, namespaces::show);
    s.put("/v2/metadefs/namespaces/{ns}", write, namespaces::update);
    s.delete("/v2/metadefs/namespaces/{ns}", write, namespaces::delete);

    s.get("/v2/metadefs/resource_types", read, resource_types::list);
    s.get("/v2/metadefs/namespaces/{ns}/resource_types", read, resource_types::of_namespace);
    s.post("/v2/metadefs/namespaces/{ns}/resource_types", write, resource_types::associate);
    s.delete("/v2/metadefs/namespaces/{ns}/resource_types/{name}", write, resource_types::dissociate);

    s.get("/v2/metadefs/namespaces/{ns}/objects", read, items::objects);
    s.post("/v2/metadefs/namespaces/{ns}/objects", write, items::create_object);
    s.delete("/v2/metadefs/namespaces/{ns}/objects", write, items::delete_objects);
    s.get("/v2/metadefs/namespaces/{ns}/objects/{name}", read, items::object);
    s.put("/v2/metadefs/namespaces/{ns}/objects/{name}", write, items::update_object);
    s.delete("/v2/metadefs/namespaces/{ns}/objects/{name}", write, items::delete_object);

    s.get("/v2/metadefs/namespaces/{ns}/properties", read, items::properties);
    s.post("/v2/metadefs/namespaces/{ns}/properties", write, items::create_property);
    s.delete("/v2/metadefs/namespaces/{ns}/properties", write, items::delete_properties);
    s.get("/v2/metadefs/namespaces/{ns}/properties/{name}", read, items::property);
    s.put("/v2/metadefs/namespaces/{ns}/properties/{name}", write, items::update_property);
    s.delete("/v2/metadefs/namespaces/{ns}/properties/{name}", write, items::delete_property);

    s.get("/v2/metadefs/namespaces/{ns}/tags", read, items::tags);
    s.post("/v2/metadefs/namespaces/{ns}/tags", write, items::create_tags);
    s.delete("/v2/metadefs/namespaces/{ns}/tags", write, items::delete_tags);
    s.get("/v2/metadefs/namespaces/{ns}/tags/{name}", read, items::tag);
    s.post("/v2/metadefs/namespaces/{ns}/tags/{name}", write, items::create_tag);
    s.put("/v2/metadefs/namespaces/{ns}/tags/{name}", write, items::update_tag);
    s.delete("/v2/metadefs/namespaces/{ns}/tags/{name}", write, items::delete_tag);

    s.get("/v2/schemas/metadefs/{name}", read, schemas::show);
}

/// The namespace if the caller may see it: everybody sees public ones, a project its own.
///
/// # Errors
/// 404 for the rest.
fn visible(tx: &Tx<'_>, auth: &Auth, name: &str) -> Result<Namespace> {
    let found = metadef::find(tx, name)?.filter(|n| n.public || auth.sees(&n.owner));
    found.ok_or_else(|| Fault::not_found(format!("Metadata definition namespace={name} was not found.")))
}

/// Part of a path, from a name.
fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, SAFE).to_string()
}

/// All but what RFC 3986 calls unreserved, and the colons that names of resource types hold.
const SAFE: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');
