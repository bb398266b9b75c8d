//! Namespaces.

use super::{LARGEST_PAGE, PAGE, check, encoded, items, resource_types, visible};
use crate::Image;
use crate::api::list::{address, without_marker};
use crate::table::metadef::{self, Association, COLUMNS, Item, Kind, Namespace};
use api::{Auth, Obj, Page, Query, Reply, Req};
use base::{Fault, ImageId, Micros, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log};

const SORT_KEYS: [&str; 3] = ["namespace", "created_at", "updated_at"];
const PATH: &str = "/v2/metadefs/namespaces";

pub fn view(n: &Namespace) -> Value {
    let mut view = json!({
        "namespace": n.name,
        "visibility": if n.public { "public" } else { "private" },
        "protected": n.protected,
        "owner": n.owner,
        "created_at": n.created_at.seconds_z(),
        "updated_at": n.updated_at.seconds_z(),
        "self": format!("{PATH}/{}", encoded(&n.name)),
        "schema": "/v2/schemas/metadefs/namespace",
    });
    for (key, value) in [("display_name", &n.display_name), ("description", &n.description)] {
        if let Some(value) = value {
            view[key] = Value::from(value.as_str());
        }
    }
    view
}

pub async fn list(image: Arc<Image>, req: Req) -> Result<Reply> {
    let page = Page::parse(&req.query, Some(PAGE), LARGEST_PAGE)?;
    let same = without_marker(req.uri.query());
    let (auth, query) = (req.auth.clone(), req.query.clone());
    let found = image.db.read(move |tx| {
        let (all, more) = pick(tx, &auth, &query, &page)?;
        let about = metadef::associations(tx, all.iter().map(|n| n.id.as_str()))?;
        Ok((all, more, about))
    });
    let (all, more, about) = found.await?;
    let shown = all.iter().map(|n| {
        let mut view = view(n);
        let mine: Vec<Value> = about.iter().filter(|a| a.namespace == n.id).map(Association::view).collect();
        if !mine.is_empty() {
            view["resource_type_associations"] = mine.into();
        }
        view
    });
    let mut body = Map::new();
    body.insert("namespaces".into(), shown.collect());
    body.insert("schema".into(), json!("/v2/schemas/metadefs/namespaces"));
    body.insert("first".into(), address(PATH, &same, None));
    if let (true, Some(last)) = (more, all.last()) {
        body.insert("next".into(), address(PATH, &same, Some(&encoded(&last.name))));
    }
    Ok(Reply::json(200, &Value::Object(body)))
}

fn pick(tx: &Tx<'_>, auth: &Auth, query: &Query, page: &Page) -> Result<(Vec<Namespace>, bool)> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM metadef_namespace WHERE 1 = 1"));
    if !auth.is_admin() {
        let own = auth.project().map(|p| p.as_str().to_owned()).unwrap_or_default();
        q.push(" AND (visibility = 'public' OR owner = ").bind(own).push(")");
    }
    match query.get("visibility") {
        None => {}
        Some(word @ ("public" | "private")) => drop(q.and("visibility =", word)),
        Some(word) => return Err(Fault::bad_request(format!("Invalid visibility value: {word}."))),
    }
    if let Some(owner) = query.get("owner") {
        q.and("owner =", owner);
    }
    if let Some(types) = query.get("resource_types") {
        q.push(" AND id IN (SELECT namespace_id FROM metadef_association WHERE 1 = 1");
        q.and_in("resource_type", types.split(',').filter(|t| !t.is_empty())).push(")");
    }
    let key = query.get("sort_key").unwrap_or("created_at");
    if !SORT_KEYS.contains(&key) {
        let all = SORT_KEYS.join(", ");
        return Err(Fault::bad_request(format!("Invalid sort key: {key}. It must be one of {all}.")));
    }
    let (op, dir) = match query.get("sort_dir") {
        None | Some("desc") => ('<', "DESC"),
        Some("asc") => ('>', "ASC"),
        Some(dir) => return Err(Fault::bad_request(format!("Invalid sort direction: {dir}."))),
    };
    if let Some(marker) = &page.marker {
        let after = visible(tx, auth, marker)?;
        q.push(&format!(" AND ({key}, id) {op} (SELECT {key}, id FROM metadef_namespace WHERE id = "));
        q.bind(after.id).push(")");
    }
    q.push(&format!(" ORDER BY {key} {dir}, id {dir}")).limit(page.fetch());
    let mut rows = q.rows(tx, metadef::namespace)?;
    let more = page.cut(&mut rows);
    Ok((rows, more))
}

/// What a body says of the namespace itself.
fn parse(body: &Obj, owner: &str, known: &[&str]) -> Result<Namespace> {
    check::only(body, &[FIELDS.as_slice(), known].concat())?;
    let name = body.opt_str("namespace", check::NAME)?;
    let name = name.ok_or_else(|| {
        Fault::bad_request("Provided object does not match schema: 'namespace' is a required property.")
    })?;
    check::name("namespace", &name)?;
    let public = match body.opt_str("visibility", 16)?.as_deref() {
        None | Some("private") => false,
        Some("public") => true,
        Some(other) => {
            return Err(Fault::bad_request(format!(
                "Provided object does not match schema: visibility: '{other}' is not one of public, private."
            )));
        }
    };
    let now = Micros::now();
    Ok(Namespace {
        id: ImageId::new().to_string(),
        name,
        display_name: body.opt_str("display_name", check::NAME)?,
        description: body.opt_str("description", 500)?,
        public,
        protected: body.opt_bool("protected")?.unwrap_or(false),
        owner: body.opt_str("owner", 255)?.unwrap_or_else(|| owner.to_owned()),
        created_at: now,
        updated_at: now,
    })
}

const FIELDS: [&str; 10] = [
    "namespace",
    "display_name",
    "description",
    "visibility",
    "protected",
    "owner",
    "created_at",
    "updated_at",
    "self",
    "schema",
];
const PARTS: [&str; 4] = ["resource_type_associations", "properties", "objects", "tags"];

/// A namespace with all that it holds.
pub struct Whole {
    namespace: Namespace,
    about: Vec<Association>,
    items: Vec<(Kind, Item)>,
}

impl Whole {
    pub fn parse(body: &Obj, owner: &str) -> Result<Whole> {
        let namespace = parse(body, owner, &PARTS)?;
        let objs = |field: &str| -> Result<Vec<Obj>> {
            let all = body.opt_list(field)?.cloned().unwrap_or_default();
            if all.len() > super::ITEMS {
                return Err(Fault::bad_request(format!("{field} has more than {} members.", super::ITEMS)));
            }
            all.into_iter().map(Obj::root).collect()
        };
        let about = objs("resource_type_associations")?;
        let about = about.iter().map(|o| resource_types::parse(o, &namespace)).collect::<Result<_>>()?;
        let mut items = Vec::new();
        for (name, body) in check::properties("properties", body.map.get("properties"))? {
            items.push((Kind::Property, Item::new(name, body)));
        }
        for object in objs("objects")? {
            let (name, body) = check::object(&object)?;
            items.push((Kind::Object, Item::new(name, body)));
        }
        for tag in objs("tags")? {
            items.push((Kind::Tag, Item::new(check::required_name(&tag)?, Map::new())));
        }
        Ok(Whole { namespace, about, items })
    }

    pub fn insert(&self, tx: &Tx<'_>) -> Result<()> {
        metadef::insert(tx, &self.namespace)?;
        for about in &self.about {
            metadef::associate(tx, &self.namespace, about)?;
        }
        self.items.iter().try_for_each(|(kind, item)| metadef::add(tx, &self.namespace, *kind, item))
    }
}

/// The namespace and what it holds; for a resource type, with its properties called as they are there.
fn whole(tx: &Tx<'_>, n: &Namespace, resource_type: Option<&str>) -> Result<Value> {
    let mut shown = view(n);
    let about = metadef::associations(tx, std::iter::once(n.id.as_str()))?;
    let prefix = about.iter().find(|a| Some(a.resource_type.as_str()) == resource_type);
    let prefix = prefix.and_then(|a| a.prefix.clone()).unwrap_or_default();
    shown["resource_type_associations"] = about.iter().map(Association::view).collect();
    let properties = metadef::items(tx, n, Kind::Property)?;
    if !properties.is_empty() {
        let named = properties.into_iter().map(|p| (format!("{prefix}{}", p.name), Value::Object(p.body)));
        shown["properties"] = named.collect::<Map<_, _>>().into();
    }
    let objects = metadef::items(tx, n, Kind::Object)?;
    if !objects.is_empty() {
        shown["objects"] = objects.iter().map(|o| items::object_view(n, o, &prefix)).collect();
    }
    let tags = metadef::items(tx, n, Kind::Tag)?;
    if !tags.is_empty() {
        shown["tags"] = tags.iter().map(|t| json!({"name": t.name})).collect();
    }
    Ok(shown)
}

pub async fn create(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let owner = req.auth.project().map(|p| p.0.clone()).unwrap_or_default();
    let (new, who) = (Whole::parse(&body, &owner)?, req.who());
    let made = image.db.write(move |tx| {
        new.insert(tx)?;
        log::audit(tx, &who, "metadef.create", &new.namespace.name)?;
        whole(tx, &new.namespace, None)
    });
    let made = made.await?;
    let location = format!("{}/image{}", req.base, made["self"].as_str().unwrap_or_default());
    Ok(Reply::json(201, &made).header("location", &location))
}

pub async fn show(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (name, auth) = (req.text_param("ns").to_owned(), req.auth.clone());
    let resource_type = req.query.get("resource_type").map(str::to_owned);
    let found = image.db.read(move |tx| whole(tx, &visible(tx, &auth, &name)?, resource_type.as_deref()));
    Ok(Reply::json(200, &found.await?))
}

pub async fn update(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let (name, auth, who) = (req.text_param("ns").to_owned(), req.auth.clone(), req.who());
    let body = req.json().await?;
    let changed = image.db.write(move |tx| {
        let old = visible(tx, &auth, &name)?;
        let new = parse(&body, &old.owner, &PARTS)?;
        let new = Namespace { id: old.id, created_at: old.created_at, ..new };
        metadef::update(tx, &new)?;
        log::audit(tx, &who, "metadef.update", &new.name)?;
        Ok(view(&new))
    });
    Ok(Reply::json(200, &changed.await?))
}

pub async fn delete(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (name, auth, who) = (req.text_param("ns").to_owned(), req.auth.clone(), req.who());
    image
        .db
        .write(move |tx| {
            let old = visible(tx, &auth, &name)?;
            if old.protected {
                return Err(Fault::forbidden(format!(
                    "Metadata definition namespace {name} is protected and cannot be deleted."
                )));
            }
            metadef::delete(tx, &old)?;
            log::audit(tx, &who, "metadef.delete", &name)
        })
        .await?;
    Ok(Reply::empty(204))
}
