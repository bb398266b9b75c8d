//! The rules of the Network service: what may be made, changed and deleted, and what follows from it.
//! Everything happens in the caller's transaction, quota and touched hosts included.

pub mod acl;
pub mod address;
pub mod addresses;
pub mod fixed;
pub mod floating;
pub mod forward;
pub mod group;
pub mod home;
pub mod network;
pub mod pool;
pub mod port;
pub mod qos;
pub mod rbac;
pub mod router;
pub mod scope;
pub mod subnet;
pub mod topology;

use crate::err;
use base::{ProjectId, Result};
use store::{Tx, quota};

/// Who acts.
#[derive(Debug, Clone)]
pub struct Caller {
    pub project: ProjectId,
    pub admin: bool,
}

impl Caller {
    pub fn owns(&self, project: &ProjectId) -> bool {
        self.admin || (!self.project.0.is_empty() && *project == self.project)
    }
}

/// What a project may have of each resource unless told otherwise (-1: without limit).
pub const QUOTAS: &[(&str, i64)] = &[
    ("network", 100),
    ("subnet", 100),
    ("port", 500),
    ("router", 10),
    ("floatingip", 50),
    ("security_group", 10),
    ("security_group_rule", 100),
    ("subnetpool", -1),
    ("rbac_policy", 10),
    ("address_scope", 100),
    ("address_group", 100),
];

pub fn default_quota(resource: &str) -> i64 {
    QUOTAS.iter().find(|(r, _)| *r == resource).map_or(-1, |(_, n)| *n)
}

/// Takes one unit. What belongs to no project (gateways' and floating IPs' own ports) is free.
pub fn take(tx: &Tx<'_>, project: &ProjectId, resource: &'static str) -> Result<()> {
    if project.0.is_empty() {
        return Ok(());
    }
    quota::take(tx, project, resource, 1, default_quota(resource))?.map_err(|_| err::over_quota(resource))
}

pub fn give(tx: &Tx<'_>, project: &ProjectId, resource: &str, n: usize) -> Result<()> {
    if project.0.is_empty() || n == 0 {
        return Ok(());
    }
    quota::give(tx, project, resource, i64::try_from(n).unwrap_or(i64::MAX))
}

/// Holds quotas that a transaction is going to write, in the order that [`store::quota`] asks for.
pub fn hold(tx: &Tx<'_>, project: &ProjectId, resources: &[&str]) -> Result<()> {
    if project.0.is_empty() { Ok(()) } else { quota::hold(tx, project, resources) }
}
