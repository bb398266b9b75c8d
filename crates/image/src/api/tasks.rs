//! `/v2/tasks`: the older way to import, for administrators.

use super::images::draft;
use super::import::begin;
use super::list::{address, without_marker};
use crate::import::Import;
use crate::model::{Status, TaskStatus};
use crate::table::task::{COLUMNS, IMPORT, Task, find, task};
use crate::{Image, table};
use api::{Obj, Page, Reply, Req};
use base::{Fault, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Sql, Tx};

const PAGE: usize = 25;
const LARGEST_PAGE: usize = 1000;
const SORT_KEYS: [&str; 5] = ["created_at", "updated_at", "id", "status", "type"];

pub async fn list(image: Arc<Image>, req: Req) -> Result<Reply> {
    let page = Page::parse(&req.query, Some(PAGE), LARGEST_PAGE)?;
    let same = without_marker(req.uri.query());
    let query = req.query.clone();
    let (tasks, more) = image.db.read(move |tx| pick(tx, &query, &page)).await?;
    let mut body = Map::new();
    body.insert("tasks".into(), tasks.iter().map(Task::brief).collect());
    body.insert("schema".into(), json!("/v2/schemas/tasks"));
    body.insert("first".into(), address("/v2/tasks", &same, None));
    if let (true, Some(last)) = (more, tasks.last()) {
        body.insert("next".into(), address("/v2/tasks", &same, Some(&last.id)));
    }
    Ok(Reply::json(200, &Value::Object(body)))
}

fn pick(tx: &Tx<'_>, query: &api::Query, page: &Page) -> Result<(Vec<Task>, bool)> {
    let key = query.get("sort_key").unwrap_or("created_at");
    if !SORT_KEYS.contains(&key) {
        return Err(Fault::bad_request(format!(
            "Invalid sort key: {key}. It must be one of {}.",
            SORT_KEYS.join(", ")
        )));
    }
    let descending = match query.get("sort_dir") {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(dir) => return Err(Fault::bad_request(format!("Invalid sort direction: {dir}."))),
    };
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM image_task WHERE 1 = 1"));
    if let Some(kind) = query.get("type") {
        q.and("type =", kind);
    }
    if let Some(status) = query.get("status") {
        let known = TaskStatus::of(status)
            .ok_or_else(|| Fault::bad_request(format!("Invalid status value: {status}.")))?;
        q.and("status =", known.as_str());
    }
    let (op, dir) = if descending { ('<', "DESC") } else { ('>', "ASC") };
    if let Some(marker) = &page.marker {
        let unknown = || Fault::bad_request(format!("Invalid marker. Task {marker} could not be found."));
        find(tx, marker)?.ok_or_else(unknown)?;
        q.push(&format!(" AND ({key}, id) {op} (SELECT {key}, id FROM image_task WHERE id = "));
        q.bind(marker.as_str()).push(")");
    }
    q.push(&format!(" ORDER BY {key} {dir}, id {dir}")).limit(page.fetch());
    let mut rows = q.rows(tx, task)?;
    let more = page.cut(&mut rows);
    Ok((rows, more))
}

pub async fn show(image: Arc<Image>, req: Req) -> Result<Reply> {
    let id = req.text_param("task").to_owned();
    let missing = Fault::not_found(format!("No task found with ID {id}"));
    let found = image.db.read(move |tx| find(tx, &id)).await?.ok_or(missing)?;
    Ok(Reply::json(200, &found.view()))
}

pub async fn create(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let kind = body.opt_str("type", 255)?.unwrap_or_default();
    if kind != IMPORT {
        return Err(Fault::bad_request(format!("Invalid task type {kind:?}: only {IMPORT:?} is made here.")));
    }
    let input = body.inner("input")?;
    let (uri, from) = (input.str("import_from", 2048)?, input.str("import_from_format", 255)?);
    image.imports.parse(&uri)?;
    let mut properties: Obj = input.inner("image_properties")?;
    properties.map.entry("disk_format").or_insert_with(|| Value::from(from));
    properties.map.entry("container_format").or_insert_with(|| Value::from("bare"));
    let mut new = draft(&req.auth, properties, &image)?;
    if new.row.disk_format.is_none() || new.row.container.is_none() {
        return Err(Fault::bad_request("image_properties need a disk_format and a container_format."));
    }
    new.row.status = Status::Importing;
    let (limits, who, input) = (image.limits.clone(), req.who(), Value::Object(input.map));
    let made = image.db.write(move |tx| {
        table::image::insert(tx, &new)?;
        limits.take_count(tx, &new.row.owner)?;
        begin(tx, &new.row, IMPORT, input, &who, &Import::Download { uri })
    });
    let made = made.await?;
    let location = format!("{}/image/v2/tasks/{}", req.base, made.id);
    Ok(Reply::json(201, &made.view()).header("location", &location))
}
