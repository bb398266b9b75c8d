//! Images to be made of guests' disks, and how far they are.

use crate::ImageId;
use serde::{Deserialize, Serialize};

/// An image to be made of the root disk as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    pub image: ImageId,
}

/// How far an image is that the document asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureStatus {
    pub image: ImageId,
    pub stage: CaptureStage,
    /// Why it failed.
    #[serde(default)]
    pub reason: String,
}

impl CaptureStatus {
    /// As a host that obeys at once says it.
    pub fn on_its_way(c: &Capture) -> Self {
        CaptureStatus { image: c.image, stage: CaptureStage::Uploading, reason: String::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureStage {
    /// The disk is being copied.
    Copying,
    /// The copy is on its way to the region.
    Uploading,
    /// It cannot be made; the agent has given up.
    Failed,
}
