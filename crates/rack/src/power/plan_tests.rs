use super::super::quirks::USUAL;
use super::*;
use std::fmt::Write;

/// A machine that obeys as the script has it, driven by the planner alone: what happens, as text.
struct Play {
    order: PowerOrder,
    kept: Kept,
    course: Course,
    on: bool,
    now: Instant,
    start: Instant,
    /// Heeds the request to shut down; orders to switch.
    heeds: (bool, bool),
    said: String,
}

impl Play {
    fn new(on: bool, order: PowerOrder) -> Play {
        let now = Instant::now();
        let off_since = (!on).then(|| now - Duration::from_secs(60));
        let course = Course { off_since, ..Course::default() };
        let kept = Kept::default();
        Play { order, kept, course, on, now, start: now, heeds: (true, true), said: String::new() }
    }

    fn say(&mut self, what: &str) {
        let at = (self.now - self.start).as_secs();
        let _ = writeln!(self.said, "{at} {what}");
    }

    /// Goes on until nothing is left to be done, or for so many moves.
    fn run(&mut self, most: u32) -> String {
        for _ in 0..most {
            let times = Times::default();
            match next(&self.order, self.kept, &self.course, self.on, (self.now, &times, &USUAL)) {
                Move::Rest => {
                    self.say("rest");
                    break;
                }
                Move::Keep(kept) => {
                    self.kept = kept;
                    self.say(&format!(
                        "keep {} {}",
                        kept.cycles,
                        if kept.off_for > 0 { "down" } else { "-" }
                    ));
                }
                Move::Wait(wait, _) => self.now += wait.unwrap_or(times.look),
                Move::Soft(_) => {
                    self.course.soft_since = Some(self.now);
                    self.say("soft");
                    if self.heeds.0 {
                        self.switch(false);
                    }
                }
                Move::Give(order, _) => {
                    let before = self.course.sent.filter(|(o, ..)| *o == order).map_or(0, |(_, _, n)| n);
                    self.course.sent = Some((order, self.now, before + 1));
                    self.say(if order == Order::On { "on" } else { "off" });
                    if self.heeds.1 {
                        self.switch(order == Order::On);
                    }
                }
            }
        }
        std::mem::take(&mut self.said)
    }

    fn switch(&mut self, on: bool) {
        self.on = on;
        self.course.off_since = (!on).then_some(self.now);
    }

    /// The process is killed and starts again: what was in memory is gone.
    fn killed(&mut self) {
        self.course = Course { off_since: self.course.off_since, ..Course::default() };
    }
}

fn want(on: Option<bool>, cycles: u64, hard: bool) -> PowerOrder {
    PowerOrder { want: on, cycles, hard, ..PowerOrder::default() }
}

#[test]
fn on_and_off() {
    assert_eq!(Play::new(false, want(Some(true), 0, false)).run(9), "0 on\n0 rest\n");
    assert_eq!(Play::new(true, want(Some(true), 0, false)).run(9), "0 rest\n");
    assert_eq!(Play::new(true, want(Some(false), 0, false)).run(9), "0 soft\n0 rest\n");
    assert_eq!(Play::new(true, want(Some(false), 0, true)).run(9), "0 off\n0 rest\n");
    assert_eq!(Play::new(true, want(None, 0, false)).run(9), "0 rest\n");
    assert_eq!(Play::new(false, want(None, 0, false)).run(9), "0 rest\n");
}

#[test]
fn who_does_not_shut_down_loses_power() {
    let mut play = Play::new(true, want(Some(false), 0, false));
    play.heeds.0 = false;
    assert_eq!(play.run(9), "0 soft\n120 off\n120 rest\n");
    let mut play = Play::new(true, want(Some(false), 0, false));
    play.course.no_soft = true;
    assert_eq!(play.run(9), "0 off\n0 rest\n");
}

#[test]
fn a_restart_goes_through_off_once() {
    let mut play = Play::new(true, want(Some(true), 1, true));
    assert_eq!(play.run(9), "0 off\n0 keep 0 down\n2 on\n2 keep 1 -\n2 rest\n");
    assert_eq!(play.run(9), "2 rest\n");
    play.order.cycles = 5;
    play.order.hard = false;
    play.course = Course::default();
    assert_eq!(play.run(9), "2 soft\n2 keep 1 down\n4 on\n4 keep 5 -\n4 rest\n", "several are one");
}

/// What the owner of a machine asks for a moment before it is taken back.
#[test]
fn what_comes_up_for_an_older_order_is_no_restart_of_a_newer_one() {
    for (on, older) in [(false, 0), (true, 1)] {
        let mut play = Play::new(on, want(Some(true), older, true));
        let before = if on { play.run(2) } else { String::new() };
        // The BMC is slow to show that it is on.
        play.heeds.1 = false;
        let before = before + &play.run(1 + u32::from(on));
        assert!(before.ends_with(" on\n"), "{before}");
        play.order.cycles = 2;
        play.heeds.1 = true;
        let said = play.run(20);
        let said: Vec<&str> = said.lines().filter_map(|l| l.split_once(' ')).map(|(_, what)| what).collect();
        assert_eq!(said, ["off", "keep 0 down", "on", "keep 2 -", "rest"], "{before}");
    }
}

#[test]
fn a_restart_of_what_is_off_starts_it() {
    let mut play = Play::new(false, want(None, 3, false));
    assert_eq!(play.run(9), "0 keep 0 down\n0 on\n0 keep 3 -\n0 rest\n");
}

#[test]
fn who_should_be_off_has_nothing_to_restart() {
    let mut play = Play::new(true, want(Some(false), 2, true));
    assert_eq!(play.run(9), "0 off\n0 keep 2 -\n0 rest\n");
    play.order.want = Some(true);
    play.killed();
    assert_eq!(play.run(9), "2 on\n2 rest\n");
}

#[test]
fn killed_after_every_move_it_is_restarted_once() {
    for stop in 1..12 {
        let mut play = Play::new(true, want(Some(true), 1, true));
        let mut said = play.run(stop);
        play.killed();
        said += &play.run(20);
        assert_eq!(said.matches("on\n").count(), 1, "killed after {stop} moves:\n{said}");
        assert!(said.ends_with("rest\n"), "killed after {stop} moves:\n{said}");
        assert_eq!(play.kept.cycles, 1);
    }
}

#[test]
fn orders_without_effect_become_seldom_and_a_person_is_told() {
    let mut play = Play::new(false, want(Some(true), 0, false));
    play.heeds.1 = false;
    assert_eq!(play.run(9), "0 on\n20 on\n40 on\n160 on\n280 on\n");
    let times = Times::default();
    let said = next(&play.order, play.kept, &play.course, false, (play.now, &times, &USUAL));
    let (Move::Wait(_, words) | Move::Give(_, words)) = said else { panic!("{said:?}") };
    assert!(words.contains("still off"), "{words}");
    play.heeds.1 = true;
    assert!(play.run(9).ends_with("rest\n"));
}
