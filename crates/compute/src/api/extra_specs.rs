//! Extra specs of flavors that Compute knows, checked from 2.86 on: a name that is not known in a known
//! namespace is a slip of the pen, and so is a value of another form. Other namespaces are the user's own.
//!
//! Source: OpenStack Compute, “Extra Specs” (configuration reference).

use base::{Fault, Result};

#[derive(Clone, Copy)]
enum Form {
    Any,
    Yes,
    Whole,
    One(&'static [&'static str]),
}
use Form::{Any, One, Whole, Yes};

/// (name with its namespace, form); a `*` at the end stands for a number or nothing more.
const KNOWN: &[(&str, Form)] = &[
    ("accel:device_profile", Any),
    ("hw:boot_menu", Yes),
    ("hw:cpu_cores", Whole),
    ("hw:cpu_dedicated_mask", Any),
    ("hw:cpu_max_cores", Whole),
    ("hw:cpu_max_sockets", Whole),
    ("hw:cpu_max_threads", Whole),
    ("hw:cpu_policy", One(&["dedicated", "mixed", "shared"])),
    ("hw:cpu_realtime", Yes),
    ("hw:cpu_realtime_mask", Any),
    ("hw:cpu_sockets", Whole),
    ("hw:cpu_thread_policy", One(&["isolate", "prefer", "require"])),
    ("hw:cpu_threads", Whole),
    ("hw:emulator_threads_policy", One(&["isolate", "share"])),
    ("hw:ephemeral_encryption", Yes),
    ("hw:ephemeral_encryption_format", Any),
    ("hw:hide_hypervisor_id", Yes),
    ("hw:locked_memory", Yes),
    ("hw:maxphysaddr_bits", Whole),
    ("hw:maxphysaddr_mode", One(&["emulate", "passthrough"])),
    ("hw:mem_encryption", Yes),
    ("hw:mem_page_size", Any),
    ("hw:numa_cpus.*", Any),
    ("hw:numa_mem.*", Whole),
    ("hw:numa_nodes", Whole),
    ("hw:pci_numa_affinity_policy", One(&["legacy", "preferred", "required", "socket"])),
    ("hw:pmem", Any),
    ("hw:pmu", Yes),
    ("hw:serial_port_count", Whole),
    ("hw:tpm_model", One(&["tpm-crb", "tpm-tis"])),
    ("hw:tpm_secret_security", Any),
    ("hw:tpm_version", One(&["1.2", "2.0"])),
    ("hw:vif_multiqueue_enabled", Yes),
    ("hw:viommu_model", One(&["auto", "intel", "smmuv3", "virtio"])),
    ("hw:virtio_packed_ring", Yes),
    ("hw:watchdog_action", One(&["disabled", "none", "pause", "poweroff", "reset"])),
    ("hw_rng:allowed", Yes),
    ("hw_rng:rate_bytes", Whole),
    ("hw_rng:rate_period", Whole),
    ("hw_video:ram_max_mb", Whole),
    ("os:secure_boot", One(&["disabled", "optional", "required"])),
    ("pci_passthrough:alias", Any),
    ("quota:cpu_limit", Whole),
    ("quota:cpu_period", Whole),
    ("quota:cpu_quota", Whole),
    ("quota:cpu_reservation", Whole),
    ("quota:cpu_shares", Whole),
    ("quota:cpu_shares_level", Any),
    ("quota:cpu_shares_share", Whole),
    ("quota:disk_io_limit", Whole),
    ("quota:disk_io_reservation", Whole),
    ("quota:disk_io_shares_level", Any),
    ("quota:disk_io_shares_share", Whole),
    ("quota:disk_read_bytes_sec", Whole),
    ("quota:disk_read_iops_sec", Whole),
    ("quota:disk_total_bytes_sec", Whole),
    ("quota:disk_total_iops_sec", Whole),
    ("quota:disk_write_bytes_sec", Whole),
    ("quota:disk_write_iops_sec", Whole),
    ("quota:memory_limit", Whole),
    ("quota:memory_reservation", Whole),
    ("quota:memory_shares_level", Any),
    ("quota:memory_shares_share", Whole),
    ("quota:vif_inbound_average", Whole),
    ("quota:vif_inbound_burst", Whole),
    ("quota:vif_inbound_peak", Whole),
    ("quota:vif_limit", Whole),
    ("quota:vif_outbound_average", Whole),
    ("quota:vif_outbound_burst", Whole),
    ("quota:vif_outbound_peak", Whole),
    ("quota:vif_reservation", Whole),
    ("quota:vif_shares_level", Any),
    ("quota:vif_shares_share", Whole),
];
/// Namespaces in which every name is allowed.
const OPEN: &[&str] = &["aggregate_instance_extra_specs", "capabilities", "powervm", "vmware"];

/// # Errors
/// 400 for a name or value that Compute would not understand.
pub fn check(name: &str, value: &str) -> Result<()> {
    let Some((namespace, rest)) = name.split_once(':') else { return Ok(()) };
    let group = namespace.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_' || c == '-');
    if namespace.starts_with("resources") && group.starts_with("resources") {
        return form(name, value, Whole);
    }
    if namespace.starts_with("trait") && group.starts_with("trait") {
        return form(name, value, One(&["forbidden", "required"]));
    }
    if OPEN.contains(&namespace) {
        return Ok(());
    }
    let known = KNOWN.iter().find(|(known, _)| match known.strip_suffix('*') {
        Some(start) => name.strip_prefix(start).is_some_and(|n| n.parse::<u32>().is_ok()),
        None => *known == name,
    });
    match known {
        Some((_, f)) => form(name, value, *f),
        None if KNOWN.iter().any(|(k, _)| k.split(':').next() == Some(namespace)) => {
            Err(Fault::bad_request(format!(
                "Validation failed; extra spec '{name}' does not appear to be a valid extra spec: there is no '{rest}' in '{namespace}'."
            )))
        }
        None => Ok(()),
    }
}

fn form(name: &str, value: &str, form: Form) -> Result<()> {
    let fits = match form {
        Any => true,
        Yes => ["true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n"]
            .contains(&value.to_lowercase().as_str()),
        Whole => value.parse::<i64>().is_ok(),
        One(list) => list.contains(&value),
    };
    if fits {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "Validation failed; '{value}' is not a valid value for extra spec '{name}'."
    )))
}
