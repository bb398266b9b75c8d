//! What happens to a guest on an ordinary day: pause, suspend, rescue, rebuild, resize; under real QEMU (in
//! software) with a boot sector that greets and echoes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says by panicking")]

mod parts;

use base::ServerId;
use base::doc::*;
use parts::{Agent, GREETING, Region, image};
use std::sync::Arc;

const OTHER: &str = "other guest up";

/// The test image with another greeting of the same length.
fn other_image() -> Vec<u8> {
    let mut bytes = image();
    let at = bytes.windows(GREETING.len()).position(|w| w == GREETING.as_bytes()).unwrap();
    bytes[at..at + OTHER.len()].copy_from_slice(OTHER.as_bytes());
    bytes
}

async fn running() -> (Arc<Region>, Agent, ServerId) {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    region.until_state(id, GuestState::Running).await;
    (region, agent, id)
}

/// Types something and waits for the guest's echo.
async fn echoes(agent: &Agent, id: ServerId, text: &str) {
    let before = agent.serial(id).matches(text).count();
    let _line = agent.type_serial(id, text).await;
    agent.until_serial(id, "an echo", |s| s.matches(text).count() > before).await;
}

fn size_of(agent: &Agent, id: ServerId, name: &str) -> u64 {
    let told = std::process::Command::new("qemu-img")
        .args(["info", "-U", "--output=json", "-f", "qcow2"])
        .arg(agent.guest_file(id, name))
        .output()
        .unwrap();
    serde_json::from_slice::<serde_json::Value>(&told.stdout).unwrap()["virtual-size"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_guest_stands_still_and_goes_on() {
    let (region, agent, id) = running().await;
    let pid = agent.pid(id);
    region.change_guest(id, |g| g.paused = true);
    region.until_state(id, GuestState::Paused).await;
    let line = agent.type_serial(id, "zz").await;
    assert!(!agent.serial(id).contains("zz"), "a guest that stands still answered");
    region.change_guest(id, |g| g.paused = false);
    region.until_state(id, GuestState::Running).await;
    agent.until_serial(id, "the echo of what was typed meanwhile", |s| s.contains('z')).await;
    drop(line);
    assert_eq!(agent.pid(id), pid);
    assert_eq!(agent.serial(id).matches(GREETING).count(), 1, "it booted again");

    // An interrupt, while we are at it: counted once, and nothing else happens to this guest.
    region.change_guest(id, |g| g.nmi = 2);
    region.until_guest(id, "the interrupt", |g| g.nmi == 2).await;
    // Nobody answers inside: said, and not tried for ever.
    region.change_guest(id, |g| g.password = Some(Password { epoch: 1, value: "new".into() }));
    let told = region.until_guest(id, "the password's end", |g| g.password == 1).await;
    assert!(told.password_error.contains("No guest agent answers"), "{}", told.password_error);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_guest_goes_on_where_it_was() {
    let (region, mut agent, id) = running().await;
    region.change_guest(id, |g| g.suspended = true);
    region.until_state(id, GuestState::Suspended).await;
    assert_eq!(agent.pid(id), None, "a process of a suspended guest");
    assert!(agent.guest_file(id, "memory.state").exists());
    // Another agent finds it so.
    agent.kill().await;
    region.forget();
    agent.again();
    region.until_state(id, GuestState::Suspended).await;
    assert_eq!(agent.pid(id), None);

    region.change_guest(id, |g| g.suspended = false);
    region.until_state(id, GuestState::Running).await;
    echoes(&agent, id, "y").await;
    assert_eq!(agent.serial(id).matches(GREETING).count(), 1, "it booted instead of going on");
    assert!(!agent.guest_file(id, "memory.state").exists());

    // Again, into a pause; then a hard reboot gives the memory up.
    region.change_guest(id, |g| g.suspended = true);
    region.until_state(id, GuestState::Suspended).await;
    region.change_guest(id, |g| (g.suspended, g.paused) = (false, true));
    region.until_state(id, GuestState::Paused).await;
    region.change_guest(id, |g| g.paused = false);
    region.until_state(id, GuestState::Running).await;
    echoes(&agent, id, "x").await;
    region.change_guest(id, |g| g.suspended = true);
    region.until_state(id, GuestState::Suspended).await;
    region.change_guest(id, |g| (g.suspended, g.boots) = (false, 1));
    region.until_guest(id, "a fresh start", |g| g.state == GuestState::Running && g.boots == 1).await;
    agent.until_serial(id, "a second greeting", |s| s.matches(GREETING).count() == 2).await;
    assert!(!agent.guest_file(id, "memory.state").exists());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_die_while_memory_is_saved_and_read() {
    let (region, mut agent, id) = running().await;
    for round in 0..6 {
        region.change_guest(id, |g| g.suspended = round % 2 == 0);
        // The moments are what is tried here; where each falls is left to the machine.
        for n in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(30 * n + 7 * round)).await;
            agent.kill().await;
            agent.again();
        }
        region.forget();
        let state = if round % 2 == 0 { GuestState::Suspended } else { GuestState::Running };
        region.until_state(id, state).await;
    }
    echoes(&agent, id, "y").await;
    assert_eq!(agent.serial(id).matches(GREETING).count(), 1, "it booted instead of going on");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rescue_boots_another_disk_and_back() {
    let (region, agent, id) = running().await;
    let other = region.store(other_image());
    region.change_guest(id, |g| {
        g.rescue = Some(RootDisk { image: Some(other), bytes: 0, ..RootDisk::default() });
        g.boots = 1;
    });
    agent.until_serial(id, "the rescue disk's greeting", |s| s.contains(OTHER)).await;
    region.until_guest(id, "running", |g| g.boots == 1 && g.state == GuestState::Running).await;
    let line = std::fs::read(format!("/proc/{}/cmdline", agent.pid(id).unwrap())).unwrap();
    let line = String::from_utf8_lossy(&line).into_owned();
    let disk =
        |name: &str| line.find(&format!(r#""drive":"{name}""#)).unwrap_or_else(|| panic!("{name}: {line}"));
    assert!(disk("rescue") < disk("root"), "{line}");
    region.change_guest(id, |g| (g.rescue, g.boots) = (None, 2));
    agent.until_serial(id, "its own greeting again", |s| s.matches(GREETING).count() == 2).await;
    region.until_guest(id, "running", |g| g.boots == 2 && g.state == GuestState::Running).await;
    assert!(!agent.guest_file(id, "rescue.qcow2").exists());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_makes_the_disk_anew() {
    let (region, agent, id) = running().await;
    let other = region.store(other_image());
    region.change_guest(id, |g| {
        g.disk = RootDisk { image: Some(other.clone()), bytes: 3 << 20, epoch: 1, ..RootDisk::default() };
        g.local_disks = vec![LocalDisk { name: "swap".into(), bytes: 1 << 20, format: "swap".into() }];
        (g.boots, g.boot_kind) = (1, BootKind::Hard);
    });
    region.until_guest(id, "running", |g| (g.epoch, g.boots, g.state) == (1, 1, GuestState::Running)).await;
    agent.until_serial(id, "the new image's greeting", |s| s.contains(OTHER)).await;
    assert_eq!(size_of(&agent, id, "disk.qcow2"), 3 << 20);
    assert!(agent.guest_file(id, "local-swap.img").exists());
    // A stopped guest has its disks taken at once, and new ones made when it starts.
    region.change_guest(id, |g| g.power = Power::Off);
    region.until_state(id, GuestState::Stopped).await;
    region.change_guest(id, |g| g.disk.epoch = 2);
    region.until_guest(id, "the epoch", |g| g.epoch == 2 && g.state == GuestState::Stopped).await;
    assert!(!agent.guest_file(id, "disk.qcow2").exists());
    assert!(!agent.guest_file(id, "local-swap.img").exists());
    region.change_guest(id, |g| (g.power, g.boots) = (Power::On, 2));
    region.until_guest(id, "running", |g| g.boots == 2 && g.state == GuestState::Running).await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resize_keeps_the_disk_until_it_is_confirmed() {
    let (region, agent, id) = running().await;
    let bigger = |number: u64, boots: u64| {
        move |g: &mut Guest| {
            (g.disk.bytes, g.disk.keep, g.memory_mib) = (4 << 20, Some(number), 48);
            (g.boots, g.boot_kind) = (boots, BootKind::Hard);
        }
    };
    region.change_guest(id, bigger(7, 1));
    let seen =
        region.until_guest(id, "the new size", |g| g.boots == 1 && g.state == GuestState::Running).await;
    assert_eq!(seen.kept, Some(7));
    let sizes = (size_of(&agent, id, "disk.qcow2"), size_of(&agent, id, "kept.qcow2"));
    assert_eq!(sizes, (4 << 20, 2 << 20));
    // Taken back: what was kept is the disk.
    region.change_guest(id, |g| {
        (g.disk.bytes, g.disk.keep, g.disk.revert, g.memory_mib, g.boots) = (2 << 20, None, Some(7), 32, 2);
    });
    let seen =
        region.until_guest(id, "the old size", |g| g.boots == 2 && g.state == GuestState::Running).await;
    assert_eq!((seen.kept, size_of(&agent, id, "disk.qcow2")), (None, 2 << 20));
    // Once more, and confirmed while it runs.
    region.change_guest(id, |g| g.disk.revert = None);
    region.change_guest(id, bigger(8, 3));
    region.until_guest(id, "the new size", |g| g.boots == 3 && g.kept == Some(8)).await;
    region.until_state(id, GuestState::Running).await;
    region.change_guest(id, |g| g.disk.keep = None);
    region.until_guest(id, "the copy gone", |g| g.kept.is_none() && g.state == GuestState::Running).await;
    assert!(!agent.guest_file(id, "kept.qcow2").exists());
    assert_eq!(size_of(&agent, id, "disk.qcow2"), 4 << 20);
    agent.end().await;
}
