//! What a machine has to do for the server that it was given to, and what it is in the words of guests. Pure.

use super::table::Held;
use ::metal::model::{Machine, Status};
use base::doc::{BootKind, Guest, GuestState, GuestStatus, Power};

/// What is asked of the metal service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// The machine is given to the server's project.
    Take,
    /// The image is written to its disk.
    Write,
    /// The machine is taken back and erased.
    Release,
    /// It was taken back already, by somebody else.
    Forget,
    Stop,
    /// Off and on again; only on, where it is off.
    Restart {
        off: bool,
        hard: bool,
        boots: u64,
    },
    /// It is on after the last restart.
    Booted,
}

#[derive(Debug, PartialEq)]
pub struct Decision {
    pub act: Vec<Act>,
    /// Of the guest, if there should be one.
    pub status: Option<GuestStatus>,
    /// Whether a server may come here, else why not.
    pub ready: Result<(), String>,
}

/// Whether what is on the machine can be reached.
pub fn is_up(s: &GuestStatus) -> bool {
    s.state == GuestState::Running
}

pub fn decide(held: &Held, m: &Machine, guest: Option<&Guest>) -> Decision {
    let ready = match m.status {
        Status::Ready if m.locked => Err("it is locked".to_owned()),
        Status::Ready => Ok(()),
        other => Err(format!("it is {}", other.name().to_lowercase())),
    };
    match (held.server, guest) {
        (None, None) => Decision { act: Vec::new(), status: None, ready },
        (None, Some(g)) if m.status == Status::Ready => {
            let status = said(held, g, GuestState::Preparing, "its machine is taken");
            Decision { act: vec![Act::Take, Act::Write], status: Some(status), ready: given() }
        }
        (None, Some(g)) => {
            let why = format!("its machine {} is {}", m.name, m.status.name().to_lowercase());
            Decision {
                act: Vec::new(),
                status: Some(said(held, g, GuestState::Preparing, &why)),
                ready: given(),
            }
        }
        (Some(server), Some(g)) if server == g.id => serve(held, m, g),
        // Its server is gone, or another one has come meanwhile, which waits until it is clean.
        (Some(_), g) => {
            let status = g.map(|g| said(held, g, GuestState::Preparing, "its machine is erased first"));
            let act = if m.owned() && !taken_back(m.status) { Act::Release } else { Act::Forget };
            Decision { act: vec![act], status, ready: given() }
        }
    }
}

fn given() -> Result<(), String> {
    Err("it is given to a server".to_owned())
}

fn taken_back(s: Status) -> bool {
    matches!(s, Status::Releasing | Status::DiskErasing | Status::FailedReleasing | Status::FailedDiskErasing)
}

/// The machine is the server's.
fn serve(held: &Held, m: &Machine, g: &Guest) -> Decision {
    let (mut act, mut held) = (Vec::new(), held.clone());
    let again = g.disk.epoch > held.epoch;
    let (state, why) = match m.status {
        // Whatever brought it here: what a server has on its disk is overwritten only when that is asked for.
        Status::Allocated if m.deployed_at.0 > 0 && !again => {
            let why = format!(
                "its machine {} was deployed before, and what is on its disk was kept: rebuild the server to have its \
                 image written anew",
                m.name
            );
            (GuestState::Failed, why)
        }
        Status::Allocated => {
            act.push(Act::Write);
            (GuestState::Preparing, String::new())
        }
        Status::Deployed | Status::FailedDeployment if again => {
            act.push(Act::Write);
            (GuestState::Preparing, "it is written anew".to_owned())
        }
        Status::Deploying => (GuestState::Preparing, m.message.clone()),
        Status::Deployed => {
            act.extend(power(&held, m, g));
            let on = m.seen.power.or(m.want_power).unwrap_or(true);
            let restarting = matches!(act.first(), Some(Act::Restart { .. }));
            if on && !restarting && m.seen.cycles >= m.power_cycles && held.booted < held.boots {
                act.push(Act::Booted);
                held.booted = held.boots;
            }
            (if on { GuestState::Running } else { GuestState::Stopped }, m.seen.reason.clone())
        }
        Status::FailedDeployment | Status::Broken => (GuestState::Failed, m.message.clone()),
        other if m.owned() && !taken_back(other) => {
            (GuestState::Stopped, format!("its machine {} is {}", m.name, other.name().to_lowercase()))
        }
        _ => (GuestState::Failed, format!("its machine {} was taken back by an operator", m.name)),
    };
    Decision { act, status: Some(said(&held, g, state, &why)), ready: given() }
}

/// What the server's intent asks of the power.
fn power(held: &Held, m: &Machine, g: &Guest) -> Option<Act> {
    if g.power == Power::On {
        // One that its user switches off stays off, until a start is asked for.
        let hard = g.boot_kind == BootKind::Hard;
        let off = m.seen.power == Some(false);
        return (g.boots > held.boots).then_some(Act::Restart { off, hard, boots: g.boots });
    }
    (m.seen.power != Some(false) && m.want_power != Some(false)).then_some(Act::Stop)
}

fn said(held: &Held, g: &Guest, state: GuestState, why: &str) -> GuestStatus {
    let mut s = GuestStatus::bare(g.id, g.ownership, state);
    s.reason = why.to_owned();
    s.boots = held.booted.min(g.boots);
    s.epoch = held.epoch;
    s
}
