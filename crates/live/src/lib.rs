//! What runs on a machine that has booted the live system: it says hello to the rack, looks at the hardware, tests,
//! erases and writes disks as it is told, and restarts the machine into what it wrote.
//!
//! - `talk` is every request to the rack, `desk` how a task reports, `work` the loop over tasks.
//! - `inventory`, `trial`, `erase` and `write` are the work itself; each can be done twice.
//! - `peers` serves the chunks of an image to neighbours that write the same one.
//!
//! Invariants: nothing is kept that a restart would need (a task that is told again begins anew); no disk is touched
//! but by a task; whatever fails is said in words to the rack and on the console, and the rack's or the region's
//! absence is waited out.

mod console;
mod desk;
mod disks;
pub mod erase;
mod hello;
pub mod inventory;
pub mod lldp;
mod net;
mod options;
mod peers;
mod run;
mod talk;
mod trial;
mod work;
pub mod write;

pub use desk::Desk;
pub use disks::Disk;
pub use peers::{Holdings, serve as serve_peers};
pub use run::run;
pub use talk::Talk;
