//! A machine with everything that MAAS says of one.

use super::{Scene, network};
use crate::model::{BootWish, Disk, Machine, Status, Whole};
use serde_json::{Map, Value, json};

const API: &str = "/MAAS/api/2.0";
/// Of tests and the like: no result, and one that is good.
const UNKNOWN: (i64, &str) = (-1, "Unknown");
const PASSED: (i64, &str) = (2, "Passed");
const FAILED: (i64, &str) = (3, "Failed");
const RUNNING: (i64, &str) = (1, "Running");

pub fn uri(system_id: &str) -> String {
    format!("{API}/machines/{system_id}/")
}

/// Everything.
pub fn machine(scene: &Scene, w: &Whole) -> Value {
    let mut all = Map::new();
    for part in [itself(scene, w), hardware(w), network_of(scene, w), storage(w), results(&w.machine)] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}

fn itself(scene: &Scene, w: &Whole) -> Value {
    let m = &w.machine;
    let deployed = !m.image_name.is_empty();
    let tags: Vec<&str> = w.tags.iter().map(|(name, _)| name.as_str()).collect();
    json!({
        "system_id": m.system_id, "hostname": m.name, "fqdn": format!("{}.{}", m.name, scene.domain),
        "description": m.description, "domain": scene.domain(), "owner": scene.user(&m.user),
        "owner_data": m.owner_data, "workload_annotations": m.owner_data, "locked": m.locked,
        "zone": scene.zone(&m.zone), "pool": scene.pool(&m.pool), "pod": null, "parent": null,
        "tag_names": tags, "node_type": 0, "node_type_name": "Machine", "is_dpu": false,
        "status": m.status.number(), "status_name": m.status.name(), "status_message": m.message,
        "status_action": "", "error_description": error(m), "netboot": m.boot != BootWish::Local,
        "osystem": if deployed { "custom" } else { "" }, "distro_series": m.image_name, "hwe_kernel": "",
        "min_hwe_kernel": "", "ephemeral_deploy": false, "enable_hw_sync": false, "sync_interval": null,
        "last_sync": null, "next_sync": null, "enable_kernel_crash_dump": false, "disable_ipv4": false,
        "power_state": m.power(), "power_type": m.bmc_kind, "address_ttl": null, "agent_name": m.agent_name,
        "constraints_by_type": {}, "resource_uri": uri(&m.system_id),
    })
}

fn error(m: &Machine) -> &str {
    if m.status.is_failure() || m.status == Status::Broken { &m.message } else { "" }
}

fn hardware(w: &Whole) -> Value {
    let m = &w.machine;
    let cores: Vec<u32> = (0..m.cores).collect();
    let or = |text: &str| if text.is_empty() { "Unknown".to_owned() } else { text.to_owned() };
    let system = w.inventory.as_ref().map(|i| i.system.clone()).unwrap_or_default();
    let numa = json!([{
        "index": 0, "memory": m.memory_mib, "cores": cores, "hugepages_set": [],
    }]);
    json!({
        "architecture": format!("{}/generic", m.arch), "cpu_count": m.cores, "cpu_speed": m.cpu_mhz,
        "memory": m.memory_mib, "swap_size": null, "hardware_uuid": null_if_empty(&m.uuid),
        "bios_boot_method": if m.uefi { "uefi" } else { "pxe" }, "numanode_set": numa,
        "hardware_info": {
            "system_vendor": or(&m.vendor), "system_product": or(&m.product), "system_serial": or(&m.serial),
            "system_version": "Unknown", "system_sku": "Unknown", "system_family": "Unknown",
            "cpu_model": or(&m.cpu_model), "chassis_type": or(&system.chassis), "chassis_vendor": or(&m.vendor),
            "chassis_serial": "Unknown", "chassis_version": "Unknown", "mainboard_vendor": or(&m.vendor),
            "mainboard_product": or(&system.board), "mainboard_serial": "Unknown",
            "mainboard_version": "Unknown", "mainboard_firmware_vendor": or(&system.firmware_vendor),
            "mainboard_firmware_version": or(&system.firmware_version),
            "mainboard_firmware_date": or(&system.firmware_date),
        },
    })
}

fn null_if_empty(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn network_of(scene: &Scene, w: &Whole) -> Value {
    let id = &w.machine.system_id;
    let interfaces: Vec<Value> = w.nics.iter().map(|n| network::interface(scene, id, n)).collect();
    let addresses: Vec<String> =
        w.nics.iter().flat_map(|n| n.addresses.iter().map(ToString::to_string)).collect();
    let boot = w.nics.iter().position(|n| n.boot).and_then(|i| interfaces.get(i).cloned());
    let gateways = |v6: bool| {
        let all = w.nics.iter().flat_map(|n| &n.addresses).filter(|a| a.is_ipv6() == v6);
        let via = all.filter_map(|a| scene.subnets.iter().find(|s| s.cidr.contains(a))?.gateway).next();
        json!({"gateway_ip": via.map(|g| g.to_string()), "link_id": null})
    };
    json!({
        "boot_interface": boot, "interface_set": interfaces, "ip_addresses": addresses,
        "default_gateways": {"ipv4": gateways(false), "ipv6": gateways(true)},
    })
}

fn storage(w: &Whole) -> Value {
    let id = &w.machine.system_id;
    let disks: Vec<Value> = w.disks.iter().filter(|d| !d.removable).map(|d| disk(id, d)).collect();
    let boot = w.disks.iter().filter(|d| !d.removable).position(|d| d.role == "boot");
    let boot = boot.or(if disks.is_empty() { None } else { Some(0) }).and_then(|i| disks.get(i).cloned());
    json!({
        "storage": megabytes(w.machine.disk_bytes), "boot_disk": boot, "physicalblockdevice_set": disks,
        "blockdevice_set": disks, "virtualblockdevice_set": [], "volume_groups": [], "raids": [],
        "bcaches": [], "cache_sets": [], "special_filesystems": [],
    })
}

/// MAAS's megabytes are 10^6 bytes.
fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size to show")]
    let all = bytes as f64;
    (all / 1e5).round() / 10.0
}

/// A disk of a machine.
pub fn disk(system_id: &str, d: &Disk) -> Value {
    json!({
        "id": d.number, "system_id": system_id, "name": d.name, "type": "physical", "uuid": null,
        "model": d.model, "serial": d.serial, "path": format!("/dev/disk/by-dname/{}", d.name),
        "id_path": null_if_empty(&by_id(d)), "size": d.size_bytes, "block_size": d.sector, "available_size": 0,
        "used_size": d.size_bytes, "used_for": "", "tags": disk_tags(d), "filesystem": null, "partitions": [],
        "partition_table_type": "GPT", "storage_pool": null, "numa_node": 0, "firmware_version": "",
        "resource_uri": format!("{API}/nodes/{system_id}/blockdevices/{}/", d.number),
    })
}

fn by_id(d: &Disk) -> String {
    if d.serial.is_empty() { String::new() } else { format!("/dev/disk/by-id/{}", d.id) }
}

/// Words that clients ask for a disk by.
pub fn disk_tags(d: &Disk) -> Vec<&str> {
    match d.kind.as_str() {
        "hdd" => vec!["rotary"],
        "ssd" => vec!["ssd"],
        "nvme" => vec!["ssd", "nvme"],
        _ => Vec::new(),
    }
}

fn results(m: &Machine) -> Value {
    let commissioning = match m.status {
        Status::New => UNKNOWN,
        Status::Commissioning => RUNNING,
        Status::FailedCommissioning => FAILED,
        _ if m.inventory_at.0 > 0 => PASSED,
        _ => UNKNOWN,
    };
    let testing = match m.status {
        Status::Testing => RUNNING,
        Status::FailedTesting => FAILED,
        _ => UNKNOWN,
    };
    let mut all = json!({
        "commissioning_status": commissioning.0, "commissioning_status_name": commissioning.1,
        "testing_status": testing.0, "testing_status_name": testing.1,
        "current_commissioning_result_id": null, "current_testing_result_id": null,
        "current_installation_result_id": null,
    });
    for part in ["cpu", "memory", "network", "storage", "other", "interface"] {
        all[format!("{part}_test_status")] = json!(testing.0);
        all[format!("{part}_test_status_name")] = json!(testing.1);
    }
    all
}
