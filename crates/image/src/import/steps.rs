//! The steps of an import.

use super::jobs::{LOOK, State, leave};
use super::{Import, ImportLife, SHOWN, Seen, Turn, convert as qemu, fetch};
use crate::content::blocking;
use crate::limits::COPIED;
use crate::model::{Content, DiskFormat, Record, Status};
use crate::stage::disk;
use crate::table::task::Task;
use crate::upload::{Kept, Limit, activate, awaiting, discard};
use crate::{Image, table};
use api::{Auth, Level, Named, Scope};
use base::{DomainId, Fault, ImageId, Kind, Micros, ProjectId, Result};
use std::sync::Arc;
use std::time::Duration;
use store::work::Step;
use store::{Tx, log};

/// Names of the staged files that an import makes.
fn names(task: &Task) -> [String; 2] {
    [task.id.clone(), format!("{}.converted", task.id)]
}

/// Takes the job, or leaves it to the process that has it.
pub fn turn(image: &Arc<Image>, seen: &Seen, state: &Import) -> Step<Import> {
    if seen.turn == Turn::Another {
        return Step::wait(leave(), "another region process is at it");
    }
    let (task, me) = (seen.task.id.clone(), image.me.clone());
    Step::go(state.clone()).also(move |tx| table::task::take_job(tx, &task, &me))
}

pub async fn download(image: &Arc<Image>, task: &Task, row: &Record, uri: &str) -> Result<Step<Import>> {
    let [name, _] = names(task);
    let (limits, owner) = (image.limits.clone(), row.owner.clone());
    let max = image.db.read(move |tx| Limit::of(tx, &limits, &owner)).await?;
    let (files, to, uri) = (image.clone(), name.clone(), uri.to_owned());
    let job = image.jobs.poll::<ImportLife, _>(&image.db, &task.id, &name, |progress| async move {
        fetch::into_stage(&files, &uri, max, &to, progress).await
    });
    Ok(follow(task, row.id, job, "downloading", Import::Settle { source: None }))
}

/// What a job has come to. The staged file is entered in the same transaction as the move.
fn follow(task: &Task, id: ImageId, job: State, what: &str, next: Import) -> Step<Import> {
    match job {
        State::Running(how_far) => {
            let task = task.id.clone();
            Step::wait(LOOK, format!("{what}: {how_far}")).also(move |tx| table::task::processing(tx, &task))
        }
        State::Done(Ok(staged)) => Step::go(next).also(move |tx| table::stage::put(tx, id, &staged)),
        State::Done(Err(fault)) => {
            tracing::info!(task = task.id, %fault, "an import failed");
            Import::failing(fault.message)
        }
    }
}

pub async fn convert(image: &Arc<Image>, seen: &Seen, row: &Record, to: &str) -> Result<Step<Import>> {
    let (Some(staged), Some(from), Some(format)) = (&seen.staged, row.disk_format, DiskFormat::of(to)) else {
        return Ok(Import::failing("The staged content is gone. Import it again."));
    };
    let [_, name] = names(&seen.task);
    let (files, source, target) = (image.clone(), staged.file.clone(), name.clone());
    let (limits, owner) = (image.limits.clone(), row.owner.clone());
    let max = image.db.read(move |tx| Limit::of(tx, &limits, &owner)).await?;
    let job = image.jobs.poll::<ImportLife, _>(&image.db, &seen.task.id, &name, |_| async move {
        qemu::convert(&files, &source, from, &target, format, max).await
    });
    let id = row.id;
    let done = matches!(job, State::Done(Ok(_)));
    let step =
        follow(&seen.task, id, job, "converting", Import::Settle { source: Some(staged.file.clone()) });
    Ok(if done { step.also(move |tx| table::image::set_format(tx, id, format)) } else { step })
}

pub async fn settle(
    image: &Arc<Image>,
    seen: &Seen,
    row: &Record,
    source: Option<String>,
) -> Result<Step<Import>> {
    let Some(staged) = seen.staged.clone() else {
        return Ok(Import::failing("The staged content is gone. Import it again."));
    };
    let virtual_size = match disk(image, row, &staged.file, staged.bytes).await {
        Ok(size) => size,
        Err(fault) if fault.kind == Kind::Internal => return Err(fault),
        Err(fault) => return Ok(Step::go(Import::Failing { why: fault.message, source })),
    };
    if let Some(to) = image.imports.convert_to(row) {
        return Ok(Step::go(Import::Convert { to: to.as_str().to_owned() }));
    }
    let (limits, owner) = (image.limits.clone(), row.owner.clone());
    let max = image.db.read(move |tx| Limit::of(tx, &limits, &owner)).await?;
    if let Err(fault) = max.check(staged.bytes) {
        return Ok(Step::go(Import::Failing { why: fault.message, source }));
    }
    let lock = image.lock(&staged.sha512).await?;
    let (files, from) = (image.clone(), staged.clone());
    blocking(move || files.contents.link(&from.file, &from.sha512)).await?;
    let (limits, row, task) = (image.limits.clone(), row.clone(), seen.task.clone());
    let mut files = vec![staged.file.clone()];
    files.extend(names(&task));
    files.extend(source);
    let content = Content { sha512: staged.sha512, md5: staged.md5, bytes: staged.bytes };
    let step = Step::go(Import::Ended { files });
    Ok(step
        .also(move |tx| {
            let row = awaiting(tx, row.id, row.created_at, Status::Importing)?;
            limits.take_size(tx, &row.owner, content.bytes)?;
            let kept = Kept { id: row.id, created_at: row.created_at, content: &content, virtual_size };
            activate(tx, Status::Importing, &kept)?;
            table::stage::remove(tx, row.id)?;
            succeed(tx, &task)
        })
        .holding(lock))
}

fn succeed(tx: &Tx<'_>, task: &Task) -> Result<()> {
    table::task::end(tx, &task.id, None, Micros::now().plus(SHOWN))?;
    log::audit(tx, &task.who(), "image.import", &task.image.to_string())
}

pub struct Source<'a> {
    pub from: ImageId,
    pub region: &'a str,
    pub project: &'a ProjectId,
    pub admin: bool,
}

pub async fn copy(image: &Arc<Image>, task: &Task, row: &Record, source: Source<'_>) -> Result<Step<Import>> {
    if source.region != super::source::REGION {
        return Ok(Import::failing(format!(
            "There is no region {:?} to download from; this is {}.",
            source.region,
            super::source::REGION
        )));
    }
    let (from, auth) = (source.from, reader(source.project, source.admin));
    let look = auth.clone();
    let seen = image.db.read(move |tx| given(tx, &look, from)).await;
    if let Err(fault) = seen {
        return if fault.kind == Kind::NotFound { Ok(Import::failing(fault.message)) } else { Err(fault) };
    }
    let (limits, row, task) = (image.limits.clone(), row.clone(), task.clone());
    Ok(Step::go(Import::Ended { files: Vec::new() }).also(move |tx| {
        let row = awaiting(tx, row.id, row.created_at, Status::Importing)?;
        // Held until the end, so that the content cannot go meanwhile.
        table::image::lock(tx, from)?;
        let (given, content) = given(tx, &auth, from)?;
        let virtual_size = given.virtual_size;
        table::image::set_formats(tx, row.id, given.disk_format, given.container)?;
        let properties = table::image::complete_one(tx, given)?.properties;
        for (name, value) in properties.iter().filter(|(n, _)| COPIED.iter().any(|p| n.starts_with(p))) {
            table::image::set_property(tx, row.id, name, value)?;
        }
        limits.take_size(tx, &row.owner, content.bytes)?;
        let kept = Kept { id: row.id, created_at: row.created_at, content: &content, virtual_size };
        activate(tx, Status::Importing, &kept)?;
        succeed(tx, &task)
    }))
}

/// The image to copy, with its content.
fn given(tx: &Tx<'_>, auth: &Auth, from: ImageId) -> Result<(Record, Content)> {
    let row = table::image::visible(tx, auth, from)?;
    match (row.status, row.content.clone()) {
        (Status::Active, Some(content)) => Ok((row, content)),
        _ => Err(Fault::not_found(format!("The image {from} has no content to download: it is not active."))),
    }
}

/// Who asked for a copy, as far as seeing images goes.
fn reader(project: &ProjectId, admin: bool) -> Auth {
    let (domain_id, domain_name) = (DomainId(String::new()), String::new());
    let scope = Scope::Project(Named { id: project.clone(), name: String::new(), domain_id, domain_name });
    Auth { scope, level: if admin { Level::Admin } else { Level::Reader }, ..Auth::nobody() }
}

pub async fn fail(
    image: &Arc<Image>,
    seen: &Seen,
    why: &str,
    source: Option<String>,
) -> Result<Step<Import>> {
    let mut files = names(&seen.task).to_vec();
    image.jobs.drop_of(&files);
    if let Some(staged) = &seen.staged {
        files.push(staged.file.clone());
        files.extend(source);
        let lock = image.lock(&staged.sha512).await?;
        discard(image, &staged.sha512).await;
        drop(lock);
    }
    let (task, limits, why) = (seen.task.clone(), image.limits.clone(), why.to_owned());
    let target = seen.target.clone();
    Ok(Step::go(Import::Ended { files }).also(move |tx| {
        table::task::end(tx, &task.id, Some(&why), Micros::now().plus(SHOWN))?;
        let Some(row) = target else { return Ok(()) };
        table::image::lock(tx, row.id)?;
        table::stage::remove(tx, row.id)?;
        if task.makes_image() {
            table::image::delete(tx, row.id)?;
            return limits.give(tx, &row.owner, None);
        }
        table::blob::give_back(tx, row.id, row.created_at, Status::Importing, None)
    }))
}

/// Removes what is staged; waits until the task has been shown for long enough, and removes it.
pub async fn ended(image: &Arc<Image>, task: &Task, files: &[String]) -> Result<Step<Import>> {
    image.jobs.drop_of(&names(task));
    let (contents, files) = (image.clone(), files.to_vec());
    blocking(move || files.iter().try_for_each(|f| contents.contents.unstage(f))).await?;
    let left = task.expires_at.map_or(Duration::ZERO, |at| at.since(Micros::now()));
    if !left.is_zero() {
        return Ok(Step::wait(left, "it is over; the task is shown for two days"));
    }
    let id = task.id.clone();
    Ok(Step::gone().also(move |tx| table::task::delete(tx, &id)))
}
