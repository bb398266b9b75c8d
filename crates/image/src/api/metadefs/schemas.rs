//! JSON schemas of metadata definitions.

use super::check::NAME;
use crate::Image;
use crate::api::schemas::list;
use api::{Reply, Req};
use base::{Fault, Result};
use serde_json::{Value, json};
use std::sync::Arc;

pub async fn show(_: Arc<Image>, req: Req) -> Result<Reply> {
    let schema = match req.text_param("name") {
        "namespace" => namespace(),
        "namespaces" => list("namespaces", &namespace()),
        "resource_type" => association(),
        "resource_types" => list("resource_type_associations", &association()),
        "object" => object(),
        "objects" => list("objects", &object()),
        "property" => property(),
        "properties" => json!({
            "name": "properties",
            "properties": {"properties": properties(), "schema": {"type": "string"}},
            "links": [{"rel": "describedby", "href": "{schema}"}],
        }),
        "tag" => tag(),
        "tags" => list("tags", &tag()),
        other => return Err(Fault::not_found(format!("There is no schema metadefs/{other}."))),
    };
    Ok(Reply::json(200, &schema))
}

fn text(about: &str, max: usize) -> Value {
    json!({"type": "string", "description": about, "maxLength": max})
}

fn time(about: &str) -> Value {
    json!({"type": "string", "readOnly": true, "description": about, "format": "date-time"})
}

/// Named definitions.
fn properties() -> Value {
    json!({"type": "object", "additionalProperties": definition()})
}

/// What one property may be, and how it is asked for.
fn definition() -> Value {
    let whole = json!({"type": "integer", "minimum": 0});
    let types = json!(["array", "boolean", "integer", "number", "object", "string"]);
    json!({
        "type": "object",
        "required": ["title", "type"],
        "properties": {
            "title": {"type": "string"},
            "description": {"type": "string"},
            "operators": {"type": "array", "items": {"type": "string"}},
            "type": {"type": "string", "enum": types},
            "required": {"type": "boolean"},
            "readonly": {"type": "boolean"},
            "confidential": {"type": "boolean"},
            "minimum": {"type": "number"},
            "maximum": {"type": "number"},
            "minLength": whole, "maxLength": whole,
            "pattern": {"type": "string", "format": "regex"},
            "enum": {"type": "array"},
            "items": {"type": "object", "properties": {"type": {"type": "string", "enum": types}, "enum": {"type": "array"}}},
            "minItems": whole, "maxItems": whole,
            "uniqueItems": {"type": "boolean"},
            "additionalItems": {"type": "boolean"},
            "default": {},
        },
    })
}

fn property() -> Value {
    let mut schema = definition();
    schema["name"] = json!("property");
    schema["required"] = json!(["name", "title", "type"]);
    schema["properties"]["name"] = text("How the property is called", NAME);
    schema
}

fn object() -> Value {
    json!({
        "name": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": text("How the object is called", NAME),
            "description": text("What it is", 500),
            "required": {"type": "array", "items": {"type": "string"}},
            "properties": properties(),
            "created_at": time("Date and time of object creation"),
            "updated_at": time("Date and time of the last object modification"),
            "self": {"type": "string"},
            "schema": {"type": "string"},
        },
    })
}

fn association() -> Value {
    json!({
        "name": "resource_type_association",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": text("The resource type, aligned with Heat's names where there is one", NAME),
            "prefix": text("What goes before the names of properties where they are used", NAME),
            "properties_target": text("Which properties of the resource are meant, such as `image` of a server's volume", NAME),
            "created_at": time("Date and time of resource type association"),
            "updated_at": time("Date and time of the last resource type association modification"),
        },
    })
}

fn tag() -> Value {
    json!({
        "name": "tag",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": text("The tag", NAME),
            "created_at": time("Date and time of tag creation"),
            "updated_at": time("Date and time of the last tag modification"),
        },
    })
}

fn namespace() -> Value {
    json!({
        "name": "namespace",
        "additionalProperties": false,
        "required": ["namespace"],
        "properties": {
            "namespace": text("The unique name of the namespace", NAME),
            "display_name": text("The name for people", NAME),
            "description": text("What the namespace is for", 500),
            "visibility": {"type": "string", "enum": ["public", "private"], "description": "Who sees it"},
            "protected": {"type": "boolean", "description": "If true, namespace will not be deletable."},
            "owner": text("The project that it belongs to", 255),
            "created_at": time("Date and time of namespace creation"),
            "updated_at": time("Date and time of the last namespace modification"),
            "schema": {"type": "string", "readOnly": true},
            "self": {"type": "string", "readOnly": true},
            "resource_type_associations": {"type": "array", "items": association()},
            "properties": properties(),
            "objects": {"type": "array", "items": object()},
            "tags": {"type": "array", "items": tag()},
        },
    })
}
