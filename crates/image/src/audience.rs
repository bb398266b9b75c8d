//! Who may know that an image changed, and what lists of work say of imports.

use crate::model::Visibility;
use crate::table;
use base::{ImageId, Result};
use std::collections::HashMap;
use store::change::Audience;
use store::{Sql, Tx};

/// Whoever may know of a change to the image with this id; `None` when it is no more.
pub fn audience(tx: &Tx<'_>, id: &str) -> Result<Option<Audience>> {
    let Ok(id) = id.parse::<ImageId>() else { return Ok(None) };
    let Some(image) = table::image::find(tx, id)? else { return Ok(None) };
    let owner = image.owner.to_string();
    Ok(Some(match image.visibility {
        Visibility::Public | Visibility::Community => Audience::Everybody,
        Visibility::Private => Audience::Projects(vec![owner]),
        Visibility::Shared => {
            let members = table::member::of_image(tx, id)?.into_iter().map(|m| m.member.to_string());
            Audience::Projects(std::iter::once(owner).chain(members).collect())
        }
    }))
}

/// Names of images, by id.
pub fn names(tx: &Tx<'_>, ids: &[String]) -> Result<HashMap<String, String>> {
    let mut q = Sql::new("SELECT id, name FROM image WHERE name IS NOT NULL");
    q.and_in("id", ids);
    let rows = q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.into_iter().collect())
}

/// Ids of the work of a project, whose id goes behind each.
pub const OWN_WORK: [&str; 2] =
    ["SELECT id FROM image_task WHERE owner =", "SELECT id FROM image WHERE owner ="];

/// Names of images and projects, by the ids of the images or of the imports that are for them; ids of other things are
/// left out.
pub fn labels(tx: &Tx<'_>, ids: &[String]) -> Result<HashMap<String, (String, Option<String>)>> {
    let mut q = Sql::new("SELECT id, name, owner FROM image WHERE 1 = 1");
    q.and_in("id", ids);
    let images = q.rows(tx, |r| {
        let (id, name) = (r.get::<String>(0)?, r.get::<Option<String>>(1)?.filter(|n| !n.is_empty()));
        Ok((id.clone(), (name.unwrap_or(id), Some(r.get(2)?))))
    })?;
    let mut q = Sql::new(
        "SELECT t.id, i.name, t.image_id, t.owner FROM image_task t LEFT JOIN image i ON i.id = t.image_id WHERE 1 = 1",
    );
    q.and_in("t.id", ids);
    let rows = q.rows(tx, |r| {
        let name = r.get::<Option<String>>(1)?.filter(|n| !n.is_empty());
        Ok((r.get(0)?, (name.map_or_else(|| r.get(2), Ok)?, Some(r.get(3)?))))
    })?;
    Ok(images.into_iter().chain(rows).collect())
}
