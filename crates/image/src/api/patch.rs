//! Changes to an image: a list of operations, in the two forms that the API has had.
//!
//! `[{"op": "replace", "path": "/name", "value": "x"}]` with media type v2.1, and
//! `[{"replace": "/name", "value": "x"}]` with v2.0. All of them hold, or none.

use crate::attribute::{self, Name};
use crate::limits::Limits;
use crate::model::Shown;
use crate::{Image, table};
use api::{Auth, Reply, Req};
use base::{Fault, ImageId, Kind, Result};
use serde_json::{Map, Value};
use std::sync::Arc;
use store::{Tx, log};

const V21: &str = "application/openstack-images-v2.1-json-patch";
const V20: &str = "application/openstack-images-v2.0-json-patch";
/// Longest list of operations, in bytes.
const LONGEST: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// Makes a property that is not there yet: `add` of v2.0.
    Add,
    /// Makes a property or gives it another value: `add` of v2.1, which SDKs change images with (RFC 6902).
    Put,
    Replace,
    Remove,
}

impl Op {
    fn of(word: &str) -> Option<Op> {
        match word {
            "add" => Some(Op::Add),
            "replace" => Some(Op::Replace),
            "remove" => Some(Op::Remove),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Change {
    op: Op,
    key: String,
    /// Null for removals.
    value: Value,
}

pub async fn patch(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let old_form = media(req.header("content-type").unwrap_or(""))?;
    let body = req.bytes(LONGEST).await?;
    let changes = parse(&body, old_form)?;
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    let limits = image.limits.clone();
    let changed = image.db.write(move |tx| {
        let changed = apply(tx, &auth, &limits, id, &changes)?;
        log::audit(tx, &who, "image.update", &id.to_string())?;
        Ok(changed)
    });
    Ok(Reply::json(200, &changed.await?.view()))
}

/// True for the form of v2.0.
fn media(kind: &str) -> Result<bool> {
    match kind.split(';').next().unwrap_or("").trim() {
        V21 => Ok(false),
        V20 => Ok(true),
        other => Err(Fault::new(
            Kind::UnsupportedMedia,
            format!("An image is changed with the media type {V21}, not {other:?}."),
        )
        .header("accept-patch", format!("{V21}, {V20}"))),
    }
}

fn parse(body: &[u8], old_form: bool) -> Result<Vec<Change>> {
    let Value::Array(list) = api::body::json(body)? else {
        return Err(Fault::bad_request("Request body must be a JSON array of operation objects."));
    };
    let changes = list.into_iter().map(|v| match v {
        Value::Object(map) => change(map, old_form),
        _ => Err(Fault::bad_request("Operations must be JSON objects.")),
    });
    changes.collect()
}

fn change(mut map: Map<String, Value>, old_form: bool) -> Result<Change> {
    let (op, path) = if old_form {
        let mut named = map.iter().filter_map(|(k, v)| Op::of(k).map(|op| (op, v)));
        match (named.next(), named.next()) {
            (Some((op, path)), None) => (op, path.as_str().map(str::to_owned)),
            _ => {
                return Err(Fault::bad_request(
                    "Operation objects must contain exactly one of add, replace, remove.",
                ));
            }
        }
    } else {
        let word = map.get("op").and_then(Value::as_str).unwrap_or("");
        let op = Op::of(word).ok_or_else(|| {
            Fault::bad_request(format!("Operation op must be one of add, replace, remove, not {word:?}."))
        })?;
        let op = if op == Op::Add { Op::Put } else { op };
        (op, map.get("path").and_then(Value::as_str).map(str::to_owned))
    };
    let path = path.ok_or_else(|| Fault::bad_request("Operation objects must have a path."))?;
    let value = match (op, map.remove("value")) {
        (Op::Remove, _) => Value::Null,
        (_, Some(value)) => value,
        (_, None) => return Err(Fault::bad_request("Operation add and replace must have a value.")),
    };
    Ok(Change { op, key: pointer(&path)?, value })
}

/// The attribute that a JSON pointer of one part names (RFC 6901).
fn pointer(path: &str) -> Result<String> {
    let invalid = || Fault::bad_request(format!("Invalid JSON pointer for this resource: '{path}'"));
    if path == "/locations" || path.starts_with("/locations/") {
        return Err(Fault::forbidden(
            "It's not allowed to add, remove or replace locations if locations are invisible: where content is kept is the \
             service's matter. Import it with web-download instead.",
        ));
    }
    let part = path.strip_prefix('/').filter(|p| !p.is_empty() && !p.contains('/')).ok_or_else(invalid)?;
    let mut key = String::new();
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        key.push(match (c, if c == '~' { chars.next() } else { None }) {
            ('~', Some('0')) => '~',
            ('~', Some('1')) => '/',
            ('~', _) => return Err(invalid()),
            (c, _) => c,
        });
    }
    Ok(key)
}

fn apply(tx: &Tx<'_>, auth: &Auth, limits: &Limits, id: ImageId, changes: &[Change]) -> Result<Shown> {
    let row = table::image::changeable(tx, auth, id)?;
    let (owner, was) = (row.owner.clone(), row.visibility);
    let mut image = table::image::complete_one(tx, row)?;
    for c in changes {
        one(&mut image, auth, c)?;
    }
    attribute::check(&image, Some(was), auth, limits)?;
    if image.row.owner != owner {
        limits.hand_over(tx, &owner, &image.row.owner, image.row.bytes())?;
    }
    table::image::update(tx, &image)?;
    let row = table::image::find(tx, id)?.ok_or_else(|| crate::model::unknown(id))?;
    Ok(Shown { row, ..image })
}

fn one(image: &mut Shown, auth: &Auth, c: &Change) -> Result<()> {
    let key = &c.key;
    let (kind, there) = (attribute::settable(key)?, image.properties.contains_key(key));
    match (kind, c.op) {
        (Name::Property, Op::Add) if there => {
            Err(Fault::conflict(format!("Property {key} already present.")))
        }
        (Name::Property, Op::Replace | Op::Remove) if !there => {
            Err(Fault::conflict(format!("Property {key} does not exist.")))
        }
        (Name::Property, Op::Remove) => {
            image.properties.remove(key);
            Ok(())
        }
        (_, Op::Remove) => Err(Fault::forbidden(format!("Property {key} may not be removed."))),
        _ => attribute::set(image, auth, key, &c.value),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, pointer};

    #[test]
    fn pointers_name_one_attribute() {
        assert_eq!(pointer("/name").unwrap(), "name");
        assert_eq!(pointer("/a~1b~0c~01").unwrap(), "a/b~c~1");
        assert_eq!(pointer("/locations/-").unwrap_err().kind, Kind::Forbidden);
        for bad in ["name", "/", "", "/a/b", "//a", "/a/", "/a~", "/a~2"] {
            assert!(pointer(bad).is_err(), "{bad}");
        }
    }
}
