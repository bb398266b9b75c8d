//! Users, as Identity has them. Only looking: who may make users does so with Identity's own API, where what
//! a user may do is decided as well.

use super::{Call, Door, missing};
use api::Reply;
use base::{Fault, Kind, Result};
use identity::people::{self, Person};
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

/// POST users/ and DELETE users/NAME/
pub async fn elsewhere(_: Arc<Door>, _: Call) -> Result<Reply> {
    Err(Fault::new(
        Kind::NotImplemented,
        "Users are made and deleted with the Identity API: `openstack user create`, then `openstack role add`, then \
         `hanok admin maas-key USER` for a key.",
    ))
}
