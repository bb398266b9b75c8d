//! The Placement API (1.0 to 1.39), as far as there is something to say: resource providers are the hosts,
//! with what they have, what is taken of it and by whom, their traits and aggregates; and allocations, which
//! are servers' own (written by Compute alone) or reservations that an administrator makes.
//!
//! Hosts come by joining and report themselves what they have, so that providers, inventories and resource
//! classes are not written here: such a request is refused with a sentence that says so.
//!
//! Source: OpenStack Placement API reference.

mod allocations;
mod candidates;
mod held;
mod names;
mod providers;
mod traits;

use crate::Compute;
use api::{Microversions, Reply, Req, Rule, Service, Style, Version};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;

const MICROVERSIONS: Microversions =
    Microversions { service: "placement", legacy_header: None, min: Version(1, 0), max: Version(1, 39) };

/// Everything that is refused in the same words.
const WRITTEN_BY_HOSTS: &[&str] =
    &["/resource_providers/{id}/inventories", "/resource_providers/{id}/inventories/{class}"];

pub fn service() -> Service<Compute> {
    let mut s = Service::new("/placement", Style::Placement);
    s.microversions(MICROVERSIONS);
    s.get("", Rule::Open, versions);
    s.get("/resource_providers", Rule::ADMIN, providers::list);
    s.post("/resource_providers", Rule::ADMIN, refused);
    s.get("/resource_providers/{id}", Rule::ADMIN, providers::show);
    s.put("/resource_providers/{id}", Rule::ADMIN, refused);
    s.delete("/resource_providers/{id}", Rule::ADMIN, refused);
    s.get("/resource_providers/{id}/inventories", Rule::ADMIN, providers::inventories);
    s.get("/resource_providers/{id}/inventories/{class}", Rule::ADMIN, providers::inventory);
    for path in WRITTEN_BY_HOSTS {
        s.put(path, Rule::ADMIN, refused);
        s.delete(path, Rule::ADMIN, refused);
    }
    s.post("/resource_providers/{id}/inventories", Rule::ADMIN, refused);
    s.get("/resource_providers/{id}/usages", Rule::ADMIN, providers::usages);
    s.get("/resource_providers/{id}/aggregates", Rule::ADMIN, providers::aggregates).since(Version(1, 1));
    s.put("/resource_providers/{id}/aggregates", Rule::ADMIN, refused).since(Version(1, 1));
    s.get("/resource_providers/{id}/allocations", Rule::ADMIN, providers::allocations);
    s.get("/resource_providers/{id}/traits", Rule::ADMIN, traits::of_provider).since(Version(1, 6));
    s.put("/resource_providers/{id}/traits", Rule::ADMIN, traits::set).since(Version(1, 6));
    s.delete("/resource_providers/{id}/traits", Rule::ADMIN, traits::clear).since(Version(1, 6));
    s.get("/traits", Rule::ADMIN, traits::list).since(Version(1, 6));
    s.get("/traits/{name}", Rule::ADMIN, traits::has).since(Version(1, 6));
    s.put("/traits/{name}", Rule::ADMIN, traits::make).since(Version(1, 6));
    s.delete("/traits/{name}", Rule::ADMIN, traits::delete).since(Version(1, 6));
    s.get("/resource_classes", Rule::ADMIN, names::classes).since(Version(1, 2));
    s.post("/resource_classes", Rule::ADMIN, refused).since(Version(1, 2));
    s.get("/resource_classes/{name}", Rule::ADMIN, names::class).since(Version(1, 2));
    s.put("/resource_classes/{name}", Rule::ADMIN, refused).since(Version(1, 2));
    s.delete("/resource_classes/{name}", Rule::ADMIN, refused).since(Version(1, 2));
    s.get("/allocations/{consumer}", Rule::ADMIN, allocations::show);
    s.put("/allocations/{consumer}", Rule::ADMIN, allocations::put);
    s.delete("/allocations/{consumer}", Rule::ADMIN, allocations::delete);
    s.post("/allocations", Rule::ADMIN, allocations::post).since(Version(1, 13));
    s.get("/usages", Rule::READER, allocations::usages).since(Version(1, 9));
    s.get("/allocation_candidates", Rule::ADMIN, candidates::list).since(Version(1, 10));
    s
}

/// Whether the request speaks 1.`minor` or later.
fn at(req: &Req, minor: u16) -> bool {
    req.version >= Version(1, minor)
}

async fn versions(_: Arc<Compute>, _: Req) -> Result<Reply> {
    let v = json!({
        "id": "v1.0", "status": "CURRENT", "min_version": MICROVERSIONS.min.to_string(),
        "max_version": MICROVERSIONS.max.to_string(), "links": [{"rel": "self", "href": ""}],
    });
    Ok(Reply::json(200, &json!({"versions": [v]})))
}

async fn refused(_: Arc<Compute>, _: Req) -> Result<Reply> {
    Err(Fault::forbidden(
        "Resource providers are the hosts of this cloud: they come by joining, report what they have by themselves, and \
         are grouped by Compute's host aggregates. To keep room free, make an allocation; to take a host out, delete its \
         compute service.",
    ))
}

/// An answer with the headers that say how old it is, from 1.15.
fn answer(req: &Req, body: &Value) -> Reply {
    let reply = Reply::json(200, body);
    if !at(req, 15) {
        return reply;
    }
    reply.header("last-modified", &http_date(Micros::now())).header("cache-control", "no-cache")
}

/// A time as HTTP writes it (RFC 9110, 5.6.7).
fn http_date(t: Micros) -> String {
    let text = t.seconds_z();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or("01");
    let days = t.0.div_euclid(86_400_000_000);
    // The first of January 1970 was a Thursday.
    let day = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let day = usize::try_from(days.rem_euclid(7)).ok().and_then(|i| day.get(i)).unwrap_or(&"Thu");
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month =
        part(5, 7).parse::<usize>().ok().and_then(|m| months.get(m.wrapping_sub(1))).unwrap_or(&"Jan");
    format!("{day}, {} {month} {} {} GMT", part(8, 10), part(0, 4), part(11, 19))
}

/// The query holds nothing but what the call knows; `resources` and its like may have a suffix.
///
/// # Errors
/// 400 with the name that does not belong.
fn only(req: &Req, known: &[&str], with_suffix: &[&str]) -> Result<()> {
    for (k, _) in &req.query.0 {
        let suffixed = |n: &&str| k.strip_prefix(*n).is_some_and(|s| s.len() <= 64);
        if !known.contains(&k.as_str()) && !with_suffix.iter().any(suffixed) {
            return Err(Fault::bad_request(format!(
                "Invalid query string parameters: Additional properties are not allowed ('{k}' was unexpected)"
            ))
            .tag("placement.query.bad_value"));
        }
    }
    Ok(())
}
