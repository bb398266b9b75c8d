//! The Image service (OpenStack Image API v2): images, their content stored once per content, streamed
//! both ways and verified; formats recognised by looking, refused when they lie.

mod for_compute;
mod model;
mod table;

pub use for_compute::{BootImage, for_boot};
