//! Bounds on what a guest reads and writes, kept by QEMU in front of its disks.
//!
//! They are told QEMU each time that the guest is looked at, which costs little and needs no memory.

use super::qmp::Qmp;
use base::Result;
use base::doc::{Guest, Limits};
use serde_json::json;

/// Bounds the disks of a running guest as the document says.
pub async fn apply(qmp: &mut Qmp, guest: &Guest) -> Result<()> {
    let l = &guest.limits;
    let bounds = Limits { cpu_shares: 0, cpu_quota_us: 0, cpu_period_us: 0, ..l.clone() };
    if bounds == Limits::default() {
        return Ok(());
    }
    let virtio = matches!(guest.hardware.disk_bus.as_str(), "" | "virtio");
    let disks = std::iter::once("root".to_owned())
        .chain(guest.local_disks.iter().map(|d| format!("local-{}", d.name)));
    for disk in disks {
        let inner = if virtio { "/virtio-backend" } else { "" };
        let arguments = json!({
            "id": format!("/machine/peripheral/{disk}{inner}"),
            "bps": l.disk_total_bytes, "bps_rd": l.disk_read_bytes, "bps_wr": l.disk_write_bytes,
            "iops": l.disk_total_iops, "iops_rd": l.disk_read_iops, "iops_wr": l.disk_write_iops,
        });
        qmp.ask("block_set_io_throttle", arguments).await?;
    }
    Ok(())
}
