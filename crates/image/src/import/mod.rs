//! Imports: content that is staged, fetched from the web or taken over from another image, looked at,
//! converted if the installation asks for it, and kept.
//!
//! ```text
//!   Download ─ staged ─▶ Settle ── kept: the image is active ──▶ Ended ── the task expires ──▶ (no row)
//!      │                  │  ▲                                     ▲
//!      │                  ▼  │ its own format now                  │
//!      │                 Convert          Copy ─ content taken over┘
//!      │                  │                │                       │
//!      └──────────────────┴────────────────┴──▶ Failing ── tidied ─┘   (the image is queued again)
//! ```
//! What takes long (a download, a conversion) is a job of this process beside the engine; a step starts
//! it, tells how far it is, and takes its outcome. A process that dies takes its jobs along: its successor
//! finds the step not done and begins it again. With several processes, the one that began a job takes its
//! outcome, and the others leave it to it while it lives. A staged file stays until the image is active, so no step
//! needs what an earlier one has taken away.

pub mod convert;
pub mod fetch;
pub mod jobs;
pub mod source;
mod steps;

use crate::Image;
use crate::model::{Record, Status};
use crate::table::{self, stage::Staged, task::Task};
use base::{ImageId, ProjectId, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::work::{Life, Step};
use store::{Tx, process};

/// How long a task is shown after it ended.
const SHOWN: Duration = Duration::from_secs(48 * 3600);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Import {
    /// Bytes come from `uri` into a staged file.
    Download { uri: String },
    /// The content of another image is taken over, as `project` sees it.
    Copy { from: ImageId, region: String, project: ProjectId, admin: bool },
    /// The staged file is looked at and becomes the image's content. Converted, it was `source`.
    Settle { source: Option<String> },
    /// The staged file is rewritten as `to`.
    Convert { to: String },
    /// What is there goes away, and the image is queued again.
    Failing { why: String, source: Option<String> },
    /// Nothing is left to do but to remove staged files and, much later, the task.
    Ended { files: Vec<String> },
}

impl Import {
    fn failing(why: impl Into<String>) -> Step<Import> {
        Step::go(Import::Failing { why: why.into(), source: None })
    }
}

/// The life-cycle of imports, for the work engine.
pub struct ImportLife(pub(crate) Arc<Image>);

/// Everything that a step looks at.
struct Seen {
    task: Task,
    /// The image, if it still waits for this import.
    target: Option<Record>,
    staged: Option<Staged>,
    /// Whose job it is.
    turn: Turn,
}

/// Jobs live in one process, steps run in any: the process that began is left to it while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Ours,
    /// Nobody's (any more): it may be taken.
    Free,
    Another,
}

impl Turn {
    /// For the process `me`, where `by` began.
    pub fn of(tx: &Tx<'_>, by: &str, me: &str) -> Result<Turn> {
        Ok(match by {
            "" => Turn::Free,
            by if by == me => Turn::Ours,
            by if process::alive(tx)?.iter().any(|p| p == by) => Turn::Another,
            _ => Turn::Free,
        })
    }
}

impl Life for ImportLife {
    const KIND: &'static str = "image_import";
    type State = Import;

    async fn step(&self, id: &str, state: &Import) -> Result<Step<Import>> {
        let (image, task, me) = (&self.0, id.to_owned(), self.0.me.clone());
        let Some(seen) = image.db.read(move |tx| look(tx, &task, &me)).await? else {
            return Ok(Step::gone());
        };
        match (state, &seen.target) {
            (Import::Ended { files }, _) => steps::ended(image, &seen.task, files).await,
            (Import::Failing { why, source }, _) => steps::fail(image, &seen, why, source.clone()).await,
            (_, None) => Ok(Import::failing("The image was deleted.")),
            (Import::Download { .. } | Import::Convert { .. }, Some(_)) if seen.turn != Turn::Ours => {
                Ok(steps::turn(image, &seen, state))
            }
            (Import::Download { uri }, Some(row)) => steps::download(image, &seen.task, row, uri).await,
            (Import::Copy { from, region, project, admin }, Some(row)) => {
                steps::copy(
                    image,
                    &seen.task,
                    row,
                    steps::Source { from: *from, region, project, admin: *admin },
                )
                .await
            }
            (Import::Settle { source }, Some(row)) => steps::settle(image, &seen, row, source.clone()).await,
            (Import::Convert { to }, Some(row)) => steps::convert(image, &seen, row, to).await,
        }
    }

    fn budget(state: &Import) -> Option<Duration> {
        Some(Duration::from_secs(match state {
            Import::Download { .. } => 6 * 3600,
            Import::Convert { .. } => 3600,
            Import::Copy { .. } | Import::Settle { .. } | Import::Failing { .. } => 300,
            Import::Ended { .. } => return None,
        }))
    }
}

fn look(tx: &Tx<'_>, id: &str, me: &str) -> Result<Option<Seen>> {
    let Some(task) = table::task::find(tx, id)? else { return Ok(None) };
    let target = table::image::find(tx, task.image)?
        .filter(|row| row.created_at == task.image_made && row.status == Status::Importing);
    let staged = if target.is_some() { table::stage::find(tx, task.image)? } else { None };
    let turn = Turn::of(tx, &table::task::job_by(tx, id)?, me)?;
    Ok(Some(Seen { task, target, staged, turn }))
}
