//! Guests under real QEMU (in software): an agent, a region on loopback, and a boot sector.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says by panicking")]

mod parts;

use base::doc::*;
use parts::{Agent, GREETING, Region, kill};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn boots_and_outlives_the_agent() {
    let region = Region::start().await;
    let id = region.add_guest();
    let mut agent = Agent::start(&region).await;
    let running = region.until_state(id, GuestState::Running).await;
    assert!(running.started_at.is_some());
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    let pid = agent.pid(id).expect("a process");
    if Path::new("/sys/fs/cgroup/cpu/cgroup.procs").exists() {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(groups.contains(&format!("cpu:/hanok-{}/{id}", agent.config.prefix)), "{groups}");
    }

    agent.kill().await;
    assert_eq!(agent.pid(id), Some(pid), "the guest ended with its agent");
    agent.again();
    let before = region.observed.borrow().as_ref().map(|o| o.at);
    region.until("a report after it", |o| Some(o.at) > before).await;
    let found = region.until_state(id, GuestState::Running).await;
    assert_eq!(agent.pid(id), Some(pid));
    assert_eq!(found.started_at, running.started_at);
    assert_eq!(agent.serial(id).matches(GREETING).count(), 1, "it was started twice");
    assert_eq!(region.conflicts.load(Ordering::Relaxed), 0, "it reported less than before");
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
    region.forget();
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
async fn an_image_that_lost_its_content_is_fetched_again() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    region.change_guest(id, |g| g.power = Power::Off);
    region.until_state(id, GuestState::Stopped).await;
    // As a loss of power leaves a file whose name was on the disk before its content.
    let sha512 = region.desired.borrow().guests[0].disk.image.clone().unwrap().sha512;
    std::fs::write(agent.config.data.join("images").join(sha512), "").unwrap();
    region.change_guest(id, |g| g.power = Power::On);
    agent.until_serial(id, "a second boot", |s| s.matches(GREETING).count() == 2).await;
    assert_eq!(region.downloads.load(Ordering::Relaxed), 2);
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
    let grace = Duration::from_secs(60);
    assert_eq!(agent::stop_guests(&agent.config.data, grace).await.unwrap(), 2);
    assert_eq!(ids.map(|id| agent.pid(id)), [None, None]);
    assert_eq!(agent::stop_guests(&agent.config.data, grace).await.unwrap(), 0);
    // The document still says that they are on.
    agent.again();
    agent.until_serial(ids[0], "a second boot", |s| s.matches(GREETING).count() == 2).await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_image_holds_up_nobody_else() {
    let region = Region::start().await;
    let quick = region.add_guest();
    let agent = Agent::start(&region).await;
    region.until_state(quick, GuestState::Running).await;

    region.gate.send_replace(false);
    let mut other = parts::image();
    other[700] = 1;
    let (first, second) = (parts::guest(region.store(other)), parts::guest(region.store(parts::image())));
    let mut third = first.clone();
    third.id = base::ServerId::new();
    let ids = [first.id, third.id];
    let after = second.id;
    region.change(|d| d.guests.extend([first, second, third]));
    for id in ids {
        let fetching = |g: &GuestStatus| g.state == GuestState::Preparing && !g.reason.is_empty();
        region.until_guest(id, "that it waits for the image", fetching).await;
    }
    region.until_guest(ids[0], "progress", |g| g.reason.contains("%") || g.reason.contains("disk")).await;
    region.until_state(after, GuestState::Running).await;
    // A change elsewhere goes through, too.
    region.change_guest(quick, |g| g.power = Power::Off);
    region.until_state(quick, GuestState::Stopped).await;

    region.gate.send_replace(true);
    for id in ids {
        region.until_state(id, GuestState::Running).await;
    }
    assert_eq!(region.downloads.load(Ordering::Relaxed), 2, "an image was fetched twice");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_again_and_again_starts_a_guest_once() {
    let region = Region::start().await;
    let ids = [region.add_guest(), region.add_guest()];
    region.change_guest(ids[1], |g| g.config_drive = true);
    let mut agent = Agent::start(&region).await;
    // Guests wait for it, which may take longer than any life below.
    let probed = agent.config.data.join(agent::guest::accel::ANSWER);
    while Path::new("/dev/kvm").exists() && !probed.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut ms = 0;
    while !ids.iter().all(|id| agent.serial(*id).contains(GREETING)) {
        agent.kill().await;
        agent.again();
        // Not a wait for anything: the point at which the next kill strikes.
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ms += 2;
    }
    for id in ids {
        region.until_state(id, GuestState::Running).await;
        assert_eq!(agent.serial(id).matches(GREETING).count(), 1, "started twice");
        let left: Vec<_> = std::fs::read_dir(agent.guest_file(id, "")).unwrap().flatten().collect();
        let half_made = left.iter().find(|e| e.file_name().to_string_lossy().contains("tmp"));
        assert!(half_made.is_none(), "{half_made:?}");
    }
    region.change(|d| d.guests.clear());
    for ms in 0..5 {
        agent.kill().await;
        agent.again();
        tokio::time::sleep(Duration::from_millis(ms * 3)).await;
    }
    region.until("no guests", |o| o.guests.is_empty() && o.applied > 3).await;
    assert_eq!(std::fs::read_dir(agent.config.data.join("guests")).unwrap().count(), 0);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_with_what_is_missing() {
    let region = Region::start().await;
    let id = region.add_guest();
    let small = tempfile::tempdir().unwrap();
    let mount =
        |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(small.path()).status();
    assert!(mount(&["mount", "-t", "tmpfs", "-o", "size=32m", "hanok-test"]).unwrap().success());
    let agent = Agent::with(&region, |c| c.data = small.path().canonicalize().unwrap()).await;
    let failed = region.until_state(id, GuestState::Failed).await;
    assert!(failed.reason.contains("MiB are missing"), "{}", failed.reason);
    assert!(!agent.guest_file(id, "disk.qcow2").exists());
    agent.end().await;
    assert!(mount(&["umount", "-l"]).unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_whose_disk_found_no_room_waits_for_it() {
    let region = Region::start().await;
    let mut guest = parts::guest(region.store(parts::image_of(parts::WRITES)));
    guest.disk.bytes = 128 << 20;
    let id = guest.id;
    let small = tempfile::tempdir().unwrap();
    let mount =
        |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(small.path()).status();
    assert!(mount(&["mount", "-t", "tmpfs", "-o", "size=180m", "hanok-test"]).unwrap().success());
    let others = small.path().join("others");
    std::fs::write(&others, vec![1; 100 << 20]).unwrap();
    region.change(|d| d.guests.push(guest));
    let agent = Agent::with(&region, |c| c.data = small.path().canonicalize().unwrap()).await;
    let waits = |g: &GuestStatus| g.state == GuestState::Paused && g.reason.contains("waits");
    region.until_guest(id, "that it waits", waits).await;

    // It is let go on now and then, not at once again.
    let dir = agent::guest::Dir::of(&agent.config.data, id);
    let mut monitor = agent::guest::qmp::Qmp::looking(&dir).await.unwrap();
    let mut tries = 0;
    let count = async {
        while let Ok(event) = monitor.event().await {
            tries += usize::from(event == "RESUME");
        }
    };
    let from = region.observed.borrow().as_ref().unwrap().at;
    tokio::select! {
        () = count => panic!("the monitor is gone"),
        _ = region.until("some seconds more", |o| o.at >= from.plus(Duration::from_secs(6))) => {}
    }
    assert!(tries <= 2, "let go on {tries} times");

    // And it goes on when there is room.
    std::fs::remove_file(others).unwrap();
    region.until_state(id, GuestState::Running).await;
    agent.end().await;
    assert!(mount(&["umount", "-l"]).unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_written_is_followed() {
    let region = Region::start().await;
    let id = region.add_guest();
    let agent = Agent::start(&region).await;
    region.until_state(id, GuestState::Running).await;
    let obstacle = agent.config.data.join("desired.new");
    std::fs::create_dir(&obstacle).unwrap();
    region.change(|d| d.guests.clear());
    region.until("no guests", |o| o.guests.is_empty()).await;
    assert!(!agent.guest_file(id, "").exists());

    // It is written when it can be.
    std::fs::remove_dir(&obstacle).unwrap();
    agent.until_applied(region.desired.borrow().generation).await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nics_are_plugged_and_plugged_again() {
    let region = Region::start().await;
    let id = region.add_guest();
    let (network, port) = parts::network(&region, id);
    let agent = Agent::start(&region).await;
    region.until_state(id, GuestState::Running).await;
    region.until("the port up", |o| o.ports_up.contains(&port)).await;
    let first = region.until_state(id, GuestState::Running).await;
    // The tap must be free again at once.
    kill(agent.pid(id).unwrap());
    region.until_guest(id, "a later start", |g| g.started_at > first.started_at).await;
    let ns = agent.config.prefix.network_ns(network);
    assert!(std::path::Path::new("/run/netns").join(&ns).exists());
    region.change(|d| {
        d.guests.clear();
        d.networks.clear();
    });
    let now = region.desired.borrow().generation;
    let last = region.until("all gone", |o| o.guests.is_empty() && o.applied == now).await;
    assert_eq!(last.problems, vec![]);
    assert!(!std::path::Path::new("/run/netns").join(&ns).exists());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nic_comes_and_goes_while_the_guest_runs() {
    let region = Region::start().await;
    let id = region.add_guest();
    let mut agent = Agent::start(&region).await;
    agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    let pid = agent.pid(id);
    let (_, port) = parts::network(&region, id);
    let named = format!("nic-{port}");
    let now = region.desired.borrow().generation;
    region.until("the network applied", |o| o.applied >= now && o.ports_up.contains(&port)).await;
    // Whatever the pass had come to when the agent ended, the next one brings it there.
    agent.kill().await;
    agent.again();
    let nics = region.desired.borrow().guests[0].nics.clone();
    for _ in 0..600 {
        agent.kill().await;
        let has = plugged(&agent, id, &nics).await;
        agent.again();
        if has == [named.clone()] {
            break;
        }
        assert!(has.is_empty(), "{has:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(agent.pid(id), pid, "the same process");

    // This guest knows nothing of unplugging: the card stays, said so, until a reboot.
    region.change_guest(id, |g| g.nics.clear());
    region.until_guest(id, "the wait", |g| g.reason.contains("let go")).await;
    agent.kill().await;
    assert_eq!(plugged(&agent, id, &nics).await, [named]);
    agent.again();
    region.change_guest(id, |g| g.boots = 1);
    let done = |g: &GuestStatus| g.boots == 1 && g.state == GuestState::Running && g.reason.is_empty();
    region.until_guest(id, "the reboot", done).await;
    agent.kill().await;
    assert!(plugged(&agent, id, &nics).await.is_empty());
    agent.end().await;
}

/// The NICs that QEMU has, asked with no agent running.
async fn plugged(agent: &Agent, id: base::ServerId, nics: &[Nic]) -> Vec<String> {
    let dir = agent::guest::Dir::of(&agent.config.data, id);
    let mut monitor = agent::guest::qmp::Qmp::connect(&dir).await.unwrap();
    agent::guest::nics::plugged(&mut monitor, nics).await.unwrap().into_keys().collect()
}
