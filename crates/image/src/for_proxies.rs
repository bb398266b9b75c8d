//! Images for the addresses under which Compute showed them until 2.35: in the caller's transaction, by the
//! rules of the Image API.

use crate::check::{CheckLife, tidy};
use crate::model::{MemberStatus, Record, Shown};
use crate::table::image::{COLUMNS, FROM, changeable, complete, complete_one, listed_for, record, visible};
use crate::{Limits, attribute, table};
use api::Auth;
use base::{Fault, ImageId, Micros, Result};
use std::collections::BTreeMap;
use store::{Sql, Tx, log, work};

/// At most so many images are looked at for a list.
const MOST: usize = 10_000;

/// What Compute shows of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyImage {
    pub id: ImageId,
    pub name: Option<String>,
    /// In Image's own words.
    pub status: &'static str,
    /// GiB.
    pub min_disk: i64,
    /// MiB.
    pub min_ram: i64,
    pub bytes: Option<u64>,
    pub created_at: Micros,
    pub updated_at: Micros,
    pub properties: BTreeMap<String, String>,
}

impl From<Shown> for ProxyImage {
    fn from(s: Shown) -> Self {
        let bytes = s.row.bytes();
        ProxyImage {
            id: s.row.id,
            name: s.row.name,
            status: s.row.status.as_str(),
            min_disk: s.row.min_disk,
            min_ram: s.row.min_ram,
            bytes,
            created_at: s.row.created_at,
            updated_at: s.row.updated_at,
            properties: s.properties,
        }
    }
}

/// What the caller sees, newest first.
pub fn list(tx: &Tx<'_>, auth: &Auth) -> Result<Vec<ProxyImage>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM {FROM} WHERE i.os_hidden = 0"));
    if !auth.is_admin() {
        listed_for(&mut q, auth.project()?.as_str(), Some(MemberStatus::Accepted));
    }
    q.push(" ORDER BY i.created_at DESC, i.id DESC").limit(MOST);
    let rows: Vec<Record> = q.rows(tx, record)?;
    Ok(complete(tx, rows)?.into_iter().map(ProxyImage::from).collect())
}

/// # Errors
/// 404 for what the caller does not see.
pub fn show(tx: &Tx<'_>, auth: &Auth, id: ImageId) -> Result<ProxyImage> {
    Ok(complete_one(tx, visible(tx, auth, id)?)?.into())
}

/// The server that a snapshot was taken of, by the property that says so.
pub const SERVER: &str = "instance_uuid";

/// Sets properties; with `replace` nothing else remains. Answers those that are there then.
pub fn set_properties(
    tx: &Tx<'_>,
    auth: &Auth,
    who: &log::Who,
    id: ImageId,
    pairs: &[(String, String)],
    replace: bool,
) -> Result<BTreeMap<String, String>> {
    let mut image = complete_one(tx, changeable(tx, auth, id)?)?;
    if replace {
        image.properties.clear();
    }
    for (name, value) in pairs {
        attribute::property(name, value)?;
        image.properties.insert(name.clone(), value.clone());
    }
    attribute::check(&image, Some(image.row.visibility), auth, &Limits::default())?;
    table::image::update(tx, &image)?;
    log::audit(tx, who, "image.update", &id.to_string())?;
    Ok(image.properties)
}

/// # Errors
/// 404 when there is no such property.
pub fn remove_property(tx: &Tx<'_>, auth: &Auth, who: &log::Who, id: ImageId, name: &str) -> Result<()> {
    let mut image = complete_one(tx, changeable(tx, auth, id)?)?;
    if image.properties.remove(name).is_none() {
        return Err(Fault::not_found("Invalid metadata key"));
    }
    table::image::update(tx, &image)?;
    log::audit(tx, who, "image.update", &id.to_string())
}

/// Deletes an image and gives back what its project held by it.
pub fn delete(tx: &Tx<'_>, auth: &Auth, who: &log::Who, limits: &Limits, id: ImageId) -> Result<()> {
    // Life-cycles that wait for the image: before it is locked, as their steps have it.
    for task in table::task::under_way(tx, id)? {
        work::wake(tx, &task)?;
    }
    work::wake_of::<CheckLife>(tx, &id.to_string())?;
    if let Some(server) = table::image::server_of(tx, id)? {
        work::wake(tx, &server.to_string())?;
    }
    let row = changeable(tx, auth, id)?;
    if row.protected {
        return Err(Fault::forbidden(format!(
            "Image {id} is protected and cannot be deleted. Set protected to false first."
        )));
    }
    // What waits for its digests is removed by their life-cycle.
    if let (Some(staged), None) = (table::stage::find(tx, id)?, row.arrived) {
        tidy(tx, staged.file)?;
    }
    table::image::delete(tx, id)?;
    limits.give(tx, &row.owner, row.bytes())?;
    if let Some(content) = &row.content {
        work::wake(tx, &content.sha512)?;
    }
    log::audit_named(tx, who, "image.delete", &id.to_string(), row.name.as_deref())
}
