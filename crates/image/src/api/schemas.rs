//! JSON schemas of what the API shows, which some clients build their objects from.

use crate::Image;
use crate::model::{Container, DiskFormat, MemberStatus, Status, TaskStatus, Visibility};
use api::{Reply, Req};
use base::{Fault, Result};
use serde_json::{Value, json};
use std::sync::Arc;

const UUID: &str = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

pub async fn show(_: Arc<Image>, req: Req) -> Result<Reply> {
    let schema = match req.text_param("name") {
        "image" => image(),
        "images" => list("images", &image()),
        "member" => member(),
        "members" => list("members", &member()),
        "task" => task(),
        "tasks" => list("tasks", &task()),
        other => return Err(Fault::not_found(format!("There is no schema {other}."))),
    };
    Ok(Reply::json(200, &schema))
}

pub fn list(name: &str, item: &Value) -> Value {
    let mut schema = json!({
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    });
    if !matches!(name, "members" | "resource_type_associations") {
        schema["properties"]["next"] = json!({"type": "string"});
        schema["properties"]["first"] = json!({"type": "string"});
        schema["links"] = json!([
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ]);
    }
    schema
}

fn or_null(words: &[&str]) -> Vec<Value> {
    std::iter::once(Value::Null).chain(words.iter().map(|w| Value::from(*w))).collect()
}

fn image() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    let told = |kind: Value, about: &str| json!({"type": kind, "readOnly": true, "description": about});
    json!({
        "name": "image",
        "properties": {
            "id": {"type": "string", "pattern": UUID, "description": "An identifier for the image"},
            "name": {"type": ["null", "string"], "maxLength": 255, "description": "Descriptive name for the image"},
            "status": {"type": "string", "readOnly": true, "enum": Status::WORDS, "description": "Status of the image"},
            "visibility": {"type": "string", "enum": Visibility::WORDS, "description": "Scope of image accessibility"},
            "protected": {"type": "boolean", "description": "If true, image will not be deletable."},
            "os_hidden": {"type": "boolean", "description": "If true, image will not appear in default image list response."},
            "checksum": {"type": ["null", "string"], "readOnly": true, "maxLength": 32, "description": "md5 hash of image contents."},
            "os_hash_algo": {"type": ["null", "string"], "readOnly": true, "maxLength": 64, "description": "Algorithm to calculate the os_hash_value"},
            "os_hash_value": {"type": ["null", "string"], "readOnly": true, "maxLength": 128, "description": "Hexdigest of the image contents using the algorithm specified by the os_hash_algo"},
            "owner": {"type": ["null", "string"], "maxLength": 255, "description": "Owner of the image"},
            "size": told(json!(["null", "integer"]), "Size of image file in bytes"),
            "virtual_size": told(json!(["null", "integer"]), "Virtual size of image in bytes"),
            "container_format": {"type": ["null", "string"], "enum": or_null(Container::WORDS), "description": "Format of the container"},
            "disk_format": {"type": ["null", "string"], "enum": or_null(DiskFormat::WORDS), "description": "Format of the disk"},
            "created_at": told(json!("string"), "Date and time of image registration"),
            "updated_at": told(json!("string"), "Date and time of the last image modification"),
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}, "description": "List of strings related to the image"},
            "min_ram": {"type": "integer", "description": "Amount of ram (in MB) required to boot image."},
            "min_disk": {"type": "integer", "description": "Amount of disk space (in GB) required to boot image."},
            "self": told(json!("string"), "An image self url"),
            "file": told(json!("string"), "An image file url"),
            "schema": told(json!("string"), "An image schema url"),
            "architecture": text("Operating system architecture"),
            "os_distro": text("Common name of operating system distribution"),
            "os_version": text("Operating system version as specified by the distributor"),
            "kernel_id": {"type": ["null", "string"], "pattern": UUID, "description": "ID of image that should be used as the kernel when booting an AMI-style image."},
            "ramdisk_id": {"type": ["null", "string"], "pattern": UUID, "description": "ID of image that should be used as the ramdisk when booting an AMI-style image."},
            "instance_uuid": text("ID of the server that this image was made from"),
        },
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })
}

fn task() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    let maybe = |kind: &str, about: &str| json!({"type": ["null", kind], "description": about});
    json!({
        "name": "task",
        "properties": {
            "id": {"type": "string", "pattern": UUID, "description": "An identifier for the task"},
            "type": {"type": "string", "enum": ["import", "api_image_import"], "description": "The type of task"},
            "status": {"type": "string", "enum": TaskStatus::WORDS, "description": "The current status of this task"},
            "input": maybe("object", "What the task was asked to do"),
            "result": maybe("object", "What it came to"),
            "owner": text("The project that the task belongs to"),
            "message": text("Why it failed"),
            "expires_at": maybe("string", "When the task is shown no more"),
            "created_at": text("Date and time of task creation"),
            "updated_at": text("Date and time of the last change of the task"),
            "self": {"type": "string", "readOnly": true},
            "schema": {"type": "string", "readOnly": true},
        },
    })
}

fn member() -> Value {
    json!({
        "name": "member",
        "properties": {
            "member_id": {"type": "string", "description": "An identifier for the image member (tenantId)"},
            "image_id": {"type": "string", "pattern": UUID, "description": "An identifier for the image"},
            "status": {"type": "string", "enum": MemberStatus::WORDS, "description": "The status of this image member"},
            "created_at": {"type": "string", "description": "Date and time of image member creation"},
            "updated_at": {"type": "string", "description": "Date and time of last modification of image member"},
            "schema": {"type": "string", "readOnly": true},
        },
    })
}
