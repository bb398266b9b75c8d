//! What a definition may be.

use api::Obj;
use base::{Fault, Result};
use serde_json::{Map, Value};

/// Longest name of anything, in characters.
pub const NAME: usize = 80;
const TEXT: usize = 500;
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

fn invalid(at: &str, why: &str) -> Fault {
    Fault::bad_request(format!("Provided object does not match schema: {at}: {why}."))
}

/// A name: 1 to 80 characters.
pub fn name(at: &str, text: &str) -> Result<()> {
    match text.chars().count() {
        1..=NAME => Ok(()),
        0 => Err(invalid(at, "it is empty")),
        _ => Err(invalid(at, &format!("it is longer than {NAME} characters"))),
    }
}

/// # Errors
/// 400 for a field that the object does not have.
pub fn only(body: &Obj, known: &[&str]) -> Result<()> {
    match body.map.keys().find(|k| !known.contains(&k.as_str())) {
        None => Ok(()),
        Some(key) => Err(invalid(key, "additional properties are not allowed")),
    }
}

/// The definition of one property. Answers it without nulls.
pub fn property(at: &str, value: &Value) -> Result<Map<String, Value>> {
    let Value::Object(map) = value else { return Err(invalid(at, "it is not of type 'object'")) };
    let mut map = map.clone();
    map.retain(|_, v| !v.is_null());
    for key in ["title", "type"] {
        if !map.contains_key(key) {
            return Err(invalid(at, &format!("'{key}' is a required property")));
        }
    }
    for (key, value) in &map {
        let here = format!("{at}.{key}");
        match key.as_str() {
            "title" => text(&here, value, NAME)?,
            "description" => text(&here, value, TEXT)?,
            "pattern" => text(&here, value, TEXT)?,
            "type" => one_of(&here, value)?,
            "operators" | "enum" => list(&here, value)?,
            "readonly" | "required" | "confidential" | "uniqueItems" | "additionalItems" => {
                flag(&here, value)?
            }
            "minimum" | "maximum" if value.is_number() => {}
            "minimum" | "maximum" => return Err(invalid(&here, "it is not of type 'number'")),
            "minLength" | "maxLength" | "minItems" | "maxItems" if value.as_u64().is_some() => {}
            "minLength" | "maxLength" | "minItems" | "maxItems" => {
                return Err(invalid(&here, "it is not a whole number of 0 or more"));
            }
            "items" => items(&here, value)?,
            "default" => {}
            _ => return Err(invalid(&here, "additional properties are not allowed")),
        }
    }
    Ok(map)
}

fn text(at: &str, value: &Value, max: usize) -> Result<()> {
    match value {
        Value::String(s) if s.chars().count() <= max => Ok(()),
        Value::String(_) => Err(invalid(at, &format!("it is longer than {max} characters"))),
        _ => Err(invalid(at, "it is not of type 'string'")),
    }
}

fn one_of(at: &str, value: &Value) -> Result<()> {
    if value.as_str().is_some_and(|t| TYPES.contains(&t)) {
        return Ok(());
    }
    Err(invalid(at, &format!("it is not one of {}", TYPES.join(", "))))
}

fn list(at: &str, value: &Value) -> Result<()> {
    if value.is_array() { Ok(()) } else { Err(invalid(at, "it is not of type 'array'")) }
}

fn flag(at: &str, value: &Value) -> Result<()> {
    if value.is_boolean() { Ok(()) } else { Err(invalid(at, "it is not of type 'boolean'")) }
}

fn items(at: &str, value: &Value) -> Result<()> {
    let Value::Object(map) = value else { return Err(invalid(at, "it is not of type 'object'")) };
    for (key, value) in map {
        let here = format!("{at}.{key}");
        match key.as_str() {
            "type" => one_of(&here, value)?,
            "enum" => list(&here, value)?,
            _ => return Err(invalid(&here, "additional properties are not allowed")),
        }
    }
    Ok(())
}

/// Named definitions of properties.
pub fn properties(at: &str, value: Option<&Value>) -> Result<Vec<(String, Map<String, Value>)>> {
    let map = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(invalid(at, "it is not of type 'object'")),
    };
    if map.len() > super::ITEMS {
        return Err(invalid(at, &format!("it has more than {} members", super::ITEMS)));
    }
    let one = |(key, value): (&String, &Value)| {
        name(at, key)?;
        Ok((key.clone(), property(&format!("{at}.{key}"), value)?))
    };
    map.iter().map(one).collect()
}

/// An object: its name, and its definition without it.
pub fn object(body: &Obj) -> Result<(String, Map<String, Value>)> {
    only(
        body,
        &["name", "description", "required", "properties", "created_at", "updated_at", "self", "schema"],
    )?;
    let own = required_name(body)?;
    let mut map = Map::new();
    if let Some(description) = body.opt_str("description", TEXT)? {
        map.insert("description".into(), Value::from(description));
    }
    let required = body.opt_strs("required", NAME)?.unwrap_or_default();
    map.insert("required".into(), Value::from(required));
    let properties = properties("properties", body.map.get("properties"))?;
    let properties: Map<_, _> = properties.into_iter().map(|(k, v)| (k, Value::Object(v))).collect();
    map.insert("properties".into(), Value::Object(properties));
    Ok((own, map))
}

/// The field `name`, which everything has.
pub fn required_name(body: &Obj) -> Result<String> {
    match body.map.get("name") {
        Some(Value::String(text)) => name("name", text).map(|()| text.clone()),
        None => Err(invalid("body", "'name' is a required property")),
        Some(_) => Err(invalid("name", "it is not of type 'string'")),
    }
}
