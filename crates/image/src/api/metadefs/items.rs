//! Objects, properties and tags of a namespace.

use super::{ITEMS, LARGEST_PAGE, PAGE, check, encoded, visible};
use crate::Image;
use crate::api::list::{address, without_marker};
use crate::table::metadef::{self, Item, Kind, Namespace};
use api::{Obj, Page, Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Tx, log};

fn path(n: &Namespace, nouns: &str, name: &str) -> String {
    format!("/v2/metadefs/namespaces/{}/{nouns}/{}", encoded(&n.name), encoded(name))
}

/// An object; `prefix` goes before the names of its properties.
pub fn object_view(n: &Namespace, o: &Item, prefix: &str) -> Value {
    let mut view = o.body.clone();
    if !prefix.is_empty() {
        if let Some(Value::Object(properties)) = view.get_mut("properties") {
            let named = std::mem::take(properties).into_iter().map(|(k, v)| (format!("{prefix}{k}"), v));
            *properties = named.collect();
        }
        if let Some(Value::Array(required)) = view.get_mut("required") {
            for name in required.iter_mut() {
                *name = Value::from(format!("{prefix}{}", name.as_str().unwrap_or_default()));
            }
        }
    }
    view.insert("name".into(), Value::from(o.name.as_str()));
    view.insert("created_at".into(), Value::from(o.created_at.seconds_z()));
    view.insert("updated_at".into(), Value::from(o.updated_at.seconds_z()));
    view.insert("self".into(), Value::from(path(n, "objects", &o.name)));
    view.insert("schema".into(), Value::from("/v2/schemas/metadefs/object"));
    Value::Object(view)
}

fn property_view(p: &Item, prefix: &str) -> Value {
    let mut view = p.body.clone();
    view.insert("name".into(), Value::from(format!("{prefix}{}", p.name)));
    Value::Object(view)
}

fn tag_view(t: &Item) -> Value {
    json!({
        "name": t.name,
        "created_at": t.created_at.seconds_z(),
        "updated_at": t.updated_at.seconds_z(),
    })
}

fn view(n: &Namespace, kind: Kind, item: &Item) -> Value {
    match kind {
        Kind::Object => object_view(n, item, ""),
        Kind::Property => property_view(item, ""),
        Kind::Tag => tag_view(item),
    }
}

// ------------------------------------------------------------------------------ for every kind

/// A page of items, by name.
async fn list(image: Arc<Image>, req: Req, kind: Kind, nouns: &str) -> Result<Reply> {
    let page = Page::parse(&req.query, Some(PAGE), LARGEST_PAGE)?;
    let same = without_marker(req.uri.query());
    let (name, auth, ask) = (req.text_param("ns").to_owned(), req.auth.clone(), page.clone());
    let found = image.db.read(move |tx| {
        let n = visible(tx, &auth, &name)?;
        if let Some(marker) = &ask.marker {
            metadef::one(tx, &n, kind, marker)?;
        }
        let mut all = metadef::items(tx, &n, kind)?;
        all.retain(|i| ask.marker.as_ref().is_none_or(|m| i.name > *m));
        Ok((n, all))
    });
    let (n, mut all) = found.await?;
    let more = page.cut(&mut all);
    let here = format!("/v2/metadefs/namespaces/{}/{nouns}", encoded(&n.name));
    let shown =
        all.iter().map(|i| if kind == Kind::Tag { json!({"name": i.name}) } else { view(&n, kind, i) });
    let mut body = Map::new();
    body.insert(nouns.into(), shown.collect());
    body.insert("schema".into(), Value::from(format!("/v2/schemas/metadefs/{nouns}")));
    body.insert("first".into(), address(&here, &same, None));
    if let (true, Some(last)) = (more, all.last()) {
        body.insert("next".into(), address(&here, &same, Some(&encoded(&last.name))));
    }
    Ok(Reply::json(200, &Value::Object(body)))
}

async fn show(image: Arc<Image>, req: Req, kind: Kind) -> Result<Reply> {
    let (ns, name) = (req.text_param("ns").to_owned(), req.text_param("name").to_owned());
    let auth = req.auth.clone();
    let found = image.db.read(move |tx| {
        let n = visible(tx, &auth, &ns)?;
        let item = metadef::one(tx, &n, kind, &name)?;
        Ok(view(&n, kind, &item))
    });
    Ok(Reply::json(200, &found.await?))
}

fn add(tx: &Tx<'_>, n: &Namespace, kind: Kind, item: &Item) -> Result<()> {
    metadef::add(tx, n, kind, item)?;
    if metadef::items(tx, n, kind)?.len() > ITEMS {
        let kind = kind.as_str();
        return Err(Fault::forbidden(format!(
            "A namespace holds at most {ITEMS} definitions of the kind {kind}."
        )));
    }
    Ok(())
}

async fn create(image: Arc<Image>, req: &Req, kind: Kind, item: Item) -> Result<Reply> {
    let (ns, auth, who) = (req.text_param("ns").to_owned(), req.auth.clone(), req.who());
    let made = image.db.write(move |tx| {
        let n = visible(tx, &auth, &ns)?;
        add(tx, &n, kind, &item)?;
        log::audit(tx, &who, &format!("metadef.{}.create", kind.as_str()), &ns)?;
        Ok(view(&n, kind, &item))
    });
    Ok(Reply::json(201, &made.await?))
}

/// Puts a definition in the place of one, perhaps under another name.
async fn update(image: Arc<Image>, req: &Req, kind: Kind, new: Item) -> Result<Reply> {
    let (ns, name) = (req.text_param("ns").to_owned(), req.text_param("name").to_owned());
    let (auth, who) = (req.auth.clone(), req.who());
    let changed = image.db.write(move |tx| {
        let n = visible(tx, &auth, &ns)?;
        let old = metadef::one(tx, &n, kind, &name)?;
        let new = Item { created_at: old.created_at, updated_at: Micros::now(), ..new };
        metadef::remove(tx, &n, kind, Some(&name))?;
        metadef::add(tx, &n, kind, &new)?;
        log::audit(tx, &who, &format!("metadef.{}.update", kind.as_str()), &ns)?;
        Ok(view(&n, kind, &new))
    });
    Ok(Reply::json(200, &changed.await?))
}

/// Removes the item that the path names, or all of the kind.
async fn delete(image: Arc<Image>, req: Req, kind: Kind, all: bool) -> Result<Reply> {
    let (ns, name) = (req.text_param("ns").to_owned(), req.text_param("name").to_owned());
    let (auth, who) = (req.auth.clone(), req.who());
    image
        .db
        .write(move |tx| {
            let n = visible(tx, &auth, &ns)?;
            if !all {
                metadef::one(tx, &n, kind, &name)?;
            }
            metadef::remove(tx, &n, kind, (!all).then_some(name.as_str()))?;
            log::audit(tx, &who, &format!("metadef.{}.delete", kind.as_str()), &ns)
        })
        .await?;
    Ok(Reply::empty(204))
}

// ------------------------------------------------------------------------------------- objects

pub async fn objects(image: Arc<Image>, req: Req) -> Result<Reply> {
    list(image, req, Kind::Object, "objects").await
}

pub async fn object(image: Arc<Image>, req: Req) -> Result<Reply> {
    show(image, req, Kind::Object).await
}

async fn object_of(req: &mut Req) -> Result<Item> {
    let (name, body) = check::object(&req.json().await?)?;
    Ok(Item::new(name, body))
}

pub async fn create_object(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let item = object_of(&mut req).await?;
    create(image, &req, Kind::Object, item).await
}

pub async fn update_object(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let item = object_of(&mut req).await?;
    update(image, &req, Kind::Object, item).await
}

pub async fn delete_object(image: Arc<Image>, req: Req) -> Result<Reply> {
    delete(image, req, Kind::Object, false).await
}

pub async fn delete_objects(image: Arc<Image>, req: Req) -> Result<Reply> {
    delete(image, req, Kind::Object, true).await
}

// ---------------------------------------------------------------------------------- properties

pub async fn properties(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (name, auth) = (req.text_param("ns").to_owned(), req.auth.clone());
    let all = image.db.read(move |tx| metadef::items(tx, &visible(tx, &auth, &name)?, Kind::Property));
    let all: Map<_, _> = all.await?.iter().map(|p| (p.name.clone(), property_view(p, ""))).collect();
    Ok(Reply::json(200, &json!({"properties": all})))
}

/// One property; for a resource type, by the name that it has there.
pub async fn property(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (ns, name) = (req.text_param("ns").to_owned(), req.text_param("name").to_owned());
    let (auth, about) = (req.auth.clone(), req.query.get("resource_type").map(str::to_owned));
    let found = image.db.read(move |tx| {
        let n = visible(tx, &auth, &ns)?;
        let all = metadef::associations(tx, std::iter::once(n.id.as_str()))?;
        let prefix = all.into_iter().find(|a| Some(&a.resource_type) == about.as_ref());
        let prefix = prefix.and_then(|a| a.prefix).unwrap_or_default();
        let Some(own) = name.strip_prefix(&prefix) else {
            return Err(Fault::not_found(format!(
                "Property {name} does not start with the expected resource type association prefix of '{prefix}'."
            )));
        };
        Ok(property_view(&metadef::one(tx, &n, Kind::Property, own)?, &prefix))
    });
    Ok(Reply::json(200, &found.await?))
}

async fn property_of(req: &mut Req) -> Result<Item> {
    let mut body = req.json().await?;
    let name = check::required_name(&body)?;
    body.map.remove("name");
    Ok(Item::new(name, check::property("property", &Value::Object(body.map))?))
}

pub async fn create_property(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let item = property_of(&mut req).await?;
    create(image, &req, Kind::Property, item).await
}

pub async fn update_property(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let item = property_of(&mut req).await?;
    update(image, &req, Kind::Property, item).await
}

pub async fn delete_property(image: Arc<Image>, req: Req) -> Result<Reply> {
    delete(image, req, Kind::Property, false).await
}

pub async fn delete_properties(image: Arc<Image>, req: Req) -> Result<Reply> {
    delete(image, req, Kind::Property, true).await
}

// ---------------------------------------------------------------------------------------- tags

pub async fn tags(image: Arc<Image>, req: Req) -> Result<Reply> {
    list(image, req, Kind::Tag, "tags").await
}

pub async fn tag(image: Arc<Image>, req: Req) -> Result<Reply> {
    show(image, req, Kind::Tag).await
}

/// The tags of a list take the place of those that there are, or go beside them when a header says so.
pub async fn create_tags(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let append = req.header("x-openstack-append").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let body = req.json().await?;
    let list = body.opt_list("tags")?.cloned().unwrap_or_default();
    if list.len() > ITEMS {
        return Err(Fault::bad_request(format!("There are {} tags; at most {ITEMS} are taken.", list.len())));
    }
    let named = |v| Ok(Item::new(check::required_name(&Obj::root(v)?)?, Map::new()));
    let new: Vec<Item> = list.into_iter().map(named).collect::<Result<_>>()?;
    let (ns, auth, who) = (req.text_param("ns").to_owned(), req.auth.clone(), req.who());
    let made = image.db.write(move |tx| {
        let n = visible(tx, &auth, &ns)?;
        if !append {
            metadef::remove(tx, &n, Kind::Tag, None)?;
        }
        for tag in &new {
            metadef::add(tx, &n, Kind::Tag, tag)?;
        }
        if metadef::items(tx, &n, Kind::Tag)?.len() > ITEMS {
            return Err(Fault::forbidden(format!("A namespace holds at most {ITEMS} tags.")));
        }
        log::audit(tx, &who, "metadef.tag.create", &ns)?;
        Ok(new)
    });
    let tags: Vec<_> = made.await?.iter().map(|t| json!({"name": t.name})).collect();
    Ok(Reply::json(201, &json!({ "tags": tags })))
}

pub async fn create_tag(image: Arc<Image>, req: Req) -> Result<Reply> {
    let name = req.text_param("name").to_owned();
    check::name("name", &name)?;
    create(image, &req, Kind::Tag, Item::new(name, Map::new())).await
}

pub async fn update_tag(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let name = check::required_name(&req.json().await?)?;
    update(image, &req, Kind::Tag, Item::new(name, Map::new())).await
}

pub async fn delete_tag(image: Arc<Image>, req: Req) -> Result<Reply> {
    delete(image, req, Kind::Tag, false).await
}

pub async fn delete_tags(image: Arc<Image>, req: Req) -> Result<Reply> {
    delete(image, req, Kind::Tag, true).await
}
