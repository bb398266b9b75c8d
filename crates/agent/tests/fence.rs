//! Guests that are started elsewhere when their host is silent, under real QEMU (in software).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says by panicking")]

mod parts;

use base::doc::*;
use parts::{Agent, GREETING, Region};
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn ended(agent: &Agent, id: base::ServerId) {
    let gone = async {
        while agent.pid(id).is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(parts::PATIENCE, gone).await.expect("it goes on running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_ends_what_may_run_elsewhere() {
    let region = Region::start().await;
    let ids = [region.add_guest(), region.add_guest()];
    region.change_guest(ids[0], |g| g.ha = true);
    region.change(|d| d.fence_s = Some(4));
    let mut agent = Agent::start(&region).await;
    for id in ids {
        agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    }
    let pids = ids.map(|id| agent.pid(id).unwrap());
    // An agent that is merely started anew ends nothing.
    agent.kill().await;
    agent.again();
    region.forget();
    region.until_state(ids[0], GuestState::Running).await;
    assert_eq!(ids.map(|id| agent.pid(id).unwrap()), pids);

    // Reports do not arrive any more; that polls do is not enough.
    region.deaf.store(true, Ordering::Relaxed);
    ended(&agent, ids[0]).await;
    assert_eq!(agent.pid(ids[1]), Some(pids[1]), "a guest that runs nowhere else was ended");
    // Neither does one that was started anew in the silence start it.
    agent.kill().await;
    agent.again();
    let now = agent.serial(ids[0]).matches(GREETING).count();
    region.change(|d| d.groups.clear());
    agent.until_applied(region.desired.borrow().generation).await;
    assert_eq!((agent.pid(ids[0]), agent.serial(ids[0]).matches(GREETING).count()), (None, now));

    // Heard again, with the guest still ours: it starts.
    region.deaf.store(false, Ordering::Relaxed);
    agent.until_serial(ids[0], "it again", |s| s.matches(GREETING).count() == now + 1).await;
    region.until_state(ids[0], GuestState::Running).await;
    assert_eq!(agent.pid(ids[1]), Some(pids[1]));

    // Heard again, and the guest is another's: it does not.
    region.deaf.store(true, Ordering::Relaxed);
    ended(&agent, ids[0]).await;
    region.change(|d| d.guests.retain(|g| g.id != ids[0]));
    region.deaf.store(false, Ordering::Relaxed);
    region.until("one guest", |o| o.guests.len() == 1 && o.guests[0].id == ids[1]).await;
    assert!(!agent.guest_file(ids[0], "").exists());
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_comes_back_asks_before_it_starts_anything() {
    let region = Region::start().await;
    let ids = [region.add_guest(), region.add_guest()];
    let mut agent = Agent::start(&region).await;
    for id in ids {
        agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
    }
    // Its power goes; meanwhile one guest is made anew elsewhere.
    agent.kill().await;
    for id in ids {
        parts::kill(agent.pid(id).unwrap());
    }
    region.change(|d| d.guests.retain(|g| g.id != ids[0]));
    region.dumb.send_replace(true);
    region.forget();
    agent.again();
    for id in ids {
        let waits = |g: &GuestStatus| g.reason.contains("the region's word");
        region.until_guest(id, "it waits for the region", waits).await;
    }
    region.dumb.send_replace(false);
    agent.until_serial(ids[1], "it again", |s| s.matches(GREETING).count() == 2).await;
    region.until("one guest", |o| o.guests.len() == 1 && o.guests[0].id == ids[1]).await;
    assert!(!agent.guest_file(ids[0], "").exists(), "it was started here");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_get_the_processor_that_is_named() {
    let region = Region::start().await;
    let facts = {
        let agent = Agent::start(&region).await;
        let facts = region.until("processors", |o| !o.facts.cpu_models.is_empty()).await.facts;
        agent.end().await;
        facts
    };
    assert!(facts.cpu_models.contains(&"qemu64".to_owned()), "{:?}", facts.cpu_models);
    let best = facts.cpu_models[0].clone();
    let mut ids = Vec::new();
    for cpu in [String::new(), best.clone(), "no-such".into()] {
        let id = region.add_guest();
        region.change_guest(id, |g| g.cpu = cpu);
        ids.push(id);
    }
    region.forget();
    let agent = Agent::start(&region).await;
    let line = |id| {
        let line = std::fs::read(format!("/proc/{}/cmdline", agent.pid(id).unwrap())).unwrap();
        String::from_utf8_lossy(&line).replace('\0', " ")
    };
    for id in &ids[..2] {
        region.until_state(*id, GuestState::Running).await;
        assert!(line(*id).contains("-machine pc-q35-"), "{}", line(*id));
    }
    assert!(line(ids[1]).contains(&format!("-cpu {best},enforce")), "{}", line(ids[1]));
    let failed = region.until_state(ids[2], GuestState::Failed).await;
    assert!(failed.reason.contains("no-such"), "{}", failed.reason);
    agent.end().await;
}
