//! `images`: what Image has, in Compute's form, with metadata for properties.

use crate::Compute;
use crate::api::filters::time;
use crate::api::wish::metadata_pairs;
use crate::api::{links, next_links};
use api::{Obj, Page, Reply, Req};
use base::{Fault, ImageId, Result};
use image::for_proxies::{self, ProxyImage};
use serde_json::{Value, json};
use std::sync::Arc;

fn missing() -> Fault {
    Fault::not_found("Image not found.")
}

fn id(req: &Req) -> Result<ImageId> {
    req.text_param("id").parse().map_err(|_| missing())
}

/// Compute's word for a status, and how far it is.
fn status(i: &ProxyImage) -> (&'static str, u8) {
    match i.status {
        "active" => ("ACTIVE", 100),
        "queued" => ("SAVING", 25),
        "saving" | "uploading" | "importing" => ("SAVING", 50),
        "deleted" | "pending_delete" => ("DELETED", 0),
        "killed" => ("ERROR", 0),
        _ => ("UNKNOWN", 0),
    }
}

fn image_links(req: &Req, i: &ProxyImage) -> Value {
    let [own, bookmark] = links(&req.base, &format!("images/{}", i.id));
    json!([own, bookmark, {
        "rel": "alternate", "type": "application/vnd.openstack.image",
        "href": format!("{}/image/images/{}", req.base, i.id),
    }])
}

fn brief(req: &Req, i: &ProxyImage) -> Value {
    json!({"id": i.id, "name": i.name, "links": image_links(req, i)})
}

fn detail(req: &Req, i: &ProxyImage) -> Value {
    let (status, progress) = status(i);
    let mut v = brief(req, i);
    v["status"] = json!(status);
    v["progress"] = json!(progress);
    v["minDisk"] = json!(i.min_disk);
    v["minRam"] = json!(i.min_ram);
    v["created"] = json!(i.created_at.seconds_z());
    v["updated"] = json!(i.updated_at.seconds_z());
    v["metadata"] = json!(i.properties);
    v["OS-EXT-IMG-SIZE:size"] = json!(i.bytes);
    if let Some(server) = i.properties.get(for_proxies::SERVER) {
        v["server"] = json!({"id": server, "links": links(&req.base, &format!("servers/{server}"))});
    }
    if let Some(auto) = i.properties.get("auto_disk_config") {
        v["OS-DCF:diskConfig"] = json!(if auto.eq_ignore_ascii_case("true") { "AUTO" } else { "MANUAL" });
    }
    v
}

/// Whether an image is one that the query asks for.
fn wanted(req: &Req) -> Result<impl Fn(&ProxyImage) -> bool + use<>> {
    let text = |name: &str| req.query.get(name).map(str::to_owned);
    let number = |name: &str| -> Result<Option<i64>> {
        let Some(t) = req.query.get(name) else { return Ok(None) };
        t.parse().map(Some).map_err(|_| Fault::bad_request(format!("Invalid {name} filter [{t}]")))
    };
    let (name, state) = (text("name"), text("status").map(|s| s.to_uppercase()));
    let server = text("server").map(|s| s.rsplit('/').next().unwrap_or_default().to_owned());
    let (kind, since) = (text("type"), time(req, "changes-since")?);
    let (ram, disk) = (number("minRam")?, number("minDisk")?);
    let properties: Vec<(String, String)> = req
        .query
        .0
        .iter()
        .filter_map(|(k, v)| Some((k.strip_prefix("property-")?.to_owned(), v.clone())))
        .collect();
    Ok(move |i: &ProxyImage| {
        let has = |key: &str, value: &str| i.properties.get(key).is_some_and(|v| v == value);
        name.as_ref().is_none_or(|n| i.name.as_ref() == Some(n))
            && state.as_ref().is_none_or(|s| s == status(i).0)
            && server.as_ref().is_none_or(|s| has(for_proxies::SERVER, s))
            && kind.as_ref().is_none_or(|k| match k.as_str() {
                "server" | "snapshot" => has("image_type", "snapshot"),
                "base" => !has("image_type", "snapshot"),
                other => has("image_type", other),
            })
            && since.is_none_or(|t| i.updated_at >= t)
            && ram.is_none_or(|n| i.min_ram == n)
            && disk.is_none_or(|n| i.min_disk == n)
            && properties.iter().all(|(k, v)| has(k, v))
    })
}

async fn page(c: &Compute, req: &Req, view: fn(&Req, &ProxyImage) -> Value) -> Result<Reply> {
    let (wanted, page, auth) = (wanted(req)?, Page::parse(&req.query, Some(1000), 1000)?, req.auth.clone());
    let mut all = c.db.read(move |tx| for_proxies::list(tx, &auth)).await?;
    all.retain(wanted);
    if let Some(marker) = &page.marker {
        let at = all.iter().position(|i| i.id.to_string() == *marker);
        let at = at.ok_or_else(|| Fault::bad_request(format!("marker [{marker}] not found")))?;
        all.drain(..=at);
    }
    let more = page.cut(&mut all);
    let mut body = json!({"images": all.iter().map(|i| view(req, i)).collect::<Vec<_>>()});
    if let Some(last) = all.last().filter(|_| more) {
        body["images_links"] = next_links(req, &last.id.to_string());
    }
    Ok(Reply::json(200, &body))
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    page(&c, &req, brief).await
}

pub async fn list_detail(c: Arc<Compute>, req: Req) -> Result<Reply> {
    page(&c, &req, detail).await
}

async fn one(c: &Compute, req: &Req) -> Result<ProxyImage> {
    let (id, auth) = (id(req)?, req.auth.clone());
    c.db.read(move |tx| for_proxies::show(tx, &auth, id)).await
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let i = one(&c, &req).await?;
    Ok(Reply::json(200, &json!({"image": detail(&req, &i)})))
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, who) = (id(&req)?, req.auth.clone(), req.who());
    c.db.write(move |tx| for_proxies::delete(tx, &auth, &who, &image::Limits::default(), id)).await?;
    Ok(Reply::empty(204))
}

pub async fn metadata(c: Arc<Compute>, req: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"metadata": one(&c, &req).await?.properties})))
}

pub async fn item(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (i, key) = (one(&c, &req).await?, req.text_param("key"));
    let value = i.properties.get(key).ok_or_else(|| Fault::not_found("Metadata item was not found"))?;
    Ok(Reply::json(200, &json!({"meta": {key: value}})))
}

async fn write(c: &Compute, req: &Req, pairs: Vec<(String, String)>, replace: bool) -> Result<Value> {
    let (id, auth, who) = (id(req)?, req.auth.clone(), req.who());
    let all = c.db.write(move |tx| for_proxies::set_properties(tx, &auth, &who, id, &pairs, replace));
    Ok(json!(all.await?))
}

fn pairs(body: &Obj, field: &str) -> Result<Vec<(String, String)>> {
    body.only(&[field])?;
    metadata_pairs(Some(&body.inner(field)?))
}

pub async fn add_metadata(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let pairs = pairs(&req.json().await?, "metadata")?;
    Ok(Reply::json(200, &json!({"metadata": write(&c, &req, pairs, false).await?})))
}

pub async fn replace_metadata(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let pairs = pairs(&req.json().await?, "metadata")?;
    Ok(Reply::json(200, &json!({"metadata": write(&c, &req, pairs, true).await?})))
}

pub async fn put_item(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let pairs = pairs(&req.json().await?, "meta")?;
    let [(name, value)] = pairs.as_slice() else {
        return Err(Fault::bad_request("Request body contains too many items"));
    };
    if name != req.text_param("key") {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    }
    let meta = json!({"meta": {name: value}});
    write(&c, &req, pairs.clone(), false).await?;
    Ok(Reply::json(200, &meta))
}

pub async fn delete_item(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, who, key) = (id(&req)?, req.auth.clone(), req.who(), req.text_param("key").to_owned());
    c.db.write(move |tx| for_proxies::remove_property(tx, &auth, &who, id, &key)).await?;
    Ok(Reply::empty(204))
}
