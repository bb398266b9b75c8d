//! `boot-resources/` and `boot-sources/`: the images that machines can be written with, as the Image service
//! has them for the caller.

use super::{Call, Door, missing};
use api::Reply;
use base::{ImageId, Result};
use image::for_proxies::{ProxyImage, list as images};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Tx;

/// A number for an image: as good as any, and always the same.
fn number(id: ImageId) -> i64 {
    let bytes = id.0.as_bytes();
    i64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> 1)
}

fn arch(i: &ProxyImage) -> &str {
    match i.properties.get("hw_architecture").or(i.properties.get("architecture")).map(String::as_str) {
        None | Some("x86_64") => "amd64",
        Some("aarch64") => "arm64",
        Some(other) => other,
    }
}

fn view(i: &ProxyImage) -> Value {
    let name = i.name.clone().unwrap_or_else(|| i.id.to_string());
    let id = number(i.id);
    json!({
        "id": id, "type": "Uploaded", "name": format!("custom/{name}"), "title": name,
        "architecture": format!("{}/generic", arch(i)), "subarches": "generic", "kflavor": "generic",
        "base_image": "", "last_deployed": null, "resource_uri": format!("/MAAS/api/2.0/boot-resources/{id}/"),
    })
}

fn whole(i: &ProxyImage) -> Value {
    let version = i.updated_at.seconds_z().get(..10).unwrap_or_default().replace('-', "");
    let file = json!({
        "filename": "root-image", "filetype": "root-image", "size": i.bytes, "sha256": "",
        "complete": i.status == "active",
    });
    let mut all = view(i);
    all["sets"] = json!({version.clone(): {
        "version": version, "label": "uploaded", "size": i.bytes, "complete": i.status == "active", "progress": 100,
        "files": {"root-image": file},
    }});
    all
}

pub async fn list(door: Arc<Door>, call: Call) -> Result<Reply> {
    let of = move |tx: &Tx<'_>| {
        let ready = images(tx, &call.auth)?.into_iter().filter(|i| i.status == "active");
        Ok(ready.map(|i| view(&i)).collect())
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

pub async fn read(door: Arc<Door>, call: Call) -> Result<Reply> {
    if let Ok(number) = call.param("id").parse()
        && let Some(arriving) = super::uploads::read(&door, number).await?
    {
        return Ok(Reply::json(200, &arriving));
    }
    let of = move |tx: &Tx<'_>| {
        let wanted = call.param("id");
        let found = images(tx, &call.auth)?.into_iter().find(|i| number(i.id).to_string() == wanted);
        found.map(|i| whole(&i)).ok_or_else(missing)
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

pub async fn is_importing(_: Arc<Door>, _: Call) -> Result<Reply> {
    Ok(Reply::json(200, &json!(false)))
}
