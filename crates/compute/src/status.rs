//! The `status` that clients read, made from vm_state and task_state.

use crate::model::{Task, VmState};

/// The status of a server, such as `ACTIVE`.
pub fn status(vm: VmState, task: Option<Task>) -> &'static str {
    match (vm, task) {
        (
            VmState::Active | VmState::Stopped | VmState::Paused | VmState::Suspended,
            Some(Task::RebootingHard),
        ) => "HARD_REBOOT",
        (VmState::Active | VmState::Stopped, Some(Task::Rebooting)) => "REBOOT",
        (VmState::Active | VmState::Stopped | VmState::Error, Some(Task::Rebuilding)) => "REBUILD",
        (
            VmState::Active | VmState::Stopped,
            Some(Task::ResizePrep | Task::ResizeMigrating | Task::ResizeFinish),
        ) => "RESIZE",
        (VmState::Active | VmState::Paused, Some(Task::Migrating)) => "MIGRATING",
        (VmState::Active, Some(Task::UpdatingPassword)) => "PASSWORD",
        (VmState::Resized, Some(Task::ResizeReverting)) => "REVERT_RESIZE",
        (VmState::Active, _) => "ACTIVE",
        (VmState::Building, _) => "BUILD",
        (VmState::Stopped, _) => "SHUTOFF",
        (VmState::Paused, _) => "PAUSED",
        (VmState::Suspended, _) => "SUSPENDED",
        (VmState::Rescued, _) => "RESCUE",
        (VmState::Resized, _) => "VERIFY_RESIZE",
        (VmState::Shelved, _) => "SHELVED",
        (VmState::ShelvedOffloaded, _) => "SHELVED_OFFLOADED",
        (VmState::SoftDeleted, _) => "SOFT_DELETED",
        (VmState::Error, _) => "ERROR",
        (VmState::Deleted, _) => "DELETED",
    }
}

/// Statuses that the API has and that no server here reaches: a filter by them finds nothing.
const OTHERS: &[&str] = &["UNKNOWN"];

/// Some of the servers: in one of these states and, if it is named, at this task.
pub type Meant = (&'static [VmState], Option<Task>);

/// Which servers a status filter means, none of them for a status that none reaches; `None` when there is
/// no such status.
pub fn meant_by(status: &str) -> Option<Vec<Meant>> {
    const ON: &[VmState] = &[VmState::Active, VmState::Stopped];
    let one = |vm: &'static [VmState]| vec![(vm, None)];
    let text = status.to_ascii_uppercase();
    Some(match text.as_str() {
        "ACTIVE" => one(&[VmState::Active]),
        "BUILD" => one(&[VmState::Building]),
        "SHUTOFF" => one(&[VmState::Stopped]),
        "PAUSED" => one(&[VmState::Paused]),
        "SUSPENDED" => one(&[VmState::Suspended]),
        "RESCUE" => one(&[VmState::Rescued]),
        "VERIFY_RESIZE" => one(&[VmState::Resized]),
        "SHELVED" => one(&[VmState::Shelved]),
        "SHELVED_OFFLOADED" => one(&[VmState::ShelvedOffloaded]),
        "SOFT_DELETED" => one(&[VmState::SoftDeleted]),
        "ERROR" => one(&[VmState::Error]),
        "DELETED" => one(&[VmState::Deleted]),
        "REBOOT" => vec![(ON, Some(Task::Rebooting))],
        "HARD_REBOOT" => {
            let vms = &[VmState::Active, VmState::Stopped, VmState::Paused, VmState::Suspended];
            vec![(vms, Some(Task::RebootingHard))]
        }
        "REBUILD" => {
            vec![(&[VmState::Active, VmState::Stopped, VmState::Error], Some(Task::Rebuilding))]
        }
        "RESIZE" => {
            [Task::ResizePrep, Task::ResizeMigrating, Task::ResizeFinish].map(|t| (ON, Some(t))).into()
        }
        "REVERT_RESIZE" => vec![(&[VmState::Resized], Some(Task::ResizeReverting))],
        "MIGRATING" => vec![(&[VmState::Active, VmState::Paused], Some(Task::Migrating))],
        "PASSWORD" => vec![(&[VmState::Active], Some(Task::UpdatingPassword))],
        other => return OTHERS.contains(&other).then(Vec::new),
    })
}
