//! Version documents and the fixed list of extensions.

use crate::Compute;
use crate::routes::MICROVERSIONS;
use api::{Reply, Req};
use base::{Fault, Kind, Result};
use serde_json::{Value, json};
use std::sync::Arc;

const UPDATED: &str = "2026-11-21T00:00:00Z";

fn entry(req: &Req) -> Value {
    json!({
        "id": "v2.1",
        "status": "CURRENT",
        "version": MICROVERSIONS.max.to_string(),
        "min_version": MICROVERSIONS.min.to_string(),
        "updated": UPDATED,
        "links": [{"rel": "self", "href": format!("{}/compute/v2.1/", req.base)}],
    })
}

/// What came before microversions. Clients expect it first in the list; only its document is here.
fn old_entry(req: &Req) -> Value {
    json!({
        "id": "v2.0", "status": "DEPRECATED", "version": "", "min_version": "", "updated": UPDATED,
        "links": [{"rel": "self", "href": format!("{}/compute/v2/", req.base)}],
    })
}

/// `GET /compute`.
pub async fn list(_: Arc<Compute>, req: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"versions": [old_entry(&req), entry(&req)]})))
}

/// `GET /compute/v2`.
pub async fn show_old(_: Arc<Compute>, req: Req) -> Result<Reply> {
    let mut version = old_entry(&req);
    version["media-types"] = json!([
        {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2"}
    ]);
    Ok(Reply::json(200, &json!({"version": version})))
}

/// `GET /compute/v2.1`.
pub async fn show(_: Arc<Compute>, req: Req) -> Result<Reply> {
    let mut version = entry(&req);
    version["media-types"] = json!([
        {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
    ]);
    Ok(Reply::json(200, &json!({"version": version})))
}

/// Names under which clients look for features that were extensions once.
const EXTENSIONS: &[(&str, &str)] = &[
    ("os-availability-zone", "AvailabilityZone"),
    ("os-console-output", "ConsoleOutput"),
    ("os-consoles", "Consoles"),
    ("os-extended-availability-zone", "ExtendedAvailabilityZone"),
    ("os-extended-server-attributes", "ExtendedServerAttributes"),
    ("os-extended-status", "ExtendedStatus"),
    ("os-flavor-access", "FlavorAccess"),
    ("os-flavor-extra-specs", "FlavorExtraSpecs"),
    ("os-flavor-manage", "FlavorManage"),
    ("os-aggregates", "Aggregates"),
    ("os-hosts", "Hosts"),
    ("os-hypervisors", "Hypervisors"),
    ("os-instance-actions", "InstanceActions"),
    ("os-keypairs", "Keypairs"),
    ("os-lock-server", "LockServer"),
    ("os-multiple-create", "MultipleCreate"),
    ("os-quota-sets", "Quotas"),
    ("os-remote-consoles", "Consoles"),
    ("os-security-groups", "SecurityGroups"),
    ("os-quota-class-sets", "QuotaClasses"),
    ("os-scheduler-hints", "SchedulerHints"),
    ("os-server-external-events", "ServerExternalEvents"),
    ("os-server-groups", "ServerGroups"),
    ("os-server-usage", "ServerUsage"),
    ("os-services", "Services"),
    ("os-simple-tenant-usage", "SimpleTenantUsage"),
    ("os-user-data", "UserData"),
];

fn extension((alias, name): &(&str, &str)) -> Value {
    json!({
        "alias": alias, "name": name, "description": format!("{name}."), "links": [],
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml", "updated": "2014-12-03T00:00:00Z",
    })
}

/// `GET /extensions`.
pub async fn extensions(_: Arc<Compute>, _: Req) -> Result<Reply> {
    let all: Vec<Value> = EXTENSIONS.iter().map(extension).collect();
    Ok(Reply::json(200, &json!({"extensions": all})))
}

/// `GET /extensions/{alias}`.
pub async fn extension_by_alias(_: Arc<Compute>, req: Req) -> Result<Reply> {
    let alias = req.text_param("alias");
    let found = EXTENSIONS.iter().find(|(a, _)| *a == alias);
    let found = found.ok_or_else(|| Fault::not_found(format!("There is no extension {alias}.")))?;
    Ok(Reply::json(200, &json!({"extension": extension(found)})))
}

/// What older releases had and none answers any more.
pub fn gone() -> Fault {
    Fault::new(Kind::Gone, "This resource is no longer available. No forwarding address is given.")
}

/// Addresses of such parts of the API.
pub async fn no_longer(_: Arc<Compute>, _: Req) -> Result<Reply> {
    Err(gone())
}
