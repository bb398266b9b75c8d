//! How an image or an import is, and why, in a sentence. Whoever asks has been found to know of it.

use crate::model::{Record, Status, TaskStatus};
use crate::table;
use base::said::Told;
use base::{ImageId, Result};
use store::Tx;

/// What there is to say of the image with this id; `None` when it is no more. Whose it is reads what it waits for too.
pub fn why(tx: &Tx<'_>, id: &str, own: bool) -> Result<Option<Told>> {
    let Ok(id) = id.parse::<ImageId>() else { return Ok(None) };
    let Some(row) = table::image::find(tx, id)? else { return Ok(None) };
    let (status, reason) = (row.status.as_str(), reason(tx, &row, own)?);
    Ok(Some(Told { name: row.name, status: Some(status), reason }))
}

fn reason(tx: &Tx<'_>, row: &Record, own: bool) -> Result<String> {
    let text = match row.status {
        Status::Active => "Its content is there.",
        Status::Deactivated => "An administrator deactivated it, so only administrators have its content.",
        Status::Saving if row.arrived.is_some() => {
            "Its content has arrived; it is active as soon as its checksums are known."
        }
        Status::Saving => "Its content is being uploaded.",
        Status::Uploading => {
            "Its content is staged, or on its way there. It waits to be imported: openstack image import."
        }
        Status::Importing => match table::task::under_way(tx, row.id)?.pop().filter(|_| own) {
            Some(task) => {
                return Ok(format!("It is being imported by the task {task}: ask why of the task."));
            }
            None => "It is being imported.",
        },
        Status::Queued => match table::image::server_of(tx, row.id)?.filter(|_| own) {
            Some(server) => {
                return Ok(format!("It waits for the disk of the server {server}: ask why of the server."));
            }
            None => "It waits for its content to be uploaded or imported.",
        },
    };
    Ok(text.into())
}

/// What there is to say of the import with this id: how far it is says its life-cycle.
pub fn import_why(tx: &Tx<'_>, id: &str) -> Result<Option<Told>> {
    let task = table::task::find(tx, id)?;
    Ok(task.map(|t| Told { name: None, status: Some(TaskStatus::as_str(t.status)), reason: t.message }))
}
