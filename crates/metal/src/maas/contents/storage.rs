//! Interfaces and disks of machines. Both are as they are measured: images bring their own partitions, so that
//! everything that lays disks out beforehand is refused for good.

use crate::maas::table::{Resource, Table};
use crate::maas::{Call, Door, addresses, network, ops};
use api::{Reply, Rule};
use base::{Fault, Result};
use http::Method;
use std::sync::Arc;

const ANY: Rule = Rule::READER;
const MEMBER: Rule = Rule::MEMBER;
const ADMIN: Rule = Rule::ADMIN;

pub const WORDS: &str =
    "Machines are written by image here, which brings its own partitions; disks are not laid out beforehand.";
const MEASURED: &str =
    "Disks and their words are measured when a machine is commissioned; they are not entered.";
const VIRTUAL: &str = "Interfaces are those that a machine has. Bonds, bridges and VLANs are set up in the system that is \
                       deployed: say so in its user_data (network of cloud-init).";
const GATEWAY: &str = "The default gateway is the one of the subnet that the machine starts from.";

pub fn parts(t: &mut Table) {
    interfaces(t);
    disks(t);
    for (all, one, path) in [
        ("Bcaches", "Bcache", "bcache"),
        ("BcacheCacheSets", "BcacheCacheSet", "bcache-cache-set"),
        ("Raids", "Raid", "raid"),
        ("VolumeGroups", "VolumeGroup", "volume-group"),
        ("VmfsDatastores", "VmfsDatastore", "vmfs-datastore"),
    ] {
        none(t.at(all, &format!("nodes/{{system_id}}/{path}s/"), "None: an image brings its own."));
        gone(t.at(one, &format!("nodes/{{system_id}}/{path}/{{id}}/"), "There is none."));
    }
}

fn interfaces(t: &mut Table) {
    let r = t.at("Interfaces", "nodes/{system_id}/interfaces/", "NICs of a machine.");
    r.get(ANY, "All of them.", ops::interfaces);
    for op in ["create_physical", "create_bond", "create_bridge", "create_vlan"] {
        r.refuse(Method::POST, op, MEMBER, VIRTUAL);
    }
    let r = t.at("Interface", "nodes/{system_id}/interfaces/{id}/", "A NIC.");
    r.get(ANY, "By number or name.", ops::interfaces)
        .put(ADMIN, "The VLAN that it is plugged to (vlan).", addresses::update)
        .refuse(Method::DELETE, "", ADMIN, VIRTUAL)
        .op_post(
            "link_subnet",
            MEMBER,
            "Its address (mode: auto, static; subnet, ip_address).",
            addresses::link,
        )
        .op_post("unlink_subnet", MEMBER, "Gives an address back (id).", addresses::unlink)
        .op_post("disconnect", MEMBER, "Gives back all that were chosen.", addresses::disconnect)
        .refuse(Method::POST, "set_default_gateway", MEMBER, GATEWAY);
    for op in ["add_tag", "remove_tag"] {
        r.refuse(Method::POST, op, MEMBER, VIRTUAL);
    }
}

fn disks(t: &mut Table) {
    t.at("BlockDevices", "nodes/{system_id}/blockdevices/", "Disks of a machine.")
        .get(ANY, "All of them.", ops::blockdevices)
        .refuse(Method::POST, "", ADMIN, MEASURED);
    let r = t.at("BlockDevice", "nodes/{system_id}/blockdevices/{id}/", "A disk.");
    r.get(ANY, "By number or name.", ops::blockdevices)
        .refuse(Method::PUT, "", ADMIN, MEASURED)
        .refuse(Method::DELETE, "", ADMIN, MEASURED)
        .op_post("set_boot_disk", MEMBER, "Images go to this disk.", ops::set_boot_disk);
    for op in ["add_tag", "remove_tag"] {
        r.refuse(Method::POST, op, ADMIN, MEASURED);
    }
    laid_out(r);
    let path = "nodes/{system_id}/blockdevices/{device_id}/partitions/";
    none(t.at("Partitions", path, "None: an image brings its own."));
    let one = "nodes/{system_id}/blockdevices/{device_id}/partition/{id}";
    let r = t.at("Partition", one, "There is none.");
    laid_out(r);
    gone(r);
}

/// File systems and where they are mounted.
fn laid_out(r: &mut Resource) {
    for op in ["format", "unformat", "mount", "unmount"] {
        r.refuse(Method::POST, op, MEMBER, WORDS);
    }
}

fn none(r: &mut Resource) {
    r.get(ANY, "None.", network::no_parts).refuse(Method::POST, "", MEMBER, WORDS);
}

fn gone(r: &mut Resource) {
    r.get(ANY, "Not found.", network::no_part).refuse(Method::PUT, "", MEMBER, WORDS).refuse(
        Method::DELETE,
        "",
        MEMBER,
        WORDS,
    );
}

/// POST machines/ID/?op=set_storage_layout (`storage_layout`): `flat` is what an image is, `blank` what a disk is.
pub async fn layout(door: Arc<Door>, call: Call) -> Result<Reply> {
    match call.fields.need("storage_layout")?.as_str() {
        "flat" | "blank" => ops::read(door, call).await,
        _ => Err(Fault::new(base::Kind::NotImplemented, WORDS)),
    }
}
