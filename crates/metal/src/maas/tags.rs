//! `tags/`: words on machines.

use super::fields::invalid;
use super::machines::{find, own, show_all, visible};
use super::{Call, Door, missing};
use crate::table::list::{self, Filter};
use crate::table::tag::{self, Tag};
use api::Reply;
use base::Result;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log::audit};

const MOST: usize = 20_000;

fn view(t: &Tag) -> Value {
    json!({
        "name": t.name, "comment": t.comment, "definition": t.definition, "kernel_opts": t.kernel_opts,
        "resource_uri": format!("/MAAS/api/2.0/tags/{}/", t.name),
    })
}

fn get(tx: &Tx<'_>, name: &str) -> Result<Tag> {
    tag::all(tx)?.into_iter().find(|t| t.name == name).ok_or_else(missing)
}

fn no_definition(call: &Call) -> Result<()> {
    match call.fields.text("definition")? {
        None => Ok(()),
        Some(_) => Err(invalid(
            "definition",
            "Tags by XPath over lshw are not made here: what a machine is made of gives it tags by itself.",
        )),
    }
}

pub async fn list(door: Arc<Door>, _: Call) -> Result<Reply> {
    let all = door.db.read(tag::all).await?;
    Ok(Reply::json(200, &all.iter().map(view).collect()))
}

pub async fn read(door: Arc<Door>, call: Call) -> Result<Reply> {
    let found = door.db.read(move |tx| get(tx, call.param("name"))).await?;
    Ok(Reply::json(200, &view(&found)))
}

pub async fn create(door: Arc<Door>, call: Call) -> Result<Reply> {
    no_definition(&call)?;
    let new = Tag {
        name: call.fields.need("name")?,
        comment: call.fields.text("comment")?.unwrap_or_default(),
        kernel_opts: call.fields.text("kernel_opts")?.unwrap_or_default(),
        definition: String::new(),
    };
    let made = move |tx: &Tx<'_>| {
        if get(tx, &new.name).is_ok() {
            return Err(invalid("name", "Tag with this Name already exists."));
        }
        tag::define(tx, &new).map_err(|f| invalid("name", f.message))?;
        audit(tx, &call.who(), "tag.create", &new.name)?;
        Ok(view(&new))
    };
    Ok(Reply::json(200, &door.db.write(made).await?))
}

pub async fn update(door: Arc<Door>, call: Call) -> Result<Reply> {
    no_definition(&call)?;
    let name = call.param("name").to_owned();
    if call.fields.text("name")?.is_some_and(|n| n != name) {
        return Err(invalid("name", "A tag keeps its name. Make another and put it onto the machines."));
    }
    let (comment, opts) = (call.fields.raw_text("comment")?, call.fields.raw_text("kernel_opts")?);
    let changed = move |tx: &Tx<'_>| {
        let mut t = get(tx, &name)?;
        t.comment = comment.unwrap_or(t.comment);
        t.kernel_opts = opts.unwrap_or(t.kernel_opts);
        tag::define(tx, &t)?;
        audit(tx, &call.who(), "tag.update", &t.name)?;
        Ok(view(&t))
    };
    Ok(Reply::json(200, &door.db.write(changed).await?))
}

pub async fn delete(door: Arc<Door>, call: Call) -> Result<Reply> {
    door.db
        .write(move |tx| {
            let t = get(tx, call.param("name"))?;
            tag::forget(tx, &t.name)?;
            audit(tx, &call.who(), "tag.delete", &t.name)
        })
        .await?;
    Ok(Reply::empty(204))
}

/// GET tags/NAME/?op=machines, and op=nodes.
pub async fn machines(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let of = move |tx: &Tx<'_>| {
        let t = get(tx, call.param("name"))?;
        let mut all = list::all(tx, &Filter { tags: vec![t.name], ..Filter::default() }, MOST)?;
        all.retain(|m| visible(&call.auth, m));
        show_all(&metal, tx, all)
    };
    Ok(Reply::json(200, &Value::Array(door.db.read(of).await?)))
}

/// POST tags/NAME/?op=update_nodes (`add`, `remove`).
pub async fn update_nodes(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (add, remove) = (call.fields.words("add")?, call.fields.words("remove")?);
    let done = move |tx: &Tx<'_>| {
        let t = get(tx, call.param("name"))?;
        for id in &add {
            let m = if call.is_admin() { find(tx, &call.auth, id)? } else { own(tx, &call.auth, id)? };
            tag::add(tx, m.id, &t.name)?;
            audit(tx, &call.who(), "machine.tag", &m.id.to_string())?;
        }
        for id in &remove {
            let m = find(tx, &call.auth, id)?;
            tag::remove(tx, m.id, &t.name)?;
            audit(tx, &call.who(), "machine.untag", &m.id.to_string())?;
        }
        Ok(json!({"added": add.len(), "removed": remove.len()}))
    };
    Ok(Reply::json(200, &door.db.write(done).await?))
}
