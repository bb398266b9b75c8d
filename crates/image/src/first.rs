//! Images that an installation brings along.

use crate::model::{Container, DiskFormat, Record, Shown, Status, Visibility};
use crate::upload::{Arrival, By, upload};
use crate::{Image, content::blocking, table};
use api::{Auth, Level};
use base::{Fault, ImageId, ProjectId, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
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
        let (limits, name, properties) = (self.limits.clone(), name.to_owned(), properties.clone());
        let ready = self.db.write(move |tx| {
            let owner = admin_project(tx)?;
            if let Some(found) = find(tx, &owner, &name)? {
                return Ok(found);
            }
            let row = Record {
                name: Some(name),
                visibility: Visibility::Public,
                disk_format: Some(format),
                container: Some(Container::Bare),
                ..Record::queued(ImageId::new(), owner)
            };
            let found = (row.id, row.status);
            let owner = row.owner.clone();
            table::image::insert(tx, &Shown { row, properties, tags: BTreeSet::new() })?;
            limits.take_count(tx, &owner)?;
            Ok(found)
        });
        let (id, status) = ready.await?;
        if status == Status::Queued {
            self.fill(id, file).await?;
        }
        Ok(id)
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
        upload(self.clone(), By::User(auth), who, id, arrival).await
    }
}

/// The oldest public image of that name, finished ones first.
fn find(tx: &Tx<'_>, owner: &ProjectId, name: &str) -> Result<Option<(ImageId, Status)>> {
    tx.opt(
        "SELECT id, status FROM image WHERE owner = $1 AND name = $2 AND visibility = 'public'
         ORDER BY CASE WHEN status = 'queued' THEN 1 ELSE 0 END, created_at LIMIT 1",
        params![owner, name],
        |r| Ok((r.get(0)?, r.get(1)?)),
    )
}

/// The project that the first start makes. Read here, because an installation's own images have to
/// belong to somebody before anybody has logged in.
pub fn admin_project(tx: &Tx<'_>) -> Result<ProjectId> {
    let sql = "SELECT id FROM project WHERE name = 'admin' AND domain_id = 'default'";
    tx.opt(sql, &[], |r| r.get(0))?.ok_or_else(|| Fault::internal("there is no project admin yet"))
}
