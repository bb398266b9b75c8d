//! Images that an installation brings along.

use crate::model::{Container, DiskFormat, Record, Shown, Status, Visibility};
use crate::upload::{Answer, Arrival, By, upload};
use crate::{Image, content::blocking, table};
use api::{Auth, Level};
use base::{Fault, ImageId, Kind, ProjectId, Result};
use sha2::{Digest, Sha512};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Tx, log::Who, params};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

impl Image {
    /// Makes a public image of the admin project from a file, unless there is one of that name.
    /// An image that an earlier start left half-made is completed.
    ///
    /// # Errors
    /// What an upload refuses, and when there is no admin project yet.
    pub async fn ensure_public(
        self: &Arc<Self>,
        name: &str,
        file: &Path,
        disk_format: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<ImageId> {
        let format = DiskFormat::of(disk_format)
            .ok_or_else(|| Fault::bad_request(format!("{disk_format} is no disk format.")))?;
        let wanted = |owner| Record {
            name: Some(name.to_owned()),
            visibility: Visibility::Public,
            disk_format: Some(format),
            ..Record::queued(ImageId::new(), owner)
        };
        self.ensure(wanted, file, properties).await
    }

    /// Keeps a file that the installation itself needs among the contents, as a hidden image of the admin project;
    /// answers its SHA-512. A file of another content is another image: `name` is followed by a part of the digest.
    ///
    /// # Errors
    /// What an upload refuses, and when there is no admin project yet.
    pub async fn keep_own(self: &Arc<Self>, name: &str, file: &Path) -> Result<String> {
        let path = file.to_owned();
        let sha512 = blocking(move || {
            let mut hash = Sha512::new();
            std::io::copy(&mut std::fs::File::open(path)?, &mut HashWriter(&mut hash))?;
            Ok(hex::encode(hash.finalize()))
        })
        .await?;
        let name = format!("{name}-{sha512:.12}");
        let wanted = |owner| Record {
            name: Some(name.clone()),
            visibility: Visibility::Private,
            disk_format: Some(DiskFormat::Raw),
            hidden: true,
            ..Record::queued(ImageId::new(), owner)
        };
        self.ensure(wanted, file, &BTreeMap::new()).await?;
        Ok(sha512)
    }

    /// An image such as `wanted` makes for its owner, with the file's content, unless there is one of that name and
    /// visibility.
    async fn ensure(
        self: &Arc<Self>,
        wanted: impl FnOnce(ProjectId) -> Record,
        file: &Path,
        properties: &BTreeMap<String, String>,
    ) -> Result<ImageId> {
        let owner = self.db.read(admin_project).await?;
        let row = Record { container: Some(Container::Bare), ..wanted(owner) };
        let (limits, properties) = (self.limits.clone(), properties.clone());
        let ready = self.db.write(move |tx| {
            one_at_a_time(tx)?;
            if let Some(found) = find(tx, &row)? {
                return Ok(found);
            }
            let found = (row.id, row.status);
            let owner = row.owner.clone();
            table::image::insert(tx, &Shown { row, properties, tags: BTreeSet::new() })?;
            limits.take_count(tx, &owner)?;
            Ok(found)
        });
        let (id, mut status) = ready.await?;
        loop {
            match status {
                Status::Queued => match self.fill(id, file).await {
                    // Another process was faster.
                    Err(fault) if fault.kind == Kind::Conflict => {}
                    outcome => return outcome.map(|()| id),
                },
                Status::Saving => tokio::time::sleep(LOOK).await,
                _ => return Ok(id),
            }
            let found = self.db.read(move |tx| table::image::find(tx, id)).await?;
            status = found.ok_or_else(|| Fault::conflict("The image was deleted while it was made."))?.status;
        }
    }

    async fn fill(self: &Arc<Self>, id: ImageId, file: &Path) -> Result<()> {
        let path = file.to_owned();
        let file = blocking(move || {
            std::fs::File::open(&path).map_err(|e| Fault::internal(format!("{}: {e}", path.display())))
        })
        .await?;
        let file = tokio::fs::File::from_std(file);
        let arrival = Arrival {
            length: Some(file.metadata().await?.len()),
            body: ReaderStream::with_capacity(file, 1 << 20),
            gone: CancellationToken::new(),
        };
        let auth = Arc::new(Auth { level: Level::Admin, ..Auth::nobody() });
        let who = Who { request_id: "start".into(), user_id: String::new(), project_id: String::new() };
        upload(self.clone(), By::User(auth), who, id, arrival, Answer::Active).await
    }
}

/// Bytes on their way into a digest.
struct HashWriter<'a>(&'a mut Sha512);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How often one looks whether another process is done with an image.
const LOOK: Duration = Duration::from_millis(200);

/// Holds off other processes that start at the same time, until the transaction ends.
fn one_at_a_time(tx: &Tx<'_>) -> Result<()> {
    let sql = "INSERT INTO setting (name, value) VALUES ('image.first', '')
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.exec(sql, &[])?;
    Ok(())
}

/// Keeps the mark of the image directory that belongs to the database, unless one is kept already; answers it.
pub fn mark(tx: &Tx<'_>, own: &str) -> Result<String> {
    let sql = "INSERT INTO setting (name, value) VALUES ('image.directory', $1)
               ON CONFLICT (name) DO UPDATE SET value = setting.value RETURNING value";
    tx.one(sql, params![own], |r| r.get(0))
}

/// The oldest image of the same owner, name and visibility, finished ones first.
fn find(tx: &Tx<'_>, like: &Record) -> Result<Option<(ImageId, Status)>> {
    tx.opt(
        "SELECT id, status FROM image WHERE owner = $1 AND name = $2 AND visibility = $3
         ORDER BY CASE WHEN status = 'queued' THEN 1 ELSE 0 END, created_at LIMIT 1",
        params![&like.owner, like.name.as_deref(), like.visibility.as_str()],
        |r| Ok((r.get(0)?, r.get(1)?)),
    )
}

/// The project that the first start makes. Read here, because an installation's own images have to
/// belong to somebody before anybody has logged in.
pub fn admin_project(tx: &Tx<'_>) -> Result<ProjectId> {
    let sql = "SELECT id FROM project WHERE name = 'admin' AND domain_id = 'default'";
    tx.opt(sql, &[], |r| r.get(0))?.ok_or_else(|| Fault::internal("there is no project admin yet"))
}
