//! Proxies: images, networks, floating IPs and security groups under Compute's addresses, as the API had them
//! until 2.35 (image metadata until 2.38). Each asks the service that keeps the thing, in one transaction, and
//! puts its answer into the old form.

pub mod floating;
pub mod groups;
pub mod images;
pub mod networks;

use crate::Compute;
use api::{Rule, Service, Version};
use base::{Fault, Kind};

/// The last microversion that has them.
const LAST: Version = Version(2, 35);
/// The last with metadata of images.
const LAST_META: Version = Version(2, 38);

pub fn routes(s: &mut Service<Compute>) {
    s.get("/v2.1/images", Rule::READER, images::list).until(LAST);
    s.get("/v2.1/images/detail", Rule::READER, images::list_detail).until(LAST);
    s.get("/v2.1/images/{id}", Rule::READER, images::show).until(LAST);
    s.delete("/v2.1/images/{id}", Rule::MEMBER, images::delete).until(LAST);
    s.get("/v2.1/images/{id}/metadata", Rule::READER, images::metadata).until(LAST_META);
    s.post("/v2.1/images/{id}/metadata", Rule::MEMBER, images::add_metadata).until(LAST_META);
    s.put("/v2.1/images/{id}/metadata", Rule::MEMBER, images::replace_metadata).until(LAST_META);
    s.get("/v2.1/images/{id}/metadata/{key}", Rule::READER, images::item).until(LAST_META);
    s.put("/v2.1/images/{id}/metadata/{key}", Rule::MEMBER, images::put_item).until(LAST_META);
    s.delete("/v2.1/images/{id}/metadata/{key}", Rule::MEMBER, images::delete_item).until(LAST_META);

    s.get("/v2.1/os-networks", Rule::READER, networks::list).until(LAST);
    s.get("/v2.1/os-networks/{id}", Rule::READER, networks::show).until(LAST);
    s.get("/v2.1/os-tenant-networks", Rule::READER, networks::list_own).until(LAST);
    s.get("/v2.1/os-tenant-networks/{id}", Rule::READER, networks::show_own).until(LAST);

    s.get("/v2.1/os-floating-ip-pools", Rule::READER, floating::pools).until(LAST);
    s.get("/v2.1/os-floating-ips", Rule::READER, floating::list).until(LAST);
    s.post("/v2.1/os-floating-ips", Rule::MEMBER, floating::create).until(LAST);
    s.get("/v2.1/os-floating-ips/{id}", Rule::READER, floating::show).until(LAST);
    s.delete("/v2.1/os-floating-ips/{id}", Rule::MEMBER, floating::delete).until(LAST);

    s.get("/v2.1/os-security-groups", Rule::READER, groups::list).until(LAST);
    s.post("/v2.1/os-security-groups", Rule::MEMBER, groups::create).until(LAST);
    s.get("/v2.1/os-security-groups/{id}", Rule::READER, groups::show).until(LAST);
    s.put("/v2.1/os-security-groups/{id}", Rule::MEMBER, groups::update).until(LAST);
    s.delete("/v2.1/os-security-groups/{id}", Rule::MEMBER, groups::delete).until(LAST);
    s.post("/v2.1/os-security-group-rules", Rule::MEMBER, groups::create_rule).until(LAST);
    s.delete("/v2.1/os-security-group-rules/{id}", Rule::MEMBER, groups::delete_rule).until(LAST);
}

/// Compute says 400 where Network says that something is in use or there already.
fn as_compute(mut fault: Fault) -> Fault {
    if fault.kind == Kind::Conflict {
        fault.kind = Kind::BadRequest;
    }
    fault
}
