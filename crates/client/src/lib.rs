//! The client verbs of `hanok`: what no OpenStack client has (`why`, `console`, `audit`, `acl`).
//!
//! It finds the cloud as every OpenStack client does: `OS_*` variables, else `OS_CLOUD` in
//! `clouds.yaml` (`OS_CLIENT_CONFIG_FILE`, here, `~/.config/openstack`, `/etc/openstack`), else the
//! cloud `hanok` of the installation on this machine.

mod acl;
mod console;
mod host;
pub mod hosts;
mod http_client;
mod log;
mod login;
pub mod machine;
mod why;

pub use acl::acl;
pub use console::{console, machine as machine_console};
pub use host::drain;
pub use log::log;
pub use why::why;
