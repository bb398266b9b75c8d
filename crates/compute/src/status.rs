//! The `status` that clients read, made from vm_state and task_state.

use crate::model::{Task, VmState};

/// The status of a server, such as `ACTIVE`.
pub fn status(vm: VmState, task: Option<Task>) -> &'static str {
    match (vm, task) {
        (VmState::Active | VmState::Stopped, Some(Task::Rebooting)) => "REBOOT",
        (VmState::Active | VmState::Stopped, Some(Task::RebootingHard)) => "HARD_REBOOT",
        (VmState::Active, _) => "ACTIVE",
        (VmState::Building, _) => "BUILD",
        (VmState::Stopped, _) => "SHUTOFF",
        (VmState::Error, _) => "ERROR",
        (VmState::Deleted, _) => "DELETED",
    }
}

/// Statuses that the API has and that no server here reaches yet: a filter by them finds nothing.
const OTHERS: &[&str] = &[
    "MIGRATING",
    "PASSWORD",
    "PAUSED",
    "REBUILD",
    "RESCUE",
    "RESIZE",
    "REVERT_RESIZE",
    "SHELVED",
    "SHELVED_OFFLOADED",
    "SOFT_DELETED",
    "SUSPENDED",
    "UNKNOWN",
    "VERIFY_RESIZE",
];

/// Some of the servers: in one of these states and, if it is named, at this task.
pub type Meant = (&'static [VmState], Option<Task>);

/// Which servers a status filter means, none of them for a status that none reaches yet; `None` when
/// there is no such status.
pub fn meant_by(status: &str) -> Option<Vec<Meant>> {
    let meant: Meant = match status.to_ascii_uppercase().as_str() {
        "ACTIVE" => (&[VmState::Active], None),
        "BUILD" => (&[VmState::Building], None),
        "SHUTOFF" => (&[VmState::Stopped], None),
        "ERROR" => (&[VmState::Error], None),
        "DELETED" => (&[VmState::Deleted], None),
        "REBOOT" => (&[VmState::Active, VmState::Stopped], Some(Task::Rebooting)),
        "HARD_REBOOT" => (&[VmState::Active, VmState::Stopped], Some(Task::RebootingHard)),
        other => return OTHERS.contains(&other).then(Vec::new),
    };
    Some(vec![meant])
}
