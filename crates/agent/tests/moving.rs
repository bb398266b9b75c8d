//! Guests on their way between two agents: real QEMU (in software), a directory and a region for each.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says by panicking")]

mod parts;

use base::ServerId;
use base::doc::*;
use parts::{Agent, GREETING, Region, image_of, kill};
use std::sync::Arc;
use std::time::Duration;

/// Assembled by hand (GNU as, 16 bits): greets on the serial port, then `n` counts in memory and says the number
/// as `<1>`, `wX` writes X to the disk and says it, `d` says what the disk holds; `q` or the power button
/// powers off.
const CODE: &[u8] = &[
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfb, 0xbe, 0xb8, 0x7c, 0xac,
    0x84, 0xc0, 0x74, 0x05, 0xe8, 0x90, 0x00, 0xeb, 0xf6, 0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, 0xf4,
    0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0x19, 0xba, 0xf8, 0x03, 0xec, 0x3c, 0x71, 0x74, 0x1a, 0x3c,
    0x6e, 0x74, 0x20, 0x3c, 0x64, 0x74, 0x45, 0x3c, 0x77, 0x74, 0x30, 0xe8, 0x67, 0x00, 0xeb, 0xdf, 0xba,
    0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xd5, 0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb,
    0xf6, 0xfe, 0x06, 0xb7, 0x7c, 0xa0, 0xb7, 0x7c, 0x50, 0xb0, 0x3c, 0xe8, 0x45, 0x00, 0x58, 0xe8, 0x41,
    0x00, 0xb0, 0x3e, 0xe8, 0x3c, 0x00, 0xeb, 0xb3, 0xe8, 0x2a, 0x00, 0xa2, 0x00, 0x80, 0xb8, 0x01, 0x03,
    0xe8, 0x15, 0x00, 0xa0, 0x00, 0x80, 0xeb, 0xde, 0xc6, 0x06, 0x00, 0x80, 0x00, 0xb8, 0x01, 0x02, 0xe8,
    0x05, 0x00, 0xa0, 0x00, 0x80, 0xeb, 0xce, 0xbb, 0x00, 0x80, 0xb9, 0x09, 0x00, 0xba, 0x80, 0x00, 0xcd,
    0x13, 0xc3, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf8, 0xba, 0xf8, 0x03, 0xec, 0xc3, 0x50, 0xba,
    0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0x58, 0xba, 0xf8, 0x03, 0xee, 0xc3, 0x30,
];

/// A side of a move.
struct Side {
    region: Arc<Region>,
    agent: Agent,
}

impl Side {
    async fn new(letter: char) -> Self {
        let region = Region::start().await;
        let agent = Agent::with(&region, |c| {
            c.prefix = parts::prefix(letter);
        });
        Side { agent: agent.await, region }
    }
    async fn url(&self) -> String {
        self.region.until("an address", |o| !o.facts.bytes_url.is_empty()).await.facts.bytes_url
    }
    /// Types a command and waits for its answer.
    async fn answers(&self, id: ServerId, command: &str, answer: &str) {
        let before = self.agent.serial(id).matches(answer).count();
        let _line = self.agent.type_serial(id, command).await;
        self.agent.until_serial(id, answer, |s| s.matches(answer).count() > before).await;
    }
    async fn until_moving(&self, id: ServerId, number: u64, stage: MoveStage) -> GuestStatus {
        let what = format!("{stage:?} of {number}");
        let is = |g: &GuestStatus| g.moving.as_ref().is_some_and(|m| (m.number, m.stage) == (number, stage));
        self.region.until_guest(id, &what, is).await
    }
    /// Files of the guest that no settled guest has.
    fn odd_files(&self, id: ServerId) -> Vec<String> {
        let all = std::fs::read_dir(self.agent.guest_file(id, "")).unwrap().flatten();
        let names = all.map(|e| e.file_name().to_string_lossy().into_owned());
        let odd = ["tmp", "move.sock", "nbd.sock", "memory.sock", "arriv", "depart"];
        names.filter(|n| odd.iter().any(|o| n.contains(o))).collect()
    }
}

/// A guest that runs at the source.
struct Trip {
    from: Side,
    to: Side,
    id: ServerId,
}

impl Trip {
    async fn new(f: impl FnOnce(&mut Guest)) -> Self {
        let (from, to) = tokio::join!(Side::new('s'), Side::new('t'));
        let mut guest = parts::guest(from.region.store(image_of(CODE)));
        to.region.store(image_of(CODE));
        f(&mut guest);
        let id = guest.id;
        from.region.change(|d| d.guests.push(guest));
        from.region.until_state(id, GuestState::Running).await;
        from.agent.until_serial(id, GREETING, |s| s.contains(GREETING)).await;
        Trip { from, to, id }
    }

    fn guest(&self) -> Guest {
        self.from.region.desired.borrow().guests[0].clone()
    }

    /// Both documents name the move, as a region writes them.
    async fn begin(&self, number: u64, live: bool) {
        self.begin_with(number, live, "the token").await;
    }
    async fn begin_with(&self, number: u64, live: bool, token: &str) {
        self.begin_by(number, live, token, self.to.url().await).await;
    }
    async fn begin_by(&self, number: u64, live: bool, token: &str, url: String) {
        let mut guest = self.guest();
        guest.boots += u64::from(!live);
        self.begin_all(number, live, token, url, guest, |_| {}).await;
    }
    /// A guest whose boots stay, and whose document at the source is `f`'s in the end.
    async fn begin_as(&self, number: u64, live: bool, f: impl FnOnce(&mut Guest)) {
        self.begin_all(number, live, "the token", self.to.url().await, self.guest(), f).await;
    }
    async fn begin_all(
        &self,
        number: u64,
        live: bool,
        token: &str,
        url: String,
        mut guest: Guest,
        f: impl FnOnce(&mut Guest),
    ) {
        let here = guest.clone();
        guest.ownership += 1;
        guest.arrival = Some(Arrival { number, live, token: "the token".into() });
        self.to.region.change(|d| d.guests.push(guest));
        if url != self.to.url().await {
            // By a line whose connections are counted: none is for asking whether it is time.
            self.to.until_moving(self.id, number, MoveStage::Listening).await;
        }
        self.from.region.change_guest(self.id, |g| {
            *g = here;
            g.departure = Some(Departure { number, live, url, token: token.into() });
            if !live {
                g.power = Power::Off;
            }
            f(g);
        });
    }

    /// The guest is the destination's.
    async fn commit(&self, number: u64) {
        self.to.until_moving(self.id, number, MoveStage::Arrived).await;
        self.from.until_moving(self.id, number, MoveStage::Sent).await;
        assert_eq!(self.from.agent.pid(self.id), None, "it runs at the source after it was sent");
        self.from.region.change(|d| d.guests.clear());
        self.to.region.change_guest(self.id, |g| g.arrival = None);
        self.from.region.until("the guest gone", |o| o.guests.is_empty()).await;
        assert!(!self.from.agent.guest_file(self.id, "").exists());
        let settled = |g: &GuestStatus| g.moving.is_none() && g.state == GuestState::Running;
        self.to.region.until_guest(self.id, "it settled", settled).await;
        assert_eq!(self.to.odd_files(self.id), Vec::<String>::new());
    }

    /// The arrival goes first, then the departure.
    async fn give_up(&self) {
        self.to.region.change(|d| d.guests.clear());
        let now = self.to.region.desired.borrow().generation;
        self.to.region.until("nothing of it", |o| o.guests.is_empty() && o.applied == now).await;
        assert!(!self.to.agent.guest_file(self.id, "").exists());
        self.from.region.change_guest(self.id, |g| {
            g.departure = None;
            g.power = Power::On;
        });
        let here = |g: &GuestStatus| g.moving.is_none() && g.state == GuestState::Running;
        self.from.region.until_guest(self.id, "it goes on at the source", here).await;
        assert_eq!(self.from.odd_files(self.id), Vec::<String>::new());
    }

    async fn end(self) {
        self.from.agent.end().await;
        self.to.agent.end().await;
    }
}

async fn until<T>(f: impl Fn() -> Option<T>) -> T {
    let seen = async {
        loop {
            match f() {
                Some(seen) => return seen,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(parts::PATIENCE, seen).await.expect("it never came")
}

/// Whether the guest's processors run at both sides.
async fn both_run(trip: &Trip, id: ServerId) -> bool {
    async fn runs(agent: &Agent, id: ServerId) -> bool {
        let dir = agent::guest::Dir::of(&agent.config.data, id);
        let Ok(mut qmp) = agent::guest::qmp::Qmp::looking(&dir).await else { return false };
        qmp.status().await.is_ok_and(|s| s == "running")
    }
    runs(&trip.from.agent, id).await && runs(&trip.to.agent, id).await
}

/// A cable to the other side that breaks at its `last` connection, and all of them with it. Answers its near end.
async fn line_that_breaks(url: &str, last: usize) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = url.strip_prefix("http://").unwrap().to_owned();
    let near = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut all = tokio::task::JoinSet::new();
        for _ in 1..last {
            let (mut near, _) = listener.accept().await.unwrap();
            let far = far.clone();
            all.spawn(async move {
                let mut far = tokio::net::TcpStream::connect(far).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
        // It is there for a moment.
        let _ = listener.accept().await;
    });
    near
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_guest_comes_with_its_disks_and_its_log() {
    let disk = LocalDisk { name: "swap0".into(), bytes: 8 << 20, format: "swap".into() };
    let trip = Trip::new(|g| {
        g.local_disks.push(disk);
        g.config_drive = true;
    })
    .await;
    let id = trip.id;
    trip.from.answers(id, "wX", "<X>").await;
    trip.begin(1, false).await;
    trip.to.until_moving(id, 1, MoveStage::Arrived).await;
    assert_eq!(trip.to.agent.pid(id), None, "it runs before it is the destination's");
    let (here, there) = (trip.from.agent.guest_file(id, ""), trip.to.agent.guest_file(id, ""));
    trip.from.until_moving(id, 1, MoveStage::Sent).await;
    for file in ["disk.qcow2", "local-swap0.img", "serial.log"] {
        assert_eq!(
            std::fs::read(here.join(file)).unwrap(),
            std::fs::read(there.join(file)).unwrap(),
            "{file}"
        );
    }
    trip.commit(1).await;
    trip.to.agent.until_serial(id, "a second boot", |s| s.matches(GREETING).count() == 2).await;
    trip.to.answers(id, "d", "<X>").await;
    trip.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_guest_comes_whatever_is_killed() {
    let mut trip = Trip::new(|_| {}).await;
    let id = trip.id;
    trip.from.answers(id, "wK", "<K>").await;
    trip.begin(1, false).await;
    // Each kill strikes later than the one before; nothing is waited for.
    for ms in [0, 5, 20, 60, 150] {
        trip.from.agent.kill().await;
        trip.from.agent.again();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        trip.to.agent.kill().await;
        trip.to.agent.again();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        // Where the destination's byte routes are now.
        trip.to.region.forget();
        let url = trip.to.url().await;
        trip.from.region.change_guest(id, |g| g.departure.as_mut().unwrap().url = url);
    }
    trip.commit(1).await;
    trip.to.answers(id, "d", "<K>").await;
    trip.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_move_that_is_given_up_leaves_the_guest_where_it_was() {
    let trip = Trip::new(|_| {}).await;
    let id = trip.id;
    trip.from.answers(id, "wG", "<G>").await;
    trip.begin_with(1, false, "not the token").await;
    let failed = trip.from.until_moving(id, 1, MoveStage::Failed).await;
    assert!(failed.moving.unwrap().reason.contains("other host says"));
    assert!(!trip.to.agent.guest_file(id, "disk.qcow2").exists());
    trip.give_up().await;
    trip.from.answers(id, "d", "<G>").await;
    trip.begin(2, false).await;
    trip.commit(2).await;
    trip.to.answers(id, "d", "<G>").await;
    trip.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_guest_goes_on_at_the_other_host() {
    let disk = LocalDisk { name: "swap0".into(), bytes: 8 << 20, format: "swap".into() };
    let trip = Trip::new(|g| {
        g.local_disks.push(disk);
        g.config_drive = true;
    })
    .await;
    let id = trip.id;
    trip.from.answers(id, "wL", "<L>").await;
    trip.from.answers(id, "n", "<1>").await;
    trip.from.answers(id, "n", "<2>").await;
    let swap = std::fs::read(trip.from.agent.guest_file(id, "local-swap0.img")).unwrap();
    trip.begin(1, true).await;
    trip.commit(1).await;
    // The same memory, the same disk, and its console from the first boot on.
    trip.to.answers(id, "n", "<3>").await;
    trip.to.answers(id, "d", "<L>").await;
    let serial = trip.to.agent.serial(id);
    assert_eq!(serial.matches(GREETING).count(), 1, "it booted again: {serial:?}");
    assert!(serial.contains("<1>") && serial.contains("<2>"), "{serial:?}");
    assert_eq!(std::fs::read(trip.to.agent.guest_file(id, "local-swap0.img")).unwrap(), swap);
    // It is a guest like any other there.
    trip.to.answers(id, "wM", "<M>").await;
    trip.to.region.change_guest(id, |g| g.boots += 1);
    trip.to.agent.until_serial(id, "a reboot", |s| s.matches(GREETING).count() == 2).await;
    trip.to.answers(id, "d", "<M>").await;
    trip.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_move_that_breaks_leaves_the_guest_running() {
    let mut trip = Trip::new(|_| {}).await;
    let id = trip.id;
    trip.from.answers(id, "wB", "<B>").await;
    trip.from.answers(id, "n", "<1>").await;
    let pid = trip.from.agent.pid(id);

    // The destination's QEMU dies once it is there.
    let number = 1;
    trip.begin(number, true).await;
    let there = until(|| trip.to.agent.pid(id)).await;
    kill(there);
    let failed = trip.from.until_moving(id, number, MoveStage::Failed).await;
    assert_eq!(failed.state, GuestState::Running, "{failed:?}");
    assert_eq!(trip.from.agent.pid(id), pid);
    trip.give_up().await;
    trip.from.answers(id, "n", "<2>").await;

    // The destination's agent, and with it the lines; then the source's.
    for (number, counted) in [(2, "<3>"), (3, "<4>")] {
        trip.begin(number, true).await;
        until(|| trip.to.agent.pid(id)).await;
        let side = if number == 2 { &mut trip.to } else { &mut trip.from };
        side.agent.kill().await;
        side.agent.again();
        trip.from.until_moving(id, number, MoveStage::Failed).await;
        trip.give_up().await;
        assert_eq!(trip.from.agent.pid(id), pid, "it was started anew");
        trip.from.answers(id, "n", counted).await;
    }

    // The line itself, at any time.
    let mut number = 3;
    // (parcel, log, start, disk, memory, end of the disk, rest of the log: a connection each.)
    for last in 2..=7 {
        number += 1;
        let line = line_that_breaks(&trip.to.url().await, last).await;
        trip.begin_by(number, true, "the token", line).await;
        let ended = |g: &GuestStatus| {
            let at = g.moving.as_ref().filter(|m| m.number == number).map(|m| m.stage);
            matches!(at, Some(MoveStage::Failed))
        };
        trip.from.region.until_guest(id, "the end of it", ended).await;
        trip.give_up().await;
        trip.from.answers(id, "d", "<B>").await;
    }
    assert_eq!(trip.from.agent.pid(id), pid, "it was started anew");

    // And then it works.
    number += 1;
    trip.begin(number, true).await;
    trip.commit(number).await;
    trip.to.answers(id, "n", "<5>").await;
    trip.to.answers(id, "d", "<B>").await;
    assert_eq!(trip.to.agent.serial(id).matches(GREETING).count(), 1, "it booted again");
    trip.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_guest_runs_once_whichever_agent_is_killed_when() {
    let mut trip = Trip::new(|_| {}).await;
    let id = trip.id;
    trip.from.answers(id, "n", "<1>").await;
    let mut moved = false;
    // Each kill strikes later than the one before, until one comes too late.
    for number in 1..=60 {
        let ms = number * 80;
        trip.begin(number, true).await;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let side = if number % 2 == 0 { &mut trip.from } else { &mut trip.to };
        side.agent.kill().await;
        let twice = both_run(&trip, id).await;
        assert!(!twice, "two run");
        let side = if number % 2 == 0 { &mut trip.from } else { &mut trip.to };
        side.agent.again();
        trip.to.region.forget();
        let url = trip.to.url().await;
        let ended = |g: &GuestStatus| {
            let at = g.moving.as_ref().filter(|m| m.number == number).map(|m| m.stage);
            matches!(at, Some(MoveStage::Failed | MoveStage::Sent))
        };
        // A destination's agent that was killed has another address; the region says so.
        trip.from.region.change_guest(id, |g| g.departure.as_mut().unwrap().url = url);
        let end = trip.from.region.until_guest(id, "the end of it", ended).await;
        assert!(!both_run(&trip, id).await, "two run");
        if end.moving.unwrap().stage == MoveStage::Sent {
            trip.commit(number).await;
            moved = true;
            break;
        }
        trip.give_up().await;
    }
    assert!(moved, "it never came there");
    trip.to.answers(id, "n", "<2>").await;
    assert_eq!(trip.to.agent.serial(id).matches(GREETING).count(), 1, "it booted again");
    trip.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_pressed_to_leave_goes_on_at_the_other_host() {
    let trip = Trip::new(|g| g.memory_mib = 64).await;
    let id = trip.id;
    trip.from.answers(id, "n", "<1>").await;
    trip.begin(1, true).await;
    trip.from.region.change_guest(id, |g| g.paused = true);
    trip.commit(1).await;
    trip.to.answers(id, "n", "<2>").await;
    trip.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_guest_comes_with_its_memory_and_a_paused_one_stands_still() {
    let trip = Trip::new(|_| {}).await;
    let id = trip.id;
    trip.from.answers(id, "n", "<1>").await;
    trip.from.region.change_guest(id, |g| g.suspended = true);
    trip.from.region.until_state(id, GuestState::Suspended).await;
    // Its document says that it is on: its memory waits in a file.
    trip.begin_as(1, false, |g| g.power = Power::On).await;
    let arrived = trip.to.until_moving(id, 1, MoveStage::Arrived).await;
    assert_eq!(arrived.state, GuestState::Suspended);
    trip.from.until_moving(id, 1, MoveStage::Sent).await;
    trip.from.region.change(|d| d.guests.clear());
    trip.to.region.change_guest(id, |g| {
        g.arrival = None;
        g.suspended = false;
    });
    trip.to.region.until_state(id, GuestState::Running).await;
    trip.to.answers(id, "n", "<2>").await;
    trip.end().await;

    let trip = Trip::new(|_| {}).await;
    let id = trip.id;
    trip.from.region.change_guest(id, |g| g.paused = true);
    trip.from.region.until_state(id, GuestState::Paused).await;
    trip.begin(1, true).await;
    let arrived = trip.to.until_moving(id, 1, MoveStage::Arrived).await;
    assert_eq!(arrived.state, GuestState::Paused);
    trip.from.until_moving(id, 1, MoveStage::Sent).await;
    trip.to.region.change_guest(id, |g| {
        g.arrival = None;
        g.paused = false;
    });
    trip.to.answers(id, "n", "<1>").await;
    trip.end().await;
}
