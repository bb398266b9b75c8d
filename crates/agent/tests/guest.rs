//! Guests under real QEMU (in software): an agent, a region on loopback, and a boot sector.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says by panicking")]

mod parts;

use base::doc::*;
use parts::{Agent, GREETING, Region};

#[tokio::test(flavor = "multi_thread")]
async fn boots_and_outlives_the_agent() {
    let region = Region::start().await;
    let id = region.add_guest();
    let mut agent = Agent::start(&region).await;
    let running = region.until_state(id, GuestState::Running).await;
    assert!(running.started_at.is_some());
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    let pid = agent.pid(id).expect("a process");

    agent.kill().await;
    assert_eq!(agent.pid(id), Some(pid), "the guest ended with its agent");
    region.observed.send_replace(None);
    agent.again();
    let found = region.until_state(id, GuestState::Running).await;
    assert_eq!(agent.pid(id), Some(pid));
    assert_eq!(found.started_at, running.started_at);
    assert_eq!(agent.serial(id).matches(GREETING).count(), 1, "it was started twice");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_guest_is_started_again() {
    let region = Region::start().await;
    let id = region.add_guest();
    let mut agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    let first = region.until_state(id, GuestState::Running).await;
    kill(agent.pid(id).unwrap());
    let failed = region.until_state(id, GuestState::Failed).await;
    assert!(failed.reason.contains("SIGKILL"), "{}", failed.reason);
    region.until_guest(id, "a later start", |g| g.started_at > first.started_at).await;
    agent.until_serial(id, "a second greeting", |s| s.matches(GREETING).count() == 2).await;

    // The same with nobody looking.
    agent.kill().await;
    kill(agent.pid(id).unwrap());
    agent.again();
    agent.until_serial(id, "a third greeting", |s| s.matches(GREETING).count() == 3).await;
    agent.end().await;
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_start_at_once_and_go_without_a_trace() {
    let region = Region::start().await;
    let ids: Vec<_> = (0..3).map(|_| region.add_guest()).collect();
    let agent = Agent::start(&region).await;
    for id in &ids {
        agent.until_serial(*id, GREETING, |s| s.contains(GREETING)).await;
    }
    let running = |o: &Observed| o.guests.iter().filter(|g| g.state == GuestState::Running).count();
    region.until("three running", |o| running(o) == 3).await;
    let pids: Vec<_> = ids.iter().map(|id| agent.pid(*id).unwrap()).collect();

    region.change(|d| d.guests.clear());
    region.until("no guests", |o| o.guests.is_empty()).await;
    for (id, pid) in ids.iter().zip(pids) {
        assert!(!agent.guest_file(*id, "").exists());
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(&id.to_string()), "{pid} lives");
    }
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_and_reboots_follow_the_document() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;

    // The power button is enough: were it pulled, the grace time would have to pass first.
    region.change_guest(id, |g| g.power = Power::Off);
    region.until_state(id, GuestState::Stopped).await;
    assert_eq!(agent.pid(id), None);
    assert!(agent.guest_file(id, "disk.qcow2").exists());

    region.change_guest(id, |g| g.power = Power::On);
    agent.until_serial(id, "a second boot", |s| s.matches(GREETING).count() == 2).await;

    for (boots, kind) in [(1, BootKind::Hard), (2, BootKind::Soft)] {
        let before = agent.pid(id);
        region.change_guest(id, |g| {
            g.boots = boots;
            g.boot_kind = kind;
        });
        let done = |g: &GuestStatus| g.boots == boots && g.state == GuestState::Running;
        region.until_guest(id, "the reboot", done).await;
        assert_ne!(agent.pid(id), before);
        let times = 2 + boots as usize;
        agent.until_serial(id, "a boot more", |s| s.matches(GREETING).count() == times).await;
    }
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_powers_itself_off_stays_off_until_asked() {
    let region = Region::start().await;
    let id = region.add_guest();
    let mut agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;

    // A reset by the guest is its own business: same process.
    let pid = agent.pid(id);
    let typing = agent.type_serial(id, "r").await;
    agent.until_serial(id, "a reset", |s| s.matches(GREETING).count() == 2).await;
    assert_eq!(agent.pid(id), pid);
    drop(typing);

    let typing = agent.type_serial(id, "q").await;
    let off = region.until_state(id, GuestState::Stopped).await;
    assert!(off.reason.contains("itself"), "{}", off.reason);
    // Whatever else changes, it stays off.
    region.change_guest(id, |g| g.metadata.name = "renamed".into());
    let now = region.desired.borrow().generation;
    region.until("the change applied", |o| o.applied >= now).await;
    region.until_state(id, GuestState::Stopped).await;
    assert_eq!(agent.pid(id), None);

    region.change_guest(id, |g| g.boots = 1);
    agent.until_serial(id, "a start", |s| s.matches(GREETING).count() == 3).await;
    region.until_state(id, GuestState::Running).await;

    // The same while no agent runs: QEMU waits, paused, to be asked.
    drop(typing);
    agent.kill().await;
    let _typing = agent.type_serial(id, "q").await;
    region.observed.send_replace(None);
    agent.until_shut_down(id).await;
    agent.again();
    region.until_state(id, GuestState::Stopped).await;
    assert_eq!(agent.pid(id), None);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_does_not_match_is_refused() {
    let region = Region::start().await;
    let mut image = region.store(parts::image());
    let right = image.sha512.clone();
    let mut content = parts::image();
    content[600] ^= 1;
    image.sha512 = "ab".repeat(64);
    region.images.lock().unwrap().insert(image.sha512.clone(), content);
    let guest = parts::guest(image);
    let id = guest.id;
    region.change(|d| d.guests.push(guest));
    let agent = Agent::start(&region).await;
    let failed = region.until_state(id, GuestState::Failed).await;
    assert!(failed.reason.contains("does not match its SHA-512"), "{}", failed.reason);
    assert!(!agent.guest_file(id, "disk.qcow2").exists());
    assert_eq!(std::fs::read_dir(agent.config.data.join("images")).unwrap().count(), 0);

    // With the right image it starts without further ado.
    region.change_guest(id, |g| g.disk.image.as_mut().unwrap().sha512 = right);
    region.until_state(id, GuestState::Running).await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_start_with_the_region_away() {
    let region = Region::start().await;
    let id = region.add_guest();
    let mut agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    agent.kill().await;
    kill(agent.pid(id).unwrap());
    agent.config.region = "http://127.0.0.1:1".into();
    agent.again();
    agent.until_serial(id, "a second greeting", |s| s.matches(GREETING).count() == 2).await;
    let mode = std::fs::metadata(agent.config.data.join("desired.json")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_data_directory_and_a_config_drive() {
    let region = Region::start().await;
    let id = region.add_guest();
    region.change_guest(id, |g| g.config_drive = true);
    let agent = Agent::with(&region, |c| c.data = c.data.join("deep".repeat(40))).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    region.until_state(id, GuestState::Running).await;
    // ISO 9660 (ECMA-119, 8.4): the volume identifier is at offset 40 of sector 16.
    let iso = std::fs::read(agent.guest_file(id, "config.iso")).unwrap();
    assert_eq!(&iso[16 * 2048 + 40..][..8], b"config-2");
    let text = String::from_utf8_lossy(&iso);
    assert!(text.contains("tester") && text.contains(&id.to_string()));
    assert!(!agent.guest_file(id, "config.d").exists());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_regions_own_image_store_is_linked() {
    use std::os::unix::fs::MetadataExt;
    let region = Region::start().await;
    let image = region.store(parts::image());
    let content = region.images.lock().unwrap().remove(&image.sha512).unwrap();
    let store = tempfile::tempdir().unwrap();
    let stored = store.path().join(&image.sha512);
    std::fs::write(&stored, content).unwrap();
    let mut guest = parts::guest(image.clone());
    guest.disk.bytes = 5 << 20;
    let id = guest.id;
    region.change(|d| d.guests.push(guest));
    let agent = Agent::with(&region, |c| c.local_images = Some(store.path().to_owned())).await;
    region.until_state(id, GuestState::Running).await;
    let cached = agent.config.data.join("images").join(&image.sha512).metadata().unwrap();
    assert_eq!(cached.ino(), stored.metadata().unwrap().ino());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_ownership_makes_the_disk_anew() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    let pid = agent.pid(id);
    std::fs::write(agent.guest_file(id, "mark"), "of the first").unwrap();
    region.change_guest(id, |g| g.ownership = 3);
    region.until_guest(id, "the new owner", |g| g.ownership == 3 && g.state == GuestState::Running).await;
    assert_ne!(agent.pid(id), pid);
    assert!(!agent.guest_file(id, "mark").exists());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_names_another_file_is_refused() {
    let region = Region::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evil.qcow2");
    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd"])
        .arg(&file)
        .arg("1M")
        .status();
    assert!(made.unwrap().success());
    let mut image = region.store(std::fs::read(&file).unwrap());
    image.format = "qcow2".into();
    let guest = parts::guest(image);
    let id = guest.id;
    region.change(|d| d.guests.push(guest));
    let agent = Agent::start(&region).await;
    let failed = region.until_state(id, GuestState::Failed).await;
    assert!(failed.reason.contains("refers to another file"), "{}", failed.reason);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_directory_has_one_agent() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    region.until_state(id, GuestState::Running).await;
    let second = agent::run(agent.config.clone(), std::future::pending()).await.unwrap_err();
    assert_eq!(second.kind, base::Kind::Conflict);
    let wiped = agent::wipe(&agent.config.data, agent.config.prefix.clone()).await.unwrap_err();
    assert_eq!(wiped.kind, base::Kind::Conflict);
    assert!(agent.pid(id).is_some());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_guests_are_stopped_on_request() {
    let region = Region::start().await;
    let ids = [region.add_guest(), region.add_guest()];
    let mut agent = Agent::start(&region).await;
    for id in ids {
        agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    }
    agent.kill().await;
    let grace = std::time::Duration::from_secs(60);
    assert_eq!(agent::stop_guests(&agent.config.data, grace).await.unwrap(), 2);
    assert_eq!(ids.map(|id| agent.pid(id)), [None, None]);
    assert_eq!(agent::stop_guests(&agent.config.data, grace).await.unwrap(), 0);
    // The document still says that they are on.
    agent.again();
    agent.until_serial(ids[0], "a second boot", |s| s.matches(GREETING).count() == 2).await;
    agent.end().await;
}
