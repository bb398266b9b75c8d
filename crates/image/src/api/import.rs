//! Interoperable import: staging content, and asking for it to be imported.

use super::file::octets;
use crate::import::{Import, ImportLife};
use crate::limits::Limits;
use crate::model::{Record, Status, TaskStatus};
use crate::stage::stage;
use crate::table::task::{IMAGE_IMPORT, Task};
use crate::upload::{By, open_to};
use crate::{Image, table};
use api::{Auth, Obj, Reply, Req};
use base::{Fault, ImageId, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log, work};

/// The ways of importing that there are, as clients are told. There is one store, so nothing can be copied
/// to another.
pub const METHODS: [&str; 3] = ["glance-direct", "web-download", "glance-download"];
/// Longest URI, in characters.
const URI: usize = 2048;

pub async fn put_stage(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let (arrival, _tells_when_dropped) = octets(&mut req)?;
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    tokio::spawn(stage(image, auth, who, id, arrival)).await.map_err(Fault::internal)??;
    Ok(Reply::empty(204))
}

pub async fn start(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let id = req.param::<ImageId>("id")?;
    let body = req.json().await?;
    let method = method(&image, &body, &req.auth)?;
    let by = By::User(req.auth.clone());
    let input = json!({"image_id": id, "import_req": Value::Object(body.map)});
    let who = req.who();
    let begun = image.db.write(move |tx| {
        let row = open_to(tx, &by, id)?;
        allowed(tx, &row, &method)?;
        if row.status == Status::Queued {
            Limits::one_more_upload(tx, &row.owner)?;
        }
        if !table::blob::shift(tx, id, row.status, Status::Importing)? {
            return Err(Fault::conflict(format!("Image {id} is being changed. Try again.")));
        }
        begin(tx, &row, IMAGE_IMPORT, input, &who, &method).map(drop)
    });
    begun.await?;
    Ok(Reply::empty(202))
}

/// Makes the task and starts its life-cycle.
pub fn begin(
    tx: &Tx<'_>,
    row: &Record,
    kind: &str,
    input: Value,
    who: &log::Who,
    state: &Import,
) -> Result<Task> {
    let now = Micros::now();
    let task = Task {
        id: ImageId::new().to_string(),
        kind: kind.to_owned(),
        status: TaskStatus::Pending,
        image: row.id,
        image_made: row.created_at,
        owner: row.owner.clone(),
        user: who.user_id.clone(),
        request_id: who.request_id.clone(),
        input,
        message: String::new(),
        created_at: now,
        updated_at: now,
        expires_at: None,
    };
    table::task::insert(tx, &task)?;
    work::start::<ImportLife>(tx, &task.id, state)?;
    log::audit(tx, who, "image.import.start", &row.id.to_string())?;
    Ok(task)
}

/// What the body asks for.
///
/// # Errors
/// 400 in the words of the real service.
fn method(image: &Image, body: &Obj, auth: &Auth) -> Result<Import> {
    let asked = match body.map.get("method") {
        Some(Value::Object(map)) => Obj { name: "method".into(), map: map.clone() },
        _ => return Err(Fault::bad_request("Import request requires a 'method' field.")),
    };
    let Some(name) = asked.opt_str("name", 255)? else {
        return Err(Fault::bad_request("Import request requires a 'name' field."));
    };
    body.opt_bool("all_stores")?;
    body.opt_bool("all_stores_must_succeed")?;
    if body.opt_strs("stores", 255)?.is_some_and(|stores| !stores.is_empty()) {
        return Err(Fault::conflict(
            "Multi backend is not supported at this site, so `stores` cannot be chosen.",
        ));
    }
    match name.as_str() {
        "glance-direct" => Ok(Import::Settle { source: None }),
        "web-download" => {
            let uri = asked.opt_str("uri", URI)?;
            let uri =
                uri.ok_or_else(|| Fault::bad_request("URI is required for import method 'web-download'."))?;
            image.imports.parse(&uri)?;
            Ok(Import::Download { uri })
        }
        "glance-download" => copy(&asked, auth),
        "copy-image" => Err(Fault::bad_request(
            "Unknown import method name 'copy-image': there is one store, so there is none to copy to.",
        )),
        other => Err(Fault::bad_request(format!("Unknown import method name '{other}'."))),
    }
}

fn copy(asked: &Obj, auth: &Auth) -> Result<Import> {
    let need = |field: &str| {
        asked.opt_str(field, 255)?.ok_or_else(|| {
            Fault::bad_request(format!("'{field}' is required for import method 'glance-download'."))
        })
    };
    let (from, region) = (need("glance_image_id")?, need("glance_region")?);
    let from = from.parse().map_err(|_| Fault::bad_request("image id does not look like a UUID"))?;
    Ok(Import::Copy { from, region, project: auth.project()?.clone(), admin: auth.is_admin() })
}

/// # Errors
/// 409 when the image is not where the method begins.
fn allowed(tx: &Tx<'_>, row: &Record, method: &Import) -> Result<()> {
    if row.container.is_none() {
        return Err(Fault::conflict("'container_format' needs to be set before import"));
    }
    if row.disk_format.is_none() {
        return Err(Fault::conflict("'disk_format' needs to be set before import"));
    }
    if matches!(method, Import::Settle { .. }) {
        if row.status != Status::Uploading {
            return Err(Fault::conflict(
                "Image needs to be staged before 'glance-direct' method can be used",
            ));
        }
        if table::stage::find(tx, row.id)?.is_none() {
            return Err(Fault::conflict(
                "The content of the image is still being staged. Import it when that is done.",
            ));
        }
    } else if row.status != Status::Queued {
        let name = if matches!(method, Import::Download { .. }) { "web-download" } else { "glance-download" };
        return Err(Fault::conflict(format!("Image needs to be in 'queued' state to use '{name}' method")));
    }
    Ok(())
}

/// The tasks of an image, for those whose image it is: they name where it came from.
pub async fn tasks(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth) = (req.param::<ImageId>("id")?, req.auth.clone());
    let tasks = image.db.read(move |tx| {
        let row = table::image::visible(tx, &auth, id)?;
        if row.is_of(&auth) { table::task::of_image(tx, id, row.created_at) } else { Ok(Vec::new()) }
    });
    let tasks: Vec<_> = tasks.await?.iter().map(Task::of_image).collect();
    Ok(Reply::json(200, &json!({ "tasks": tasks })))
}
