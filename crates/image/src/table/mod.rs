//! SQL of the image tables.

pub mod blob;
pub mod image;
pub mod member;
pub mod metadef;
pub mod piece;
pub mod stage;
pub mod task;
