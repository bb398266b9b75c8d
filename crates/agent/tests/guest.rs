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
    agent.type_serial(id, "r").await;
    agent.until_serial(id, "a reset", |s| s.matches(GREETING).count() == 2).await;
    assert_eq!(agent.pid(id), pid);

    agent.type_serial(id, "q").await;
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
    agent.kill().await;
    agent.type_serial(id, "q").await;
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
