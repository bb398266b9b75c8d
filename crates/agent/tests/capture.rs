//! Images made of guests' disks, under real QEMU.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says by panicking")]

mod parts;

use axum::http::StatusCode;
use base::doc::*;
use base::{ImageId, ServerId};
use parts::{Agent, GREETING, PATIENCE, Region};
use std::time::Duration;

async fn arrived(region: &Region, image: ImageId) -> Vec<u8> {
    let seen = async {
        loop {
            if let Some(content) = region.captures.lock().unwrap().get(&image).cloned() {
                return content;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the image never came")
}

/// What the guest has of captures on the disk.
fn left(agent: &Agent, id: ServerId) -> Vec<String> {
    let names = std::fs::read_dir(agent.guest_file(id, "")).unwrap().flatten();
    let names = names.map(|e| e.file_name().into_string().unwrap());
    names.filter(|n| n.starts_with("capture-")).collect()
}

/// That the content is one whole disk that begins as the guest's does.
fn is_whole(content: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("it.qcow2");
    std::fs::write(&file, content).unwrap();
    let info =
        std::process::Command::new("qemu-img").args(["info", "--output=json"]).arg(&file).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!((&info["format"], &info["virtual-size"]), (&"qcow2".into(), &(2 << 20).into()));
    assert!(info.get("backing-filename").is_none(), "{info}");
    let raw = dir.path().join("raw");
    let done =
        std::process::Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&file).arg(&raw).status();
    assert!(done.unwrap().success());
    assert_eq!(std::fs::read(raw).unwrap()[..1 << 20], parts::image()[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_running_and_of_a_stopped_guest() {
    let region = Region::start().await;
    let id = region.add_guest();
    let mut agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    let pid = agent.pid(id);

    let (first, second) = (ImageId::new(), ImageId::new());
    region.change_guest(id, |g| g.captures = vec![Capture { image: first }, Capture { image: second }]);
    is_whole(&arrived(&region, first).await);
    is_whole(&arrived(&region, second).await);
    assert_eq!(agent.pid(id), pid, "it runs on");
    region.change_guest(id, |g| g.captures.clear());
    let now = region.desired.borrow().generation;
    region.until("nothing asked", |o| o.applied >= now && o.guests[0].captures.is_empty()).await;

    // An agent that dies in the middle begins again.
    let third = ImageId::new();
    region.change_guest(id, |g| {
        g.power = Power::Off;
        g.captures = vec![Capture { image: third }];
    });
    region.until_state(id, GuestState::Stopped).await;
    agent.kill().await;
    agent.again();
    is_whole(&arrived(&region, third).await);
    region.change_guest(id, |g| g.captures.clear());
    let now = region.desired.borrow().generation;
    region.until("nothing asked", |o| o.applied >= now && o.guests[0].captures.is_empty()).await;
    assert_eq!(left(&agent, id), Vec::<String>::new());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_region_refuses_is_given_up() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    region.until_state(id, GuestState::Running).await;
    *region.capture_status.lock().unwrap() = StatusCode::NOT_FOUND;
    region.change_guest(id, |g| g.captures = vec![Capture { image: ImageId::new() }]);
    let failed = region
        .until_guest(id, "the failure", |g| g.captures.iter().any(|c| c.stage == CaptureStage::Failed))
        .await;
    assert!(failed.captures[0].reason.contains("404"), "{failed:?}");
    assert_eq!(failed.state, GuestState::Running);
    region.change_guest(id, |g| g.captures.clear());
    region.until_guest(id, "nothing asked", |g| g.captures.is_empty()).await;
    assert_eq!(left(&agent, id), Vec::<String>::new());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hardware_of_many_kinds_starts() {
    let region = Region::start().await;
    let agent = Agent::start(&region).await;
    let kind = |machine: &str, bus: &str, vif: &str, video: &str| Hardware {
        machine: machine.into(),
        disk_bus: bus.into(),
        cdrom_bus: bus.into(),
        vif_model: vif.into(),
        video_model: video.into(),
        watchdog_action: "none".into(),
        more_serial_ports: 1,
        localtime: true,
        boot_menu: true,
        ..Hardware::default()
    };
    let all = [
        kind("pc", "ide", "e1000", "cirrus"),
        kind("pc", "sata", "virtio", "vga"),
        kind("q35", "sata", "e1000e", "virtio"),
        kind("q35", "scsi", "rtl8139", "none"),
    ];
    for hardware in all {
        let id = region.add_guest();
        region.change_guest(id, |g| {
            g.hardware = hardware.clone();
            g.config_drive = true;
            g.boots = 1;
            g.limits = Limits { disk_write_bytes: 1 << 20, ..Limits::default() };
            g.local_disks = vec![LocalDisk { name: "swap".into(), bytes: 1 << 20, format: "swap".into() }];
        });
        parts::network(&region, id);
        let done = |g: &GuestStatus| g.boots == 1 && g.state == GuestState::Running && g.reason.is_empty();
        region.until_guest(id, &format!("{hardware:?}"), done).await;
        agent.until_serial(id, &format!("{hardware:?}"), |s| s.contains(GREETING)).await;
        region.change(|d| {
            d.guests.clear();
            d.networks.clear();
        });
        region.until("it is gone", |o| o.guests.is_empty()).await;
    }
    agent.end().await;
}
