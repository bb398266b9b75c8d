//! Attributes and properties as clients set them, the same in POST and PATCH.

use crate::limits::{Limits, at_most};
use crate::model::{Container, DiskFormat, Shown, Status, Visibility};
use api::Auth;
use base::{Fault, ProjectId, Result};
use serde_json::Value;
use std::collections::BTreeSet;

/// Longest name, tag and property name, in characters.
const NAME: usize = 255;
/// Longest value of a property, in characters.
const VALUE: usize = 65_535;
/// GiB and MiB that one may ask for; 32-bit as in the schema of other clouds.
const LARGEST: i64 = i32::MAX as i64;

/// What a name of an image's JSON stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Set by clients.
    Attribute,
    /// Told by us only.
    ReadOnly,
    /// Belongs to parts of the API that are not offered, or to the service.
    Reserved,
    /// Anything else: an extra property.
    Property,
}

pub fn name(text: &str) -> Name {
    match text {
        "name" | "visibility" | "disk_format" | "container_format" | "min_disk" | "min_ram" | "protected"
        | "os_hidden" | "owner" | "tags" => Name::Attribute,
        "id" | "status" | "checksum" | "size" | "virtual_size" | "created_at" | "updated_at"
        | "os_hash_algo" | "os_hash_value" | "self" | "file" | "schema" | "direct_url" | "stores" => {
            Name::ReadOnly
        }
        "deleted" | "deleted_at" | "location" | "locations" => Name::Reserved,
        t if t.starts_with("os_glance") => Name::Reserved,
        _ => Name::Property,
    }
}

/// # Errors
/// 403 for names that clients cannot set.
pub fn settable(text: &str) -> Result<Name> {
    match name(text) {
        Name::ReadOnly => Err(Fault::forbidden(format!("Attribute '{text}' is read-only."))),
        Name::Reserved => Err(Fault::forbidden(format!("Attribute '{text}' is reserved."))),
        other => Ok(other),
    }
}

/// Sets an attribute or a property.
///
/// # Errors
/// 400 for a value of the wrong kind, 403 for what the caller may not set.
pub fn set(image: &mut Shown, auth: &Auth, key: &str, value: &Value) -> Result<()> {
    if settable(key)? == Name::Property {
        let value = text(key, value, VALUE)?
            .ok_or_else(|| invalid(key, "null is not of type 'string'; remove the property instead"))?;
        property_name(key)?;
        image.properties.insert(key.to_owned(), value);
        return Ok(());
    }
    let row = &mut image.row;
    match key {
        "name" => row.name = text(key, value, NAME)?,
        "visibility" => {
            let word = word(key, value, Visibility::of, Visibility::WORDS)?;
            row.visibility = word.ok_or_else(|| invalid(key, "null is not of type 'string'"))?;
        }
        "disk_format" => {
            let new = word(key, value, DiskFormat::of, DiskFormat::WORDS)?;
            if new != row.disk_format {
                only_queued(row.status, key)?;
            }
            row.disk_format = new;
        }
        "container_format" => {
            let new = word(key, value, Container::of, Container::WORDS)?;
            if new != row.container {
                only_queued(row.status, key)?;
            }
            row.container = new;
        }
        "min_disk" => row.min_disk = number(key, value)?,
        "min_ram" => row.min_ram = number(key, value)?,
        "protected" => row.protected = boolean(key, value)?,
        "os_hidden" => row.hidden = boolean(key, value)?,
        "owner" => row.owner = owner(auth, &row.owner, value)?,
        _ => image.tags = tags(value)?,
    }
    Ok(())
}

/// The rules that hold for the image as a whole, after all changes.
///
/// # Errors
/// 403 for a public image of somebody who is no admin, 413 for too many tags or properties.
pub fn check(image: &Shown, was: Option<Visibility>, auth: &Auth, limits: &Limits) -> Result<()> {
    let public = image.row.visibility == Visibility::Public && was != Some(Visibility::Public);
    if public && !auth.is_admin() {
        return Err(Fault::forbidden(
            "You are not authorized to complete publicize_image action: only an administrator makes images public. \
             `community` shows an image to everybody who knows its id.",
        ));
    }
    at_most("tags", image.tags.len(), limits.tags)?;
    at_most("properties", image.properties.len(), limits.properties)
}

/// # Errors
/// 400 for a tag that is empty or too long.
pub fn tag(text: &str) -> Result<()> {
    if text.is_empty() || text.chars().count() > NAME || text.contains('\0') {
        return Err(invalid("tags", &format!("each is 1 to {NAME} characters")));
    }
    Ok(())
}

/// # Errors
/// 400 for an extra property that cannot be: a name that means something else, or one that is too long.
pub fn property(key: &str, value: &str) -> Result<()> {
    if name(key) != Name::Property {
        return Err(Fault::bad_request(format!("'{key}' is no name for a property of an image.")));
    }
    property_name(key)?;
    text(key, &Value::from(value), VALUE).map(drop)
}

fn property_name(key: &str) -> Result<()> {
    if key.is_empty() || key.chars().count() > NAME || key.contains('\0') {
        return Err(Fault::bad_request(format!("A property's name is 1 to {NAME} characters.")));
    }
    Ok(())
}

fn only_queued(status: Status, key: &str) -> Result<()> {
    if status == Status::Queued {
        return Ok(());
    }
    Err(Fault::forbidden(format!("Attribute {key} can be only replaced for a queued image.")))
}

fn owner(auth: &Auth, present: &ProjectId, value: &Value) -> Result<ProjectId> {
    let Some(asked) = text("owner", value, 64)?.filter(|o| !o.is_empty()) else {
        return Ok(present.clone());
    };
    if asked != present.as_str() && !auth.is_admin() {
        return Err(Fault::forbidden(format!("You are not permitted to create images owned by '{asked}'.")));
    }
    Ok(ProjectId(asked))
}

fn tags(value: &Value) -> Result<BTreeSet<String>> {
    let Value::Array(all) = value else { return Err(invalid("tags", "it is not of type 'array'")) };
    let mut tags = BTreeSet::new();
    for v in all {
        let Value::String(t) = v else { return Err(invalid("tags", "each is of type 'string'")) };
        tag(t)?;
        tags.insert(t.clone());
    }
    Ok(tags)
}

fn invalid(key: &str, why: &str) -> Fault {
    Fault::bad_request(format!("Provided object does not match schema 'image': {key}: {why}."))
}

fn text(key: &str, value: &Value, max: usize) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(s) if s.chars().count() > max => {
            Err(invalid(key, &format!("it is longer than {max} characters")))
        }
        Value::String(s) if s.contains('\0') => Err(invalid(key, "it holds a zero character")),
        Value::String(s) => Ok(Some(s.clone())),
        other => Err(invalid(key, &format!("{} is not of type 'string'", short(other)))),
    }
}

fn word<T>(key: &str, value: &Value, of: fn(&str) -> Option<T>, words: &[&str]) -> Result<Option<T>> {
    let Some(s) = text(key, value, NAME)? else { return Ok(None) };
    match of(&s) {
        Some(word) => Ok(Some(word)),
        None => Err(invalid(key, &format!("'{s}' is not one of {}", words.join(", ")))),
    }
}

fn number(key: &str, value: &Value) -> Result<i64> {
    let n =
        value.as_i64().ok_or_else(|| invalid(key, &format!("{} is not of type 'integer'", short(value))))?;
    if !(0..=LARGEST).contains(&n) {
        return Err(invalid(key, &format!("{n} is not between 0 and {LARGEST}")));
    }
    Ok(n)
}

fn boolean(key: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| invalid(key, &format!("{} is not of type 'boolean'", short(value))))
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(100).collect()
}
