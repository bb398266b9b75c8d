//! Images that arrive through `boot-resources/`: named first, with size and SHA-256, then sent in pieces to the
//! `upload_uri` of the answer; the last piece makes it a public image. Pieces wait in a file of this process's data
//! directory, so they all go to one process.

use super::fields::invalid;
use super::{Call, Door, missing};
use api::Reply;
use base::{Fault, ImageId, Kind, Micros, Result};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::{Row, Tx, log::audit, params};

/// Largest image, in bytes.
const LARGEST: i64 = 64 << 30;
/// Uploads at one time.
const OPEN: usize = 20;
/// An upload that is not whole by then is given up.
const FOR: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone)]
struct Upload {
    number: i64,
    name: String,
    title: String,
    architecture: String,
    sha256: String,
    size: i64,
    received: i64,
    image: Option<ImageId>,
}

const SELECT: &str =
    "SELECT number, name, title, architecture, sha256, size, received, image_id FROM maas_upload";

fn row(r: &Row<'_>) -> Result<Upload> {
    Ok(Upload {
        number: r.get(0)?,
        name: r.get(1)?,
        title: r.get(2)?,
        architecture: r.get(3)?,
        sha256: r.get(4)?,
        size: r.get(5)?,
        received: r.get(6)?,
        image: r.get::<Option<String>>(7)?.and_then(|id| id.parse().ok()),
    })
}

fn find(tx: &Tx<'_>, number: i64) -> Result<Upload> {
    tx.opt(&format!("{SELECT} WHERE number = $1"), params![number], row)?.ok_or_else(missing)
}

fn view(u: &Upload) -> Value {
    let complete = u.image.is_some();
    let uri = format!("/MAAS/api/2.0/boot-resources/{}/", u.number);
    let percent = if u.size == 0 { 100 } else { u.received * 100 / u.size };
    let mut file = json!({
        "filename": "root-dd", "filetype": "root-dd", "size": u.size, "sha256": u.sha256, "complete": complete,
        "progress": percent,
    });
    if !complete {
        file["upload_uri"] = json!(format!("{uri}upload/{}/", u.number));
    }
    json!({
        "id": u.number, "type": "Uploaded", "name": format!("custom/{}", u.name), "title": u.title,
        "architecture": u.architecture, "subarches": "generic", "kflavor": "generic", "base_image": "",
        "last_deployed": null, "resource_uri": uri,
        "sets": {"1": {
            "version": "1", "label": "uploaded", "size": u.size, "complete": complete, "progress": percent,
            "files": {"root-dd": file},
        }},
    })
}

/// GET boot-resources/ID/ of one that came this way; none when it is another.
pub async fn read(door: &Door, number: i64) -> Result<Option<Value>> {
    let found =
        door.db.read(move |tx| tx.opt(&format!("{SELECT} WHERE number = $1"), params![number], row)).await?;
    Ok(found.map(|u| view(&u)))
}

fn file(door: &Door, number: i64) -> PathBuf {
    door.uploads.join(format!("{number}.part"))
}

/// POST boot-resources/ (`name`, `architecture`, `sha256`, `size`, `title`, `filetype`, `content`).
pub async fn create(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = &call.fields;
    let name = f.need("name")?.trim_start_matches("custom/").to_owned();
    let filetype = f.text("filetype")?.unwrap_or_else(|| "ddraw".to_owned());
    if !matches!(filetype.as_str(), "ddraw" | "dd-raw" | "root-dd" | "root-dd.raw") {
        return Err(invalid(
            "filetype",
            "Send a whole disk that is not compressed (filetype ddraw; raw or qcow2 inside). Or use `openstack image create`.",
        ));
    }
    let content = f.bytes("content").cloned();
    let (mut sha256, mut size) = (f.text("sha256")?.unwrap_or_default().to_lowercase(), f.int("size")?);
    if let Some(content) = &content {
        sha256 = hex::encode(Sha256::digest(content));
        size = i64::try_from(content.len()).ok();
    }
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(invalid("sha256", "This is the SHA-256 of the content, 64 hexadecimal digits."));
    }
    let size = size.filter(|s| (1..=LARGEST).contains(s)).ok_or_else(|| {
        invalid("size", format!("This is the length of the content in bytes, at most {LARGEST}."))
    })?;
    let new = Upload {
        // Above the numbers that images have by themselves.
        number: (1 << 32) + i64::from(rand::random::<u32>() >> 1),
        title: f.text("title")?.unwrap_or_else(|| name.clone()),
        architecture: f.text("architecture")?.unwrap_or_else(|| "amd64/generic".to_owned()),
        name,
        sha256,
        size,
        received: 0,
        image: None,
    };
    let (made, auth, who) = (new.clone(), call.auth.clone(), call.who());
    let stale = door
        .db
        .write(move |tx| {
            let taken =
                image::for_proxies::list(tx, &auth)?.iter().any(|i| i.name.as_deref() == Some(&made.name));
            if taken {
                return Err(invalid("name", format!("There is an image {} already.", made.name)));
            }
            let stale = forget_stale(tx)?;
            let open = tx.rows(&format!("{SELECT} WHERE image_id IS NULL"), &[], row)?;
            if open.len() >= OPEN {
                return Err(Fault::quota("Too many uploads are under way. Finish some first."));
            }
            insert(tx, &made, &filetype)?;
            audit(tx, &who, "maas.upload.create", &made.name)?;
            Ok(stale)
        })
        .await?;
    for number in stale {
        let _ = std::fs::remove_file(file(&door, number));
    }
    let shown = match content {
        None => new,
        Some(content) => piece(&door, new, content).await?,
    };
    Ok(Reply::json(201, &view(&shown)))
}

fn insert(tx: &Tx<'_>, u: &Upload, filetype: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO maas_upload (number, name, title, architecture, filetype, sha256, size, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![u.number, &u.name, &u.title, &u.architecture, filetype, &u.sha256, u.size, Micros::now()],
    )
    .map(drop)
}

fn forget_stale(tx: &Tx<'_>) -> Result<Vec<i64>> {
    let before = Micros::now().minus(FOR);
    tx.rows(
        "DELETE FROM maas_upload WHERE image_id IS NULL AND created_at < $1 RETURNING number",
        params![before],
        |r| r.get(0),
    )
}

/// PUT boot-resources/ID/upload/ID/: the next piece.
pub async fn put(door: Arc<Door>, mut call: Call) -> Result<Reply> {
    let number: i64 = call.param("id").parse().map_err(|_| missing())?;
    let upload = door.db.read(move |tx| find(tx, number)).await?;
    if upload.image.is_some() {
        return Err(Fault::bad_request("This image is whole already."));
    }
    piece(&door, upload, call.take_body_bytes()).await?;
    Ok(Reply::empty(200))
}

/// Adds a piece; the last one makes the image.
async fn piece(door: &Door, mut u: Upload, bytes: Bytes) -> Result<Upload> {
    let (path, from, added) =
        (file(door, u.number), u.received, i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    if added == 0 || from.saturating_add(added) > u.size {
        return Err(Fault::bad_request(format!(
            "{} of {} bytes are here, and {added} more were sent.",
            from, u.size
        )));
    }
    // Two pieces at one time would be in no order.
    let number = u.number;
    let claimed = door
        .db
        .write(move |tx| {
            let sql = "UPDATE maas_upload SET received = $3 WHERE number = $1 AND received = $2";
            tx.exec(sql, params![number, from, from + added])
        })
        .await?;
    if claimed == 0 {
        return Err(Fault::new(Kind::Unavailable, "Another piece is arriving. Send one after the other."));
    }
    u.received += added;
    let at = path.clone();
    blocking(move || append(&at, from, &bytes)).await?;
    if u.received < u.size {
        return Ok(u);
    }
    let outcome = whole(door, &u, &path).await;
    let _ = std::fs::remove_file(&path);
    match outcome {
        Ok(id) => {
            u.image = Some(id);
            door.db
                .write(move |tx| {
                    let sql = "UPDATE maas_upload SET image_id = $2 WHERE number = $1";
                    tx.exec(sql, params![number, id.to_string()])
                })
                .await?;
            Ok(u)
        }
        Err(fault) => {
            door.db
                .write(move |tx| tx.exec("DELETE FROM maas_upload WHERE number = $1", params![number]))
                .await?;
            Err(fault)
        }
    }
}

async fn whole(door: &Door, u: &Upload, path: &Path) -> Result<ImageId> {
    let (at, wanted) = (path.to_owned(), u.sha256.clone());
    let format = blocking(move || inspect(&at, &wanted)).await?;
    let arch = match u.architecture.split('/').next().unwrap_or_default() {
        "arm64" => "aarch64",
        _ => "x86_64",
    };
    let properties = BTreeMap::from([("hw_architecture".to_owned(), arch.to_owned())]);
    door.image.ensure_public(&u.name, path, format, &properties).await
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(Fault::internal)?
}

fn append(path: &Path, from: i64, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let there = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
    if there != from {
        return Err(Fault::conflict(
            "The pieces before this one are not here. Begin again, and send all of them to one region process.",
        ));
    }
    file.write_all(bytes)?;
    Ok(())
}

/// The disk's format, if it is what was promised.
fn inspect(path: &Path, sha256: &str) -> Result<&'static str> {
    let mut file = std::fs::File::open(path)?;
    let (mut digest, mut buffer, mut format) = (Sha256::new(), vec![0; 1 << 20], None);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        format.get_or_insert(if buffer[..n].starts_with(b"QFI\xfb") { "qcow2" } else { "raw" });
        digest.update(&buffer[..n]);
    }
    if hex::encode(digest.finalize()) != sha256 {
        return Err(invalid(
            "sha256",
            "The content is not what was promised: its SHA-256 is another. Begin again.",
        ));
    }
    Ok(format.unwrap_or("raw"))
}
