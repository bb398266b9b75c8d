//! `/hanok/v1/images/{id}/upload`: content in pieces, which the Image API has no place for.

use crate::table::piece::Upload;
use crate::{Image, pieces, table};
use api::{Reply, Req};
use base::{Fault, ImageId, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// Longest name of a file and mark, in characters.
const NAME: usize = 255;
const MARK: usize = 128;
/// The service's limit of an image is below it.
const MOST: i64 = 1 << 50;

fn view(u: &Upload) -> Value {
    json!({
        "image_id": u.image, "file_name": u.file_name, "mark": u.mark, "size": u.size, "received": u.received,
        "piece_bytes": pieces::PIECE, "touched_at": u.touched_at.seconds_z(),
    })
}

/// `GET /hanok/v1/image-uploads`: those of the project that are not finished.
pub async fn list(image: Arc<Image>, req: Req) -> Result<Reply> {
    let project = req.auth.project()?.clone();
    let all: Vec<Value> =
        image.db.read(move |tx| table::piece::of(tx, &project)).await?.iter().map(view).collect();
    Ok(Reply::json(200, &json!({"uploads": all})))
}

/// `POST` `{"upload": {"size", "file_name"?, "mark"?}}`: 201 when it begins, 200 when it goes on.
pub async fn begin(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("upload")?;
    body.only(&["size", "file_name", "mark"])?;
    let wish = pieces::Wish {
        size: body.int("size", 1, MOST)?.unsigned_abs(),
        file_name: body.opt_str("file_name", NAME)?.unwrap_or_default(),
        mark: body.opt_str("mark", MARK)?.unwrap_or_default(),
    };
    let (upload, new) = pieces::begin(&image, req.auth.clone(), req.param::<ImageId>("id")?, wish).await?;
    Ok(Reply::json(if new { 201 } else { 200 }, &json!({"upload": view(&upload)})))
}

pub async fn show(image: Arc<Image>, req: Req) -> Result<Reply> {
    let upload = pieces::find(&image, req.auth.clone(), req.param::<ImageId>("id")?).await?;
    Ok(Reply::json(200, &json!({"upload": view(&upload)})))
}

/// `PUT ?offset=N`: the piece that begins there.
pub async fn put(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let id = req.param::<ImageId>("id")?;
    let offset = req.query.get("offset").unwrap_or_default();
    let offset: u64 = offset.parse().map_err(|_| {
        Fault::bad_request(
            "Say with offset= where the piece begins, in bytes from the beginning of the file.",
        )
    })?;
    let auth = req.auth.clone();
    // Who may not is told before his bytes are taken.
    pieces::find(&image, auth.clone(), id).await?;
    let _slot = image.upload_slot()?;
    let bytes = req.bytes(pieces::PIECE).await?;
    if bytes.is_empty() {
        return Err(Fault::bad_request("The piece is empty."));
    }
    // A task of its own: it goes on to its end when the client goes away.
    let taker = image.clone();
    let added = tokio::spawn(async move { pieces::add(&taker, auth, id, offset, bytes).await });
    let upload = added.await.map_err(Fault::internal)??;
    Ok(Reply::json(200, &json!({"upload": view(&upload)})))
}

/// `POST …/finish`: the image becomes active, or says why not.
pub async fn finish(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    tokio::spawn(pieces::finish(image, auth, who, id)).await.map_err(Fault::internal)??;
    Ok(Reply::empty(204))
}

pub async fn delete(image: Arc<Image>, req: Req) -> Result<Reply> {
    pieces::give_up(&image, req.auth.clone(), req.param::<ImageId>("id")?).await?;
    Ok(Reply::empty(204))
}
