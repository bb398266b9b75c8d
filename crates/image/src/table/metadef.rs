//! Metadata definitions: namespaces, what they are about, and what they hold.

use base::{Fault, Micros, Result};
use serde_json::{Map, Value, json};
use store::{Row, Sql, Tx, params};

#[derive(Debug, Clone)]
pub struct Namespace {
    pub id: String,
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub public: bool,
    pub protected: bool,
    pub owner: String,
    pub created_at: Micros,
    pub updated_at: Micros,
}

pub const COLUMNS: &str =
    "id, namespace, display_name, description, visibility, protected, owner, created_at, updated_at";

pub fn namespace(r: &Row<'_>) -> Result<Namespace> {
    Ok(Namespace {
        id: r.get(0)?,
        name: r.get(1)?,
        display_name: r.get(2)?,
        description: r.get(3)?,
        public: r.get::<String>(4)? == "public",
        protected: r.get(5)?,
        owner: r.get(6)?,
        created_at: r.get(7)?,
        updated_at: r.get(8)?,
    })
}

pub fn find(tx: &Tx<'_>, name: &str) -> Result<Option<Namespace>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM metadef_namespace WHERE namespace = $1"), params![name], namespace)
}

fn visibility(n: &Namespace) -> &'static str {
    if n.public { "public" } else { "private" }
}

fn taken(n: &Namespace) -> Fault {
    Fault::conflict(format!("The metadata definition namespace={} already exists.", n.name))
}

/// # Errors
/// 409 when the name is taken.
pub fn insert(tx: &Tx<'_>, n: &Namespace) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO metadef_namespace (id, namespace, display_name, description, visibility, protected, owner,
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        params![
            &n.id,
            &n.name,
            &n.display_name,
            &n.description,
            visibility(n),
            n.protected,
            &n.owner,
            n.created_at
        ],
        || taken(n),
    )?;
    Ok(())
}

/// # Errors
/// 409 when the new name is taken.
pub fn update(tx: &Tx<'_>, n: &Namespace) -> Result<()> {
    tx.exec_unique(
        "UPDATE metadef_namespace SET namespace = $2, display_name = $3, description = $4, visibility = $5,
         protected = $6, owner = $7, updated_at = $8 WHERE id = $1",
        params![
            &n.id,
            &n.name,
            &n.display_name,
            &n.description,
            visibility(n),
            n.protected,
            &n.owner,
            n.updated_at
        ],
        || taken(n),
    )?;
    Ok(())
}

/// Removes a namespace with all that it holds.
pub fn delete(tx: &Tx<'_>, n: &Namespace) -> Result<()> {
    tx.exec("DELETE FROM metadef_namespace WHERE id = $1", params![&n.id])?;
    Ok(())
}

// ------------------------------------------------------------------------------- resource types

pub fn resource_types(tx: &Tx<'_>) -> Result<Vec<Value>> {
    tx.rows("SELECT name, created_at, updated_at FROM metadef_resource_type ORDER BY name", &[], |r| {
        let (made, changed): (Micros, Micros) = (r.get(1)?, r.get(2)?);
        Ok(json!({
            "name": r.get::<String>(0)?, "created_at": made.seconds_z(), "updated_at": changed.seconds_z(),
        }))
    })
}

pub fn add_resource_type(tx: &Tx<'_>, name: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO metadef_resource_type (name, created_at, updated_at) VALUES ($1, $2, $2)
         ON CONFLICT (name) DO NOTHING",
        params![name, Micros::now()],
    )?;
    Ok(())
}

/// What a namespace is about, and how its properties are called there.
#[derive(Debug, Clone)]
pub struct Association {
    pub namespace: String,
    pub resource_type: String,
    pub prefix: Option<String>,
    pub target: Option<String>,
    pub created_at: Micros,
}

impl Association {
    pub fn view(&self) -> Value {
        let mut view = json!({
            "name": self.resource_type,
            "created_at": self.created_at.seconds_z(),
            "updated_at": self.created_at.seconds_z(),
        });
        if let Some(prefix) = &self.prefix {
            view["prefix"] = Value::from(prefix.as_str());
        }
        if let Some(target) = &self.target {
            view["properties_target"] = Value::from(target.as_str());
        }
        view
    }
}

/// The associations of namespaces, by their ids.
pub fn associations<'a>(tx: &Tx<'_>, ids: impl Iterator<Item = &'a str>) -> Result<Vec<Association>> {
    let mut q = Sql::new(
        "SELECT namespace_id, resource_type, prefix, properties_target, created_at FROM metadef_association WHERE 1 = 1",
    );
    q.and_in("namespace_id", ids).push(" ORDER BY resource_type");
    q.rows(tx, |r| {
        Ok(Association {
            namespace: r.get(0)?,
            resource_type: r.get(1)?,
            prefix: r.get(2)?,
            target: r.get(3)?,
            created_at: r.get(4)?,
        })
    })
}

/// Associates a namespace; makes the resource type known if it is not.
///
/// # Errors
/// 409 when it is associated already.
pub fn associate(tx: &Tx<'_>, n: &Namespace, a: &Association) -> Result<()> {
    add_resource_type(tx, &a.resource_type)?;
    tx.exec_unique(
        "INSERT INTO metadef_association (namespace_id, resource_type, prefix, properties_target, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5)",
        params![&n.id, &a.resource_type, &a.prefix, &a.target, a.created_at],
        || {
            Fault::conflict(format!(
                "The metadata definition resource-type association of resource-type={} to namespace={} already exists.",
                a.resource_type, n.name
            ))
        },
    )?;
    Ok(())
}

/// True when there was one.
pub fn dissociate(tx: &Tx<'_>, n: &Namespace, resource_type: &str) -> Result<bool> {
    let sql = "DELETE FROM metadef_association WHERE namespace_id = $1 AND resource_type = $2";
    Ok(tx.exec(sql, params![&n.id, resource_type])? == 1)
}

// ---------------------------------------------------------------------------------------- items

/// What a namespace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Property,
    Tag,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Property => "property",
            Kind::Tag => "tag",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Item {
    pub name: String,
    /// The definition without its name.
    pub body: Map<String, Value>,
    pub created_at: Micros,
    pub updated_at: Micros,
}

impl Item {
    pub fn new(name: String, body: Map<String, Value>) -> Item {
        let now = Micros::now();
        Item { name, body, created_at: now, updated_at: now }
    }
}

const ITEM: &str = "name, body, created_at, updated_at";

fn item(r: &Row<'_>) -> Result<Item> {
    Ok(Item {
        name: r.get(0)?,
        body: serde_json::from_str(&r.get::<String>(1)?)?,
        created_at: r.get(2)?,
        updated_at: r.get(3)?,
    })
}

/// Every item of a kind, by name.
pub fn items(tx: &Tx<'_>, n: &Namespace, kind: Kind) -> Result<Vec<Item>> {
    let sql = format!("SELECT {ITEM} FROM metadef_item WHERE namespace_id = $1 AND kind = $2 ORDER BY name");
    tx.rows(&sql, params![&n.id, kind.as_str()], item)
}

/// # Errors
/// 404 when there is none of that name.
pub fn one(tx: &Tx<'_>, n: &Namespace, kind: Kind, name: &str) -> Result<Item> {
    let sql = format!("SELECT {ITEM} FROM metadef_item WHERE namespace_id = $1 AND kind = $2 AND name = $3");
    tx.opt(&sql, params![&n.id, kind.as_str(), name], item)?.ok_or_else(|| {
        Fault::not_found(format!(
            "The metadata definition {} with name={name} was not found in namespace={}.",
            kind.as_str(),
            n.name
        ))
    })
}

/// # Errors
/// 409 when the name is taken.
pub fn add(tx: &Tx<'_>, n: &Namespace, kind: Kind, i: &Item) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO metadef_item (namespace_id, kind, name, body, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            &n.id,
            kind.as_str(),
            &i.name,
            Value::Object(i.body.clone()).to_string(),
            i.created_at,
            i.updated_at
        ],
        || {
            Fault::conflict(format!(
                "A metadata definition {} with name={} already exists in namespace={}.",
                kind.as_str(),
                i.name,
                n.name
            ))
        },
    )?;
    Ok(())
}

/// Removes one item, or all of a kind; answers how many.
pub fn remove(tx: &Tx<'_>, n: &Namespace, kind: Kind, name: Option<&str>) -> Result<u64> {
    let mut q = Sql::new("DELETE FROM metadef_item WHERE 1 = 1");
    q.and("namespace_id =", n.id.as_str()).and("kind =", kind.as_str());
    if let Some(name) = name {
        q.and("name =", name);
    }
    q.exec(tx)
}
