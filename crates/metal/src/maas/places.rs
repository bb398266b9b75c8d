//! `zones/` and `resourcepools/`: the two names that every machine stands under.

use super::fields::invalid;
use super::view::named_view;
use super::{Call, Door, missing};
use crate::table::named::{self, Kind, Named};
use api::Reply;
use base::{Fault, Result};
use std::sync::Arc;
use store::{Tx, log::audit};

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Zone => "zone",
        Kind::Pool => "pool",
    }
}

/// The one in the path, by the name that clients know the variable by.
fn key(call: &Call, kind: Kind) -> &str {
    call.param(match kind {
        Kind::Zone => "name",
        Kind::Pool => "id",
    })
}

/// The refusal of a name, as MAAS says it.
fn of_name(fault: Fault) -> Fault {
    match fault.kind {
        base::Kind::BadRequest | base::Kind::Conflict => invalid("name", fault.message),
        _ => fault,
    }
}

fn get(tx: &Tx<'_>, kind: Kind, key: &str) -> Result<Named> {
    named::find(tx, kind, key).map_err(|f| f.or_missing(missing))
}

pub async fn list(door: Arc<Door>, kind: Kind) -> Result<Reply> {
    let all = door.db.read(move |tx| named::all(tx, kind)).await?;
    Ok(Reply::json(200, &all.iter().map(|n| named_view(kind, n)).collect()))
}

pub async fn create(door: Arc<Door>, call: Call, kind: Kind) -> Result<Reply> {
    let name = call.fields.need("name")?;
    let description = call.fields.text("description")?.unwrap_or_default();
    let made = move |tx: &Tx<'_>| {
        let made = named::create(tx, kind, &name, &description).map_err(of_name)?;
        audit(tx, &call.who(), &format!("{}.create", word(kind)), &made.id)?;
        Ok(made)
    };
    Ok(Reply::json(200, &named_view(kind, &door.db.write(made).await?)))
}

pub async fn read(door: Arc<Door>, call: Call, kind: Kind) -> Result<Reply> {
    let found = door.db.read(move |tx| get(tx, kind, key(&call, kind))).await?;
    Ok(Reply::json(200, &named_view(kind, &found)))
}

pub async fn update(door: Arc<Door>, call: Call, kind: Kind) -> Result<Reply> {
    let (name, description) = (call.fields.text("name")?, call.fields.raw_text("description")?);
    let changed = move |tx: &Tx<'_>| {
        let old = get(tx, kind, key(&call, kind))?;
        audit(tx, &call.who(), &format!("{}.update", word(kind)), &old.id)?;
        named::change(tx, kind, &old.id, name.as_deref(), description.as_deref()).map_err(of_name)
    };
    Ok(Reply::json(200, &named_view(kind, &door.db.write(changed).await?)))
}

/// Its machines go to the default. One that is not there any more is deleted all the same.
pub async fn delete(door: Arc<Door>, call: Call, kind: Kind) -> Result<Reply> {
    door.db
        .write(move |tx| {
            let old = get(tx, kind, key(&call, kind))?;
            audit(tx, &call.who(), &format!("{}.delete", word(kind)), &old.id)?;
            named::delete(tx, kind, &old.id).map_err(|f| Fault { kind: base::Kind::BadRequest, ..f })
        })
        .await?;
    Ok(Reply::empty(204))
}
