//! Users, as Identity has them.

use super::fields::invalid;
use super::{Call, Door, missing};
use api::Reply;
use base::{Fault, Kind, Result};
use identity::people::{self, NewPerson, Person};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most users in a list.
const MOST: usize = 10_000;

pub fn view(p: &Person) -> Value {
    json!({
        "username": p.name, "email": p.email, "is_superuser": p.admin, "is_local": true,
        "resource_uri": format!("/MAAS/api/2.0/users/{}/", p.name),
    })
}

/// GET users/. Who is no administrator sees nobody else.
pub async fn list(door: Arc<Door>, call: Call) -> Result<Reply> {
    if !call.is_admin() {
        let own = whoami_of(&door, &call).await?;
        return Ok(Reply::json(200, &json!([view(&own)])));
    }
    let all = door.db.read(|tx| people::people(tx, MOST)).await?;
    Ok(Reply::json(200, &all.iter().map(view).collect()))
}

/// GET users/?op=whoami.
pub async fn whoami(door: Arc<Door>, call: Call) -> Result<Reply> {
    Ok(Reply::json(200, &view(&whoami_of(&door, &call).await?)))
}

/// The caller; an administrator is who is one with this key.
async fn whoami_of(door: &Door, call: &Call) -> Result<Person> {
    let id = call.auth.user.id.clone();
    let found = door.db.read(move |tx| people::person_of(tx, &id)).await?;
    let mut person = found.ok_or_else(missing)?;
    person.admin = call.is_admin();
    Ok(person)
}

/// GET users/NAME/
pub async fn read(door: Arc<Door>, call: Call) -> Result<Reply> {
    let name = call.param("username").to_owned();
    let own = call.auth.user.name == name;
    if !own && !call.is_admin() {
        return Err(missing());
    }
    let found = door.db.read(move |tx| people::person_named(tx, &name)).await?;
    Ok(Reply::json(200, &view(&found.ok_or_else(missing)?)))
}

/// POST users/ (`username`, `email`, `password`, `is_superuser`): an Identity user. An administrator gets the role
/// admin in the project of the key that asks, others a project of their own.
pub async fn create(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = &call.fields;
    let name = f.need("username")?;
    let good = |c: char| c.is_ascii_alphanumeric() || "@.+-_".contains(c);
    if name.len() > 64 || !name.chars().all(good) {
        return Err(invalid("username", "At most 64 letters, digits and @ . + - _ only."));
    }
    let admin = f.bool("is_superuser")?.ok_or_else(|| invalid("is_superuser", "This field is required."))?;
    let new = NewPerson {
        name,
        email: f.text("email")?.unwrap_or_default(),
        password: f.need("password")?,
        admin_of: if admin { Some(call.auth.project()?.clone()) } else { None },
    };
    let made = door.identity.enlist(call.who(), new).await.map_err(|fault| match fault.kind {
        Kind::Conflict => invalid("username", fault.message),
        Kind::BadRequest => invalid("password", fault.message),
        _ => fault,
    })?;
    Ok(Reply::json(200, &view(&made)))
}

/// DELETE users/NAME/, unless machines or addresses are the user's.
pub async fn delete(door: Arc<Door>, call: Call) -> Result<Reply> {
    let name = call.param("username").to_owned();
    if call.fields.text("transfer_resources_to")?.is_some() {
        return Err(invalid(
            "transfer_resources_to",
            "What belongs to projects stays there; nothing is handed over.",
        ));
    }
    if call.auth.user.name == name {
        return Err(Fault::bad_request("An administrator cannot self-delete."));
    }
    let found = door.db.read(move |tx| people::person_named(tx, &name)).await?.ok_or_else(missing)?;
    let may = |tx: &store::Tx<'_>, user: &base::UserId| {
        let of = |sql| tx.one(sql, store::params![user], |r| r.get::<i64>(0));
        let machines = of("SELECT COUNT(*) FROM machine WHERE user_id = $1 AND deleted_at IS NULL")?;
        let addresses = of("SELECT COUNT(*) FROM metal_address WHERE user_id = $1 AND kind = 'user'")?;
        if machines + addresses > 0 {
            return Err(Fault::bad_request(format!(
                "The user cannot be deleted: {machines} machines are allocated and {addresses} addresses kept."
            )));
        }
        for table in ["maas_key", "maas_file", "metal_key"] {
            tx.exec(&format!("DELETE FROM {table} WHERE user_id = $1"), store::params![user])?;
        }
        Ok(())
    };
    door.identity.dismiss(call.who(), found.id, may).await?;
    Ok(Reply::empty(204))
}
