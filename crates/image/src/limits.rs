//! Limits on everything that a client can make long or many.

use base::{Fault, Kind, ProjectId, Result};
use std::time::Duration;
use store::{Tx, params, quota};

/// Names of the quota rows, as Image's own quota API calls them.
pub const COUNT: &str = "image_count_total";
/// In MiB; each image counts in full, also when its content is shared with another.
pub const SIZE: &str = "image_size_total";

/// MiB of content that is staged and not imported yet.
pub const STAGED: &str = "image_stage_total";
/// Images whose content is arriving.
pub const UPLOADING: &str = "image_count_uploading";
/// Properties that come along when the content of another image is taken over, by how they begin.
pub const COPIED: [&str; 5] = ["hw_", "trait:", "os_distro", "os_secure_boot", "os_type"];

/// Limits of the service.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one image.
    pub image_bytes: u64,
    /// Uploads at the same time.
    pub uploads: usize,
    /// Uploads whose digests are computed after the answer, at the same time; the clients of more wait for them.
    pub checks: usize,
    /// Conversions at the same time; more wait.
    pub conversions: usize,
    /// Bytes that digests may be behind an upload whose client waits for them in any case; about 0.1 s.
    pub behind: u64,
    /// Where they are more behind, but not by more than so many percent of the content: how long it waits, in percent of
    /// the time that the upload took.
    pub patience: u32,
    /// How long a download waits for the digests of what has arrived.
    pub settle: Duration,
    /// How long an upload may stand still.
    pub idle: Duration,
    /// Images of a project that has no limit of its own.
    pub count: i64,
    /// MiB of a project that has no limit of its own; -1: without limit.
    pub size_mib: i64,
    pub properties: usize,
    pub tags: usize,
    pub members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            image_bytes: 1 << 40,
            uploads: 64,
            checks: 8,
            conversions: 2,
            behind: 64 << 20,
            patience: 25,
            settle: crate::check::WAIT,
            idle: Duration::from_secs(300),
            count: 100,
            size_mib: -1,
            properties: 128,
            tags: 128,
            members: 128,
        }
    }
}

impl Limits {
    pub fn take_count(&self, tx: &Tx<'_>, owner: &ProjectId) -> Result<()> {
        quota::take(tx, owner, COUNT, 1, self.count)?.map_err(over)
    }
    pub fn take_size(&self, tx: &Tx<'_>, owner: &ProjectId, bytes: u64) -> Result<()> {
        quota::take(tx, owner, SIZE, mib(bytes), self.size_mib)?.map_err(over)
    }
    /// What a project has staged, and may; in MiB.
    pub fn staged(tx: &Tx<'_>, owner: &ProjectId) -> Result<quota::Usage> {
        // PostgreSQL sums BIGINT into NUMERIC.
        let sql = "SELECT CAST(COALESCE(SUM((s.bytes + 1048575) / 1048576), 0) AS BIGINT)
                   FROM image_stage s JOIN image i ON i.id = s.image_id WHERE i.owner = $1 AND i.status <> 'saving'";
        let used = tx.one(sql, params![owner], |r| r.get(0))?;
        Ok(quota::Usage { used, max: quota::usage(tx, owner, STAGED, -1)?.max })
    }
    /// How many of a project's images have content arriving, and may.
    pub fn uploading(tx: &Tx<'_>, owner: &ProjectId) -> Result<quota::Usage> {
        let sql =
            "SELECT COUNT(*) FROM image WHERE owner = $1 AND status IN ('saving', 'uploading', 'importing')";
        let used = tx.one(sql, params![owner], |r| r.get(0))?;
        Ok(quota::Usage { used, max: quota::usage(tx, owner, UPLOADING, -1)?.max })
    }
    /// # Errors
    /// 413 when no further content may arrive for the project.
    pub fn one_more_upload(tx: &Tx<'_>, owner: &ProjectId) -> Result<()> {
        room(UPLOADING, Self::uploading(tx, owner)?)
    }
    /// # Errors
    /// 413 when the project may stage nothing more.
    pub fn one_more_stage(tx: &Tx<'_>, owner: &ProjectId) -> Result<()> {
        room(STAGED, Self::staged(tx, owner)?)
    }
    /// Gives back what an image took ([`Record::bytes`](crate::model::Record::bytes)).
    pub fn give(&self, tx: &Tx<'_>, owner: &ProjectId, bytes: Option<u64>) -> Result<()> {
        quota::give(tx, owner, COUNT, 1)?;
        bytes.map_or(Ok(()), |b| quota::give(tx, owner, SIZE, mib(b)))
    }
    /// Moves what an image takes to another project. The rows are locked in the order of the projects,
    /// so that two moves in opposite directions do not wait for each other.
    pub fn hand_over(&self, tx: &Tx<'_>, from: &ProjectId, to: &ProjectId, bytes: Option<u64>) -> Result<()> {
        if from < to {
            self.give(tx, from, bytes)?;
        }
        self.take_count(tx, to)?;
        if let Some(bytes) = bytes {
            self.take_size(tx, to, bytes)?;
        }
        if from > to {
            self.give(tx, from, bytes)?;
        }
        Ok(())
    }
    /// Bytes that the project may still store; `None`: without limit.
    pub fn left(&self, tx: &Tx<'_>, owner: &ProjectId) -> Result<Option<u64>> {
        let usage = quota::usage(tx, owner, SIZE, self.size_mib)?;
        let left = u64::try_from(usage.max.saturating_sub(usage.used)).unwrap_or(0);
        Ok((usage.max >= 0).then(|| left.saturating_mul(1 << 20)))
    }
}

/// MiB begun.
fn mib(bytes: u64) -> i64 {
    i64::try_from(bytes.div_ceil(1 << 20)).unwrap_or(i64::MAX)
}

fn room(resource: &'static str, usage: quota::Usage) -> Result<()> {
    if usage.max < 0 || usage.used < usage.max {
        return Ok(());
    }
    Err(over(quota::Over { resource, requested: 1, usage }))
}

fn over(over: quota::Over) -> Fault {
    let unit = if matches!(over.resource, SIZE | STAGED) { " MiB" } else { "" };
    Fault::new(
        Kind::Quota,
        format!(
            "The request would exceed the project's quota {}: it asks for {}{unit}, {}{unit} of {}{unit} are used. Delete \
             images that are no longer needed, or ask an administrator for more.",
            over.resource, over.requested, over.usage.used, over.usage.max
        ),
    )
}

/// # Errors
/// 413 when there are more than `max`.
pub fn at_most(what: &str, n: usize, max: usize) -> Result<()> {
    if n <= max {
        return Ok(());
    }
    Err(Fault::new(
        Kind::TooLarge,
        format!("The limit has been exceeded: {n} {what}, at most {max} are allowed."),
    ))
}
